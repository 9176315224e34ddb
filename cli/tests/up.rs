//! A running `attestune up`, seen by its commands.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Ledger, process::Running};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn it_stops_while_somebody_follows_the_log() {
    let ledger = Ledger::new();
    let up = Running::up(&ledger, &["--no-tcp", "--no-workers"]);
    let tail = ["log", "tail", "-n", "1", "--follow"];
    let mut follower = ledger.command(&tail).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(follower.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("role-granted"), "{line}");

    let begun = Instant::now();
    up.terminate();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    let output = follower.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the server is stopping"), "{said}");
}

#[test]
fn a_server_is_asked_by_somebody_a_folder_by_its_gateway() {
    let ledger = Ledger::new();
    let error = ledger.fails(2, &["registry", "--server", "http://127.0.0.1:1"]);
    assert!(error.contains("nobody is named to ask") && error.contains("--as ACTOR"), "{error}");
    let error = ledger.fails(2, &["registry", "--server", "http://127.0.0.1:1", "--as", "ada"]);
    assert!(error.contains("no server answers"), "{error}");
    assert!(ledger.ok(&["key", "list"]).contains("Ada Okafor"));
    let error = Ledger::none().fails(2, &["registry"]);
    assert!(error.contains("there is no ledger in") && error.contains("attestune init"), "{error}");
}
