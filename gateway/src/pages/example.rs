//! An example and a document: what is known of it, and its text, once that the read is on the record.

use super::ask::Ask;
use super::data::infos;
use super::error::PageError;
use super::layout::{self, facts, table};
use super::text::{Mark, at, hash, marked, percent, shown};
use super::words;
use crate::access::blocking;
use crate::convert::query_failed;
use crate::services::Services;
use attestune_ledger::query;
use attestune_ledger::state::Evaluations;
use attestune_proto::v1 as pb;
use axum::extract::Path;
use axum::response::Html;
use maud::{Markup, html};
use pb::content_server::Content as _;
use serde_json::Value;
use tonic::Status;

/// The page of an example, without its text.
pub async fn page(ask: Ask, Path((batch, index)): Path<(u64, u32)>) -> Result<Html<String>, PageError> {
    let example = Example::find(&ask, batch, index).await?;
    Ok(example.page(&ask, to_open(&ask)))
}

/// The same with its text: the read is recorded first.
pub async fn opened(ask: Ask, Path((batch, index)): Path<(u64, u32)>) -> Result<Html<String>, PageError> {
    let example = Example::find(&ask, batch, index).await?;
    let sealed = example.info.content.clone().unwrap_or_default();
    let text = open(&ask, vec![sealed]).await?.remove(0);
    let findings: &[pb::Finding] = if example.info.redacted { &[] } else { &example.info.findings };
    let part = html! {
        (on_record(&ask))
        @match fields(&text) {
            Some((prompt, answer)) => { (in_two(&prompt, &answer, findings)) }
            None => pre.text { (shown(&String::from_utf8_lossy(&text))) },
        }
    };
    Ok(example.page(&ask, part))
}

/// The commitments to the texts that the address of an example, a document or an evaluation names, if there are any.
pub async fn commitments_at(services: &Services, path: &str) -> Result<Vec<Vec<u8>>, Status> {
    let parts: Vec<&str> = path.split('/').collect();
    if let [_, "evaluations", position] = parts[..] {
        return transcripts_at(services, position).await;
    }
    let [_, section @ ("examples" | "documents"), batch, index] = parts[..] else { return Ok(Vec::new()) };
    let (Ok(batch), Ok(index)) = (batch.parse(), index.parse::<usize>()) else { return Ok(Vec::new()) };
    let (view, of_examples) = (services.gateway.replica.view(), section == "examples");
    blocking(move || {
        let body = query::event_of(&view, batch).map_err(query_failed)?.and_then(|event| event.body);
        let found = match body {
            Some(pb::event::Body::ExamplesDerived(body)) if of_examples => body.commitments.get(index).cloned(),
            Some(pb::event::Body::DocumentsIngested(body)) if !of_examples => body.commitments.get(index).cloned(),
            _ => None,
        };
        Ok(found.into_iter().collect())
    })
    .await
}

/// The commitments to an evaluation's transcripts, as far as they are in the vault.
async fn transcripts_at(services: &Services, position: &str) -> Result<Vec<Vec<u8>>, Status> {
    let Ok(position) = position.parse::<u64>() else { return Ok(Vec::new()) };
    let view = services.gateway.replica.view();
    let read = move || {
        let view = view.view();
        let row = view.get(&Evaluations::key(position));
        view.failure().map_or(Ok(row), |failure| Err(query_failed(failure.into())))
    };
    let pack = blocking(read).await?.map(|row| row.pack).filter(|pack| !pack.is_empty());
    match (pack, &services.gateway.vault) {
        (Some(pack), Some(vault)) => Ok(vault.commitments(&pack).await.unwrap_or_default()),
        _ => Ok(Vec::new()),
    }
}

/// Opens sealed texts, as many as were asked for. For a person the read is recorded first.
pub async fn open(ask: &Ask, contents: Vec<pb::Sealed>) -> Result<Vec<Vec<u8>>, PageError> {
    let asked = contents.len();
    let request = pb::OpenRequest { contents, ..Default::default() };
    let opened = ask.services.open(ask.request(request)).await?.into_inner().contents;
    if opened.len() != asked || asked == 0 {
        return Err(PageError::Missing("The vault gave back another number of texts than asked for.".into()));
    }
    Ok(opened)
}

