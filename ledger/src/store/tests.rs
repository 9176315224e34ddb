//! The store against its promises, and against damage of each kind.

use std::fs;
use std::process::Command;

use super::*;

fn open(path: &Path) -> Result<Arc<Store>, StoreError> {
    Store::open(path, &Options::default())
}

fn read_only(path: &Path) -> Result<Arc<Store>, StoreError> {
    Store::open(path, &Options { read_only: true, ..Options::default() })
}

/// Writes entries one batch each, as a log does; the value of entry n is 100 bytes of n.
fn write_entries(store: &Store, positions: std::ops::Range<u64>) {
    for position in positions {
        let mut batch = store.batch();
        batch.put(Family::Log, &position.to_be_bytes(), &[position as u8; 100]);
        store.write(batch, false).unwrap();
    }
    store.write(store.batch(), true).unwrap();
}

/// Appends entries to the store's own log, each of them durable; the value of entry n is 100 bytes of n.
fn append_entries(store: &Store, positions: std::ops::Range<u64>) {
    store.keep_journal();
    for position in positions {
        store.append(position, 1, &[&[position as u8; 100]]).unwrap();
        store.sync().unwrap();
    }
}

/// A store's folder as a process that is killed now would leave it; nothing must be at work on its files.
fn killed(store: &Store) -> tempfile::TempDir {
    let running = |what| store.db.property_int_value(what).unwrap() != Some(0);
    while store.is_flushing().unwrap()
        || running(rocksdb::properties::NUM_RUNNING_FLUSHES)
        || running(rocksdb::properties::NUM_RUNNING_COMPACTIONS)
    {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(store.path()).unwrap().map(|file| file.unwrap().path()) {
        fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    folder
}

/// The positions in a store's log.
fn positions(store: &Store) -> Vec<u64> {
    keys_of(store.scan(Family::Log, b"", b""))
        .into_iter()
        .map(|key| u64::from_be_bytes(key.try_into().unwrap()))
        .collect()
}

/// The files of a store with this extension, the newest last.
fn files(path: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|of| of == extension)).collect();
    files.sort();
    files
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

/// Where the value of an entry of [`write_entries`] lies in a file that is not compressed.
fn find_entry(file: &Path, position: u8) -> usize {
    let bytes = fs::read(file).unwrap();
    let value = [position; 100];
    bytes.windows(100).position(|window| window == value).expect("the entry is in the file")
}

#[test]
fn a_batch_is_there_after_reopening_flushed_or_not() {
    for flushed in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).unwrap();
        let mut batch = store.batch();
        for family in Family::ALL {
            batch.put(family, b"key-long-enough", family.name().as_bytes());
        }
        store.write(batch, true).unwrap();
        if flushed {
            store.flush().unwrap();
            assert!(store.file_bytes() > 0);
        }
        drop(store);
        let store = open(folder.path()).unwrap();
        for family in Family::ALL {
            let value = store.get(family, b"key-long-enough").unwrap();
            assert_eq!(value.as_deref(), Some(family.name().as_bytes()));
        }
    }
}

#[test]
fn scans_keep_their_bounds_and_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let keys: [&[u8]; 6] = [b"a", b"ab", b"b", b"b\xff", b"b\xff\xff", b"c"];
    let mut batch = store.batch();
    keys.iter().for_each(|key| batch.put(Family::Tree, key, key));
    batch.delete(Family::Tree, b"a");
    store.write(batch, false).unwrap();
    let scan = |from: &[u8], to: &[u8]| keys_of(store.scan(Family::Tree, from, to));
    assert_eq!(scan(b"", b""), keys[1..]);
    assert_eq!(scan(b"ab", b"b\xff"), keys[1..3]);
    assert_eq!(keys_of(store.scan_prefix(Family::Tree, b"b\xff")), keys[3..5]);
    assert_eq!(keys_of(store.scan_prefix(Family::Tree, b"")), keys[1..]);
    assert_eq!(&*store.last(Family::Tree).unwrap().unwrap().0, b"c");
    assert_eq!(store.last(Family::Meta).unwrap(), None);
    assert_eq!(after_prefix(b"\xff\xff"), b"");
    let mut batch = store.batch();
    batch.delete_range(Family::Tree, b"b", b"c");
    store.write(batch, false).unwrap();
    assert_eq!(scan(b"", b""), [b"ab".as_slice(), b"c"]);
}

