//! A version: why it is or was in force, everything that made it, everything decided on it.

use super::ask::Ask;
use super::error::PageError;
use super::evidence;
use super::layout::{self, facts, table};
use super::text::{actor, at, hash, micro, shown, signed, time};
use super::words;
use attestune_ledger::query::AFTER_MAX;
use attestune_proto::v1 as pb;
use axum::extract::Path;
use axum::response::Html;
use maud::{Markup, html};

/// A link to a version.
pub fn link(ask: &Ask, model: &str, version: u32) -> Markup {
    html! { a href=(ask.link(&format!("/models/{model}/{version}"))) { (model) "@" (version) } }
}

/// The page of a version.
pub async fn page(ask: Ask, Path((model, version)): Path<(String, u32)>) -> Result<Html<String>, PageError> {
    let found = ask.version(&model, version).await?;
    let in_force = ask.why_in_force(&model).await.ok().filter(|answer| answer.version == version);
    let row = found.version.clone().unwrap_or_default();
    let body = html! {
        p.lead {
            "In " strong { (words::stage(row.stage())) }
            @if row.rolled_back_at != 0 { ", rolled back " (at(&ask, row.rolled_back_at)) }
            @if in_force.is_some() { ", " span.good { "✓ in force" } } @else { ", not in force" }
        }
        @if let Some(answer) = &in_force {
            section aria-label="Why it is in force" { h2 { "Why it is in force" } (why(&ask, answer)) }
            (evidence::form(&ask, &model))
        }
        p { a href=(ask.link(&format!("/lineage/{}", row.position))) { "Its lineage, both ways" } }
        (made(&ask, &found, &row))
        (data(&ask, &found))
        h2 { "Evaluations" }
        @for evaluation in &found.evaluations { (evaluated(&ask, evaluation)) }
        @if found.evaluations.is_empty() { p.empty { "Nobody had evaluated it by then." } }
        (leakage(&ask, &found.leakage))
        (promotions(&ask, &found.promotions))
        (people(&ask, &found.actors))
    };
    Ok(layout::page(&ask, &format!("{model}@{version}"), body))
}

/// Why a version is in force: since when, by whom, on what.
pub fn why(ask: &Ask, answer: &pb::WhyInForceResponse) -> Markup {
    let mut pairs = vec![("Since", html! { (time(answer.since_ms)) " UTC " (at(ask, answer.since_position)) })];
    if let Some(rollback) = &answer.rollback {
        pairs.push(("By a rollback", html! { (shown(&rollback.summary)) " " (at(ask, rollback.position)) }));
    }
    if let Some(promotion) = &answer.promotion {
        let path = format!("/promotions/{}", promotion.position);
        pairs.push((
            "Promotion",
            html! {
                a href=(ask.link(&path)) { "to " (words::stage(promotion.to())) } ", requested by "
                (signed(ask, promotion.requested_by.as_ref())) ", decided " (at(ask, promotion.decided_at))
            },
        ));
        pairs.push(("Policy at the promotion", html! { "version " (promotion.policy_version) }));
    }
    if let Some(run) = &answer.run {
        pairs.push((
            "Run",
            html! { a href=(ask.link(&format!("/runs/{}", run.position))) { "run " (run.position) } ", "
            (reproduced(run)) },
        ));
    }
    if let Some(dataset) = &answer.dataset {
        pairs.push((
            "Dataset",
            html! {
                a href=(ask.link(&format!("/datasets/{}", dataset.position))) { (dataset.dataset) "@" (dataset.number) }
                ", " (dataset.count) " members under " (hash(&dataset.root)) "; " (counts(dataset.counts.as_ref()))
            },
        ));
    }
    for scan in &answer.scans {
        let tool = scan.detector.clone().unwrap_or_default();
        pairs.push((
            "Scanned",
            html! {
                (tool.name) "@" (tool.version) ": " (scan.scanned) " of " (scan.examples) " examples, " (scan.flagged) " flagged"
            },
        ));
    }
    if let Some(policy) = &answer.policy {
        pairs.push((
            "Policy in force",
            html! { a href=(ask.link("/policy")) { "version " (policy.version) } ", adopted " (at(ask, policy.position)) },
        ));
    }
    if answer.challenger != 0 {
        let model = answer.promotion.as_ref().map_or("", |promotion| promotion.model.as_str());
        pairs.push(("Challenger beside it", link(ask, model, answer.challenger)));
    }
    for erasure in &answer.erasures {
        pairs.push(("Erased from its data", html! {
            (erasure.members) " members " (at(ask, erasure.erasure)) ": the run can’t be repeated; "
            @match &erasure.decision {
                Some(row) => {
                    (attestune_ledger::draft::plain(row.decision().as_str_name(), "ERASURE_DECISION_")) ", decided by "
                    (signed(ask, row.signer.as_ref()))
                }
                None => span.bad { "✗ nothing is decided on it yet" },
            }
        }));
    }
    html! {
        (facts(pairs))
        (approvals(ask, &answer.approvals))
        @for evaluation in &answer.evaluations { (evaluated(ask, evaluation)) }
        (leakage(ask, &answer.leakage))
        (hurdles(&answer.hurdles))
        (after(ask, &answer.after))
    }
}

