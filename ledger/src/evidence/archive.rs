//! The file: a zip whose parts are stored as they are, in the one form that the crate `zip` gives them, so that no byte
//! can be another unseen.

use std::collections::BTreeSet;
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Most parts that are read.
const PARTS_MAX: usize = 1 << 16;
/// Wrong bytes that are remembered: the first tells enough.
const WRONG_MAX: usize = 4096;

/// Why bytes are no bundle's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not a zip, or one whose directory is damaged.
    #[error("the file is no bundle, or its directory at the end is damaged: {0}")]
    NoArchive(String),
    /// A part's entry in the directory is unfit.
    #[error("part {0} of the archive is unfit: {1}")]
    Part(String, &'static str),
    /// A byte that the one form of these parts does not have there.
    #[error("byte {at} of the file, {near}, is not what an archive of these parts has there")]
    Form {
        /// Counted from 0.
        at: u64,
        /// Which part it belongs to.
        near: String,
    },
}

/// Writes parts in their order.
///
/// # Errors
/// If the writer fails.
pub fn write<'p, W: Write + Seek>(parts: impl IntoIterator<Item = (&'p str, &'p [u8])>, out: W) -> io::Result<W> {
    let mut zip = ZipWriter::new(out);
    for (name, bytes) in parts {
        let large = bytes.len() as u64 >= u64::from(u32::MAX);
        let options = SimpleFileOptions::DEFAULT.compression_method(CompressionMethod::Stored).large_file(large);
        zip.start_file(name, options)?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?)
}

/// The parts of an archive, in their order.
pub type Parts<'a> = Vec<(String, &'a [u8])>;

/// Reads the parts, without copying, and what is wrong if the bytes are not exactly what [`write`] makes of them.
///
/// # Errors
/// If no parts can be read at all.
pub fn read(bytes: &[u8]) -> Result<(Parts<'_>, Option<Broken>), Broken> {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| Broken::NoArchive(error.to_string()))?;
    if zip.len() > PARTS_MAX {
        return Err(Broken::NoArchive("it has too many parts".into()));
    }
    let mut parts = Vec::with_capacity(zip.len());
    // Parts that lie apart are together no larger than the file. Ones inside each other would be gone through again and
    // again, and a small file take hours.
    let mut left = bytes.len();
    for number in 0..zip.len() {
        let file = zip.by_index(number).map_err(|error| Broken::NoArchive(error.to_string()))?;
        let name = file.name().map_err(|error| Broken::NoArchive(error.to_string()))?.into_owned();
        let bad = |what| Broken::Part(number.to_string(), what);
        if file.compression() != CompressionMethod::Stored {
            return Err(bad("it is compressed"));
        }
        let from = file.data_start().and_then(|at| usize::try_from(at).ok()).ok_or_else(|| bad("it begins nowhere"))?;
        let size = usize::try_from(file.size()).map_err(|_| bad("it is too large"))?;
        left = left.checked_sub(size).ok_or_else(|| bad("it shares bytes with another"))?;
        let data = from.checked_add(size).and_then(|to| bytes.get(from..to)).ok_or_else(|| bad("it is cut off"))?;
        parts.push((name, data));
    }
    let same = write(parts.iter().map(|(name, data)| (name.as_str(), *data)), Compared::with(bytes));
    let same = same.map_err(|error| Broken::NoArchive(error.to_string()))?;
    let wrong = same.first_wrong().map(|at| Broken::Form { at, near: near(bytes, &parts, at) });
    Ok((parts, wrong))
}

/// Which part a byte belongs to, for people.
fn near(bytes: &[u8], parts: &[(String, &[u8])], at: u64) -> String {
    let end_of = |data: &[u8]| (data.as_ptr() as usize + data.len()).saturating_sub(bytes.as_ptr() as usize) as u64;
    let part = parts.iter().find(|(_, data)| at < end_of(data));
    part.map_or_else(|| "in the directory at its end".into(), |(name, _)| format!("before or in {name}"))
}

