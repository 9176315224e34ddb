//! Golden logs: stored bytes, folded anew, and held verdict by verdict against what was written down once.
//!
//! A golden log is two files in `golden/` that never change once committed: `NAME.log`, a line for each entry with its
//! time in milliseconds and its bytes in base64, and `NAME.verdicts`, the table of [`table`]. A new version of the rules
//! adds new ones. `ATTESTUNE_WRITE_GOLDEN=1 cargo test --workspace --test golden` writes those that are missing and never
//! one that is there.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

use attestune_ledger::draft::{kind, plain};
use attestune_ledger::rules::Folded;
use attestune_ledger::state::Reader as _;
use attestune_proto::v1::{Envelope, Event};
use attestune_replay_tests::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

type Log = Vec<(u64, Vec<u8>)>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/rules-1")
}

#[test]
fn golden_logs_fold_as_they_did() {
    let folder = folder();
    if std::env::var_os("ATTESTUNE_WRITE_GOLDEN").is_some() {
        for (name, scenario) in SCENARIOS {
            let world = scenario();
            write_new(&folder, name, &world.log).unwrap();
        }
    }
    let told: Vec<String> = SCENARIOS.iter().filter_map(|(name, _)| differs(&folder, name).err()).collect();
    assert!(told.is_empty(), "\n{}", told.join("\n"));
}

#[test]
fn nothing_else_lies_among_the_golden_logs() {
    let known: Vec<String> =
        SCENARIOS.iter().flat_map(|(n, _)| [format!("{n}.log"), format!("{n}.verdicts")]).collect();
    for entry in fs::read_dir(folder()).into_iter().flatten() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name), "{name} belongs to no log that is tested");
    }
}

/// Folds a stored log anew and says where the outcome differs from the stored table.
fn differs(folder: &Path, name: &str) -> Result<(), String> {
    let read = |ending: &str| {
        let path = folder.join(format!("{name}.{ending}"));
        fs::read_to_string(&path).map_err(|error| {
            format!(
                "golden log {name}: {} can't be read: {error}. ATTESTUNE_WRITE_GOLDEN=1 cargo test --workspace --test \
                 golden writes what is missing.",
                path.display()
            )
        })
    };
    let log = parse(&read("log")?).ok_or(format!("golden log {name}: {name}.log is not lines of time and base64"))?;
    compare(name, &read("verdicts")?, &table(&log))
}

/// The first line that differs, one above the other.
fn compare(name: &str, stored: &str, folded: &str) -> Result<(), String> {
    let mut lines = (1..).zip(stored.lines());
    let mut others = folded.lines();
    let (number, was, is) = loop {
        match (lines.next(), others.next()) {
            (Some((_, was)), Some(is)) if was == is => {}
            (None, None) => return Ok(()),
            (was, is) => {
                let number = was.map_or(stored.lines().count() + 1, |(number, _)| number);
                break (number, was.map_or("(no line)", |(_, was)| was), is.unwrap_or("(no line)"));
            }
        }
    };
    let columns = was.split_whitespace().zip(is.split_whitespace());
    let marked: Vec<_> = columns.filter(|(was, is)| was != is).map(|(was, is)| format!("{was} is now {is}")).collect();
    Err(format!(
        "golden log {name} folds to something else at line {number} of {name}.verdicts:\n  was  {was}\n  is   {is}\n  \
         {}\nA golden log never changes: every ledger out there was folded like this. Undo what changed the verdict, or \
         make it part of a new version of the rules, with golden logs of its own. (Until 1.0.0 the rules are a draft: \
         where they change on purpose, count up DRAFT_NUMBER, delete golden/rules-1, write it anew, and say so in the \
         CHANGELOG.)",
        marked.join("; ")
    ))
}