/// What the rules held the promotion against.
fn hurdles(hurdles: &[pb::Hurdle]) -> Markup {
    let rows = hurdles.iter().map(|hurdle| vec![html! { code { (hurdle.code) } }, shown(&hurdle.text)]);
    table("What would have held it back", &["Refusal", "What, and how it was"], rows.collect(), "Nothing is known.")
}

/// What came later, whatever the page's moment.
fn after(ask: &Ask, events: &[pb::HistoryEvent]) -> Markup {
    let rows = events.iter().map(|event| {
        let link = html! { a.position href={ "/events/" (event.position) } { "@" (event.position) } };
        vec![link, time(event.time_ms), actor(ask, &event.actor), shown(&event.summary)]
    });
    let title = match events.len() {
        AFTER_MAX => format!("What came after this moment, the newest {AFTER_MAX} (the timeline has all)"),
        _ => "What came after this moment".into(),
    };
    table(&title, &["Event", "Time (UTC)", "Who", "What"], rows.collect(), "Nothing came after it.")
}

fn reproduced(run: &pb::RunRow) -> String {
    match run.reproductions {
        0 => "not repeated".into(),
        times => {
            let class = attestune_ledger::draft::plain(run.reproduction().as_str_name(), "REPRODUCTION_");
            format!("repeated {times} times, the weakest result: {}", class.replace('-', " "))
        }
    }
}

/// What became of the examples of a dataset's collections.
pub fn counts(counts: Option<&pb::DatasetCounts>) -> String {
    let c = counts.copied().unwrap_or_default();
    format!(
        "of {} examples {} flagged, {} reviewed, {} redacted, {} rejected, {} excluded by quality",
        c.examples, c.flagged, c.reviewed, c.redacted, c.rejected, c.excluded_by_quality
    )
}

/// Approvals as 21 CFR 11.50 asks: printed name, date and time, meaning.
fn approvals(ask: &Ask, approvals: &[pb::ApprovalRecord]) -> Markup {
    let rows = approvals.iter().map(|approval| {
        vec![
            html! { (shown(&approval.printed_name)) " (" (actor(ask, &approval.actor)) ")" },
            html! { (time(approval.time_ms)) },
            html! { (words::meaning(approval.meaning())) @if approval.late { ", " span.bad { "✗ late" } } },
            html! { (at(ask, approval.position)) @if approval.affected { " " span.bad { "✗ the key was revoked later" } } },
        ]
    });
    let heads = ["Printed name", "Date and time (UTC)", "Meaning", "Signature"];
    table("Approvals", &heads, rows.collect(), "No approvals stand with it.")
}

/// An evaluation with its suite and results.
pub fn evaluated(ask: &Ask, provenance: &pb::EvaluationProvenance) -> Markup {
    let evaluation = provenance.evaluation.clone().unwrap_or_default();
    let suite = provenance.suite.clone().unwrap_or_default();
    html! {
        section.evaluation aria-label={ "Evaluation " (evaluation.position) } {
            p {
                a href=(ask.link(&format!("/evaluations/{}", evaluation.position))) { "Evaluation @" (evaluation.position) }
                ": " (words::work(evaluation.status())) ", attempt " (provenance.attempts) ". Bar fixed "
                (at(ask, suite.position)) ", evaluated " @if evaluation.ended_at != 0 { (at(ask, evaluation.ended_at)) }
                @else { "not yet" } " by " (signed(ask, evaluation.completed_by.as_ref())) "."
            }
            @if !provenance.verdicts.is_empty() { (words::verdicts(provenance)) }
        }
    }
}

