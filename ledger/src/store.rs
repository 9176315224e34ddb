//! A replica's folder: one RocksDB with the families log, state, tree and meta.
//!
//! One write batch covers all of them, so that a replica is always at one position. A failed
//! write or fsync poisons the store, as what is on disk is then unknown: every later write is
//! refused until it has been reopened.
//!
//! Where the log is the store's own, its entries become durable in a journal beside RocksDB's files, and RocksDB keeps no
//! log of writes.
//!
//! ```
//! use attestune_ledger::store::{Family, Options, Store};
//!
//! let folder = tempfile::tempdir()?;
//! let store = Store::open(folder.path(), &Options::default())?;
//! let mut batch = store.batch();
//! batch.put(Family::Meta, b"name", b"triage");
//! store.write(batch, true)?;
//! assert_eq!(store.get(Family::Meta, b"name")?.as_deref(), Some(&b"triage"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocksdb::{ColumnFamily, DB, DBRecoveryMode, Direction, FlushOptions, IteratorMode, ReadOptions, WriteOptions};

use crate::log::Entry;
use journal::{Found, Journal};

mod damage;
mod error;
mod journal;
mod options;
#[cfg(test)]
mod tests;

pub use damage::first_unreadable_entry;
pub use error::StoreError;
pub use options::Options;

use options::POSITION_BYTES;

/// A column family.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Family {
    /// The log's entries; the key is the position, 8 bytes big-endian.
    Log,
    /// The versioned tables; see [`Store::as_of`] for what its keys must be.
    State,
    /// The hashes of the trees.
    Tree,
    /// What a replica knows of itself.
    Meta,
}

impl Family {
    const ALL: [Self; 4] = [Self::Log, Self::State, Self::Tree, Self::Meta];

    fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::State => "state",
            Self::Tree => "tree",
            Self::Meta => "meta",
        }
    }
}

/// A row's key and value.
pub type Row = (Box<[u8]>, Box<[u8]>);

/// Where the family `meta` notes the first position of the newest journal.
const JOURNAL: &[u8] = b"journal";
/// Entries of a journal that are put back at a time.
const RECOVERED: usize = 1024;

/// An open store. Share it in an [`Arc`]; the folder is locked until the last one is dropped.
pub struct Store {
    db: DB,
    path: PathBuf,
    read_only: bool,
    poisoned: AtomicBool,
    /// What was appended since the last flush, if anything was.
    journal: Mutex<Option<Journal>>,
    /// RocksDB keeps no log of writes any more: what is not in its files comes back from the journal, or is folded anew.
    unlogged: AtomicBool,
    /// Of a store that is only read: entries that are in the journal and not yet in RocksDB's files.
    tail: Vec<(u64, Vec<u8>)>,
}

/// Writes that are done together or not at all. Made by [`Store::batch`].
pub struct Batch<'a> {
    store: &'a Store,
    writes: rocksdb::WriteBatch,
}

impl Batch<'_> {
    /// Writes a row, over one with the same key.
    pub fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        self.writes.put_cf(self.store.family(family), key, value);
    }

    /// Writes an entry of the log.
    pub fn put_entry(&mut self, position: u64, time_ms: u64, value: &[u8]) {
        self.put(Family::Log, &position.to_be_bytes(), &Entry::stored(time_ms, value));
    }

    /// Deletes a row, if there is one.
    pub fn delete(&mut self, family: Family, key: &[u8]) {
        self.writes.delete_cf(self.store.family(family), key);
    }

    /// Deletes the rows from `from` (included) to `to` (excluded).
    pub fn delete_range(&mut self, family: Family, from: &[u8], to: &[u8]) {
        self.writes.delete_range_cf(self.store.family(family), from, to);
    }

    /// The memory that the writes take, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.writes.size_in_bytes()
    }
}

/// The rows of the state as they were when this was made, by [`Store::state_rows`].
pub struct Rows<'a> {
    store: &'a Store,
    rows: rocksdb::DBRawIterator<'a>,
}

