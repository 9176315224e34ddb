//! From a new ledger to a frozen dataset, and what can be checked afterwards.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use attestune_ledger::store::{Family, Options, Store};
use common::{Ledger, flip};

const TICKETS: &[u8] = b"text,intent\n\
    I lost my card in the park,card_lost\n\
    my mail is jo.example@example.org please change it,address_change\n\
    where is the transfer from Monday,transfer_missing\n\
    close the account of my late aunt,account_closing\n";

fn ingested() -> Ledger {
    let ledger = Ledger::staffed();
    let tickets = ledger.file("tickets.csv", TICKETS);
    ledger.ok(&["ingest", &tickets, "--collection", "tickets", "--as", "stella"]);
    ledger.ok(&[
        "derive",
        "tickets",
        "--prompt",
        r"Ticket: {text}\nIntent:",
        "--answer",
        " {intent}",
        "--as",
        "stella",
    ]);
    ledger
}

#[test]
fn a_second_ingest_of_the_same_file_records_nothing_twice() {
    let ledger = ingested();
    let before = ledger.size();
    let more = ledger.file("more.csv", &[TICKETS, b"what does a card cost,fee_question\n"].concat());
    let answer = ledger.json(&["ingest", &more, "--collection", "tickets", "--as", "stella"]);
    assert_eq!((answer["ingested"].as_u64(), answer["known"].as_u64()), (Some(1), Some(4)));
    let answer = ledger.json(&["ingest", &more, "--collection", "tickets", "--as", "stella"]);
    assert_eq!((answer["ingested"].as_u64(), answer["known"].as_u64()), (Some(0), Some(5)));
    assert_eq!(ledger.size(), before + 1);
}

#[test]
fn a_template_that_names_an_unknown_column_says_which_there_are() {
    let ledger = Ledger::staffed();
    let tickets = ledger.file("tickets.csv", TICKETS);
    ledger.ok(&["ingest", &tickets, "--collection", "tickets", "--as", "stella"]);
    let error = ledger.fails(2, &["derive", "tickets", "--prompt", "{txt}", "--answer", "{intent}", "--as", "stella"]);
    assert!(error.contains("`txt`; the document has intent, text"), "{error}");
    let error = ledger.fails(2, &["derive", "nothing", "--prompt", "{text}", "--answer", "{intent}", "--as", "stella"]);
    assert!(error.contains("nothing has no documents"), "{error}");
}

#[test]
fn only_what_was_scanned_and_reviewed_is_frozen() {
    let ledger = ingested();
    let freeze = ["dataset", "freeze", "triage", "--collection", "tickets", "--as", "mina"];
    let error = ledger.fails(1, &freeze);
    assert!(error.contains("nothing-eligible"), "{error}");

    ledger.ok(&["scan", "tickets", "--wait"]);
    let awaiting = ledger.json(&["review", "list", "tickets"]);
    let awaiting = awaiting["examples"].as_array().unwrap();
    assert_eq!(awaiting.len(), 1);
    assert_eq!(awaiting[0]["example"]["index"], 1);

    let error = ledger.fails(1, &["review", "approve", "tickets", "2", "--as", "stella"]);
    assert!(error.contains("role-missing"), "{error}");
    let shown = ledger.ok(&["review", "show", "tickets", "2", "--as", "rita"]);
    assert!(shown.contains("jo.example@example.org"), "{shown}");
    ledger.ok(&["review", "redact", "tickets", "2", "--as", "rita"]);
    let shown = ledger.ok(&["review", "show", "tickets", "2", "--as", "rita"]);
    assert!(shown.contains("<EMAIL>") && !shown.contains("jo.example"), "{shown}");
    let error = ledger.fails(1, &["review", "approve", "tickets", "2", "--as", "rita"]);
    assert!(error.contains("reviewed-before"), "{error}");

    ledger.ok(&freeze);
    let dataset = ledger.json(&["dataset", "show", "triage", "--members"]);
    assert_eq!(dataset["count"], 4);
    assert_eq!(dataset["members"].as_array().unwrap().len(), 4);
    assert_eq!(dataset["counts"]["redacted"], 1);
    let reads = ledger.ok(&["history", "--kind", "content-accessed"]);
    assert!(reads.contains("rita"), "each read is on record: {reads}");
}

