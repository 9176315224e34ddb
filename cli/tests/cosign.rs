//! Acts of two persons whose keys lie on two machines.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use common::Ledger;

/// A ledger without Ben's key, which lies in a file of his own.
fn apart() -> (Ledger, String) {
    let ledger = Ledger::staffed();
    let bens = ledger.path("ben.key");
    std::fs::rename(ledger.folder().join("keys/ben.key"), &bens).unwrap();
    (ledger, bens.to_str().unwrap().to_owned())
}

#[test]
fn two_admins_on_two_machines_make_an_approver() {
    let (ledger, bens) = apart();
    let draft = ledger.path("approver.json").to_str().unwrap().to_owned();
    let grant = ["role", "grant", "rita", "approver", "--as", "ada", "--draft", &draft];
    let before = ledger.size();
    ledger.ok(&grant);
    assert_eq!(ledger.size(), before, "a draft is not on the log");
    let error = ledger.fails(2, &grant);
    assert!(error.contains("does not exist yet"), "{error}");

    // Ben has no folder of the ledger, only his key and the draft.
    let elsewhere = Ledger::none();
    let shown = elsewhere.ok(&["cosign", &draft, "--show"]);
    assert!(shown.contains("role-granted by ada") && shown.contains("\"rita\""), "{shown}");
    assert!(shown.contains("ROLE_APPROVER"), "{shown}");
    let signed = elsewhere.ok(&["cosign", &draft, "--as", "ben", "--key", &bens]);
    assert_eq!(signed.matches("  signed  ").count(), 2, "{signed}");
    let error = elsewhere.fails(2, &["cosign", &draft, "--as", "ben", "--key", &bens]);
    assert!(error.contains("has signed this envelope already"), "{error}");

    ledger.ok(&["log", "append", &draft]);
    assert!(ledger.ok(&["key", "list"]).contains("reviewer, approver"));
    let error = ledger.fails(1, &["log", "append", &draft]);
    assert!(error.contains("stand on the log already"), "{error}");
}

#[test]
fn a_draft_that_nobody_cosigned_is_refused_and_one_that_was_changed_does_not_verify() {
    let (ledger, bens) = apart();
    let draft = ledger.path("approver.json");
    let path = draft.to_str().unwrap();
    ledger.ok(&["role", "grant", "rita", "approver", "--as", "ada", "--draft", path]);
    let alone = ledger.file("alone.json", &std::fs::read(&draft).unwrap());
    let error = ledger.fails(1, &["log", "append", &alone]);
    assert!(error.contains("second-signer-missing"), "{error}");

    ledger.ok(&[
        "role",
        "grant",
        "mina",
        "approver",
        "--as",
        "ada",
        "--draft",
        ledger.path("b.json").to_str().unwrap(),
    ]);
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(ledger.path("b.json")).unwrap()).unwrap();
    let first: serde_json::Value = serde_json::from_slice(&std::fs::read(&draft).unwrap()).unwrap();
    json["payload"] = first["payload"].clone();
    let changed = ledger.file("changed.json", json.to_string().as_bytes());
    ledger.ok(&["cosign", &changed, "--as", "ben", "--key", &bens]);
    let error = ledger.fails(2, &["log", "append", &changed]);
    assert!(error.contains("bad-signature"), "{error}");
}

#[test]
fn a_draft_for_another_ledger_is_not_signed() {
    let (ledger, bens) = apart();
    let draft = ledger.path("approver.json").to_str().unwrap().to_owned();
    ledger.ok(&["role", "grant", "rita", "approver", "--as", "ada", "--draft", &draft]);
    let other = Ledger::new();
    let error = other.fails(1, &["cosign", &draft, "--as", "ben", "--key", &bens]);
    assert!(error.contains("is for ledger"), "{error}");
    let error = other.fails(2, &["cosign", &other.file("x.json", b"{}"), "--as", "ben"]);
    assert!(error.contains("neither DSSE's JSON nor hex"), "{error}");
}