fn keys_of(rows: impl Iterator<Item = Result<Row, StoreError>>) -> Vec<Vec<u8>> {
    rows.map(|row| row.unwrap().0.into_vec()).collect()
}

#[test]
fn a_row_of_the_state_reads_as_of_any_position() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    for flush in [false, true] {
        let mut batch = store.batch();
        for row in [b"\x01model-a", b"\x01model-b"] {
            for position in [5, 9, u64::MAX] {
                batch.put(Family::State, &state_key(row, position), &[position as u8]);
            }
        }
        store.write(batch, false).unwrap();
        if flush {
            store.flush().unwrap();
        }
        for (position, found) in [
            (4, None),
            (5, Some((5, vec![5]))),
            (8, Some((5, vec![5]))),
            (9, Some((9, vec![9]))),
            (u64::MAX - 1, Some((9, vec![9]))),
            (u64::MAX, Some((u64::MAX, vec![255]))),
        ] {
            assert_eq!(store.as_of(b"\x01model-a", position).unwrap(), found);
        }
        for (last, first, most, found) in [
            (u64::MAX, 0, 9, vec![u64::MAX, 9, 5]),
            (u64::MAX, 0, 2, vec![u64::MAX, 9]),
            (u64::MAX - 1, 6, 9, vec![9]),
            (4, 0, 9, vec![]),
        ] {
            assert_eq!(store.state_rows().written_at(b"\x01model-a", last, first, most).unwrap(), found);
        }
        for absent in [&b"\x01model-"[..], b"\x01model-a2", b"\x01model-c", b"\x00", b""] {
            assert_eq!(store.as_of(absent, u64::MAX).unwrap(), None);
        }
        assert_eq!(store.scan(Family::State, b"", b"").count(), 6);
    }
}

#[test]
fn a_folder_that_is_open_here_is_not_opened_again_for_writing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    write_entries(&store, 0..3);
    let path = folder.path().to_owned();
    assert_eq!(open(folder.path()).err(), Some(StoreError::LockedByAnother { path }));
    let reader = read_only(folder.path()).unwrap();
    assert_eq!(reader.scan(Family::Log, b"", b"").count(), 3, "but it is read beside the writer");
    drop(store);
    assert!(open(folder.path()).is_ok());
}

/// Not a test: the other process of the test below.
#[test]
#[ignore = "run by another test as a process of its own"]
fn hold_a_store_open() {
    let Ok(path) = std::env::var("ATTESTUNE_TEST_STORE") else {
        return;
    };
    let _store = open(path.as_ref()).unwrap();
    fs::write(Path::new(&path).join("open"), []).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(60));
}

#[test]
fn a_folder_that_is_open_in_another_process_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "store::tests::hold_a_store_open"])
        .env("ATTESTUNE_TEST_STORE", folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !folder.path().join("open").exists() {
        assert_eq!(other.try_wait().unwrap(), None, "the other process runs");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let error = open(folder.path()).err().unwrap();
    assert!(matches!(error, StoreError::LockedByAnother { .. }), "{error}");
    assert!(error.to_string().contains("another process has this folder open"));
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(open(folder.path()).is_ok(), "a killed process leaves no lock behind");
}

#[test]
fn reading_makes_no_store_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none");
    assert_eq!(read_only(&missing).err(), Some(StoreError::Missing { path: missing.clone() }));
    assert!(!missing.join("CURRENT").exists());

    drop(open(folder.path()).unwrap());
    let reader = read_only(folder.path()).unwrap();
    let path = folder.path().to_owned();
    let refused = Err(StoreError::ReadOnly { path });
    assert_eq!(reader.write(reader.batch(), true), refused);
    assert_eq!(reader.flush(), refused);
}

