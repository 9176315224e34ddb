//! What waits for workers.

use super::{QueryError, answer};
use crate::replica::StoreView;
use crate::rules;
use crate::state::{
    Actors, Checks, DatasetErasures, Evaluations, Examples, Keys, Leakages, Ledgers, RowKey, Runs, Scans, Versions,
    View,
};
use attestune_proto::v1 as pb;
use pb::{ActorKind, EvaluationRow, ExamplesRow, Kind, OpenWork, Policy, RunRow, Signer, Tool, WorkStatus};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What waits for workers, at any moment of the past.
///
/// # Errors
/// If the state can't be read.
pub fn open_work(view: &StoreView) -> Result<OpenWork, QueryError> {
    OpenWorkCursor::default().advance(view, usize::MAX)
}

/// What waits for workers, kept from one moment to the next: a step looks at what came since and at what was open,
/// not at all there ever was.
#[derive(Debug, Default)]
pub struct OpenWorkCursor {
    /// Entries looked at.
    size: u64,
    policy_version: u32,
    /// Keys and roles of those whose scans and checks may count.
    workers: Vec<(String, bool, Vec<i32>)>,
    to_scan: BTreeSet<u64>,
    to_check: BTreeSet<u64>,
    runs: BTreeSet<u64>,
    evaluations: BTreeSet<u64>,
    /// Training set and suite that an evaluation brought together.
    pairs: BTreeSet<(u64, u64)>,
}

impl OpenWorkCursor {
    /// Goes on to a view and answers what is open in it: at most `limit` batches to scan and as many to check, the
    /// oldest first, and all the rest. A view before the last one starts anew.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn advance(&mut self, at: &StoreView, limit: usize) -> Result<OpenWork, QueryError> {
        let view = at.view();
        let Some(policy) = self.go_to(at, &view)? else { return answer(&view, OpenWork::default()) };
        let work = OpenWork {
            batches_to_scan: still_open(&mut self.to_scan, limit, |_| true, |batch| unscanned(&view, &policy, batch)),
            batches_to_check: still_open(&mut self.to_check, limit, |_| true, |batch| unchecked(&view, &policy, batch)),
            runs: trainable(&view, still_rows(&view, &mut self.runs, Runs::key, |r| r.status)),
            evaluations: still_rows(&view, &mut self.evaluations, Evaluations::key, |e| e.status),
            leakage_to_check: self.leakage(&view, &policy),
        };
        answer(&view, work)
    }

    /// The same for one detector alone: batches that it has not scanned and that lack a scan, at most `limit` of those
    /// that `chosen` names.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn batches_to_scan(
        &mut self,
        at: &StoreView,
        detector: &Tool,
        limit: usize,
        chosen: impl Fn(u64) -> bool,
    ) -> Result<Vec<u64>, QueryError> {
        let view = at.view();
        let Some(policy) = self.go_to(at, &view)? else { return answer(&view, Vec::new()) };
        let open = |batch| !scan(&view, &policy, detector, batch).counts() && unscanned(&view, &policy, batch);
        let batches = still_open(&mut self.to_scan, limit, chosen, open);
        answer(&view, batches)
    }

    /// The same for one checker.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn batches_to_check(
        &mut self,
        at: &StoreView,
        checker: &Tool,
        limit: usize,
        chosen: impl Fn(u64) -> bool,
    ) -> Result<Vec<u64>, QueryError> {
        let view = at.view();
        let Some(policy) = self.go_to(at, &view)? else { return answer(&view, Vec::new()) };
        let open = |batch| !check(&view, &policy, checker, batch).counts() && unchecked(&view, &policy, batch);
        let batches = still_open(&mut self.to_check, limit, chosen, open);
        answer(&view, batches)
    }

    /// The pairs of training set and suite that are to be compared.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn leakage_to_check(&mut self, at: &StoreView) -> Result<Vec<pb::LeakageProvenance>, QueryError> {
        let view = at.view();
        let Some(policy) = self.go_to(at, &view)? else { return answer(&view, Vec::new()) };
        let pairs = self.leakage(&view, &policy);
        answer(&view, pairs)
    }

    /// Takes in what came since the last view; the policy in force, if there is a ledger.
    fn go_to(&mut self, at: &StoreView, view: &View<'_>) -> Result<Option<Arc<Policy>>, QueryError> {
        let Some(ledger) = view.get(&Ledgers::key()) else { return Ok(None) };
        // Under another policy other scans may be missing, and those of a revoked key count no more.
        let workers = workers(view);
        if at.size() < self.size || (ledger.policy_version, &workers) != (self.policy_version, &self.workers) {
            *self = Self { policy_version: ledger.policy_version, workers, ..Self::default() };
        }
        self.take_in(at, view)?;
        Ok(Some(view.policy(ledger.policy_version)))
    }

    fn take_in(&mut self, at: &StoreView, view: &View<'_>) -> Result<(), QueryError> {
        let batches: Vec<ExamplesRow> = at.rows_from(&Examples::all(), self.size)?;
        self.to_scan.extend(batches.iter().map(|b| b.position));
        self.to_check.extend(batches.iter().map(|b| b.position));
        self.runs.extend(at.rows_from(&Runs::all(), self.size)?.iter().map(|r| r.position));
        let evaluations: Vec<EvaluationRow> = at.rows_from(&Evaluations::all(), self.size)?;
        for evaluation in &evaluations {
            let version = view.get(&Versions::key(&evaluation.model, evaluation.version));
            let run = version.and_then(|v| v.run).and_then(|r| view.get(&Runs::key(r)));
            self.pairs.extend(run.map(|r| (r.dataset, evaluation.suite)));
        }
        self.evaluations.extend(evaluations.iter().map(|e| e.position));
        self.size = at.size();
        Ok(())
    }

    /// Pairs that nobody compared yet whose word still counts.
    fn leakage(&self, view: &View<'_>, policy: &Policy) -> Vec<pb::LeakageProvenance> {
        let counts = |s: &Signer| rules::counts(view, policy, s, Kind::LeakageChecked);
        let mut open = Vec::new();
        for (dataset, suite) in self.pairs.iter().copied() {
            // What was erased can't be compared any more.
            if !view.scan(&DatasetErasures::under(dataset)).is_empty() {
                continue;
            }
            let leakage = view.get(&Leakages::key(dataset, suite));
            if !leakage.as_ref().is_some_and(|l| l.signer.as_ref().is_some_and(counts)) {
                open.push(pb::LeakageProvenance { dataset, suite, leakage });
            }
        }
        open
    }
}

