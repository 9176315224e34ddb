//! Reading a replica's state from its store.

use crate::log::Entry;
use crate::state::{Prefix, ReadFailed, Reader, View};
use crate::store::{Family, Rows, Store, StoreError};
use crate::tree::{Hash, TileReader, root_at};
use attestune_proto::v1::DecidedRow;
use prost::Message as _;
use std::cell::RefCell;
use std::sync::Arc;

/// The two trees, by their first byte in the family `tree`.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tree {
    /// Over the entries.
    Entries = 0,
    /// Over the verdicts.
    Verdicts = 1,
}

/// Hashes in a row of the family `tree`: few rows, and little that is written again while the last one grows.
pub(super) const ROW_HASHES: u64 = 16;

pub(super) const SIZE: &[u8] = b"size";
pub(super) const COUNTS: &[u8] = b"counts";
pub(super) const DRAFT: &[u8] = b"draft";

/// Positions looked through first for the newest rows of a table; twice as many each time they are not enough.
const STRETCH: u64 = 1024;

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
pub(super) fn has_ids(actor: &str) -> bool {
    !actor.contains('\0')
}

/// `tree ‖ level ‖ index / 16`: the row of a hash that belongs in a tile, with up to 15 neighbours, 32 bytes each.
pub(crate) fn hashes_key(tree: Tree, level: u8, index: u64) -> [u8; 10] {
    let mut key = [0; 10];
    key[0] = tree as u8;
    key[1] = level;
    key[2..].copy_from_slice(&(index / ROW_HASHES).to_be_bytes());
    key
}

/// A stored hash that belongs in a tile.
pub(crate) fn stored_hash(store: &Store, tree: Tree, level: u8, index: u64) -> Result<Option<Hash>, StoreError> {
    let row = store.get(Family::Tree, &hashes_key(tree, level, index))?;
    Ok(row.and_then(|row| hashes_of(&row).nth((index % ROW_HASHES) as usize)))
}

fn hashes_of(row: &[u8]) -> impl Iterator<Item = Hash> + '_ {
    row.as_chunks::<32>().0.iter().map(|bytes| Hash(*bytes))
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
        let from = hashes_key(self.tree, level, first);
        // The row after the last one: a tile is a whole number of rows.
        let end = first.saturating_add(u64::from(width).next_multiple_of(ROW_HASHES));
        let mut hashes = Vec::with_capacity(usize::from(width));
        for row in self.store.scan(Family::Tree, &from, &hashes_key(self.tree, level, end)) {
            hashes.extend(hashes_of(&row?.1));
        }
        hashes.truncate(usize::from(width));
        Ok(hashes)
    }
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

    /// The store that it reads.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// How many entries it covers.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The view for rules and queries.
    pub fn view(&self) -> View<'_> {
        View::new(self, self.size)
    }

    /// The same with a cursor.
    pub fn cursor(&self) -> StoreCursor<'_> {
        StoreCursor { store: self, rows: RefCell::new(self.store.state_rows()) }
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
        self.rows_in(all, from, u64::MAX)
    }

    /// The newest rows named by positions below one, that fit: the newest first, at most so many. What is read grows with
    /// what is found, not with the table, unless few fit.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn newest_rows<R: prost::Message + Default>(
        &self,
        all: &Prefix<R>,
        before: u64,
        most: usize,
        fits: impl Fn(&R) -> bool,
    ) -> Result<Vec<R>, ReadFailed> {
        let mut found = Vec::new();
        let (mut end, mut stretch) = (before.min(self.size), STRETCH);
        while end > 0 && found.len() < most {
            let from = end.saturating_sub(stretch);
            let rows = self.rows_in(all, from, end)?;
            found.extend(rows.into_iter().rev().filter(&fits));
            (end, stretch) = (from, stretch.saturating_mul(2));
        }
        found.truncate(most);
        Ok(found)
    }

    /// The rows of a table named by positions, from one on, below another, in order.
    fn rows_in<R: prost::Message + Default>(
        &self,
        all: &Prefix<R>,
        from: u64,
        below: u64,
    ) -> Result<Vec<R>, ReadFailed> {
        let start = [all.as_bytes(), &from.to_be_bytes()].concat();
        let end = [all.as_bytes(), &below.to_be_bytes()].concat();
        let mut rows = Vec::new();
        let mut damage = None;
        scan_rows(&self.store, all.as_bytes(), &start, self.size, &mut |name, value| {
            if name >= end.as_slice() {
                return false;
            }
            match R::decode(value) {
                Ok(row) => {
                    rows.push(row);
                    true
                }
                Err(error) => {
                    damage = Some(failed(error));
                    false
                }
            }
        })?;
        damage.map_or(Ok(rows), Err)
    }

    /// The hash of an entry's, or of its verdict's, leaf as a tree holds it.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn leaf(&self, tree: Tree, position: u64) -> Result<Option<Hash>, ReadFailed> {
        stored_hash(&self.store, tree, 0, position).map_err(failed)
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

pub(super) fn read_decided(store: &Store, position: u64) -> Result<Option<DecidedRow>, ReadFailed> {
    let bytes = store.get(Family::Meta, &decided_key(position)).map_err(failed)?;
    bytes.map(|b| DecidedRow::decode(b.as_slice()).map_err(failed)).transpose()
}

pub(super) fn read_entry(store: &Store, position: u64) -> Result<Option<Entry>, ReadFailed> {
    let stored = store.get(Family::Log, &position.to_be_bytes()).map_err(failed)?;
    Ok(stored.and_then(|stored| Entry::from_stored(position, &stored)))
}

/// Visits the newest version below `size` of each row with a prefix, from the name `start` on.
pub(super) fn scan_rows(
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

/// A [`StoreView`] with a cursor into the store: for queries that read many rows.
pub struct StoreCursor<'a> {
    store: &'a StoreView,
    rows: RefCell<Rows<'a>>,
}

impl StoreCursor<'_> {
    /// The view for rules and queries.
    pub fn view(&self) -> View<'_> {
        View::new(self, self.store.size)
    }
}

impl Reader for StoreCursor<'_> {
    fn row(&self, row: &[u8], size: u64) -> Result<Option<Vec<u8>>, ReadFailed> {
        let Some(position) = size.checked_sub(1) else { return Ok(None) };
        Ok(self.rows.borrow_mut().as_of(row, position).map_err(failed)?.map(|(_, value)| value))
    }

    fn rows(&self, prefix: &[u8], size: u64, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), ReadFailed> {
        self.store.rows(prefix, size, visit)
    }

    fn id(&self, actor: &str, id: &[u8]) -> Result<Option<u64>, ReadFailed> {
        self.store.id(actor, id)
    }

    fn entry(&self, position: u64) -> Result<Option<Vec<u8>>, ReadFailed> {
        self.store.entry(position)
    }

    fn fold_time(&self, position: u64) -> Result<Option<u64>, ReadFailed> {
        self.store.fold_time(position)
    }

    fn entry_root(&self, size: u64) -> Result<Option<Hash>, ReadFailed> {
        self.store.entry_root(size)
    }

    fn verdict_root(&self, size: u64) -> Result<Option<Hash>, ReadFailed> {
        self.store.verdict_root(size)
    }
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

pub(super) fn read_id(store: &Store, actor: &str, id: &[u8]) -> Result<Option<u64>, ReadFailed> {
    if !has_ids(actor) {
        return Ok(None);
    }
    let bytes = store.get(Family::Meta, &id_key(actor, id)).map_err(failed)?;
    Ok(bytes.and_then(|b| b.try_into().ok()).map(u64::from_be_bytes))
}
