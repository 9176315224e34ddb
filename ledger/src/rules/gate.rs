//! The gate: judged by the fold, at the request and again at the last approval.

use super::{Act, counts, policy};
use crate::refusal::Refusal;
use crate::state::{Evaluations, LatestEvaluations, Leakages, Runs, Suites, View};
use attestune_proto::v1::{EvaluationRow, Gate, Kind, Stage, SuiteRow, VersionRow};

/// Holds a version against the gate of a stage. Answers the evaluations that it relied on.
///
/// Refusals, suite by suite, in this order: no evaluation, its signer no longer counts, the suite came too late, its
/// bars are below the policy's, leakage unknown, leakage found; and last, over all suites, every category that fell
/// short.
pub fn judge(view: &View<'_>, act: &Act<'_>, version: &VersionRow, to: Stage) -> Result<Vec<u64>, Refusal> {
    let Some(gate) = policy::gate(&act.policy, to) else {
        return Err(Refusal::WrongStage { is: "any stage", to: "one without a gate" });
    };
    let run = version.run.and_then(|r| view.get(&Runs::key(r)));
    let fixed_before = version.run.unwrap_or(version.position);
    let mut relied_on = Vec::new();
    let mut shortfalls = Vec::new();
    for name in &gate.suites {
        let missing = || Refusal::EvaluationMissing { suite: name.clone() };
        let latest = view.get(&LatestEvaluations::key(&version.model, version.version, name)).ok_or_else(missing)?;
        let evaluation = view.get(&Evaluations::key(latest.evaluation)).ok_or_else(missing)?;
        let suite = view.get(&Suites::key(evaluation.suite)).ok_or_else(missing)?;
        let signer = evaluation.completed_by.clone().unwrap_or_default();
        if !counts(view, &act.policy, &signer, Kind::EvaluationCompleted) {
            return Err(Refusal::EvaluationVoid { suite: name.clone(), actor: signer.actor });
        }
        if suite.position >= fixed_before {
            return Err(Refusal::SuiteTooLate {
                suite: name.clone(),
                registered: suite.position,
                training: fixed_before,
            });
        }
        bars_suffice(gate, &suite)?;
        match &run {
            Some(run) => leakage_is_none(view, act, run.dataset, &suite)?,
            None if gate.unchecked_leakage => {}
            None => return Err(Refusal::LeakageUnknown { suite: name.clone() }),
        }
        shortfalls.extend(shortfalls_of(&suite, &evaluation));
        relied_on.push(latest.evaluation);
    }
    if !shortfalls.is_empty() {
        return Err(Refusal::GateFailed { shortfalls: shortfalls.join("; ") });
    }
    Ok(relied_on)
}

/// A suite's bars are fixed at its registration; a policy that asks for more needs it registered anew.
fn bars_suffice(gate: &Gate, suite: &SuiteRow) -> Result<(), Refusal> {
    for category in &suite.categories {
        let policy_ppm = policy::bar_ppm(gate, &category.category);
        if category.bar_ppm < policy_ppm || suite.bound < gate.bound {
            return Err(Refusal::BarTooLow {
                suite: suite.suite.clone(),
                category: category.category.clone(),
                bar_ppm: category.bar_ppm,
                policy_ppm,
            });
        }
    }
    Ok(())
}

fn leakage_is_none(view: &View<'_>, act: &Act<'_>, dataset: u64, suite: &SuiteRow) -> Result<(), Refusal> {
    let unknown = || Refusal::LeakageUnknown { suite: suite.suite.clone() };
    let row = view.get(&Leakages::key(dataset, suite.position)).ok_or_else(unknown)?;
    if !row.signer.as_ref().is_some_and(|s| counts(view, &act.policy, s, Kind::LeakageChecked)) {
        return Err(unknown());
    }
    if row.exact > 0 || row.near > 0 {
        return Err(Refusal::LeakageFound { suite: suite.suite.clone(), exact: row.exact, near: row.near });
    }
    Ok(())
}

fn shortfalls_of(suite: &SuiteRow, evaluation: &EvaluationRow) -> Vec<String> {
    let pairs = suite.categories.iter().zip(&evaluation.results);
    pairs
        .filter(|(category, result)| result.passed < category.needed)
        .map(|(category, result)| {
            format!(
                "{}/{}: {} of {} passed, {} needed for {} ppm",
                suite.suite, category.category, result.passed, result.cases, category.needed, category.bar_ppm
            )
        })
        .collect()
}
