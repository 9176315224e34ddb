//! Creating a ledger: all of it, or nothing.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use common::Ledger;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn an_init_that_fails_leaves_nothing_behind() {
    let ledger = Ledger::none();
    ledger.ok(&["key", "new", "ben"]);
    let bens = std::fs::read(ledger.folder().join("keys/ben.key")).unwrap();
    let error = ledger.fails(2, &["init", "test", "--root", "Ada=Ada Okafor", "--root", "ben=Ben Lindqvist"]);
    assert!(error.contains("bad-genesis"), "{error}");
    for name in ["db", "vault", "ledger.json", "ledger.unfinished", "keys/Ada.key", "server/gateway.key"] {
        assert!(!ledger.folder().join(name).exists(), "{name} is left");
    }
    assert_eq!(std::fs::read(ledger.folder().join("keys/ben.key")).unwrap(), bens, "a key made before stays");
    ledger.ok(&["init", "test", "--root", "ada=Ada Okafor", "--root", "ben=Ben Lindqvist"]);
    assert!(ledger.ok(&["key", "list"]).contains("Ben Lindqvist"));
}

#[test]
fn an_init_that_was_killed_is_begun_anew_by_the_next() {
    let ledger = Ledger::none();
    let init = ["init", "test", "--root", "ada=Ada Okafor", "--root", "ben=Ben Lindqvist"];
    let mut child = ledger.command(&init).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !ledger.folder().join("ledger.unfinished").exists() {
        assert!(Instant::now() < until && child.try_wait().unwrap().is_none(), "it begins");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!ledger.folder().join("ledger.json").exists(), "it was killed midway");
    let error = ledger.fails(2, &["key", "list"]);
    assert!(error.contains("there is no ledger"), "{error}");
    let adas = std::fs::read(ledger.folder().join("keys/ada.key")).unwrap();

    let output = ledger.run(&init);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did not finish"));
    assert_eq!(std::fs::read(ledger.folder().join("keys/ada.key")).unwrap(), adas);
    assert!(!ledger.folder().join("ledger.unfinished").exists());
    assert!(ledger.json(&["replay"])["rows"].as_u64().unwrap() > 0);
}

#[test]
fn a_log_whose_ledger_json_was_lost_is_never_overwritten() {
    let ledger = Ledger::new();
    std::fs::remove_file(ledger.folder().join("ledger.json")).unwrap();
    let error = ledger.fails(2, &["init", "test", "--root", "ada=Ada Okafor"]);
    assert!(error.contains("no ledger.json") && error.contains("backup"), "{error}");
    assert!(ledger.folder().join("db").exists());
}