#[test]
fn a_torn_tail_is_forgotten_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    write_entries(&store, 0..10);
    drop(store);
    let wal = files(folder.path(), "log").pop().unwrap();
    let cut = find_entry(&wal, 9) + 50;
    fs::write(&wal, &fs::read(&wal).unwrap()[..cut]).unwrap();
    let store = open(folder.path()).unwrap();
    assert_eq!(store.scan(Family::Log, b"", b"").count(), 9);
}

#[test]
fn a_flipped_byte_in_the_write_ahead_log_stops_the_opening_and_names_the_entry() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    write_entries(&store, 0..2000);
    drop(store);
    let wal = files(folder.path(), "log").pop().unwrap();
    // The last entry's, too: a wrong checksum is no torn tail.
    for (position, value) in [(4, 4), (199, 199)] {
        let at = find_entry(&wal, value);
        flip(&wal, at);
        let error = open(folder.path()).err().unwrap();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        let first = first_unreadable_entry(folder.path()).unwrap();
        assert!(first.is_some_and(|first| first <= position), "{first:?}");
        flip(&wal, at);
    }
    assert_eq!(first_unreadable_entry(folder.path()), Ok(None));
    assert_eq!(open(folder.path()).unwrap().scan(Family::Log, b"", b"").count(), 2000);
}

#[test]
fn a_flipped_byte_in_a_table_is_noticed_and_names_the_first_entry_of_its_block() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    // Two files of several blocks each, in which a value's first 32 bytes stand as they are.
    let value = |position: u64| crate::tree::leaf_hash(&[&position.to_be_bytes()]).0.repeat(16);
    for positions in [0..400u64, 400..800] {
        let mut batch = store.batch();
        for position in positions {
            batch.put(Family::Log, &position.to_be_bytes(), &value(position));
        }
        store.write(batch, true).unwrap();
        store.flush().unwrap();
    }
    drop(store);
    let holds =
        |file: &&PathBuf, needle: &[u8]| fs::read(file).unwrap().windows(needle.len()).any(|window| window == needle);
    let tables = files(folder.path(), "sst");
    for position in [0, 399, 400, 799] {
        let needle = &value(position)[..32];
        let table = tables.iter().find(|file| holds(file, needle)).unwrap();
        let at = fs::read(table).unwrap().windows(32).position(|w| w == needle).unwrap();
        flip(table, at);
        let store = open(folder.path()).unwrap();
        let error = store.get(Family::Log, &u64::to_be_bytes(position)).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert!(store.scan(Family::Log, b"", b"").any(|row| row.is_err()), "a scan fails, too");
        drop(store);
        let first = first_unreadable_entry(folder.path()).unwrap().unwrap();
        assert!(first <= position && position - first < 66, "{first} for {position}");
        flip(table, at);
    }
}

#[test]
fn a_flipped_byte_of_an_entry_is_named_by_its_own_position_where_the_tree_knows_the_leaf() {
    use crate::{replica, rules::entry_leaf};
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    // Half of it compresses, as in real entries.
    let value = |position: u64| {
        let leaf = crate::tree::leaf_hash(&[&position.to_be_bytes()]).0;
        [leaf.to_vec(), vec![7; 64]].concat()
    };
    let mut batch = store.batch();
    let mut hashes = Vec::new();
    for position in 0..100u64 {
        let value = value(position);
        batch.put_entry(position, position, &value);
        let key = replica::hashes_key(replica::Tree::Entries, 0, position);
        hashes.extend(entry_leaf(position, &value).0);
        batch.put(Family::Tree, &key, &hashes);
        if position % 16 == 15 {
            hashes.clear();
        }
    }
    store.write(batch, true).unwrap();
    store.flush().unwrap();
    drop(store);
    for position in [0, 14, 99] {
        let needle = &value(position)[4..28];
        let find = |file: &PathBuf| fs::read(file).unwrap().windows(needle.len()).position(|window| window == needle);
        let (table, at) =
            files(folder.path(), "sst").into_iter().find_map(|file| find(&file).map(|at| (file, at))).unwrap();
        flip(&table, at);
        assert_eq!(first_unreadable_entry(folder.path()), Ok(Some(position)));
        flip(&table, at);
    }
}

