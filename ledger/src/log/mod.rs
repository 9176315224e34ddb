//! The event log: entries in one order, durable, never changed.
//!
//! [`Embedded`] keeps it in a replica's own folder, [`Kafka`] in a topic that many replicas share. Whatever keeps it
//! passes the same suite, `conformance`.

use std::time::Duration;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(feature = "store")]
mod copy;
#[cfg(feature = "store")]
mod embedded;
#[cfg(feature = "kafka")]
pub mod kafka;
mod oversize;

#[cfg(feature = "store")]
pub use copy::Copied;
#[cfg(feature = "store")]
pub use embedded::{Clock, Embedded, SystemClock};
#[cfg(feature = "kafka")]
pub use kafka::{Kafka, KafkaConfig, KafkaError};
pub use oversize::{ShortForm, short_form};

/// Where a store's family `meta` notes which topic its log is a copy of.
#[cfg(feature = "store")]
pub(crate) const FOLLOWS: &[u8] = b"kafka";

/// The largest value an entry may hold, in bytes: with its 8 bytes of time it must fit the
/// two-byte length that tlog-tiles gives an entry.
pub const VALUE_BYTES_MAX: usize = 65_535 - 8;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place, counted from 0 without gaps.
    pub position: u64,
    /// When the log took it in, in milliseconds since 1970 as the log's clock said, which may
    /// have run backwards.
    pub time_ms: u64,
    /// The bytes that were appended.
    pub value: Vec<u8>,
}

impl Entry {
    /// What a store holds of an entry, and what its leaf hashes:
    ///
    /// ```text
    /// time    8 bytes, big-endian, milliseconds since 1970
    /// value   the bytes appended
    /// ```
    pub fn stored(time_ms: u64, value: &[u8]) -> Vec<u8> {
        let mut stored = Vec::with_capacity(8 + value.len());
        stored.extend(time_ms.to_be_bytes());
        stored.extend(value);
        stored
    }

    /// The entry at a position out of what a store holds of it; none if that is too short for a time.
    pub fn from_stored(position: u64, stored: &[u8]) -> Option<Self> {
        let (time, value) = stored.split_first_chunk()?;
        Some(Self { position, time_ms: u64::from_be_bytes(*time), value: value.to_vec() })
    }
}

/// What takes the outcome of an append, once. A thread of the log calls it, so it must be quick.
pub type Answer = Box<dyn FnOnce(Result<Vec<u64>, LogError>) + Send>;

/// A log that entries are appended to and read from, by many threads at once.
pub trait EventLog: Send + Sync {
    /// Appends values in their order and returns their positions, which are consecutive unless others write to the
    /// same log. Blocks until they are durable and can be read. No values is allowed and changes nothing.
    ///
    /// # Errors
    /// If a value is larger than [`VALUE_BYTES_MAX`], in which case nothing was appended, or the entries could not be
    /// made durable. After the latter all or some may still turn out to be in the log.
    fn append(&self, values: Vec<Vec<u8>>) -> Result<Vec<u64>, LogError>;

    /// As [`EventLog::append`], without waiting: `answer` takes what it would return, from another thread or at once.
    fn submit(&self, values: Vec<Vec<u8>>, answer: Answer) {
        answer(self.append(values));
    }

    /// Waits until all entries before `end` are durable. What [`EventLog::read`] gives may be on its way to that.
    ///
    /// # Errors
    /// If they can't be made durable: the log stops.
    fn settle(&self, _end: u64) -> Result<(), LogError> {
        Ok(())
    }

    /// Entries from position `from` on, at most `max_entries` of them and `max_bytes` of values;
    /// but one, whatever the limits, if there is one. Never waits.
    ///
    /// # Errors
    /// If the entry at `from` can't be read.
    fn read(&self, from: u64, max_entries: usize, max_bytes: usize) -> Result<Vec<Entry>, LogError>;

    /// The position after the last durable entry.
    ///
    /// # Errors
    /// If the log can't be reached.
    fn end(&self) -> Result<u64, LogError>;

    /// Waits until entries past `end` can be read, or for `timeout`, and returns the end of what can be read.
    ///
    /// # Errors
    /// If the log can't be reached.
    fn wait_past(&self, end: u64, timeout: Duration) -> Result<u64, LogError>;

    /// Whether all that was on the log when it was opened can be read by now. A log that is elsewhere takes a while.
    ///
    /// # Errors
    /// If the log can't be reached.
    fn caught_up(&self) -> Result<bool, LogError> {
        Ok(true)
    }
}

/// Refuses a batch with a value that is too large for an entry.
#[cfg(feature = "store")]
fn check_sizes(values: &[Vec<u8>]) -> Result<(), LogError> {
    match values.iter().position(|value| value.len() > VALUE_BYTES_MAX) {
        Some(index) => Err(LogError::TooLarge { index, size: values[index].len(), limit: VALUE_BYTES_MAX }),
        None => Ok(()),
    }
}

/// The topic that a store's log is a copy of, if it is one.
///
/// # Errors
/// If the store can't be read.
#[cfg(feature = "store")]
pub fn followed_topic(store: &crate::store::Store) -> Result<Option<String>, LogError> {
    let note = store.get(crate::store::Family::Meta, FOLLOWS)?;
    // The note's first line; see `kafka::resume`.
    Ok(note.map(|note| String::from_utf8_lossy(note.split(|byte| *byte == b'\n').next().unwrap_or(&[])).into_owned()))
}

/// Why the log could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// A value is too large for an entry. Nothing was appended.
    #[error("value {index} of the batch has {size} bytes, an entry may have {limit}: split it")]
    TooLarge {
        /// Which value of the batch, from 0.
        index: usize,
        /// Its size in bytes.
        size: usize,
        /// The largest size, [`VALUE_BYTES_MAX`].
        limit: usize,
    },
    /// An entry that was written can't be read.
    #[error("entry {position} of the log can't be read: {cause}")]
    Unreadable {
        /// Its position.
        position: u64,
        /// What is wrong with it, and the way out.
        cause: String,
    },
    /// The log is open for reading only.
    #[error(
        "this log is open for reading only: one on Kafka is appended to with --kafka BROKERS --ledger NAME, or through \
         the gateway of its replica"
    )]
    ReadOnly,
    /// The folder's log is the copy of one on Kafka, so nothing may be appended to it here.
    #[error(
        "this folder follows the topic `{topic}` on Kafka: name the brokers (--kafka BROKERS --ledger {topic}), or move \
         the log into a folder of its own with `attestune log restore`"
    )]
    Follows {
        /// The topic.
        topic: String,
    },
    /// The log's folder failed.
    #[cfg(feature = "store")]
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// Kafka failed.
    #[cfg(feature = "kafka")]
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

impl LogError {
    /// Whether the log was out of reach, which may pass: what was asked can be tried again.
    pub fn may_pass(&self) -> bool {
        match self {
            #[cfg(feature = "kafka")]
            Self::Kafka(error) => error.may_pass(),
            _ => false,
        }
    }

    /// Whether the log does not take what was appended, however often it is tried: it is too large, or it is not allowed.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::TooLarge { .. } => true,
            #[cfg(feature = "kafka")]
            Self::Kafka(KafkaError::RecordTooLarge { .. } | KafkaError::NotAllowed { .. }) => true,
            _ => false,
        }
    }
}
