//! Workers that are struck while they hold a lease.

use super::others::Others;
use super::place::now_ms;
use super::until;
use attestune_ledger::keyfile::KeyFile;
use attestune_proto::v1::{
    EvaluationFailed, FailureReason, Lease, ListRequest, Receipt, TrainingFailed, Verdict, event::Body,
    registry_client::RegistryClient,
};
use std::time::Duration;

/// How long a lease that ran out is waited for to be taken over.
const TAKEN: Duration = Duration::from_secs(45);
/// How long is waited for somebody to be at work, to be struck there.
const AT_WORK: Duration = Duration::from_secs(6);

/// What is done under a lease.
#[derive(Clone, Copy)]
pub enum Work {
    Training,
    Evaluation,
}

impl Work {
    /// How the names of those begin who do it.
    fn part(self) -> &'static str {
        match self {
            Self::Training => "trainer",
            Self::Evaluation => "evaluator",
        }
    }
}

/// A lease, as a gateway knows it.
struct Held {
    position: u64,
    token: u64,
    actor: String,
    expires_ms: u64,
    /// What it was for has ended.
    ended: bool,
}

impl Others<'_> {
    /// Kills a worker that holds a lease, if one does.
    pub fn kill_at_work(&mut self, work: Work) -> (bool, Duration) {
        let held = self.held(work);
        let part = held.as_ref().and_then(|held| self.part_of(held)).unwrap_or_else(|| self.one_of(work.part()));
        (held.is_some(), self.kill(part))
    }

    /// Pauses a worker until its lease is another's; a report under the old one is refused.
    pub fn pause_past_lease(&mut self, work: Work) -> (bool, Duration) {
        let held = self.held(work);
        let paused = held.and_then(|held| self.part_of(&held).map(|part| (held, part)));
        let Some((held, part)) = paused else { return (false, self.kill_one(work.part())) };
        let Some(process) = self.parts[part].running() else { return (false, self.kill_one(work.part())) };
        process.pause();
        let taken = until(TAKEN, || self.is_lost(work, &held));
        if taken {
            let receipt = self.report_late(work, &held, part);
            // What was sent twice may be told to be a duplicate; that it was refused, too, is seen at the end.
            assert_ne!(receipt.verdict(), Verdict::Accepted, "a late report of {} is refused", work.part());
            if let Some(refusal) = receipt.refusal {
                assert!(["token-outdated", "lease-expired", "ended"].contains(&refusal.code.as_str()), "{refusal:?}");
            }
        }
        if let Some(process) = self.parts[part].running() {
            process.resume();
        }
        (taken, Duration::ZERO)
    }

    /// What the paused worker would say if nothing kept it from that.
    fn report_late(&mut self, work: Work, held: &Held, part: usize) -> Receipt {
        let actor = self.parts[part].plan.actor();
        let key = KeyFile::load(&self.ledger.folder().join(format!("server/{actor}.key"))).unwrap();
        let mut late = self.onlooker.as_another(actor, key);
        let (position, token, reason) = (held.position, held.token, FailureReason::Internal.into());
        let body = match work {
            Work::Training => Body::TrainingFailed(TrainingFailed { run: position, token, reason }),
            Work::Evaluation => Body::EvaluationFailed(EvaluationFailed { evaluation: position, token, reason }),
        };
        late.act(Some(position), body)
    }

    /// The part whose actor holds a lease.
    fn part_of(&self, held: &Held) -> Option<usize> {
        self.parts.iter().position(|part| part.plan.actor() == held.actor)
    }

    /// A lease that somebody holds, if that is so within some seconds.
    fn held(&mut self, work: Work) -> Option<Held> {
        let mut found = None;
        until(AT_WORK, || {
            found = self.leases(work).into_iter().find(|held| !held.ended && held.expires_ms > now_ms());
            found.is_some()
        });
        found
    }

    /// Whether the work has ended or is another's.
    fn is_lost(&mut self, work: Work, held: &Held) -> bool {
        let now = self.leases(work).into_iter().find(|now| now.position == held.position);
        now.is_some_and(|now| now.ended || now.actor != held.actor)
    }

    /// All leases there were.
    fn leases(&mut self, work: Work) -> Vec<Held> {
        let held = |position, lease: Option<Lease>, ended_at| {
            let Lease { holder, expires_ms } = lease?;
            let holder = holder?;
            Some(Held { position, token: holder.position, actor: holder.actor, expires_ms, ended: ended_at > 0 })
        };
        let all = ListRequest::default();
        match work {
            Work::Training => {
                let runs = self
                    .onlooker
                    .ask(&all, async |channel, request| RegistryClient::new(channel).list_runs(request).await)
                    .runs
                    .into_iter();
                runs.filter_map(|run| held(run.position, run.lease, run.ended_at)).collect()
            }
            Work::Evaluation => {
                let evaluations = self
                    .onlooker
                    .ask(&all, async |channel, request| RegistryClient::new(channel).list_evaluations(request).await)
                    .evaluations
                    .into_iter();
                evaluations.filter_map(|open| held(open.position, open.lease, open.ended_at)).collect()
            }
        }
    }
}
