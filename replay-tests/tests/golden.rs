//! Golden logs: stored bytes, folded anew, and held verdict by verdict against what was written down once.
//!
//! A golden log is three files in `golden/` that never change once committed: `NAME.log`, a line for each entry with its
//! time in milliseconds and its bytes in base64; `NAME.verdicts`, the table of [`digests`]; and `NAME.txt`, the same log
//! in words for people, its expected verdict at each line's end. A new version of the rules adds new ones.
//! `ATTESTUNE_WRITE_GOLDEN=1 cargo test --workspace --test golden` writes those that are missing and never one that is
//! there.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

#[path = "common/table.rs"]
mod table;

use attestune_ledger::draft::{kind, plain};
use attestune_ledger::rules::Folded;
use attestune_ledger::state::Reader as _;
use attestune_proto::v1::{Envelope, Event};
use attestune_replay_tests::*;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

#[test]
fn golden_logs_fold_as_they_did() {
    let folder = golden_folder();
    if std::env::var_os("ATTESTUNE_WRITE_GOLDEN").is_some() {
        for (name, scenario) in SCENARIOS {
            write_new(&folder, name, &scenario()).unwrap();
        }
    }
    let told: Vec<String> = SCENARIOS.iter().filter_map(|(name, _)| differs(&folder, name).err()).collect();
    assert!(told.is_empty(), "\n{}", told.join("\n"));
}

#[test]
fn nothing_else_lies_among_the_golden_logs() {
    let files = |name: &str| ["log", "verdicts", "txt"].map(|ending| format!("{name}.{ending}"));
    let known: Vec<String> = SCENARIOS.iter().flat_map(|(name, _)| files(name)).collect();
    for entry in fs::read_dir(golden_folder()).into_iter().flatten() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name), "{name} belongs to no log that is tested");
    }
}

/// Folds a stored log anew and says where the outcome differs from the stored tables.
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
    let log =
        read_log(&read("log")?).ok_or(format!("golden log {name}: {name}.log is not lines of time and base64"))?;
    let world = World::of_log(&log);
    compare(&format!("{name}.verdicts"), &read("verdicts")?, &digests(&world), whole)?;
    compare(&format!("{name}.txt"), &read("txt")?, &words(&world), held)
}

/// The whole of a line is held.
fn whole(line: &str) -> Option<String> {
    Some(line.into())
}

/// What a line of a table in words says that the fold must say again: all but the words. Comments and empty lines are
/// for people.
fn held(line: &str) -> Option<String> {
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (columns, verdict) = line.rsplit_once(" → ").unwrap_or((line, "(no verdict)"));
    let columns: Vec<&str> = columns.split_whitespace().take(4).collect();
    Some(format!("{} → {verdict}", columns.join(" ")))
}

