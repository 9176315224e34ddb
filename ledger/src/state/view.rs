//! What the rules read: the state and the log as of some position.

use super::{Policies, Prefix, RowKey};
use crate::tree::Hash;
use attestune_proto::v1::{Envelope, Event, Policy, event::Body};
use prost::Message;
use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A read failed: neither a refusal nor an absence; the replica stops.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadFailed(pub String);

/// The policy decoded last, with its version. A policy's row is written once and large, and every event asks for it.
#[derive(Debug, Default)]
pub struct PolicyCache(Mutex<Option<(u32, Arc<Policy>)>>);

impl PolicyCache {
    fn lock(&self) -> MutexGuard<'_, Option<(u32, Arc<Policy>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a view reads from: memory, RocksDB, RocksDB under a window's unwritten effects.
pub trait Reader {
    /// The newest value of a row written at a position below `size`.
    ///
    /// # Errors
    /// If it can't be read.
    fn row(&self, row: &[u8], size: u64) -> Result<Option<Vec<u8>>, ReadFailed>;

    /// The newest values below `size` of all rows with a prefix, in order of name, until `visit` says stop by `false`.
    ///
    /// # Errors
    /// If they can't be read.
    fn rows(&self, prefix: &[u8], size: u64, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), ReadFailed>;

    /// The position at which an actor's id was used up.
    ///
    /// # Errors
    /// If it can't be read.
    fn id(&self, actor: &str, id: &[u8]) -> Result<Option<u64>, ReadFailed>;

    /// The value of an entry below the end.
    ///
    /// # Errors
    /// If it can't be read.
    fn entry(&self, position: u64) -> Result<Option<Vec<u8>>, ReadFailed>;

    /// The fold's time at an entry, milliseconds.
    ///
    /// # Errors
    /// If it can't be read.
    fn fold_time(&self, position: u64) -> Result<Option<u64>, ReadFailed>;

    /// Where decoded policies are kept, if this reader keeps them.
    fn policies(&self) -> Option<&PolicyCache> {
        None
    }

    /// The root of the entry tree at a size not beyond the end.
    ///
    /// # Errors
    /// If it can't be read.
    fn entry_root(&self, size: u64) -> Result<Option<Hash>, ReadFailed>;

    /// The root of the verdict tree at a size not beyond the end.
    ///
    /// # Errors
    /// If it can't be read.
    fn verdict_root(&self, size: u64) -> Result<Option<Hash>, ReadFailed>;
}

/// The state after `size` entries. A failed read is latched: the caller asks [`View::failure`] before it believes
/// anything that was decided on the view.
pub struct View<'a> {
    reader: &'a dyn Reader,
    size: u64,
    failed: RefCell<Option<ReadFailed>>,
}

impl<'a> View<'a> {
    /// The view after `size` entries.
    pub fn new(reader: &'a dyn Reader, size: u64) -> Self {
        Self { reader, size, failed: RefCell::new(None) }
    }

    /// How many entries it covers.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// An earlier view on the same history. Its failures are its own: see [`View::absorb`].
    pub fn as_of(&self, size: u64) -> View<'a> {
        View::new(self.reader, size.min(self.size))
    }

    /// Takes over another view's failure.
    pub fn absorb(&self, other: &View<'_>) {
        if let Some(failure) = other.failure() {
            self.failed.borrow_mut().get_or_insert(failure);
        }
    }

    /// The first read that failed.
    pub fn failure(&self) -> Option<ReadFailed> {
        self.failed.borrow().clone()
    }

    /// A row.
    pub fn get<R: Message + Default>(&self, row: &RowKey<R>) -> Option<R> {
        let bytes = self.latch(self.reader.row(row.as_bytes(), self.size))??;
        self.decode(&bytes)
    }

    /// A policy by its version; an empty one, under which nothing is allowed, where there is none.
    pub fn policy(&self, version: u32) -> Arc<Policy> {
        let cache = self.reader.policies();
        if let Some(cache) = cache
            && let Some((known, policy)) = &*cache.lock()
            && *known == version
        {
            return policy.clone();
        }
        let Some(policy) = self.get(&Policies::key(version)).and_then(|row| row.policy) else { return Arc::default() };
        let policy = Arc::new(policy);
        if let Some(cache) = cache {
            *cache.lock() = Some((version, policy.clone()));
        }
        policy
    }

    /// All rows with a prefix, in order of name.
    pub fn scan<R: Message + Default>(&self, prefix: &Prefix<R>) -> Vec<R> {
        let mut found = Vec::new();
        self.each(prefix, |_, row| {
            found.push(row);
            true
        });
        found
    }

    /// Rows with a prefix with their names, until `visit` says stop.
    pub fn each<R: Message + Default>(&self, prefix: &Prefix<R>, mut visit: impl FnMut(&[u8], R) -> bool) {
        let outcome = self.reader.rows(prefix.as_bytes(), self.size, &mut |name, bytes| match self.decode(bytes) {
            Some(row) => visit(name, row),
            None => false,
        });
        self.latch(outcome);
    }

    /// Where an actor's id was used up.
    pub fn id(&self, actor: &str, id: &[u8]) -> Option<u64> {
        self.latch(self.reader.id(actor, id))?
    }

    /// An entry's bytes.
    pub fn entry(&self, position: u64) -> Option<Vec<u8>> {
        if position >= self.size {
            return None;
        }
        self.latch(self.reader.entry(position))?
    }

    /// The body of the event at a position that the state says is an accepted event.
    pub fn body(&self, position: u64) -> Option<Body> {
        let bytes = self.entry(position)?;
        let event = Envelope::decode(bytes.as_slice()).ok().and_then(|e| Event::decode(e.payload.as_slice()).ok());
        if event.is_none() {
            self.fail(format!("the entry at position {position} is not the event that the state says it is"));
        }
        event?.body
    }

    /// The fold's time at a position below the view's size.
    pub fn fold_time(&self, position: u64) -> Option<u64> {
        if position >= self.size {
            return None;
        }
        self.latch(self.reader.fold_time(position))?
    }

    /// The entry tree's root at a size.
    pub fn entry_root(&self, size: u64) -> Option<Hash> {
        if size > self.size {
            return None;
        }
        self.latch(self.reader.entry_root(size))?
    }

    /// The verdict tree's root at a size.
    pub fn verdict_root(&self, size: u64) -> Option<Hash> {
        if size > self.size {
            return None;
        }
        self.latch(self.reader.verdict_root(size))?
    }

    fn decode<R: Message + Default>(&self, bytes: &[u8]) -> Option<R> {
        match R::decode(bytes) {
            Ok(row) => Some(row),
            Err(error) => {
                self.fail(format!("a row of the state does not decode: {error}"));
                None
            }
        }
    }

    fn latch<T>(&self, outcome: Result<T, ReadFailed>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(failure) => {
                self.failed.borrow_mut().get_or_insert(failure);
                None
            }
        }
    }

    fn fail(&self, what: String) {
        self.failed.borrow_mut().get_or_insert(ReadFailed(what));
    }
}
