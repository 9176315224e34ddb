//! What comes after promotion, by commands: experiments, halts, what is due, erasure.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use common::Ledger;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

/// A ledger with an officer, too, and version 1 of `triage` in force.
fn in_production() -> Ledger {
    let ledger = Ledger::staffed();
    ledger.equip();
    officer(&ledger);
    ledger.freeze_triage();
    ledger.train_and_evaluate("1", "triage@1");
    ledger.promote("triage@1");
    ledger
}

fn officer(ledger: &Ledger) {
    ledger.ok(&["key", "new", "otto"]);
    ledger.ok(&["key", "register", "otto", "--name", "otto", "--as", "ada"]);
    ledger.ok(&["role", "grant", "otto", "officer", "--as", "ada"]);
}

#[test]
fn a_challenger_wins_an_experiment_replaces_is_halted_and_left() {
    let ledger = in_production();
    ledger.train_and_evaluate("2", "triage@2");
    let staging = ["promote", "request", "triage@2", "--to", "staging", "--as", "mina"];
    ledger.ok(&staging);
    ledger.ok(&["promote", "approve", "triage@2", "--as", "omar"]);
    ledger.ok(&["promote", "request", "triage@2", "--to", "production", "--challenger", "--as", "mina"]);
    ledger.ok(&["promote", "approve", "triage@2", "--as", "omar"]);
    let said = ledger.ok(&["promote", "approve", "triage@2", "--as", "pia"]);
    assert!(said.contains("in production as a challenger"), "{said}");
    assert_eq!(ledger.json(&["in-force", "triage"])["version"], 1);

    experiment(&ledger);
    let replace = ledger.json(&["promote", "request", "triage@2", "--to", "production", "--as", "mina"]);
    let position = replace["position"].to_string();
    ledger.ok(&["promote", "approve", &position, "--as", "omar"]);
    ledger.ok(&["promote", "approve", &position, "--as", "pia"]);
    assert_eq!(ledger.json(&["in-force", "triage"])["version"], 2);

    let said = ledger.ok(&["halt", "triage", "--reason", "safety", "--wait", "--as", "otto"]);
    assert!(said.contains("triage is halted") && said.contains("no server is live"), "{said}");
    let error = ledger.fails(1, &["in-force", "triage"]);
    assert!(error.contains("is halted since") && error.contains("version 2 was in force"), "{error}");
    assert!(ledger.ok(&["served", "triage"]).contains("is halted"));
    let error = ledger.fails(1, &["halt", "triage", "--reason", "safety", "--as", "otto"]);
    assert!(error.contains("model-halted"), "{error}");
    let back = ledger.json(&["rollback", "triage", "--to", "1", "--reason", "safety", "--wait", "--as", "otto"]);
    assert_eq!((&back["servers"], &back["verdict"]), (&0.into(), &"VERDICT_ACCEPTED".into()));
    assert_eq!(ledger.json(&["in-force", "triage"])["version"], 1);
    assert!(ledger.json(&["replay"])["rows"].as_u64().unwrap() > 50);
}

/// By chance alone nobody wins, and no share is off.
const STOP: [&str; 6] = ["--users-min", "100", "--alpha", "0.0001%", "--share-alpha", "0%"];

