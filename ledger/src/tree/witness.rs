//! What a witness judges before it cosigns a checkpoint (C2SP tlog-witness, `add-checkpoint`).
//!
//! ```text
//! old SIZE                  of the last checkpoint that this witness cosigned; 0 for none
//! BASE64                    a line a hash: the consistency proof from there
//!
//! CHECKPOINT                the signed note
//! ```

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::checkpoint::{parse_decimal, parse_hash};
use super::{Checkpoint, Hash, NoteError, VerifierKey, verify_consistency};

/// Most lines of a consistency proof.
const PROOF_MAX: usize = 63;

/// A request to a witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size of the last checkpoint that the witness cosigned, as the log believes.
    pub old: u64,
    /// The consistency proof from there.
    pub proof: Vec<Hash>,
    /// The checkpoint, a signed note.
    pub note: String,
}

/// Why a witness does not cosign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessRefusal {
    /// The request is none, or its old size is larger than the checkpoint's.
    #[error("{0}")]
    BadRequest(String),
    /// Not a log that this witness knows.
    #[error("the log {0} is not known here")]
    UnknownLog(String),
    /// No key of the log has signed it.
    #[error("{0}")]
    NotSigned(NoteError),
    /// The old size is not that of the last checkpoint cosigned.
    #[error("the last checkpoint cosigned here has size {size}, not {old}")]
    OldSize {
        /// The last size.
        size: u64,
        /// The one named.
        old: u64,
    },
    /// A fork: the same size, another root.
    #[error("the last checkpoint cosigned here has size {size} and another root: the log shows two histories")]
    Fork {
        /// The size.
        size: u64,
    },
    /// The proof does not lead from the last checkpoint to this one.
    #[error("the checkpoint does not extend the last one cosigned here, of size {size}: {why}")]
    Inconsistent {
        /// The last size.
        size: u64,
        /// What is wrong with the proof.
        why: super::ProofError,
    },
}

impl WitnessRefusal {
    /// The status that tlog-witness gives it.
    pub fn status(&self) -> u16 {
        match self {
            Self::BadRequest(_) => 400,
            Self::UnknownLog(_) => 404,
            Self::NotSigned(_) => 403,
            Self::OldSize { .. } | Self::Fork { .. } => 409,
            Self::Inconsistent { .. } => 422,
        }
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(f, "{}", BASE64.encode(hash.0))?;
        }
        write!(f, "\n{}", self.note)
    }
}

impl FromStr for AddCheckpoint {
    type Err = WitnessRefusal;

    fn from_str(text: &str) -> Result<Self, WitnessRefusal> {
        let bad = |what: &str| WitnessRefusal::BadRequest(what.into());
        let (head, note) =
            text.split_once("\n\n").ok_or_else(|| bad("there is no empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(parse_decimal);
        let old = old.ok_or_else(|| bad("the first line is not `old SIZE`"))?;
        let proof: Option<Vec<_>> = lines.take(PROOF_MAX + 1).map(parse_hash).collect();
        let proof = proof.ok_or_else(|| bad("a line of the proof is not the base64 of 32 bytes"))?;
        if proof.len() > PROOF_MAX {
            return Err(bad("the proof has more than 63 lines"));
        }
        Ok(Self { old, proof, note: note.to_owned() })
    }
}

/// Judges a request, given the logs that a witness knows and the last checkpoint that it cosigned for an origin. The
/// caller keeps the answer before it cosigns, and lets nobody else judge meanwhile.
///
/// # Errors
/// If the witness must not cosign.
pub fn judge(
    request: &AddCheckpoint,
    logs: &[VerifierKey],
    last: impl FnOnce(&str) -> Option<(u64, Hash)>,
) -> Result<Checkpoint, WitnessRefusal> {
    let origin = request.note.lines().next().unwrap_or_default();
    let mut keys = logs.iter().filter(|log| log.name().as_str() == origin).peekable();
    if keys.peek().is_none() {
        return Err(WitnessRefusal::UnknownLog(origin.chars().take(200).collect()));
    }
    let mut opened = Err(WitnessRefusal::UnknownLog(String::new()));
    for key in keys {
        opened = Checkpoint::open(&request.note, key).map_err(|error| match error {
            NoteError::NotSigned(_) | NoteError::BadSignature(_) => WitnessRefusal::NotSigned(error),
            other => WitnessRefusal::BadRequest(other.to_string()),
        });
        if opened.is_ok() {
            break;
        }
    }
    let checkpoint = opened?;
    if request.old > checkpoint.size {
        return Err(WitnessRefusal::BadRequest("the old size is larger than the checkpoint's".into()));
    }
    let known = last(origin);
    let size = known.map_or(0, |(size, _)| size);
    if request.old != size {
        return Err(WitnessRefusal::OldSize { size, old: request.old });
    }
    if let Some((size, root)) = known
        && size == checkpoint.size
        && root != checkpoint.root
    {
        return Err(WitnessRefusal::Fork { size });
    }
    let root = known.map_or_else(super::empty_root, |(_, root)| root);
    verify_consistency(size, root, checkpoint.size, checkpoint.root, &request.proof)
        .map_err(|why| WitnessRefusal::Inconsistent { size, why })?;
    Ok(checkpoint)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Memory;
    use super::super::{consistency_proof, root_at};
    use super::*;
    use ed25519_dalek::SigningKey;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[100; 32])
    }

