//! The journal: where the entries of a store's own log become durable before anybody is told of them.
//!
//! A file that grows costs each fsync a write of its length beside that of the data. A journal's file is longer than
//! what is written of it, and full of zeros; so an fsync writes data only, as with PostgreSQL's segments. What RocksDB
//! holds of a log with a journal, and all that is folded from it, becomes durable by flushes alone; after a crash the
//! journal gives back the entries since the last one, and they are folded anew.
//!
//! ```text
//! NNNNNNNNNNNNNNNNNNNN.journal, named by the position of its first entry
//!
//! header   64 bytes   magic 16 | salt 8 | first position 8 | zeros 28 | CRC-32 of the 60 bytes before 4
//! an entry            head 64 bytes, its value, zeros up to a multiple of 64
//! head     64 bytes   salt 8 | position 8 | durable 8 | time 8 | length 4 | CRC-32 of the value 4 | zeros 20 | CRC-32 4
//! zeros    to the end of the file
//! ```
//!
//! Numbers are big-endian, CRC-32 is that of IEEE 802.3. The salt is random, so that no value can pass for an entry.
//! `durable` is how many entries were durable before this one was written: one below it that can't be read is damage.
//! Of the last ones, which no later entry vouches for, a torn one is told from a damaged one by what a disk writes as
//! a whole, a sector of 512 bytes: where one is still zeros the entry was never durable, and is forgotten.

use super::StoreError;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MAGIC: &[u8; 16] = b"attestune.jrnl.1";
const BLOCK: usize = 64;
const SECTOR: usize = 512;
/// By how much a file is made longer when it is used up.
const GROWTH: u64 = 1 << 20;
/// The length after which the next file begins: less than RocksDB keeps in memory by itself.
const FULL: u64 = 16 << 20;
/// After which time what looks damaged is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Longer than any entry's value.
const VALUE_BYTES_MAX: usize = 1 << 16;

/// A journal that is written to.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    salt: [u8; 8],
    /// Where the next entry goes.
    at: u64,
    /// The file's length.
    length: u64,
    /// The next entry's position, and how many entries are durable.
    next: u64,
    durable: u64,
    /// Files before this one.
    before: Vec<PathBuf>,
}

impl Journal {
    /// Begins a journal with the entry at `first`. The file is durable on return.
    pub(super) fn begin(folder: &Path, first: u64) -> io::Result<Self> {
        let (file, path, salt) = create(folder, first)?;
        let (at, length, before) = (BLOCK as u64, GROWTH, Vec::new());
        Ok(Self { file, path, salt, at, length, next: first, durable: first, before })
    }

    /// Whether the next entry should go into a file of its own.
    pub(super) fn is_full(&self) -> bool {
        self.at >= FULL
    }

    /// Whether there are files before this one.
    pub(super) fn has_before(&self) -> bool {
        !self.before.is_empty()
    }

    /// Goes on in a new file, once all that was written is durable.
    pub(super) fn go_on(&mut self, folder: &Path) -> io::Result<()> {
        self.sync()?;
        let full = std::mem::replace(self, Self::begin(folder, self.next)?);
        self.before = full.before;
        self.before.push(full.path);
        Ok(())
    }

    /// Writes the next entries, which [`Journal::sync`] makes durable.
    pub(super) fn append(&mut self, time_ms: u64, values: &[&[u8]]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(values.iter().map(|value| value.len() + 2 * BLOCK).sum());
        for value in values {
            let head = Head { position: self.next, durable: self.durable, time_ms, length: value.len() as u32 };
            bytes.extend(head.encode(self.salt, crc32fast::hash(value)));
            bytes.extend_from_slice(value);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
            self.next += 1;
        }
        let end = self.at + bytes.len() as u64;
        if end > self.length {
            // Zeros first: what is torn is known by them.
            let length = end.next_multiple_of(GROWTH);
            self.file.write_all_at(&vec![0; (length - self.length) as usize], self.length)?;
            self.length = length;
        }
        self.file.write_all_at(&bytes, self.at)?;
        self.at = end;
        Ok(())
    }

