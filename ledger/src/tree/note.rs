//! Signed notes (C2SP signed-note) with Ed25519: a text, an empty line, signature lines.
//!
//! ```text
//! TEXT, each line ending in a newline
//!
//! — NAME base64(key id, 4 bytes ‖ Ed25519 signature over TEXT, 64 bytes)
//! ```

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

/// The signature type of plain Ed25519 in key ids and verifier keys.
const ED25519: u8 = 0x01;

/// The largest note read, in bytes: sixteen post-quantum signatures fit.
const NOTE_BYTES_MAX: usize = 256 * 1024;

/// Names a log: the first line of its checkpoints, and the name of the key that signs them.
///
/// Neither empty nor with spaces, control characters or `+`; best a URL without scheme, such as
/// `example.com/ledger`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(String);

/// A public key with the name it signs notes under.
///
/// Written as `name+id+base64(0x01 ‖ key)`, the id in hex: what an auditor is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: Origin,
    id: [u8; 4],
    key: VerifyingKey,
}

/// Why a note, a checkpoint or a verifier key is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The name is empty, or has a space, a control character or `+` in it.
    #[error("{0:?} can't name a log: it must not be empty or hold spaces, control characters or +")]
    BadName(String),
    /// Not the form `name+id+key`, or the id is not that of the name and key.
    #[error("not a verifier key: {0}")]
    BadKey(&'static str),
    /// The text is not a signed note.
    #[error("not a signed note: {0}")]
    BadNote(&'static str),
    /// The note's text is not a checkpoint of three lines.
    #[error("not a checkpoint: {0}")]
    BadCheckpoint(&'static str),
    /// The checkpoint is another log's.
    #[error("the checkpoint is of log {found}, not of {expected}")]
    OtherOrigin {
        /// The log that the key belongs to.
        expected: Origin,
        /// The log that the checkpoint names.
        found: String,
    },
    /// No signature line is by this key.
    #[error("no signature by {0}; check that the verifier key is this log's")]
    NotSigned(Origin),
    /// A signature line names this key but its signature is wrong.
    #[error("the signature by {0} is wrong: the note was altered or is a forgery")]
    BadSignature(Origin),
}

impl Origin {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = NoteError;

    fn from_str(name: &str) -> Result<Self, NoteError> {
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if name.is_empty() || name.contains(forbidden) {
            return Err(NoteError::BadName(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl VerifierKey {
    /// The verifier key of a log's public key.
    ///
    /// # Errors
    /// If the key is weak (of small order), under which a signature proves nothing.
    pub fn new(name: Origin, key: VerifyingKey) -> Result<Self, NoteError> {
        if key.is_weak() {
            return Err(NoteError::BadKey("the public key is weak"));
        }
        let id = key_id(&name, ED25519, &key);
        Ok(Self { name, id, key })
    }

    /// The name of the log whose key this is.
    pub fn name(&self) -> &Origin {
        &self.name
    }

    /// The public key.
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, id, key) = parse_key(text, ED25519, "its key is not of the type Ed25519")?;
        let parsed = Self::new(name, key)?;
        if id != hex::encode(parsed.id) {
            return Err(NoteError::BadKey("its id is not that of its name and key"));
        }
        Ok(parsed)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let material = [&[ED25519], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), BASE64.encode(material))
    }
}

/// Name, id as written and public key of a verifier key of a signature type.
pub(super) fn parse_key<'a>(
    text: &'a str,
    kind: u8,
    other: &'static str,
) -> Result<(Origin, &'a str, VerifyingKey), NoteError> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::BadKey("it must have the form name+id+key"));
    };
    let material = BASE64.decode(key).map_err(|_| NoteError::BadKey("its key is not base64"))?;
    let key = material.strip_prefix(&[kind]).ok_or(NoteError::BadKey(other))?;
    let key = key
        .try_into()
        .ok()
        .and_then(|bytes| VerifyingKey::from_bytes(bytes).ok())
        .ok_or(NoteError::BadKey("its key is not an Ed25519 public key"))?;
    Ok((name.parse()?, id, key))
}

/// Signs `text`, which ends in a newline, under `name`.
pub(super) fn sign(text: &str, name: &Origin, key: &SigningKey) -> String {
    let mut bytes = key_id(name, ED25519, &key.verifying_key()).to_vec();
    bytes.extend(key.sign(text.as_bytes()).to_bytes());
    format!("{text}\n— {name} {}\n", BASE64.encode(bytes))
}

/// One line under a note's text.
pub(super) struct SignatureLine<'a> {
    /// The line itself, without its newline.
    pub line: &'a str,
    /// Who signed, by name.
    pub name: &'a str,
    /// Which of that name's keys.
    pub id: [u8; 4],
    /// The signature, whose form is the key type's.
    pub signature: Vec<u8>,
}

/// A note's text, its last newline included, and its signature lines, none of them judged.
pub(super) fn split(note: &str) -> Result<(&str, Vec<SignatureLine<'_>>), NoteError> {
    if note.len() > NOTE_BYTES_MAX {
        return Err(NoteError::BadNote("it is larger than 256 KiB"));
    }
    if note.bytes().any(|b| b < 0x20 && b != b'\n') {
        return Err(NoteError::BadNote("it holds control characters"));
    }
    let split = note.rfind("\n\n").ok_or(NoteError::BadNote("it has no empty line"))?;
    let lines = note[split + 2..]
        .strip_suffix('\n')
        .ok_or(NoteError::BadNote("it doesn't end in a signature line and a newline"))?;
    let lines = lines.split('\n').map(signature_line).collect::<Result<_, _>>()?;
    Ok((&note[..=split], lines))
}

fn signature_line(line: &str) -> Result<SignatureLine<'_>, NoteError> {
    let (name, signature) = line
        .strip_prefix("— ")
        .and_then(|line| line.split_once(' '))
        .ok_or(NoteError::BadNote("a signature line has another form than `— name base64`"))?;
    name.parse::<Origin>()?;
    let bytes = BASE64.decode(signature).map_err(|_| NoteError::BadNote("a signature is not base64"))?;
    let Some((id, signature)) = bytes.split_first_chunk::<4>() else {
        return Err(NoteError::BadNote("a signature is too short"));
    };
    Ok(SignatureLine { line, name, id: *id, signature: signature.to_vec() })
}

