//! Models, and what of each is in force.

use super::ask::Ask;
use super::error::PageError;
use super::evidence;
use super::layout::{self, table};
use super::text::{actor, at, hash, shown};
use super::version::{self, why};
use super::words;
use attestune_proto::v1 as pb;
use axum::extract::Path;
use axum::response::Html;
use maud::{Markup, html};

/// All models.
pub async fn index(ask: Ask) -> Result<Html<String>, PageError> {
    let models = ask.models("").await?;
    let rows = models.iter().map(|model| {
        let path = format!("/models/{}", model.model);
        vec![
            html! { a href=(ask.link(&path)) { (model.model) } },
            in_force(&ask, model),
            html! { (model.versions) },
            html! { @match model.open_promotion {
                Some(position) => a href=(ask.link(&format!("/promotions/{position}"))) { "promotion @" (position) " waits" },
                None => "—",
            } },
        ]
    });
    let heads = ["Model", "In force", "#Versions", "Open"];
    let body = html! {
        (table("Models and what is in force", &heads, rows.collect(), "No model had been trained or registered by then."))
    };
    Ok(layout::page(&ask, "Models", body))
}

fn in_force(ask: &Ask, model: &pb::ModelRow) -> Markup {
    html! {
        @if model.in_force == 0 { "none" }
        @else {
            strong { (version::link(ask, &model.model, model.in_force)) } " since " (at(ask, model.since))
        }
    }
}

/// One model: why its version is in force, and all its versions.
pub async fn model(ask: Ask, Path(name): Path<String>) -> Result<Html<String>, PageError> {
    let answer = ask.why_in_force(&name).await?;
    let versions = ask.versions(&name).await?;
    let body = html! {
        section aria-label="In force" {
            @if answer.version == 0 {
                p.lead { "No version of " (name) " was in force then." }
                @if let Some(halt) = &answer.halt {
                    p.refusal {
                        "✗ Halted " (at(&ask, halt.position)) " by " (actor(&ask, &halt.actor)) ": " (shown(&halt.summary)) "."
                        @if answer.halted_version != 0 { " Until then " (version::link(&ask, &name, answer.halted_version)) " was in force." }
                    }
                }
            } @else {
                p.lead { strong { (version::link(&ask, &name, answer.version)) } " is in force." }
                (why(&ask, &answer))
            }
        }
        (evidence::form(&ask, &name))
        (table("Versions", &["Version", "Stage", "Made", "Adapter", "By"], rows(&ask, &versions), "There is none."))
        (layout::older(&ask, &[(versions.len(), versions.last().map(|row| row.version.into()))]))
        p { a href=(ask.link_with("/timeline", &[("model", &name)])) { "Everything that happened to " (name) } }
    };
    Ok(layout::page(&ask, &name, body))
}

fn rows(ask: &Ask, versions: &[pb::VersionRow]) -> Vec<Vec<Markup>> {
    let row = |version: &pb::VersionRow| {
        vec![
            version::link(ask, &version.model, version.version),
            html! {
                (words::stage(version.stage()))
                @if version.rolled_back_at != 0 { ", rolled back " (at(ask, version.rolled_back_at)) }
            },
            html! {
                (at(ask, version.position)) " "
                @match version.run {
                    Some(run) => a href=(ask.link(&format!("/runs/{run}"))) { "by run " (run) },
                    None => "trained elsewhere",
                }
            },
            hash(&version.adapter_digest),
            actor(ask, &version.registered_by),
        ]
    };
    versions.iter().map(row).collect()
}
