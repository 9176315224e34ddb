//! A log copied into a fresh topic so that its leaves, and with them every proof, stay the same.
//!
//! The topic is first one whose records carry their own times; the original ones are written, read back and compared
//! by tree head; then the topic becomes one that the brokers stamp.

use super::contact::Contact;
use super::error::{code, words};
use super::reader::{assign, entry};
use super::topic::{self, Stamp};
use super::{KafkaConfig, KafkaError, PARTITION};
use crate::log::{Entry, EventLog, LogError};
use crate::rules::entry_leaf;
use crate::tree::{Frontier, Hash};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode as Code;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Entries read from the source at once.
const WINDOW_ENTRIES: usize = 1024;
const WINDOW_BYTES: usize = 4 << 20;

/// A log that was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Entries.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

/// Makes the topic and copies a log into it, times and all. `seen` is told how many entries are written. What fails
/// leaves no topic behind.
///
/// # Errors
/// If there is such a topic already, the source can't be read, a time can't be kept, or the brokers fail.
pub fn restore(source: &dyn EventLog, config: &KafkaConfig, seen: &mut dyn FnMut(u64)) -> Result<Restored, LogError> {
    topic::create(config, Stamp::CreateTime)?;
    let outcome = write(source, config, seen).and_then(|written| {
        let read = read_back(config, written.size)?;
        if read != written {
            let cause = format!("the tree of what was written has another root: {}, not {}", read.root, written.root);
            return Err(KafkaError::Failed { what: "restore the log".into(), cause }.into());
        }
        topic::set_stamp(config, Stamp::LogAppendTime)?;
        Ok(written)
    });
    if outcome.is_err()
        && let Err(error) = topic::delete(config)
    {
        tracing::warn!(%error, "the unfinished topic could not be deleted: delete it before the next try");
    }
    outcome
}

/// The first thing that went wrong with a delivery.
#[derive(Default)]
struct Outcome {
    first: Mutex<Option<Code>>,
    contact: Contact,
}

impl ClientContext for Outcome {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.contact.log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.contact.error(error, reason);
    }
}

impl ProducerContext for Outcome {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.note(code(error));
        }
    }
}

impl Outcome {
    fn note(&self, code: Code) {
        self.first.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(code);
    }

    fn check(&self, config: &KafkaConfig) -> Result<(), KafkaError> {
        let first = *self.first.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        first.map_or(Ok(()), |code| Err(topic::failed(config, "write into", code)))
    }
}

fn write(source: &dyn EventLog, config: &KafkaConfig, seen: &mut dyn FnMut(u64)) -> Result<Restored, LogError> {
    let producer: BaseProducer<Outcome> =
        config.producer().create_with_context(Outcome::default()).map_err(KafkaError::from_creation)?;
    let outcome = producer.client().context().clone();
    let mut tree = Frontier::new();
    loop {
        let entries = source.read(tree.size(), WINDOW_ENTRIES, WINDOW_BYTES)?;
        if entries.is_empty() {
            break;
        }
        for entry in &entries {
            send(&producer, config, entry)?;
            tree.push(entry_leaf(entry.time_ms, &entry.value));
        }
        producer.poll(Duration::ZERO);
        outcome.check(config)?;
        seen(tree.size());
    }
    let flushed = producer.flush(config.append_timeout() + Duration::from_secs(1));
    outcome.check(config)?;
    flushed.map_err(|error| topic::failed(config, "write into", code(&error)))?;
    Ok(Restored { size: tree.size(), root: tree.root() })
}

fn send(producer: &BaseProducer<Outcome>, config: &KafkaConfig, entry: &Entry) -> Result<(), KafkaError> {
    let (position, time_ms) = (entry.position, entry.time_ms);
    // librdkafka takes 0 for "now".
    let timestamp = i64::try_from(time_ms).ok().filter(|time_ms| *time_ms > 0);
    let timestamp = timestamp.ok_or(KafkaError::Time { position, time_ms })?;
    let until = Instant::now() + config.append_timeout();
    let record = BaseRecord::<[u8], [u8]>::to(config.topic()).partition(PARTITION);
    let mut record = record.payload(entry.value.as_slice()).timestamp(timestamp);
    while let Err((error, returned)) = producer.send(record) {
        if code(&error) != Code::QueueFull || Instant::now() > until {
            return Err(topic::failed(config, "write into", code(&error)));
        }
        record = returned;
        producer.poll(Duration::from_millis(10));
    }
    Ok(())
}

/// Reads the topic from its beginning, as any replica will.
fn read_back(config: &KafkaConfig, size: u64) -> Result<Restored, LogError> {
    let (consumer, contact) = topic::reader(config)?;
    topic::reach(config, &consumer, &contact)?;
    assign(config, &consumer, 0)?;
    let mut tree = Frontier::new();
    let mut until = Instant::now() + config.append_timeout();
    while tree.size() < size {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(record)) => {
                let at = record.offset();
                // Positions are offsets here: nobody else may write yet.
                if at != tree.size() as i64 {
                    let cause = format!("offset {at} came where {} was expected", tree.size());
                    return Err(KafkaError::Failed { what: "restore the log".into(), cause }.into());
                }
                let (time_ms, value) = entry(&record);
                tree.push(entry_leaf(time_ms, &value));
                until = Instant::now() + config.append_timeout();
            }
            Some(Err(error)) if !matches!(error, ClientError::PartitionEOF(_)) => {
                tracing::debug!(cause = words(code(&error)), "reading back");
            }
            _ => {}
        }
        if Instant::now() > until {
            return Err(contact.why(config, config.append_timeout(), "what was written does not come back").into());
        }
    }
    let (_, end) = topic::watermarks(config, rdkafka::consumer::Consumer::client(&consumer), PARTITION)?;
    if end != size as i64 {
        let cause = format!("somebody else writes into the topic: it ends at {end}, not {size}");
        return Err(KafkaError::Failed { what: "restore the log".into(), cause }.into());
    }
    Ok(Restored { size: tree.size(), root: tree.root() })
}
