//! Actors with their roles and keys, and the policy.

use super::ask::Ask;
use super::error::PageError;
use super::fields::fields;
use super::layout::{self, table};
use super::text::{actor, at, shown};
use super::words;
use attestune_ledger::draft::plain;
use attestune_proto::v1 as pb;
use axum::response::Html;
use maud::{Markup, html};
use pb::registry_server::Registry as _;

/// Everybody who acts.
pub async fn index(ask: Ask) -> Result<Html<String>, PageError> {
    let answer = ask.actors("").await?;
    let rows = answer.actors.iter().map(|row| {
        let roles: Vec<_> = row.roles().map(words::role).collect();
        let keys = answer.keys.iter().filter(|key| key.actor == row.actor);
        vec![
            actor(&ask, &row.actor),
            shown(&row.printed_name),
            html! { (plain(row.kind().as_str_name(), "ACTOR_KIND_")) },
            html! { @if roles.is_empty() { "—" } @else { (roles.join(", ")) } },
            html! { @for key in keys { (shown_key(&ask, key)) } },
        ]
    });
    let heads = ["Actor", "Printed name", "Kind", "Roles", "Keys"];
    let body = html! {
        (table("People, workers and gateways", &heads, rows.collect(), "Nobody was registered then."))
        p { a href="/pair" { "Pair this browser with your name" } " · " a href=(ask.link("/policy")) { "The policy then in force" } }
    };
    Ok(layout::page(&ask, "People", body))
}

fn shown_key(ask: &Ask, key: &pb::KeyRow) -> Markup {
    html! {
        div {
            code { (key.keyid.get(..8).unwrap_or(&key.keyid)) "…" } " " (at(ask, key.position)) ", "
            (plain(key.custody().as_str_name(), "KEY_CUSTODY_"))
            @if let Some(revoked) = key.revoked_at {
                " " span.bad { "✗ revoked: " (plain(key.reason().as_str_name(), "REVOCATION_REASON_")) } " " (at(ask, revoked))
            }
        }
    }
}

/// The policy in force at the moment.
pub async fn policy(ask: Ask) -> Result<Html<String>, PageError> {
    let request = pb::GetPolicyRequest { version: 0, as_of: ask.moment.as_of() };
    let row = ask.services.get_policy(ask.request(request)).await?.into_inner();
    let body = html! {
        p { "Version " (row.version) ", adopted " (at(&ask, row.position)) "." }
        (fields(&ask, "Policy", &row.policy.unwrap_or_default()))
    };
    Ok(layout::page(&ask, "Policy", body))
}