#[test]
fn a_log_replays_verifies_and_folds_back_to_the_same_roots() {
    let ledger = ingested();
    ledger.ok(&["scan", "--wait"]);
    ledger.fails(1, &["role", "grant", "mina", "reviewer", "--as", "rita"]);
    let before = ledger.json(&["replay"]);
    assert!(before["rows"].as_u64().unwrap() > 20);

    let pins: serde_json::Value =
        serde_json::from_slice(&std::fs::read(ledger.folder().join("ledger.json")).unwrap()).unwrap();
    let (id, key) = (pins["ledger"].as_str().unwrap(), pins["checkpoint_key"].as_str().unwrap());
    let proven = ["--ledger", id, "--checkpoint-key", key];
    assert_eq!(ledger.json(&["verify"])["origin"], "unknown");
    assert_eq!(ledger.json(&[&["verify"], &proven[..]].concat())["origin"], "proven");

    let file = ledger.path("log.export");
    let file = file.to_str().unwrap();
    ledger.ok(&["log", "export", file]);
    assert_eq!(ledger.json(&[&["verify", file], &proven[..]].concat())["refused"], 1);
    let error = ledger.fails(1, &["verify", file, "--ledger", &"0".repeat(64)]);
    assert!(error.contains("not the one you named"), "{error}");
    let size = std::fs::metadata(file).unwrap().len() as usize;
    flip(file.as_ref(), size - 40);
    let error = ledger.fails(1, &[&["verify", file], &proven[..]].concat());
    assert!(error.contains("position"), "{error}");

    let folded = ledger.json(&["doctor", "--drop-state"]);
    assert_eq!(folded["verdict_root"], before["verdict_root"]);
    assert_eq!(ledger.json(&["replay"])["entry_root"], before["entry_root"]);
    assert!(ledger.ok(&["doctor", "--deep"]).contains("ok"));
}

#[test]
fn a_changed_byte_of_a_stored_event_is_named_by_its_position() {
    let ledger = Ledger::new();
    {
        // Past the checksums of the database, as somebody with access to the disk could.
        let store = Store::open(ledger.folder().join("db"), &Options::default()).unwrap();
        let key = u64::to_be_bytes(3);
        let mut value = store.get(Family::Log, &key).unwrap().unwrap();
        let middle = value.len() / 2;
        value[middle] ^= 1;
        let mut batch = store.batch();
        batch.put(Family::Log, &key, &value);
        store.write(batch, true).unwrap();
    }
    let error = ledger.fails(1, &["verify"]);
    assert!(error.contains("the entry at position 3 is not the one"), "{error}");
    let error = ledger.fails(1, &["replay"]);
    assert!(error.contains("the entry at position 3 is not the one"), "{error}");
    let output = ledger.run(&["doctor", "--deep"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("at 3"), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn refused_bytes_appended_again_stay_a_duplicate() {
    let ledger = Ledger::staffed();
    ledger.fails(1, &["role", "grant", "mina", "reviewer", "--as", "rita"]);
    let at = ledger.size() - 1;
    let refused = ledger.json(&["log", "decode", &at.to_string()]);
    let envelope = ledger.file("refused.hex", refused["envelope"].as_str().unwrap().as_bytes());
    ledger.ok(&["role", "grant", "rita", "admin", "--as", "ada", "--with", "ben"]);
    let error = ledger.fails(1, &["log", "append", &envelope]);
    assert!(error.contains(&format!("stand on the log already, at position {at}")), "{error}");
}
