//! Everything that made a version, and everything decided on it.

use super::erased::erasures_of;
use super::examples::members_of;
use super::{QueryError, answer, not_found};
use crate::replica::StoreView;
use crate::rules::eligibility::Example;
use crate::state::{
    Actors, Bases, Datasets, Documents, Evaluations, Examples, LatestEvaluations, Leakages, Promotions, Reviews, Runs,
    Scans, Suites, Uses, Versions, View,
};
use attestune_proto::v1::{
    BatchProvenance, CategoryBar, CategoryResult, CategoryVerdict, DatasetRow, EvaluationProvenance, EvaluationRow,
    ExamplesScanned, LanguageShare, LeakageProvenance, MemberProvenance, ModelVersion, PromotionRow, ScanCoverage,
    ScanProvenance, ScanRow, Signer, TrainingCompleted, event::Body,
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

/// An evaluation with its suite, judged against the bars.
pub fn evaluation_provenance(view: &View<'_>, evaluation: EvaluationRow) -> EvaluationProvenance {
    let suite = view.get(&Suites::key(evaluation.suite)).unwrap_or_default();
    let latest = view.get(&LatestEvaluations::key(&evaluation.model, evaluation.version, &suite.suite));
    let pairs = suite.categories.iter().zip(&evaluation.results);
    EvaluationProvenance {
        verdicts: pairs.map(|(bar, result)| verdict(bar, result)).collect(),
        attempts: latest.map_or(0, |l| l.attempts),
        evaluation: Some(evaluation),
        suite: Some(suite),
    }
}

fn verdict(bar: &CategoryBar, result: &CategoryResult) -> CategoryVerdict {
    let rate = u64::from(result.passed) * 1_000_000 / u64::from(result.cases.max(1));
    CategoryVerdict {
        category: bar.category.clone(),
        passed: result.passed,
        cases: result.cases,
        needed: bar.needed,
        bar_ppm: bar.bar_ppm,
        rate_ppm: rate as u32,
        lower_bound_ppm: lower_bound_ppm(result.passed, result.cases),
        ok: result.passed >= bar.needed,
    }
}

/// The one-sided 95 % Clopper–Pearson lower bound of a pass rate, parts per million, rounded down. To be shown; the
/// rules decide by [`crate::rules::bound::needed`].
pub fn lower_bound_ppm(passed: u32, cases: u32) -> u32 {
    if passed == 0 || passed > cases {
        return 0;
    }
    // P(X >= passed) grows with p: the largest p, to a millionth, for which it is at most 1/20.
    let (n, k) = (f64::from(cases), f64::from(passed));
    let ln_choose = |i: f64| ln_gamma(n + 1.0) - ln_gamma(i + 1.0) - ln_gamma(n - i + 1.0);
    let tail = |p: f64| -> f64 {
        (passed..=cases)
            .map(|i| {
                let i = f64::from(i);
                (ln_choose(i) + i * p.ln() + (n - i) * (1.0 - p).ln()).exp()
            })
            .sum()
    };
    if k == n {
        return (0.05f64.powf(1.0 / n) * 1e6) as u32;
    }
    let (mut low, mut high) = (0u32, 1_000_000u32);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if tail(f64::from(middle) / 1e6) <= 0.05 { low = middle } else { high = middle }
    }
    low
}

/// ln Γ(x) for x ≥ 1 by Stirling's series after shifting x past 10 (Abramowitz and Stegun 6.1.41).
fn ln_gamma(mut x: f64) -> f64 {
    let mut shift = 0.0;
    while x < 10.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    shift + (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::bound::needed;
    use attestune_proto::v1::Bound;

    #[test]
    fn the_bound_shown_agrees_with_the_passes_that_the_rules_ask_for() {
        for cases in [20, 59, 93, 124, 153, 208, 480, 1000] {
            for bar_ppm in [800_000, 900_000, 950_000] {
                let Some(needed) = needed(Bound::Lower95, cases, bar_ppm) else { continue };
                assert!(lower_bound_ppm(needed, cases) + 1 >= bar_ppm, "{needed} of {cases}");
                assert!(lower_bound_ppm(needed - 1, cases) < bar_ppm, "{} of {cases}", needed - 1);
            }
        }
        assert_eq!(lower_bound_ppm(0, 10), 0);
        assert_eq!(lower_bound_ppm(10, 10), 741_134);
    }
}
