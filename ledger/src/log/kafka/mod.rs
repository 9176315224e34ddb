//! The log on Kafka: a topic with one partition, which many replicas share.
//!
//! An entry is a record's value alone, its time the record's timestamp; keys and headers are ignored, no value is an
//! empty one, and a value too large stands as its [short form](super::ShortForm). Positions count records: offsets have
//! gaps where transactions ended. What transactions of others wrote are entries, committed or not, as whether one is
//! committed is told after the fact.
//!
//! One thread reads the topic into the replica's store, where the replica and everybody else find it; with each write
//! goes the [note](resume) of where the copy ends. An append waits until the brokers acknowledged it and that thread
//! came to it, so that its position is known. While no broker answers, what has been read stays readable, and an append
//! fails in time. What would make the copy another log than the topic's stops the log for good.

mod block_on;
mod config;
mod contact;
mod error;
mod group;
mod identity;
mod outbox;
pub mod publish;
mod reader;
mod restore;
mod resume;
pub mod settings;
mod topic;
mod watch;
mod work;
mod writer;

pub use config::KafkaConfig;
pub use error::KafkaError;
pub use group::{Group, Held};
pub use rdkafka;
pub use restore::{Restored, restore};
pub use topic::{Found, Stamp, create, delete, describe, set_stamp};
pub use work::{WORK_PARTITIONS, WorkTopic, describe_work};

use super::{Answer, Copied, Entry, EventLog, LogError, check_sizes};
use crate::store::{Family, Store};
use contact::Contact;
use resume::Resume;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use writer::Writer;

/// The one partition of a ledger's topic.
const PARTITION: i32 = 0;
/// Gaps in the offsets that are remembered, newest last: enough for what appends still wait for.
const RUNS_MAX: usize = 4096;

/// The log on Kafka, with its copy in a store.
pub struct Kafka {
    shared: Arc<Shared>,
    writer: Writer,
    threads: Vec<JoinHandle<()>>,
}

/// How it stands between this replica and the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The next offset that the replica will read.
    pub next_offset: i64,
    /// The offset after the topic's last record, as last heard; the difference is at most the replica's lag, as
    /// markers of transactions count, too.
    pub end_offset: i64,
    /// What went wrong with the brokers since they were last heard; none while all is well.
    pub trouble: Option<String>,
}

struct Shared {
    config: KafkaConfig,
    copied: Copied,
    progress: Mutex<Progress>,
    /// Appends that are not answered yet.
    under_way: AtomicUsize,
    /// The offset after the last record that was on the topic when it was opened.
    end_at_opening: i64,
    /// The same as last heard.
    end_offset: AtomicI64,
    /// The topic's end was reached once. Told apart from offsets, as a transaction's marker may be the last.
    reached_end: AtomicBool,
    contact: Contact,
    failure: Mutex<Option<LogError>>,
    stopping: AtomicBool,
}

/// How far the topic has been read, and who waits for which record.
struct Progress {
    next_offset: i64,
    /// Where offsets and positions run in step: (first offset, its position), ascending.
    runs: Vec<(i64, u64)>,
    /// Acknowledged appends that have not been read yet, by their last offset.
    waiting: BTreeMap<i64, Waiting>,
}

struct Waiting {
    offsets: Vec<i64>,
    answer: Answer,
}

/// Appends that are to be answered: once the lock is free, as others wait for it meanwhile, and whoever hears of an append
/// may append again.
#[must_use]
struct Settled(Vec<(Answer, Result<Vec<u64>, LogError>)>);

impl Settled {
    fn answer(self) {
        self.0.into_iter().for_each(|(answer, outcome)| answer(outcome));
    }
}

