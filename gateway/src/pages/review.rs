//! The review desk: what waits for a person, how far people agree, and examples to be decided on, by keyboard.
//!
//! The script claims what it takes, collects decisions, and signs them together; the rules judge each.

use super::act::{answer, failed};
use super::ask::{Ask, parse};
use super::error::PageError;
use super::example::{in_two, on_record};
use super::layout::{self, facts, table};
use super::session;
use super::text::{actor, percent, time};
use crate::access::{blocking, reader};
use crate::convert::query_failed;
use crate::reason::{Reason, status};
use crate::services::Services;
use attestune_ledger::draft::plain;
use attestune_ledger::log::{Clock as _, SystemClock};
use attestune_ledger::state::Examples;
use attestune_proto::v1 as pb;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{Html, Response};
use http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use pb::content_server::Content as _;
use pb::review_server::Review as _;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tonic::Status;

/// Batches that a page looks through unless a collection is named.
const BATCHES: usize = 500;
/// Examples taken at once where nobody says how many.
const TAKE: u32 = 20;
/// Most taken at once: what one signature over their decisions can hold.
const TAKE_MAX: u32 = 50;
/// A claim that ends sooner than this is made anew.
const CLAIM_LEFT_MS: u64 = 10 * 60_000;

/// What waits, and the way to the desk.
pub async fn index(ask: Ask) -> Result<Html<String>, PageError> {
    let collection = ask.query("collection").to_owned();
    if collection.is_empty() && many(&ask).await? {
        let body = html! {
            p.lead { "There are more than " (BATCHES) " batches of examples. Name a collection to see what waits in it." }
            form.filters method="get" action="/review" {
                label { "Collection " input type="text" name="collection" maxlength="64" required; }
                " " button { "Show" }
            }
            p { "Over all of them " code { "attestune report pii" } " and " code { "attestune review queue" } " answer; that takes a while." }
        };
        return Ok(layout::page(&ask, "Review", body));
    }
    let request = pb::ReviewReportRequest { collection, now_ms: 0, as_of: ask.moment.as_of() };
    let report = ask.services.report(ask.request(request)).await?.into_inner();
    let counts = report.counts.clone().unwrap_or_default();
    let body = html! {
        p.lead { strong { (counts.waiting) } " wait" @if counts.overdue > 0 { ", " span.bad { "✗ " (counts.overdue) " are late" } } "." }
        (facts(vec![
            ("Claimed", html! { (counts.claimed) }),
            ("Assigned", html! { (counts.assigned) }),
            ("For a second person", html! { (counts.second) ", disputed " (counts.disputed) }),
            ("Not scanned yet", html! { (counts.unchecked) }),
            ("Waiting longest", html! { @if counts.oldest_ms == 0 { "—" } @else { "since " (time(counts.oldest_ms)) " UTC" } }),
        ]))
        (start(&ask))
        (loads(&ask, &counts))
        (agreement(&ask, &report))
    };
    Ok(layout::page(&ask, "Review", body))
}

/// Whether there are more batches than a page looks through.
async fn many(ask: &Ask) -> Result<bool, PageError> {
    let view = ask.services.gateway.replica.view();
    let most = BATCHES + 1;
    let newest = move || view.newest_rows(&Examples::all(), u64::MAX, most, |_| true).map(|rows| rows.len());
    let found = blocking(move || newest().map_err(|failure| query_failed(failure.into()))).await?;
    Ok(found > BATCHES)
}

fn start(ask: &Ask) -> Markup {
    html! {
        noscript { p { "Deciding here needs script; " code { "attestune review" } " decides in a terminal." } }
        form.take hidden method="post" action="/review/desk" {
            label { "Collection " input type="text" name="collection" value=(ask.query("collection")) maxlength="64" placeholder="all"; }
            " " label { "Take " input.short type="number" name="take" min="1" max=(TAKE_MAX) value=(TAKE); }
            " " button { "Take the next, and read them" }
            p { "They are claimed for you, and reading them is recorded first." }
            p.status role="alert" {}
        }
    }
}

