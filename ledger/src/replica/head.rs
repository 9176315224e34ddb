//! The signed head in a file beside the store: `head`, a C2SP signed note under the origin `attestune-head`. It says
//! how far the log had come, so that a lost end is found at the next opening.

use super::folder::Head;
use super::{Replica, ReplicaError};
use crate::envelope::SigningKey;
use crate::tree::{Checkpoint, Hash, Origin, VerifierKey};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often it is written while entries come.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How often it is said again that it can't be written, while that lasts.
const SAY_AGAIN: Duration = Duration::from_secs(60);

impl Replica {
    /// What was folded must reach as far as the signed head knew it, and be the same so far. Without a file, or a key
    /// to check it with, there is nothing to compare.
    pub(super) fn check_signed_head(&self) -> Result<(), ReplicaError> {
        let Some(known) = read(self.store.path(), self.options.checkpoint_key.as_ref())? else { return Ok(()) };
        let end = self.position();
        if known.size > end {
            return Err(ReplicaError::LostEnd { end, head: known.size });
        }
        let theirs = self.root_at(false, known.size)?;
        if theirs != known.root {
            return Err(ReplicaError::Diverged { at: known.size, ours: known.root, theirs });
        }
        Ok(())
    }
}

/// The signed head of a replica that goes on, as the fold's thread writes it.
pub(super) struct SignedHead<'r> {
    replica: &'r Replica,
    /// When it was written last, or could not be.
    tried: Instant,
    /// When it was said last that it can't be written, while that lasts.
    complained: Option<Instant>,
}

impl<'r> SignedHead<'r> {
    /// The first one is due in a while.
    pub(super) fn of(replica: &'r Replica) -> Self {
        Self { replica, tried: Instant::now(), complained: None }
    }

    /// Writes it if the last time is long enough ago.
    pub(super) fn write_if_due(&mut self) {
        if self.tried.elapsed() >= WRITE_EVERY {
            self.write();
            self.tried = Instant::now();
        }
    }

    /// Writes it, if there is a key to sign it with. That it can't be written, as on a full disk, is said when it
    /// begins, now and then, and when that is over.
    pub(super) fn write(&mut self) {
        let Head { size, entry_root: root, .. } = self.replica.shown.head();
        let key = self.replica.options.checkpoint_key.as_ref();
        let Some(key) = key.filter(|_| size > 0) else { return };
        match write(self.replica.store.path(), key, size, root) {
            Ok(()) if self.complained.take().is_some() => tracing::warn!("the signed head is written again"),
            Err(error) if self.complained.is_none_or(|at| at.elapsed() >= SAY_AGAIN) => {
                tracing::warn!(%error, "the signed head could not be written; it is tried again");
                self.complained = Some(Instant::now());
            }
            Ok(()) | Err(_) => {}
        }
    }
}

fn place(store: &Path) -> PathBuf {
    store.with_file_name("head")
}

fn name() -> Result<Origin, ReplicaError> {
    "attestune-head".parse().map_err(|e: crate::tree::NoteError| ReplicaError::Damaged { what: e.to_string() })
}

/// Reads the head, if there is a file and a key to check it with.
fn read(store: &Path, key: Option<&SigningKey>) -> Result<Option<Checkpoint>, ReplicaError> {
    let (Some(key), Ok(note)) = (key, fs::read_to_string(place(store))) else { return Ok(None) };
    let verifier = VerifierKey::new(name()?, key.inner().verifying_key());
    let head = verifier.and_then(|verifier| Checkpoint::open(&note, &verifier));
    head.map(Some).map_err(|error| ReplicaError::Damaged {
        what: format!("the signed head in {}: {error}", place(store).display()),
    })
}

/// Writes the head: a new file, made durable, takes the old one's place.
fn write(store: &Path, key: &SigningKey, size: u64, root: Hash) -> Result<(), std::io::Error> {
    let origin = name().map_err(std::io::Error::other)?;
    let note = Checkpoint { origin, size, root }.sign(key.inner());
    let (place, fresh) = (place(store), store.with_file_name("head.new"));
    let mut file = File::create(&fresh)?;
    file.write_all(note.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, &place)
}
