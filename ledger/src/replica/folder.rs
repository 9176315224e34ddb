//! The fold over a store: a window of entries at a time, one write batch a window.

use super::reader::{COUNTS, DRAFT, Overlay, SIZE, StoreView, StoredTiles, Tree, decided_key, id_key, tile_key};
use super::verify::{Checked, KnownKeys};
use super::{Counts, ReplicaError};
use crate::log::Entry;
use crate::rules::{Folded, fold_decoded};
use crate::state::{Keys, Reader as _};
use crate::store::{Family, Store, state_key};
use crate::tree::{Frontier, Hash};
use attestune_proto::v1::{DecidedRow, KeyRow, Verdict};
use prost::Message as _;
use std::sync::Arc;

/// Counts up whenever the draft rules or the layout change before 1.0.0: a store of another draft folds anew.
const DRAFT_NUMBER: u64 = 2;

/// The fold's side of a replica: the only writer of its state.
pub(super) struct Folder {
    store: Arc<Store>,
    overlay: Overlay,
    entries: Frontier,
    verdicts: Frontier,
    counts: Counts,
    keys: Arc<KnownKeys>,
    /// The log is this store's family, so that entries need not be copied.
    log_is_here: bool,
}

/// What a window came to.
pub(super) struct Head {
    pub size: u64,
    pub entry_root: Hash,
    pub verdict_root: Hash,
    pub fold_time_ms: u64,
    pub counts: Counts,
}

impl Folder {
    pub(super) fn open(store: Arc<Store>, keys: Arc<KnownKeys>, log_is_here: bool) -> Result<Self, ReplicaError> {
        if number(&store, DRAFT)?.is_some_and(|draft| draft != DRAFT_NUMBER) {
            drop_state(&store)?;
        }
        let size = number(&store, SIZE)?.unwrap_or(0);
        let tree = |tree| {
            Frontier::read(&StoredTiles { store: &store, tree }, size)
                .map_err(|error| ReplicaError::Damaged { what: format!("the tree: {error}") })
        };
        let (entries, verdicts) = (tree(Tree::Entries)?, tree(Tree::Verdicts)?);
        let counts = store.get(Family::Meta, COUNTS)?.map_or(Counts::default(), |b| Counts::decode(&b));
        let view = StoreView::new(store.clone(), size);
        view.view().each(&Keys::all(), |_, key: KeyRow| {
            keys.insert(&key);
            true
        });
        let overlay = Overlay::new(store.clone(), size, entries.root());
        Ok(Self { store, overlay, entries, verdicts, counts, keys, log_is_here })
    }

    /// Folds a window and writes it.
    pub(super) fn fold(&mut self, window: Vec<(Entry, Arc<Checked>)>) -> Result<Head, ReplicaError> {
        let store = self.store.clone();
        let mut batch = store.batch();
        for (entry, checked) in window {
            let position = self.entries.size();
            if entry.position != position {
                let what = format!("the log gave entry {} where {position} was expected", entry.position);
                return Err(ReplicaError::Damaged { what });
            }
            let folded = fold_decoded(
                &self.overlay,
                position,
                entry.time_ms,
                &entry.value,
                &checked.decoded,
                &mut |envelope, key, index| checked.verify(envelope, key, index),
            )
            .map_err(|failure| ReplicaError::Read { position, cause: failure.0 })?;
            self.take_in(position, entry, folded, &mut batch);
        }
        let size = self.entries.size();
        batch.put(Family::Meta, SIZE, &size.to_be_bytes());
        batch.put(Family::Meta, DRAFT, &DRAFT_NUMBER.to_be_bytes());
        batch.put(Family::Meta, COUNTS, &self.counts.encode());
        store.write(batch, false)?;
        self.overlay.written();
        self.head()
    }

    /// Entries folded.
    pub(super) fn size(&self) -> u64 {
        self.entries.size()
    }

