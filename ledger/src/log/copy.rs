//! The entries in a store's family `log`: read from memory at their newest end, from disk elsewhere.
//!
//! The key is the position, 8 bytes big-endian, the value [`Entry::stored`]. Of the embedded log this is the log; of
//! Kafka's it is the local copy.

use super::{Entry, EventLog, LogError};
use crate::store::{Family, Store, StoreError, first_unreadable_entry};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Bytes of the newest entries kept in memory, where the replica that follows finds them.
const TAIL_BYTES_MAX: usize = 8 << 20;

/// What an entry takes in memory beside its value; keeps a tail of empty values bounded, too.
pub(super) const ENTRY_BYTES: usize = size_of::<Entry>();

/// The log in a store, for reading only: whoever writes it says so by [`Copied::extend`].
pub struct Copied {
    store: Arc<Store>,
    tail: Mutex<Tail>,
    /// The end has moved, or waiting is of no use any more.
    grown: Condvar,
}

struct Tail {
    end: u64,
    /// The last entries, up to `end`, and the memory that they take.
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Copied {
    /// Opens the entries in `store`; an empty store is an empty log.
    ///
    /// # Errors
    /// If the end of the log can't be read.
    pub fn open(store: Arc<Store>) -> Result<Self, LogError> {
        let end = match store.last(Family::Log) {
            Ok(None) => 0,
            Ok(Some((key, _))) => position_of(&key).ok_or_else(|| foreign_key(&store))? + 1,
            Err(error) => return Err(locate(&store, error)),
        };
        let tail = Mutex::new(Tail { end, entries: VecDeque::new(), bytes: 0 });
        Ok(Self { store, tail, grown: Condvar::new() })
    }

    /// The store.
    pub(super) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Takes in the next entries, which the store now holds, and returns their positions.
    pub(super) fn extend(&self, entries: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Range<u64> {
        let mut tail = self.lock();
        let start = tail.end;
        for (time_ms, value) in entries {
            tail.bytes += value.len() + ENTRY_BYTES;
            let position = tail.end;
            tail.entries.push_back(Entry { position, time_ms, value });
            tail.end += 1;
        }
        while tail.bytes > TAIL_BYTES_MAX
            && let Some(oldest) = tail.entries.pop_front()
        {
            tail.bytes -= oldest.value.len() + ENTRY_BYTES;
        }
        start..tail.end
    }

    /// Wakes whoever waits for an entry.
    pub(super) fn announce(&self) {
        self.grown.notify_all();
    }

    pub(super) fn size(&self) -> u64 {
        self.lock().end
    }

    /// Waits until the end is past `end`, or `enough` says to wait no longer, or for `timeout`; returns the end.
    pub(super) fn wait(&self, end: u64, timeout: Duration, enough: impl Fn() -> bool) -> u64 {
        let until = Instant::now() + timeout;
        let mut tail = self.lock();
        while tail.end <= end && !enough() {
            let Some(left) = until.checked_duration_since(Instant::now()) else { break };
            tail = self.grown.wait_timeout(tail, left).expect(NOT_POISONED).0;
        }
        tail.end
    }

    fn lock(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().expect(NOT_POISONED)
    }

    /// Entries from `from` on, before `end`, out of the store.
    fn read_stored(&self, from: u64, end: u64, mut limit: Limit) -> Result<Vec<Entry>, LogError> {
        let rows = self.store.scan(Family::Log, &from.to_be_bytes(), &end.to_be_bytes());
        let mut entries = Vec::new();
        for (position, row) in (from..end).zip(rows) {
            let entry = match row {
                Ok((key, value)) if position_of(&key) == Some(position) => {
                    Entry::from_stored(position, &value).ok_or_else(|| too_short(position))
                }
                Ok(_) => Err(missing(position)),
                // The scan may have failed on a file that begins later: ask for this one alone.
                Err(_) if entries.is_empty() => return self.read_one(position).map(|e| vec![e]),
                Err(_) => break,
            };
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if entries.is_empty() => return Err(error),
                Err(_) => break, // the next read begins there, and says so
            };
            if !limit.admits(&entry) {
                break;
            }
            entries.push(entry);
        }
        if entries.is_empty() { Err(missing(from)) } else { Ok(entries) }
    }

    fn read_one(&self, position: u64) -> Result<Entry, LogError> {
        match self.store.get(Family::Log, &position.to_be_bytes()) {
            Ok(Some(value)) => Entry::from_stored(position, &value).ok_or_else(|| too_short(position)),
            Ok(None) => Err(missing(position)),
            Err(error @ StoreError::Corrupt { .. }) => Err(LogError::Unreadable { position, cause: error.to_string() }),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(test)]
    pub(super) fn entries_in_memory(&self) -> usize {
        self.lock().entries.len()
    }
}

impl EventLog for Copied {
    fn append(&self, _: Vec<Vec<u8>>) -> Result<Vec<u64>, LogError> {
        Err(LogError::ReadOnly)
    }

    fn read(&self, from: u64, max_entries: usize, max_bytes: usize) -> Result<Vec<Entry>, LogError> {
        let mut limit = Limit { entries: max_entries, bytes: max_bytes, first: true };
        let tail = self.lock();
        let end = tail.end;
        let in_tail = tail.entries.front().is_some_and(|oldest| oldest.position <= from);
        if from >= end || in_tail {
            let skipped = tail.entries.len() - end.saturating_sub(from) as usize;
            let entries = tail.entries.range(skipped..);
            return Ok(entries.take_while(|entry| limit.admits(entry)).cloned().collect());
        }
        drop(tail);
        self.read_stored(from, end, limit)
    }

    fn end(&self) -> Result<u64, LogError> {
        Ok(self.size())
    }

    fn wait_past(&self, end: u64, timeout: Duration) -> Result<u64, LogError> {
        Ok(self.wait(end, timeout, || false))
    }
}

/// What a read may still give.
struct Limit {
    entries: usize,
    bytes: usize,
    first: bool,
}

impl Limit {
    fn admits(&mut self, entry: &Entry) -> bool {
        let size = entry.value.len();
        if !self.first && (self.entries == 0 || self.bytes < size) {
            return false;
        }
        self.first = false;
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
        true
    }
}

const NOT_POISONED: &str = "no code panics while it holds the log's lock";

fn position_of(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

fn missing(position: u64) -> LogError {
    let cause = "it is missing; restore the log from a backup or another replica".into();
    LogError::Unreadable { position, cause }
}

fn too_short(position: u64) -> LogError {
    let cause = "it has no time; restore the log from a backup or another replica".into();
    LogError::Unreadable { position, cause }
}

fn foreign_key(store: &Store) -> LogError {
    let what = "a key of the log is not a position".into();
    StoreError::Corrupt { path: store.path().to_owned(), what }.into()
}

/// Says which entry is meant, where a corruption lies in the log.
fn locate(store: &Store, error: StoreError) -> LogError {
    match first_unreadable_entry(store.path()) {
        Ok(Some(position)) => LogError::Unreadable { position, cause: error.to_string() },
        _ => error.into(),
    }
}
