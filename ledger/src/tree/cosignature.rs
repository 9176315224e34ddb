//! Cosignatures: a witness's word that a checkpoint extends every earlier one (C2SP tlog-cosignature, Ed25519).
//!
//! ```text
//! cosignature/v1
//! time SECONDS                    what is signed: these two lines,
//! the checkpoint's three lines    and the note's text
//!
//! — NAME base64(key id ‖ time, 8 bytes big-endian ‖ Ed25519 signature, 64 bytes)
//! ```

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::note::{NoteError, Origin, SignatureLine, key_id, parse_key, split};

/// The signature type of Ed25519 cosignatures in key ids and verifier keys.
const COSIGNATURE: u8 = 0x04;

/// A witness's public key with its name: `name+id+base64(0x04 ‖ key)`, the id in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessKey {
    name: Origin,
    id: [u8; 4],
    key: VerifyingKey,
}

/// A cosignature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    /// When the witness made it, seconds since 1970, by its own clock.
    pub time_s: u64,
    /// The signature line, without its newline.
    pub line: String,
}

impl WitnessKey {
    /// The key of a name.
    ///
    /// # Errors
    /// If the key is weak, under which a signature proves nothing.
    pub fn new(name: Origin, key: VerifyingKey) -> Result<Self, NoteError> {
        if key.is_weak() {
            return Err(NoteError::BadKey("the public key is weak"));
        }
        let id = key_id(&name, COSIGNATURE, &key);
        Ok(Self { name, id, key })
    }

    /// The witness's name.
    pub fn name(&self) -> &Origin {
        &self.name
    }

    /// The public key.
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// The newest cosignature of this key under a note; none if there is none. Lines of others are ignored.
    ///
    /// # Errors
    /// If the text is no note, or a line of this key is wrong.
    pub fn find(&self, note: &str) -> Result<Option<Cosignature>, NoteError> {
        let (text, lines) = split(note)?;
        let mine = lines.iter().filter(|line| line.name == self.name.as_str() && line.id == self.id);
        let found = mine.map(|line| self.judge(text, line)).collect::<Result<Vec<_>, _>>()?;
        Ok(found.into_iter().max_by_key(|cosignature| cosignature.time_s))
    }

    fn judge(&self, text: &str, line: &SignatureLine<'_>) -> Result<Cosignature, NoteError> {
        let wrong = || NoteError::BadSignature(self.name.clone());
        let (time, signature) = line.signature.split_first_chunk::<8>().ok_or_else(wrong)?;
        let time_s = u64::from_be_bytes(*time);
        let signature = Signature::from_slice(signature).map_err(|_| wrong())?;
        if time_s > i64::MAX as u64 || self.key.verify_strict(&message(text, time_s), &signature).is_err() {
            return Err(wrong());
        }
        Ok(Cosignature { time_s, line: line.line.to_owned() })
    }
}

impl FromStr for WitnessKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, id, key) = parse_key(text, COSIGNATURE, "its key is not of the type of Ed25519 cosignatures")?;
        let parsed = Self::new(name, key)?;
        if id != hex::encode(parsed.id) {
            return Err(NoteError::BadKey("its id is not that of its name and key"));
        }
        Ok(parsed)
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let material = [&[COSIGNATURE], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), BASE64.encode(material))
    }
}

/// The signature line, with its newline, by which a witness cosigns a checkpoint that it has judged.
///
/// # Errors
/// If the text is no note.
pub fn cosign(note: &str, name: &Origin, key: &SigningKey, time_s: u64) -> Result<String, NoteError> {
    let (text, _) = split(note)?;
    let mut bytes = key_id(name, COSIGNATURE, &key.verifying_key()).to_vec();
    bytes.extend(time_s.to_be_bytes());
    bytes.extend(key.sign(&message(text, time_s)).to_bytes());
    Ok(format!("— {name} {}\n", BASE64.encode(bytes)))
}

fn message(text: &str, time_s: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time_s}\n{text}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of C2SP tlog-cosignature. Its key is not published, so only the form can be checked.
    const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[5; 32])
    }

    fn witness() -> WitnessKey {
        WitnessKey::new("witness.example.com/w2".parse().unwrap(), key().verifying_key()).unwrap()
    }

    #[test]
    fn the_specifications_example_has_its_parts_where_they_are_read() {
        let (text, lines) = split(EXAMPLE).unwrap();
        assert_eq!(text.lines().count(), 3);
        let cosignature = &lines[1];
        assert_eq!((cosignature.name, cosignature.signature.len()), ("witness.example.com/w1", 8 + 64));
        assert_eq!(u64::from_be_bytes(cosignature.signature[..8].try_into().unwrap()), 1_679_315_147);
    }

    #[test]
    fn a_cosignature_holds_under_its_key_beside_those_of_others_and_no_other_text_or_time() {
        let name = witness().name().clone();
        let line = cosign(EXAMPLE, &name, &key(), 1_700_000_000).unwrap();
        let note = format!("{EXAMPLE}{line}");
        assert_eq!(witness().find(&note).unwrap().unwrap().time_s, 1_700_000_000);
        assert_eq!(witness().find(EXAMPLE), Ok(None));
        let newer = format!("{note}{}", cosign(EXAMPLE, &name, &key(), 1_700_000_001).unwrap());
        assert_eq!(witness().find(&newer).unwrap().unwrap().time_s, 1_700_000_001);

        let other = note.replacen("20852163", "20852164", 1);
        assert_eq!(witness().find(&other), Err(NoteError::BadSignature(name.clone())));
        let mut bytes = BASE64.decode(line.trim_end().rsplit(' ').next().unwrap()).unwrap();
        bytes[11] ^= 1; // the time's last byte
        let late = format!("{EXAMPLE}— {name} {}\n", BASE64.encode(bytes));
        assert_eq!(witness().find(&late), Err(NoteError::BadSignature(name)));
    }

    #[test]
    fn a_key_prints_as_it_was_read_and_is_no_logs_key() {
        assert_eq!(witness().to_string().parse(), Ok(witness()));
        assert!(witness().to_string().parse::<super::super::VerifierKey>().is_err());
    }
}
