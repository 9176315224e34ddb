//! Models of the workers that work under leases, after `workers/src/lease.rs`, `trainer.rs` and `evaluator.rs`.

use crate::process::{Me, Outcome};
use attestune_ledger::state::{Bases, Datasets, Evaluations, Ledgers, Runs, View};
use attestune_proto::v1::{
    EvaluationClaimed, EvaluationFailed, EvaluationRow, FailureReason, Kind, Lease, RunRow, TrainingClaimed,
    TrainingCompleted, TrainingFailed, TrainingProgressed, WorkStatus, event::Body,
};
use attestune_replay_tests::{outcome, results};

/// Steps of a training.
const STEPS: u32 = 4;
/// How long one of them takes.
const STEP_MS: u64 = 2_000;
/// How often a report that came too late is made again.
const TRIES: u32 = 5;

/// Trains one run after another.
pub async fn trainer(me: Me) {
    loop {
        for run in me.look(open_runs) {
            if !me.left(run.position, Kind::TrainingClaimed) {
                train(&me, &run).await;
            }
        }
        me.turn().await;
    }
}

/// Runs one evaluation after another.
pub async fn evaluator(me: Me) {
    loop {
        for evaluation in me.look(open_evaluations) {
            if !me.left(evaluation.position, Kind::EvaluationClaimed) {
                evaluate(&me, &evaluation).await;
            }
        }
        me.turn().await;
    }
}

async fn train(me: &Me, run: &RunRow) {
    let Some(mut held) = Held::take(me, Work::Training(run.position)).await else { return };
    for step in 1..=STEPS {
        let until_ms = me.now_ms() + STEP_MS;
        while me.now_ms() < until_ms {
            me.turn().await;
        }
        if !held.progressed(step).await {
            return me.leave(run.position, Kind::TrainingClaimed);
        }
    }
    let at = run.position;
    let outcome = if me.one_in(6) {
        let reason = FailureReason::Diverged.into();
        held.report(|token| Body::TrainingFailed(TrainingFailed { run: at, token, reason })).await
    } else {
        let body = result(me, run);
        held.report(|token| Body::TrainingCompleted(TrainingCompleted { token, ..body.clone() })).await
    };
    if !matches!(outcome, Outcome::Accepted(_)) {
        me.leave(at, Kind::TrainingClaimed);
    }
}

async fn evaluate(me: &Me, evaluation: &EvaluationRow) {
    let at = evaluation.position;
    let Some(mut held) = Held::take(me, Work::Evaluation(at)).await else { return };
    for _ in 0..STEPS {
        let until_ms = me.now_ms() + STEP_MS;
        while me.now_ms() < until_ms {
            me.turn().await;
        }
        if !held.keep().await {
            return me.leave(at, Kind::EvaluationClaimed);
        }
    }
    let outcome = if me.one_in(8) {
        let reason = FailureReason::OutOfMemory.into();
        held.report(|token| Body::EvaluationFailed(EvaluationFailed { evaluation: at, token, reason })).await
    } else {
        let passed = 93 + me.below(8) as u32;
        held.report(|token| Body::EvaluationCompleted(results(at, token, passed))).await
    };
    if !matches!(outcome, Outcome::Accepted(_)) {
        me.leave(at, Kind::EvaluationClaimed);
    }
}

fn result(me: &Me, run: &RunRow) -> TrainingCompleted {
    let (dataset, base) = me.look(|view| (view.get(&Datasets::key(run.dataset)), view.get(&Bases::key(run.base))));
    let (dataset, base) = (dataset.unwrap_or_default(), base.unwrap_or_default());
    TrainingCompleted {
        steps: STEPS,
        dataset_root: dataset.root,
        weights_digest: base.weights_digest,
        tokenizer_digest: base.tokenizer_digest,
        ..outcome(run.position)
    }
}

/// A piece of work that is done under a lease, by the position of its request.
#[derive(Clone, Copy)]
enum Work {
    Training(u64),
    Evaluation(u64),
}

impl Work {
    fn position(self) -> u64 {
        match self {
            Self::Training(position) | Self::Evaluation(position) => position,
        }
    }

    /// Its lease in a view; nothing if it has ended.
    fn lease(self, view: &View<'_>) -> Option<Option<Lease>> {
        let (status, lease) = match self {
            Self::Training(position) => view.get(&Runs::key(position)).map(|row| (row.status, row.lease))?,
            Self::Evaluation(position) => view.get(&Evaluations::key(position)).map(|row| (row.status, row.lease))?,
        };
        is_open(status).then_some(lease)
    }

