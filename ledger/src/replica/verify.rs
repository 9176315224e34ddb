//! Signatures verified before the fold, in parallel and once: at the door, or for a window of a log that others wrote.

use super::metrics::Measured;
use crate::envelope::{self, Expected, KeyTable};
use crate::log::Entry;
use crate::refusal::Rejection;
use crate::rules::decode::{self, Decoded};
use attestune_proto::v1::{Envelope, KeyRow};
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

/// Values checked at the door and not yet folded, at most.
const WAITING_MAX: usize = 1 << 16;
/// A key gets a table when it has verified so often: making one costs as much as about twenty verifications.
const TABLE_AFTER: u32 = 32;
/// Keys with tables, at most: 42 MB.
const TABLES_MAX: usize = 256;

/// Entries whose signatures are judged together.
const TOGETHER: usize = 32;

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
pub struct KnownKeys {
    keys: RwLock<HashMap<String, Arc<KnownKey>>>,
    tables: AtomicUsize,
    /// What checking came to; the fold adds its verdicts.
    pub(super) measured: Measured,
}

struct KnownKey {
    public: [u8; 32],
    uses: AtomicU32,
    table: OnceLock<Option<KeyTable>>,
}

impl KnownKeys {
    /// Remembers a registered key.
    pub fn insert(&self, key: &KeyRow) {
        let Ok(public) = <[u8; 32]>::try_from(key.public_key.as_slice()) else { return };
        if let Ok(mut keys) = self.keys.write() {
            let known = || Arc::new(KnownKey { public, uses: AtomicU32::new(0), table: OnceLock::new() });
            keys.entry(key.keyid.clone()).or_insert_with(known);
        }
    }

    /// Decodes a value and verifies the signatures whose keys are known.
    pub fn check(&self, value: &[u8]) -> Checked {
        self.measured.check(1, || {
            let mut pending = Vec::new();
            let mut checked = self.begin(value, &mut pending);
            for (index, holds) in judge(&pending) {
                settle(&mut checked, index, holds);
            }
            checked
        })
    }

    /// The same for some values together, which is faster.
    fn check_all(&self, values: &[&[u8]]) -> Vec<Checked> {
        self.measured.check(values.len() as u64, || self.verify_all(values))
    }

    fn verify_all(&self, values: &[&[u8]]) -> Vec<Checked> {
        let mut pending = Vec::with_capacity(values.len());
        let mut places = Vec::with_capacity(values.len());
        let mut all = Vec::with_capacity(values.len());
        for value in values {
            all.push(self.begin(value, &mut pending));
            places.resize(pending.len(), all.len() - 1);
        }
        for (place, (index, holds)) in places.into_iter().zip(judge(&pending)) {
            settle(&mut all[place], index, holds);
        }
        all
    }

    /// Decodes a value and verifies the signatures whose keys are known and have no table; those with a table are
    /// pending, and false until they are judged.
    fn begin(&self, value: &[u8], pending: &mut Vec<(usize, Expected)>) -> Checked {
        let decoded = decode::decode(value);
        let mut verdicts = Vec::new();
        if let Ok(decoded) = &decoded {
            let envelope = &decoded.envelope;
            for (index, signature) in envelope.signatures.iter().enumerate() {
                let key = self.keys.read().ok().and_then(|keys| keys.get(&signature.keyid).cloned());
                verdicts.push(key.map(|key| {
                    let Some(table) = self.table(&key) else {
                        return (key.public, envelope::verify(envelope, &key.public, index));
                    };
                    pending.extend(table.expect_envelope(envelope, index).map(|expected| (index, expected)));
                    (key.public, false)
                }));
            }
        }
        Checked { decoded, verdicts }
    }

    fn table<'a>(&self, key: &'a KnownKey) -> Option<&'a KeyTable> {
        if let Some(table) = key.table.get() {
            return table.as_ref();
        }
        if key.uses.fetch_add(1, Ordering::Relaxed) < TABLE_AFTER {
            return None;
        }
        let room = || self.tables.fetch_add(1, Ordering::Relaxed) < TABLES_MAX;
        key.table.get_or_init(|| room().then(|| KeyTable::new(&key.public)).flatten()).as_ref()
    }
}

