//! Datasets, collections and batches: from a frozen set down to the examples in it.

use super::ask::Ask;
use super::error::PageError;
use super::layout::{self, facts, older, table};
use super::text::{actor, at, hash, signed};
use super::version::counts;
use super::words;
use attestune_ledger::state::Datasets;
use attestune_proto::v1 as pb;
use axum::extract::Path;
use axum::response::Html;
use maud::{Markup, html};
use pb::registry_server::Registry as _;
use std::collections::{BTreeMap, BTreeSet};

/// Most batches of a dataset that its page names.
const BATCHES: u32 = 400;

/// Frozen datasets and collections.
pub async fn index(ask: Ask) -> Result<Html<String>, PageError> {
    let datasets = ask.datasets().await?;
    let rows = datasets.iter().map(|dataset| {
        vec![
            html! { a href=(ask.link(&format!("/datasets/{}", dataset.position))) { (dataset.dataset) "@" (dataset.number) } },
            html! { (dataset.count) },
            html! { @for name in &dataset.collections { (collection_link(&ask, name)) " " } },
            hash(&dataset.root),
            signed(&ask, dataset.signer.as_ref()),
        ]
    });
    let batches = ask.batches("").await?;
    let names: BTreeSet<&str> = batches.documents.iter().map(|row| row.collection.as_str()).collect();
    let ingested = batches.documents.iter().map(|row| {
        vec![
            batch_link(&ask, row.position),
            html! { (row.count) },
            collection_link(&ask, &row.collection),
            actor(&ask, &row.actor),
        ]
    });
    let lists = [
        (datasets.len(), datasets.last().map(|row| row.position)),
        (batches.documents.len(), batches.documents.last().map(|row| row.position)),
    ];
    let heads = ["Dataset", "#Members", "Collections", "Root", "Frozen by"];
    let body = html! {
        (table("Frozen datasets", &heads, rows.collect(), "Nothing had been frozen by then."))
        @if !names.is_empty() {
            p { "Collections among the documents below: " @for name in &names { (collection_link(&ask, name)) " " } }
        }
        (table("Documents, those ingested last first", &["Batch", "#Documents", "Collection", "Ingested by"], ingested.collect(), "Nothing had been ingested by then."))
        (older(&ask, &lists))
    };
    Ok(layout::page(&ask, "Data", body))
}

fn collection_link(ask: &Ask, name: &str) -> Markup {
    html! { a href=(ask.link(&format!("/collections/{name}"))) { (name) } }
}

fn batch_link(ask: &Ask, position: u64) -> Markup {
    html! { a href=(ask.link(&format!("/batches/{position}"))) { "batch " (position) } }
}

/// A frozen dataset.
pub async fn dataset(ask: Ask, Path(position): Path<u64>) -> Result<Html<String>, PageError> {
    let missing = || PageError::Missing(format!("No dataset had been frozen at position {position} by then."));
    let row = ask.row(Datasets::key(position)).await?.ok_or_else(missing)?;
    let sources = ask.lineage(position, pb::Direction::Up, BATCHES).await?;
    let batches = sources.nodes.iter().filter(|node| node.kind() == pb::NodeKind::Examples);
    let rows = batches.map(|node| vec![batch_link(&ask, node.position), html! { (node.label) }]);
    let uses = ask.lineage(position, pb::Direction::Down, BATCHES).await?;
    let runs = uses.nodes.iter().filter(|node| node.kind() == pb::NodeKind::Run);
    let pairs = vec![
        ("Members", html! { (row.count) " under " (hash(&row.root)) ", as of " (at(&ask, row.at)) }),
        ("Frozen by", signed(&ask, row.signer.as_ref())),
        ("Collections", html! { @for name in &row.collections { (collection_link(&ask, name)) " " } }),
        ("What became of them", html! { (counts(row.counts.as_ref())) }),
        ("Contributors", html! { @for name in &row.contributors { (actor(&ask, name)) " " } }),
        (
            "Trained on it",
            html! { @for run in runs {
                a href=(ask.link(&format!("/runs/{}", run.position))) { (run.label) } " "
            } },
        ),
    ];
    let body = html! {
        (facts(pairs))
        p { a href=(ask.link(&format!("/lineage/{position}"))) { "Its lineage, both ways" } }
        (table("Batches with members", &["Batch", "What"], rows.collect(), "It has no members."))
        @if sources.truncated { p { "There are more batches than this page names." } }
    };
    Ok(layout::page(&ask, &format!("{}@{}", row.dataset, row.number), body))
}

