//! Everything that made a version, and everything decided on it.

use super::erased::erasures_of;
use super::evaluation::evaluation_provenance;
use super::examples::members_of;
use super::{QueryError, answer, not_found};
use crate::replica::StoreView;
use crate::rules::eligibility::Example;
use crate::state::{
    Actors, Bases, Datasets, Documents, Evaluations, Examples, Leakages, Promotions, Reviews, Runs, Scans, Uses,
    Versions, View,
};
use attestune_proto::v1::{
    BatchProvenance, DatasetRow, EvaluationRow, ExamplesScanned, LanguageShare, LeakageProvenance, MemberProvenance,
    ModelVersion, PromotionRow, ScanCoverage, ScanProvenance, ScanRow, Signer, TrainingCompleted, event::Body,
};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

/// The whole provenance of a version.
///
/// # Errors
/// If there is no such version, or the state can't be read.
pub fn model_version(view: &StoreView, model: &str, version: u32) -> Result<ModelVersion, QueryError> {
    let as_of_position = view.size().saturating_sub(1);
    let view = view.view();
    let row = view.get(&Versions::key(model, version));
    let row = row.ok_or_else(|| not_found("version", format!("{model}@{version}")))?;
    let run = row.run.and_then(|r| view.get(&Runs::key(r)));
    let dataset = run.as_ref().and_then(|r| view.get(&Datasets::key(r.dataset)));
    let batches = dataset.as_ref().map(|d| batches(&view, d)).unwrap_or_default();
    let uses = view.scan(&Uses::under(row.position));
    let evaluations = uses.iter().filter_map(|made| view.get(&Evaluations::key(made.position)));
    let evaluations: Vec<EvaluationRow> = evaluations.filter(|e| e.model == model && e.version == version).collect();
    let promotions = uses.iter().filter_map(|made| view.get(&Promotions::key(made.position)));
    let promotions = promotions.filter(|p| p.model == model && p.version == version).collect();
    let leakage = dataset.as_ref().map(|d| leakage(&view, d, &evaluations)).unwrap_or_default();
    let mut found = ModelVersion {
        base: view.get(&Bases::key(row.base)),
        completed: completed(&view, row.position),
        erasures: erasures_of(&view, &row),
        version: Some(row),
        run,
        dataset,
        batches,
        evaluations: evaluations.into_iter().map(|e| evaluation_provenance(&view, e)).collect(),
        promotions,
        leakage,
        as_of_position,
        actors: Vec::new(),
        coverages: Vec::new(),
    };
    found.coverages = coverages(&view, &found.batches);
    found.actors = actors_in(&found).iter().filter_map(|a| view.get(&Actors::key(a))).collect();
    answer(&view, found)
}

fn completed(view: &View<'_>, position: u64) -> Option<TrainingCompleted> {
    match view.body(position) {
        Some(Body::TrainingCompleted(body)) => Some(body),
        _ => None,
    }
}

fn batches(view: &View<'_>, dataset: &DatasetRow) -> Vec<BatchProvenance> {
    let members = members_of(view, dataset);
    let mut found = Vec::new();
    for members in members.chunk_by(|a, b| a.batch == b.batch) {
        found.extend(members.first().and_then(|first| batch(view, first.batch, members)));
    }
    found
}

fn batch(view: &View<'_>, position: u64, members: &[Example]) -> Option<BatchProvenance> {
    let examples = view.get(&Examples::key(position))?;
    let Some(Body::ExamplesDerived(derived)) = view.body(position) else { return None };
    let Some(Body::DocumentsIngested(ingested)) = view.body(examples.documents) else { return None };
    let members = members.iter().map(|m| {
        let row = derived.rows.get(m.index as usize).copied().unwrap_or_default();
        MemberProvenance {
            index: m.index,
            commitment: m.commitment.clone(),
            row,
            document: ingested.commitments.get(row as usize).cloned().unwrap_or_default(),
            redacted: m.redacted,
        }
    });
    let members = members.collect();
    Some(BatchProvenance {
        documents: view.get(&Documents::key(examples.documents)),
        scans: view.scan(&Scans::under(position)).iter().filter_map(|s| scan(view, s)).collect(),
        reviews: view.scan(&Reviews::under(position)),
        members,
        examples: Some(examples),
    })
}

