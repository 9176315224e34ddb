//! What a model was asked and answered, case by case, from the vault; the read is recorded first.

use super::ask::Ask;
use super::error::PageError;
use super::evaluations::{find, page};
use super::example::on_record;
use super::text::{judged, shown};
use attestune_ledger::tree::{Frontier, leaf_hash};
use attestune_proto::v1 as pb;
use axum::extract::Path;
use axum::response::Html;
use maud::{Markup, html};
use pb::content_server::Content as _;
use serde::Deserialize;

/// Most cases on a page.
const CASES: usize = 500;

/// A transcript as an evaluator writes it.
#[derive(Debug, Deserialize)]
struct Transcript {
    case_id: String,
    category: String,
    prompt: String,
    output: String,
    passed: bool,
    reason: String,
}

/// An evaluation with its transcripts.
pub async fn opened(ask: Ask, Path(position): Path<u64>) -> Result<Html<String>, PageError> {
    let found = find(&ask, position).await?;
    let row = found.evaluation.clone().unwrap_or_default();
    if row.pack.is_empty() {
        return Err(PageError::Missing("It was not completed by then.".into()));
    }
    let request = pb::OpenRequest { pack: row.pack.clone(), ..Default::default() };
    let opened = ask.services.open(ask.request(request)).await?.into_inner();
    let cases = html! { (on_record(&ask)) (listed(&opened, &row.transcripts_root)) };
    page(&ask, position, &found, cases).await
}

fn listed(opened: &pb::OpenResponse, root: &[u8]) -> Markup {
    let mut tree = Frontier::new();
    opened.commitments.iter().for_each(|commitment| tree.push(leaf_hash(&[commitment])));
    let committed = tree.root().0 == root;
    let transcripts: Vec<Option<Transcript>> =
        opened.contents.iter().map(|bytes| serde_json::from_slice(bytes).ok()).collect();
    html! {
        p { (judged(committed, "These are the transcripts that the log commits to.", "These are not the transcripts that the log commits to: the vault was altered.")) }
        @for transcript in transcripts.iter().take(CASES) {
            @match transcript {
                Some(transcript) => (case(transcript)),
                None => p.bad { "✗ This is not what an evaluator writes." },
            }
        }
        @if transcripts.len() > CASES { p { "The first " (CASES) " of " (transcripts.len()) " cases." } }
    }
}

fn case(transcript: &Transcript) -> Markup {
    html! {
        details.case open[!transcript.passed] {
            summary {
                (judged(transcript.passed, "passed", "failed")) " " (shown(&transcript.case_id)) " (" (shown(&transcript.category)) ")"
            }
            dl.text {
                div { dt { "Prompt" } dd { pre.text { (shown(&transcript.prompt)) } } }
                div { dt { "Answer" } dd { pre.text { (shown(&transcript.output)) } } }
                div { dt { "Why" } dd { (shown(&transcript.reason)) } }
            }
        }
    }
}
