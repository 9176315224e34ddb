//! Leases as a worker sees them: which work is free, which it holds still, and how it keeps hold of it.

use crate::{Context, Outcome, WorkerError, context::now_ms, runner::leave};
use attestune_ledger::state::{Evaluations, Ledgers, Runs};
use attestune_proto::v1::{EvaluationClaimed, Kind, Lease, Signer, TrainingClaimed, WorkStatus, event::Body};
use std::ops::ControlFlow;

/// A piece of work that is done under a lease.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// A run, by the position of its request.
    Training(u64),
    /// An evaluation, likewise.
    Evaluation(u64),
}

impl Work {
    fn position(self) -> u64 {
        match self {
            Self::Training(position) | Self::Evaluation(position) => position,
        }
    }

    /// The kind of the acts that claim it.
    fn kind(self) -> Kind {
        match self {
            Self::Training(_) => Kind::TrainingClaimed,
            Self::Evaluation(_) => Kind::EvaluationClaimed,
        }
    }

    /// Its lease now; nothing if it has ended.
    fn lease(self, context: &Context) -> Option<Option<Lease>> {
        let view = context.view();
        let view = view.view();
        let (status, lease) = match self {
            Self::Training(position) => view.get(&Runs::key(position)).map(|row| (row.status, row.lease))?,
            Self::Evaluation(position) => view.get(&Evaluations::key(position)).map(|row| (row.status, row.lease))?,
        };
        let open = status == WorkStatus::Open as i32 || status == WorkStatus::Claimed as i32;
        open.then_some(lease)
    }

    fn claim(self, previous: Option<u64>) -> Body {
        match self {
            Self::Training(run) => Body::TrainingClaimed(TrainingClaimed { run, previous }),
            Self::Evaluation(evaluation) => Body::EvaluationClaimed(EvaluationClaimed { evaluation, previous }),
        }
    }
}

/// A lease that this worker holds.
pub(crate) struct Held<'c> {
    context: &'c Context,
    work: Work,
    /// The claim's position, which every report names.
    pub(crate) token: u64,
    expires_ms: u64,
    /// How long it was given for when it was taken.
    length_ms: u64,
    /// An earlier process under this worker's key made the claim: what that one reported last may still be on its way to
    /// the log, or stand there unread.
    pub(crate) inherited: bool,
}

impl<'c> Held<'c> {
    /// Takes work that is free, or goes on with what this worker's key holds: it was claimed by a process that died, as
    /// this one does one thing at a time. That is why a key serves one process only. Nothing if somebody else has it.
    ///
    /// # Errors
    /// If the claim did not get onto the log.
    pub(crate) fn take(context: &'c Context, work: Work) -> Result<Option<Self>, WorkerError> {
        let Some(lease) = work.lease(context) else { return Ok(None) };
        let mut held = Self { context, work, token: 0, expires_ms: 0, length_ms: 0, inherited: false };
        match free_or_own(context, lease.as_ref()) {
            Found::Others => return Ok(None),
            Found::Own { token } => {
                tracing::info!(
                    ?work,
                    token,
                    "going on under a claim of before; its progress is told once it is renewed"
                );
                (held.token, held.inherited) = (token, true);
                if !held.look() {
                    return Ok(None);
                }
            }
            Found::Free { previous } => {
                if !held.claim(previous)? {
                    return Ok(None);
                }
            }
        }
        held.length_ms = held.expires_ms.saturating_sub(now_ms());
        Ok(Some(held))
    }

    /// How often it should be renewed, in milliseconds: long before it runs out, but at most so seldom.
    pub(crate) fn renewal_ms(&self, at_most: u64) -> u64 {
        (self.length_ms / 3).min(at_most)
    }

