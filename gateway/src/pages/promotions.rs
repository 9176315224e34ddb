//! Promotions: what waits for whom, what the gate holds, and the forms that an approver's key signs.

use super::ask::Ask;
use super::error::PageError;
use super::event::refusal;
use super::layout::{self, facts, table};
use super::text::{actor, at, shown, signed, time};
use super::version::{self, evaluated};
use super::words;
use attestune_ledger::state::Promotions;
use attestune_proto::v1 as pb;
use axum::extract::Path;
use axum::response::Html;
use maud::{Markup, html};
use pb::registry_server::Registry as _;

/// Entries looked through for what was tried and refused.
const ENTRIES: u64 = 2_000;

/// Promotions, those that wait first.
pub async fn index(ask: Ask) -> Result<Html<String>, PageError> {
    let mut promotions = ask.promotions().await?;
    let older = layout::older(&ask, &[(promotions.len(), promotions.last().map(|row| row.position))]);
    promotions.sort_by_key(|row| (row.status() != pb::PromotionStatus::Open, std::cmp::Reverse(row.position)));
    let rows = promotions.iter().map(|row| {
        vec![
            html! { a href=(ask.link(&format!("/promotions/{}", row.position))) { "@" (row.position) } },
            version::link(&ask, &row.model, row.version),
            html! { (words::stage(row.to())) },
            words::promotion(row.status()),
            html! { (row.approvals.len()) " of " (row.approvals_needed) },
            signed(&ask, row.requested_by.as_ref()),
        ]
    });
    let heads = ["Promotion", "Version", "To", "Status", "#Approvals", "Requested by"];
    let body = html! {
        (table("Promotions, those that wait first", &heads, rows.collect(), "Nobody had asked for one by then."))
        (older)
    };
    Ok(layout::page(&ask, "Promotions", body))
}

/// One promotion.
pub async fn page(ask: Ask, Path(position): Path<u64>) -> Result<Html<String>, PageError> {
    let missing = || PageError::Missing(format!("No promotion had been asked for at position {position} by then."));
    let row = ask.row(Promotions::key(position)).await?.ok_or_else(missing)?;
    let found = ask.version(&row.model, row.version).await?;
    let judged = found.evaluations.iter().filter(|e| relied_on(&row, e));
    let policy = pb::GetPolicyRequest { version: row.policy_version, as_of: ask.moment.as_of() };
    let policy = ask.services.get_policy(ask.request(policy)).await?.into_inner().policy.unwrap_or_default();
    let replaces = row.replaces.map_or("nothing".into(), |version| format!("version {version}"));
    let body = html! {
        p.lead {
            (version::link(&ask, &row.model, row.version)) " to " strong { (words::stage(row.to())) } ": "
            (words::promotion(row.status())) ", " (row.approvals.len()) " of " (row.approvals_needed) " approvals"
        }
        (facts(vec![
            ("Requested by", signed(&ask, row.requested_by.as_ref())),
            ("Replaces", html! { (replaces) }),
            ("Policy", html! { "version " (row.policy_version) }),
            ("Decided", html! { @if row.decided_at == 0 { "not yet" } @else { (at(&ask, row.decided_at)) } }),
        ]))
        (approvals(&ask, &row, &found.actors))
        (decide(&ask, &row, &policy))
        h2 { "What the gate relies on" }
        @for evaluation in judged { (evaluated(&ask, evaluation)) }
        (tried(&ask, &row).await?)
    };
    Ok(layout::page(&ask, &format!("Promotion @{position}"), body))
}

fn relied_on(row: &pb::PromotionRow, evaluation: &pb::EvaluationProvenance) -> bool {
    evaluation.evaluation.as_ref().is_some_and(|e| row.evaluations.contains(&e.position))
}

fn approvals(ask: &Ask, row: &pb::PromotionRow, actors: &[pb::ActorRow]) -> Markup {
    let name = |actor: &str| {
        actors.iter().find(|row| row.actor == actor).map_or(actor, |row| row.printed_name.as_str()).to_owned()
    };
    let rows = row.approvals.iter().map(|approval| {
        let signer = approval.signer.clone().unwrap_or_default();
        vec![
            html! { (shown(&name(&signer.actor))) " (" (actor(ask, &signer.actor)) ")" },
            html! { (words::meaning(approval.meaning())) },
            at(ask, signer.position),
        ]
    });
    table("Approvals", &["Printed name", "Meaning", "Signature"], rows.collect(), "Nobody had approved it by then.")
}

/// The forms to sign, where it waits and this is no look at the past.
fn decide(ask: &Ask, row: &pb::PromotionRow, policy: &pb::Policy) -> Markup {
    if row.status() != pb::PromotionStatus::Open || ask.moment.position < ask.moment.newest {
        return Markup::default();
    }
    let position = row.position;
    let requested = row.requested_by.as_ref().is_some_and(|signer| signer.actor == ask.reader.actor);
    html! {
        section.decide aria-label="Decide" {
            h2 { "Decide" }
            @if !policy.browser_keys_approve {
                p { "The policy takes no approvals by a browser’s key: " code { "attestune promote approve " (position) } " signs with a key file." }
            }
            noscript { p { "Signing here needs script; " code { "attestune promote approve " (position) } " does it, too." } }
            form.sign hidden data-kind="promotion-approved" data-promotion=(position) {
                fieldset {
                    legend { "What your signature means" }
                    label { input type="radio" name="meaning" value="1" checked; " I reviewed and approve it" }
                    label { input type="radio" name="meaning" value="2"; " I am responsible for its release" }
                }
                button accesskey="a" { "Sign the approval" }
                p.status role="alert" {}
            }
            form.sign hidden data-kind="promotion-rejected" data-promotion=(position) {
                label { "Reject it because of " select name="reason" {
                    option value="1" { "the evidence" }
                    option value="2" { "the risk" }
                    option value="3" { "the procedure" }
                } }
                button.quiet { "Sign the rejection" }
                p.status role="alert" {}
            }
            @if requested {
                form.sign hidden data-kind="promotion-withdrawn" data-promotion=(position) {
                    button.quiet { "Withdraw the request" }
                    p.status role="alert" {}
                }
            }
        }
    }
}

/// What was tried on it and refused, for what reason.
async fn tried(ask: &Ask, row: &pb::PromotionRow) -> Result<Markup, PageError> {
    let to = ask.moment.position + 1;
    let request = pb::HistoryRequest {
        kinds: [pb::Kind::PromotionApproved, pb::Kind::PromotionRejected, pb::Kind::PromotionWithdrawn]
            .map(Into::into)
            .into(),
        verdict: pb::Verdict::Refused.into(),
        from: row.position,
        to: to.min(row.position + ENTRIES),
        ..Default::default()
    };
    let events = ask.history(request).await?;
    let of_it = events.iter().filter(|event| match event.event.as_ref().and_then(|e| e.body.as_ref()) {
        Some(pb::event::Body::PromotionApproved(body)) => body.promotion == row.position,
        Some(pb::event::Body::PromotionRejected(body)) => body.promotion == row.position,
        Some(pb::event::Body::PromotionWithdrawn(body)) => body.promotion == row.position,
        _ => false,
    });
    let of_it: Vec<_> = of_it.collect();
    Ok(html! { @if !of_it.is_empty() {
        h2 { "Refused" }
        @for event in of_it {
            p { (at(ask, event.position)) " " (time(event.time_ms)) " " (actor(ask, &event.actor)) " " (shown(&event.summary)) }
            (refusal(event))
        }
    } })
}
