//! One turn at publishing: fence whoever did it before, find where to go on, then one transaction after the other.

use super::tail::Tail;
use super::{LEAF_HASH, PublishError, Record, SOURCE, Shared};
use crate::log::kafka::contact::Contact;
use crate::log::kafka::error::code;
use crate::log::kafka::topic::{self, Stamp};
use crate::log::kafka::{KafkaConfig, KafkaError};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode as Code;
use std::time::{Duration, Instant};

/// Partitions of a topic that is made here: as many consumers of a group can share it.
const PARTITIONS: usize = 6;
/// Records and bytes after which a transaction takes no more.
const RECORDS_MAX: u64 = 2000;
const BYTES_MAX: usize = 8 << 20;
/// How long to wait for new positions before looking whether to stop.
const WAIT: Duration = Duration::from_millis(200);
/// How long to try to give back a transaction that failed, for those who wait behind it.
const ABORT: Duration = Duration::from_secs(5);

/// Publishes until it is told to stop.
///
/// # Errors
/// If another has begun, or something failed: what was not committed then never was there, and the next turn goes on
/// where the topic ends.
pub(super) fn publish(shared: &Shared) -> Result<(), PublishError> {
    make_topic(shared)?;
    let config = &shared.config;
    let producer: Transactions = config
        .transactional_producer(config.topic())
        .create_with_context(Contact::default())
        .map_err(KafkaError::from_creation)?;
    // Ends what others began under this id, and waits until that is done.
    producer.init_transactions(config.append_timeout()).map_err(|error| failed(shared, &producer, &error))?;
    let Some(mut next) = resume(shared)? else { return Ok(()) };
    shared.tell(next, None);
    while !shared.stopping() {
        let size = shared.source.wait_past(next, WAIT);
        if size > next {
            next = transaction(shared, &producer, next, size)?;
            shared.tell(next, None);
        }
    }
    Ok(())
}

type Transactions = BaseProducer<Contact>;

fn make_topic(shared: &Shared) -> Result<(), KafkaError> {
    let config = &shared.config;
    let (consumer, contact) = topic::reader(config)?;
    topic::reach(config, &consumer, &contact)?;
    if !matches!(topic::partition_leaders(config, consumer.client()), Err(KafkaError::TopicMissing { .. })) {
        return Ok(());
    }
    let replicas = topic::replicas(&shared.ledger, consumer.client())?;
    match topic::make(config, &consumer, PARTITIONS, replicas, Stamp::LogAppendTime) {
        // Another gateway was faster.
        Err(KafkaError::TopicExists { .. }) => Ok(()),
        made => made,
    }
}

/// The first position that is not published; none where it was told to stop before that was known.
fn resume(shared: &Shared) -> Result<Option<u64>, PublishError> {
    let topic = || shared.config.topic().to_owned();
    let ends = Tail::open(&shared.config)?.read()?;
    if let Some(partition) = ends.open {
        return Err(PublishError::Open { topic: topic(), partition });
    }
    let Some(last) = ends.last else {
        return match shared.options.from {
            None if ends.lost => Err(PublishError::Emptied { topic: topic() }),
            from => Ok(Some(from.unwrap_or(0))),
        };
    };
    // This replica may not have come as far as the one that published.
    while shared.source.wait_past(last.position, WAIT) <= last.position {
        if shared.stopping() {
            return Ok(None);
        }
    }
    let ours = record(shared, last.position)?;
    if ours.header(SOURCE) != last.source {
        let ours = ours.header(SOURCE).to_owned();
        return Err(PublishError::OtherLedger { topic: topic(), found: last.source, ours });
    }
    if ours.header(LEAF_HASH) != last.leaf_hash {
        return Err(PublishError::Diverged { topic: topic(), position: last.position });
    }
    Ok(Some(last.position + 1))
}

/// Publishes some positions from `next` on, all of them or none; answers the one after them.
fn transaction(shared: &Shared, producer: &Transactions, next: u64, size: u64) -> Result<u64, PublishError> {
    let published = fill(shared, producer, next, size).and_then(|end| {
        deliver(shared, producer)?;
        let committed = producer.commit_transaction(shared.config.append_timeout());
        committed.map_err(|error| failed(shared, producer, &error))?;
        Ok(end)
    });
    if published.is_err()
        && let Err(error) = producer.abort_transaction(ABORT)
    {
        tracing::debug!(%error, "the transaction is left to the brokers");
    }
    published
}

fn fill(shared: &Shared, producer: &Transactions, next: u64, size: u64) -> Result<u64, PublishError> {
    producer.begin_transaction().map_err(|error| failed(shared, producer, &error))?;
    let (mut end, mut bytes) = (next, 0);
    while end < size && end - next < RECORDS_MAX && bytes < BYTES_MAX {
        let record = record(shared, end)?;
        bytes += record.value.len();
        send(shared, producer, &record)?;
        end += 1;
    }
    Ok(end)
}

/// Waits until the records are on the topic. One that is fenced is told so at once, while its records would still wait.
fn deliver(shared: &Shared, producer: &Transactions) -> Result<(), PublishError> {
    let until = Instant::now() + shared.config.append_timeout();
    while let Err(error) = producer.flush(WAIT) {
        if producer.client().fatal_error().is_some() || Instant::now() > until {
            return Err(failed(shared, producer, &error));
        }
    }
    Ok(())
}

fn record(shared: &Shared, position: u64) -> Result<Record, PublishError> {
    shared.source.record(position).map_err(|cause| PublishError::Source { position, cause })
}

fn send(shared: &Shared, producer: &Transactions, record: &Record) -> Result<(), PublishError> {
    let headers = OwnedHeaders::new_with_capacity(record.headers.len());
    let headers =
        record.headers.iter().fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
    let of_topic = BaseRecord::to(shared.config.topic());
    let sent = producer.send(of_topic.key(record.key.as_bytes()).payload(record.value.as_slice()).headers(headers));
    match sent {
        Ok(()) => Ok(()),
        Err((error, _)) if code(&error) == Code::MessageSizeTooLarge => {
            let (topic, size) = (shared.config.topic().into(), record.value.len());
            Err(KafkaError::RecordTooLarge { topic, size }.into())
        }
        Err((error, _)) => Err(failed(shared, producer, &error)),
    }
}

/// Tells being fenced from all else: it may show in any call, and then in the state of the client.
fn failed(shared: &Shared, producer: &Transactions, error: &ClientError) -> PublishError {
    let fatal = producer.client().fatal_error().map(|(code, _)| code);
    let fenced = |code: &Code| matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch);
    let config: &KafkaConfig = &shared.config;
    let code = code(error);
    if [Some(code), fatal].iter().flatten().any(fenced) {
        return PublishError::Fenced { topic: config.topic().into() };
    }
    if code == Code::TransactionalIdAuthorizationFailed {
        return KafkaError::NotAllowed {
            topic: config.topic().into(),
            what: "write in transactions, under its name as transactional id, to",
        }
        .into();
    }
    match producer.client().context().trouble() {
        Some(trouble) if code == Code::OperationTimedOut => {
            KafkaError::Failed { what: format!("publish to `{}`", config.topic()), cause: trouble }.into()
        }
        _ => topic::failed(config, "publish to", code).into(),
    }
}