/// The table: a line for each entry, then the end.
///
/// ```text
/// position kind actor id verdict code leaf-hash verdict-leaf-hash
/// ```
///
/// The id is in hex; `-` stands where there is nothing. At the end the roots of both trees, and SHA-256 over every
/// version of every row in order of name and position: `len(name) ‖ name ‖ position ‖ len(value) ‖ value`, numbers in 8
/// bytes big-endian.
fn table(log: &Log) -> String {
    let world = World::of_log(log);
    let mut text = String::new();
    for (position, ((_, value), folded)) in (0u64..).zip(log.iter().zip(&world.folded)) {
        let _ = writeln!(text, "{}", line(position, value, folded));
    }
    let size = world.next();
    let _ = writeln!(text, "entry-root {}", world.state.entry_root(size).unwrap().unwrap());
    let _ = writeln!(text, "verdict-root {}", world.state.verdict_root(size).unwrap().unwrap());
    let _ = writeln!(text, "rows {}", rows_digest(&world));
    text
}

fn line(position: u64, value: &[u8], folded: &Folded) -> String {
    let envelope = Envelope::decode(value).ok();
    let event = envelope.and_then(|e| Event::decode(e.payload.as_slice()).ok());
    let kind = event.as_ref().and_then(|e| e.body.as_ref()).map(|body| plain(kind(body).as_str_name(), "KIND_"));
    let (actor, id) = event.map(|e| (e.actor, hex::encode(e.id))).unwrap_or_default();
    let verdict = plain(folded.verdict.as_str_name(), "VERDICT_");
    let leaf = folded.verdict_leaf(position);
    let kind = kind.unwrap_or_default();
    let columns = [&kind, &actor, &id, &verdict, folded.code()].map(|c| if c.is_empty() { "-" } else { c });
    format!("{position} {} {} {leaf}", columns.join(" "), folded.leaf_hash)
}

fn rows_digest(world: &World) -> String {
    let mut hash = Sha256::new();
    for (name, position, value) in world.state.all_rows() {
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name);
        hash.update(position.to_be_bytes());
        hash.update((value.len() as u64).to_be_bytes());
        hash.update(value);
    }
    hex::encode(hash.finalize())
}

fn parse(text: &str) -> Option<Log> {
    let entry = |line: &str| {
        let (time_ms, value) = line.split_once(' ')?;
        Some((time_ms.parse().ok()?, STANDARD.decode(value).ok()?))
    };
    text.lines().map(entry).collect()
}

/// Writes a log and its table, each only where there is no such file.
fn write_new(folder: &Path, name: &str, log: &Log) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let lines = log.iter().map(|(time_ms, value)| format!("{time_ms} {}\n", STANDARD.encode(value)));
    for (ending, text) in [("log", lines.collect()), ("verdicts", table(log))] {
        let path = folder.join(format!("{name}.{ending}"));
        match fs::File::create_new(path) {
            Ok(mut file) => file.write_all(text.as_bytes())?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[test]
fn a_golden_log_is_read_back_as_it_was_written_and_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let world = every_event();
    write_new(folder.path(), "sample", &world.log).unwrap();
    assert_eq!(differs(folder.path(), "sample"), Ok(()));
    write_new(folder.path(), "sample", &the_door().log).unwrap();
    let text = fs::read_to_string(folder.path().join("sample.log")).unwrap();
    assert_eq!(parse(&text), Some(world.log));
}

#[test]
fn what_differs_is_shown_at_its_line() {
    let text = table(&every_event().log);
    let (line, refused) = (1..).zip(text.lines()).find(|(_, line)| line.contains("refused bad-id")).unwrap();
    let changed = text.replacen(refused, &refused.replace("refused bad-id", "refused bad-field"), 1);
    let told = compare("sample", &text, &changed).unwrap_err();
    assert!(told.contains(&format!("at line {line} of sample.verdicts")), "{told}");
    assert!(told.contains("bad-id is now bad-field"), "{told}");
    let short: String = text.lines().take(5).map(|line| format!("{line}\n")).collect();
    let told = compare("sample", &short, &text).unwrap_err();
    assert!(told.contains("at line 6") && told.contains("(no line)"), "{told}");
}

#[test]
fn a_stored_byte_that_is_turned_shows_in_the_table() {
    let mut log = every_event().log;
    let before = table(&log);
    let value = &mut log[30].1;
    let place = value.len() - 60;
    value[place] ^= 1;
    let told = compare("sample", &before, &table(&log)).unwrap_err();
    assert!(told.contains("line 31"), "{told}");
}