/// A writer that compares what is written, also what is written over, with bytes that are there.
struct Compared<'a> {
    expected: &'a [u8],
    at: u64,
    end: u64,
    wrong: BTreeSet<u64>,
    /// One beyond those that are remembered: it is not asked whether it was put right later.
    beyond: Option<u64>,
}

impl<'a> Compared<'a> {
    fn with(expected: &'a [u8]) -> Self {
        Self { expected, at: 0, end: 0, wrong: BTreeSet::new(), beyond: None }
    }

    fn first_wrong(&self) -> Option<u64> {
        let length = self.expected.len() as u64;
        let other_end = (self.end != length).then_some(self.end.min(length));
        self.wrong.first().copied().into_iter().chain(self.beyond).chain(other_end).min()
    }
}

impl Write for Compared<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let from = usize::try_from(self.at).unwrap_or(usize::MAX);
        let there = self.expected.get(from..from.saturating_add(bytes.len()));
        if there == Some(bytes) {
            let upto = self.at + bytes.len() as u64;
            let right: Vec<u64> = self.wrong.range(self.at..upto).copied().collect();
            for at in right {
                self.wrong.remove(&at);
            }
            self.at = upto;
        } else {
            for byte in bytes {
                let there = usize::try_from(self.at).ok().and_then(|at| self.expected.get(at));
                if there == Some(byte) {
                    self.wrong.remove(&self.at);
                } else if self.wrong.len() < WRONG_MAX {
                    self.wrong.insert(self.at);
                } else {
                    self.beyond.get_or_insert(self.at);
                }
                self.at += 1;
            }
        }
        self.end = self.end.max(self.at);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Compared<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.end.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::other("there is nothing before the beginning"))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_they_were_written_and_no_byte_may_be_another() {
        let parts = [("manifest.txt", &b"hello\n"[..]), ("events/0", b""), ("log", &[7; 300])];
        let bytes = write(parts, Cursor::new(Vec::new())).unwrap().into_inner();
        let (read_back, wrong) = read(&bytes).unwrap();
        assert_eq!(wrong, None);
        assert_eq!(read_back.iter().map(|(name, data)| (name.as_str(), *data)).collect::<Vec<_>>(), parts);
        assert_eq!(bytes, write(parts, Cursor::new(Vec::new())).unwrap().into_inner(), "it is the same each time");
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            let same = read(&other).is_ok_and(|(_, wrong)| wrong.is_none());
            assert!(!same, "byte {at}");
        }
        for other in [&bytes[..bytes.len() - 1], &[&bytes[..], &[0]].concat()] {
            assert!(!read(other).is_ok_and(|(_, wrong)| wrong.is_none()));
        }
        assert!(read(b"").is_err() && read(b"hello").is_err());
    }

    /// An archive of one part: what stands before its directory, the directory, its end of 22 bytes.
    fn one_part(name: &str, data: &[u8]) -> [Vec<u8>; 3] {
        let bytes = write([(name, data)], Cursor::new(Vec::new())).unwrap().into_inner();
        let (front, end) = bytes.split_at(bytes.len() - 22);
        let (part, entry) = front.split_at(u32::from_le_bytes(end[16..20].try_into().unwrap()) as usize);
        [part.to_vec(), entry.to_vec(), end.to_vec()]
    }

    #[test]
    fn a_part_inside_another_is_refused() {
        let [inner, mut inner_entry, _] = one_part("b", &[7; 1000]);
        let [outer, outer_entry, mut end] = one_part("a", &inner);
        // APPNOTE.TXT 4.3.12 and 4.3.16: where the part begins; how many there are, and how large the directory is.
        inner_entry[42..46].copy_from_slice(&((outer.len() - inner.len()) as u32).to_le_bytes());
        end[8..10].copy_from_slice(&2u16.to_le_bytes());
        end[10..12].copy_from_slice(&2u16.to_le_bytes());
        end[12..16].copy_from_slice(&((outer_entry.len() + inner_entry.len()) as u32).to_le_bytes());
        let both = [outer, outer_entry, inner_entry, end].concat();
        assert_eq!(read(&both), Err(Broken::Part("1".into(), "it shares bytes with another")));
    }
}
