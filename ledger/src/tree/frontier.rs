//! The right edge of a growing tree: all that appending needs.

use super::tiles::{Tiles, subtrees};
use super::{Hash, TileError, TileReader, empty_root, node_hash};

/// The roots of the complete subtrees of a tree, largest first (also called a compact range).
///
/// At most 64 hashes, however large the tree. [`Frontier::push`] takes one node hash on average,
/// [`Frontier::root`] about half of log2(size).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

/// A hash that belongs in a tile and is final: that of a complete subtree of height `8 · level`.
///
/// It stands at slot `index % 256` of tile `(level, index / 256)`.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct TileHash {
    /// The tile's level; level 0 holds leaf hashes.
    pub level: u8,
    /// Which subtree of this height, counted from the left.
    pub index: u64,
    /// The subtree's root.
    pub hash: Hash,
}

impl Frontier {
    /// The frontier of the tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// The frontier of the first `size` leaves of a stored tree.
    ///
    /// # Errors
    /// If the reader fails, or gives fewer hashes than a tree of this size has.
    pub fn read<R: TileReader>(reader: &R, size: u64) -> Result<Self, TileError<R::Error>> {
        let mut tiles = Tiles::new(reader, size);
        let peaks = subtrees(0, size).map(|(height, index)| tiles.subtree(height, index)).collect::<Result<_, _>>()?;
        Ok(Self { size, peaks })
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.push_noting(leaf, |_| {});
    }

    /// Appends a leaf and reports each hash that this completes for a tile: the leaf itself, and
    /// every 256th time the root of a tile, for the tile above.
    pub fn push_noting(&mut self, leaf: Hash, mut note: impl FnMut(TileHash)) {
        note(TileHash { level: 0, index: self.size, hash: leaf });
        let mut hash = leaf;
        // Each trailing one of the size is a complete subtree that the new node completes.
        for height in 1..=self.size.trailing_ones() {
            let left = self.peaks.pop().expect("a peak for each one bit of the size");
            hash = node_hash(left, hash);
            if height.is_multiple_of(8) {
                let level = (height / 8) as u8;
                note(TileHash { level, index: self.size >> height, hash });
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let fold = |right, left: &Hash| node_hash(*left, right);
        match self.peaks.split_last() {
            None => empty_root(),
            Some((last, rest)) => rest.iter().rev().fold(*last, fold),
        }
    }
}