fn made(ask: &Ask, found: &pb::ModelVersion, row: &pb::VersionRow) -> Markup {
    let mut pairs = vec![("Adapter", html! { (hash(&row.adapter_digest)) " registered " (at(ask, row.position)) })];
    if let Some(base) = &found.base {
        pairs.push((
            "Base model",
            html! {
                (base.base) " " (at(ask, base.position)) ", from " (base.origin) ", licence " (base.licence)
                ", weights " (hash(&base.weights_digest))
            },
        ));
    }
    match &found.run {
        Some(run) => pairs.push(("Run", html! {
            a href=(ask.link(&format!("/runs/{}", run.position))) { "run " (run.position) } ": " (words::work(run.status()))
            ", requested by " (signed(ask, run.requested_by.as_ref())) ", trained by " (run.claimed_by.join(", "))
            "; " (reproduced(run))
        })),
        None => pairs.push(("Trained", html! { "elsewhere: leakage can’t be checked" })),
    }
    if let Some(done) = &found.completed {
        pairs.push((
            "Result",
            html! {
                (done.steps) " steps, " (done.tokens) " tokens, final loss " (micro(done.final_loss_micro)) ", "
                (super::text::duration(done.duration_ms))
            },
        ));
    }
    html! { section aria-label="How it was made" { h2 { "How it was made" } (facts(pairs)) } }
}

fn data(ask: &Ask, found: &pb::ModelVersion) -> Markup {
    let Some(dataset) = &found.dataset else { return Markup::default() };
    let rows = found.batches.iter().map(|batch| {
        let (documents, examples) =
            (batch.documents.clone().unwrap_or_default(), batch.examples.clone().unwrap_or_default());
        vec![
            html! { a href=(ask.link(&format!("/batches/{}", examples.position))) { "batch " (examples.position) } },
            html! { (batch.members.len()) " of " (examples.count) },
            html! { @for scan in &batch.scans {
                @let tool = scan.detector.clone().unwrap_or_default();
                (tool.name) "@" (tool.version) " " (at(ask, scan.position)) ": " (scan.flagged) " flagged "
            } },
            html! { @for review in &batch.reviews {
                (review.decisions.len()) " by " (signed(ask, review.signer.as_ref())) " "
            } @if batch.reviews.is_empty() { "—" } },
            html! { a href=(ask.link(&format!("/batches/{}", documents.position))) { (documents.count) " documents of "
            (documents.collection) } " by " (actor(ask, &documents.actor)) },
        ]
    });
    let heads = ["Examples", "#Members", "Scanned", "Reviewed", "From"];
    html! {
        section aria-label="Its data" {
            h2 { "Its data" }
            p {
                a href=(ask.link(&format!("/datasets/{}", dataset.position))) { (dataset.dataset) "@" (dataset.number) }
                " frozen by " (signed(ask, dataset.signer.as_ref())) ": " (dataset.count) " members; "
                (counts(dataset.counts.as_ref())) "."
            }
            (table("Batches of its dataset", &heads, rows.collect(), "The dataset has no members."))
        }
    }
}

fn leakage(ask: &Ask, leakage: &[pb::LeakageProvenance]) -> Markup {
    let rows = leakage.iter().map(|pair| {
        let found = pair.leakage.clone().unwrap_or_default();
        vec![
            html! { a href=(ask.link(&format!("/suites/{}", pair.suite))) { "suite @" (pair.suite) } },
            html! { @if pair.leakage.is_none() { "not looked for yet" } @else { (found.exact) " exact, " (found.near) " near" } },
            html! { (found.cases) },
            signed(ask, found.signer.as_ref()),
        ]
    });
    let rows: Vec<_> = rows.collect();
    html! { @if !rows.is_empty() {
        (table("Cases of the suites in the training set", &["Suite", "Found", "#Cases", "By"], rows, ""))
    } }
}

fn promotions(ask: &Ask, promotions: &[pb::PromotionRow]) -> Markup {
    let rows = promotions.iter().map(|promotion| {
        vec![
            html! { a href=(ask.link(&format!("/promotions/{}", promotion.position))) { "@" (promotion.position) } },
            html! { (words::stage(promotion.to())) },
            words::promotion(promotion.status()),
            html! { (promotion.approvals.len()) " of " (promotion.approvals_needed) },
            signed(ask, promotion.requested_by.as_ref()),
        ]
    });
    let heads = ["Promotion", "To", "Status", "#Approvals", "Requested by"];
    html! { h2 { "Promotions" } (table("Promotions", &heads, rows.collect(), "Nobody had asked for one by then.")) }
}

fn people(ask: &Ask, actors: &[pb::ActorRow]) -> Markup {
    let rows = actors.iter().map(|row| {
        let roles: Vec<_> = row.roles().map(words::role).collect();
        vec![actor(ask, &row.actor), shown(&row.printed_name), html! { (roles.join(", ")) }]
    });
    let heads = ["Actor", "Printed name", "Roles then"];
    html! { h2 { "Who took part" } (table("Who took part", &heads, rows.collect(), "Nobody is known.")) }
}