fn loads(ask: &Ask, counts: &pb::ReviewCounts) -> Markup {
    let rows = counts.reviewers.iter().map(|load| {
        vec![
            actor(ask, &load.reviewer),
            html! { (load.decided) },
            html! { (load.claimed) },
            html! { (load.assigned) },
            html! { (load.overdue) },
        ]
    });
    let heads = ["Reviewer", "#Decided", "#Claimed", "#Assigned", "#Late"];
    table("Who has what", &heads, rows.collect(), "Nobody has decided on anything yet.")
}

/// How right detectors were by what people decided, and how far people agree.
fn agreement(ask: &Ask, report: &pb::ReviewReport) -> Markup {
    let pairs = report.pairs.iter().map(|pair| {
        let of = pair.agreement.unwrap_or_default();
        vec![
            html! { (actor(ask, &pair.one)) " and " (actor(ask, &pair.other)) },
            html! { (of.agreed) " of " (of.compared) },
            html! { (kappa(of.kappa_ppm)) },
        ]
    });
    let detectors = report.detectors.iter().flat_map(|detector| {
        let tool = detector.detector.clone().unwrap_or_default();
        detector.entities.iter().map(move |entity| {
            vec![
                html! { (tool.name) "@" (tool.version) },
                html! { (entity.entity) },
                html! { (entity.found) },
                html! { (entity.right) },
                html! { (entity.wrong) },
                html! { (entity.precision_ppm.map_or("—".into(), percent)) },
            ]
        })
    });
    let heads = ["Detector", "Entity", "#Found", "#Personal data", "#None", "#Precision"];
    html! {
        (table("Agreement of two persons on the same example: Cohen’s kappa, 1 for always, 0 for chance",
            &["Pair", "#Agreed", "#Kappa"], pairs.collect(), "No two persons have decided on the same example."))
        (table("What detectors found, and what people made of it", &heads, detectors.collect(), "Nothing was found yet."))
    }
}

fn kappa(ppm: Option<i32>) -> String {
    let Some(ppm) = ppm else { return "no value".into() };
    let sign = if ppm < 0 { "−" } else { "" };
    let size = ppm.unsigned_abs();
    format!("{sign}{}.{:03}", size / 1_000_000, size % 1_000_000 / 1000)
}

/// Somebody who is signed in, for what a script asks.
fn signed_in<T>(headers: &HeaderMap, ledger: &[u8], message: T) -> tonic::Request<T> {
    session::carrying(&session::token_of(headers, ledger).unwrap_or_default(), message)
}

/// What to claim next, by batch: what waits for the asker and is not the asker's yet.
pub async fn next(State(services): State<Services>, headers: HeaderMap, body: String) -> Response {
    match to_claim(&services, &headers, &body).await {
        Ok(value) => answer(StatusCode::OK, &value),
        Err(status) => failed(&status),
    }
}

async fn to_claim(services: &Services, headers: &HeaderMap, body: &str) -> Result<Value, Status> {
    let ledger = session::ledger_of(services).await?;
    let request = signed_in(headers, &ledger, queue(body, pb::ReviewQueueView::Next, false));
    let me = reader(&services.gateway, &request)?.actor.actor;
    let items = services.queue(request).await?.into_inner().items;
    let now_ms = SystemClock.now_ms();
    let mine = |item: &pb::ReviewItem| item.claimed_by == me && item.claim_expires_ms > now_ms + CLAIM_LEFT_MS;
    let mut batches: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for item in items.iter().filter(|item| !mine(item)) {
        let at = at(item);
        batches.entry(at.batch).or_default().push(at.index);
    }
    let claims = batches.into_iter().map(|(batch, mut indices)| {
        indices.sort_unstable();
        json!({ "batch": batch, "indices": indices })
    });
    Ok(json!({ "claims": claims.collect::<Vec<_>>() }))
}