/// The form that shows the text; it needs no script.
pub fn to_open(ask: &Ask) -> Markup {
    html! {
        form.open method="post" action=(ask.link(&ask.path)) {
            button { "Show the text" }
            " Reading it is recorded first, with your name, for good."
        }
    }
}

/// That a read was recorded.
pub fn on_record(ask: &Ask) -> Markup {
    html! { p.recorded role="status" { "✓ This read is on the record, under " (shown(&ask.reader.printed_name)) "." } }
}

/// Prompt and answer of an example's text, if it is what `derive` writes.
fn fields(text: &[u8]) -> Option<(String, String)> {
    let value: Value = serde_json::from_slice(text).ok()?;
    let field = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    Some((field("prompt")?, field("answer")?))
}

/// Prompt and answer, with the findings marked: they count in prompt, newline, answer.
pub fn in_two(prompt: &str, answer: &str, findings: &[pb::Finding]) -> Markup {
    let answer_at = prompt.chars().count() as u32 + 1;
    let of = |text: &str, offset: u32| -> Vec<Mark<'_>> {
        let length = text.chars().count() as u32;
        let within = findings.iter().filter(|f| f.end > offset && f.start < offset + length);
        let mark = |f| mark(f, offset);
        within.map(mark).collect()
    };
    html! {
        dl.text {
            div { dt { "Prompt" } dd { pre.text { (marked(prompt, &of(prompt, 0))) } } }
            div { dt { "Answer" } dd { pre.text { (marked(answer, &of(answer, answer_at))) } } }
        }
    }
}

fn mark(finding: &pb::Finding, offset: u32) -> Mark<'_> {
    Mark {
        start: finding.start.saturating_sub(offset),
        end: finding.end.saturating_sub(offset),
        entity: &finding.entity,
        score_ppm: finding.score_ppm,
    }
}

struct Example {
    batch: u64,
    index: u32,
    info: pb::ExampleInfo,
    documents: u64,
    row: u32,
}

impl Example {
    async fn find(ask: &Ask, batch: u64, index: u32) -> Result<Self, PageError> {
        let missing = || PageError::Missing(format!("There was no example {batch}/{index} by then."));
        let event = ask.event(batch).await?.and_then(|event| event.event).ok_or_else(missing)?;
        let Some(pb::event::Body::ExamplesDerived(body)) = event.body else { return Err(missing()) };
        let infos = infos(ask, batch).await?;
        let is_it = |info: &pb::ExampleInfo| info.example.is_some_and(|example| example.index == index);
        let info = infos.into_iter().find(is_it).ok_or_else(missing)?;
        let row = body.rows.get(index as usize).copied().ok_or_else(missing)?;
        Ok(Self { batch, index, info, documents: body.documents, row })
    }

    fn page(&self, ask: &Ask, text: Markup) -> Html<String> {
        let (batch, index, documents, row) = (self.batch, self.index, self.documents, self.row);
        let commitment = self.info.content.clone().unwrap_or_default().commitment;
        let rows = self.info.findings.iter().map(|finding| {
            vec![
                html! { (finding.entity) },
                html! { (finding.start) "–" (finding.end) },
                html! { (percent(finding.score_ppm)) },
            ]
        });
        let pairs = vec![
            ("Status", html! { (words::example(self.info.status())) @if self.info.redacted { ", redacted" } }),
            (
                "From",
                html! { a href=(ask.link(&format!("/documents/{documents}/{row}"))) { "document " (documents) "/" (row) } },
            ),
            (
                "Batch",
                html! { a href=(ask.link(&format!("/batches/{batch}"))) { "batch " (batch) } " " (at(ask, batch)) },
            ),
            ("Commitment", hash(&commitment)),
        ];
        let body = html! {
            (facts(pairs))
            section aria-label="Its text" { h2 { "Its text" } (text) }
            (table("Findings in the text as it was scanned, by code points", &["Entity", "#Span", "#Score"], rows.collect(), "No detector found anything."))
        };
        layout::page(ask, &format!("Example {batch}/{index}"), body)
    }
}

