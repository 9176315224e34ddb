//! Signatures verified before the fold, in parallel and once: at the door, or for a window of a log that others wrote.

use crate::envelope;
use crate::refusal::Rejection;
use crate::rules::decode::{self, Decoded};
use attestune_proto::v1::{Envelope, KeyRow};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};

/// Values checked at the door and not yet folded, at most.
const WAITING_MAX: usize = 1 << 16;

/// A decoded value with the verdicts on its signatures under the keys that were known by then.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What the bytes are.
    pub decoded: Result<Decoded, Rejection>,
    /// For each signature: the public key it was verified under, and the verdict.
    pub verdicts: Vec<Option<([u8; 32], bool)>>,
}

impl Checked {
    /// The verdict on a signature: the remembered one, else verified now.
    pub fn verify(&self, envelope: &Envelope, key: &[u8; 32], index: usize) -> bool {
        match self.verdicts.get(index) {
            Some(Some((under, verdict))) if under == key => *verdict,
            _ => envelope::verify(envelope, key, index),
        }
    }
}

/// Public keys by id. A key's id is its hash, so that this never goes stale.
#[derive(Default)]
pub struct KnownKeys(RwLock<HashMap<String, [u8; 32]>>);

impl KnownKeys {
    /// Remembers a registered key.
    pub fn insert(&self, key: &KeyRow) {
        let Ok(public) = <[u8; 32]>::try_from(key.public_key.as_slice()) else { return };
        if let Ok(mut keys) = self.0.write() {
            keys.insert(key.keyid.clone(), public);
        }
    }

    /// Decodes a value and verifies the signatures whose keys are known.
    pub fn check(&self, value: &[u8]) -> Checked {
        let decoded = decode::decode(value);
        let verdicts = match &decoded {
            Ok(decoded) => (0..decoded.envelope.signatures.len()).map(|i| self.verdict(decoded, i)).collect(),
            Err(_) => Vec::new(),
        };
        Checked { decoded, verdicts }
    }

    fn verdict(&self, decoded: &Decoded, index: usize) -> Option<([u8; 32], bool)> {
        let key = *self.0.read().ok()?.get(&decoded.envelope.signatures[index].keyid)?;
        Some((key, envelope::verify(&decoded.envelope, &key, index)))
    }
}

/// What the door has checked, until the fold comes to it.
#[derive(Default)]
pub struct Waiting(Mutex<HashMap<[u8; 32], Arc<Checked>>>);

impl Waiting {
    /// Remembers a checked value.
    pub fn put(&self, value: &[u8], checked: Checked) {
        if let Ok(mut waiting) = self.0.lock()
            && waiting.len() < WAITING_MAX
        {
            waiting.insert(Sha256::digest(value).into(), Arc::new(checked));
        }
    }

    /// Takes a value's check, if the door made one.
    pub fn take(&self, value: &[u8]) -> Option<Arc<Checked>> {
        let mut waiting = self.0.lock().ok()?;
        if waiting.is_empty() {
            return None;
        }
        waiting.remove(&<[u8; 32]>::from(Sha256::digest(value)))
    }
}
