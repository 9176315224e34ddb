//! A whole log as `attestune log export` writes it.
//!
//! ```text
//! attestune log export v1
//! base64 of the entry tree's checkpoint
//! base64 of the verdict tree's checkpoint
//! for each entry: its length as a varint, attestune.v1.Decided
//! ```

use attestune_proto::v1::Decided;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost::Message as _;

/// The first line.
pub const MAGIC: &str = "attestune log export v1\n";
/// An entry's value with its frame is never longer, in bytes.
pub const FRAME_BYTES_MAX: u64 = 1 << 17;

/// An export, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// The entry tree's checkpoint, a signed note.
    pub entries_note: String,
    /// The verdict tree's.
    pub verdicts_note: String,
    /// The entries, in order, numbered from 0 without a gap.
    pub entries: Vec<Decided>,
}

impl Export {
    /// Reads an export in its one form.
    ///
    /// # Errors
    /// If it is none: the first position that can't be read, if it is an entry, and what is wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, (Option<u64>, &'static str)> {
        let rest = bytes.strip_prefix(MAGIC.as_bytes()).ok_or((None, "its first line is another"))?;
        let (entries_note, rest) = note(rest).ok_or((None, "its second line is no checkpoint in base64"))?;
        let (verdicts_note, mut rest) = note(rest).ok_or((None, "its third line is no checkpoint in base64"))?;
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let position = entries.len() as u64;
            let bad = |what| (Some(position), what);
            let mut frame = rest;
            let length = prost::decode_length_delimiter(&mut frame).map_err(|_| bad("its length is damaged"))?;
            let (entry, after) = frame.split_at_checked(length).ok_or_else(|| bad("it is cut off"))?;
            if length as u64 > FRAME_BYTES_MAX {
                return Err(bad("it is longer than any entry"));
            }
            let decided = Decided::decode(entry).map_err(|_| bad("it is damaged"))?;
            if decided.position != position {
                return Err(bad("another position stands there: entries were left out, put in or moved"));
            }
            if decided.encode_length_delimited_to_vec() != rest[..rest.len() - after.len()] {
                return Err(bad("it is not in its one form"));
            }
            entries.push(decided);
            rest = after;
        }
        Ok(Self { entries_note, verdicts_note, entries })
    }

    /// The bytes of an export.
    pub fn write(entries_note: &str, verdicts_note: &str, entries: &[Decided]) -> Vec<u8> {
        let mut bytes = MAGIC.as_bytes().to_vec();
        for note in [entries_note, verdicts_note] {
            bytes.extend(BASE64.encode(note).into_bytes());
            bytes.push(b'\n');
        }
        entries.iter().for_each(|entry| bytes.extend(entry.encode_length_delimited_to_vec()));
        bytes
    }
}

fn note(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let text = BASE64.decode(&bytes[..end]).ok()?;
    Some((String::from_utf8(text).ok()?, &bytes[end + 1..]))
}
