//! RFC 6962 Merkle trees: hashes, frontiers, tiles, proofs, checkpoints.
//!
//! Pure: no I/O, no clock. Hashes come from wherever a [`TileReader`] finds them.
//!
//! The bytes are those of RFC 6962 §2.1 and of C2SP's tlog-tiles, signed-note, tlog-checkpoint,
//! tlog-proof, tlog-cosignature, tlog-witness and tlog-policy. The crates `tlog_tiles` and `signed_note` 0.2 implement the same and are what
//! the tests compare with. They are not built in: they would bring a second ed25519-dalek, sha2
//! and base64 and `url` into a verifier that is meant to be small, and their proofs are built
//! from Go's stored hash indexes rather than from tiles.
//!
//! ```
//! use attestune_ledger::tree::{Frontier, leaf_hash, verify_inclusion};
//!
//! let leaves = [leaf_hash(&[b"first"]), leaf_hash(&[b"second"])];
//! let mut tree = Frontier::new();
//! for leaf in leaves {
//!     tree.push(leaf);
//! }
//! // The second leaf's proof is its sibling.
//! verify_inclusion(leaves[1], 1, 2, &[leaves[0]], tree.root())?;
//! # Ok::<(), attestune_ledger::tree::ProofError>(())
//! ```

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

mod checkpoint;
mod cosignature;
mod frontier;
mod note;
mod policy;
mod proof;
mod subtrees;
#[cfg(test)]
mod tests;
mod tiles;
mod tlog_proof;
mod witness;

pub use checkpoint::Checkpoint;
pub use cosignature::{Cosignature, WitnessKey, cosign};
pub use frontier::{Frontier, TileHash};
pub use note::{NoteError, Origin, VerifierKey};
pub use policy::{Judged, Log, Missing, PolicyError, TlogPolicy, Witness};
pub use proof::{ProofError, consistency_proof, inclusion_proof, root_at, verify_consistency, verify_inclusion};
pub use subtrees::Subtrees;
pub use tiles::{TILE_WIDTH, TileError, TilePath, TileReader, tile_width, tiles_of};
pub use tlog_proof::{TlogProof, TlogProofError};
pub use witness::{AddCheckpoint, WitnessRefusal, judge};

/// A SHA-256 hash: of a leaf, a node, or a whole tree.
///
/// Printed as 64 lowercase hex digits; its `Debug` form shows the first eight only.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Ord, PartialOrd)]
pub struct Hash(pub [u8; 32]);

/// Text that is not 64 lowercase hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 lowercase hex digits, this text of {length} bytes is not")]
pub struct ParseHashError {
    /// Length of the text, in bytes.
    pub length: usize,
}

/// The hash of a leaf, given in parts: `SHA-256(0x00 ‖ parts…)` (RFC 6962 §2.1).
pub fn leaf_hash(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0x00]);
    for part in parts {
        hasher.update(part);
    }
    Hash(hasher.finalize().into())
}

/// The hash of an inner node: `SHA-256(0x01 ‖ left ‖ right)` (RFC 6962 §2.1).
pub fn node_hash(left: Hash, right: Hash) -> Hash {
    let mut bytes = [0x01; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    Hash(Sha256::digest(bytes).into())
}

/// The root of the tree without leaves: the SHA-256 of nothing (RFC 6962 §2.1).
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", hex::encode(&self.0[..4]))
    }
}

impl FromStr for Hash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, ParseHashError> {
        let error = ParseHashError { length: text.len() };
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(error);
        }
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(|_| error)?;
        Ok(Hash(hash))
    }
}
