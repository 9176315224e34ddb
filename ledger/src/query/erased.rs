//! How far an erasure reached: datasets, runs that can't be repeated any more, versions, and what was decided on these.
#![cfg_attr(not(feature = "store"), allow(unused_imports, dead_code))] // then only what the verifier asks is left

use super::{QueryError, answer, not_found};
#[cfg(feature = "store")]
use crate::replica::StoreView;
use crate::rules::closure::{Closure, Named};
use crate::rules::erasure::holds_against;
use crate::rules::policy;
use crate::state::{
    DatasetErasures, Datasets, Documents, ErasedContents, ErasureDecisions, Erasures, Exports, Models, Runs, Uses,
    Versions, View,
};
use attestune_proto::v1::{
    self as pb, BatchIndices, DueItem, DueKind, ErasedContentsRow, ErasureReached, ErasureRow, ErasureStatus,
    ExportRow, FindSubjectResponse, GetErasureResponse, PrepareErasureRequest, PrepareErasureResponse, ReachedDataset,
    ReachedVersion, Sealed, VersionRow, event::Body,
};
use std::collections::{BTreeMap, BTreeSet};

/// An erasure and all that it reached.
///
/// # Errors
/// If there is none, or the state can't be read.
#[cfg(feature = "store")]
pub fn erasure(store: &StoreView, position: u64) -> Result<GetErasureResponse, QueryError> {
    let view = store.view();
    let row = view.get(&Erasures::key(position)).ok_or_else(|| not_found("erasure at position", position))?;
    let reached = view.scan(&DatasetErasures::all()).into_iter().filter(|reached| reached.erasure == position);
    let datasets: Vec<ReachedDataset> = reached
        .map(|reached| ReachedDataset { dataset: view.get(&Datasets::key(reached.dataset)), members: reached.members })
        .collect();
    let mut versions = Vec::new();
    for dataset in datasets.iter().filter_map(|reached| reached.dataset.as_ref()) {
        versions.extend(trained_on(&view, dataset.position).into_iter().map(|version| ReachedVersion {
            in_force: view.get(&Models::key(&version.model)).is_some_and(|m| m.in_force == version.version),
            decision: view.get(&ErasureDecisions::key(position, &version.model, version.version)),
            version: Some(version),
        }));
    }
    let in_effect_ms = match row.in_effect_at {
        0 => 0,
        at => view.fold_time(at).unwrap_or(0),
    };
    let kept_ms = policy::in_force(&view).key_backup_retention_ms;
    let known = in_effect_ms > 0 && kept_ms > 0;
    let response = GetErasureResponse {
        erasure: Some(row),
        in_effect_ms,
        final_ms: if known { in_effect_ms.saturating_add(kept_ms) } else { 0 },
        datasets,
        versions,
        left: None,
        exports: exports(&view, position),
    };
    answer(&view, response)
}

/// Bundles in which a text of an erasure was opened.
fn exports(view: &View<'_>, erasure: u64) -> Vec<ExportRow> {
    let mut exports = view.scan(&Exports::all());
    exports.retain(|export| !export.texts.is_empty());
    if exports.is_empty() {
        return exports;
    }
    let contents = view.scan(&ErasedContents::under(erasure));
    let erased: BTreeSet<&[u8]> = contents.iter().flat_map(|row| &row.commitments).map(Vec::as_slice).collect();
    exports.retain(|export| export.texts.iter().any(|text| erased.contains(text.as_slice())));
    exports
}

/// Versions that were trained on a dataset.
fn trained_on(view: &View<'_>, dataset: u64) -> Vec<VersionRow> {
    let runs = view.scan(&Uses::under(dataset)).into_iter().filter_map(|used| view.get(&Runs::key(used.position)));
    let made = runs.filter(|run| run.dataset == dataset && run.version > 0);
    made.filter_map(|run| view.get(&Versions::key(&run.model, run.version))).collect()
}

/// The erasures that took members out of a version's training set.
pub fn erasures_of(view: &View<'_>, version: &VersionRow) -> Vec<ErasureReached> {
    let Some(run) = version.run.and_then(|run| view.get(&Runs::key(run))) else { return Vec::new() };
    let reached = view.scan(&DatasetErasures::under(run.dataset)).into_iter().map(|row| ErasureReached {
        erasure: row.erasure,
        in_effect_at: view.get(&Erasures::key(row.erasure)).map_or(0, |erasure| erasure.in_effect_at),
        members: row.members,
        decision: view.get(&ErasureDecisions::key(row.erasure, &version.model, version.version)),
    });
    reached.collect()
}