/// The text of a note that `key` has signed, its last newline included.
///
/// Signatures by other keys are ignored, as signed-note demands; each one by `key` must hold.
pub(super) fn open<'a>(note: &'a str, key: &VerifierKey) -> Result<&'a str, NoteError> {
    let (text, lines) = split(note)?;
    let mut signed = false;
    for line in lines.iter().filter(|line| line.name == key.name.as_str() && line.id == key.id) {
        Signature::from_slice(&line.signature)
            .and_then(|signature| key.key.verify_strict(text.as_bytes(), &signature))
            .map_err(|_| NoteError::BadSignature(key.name.clone()))?;
        signed = true;
    }
    if signed { Ok(text) } else { Err(NoteError::NotSigned(key.name.clone())) }
}

/// `SHA-256(name ‖ 0x0A ‖ signature type ‖ public key)`, its first four bytes.
pub(super) fn key_id(name: &Origin, kind: u8, key: &VerifyingKey) -> [u8; 4] {
    let digest =
        Sha256::new().chain_update(name.as_str()).chain_update([b'\n', kind]).chain_update(key.as_bytes()).finalize();
    let (id, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
    *id
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of C2SP signed-note, "Verifier keys".
    const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    fn key() -> VerifierKey {
        KEY.parse().unwrap()
    }

    #[test]
    fn the_specifications_example_verifies_and_its_key_prints_as_it_was_read() {
        assert_eq!(open(NOTE, &key()), Ok("This is an example message.\n"));
        assert_eq!(key().to_string(), KEY);
    }

    #[test]
    fn any_flipped_bit_of_a_note_is_noticed() {
        for at in 0..NOTE.len() {
            for bit in 0..8 {
                let mut bytes = NOTE.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                let Ok(note) = String::from_utf8(bytes) else {
                    continue;
                };
                assert!(open(&note, &key()).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn signatures_by_others_are_ignored_but_don_t_suffice() {
        let other = "— witness.example mJirIkljAAAA\n— example.com/foo AAAAAAAA\n";
        assert!(open(&format!("{NOTE}{other}"), &key()).is_ok());
        let alone = format!("This is an example message.\n\n{other}");
        assert_eq!(open(&alone, &key()), Err(NoteError::NotSigned(key().name)));
    }

    #[test]
    fn one_wrong_signature_by_the_key_spoils_the_note() {
        let wrong = NOTE.rsplit_once("— ").unwrap().1.replace("Ueyz", "Ueya").replace('8', "9");
        let both = format!("{NOTE}— {wrong}");
        assert_eq!(open(&both, &key()), Err(NoteError::BadSignature(key().name)));
    }

    #[test]
    fn bad_verifier_keys_are_refused() {
        for (text, why) in [
            ("example.com/foo", "it must have the form name+id+key"),
            (&KEY.replace("530d", "530e"), "its id is not that of its name and key"),
            (&KEY.replace("530d", "530D"), "its id is not that of its name and key"),
            (&KEY.replace("+Aeky", "+Beky"), "its key is not of the type Ed25519"),
            (&KEY.replace("U2k", "U2k="), "its key is not base64"),
            (&KEY[..KEY.len() - 4], "its key is not an Ed25519 public key"),
        ] {
            assert_eq!(text.parse::<VerifierKey>(), Err(NoteError::BadKey(why)), "{text}");
        }
        let spaced = KEY.replace("foo", "f o");
        assert!(matches!(spaced.parse::<VerifierKey>(), Err(NoteError::BadName(_))));
    }
}