impl Rows<'_> {
    /// As [`Store::as_of`].
    ///
    /// # Errors
    /// If the row can't be read or its checksum is wrong.
    pub fn as_of(&mut self, row: &[u8], position: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        self.rows.seek(state_key(row, position));
        self.rows.status().map_err(|error| self.store.error(&error))?;
        let found = self.rows.item().and_then(|(key, value)| {
            let inverted = key.strip_prefix(row)?.try_into().ok()?;
            Some((!u64::from_be_bytes(inverted), value.to_vec()))
        });
        Ok(found)
    }

    /// The positions that wrote a row, from the latest not past `last` back to `first`, at most so many.
    ///
    /// # Errors
    /// As [`Store::as_of`].
    pub fn written_at(&mut self, row: &[u8], last: u64, first: u64, most: usize) -> Result<Vec<u64>, StoreError> {
        let mut found = Vec::new();
        self.rows.seek(state_key(row, last));
        while found.len() < most
            && let Some(inverted) = self.rows.key().and_then(|key| key.strip_prefix(row)?.try_into().ok())
            && let position = !u64::from_be_bytes(inverted)
            && position >= first
        {
            found.push(position);
            self.rows.next();
        }
        self.rows.status().map_err(|error| self.store.error(&error))?;
        Ok(found)
    }
}

