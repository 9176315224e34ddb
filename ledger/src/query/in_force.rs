//! Which version was in force, since when, on whose word, from which data, and what would have held it back.

use super::erased::erasures_of;
use super::evaluation::evaluation_provenance;
use super::history::accepted_event;
use super::{QueryError, answer, not_found};
use crate::rules::policy;
use crate::state::{
    Actors, Bases, DatasetBatches, Datasets, Evaluations, Examples, Keys, Leakages, Ledgers, Models, Policies,
    Promotions, Runs, Scans, Versions, View,
};
use attestune_proto::v1::{
    ApprovalRecord, DatasetRow, DatasetScan, EvaluationProvenance, Hurdle, LeakageProvenance, Policy, PromotionRow,
    RunRow, Signer, Stage, VersionRow, WhyInForceResponse,
};
use std::collections::BTreeSet;
#[cfg(feature = "store")]
use {super::history::history_event, crate::replica::StoreView, attestune_proto::v1::HistoryEvent};

/// Most later events told with an answer: the newest. The history has them all.
#[cfg(feature = "store")]
pub const AFTER_MAX: usize = 25;

/// Why a version is in force at the view's moment, with what came after it in the newest state; version 0 where none is.
///
/// # Errors
/// If there is no such model then, or the state can't be read.
#[cfg(feature = "store")]
pub fn why_in_force(then: &StoreView, now: &StoreView, model: &str) -> Result<WhyInForceResponse, QueryError> {
    let mut found = why(&then.cursor().view(), model)?;
    found.after = after(then.size(), now, model)?;
    Ok(found)
}

/// What changed the model at a size or later.
#[cfg(feature = "store")]
fn after(size: u64, now: &StoreView, model: &str) -> Result<Vec<HistoryEvent>, QueryError> {
    let mut positions = now.versions_from(&Models::key(model), size, AFTER_MAX)?;
    positions.reverse();
    positions.into_iter().map(|position| history_event(now, position)).collect()
}

/// Why a version is in force at the view's moment, without what came after; version 0 where none is.
///
/// # Errors
/// If there is no such model then, or the state can't be read.
pub fn why(view: &View<'_>, model: &str) -> Result<WhyInForceResponse, QueryError> {
    let as_of_position = view.size().saturating_sub(1);
    let row = answer(view, view.get(&Models::key(model)))?.ok_or_else(|| not_found("model", model))?;
    let policy_version = view.get(&Ledgers::key()).map_or(0, |l| l.policy_version);
    let mut found = WhyInForceResponse {
        version: row.in_force,
        as_of_position,
        as_of_ms: view.fold_time(as_of_position).unwrap_or(0),
        policy_version,
        policy: view.get(&Policies::key(policy_version)),
        ..Default::default()
    };
    if let Some(at) = row.halted_at {
        found.halt = accepted_event(view, at);
        found.halted_version = row.halted_version;
    }
    if row.in_force == 0 {
        return answer(view, found);
    }
    found.challenger = row.challenger;
    found.since_position = row.since;
    found.since_ms = view.fold_time(row.since).unwrap_or(0);
    let version = view.get(&Versions::key(model, row.in_force)).unwrap_or_default();
    found.erasures = erasures_of(view, &version);
    found.run = version.run.and_then(|r| view.get(&Runs::key(r)));
    found.dataset = found.run.as_ref().and_then(|r| view.get(&Datasets::key(r.dataset)));
    found.base = view.get(&Bases::key(version.base));
    found.scans = found.dataset.as_ref().map(|d| scans(view, d)).unwrap_or_default();
    if let Some(promotion) = view.get(&Promotions::key(version.production_promotion)) {
        if promotion.decided_at != row.since {
            found.rollback = accepted_event(view, row.since);
        }
        found.approvals = promotion.approvals.iter().map(|a| approval(view, a)).collect();
        let evaluations = promotion.evaluations.iter().filter_map(|e| view.get(&Evaluations::key(*e)));
        found.evaluations = evaluations.map(|e| evaluation_provenance(view, e)).collect();
        found.policy_version = promotion.policy_version;
        found.leakage = leakage(view, found.dataset.as_ref(), &found.evaluations);
        found.hurdles = hurdles(&view.policy(promotion.policy_version), &promotion, &version, &found);
        found.promotion = Some(promotion);
    }
    found.in_force = Some(version);
    found.actors = signers(&found).iter().filter_map(|a| view.get(&Actors::key(a))).collect();
    answer(view, found)
}

fn approval(view: &View<'_>, approval: &attestune_proto::v1::Approval) -> ApprovalRecord {
    let signer = approval.signer.clone().unwrap_or_default();
    let actor = view.get(&Actors::key(&signer.actor)).unwrap_or_default();
    let key = view.get(&Keys::key(&signer.keyid)).unwrap_or_default();
    ApprovalRecord {
        actor: signer.actor,
        printed_name: actor.printed_name,
        position: signer.position,
        time_ms: view.fold_time(signer.position).unwrap_or(0),
        meaning: approval.meaning,
        affected: key.revoked_at.is_some(),
        late: approval.late,
    }
}

/// What each detector that the policy asked for at the freeze has scanned of the batches that have members.
fn scans(view: &View<'_>, dataset: &DatasetRow) -> Vec<DatasetScan> {
    let then = view.as_of(dataset.position + 1);
    let asked = policy::in_force(&then);
    view.absorb(&then);
    let batches = view.scan(&DatasetBatches::under(dataset.position));
    let batches: Vec<_> = batches.iter().filter_map(|b| view.get(&Examples::key(b.position))).collect();
    let coverage = |detector: &attestune_proto::v1::Tool| {
        let mut found = DatasetScan { detector: Some(detector.clone()), ..Default::default() };
        for batch in &batches {
            found.examples += u64::from(batch.count);
            let Some(scan) = view.get(&Scans::key(batch.position, &detector.name, &detector.version)) else { continue };
            found.scanned += u64::from(batch.count);
            found.flagged += scan.flagged.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>();
        }
        found
    };
    asked.detectors.iter().map(coverage).collect()
}

