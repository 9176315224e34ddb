//! Proofs of single entries, checkpoints, and appending many lines.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use common::Ledger;
use serde_json::Value;

/// What an outsider knows of a ledger: its id and the key of its checkpoints.
fn known(ledger: &Ledger) -> [String; 2] {
    let file: Value = serde_json::from_slice(&std::fs::read(ledger.folder().join("ledger.json")).unwrap()).unwrap();
    ["ledger", "checkpoint_key"].map(|field| file[field].as_str().unwrap().to_owned())
}

#[test]
fn an_outsider_checks_one_entry_with_nothing_but_the_proof_and_what_he_knows() {
    let (ledger, outsider) = (Ledger::new(), Ledger::none());
    let [id, key] = known(&ledger);
    for position in ["0", "3"] {
        let proof = outsider.file("entry.tlog-proof", ledger.ok(&["log", "prove", position]).as_bytes());
        let verify = ["verify", "--proof", &proof, "--ledger", &id, "--checkpoint-key", &key];
        let proven = outsider.json(&verify);
        let entry = ledger.json(&["log", "decode", position]);
        assert_eq!(proven["position"].to_string(), position);
        assert_eq!((&proven["envelope"], &proven["event"]), (&entry["envelope"], &entry["event"]));
        assert!(outsider.ok(&verify).contains(&format!("position {position} of attestune/test/")));
        // The ledger's own folder knows id and key.
        ledger.ok(&["verify", "--proof", &proof]);

        let other = "00".repeat(32);
        let error = outsider.fails(1, &["verify", "--proof", &proof, "--ledger", &other, "--checkpoint-key", &key]);
        assert!(error.contains("not from ledger 0000"), "{error}");
        let foreign = known(&Ledger::new())[1].clone();
        outsider.fails(1, &["verify", "--proof", &proof, "--ledger", &id, "--checkpoint-key", &foreign]);
        let error = outsider.fails(2, &["verify", "--proof", &proof]);
        assert!(error.contains("--checkpoint-key"), "{error}");
    }
    let error = ledger.fails(2, &["log", "prove", "1000"]);
    assert!(error.contains("there is no entry 1000"), "{error}");
}

#[test]
fn an_altered_proof_proves_nothing() {
    let (ledger, outsider) = (Ledger::new(), Ledger::none());
    let [id, key] = known(&ledger);
    let good = ledger.ok(&["log", "prove", "4"]);
    let index = good.replacen("index 4", "index 5", 1);
    // The entry is in the second line; a letter in its middle is one of the envelope's bytes.
    let mut entry = good.clone().into_bytes();
    let at = good.find("extra ").unwrap() + 100;
    entry[at] = if entry[at] == b'A' { b'B' } else { b'A' };
    let without: String = good.lines().filter(|line| !line.starts_with("extra ")).map(|l| format!("{l}\n")).collect();
    for bad in [index.into_bytes(), entry, without.into_bytes()] {
        assert_ne!(bad, good.as_bytes());
        let proof = outsider.file("bad.tlog-proof", &bad);
        outsider.fails(1, &["verify", "--proof", &proof, "--ledger", &id, "--checkpoint-key", &key]);
    }
    let proof = outsider.file("none.tlog-proof", b"hello\n");
    outsider.fails(2, &["verify", "--proof", &proof, "--ledger", &id, "--checkpoint-key", &key]);
}

#[test]
fn an_entry_is_proven_against_a_checkpoint_that_was_noted_before() {
    let (ledger, outsider) = (Ledger::new(), Ledger::none());
    let [id, key] = known(&ledger);
    let noted = ledger.ok(&["log", "checkpoint"]);
    let size: u64 = noted.lines().nth(1).unwrap().parse().unwrap();
    let checkpoint = ledger.file("noted", noted.as_bytes());
    ledger.staff();

    let proof = ledger.ok(&["log", "prove", "2", "--checkpoint", &checkpoint]);
    assert!(proof.ends_with(&noted), "the checkpoint stands in it verbatim");
    let proof = outsider.file("entry.tlog-proof", proof.as_bytes());
    let proven = outsider.json(&["verify", "--proof", &proof, "--ledger", &id, "--checkpoint-key", &key]);
    assert_eq!(proven["size"], size);
    // What came later was not in that tree.
    ledger.fails(2, &["log", "prove", &size.to_string(), "--checkpoint", &checkpoint]);
    assert!(ledger.ok(&["log", "checkpoint", "--verdicts"]).lines().next().unwrap().ends_with("/verdicts"));
}

#[test]
fn a_line_is_answered_for_each_envelope_of_a_file() {
    let ledger = Ledger::new();
    let before = ledger.size();
    let entry = |position: u64| {
        let entry = ledger.json(&["log", "decode", &position.to_string()]);
        hex::decode(entry["envelope"].as_str().unwrap()).unwrap()
    };
    let (one, two) = (entry(1), entry(2));
    let mut forged = one.clone();
    *forged.last_mut().unwrap() ^= 1; // in the key's id, which stands last
    let draft = ledger.path("draft.json");
    ledger.ok(&["key", "new", "cleo"]);
    let register = ["key", "register", "cleo", "--name", "Cleo", "--as", "ada", "--draft", draft.to_str().unwrap()];
    ledger.ok(&register);
    let json: Value = serde_json::from_slice(&std::fs::read(&draft).unwrap()).unwrap();
    let lines = [hex::encode(&one), base64(&two), hex::encode(&forged), json.to_string()].join("\n");
    let file = ledger.file("lines", lines.as_bytes());

    let error = ledger.fails(1, &["log", "append", &file, "--lines"]);
    assert!(error.contains("line 3: ") && error.contains("the 2 lines before it were appended"), "{error}");
    assert_eq!(ledger.size(), before + 2);

    let output = ledger.run(&["log", "append", &file, "--lines", "--keep-going", "--json"]);
    assert_eq!(output.status.code(), Some(1), "not every line was accepted");
    let said: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let verdicts: Vec<&Value> = said.iter().map(|line| &line["receipt"]["verdict"]).collect();
    assert_eq!(said.iter().map(|line| line["line"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(
        verdicts,
        ["VERDICT_DUPLICATE", "VERDICT_DUPLICATE", "null", "VERDICT_ACCEPTED"]
            .map(|v| match v {
                "null" => Value::Null,
                verdict => verdict.into(),
            })
            .iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(said[2]["rejected"]["code"], "unknown-key");
    assert!(ledger.ok(&["key", "list"]).contains("Cleo"));

    let bad = ledger.file("bad", b"zz!\n");
    let error = ledger.fails(2, &["log", "append", &bad, "--lines"]);
    assert!(error.contains("line 1") && error.contains("neither DSSE's JSON nor hex nor base64"), "{error}");
}

/// Base64 as a shell gives it.
fn base64(bytes: &[u8]) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(bytes)
}
