//! What a ledger's scans look for: by configuration, on record, and refused where the policy asks for another detector.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use common::Ledger;

const TICKETS: &[u8] = b"text,intent\n\
    I moved from Ohio to Oregon and want my letters there,address_change\n\
    Margaret Thornbury of 14 Mill Lane is my aunt and her card is gone,card_lost\n\
    what does a card cost,fee_question\n";

fn derive(ledger: &Ledger) {
    let tickets = ledger.file("tickets.csv", TICKETS);
    ledger.ok(&["ingest", &tickets, "--collection", "tickets", "--as", "stella"]);
    ledger.ok(&["derive", "tickets", "--prompt", r"{text}\n", "--answer", "{intent}", "--as", "stella"]);
}

fn scans(ledger: &Ledger) -> usize {
    ledger.ok(&["history", "--kind", "examples-scanned"]).lines().filter(|line| line.contains("scanned")).count()
}

#[test]
fn a_detector_that_the_policy_asks_for_and_this_binary_lacks_is_no_pass() {
    let ledger = Ledger::none();
    let ours = ledger.ok(&["pii", "detector"]);
    ledger.init(&[(ours.trim(), "attestune-pii@999")]);
    ledger.staff();
    derive(&ledger);
    let error = ledger.fails(2, &["scan", "tickets", "--wait"]);
    assert!(error.contains("the policy asks for attestune-pii@999, which this binary lacks"), "{error}");
    assert!(error.contains(ours.trim()), "{error}");
    assert_eq!(scans(&ledger), 0, "another detector's word is no word of the one that was asked for");
    let error = ledger.fails(1, &["dataset", "freeze", "triage", "--collection", "tickets", "--as", "mina"]);
    assert!(error.contains("nothing-eligible"), "{error}");
}

#[test]
fn places_are_noted_and_names_are_flagged() {
    let ledger = Ledger::staffed();
    derive(&ledger);
    let told = ledger.ok(&["scan", "tickets", "--wait"]);
    assert!(told.contains("eligible         2") && told.contains("awaiting review  1"), "{told}");
    let all = ledger.json(&["review", "list", "tickets", "--all"]);
    let kinds = |at: usize| {
        let findings = all["examples"][at]["findings"].as_array().cloned().unwrap_or_default();
        findings.iter().map(|finding| finding["entity"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(kinds(0).contains(&"location".to_owned()), "it is on record all the same: {:?}", kinds(0));
    assert!(kinds(1).contains(&"person".to_owned()), "{:?}", kinds(1));
}

#[test]
fn a_configuration_of_ones_own_is_another_detector_and_the_policy_names_it() {
    let ledger = Ledger::staffed();
    let config = ledger.file("own.yaml", b"entities: [person, location]\nnoted: []\n");
    let name = ledger.ok(&["pii", "use", "--config", &config]);
    let default = ledger.ok(&["pii", "detector"]);
    assert!(name.starts_with(default.trim()) && name != default, "{name}");
    assert_eq!(ledger.ok(&["pii", "detector", "--config", &config]), name);
    derive(&ledger);
    let error = ledger.fails(2, &["scan", "--wait"]);
    assert!(error.contains("which this binary lacks") && error.contains(name.trim()), "{error}");

    let policy = ledger.ok(&["policy", "default"]).replace(default.trim(), name.trim());
    let policy = ledger.file("policy.yaml", policy.as_bytes());
    ledger.ok(&["policy", "adopt", &policy, "--as", "ada"]);
    let told = ledger.ok(&["scan", "tickets", "--wait"]);
    assert!(told.contains("awaiting review  2"), "the place is a reason now: {told}");
    ledger.ok(&["pii", "use"]);
    let error = ledger.fails(2, &["pii", "use", "--config", "/no/such.yaml"]);
    assert!(error.contains("cannot read /no/such.yaml"), "{error}");
}