impl Kafka {
    /// Opens the ledger's topic for a replica with this store: compares what the store holds with the topic, then reads
    /// on, in a thread of its own.
    ///
    /// # Errors
    /// If no broker can be reached, the topic is missing or none for a ledger, or the store's log is not the topic's.
    pub fn open(store: Arc<Store>, config: KafkaConfig) -> Result<Self, LogError> {
        let copied = Copied::open(store.clone())?;
        let resume = Resume::read(&store)?;
        check_note(&config, &copied, resume.as_ref())?;
        let (consumer, contact) = topic::reader(&config)?;
        topic::reach(&config, &consumer, &contact)?;
        let seen = topic::look(&config, &consumer, &contact, resume.is_some())?;
        let last_offset = resume.as_ref().map_or(-1, |resume| resume.last_offset);
        let noted = resume.as_ref().and_then(|resume| resume.topic_id.clone());
        // Another topic need not grow into the one that was followed.
        let other = noted.is_some() && seen.topic_id.is_some() && noted != seen.topic_id;
        let patience = if other { Duration::ZERO } else { config.settle_timeout() };
        let end = reader::settled_watermarks(&config, &consumer, last_offset + 1, patience)
            .map_err(LogError::from)
            .and_then(|(first, end)| {
                reader::compare(&config, &consumer, &copied, &seen, resume.as_ref(), first)?;
                Ok(end)
            })
            .map_err(|error| other_topic(&config, resume.as_ref(), error))?;
        let resume = Resume {
            topic: config.topic().into(),
            cluster: seen.cluster,
            topic_id: seen.topic_id.or(noted),
            last_offset,
            entries: copied.size(),
        };
        let progress = Progress { next_offset: last_offset + 1, runs: Vec::new(), waiting: BTreeMap::new() };
        let shared = Arc::new(Shared {
            config,
            copied,
            progress: Mutex::new(progress),
            under_way: AtomicUsize::new(0),
            end_at_opening: end,
            end_offset: AtomicI64::new(end),
            reached_end: AtomicBool::new(false),
            contact,
            failure: Mutex::new(None),
            stopping: AtomicBool::new(false),
        });
        let writer = Writer::open(shared.clone())?;
        let threads = reader::start(&shared, consumer, resume)?;
        Ok(Self { shared, writer, threads })
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.shared.standing()
    }

    /// The configuration that it was opened with.
    pub fn config(&self) -> &KafkaConfig {
        &self.shared.config
    }
}

/// Makes the log in a store its own: from then on it is no copy of a topic. For a log that moves away from Kafka, once
/// nobody reads into it.
///
/// # Errors
/// If the store can't be written.
pub fn leave(store: &Store) -> Result<(), LogError> {
    let mut batch = store.batch();
    batch.delete(Family::Meta, super::FOLLOWS);
    Ok(store.write(batch, true)?)
}

/// Makes the log in a store the copy of a topic that holds the same entries, at the same offsets as positions. For a
/// log that was moved to Kafka.
///
/// # Errors
/// If the topic can't be reached, or the store can't be written.
pub fn follow(store: &Arc<Store>, config: &KafkaConfig) -> Result<(), LogError> {
    let entries = Copied::open(store.clone())?.size();
    let (consumer, contact) = topic::reader(config)?;
    topic::reach(config, &consumer, &contact)?;
    let seen = topic::look(config, &consumer, &contact, false)?;
    let (topic, last_offset) = (config.topic().to_owned(), entries as i64 - 1);
    let mut batch = store.batch();
    Resume { topic, cluster: seen.cluster, topic_id: seen.topic_id, last_offset, entries }.put(&mut batch);
    Ok(store.write(batch, true)?)
}

/// The store must hold nothing, or the copy of a topic, and its note must fit its entries.
fn check_note(config: &KafkaConfig, copied: &Copied, resume: Option<&Resume>) -> Result<(), KafkaError> {
    let entries = copied.size();
    match resume {
        None if entries == 0 => Ok(()),
        None => Err(KafkaError::OwnLog { entries, topic: config.topic().into() }),
        Some(resume) if resume.entries != entries => {
            Err(KafkaError::Note { what: format!("it says {} entries, there are {entries}", resume.entries) })
        }
        Some(_) => Ok(()),
    }
}

/// Where another topic was asked for than the one that was followed, that is what is wrong.
fn other_topic(config: &KafkaConfig, resume: Option<&Resume>, error: LogError) -> LogError {
    match (error, resume) {
        (
            LogError::Kafka(
                KafkaError::EndLost { .. }
                | KafkaError::BeginningLost { .. }
                | KafkaError::Remade { .. }
                | KafkaError::Diverged { .. },
            ),
            Some(resume),
        ) if resume.topic != config.topic() => {
            KafkaError::OtherTopic { followed: resume.topic.clone(), topic: config.topic().into() }.into()
        }
        (error, _) => error,
    }
}

impl EventLog for Kafka {
    fn append(&self, values: Vec<Vec<u8>>) -> Result<Vec<u64>, LogError> {
        check_sizes(&values)?;
        self.shared.working()?;
        if values.is_empty() { Ok(Vec::new()) } else { self.writer.append(values) }
    }

    fn submit(&self, values: Vec<Vec<u8>>, answer: Answer) {
        match check_sizes(&values).and_then(|()| self.shared.working()) {
            Ok(()) if values.is_empty() => answer(Ok(Vec::new())),
            Ok(()) => drop(self.writer.submit(values, answer)),
            Err(error) => answer(Err(error)),
        }
    }

