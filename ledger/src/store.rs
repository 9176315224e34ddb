//! A replica's folder: one RocksDB with the families log, state, tree and meta.
//!
//! One write batch covers all of them, so that a replica is always at one position. A failed
//! write or fsync poisons the store, as what is on disk is then unknown: every later write is
//! refused until it has been reopened.
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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rocksdb::{ColumnFamily, DB, DBRecoveryMode, Direction, IteratorMode, ReadOptions, WriteOptions};

mod damage;
mod error;
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

/// An open store. Share it in an [`Arc`]; the folder is locked until the last one is dropped.
pub struct Store {
    db: DB,
    path: PathBuf,
    read_only: bool,
    poisoned: AtomicBool,
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
    /// What a crash left half written at the very end is forgotten: it was never acknowledged.
    ///
    /// # Errors
    /// If another has it open, it is damaged elsewhere than at the end, or the disk fails.
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Arc<Self>, StoreError> {
        let store = Self::open_with(path.as_ref(), options, DBRecoveryMode::TolerateCorruptedTailRecords)?;
        Ok(Arc::new(store))
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
        })
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
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.or_poison(self.db.write_opt(batch.writes, &options))
    }

    /// Waits until all that was written is on disk. Writes may go on meanwhile, which this doesn't wait for.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub fn sync(&self) -> Result<(), StoreError> {
        self.check_writable()?;
        self.or_poison(self.db.flush_wal(true))
    }

    /// Puts all that is in memory into files, so that the next opening is quick.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub fn flush(&self) -> Result<(), StoreError> {
        self.check_writable()?;
        let families = Family::ALL.map(|family| self.family(family));
        self.or_poison(self.db.flush_cfs_opt(&families, &rocksdb::FlushOptions::default()))
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
        self.db.get_cf(self.family(family), key).map_err(|error| self.error(&error))
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
        rows.map(|row| row.map_err(|error| self.error(&error)))
    }

    /// The row with the greatest key.
    ///
    /// # Errors
    /// If it can't be read or its checksum is wrong.
    pub fn last(&self, family: Family) -> Result<Option<Row>, StoreError> {
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

    fn or_poison(&self, outcome: Result<(), rocksdb::Error>) -> Result<(), StoreError> {
        outcome.map_err(|error| {
            self.poisoned.store(true, Ordering::Release);
            self.error(&error)
        })
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
