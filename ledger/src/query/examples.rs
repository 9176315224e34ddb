//! Examples and the members of datasets.

use crate::rules::eligibility::{self, Example};
use crate::rules::policy;
use crate::state::View;
use attestune_proto::v1::{DatasetRow, ExampleStatus};
#[cfg(feature = "store")]
use {
    super::{QueryError, answer, not_found},
    crate::replica::StoreView,
    crate::rules::{bit, coverage},
    crate::state::{Datasets, ErasedExamples, Examples},
    attestune_proto::v1::{
        ExampleInfo, ExampleRef, Finding, ListExamplesRequest, ListExamplesResponse, ListMembersResponse, Member,
        PrepareDatasetResponse, Sealed, event::Body,
    },
    std::collections::BTreeMap,
};

/// Examples of a collection, or of one batch, with what is known of each.
///
/// # Errors
/// If the state can't be read.
#[cfg(feature = "store")]
pub fn list_examples(view: &StoreView, request: &ListExamplesRequest) -> Result<ListExamplesResponse, QueryError> {
    let view = view.view();
    let policy = policy::in_force(&view);
    let mut found = Vec::new();
    let batches = match request.batch {
        0 => eligibility::batches(&view, std::slice::from_ref(&request.collection)),
        batch => view.get(&Examples::key(batch)).into_iter().collect(),
    };
    for batch in batches {
        let mut examples = eligibility::batch(&view, &view, &policy, &batch);
        if request.awaiting_review {
            examples.retain(|e| e.status == ExampleStatus::AwaitingReview);
        }
        if examples.is_empty() {
            continue;
        }
        let mut findings = findings(&view, batch.position);
        found.extend(examples.into_iter().map(|e| {
            let Found { spans, noted } = findings.remove(&e.index).unwrap_or_default();
            ExampleInfo {
                findings: spans,
                noted,
                status: e.status as i32,
                redacted: e.redacted,
                example: Some(ExampleRef { batch: e.batch, index: e.index }),
                content: Some(Sealed { pack: e.pack, commitment: e.commitment }),
            }
        }));
    }
    answer(&view, ListExamplesResponse { examples: found })
}

/// What scans found in an example, and which of it, by number, they only note.
#[cfg(feature = "store")]
#[derive(Default)]
struct Found {
    spans: Vec<Finding>,
    noted: Vec<u32>,
}

/// What every scan of a batch found, by index.
#[cfg(feature = "store")]
fn findings(view: &View<'_>, batch: u64) -> BTreeMap<u32, Found> {
    let mut found: BTreeMap<u32, Found> = BTreeMap::new();
    for scan in view.scan(&crate::state::Scans::under(batch)) {
        let position = scan.signer.map_or(0, |s| s.position);
        let Some(Body::ExamplesScanned(body)) = view.body(position) else { continue };
        for example in &body.findings {
            let of = found.entry(example.index).or_default();
            for span in &example.spans {
                if !coverage::flags(&body, span) {
                    of.noted.push(of.spans.len() as u32);
                }
                of.spans.push(span.clone());
            }
        }
    }
    found
}

/// What a DatasetFrozen of these collections must name now.
///
/// # Errors
/// If the state can't be read.
#[cfg(feature = "store")]
pub fn prepare_dataset(view: &StoreView, collections: &[String]) -> Result<PrepareDatasetResponse, QueryError> {
    let at = view.size().saturating_sub(1);
    let view = view.view();
    let mut collections = collections.to_vec();
    collections.sort_unstable();
    collections.dedup();
    let policy = policy::in_force(&view);
    let all = eligibility::examples(&view, &view, &policy, &collections);
    let (root, count) = eligibility::members_root(all.iter().filter(|e| e.status == ExampleStatus::Eligible));
    let with = |status| all.iter().filter(|e| e.status == status).count() as u64;
    let response = PrepareDatasetResponse {
        at,
        root: root.0.to_vec(),
        count,
        counts: Some(crate::rules::tally(&all)),
        unchecked: with(ExampleStatus::Unchecked),
        awaiting_review: with(ExampleStatus::AwaitingReview),
    };
    answer(&view, response)
}

/// The members of a frozen dataset, derived again from the versioned tables.
///
/// # Errors
/// If there is no such dataset, or the state can't be read.
#[cfg(feature = "store")]
pub fn list_members(view: &StoreView, dataset: u64) -> Result<ListMembersResponse, QueryError> {
    let view = view.view();
    let row = view.get(&Datasets::key(dataset)).ok_or_else(|| not_found("dataset at position", dataset))?;
    let mut erased = (0, Vec::new());
    let members = members_of(&view, &row).into_iter().map(|e| {
        if erased.0 != e.batch {
            erased = (e.batch, view.get(&ErasedExamples::key(e.batch)).unwrap_or_default().erased);
        }
        Member {
            example: Some(ExampleRef { batch: e.batch, index: e.index }),
            content: Some(Sealed { pack: e.pack, commitment: e.commitment }),
            erased: bit(&erased.1, e.index),
        }
    });
    let response = ListMembersResponse { members: members.collect() };
    answer(&view, response)
}

/// The members as the fold computed them: the data as of the position named, judged as of the freeze.
pub fn members_of(view: &View<'_>, dataset: &DatasetRow) -> Vec<Example> {
    let then = view.as_of(dataset.at + 1);
    let judge = view.as_of(dataset.position);
    let policy = policy::in_force(&judge);
    let mut all = eligibility::examples(&then, &judge, &policy, &dataset.collections);
    view.absorb(&then);
    view.absorb(&judge);
    all.retain(|e| e.status == ExampleStatus::Eligible);
    all
}
