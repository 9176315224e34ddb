//! Reading the topic into the store.

use super::contact::Contact;
use super::error::{code, words};
use super::resume::Resume;
use super::topic::{self, Seen};
use super::watch::{Watch, examine};
use super::{KafkaConfig, KafkaError, PARTITION, Shared};
use crate::log::{Copied, EventLog as _, LogError, VALUE_BYTES_MAX, short_form};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Records written at once.
const WINDOW_ENTRIES: usize = 2048;
/// Bytes of records after which no further one is taken into a write.
const WINDOW_BYTES: usize = 4 << 20;
/// How long to wait for a record before looking whether to stop.
const WAIT: Duration = Duration::from_millis(100);

/// The first offset of the topic and the one after its last, once it is as long as it was known to be, for which it is
/// given some time. Brokers that are gone by then are out of reach.
pub(super) fn settled_watermarks(
    config: &KafkaConfig,
    consumer: &BaseConsumer<Contact>,
    known: i64,
    patience: Duration,
) -> Result<(i64, i64), KafkaError> {
    let started = Instant::now();
    loop {
        let waited = started.elapsed();
        match topic::watermarks(config, consumer.client(), PARTITION) {
            Ok((first, end)) if end >= known => return Ok((first, end)),
            Ok((_, end)) if waited >= patience => {
                return Err(KafkaError::EndLost { topic: config.topic().into(), end, known });
            }
            Err(error @ KafkaError::Failed { .. }) if waited >= config.open_timeout() => {
                return Err(consumer.client().context().why(config, waited, &error.to_string()));
            }
            Err(error @ KafkaError::TopicMissing { .. }) if waited >= patience => return Err(error),
            Ok(_) | Err(KafkaError::Failed { .. } | KafkaError::TopicMissing { .. }) => {}
            Err(error) => return Err(error),
        }
        while let Some(Err(_)) = consumer.poll(Duration::ZERO) {} // what went wrong is told by events
        thread::sleep(Duration::from_millis(200));
    }
}

/// The store's last entry must be the record that it was read from.
pub(super) fn compare(
    config: &KafkaConfig,
    consumer: &BaseConsumer<Contact>,
    copied: &Copied,
    seen: &Seen,
    resume: Option<&Resume>,
    first: i64,
) -> Result<(), LogError> {
    let topic = || config.topic().to_owned();
    let last_offset = resume.map_or(-1, |resume| resume.last_offset);
    if first > last_offset + 1 {
        return Err(KafkaError::BeginningLost { topic: topic(), first, needed: last_offset + 1 }.into());
    }
    let Some(resume) = resume.filter(|resume| resume.entries > 0) else { return Ok(()) };
    let same_topic = resume.topic_id.is_some() && resume.topic_id == seen.topic_id;
    if first > last_offset {
        // The record itself is gone: only the topic's id can tell.
        return if same_topic { Ok(()) } else { Err(KafkaError::Remade { topic: topic() }.into()) };
    }
    let position = resume.entries - 1;
    let ours = copied.read(position, 1, usize::MAX)?.pop();
    let theirs = record_at(config, consumer, last_offset)?;
    let same = ours.zip(theirs).is_some_and(|(ours, theirs)| (ours.time_ms, ours.value) == theirs);
    match (same, same_topic) {
        (true, _) => Ok(()),
        (false, true) => Err(KafkaError::Diverged { topic: topic(), position, offset: last_offset }.into()),
        (false, false) => Err(KafkaError::Remade { topic: topic() }.into()),
    }
}

/// The entry that a record makes: time and value; none where the log holds no record at this offset.
fn record_at(
    config: &KafkaConfig,
    consumer: &BaseConsumer<Contact>,
    offset: i64,
) -> Result<Option<(u64, Vec<u8>)>, KafkaError> {
    assign(config, consumer, offset)?;
    let started = Instant::now();
    let (mut ended, mut trouble) = (false, "nothing came".to_owned());
    while started.elapsed() < if ended { config.settle_timeout() } else { config.open_timeout() } {
        match consumer.poll(WAIT) {
            Some(Ok(record)) if record.offset() == offset => return Ok(Some(entry(&record))),
            // The record that was at this offset is none any more.
            Some(Ok(_)) => return Ok(None),
            // A leader that has just begun may not know yet that its log goes on.
            Some(Err(ClientError::PartitionEOF(_))) => ended = true,
            Some(Err(error)) if is_unreadable(code(&error)) => {
                let cause = words(code(&error));
                return Err(KafkaError::Unreadable { topic: config.topic().into(), offset, cause });
            }
            Some(Err(error)) => (ended, trouble) = (false, words(code(&error))),
            None => {}
        }
    }
    if ended { Ok(None) } else { Err(consumer.client().context().why(config, started.elapsed(), &trouble)) }
}

/// Whether a record can't be read whoever is asked how often: to go on would be to leave it out.
fn is_unreadable(code: Code) -> bool {
    matches!(
        code,
        Code::BadMessage
            | Code::BadCompression
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::NotImplemented
            | Code::UnsupportedCompressionType
            | Code::UnsupportedFeature
            | Code::Fatal
            | Code::Inconsistent
    )
}

pub(super) fn assign(config: &KafkaConfig, consumer: &BaseConsumer<Contact>, offset: i64) -> Result<(), KafkaError> {
    let client = |error: ClientError| KafkaError::Client { what: error.to_string() };
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(config.topic(), PARTITION, Offset::Offset(offset)).map_err(client)?;
    consumer.assign(&partitions).map_err(client)
}

