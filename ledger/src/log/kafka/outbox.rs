//! What is to be sent: it goes into the client's queue at once while there is room and few appends are under way. Where
//! there is no room it is kept, and a thread of its own puts it there as soon as room comes, so that nobody who submits is
//! held up, a runtime's thread least. Where many are under way it is kept for a moment, too, as others will come.

use super::error::code;
use super::writer::{Deliveries, Ticket, producer};
use super::{KafkaConfig, KafkaError, PARTITION, Shared};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Bytes of values that are kept while the client's queue is full, at most; as many as the queue itself takes.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// How long to let a full queue drain before the next try.
const FULL_PAUSE: Duration = Duration::from_millis(1);
/// From so many appends under way on those that come are gathered: each batch costs brokers and reader the same, and the
/// many would else come by tens, spread over the stages that an append goes through.
const GATHER_FROM: usize = 8;
/// How long one waits for others to come, at most.
const GATHER: Duration = Duration::from_millis(1);

pub(super) struct Outbox {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

struct Desk {
    shared: Arc<Shared>,
    /// Held while an append's records are put into the queue, so that they stand together on the log.
    state: Mutex<State>,
    /// Something is kept, or it is being closed.
    changed: Condvar,
}

struct State {
    producer: ThreadedProducer<Deliveries>,
    /// What found no room yet, in order of coming.
    kept: VecDeque<Parcel>,
    kept_bytes: usize,
    closing: bool,
}

/// An append's values, of which so many are in the client's queue.
struct Parcel {
    values: Vec<Vec<u8>>,
    sent: usize,
    ticket: Arc<Ticket>,
    came: Instant,
}

/// Records that are not sent, and why; told once the lock is free, as whoever hears of it may append again.
struct Undone {
    ticket: Arc<Ticket>,
    records: usize,
    error: KafkaError,
}

/// What is to be done once the lock is free.
#[derive(Default)]
struct Afterwards {
    undone: Vec<Undone>,
    /// A producer that is used no more: what it still had is told to its callers when it is dropped.
    broken: Option<ThreadedProducer<Deliveries>>,
}

impl Outbox {
    pub(super) fn open(shared: Arc<Shared>) -> Result<Self, KafkaError> {
        let state = State { producer: producer(&shared)?, kept: VecDeque::new(), kept_bytes: 0, closing: false };
        let desk = Arc::new(Desk { shared, state: Mutex::new(state), changed: Condvar::new() });
        let keeper = desk.clone();
        let thread = thread::Builder::new().name("kafka-room".into()).spawn(move || keeper.run());
        let thread = thread.map_err(|error| KafkaError::Client { what: format!("no thread: {error}") })?;
        Ok(Self { desk, thread: Some(thread) })
    }