fn queue(body: &str, view: pb::ReviewQueueView, texts: bool) -> pb::ReviewQueueRequest {
    let fields = parse(body);
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim());
    let limit = field("take").parse().unwrap_or(TAKE).clamp(1, TAKE_MAX);
    pb::ReviewQueueRequest {
        collection: field("collection").into(),
        limit,
        view: view.into(),
        now_ms: 0,
        texts,
        after: None,
    }
}

fn at(item: &pb::ReviewItem) -> pb::ExampleRef {
    item.example.as_ref().and_then(|info| info.example).unwrap_or_default()
}

/// The desk: what the asker has claimed, with its texts, once the read is on the record.
pub async fn desk(ask: Ask, body: String) -> Result<Html<String>, PageError> {
    let request = ask.request(queue(&body, pb::ReviewQueueView::Claimed, true));
    let found = ask.services.queue(request).await?.into_inner();
    let rules = found.rules.unwrap_or_default();
    let content = html! {
        @if found.items.is_empty() {
            p.empty { "Nothing waits for you." }
        } @else {
            (on_record(&ask))
            (keys())
            div.desk data-desk {
                @for (number, item) in found.items.iter().enumerate() { (article(number, item, &rules)) }
                form.sign-all hidden {
                    p { output.tally { "0 of " (found.items.len()) " decided" } }
                    button { "Sign all decisions " kbd { "s" } }
                    p.status role="alert" {}
                }
            }
        }
        p { a href="/review" { "Back to the queue" } }
    };
    Ok(layout::page(&ask, "Review desk", content))
}

fn keys() -> Markup {
    html! {
        details {
            summary { "Keys" }
            ul {
                li { kbd { "a" } " approve: what was found is invented" }
                li { kbd { "n" } " approve: what was found is no personal data" }
                li { kbd { "r" } " reject: it enters no dataset" }
                li { kbd { "x" } " redact what is ticked; " kbd { "1" } "–" kbd { "9" } " tick or untick; " kbd { "m" } " hide further words" }
                li { kbd { "e" } " another reason" }
                li { kbd { "u" } " take the last decision back" }
                li { kbd { "j" } " " kbd { "k" } " next, previous" }
                li { kbd { "s" } " sign all that is decided, by one signature" }
            }
        }
    }
}

/// A text of an example.
#[derive(Debug, Default, Deserialize)]
struct ExampleText {
    prompt: String,
    answer: String,
}

/// What was found, in the order of the text, and whether it is only noted: that is hidden only where a person says so.
fn findings_of(item: &pb::ReviewItem) -> (Vec<pb::Finding>, Vec<bool>) {
    let Some(info) = &item.example else { return (Vec::new(), Vec::new()) };
    let noted = |number: usize| info.noted.iter().any(|noted| *noted as usize == number);
    let mut found: Vec<_> = info.findings.iter().cloned().enumerate().collect();
    found.sort_by(|(_, one), (_, other)| {
        (one.start, one.end, &one.entity).cmp(&(other.start, other.end, &other.entity))
    });
    found.into_iter().map(|(number, finding)| (finding, noted(number))).unzip()
}