#[test]
fn a_lost_or_cut_table_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    write_entries(&store, 0..10);
    store.flush().unwrap();
    drop(store);
    let table = files(folder.path(), "sst").pop().unwrap();
    let bytes = fs::read(&table).unwrap();
    let noticed = || match open(folder.path()) {
        Ok(store) => store.get(Family::Log, &[0; 8]).map(|_| ()),
        Err(error) => Err(error),
    };
    fs::write(&table, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(noticed(), Err(StoreError::Corrupt { .. })));
    fs::remove_file(&table).unwrap();
    assert!(matches!(noticed(), Err(StoreError::Corrupt { .. })));
    fs::write(&table, &bytes).unwrap();
    assert_eq!(noticed(), Ok(()));
}

#[test]
fn a_full_disk_is_named_and_poisons_the_store_until_it_is_reopened() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |args: &[&str]| {
        let status = Command::new(args[0]).args(&args[1..]).arg(folder.path()).output();
        status.is_ok_and(|output| output.status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs"]) {
        eprintln!("SKIPPED: no tmpfs can be mounted here, so no disk was filled");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        for journal in [false, true] {
            let status = Command::new("mount").args(["-o", "remount,size=8m"]).arg(folder.path()).status();
            assert!(status.unwrap().success());
            let path = folder.path().join(if journal { "journal" } else { "log" });
            fill_and_recover(folder.path(), &path, journal);
            fs::remove_dir_all(path).unwrap();
        }
    });
    assert!(mount(&["umount"]));
    outcome.unwrap();
}

fn fill_and_recover(disk: &Path, path: &Path, journal: bool) {
    let path = path.to_owned();
    let store = open(&path).unwrap();
    if journal {
        store.keep_journal();
    }
    let entry = vec![1; 60_000];
    let mut acknowledged = 0u64;
    let error = loop {
        let outcome = if journal {
            store.append(acknowledged, 1, &[&entry]).and_then(|()| store.sync())
        } else {
            let mut batch = store.batch();
            batch.put(Family::Log, &acknowledged.to_be_bytes(), &entry);
            store.write(batch, true)
        };
        match outcome {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, StoreError::DiskFull { path: path.clone() });
    assert!(store.is_poisoned() && acknowledged > 0);
    let poisoned = Err(StoreError::Poisoned { path: path.clone() });
    assert_eq!(store.write(store.batch(), true), poisoned);
    assert_eq!(store.flush(), poisoned);
    assert!(store.get(Family::Log, &[0; 8]).unwrap().is_some(), "it can still be read");
    drop(store);

    let remount = Command::new("mount").args(["-o", "remount,size=64m"]).arg(disk).status();
    assert!(remount.unwrap().success());
    let store = open(&path).unwrap();
    let entries = store.scan(Family::Log, b"", b"").filter(|row| row.is_ok()).count() as u64;
    assert!(entries >= acknowledged, "{entries} of {acknowledged} are there");
}

#[test]
fn many_who_open_a_folder_at_a_time_are_told_that_another_has_it_and_take_nothing_away() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..20 {
        let held = std::thread::scope(|scope| {
            let opening: Vec<_> =
                (0..6).map(|_| scope.spawn(|| Store::open(folder.path(), &Options::default()))).collect();
            let opened: Vec<_> = opening.into_iter().map(|thread| thread.join().unwrap()).collect();
            for other in opened.iter().filter_map(|store| store.as_ref().err()) {
                assert!(matches!(other, StoreError::LockedByAnother { .. }), "{other}");
            }
            opened.into_iter().filter_map(Result::ok).count()
        });
        assert!(held >= 1, "somebody has it");
    }
    assert_eq!(files(folder.path(), "old"), Vec::<PathBuf>::new());
    assert!(!folder.path().join("LOG").exists());
}