    fn claim(self, previous: Option<u64>) -> Body {
        match self {
            Self::Training(run) => Body::TrainingClaimed(TrainingClaimed { run, previous }),
            Self::Evaluation(evaluation) => Body::EvaluationClaimed(EvaluationClaimed { evaluation, previous }),
        }
    }
}

/// A lease that a process holds, or believes that it holds.
struct Held<'m> {
    me: &'m Me,
    work: Work,
    token: u64,
    expires_ms: u64,
    length_ms: u64,
    /// A process before this one made the claim.
    inherited: bool,
}

impl<'m> Held<'m> {
    /// Takes work that is free, or goes on with what this key holds from before a crash.
    async fn take(me: &'m Me, work: Work) -> Option<Self> {
        let lease = me.look(|view| work.lease(view))?;
        let mut held = Self { me, work, token: 0, expires_ms: 0, length_ms: 0, inherited: false };
        match lease {
            None => held.claim(None).await.then_some(())?,
            Some(lease) => {
                let holder = lease.holder.unwrap_or_default();
                let corrected = me.look(|view| view.get(&Ledgers::key()).unwrap_or_default().clock_corrected_at);
                if lease.expires_ms < me.now_ms() || holder.position < corrected {
                    held.claim(Some(holder.position)).await.then_some(())?;
                } else if holder.actor == me.name && holder.keyid == me.key().keyid() {
                    (held.token, held.inherited) = (holder.position, true);
                    held.look().then_some(())?;
                } else {
                    return None;
                }
            }
        }
        held.length_ms = held.expires_ms.saturating_sub(me.now_ms());
        Some(held)
    }

    /// Keeps hold of it; false if it is somebody else's now.
    async fn keep(&mut self) -> bool {
        self.me.is_careless() || self.renew().await
    }

    /// Claims it anew where less than a third of it is left; unlike the real ones also where its replica says that it is
    /// lost, so that the ledger has that to refuse.
    async fn renew(&mut self) -> bool {
        if self.lasts() || (self.look() && self.lasts()) {
            return true;
        }
        // Where it was refused, the log's clock may be behind this one: the lease lives still.
        self.claim(Some(self.token)).await || self.look()
    }

    fn lasts(&self) -> bool {
        self.me.now_ms() + self.length_ms / 3 <= self.expires_ms
    }

    /// Reads how long it lasts; whether it is still this process's.
    fn look(&mut self) -> bool {
        let Some(Some(lease)) = self.me.look(|view| self.work.lease(view)) else { return false };
        self.expires_ms = lease.expires_ms;
        lease.holder.is_some_and(|holder| holder.position == self.token)
    }

    async fn claim(&mut self, previous: Option<u64>) -> bool {
        let part = previous.unwrap_or(0).to_string();
        let Outcome::Accepted(token) = self.me.act(self.work.position(), &part, self.work.claim(previous)).await else {
            return false;
        };
        (self.token, self.inherited) = (token, false);
        self.look()
    }

    /// Puts progress on record, which renews the lease, but not under an inherited claim; false if it is lost.
    async fn progressed(&mut self, step: u32) -> bool {
        if !self.keep().await {
            return false;
        }
        if self.inherited {
            return true;
        }
        let (run, token, tokens) = (self.work.position(), self.token, u64::from(step) * 250);
        let body = TrainingProgressed { run, token, step, steps: STEPS, loss_micro: 2_000_000, tokens };
        match self.me.act(run, &format!("{token}/{step}"), Body::TrainingProgressed(body)).await {
            Outcome::Accepted(_) | Outcome::Before | Outcome::Refused(_) => self.me.is_careless() || self.look(),
            Outcome::Resting | Outcome::Failed => self.me.is_careless(),
        }
    }

    /// Reports under the lease. One that ran out on the way is claimed anew, and the report made again.
    async fn report(&mut self, body: impl Fn(u64) -> Body) -> Outcome {
        let mut outcome = Outcome::Resting;
        for _ in 0..TRIES {
            if !self.keep().await {
                break;
            }
            outcome = self.me.act(self.work.position(), &self.token.to_string(), body(self.token)).await;
            if outcome != Outcome::Refused("lease-expired") {
                break;
            }
        }
        outcome
    }
}

fn is_open(status: i32) -> bool {
    [WorkStatus::Open as i32, WorkStatus::Claimed as i32].contains(&status)
}

/// Runs that have not ended.
pub fn open_runs(view: &View<'_>) -> Vec<RunRow> {
    let mut runs = view.scan(&Runs::all());
    runs.retain(|run| is_open(run.status));
    runs
}

/// Evaluations that have not ended.
pub fn open_evaluations(view: &View<'_>) -> Vec<EvaluationRow> {
    let mut evaluations = view.scan(&Evaluations::all());
    evaluations.retain(|evaluation| is_open(evaluation.status));
    evaluations
}