fn article(number: usize, item: &pb::ReviewItem, rules: &pb::ReviewRules) -> Markup {
    let at = at(item);
    let text: ExampleText = serde_json::from_slice(&item.text).unwrap_or_default();
    let (findings, noted) = findings_of(item);
    let spans = findings
        .iter()
        .map(|f| json!({ "entity": f.entity, "start": f.start, "end": f.end, "score_ppm": f.score_ppm }));
    let data = json!({
        "batch": at.batch, "index": at.index, "prompt": text.prompt, "answer": text.answer,
        "findings": spans.collect::<Vec<_>>(), "reasons": reasons(rules),
    });
    let why = plain(item.why().as_str_name(), "REVIEW_WHY_");
    html! {
        article.item tabindex="-1" data-item=(data.to_string()) aria-label={ "Example " (at.batch) "/" (at.index) } {
            h2 { (number + 1) ". " (at.batch) "/" (at.index) " of " (item.collection) }
            p.dim {
                (why) ", waiting since " (time(item.waiting_since_ms)) " UTC"
                @if item.overdue { ", " span.bad { "✗ late" } }
                @if item.round > 1 { ", round " (item.round) ": somebody decided before; what, is not told" }
                @if item.reopen_first { ", " span.bad { "✗ an older decision must be set aside first" } }
            }
            (in_two(&text.prompt, &text.answer, &findings))
            fieldset.hiding {
                legend { "What a redaction hides" }
                @for (number, finding) in findings.iter().enumerate() {
                    label {
                        input type="checkbox" value=(number) checked[!noted[number]]; " " @if number < 9 { kbd { (number + 1) } " " }
                        (finding.entity) " " (finding.start) "–" (finding.end) ", " (percent(finding.score_ppm))
                        @if noted[number] { ", only noted" }
                    }
                }
                label { "Further words " kbd { "m" } " " input.more type="text" autocomplete="off" spellcheck="false"; }
            }
            div.choice hidden {
                button type="button" data-key="a" { "Approve " kbd { "a" } } " "
                button type="button" data-key="n" { "No personal data " kbd { "n" } } " "
                button type="button" data-key="r" { "Reject " kbd { "r" } } " "
                button type="button" data-key="x" { "Redact " kbd { "x" } } " "
                output.decided { "not decided" }
            }
        }
    }
}

/// Reasons that the policy takes with each verdict, by number; a verdict without a row takes every one.
fn reasons(rules: &pb::ReviewRules) -> Value {
    let all: Vec<i32> = (1..).map_while(|number| pb::ReviewReason::try_from(number).ok()).map(|r| r as i32).collect();
    let of = |verdict: pb::ReviewVerdict| {
        let row = rules.reasons.iter().find(|row| row.verdict() == verdict);
        row.map_or_else(|| all.clone(), |row| row.reasons.clone())
    };
    let verdicts = [pb::ReviewVerdict::Approve, pb::ReviewVerdict::Reject, pb::ReviewVerdict::Redact];
    let rows = verdicts.map(|verdict| ((verdict as i32).to_string(), json!(of(verdict))));
    Value::Object(rows.into_iter().collect())
}

/// Texts to be sealed.
#[derive(Debug, Deserialize)]
struct Texts {
    contents: Vec<String>,
}

/// Seals what redactions leave: nothing is on the record by this.
pub async fn seal(State(services): State<Services>, headers: HeaderMap, body: Bytes) -> Response {
    let sealed = async {
        let texts: Texts =
            serde_json::from_slice(&body).map_err(|_| status(Reason::BadRequest, "a list of texts is expected"))?;
        let contents = texts.contents.into_iter().map(String::into_bytes).collect();
        let ledger = session::ledger_of(&services).await?;
        let request = pb::SealRequest { contents, ..Default::default() };
        Ok::<_, Status>(services.seal(signed_in(&headers, &ledger, request)).await?.into_inner())
    };
    match sealed.await {
        Ok(sealed) => {
            let commitments: Vec<_> = sealed.commitments.iter().map(hex::encode).collect();
            answer(StatusCode::OK, &json!({ "pack": hex::encode(sealed.pack), "commitments": commitments }))
        }
        Err(status) => failed(&status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kappa_is_written_with_its_sign() {
        assert_eq!(kappa(Some(400_000)), "0.400");
        assert_eq!(kappa(Some(-1_000_000)), "−1.000");
        assert_eq!(kappa(None), "no value");
    }

    #[test]
    fn a_verdict_without_a_row_takes_every_reason() {
        let row = pb::VerdictReasons { verdict: pb::ReviewVerdict::Reject.into(), reasons: vec![2] };
        let told = reasons(&pb::ReviewRules { reasons: vec![row], ..Default::default() });
        assert_eq!(told["2"], json!([2]));
        assert_eq!(told["1"], json!([1, 2, 3, 4, 5]));
    }
}