impl Store {
    /// Opens the store in the folder `path`; makes both if there is none and writing is allowed.
    ///
    /// What a crash left half written at the very end is forgotten: it was never acknowledged. What is left of a journal
    /// is put back.
    ///
    /// # Errors
    /// If another has it open, it is damaged elsewhere than at the end, or the disk fails.
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Arc<Self>, StoreError> {
        let (path, recovery) = (path.as_ref(), DBRecoveryMode::TolerateCorruptedTailRecords);
        let journal = || journal::read(path).map_err(|unreadable| unreadable.error(path));
        if !options.read_only {
            let store = Self::open_with(path, options, recovery)?;
            store.put_back(journal()?)?;
            return Ok(Arc::new(store));
        }
        let mut tries = 0;
        loop {
            tries += 1;
            // In this order, so that what a writer beside us moves from the journal into files is seen here or there.
            let found = if path.exists() { journal()? } else { Found::default() };
            let mut store = Self::open_with(path, options, recovery)?;
            match store.missing(found) {
                Ok(tail) => {
                    store.tail = tail;
                    return Ok(Arc::new(store));
                }
                // The writer has begun another journal meanwhile.
                Err(StoreError::Corrupt { .. }) if tries < 3 => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn open_with(path: &Path, options: &Options, recovery: DBRecoveryMode) -> Result<Self, StoreError> {
        let database = options::database(options, recovery);
        let families = options::families(options);
        let db = if options.read_only {
            DB::open_cf_descriptors_read_only(&database, path, families, false)
        } else {
            DB::open_cf_descriptors(&database, path, families)
        };
        Ok(Self {
            db: db.map_err(|error| StoreError::from_rocksdb(path, &error))?,
            path: path.to_owned(),
            read_only: options.read_only,
            poisoned: AtomicBool::new(false),
            journal: Mutex::default(),
            unlogged: AtomicBool::new(false),
            tail: Vec::new(),
        })
    }

    /// The entries of a journal that RocksDB's files lack.
    fn missing(&self, found: Found) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let damaged = |position: u64, what: &str| {
            Err(StoreError::Corrupt { path: self.path.clone(), what: format!("entry {position}: {what}") })
        };
        let newest = found.files.last().map(|(first, _)| *first);
        let noted = self.get(Family::Meta, JOURNAL)?.and_then(|first| first.try_into().ok()).map(u64::from_be_bytes);
        if let Some(noted) = noted.filter(|noted| newest.is_none_or(|newest| newest < *noted)) {
            return damaged(noted, "the journal that begins with it is gone");
        }
        if found.entries.is_empty() {
            return Ok(Vec::new());
        }
        let last = self.last(Family::Log)?.map(|(key, _)| key.as_ref().try_into().map(u64::from_be_bytes));
        let end = match last {
            Some(Err(_)) => return damaged(0, "a key of the log is not a position"),
            Some(Ok(last)) => last.saturating_add(1),
            None => 0,
        };
        let entries: Vec<_> = found.entries.into_iter().skip_while(|(position, _)| *position < end).collect();
        match entries.first() {
            Some((first, _)) if *first > end => damaged(end, "it is missing before those in the journal"),
            _ => Ok(entries),
        }
    }

    /// Puts what is left of a journal into RocksDB's files, and removes it.
    fn put_back(&self, found: Found) -> Result<(), StoreError> {
        let files: Vec<_> = found.files.iter().map(|(_, path)| path.clone()).collect();
        let missing = self.missing(found)?;
        if files.is_empty() {
            return Ok(());
        }
        for entries in missing.chunks(RECOVERED) {
            let mut batch = self.batch();
            for (position, stored) in entries {
                batch.put(Family::Log, &position.to_be_bytes(), stored);
            }
            self.write(batch, false)?;
        }
        self.flush()?;
        self.note_journal(None)?;
        self.kept(files.iter().try_for_each(std::fs::remove_file))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An empty batch of writes.
    pub fn batch(&self) -> Batch<'_> {
        Batch { store: self, writes: rocksdb::WriteBatch::default() }
    }

    /// Writes a batch, all or nothing. With `sync` it is on disk on return, along with every
    /// batch written before; without, a crash may lose it, but only together with all later ones.
    ///
    /// # Errors
    /// If the disk fails, which poisons the store; if it is poisoned or read-only.
    pub fn write(&self, batch: Batch<'_>, sync: bool) -> Result<(), StoreError> {
        self.check_writable()?;
        let unlogged = self.unlogged.load(Ordering::Acquire);
        let mut options = WriteOptions::default();
        options.disable_wal(unlogged);
        options.set_sync(sync && !unlogged);
        self.or_poison(self.db.write_opt(batch.writes, &options))?;
        if sync && unlogged { self.flush() } else { Ok(()) }
    }

    /// From now on RocksDB keeps no log of what is written: the store has its own log, of which [`Store::append`] keeps
    /// a journal, and whatever else is in it can be computed from that.
    pub(crate) fn keep_journal(&self) {
        self.unlogged.store(true, Ordering::Release);
    }

    /// Appends entries to the store's own log, which [`Store::sync`] makes durable. `first` is the position of the first
    /// and the number of entries so far. One caller at a time, after [`Store::keep_journal`].
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub(crate) fn append(&self, first: u64, time_ms: u64, values: &[&[u8]]) -> Result<(), StoreError> {
        self.check_writable()?;
        let mut journal = self.journal();
        self.in_journal(&mut journal, first, time_ms, values)?;
        let mut batch = self.batch();
        for (position, value) in (first..).zip(values) {
            batch.put_entry(position, time_ms, value);
        }
        self.write(batch, false)
    }

    /// Writes entries into the journal, which begins with them if there is none, or goes on in another file if one is
    /// full; of the older ones those are removed whose entries have gone into RocksDB's files.
    fn in_journal(
        &self,
        journal: &mut Option<Journal>,
        first: u64,
        time_ms: u64,
        values: &[&[u8]],
    ) -> Result<(), StoreError> {
        if let Some(journal) = journal {
            // What was in memory when the last file began.
            if journal.has_before() && !self.is_flushing()? {
                self.kept(journal.forget_before())?;
            }
            if journal.is_full() {
                self.kept(journal.go_on(&self.path))?;
                self.note_journal(Some(first))?;
                self.flush_families(false)?;
            }
        }
        if journal.is_none() {
            *journal = Some(self.kept(Journal::begin(&self.path, first))?);
            self.note_journal(Some(first))?;
        }
        let Some(journal) = journal else { return Ok(()) };
        self.kept(journal.append(time_ms, values))
    }

    /// Waits until all that was appended is on disk.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.check_writable()?;
        // Without a journal it is in RocksDB's files already.
        let Some(journal) = &mut *self.journal() else { return Ok(()) };
        self.kept(journal.sync())
    }

    /// Puts all that is in memory into files, so that the next opening is quick.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub fn flush(&self) -> Result<(), StoreError> {
        self.check_writable()?;
        // What is appended meanwhile would need a journal.
        let mut journal = self.journal();
        self.flush_families(true)?;
        let Some(journal) = journal.take() else { return Ok(()) };
        self.note_journal(None)?;
        self.kept(journal.remove())
    }

