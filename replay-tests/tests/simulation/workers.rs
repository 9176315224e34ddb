//! Models of the workers that scan and check, after `workers/src/pii.rs` and `workers/src/checker.rs`.
//!
//! The real ones want a replica on disk, a vault and the machine's clock, and block. These decide on the same state by
//! the same steps, and make the ids of their acts the same way; what they find is made up.

use crate::process::{Me, Outcome};
use attestune_ledger::rules;
use attestune_ledger::rules::policy::in_force;
use attestune_ledger::state::{Checks, Datasets, Evaluations, Examples, Leakages, Runs, Scans, Suites, Versions, View};
use attestune_proto::v1::{
    ExamplesChecked, ExamplesRow, Kind, LeakageChecked, Quality, QualityIssue, Signer, Tool, event::Body,
};
use attestune_replay_tests::{checker as tool, detector, scanned};

/// Scans each batch once.
pub async fn scanner(me: Me) {
    loop {
        for (batch, void) in me.look(unscanned) {
            if me.left(batch.position, Kind::ExamplesScanned) {
                continue;
            }
            let flagged: Vec<u32> =
                (0..batch.count).filter(|index| (batch.position + u64::from(*index)) % 4 == 0).collect();
            let done = me.act(batch.position, &part(&detector(), void), scanned(batch.position, &flagged)).await;
            if done == Outcome::Failed {
                me.leave(batch.position, Kind::ExamplesScanned);
            }
        }
        me.turn().await;
    }
}

/// Checks each batch once, and each pair of training set and suite that an evaluation brings together.
pub async fn checker(me: Me) {
    loop {
        for (batch, void) in me.look(unchecked) {
            if me.left(batch.position, Kind::ExamplesChecked) {
                continue;
            }
            let bad = |index: &u32| (batch.position + u64::from(*index)) % 7 == 0;
            let issue = |index| QualityIssue { index, quality: Quality::TooLong as i32, of: None };
            let issues = (0..batch.count).filter(bad).map(issue).collect();
            let body = ExamplesChecked { batch: batch.position, checker: Some(tool()), issues };
            if me.act(batch.position, &part(&tool(), void), Body::ExamplesChecked(body)).await == Outcome::Failed {
                me.leave(batch.position, Kind::ExamplesChecked);
            }
        }
        for (dataset, suite) in me.look(uncompared) {
            if me.left(suite, Kind::LeakageChecked) {
                continue;
            }
            let body = me.look(|view| LeakageChecked {
                dataset,
                suite,
                checker: Some(tool()),
                cases: view.get(&Suites::key(suite)).map_or(0, |s| s.categories.iter().map(|c| c.cases).sum()),
                members: view.get(&Datasets::key(dataset)).map_or(0, |d| d.count),
                exact: u32::from(dataset % 5 == 0),
                near: 0,
            });
            // A word that counts no more is given anew, so it must be another event.
            let before = me.look(|view| view.get(&Leakages::key(dataset, suite)).and_then(|row| row.signer));
            let part = format!("{dataset}/{}", before.map_or(0, |by| by.position));
            if me.act(suite, &part, Body::LeakageChecked(body)).await == Outcome::Failed {
                me.leave(suite, Kind::LeakageChecked);
            }
        }
        me.turn().await;
    }
}

/// A word that counts no more is given anew, so it must be another event.
fn part(tool: &Tool, void: u64) -> String {
    format!("{}/{}/{void}", tool.name, tool.version)
}

/// Batches without a scan that counts, each with where the one stands that counts no more.
fn unscanned(view: &View<'_>) -> Vec<(ExamplesRow, u64)> {
    let tool = detector();
    unsaid(view, Kind::ExamplesScanned, |batch| view.get(&Scans::key(batch, &tool.name, &tool.version))?.signer)
}

/// Batches without a check that counts, likewise.
fn unchecked(view: &View<'_>) -> Vec<(ExamplesRow, u64)> {
    let tool = tool();
    unsaid(view, Kind::ExamplesChecked, |batch| view.get(&Checks::key(batch, &tool.name, &tool.version))?.signer)
}

fn unsaid(view: &View<'_>, kind: Kind, by: impl Fn(u64) -> Option<Signer>) -> Vec<(ExamplesRow, u64)> {
    let policy = in_force(view);
    let mut open = Vec::new();
    for batch in view.scan(&Examples::all()) {
        match by(batch.position) {
            Some(by) if rules::counts(view, &policy, &by, kind) => {}
            by => open.push((batch, by.map_or(0, |by| by.position))),
        }
    }
    open
}

/// Training sets and suites that an evaluation brought together and nobody compared whose word counts.
pub fn uncompared(view: &View<'_>) -> Vec<(u64, u64)> {
    let policy = in_force(view);
    let mut pairs = Vec::new();
    for evaluation in view.scan(&Evaluations::all()) {
        let version = view.get(&Versions::key(&evaluation.model, evaluation.version));
        let Some(run) = version.and_then(|v| v.run).and_then(|run| view.get(&Runs::key(run))) else { continue };
        let by = view.get(&Leakages::key(run.dataset, evaluation.suite)).and_then(|row| row.signer);
        let pair = (run.dataset, evaluation.suite);
        if !by.is_some_and(|by| rules::counts(view, &policy, &by, Kind::LeakageChecked)) && !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    pairs
}