    /// Waits until what was written is on disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.durable = self.next;
        Ok(())
    }

    /// Removes the files before this one; RocksDB must have their entries in files of its own.
    pub(super) fn forget_before(&mut self) -> io::Result<()> {
        self.before.drain(..).try_for_each(fs::remove_file)
    }

    /// Removes the journal; RocksDB must have all entries in files of its own.
    pub(super) fn remove(mut self) -> io::Result<()> {
        self.forget_before()?;
        fs::remove_file(&self.path)
    }
}

/// Makes a file of zeros with its header, durable before it has its name.
fn create(folder: &Path, first: u64) -> io::Result<(File, PathBuf, [u8; 8])> {
    let mut salt = [0; 8];
    getrandom::fill(&mut salt).map_err(io::Error::other)?;
    let path = folder.join(format!("{first:020}.journal"));
    let fresh = folder.join("journal.new");
    let file = File::create(&fresh)?;
    let mut bytes = vec![0; GROWTH as usize];
    bytes[..16].copy_from_slice(MAGIC);
    bytes[16..24].copy_from_slice(&salt);
    bytes[24..32].copy_from_slice(&first.to_be_bytes());
    seal(&mut bytes[..BLOCK]);
    file.write_all_at(&bytes, 0)?;
    file.sync_all()?;
    fs::rename(&fresh, &path)?;
    File::open(folder)?.sync_all()?;
    Ok((file, path, salt))
}

/// Writes the CRC of a block into its end.
fn seal(block: &mut [u8]) {
    let crc = crc32fast::hash(&block[..BLOCK - 4]);
    block[BLOCK - 4..BLOCK].copy_from_slice(&crc.to_be_bytes());
}

fn is_sealed(block: &[u8]) -> bool {
    number(block, BLOCK - 4, 4) == u64::from(crc32fast::hash(&block[..BLOCK - 4]))
}

/// A number of some bytes in a block.
fn number(block: &[u8], at: usize, bytes: usize) -> u64 {
    block[at..at + bytes].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// What stands before an entry's value.
struct Head {
    position: u64,
    durable: u64,
    time_ms: u64,
    length: u32,
}

impl Head {
    fn encode(&self, salt: [u8; 8], value_crc: u32) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..8].copy_from_slice(&salt);
        block[8..16].copy_from_slice(&self.position.to_be_bytes());
        block[16..24].copy_from_slice(&self.durable.to_be_bytes());
        block[24..32].copy_from_slice(&self.time_ms.to_be_bytes());
        block[32..36].copy_from_slice(&self.length.to_be_bytes());
        block[36..40].copy_from_slice(&value_crc.to_be_bytes());
        seal(&mut block);
        block
    }

    /// The head in a block and the CRC of its value, if it is one of this file's.
    fn decode(block: &[u8], salt: &[u8]) -> Option<(Self, u32)> {
        let ours = block.len() >= BLOCK && block[..8] == *salt && is_sealed(block);
        let head = || Self {
            position: number(block, 8, 8),
            durable: number(block, 16, 8),
            time_ms: number(block, 24, 8),
            length: number(block, 32, 4) as u32,
        };
        ours.then(|| (head(), number(block, 36, 4) as u32))
    }
}

/// What the journal of a folder holds.
#[derive(Default)]
pub(super) struct Found {
    /// The files, the oldest first, with the position of the first entry of each.
    pub(super) files: Vec<(u64, PathBuf)>,
    /// Positions, one after another, and what the family `log` holds of each.
    pub(super) entries: Vec<(u64, Vec<u8>)>,
}

/// Why a journal can't be read.
pub(super) enum Unreadable {
    /// From this position on its bytes are not those that were written.
    Damaged {
        position: u64,
        what: String,
    },
    Io(io::Error),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Unreadable {
    pub(super) fn error(self, folder: &Path) -> StoreError {
        match self {
            Self::Damaged { position, what } => {
                StoreError::Corrupt { path: folder.to_owned(), what: format!("entry {position}: {what}") }
            }
            Self::Io(error) => failed(folder, &error),
        }
    }
}

/// How a journal's failure is told.
pub(super) fn failed(folder: &Path, error: &io::Error) -> StoreError {
    let path = folder.to_owned();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull { path },
        _ => StoreError::Io { path, what: format!("the journal: {error}") },
    }
}