/// The keys that are not people's, with whether they are revoked and the roles of their actors.
fn workers(view: &View<'_>) -> Vec<(String, bool, Vec<i32>)> {
    let actors = view.scan(&Actors::all()).into_iter().filter(|a| a.kind != ActorKind::Person as i32);
    let keys = actors.flat_map(|a| a.keyids.into_iter().map(move |keyid| (keyid, a.roles.clone())));
    let revoked = |keyid: &str| view.get(&Keys::key(keyid)).is_none_or(|key| key.revoked_at.is_some());
    keys.map(|(keyid, roles)| (keyid.clone(), revoked(&keyid), roles)).collect()
}

/// How a tool's word on a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It has given none.
    Missing,
    /// It stands.
    Counts,
    /// The key of whoever gave it is revoked, or the role withdrawn: it is to be given anew.
    Void {
        /// Where it was given.
        position: u64,
    },
}

impl Word {
    fn of(view: &View<'_>, policy: &Policy, signer: Option<Signer>, kind: Kind) -> Self {
        match signer {
            None => Self::Missing,
            Some(signer) if rules::counts(view, policy, &signer, kind) => Self::Counts,
            Some(signer) => Self::Void { position: signer.position },
        }
    }

    /// Whether there is nothing left to do.
    pub fn counts(self) -> bool {
        self == Self::Counts
    }
}

/// How a detector's scan of a batch stands.
///
/// # Errors
/// If the state can't be read.
pub fn scan_of(at: &StoreView, detector: &Tool, batch: u64) -> Result<Word, QueryError> {
    word_of(at, |view, policy| scan(view, policy, detector, batch))
}

/// How a checker's check of a batch stands.
///
/// # Errors
/// If the state can't be read.
pub fn check_of(at: &StoreView, checker: &Tool, batch: u64) -> Result<Word, QueryError> {
    word_of(at, |view, policy| check(view, policy, checker, batch))
}

fn word_of(at: &StoreView, word: impl Fn(&View<'_>, &Policy) -> Word) -> Result<Word, QueryError> {
    let view = at.view();
    let found = match view.get(&Ledgers::key()) {
        Some(ledger) => word(&view, &view.policy(ledger.policy_version)),
        None => Word::Missing,
    };
    answer(&view, found)
}

fn unscanned(view: &View<'_>, policy: &Policy, batch: u64) -> bool {
    policy.detectors.iter().any(|detector| !scan(view, policy, detector, batch).counts())
}

fn scan(view: &View<'_>, policy: &Policy, detector: &Tool, batch: u64) -> Word {
    let row = view.get(&Scans::key(batch, &detector.name, &detector.version));
    Word::of(view, policy, row.and_then(|row| row.signer), Kind::ExamplesScanned)
}

fn unchecked(view: &View<'_>, policy: &Policy, batch: u64) -> bool {
    policy.checkers.iter().any(|checker| !check(view, policy, checker, batch).counts())
}

fn check(view: &View<'_>, policy: &Policy, checker: &Tool, batch: u64) -> Word {
    let row = view.get(&Checks::key(batch, &checker.name, &checker.version));
    Word::of(view, policy, row.and_then(|row| row.signer), Kind::ExamplesChecked)
}

/// The first `limit` chosen ones that are open; those found not to be are forgotten.
fn still_open(
    known: &mut BTreeSet<u64>,
    limit: usize,
    chosen: impl Fn(u64) -> bool,
    open: impl Fn(u64) -> bool,
) -> Vec<u64> {
    let mut found = Vec::new();
    let mut done = Vec::new();
    for position in known.iter().copied().filter(|position| chosen(*position)) {
        if found.len() >= limit {
            break;
        }
        if open(position) { found.push(position) } else { done.push(position) }
    }
    done.iter().for_each(|position| _ = known.remove(position));
    found
}

/// Runs on datasets of which nothing was erased: nobody may claim the others.
fn trainable(view: &View<'_>, mut runs: Vec<RunRow>) -> Vec<RunRow> {
    runs.retain(|run| view.scan(&DatasetErasures::under(run.dataset)).is_empty());
    runs
}

fn still_rows<R: prost::Message + Default>(
    view: &View<'_>,
    known: &mut BTreeSet<u64>,
    key: impl Fn(u64) -> RowKey<R>,
    status: impl Fn(&R) -> i32,
) -> Vec<R> {
    let open = |row: &R| [WorkStatus::Open as i32, WorkStatus::Claimed as i32].contains(&status(row));
    let mut found = Vec::new();
    known.retain(|position| match view.get(&key(*position)) {
        Some(row) if open(&row) => {
            found.push(row);
            true
        }
        _ => false,
    });
    found
}