/// Time and value of the entry that a record makes.
pub(super) fn entry(record: &BorrowedMessage<'_>) -> (u64, Vec<u8>) {
    let time_ms = record.timestamp().to_millis().map_or(0, |time_ms| time_ms.max(0) as u64);
    let value = record.payload().unwrap_or_default();
    let value = match short_form(value) {
        Some(short) => short.to_bytes(),
        None => value.to_vec(),
    };
    debug_assert!(value.len() <= VALUE_BYTES_MAX);
    (time_ms, value)
}

/// Starts to read and to watch.
pub(super) fn start(
    shared: &Arc<Shared>,
    consumer: BaseConsumer<Contact>,
    resume: Resume,
) -> Result<Vec<JoinHandle<()>>, KafkaError> {
    assign(&shared.config, &consumer, resume.last_offset + 1)?;
    let consumer = Arc::new(consumer);
    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        let failed = |error: std::io::Error| KafkaError::Client { what: format!("no thread: {error}") };
        thread::Builder::new().name(name.into()).spawn(run).map_err(failed)
    };
    let topic_id = resume.topic_id.clone();
    let reader = Reader { shared: shared.clone(), consumer: consumer.clone(), resume };
    let watch = Watch { shared: shared.clone(), consumer, topic_id };
    Ok(vec![spawn("kafka-read", Box::new(move || reader.run()))?, spawn("kafka-watch", Box::new(move || watch.run()))?])
}

struct Reader {
    shared: Arc<Shared>,
    consumer: Arc<BaseConsumer<Contact>>,
    resume: Resume,
}

/// Records read and not yet written: (offset, time, value).
#[derive(Default)]
struct Window {
    records: Vec<(i64, u64, Vec<u8>)>,
    bytes: usize,
}

impl Window {
    fn has_room(&self) -> bool {
        self.records.len() < WINDOW_ENTRIES && self.bytes < WINDOW_BYTES
    }
}

impl Reader {
    fn run(mut self) {
        while !self.shared.stopping() && !self.shared.failed() {
            if let Err(error) = self.step() {
                self.shared.fail(error);
            }
        }
    }

    /// Reads what is there, and writes it.
    fn step(&mut self) -> Result<(), LogError> {
        let mut window = Window::default();
        let mut patience = WAIT;
        let mut trouble = None;
        let mut at_end = false;
        while window.has_room() {
            match self.consumer.poll(patience) {
                Some(Ok(record)) => {
                    // After a new start of the partition records may come that were read before.
                    if record.offset() > self.resume.last_offset {
                        let (time_ms, value) = entry(&record);
                        window.bytes += value.len();
                        window.records.push((record.offset(), time_ms, value));
                    }
                    patience = Duration::ZERO;
                }
                Some(Err(ClientError::PartitionEOF(_))) => {
                    self.shared.contact.forget();
                    at_end = true;
                    break;
                }
                Some(Err(error)) => {
                    trouble = Some(code(&error));
                    break;
                }
                None => break,
            }
        }
        self.write(window)?;
        if at_end {
            self.shared.reached_end.store(true, Ordering::Release);
        }
        trouble.map_or(Ok(()), |code| self.heed(code))
    }

    fn write(&mut self, window: Window) -> Result<(), LogError> {
        let Some((last_offset, ..)) = window.records.last() else { return Ok(()) };
        self.resume.last_offset = *last_offset;
        let shared = &self.shared;
        let (store, first) = (shared.copied.store().clone(), shared.copied.size());
        let mut batch = store.batch();
        for (position, (_, time_ms, value)) in (first..).zip(&window.records) {
            batch.put_entry(position, *time_ms, value);
        }
        self.resume.entries = first + window.records.len() as u64;
        self.resume.put(&mut batch);
        // Not synced: what a crash loses here is read again from the topic.
        store.write(batch, false)?;

        let offsets: Vec<i64> = window.records.iter().map(|(offset, ..)| *offset).collect();
        let positions = shared.copied.extend(window.records.into_iter().map(|(_, time_ms, value)| (time_ms, value)));
        shared.copied.announce();
        shared.contact.forget();
        let mut progress = shared.progress();
        for (offset, position) in offsets.into_iter().zip(positions) {
            progress.read(offset, position);
        }
        let settled = progress.settle();
        drop(progress);
        settled.answer();
        Ok(())
    }

    /// Most trouble passes: librdkafka connects again by itself. What doesn't ends the log.
    fn heed(&self, code: Code) -> Result<(), LogError> {
        let topic = || self.shared.config.topic().to_owned();
        match code {
            // Its cause may be that the log is another one now.
            Code::AutoOffsetReset
            | Code::OffsetOutOfRange
            | Code::LogTruncation
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownTopicId
            | Code::UnknownPartition => {
                examine(&self.shared, &self.consumer, self.resume.topic_id.as_deref())?;
                thread::sleep(WAIT);
                Ok(assign(&self.shared.config, &self.consumer, self.resume.last_offset + 1)?)
            }
            code if is_unreadable(code) => {
                let offset = self.resume.last_offset + 1;
                Err(KafkaError::Unreadable { topic: topic(), offset, cause: words(code) }.into())
            }
            Code::TopicAuthorizationFailed => Err(KafkaError::NotAllowed { topic: topic(), what: "read" }.into()),
            code => {
                tracing::debug!(%code, "Kafka is in trouble");
                Ok(())
            }
        }
    }
}
