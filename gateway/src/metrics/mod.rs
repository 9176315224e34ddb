//! What a server measures, in Prometheus' text format.
//!
//! Numbers come from the replica and the vault, which count for themselves, and are read when somebody asks: the fold
//! pays for a counter at most. No text of the vault is in them, and of actors only the names of workers. Every label has
//! few values.

mod calls;
mod names;

pub use calls::{count_answer, measure};
pub use names::{METRICS, Metric, Type};

use crate::Published;
use crate::stop::Stop;
use attestune_ledger::query::{OpenWorkCursor, UnreadWindows};
use attestune_ledger::replica::{Replica, StoreView};
use attestune_ledger::state::Actors;
use attestune_ledger::vault::Vault;
use attestune_proto::v1::{ActorKind, Lease, OpenWork};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long the log has to tell its end.
const LOG_WAIT: Duration = Duration::from_secs(2);
/// A replica that is further behind than this is not ready.
const LAG_MAX: u64 = 50_000;
/// Batches that wait are counted up to here.
const OPEN_MAX: usize = 10_000;
/// Holders of leases that have a name of their own.
const HOLDERS_MAX: usize = 50;

/// What a server can tell of itself.
pub struct Watched {
    replica: Arc<Replica>,
    vault: Option<Arc<Vault>>,
    published: Option<Arc<Published>>,
    stop: Stop,
    /// Partitions of the work that a worker holds.
    share: Option<Arc<AtomicU32>>,
    open: Mutex<OpenWorkCursor>,
    unread: Mutex<UnreadWindows>,
    /// Whether somebody still waits for the log's word.
    asking: Arc<AtomicBool>,
}

impl Watched {
    /// Of a replica, of a vault if there is one, and of what is published if anything is.
    pub fn new(
        replica: Arc<Replica>,
        vault: Option<Arc<Vault>>,
        published: Option<Arc<Published>>,
        stop: Stop,
    ) -> Self {
        Self {
            replica,
            vault,
            published,
            stop,
            share: None,
            open: Mutex::default(),
            unread: Mutex::default(),
            asking: Arc::default(),
        }
    }

    /// The same of a worker that shares its work: how many partitions it holds.
    pub fn sharing(self, share: Option<Arc<AtomicU32>>) -> Self {
        Self { share, ..self }
    }

    /// Why the process should be started anew, if it should: a fold that has stopped does not go on by itself.
    pub fn dead(&self) -> Option<String> {
        self.replica.failure().map(|why| format!("the fold has stopped: {why}"))
    }

    /// Why nobody should be sent here now, if so.
    pub async fn unready(&self) -> Option<String> {
        self.judge(self.log_end().await)
    }

    /// What the replica has folded, a line each: two replicas of one size must tell the same.
    ///
    /// # Errors
    /// If there is no ledger yet, or the store can't be read: why.
    pub async fn head(&self) -> Result<String, String> {
        let replica = self.replica.clone();
        let head = tokio::task::spawn_blocking(move || replica.head()).await.map_err(|error| error.to_string())?;
        let head = head.map_err(|error| error.to_string())?;
        let roots = [("ledger", head.ledger), ("entries", head.entry_root), ("verdicts", head.verdict_root)];
        let lines = roots.map(|(name, hash)| format!("{name} {}\n", hex::encode(hash)));
        Ok(format!("size {}\n{}", head.size, lines.concat()))
    }

    fn judge(&self, log_end: Option<u64>) -> Option<String> {
        if self.stop.said() {
            return Some("the server is stopping".into());
        }
        if let Some(why) = self.dead() {
            return Some(why);
        }
        let position = self.replica.position();
        let Some(end) = log_end else { return Some("the log can't be reached".into()) };
        let lag = end.saturating_sub(position);
        if lag > LAG_MAX {
            return Some(format!("the replica is {lag} entries behind the log"));
        }
        (position == 0).then(|| "there is no ledger yet".into())
    }