    pub(super) fn head(&self) -> Result<Head, ReplicaError> {
        let size = self.entries.size();
        let fold_time_ms = match size.checked_sub(1) {
            Some(last) => self
                .overlay
                .fold_time(last)
                .map_err(|failure| ReplicaError::Read { position: last, cause: failure.0 })?
                .unwrap_or(0),
            None => 0,
        };
        Ok(Head {
            size,
            entry_root: self.entries.root(),
            verdict_root: self.verdicts.root(),
            fold_time_ms,
            counts: self.counts,
        })
    }

    fn take_in(&mut self, position: u64, entry: Entry, folded: Folded, batch: &mut crate::store::Batch<'_>) {
        let mut tiles = Vec::with_capacity(2);
        self.entries.push_noting(folded.leaf_hash, |tile| tiles.push((Tree::Entries, tile)));
        self.verdicts.push_noting(folded.verdict_leaf(position), |tile| tiles.push((Tree::Verdicts, tile)));
        for (tree, tile) in &tiles {
            batch.put(Family::Tree, &tile_key(*tree, tile.level, tile.index), &tile.hash.0);
        }
        for write in folded.effects.writes() {
            batch.put(Family::State, &state_key(&write.row, position), &write.value);
            if write.row.first() == Some(&Keys::ID)
                && let Ok(key) = KeyRow::decode(write.value.as_slice())
            {
                self.keys.insert(&key);
            }
        }
        if let Some((actor, id)) = &folded.uses_id {
            batch.put(Family::Meta, &id_key(actor, id), &position.to_be_bytes());
        }
        batch.put(Family::Meta, &decided_key(position), &decided(&folded).encode_to_vec());
        if !self.log_is_here {
            let stored = Entry::stored(entry.time_ms, &entry.value);
            batch.put(Family::Log, &position.to_be_bytes(), &stored);
        }
        self.counts.add(folded.verdict);
        self.keys.measured.decided(&folded);
        self.overlay.push(&folded, entry.value, self.entries.root(), &tiles);
    }
}

/// What is kept of a verdict.
pub(super) fn decided(folded: &Folded) -> DecidedRow {
    let refusal = folded.refusal.as_ref().map(|r| r.info());
    let nothing = folded.effects.writes().is_empty();
    DecidedRow {
        verdict: folded.verdict as i32,
        fold_time_ms: folded.fold_time_ms,
        first_position: folded.first.unwrap_or(0),
        effects_digest: if nothing { Vec::new() } else { folded.effects_digest.to_vec() },
        refusal: refusal.or_else(|| folded.rejection.as_ref().map(|r| r.info())),
    }
}

/// Takes everything but the log away: the next opening folds it anew.
///
/// # Errors
/// If the store fails.
pub fn drop_state(store: &Arc<Store>) -> Result<(), ReplicaError> {
    let mut batch = store.batch();
    for family in [Family::State, Family::Tree, Family::Meta] {
        batch.delete_range(family, &[], &[0xff; 256]);
    }
    store.write(batch, true)?;
    Ok(())
}

fn number(store: &Store, key: &[u8]) -> Result<Option<u64>, ReplicaError> {
    Ok(store.get(Family::Meta, key)?.and_then(|b| b.try_into().ok()).map(u64::from_be_bytes))
}

impl Counts {
    fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Accepted => self.accepted += 1,
            Verdict::Refused => self.refused += 1,
            Verdict::Duplicate => self.duplicates += 1,
            Verdict::Garbage | Verdict::Unspecified => self.garbage += 1,
        }
    }

    fn encode(self) -> Vec<u8> {
        [self.accepted, self.refused, self.duplicates, self.garbage].iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    fn decode(bytes: &[u8]) -> Self {
        let number =
            |i: usize| bytes.get(i * 8..i * 8 + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes);
        Self { accepted: number(0), refused: number(1), duplicates: number(2), garbage: number(3) }
    }
}
