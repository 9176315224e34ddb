//! Where a damaged store's log stops being readable.

use std::path::Path;

use rocksdb::DBRecoveryMode;

use super::{Family, Options, Store, StoreError};

/// The position of the first entry in the folder's log that can't be read, or that is missing
/// before others; `None` if all of them can.
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
    let options = Options {
        read_only: true,
        ..Options::default()
    };
    let (store, wal_damaged) =
        match Store::open_with(path, &options, DBRecoveryMode::TolerateCorruptedTailRecords) {
            Err(StoreError::Corrupt { .. }) => {
                let salvage = DBRecoveryMode::SkipAnyCorruptedRecord;
                (Store::open_with(path, &options, salvage)?, true)
            }
            store => (store?, false),
        };
    let (end, unreadable) = walk(&store)?;
    Ok(unreadable.or(wal_damaged.then_some(end)))
}

/// Reads the log entry by entry: (where it ends, the first position that can't be read).
fn walk(store: &Store) -> Result<(u64, Option<u64>), StoreError> {
    let known_end = known_end(store)?;
    let mut position = 0;
    loop {
        // A scan is fast, but fails early where a file that it will need later is damaged.
        let mut scan = store.scan(Family::Log, &u64::to_be_bytes(position), &[]);
        while let Some(Ok((key, _))) = scan.next() {
            if *key != position.to_be_bytes() {
                return Ok((known_end.max(position), Some(position)));
            }
            position += 1;
        }
        drop(scan);
        match store.get(Family::Log, &position.to_be_bytes()) {
            Ok(Some(_)) => position += 1,
            Ok(None) if position < known_end => return Ok((known_end, Some(position))),
            Ok(None) => return Ok((position, None)),
            Err(StoreError::Corrupt { .. }) => {
                return Ok((known_end.max(position), Some(position)));
            }
            Err(error) => return Err(error),
        }
    }
}

/// The position after the greatest key that the list of files promises.
fn known_end(store: &Store) -> Result<u64, StoreError> {
    let files = store.db.live_files().map_err(|error| store.error(&error))?;
    let ends = files
        .into_iter()
        .filter(|file| file.column_family_name == Family::Log.name())
        .filter_map(|file| file.end_key?.try_into().ok());
    Ok(ends
        .map(|key| u64::from_be_bytes(key).saturating_add(1))
        .max()
        .unwrap_or(0))
}