    /// Sends values, or keeps them for later.
    pub(super) fn put(&self, values: Vec<Vec<u8>>, ticket: Arc<Ticket>) {
        let desk = &self.desk;
        let mut afterwards = Afterwards::default();
        let mut state = desk.lock();
        let was_empty = state.kept.is_empty();
        let parcel = Parcel { values, sent: 0, ticket, came: Instant::now() };
        state.keep(parcel, &desk.shared.config, &mut afterwards);
        if state.is_gathered(&desk.shared) {
            state.send_kept(&desk.shared, &mut afterwards);
        }
        if was_empty && !state.kept.is_empty() {
            desk.changed.notify_one();
        }
        drop(state);
        afterwards.run(&desk.shared);
    }
}

impl Drop for Outbox {
    /// The log is being closed: what is kept still is given up.
    fn drop(&mut self) {
        self.desk.lock().closing = true;
        self.desk.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is kept, until the log is closed.
    fn run(&self) {
        let mut state = self.lock();
        while !state.closing {
            let mut afterwards = Afterwards::default();
            let gathers = state.gathers_for(&self.shared);
            if gathers.is_zero() {
                state.send_kept(&self.shared, &mut afterwards);
            }
            if afterwards.is_needed() {
                drop(state);
                afterwards.run(&self.shared);
                state = self.lock();
            } else if state.kept.is_empty() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            } else {
                let pause = if gathers.is_zero() { FULL_PAUSE } else { gathers };
                let woken = self.changed.wait_timeout(state, pause);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        let kept = std::mem::take(&mut state.kept);
        drop(state);
        kept.into_iter().for_each(|parcel| parcel.undone(closed()).tell(&self.shared));
    }
}

impl State {
    fn keep(&mut self, parcel: Parcel, config: &KafkaConfig, afterwards: &mut Afterwards) {
        let bytes = parcel.bytes();
        if !self.kept.is_empty() && self.kept_bytes + bytes > KEPT_BYTES_MAX {
            return afterwards.undone.push(parcel.undone(self.full(config)));
        }
        self.kept_bytes += bytes;
        self.kept.push_back(parcel);
    }

    fn is_gathered(&self, shared: &Shared) -> bool {
        is_gathered(self.kept.len(), shared.under_way.load(Ordering::Relaxed))
    }

    /// How long what is kept still waits for others to come.
    fn gathers_for(&self, shared: &Shared) -> Duration {
        match self.kept.front() {
            Some(first) if !self.is_gathered(shared) => GATHER.saturating_sub(first.came.elapsed()),
            _ => Duration::ZERO,
        }
    }

    fn send_kept(&mut self, shared: &Arc<Shared>, afterwards: &mut Afterwards) {
        while let Some(mut parcel) = self.kept.pop_front() {
            if !self.send(&mut parcel, shared, afterwards) {
                if parcel.came.elapsed() < shared.config.append_timeout() {
                    return self.kept.push_front(parcel);
                }
                self.kept_bytes -= parcel.bytes();
                afterwards.undone.push(parcel.undone(self.full(&shared.config)));
                continue;
            }
            self.kept_bytes -= parcel.bytes();
        }
    }

    /// Puts an append's records into the client's queue; answers false where that is full before the last.
    fn send(&mut self, parcel: &mut Parcel, shared: &Arc<Shared>, afterwards: &mut Afterwards) -> bool {
        if let Err(error) = self.mend(shared, afterwards) {
            afterwards.undone.push(parcel.undone(error));
            return true;
        }
        for value in &parcel.values[parcel.sent..] {
            let record = BaseRecord::<[u8], [u8], _>::with_opaque_to(shared.config.topic(), parcel.ticket.clone());
            let Err((error, _)) = self.producer.send(record.partition(PARTITION).payload(value.as_slice())) else {
                parcel.sent += 1;
                continue;
            };
            if code(&error) == Code::QueueFull {
                return false;
            }
            // The ticket is answered once what was sent before has been, too.
            let error = not_taken(&shared.config, code(&error), value.len());
            afterwards.undone.push(parcel.undone(error));
            return true;
        }
        true
    }

    /// Makes a producer anew that can't go on.
    fn mend(&mut self, shared: &Arc<Shared>, afterwards: &mut Afterwards) -> Result<(), KafkaError> {
        if let Some((code, reason)) = self.producer.client().fatal_error() {
            tracing::warn!(%code, reason, "the producer is made anew");
            afterwards.broken = Some(std::mem::replace(&mut self.producer, producer(shared)?));
        }
        Ok(())
    }

    fn full(&self, config: &KafkaConfig) -> KafkaError {
        let trouble = self.producer.client().context().contact.trouble();
        let trouble = trouble.unwrap_or_else(|| format!("the brokers at {} are too slow", config.brokers()));
        KafkaError::NotAcknowledged { cause: format!("too many records wait already ({trouble})") }
    }
}

impl Parcel {
    fn bytes(&self) -> usize {
        self.values.iter().map(Vec::len).sum()
    }

    /// What of it was not sent.
    fn undone(&self, error: KafkaError) -> Undone {
        Undone { ticket: self.ticket.clone(), records: self.values.len() - self.sent, error }
    }
}

impl Undone {
    fn tell(self, shared: &Shared) {
        self.ticket.give_up(shared, self.records, self.error);
    }
}

impl Afterwards {
    fn is_needed(&self) -> bool {
        self.broken.is_some() || !self.undone.is_empty()
    }

    fn run(self, shared: &Shared) {
        drop(self.broken);
        self.undone.into_iter().for_each(|undone| undone.tell(shared));
    }
}

/// Whether appends that are kept go now: half of those under way are among them, or these are few.
fn is_gathered(kept: usize, under_way: usize) -> bool {
    under_way < GATHER_FROM || 2 * kept >= under_way
}

/// The log was closed before.
pub(super) fn closed() -> KafkaError {
    KafkaError::NotAcknowledged { cause: "the log was closed".into() }
}

/// Why the client does not take a record.
fn not_taken(config: &KafkaConfig, code: Code, size: usize) -> KafkaError {
    match code {
        // Brokers that have just started do not know all topics, and the client asks them anew every second. A topic that
        // is gone for good stops the log: the reader sees to that.
        Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition => {
            KafkaError::NotAcknowledged { cause: "the brokers do not know the topic now".into() }
        }
        Code::MessageSizeTooLarge => KafkaError::RecordTooLarge { topic: config.topic().into(), size },
        code => super::topic::failed(config, "take a record into", code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_appends_go_at_once_and_of_many_half_go_together() {
        assert!((1..GATHER_FROM).all(|under_way| is_gathered(1, under_way)));
        assert!(!is_gathered(1, 64) && !is_gathered(31, 64));
        assert!(is_gathered(32, 64) && is_gathered(64, 64));
    }
}