    /// Keeps hold of it; breaks if it is somebody else's now, or the worker was told to stop.
    pub(crate) fn keep(&mut self) -> ControlFlow<()> {
        if !self.context.stopping() && self.renew() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Claims it anew where less than a third of it is left; whether it is still this worker's.
    pub(crate) fn renew(&mut self) -> bool {
        let lasts = |held: &Self| now_ms() + held.length_ms / 3 <= held.expires_ms;
        if lasts(self) {
            return true;
        }
        // To claim what is known to be lost would only leave a refusal on the record.
        if !self.look() {
            return false;
        }
        // Progress may have renewed it since this one looked.
        if lasts(self) {
            return true;
        }
        match self.claim(Some(self.token)) {
            // Where it was refused, the log's clock may be behind this one: the lease lives still.
            Ok(claimed) => claimed || self.look(),
            Err(error) => {
                tracing::warn!(work = ?self.work, %error, "the lease could not be renewed");
                false
            }
        }
    }

    /// Reads how long it lasts; whether it is still this worker's.
    pub(crate) fn look(&mut self) -> bool {
        let Some(Some(Lease { holder, expires_ms })) = self.work.lease(self.context) else { return false };
        let ours = holder.is_some_and(|holder| holder.position == self.token);
        if ours {
            self.expires_ms = expires_ms;
        }
        ours
    }

    /// Leaves it for half a minute, and says what became of it.
    pub(crate) fn leave(&self) {
        let (work, token) = (self.work, self.token);
        leave(self.context, work.kind(), work.position());
        let Some(lease) = work.lease(self.context) else {
            tracing::warn!(?work, token, "given up: it has ended meanwhile, and what was done here does not count");
            return;
        };
        let holder = lease.and_then(|lease| lease.holder).unwrap_or_default();
        let (claim, by_own_key) = (holder.position, is_own(self.context, &holder));
        if claim == token && self.context.stopping() {
            tracing::info!(?work, token, "stopped before its end: whoever goes on with it begins anew");
        } else if claim == token {
            tracing::warn!(?work, token, "given up for half a minute: whoever goes on with it begins anew");
        } else if by_own_key {
            tracing::warn!(
                ?work,
                token,
                claim,
                "lost to a later claim under this worker's own key: if another process has that key, give it its own"
            );
        } else {
            tracing::warn!(
                ?work,
                token,
                claim,
                holder = holder.actor,
                "lost: another worker has claimed it since, and what was done here does not count"
            );
        }
    }

    /// Reports under the lease. One that ran out on the way is claimed anew, and the report made again.
    ///
    /// # Errors
    /// If a report did not get onto the log.
    pub(crate) fn report(&mut self, body: impl Fn(u64) -> Body) -> Result<Outcome, WorkerError> {
        const TRIES: u32 = 5;
        let mut outcome = Outcome::Resting;
        for _ in 0..TRIES {
            if !self.renew() {
                break;
            }
            outcome = self.context.act(self.work.position(), &self.token.to_string(), body(self.token))?;
            let late = matches!(&outcome, Outcome::Refused(receipt)
                if receipt.refusal.as_ref().is_some_and(|refusal| refusal.code == "lease-expired"));
            if !late {
                break;
            }
        }
        Ok(outcome)
    }

    fn claim(&mut self, previous: Option<u64>) -> Result<bool, WorkerError> {
        let part = previous.unwrap_or(0).to_string();
        match self.context.act(self.work.position(), &part, self.work.claim(previous))? {
            Outcome::Accepted(receipt) => {
                (self.token, self.inherited) = (receipt.position, false);
                Ok(self.look())
            }
            Outcome::Before(_) | Outcome::Refused(_) | Outcome::Resting => Ok(false),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// Nobody holds it; the claim that the next one replaces.
    Free {
        previous: Option<u64>,
    },
    Own {
        token: u64,
    },
    Others,
}

fn free_or_own(context: &Context, lease: Option<&Lease>) -> Found {
    let Some(lease) = lease else { return Found::Free { previous: None } };
    let holder = lease.holder.clone().unwrap_or_default();
    let ledger = context.view().view().get(&Ledgers::key()).unwrap_or_default();
    if lease.expires_ms < now_ms() || holder.position < ledger.clock_corrected_at {
        Found::Free { previous: Some(holder.position) }
    } else if is_own(context, &holder) {
        Found::Own { token: holder.position }
    } else {
        Found::Others
    }
}

/// Whether a claim was signed with this worker's key.
fn is_own(context: &Context, holder: &Signer) -> bool {
    holder.actor == context.actor() && holder.keyid == context.keyid()
}
