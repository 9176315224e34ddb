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

/// A resource of a tiled log (C2SP tlog-tiles), by its path below the log's prefix.
///
/// ```text
/// tile/LEVEL/N[.p/WIDTH]
/// tile/entries/N[.p/WIDTH]
/// ```
///
/// N is in groups of three digits, all but the last with an `x` before it: 1234067 is `x001/x234/067`.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct TilePath {
    /// The level of a tile of hashes; none for a bundle of entries.
    pub level: Option<u8>,
    /// The tile's number in its level.
    pub index: u64,
    /// Hashes or entries in it, 1 to [`TILE_WIDTH`].
    pub width: u16,
}

impl TilePath {
    /// Reads a path in its one form; none if it names no tile.
    pub fn parse(path: &str) -> Option<Self> {
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let level = match level {
            "entries" => None,
            level => Some(super::checkpoint::parse_decimal(level).filter(|level| *level < 64)? as u8),
        };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (
                number,
                super::checkpoint::parse_decimal(width).filter(|w| (1..u64::from(TILE_WIDTH)).contains(w))? as u16,
            ),
            None => (rest, TILE_WIDTH),
        };
        let mut index = 0u64;
        let mut groups = number.split('/').peekable();
        while let Some(group) = groups.next() {
            let digits = if groups.peek().is_some() { group.strip_prefix('x')? } else { group };
            if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        let found = Self { level, index, width };
        // A number has one form only: no group of zeros before it.
        (found.to_string() == path).then_some(found)
    }
}

impl std::fmt::Display for TilePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.level {
            Some(level) => write!(f, "tile/{level}/")?,
            None => write!(f, "tile/entries/")?,
        }
        let mut groups = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        groups.reverse();
        write!(f, "{}", groups.join("/"))?;
        if self.width < TILE_WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

/// Every tile and bundle of entries of a log of `size` entries, the partial ones at the right edge with them.
pub fn tiles_of(size: u64) -> impl Iterator<Item = TilePath> {
    let of_level = move |level: u8| {
        let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        (0..hashes.div_ceil(u64::from(TILE_WIDTH))).map(move |index| (index, tile_width(level, index, size)))
    };
    let entries = of_level(0).map(|(index, width)| TilePath { level: None, index, width });
    let hashes = (0..8).flat_map(move |level| {
        of_level(level).map(move |(index, width)| TilePath { level: Some(level), index, width })
    });
    entries.chain(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_form_and_reads_back() {
        for (text, level, index, width) in [
            ("tile/0/000", Some(0), 0, 256),
            ("tile/1/x001/x234/067", Some(1), 1_234_067, 256),
            ("tile/63/999.p/255", Some(63), 999, 255),
            ("tile/entries/x001/000.p/1", None, 1000, 1),
        ] {
            let path = TilePath { level, index, width };
            assert_eq!((TilePath::parse(text), path.to_string().as_str()), (Some(path), text));
        }
        for text in [
            "",
            "tile/0",
            "tile/0/",
            "tile/00/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000/p/1",
            "/tile/0/000",
            "tile/0/000/",
            "tile/entries/+01",
            "tile/data/000",
        ] {
            assert_eq!(TilePath::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_specifications_examples_have_their_tiles() {
        let of = |size: u64| tiles_of(size).filter(|tile| tile.level.is_some()).collect::<Vec<_>>();
        let tiles = of(70_000);
        let count = |level: u8, full: bool| {
            tiles.iter().filter(|t| t.level == Some(level) && (t.width == TILE_WIDTH) == full).count()
        };
        assert_eq!((count(0, true), count(0, false)), (273, 1));
        assert_eq!((count(1, true), count(1, false)), (1, 1));
        assert_eq!((count(2, true), count(2, false), tiles.len()), (0, 1, 277));
        let widths: Vec<_> = tiles.iter().filter(|t| t.width < TILE_WIDTH).map(|t| t.width).collect();
        assert_eq!(widths, [112, 17, 1]);
        let small: Vec<_> = of(256).iter().map(ToString::to_string).collect();
        assert_eq!(small, ["tile/0/000", "tile/1/000.p/1"]);
        assert_eq!(tiles_of(0).count(), 0);
    }
}
