//! Clocks that jump.

use crate::common::Ledger;
use crate::machine::{faketime, skip};
use std::process::Output;

/// Runs a command on a host whose clock is off, such as by `+1d`.
fn at(ledger: &Ledger, offset: &str, args: &[&str]) -> Output {
    let library = faketime().expect("looked for before");
    let mut command = ledger.command(args);
    command.env("LD_PRELOAD", library).env("FAKETIME", offset).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command.output().unwrap()
}

const DAY_MS: u64 = 86_400_000;

/// The raw times that stand on the log, and the fold's times, by position.
fn times(ledger: &Ledger) -> (Vec<u64>, Vec<u64>) {
    let of = |args: &[&str]| -> Vec<u64> {
        let shown = ledger.ok(&[args, &["--json"]].concat());
        shown
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["time_ms"].as_u64().unwrap())
            .collect()
    };
    (of(&["log", "tail", "-n", "100000"]), of(&["history"]))
}

/// A ledger with `triage@1`, trained, judged, and requested for staging.
fn requested() -> Ledger {
    let ledger = Ledger::none();
    // A view may be a week old here, as these tests are about something else.
    ledger.init(&[("\nseen_age_max: 1d", "\nseen_age_max: 7d")]);
    ledger.staff();
    ledger.equip();
    ledger.freeze_triage();
    ledger.train_and_evaluate("1", "triage@1");
    ledger.ok(&["promote", "request", "triage@1", "--to", "staging", "--as", "mina"]);
    ledger
}

/// The fold's time never runs backwards, and what a clean fold gives is the same whatever the clock says now.
fn still_in_order(ledger: &Ledger) {
    let (_, folded) = times(ledger);
    assert!(folded.is_sorted(), "the fold's time never runs backwards");
    let now = ledger.json(&["replay"]);
    let other = at(ledger, "-400d", &["replay", "--json"]);
    let other: serde_json::Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!(now["verdict_root"], other["verdict_root"]);
    assert_eq!(ledger.json(&["doctor", "--drop-state"])["verdict_root"], now["verdict_root"]);
    assert_eq!(ledger.json(&["verify"])["size"], now["size"]);
}

#[test]
#[ignore = "long: make faults"]
fn a_clock_a_day_back_holds_promotions_up_until_it_is_right_and_loses_nothing() {
    if faketime().is_none() {
        return skip("a clock a day back: libfaketime is missing (apt-get install libfaketime)");
    }
    let ledger = requested();
    let tickets = ledger.file("more.csv", b"text,intent\nmy card again,card\n");
    let back = at(&ledger, "-1d", &["ingest", &tickets, "--collection", "tickets", "--as", "stella"]);
    assert!(back.status.success(), "{}", String::from_utf8_lossy(&back.stderr));
    let (raw, folded) = times(&ledger);
    assert!(raw.last().unwrap() + DAY_MS / 2 < *folded.last().unwrap(), "the log says what the clock said");

    let back = at(&ledger, "-1d", &["promote", "approve", "triage@1", "--as", "omar"]);
    let said = String::from_utf8_lossy(&back.stderr);
    assert_eq!(back.status.code(), Some(1), "{said}");
    assert!(said.contains("clock-lagging") && said.contains("refused at position"), "{said}");
    let back = at(&ledger, "-1d", &["doctor"]);
    let said = String::from_utf8_lossy(&back.stdout);
    assert_eq!(back.status.code(), Some(1), "{said}");
    assert!(said.contains("ahead of this machine's clock"), "{said}");

    // The clock is set right: nothing needs correcting.
    assert!(ledger.ok(&["doctor"]).contains("is not behind"));
    ledger.ok(&["promote", "approve", "triage@1", "--as", "omar"]);
    still_in_order(&ledger);
}

#[test]
#[ignore = "long: make faults"]
fn after_a_clock_a_day_ahead_promotions_wait_until_the_roots_correct_the_ledgers_clock() {
    if faketime().is_none() {
        return skip("a clock a day ahead: libfaketime is missing (apt-get install libfaketime)");
    }
    let ledger = requested();
    let tickets = ledger.file("more.csv", b"text,intent\nmy card again,card\n");
    let ahead = at(&ledger, "+1d", &["ingest", &tickets, "--collection", "tickets", "--as", "stella"]);
    assert!(ahead.status.success(), "{}", String::from_utf8_lossy(&ahead.stderr));

    let error = ledger.fails(1, &["promote", "approve", "triage@1", "--as", "omar"]);
    assert!(error.contains("clock-lagging"), "{error}");
    let doctor = ledger.run(&["doctor"]);
    assert_eq!(doctor.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("ahead of this machine's clock"));
    // What is no promotion goes on, at the fold's time.
    let tickets = ledger.file("late.csv", b"text,intent\nwhere is my letter,card\n");
    ledger.ok(&["ingest", &tickets, "--collection", "tickets", "--as", "stella"]);
    still_in_order(&ledger);

    let error = ledger.fails(1, &["clock", "correct", "--as", "mina"]);
    assert!(error.contains("root-signatures-missing"), "{error}");
    ledger.ok(&["clock", "correct", "--as", "ada"]);
    assert!(ledger.ok(&["doctor"]).contains("is not behind"));
    let error = ledger.fails(1, &["promote", "approve", "triage@1", "--as", "omar"]);
    assert!(error.contains("promotion-decided"), "what was open ended with the correction: {error}");
    ledger.ok(&["promote", "request", "triage@1", "--to", "staging", "--as", "mina"]);
    ledger.ok(&["promote", "approve", "triage@1", "--as", "omar"]);
    assert_eq!(ledger.json(&["replay"])["size"], ledger.size());
}

#[test]
#[ignore = "long: make faults"]
fn the_first_act_after_two_idle_days_is_accepted() {
    if faketime().is_none() {
        return skip("two idle days: libfaketime is missing (apt-get install libfaketime)");
    }
    let ledger = Ledger::new();
    let after = at(&ledger, "+2d", &["role", "grant", "ada", "steward", "--as", "ben"]);
    assert!(after.status.success(), "{}", String::from_utf8_lossy(&after.stderr));
}
