//! Inclusion and consistency proofs: making them from tiles, checking them from nothing.

use super::tiles::Tiles;
use super::{Hash, TileError, TileReader, empty_root, node_hash};

/// Why a proof does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf lies outside the tree.
    #[error("leaf {index} is beyond a tree of size {size}")]
    OutOfRange {
        /// The leaf's index.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The older tree is larger than the newer.
    #[error("a tree of size {new} can't extend one of size {old}")]
    Shrunk {
        /// The older size.
        old: u64,
        /// The newer size.
        new: u64,
    },
    /// The proof has more or fewer hashes than such a proof has.
    #[error("a proof of {got} hashes is {} for these sizes", if *.too_long { "too long" } else { "too short" })]
    Length {
        /// Hashes in the proof.
        got: usize,
        /// Whether there are too many of them.
        too_long: bool,
    },
    /// The proof leads to another root than the one given.
    #[error("the proof leads to root {computed} for size {size}, not to {given}")]
    WrongRoot {
        /// The size of the tree whose root differs.
        size: u64,
        /// The root that was given.
        given: Hash,
        /// The root that the proof leads to.
        computed: Hash,
    },
}

/// The root of the first `size` leaves.
///
/// # Errors
/// If the reader fails or a tile is short.
pub fn root_at<R: TileReader>(reader: &R, size: u64) -> Result<Hash, TileError<R::Error>> {
    match size {
        0 => Ok(empty_root()),
        _ => Tiles::new(reader, size).range(0, size),
    }
}

/// The proof that leaf `index` is in the tree of `size` leaves, from the leaf's sibling up to the
/// root's child (RFC 6962 §2.1.1).
///
/// # Errors
/// If there is no such leaf, the reader fails or a tile is short.
pub fn inclusion_proof<R: TileReader>(reader: &R, index: u64, size: u64) -> Result<Vec<Hash>, TileError<R::Error>> {
    if index >= size {
        return Err(TileError::OutOfRange { asked: index, size });
    }
    let mut tiles = Tiles::new(reader, size);
    let mut proof = Vec::new();
    let (mut begin, mut end) = (0, size);
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            proof.push(tiles.range(middle, end)?);
            end = middle;
        } else {
            proof.push(tiles.range(begin, middle)?);
            begin = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of `new` leaves begins with that of `old` leaves (RFC 6962 §2.1.2).
/// It is empty if `old` is 0 or equals `new`.
///
/// # Errors
/// If `old` exceeds `new`, the reader fails or a tile is short.
pub fn consistency_proof<R: TileReader>(reader: &R, old: u64, new: u64) -> Result<Vec<Hash>, TileError<R::Error>> {
    if old > new {
        return Err(TileError::OutOfRange { asked: old, size: new });
    }
    if old == 0 {
        return Ok(Vec::new());
    }
    let mut tiles = Tiles::new(reader, new);
    let mut proof = Vec::new();
    let (mut begin, mut end) = (0, new);
    while old < end {
        let middle = begin + split(end - begin);
        if old <= middle {
            proof.push(tiles.range(middle, end)?);
            end = middle;
        } else {
            proof.push(tiles.range(begin, middle)?);
            begin = middle;
        }
    }
    // The old tree's last subtree; left out where it is the old tree itself, whose root is known.
    if begin > 0 {
        proof.push(tiles.range(begin, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that `leaf` is number `index` in the tree of `size` leaves with this root
/// (RFC 9162 §2.1.3.2).
///
/// # Errors
/// If it is not proven.
pub fn verify_inclusion(leaf: Hash, index: u64, size: u64, proof: &[Hash], root: Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange { index, size });
    }
    let (mut node, mut last) = (index, size - 1);
    let mut computed = leaf;
    for &sibling in proof {
        if last == 0 {
            return Err(ProofError::Length { got: proof.len(), too_long: true });
        }
        if node & 1 == 1 || node == last {
            computed = node_hash(sibling, computed);
            climb_past_lone_nodes(&mut node, &mut last);
        } else {
            computed = node_hash(computed, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length { got: proof.len(), too_long: false });
    }
    same_root(size, root, computed)
}

/// Checks that the tree (`new_size`, `new_root`) begins with the tree (`old_size`, `old_root`)
/// (RFC 9162 §2.1.4.2).
///
/// The empty tree and the same tree need no proof: there `proof` must be empty, and the roots
/// must be the empty tree's, or equal.
///
/// # Errors
/// If it is not proven.
pub fn verify_consistency(
    old_size: u64,
    old_root: Hash,
    new_size: u64,
    new_root: Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    let length = |too_long| Err(ProofError::Length { got: proof.len(), too_long });
    if old_size > new_size {
        return Err(ProofError::Shrunk { old: old_size, new: new_size });
    }
    if old_size == 0 || old_size == new_size {
        if !proof.is_empty() {
            return length(true);
        }
        if old_size == 0 {
            same_root(0, old_root, empty_root())?;
        }
        return if old_size == new_size { same_root(new_size, new_root, old_root) } else { Ok(()) };
    }

    // A power of two: the old root is itself the first node of the path.
    let (first, path) = match (old_size.is_power_of_two(), proof) {
        (true, path) => (old_root, path),
        (false, [first, path @ ..]) => (*first, path),
        (false, []) => return length(false),
    };
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    let complete = node.trailing_ones();
    node >>= complete;
    last >>= complete;
    let (mut old, mut new) = (first, first);
    for &sibling in path {
        if last == 0 {
            return length(true);
        }
        if node & 1 == 1 || node == last {
            old = node_hash(sibling, old);
            new = node_hash(sibling, new);
            climb_past_lone_nodes(&mut node, &mut last);
        } else {
            new = node_hash(new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return length(false);
    }
    same_root(old_size, old_root, old)?;
    same_root(new_size, new_root, new)
}

/// A rightmost node without a sibling has its parent's hash, so the path has no entry for it.
fn climb_past_lone_nodes(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        *node >>= 1;
        *last >>= 1;
    }
}

fn same_root(size: u64, given: Hash, computed: Hash) -> Result<(), ProofError> {
    if given == computed { Ok(()) } else { Err(ProofError::WrongRoot { size, given, computed }) }
}

/// Where RFC 6962 splits a range of `length` ≥ 2 leaves: the largest power of two below it.
fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}