/// For each pending signature: its index in its envelope, and whether it holds.
fn judge(pending: &[(usize, Expected)]) -> impl Iterator<Item = (usize, bool)> {
    let expected: Vec<_> = pending.iter().map(|(_, expected)| expected.clone()).collect();
    pending.iter().map(|(index, _)| *index).zip(envelope::hold(&expected))
}

fn settle(checked: &mut Checked, index: usize, holds: bool) {
    if let Some(Some((_, verdict))) = checked.verdicts.get_mut(index) {
        *verdict = holds;
    }
}

/// A window's entries with their checks, made in parallel: the door's where it made one.
pub fn check_window(keys: &KnownKeys, waiting: &Waiting, window: Vec<Entry>) -> Vec<(Entry, Arc<Checked>)> {
    let known: Vec<_> = window.iter().map(|entry| waiting.take(&entry.value)).collect();
    // Waking other threads costs more than what the door has left to do.
    if known.iter().all(Option::is_some) {
        return window.into_iter().zip(known).filter_map(|(entry, known)| Some((entry, known?))).collect();
    }
    let check = |(entries, known): (&[Entry], &[Option<Arc<Checked>>])| -> Vec<Arc<Checked>> {
        let missing = entries.iter().zip(known).filter(|(_, known)| known.is_none());
        let values: Vec<_> = missing.map(|(entry, _)| entry.value.as_slice()).collect();
        let mut fresh = keys.check_all(&values).into_iter().map(Arc::new);
        known.iter().filter_map(|known| known.clone().or_else(|| fresh.next())).collect()
    };
    let chunks = window.par_chunks(TOGETHER).zip(known.par_chunks(TOGETHER));
    let checks: Vec<_> = chunks.flat_map_iter(check).collect();
    window.into_iter().zip(checks).collect()
}

/// What the door has checked, until the fold comes to it.
#[derive(Default)]
pub struct Waiting(Mutex<HashMap<[u8; 32], Arc<Checked>>>);

impl Waiting {
    /// Remembers a checked value, by the digest that it returns.
    pub fn put(&self, value: &[u8], checked: Checked) -> [u8; 32] {
        let digest = Sha256::digest(value).into();
        if let Ok(mut waiting) = self.0.lock()
            && waiting.len() < WAITING_MAX
        {
            waiting.insert(digest, Arc::new(checked));
        }
        digest
    }

    /// Forgets values that did not get onto the log.
    pub fn forget(&self, digests: &[[u8; 32]]) {
        if let Ok(mut waiting) = self.0.lock() {
            for digest in digests {
                waiting.remove(digest);
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{EVENT_PAYLOAD_TYPE, SigningKey};
    use attestune_proto::v1::Event;
    use prost::Message as _;

    #[test]
    fn a_key_that_verifies_often_gets_a_table_and_its_verdicts_stay_the_same() {
        let key = SigningKey::from_seed([9; 32]);
        let keys = KnownKeys::default();
        let row = KeyRow { keyid: key.keyid(), public_key: key.public().to_vec(), ..Default::default() };
        keys.insert(&row);
        for round in 0..2 * TABLE_AFTER {
            let good = key.sign_event(&Event { claimed_at_ms: u64::from(round), ..Default::default() });
            let mut bad = Envelope::decode(good.as_slice()).unwrap();
            bad.signatures[0].sig[7] ^= 1;
            assert_eq!(bad.payload_type, EVENT_PAYLOAD_TYPE);
            assert_eq!(keys.check(&good).verdicts, [Some((key.public(), true))]);
            assert_eq!(keys.check(&bad.encode_to_vec()).verdicts, [Some((key.public(), false))]);
        }
        assert_eq!(keys.tables.load(Ordering::Relaxed), 1);
    }
}