fn scan(view: &View<'_>, row: &ScanRow) -> Option<ScanProvenance> {
    let signer = row.signer.as_ref()?;
    let Some(Body::ExamplesScanned(body)) = view.body(signer.position) else { return None };
    let flagged = row.flagged.iter().map(|byte| byte.count_ones()).sum();
    let coverage = said(&body).digest;
    Some(ScanProvenance {
        detector: body.detector,
        position: signer.position,
        actor: signer.actor.clone(),
        flagged,
        coverage,
    })
}

/// What the scans of some batches say of themselves, in the order in which each was said first.
fn coverages(view: &View<'_>, batches: &[BatchProvenance]) -> Vec<ScanCoverage> {
    let mut all: Vec<ScanCoverage> = Vec::new();
    for scan in batches.iter().flat_map(|batch| &batch.scans) {
        let Some(Body::ExamplesScanned(body)) = view.body(scan.position) else { continue };
        match all.iter_mut().find(|known| known.digest == scan.coverage) {
            Some(known) => {
                known.scans += 1;
                add(&mut known.languages, body.languages);
            }
            None => all.push(said(&body)),
        }
    }
    all
}

/// What one scan says of itself.
fn said(scan: &ExamplesScanned) -> ScanCoverage {
    let ExamplesScanned { detector, looked_for, coverage, .. } = scan.clone();
    let alone = ExamplesScanned { detector, looked_for, coverage, ..Default::default() };
    let digest = Sha256::digest(alone.encode_to_vec()).to_vec();
    let ExamplesScanned { detector, looked_for, coverage, .. } = alone;
    ScanCoverage { digest, detector, looked_for, coverage, scans: 1, languages: scan.languages.clone() }
}

fn add(languages: &mut Vec<LanguageShare>, more: Vec<LanguageShare>) {
    for share in more {
        match languages.binary_search_by(|known| known.language.cmp(&share.language)) {
            Ok(at) => languages[at].texts = languages[at].texts.saturating_add(share.texts),
            Err(at) => languages.insert(at, share),
        }
    }
}

fn leakage(view: &View<'_>, dataset: &DatasetRow, evaluations: &[EvaluationRow]) -> Vec<LeakageProvenance> {
    let suites: BTreeSet<u64> = evaluations.iter().map(|e| e.suite).collect();
    let found = |suite: u64| LeakageProvenance {
        dataset: dataset.position,
        suite,
        leakage: view.get(&Leakages::key(dataset.position, suite)),
    };
    suites.into_iter().map(found).collect()
}

fn actors_in(found: &ModelVersion) -> BTreeSet<String> {
    let mut actors = BTreeSet::new();
    let mut add = |signer: &Option<Signer>| actors.extend(signer.iter().map(|s| s.actor.clone()));
    if let Some(run) = &found.run {
        add(&run.requested_by);
        run.lease.iter().for_each(|l| add(&l.holder));
    }
    found.dataset.iter().for_each(|d| add(&d.signer));
    for batch in &found.batches {
        batch.reviews.iter().for_each(|r| add(&r.signer));
    }
    for evaluation in found.evaluations.iter().filter_map(|e| e.evaluation.as_ref()) {
        add(&evaluation.requested_by);
        add(&evaluation.completed_by);
    }
    for promotion in &found.promotions {
        signers_of(promotion).for_each(|s| add(&Some(s.clone())));
    }
    for batch in &found.batches {
        actors.extend(batch.documents.iter().map(|d| d.actor.clone()));
        actors.extend(batch.examples.iter().map(|e| e.actor.clone()));
        actors.extend(batch.scans.iter().map(|s| s.actor.clone()));
    }
    actors
}

fn signers_of(promotion: &PromotionRow) -> impl Iterator<Item = &Signer> {
    promotion.requested_by.iter().chain(promotion.approvals.iter().filter_map(|a| a.signer.as_ref()))
}
