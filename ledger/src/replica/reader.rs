//! Reading a replica's state from its store, and from its store under a window's unwritten effects.

use crate::log::Entry;
use crate::state::{PolicyCache, Prefix, ReadFailed, Reader, View};
use crate::store::{Family, Store, StoreError};
use crate::tree::{Hash, TileHash, TileReader, root_at, tile_width};
use attestune_proto::v1::DecidedRow;
use prost::Message as _;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// The two trees, by their first byte in the family `tree`.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub enum Tree {
    /// Over the entries.
    Entries = 0,
    /// Over the verdicts.
    Verdicts = 1,
}

/// Roots of recent sizes kept in memory, since signers mostly saw a recent tree.
const ROOTS_MAX: usize = 1 << 16;
/// Rows of the newest state kept in memory.
const ROWS_MAX: usize = 1 << 14;
/// What the rows kept may take, in bytes.
const ROWS_BYTES_MAX: usize = 32 << 20;

pub(super) const SIZE: &[u8] = b"size";
pub(super) const COUNTS: &[u8] = b"counts";
pub(super) const DRAFT: &[u8] = b"draft";

/// `'d' ‖ position`: the verdict on an entry.
pub(super) fn decided_key(position: u64) -> [u8; 9] {
    let mut key = [b'd'; 9];
    key[1..].copy_from_slice(&position.to_be_bytes());
    key
}

/// `'i' ‖ actor ‖ 0 ‖ id`: where an id was used up.
pub(super) fn id_key(actor: &str, id: &[u8]) -> Vec<u8> {
    [b"i", actor.as_bytes(), &[0], id].concat()
}

/// Whether an actor can have used up ids. One with a zero byte never was registered, but its [`id_key`] could be read
/// as that of another actor.
fn has_ids(actor: &str) -> bool {
    !actor.contains('\0')
}

/// `tree ‖ level ‖ index`: a hash that belongs in a tile.
pub(crate) fn tile_key(tree: Tree, level: u8, index: u64) -> [u8; 10] {
    let mut key = [0; 10];
    key[0] = tree as u8;
    key[1] = level;
    key[2..].copy_from_slice(&index.to_be_bytes());
    key
}

/// A tree's tiles in the store.
pub struct StoredTiles<'a> {
    pub(super) store: &'a Store,
    pub(super) tree: Tree,
}

impl TileReader for StoredTiles<'_> {
    type Error = StoreError;

    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<Hash>, StoreError> {
        let first = index.saturating_mul(256);
        let from = tile_key(self.tree, level, first);
        let to = tile_key(self.tree, level, first.saturating_add(u64::from(width)));
        self.store.scan(Family::Tree, &from, &to).map(|row| Ok(hash_of(&row?.1))).collect()
    }
}

fn hash_of(bytes: &[u8]) -> Hash {
    let mut hash = Hash([0; 32]);
    let len = bytes.len().min(32);
    hash.0[..len].copy_from_slice(&bytes[..len]);
    hash
}

/// The state in a store, readable as of any position: what queries use.
#[derive(Clone)]
pub struct StoreView {
    store: Arc<Store>,
    size: u64,
}

impl StoreView {
    pub(super) fn new(store: Arc<Store>, size: u64) -> Self {
        Self { store, size }
    }

    /// How many entries it covers.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The view for rules and queries.
    pub fn view(&self) -> View<'_> {
        View::new(self, self.size)
    }

    /// The verdict on an entry below the view's size.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn decided(&self, position: u64) -> Result<Option<DecidedRow>, ReadFailed> {
        read_decided(&self.store, position)
    }

    /// The rows of a table named by positions, from a position on, in order.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn rows_from<R: prost::Message + Default>(&self, all: &Prefix<R>, from: u64) -> Result<Vec<R>, ReadFailed> {
        let start = [all.as_bytes(), &from.to_be_bytes()].concat();
        let mut rows = Vec::new();
        let mut damage = None;
        scan_rows(&self.store, all.as_bytes(), &start, self.size, &mut |_, value| match R::decode(value) {
            Ok(row) => {
                rows.push(row);
                true
            }
            Err(error) => {
                damage = Some(failed(error));
                false
            }
        })?;
        damage.map_or(Ok(rows), Err)
    }

    /// The raw time of an entry, milliseconds.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn entry_time(&self, position: u64) -> Result<Option<u64>, ReadFailed> {
        Ok(read_entry(&self.store, position)?.map(|entry| entry.time_ms))
    }
}

pub(super) fn failed(error: impl std::fmt::Display) -> ReadFailed {
    ReadFailed(error.to_string())
}

