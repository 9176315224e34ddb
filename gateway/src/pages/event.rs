//! An entry of the log: what was signed, by whom, what the rules made of it, and the proof that it stands there.

use super::ask::Ask;
use super::error::PageError;
use super::fields::{fields, kind_name};
use super::layout::{self, facts};
use super::text::{actor, at, hash, shown, time, verdict};
use attestune_proto::v1::ledger_server::Ledger as _;
use attestune_proto::v1::{HistoryEvent, InclusionProofRequest, Verdict};
use axum::extract::Path;
use axum::response::{Html, IntoResponse as _, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use maud::{Markup, html};

/// The page of an entry.
pub async fn page(ask: Ask, Path(position): Path<u64>) -> Result<Html<String>, PageError> {
    let missing = || PageError::Missing(format!("Nothing stood at position {position} by then."));
    let event = ask.event(position).await?.ok_or_else(missing)?;
    let proof = InclusionProofRequest { position, size: 0, verdicts: false };
    let proof = ask.services.inclusion_proof(ask.request(proof)).await?.into_inner();
    let kind = kind_name(event.kind());
    let mut pairs = vec![
        ("Verdict", html! { (verdict(event.verdict())) }),
        ("Who", html! { (actor(&ask, &event.actor)) }),
        ("Time", html! { (time(event.time_ms)) " UTC, asserted by the log’s clock" }),
        (
            "Leaf",
            html! { (hash(&proof.leaf_hash)) " in the tree of " (proof.size) " entries under " (hash(&proof.root)) },
        ),
    ];
    if let Some(cause) = event.event.as_ref().and_then(|e| e.cause) {
        pairs.push(("Because of", at(&ask, cause)));
    }
    let body = html! {
        p.lead { (shown(&event.actor)) " " (shown(&event.summary)) "." }
        (refusal(&event))
        (facts(pairs))
        p {
            a href={ "/events/" (position) "/proof" } download { "Proof that it stands on the log" } " (C2SP tlog-proof; "
            code { "attestune verify --proof FILE" } " checks it)"
        }
        @if let Some(signed) = &event.event {
            h2 { "What was signed" }
            (fields(&ask, "Event", signed))
        }
        p.steps {
            @if position > 0 { a href=(ask.link(&format!("/events/{}", position - 1))) rel="prev" { "← @" (position - 1) } " " }
            @if position < ask.moment.position { a href=(ask.link(&format!("/events/{}", position + 1))) rel="next" { "@" (position + 1) " →" } }
        }
    };
    Ok(layout::page(&ask, &format!("@{position} {kind}"), body))
}

/// Why an event was refused, with every figure.
pub fn refusal(event: &HistoryEvent) -> Markup {
    let Some(refusal) = event.refusal.as_ref().filter(|_| event.verdict() != Verdict::Accepted) else {
        return Markup::default();
    };
    html! { p.refusal { code { (refusal.code) } ": " (shown(&refusal.message)) } }
}

/// The proof of one entry, as a file.
pub async fn proof(ask: Ask, Path(position): Path<u64>) -> Result<Response, PageError> {
    let request = InclusionProofRequest { position, size: 0, verdicts: false };
    let proof = ask.services.inclusion_proof(ask.request(request)).await?.into_inner();
    let name = format!("attachment; filename=\"entry-{position}.tlog-proof\"");
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, name)];
    Ok((headers, proof.tlog_proof).into_response())
}