    fn log() -> VerifierKey {
        VerifierKey::new("example.com/log".parse().unwrap(), key().verifying_key()).unwrap()
    }

    fn note(size: u64, root: Hash) -> String {
        Checkpoint { origin: log().name().clone(), size, root }.sign(&key())
    }

    fn status(request: &AddCheckpoint, last: Option<(u64, Hash)>) -> u16 {
        judge(request, &[log()], |_| last).map_or_else(|refusal| refusal.status(), |_| 200)
    }

    #[test]
    fn a_request_reads_back_as_it_was_written() {
        let request = AddCheckpoint { old: 3, proof: vec![Hash([7; 32]), Hash([8; 32])], note: note(5, Hash([1; 32])) };
        let text = request.to_string();
        assert!(text.starts_with("old 3\nBwcH") && text.contains("\n\nexample.com/log\n5\n"));
        assert_eq!(text.parse(), Ok(request));
        for bad in ["", "old 3\n", "old 03\n\nx", "new 3\n\nx", "old 3\nAAAA\n\nx"] {
            assert_eq!(bad.parse::<AddCheckpoint>().unwrap_err().status(), 400, "{bad:?}");
        }
        let long = format!("old 3\n{}\nx", format!("{}\n", BASE64.encode([0; 32])).repeat(64));
        assert_eq!(long.parse::<AddCheckpoint>().unwrap_err().status(), 400);
    }

    #[test]
    fn only_what_extends_the_last_checkpoint_is_cosigned() {
        let tree = Memory::of(9);
        let root = |size| root_at(&tree, size).unwrap();
        let request = |old, new| AddCheckpoint {
            old,
            proof: consistency_proof(&tree, old, new).unwrap(),
            note: note(new, root(new)),
        };
        assert_eq!(status(&request(0, 4), None), 200);
        assert_eq!(status(&request(4, 9), Some((4, root(4)))), 200);
        assert_eq!(status(&request(4, 4), Some((4, root(4)))), 200, "the same once more");
        assert_eq!(status(&request(4, 9), Some((6, root(6)))), 409, "another old size");
        assert_eq!(status(&request(0, 9), Some((6, root(6)))), 409);
        assert_eq!(status(&request(4, 4), Some((4, Hash([9; 32])))), 409, "a fork");
        assert_eq!(status(&request(4, 9), Some((4, Hash([9; 32])))), 422, "a fork before it");
        let backwards = AddCheckpoint { old: 9, proof: Vec::new(), note: note(4, root(4)) };
        assert_eq!(status(&backwards, Some((9, root(9)))), 400);
        let mut other = request(0, 4);
        other.note = other.note.replace("example.com/log", "example.com/other");
        assert_eq!(status(&other, None), 404);
        let mut forged = request(0, 4);
        forged.note = forged.note.replacen("\n4\n", "\n5\n", 1);
        assert_eq!(status(&forged, None), 403);
    }
}
