//! `attestune pii scan`: files of CSV, JSONL and text, by the real binary.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use common::Ledger;

fn lines(json: &str) -> Vec<serde_json::Value> {
    json.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_file_is_scanned_without_a_ledger() {
    let folder = Ledger::none();
    let csv = folder.file("a.csv", "id,note\n1,write to zoe@example.org\n2,nothing\n".as_bytes());
    assert_eq!(
        folder.ok(&["pii", "scan", &csv]).trim_end(),
        format!("{csv}:2 note: write to [email 95 %: zoe@example.org]")
    );
    let jsonl = folder.file("b.jsonl", "{\"a\":{\"b\":\"é, card 4111 1111 1111 1111\"}}\n".as_bytes());
    let told = lines(&folder.ok(&["pii", "scan", &jsonl, "--json", "--coverage"]));
    assert_eq!((told[0]["line"].as_u64(), told[0]["field"].as_str()), (Some(1), Some("a.b")));
    let found = &told[0]["findings"][0];
    assert_eq!((found["entity"].as_str(), found["start"].as_u64()), (Some("credit-card"), Some(8)));
    assert_eq!(told[1]["counts"]["credit-card"], 1);
    assert_eq!(told[1]["coverage"]["detectors"][0]["name"], "attestune-pii");
    assert_eq!(told[1]["coverage"]["detectors"][1]["name"], "tagger");
    assert_eq!(told[1]["coverage"]["texts_by_language"]["und"], 1);
    assert!(!folder.folder().exists(), "nothing is recorded");
}

#[test]
fn recognizers_and_a_configuration_are_read_from_files() {
    let folder = Ledger::none();
    let text = folder.file("a.txt", b"badge E-204117\nmail zoe@example.org\n");
    let own = folder
        .file("own.yaml", b"recognizers: [{ entity: employee-id, patterns: [{ regex: 'E-[0-9]{6}', score: 0.5 }] }]");
    let config = folder.file("config.yaml", b"entities: [employee-id]");
    let told = folder.ok(&["pii", "scan", &text, "--recognizers", &own, "--config", &config]);
    assert_eq!(told.trim_end(), format!("{text}:1: badge [employee-id 50 %: E-204117]"));
}

#[test]
fn what_cannot_be_read_or_used_is_named() {
    let folder = Ledger::none();
    let text = folder.file("a.txt", b"x\n\xff\n");
    let error = folder.fails(2, &["pii", "scan", &text]);
    assert!(error.contains("between line 1 and line 3: not UTF-8 at byte 2"), "{error}");
    let error = folder.fails(2, &["pii", "scan", "/no/such.txt"]);
    assert!(error.contains("cannot read /no/such.txt"), "{error}");
    let own = folder.file("own.yaml", b"recognizers: [{ entity: x, patterns: [{ regex: '(a+)+', score: 0.5 }] }]");
    let error = folder.fails(2, &["pii", "scan", &text, "--recognizers", &own]);
    assert!(error.contains("own.yaml") && error.contains("no longest match"), "{error}");
    let nested = folder.file("nested.jsonl", "[".repeat(1_000_000).as_bytes());
    let error = folder.fails(2, &["pii", "scan", &nested]);
    assert!(error.contains("line 1") && error.contains("not JSON: recursion limit exceeded"), "{error}");
    let config = folder.file("config.yaml", b"languages: [xx]");
    let error = folder.fails(2, &["pii", "scan", &text, "--config", &config]);
    assert!(error.contains("language \"xx\" is unknown"), "{error}");
}
