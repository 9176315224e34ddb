//! A disk that is full under a ledger's folder.

use crate::common::Ledger;
use crate::common::acknowledged::Acknowledged;
use crate::common::process::{PATIENCE, Running};
use crate::machine::{Disk, skip};
use crate::{ROWS, documents, rows};
use attestune_replay_tests::Chance;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

/// Runs a command that must come to an end; answers its output.
fn ends(ledger: &Ledger, args: &[&str]) -> Output {
    let mut command = ledger.command(args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            panic!("{args:?} never ends: {}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

/// Runs an act on a disk that is nearly full: it is done, or it says that there is no room and what to do.
fn done_or_no_room(ledger: &Ledger, acknowledged: &mut Acknowledged, args: &[&str]) -> bool {
    let output = ends(ledger, &[args, &["--json"]].concat());
    acknowledged.take_in(&output.stdout);
    if output.status.success() {
        return true;
    }
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    assert!(said.contains("full") || said.contains("No space left on device"), "{args:?} names the cause: {said}");
    assert!(said.contains("make room"), "{args:?} says what to do: {said}");
    false
}

#[test]
#[ignore = "long: make faults"]
fn a_full_disk_is_named_and_nothing_is_lost_once_there_is_room() {
    let Some(disk) = Disk::mount("64m") else { return skip("a full disk: no tmpfs can be mounted here") };
    let ledger = Ledger::none_in(disk.folder());
    ledger.init(&[]);
    ledger.staff();
    ledger.equip();
    let mut acknowledged = Acknowledged::default();
    acknowledged.check(&ledger);
    let mut chance = Chance::new(1);
    let mut failed = 0;
    for (round, left) in [0u64, 4, 16, 40, 80, 160, 320, 700, 1_400].into_iter().enumerate() {
        let collection = format!("round-{round}");
        let rows = ledger.file(&format!("{collection}.csv"), rows(&mut chance).as_bytes());
        let ingest = ["ingest", &rows, "--collection", &collection, "--as", "stella"];
        let derive = ["derive", &collection, "--prompt", r"{text}\n", "--answer", "{intent}", "--as", "stella"];
        disk.fill_but(left * 1024);
        let done = [&ingest[..], &derive, &["scan", "--wait"]]
            .into_iter()
            .all(|args| done_or_no_room(&ledger, &mut acknowledged, args));
        failed += usize::from(!done);
        disk.make_room();
        acknowledged.check(&ledger);
        ledger.json(&["replay"]);
        for args in [&ingest[..], &derive, &["scan", "--wait"]] {
            ledger.ok(args);
        }
        assert_eq!(documents(&ledger, &collection), ROWS as u64);
    }
    assert!(failed >= 3, "the disk was full {failed} times");
}

#[test]
#[ignore = "long: make faults"]
fn a_running_up_whose_disk_fills_refuses_to_write_and_serves_on_after_a_restart() {
    let Some(disk) = Disk::mount("64m") else { return skip("a full disk under `up`: no tmpfs can be mounted here") };
    let ledger = Ledger::none_in(disk.folder());
    ledger.init(&[]);
    ledger.staff();
    let mut acknowledged = Acknowledged::default();
    let up = Running::start(&ledger);
    disk.fill_but(0);
    let grant = ["role", "grant", "rita", "engineer", "--as", "ada"];
    let withdraw = ["role", "withdraw", "rita", "engineer", "--as", "ada"];
    let mut acts = [grant, withdraw].into_iter().cycle().take(400);
    assert!(!acts.all(|args| done_or_no_room(&ledger, &mut acknowledged, &args)), "in the end the disk is full");
    assert!(ledger.ok(&["key", "list"]).contains("Ada Okafor"), "it can still be asked");

    disk.make_room();
    let error = ledger.fails(2, &["role", "grant", "mina", "reviewer", "--as", "ada"]);
    assert!(error.contains("stop and reopen"), "{error}");
    assert!(up.stop().success());
    acknowledged.check(&ledger);
    ledger.json(&["replay"]);
    ledger.ok(&["role", "grant", "mina", "reviewer", "--as", "ada"]);
}