    fn flush_families(&self, wait: bool) -> Result<(), StoreError> {
        let families = Family::ALL.map(|family| self.family(family));
        let mut options = FlushOptions::default();
        options.set_wait(wait);
        self.or_poison(self.db.flush_cfs_opt(&families, &options))
    }

    /// Whether something in memory is still on its way into files.
    fn is_flushing(&self) -> Result<bool, StoreError> {
        for family in Family::ALL {
            let waiting = rocksdb::properties::NUM_IMMUTABLE_MEM_TABLE;
            let waiting = self.db.property_int_value_cf(self.family(family), waiting);
            if self.or_poison(waiting)? != Some(0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes, at once on disk, with which entry the newest journal begins, so that one that is lost is missed.
    fn note_journal(&self, first: Option<u64>) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        let meta = self.family(Family::Meta);
        self.or_poison(match first {
            Some(first) => self.db.put_cf_opt(meta, JOURNAL, first.to_be_bytes(), &options),
            None => self.db.delete_cf_opt(meta, JOURNAL, &options),
        })
    }

    fn journal(&self) -> MutexGuard<'_, Option<Journal>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a write has failed; see [`StoreError::Poisoned`].
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// The value of a row.
    ///
    /// # Errors
    /// If it can't be read or its checksum is wrong.
    pub fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let stored = self.db.get_cf(self.family(family), key).map_err(|error| self.error(&error))?;
        let in_tail = || {
            let (position, stored) = self.tail(family, key, &[]).first()?;
            (position.to_be_bytes() == *key).then(|| stored.clone())
        };
        Ok(stored.or_else(in_tail))
    }

    /// The entries of the tail from the key `from` (included) to `to` (excluded; empty for no limit).
    fn tail(&self, family: Family, from: &[u8], to: &[u8]) -> &[(u64, Vec<u8>)] {
        let place = |key: &[u8]| self.tail.partition_point(|(position, _)| position.to_be_bytes().as_slice() < key);
        let end = if to.is_empty() { self.tail.len() } else { place(to) };
        if family == Family::Log { self.tail.get(place(from)..end).unwrap_or_default() } else { &[] }
    }

    /// The rows from `from` (included) to `to` (excluded; empty for no limit), in order of keys.
    /// The scan ends after the first error.
    pub fn scan<'a>(
        &'a self,
        family: Family,
        from: &[u8],
        to: &[u8],
    ) -> impl Iterator<Item = Result<Row, StoreError>> + use<'a> {
        self.rows(family, from, to, true)
    }

    /// The rows whose keys begin with `prefix`, in order of keys.
    pub fn scan_prefix<'a>(
        &'a self,
        family: Family,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<Row, StoreError>> + use<'a> {
        self.scan_from(family, prefix, prefix)
    }

    /// The rows whose keys begin with `prefix`, from the key `start` on, in order of keys.
    pub fn scan_from<'a>(
        &'a self,
        family: Family,
        prefix: &[u8],
        start: &[u8],
    ) -> impl Iterator<Item = Result<Row, StoreError>> + use<'a> {
        self.scan(family, start, &after_prefix(prefix))
    }

    /// The rows from `from` on, in order of keys, damaged or not: checksums are passed over.
    fn scan_unchecked<'a>(
        &'a self,
        family: Family,
        from: &[u8],
    ) -> impl Iterator<Item = Result<Row, StoreError>> + use<'a> {
        self.rows(family, from, &[], false)
    }

    fn rows<'a>(
        &'a self,
        family: Family,
        from: &[u8],
        to: &[u8],
        verify: bool,
    ) -> impl Iterator<Item = Result<Row, StoreError>> + use<'a> {
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        options.set_verify_checksums(verify);
        if !to.is_empty() {
            options.set_iterate_upper_bound(to);
        }
        let mode = IteratorMode::From(from, Direction::Forward);
        let rows = self.db.iterator_cf_opt(self.family(family), options, mode);
        let tail = self.tail(family, from, to).iter();
        let tail = tail.map(|(position, stored)| Ok((position.to_be_bytes().into(), stored.as_slice().into())));
        rows.map(|row| row.map_err(|error| self.error(&error))).chain(tail)
    }

    /// The row with the greatest key.
    ///
    /// # Errors
    /// If it can't be read or its checksum is wrong.
    pub fn last(&self, family: Family) -> Result<Option<Row>, StoreError> {
        if let Some((position, stored)) = self.tail(family, &[], &[]).last() {
            return Ok(Some((position.to_be_bytes().into(), stored.as_slice().into())));
        }
        let mut options = ReadOptions::default();
        options.set_total_order_seek(true);
        let mut rows = self.db.iterator_cf_opt(self.family(family), options, IteratorMode::End);
        rows.next().transpose().map_err(|error| self.error(&error))
    }

    /// A row of the state as it was at `position`: the position that wrote it, the latest not
    /// past `position`, and its value.
    ///
    /// A key of the state is `row ‖ !position`, the position inverted, 8 bytes big-endian
    /// ([`state_key`]). No row may begin with another: let a row start with its table's number
    /// and have a length fixed by that or written before each part. Filters over rows make asking
    /// for one that does not exist cheap.
    ///
    /// # Errors
    /// If it can't be read or its checksum is wrong.
    pub fn as_of(&self, row: &[u8], position: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        self.state_rows().as_of(row, position)
    }

    /// The state as it is now, for many questions like [`Store::as_of`] in turn.
    pub fn state_rows(&self) -> Rows<'_> {
        let mut options = ReadOptions::default();
        options.set_prefix_same_as_start(true);
        Rows { store: self, rows: self.db.raw_iterator_cf_opt(self.family(Family::State), options) }
    }

    /// The bytes that the files of all families take on disk, the write-ahead log not counted.
    pub fn file_bytes(&self) -> u64 {
        let bytes =
            |family| self.db.property_int_value_cf(self.family(family), rocksdb::properties::TOTAL_SST_FILES_SIZE);
        Family::ALL.into_iter().filter_map(|family| bytes(family).ok().flatten()).sum()
    }

    fn family(&self, family: Family) -> &ColumnFamily {
        self.db.cf_handle(family.name()).expect("every family is opened with the store")
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        let path = || self.path.clone();
        if self.read_only {
            return Err(StoreError::ReadOnly { path: path() });
        }
        if self.is_poisoned() {
            return Err(StoreError::Poisoned { path: path() });
        }
        Ok(())
    }

    fn or_poison<T>(&self, outcome: Result<T, rocksdb::Error>) -> Result<T, StoreError> {
        outcome.map_err(|error| self.error(&error)).inspect_err(|_| self.poison())
    }

    /// What became of the journal, as [`Store::or_poison`].
    fn kept<T>(&self, outcome: std::io::Result<T>) -> Result<T, StoreError> {
        outcome.map_err(|error| journal::failed(&self.path, &error)).inspect_err(|_| self.poison())
    }

    fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    fn error(&self, error: &rocksdb::Error) -> StoreError {
        StoreError::from_rocksdb(&self.path, error)
    }
}

/// The key of a row of the state as written at `position`: later positions come first.
pub fn state_key(row: &[u8], position: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(row.len() + POSITION_BYTES);
    key.extend(row);
    key.extend((!position).to_be_bytes());
    key
}

/// The least key that is greater than all with this prefix; empty if there is none.
fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let kept = prefix.iter().rposition(|&byte| byte < u8::MAX).map_or(0, |at| at + 1);
    let mut after = prefix[..kept].to_vec();
    if let Some(last) = after.last_mut() {
        *last += 1;
    }
    after
}
