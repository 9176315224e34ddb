//! Tiles: where a tree's hashes are read from (C2SP tlog-tiles, "Merkle Tree").

use super::{Hash, node_hash};

/// Hashes in a full tile.
pub const TILE_WIDTH: u16 = 256;

/// A source of tiles.
///
/// Tile `(level, index)` holds the hashes of the complete subtrees of height `8 · level` from
/// number `256 · index` on, from left to right, [`TILE_WIDTH`] of them when it is full.
pub trait TileReader {
    /// Why a tile could not be read.
    type Error;

    /// The first `width` hashes of a tile, 1 to [`TILE_WIDTH`]; more are allowed and ignored.
    ///
    /// # Errors
    /// If the tile can't be read.
    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<Hash>, Self::Error>;
}

/// Why a root or proof could not be computed from tiles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TileError<E> {
    /// The reader failed.
    #[error(transparent)]
    Read(#[from] E),
    /// A tile holds fewer hashes than a tree of this size has there.
    #[error("tile {index} of level {level} holds {got} hashes where {wanted} were expected")]
    Short {
        /// The tile's level.
        level: u8,
        /// The tile's index in its level.
        index: u64,
        /// Hashes needed.
        wanted: u16,
        /// Hashes there.
        got: usize,
    },
    /// No such leaf, or no such older tree, in a tree of this size.
    #[error("{asked} is beyond a tree of size {size}")]
    OutOfRange {
        /// The leaf's index, or the older size.
        asked: u64,
        /// The tree's size.
        size: u64,
    },
}

/// How many hashes a tile has in a tree of `size` leaves: 0 (no such tile) to [`TILE_WIDTH`].
pub fn tile_width(level: u8, index: u64, size: u64) -> u16 {
    let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
    let before = index.saturating_mul(u64::from(TILE_WIDTH));
    hashes.saturating_sub(before).min(u64::from(TILE_WIDTH)) as u16
}

/// The complete subtrees that make up leaves `begin..end`, as (height, index), largest first.
///
/// `begin` must be a multiple of the largest power of two in the range's length, which it is in
/// every range that RFC 6962's definitions name.
pub(super) fn subtrees(begin: u64, end: u64) -> impl Iterator<Item = (u32, u64)> {
    let length = end - begin;
    (0..u64::BITS).rev().filter(move |height| length >> height & 1 == 1).map(move |height| {
        let bigger = length.checked_shr(height + 1).unwrap_or(0);
        (height, (begin >> height) + (bigger << 1))
    })
}

/// A reader for one tree size that keeps the last tile of each level.
pub(super) struct Tiles<'a, R> {
    reader: &'a R,
    size: u64,
    last: [Option<(u64, Vec<Hash>)>; 8],
}

impl<'a, R: TileReader> Tiles<'a, R> {
    pub fn new(reader: &'a R, size: u64) -> Self {
        Self { reader, size, last: Default::default() }
    }

    /// The root over leaves `begin..end`, not empty; see [`subtrees`] for what `begin` may be.
    pub fn range(&mut self, begin: u64, end: u64) -> Result<Hash, TileError<R::Error>> {
        let peaks =
            subtrees(begin, end).map(|(height, index)| self.subtree(height, index)).collect::<Result<Vec<_>, _>>()?;
        let root = peaks.into_iter().rev().reduce(|right, left| node_hash(left, right));
        Ok(root.expect("the range is not empty"))
    }

    /// The root of a complete subtree: the hash of `2^(height % 8)` neighbours in one tile.
    pub fn subtree(&mut self, height: u32, index: u64) -> Result<Hash, TileError<R::Error>> {
        let level = (height / 8) as u8;
        let count = 1usize << (height % 8);
        let first = index << (height % 8);
        let start = (first % u64::from(TILE_WIDTH)) as usize;
        let tile = self.tile(level, first / u64::from(TILE_WIDTH))?;
        let mut row = tile[start..start + count].to_vec();
        while row.len() > 1 {
            row = row.chunks_exact(2).map(|pair| node_hash(pair[0], pair[1])).collect();
        }
        Ok(row[0])
    }

    fn tile(&mut self, level: u8, index: u64) -> Result<&[Hash], TileError<R::Error>> {
        let slot = &mut self.last[usize::from(level)];
        if !matches!(slot, Some((kept, _)) if *kept == index) {
            let wanted = tile_width(level, index, self.size);
            let hashes = self.reader.tile(level, index, wanted)?;
            if hashes.len() < usize::from(wanted) {
                return Err(TileError::Short { level, index, wanted, got: hashes.len() });
            }
            *slot = Some((index, hashes));
        }
        Ok(slot.as_ref().map_or(&[], |(_, hashes)| hashes))
    }
}
