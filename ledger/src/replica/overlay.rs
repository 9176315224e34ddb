//! The store under what the fold has decided and not yet written.

use super::reader::{StoredTiles, Tree, failed, has_ids, id_key, read_decided, read_entry, read_id, scan_rows};
use crate::rules::Folded;
use crate::state::{PolicyCache, ReadFailed, Reader};
use crate::store::{Rows, Store, StoreError};
use crate::tree::{Hash, TileHash, TileReader, root_at, tile_width};
use foldhash::HashMap;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Roots and fold times of recent sizes kept in memory, since signers mostly saw a recent tree.
const RECENT_MAX: usize = 1 << 16;
/// Rows of the newest state kept in memory.
const ROWS_MAX: usize = 1 << 14;
/// What the rows kept may take, in bytes.
const ROWS_BYTES_MAX: usize = 32 << 20;

/// What the fold has decided and not yet written, and what it has read or decided lately.
pub(super) struct Overlay {
    store: Arc<Store>,
    /// Entries folded, written or not.
    size: u64,
    /// Since the last window was handed over to be written.
    current: Unwritten,
    /// What is being written meanwhile.
    writing: Unwritten,
    recent: Recent,
    /// The newest versions of rows read or written lately.
    latest: RefCell<Latest>,
    policies: PolicyCache,
}

/// What a window of entries brought.
#[derive(Default)]
struct Unwritten {
    /// Versions of rows: name → (position, value), ascending.
    rows: BTreeMap<Vec<u8>, Vec<(u64, Vec<u8>)>>,
    ids: HashMap<Vec<u8>, u64>,
    /// Values from the position `first` on.
    entries: Vec<Vec<u8>>,
    first: u64,
    /// Hashes of tiles from an index on, by tree and level.
    tiles: BTreeMap<(Tree, u8), (u64, Vec<Hash>)>,
}

impl Unwritten {
    fn row(&self, row: &[u8], size: u64) -> Option<&Vec<u8>> {
        let versions = self.rows.get(row)?;
        versions.iter().rev().find(|(position, _)| *position < size).map(|(_, value)| value)
    }

    fn entry(&self, position: u64) -> Option<&Vec<u8>> {
        self.entries.get(usize::try_from(position.checked_sub(self.first)?).ok()?)
    }

    fn tile_hash(&self, tree: Tree, level: u8, index: u64) -> Option<Hash> {
        let (first, hashes) = self.tiles.get(&(tree, level))?;
        hashes.get(usize::try_from(index.checked_sub(*first)?).ok()?).copied()
    }
}

/// After each of the last entries: the entry tree's root and the fold's time.
struct Recent {
    /// The size before the first of them.
    first: u64,
    after: VecDeque<(Hash, Option<u64>)>,
}

impl Recent {
    /// The root of the entry tree at a size.
    fn root(&self, size: u64) -> Option<Hash> {
        Some(self.at(size)?.0)
    }

    /// The fold's time at the entry at a position.
    fn fold_time(&self, position: u64) -> Option<u64> {
        self.at(position + 1)?.1
    }

    fn at(&self, size: u64) -> Option<&(Hash, Option<u64>)> {
        self.after.get(usize::try_from(size.checked_sub(self.first)?).ok()?)
    }

    fn push(&mut self, root: Hash, fold_time_ms: u64) {
        if self.after.len() >= RECENT_MAX {
            self.after.pop_front();
            self.first += 1;
        }
        self.after.push_back((root, Some(fold_time_ms)));
    }
}

#[derive(Default)]
struct Latest {
    rows: HashMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
}

impl Latest {
    fn insert(&mut self, row: &[u8], value: Option<Vec<u8>>) {
        if self.rows.len() >= ROWS_MAX || self.bytes >= ROWS_BYTES_MAX {
            self.rows.clear();
            self.bytes = 0;
        }
        self.bytes += row.len() + value.as_ref().map_or(0, Vec::len);
        self.rows.insert(row.to_vec(), value);
    }
}

impl Overlay {
    /// Over a store that holds so many folded entries, with the root of its entry tree.
    pub(super) fn new(store: Arc<Store>, size: u64, root: Hash) -> Self {
        Self {
            store,
            size,
            current: Unwritten { first: size, ..Unwritten::default() },
            writing: Unwritten::default(),
            recent: Recent { first: size, after: VecDeque::from([(root, None)]) },
            latest: RefCell::default(),
            policies: PolicyCache::default(),
        }
    }

    /// Takes in one decided entry.
    pub(super) fn push(&mut self, folded: Folded, value: Vec<u8>, root: Hash, tiles: &[(Tree, TileHash)]) {
        let position = self.size;
        self.size += 1;
        self.current.entries.push(value);
        self.recent.push(root, folded.fold_time_ms);
        let latest = self.latest.get_mut();
        for write in folded.effects.into_writes() {
            latest.insert(&write.row, Some(write.value.clone()));
            self.current.rows.entry(write.row).or_default().push((position, write.value));
        }
        if let Some((actor, id)) = &folded.uses_id {
            self.current.ids.insert(id_key(actor, id), position);
        }
        for (tree, tile) in tiles {
            let (_, hashes) = self.current.tiles.entry((*tree, tile.level)).or_insert((tile.index, Vec::new()));
            hashes.push(tile.hash);
        }
    }

    /// Notes that a write of all that was decided so far has begun, and that the one before is done.
    pub(super) fn writing(&mut self) {
        let current = Unwritten { first: self.size, ..Unwritten::default() };
        self.writing = std::mem::replace(&mut self.current, current);
    }