/// The batches of a collection.
pub async fn collection(ask: Ask, Path(name): Path<String>) -> Result<Html<String>, PageError> {
    let batches = ask.batches(&name).await?;
    if batches.documents.is_empty() && batches.examples.is_empty() {
        return Err(PageError::Missing(format!("Nothing had been ingested into `{name}` by then.")));
    }
    let examples = batches.examples.iter().map(|row| {
        vec![
            batch_link(&ask, row.position),
            html! { (row.count) },
            html! { "documents " (at(&ask, row.documents)) },
            actor(&ask, &row.actor),
        ]
    });
    let lists = [
        (batches.examples.len(), batches.examples.last().map(|row| row.position)),
        (batches.documents.len(), batches.documents.last().map(|row| row.position)),
    ];
    let documents = batches
        .documents
        .iter()
        .map(|row| vec![batch_link(&ask, row.position), html! { (row.count) }, actor(&ask, &row.actor)]);
    let body = html! {
        (table("Examples", &["Batch", "#Examples", "From", "Derived by"], examples.collect(), "No examples had been derived by then."))
        (table("Documents", &["Batch", "#Documents", "Ingested by"], documents.collect(), "There are no documents."))
        (older(&ask, &lists))
    };
    Ok(layout::page(&ask, &name, body))
}

/// A batch of examples or of documents.
pub async fn batch(ask: Ask, Path(position): Path<u64>) -> Result<Html<String>, PageError> {
    let missing = || PageError::Missing(format!("No batch had come at position {position} by then."));
    let event = ask.event(position).await?.and_then(|event| event.event).ok_or_else(missing)?;
    match event.body {
        Some(pb::event::Body::ExamplesDerived(body)) => examples(&ask, position, &event.actor, &body).await,
        Some(pb::event::Body::DocumentsIngested(body)) => Ok(documents(&ask, position, &event.actor, &body)),
        _ => Err(missing()),
    }
}

/// What is known of the examples of a batch.
pub async fn infos(ask: &Ask, batch: u64) -> Result<Vec<pb::ExampleInfo>, PageError> {
    let request = pb::ListExamplesRequest { batch, as_of: ask.moment.as_of(), ..Default::default() };
    Ok(ask.services.list_examples(ask.request(request)).await?.into_inner().examples)
}

async fn examples(ask: &Ask, position: u64, by: &str, body: &pb::ExamplesDerived) -> Result<Html<String>, PageError> {
    let rows = infos(ask, position).await?.into_iter().map(|info| {
        let index = info.example.unwrap_or_default().index;
        let row = body.rows.get(index as usize).copied().unwrap_or_default();
        vec![
            html! { a href=(ask.link(&format!("/examples/{position}/{index}"))) { (position) "/" (index) } },
            html! { (words::example(info.status())) @if info.redacted { ", redacted" } },
            html! { (found(&info.findings)) },
            html! { a href=(ask.link(&format!("/documents/{}/{row}", body.documents))) { "document " (body.documents) "/" (row) } },
        ]
    });
    let heads = ["Example", "Status", "Found", "From"];
    let content = html! {
        p {
            (body.commitments.len()) " examples, derived by " (actor(ask, by)) " " (at(ask, position)) " from "
            (batch_link(ask, body.documents)) ". "
            a href=(ask.link(&format!("/lineage/{position}"))) { "Its lineage, both ways" }
        }
        (table("Examples", &heads, rows.collect(), "There are none."))
    };
    Ok(layout::page(ask, &format!("Batch {position}"), content))
}

/// What detectors found, by entity.
pub fn found(findings: &[pb::Finding]) -> String {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    findings.iter().for_each(|finding| *counts.entry(&finding.entity).or_default() += 1);
    let parts: Vec<_> = counts
        .iter()
        .map(|(entity, count)| if *count == 1 { (*entity).into() } else { format!("{count} × {entity}") })
        .collect();
    if parts.is_empty() { "—".into() } else { parts.join(", ") }
}

fn documents(ask: &Ask, position: u64, by: &str, body: &pb::DocumentsIngested) -> Html<String> {
    let rows = (0..).zip(&body.commitments).map(|(index, commitment): (u32, _)| {
        vec![
            html! { a href=(ask.link(&format!("/documents/{position}/{index}"))) { (position) "/" (index) } },
            hash(commitment),
        ]
    });
    let content = html! {
        p {
            (body.commitments.len()) " documents of " (collection_link(ask, &body.collection)) ", ingested by "
            (actor(ask, by)) " " (at(ask, position)) ". "
            a href=(ask.link(&format!("/lineage/{position}"))) { "Its lineage, both ways" }
        }
        (table("Documents", &["Document", "Commitment"], rows.collect(), "There are none."))
    };
    layout::page(ask, &format!("Documents {position}"), content)
}
