//! A log folded again from nothing, in a temporary store.

use anyhow::Context as _;
use attestune_ledger::{
    log::{Embedded, SystemClock},
    replica::{Replica, ReplicaOptions},
    store::{Options, Store},
};
use attestune_proto::v1::Entry;
use std::sync::Arc;

/// Bytes of entries written at once.
const WRITE_BYTES: usize = 4 << 20;

/// Entries taken in, to be folded.
pub struct Refold {
    store: Arc<Store>,
    size: u64,
    waiting: Vec<Entry>,
    waiting_bytes: usize,
    folder: tempfile::TempDir,
}

/// The result; its folder goes with it.
pub struct Refolded {
    /// The replica over the temporary store.
    pub replica: Arc<Replica>,
    /// The temporary store.
    pub store: Arc<Store>,
    _folder: tempfile::TempDir,
}

impl Refold {
    /// An empty temporary store.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("attestune-refold-")
            .tempdir()
            .context("cannot make a temporary folder; TMPDIR may name another place")?;
        let store = Store::open(folder.path().join("db"), &Options::default())?;
        Ok(Self { store, size: 0, waiting: Vec::new(), waiting_bytes: 0, folder })
    }

    /// Takes an entry in, with the time that it has on its log.
    ///
    /// # Errors
    /// If it is not the next one.
    pub fn push(&mut self, entry: Entry) -> anyhow::Result<()> {
        if entry.position != self.size {
            anyhow::bail!("entry {} is missing: the log goes on with {}", self.size, entry.position);
        }
        self.size += 1;
        self.waiting_bytes += entry.value.len();
        self.waiting.push(entry);
        if self.waiting_bytes >= WRITE_BYTES { self.write() } else { Ok(()) }
    }

    /// Entries taken in.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn write(&mut self) -> anyhow::Result<()> {
        let mut batch = self.store.batch();
        for entry in self.waiting.drain(..) {
            batch.put_entry(entry.position, entry.time_ms, &entry.value);
        }
        self.waiting_bytes = 0;
        self.store.write(batch, false)?;
        Ok(())
    }

    /// Folds everything. Blocking.
    pub fn fold(mut self) -> anyhow::Result<Refolded> {
        self.write()?;
        let log = Arc::new(Embedded::open(self.store.clone(), Arc::new(SystemClock))?);
        let replica = Replica::open(self.store.clone(), log, ReplicaOptions::default())?;
        Ok(Refolded { replica, store: self.store, _folder: self.folder })
    }
}

impl Drop for Refolded {
    fn drop(&mut self) {
        self.replica.shut_down();
    }
}
