//! Checkpoints: a log's signed tree head (C2SP tlog-checkpoint).
//!
//! ```text
//! ORIGIN
//! SIZE, decimal
//! ROOT, base64
//!
//! — ORIGIN base64(key id ‖ signature)
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::SigningKey;

use super::Hash;
use super::note::{self, NoteError, Origin, VerifierKey};

/// What a log says of itself at one moment: its size and root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: Origin,
    /// The number of leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The checkpoint as a note signed by the log's key, under the log's name.
    pub fn sign(&self, key: &SigningKey) -> String {
        note::sign(&self.text(), &self.origin, key)
    }

    /// Reads a signed checkpoint and checks that `key` signed it.
    ///
    /// Further signatures, such as those of witnesses, are allowed and not judged. Extension
    /// lines, a number with a leading zero, and base64 in any but its one canonical form are
    /// refused.
    ///
    /// # Errors
    /// If it is no checkpoint, another log's, or not signed by `key`.
    pub fn open(signed: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        let text = note::open(signed, key)?;
        let mut lines = text.split_terminator('\n');
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(NoteError::BadCheckpoint("it must have exactly three lines"));
        };
        if origin != key.name().as_str() {
            let (expected, found) = (key.name().clone(), origin.to_owned());
            return Err(NoteError::OtherOrigin { expected, found });
        }
        let size = parse_decimal(size).ok_or(NoteError::BadCheckpoint("its size is not a canonical decimal number"))?;
        let root = parse_hash(root).ok_or(NoteError::BadCheckpoint("its root is not the base64 of 32 bytes"))?;
        Ok(Self { origin: key.name().clone(), size, root })
    }

    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root.0))
    }
}

/// A number as `u64` prints it; no sign, no leading zero.
pub(super) fn parse_decimal(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

/// A hash in base64.
pub(super) fn parse_hash(text: &str) -> Option<Hash> {
    BASE64.decode(text).ok()?.try_into().ok().map(Hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{empty_root, leaf_hash};

    fn checkpoint(size: u64, root: Hash) -> Checkpoint {
        Checkpoint { origin: "example.com/ledger".parse().unwrap(), size, root }
    }

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn verifier() -> VerifierKey {
        VerifierKey::new("example.com/ledger".parse().unwrap(), key().verifying_key()).unwrap()
    }

    #[test]
    fn a_signed_checkpoint_opens_under_its_verifier_key() {
        for (size, root) in [(0, empty_root()), (1, leaf_hash(&[b"x"])), (u64::MAX, Hash([255; 32]))] {
            let signed = checkpoint(size, root).sign(&key());
            assert_eq!(Checkpoint::open(&signed, &verifier()), Ok(checkpoint(size, root)));
        }
    }

    #[test]
    fn the_other_implementation_reads_our_checkpoints_and_verifies_them() {
        use signed_note::{Note, StandardVerifier, VerifierList};

        let signed = checkpoint(20_852_163, leaf_hash(&[b"x"])).sign(&key());
        let known = StandardVerifier::new(&verifier().to_string()).unwrap();
        let note = Note::from_bytes(signed.as_bytes()).unwrap();
        let (by, others) = note.verify(&VerifierList::new(vec![Box::new(known)])).unwrap();
        assert_eq!((by.len(), others.len()), (1, 0));
        let read = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
        assert_eq!(read.origin(), "example.com/ledger");
        assert_eq!(read.size(), 20_852_163);
        assert_eq!(read.hash().0, leaf_hash(&[b"x"]).0);
    }

    #[test]
    fn a_checkpoint_by_another_key_or_of_another_log_is_refused() {
        let mine = checkpoint(3, Hash([1; 32]));
        let by_other = mine.sign(&SigningKey::from_bytes(&[8; 32]));
        assert!(matches!(Checkpoint::open(&by_other, &verifier()), Err(NoteError::NotSigned(_))));

        let text = "example.com/other\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
        let signed = note::sign(text, &mine.origin, &key());
        assert!(matches!(Checkpoint::open(&signed, &verifier()), Err(NoteError::OtherOrigin { .. })));
    }

    #[test]
    fn only_the_canonical_three_lines_are_read() {
        let root = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let open = |body: String| {
            let text = format!("example.com/ledger\n{body}\n");
            Checkpoint::open(&note::sign(&text, verifier().name(), &key()), &verifier())
        };
        assert!(open(format!("3\n{root}")).is_ok());
        for body in [
            format!("03\n{root}"),
            format!("+3\n{root}"),
            format!("-3\n{root}"),
            format!("3 \n{root}"),
            format!("18446744073709551616\n{root}"),
            format!("3\n{root}\nextension"),
            format!("3\n{}", root.replace("AAA=", "AAB=")), // not the one canonical form
            format!("3\n{}", root.replace("AAA=", "AAA")),
            format!("3\n{}", root.replace("AAA=", "AA==")),
            "3".to_owned(),
            format!("\n3\n{root}"),
        ] {
            assert!(matches!(open(body.clone()), Err(NoteError::BadCheckpoint(_))), "{body}");
        }
    }
}
