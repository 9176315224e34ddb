//! A model's whole life by commands, on a tiny random model.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use attestune_trainer::{
    config::TrainConfig,
    model::BaseModel,
    train::{TrainExample, train},
};
use common::{Ledger, process::Running};
use std::ops::ControlFlow;

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
    let coverage = &version["coverages"][0];
    assert_eq!((coverage["scans"].as_u64(), coverage["detector"]["name"].as_str()), (Some(1), Some("attestune-pii")));
    assert_eq!(coverage["digest"], version["batches"][0]["scans"][0]["coverage"]);
    assert!(coverage["coverage"]["detectors"].as_array().unwrap().len() == 2 && coverage["languages"].is_array());
    let told = ledger.ok(&["provenance", "triage@2"]);
    assert!(told.contains("trained by trainer"));
    let stated = ["of 1 scans by attestune-pii@", "tagger@", "noted, no reason for a review:", "texts by language:"];
    assert!(stated.iter().all(|words| told.contains(words)), "{told}");
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
    cases_are_shown_on_the_record(&ledger);
    let run = version["run"]["position"].to_string();
    a_run_is_repeated(&ledger, &run);
}

/// What was asked and answered, case by case, by a person who may read it.
fn cases_are_shown_on_the_record(ledger: &Ledger) {
    let shown = ledger.json(&["eval", "show", "triage@1", "--cases", "--as", "mina"]);
    let cases = shown["cases"].as_array().unwrap();
    assert_eq!(cases.iter().map(|case| &case["id"]).collect::<Vec<_>>(), ["compliance-1", "format-1"]);
    let first = &cases[0];
    assert_eq!((&first["prompt"], &first["expected"]), (&"who are you".into(), &"no personal data".into()));
    assert_eq!((&first["category"], &first["passed"]), (&"compliance".into(), &true.into()));
    assert!(first["answer"].is_string());
    let accesses = ledger.ok(&["history", "--kind", "content-accessed", "--json"]);
    let accesses = accesses.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let readers: Vec<_> = accesses.map(|e| e["event"]["content_accessed"]["reader"].clone()).collect();
    assert!(readers.iter().filter(|reader| **reader == "mina").count() >= 2, "suite and transcripts: {readers:?}");
    let none = ledger.json(&["eval", "show", "triage@1", "--cases", "--failed", "--as", "mina"]);
    assert_eq!(none["cases"].as_array().unwrap().len(), 0, "every case was passed");
    // An admin opens no texts.
    let error = ledger.fails(2, &["eval", "show", "triage@1", "--cases", "--as", "ada"]);
    assert!(error.contains("may-not-open"), "{error}");
}

#[test]
fn an_adapter_trained_elsewhere_is_registered_and_judged_but_its_leakage_stays_uncheckable() {
    let ledger = Ledger::staffed();
    ledger.equip();
    let base = BaseModel::load(&ledger.path("tiny")).unwrap();
    let examples = [TrainExample { prompt: "a".into(), answer: " b".into() }];
    let config = TrainConfig { rank: 3, alpha: 5, ..TrainConfig::default() };
    let trained = train(&base, &examples, &config, |_| ControlFlow::Continue(())).unwrap();
    let folder = ledger.path("adapter");
    trained.adapter.save(&folder).unwrap();
    let adapter = folder.to_str().unwrap();

    let register = ["model", "register", "triage", "--base", "tiny", "--origin", "peft", "--as", "mina", "--adapter"];
    let error = ledger.fails(2, &[&register[..], &["/nowhere"]].concat());
    assert!(error.contains("no adapter in /nowhere"), "{error}");
    let output = ledger.run(&[&register[..], &[adapter]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("triage@1 from peft is registered"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("leakage is not checkable"));
    assert!(ledger.ok(&["provenance", "triage@1"]).contains("leakage is not checkable"));

    let shown = ledger.ok(&["eval", "request", "triage@1", "--suite", "acceptance", "--as", "mina", "--wait"]);
    assert_eq!(shown.matches("passes").count(), 2, "{shown}");
    let error = ledger.fails(1, &["promote", "request", "triage@1", "--to", "staging", "--as", "mina"]);
    assert!(error.contains("leakage-unknown"), "{error}");
}

/// The same adapter again, on the record: by the command alone, and through a running `up`.
fn a_run_is_repeated(ledger: &Ledger, run: &str) {
    let alone = ledger.json(&["train", "verify", run]);
    assert_eq!((&alone["exact"], &alone["reproduction"]), (&true.into(), &"exact".into()));
    let event = ledger.json(&["log", "decode", &alone["position"].to_string()]);
    assert_eq!(event["verdict"], "VERDICT_ACCEPTED");
    assert_eq!(event["event"]["training_reproduced"]["run"].to_string(), run);
    assert_eq!((&alone["recorded_on"], &alone["reproduced_on"]), (&"cpu".into(), &"cpu".into()));
    let environment = event["event"]["training_reproduced"]["environment"].as_array().unwrap();
    assert!(environment.contains(&serde_json::json!({ "name": "device", "value": "cpu" })), "{environment:?}");

    let up = Running::start(ledger);
    assert_eq!(ledger.json(&["train", "verify", run])["exact"], true);
    assert!(ledger.json(&["train", "verify", run, "--no-record"])["position"].is_null());
    let status = ledger.json(&["train", "status", run]);
    assert_eq!((&status["reproductions"], &status["reproduction"]), (&2.into(), &"REPRODUCTION_EXACT".into()));
    // A person reads the texts, on the record, but only a trainer puts a repetition there.
    let error = ledger.fails(1, &["train", "verify", run, "--as", "mina"]);
    assert!(error.contains("role-missing"), "{error}");
    drop(up);
}
