//! The worker that trains anew when a schedule says so: it freezes what is eligible, asks for the training, for the
//! evaluations, and for staging. It promotes nothing: whoever approves is a person who took no part.
//!
//! What there is to do is state: that a retraining is due is reckoned from the log, as anybody's question is, and what it
//! has asked for already is on the log. An act that was refused stays what it was; what is due then waits for a person.

use crate::{Context, Outcome, Progress, Worker, WorkerError, context::now_ms};
use attestune_ledger::{
    query,
    rules::policy,
    state::{Evaluations, LatestEvaluations, Leakages, Models, Runs, Schedules, Suites, Versions, View},
};
use attestune_proto::v1::{
    DatasetFrozen, EvaluationRequested, Kind, PromotionRequested, RunRow, ScheduleRow, ScheduleSet, Stage, SuiteRow,
    TrainingRequested, VersionRow, WorkStatus, event::Body,
};
use std::collections::BTreeSet;

/// Reacts to the schedules that stand.
#[derive(Debug, Default, Clone, Copy)]
pub struct Scheduler;

impl Worker for Scheduler {
    fn name(&self) -> &'static str {
        "scheduler"
    }

    fn react(&mut self, context: &Context) -> Result<Progress, WorkerError> {
        let store = context.view();
        let view = store.view();
        let mut progress = Progress::Idle;
        for row in view.scan(&Schedules::all()) {
            let Some(schedule) = row.schedule.clone().filter(|schedule| !schedule.paused) else { continue };
            let step = train(context, &view, &row, &schedule)?;
            let next = follow_up(context, &view, &row, &schedule)?;
            if [step, next].contains(&Progress::Done) {
                progress = Progress::Done;
            }
        }
        Ok(progress)
    }
}

/// Freezes and asks for the training, once for each time that it is due; again where a run failed.
fn train(
    context: &Context,
    view: &View<'_>,
    row: &ScheduleRow,
    schedule: &ScheduleSet,
) -> Result<Progress, WorkerError> {
    let due = query::retraining_due(&context.view(), &schedule.model)?;
    let Some(due) = due.filter(|due| now_ms() > due.due_ms) else { return Ok(Progress::Idle) };
    let runs = asked_runs(view, schedule);
    if runs.iter().any(|run| matches!(run.status(), WorkStatus::Open | WorkStatus::Claimed)) {
        return Ok(Progress::Idle);
    }
    // Another schedule, another time, another attempt: another act.
    let part = format!("{}/{}/{}", row.position, due.position, runs.len());
    let prepared = query::prepare_dataset(&context.view(), &schedule.collections)?;
    if prepared.count == 0 {
        return Ok(Progress::Idle);
    }
    let freeze = DatasetFrozen {
        dataset: schedule.dataset.clone(),
        collections: schedule.collections.clone(),
        at: prepared.at,
        root: prepared.root,
        count: prepared.count,
    };
    let Some(dataset) = stands(context.act(row.position, &part, Body::DatasetFrozen(freeze))?) else {
        return Ok(Progress::Idle);
    };
    let request = TrainingRequested {
        model: schedule.model.clone(),
        dataset,
        base: schedule.base,
        hyperparameters: schedule.hyperparameters.clone(),
        schedule: Some(row.position),
    };
    Ok(match context.act(row.position, &part, Body::TrainingRequested(request))? {
        Outcome::Accepted(_) => Progress::Done,
        Outcome::Before(_) | Outcome::Refused(_) | Outcome::Resting => Progress::Idle,
    })
}

/// The position of an act that stands.
fn stands(outcome: Outcome) -> Option<u64> {
    match outcome {
        Outcome::Accepted(receipt) | Outcome::Before(receipt) => Some(receipt.position),
        Outcome::Refused(_) | Outcome::Resting => None,
    }
}

/// Runs of a model that a schedule asked for.
fn asked_runs(view: &View<'_>, schedule: &ScheduleSet) -> Vec<RunRow> {
    let mut runs = view.scan(&Runs::all());
    runs.retain(|run| run.model == schedule.model && run.schedule.is_some());
    runs
}

/// Asks for the evaluations of the newest version, if a schedule's run made it, and then for staging.
fn follow_up(
    context: &Context,
    view: &View<'_>,
    row: &ScheduleRow,
    schedule: &ScheduleSet,
) -> Result<Progress, WorkerError> {
    let Some(model) = view.get(&Models::key(&schedule.model)) else { return Ok(Progress::Idle) };
    let Some(version) = view.get(&Versions::key(&schedule.model, model.versions)) else { return Ok(Progress::Idle) };
    let run = version.run.and_then(|run| view.get(&Runs::key(run)));
    let Some(run) = run.filter(|run| run.schedule == Some(row.position)) else { return Ok(Progress::Idle) };
    if version.stage() != Stage::Dev {
        return Ok(Progress::Idle);
    }
    let suites = suites(view, schedule, &run);
    let mut progress = Progress::Idle;
    for suite in suites.iter().filter(|suite| !asked(view, &version, suite)) {
        let request =
            EvaluationRequested { model: version.model.clone(), version: version.version, suite: suite.position };
        let part = format!("evaluate/{}", suite.suite);
        if let Outcome::Accepted(_) = context.act(version.position, &part, Body::EvaluationRequested(request))? {
            progress = Progress::Done;
        }
    }
    let judged = |suite: &SuiteRow| {
        view.get(&LatestEvaluations::key(&version.model, version.version, &suite.suite)).is_some()
            && view.get(&Leakages::key(run.dataset, suite.position)).is_some()
    };
    if progress == Progress::Done || suites.is_empty() || !suites.iter().all(judged) {
        return Ok(progress);
    }
    // One word of the rules is enough: the gate's figures do not change by asking again.
    if context.was_tried(version.position, "staging", Kind::PromotionRequested)? {
        return Ok(progress);
    }
    let request = PromotionRequested {
        model: version.model.clone(),
        version: version.version,
        to: Stage::Staging.into(),
        ..Default::default()
    };
    Ok(match context.act(version.position, "staging", Body::PromotionRequested(request))? {
        Outcome::Accepted(_) => Progress::Done,
        Outcome::Before(_) | Outcome::Refused(_) | Outcome::Resting => progress,
    })
}

/// The suites of the gate of staging and of the schedule: of each name the newest that stood before the training.
fn suites(view: &View<'_>, schedule: &ScheduleSet, run: &RunRow) -> Vec<SuiteRow> {
    let policy = policy::in_force(view);
    let gate = policy::gate(&policy, Stage::Staging).map(|gate| gate.suites.clone()).unwrap_or_default();
    let names: BTreeSet<String> = gate.into_iter().chain(schedule.suites.iter().cloned()).collect();
    let all = view.scan(&Suites::all());
    let newest = |name: &String| all.iter().rfind(|suite| suite.suite == *name && suite.position < run.position);
    names.iter().filter_map(newest).cloned().collect()
}

/// Whether an evaluation of a version by the suites of this name was asked for and has not failed.
fn asked(view: &View<'_>, version: &VersionRow, suite: &SuiteRow) -> bool {
    view.scan(&Evaluations::all()).iter().any(|evaluation| {
        (&evaluation.model, evaluation.version) == (&version.model, version.version)
            && evaluation.status() != WorkStatus::Failed
            && view.get(&Suites::key(evaluation.suite)).is_some_and(|s| s.suite == suite.suite)
    })
}