fn leakage(view: &View<'_>, dataset: Option<&DatasetRow>, of: &[EvaluationProvenance]) -> Vec<LeakageProvenance> {
    let Some(dataset) = dataset else { return Vec::new() };
    let suites: BTreeSet<u64> = of.iter().filter_map(|e| e.suite.as_ref()).map(|s| s.position).collect();
    let found = |suite: u64| LeakageProvenance {
        dataset: dataset.position,
        suite,
        leakage: view.get(&Leakages::key(dataset.position, suite)),
    };
    suites.into_iter().map(found).collect()
}

/// What the rules held the promotion against, in the order of their guards, each with how it was.
pub fn hurdles(
    policy: &Policy,
    promotion: &PromotionRow,
    version: &VersionRow,
    found: &WhyInForceResponse,
) -> Vec<Hurdle> {
    let gate = policy::gate(policy, Stage::try_from(promotion.to).unwrap_or_default()).cloned().unwrap_or_default();
    let hurdle = |code: &str, text: String| Hurdle { code: code.into(), text };
    let mut hurdles = Vec::new();
    for suite in &gate.suites {
        let evaluation = found.evaluations.iter().find(|e| e.suite.as_ref().is_some_and(|s| s.suite == *suite));
        let Some(evaluation) = evaluation else { continue };
        hurdles.extend(hurdles_of(version, found.run.as_ref(), &found.leakage, evaluation));
    }
    let replaced = promotion.replaces.map_or("no version".into(), |n| format!("version {n}"));
    hurdles.push(hurdle("not-in-force", format!("another version in force than {replaced}, which it named")));
    let parts = if found.run.is_some() {
        "asked for the promotion or the training, ran the training, froze the dataset, or ingested or derived a member"
    } else {
        "asked for the promotion or registered the model"
    };
    hurdles.push(hurdle(
        "approver-took-part",
        format!(
            "fewer than {} approvals of distinct persons none of whom {parts}; it had {}",
            promotion.approvals_needed,
            promotion.approvals.len()
        ),
    ));
    hurdles
}

/// Of one suite of the gate.
fn hurdles_of(
    version: &VersionRow,
    run: Option<&RunRow>,
    leakage: &[LeakageProvenance],
    evaluation: &EvaluationProvenance,
) -> Vec<Hurdle> {
    let row = evaluation.evaluation.clone().unwrap_or_default();
    let suite = evaluation.suite.clone().unwrap_or_default();
    let name = format!("{}@{}", suite.suite, suite.number);
    let signer: Signer = row.completed_by.clone().unwrap_or_default();
    let made = version.run.unwrap_or(version.position);
    let mut hurdles = vec![
        (
            "evaluation-missing",
            format!("no evaluation by {name} on exactly this version; it was completed at {}", row.ended_at),
        ),
        (
            "evaluation-void",
            format!("the key that {} signed the evaluation with revoked, or the role withdrawn", signer.actor),
        ),
        (
            "suite-too-late",
            format!(
                "{name} registered at {made} or later, when the training was asked for; it was at {}",
                suite.position
            ),
        ),
    ];
    match (run, leakage.iter().find(|l| l.suite == suite.position).and_then(|l| l.leakage.as_ref())) {
        (Some(_), Some(found)) => hurdles.push((
            "leakage-found",
            format!("a case of {name} in the training set; {} of {} were found, {} nearly", found.exact, found.cases, found.near),
        )),
        (Some(_), None) => hurdles.push(("leakage-unknown", format!("leakage from {name} that nobody has looked for"))),
        (None, _) => hurdles.push((
            "leakage-unknown",
            format!("a policy that does not admit that leakage from {name} can't be checked, as the model was trained elsewhere"),
        )),
    }
    for verdict in &evaluation.verdicts {
        hurdles.push((
            "gate-failed",
            format!(
                "fewer than {} of {} cases of {name}/{} passed; {} were, {} to spare",
                verdict.needed,
                verdict.cases,
                verdict.category,
                verdict.passed,
                verdict.passed.saturating_sub(verdict.needed)
            ),
        ));
    }
    hurdles.into_iter().map(|(code, text)| Hurdle { code: code.into(), text }).collect()
}

/// Whoever signed something that the answer names.
pub fn signers(found: &WhyInForceResponse) -> BTreeSet<String> {
    let mut actors: BTreeSet<String> = found.approvals.iter().map(|a| a.actor.clone()).collect();
    let mut add = |signer: &Option<Signer>| actors.extend(signer.iter().map(|s| s.actor.clone()));
    found.promotion.iter().for_each(|p| add(&p.requested_by));
    if let Some(run) = &found.run {
        add(&run.requested_by);
        run.lease.iter().for_each(|l| add(&l.holder));
    }
    found.dataset.iter().for_each(|d| add(&d.signer));
    for evaluation in found.evaluations.iter().filter_map(|e| e.evaluation.as_ref()) {
        add(&evaluation.requested_by);
        add(&evaluation.completed_by);
    }
    found.leakage.iter().filter_map(|l| l.leakage.as_ref()).for_each(|l| add(&l.signer));
    let contributors = found.dataset.iter().flat_map(|d| d.contributors.iter().cloned());
    actors.extend(contributors.chain(found.rollback.iter().map(|r| r.actor.clone())));
    actors
}
