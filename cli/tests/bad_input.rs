//! Bad input: each a clear error with a way out, a non-zero exit, and nothing recorded.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use common::life::TRAINING;
use common::process::Running;
use common::{Ledger, flip};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

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

/// The binary of the tests is built without CUDA.
#[test]
fn a_card_that_cannot_be_had_is_named_and_nothing_else_is_tried() {
    let ledger = Ledger::new();
    let (replica, vault) = (ledger.path("replica"), ledger.path("vault"));
    let (folder, vault) = (replica.to_str().unwrap(), format!("file://{}", vault.display()));
    let part = ["--kafka", "127.0.0.1:1", "--ledger", "x", "--replica", folder, "--vault", &vault, "--models", "/no"];
    for command in [
        [&["trainer"], &part[..]].concat(),
        [&["worker", "evaluator"], &part[..]].concat(),
        vec!["up", "--no-tcp"],
        vec!["train", "verify", "5"],
    ] {
        let error = ledger.fails(2, &[&command[..], &["--device", "cuda:0"]].concat());
        assert!(error.contains("cuda:0 was asked for, but this binary is built without CUDA"), "{error}");
        assert!(error.contains("make build-cuda"), "{error}");
        let error = ledger.fails(2, &[&command[..], &["--device", "gpu"]].concat());
        assert!(error.contains("`gpu` is no device"), "{error}");
    }
    assert!(!replica.exists());
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
    let up = Running::start(&ledger);
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

#[test]
fn an_event_of_another_ledger_is_stopped_at_the_door() {
    let (here, there) = (Ledger::new(), Ledger::new());
    let before = here.size();
    let foreign = there.envelope(there.size() - 1);
    let error = here.fails(2, &["log", "append", &foreign]);
    assert!(error.contains("other-ledger"), "{error}");
    let garbage = here.file("garbage.hex", b"00ff00ff");
    let error = here.fails(2, &["log", "append", &garbage]);
    assert!(error.contains("not-an-envelope"), "{error}");
    let words = here.file("words.hex", b"no hex");
    let error = here.fails(2, &["log", "append", &words]);
    assert!(error.contains("words.hex is neither DSSE's JSON nor hex"), "{error}");
    assert_eq!(here.size(), before);
}

#[test]
fn another_ledgers_log_is_not_taken_for_ones_own() {
    let (here, there) = (Ledger::new(), Ledger::new());
    let (own, other) = (here.folder().join("db"), there.folder().join("db"));
    std::fs::rename(&own, here.path("db")).unwrap();
    std::fs::rename(&other, &own).unwrap();
    let error = here.fails(2, &["key", "list"]);
    assert!(error.contains("this is ledger") && error.contains("is pinned"), "{error}");
    std::fs::rename(&own, &other).unwrap();
    std::fs::rename(here.path("db"), &own).unwrap();
    assert!(here.ok(&["key", "list"]).contains("Ada Okafor"));
}

#[test]
fn a_model_file_that_was_changed_after_its_registration_is_not_trained_on() {
    let ledger = Ledger::staffed();
    ledger.equip();
    ledger.freeze_triage();
    let weights = ledger.path("tiny").join("model.safetensors");
    let size = std::fs::metadata(&weights).unwrap().len() as usize;
    flip(&weights, size - 1);
    let request = ["train", "request", "triage", "--dataset", "triage", "--epochs", "1", "--wait"];
    let before = ledger.size();
    let error = ledger.fails(2, &[&request[..], &TRAINING].concat());
    assert!(error.contains("tiny") && error.contains("bring the file that was registered back"), "{error}");
    assert_eq!(ledger.size(), before, "nothing is requested that could not be done here");
    flip(&weights, size - 1);
    ledger.train_and_evaluate("1", "triage@1");
}

#[test]
fn a_changed_text_in_the_vault_is_named_and_not_shown() {
    let ledger = Ledger::staffed();
    let tickets = ledger.file("tickets.csv", b"text\nmy mail is jo.example@example.org\n");
    ledger.ok(&["ingest", &tickets, "--collection", "c", "--as", "stella"]);
    for pack in std::fs::read_dir(ledger.folder().join("vault/contents")).unwrap() {
        flip(&pack.unwrap().path(), 3);
    }
    let derive = ["derive", "c", "--prompt", "{text}", "--answer", "x", "--as", "stella"];
    let error = ledger.fails(2, &derive);
    assert!(error.contains("was altered") && error.contains("restore it from a backup"), "{error}");
    for pack in std::fs::read_dir(ledger.folder().join("vault/contents")).unwrap() {
        flip(&pack.unwrap().path(), 3);
    }
    ledger.ok(&derive);
}

/// The database's files with some extension, or beginning like this.
fn database_files(ledger: &Ledger, part: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(ledger.folder().join("db")).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.file_name().unwrap().to_str().unwrap().contains(part)).collect();
    files.sort();
    files
}

