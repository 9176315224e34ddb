//! The end of the topic: which position was committed last.

use super::{ID, LEAF_HASH, SOURCE};
use crate::log::kafka::contact::Contact;
use crate::log::kafka::error::{code, words};
use crate::log::kafka::{KafkaConfig, KafkaError, topic};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// How far back from a partition's end is looked first; then four times as far, and so on.
const STEP: i64 = 64;
/// How long to wait for a record at a time.
const WAIT: Duration = Duration::from_millis(100);

/// The record of the highest position, as its headers tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Last {
    pub position: u64,
    pub source: String,
    pub leaf_hash: String,
}

/// What the topic ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ends {
    pub last: Option<Last>,
    /// There was something on a partition that is gone.
    pub lost: bool,
    /// A partition whose end nobody can see, as a transaction is open on it.
    pub open: Option<i32>,
}

/// Reads the topic's end, as often as it is asked.
pub(super) struct Tail {
    config: KafkaConfig,
    committed: BaseConsumer<Contact>,
    all: BaseConsumer<Contact>,
}

impl Tail {
    pub(super) fn open(config: &KafkaConfig) -> Result<Self, KafkaError> {
        let (all, contact) = topic::reader(config)?;
        topic::reach(config, &all, &contact)?;
        let committed = config.committed_consumer().create_with_context(contact);
        Ok(Self { config: config.clone(), committed: committed.map_err(KafkaError::from_creation)?, all })
    }

    pub(super) fn read(&self) -> Result<Ends, KafkaError> {
        let partitions = topic::partition_leaders(&self.config, self.all.client())?.len();
        let mut ends = Ends { last: None, lost: false, open: None };
        for partition in 0..partitions as i32 {
            let (_, all) = topic::watermarks(&self.config, self.all.client(), partition)?;
            let (first, committed) = topic::watermarks(&self.config, self.committed.client(), partition)?;
            if committed < all {
                ends.open = Some(partition);
            }
            ends.lost |= first > 0;
            let last = self.last_of(partition, first, committed)?;
            if last.as_ref().map(|last| last.position) > ends.last.as_ref().map(|last| last.position) {
                ends.last = last;
            }
        }
        Ok(ends)
    }

    /// The last record of a partition between two offsets. Markers and what was aborted have offsets, too.
    fn last_of(&self, partition: i32, first: i64, end: i64) -> Result<Option<Last>, KafkaError> {
        let (mut from, mut step) = (end, STEP);
        while from > first {
            from = (end - step).max(first);
            step *= 4;
            if let Some(last) = self.last_from(partition, from, end)? {
                return Ok(Some(last));
            }
        }
        Ok(None)
    }

    fn last_from(&self, partition: i32, from: i64, end: i64) -> Result<Option<Last>, KafkaError> {
        self.assign(partition, from)?;
        let mut until = Instant::now() + self.config.open_timeout();
        let (mut last, mut next, mut settled, mut trouble) = (None, from, false, "nothing came".to_owned());
        while Instant::now() < until {
            match self.committed.poll(WAIT) {
                Some(Ok(record)) => {
                    last = of(&record).or(last);
                    next = record.offset() + 1;
                    if next >= end {
                        return Ok(last);
                    }
                    until = Instant::now() + self.config.open_timeout();
                }
                Some(Err(ClientError::PartitionEOF(ended))) if ended == partition && settled => return Ok(last),
                // A leader that has just begun may show less than it has; asked for its end, it answers once it shows all.
                Some(Err(ClientError::PartitionEOF(ended))) if ended == partition => {
                    topic::watermarks(&self.config, self.committed.client(), partition)?;
                    self.assign(partition, next)?;
                    settled = true;
                }
                Some(Err(error)) => trouble = words(code(&error)),
                None => {}
            }
        }
        Err(KafkaError::Unreadable { topic: self.config.topic().into(), offset: from, cause: trouble })
    }

    fn assign(&self, partition: i32, from: i64) -> Result<(), KafkaError> {
        let client = |error: ClientError| KafkaError::Client { what: error.to_string() };
        let mut assigned = TopicPartitionList::new();
        assigned.add_partition_offset(self.config.topic(), partition, Offset::Offset(from)).map_err(client)?;
        self.committed.assign(&assigned).map_err(client)
    }
}

/// What a record's headers tell; none if it is not one of ours.
fn of(record: &BorrowedMessage<'_>) -> Option<Last> {
    let headers = record.headers()?;
    let header = |name: &str| {
        let value = headers.iter().find(|header| header.key == name)?.value?;
        Some(std::str::from_utf8(value).ok()?.to_owned())
    };
    Some(Last { position: header(ID)?.parse().ok()?, source: header(SOURCE)?, leaf_hash: header(LEAF_HASH)? })
}