/// The page of a document, without its text.
pub async fn document(ask: Ask, Path((batch, index)): Path<(u64, u32)>) -> Result<Html<String>, PageError> {
    let (body, actor) = ingested(&ask, batch).await?;
    document_page(&ask, batch, index, &body, &actor, to_open(&ask))
}

/// The same with its text: the read is recorded first.
pub async fn document_opened(ask: Ask, Path((batch, index)): Path<(u64, u32)>) -> Result<Html<String>, PageError> {
    let (body, actor) = ingested(&ask, batch).await?;
    let commitment = commitment(&body, batch, index)?;
    let text = open(&ask, vec![pb::Sealed { pack: body.pack.clone(), commitment }]).await?.remove(0);
    let part = html! {
        (on_record(&ask))
        @match serde_json::from_slice::<Value>(&text) {
            Ok(Value::Object(columns)) => dl.text { @for (name, value) in &columns {
                div { dt { (shown(name)) } dd { pre.text { (shown(value.as_str().unwrap_or(&value.to_string()))) } } }
            } },
            _ => pre.text { (shown(&String::from_utf8_lossy(&text))) },
        }
    };
    document_page(&ask, batch, index, &body, &actor, part)
}

async fn ingested(ask: &Ask, batch: u64) -> Result<(pb::DocumentsIngested, String), PageError> {
    let event = ask.event(batch).await?.and_then(|event| event.event);
    match event.map(|event| (event.body, event.actor)) {
        Some((Some(pb::event::Body::DocumentsIngested(body)), actor)) => Ok((body, actor)),
        _ => Err(PageError::Missing(format!("No documents had come at position {batch} by then."))),
    }
}

fn commitment(body: &pb::DocumentsIngested, batch: u64, index: u32) -> Result<Vec<u8>, PageError> {
    let missing = || PageError::Missing(format!("There is no document {batch}/{index}."));
    body.commitments.get(index as usize).cloned().ok_or_else(missing)
}

fn document_page(
    ask: &Ask,
    batch: u64,
    index: u32,
    body: &pb::DocumentsIngested,
    actor: &str,
    text: Markup,
) -> Result<Html<String>, PageError> {
    let pairs = vec![
        (
            "Source",
            html! { "row " (index) " of the documents ingested " (at(ask, batch)) " by " (super::text::actor(ask, actor)) },
        ),
        ("Collection", html! { a href=(ask.link(&format!("/collections/{}", body.collection))) { (body.collection) } }),
        ("Commitment", hash(&commitment(body, batch, index)?)),
    ];
    let content = html! {
        (facts(pairs))
        p { a href=(ask.link(&format!("/lineage/{batch}"))) { "What was made from its batch" } }
        section aria-label="Its text" { h2 { "Its text" } (text) }
    };
    Ok(layout::page(ask, &format!("Document {batch}/{index}"), content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_marked_in_the_field_they_stand_in_and_one_across_both_in_both() {
        let finding = |entity: &str, start, end| pb::Finding { entity: entity.into(), start, end, score_ppm: 500_000 };
        let page = in_two("a@b.c x", "yz", &[finding("email", 0, 5), finding("name", 6, 9)]).into_string();
        assert!(page.contains("<mark title=\"found: email, 50 %\">a@b.c"), "{page}");
        assert!(page.contains("<mark title=\"found: name, 50 %\">x<"), "{page}");
        assert!(page.contains("<mark title=\"found: name, 50 %\">y<"), "{page}");
        assert_eq!(fields(br#"{"prompt":"p","answer":"a"}"#), Some(("p".into(), "a".into())));
        assert_eq!(fields(b"no json"), None);
    }
}