/// Two versions share the users, and somebody ends it before anything can be said.
fn experiment(ledger: &Ledger) {
    let start = ["experiment", "start", "triage", "--a", "1", "--b", "2", "--share", "30%", "--metric", "resolved"];
    let error = ledger.fails(1, &[&start[..4], &["1", "--b", "1", "--metric", "m", "--as", "mina"]].concat());
    assert!(error.contains("not-the-challenger"), "{error}");
    let started = ledger.json(&[&start[..], &STOP[..], &["--as", "mina"]].concat());
    let experiment = started["position"].to_string();
    // With nobody in it, nothing can be said.
    let nobody = ledger.file("nobody.csv", b"user,value\n");
    let error = ledger.fails(1, &["experiment", "conclude", &experiment, "--outcomes", &nobody, "--as", "mina"]);
    assert!(error.contains("nothing can be concluded yet"), "{error}");

    // Who gets which version is told by looking at each user alone.
    let mut rows = String::from("user,value\n");
    for user in 0..400 {
        let _ = writeln!(rows, "user-{user},{}", u8::from(user % 2 == 0));
    }
    let even = ledger.file("even.csv", rows.as_bytes());
    let look = |file: &str| ledger.json(&["experiment", "look", &experiment, "--outcomes", file, "--as", "mina"]);
    let looked = look(&even);
    let (a, b) = (looked["users"]["a"].as_u64().unwrap(), looked["users"]["b"].as_u64().unwrap());
    assert_eq!(a + b, 400);
    assert!((60..180).contains(&b), "{b} of 400 users got version 2");
    assert_eq!(looked["conclusion"], Value::Null, "{looked}");

    let gets_b = |user: u32| {
        let one = ledger.file("one.csv", format!("user,value\nuser-{user},1\n").as_bytes());
        look(&one)["users"]["b"] == 1
    };
    let sides: Vec<bool> = (0..3).map(gets_b).collect();
    assert_eq!(sides, (0..3).map(gets_b).collect::<Vec<_>>(), "always the same side");
    let said = ledger.ok(&["experiment", "conclude", &experiment, "--outcomes", &even, "--stop", "--as", "mina"]);
    assert!(said.contains("concluded: stopped"), "{said}");
    let shown = ledger.json(&["experiment", "show", "triage"]);
    let concluded = &shown["experiments"][0]["concluded"];
    assert_eq!((&concluded["outcomes"], &concluded["packs"].as_array().unwrap().len()), (&400.into(), &1));
    let again =
        ledger.fails(1, &["experiment", "conclude", &experiment, "--outcomes", &even, "--stop", "--as", "mina"]);
    assert!(again.contains("ended"), "{again}");
}

#[test]
fn a_retraining_that_did_not_happen_shows_without_any_worker() {
    let ledger = in_production();
    let kinds = |args: &[&str]| {
        let due = ledger.json(args);
        let items = due["items"].as_array().unwrap().clone();
        items.into_iter().map(|item| (item["kind"].as_str().unwrap().to_owned(), item["overdue"].as_bool().unwrap()))
    };
    let now: Vec<_> = kinds(&["due", "triage"]).collect();
    assert!(now.contains(&("DUE_KIND_RETRAINING".into(), false)), "{now:?}");
    let later = chrono_days(100);
    let then: Vec<_> = kinds(&["due", "triage", "--at", &later]).collect();
    for kind in ["DUE_KIND_RETRAINING", "DUE_KIND_WATCH_SILENT", "DUE_KIND_NOT_SERVED"] {
        assert!(then.contains(&(kind.into(), true)), "{kind} in {then:?}");
    }
    let error = ledger.fails(1, &["gaps", "triage", "--at", &later]);
    assert!(error.contains("overdue"), "{error}");

    let set = [
        "schedule",
        "set",
        "triage",
        "--cron",
        "0 3 1 1,4,7,10 *",
        "--dataset",
        "triage",
        "--collection",
        "tickets",
        "--base",
        "tiny",
        "--rank",
        "2",
        "--as",
        "otto",
    ];
    ledger.ok(&set);
    let shown = ledger.ok(&["schedule", "show"]);
    assert!(shown.contains("T03:00:00.000Z") && shown.contains("tickets"), "{shown}");
    ledger.ok(&["schedule", "pause", "triage", "--as", "otto"]);
    let paused: Vec<_> = kinds(&["due", "triage", "--at", &later]).collect();
    assert!(paused.iter().all(|(kind, _)| kind != "DUE_KIND_RETRAINING"), "{paused:?}");
}