/// Reads the journal in a folder; there may be none. Whoever writes it may do so meanwhile.
///
/// # Errors
/// If entries that were durable can't be read, or the disk fails.
pub(super) fn read(folder: &Path) -> Result<Found, Unreadable> {
    let mut tries = 0;
    loop {
        tries += 1;
        match read_once(folder) {
            // A writer is at work beside us: it has removed a file, or written in two places between our looking at
            // them. Damage is still there when one looks again.
            Err(Unreadable::Io(error)) if error.kind() == io::ErrorKind::NotFound && tries < 5 => {}
            Err(Unreadable::Damaged { .. }) if tries < 5 => {}
            outcome => return outcome,
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn read_once(folder: &Path) -> Result<Found, Unreadable> {
    let mut found = Found::default();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".journal"));
        if let Some(first) = name.and_then(|name| name.parse().ok()) {
            found.files.push((first, path));
        }
    }
    found.files.sort();
    let mut ended = None;
    for (first, path) in &found.files {
        let bytes = fs::read(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let damaged = |position, what: &str| Unreadable::Damaged { position, what: format!("{name}: {what}") };
        let header = bytes.get(..BLOCK).filter(|header| header[..16] == *MAGIC && is_sealed(header));
        let salt = header.filter(|header| number(header, 24, 8) == *first).map(|header| &header[16..24]);
        let salt = salt.ok_or_else(|| damaged(*first, "its header is damaged"))?;
        // A new file begins once all before it is durable.
        if let Some(ended) = ended.filter(|ended| ended != first) {
            return Err(damaged(ended, "it begins behind what the file before it holds"));
        }
        let mut at = BLOCK;
        let mut next = *first;
        let lost = loop {
            match entry(&bytes, at, salt) {
                Part::Entry(head, stored) if head.position == next => {
                    at += (BLOCK + head.length as usize).next_multiple_of(BLOCK);
                    found.entries.push((next, stored));
                    next = next.saturating_add(1);
                }
                Part::Entry(..) | Part::Damaged => break Some("its bytes are not those that were written"),
                Part::Unwritten => break None,
            }
        };
        // Whatever follows was written later, and may know that this was durable.
        let later = bytes.get(at..).unwrap_or_default().chunks_exact(BLOCK);
        let vouched = later.filter_map(|block| Head::decode(block, salt)).any(|(head, _)| head.durable > next);
        match lost {
            Some(what) => return Err(damaged(next, what)),
            None if vouched => return Err(damaged(next, "it is missing before others")),
            None => ended = Some(next),
        }
    }
    Ok(found)
}

/// What stands at a place of a journal.
enum Part {
    /// An entry, and what is stored of it.
    Entry(Head, Vec<u8>),
    /// Nothing that was ever durable.
    Unwritten,
    Damaged,
}

fn entry(bytes: &[u8], at: usize, salt: &[u8]) -> Part {
    let Some(block) = bytes.get(at..at + BLOCK) else { return Part::Unwritten };
    let Some((head, crc)) = Head::decode(block, salt) else {
        // A head lies within one sector.
        return if is_zeros(block) { Part::Unwritten } else { Part::Damaged };
    };
    let (from, length) = (at + BLOCK, head.length as usize);
    let Some(value) = bytes.get(from..from + length).filter(|_| length <= VALUE_BYTES_MAX) else {
        return Part::Damaged;
    };
    if crc32fast::hash(value) == crc {
        let stored = crate::log::Entry::stored(head.time_ms, value);
        return Part::Entry(head, stored);
    }
    // The sector of the head was written.
    let others = from.next_multiple_of(SECTOR).min(from + length);
    let torn = bytes[others..from + length].chunks(SECTOR).any(is_zeros);
    if torn { Part::Unwritten } else { Part::Damaged }
}

fn is_zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A journal in a folder of its own, with groups of entries each of which was made durable.
    fn written(groups: &[Vec<Vec<u8>>]) -> (tempfile::TempDir, Journal) {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(folder.path(), 7).unwrap();
        for group in groups {
            append(&mut journal, group);
            journal.sync().unwrap();
        }
        (folder, journal)
    }

    fn append(journal: &mut Journal, group: &[Vec<u8>]) {
        journal.append(1, &group.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    }

    fn value(number: u8, length: usize) -> Vec<u8> {
        vec![number | 0xc0; length]
    }

    fn positions(folder: &Path) -> Vec<u64> {
        match read(folder) {
            Ok(found) => found.entries.iter().map(|(position, _)| *position).collect(),
            Err(unreadable) => panic!("{}", unreadable.error(folder)),
        }
    }

    /// Where a journal is damaged.
    fn damaged_at(folder: &Path) -> Option<u64> {
        match read_once(folder) {
            Err(Unreadable::Damaged { position, .. }) => Some(position),
            _ => None,
        }
    }

    fn change(folder: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let (_, path) = read_files(folder).pop().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }

    fn read_files(folder: &Path) -> Vec<(u64, PathBuf)> {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> =
            paths.map(|path| (path.file_stem().unwrap().to_str().unwrap().parse().unwrap(), path)).collect();
        files.sort();
        files
    }

    #[test]
    fn entries_are_read_as_they_were_written_over_any_number_of_files() {
        let groups: Vec<Vec<_>> =
            (0..30).map(|group| (0..group % 3 + 1).map(|n| value(group * 5 + n, 60_000)).collect()).collect();
        let (folder, mut journal) = written(&groups);
        journal.go_on(folder.path()).unwrap();
        append(&mut journal, &[vec![], value(200, 1)]);
        let mut expected: Vec<_> = groups.into_iter().flatten().collect();
        expected.extend([vec![], value(200, 1)]);
        let found = read(folder.path()).ok().unwrap();
        assert_eq!(found.files.iter().map(|(first, _)| *first).collect::<Vec<_>>(), [7, 67]);
        let entries: Vec<_> =
            (7..).zip(expected).map(|(at, value)| (at, crate::log::Entry::stored(1, &value))).collect();
        assert_eq!(found.entries, entries);
        journal.forget_before().unwrap();
        assert_eq!(positions(folder.path()), [67, 68]);
        journal.remove().unwrap();
        assert_eq!(read_files(folder.path()), []);
    }

    #[test]
    fn what_was_never_durable_is_forgotten_and_the_rest_is_kept() {
        // Sectors of the last group that never reached the disk: of its head, within a value, before others of it.
        let (folder, mut journal) = written(&[vec![value(1, 900)], vec![value(2, 900)]]);
        let from = journal.at as usize;
        append(&mut journal, &[value(3, 3_000), value(4, 3_000), value(5, 3_000)]);
        let whole = fs::read(&journal.path).unwrap();
        for (sector, kept) in [(from.next_multiple_of(SECTOR), 0), (8_192, 1), (from + 6_600, 2)] {
            let sector = sector / SECTOR * SECTOR;
            change(folder.path(), |bytes| bytes[sector..sector + SECTOR].fill(0));
            assert_eq!(positions(folder.path()), (7..9 + kept).collect::<Vec<_>>(), "sector at {sector}");
            change(folder.path(), |bytes| bytes.copy_from_slice(&whole));
        }
        assert_eq!(positions(folder.path()), [7, 8, 9, 10, 11]);
        change(folder.path(), |bytes| bytes[from..].fill(0));
        assert_eq!(positions(folder.path()), [7, 8]);
    }

    #[test]
    fn what_was_durable_and_is_zeros_now_is_damage() {
        let (folder, _journal) = written(&[vec![value(1, 900)], vec![value(2, 900)], vec![value(3, 900)]]);
        change(folder.path(), |bytes| bytes[BLOCK..BLOCK + 960].fill(0));
        assert_eq!(damaged_at(folder.path()), Some(7));
    }

    #[test]
    fn a_file_that_is_gone_or_another_is_damage() {
        let (folder, mut journal) = written(&[vec![value(1, 9)]]);
        journal.go_on(folder.path()).unwrap();
        append(&mut journal, &[value(2, 9)]);
        journal.sync().unwrap();
        journal.go_on(folder.path()).unwrap();
        append(&mut journal, &[value(3, 9)]);
        assert_eq!(positions(folder.path()), [7, 8, 9]);
        let files = read_files(folder.path());
        let second = fs::read(&files[1].1).unwrap();
        fs::remove_file(&files[1].1).unwrap();
        assert_eq!(damaged_at(folder.path()), Some(8));
        fs::copy(&files[2].1, &files[1].1).unwrap();
        assert_eq!(damaged_at(folder.path()), Some(8));
        fs::write(&files[1].1, second).unwrap();
        assert_eq!(positions(folder.path()), [7, 8, 9]);
    }

    #[test]
    fn a_value_that_looks_like_an_entry_is_none() {
        let (folder, mut journal) = written(&[]);
        // All but the salt, which nobody outside knows.
        let forged = Head { position: 8, durable: 9, time_ms: 0, length: 0 }.encode([0; 8], 0);
        append(&mut journal, &[forged.repeat(40)]);
        change(folder.path(), |bytes| bytes[SECTOR..2 * SECTOR].fill(0));
        assert!(positions(folder.path()).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_flipped_bit_of_what_was_durable_names_its_entry(
            lengths in prop::collection::vec(1usize..1500, 1..6),
            place in any::<prop::sample::Index>(),
            bit in 0..8,
        ) {
            let groups: Vec<_> = (1..).zip(&lengths).map(|(number, length)| vec![value(number, *length)]).collect();
            let (folder, journal) = written(&groups);
            let mut ends = vec![BLOCK];
            for length in &lengths {
                ends.push(ends[ends.len() - 1] + BLOCK + length.next_multiple_of(BLOCK));
            }
            prop_assert_eq!(ends.last(), Some(&(journal.at as usize)));
            let at = place.index(journal.at as usize);
            change(folder.path(), |bytes| bytes[at] ^= 1u8 << bit);
            // Of the zeros behind a value nothing is said.
            let entry = ends.iter().filter(|end| **end <= at).count().saturating_sub(1);
            let beside = at >= BLOCK && at >= ends[entry] + BLOCK + lengths[entry];
            prop_assert_eq!(damaged_at(folder.path()), (!beside).then_some(7 + entry as u64));
        }

        #[test]
        fn whatever_sectors_of_a_write_reach_the_disk_what_was_durable_stays_and_none_of_it_is_taken_for_damage(
            durable in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1500), 0..3),
            written in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1500), 1..5),
            reached in prop::collection::vec(any::<bool>(), 64),
        ) {
            let (folder, mut journal) = self::written(&durable.iter().map(|value| vec![value.clone()]).collect::<Vec<_>>());
            let before = fs::read(&journal.path).unwrap();
            append(&mut journal, &written);
            change(folder.path(), |after| {
                let sectors = after.chunks_mut(SECTOR).zip(before.chunks(SECTOR)).zip(reached.iter().cycle());
                for ((after, before), _) in sectors.filter(|(_, reached)| !**reached) {
                    after.copy_from_slice(before);
                }
            });
            let all: Vec<_> = durable.iter().chain(&written).map(|value| crate::log::Entry::stored(1, value)).collect();
            let found = read(folder.path()).ok();
            prop_assert!(found.is_some(), "taken for damage");
            let stored: Vec<_> = found.into_iter().flat_map(|found| found.entries).map(|(_, stored)| stored).collect();
            prop_assert!(stored.len() >= durable.len() && all.starts_with(&stored));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0usize..400) {
            let (folder, _journal) = written(&[vec![value(1, 100)]]);
            change(folder.path(), |file| file[at..at + bytes.len()].copy_from_slice(&bytes));
            drop(read(folder.path()));
            change(folder.path(), |file| file.truncate(at));
            drop(read(folder.path()));
        }
    }
}
