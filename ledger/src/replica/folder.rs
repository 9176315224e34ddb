//! The fold over a store: a window of entries at a time, one write batch a window.

use super::overlay::Overlay;
use super::reader::{COUNTS, DRAFT, ROW_HASHES, SIZE, StoreView, StoredTiles, Tree, decided_key, hashes_key, id_key};
use super::verify::{Checked, KnownKeys};
use super::{Counts, ReplicaError};
use crate::log::{Entry, FOLLOWS};
use crate::rules::{Folded, fold_decoded};
use crate::state::{Keys, ReadFailed};
use crate::store::{Batch, Family, Store, state_key};
use crate::tree::{Frontier, Hash, TileHash};
use attestune_proto::v1::{DecidedRow, KeyRow, Receipt, RefusalInfo, Verdict};
use prost::Message as _;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Counts up whenever the draft rules or the layout change before 1.0.0: a store of another draft folds anew.
const DRAFT_NUMBER: u64 = 5;

/// The fold's side of a replica: the only writer of its state.
pub(super) struct Folder {
    store: Arc<Store>,
    overlay: Overlay,
    entries: Frontier,
    verdicts: Frontier,
    /// The last rows of the family `tree`, which are not full yet.
    growing: BTreeMap<(Tree, u8), Vec<u8>>,
    counts: Counts,
    keys: Arc<KnownKeys>,
}

/// What a window came to.
#[derive(Clone)]
pub(super) struct Head {
    pub size: u64,
    pub entry_root: Hash,
    pub verdict_root: Hash,
    pub fold_time_ms: u64,
    pub counts: Counts,
}

impl Folder {
    pub(super) fn open(store: Arc<Store>, keys: Arc<KnownKeys>) -> Result<Self, ReplicaError> {
        if number(&store, DRAFT)?.is_some_and(|draft| draft != DRAFT_NUMBER) {
            drop_state(&store)?;
        }
        let size = folded(&store)?;
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
        let growing = growing(&store, size)?;
        let overlay = Overlay::new(store.clone(), size, entries.root());
        Ok(Self { store, overlay, entries, verdicts, growing, counts, keys })
    }

    /// Folds a window and writes it.
    pub(super) fn fold(&mut self, window: Vec<(Entry, Arc<Checked>)>) -> Result<(Head, Vec<Receipt>), ReplicaError> {
        let store = self.store.clone();
        let mut receipts = Vec::with_capacity(window.len());
        let batch = self.decide(window, &store, Some(&mut receipts))?;
        self.writing();
        store.write(batch, false)?;
        self.written();
        Ok((self.head()?, receipts))
    }

    /// Folds a window into a batch that is still to be written. What was decided before the write that is under way is
    /// in the store. Receipts are made where there is a place for them.
    pub(super) fn decide<'s>(
        &mut self,
        window: Vec<(Entry, Arc<Checked>)>,
        store: &'s Store,
        mut receipts: Option<&mut Vec<Receipt>>,
    ) -> Result<Batch<'s>, ReplicaError> {
        let mut batch = store.batch();
        let rows = RefCell::new(store.state_rows());
        for (entry, checked) in window {
            let position = self.entries.size();
            if entry.position != position {
                let what = format!("the log gave entry {} where {position} was expected", entry.position);
                return Err(ReplicaError::Damaged { what });
            }
            let folded = fold_decoded(
                &self.overlay.reader(&rows),
                position,
                entry.time_ms,
                &entry.value,
                &checked.decoded,
                &mut |envelope, key, index| checked.verify(envelope, key, index),
            )
            .map_err(|failure| ReplicaError::Read { position, cause: failure.0 })?;
            if let Some(receipts) = &mut receipts {
                receipts.push(receipt(position, entry.time_ms, &folded));
            }
            self.take_in(position, entry, folded, &mut batch);
        }
        for ((tree, level), row) in &self.growing {
            let filled = self.entries.size() >> (8 * level);
            batch.put(Family::Tree, &hashes_key(*tree, *level, filled), row);
        }
        let size = self.entries.size();
        batch.put(Family::Meta, SIZE, &size.to_be_bytes());
        batch.put(Family::Meta, DRAFT, &DRAFT_NUMBER.to_be_bytes());
        batch.put(Family::Meta, COUNTS, &self.counts.encode());
        Ok(batch)
    }

    /// Notes that what was decided is being written, and that the write before is done.
    pub(super) fn writing(&mut self) {
        self.overlay.writing();
    }

    /// Notes that the last write is done.
    pub(super) fn written(&mut self) {
        self.overlay.written();
    }

    /// The store that is written to.
    pub(super) fn store(&self) -> Arc<Store> {
        self.store.clone()
    }

    /// Entries folded.
    pub(super) fn size(&self) -> u64 {
        self.entries.size()
    }

    pub(super) fn head(&self) -> Result<Head, ReplicaError> {
        let size = self.entries.size();
        let last = |failure: ReadFailed| ReplicaError::Read { position: size.saturating_sub(1), cause: failure.0 };
        let fold_time_ms = self.overlay.last_fold_time().map_err(last)?;
        Ok(Head {
            size,
            entry_root: self.entries.root(),
            verdict_root: self.verdicts.root(),
            fold_time_ms,
            counts: self.counts,
        })
    }

    fn take_in(&mut self, position: u64, entry: Entry, folded: Folded, batch: &mut Batch<'_>) {
        let mut tiles = Vec::with_capacity(2);
        self.entries.push_noting(folded.leaf_hash, |tile| tiles.push((Tree::Entries, tile)));
        self.verdicts.push_noting(folded.verdict_leaf(position), |tile| tiles.push((Tree::Verdicts, tile)));
        for (tree, tile) in &tiles {
            self.put_hash(*tree, tile, batch);
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
        self.counts.add(folded.verdict);
        self.keys.measured.decided(&folded);
        self.overlay.push(folded, entry.value, self.entries.root(), &tiles);
    }

    /// Takes a hash into its row, which is written when it is full, or at the window's end.
    fn put_hash(&mut self, tree: Tree, tile: &TileHash, batch: &mut Batch<'_>) {
        let row = self.growing.entry((tree, tile.level)).or_default();
        row.extend_from_slice(&tile.hash.0);
        if (tile.index + 1).is_multiple_of(ROW_HASHES) {
            batch.put(Family::Tree, &hashes_key(tree, tile.level, tile.index), row);
            self.growing.remove(&(tree, tile.level));
        }
    }
}

