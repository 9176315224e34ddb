//! A model's whole life by commands, on a tiny random model.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use common::Ledger;

/// A ledger with people, base model, suite and the dataset `triage`.
fn ready() -> Ledger {
    let ledger = Ledger::staffed();
    ledger.equip();
    ledger.freeze_triage();
    ledger
}

#[test]
fn a_model_is_trained_judged_promoted_replaced_and_rolled_back() {
    let ledger = ready();
    ledger.fails(2, &["in-force", "triage"]);
    ledger.train_and_evaluate("1", "triage@1");

    // Omar asks himself, and so cannot approve.
    ledger.ok(&["promote", "request", "triage@1", "--to", "staging", "--as", "omar"]);
    let error = ledger.fails(1, &["promote", "approve", "triage@1", "--as", "omar"]);
    assert!(error.contains("approver-took-part"), "{error}");
    let (refused_at, refused) = (ledger.size() - 1, ledger.envelope(ledger.size() - 1));
    ledger.ok(&["promote", "withdraw", "triage@1", "--as", "omar"]);
    ledger.promote("triage@1");
    let before = ledger.json(&["in-force", "triage"]);
    assert_eq!(before["version"], 1);
    assert_eq!(before["approvals"].as_array().unwrap().len(), 2);

    // Omar's refused approval is used up: nobody brings it back now.
    let again = ledger.fails(1, &["log", "append", &refused]);
    assert!(again.contains(&format!("stand on the log already, at position {refused_at}")), "{again}");
    assert_eq!(ledger.json(&["in-force", "triage"])["approvals"], before["approvals"]);

    ledger.train_and_evaluate("2", "triage@2");
    ledger.promote("triage@2");
    let version = ledger.json(&["provenance", "triage@2"]);
    assert_eq!(version["dataset"]["count"], 3);
    assert_eq!(version["batches"][0]["documents"]["count"], 3);
    assert_eq!(version["promotions"].as_array().unwrap().len(), 2);
    assert!(ledger.ok(&["provenance", "triage@2"]).contains("trained by trainer"));
    let sources = ledger.ok(&["lineage", "triage@2"]);
    assert!(["documents", "examples", "dataset", "run", "base"].iter().all(|kind| sources.contains(kind)), "{sources}");

    ledger.ok(&["rollback", "triage", "--to", "1", "--reason", "drill", "--as", "omar"]);
    let now = ledger.json(&["in-force", "triage"]);
    assert_eq!(now["version"], 1);
    let since = now["since_position"].as_u64().unwrap();
    let then = ledger.json(&["in-force", "triage", "--at-position", &(since - 1).to_string()]);
    assert_eq!(then["version"], 2);
    let error = ledger.fails(1, &["rollback", "triage", "--to", "2", "--reason", "drill", "--as", "omar"]);
    assert!(error.contains("no-way-back"), "{error}");

    assert!(ledger.json(&["replay"])["rows"].as_u64().unwrap() > 50);
    let run = version["run"]["position"].to_string();
    a_run_is_repeated(&ledger, &run);
}

/// The same adapter again, on the record: by the command alone, and through a running `up`.
fn a_run_is_repeated(ledger: &Ledger, run: &str) {
    let alone = ledger.json(&["train", "verify", run]);
    assert_eq!((&alone["exact"], &alone["reproduction"]), (&true.into(), &"exact".into()));
    let event = ledger.json(&["log", "decode", &alone["position"].to_string()]);
    assert_eq!(event["verdict"], "VERDICT_ACCEPTED");
    assert_eq!(event["event"]["training_reproduced"]["run"].to_string(), run);

    let up = ledger.command(&["up", "--no-tcp"]).stderr(std::process::Stdio::null()).spawn();
    let up = Running(up.unwrap());
    while !ledger.folder().join("attestune.sock").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(ledger.json(&["train", "verify", run])["exact"], true);
    assert!(ledger.json(&["train", "verify", run, "--no-record"])["position"].is_null());
    let status = ledger.json(&["train", "status", run]);
    assert_eq!((&status["reproductions"], &status["reproduction"]), (&2.into(), &"REPRODUCTION_EXACT".into()));
    // A person reads the texts, on the record, but only a trainer puts a repetition there.
    let error = ledger.fails(1, &["train", "verify", run, "--as", "mina"]);
    assert!(error.contains("role-missing"), "{error}");
    drop(up);
}

/// A process that ends with the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