/// The first line that differs, one above the other; of each, what `held` says of it.
fn compare(file: &str, stored: &str, folded: &str, held: fn(&str) -> Option<String>) -> Result<(), String> {
    let mut lines = (1..).zip(stored.lines()).filter_map(|(number, line)| Some((number, held(line)?)));
    let mut others = folded.lines().filter_map(held);
    let (number, was, is) = loop {
        match (lines.next(), others.next()) {
            (Some((_, was)), Some(is)) if was == is => {}
            (None, None) => return Ok(()),
            (was, is) => {
                let (number, was) = was.unwrap_or((stored.lines().count() + 1, "(no line)".into()));
                break (number, was, is.unwrap_or("(no line)".into()));
            }
        }
    };
    let columns = was.split_whitespace().zip(is.split_whitespace());
    let marked: Vec<_> = columns.filter(|(was, is)| was != is).map(|(was, is)| format!("{was} is now {is}")).collect();
    Err(format!(
        "a golden log folds to something else at line {number} of {file}:\n  was  {was}\n  is   {is}\n  {}\nA golden \
         log never changes: every ledger out there was folded like this. Undo what changed the verdict, or make it part \
         of a new version of the rules, with golden logs of its own. (Until 1.0.0 the rules are a draft: \
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
fn digests(world: &World) -> String {
    let mut text = String::new();
    for (position, ((_, value), folded)) in (0u64..).zip(world.log.iter().zip(&world.folded)) {
        let _ = writeln!(text, "{}", line(position, value, folded));
    }
    let size = world.next();
    let _ = writeln!(text, "entry-root {}", world.state.entry_root(size).unwrap().unwrap());
    let _ = writeln!(text, "verdict-root {}", world.state.verdict_root(size).unwrap().unwrap());
    let _ = writeln!(text, "rows {}", rows_digest(world));
    text
}

/// The table in words.
fn words(world: &World) -> String {
    table::lines(world).iter().map(|line| format!("{line}\n")).collect()
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

/// Writes a world's log and its tables, each only where there is no such file; the tables of the log that is there.
fn write_new(folder: &Path, name: &str, world: &World) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let stored = fs::read_to_string(folder.join(format!("{name}.log"))).ok().and_then(|text| read_log(&text));
    let world = &World::of_log(&stored.unwrap_or_else(|| world.log.clone()));
    for (ending, text) in [("log", write_log(&world.log)), ("verdicts", digests(world)), ("txt", words(world))] {
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
    write_new(folder.path(), "sample", &world).unwrap();
    assert_eq!(differs(folder.path(), "sample"), Ok(()));
    write_new(folder.path(), "sample", &the_door()).unwrap();
    let text = fs::read_to_string(folder.path().join("sample.log")).unwrap();
    assert_eq!(read_log(&text), Some(world.log));
    assert_eq!(differs(folder.path(), "sample"), Ok(()));
}

#[test]
fn what_differs_is_shown_at_its_line() {
    let text = digests(&every_event());
    let (line, refused) = (1..).zip(text.lines()).find(|(_, line)| line.contains("refused bad-id")).unwrap();
    let changed = text.replacen(refused, &refused.replace("refused bad-id", "refused bad-field"), 1);
    let told = compare("sample.verdicts", &text, &changed, whole).unwrap_err();
    assert!(told.contains(&format!("at line {line} of sample.verdicts")), "{told}");
    assert!(told.contains("bad-id is now bad-field"), "{told}");
    let short: String = text.lines().take(5).map(|line| format!("{line}\n")).collect();
    let told = compare("sample.verdicts", &short, &text, whole).unwrap_err();
    assert!(told.contains("at line 6") && told.contains("(no line)"), "{told}");
}

#[test]
fn of_a_table_in_words_all_is_held_but_words_and_comments() {
    let text = words(&the_gate());
    let commented = format!("# The gate.\n\n{}", text.replace("asked to promote", "wants to promote"));
    assert_eq!(compare("sample.txt", &commented, &text, held), Ok(()));
    let changes = [
        ("94 of 100 passed", "95 of 100 passed"),
        ("refused: gate-failed", "refused: gate-passed"),
        ("→ refused: evaluation-void", "→ accepted"),
        ("  sten  ", "  stan  "),
        ("2026-05-28T20:26:52Z", "2026-05-28T20:26:53Z"),
        ("promotion-requested", "promotion-approved"),
    ];
    for (was, is) in changes {
        let changed = text.replacen(was, is, 1);
        assert_ne!(changed, text, "`{was}` stands in the table:\n{text}");
        assert!(compare("sample.txt", &changed, &text, held).is_err(), "{is}");
    }
}

#[test]
fn a_stored_byte_that_is_turned_shows_in_the_table() {
    let world = every_event();
    let mut log = world.log.clone();
    let value = &mut log[30].1;
    let place = value.len() - 60;
    value[place] ^= 1;
    let turned = World::of_log(&log);
    let told = compare("sample.verdicts", &digests(&world), &digests(&turned), whole).unwrap_err();
    assert!(told.contains("line 31"), "{told}");
    let told = compare("sample.txt", &words(&world), &words(&turned), held).unwrap_err();
    assert!(told.contains("line 31") && told.contains("bad-signature"), "{told}");
}