/// Versions that an erasure reached and nobody has decided on.
pub(super) fn undecided(view: &View<'_>) -> Vec<DueItem> {
    let mut items = Vec::new();
    for reached in view.scan(&DatasetErasures::all()) {
        let erasure = view.get(&Erasures::key(reached.erasure)).unwrap_or_default();
        for version in trained_on(view, reached.dataset) {
            let decision = view.get(&ErasureDecisions::key(reached.erasure, &version.model, version.version));
            if decision.is_none() {
                items.push(DueItem {
                    kind: DueKind::ErasureDecision as i32,
                    model: version.model,
                    version: version.version,
                    position: reached.erasure,
                    due_ms: view.fold_time(erasure.in_effect_at).unwrap_or(0),
                    ..Default::default()
                });
            }
        }
    }
    items
}

/// What a SubjectErased of these must name now.
///
/// # Errors
/// If the state can't be read.
#[cfg(feature = "store")]
pub fn prepare_erasure(
    store: &StoreView,
    request: &PrepareErasureRequest,
) -> Result<PrepareErasureResponse, QueryError> {
    let view = store.view();
    let mut named = Named::default();
    named.add_all(&request.documents, &request.examples, &request.others);
    let closure = Closure::of(&view, &named);
    let (root, count) = closure.root();
    let documents: Vec<u64> = request.documents.iter().map(|b| b.batch).collect();
    let examples: Vec<u64> = closure.examples.keys().copied().collect();
    let holds = holds_against(&view, &documents, &examples).into_iter().map(|hold| hold.position).collect();
    let response = PrepareErasureResponse {
        root: root.0.to_vec(),
        count,
        examples: batches(closure.examples),
        redactions: closure.redactions,
        holds,
    };
    answer(&view, response)
}

fn batches(by_batch: BTreeMap<u64, BTreeSet<u32>>) -> Vec<BatchIndices> {
    by_batch
        .into_iter()
        .map(|(batch, indices)| BatchIndices { batch, indices: indices.into_iter().collect() })
        .collect()
}

/// Where contents of the vault stand on the log: as documents by batch and index, the rest as others. What is not on the log
/// as a document (sealed, but never recorded) is among the others, too.
///
/// # Errors
/// If the state can't be read.
#[cfg(feature = "store")]
pub fn documents_among(store: &StoreView, contents: &[Sealed]) -> Result<FindSubjectResponse, QueryError> {
    let view = store.view();
    let mut wanted: BTreeMap<&[u8], BTreeSet<&[u8]>> = BTreeMap::new();
    for sealed in contents {
        wanted.entry(&sealed.pack).or_default().insert(&sealed.commitment);
    }
    let mut found: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
    for row in view.scan(&Documents::all()) {
        let Some(Body::DocumentsIngested(body)) = view.body(row.position) else { continue };
        let Some(commitments) = wanted.get_mut(body.pack.as_slice()) else { continue };
        for (index, commitment) in (0u32..).zip(&body.commitments) {
            if commitments.remove(commitment.as_slice()) {
                found.entry(row.position).or_default().insert(index);
            }
        }
    }
    let rest = wanted.into_iter().filter(|(_, commitments)| !commitments.is_empty());
    let others = rest.map(|(pack, commitments)| pb::ErasedContents {
        pack: pack.to_vec(),
        commitments: commitments.into_iter().map(<[u8]>::to_vec).collect(),
    });
    let response = FindSubjectResponse { others: others.collect(), documents: batches(found) };
    answer(&view, response)
}

/// What the vault must have erased: the contents of every erasure that came into effect at a position from `from` on.
///
/// # Errors
/// If the state can't be read.
#[cfg(feature = "store")]
pub fn to_erase(store: &StoreView, from: u64) -> Result<Vec<(ErasureRow, Vec<ErasedContentsRow>)>, QueryError> {
    let view = store.view();
    let mut erasures = view.scan(&Erasures::all());
    erasures.retain(|row| row.status() == ErasureStatus::InEffect && row.in_effect_at >= from);
    let found = erasures.into_iter().map(|row| {
        let contents = view.scan(&ErasedContents::under(row.position));
        (row, contents)
    });
    let found = found.collect();
    answer(&view, found)
}
