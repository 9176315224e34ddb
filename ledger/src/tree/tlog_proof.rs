//! Single proofs as text: one entry's inclusion, with the checkpoint (C2SP tlog-proof).
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra BASE64            only if there is extra data
//! index DECIMAL
//! BASE64                  a line a hash, from the leaf's sibling to the root's child
//!
//! CHECKPOINT              the signed note, verbatim
//! ```

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::checkpoint::{parse_decimal, parse_hash};
use super::{Checkpoint, Hash, NoteError, ProofError, VerifierKey, verify_inclusion};

const HEADER: &str = "c2sp.org/tlog-proof@v1\n";

/// The longest path that a tree of 2^64 leaves needs.
const PATH_LENGTH_MAX: usize = 64;

/// A proof that one entry is in a log, complete in itself: `.tlog-proof` files hold this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Data that travels with the proof and is *not* proven; empty if there is none.
    pub extra: Vec<u8>,
    /// The entry's index.
    pub index: u64,
    /// The inclusion proof, as [`super::inclusion_proof`] makes it.
    pub path: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

/// Why a `.tlog-proof` is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// The text is not a tlog-proof.
    #[error("not a tlog-proof: {0}")]
    Malformed(&'static str),
    /// The checkpoint in it is not accepted.
    #[error("the proof's checkpoint: {0}")]
    Checkpoint(#[from] NoteError),
    /// The entry is not in the checkpoint's tree by this proof.
    #[error("the proof's path: {0}")]
    Path(#[from] ProofError),
}

impl TlogProof {
    /// Checks that `leaf` is in the log of `key`, and returns the checkpoint that says so.
    ///
    /// # Errors
    /// If the checkpoint is not signed by `key`, or the path doesn't lead from `leaf` to its root.
    pub fn verify(&self, leaf: Hash, key: &VerifierKey) -> Result<Checkpoint, TlogProofError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, key)?;
        verify_inclusion(leaf, self.index, checkpoint.size, &self.path, checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEADER)?;
        if !self.extra.is_empty() {
            writeln!(f, "extra {}", BASE64.encode(&self.extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", BASE64.encode(hash.0))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for TlogProof {
    type Err = TlogProofError;

    /// Reads the text form; the checkpoint is kept as it is and judged by [`TlogProof::verify`].
    fn from_str(text: &str) -> Result<Self, TlogProofError> {
        let bad = TlogProofError::Malformed;
        let body = text.strip_prefix(HEADER).ok_or(bad("its first line is another"))?;
        let (head, checkpoint) = body.split_once("\n\n").ok_or(bad("it has no empty line before its checkpoint"))?;
        let mut lines = head.split('\n').peekable();

        let mut extra = Vec::new();
        if let Some(data) = lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            extra = BASE64.decode(data).map_err(|_| bad("its extra data is not base64"))?;
            if extra.is_empty() {
                return Err(bad("its extra line is empty; such a line is left out"));
            }
            lines.next();
        }
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index "))
            .and_then(parse_decimal)
            .ok_or(bad("its index is missing or not a canonical decimal number"))?;
        let path = lines
            .take(PATH_LENGTH_MAX + 1)
            .map(parse_hash)
            .collect::<Option<Vec<_>>>()
            .ok_or(bad("a line of its path is not the base64 of 32 bytes"))?;
        if path.len() > PATH_LENGTH_MAX {
            return Err(bad("its path is longer than any tree is high"));
        }
        Ok(Self { extra, index, path, checkpoint: checkpoint.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::tree::{leaf_hash, node_hash};

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[9; 32])
    }

    fn verifier() -> VerifierKey {
        VerifierKey::new("example.com/ledger".parse().unwrap(), key().verifying_key()).unwrap()
    }

    fn two_leaves(extra: &[u8]) -> TlogProof {
        let (left, right) = (leaf_hash(&[b"left"]), leaf_hash(&[b"right"]));
        let origin = "example.com/ledger".parse().unwrap();
        let checkpoint = Checkpoint { origin, size: 2, root: node_hash(left, right) };
        let checkpoint = checkpoint.sign(&key());
        TlogProof { extra: extra.to_vec(), index: 1, path: vec![left], checkpoint }
    }

    #[test]
    fn a_proof_reads_back_as_it_was_written_and_verifies() {
        for extra in [&b""[..], b"age-v1"] {
            let text = two_leaves(extra).to_string();
            let read: TlogProof = text.parse().unwrap();
            assert_eq!(read, two_leaves(extra));
            assert_eq!(read.verify(leaf_hash(&[b"right"]), &verifier()).unwrap().size, 2);
        }
    }

    #[test]
    fn the_only_leaf_of_a_tree_has_a_proof_without_path() {
        let leaf = leaf_hash(&[b"only"]);
        let origin = "example.com/ledger".parse().unwrap();
        let checkpoint = Checkpoint { origin, size: 1, root: leaf }.sign(&key());
        let proof = TlogProof { extra: Vec::new(), index: 0, path: Vec::new(), checkpoint };
        let text = proof.to_string();
        assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 0\n\nexample.com/ledger\n1\n"));
        assert!(text.parse::<TlogProof>().unwrap().verify(leaf, &verifier()).is_ok());
    }

    #[test]
    fn a_proof_of_another_leaf_fails() {
        let error = two_leaves(b"").verify(leaf_hash(&[b"wrong"]), &verifier()).unwrap_err();
        assert!(matches!(error, TlogProofError::Path(ProofError::WrongRoot { size: 2, .. })));
    }

    #[test]
    fn text_of_another_form_is_refused() {
        let good = two_leaves(b"age-v1").to_string();
        let long = format!("index 1\n{}", format!("{}\n", BASE64.encode([0; 32])).repeat(64));
        for (from, to) in [
            ("proof@v1", "proof@v2"),
            ("extra YWdlLXYx", "extra "),
            ("extra YWdlLXYx", "extra YWdlLXY"),
            ("extra", "Extra"),
            ("index 1", "index 01"),
            ("index 1\n", ""),
            ("index 1", "index 1\n"), // the path then reads as the checkpoint, its last line is no note
            ("index 1\n", &long),
        ] {
            let text = good.replacen(from, to, 1);
            assert_ne!(text, good);
            let outcome =
                text.parse().and_then(|proof: TlogProof| proof.verify(leaf_hash(&[b"right"]), &verifier()).map(|_| ()));
            assert!(outcome.is_err(), "{from:?} → {to:?}");
        }
    }
}