    /// Where the log ends, if it says so in time. It is asked by one thread at a time, so that a log that hangs holds up
    /// no more than that.
    async fn log_end(&self) -> Option<u64> {
        if self.asking.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (replica, asking) = (self.replica.clone(), self.asking.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let end = replica.log_end();
            asking.store(false, Ordering::Release);
            end
        });
        tokio::time::timeout(LOG_WAIT, asked).await.ok()?.ok()?.ok()
    }

    /// Everything, as Prometheus reads it.
    pub async fn render(self: &Arc<Self>) -> String {
        let (watched, log_end) = (self.clone(), self.log_end().await);
        let rendered = tokio::task::spawn_blocking(move || watched.gather(log_end)).await;
        rendered.unwrap_or_default() + &calls::render()
    }

    /// A recorder for each reading: a holder that has let go leaves nothing behind.
    fn gather(&self, log_end: Option<u64>) -> String {
        let recorder = PrometheusBuilder::new().build_recorder();
        describe(&recorder);
        metrics::with_local_recorder(&recorder, || {
            gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            gauge!(names::READY).set(if self.judge(log_end).is_none() { 1.0 } else { 0.0 });
            self.log_and_fold(log_end);
            self.work();
            self.windows();
            self.publishing();
            if let Some(share) = &self.share {
                gauge!(names::WORK_PARTITIONS).set(f64::from(share.load(Ordering::Relaxed)));
            }
            for (operation, outcome, count) in self.vault.iter().flat_map(|vault| vault.counts()) {
                counter!(names::VAULT, "operation" => operation, "outcome" => outcome).absolute(count);
            }
        });
        recorder.handle().render()
    }

    fn log_and_fold(&self, log_end: Option<u64>) {
        let replica = &self.replica;
        let position = replica.position();
        gauge!(names::LOG_REACHABLE).set(if log_end.is_some() { 1.0 } else { 0.0 });
        if let Some(end) = log_end {
            gauge!(names::LOG_END).set(end as f64);
            gauge!(names::LAG).set(end.saturating_sub(position) as f64);
        }
        gauge!(names::POSITION).set(position as f64);
        gauge!(names::FOLD_TIME).set(replica.fold_time_ms() as f64 / 1000.0);
        gauge!(names::FOLD_FAILED).set(if replica.failure().is_some() { 1.0 } else { 0.0 });
        let counts = replica.counts();
        let verdicts = [
            ("accepted", counts.accepted),
            ("refused", counts.refused),
            ("duplicate", counts.duplicates),
            ("garbage", counts.garbage),
        ];
        for (verdict, count) in verdicts {
            counter!(names::ENTRIES, "verdict" => verdict).absolute(count);
        }
        for (code, count) in replica.refusals() {
            counter!(names::REFUSALS, "code" => code).absolute(count);
        }
        let verified = replica.verified();
        counter!(names::VERIFIED).absolute(verified.entries);
        counter!(names::VERIFY_TIME).absolute(verified.time.as_micros() as u64);
    }

    fn publishing(&self) {
        let Some((positions, publishing)) = self.published.as_ref().and_then(|published| published.noted()) else {
            return;
        };
        gauge!(names::PUBLISHED).set(positions as f64);
        gauge!(names::PUBLISH_LAG).set(self.replica.position().saturating_sub(positions) as f64);
        gauge!(names::PUBLISHING).set(if publishing { 1.0 } else { 0.0 });
    }

    fn work(&self) {
        let view = self.replica.view();
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).advance(&view, OPEN_MAX);
        let open = match open {
            Ok(open) => open,
            Err(error) => {
                tracing::warn!(%error, "what waits for workers can't be counted");
                return;
            }
        };
        let waiting = [
            ("scan", open.batches_to_scan.len()),
            ("check", open.batches_to_check.len()),
            ("training", open.runs.len()),
            ("evaluation", open.evaluations.len()),
            ("leakage", open.leakage_to_check.len()),
        ];
        for (work, count) in waiting {
            gauge!(names::OPEN_WORK, "work" => work).set(count as f64);
        }
        for ((work, holder), count) in holders(&view, &open) {
            gauge!(names::LEASES, "work" => work, "holder" => holder).set(count as f64);
        }
    }

    fn windows(&self) {
        let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner).advance(&self.replica.view());
        match unread {
            Ok(count) => gauge!(names::UNREAD_WINDOWS).set(count as f64),
            Err(error) => tracing::warn!(%error, "windows that no monitor has read can't be counted"),
        }
    }
}

/// How many leases each worker holds, by the kind of work. A person who holds one has no name here.
fn holders(view: &StoreView, open: &OpenWork) -> BTreeMap<(&'static str, String), usize> {
    let leases = open.runs.iter().filter_map(|run| Some(("training", run.lease.as_ref()?)));
    let leases = leases.chain(open.evaluations.iter().filter_map(|e| Some(("evaluation", e.lease.as_ref()?))));
    let view = view.view();
    let name = |lease: &Lease| {
        let actor = &lease.holder.as_ref()?.actor;
        let worker = view.get(&Actors::key(actor)).is_some_and(|row| row.kind == ActorKind::Worker as i32);
        Some(if worker { actor.clone() } else { "person".into() })
    };
    by_holder(leases.filter_map(|(work, lease)| Some((work, name(lease)?))))
}

fn by_holder(leases: impl Iterator<Item = (&'static str, String)>) -> BTreeMap<(&'static str, String), usize> {
    let mut held = BTreeMap::new();
    for (work, holder) in leases {
        let known = held.len() < HOLDERS_MAX || held.contains_key(&(work, holder.clone()));
        *held.entry((work, if known { holder } else { "other".into() })).or_default() += 1;
    }
    held
}

/// Gives a recorder the meaning of every metric.
fn describe(recorder: &PrometheusRecorder) {
    metrics::with_local_recorder(recorder, || {
        for metric in METRICS {
            match metric.kind {
                Type::Counter => describe_counter!(metric.name, metric.meaning),
                Type::Gauge => describe_gauge!(metric.name, metric.meaning),
                Type::Histogram => describe_histogram!(metric.name, metric.meaning),
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_counted_by_holder_and_beyond_fifty_holders_together() {
        let held = (0..60).map(|n| ("training", format!("trainer-{n:02}"))).chain([("training", "trainer-00".into())]);
        let counted = by_holder(held.chain([("evaluation", "evaluator".into())]));
        let count = |holder: &str| counted.get(&("training", holder.to_owned())).copied();
        assert_eq!((count("trainer-00"), count("trainer-49"), count("trainer-50")), (Some(2), Some(1), None));
        assert_eq!(count("other"), Some(10));
        assert_eq!(counted.values().sum::<usize>(), 62);
    }
}
