//! Where a damaged store's log stops being readable.

use std::path::Path;

use rocksdb::DBRecoveryMode;

use super::journal::{self, Unreadable};
use super::{Family, Options, Store, StoreError};
use crate::log::Entry;
use crate::replica::{Tree, stored_hash};
use crate::rules::entry_leaf;

/// The position of the first entry in the folder's log that can't be read, or that is missing
/// before others; `None` if all of them can. Where a table is damaged, that is the entry that the tree over
/// the entries shows to be changed, or, if the tree is damaged, too, the first of the damaged block.
///
/// For use once opening or reading has failed: it opens the folder for reading only, past any
/// damage. Where the write-ahead log is damaged and no gap shows, the damage may have been the
/// last entries: then it is the position after the last entry found.
///
/// It reads the whole log.
///
/// # Errors
/// If the store is too damaged to be opened at all, or the disk fails otherwise.
pub fn first_unreadable_entry(path: impl AsRef<Path>) -> Result<Option<u64>, StoreError> {
    let path = path.as_ref();
    let options = Options { read_only: true, ..Options::default() };
    let (store, wal_damaged) = match Store::open_with(path, &options, DBRecoveryMode::TolerateCorruptedTailRecords) {
        Err(StoreError::Corrupt { .. }) => {
            let salvage = DBRecoveryMode::SkipAnyCorruptedRecord;
            (Store::open_with(path, &options, salvage)?, true)
        }
        store => (store?, false),
    };
    let (end, unreadable) = walk(&store)?;
    let first = unreadable.map(|block| changed_in_block(&store, block).unwrap_or(block));
    if let Some(first) = first.or(wal_damaged.then_some(end)) {
        return Ok(Some(first));
    }
    match journal::read(path) {
        Ok(found) => Ok(store.missing(found).is_err().then_some(end)),
        Err(Unreadable::Damaged { position, .. }) => Ok(Some(position)),
        Err(unreadable) => Err(unreadable.error(path)),
    }
}

/// A block of a table can be read as a whole or not at all. Read past its checksum, the entries are compared with the
/// leaves of the entry tree: the first that differs from its own, if the rest of the block is sound.
fn changed_in_block(store: &Store, block: u64) -> Option<u64> {
    for (position, row) in (block..).zip(store.scan_unchecked(Family::Log, &block.to_be_bytes())) {
        let (key, value) = row.ok()?;
        if *key != position.to_be_bytes() {
            return None;
        }
        let leaf = stored_hash(store, Tree::Entries, 0, position).ok()??;
        let same =
            Entry::from_stored(position, &value).is_some_and(|entry| entry_leaf(entry.time_ms, &entry.value) == leaf);
        if !same {
            return Some(position);
        }
    }
    None
}

/// Reads the log entry by entry: (where it ends, the first position that can't be read).
fn walk(store: &Store) -> Result<(u64, Option<u64>), StoreError> {
    let files = log_files(store)?;
    let known_end = files.iter().map(|file| file.last.saturating_add(1)).max().unwrap_or(0);
    let mut position = 0;
    loop {
        // A scan is fast, but fails early where a file that it will need later is damaged.
        for row in store.scan(Family::Log, &u64::to_be_bytes(position), &[]) {
            match row {
                Ok((key, _)) if *key == position.to_be_bytes() => position += 1,
                _ => break,
            }
        }
        match store.get(Family::Log, &position.to_be_bytes()) {
            Ok(Some(_)) => position += 1,
            Ok(None) if position < known_end || has_later(store, position) => {
                return Ok((known_end, Some(position)));
            }
            Ok(None) => return Ok((position, None)),
            // A filter may send a read into a damaged file that doesn't hold the entry.
            Err(StoreError::Corrupt { what, .. })
                if files.iter().any(|file| what.contains(&file.name) && position < file.first) =>
            {
                position += 1;
            }
            Err(StoreError::Corrupt { .. }) => {
                return Ok((known_end.max(position), Some(position)));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether entries follow that are in no file yet.
fn has_later(store: &Store, position: u64) -> bool {
    store.scan(Family::Log, &u64::to_be_bytes(position), &[]).any(|row| row.is_ok())
}

/// A table file of the log, and the positions of its first and last entry.
struct LogFile {
    name: String,
    first: u64,
    last: u64,
}

/// The files that the store's manifest promises.
fn log_files(store: &Store) -> Result<Vec<LogFile>, StoreError> {
    let position = |key: Option<Vec<u8>>| Some(u64::from_be_bytes(key?.try_into().ok()?));
    let files = store.db.live_files().map_err(|error| store.error(&error))?;
    let of_log = files.into_iter().filter(|file| file.column_family_name == Family::Log.name());
    let files = of_log.filter_map(|file| {
        let (first, last) = (position(file.start_key)?, position(file.end_key)?);
        Some(LogFile { name: file.name, first, last })
    });
    Ok(files.collect())
}