fn read_decided(store: &Store, position: u64) -> Result<Option<DecidedRow>, ReadFailed> {
    let bytes = store.get(Family::Meta, &decided_key(position)).map_err(failed)?;
    bytes.map(|b| DecidedRow::decode(b.as_slice()).map_err(failed)).transpose()
}

fn read_entry(store: &Store, position: u64) -> Result<Option<Entry>, ReadFailed> {
    let stored = store.get(Family::Log, &position.to_be_bytes()).map_err(failed)?;
    Ok(stored.and_then(|stored| Entry::from_stored(position, &stored)))
}

/// Visits the newest version below `size` of each row with a prefix, from the name `start` on.
fn scan_rows(
    store: &Store,
    prefix: &[u8],
    start: &[u8],
    size: u64,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<(), ReadFailed> {
    let mut last: Vec<u8> = Vec::new();
    for row in store.scan_from(Family::State, prefix, start) {
        let (key, value) = row.map_err(failed)?;
        let Some((name, position)) = split_version(&key) else { continue };
        if position >= size || name == last.as_slice() {
            continue;
        }
        last = name.to_vec();
        if !visit(name, &value) {
            break;
        }
    }
    Ok(())
}

/// A stored key's row name and position.
pub(super) fn split_version(key: &[u8]) -> Option<(&[u8], u64)> {
    let (name, inverted) = key.split_at_checked(key.len().checked_sub(8)?)?;
    Some((name, !u64::from_be_bytes(inverted.try_into().ok()?)))
}

impl Reader for StoreView {
    fn row(&self, row: &[u8], size: u64) -> Result<Option<Vec<u8>>, ReadFailed> {
        let Some(position) = size.checked_sub(1) else { return Ok(None) };
        Ok(self.store.as_of(row, position).map_err(failed)?.map(|(_, value)| value))
    }

    fn rows(&self, prefix: &[u8], size: u64, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), ReadFailed> {
        scan_rows(&self.store, prefix, prefix, size, visit)
    }

    fn id(&self, actor: &str, id: &[u8]) -> Result<Option<u64>, ReadFailed> {
        read_id(&self.store, actor, id)
    }

    fn entry(&self, position: u64) -> Result<Option<Vec<u8>>, ReadFailed> {
        Ok(read_entry(&self.store, position)?.map(|entry| entry.value))
    }

    fn fold_time(&self, position: u64) -> Result<Option<u64>, ReadFailed> {
        Ok(read_decided(&self.store, position)?.map(|d| d.fold_time_ms))
    }

    fn entry_root(&self, size: u64) -> Result<Option<Hash>, ReadFailed> {
        root_at(&StoredTiles { store: &self.store, tree: Tree::Entries }, size).map(Some).map_err(failed)
    }

    fn verdict_root(&self, size: u64) -> Result<Option<Hash>, ReadFailed> {
        root_at(&StoredTiles { store: &self.store, tree: Tree::Verdicts }, size).map(Some).map_err(failed)
    }
}

fn read_id(store: &Store, actor: &str, id: &[u8]) -> Result<Option<u64>, ReadFailed> {
    if !has_ids(actor) {
        return Ok(None);
    }
    let bytes = store.get(Family::Meta, &id_key(actor, id)).map_err(failed)?;
    Ok(bytes.and_then(|b| b.try_into().ok()).map(u64::from_be_bytes))
}

/// The store under what a window of entries has decided and not yet written.
pub(super) struct Overlay {
    store: Arc<Store>,
    /// Entries folded, written or not.
    size: u64,
    /// Unwritten versions of rows: name → (position, value), ascending.
    rows: BTreeMap<Vec<u8>, Vec<(u64, Vec<u8>)>>,
    ids: HashMap<Vec<u8>, u64>,
    entries: BTreeMap<u64, Vec<u8>>,
    fold_times: BTreeMap<u64, u64>,
    tiles: HashMap<(Tree, u8, u64), Hash>,
    /// Roots of the entry tree by size, the newest last.
    roots: VecDeque<(u64, Hash)>,
    /// The newest versions of rows read or written lately.
    latest: RefCell<Latest>,
    /// The last fold time, which every event asks for.
    last_fold_time: Option<(u64, u64)>,
    policies: PolicyCache,
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
    pub(super) fn new(store: Arc<Store>, size: u64, root: Hash) -> Self {
        Self {
            store,
            size,
            rows: BTreeMap::new(),
            ids: HashMap::new(),
            entries: BTreeMap::new(),
            fold_times: BTreeMap::new(),
            tiles: HashMap::new(),
            roots: VecDeque::from([(size, root)]),
            latest: RefCell::default(),
            last_fold_time: None,
            policies: PolicyCache::default(),
        }
    }

    /// Takes in one decided entry.
    pub(super) fn push(
        &mut self,
        folded: &crate::rules::Folded,
        value: Vec<u8>,
        root: Hash,
        tiles: &[(Tree, TileHash)],
    ) {
        let position = self.size;
        self.size += 1;
        self.entries.insert(position, value);
        self.fold_times.insert(position, folded.fold_time_ms);
        self.last_fold_time = Some((position, folded.fold_time_ms));
        for write in folded.effects.writes() {
            self.rows.entry(write.row.clone()).or_default().push((position, write.value.clone()));
            self.latest.borrow_mut().insert(&write.row, Some(write.value.clone()));
        }
        if let Some((actor, id)) = &folded.uses_id {
            self.ids.insert(id_key(actor, id), position);
        }
        for (tree, tile) in tiles {
            self.tiles.insert((*tree, tile.level, tile.index), tile.hash);
        }
        if self.roots.len() >= ROOTS_MAX {
            self.roots.pop_front();
        }
        self.roots.push_back((self.size, root));
    }

    /// Forgets what has been written to the store.
    pub(super) fn written(&mut self) {
        self.rows.clear();
        self.ids.clear();
        self.entries.clear();
        self.fold_times.clear();
        self.tiles.clear();
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
        let stored = StoredTiles { store: &self.overlay.store, tree: self.tree };
        let mut hashes = stored.tile(level, index, width)?;
        let wanted = tile_width(level, index, self.overlay.size).min(width);
        for slot in hashes.len() as u64..u64::from(wanted) {
            let Some(hash) = self.overlay.tiles.get(&(self.tree, level, index * 256 + slot)) else { break };
            hashes.push(*hash);
        }
        Ok(hashes)
    }
}

impl Reader for Overlay {
    fn row(&self, row: &[u8], size: u64) -> Result<Option<Vec<u8>>, ReadFailed> {
        if size >= self.size
            && let Some(known) = self.latest.borrow().rows.get(row)
        {
            return Ok(known.clone());
        }
        let unwritten = self.rows.get(row).and_then(|v| v.iter().rev().find(|(position, _)| *position < size));
        if let Some((_, value)) = unwritten {
            return Ok(Some(value.clone()));
        }
        let Some(position) = size.checked_sub(1) else { return Ok(None) };
        let value = self.store.as_of(row, position).map_err(failed)?.map(|(_, value)| value);
        if size >= self.size {
            self.latest.borrow_mut().insert(row, value.clone());
        }
        Ok(value)
    }

    fn rows(&self, prefix: &[u8], size: u64, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), ReadFailed> {
        let mut merged: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        scan_rows(&self.store, prefix, prefix, size, &mut |name, value| {
            merged.insert(name.to_vec(), value.to_vec());
            true
        })?;
        for (name, versions) in self.rows.range(prefix.to_vec()..).take_while(|(n, _)| n.starts_with(prefix)) {
            if let Some((_, value)) = versions.iter().rev().find(|(position, _)| *position < size) {
                merged.insert(name.clone(), value.clone());
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
        match self.ids.get(&id_key(actor, id)) {
            Some(position) if has_ids(actor) => Ok(Some(*position)),
            _ => read_id(&self.store, actor, id),
        }
    }

    fn entry(&self, position: u64) -> Result<Option<Vec<u8>>, ReadFailed> {
        match self.entries.get(&position) {
            Some(value) => Ok(Some(value.clone())),
            None => Ok(read_entry(&self.store, position)?.map(|entry| entry.value)),
        }
    }

    fn fold_time(&self, position: u64) -> Result<Option<u64>, ReadFailed> {
        match (self.last_fold_time, self.fold_times.get(&position)) {
            (Some((last, time)), _) if last == position => Ok(Some(time)),
            (_, Some(time)) => Ok(Some(*time)),
            _ => Ok(read_decided(&self.store, position)?.map(|d| d.fold_time_ms)),
        }
    }

    fn policies(&self) -> Option<&PolicyCache> {
        Some(&self.policies)
    }

    fn entry_root(&self, size: u64) -> Result<Option<Hash>, ReadFailed> {
        let oldest = self.roots.front().map_or(u64::MAX, |(size, _)| *size);
        if let Some(place) = size.checked_sub(oldest)
            && let Some((known, root)) = self.roots.get(place as usize)
            && *known == size
        {
            return Ok(Some(*root));
        }
        if size > self.size {
            return Ok(None);
        }
        self.root(Tree::Entries, size)
    }

    fn verdict_root(&self, size: u64) -> Result<Option<Hash>, ReadFailed> {
        if size > self.size { Ok(None) } else { self.root(Tree::Verdicts, size) }
    }
}
