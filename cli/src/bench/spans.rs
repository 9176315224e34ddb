//! The embedded log with a stopwatch: when appends begin and end, and how long the fold of a window takes.
//!
//! A replica asks its log for what is new, reads it, folds it, and lets the log settle; what lies between the reading
//! and the settling is the fold, which goes on while the disk takes the entries in.

use super::figure::Times;
use attestune_ledger::log::{Answer, Embedded, Entry, EventLog, LogError};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// A log whose calls are timed.
pub struct Timed {
    log: Embedded,
    spans: Arc<Mutex<Spans>>,
}

/// What was timed since the last [`Timed::take`].
#[derive(Default)]
pub struct Spans {
    /// When each append began.
    pub appends_began: Vec<Instant>,
    /// How long each append took: hand-over to the committer, write and fsync.
    pub appends: Times,
    /// How long the fold of each window took, its reading included.
    pub folds: Times,
    reading: Option<Instant>,
}

impl Timed {
    /// A stopwatch around a log.
    pub fn new(log: Embedded) -> Self {
        Self { log, spans: Arc::default() }
    }

    /// What was timed, which begins anew.
    pub fn take(&self) -> Spans {
        std::mem::take(&mut *self.spans())
    }

    fn spans(&self) -> MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventLog for Timed {
    fn append(&self, values: Vec<Vec<u8>>) -> Result<Vec<u64>, LogError> {
        let began = Instant::now();
        let outcome = self.log.append(values);
        let took = began.elapsed();
        let mut spans = self.spans();
        spans.appends_began.push(began);
        spans.appends.push(took);
        outcome
    }

    fn submit(&self, values: Vec<Vec<u8>>, answer: Answer) {
        let began = Instant::now();
        let spans = self.spans.clone();
        let timed = move |outcome| {
            {
                let mut spans = spans.lock().unwrap_or_else(PoisonError::into_inner);
                spans.appends_began.push(began);
                spans.appends.push(began.elapsed());
            }
            answer(outcome);
        };
        self.log.submit(values, Box::new(timed));
    }

    fn settle(&self, end: u64) -> Result<(), LogError> {
        let began = self.spans().reading.take();
        if let Some(began) = began {
            self.spans().folds.push(began.elapsed());
        }
        self.log.settle(end)
    }

    fn read(&self, from: u64, max_entries: usize, max_bytes: usize) -> Result<Vec<Entry>, LogError> {
        self.spans().reading = Some(Instant::now());
        self.log.read(from, max_entries, max_bytes)
    }

    fn end(&self) -> Result<u64, LogError> {
        self.log.end()
    }

    fn wait_past(&self, end: u64, timeout: Duration) -> Result<u64, LogError> {
        self.log.wait_past(end, timeout)
    }
}
