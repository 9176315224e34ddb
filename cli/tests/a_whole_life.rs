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
    assert_eq!(ledger.json(&["train", "verify", &run])["exact"], true);
}
