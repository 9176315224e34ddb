//! The signed head in a file beside the store: `head`, a C2SP signed note under the origin `attestune-head`.

use super::ReplicaError;
use crate::envelope::SigningKey;
use crate::tree::{Checkpoint, Hash, Origin, VerifierKey};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

fn place(store: &Path) -> PathBuf {
    store.with_file_name("head")
}

fn name() -> Result<Origin, ReplicaError> {
    "attestune-head".parse().map_err(|e: crate::tree::NoteError| ReplicaError::Damaged { what: e.to_string() })
}

/// Reads the head, if there is a file and a key to check it with.
pub(super) fn read(store: &Path, key: Option<&SigningKey>) -> Result<Option<Checkpoint>, ReplicaError> {
    let (Some(key), Ok(note)) = (key, fs::read_to_string(place(store))) else { return Ok(None) };
    let verifier = VerifierKey::new(name()?, key.inner().verifying_key());
    let head = verifier.and_then(|verifier| Checkpoint::open(&note, &verifier));
    head.map(Some).map_err(|error| ReplicaError::Damaged {
        what: format!("the signed head in {}: {error}", place(store).display()),
    })
}

/// Writes the head: a new file, made durable, takes the old one's place.
pub(super) fn write(store: &Path, key: &SigningKey, size: u64, root: Hash) -> Result<(), std::io::Error> {
    let origin = name().map_err(std::io::Error::other)?;
    let note = Checkpoint { origin, size, root }.sign(key.inner());
    let (place, fresh) = (place(store), store.with_file_name("head.new"));
    let mut file = File::create(&fresh)?;
    file.write_all(note.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, &place)
}
