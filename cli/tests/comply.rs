//! Clauses of regulations, by the command.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use common::Ledger;
use serde_json::Value;

fn clause<'a>(answer: &'a Value, clause: &str) -> &'a Value {
    let clauses = answer["packs"][0]["clauses"].as_array().unwrap();
    clauses.iter().find(|one| one["clause"] == clause).unwrap()
}

#[test]
fn a_gap_is_an_answer_of_no_and_was_none_before_it_came() {
    let ledger = Ledger::staffed();
    let asked = ["comply", "hipaa", "--as", "mina"];
    let said = ledger.ok(&asked);
    assert!(said.contains("(hipaa@1 of 2026-") && said.contains("Not legal advice"), "{said}");
    assert!(said.contains("164.312(d)  ✓ met") && said.contains("164.514(b)(2)(i)  – not applicable"), "{said}");
    assert!(said.contains("164.514(b)(1)  ○ for people"), "{said}");
    let before = ledger.size() - 1;

    ledger.ok(&["key", "new", "rita-2"]);
    ledger.ok(&["key", "register", "rita-2", "--name", "rita", "--as", "ada"]);
    let output = ledger.run(&asked);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("164.312(d)  ✗ GAP") && said.contains("rita and rita-2 are printed alike (event "), "{said}");
    assert!(ledger.fails(1, &asked).contains("1 clause with a gap"));

    let before = before.to_string();
    let then = ledger.json(&[&asked[..], &["--at-position", &before]].concat());
    assert_eq!(clause(&then, "164.312(d)")["status"], "CLAUSE_STATUS_MET");
    assert_eq!(then["as_of_position"].to_string(), before);
    assert_eq!(then["now_ms"], then["as_of_ms"]);
    // A root key alone adopts policies, unless `init` was told otherwise.
    let soc2 = ledger.run(&["comply", "soc-2", "--as", "mina"]);
    assert!(String::from_utf8_lossy(&soc2.stdout).contains("one root key alone could adopt version 1"));
    assert!(ledger.fails(2, &["comply", "hammurabi", "--as", "mina"]).contains("no pack hammurabi"));
}

#[test]
fn all_packs_have_a_line_each_and_a_pack_of_ones_own_is_judged_alike() {
    let ledger = Ledger::staffed();
    let overview = String::from_utf8(ledger.run(&["comply", "--as", "mina"]).stdout).unwrap();
    for pack in
        ["eu-ai-act", "gdpr", "hipaa", "soc-2", "21-cfr-11", "sec-17a-4", "iso-42001", "nist-ai-rmf", "pra-ss1-23"]
    {
        assert!(overview.contains(pack), "{overview}");
    }
    let own = "pack: house\nversion: 3\ndated: 2026-11-28\ntitle: House rules\nedition: the third\nclauses:\n  - clause: '1'\n    \
               asks: The log is whole.\n    questions:\n      - { question: log-whole, because: it says so }\n  - clause: '2'\n    \
               asks: People are trained.\n    people: Train them.\n";
    let file = ledger.file("house.yaml", own.as_bytes());
    let answer = ledger.json(&["comply", &file, "--as", "mina"]);
    assert_eq!(clause(&answer, "1")["status"], "CLAUSE_STATUS_MET");
    assert_eq!(clause(&answer, "2")["status"], "CLAUSE_STATUS_FOR_PEOPLE");
    assert_eq!(answer["questions"].as_array().unwrap().len(), 1);

    let bad = ledger.file("bad.yaml", own.replace("log-whole", "log-hole").as_bytes());
    let error = ledger.fails(2, &["comply", &bad, "--as", "mina"]);
    assert!(error.contains("1 asks `log-hole`, which is no question"), "{error}");
    let missing = ledger.fails(2, &["comply", "missing.yaml", "--as", "mina"]);
    assert!(missing.contains("missing.yaml"), "{missing}");
}