fn chrono_days(days: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let at = chrono::DateTime::from_timestamp_millis(now + days as i64 * 86_400_000).unwrap();
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

#[test]
fn a_persons_data_are_erased_and_an_old_key_store_that_comes_back_loses_them_again() {
    let ledger = Ledger::staffed();
    ledger.equip();
    officer(&ledger);
    let tickets = b"text,intent,owner\nlost my card,card,Ann@bank.example\nclose my account,closing,bob\n\
        what does it cost,fees,ann@bank.example\n";
    let tickets = ledger.file("tickets.csv", tickets);
    ledger.ok(&["ingest", &tickets, "--collection", "tickets", "--subject-column", "owner", "--as", "stella"]);
    ledger.ok(&["derive", "tickets", "--prompt", r"{text}\n", "--answer", "{intent}", "--as", "stella"]);
    ledger.ok(&["scan", "--wait"]);
    ledger.ok(&["dataset", "freeze", "triage", "--collection", "tickets", "--as", "mina"]);
    ledger.train_and_evaluate("1", "triage@1");
    ledger.promote("triage@1");
    let yesterday = ledger.path("yesterday");
    ledger.ok(&["backup", yesterday.to_str().unwrap(), "--with-kek"]);

    let ann = ["erase", "--subject", "ANN@bank.example", "--ground", "consent-withdrawn"];
    let error = ledger.fails(2, &[&ann[..], &["--as", "mina"]].concat());
    assert!(error.contains("may-not-erase"), "{error}");
    let dry = ledger.json(&[&ann[..], &["--dry-run", "--as", "otto"]].concat());
    assert_eq!(dry["count"], 4, "two documents and the examples made from them: {dry}");
    ledger.ok(&["hold", "place", "case-7", "--collection", "tickets", "--as", "otto"]);
    let error = ledger.fails(1, &[&ann[..], &["--as", "otto"]].concat());
    assert!(error.contains("under-hold"), "{error}");
    ledger.ok(&["hold", "release", "case-7", "--as", "otto"]);

    let erased = ledger.json(&[&ann[..], &["--as", "otto"]].concat());
    let erasure = erased["erasure"]["position"].to_string();
    assert_eq!((&erased["left"], &erased["erasure"]["documents"]), (&0.into(), &2.into()));
    assert_eq!(erased["datasets"][0]["members"], 2);
    assert_eq!((&erased["versions"][0]["in_force"], &erased["versions"][0]["decision"]), (&true.into(), &Value::Null));
    let nobody = ledger.fails(1, &[&ann[..], &["--as", "otto"]].concat());
    assert!(nobody.contains("holds no text of this person"), "{nobody}");
    let shown = ledger.ok(&["in-force", "triage"]);
    assert!(shown.contains("unrepeatable: erased; nothing is decided"), "{shown}");
    assert!(ledger.ok(&["provenance", "triage@1"]).contains("unrepeatable: erased"));
    assert!(ledger.ok(&["registry", "versions"]).contains("2 erased at"));
    // What is gone is opened for nobody; what is opened is beyond the reach of an erasure, which says so.
    let bundle = ledger.path("evidence.zip");
    let export = ["evidence", "export", "complete", "triage", bundle.to_str().unwrap(), "--purpose", "regulator"];
    assert_eq!(ledger.json(&[&export[..], &["--open", "9", "--as", "otto"]].concat())["texts"], 1);
    let bob = ["erase", "--subject", "bob", "--ground", "consent-withdrawn", "--as", "otto"];
    let bobs = ledger.json(&bob);
    assert_eq!(bobs["exports"].as_array().unwrap().len(), 1);
    let bobs = bobs["erasure"]["position"].to_string();
    ledger.ok(&["erasure", "decide", &bobs, "triage@1", "retrain", "--as", "otto"]);
    let train = ["train", "request", "triage", "--dataset", "triage", "--seed", "3"];
    let error = ledger.fails(1, &[&train[..], &common::life::TRAINING].concat());
    assert!(error.contains("members-erased"), "{error}");

    // Today's log comes back with the key store of yesterday: the texts would open again, were no server started.
    let today = ledger.path("today");
    ledger.ok(&["backup", today.to_str().unwrap(), "--with-kek"]);
    fs::remove_dir_all(today.join("key-store")).unwrap();
    fs::rename(yesterday.join("key-store"), today.join("key-store")).unwrap();
    let restored = ledger.path("restored");
    let there = ["--folder", restored.to_str().unwrap()];
    ledger.ok(&[&["restore", today.to_str().unwrap()], &there[..]].concat());
    let began = Instant::now();
    while ledger.json(&[&["erasure", "show", &erasure], &there[..]].concat())["left"] != 0 {
        assert!(began.elapsed() < Duration::from_secs(120), "the vault still opens what was erased");
    }
    let status = |folder: &[&str]| ledger.json(&[&["replay"], folder].concat())["verdict_root"].clone();
    assert_eq!(status(&there), status(&[]));
    let error = ledger.fails(2, &[&["restore", today.to_str().unwrap()], &there[..]].concat());
    assert!(error.contains("there is a ledger in"), "{error}");
    ledger.ok(&["erasure", "decide", &erasure, "triage@1", "retrain", "--as", "otto"]);
    assert!(ledger.ok(&["in-force", "triage"]).contains("decided: retrain"));
    let due = ledger.json(&["due", "triage"]);
    let open = due["items"].as_array().unwrap().iter().any(|item| item["kind"] == "DUE_KIND_ERASURE_DECISION");
    assert!(!open, "{due}");
    assert!(ledger.json(&["replay"])["rows"].as_u64().unwrap() > 50);
}
