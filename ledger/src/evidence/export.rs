//! A whole log as `attestune log export` writes it.
//!
//! ```text
//! attestune log export v1
//! base64 of the entry tree's checkpoint
//! base64 of the verdict tree's checkpoint
//! for each entry: its length as a varint, attestune.v1.Decided
//! ```

use super::each::each;
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
        let (mut frames, mut broken) = (Vec::new(), None);
        while !rest.is_empty() && broken.is_none() {
            match frame(rest) {
                Ok((first, after)) => {
                    frames.push(first);
                    rest = after;
                }
                Err(what) => broken = Some((Some(frames.len() as u64), what)),
            }
        }
        let mut entries = Vec::with_capacity(frames.len());
        for (position, decided) in (0u64..).zip(each(&frames, |frame| decode(frame))) {
            let decided = decided.map_err(|what| (Some(position), what))?;
            if decided.position != position {
                return Err((Some(position), "another position stands there: entries were left out, put in or moved"));
            }
            entries.push(decided);
        }
        broken.map_or(Ok(Self { entries_note, verdicts_note, entries }), Err)
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

/// The first entry with its length before it, and what follows.
fn frame(bytes: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let mut behind = bytes;
    let length = prost::decode_length_delimiter(&mut behind).map_err(|_| "its length is damaged")?;
    if length as u64 > FRAME_BYTES_MAX {
        return Err("it is longer than any entry");
    }
    bytes.split_at_checked(bytes.len() - behind.len() + length).ok_or("it is cut off")
}

fn decode(frame: &[u8]) -> Result<Decided, &'static str> {
    let decided = Decided::decode_length_delimited(frame).map_err(|_| "it is damaged")?;
    if decided.encode_length_delimited_to_vec() != frame {
        return Err("it is not in its one form");
    }
    Ok(decided)
}

fn note(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let text = BASE64.decode(&bytes[..end]).ok()?;
    Some((String::from_utf8(text).ok()?, &bytes[end + 1..]))
}
