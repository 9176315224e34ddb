//! What a replica measures of itself, for whoever watches it: counters since it was opened. The rules see none of it.

use super::{Replica, ReplicaError, lock};
use crate::rules::Folded;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The counters.
#[derive(Default)]
pub(super) struct Measured {
    verified: AtomicU64,
    verify_ns: AtomicU64,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
}

impl Measured {
    /// Counts some entries and the time that their check takes.
    pub(super) fn check<T>(&self, entries: u64, check: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let checked = check();
        self.verified.fetch_add(entries, Ordering::Relaxed);
        self.verify_ns.fetch_add(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
        checked
    }

    /// Counts a refusal under its code.
    pub(super) fn decided(&self, folded: &Folded) {
        if let Some(refusal) = &folded.refusal {
            *lock(&self.refusals).entry(refusal.code()).or_default() += 1;
        }
    }
}

/// How much a replica has verified since it was opened.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Entries decoded and checked.
    pub entries: u64,
    /// The time that took, added up over threads.
    pub time: Duration,
}

impl Replica {
    /// The position after the log's last entry. A log that is elsewhere may take a while to say.
    ///
    /// # Errors
    /// If the log can't be reached.
    pub fn log_end(&self) -> Result<u64, ReplicaError> {
        Ok(self.log.end()?)
    }

    /// What was verified since the replica was opened.
    pub fn verified(&self) -> Verified {
        let measured = &self.keys.measured;
        Verified {
            entries: measured.verified.load(Ordering::Relaxed),
            time: Duration::from_nanos(measured.verify_ns.load(Ordering::Relaxed)),
        }
    }

    /// Refusals by code that were folded since the replica was opened.
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.keys.measured.refusals).clone()
    }

    /// The fold's time, milliseconds since 1970; 0 before the first entry.
    pub fn fold_time_ms(&self) -> u64 {
        self.shown.head().fold_time_ms
    }
}