    fn read(&self, from: u64, max_entries: usize, max_bytes: usize) -> Result<Vec<Entry>, LogError> {
        self.shared.copied.read(from, max_entries, max_bytes)
    }

    fn end(&self) -> Result<u64, LogError> {
        self.shared.working()?;
        self.shared.copied.end()
    }

    fn wait_past(&self, end: u64, timeout: Duration) -> Result<u64, LogError> {
        let end = self.shared.copied.wait(end, timeout, || self.shared.failed());
        self.shared.working()?;
        Ok(end)
    }

    fn caught_up(&self) -> Result<bool, LogError> {
        self.shared.working()?;
        let reached = self.shared.reached_end.load(Ordering::Acquire);
        Ok(reached || self.shared.progress().next_offset >= self.shared.end_at_opening)
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // A panic of that thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self) -> Standing {
        let next_offset = self.progress().next_offset;
        let end_offset = self.end_offset.load(Ordering::Acquire).max(next_offset);
        let trouble = match &*self.failure.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(failure) => Some(failure.to_string()),
            None => self.contact.trouble(),
        };
        Standing { next_offset, end_offset, trouble }
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn working(&self) -> Result<(), LogError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }

    /// Stops the log for good: nothing is read or appended any more.
    fn fail(&self, error: LogError) {
        tracing::error!(%error, "the log on Kafka stops");
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.clone());
        let waiting = std::mem::take(&mut self.progress().waiting);
        for (_, waiting) in waiting {
            (waiting.answer)(Err(error.clone()));
        }
        self.copied.announce();
    }
}

impl Progress {
    /// The position of a record that has been read.
    fn position_of(&self, offset: i64) -> Option<u64> {
        let run = self.runs.partition_point(|(first, _)| *first <= offset).checked_sub(1)?;
        let (first, position) = self.runs[run];
        Some(position + (offset - first) as u64)
    }

    /// Notes a record that has been read.
    fn read(&mut self, offset: i64, position: u64) {
        if self.runs.is_empty() || offset != self.next_offset {
            if self.runs.len() >= RUNS_MAX {
                self.runs.drain(..RUNS_MAX / 2);
            }
            self.runs.push((offset, position));
        }
        self.next_offset = offset + 1;
    }

    fn positions_of(&self, offsets: &[i64]) -> Result<Vec<u64>, LogError> {
        let lost = || KafkaError::Note { what: "an acknowledged record has no position".into() };
        offsets.iter().map(|offset| self.position_of(*offset).ok_or_else(|| lost().into())).collect()
    }

    /// Takes the appends whose records have been read, with their positions.
    fn settle(&mut self) -> Settled {
        let mut settled = Vec::new();
        while let Some(first) = self.waiting.first_entry()
            && *first.key() < self.next_offset
        {
            let waiting = first.remove();
            settled.push((waiting.answer, self.positions_of(&waiting.offsets)));
        }
        Settled(settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    fn progress() -> Progress {
        Progress { next_offset: 0, runs: Vec::new(), waiting: BTreeMap::new() }
    }

    #[test]
    fn positions_stay_dense_where_offsets_have_gaps() {
        let mut progress = progress();
        for (offset, position) in [(0, 0), (1, 1), (3, 2), (4, 3), (9, 4)] {
            progress.read(offset, position);
        }
        assert_eq!(progress.runs, [(0, 0), (3, 2), (9, 4)]);
        let found: Vec<_> = [0, 1, 3, 4, 9].map(|offset| progress.position_of(offset)).into();
        assert_eq!(found, [0, 1, 2, 3, 4].map(Some));
        assert_eq!(progress.next_offset, 10);
    }

    #[test]
    fn the_oldest_runs_are_forgotten_and_the_newest_are_kept() {
        let mut progress = progress();
        for position in 0..10_000 {
            progress.read(2 * position, position as u64);
        }
        assert!(progress.runs.len() <= RUNS_MAX);
        assert_eq!(progress.position_of(2 * 9_999), Some(9_999));
        assert_eq!(progress.position_of(0), None);
    }

    #[test]
    fn an_append_is_answered_once_its_last_record_has_been_read() {
        let mut progress = progress();
        let (reply, answer) = sync_channel(1);
        let send = Box::new(move |outcome| reply.send(outcome).unwrap());
        progress.waiting.insert(4, Waiting { offsets: vec![1, 4], answer: send });
        for (offset, position) in [(0, 0), (1, 1), (3, 2)] {
            progress.read(offset, position);
        }
        progress.settle().answer();
        assert!(answer.try_recv().is_err(), "one record is still to come");
        progress.read(4, 3);
        progress.settle().answer();
        assert_eq!(answer.try_recv(), Ok(Ok(vec![1, 3])));
    }
}
