//! How the server is: what it checks of itself, and what it counted.

use super::ask::Ask;
use super::error::PageError;
use super::layout::{self, facts, table};
use super::text::{hash, judged, shown, time};
use attestune_proto::v1::admin_server::Admin as _;
use attestune_proto::v1::{DoctorRequest, StatusRequest};
use axum::response::Html;
use maud::html;

/// The health of this server, as of now whatever the moment.
pub async fn page(ask: Ask) -> Result<Html<String>, PageError> {
    let status = ask.services.status(ask.request(StatusRequest {})).await?.into_inner();
    let checks = ask.services.doctor(ask.request(DoctorRequest { deep: false })).await?.into_inner().checks;
    let rows = checks.iter().map(|check| {
        vec![
            html! { (check.name) },
            judged(check.ok, "well", "not well"),
            shown(&check.detail),
            html! { @if check.ok { "—" } @else { (shown(&check.remedy)) } },
        ]
    });
    let head = status.head.clone().unwrap_or_default();
    let stopped = status.stopped.clone().unwrap_or_default();
    let body = html! {
        @if !stopped.is_empty() { p.lead role="alert" { "✗ The fold has stopped: " (shown(&stopped)) } }
        (table("What the server checks of itself", &["Check", "Result", "Detail", "What to do"], rows.collect(), "Nothing is checked."))
        (facts(vec![
            ("Ledger", html! { (head.name) " " (hash(&head.ledger)) }),
            ("Entries", html! { (head.size) " under " (hash(&head.entry_root)) }),
            ("State", html! { (hash(&head.verdict_root)) ", rules version " (head.rules_version) ", policy " (head.policy_version) }),
            ("Newest entry", html! { (time(head.fold_time_ms)) " UTC" }),
            ("Verdicts", html! { (status.accepted) " accepted, " (status.refused) " refused, " (status.duplicates) " duplicate, " (status.garbage) " garbage" }),
            ("This server", html! { "version " (status.version) ", since " (time(status.started_ms)) " UTC" }),
        ]))
        p { code { "attestune doctor --deep" } " reads every entry again." }
    };
    Ok(layout::page(&ask, "Health", body))
}