    /// Notes that the write that was begun last is done.
    pub(super) fn written(&mut self) {
        self.writing = Unwritten::default();
    }

    /// The fold's time at the last entry.
    pub(super) fn last_fold_time(&self) -> Result<u64, ReadFailed> {
        let Some(last) = self.size.checked_sub(1) else { return Ok(0) };
        Ok(self.read_fold_time(last)?.unwrap_or(0))
    }

    fn read_fold_time(&self, position: u64) -> Result<Option<u64>, ReadFailed> {
        match self.recent.fold_time(position) {
            Some(time) => Ok(Some(time)),
            None => Ok(read_decided(&self.store, position)?.map(|decided| decided.fold_time_ms)),
        }
    }

    /// A reader for rules, with rows of the store that hold all that was written before the write that is under way.
    pub(super) fn reader<'a, 's>(&'a self, rows: &'a RefCell<Rows<'s>>) -> OverlayReader<'a, 's> {
        OverlayReader { overlay: self, rows }
    }

    fn root(&self, tree: Tree, size: u64) -> Result<Option<Hash>, ReadFailed> {
        root_at(&OverlayTiles { overlay: self, tree }, size).map(Some).map_err(failed)
    }
}

struct OverlayTiles<'a> {
    overlay: &'a Overlay,
    tree: Tree,
}

impl TileReader for OverlayTiles<'_> {
    type Error = StoreError;

    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<Hash>, StoreError> {
        let Overlay { store, size, current, writing, .. } = self.overlay;
        let mut hashes = StoredTiles { store, tree: self.tree }.tile(level, index, width)?;
        let wanted = tile_width(level, index, *size).min(width);
        for slot in hashes.len() as u64..u64::from(wanted) {
            let unwritten = |window: &Unwritten| window.tile_hash(self.tree, level, index * 256 + slot);
            let Some(hash) = unwritten(writing).or_else(|| unwritten(current)) else { break };
            hashes.push(hash);
        }
        Ok(hashes)
    }
}

/// An [`Overlay`] with a cursor into the store.
pub(super) struct OverlayReader<'a, 's> {
    overlay: &'a Overlay,
    rows: &'a RefCell<Rows<'s>>,
}

impl Reader for OverlayReader<'_, '_> {
    fn row(&self, row: &[u8], size: u64) -> Result<Option<Vec<u8>>, ReadFailed> {
        let Overlay { current, writing, latest, .. } = self.overlay;
        let newest = size >= self.overlay.size;
        if newest && let Some(known) = latest.borrow().rows.get(row) {
            return Ok(known.clone());
        }
        if let Some(value) = current.row(row, size).or_else(|| writing.row(row, size)) {
            return Ok(Some(value.clone()));
        }
        let Some(position) = size.checked_sub(1) else { return Ok(None) };
        let value = self.rows.borrow_mut().as_of(row, position).map_err(failed)?.map(|(_, value)| value);
        if newest {
            latest.borrow_mut().insert(row, value.clone());
        }
        Ok(value)
    }

    fn rows(&self, prefix: &[u8], size: u64, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), ReadFailed> {
        let Overlay { store, current, writing, .. } = self.overlay;
        let mut merged: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        scan_rows(store, prefix, prefix, size, &mut |name, value| {
            merged.insert(name.to_vec(), value.to_vec());
            true
        })?;
        for window in [writing, current] {
            for (name, _) in window.rows.range(prefix.to_vec()..).take_while(|(n, _)| n.starts_with(prefix)) {
                if let Some(value) = window.row(name, size) {
                    merged.insert(name.clone(), value.clone());
                }
            }
        }
        for (name, value) in &merged {
            if !visit(name, value) {
                break;
            }
        }
        Ok(())
    }

    fn id(&self, actor: &str, id: &[u8]) -> Result<Option<u64>, ReadFailed> {
        if !has_ids(actor) {
            return Ok(None);
        }
        let key = id_key(actor, id);
        let unwritten = |window: &Unwritten| window.ids.get(&key).copied();
        match unwritten(&self.overlay.current).or_else(|| unwritten(&self.overlay.writing)) {
            Some(position) => Ok(Some(position)),
            None => read_id(&self.overlay.store, actor, id),
        }
    }

    fn entry(&self, position: u64) -> Result<Option<Vec<u8>>, ReadFailed> {
        let Overlay { store, current, writing, .. } = self.overlay;
        match current.entry(position).or_else(|| writing.entry(position)) {
            Some(value) => Ok(Some(value.clone())),
            None => Ok(read_entry(store, position)?.map(|entry| entry.value)),
        }
    }

    fn fold_time(&self, position: u64) -> Result<Option<u64>, ReadFailed> {
        self.overlay.read_fold_time(position)
    }

    fn policies(&self) -> Option<&PolicyCache> {
        Some(&self.overlay.policies)
    }

    fn entry_root(&self, size: u64) -> Result<Option<Hash>, ReadFailed> {
        match self.overlay.recent.root(size) {
            Some(root) => Ok(Some(root)),
            None if size > self.overlay.size => Ok(None),
            None => self.overlay.root(Tree::Entries, size),
        }
    }

    fn verdict_root(&self, size: u64) -> Result<Option<Hash>, ReadFailed> {
        if size > self.overlay.size { Ok(None) } else { self.overlay.root(Tree::Verdicts, size) }
    }
}
