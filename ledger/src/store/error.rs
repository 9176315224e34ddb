//! What can go wrong with a store's folder, and the way out of each.

use std::path::{Path, PathBuf};

/// Why a store could not be opened, read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Someone holds the folder's lock.
    #[error("another process has this folder open: {}; stop it, or talk to it instead", path.display())]
    LockedByAnother {
        /// The store's folder.
        path: PathBuf,
    },
    /// There is no store to open, and none may be made (read-only).
    #[error("there is no store in {}; check the folder's name", path.display())]
    Missing {
        /// The folder asked for.
        path: PathBuf,
    },
    /// Bytes on disk are not those that were written.
    #[error(
        "damaged store in {}: {what}; keep this folder as it is and restore its log from a backup \
         or another replica into a new one",
        path.display()
    )]
    Corrupt {
        /// The store's folder.
        path: PathBuf,
        /// What RocksDB found, its file and offset included.
        what: String,
    },
    /// No space is left.
    #[error("the disk of {} is full; make room, then start again", path.display())]
    DiskFull {
        /// The store's folder.
        path: PathBuf,
    },
    /// The operating system refused a read or write.
    #[error("could not read or write {}: {what}; check the disk and its permissions", path.display())]
    Io {
        /// The store's folder.
        path: PathBuf,
        /// What it said.
        what: String,
    },
    /// An earlier write or fsync failed, so what is on disk is no longer known.
    #[error(
        "an earlier write to {} failed, so nothing more is written: stop and reopen",
        path.display()
    )]
    Poisoned {
        /// The store's folder.
        path: PathBuf,
    },
    /// A write to a store that was opened read-only.
    #[error("{} is open for reading only", path.display())]
    ReadOnly {
        /// The store's folder.
        path: PathBuf,
    },
}

impl StoreError {
    /// RocksDB tells its failures apart by text alone; the texts are pinned by the store's tests.
    pub(super) fn from_rocksdb(path: &Path, error: &rocksdb::Error) -> Self {
        let (path, what) = (path.to_owned(), error.as_ref().to_owned());
        let not_found = what.contains("No such file or directory");
        match error.kind() {
            _ if what.contains("No space left on device") => Self::DiskFull { path },
            rocksdb::ErrorKind::Corruption => Self::Corrupt { path, what },
            // A table or manifest that the store knows of is gone.
            rocksdb::ErrorKind::IOError if not_found && !what.contains("CURRENT") => Self::Corrupt { path, what },
            rocksdb::ErrorKind::IOError if not_found => Self::Missing { path },
            rocksdb::ErrorKind::IOError if what.contains("/LOCK: ") && what.contains("lock") => {
                Self::LockedByAnother { path }
            }
            _ => Self::Io { path, what },
        }
    }
}