#[test]
fn what_was_appended_outlives_a_kill_and_what_is_computed_from_it_comes_back_as_of_the_last_flush() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let note = |value: &[u8]| {
        let mut batch = store.batch();
        batch.put(Family::Meta, b"size", value);
        store.write(batch, false).unwrap();
    };
    append_entries(&store, 0..5);
    note(b"5");
    let before = killed(&store);
    store.flush().unwrap();
    assert_eq!(files(folder.path(), "journal"), Vec::<PathBuf>::new(), "what is in tables needs no journal");
    append_entries(&store, 5..9);
    note(b"9");
    let after = killed(&store);
    drop(store);
    for (folder, entries, size) in
        [(before.path(), 5, None), (after.path(), 9, Some(b'5')), (folder.path(), 9, Some(b'9'))]
    {
        for _ in 0..2 {
            let store = open(folder).unwrap();
            assert_eq!(positions(&store), (0..entries).collect::<Vec<_>>());
            assert_eq!(store.get(Family::Meta, b"size").unwrap(), size.map(|size| vec![size]));
            assert_eq!(files(folder, "journal"), Vec::<PathBuf>::new());
        }
    }
}

#[test]
fn a_journal_goes_on_in_another_file_and_those_whose_entries_are_in_tables_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    store.keep_journal();
    let value = [7; 60_000];
    let mut size = 0;
    let mut begun = std::collections::BTreeSet::new();
    for _ in 0..50 {
        store.append(size, 1, &[&value[..]; 50]).unwrap();
        store.sync().unwrap();
        size += 50;
        begun.extend(files(folder.path(), "journal"));
    }
    let left = files(folder.path(), "journal");
    assert!(begun.len() > 5 && left.len() < begun.len(), "{begun:?}, of which {left:?} are left");
    let killed = killed(&store);
    drop(store);
    for folder in [killed.path(), folder.path()] {
        assert_eq!(positions(&open(folder).unwrap()), (0..size).collect::<Vec<_>>());
    }
}

/// A store whose entries are in tables up to one, and from there on in the journal alone.
fn partly_in_tables(flushed: u64, size: u64) -> (tempfile::TempDir, Arc<Store>) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    append_entries(&store, 0..flushed);
    store.flush().unwrap();
    append_entries(&store, flushed..size);
    (folder, store)
}

#[test]
fn a_reader_beside_a_writer_sees_what_is_in_the_journal_alone() {
    let (folder, _store) = partly_in_tables(5, 9);
    let reader = read_only(folder.path()).unwrap();
    assert_eq!(positions(&reader), (0..9).collect::<Vec<_>>());
    let key = |position: u64| position.to_be_bytes();
    let rows = reader.scan(Family::Log, &key(4), &key(7));
    assert_eq!(keys_of(rows), [key(4), key(5), key(6)]);
    let stored = Entry::stored(1, &[8; 100]);
    assert_eq!(reader.get(Family::Log, &key(8)).unwrap(), Some(stored.clone()));
    assert_eq!(reader.get(Family::Log, &key(9)).unwrap(), None);
    assert_eq!(reader.get(Family::Meta, &key(8)).unwrap(), None);
    assert_eq!(reader.last(Family::Log).unwrap(), Some((key(8).into(), stored.into())));
    assert_eq!(first_unreadable_entry(folder.path()), Ok(None));
}

#[test]
fn a_flipped_byte_in_the_journal_or_one_that_is_gone_stops_the_opening_and_names_the_entry() {
    let (_folder, store) = partly_in_tables(4, 40);
    let killed = killed(&store);
    drop(store);
    let journal = files(killed.path(), "journal").pop().unwrap();
    let is_named = |position: u64| {
        for error in [open(killed.path()), read_only(killed.path())].map(|store| store.err().unwrap()) {
            assert!(
                matches!(&error, StoreError::Corrupt { what, .. } if what.contains(&format!("entry {position}:"))),
                "{error}"
            );
        }
        assert_eq!(first_unreadable_entry(killed.path()), Ok(Some(position)));
    };
    // The last entry's, too: a wrong checksum is no torn tail.
    for position in [4, 20, 39] {
        let at = find_entry(&journal, position);
        flip(&journal, at);
        is_named(position.into());
        flip(&journal, at);
    }
    let bytes = fs::read(&journal).unwrap();
    fs::remove_file(&journal).unwrap();
    is_named(4);
    fs::write(&journal, bytes).unwrap();
    assert_eq!(positions(&open(killed.path()).unwrap()).len(), 40);
}
