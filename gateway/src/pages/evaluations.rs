//! Suites and what they judged.

use super::ask::Ask;
use super::error::PageError;
use super::example::to_open;
use super::layout::{self, facts, table};
use super::text::{at, duration, hash, percent, shown, signed};
use super::{version, words};
use attestune_ledger::query;
use attestune_ledger::state::{Evaluations, Suites};
use attestune_proto::v1 as pb;
use axum::extract::Path;
use axum::response::Html;
use maud::{Markup, html};

/// Suites, and the evaluations by them.
pub async fn index(ask: Ask) -> Result<Html<String>, PageError> {
    let suites = ask.suites().await?;
    let rows = suites.iter().map(|suite| {
        vec![
            link(&ask, suite),
            html! { (suite.categories.iter().map(|c| u64::from(c.cases)).sum::<u64>()) },
            html! { @for c in &suite.categories { (c.category) " " (percent(c.bar_ppm)) " " } },
            html! { (words::bound(suite.bound())) },
            signed(&ask, suite.signer.as_ref()),
        ]
    });
    let evaluations = ask.evaluations().await?;
    let heads = ["Suite", "#Cases", "Bars", "Held against the bar", "Registered by"];
    let body = html! {
        (table("Suites, each fixed when it was registered", &heads, rows.collect(), "No suite had been registered by then."))
        (evaluation_table(&ask, &evaluations))
        (layout::older(&ask, &[(evaluations.len(), evaluations.last().map(|row| row.position))]))
    };
    Ok(layout::page(&ask, "Suites", body))
}

fn link(ask: &Ask, suite: &pb::SuiteRow) -> Markup {
    html! { a href=(ask.link(&format!("/suites/{}", suite.position))) { (suite.suite) "@" (suite.number) } }
}

fn evaluation_table(ask: &Ask, evaluations: &[pb::EvaluationRow]) -> Markup {
    let rows = evaluations.iter().map(|row| {
        let results = row.results.iter().map(|r| format!("{} {}/{}", r.category, r.passed, r.cases));
        vec![
            html! { a href=(ask.link(&format!("/evaluations/{}", row.position))) { "@" (row.position) } },
            version::link(ask, &row.model, row.version),
            html! { a href=(ask.link(&format!("/suites/{}", row.suite))) { "suite @" (row.suite) } },
            words::work(row.status()),
            html! { (results.collect::<Vec<_>>().join(", ")) },
        ]
    });
    let heads = ["Evaluation", "Version", "Suite", "Status", "Passed"];
    table("Evaluations", &heads, rows.collect(), "Nobody had asked for an evaluation by then.")
}

/// One suite.
pub async fn suite(ask: Ask, Path(position): Path<u64>) -> Result<Html<String>, PageError> {
    let missing = || PageError::Missing(format!("No suite had been registered at position {position} by then."));
    let suite = ask.row(Suites::key(position)).await?.ok_or_else(missing)?;
    let mut evaluations = ask.evaluations().await?;
    let older = layout::older(&ask, &[(evaluations.len(), evaluations.last().map(|row| row.position))]);
    evaluations.retain(|evaluation| evaluation.suite == position);
    let bars = suite.categories.iter().map(|c| {
        vec![html! { (c.category) }, html! { (c.cases) }, html! { (percent(c.bar_ppm)) }, html! { (c.needed) }]
    });
    let pairs = vec![
        ("Registered", html! { (at(&ask, suite.position)) " by " (signed(&ask, suite.signer.as_ref())) }),
        ("Digest", hash(&suite.digest)),
        ("Held against the bar", html! { (words::bound(suite.bound())) }),
    ];
    let body = html! {
        (facts(pairs))
        (table("Bars, fixed here", &["Category", "#Cases", "#Bar", "#Passes needed"], bars.collect(), "It has no categories."))
        (evaluation_table(&ask, &evaluations))
        (older)
    };
    Ok(layout::page(&ask, &format!("{}@{}", suite.suite, suite.number), body))
}

/// One evaluation, without its transcripts.
pub async fn evaluation(ask: Ask, Path(position): Path<u64>) -> Result<Html<String>, PageError> {
    let found = find(&ask, position).await?;
    let done = found.evaluation.as_ref().is_some_and(|row| row.status() == pb::WorkStatus::Completed);
    let cases = html! { @if done { (to_open(&ask)) } @else { p.empty { "It was not completed by then." } } };
    page(&ask, position, &found, cases).await
}

/// An evaluation with its suite, judged against the bars.
pub async fn find(ask: &Ask, position: u64) -> Result<pb::EvaluationProvenance, PageError> {
    let missing = || PageError::Missing(format!("No evaluation had been asked for at position {position} by then."));
    let row = ask.row(Evaluations::key(position)).await?.ok_or_else(missing)?;
    let (replica, at) = (ask.services.gateway.replica.clone(), ask.moment.position);
    let judged = move || Ok(query::evaluation_provenance(&replica.view_at(at).view(), row));
    Ok(crate::access::blocking(judged).await?)
}

/// The page of an evaluation with what is said of its cases.
pub async fn page(
    ask: &Ask,
    position: u64,
    found: &pb::EvaluationProvenance,
    cases: Markup,
) -> Result<Html<String>, PageError> {
    let row = found.evaluation.clone().unwrap_or_default();
    let suite = found.suite.clone().unwrap_or_default();
    let ended =
        if row.ended_at == 0 { None } else { ask.event(row.ended_at).await?.and_then(|event| event.event?.body) };
    let mut pairs = vec![
        ("Version", version::link(ask, &row.model, row.version)),
        ("Suite", html! { (link(ask, &suite)) ", bars fixed " (at(ask, suite.position)) }),
        ("Status", html! { (words::work(row.status())) ", attempt " (found.attempts) }),
        ("Requested by", signed(ask, row.requested_by.as_ref())),
        ("Evaluated by", signed(ask, row.completed_by.as_ref())),
    ];
    if let Some(pb::event::Body::EvaluationCompleted(done)) = ended {
        pairs.push(("Took", html! { (duration(done.duration_ms)) }));
        pairs.push(("Adapter", hash(&done.adapter_digest)));
        pairs.push(("Transcripts", html! { "under " (hash(&done.transcripts_root)) }));
        let environment = done.environment.iter().map(|s| format!("{} {}", s.name, s.value));
        pairs.push(("Environment", shown(&environment.collect::<Vec<_>>().join(", "))));
    }
    let body = html! {
        (facts(pairs))
        @if !found.verdicts.is_empty() { (words::verdicts(found)) }
        section aria-label="Case by case" { h2 { "Case by case" } (cases) }
    };
    Ok(layout::page(ask, &format!("Evaluation @{position}"), body))
}