#[test]
fn a_flipped_bit_of_a_stored_event_is_noticed_and_its_position_named() {
    let ledger = Ledger::staffed();
    let before = ledger.json(&["replay"]);
    let position = ledger.size() as u64 - 3;
    // A signature is random, so that it stands in the file as it is, compressed or not; the key's id behind it (34 bytes)
    // is not, as others signed by the same key.
    let entry = ledger.json(&["log", "decode", &position.to_string()]);
    let envelope = hex::decode(entry["envelope"].as_str().unwrap()).unwrap();
    let needle = &envelope[envelope.len() - 58..envelope.len() - 34];
    let find = |file: &PathBuf| std::fs::read(file).unwrap().windows(needle.len()).position(|part| part == needle);
    let (file, at) = database_files(&ledger, ".sst")
        .into_iter()
        .find_map(|file| Some((find(&file)?, file)))
        .map(|(at, file)| (file, at))
        .unwrap();

    flip(&file, at);
    let names = |text: &str| {
        let (_, number) = text.split_once("position ").or(text.split_once("entry ")).unwrap_or_default();
        number.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse::<u64>().ok())
    };
    let error = ledger.fails(1, &["verify"]);
    assert_eq!(names(&error), Some(position), "{error}");
    let error = ledger.fails(2, &["replay"]);
    assert_eq!(names(&error), Some(position), "{error}");
    let doctor = ledger.run(&["doctor", "--deep"]);
    assert_eq!(doctor.status.code(), Some(1));

    flip(&file, at);
    assert_eq!(ledger.json(&["replay"])["verdict_root"], before["verdict_root"]);
    ledger.ok(&["doctor", "--deep"]);
}

#[test]
fn a_cut_or_lost_file_of_the_database_is_noticed_and_costs_nothing_once_it_is_back() {
    let ledger = Ledger::staffed();
    let before = ledger.json(&["replay"]);
    let current = ledger.folder().join("db/CURRENT");
    // A command that fails to open the database may have begun another manifest: asked for when its turn comes.
    let manifest = || ledger.folder().join("db").join(std::fs::read_to_string(&current).unwrap().trim());
    let tables = database_files(&ledger, ".sst").into_iter().map(Some);
    for file in tables.chain([None, Some(current.clone())]) {
        let file = file.unwrap_or_else(manifest);
        let bytes = std::fs::read(&file).unwrap();
        for cut in [true, false] {
            if cut {
                std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
            } else {
                std::fs::remove_file(&file).unwrap();
            }
            // Twice, as the first must leave things as they are.
            for _ in 0..2 {
                let error = ledger.fails(2, &["history"]);
                let named = error.contains("damaged store in") || error.contains("there is no store in");
                assert!(named && error.contains("keep th"), "{}: {error}", file.display());
            }
        }
        std::fs::write(&file, &bytes).unwrap();
    }
    assert_eq!(ledger.json(&["replay"])["verdict_root"], before["verdict_root"]);
    assert_eq!(ledger.json(&["replay"])["rows"], before["rows"]);
}

#[test]
fn a_reader_who_has_heard_enough_ends_a_command_without_a_word() {
    let ledger = Ledger::staffed();
    for args in [&["log", "tail"][..], &["log", "tail", "--json"], &["history"]] {
        let mut command = ledger.command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.as_ref()), (Some(141), ""), "{args:?}");
    }
}