/// The rows of the family `tree` that are not full yet in trees of a size.
fn growing(store: &Store, size: u64) -> Result<BTreeMap<(Tree, u8), Vec<u8>>, ReplicaError> {
    let mut rows = BTreeMap::new();
    for tree in [Tree::Entries, Tree::Verdicts] {
        for level in 0..8u8 {
            let filled = size >> (8 * level);
            let begun = (filled % ROW_HASHES) as usize;
            if begun == 0 {
                continue;
            }
            let mut row = store.get(Family::Tree, &hashes_key(tree, level, filled))?.unwrap_or_default();
            if row.len() < 32 * begun {
                return Err(ReplicaError::Damaged { what: "the tree: a row is too short".into() });
            }
            // A row that was written and not counted is of a batch that never was: one batch holds both.
            row.truncate(32 * begun);
            rows.insert((tree, level), row);
        }
    }
    Ok(rows)
}

/// The receipt of an entry.
fn receipt(position: u64, time_ms: u64, folded: &Folded) -> Receipt {
    Receipt {
        position,
        verdict: folded.verdict as i32,
        refusal: info(folded),
        leaf_hash: folded.leaf_hash.0.to_vec(),
        time_ms,
        first_position: folded.first.unwrap_or(0),
        checkpoint: String::new(),
    }
}

fn info(folded: &Folded) -> Option<RefusalInfo> {
    let refusal = folded.refusal.as_ref().map(|r| r.info());
    refusal.or_else(|| folded.rejection.as_ref().map(|r| r.info()))
}

/// What is kept of a verdict.
pub(super) fn decided(folded: &Folded) -> DecidedRow {
    let nothing = folded.effects.writes().is_empty();
    DecidedRow {
        verdict: folded.verdict as i32,
        fold_time_ms: folded.fold_time_ms,
        first_position: folded.first.unwrap_or(0),
        effects_digest: if nothing { Vec::new() } else { folded.effects_digest.to_vec() },
        refusal: info(folded),
    }
}

/// Takes everything but the log away: the next opening folds it anew.
///
/// # Errors
/// If the store fails.
pub fn drop_state(store: &Arc<Store>) -> Result<(), ReplicaError> {
    let mut batch = store.batch();
    for family in [Family::State, Family::Tree] {
        batch.delete_range(family, &[], &[0xff; 256]);
    }
    // What topic the log is a copy of belongs to the log.
    batch.delete_range(Family::Meta, &[], FOLLOWS);
    batch.delete_range(Family::Meta, &[FOLLOWS, &[0]].concat(), &[0xff; 256]);
    store.write(batch, true)?;
    Ok(())
}

/// How many entries the state in a store takes in.
///
/// # Errors
/// If the store fails.
pub fn folded(store: &Store) -> Result<u64, ReplicaError> {
    Ok(number(store, SIZE)?.unwrap_or(0))
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
