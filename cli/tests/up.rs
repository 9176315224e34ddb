//! A running `attestune up`, seen by its commands.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use common::Ledger;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running `up`, ended with the test.
struct Up(Child);

impl Up {
    fn new(ledger: &Ledger, args: &[&str]) -> Self {
        let mut up = ledger.command(&[&["up"], args].concat()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while !ledger.folder().join("attestune.sock").exists() {
            assert!(Instant::now() < until && up.try_wait().unwrap().is_none(), "up comes up");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(up)
    }

    /// Asks it to end; answers how long that took.
    fn terminate(&mut self) -> Duration {
        let begun = Instant::now();
        assert!(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap().success());
        assert!(self.0.wait().unwrap().success(), "it stops gracefully");
        begun.elapsed()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_stops_while_somebody_follows_the_log() {
    let ledger = Ledger::new();
    let mut up = Up::new(&ledger, &["--no-tcp", "--no-workers"]);
    let tail = ["log", "tail", "-n", "1", "--follow"];
    let mut follower = ledger.command(&tail).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(follower.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("role-granted"), "{line}");

    let took = up.terminate();
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
