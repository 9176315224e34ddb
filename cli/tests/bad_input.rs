//! Bad input: each a clear error with a way out, a non-zero exit, and nothing recorded.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use common::process::Up;
use common::{Ledger, flip};
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn unreadable_files_are_named_and_record_nothing() {
    let ledger = Ledger::staffed();
    let before = ledger.size();
    let mut long = b"text,intent\nx,".to_vec();
    long.resize(long.len() + 10_000_000, b'a');
    for (name, bytes, expected) in [
        ("short.csv", &b"text,intent\na,b\nc\n"[..], "row 3 (line 3): 1 columns, 2 are expected, `intent` is missing"),
        ("latin1.csv", b"text,intent\ncaf\xe9,b\n", "row 2 (line 2), column `text`: not UTF-8"),
        ("empty.csv", b"", "the file is empty"),
        ("head.csv", b"text,intent\n", "the file is empty"),
        ("broken.jsonl", b"{\"text\":\n", "line 1, column"),
        ("long.csv", &long, "row 2 (line 2), column `intent`: 10000000 characters; 1000000 are allowed"),
        ("picture.png", b"\x89PNG", "files of type `png` are not read"),
    ] {
        let path = ledger.file(name, bytes);
        let error = ledger.fails(2, &["ingest", &path, "--collection", "c", "--as", "stella"]);
        assert!(error.contains(expected) && error.contains(name), "{name}: {error}");
    }
    let error = ledger.fails(2, &["ingest", "/no/such.csv", "--collection", "c", "--as", "stella"]);
    assert!(error.contains("cannot read /no/such.csv"), "{error}");
    assert_eq!(ledger.size(), before);
}

#[test]
fn a_good_file_beside_a_bad_one_is_not_ingested_either() {
    let ledger = Ledger::staffed();
    let before = ledger.size();
    let (good, bad) = (ledger.file("good.csv", b"text\na\n"), ledger.file("bad.csv", b""));
    ledger.fails(2, &["ingest", &good, &bad, "--collection", "c", "--as", "stella"]);
    assert_eq!(ledger.size(), before);
}

#[test]
fn an_actor_without_the_role_is_refused_on_the_record() {
    let ledger = Ledger::staffed();
    let before = ledger.size();
    let policy = ledger.file("policy.yaml", ledger.ok(&["policy", "default"]).as_bytes());
    let error = ledger.fails(1, &["role", "grant", "mina", "reviewer", "--as", "rita"]);
    assert!(error.contains("role-missing") && error.contains("refused at position"), "{error}");
    let error = ledger.fails(1, &["role", "grant", "mina", "approver", "--as", "ada"]);
    assert!(error.contains("second-signer-missing"), "{error}");
    let output = ledger.run(&["role", "grant", "ada", "approver", "--as", "ada", "--json"]);
    let receipt: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(receipt["refusal"]["code"], "second-signer-missing", "a program gets the receipt");
    assert_eq!(output.status.code(), Some(1));
    let error = ledger.fails(1, &["policy", "adopt", &policy, "--as", "mina"]);
    assert!(error.contains("root-signatures-missing"), "{error}");
    assert_eq!(ledger.size(), before + 4);
}

#[test]
fn a_key_that_is_not_registered_is_stopped_at_the_door() {
    let ledger = Ledger::new();
    ledger.ok(&["key", "new", "eve"]);
    let before = ledger.size();
    let error = ledger.fails(2, &["role", "grant", "eve", "admin", "--as", "eve"]);
    assert!(error.contains("eve") || error.contains("unknown-key"), "{error}");
    // Eve's key under Ada's name.
    let key = ledger.folder().join("keys/eve.key");
    let error = ledger.fails(2, &["role", "grant", "eve", "admin", "--as", "ada", "--key", key.to_str().unwrap()]);
    assert!(error.contains("key"), "{error}");
    assert_eq!(ledger.size(), before);
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let ledger = Ledger::new();
    let key = ledger.folder().join("keys/ada.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = ledger.fails(2, &["key", "list", "--as", "ada"]);
    assert!(error.contains("chmod 600"), "{error}");
}

#[test]
fn nobody_and_nothing_are_told_apart() {
    let ledger = Ledger::none();
    let error = ledger.fails(2, &["registry"]);
    assert!(
        error.contains("there is no key file") || error.contains("nobody is named") || error.contains("no ledger"),
        "{error}"
    );
    let ledger = Ledger::new();
    let error = ledger.fails(2, &["role", "grant", "ada", "steward"]);
    assert!(error.contains("--as ACTOR"), "{error}");
    let error = ledger.fails(2, &["key", "new", "ada"]);
    assert!(error.contains("never overwritten"), "{error}");
    let error = ledger.fails(2, &["init", "again", "--root", "ada=Ada"]);
    assert!(error.contains("there is a ledger in"), "{error}");
    let error = ledger.fails(2, &["init", "x", "--root", "ada"]);
    assert!(error.contains("Printed Name"), "{error}");
}

#[test]
fn a_policy_that_says_something_unknown_is_not_adopted() {
    let ledger = Ledger::new();
    let text = ledger.ok(&["policy", "default"]).replace("human_review: flagged", "human_review: maybe");
    let path = ledger.file("policy.yaml", text.as_bytes());
    let error = ledger.fails(2, &["policy", "adopt", &path, "--as", "ada"]);
    assert!(error.contains("`maybe` is not known") && error.contains("policy.yaml"), "{error}");
    let shown = ledger.ok(&["policy", "show"]);
    assert!(shown.starts_with("# policy version 1"), "{shown}");
}

#[test]
fn a_model_file_with_the_wrong_digest_is_not_registered() {
    let ledger = Ledger::staffed();
    let model = ledger.path("tiny");
    attestune_trainer::model::write_tiny_model(&model, 7).unwrap();
    let before = ledger.size();
    let zeros = "0".repeat(64);
    let register = [
        "base",
        "register",
        "tiny",
        "--file",
        model.to_str().unwrap(),
        "--origin",
        "test",
        "--licence",
        "cc0-1.0",
        "--as",
        "mina",
    ];
    let error = ledger.fails(2, &[&register[..], &["--sha256", &zeros]].concat());
    assert!(error.contains("has SHA-256") && error.contains("nothing was recorded"), "{error}");
    assert_eq!(ledger.size(), before);
    ledger.ok(&register);
    assert_eq!(ledger.size(), before + 1);
}

#[test]
fn a_folder_that_another_process_has_open_says_so_and_up_serves_it() {
    let ledger = Ledger::new();
    let up = Up::start(&ledger);
    let socket = ledger.folder().join("attestune.sock");
    assert!(ledger.ok(&["key", "list"]).contains("Ada Okafor"), "commands go through the running up");
    let error = ledger.fails(2, &["up", "--no-tcp"]);
    assert!(error.contains("serves"), "{error}");

    std::fs::rename(&socket, ledger.path("hidden.sock")).unwrap();
    let error = ledger.fails(2, &["key", "list"]);
    assert!(error.contains("another process has") && error.contains("attestune up"), "{error}");
    std::fs::rename(ledger.path("hidden.sock"), &socket).unwrap();

    assert!(up.stop().success(), "it stops gracefully");
    assert!(!socket.exists());
    assert!(ledger.ok(&["key", "list"]).contains("Ada Okafor"));
}
