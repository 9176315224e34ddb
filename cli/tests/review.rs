//! Review by people: full-screen under a real terminal, and by commands.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Ledger, terminal::Terminal};
use serde_json::Value;

/// The examples of a collection with these texts, scanned and checked.
fn scanned(ledger: &Ledger, collection: &str, texts: &[&str]) {
    let rows: String = texts.iter().map(|text| format!("\"{text}\",card_lost\n")).collect();
    let file = ledger.file(&format!("{collection}.csv"), format!("text,intent\n{rows}").as_bytes());
    ledger.ok(&["ingest", &file, "--collection", collection, "--as", "stella"]);
    ledger.ok(&["derive", collection, "--prompt", "{text}", "--answer", " {intent}", "--as", "stella"]);
    ledger.ok(&["scan", collection, "--wait"]);
}

/// The status of every example.
fn statuses(ledger: &Ledger, collection: &str) -> Vec<String> {
    let list = ledger.json(&["review", "list", collection, "--all"]);
    let status = |example: &Value| example["status"].as_str().unwrap().trim_start_matches("EXAMPLE_STATUS_").to_owned();
    list["examples"].as_array().unwrap().iter().map(status).collect()
}

/// A ledger under a policy with rules of review, with three reviewers.
fn reviewed_by_three(rules: &str) -> Ledger {
    let ledger = Ledger::none();
    let with_rules = format!("browser_keys_approve: false\nreview:\n{rules}");
    ledger.init(&[("browser_keys_approve: false", &with_rules)]);
    ledger.staff();
    ledger.hire("rolf", "reviewer");
    ledger.hire("rosa", "reviewer");
    ledger
}

#[test]
fn a_person_reads_and_decides_full_screen_and_signs_once() {
    let ledger = Ledger::staffed();
    let texts = [
        "I lost my card in the park",
        "my mail is jo@example.org please change it",
        "call \x1b[31mkim@example.org\u{202e} now",
        "your hotline is hotline@example.org",
    ];
    scanned(&ledger, "tickets", &texts);
    let mut terminal = Terminal::run(&ledger, "review open tickets --as rita");
    terminal.wait_for("1 of 3");
    terminal.wait_for("my mail is jo@example.org¹ please change it");
    terminal.press("x");
    terminal.wait_for("my mail is <EMAIL> please change it");
    terminal.press("\r");
    terminal.wait_for("2 of 3");
    terminal.wait_for("call ␛[31mkim@example.org¹<U+202E> now");
    terminal.press("r");
    terminal.wait_for("3 of 3");
    terminal.press("a");
    terminal.wait_for("all are decided");
    terminal.press("u");
    terminal.wait_for("2 decided, not signed");
    terminal.press("n");
    terminal.wait_for("all are decided");
    terminal.press("q");
    terminal.wait_for("y sign and leave");
    terminal.press("y");
    let left = terminal.ended();
    assert!(left.contains("3 decisions signed, at position"), "{left}");

    assert_eq!(statuses(&ledger, "tickets"), ["ELIGIBLE", "ELIGIBLE", "REJECTED", "ELIGIBLE"]);
    let events = |kind: &str| ledger.ok(&["history", "--kind", kind]).lines().filter(|l| l.contains("rita")).count();
    assert_eq!(events("examples-reviewed"), 1, "one signature for all");
    assert_eq!(events("review-assigned"), 1, "one claim for all");
    assert!(events("content-accessed") >= 1, "the read is on record");
    let shown = ledger.ok(&["review", "show", "tickets", "2", "--as", "rita"]);
    assert!(shown.contains("my mail is <EMAIL> please"), "{shown}");
    assert!(Terminal::run(&ledger, "review --as rita").ended().contains("nothing waits for you"));
}

#[test]
fn leaving_without_signing_decides_nothing_and_keeps_others_away_for_a_while() {
    let ledger = Ledger::staffed();
    ledger.hire("rolf", "reviewer");
    scanned(&ledger, "tickets", &["my mail is jo@example.org"]);
    let mut terminal = Terminal::run(&ledger, "review --as rita");
    terminal.wait_for("1 of 1");
    terminal.press("r");
    terminal.wait_for("all are decided");
    terminal.press("q");
    terminal.wait_for("d leave without signing");
    terminal.press("d");
    let left = terminal.ended();
    assert!(left.contains("1 decisions were not signed"), "{left}");
    assert_eq!(statuses(&ledger, "tickets"), ["AWAITING_REVIEW"]);
    assert_eq!(ledger.json(&["review", "queue", "--as", "rolf"])["total"], 0, "rita has claimed it");
    let error = ledger.fails(1, &["review", "claim", "tickets", "1", "--as", "rolf"]);
    assert!(error.contains("lease-held"), "{error}");
}

#[test]
fn without_a_terminal_the_screen_names_the_commands() {
    let ledger = Ledger::staffed();
    let error = ledger.fails(2, &["review", "--as", "rita"]);
    assert!(error.contains("needs a terminal") && error.contains("review queue"), "{error}");
}

#[test]
fn two_who_disagree_leave_it_to_a_third_and_the_report_says_so() {
    let ledger = reviewed_by_three("  second_review: 100%\n  due: 1ms\n  reasons: { reject: [personal-data] }");
    scanned(&ledger, "tickets", &["my mail is jo@example.org", "mail to max@example.org, please"]);
    let by = |who: &str, words: &[&str]| ledger.run(&[&["review"], words, &["--as", who]].concat());
    let ok = |who: &str, words: &[&str]| {
        let output = by(who, words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let refused = |who: &str, words: &[&str], code: &str| {
        let output = by(who, words);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && error.contains(code), "{words:?}: {error}");
    };
    refused("rita", &["reject", "tickets", "1", "--reason", "unsuitable"], "reason-not-taken");
    ok("rita", &["redact", "tickets", "1-2"]);
    refused("rita", &["redact", "tickets", "1"], "another-reviewer-needed");
    assert_eq!(statuses(&ledger, "tickets"), ["AWAITING_REVIEW", "AWAITING_REVIEW"]);
    // The second reviewer sees the text as it was, and not what the first one made of it.
    let queue = ledger.json(&["review", "queue", "--as", "rolf"]);
    assert_eq!((&queue["items"][0]["round"], &queue["items"][0]["overdue"]), (&2.into(), &true.into()));
    assert_eq!(queue["items"][0]["example"]["redacted"], false);
    assert!(ledger.ok(&["review", "show", "tickets", "1", "--as", "rolf"]).contains("jo@example.org"));
    ok("rolf", &["redact", "tickets", "1"]);
    ok("rolf", &["approve", "tickets", "2"]);
    assert_eq!(statuses(&ledger, "tickets"), ["ELIGIBLE", "AWAITING_REVIEW"]);
    assert_eq!(ledger.json(&["review", "queue", "--as", "rolf"])["total"], 0);
    let queue = ledger.json(&["review", "queue", "--as", "rosa"]);
    assert_eq!((&queue["total"], &queue["items"][0]["round"]), (&1.into(), &3.into()));
    ok("rosa", &["redact", "tickets", "2", "--hide", "8-23"]);
    assert_eq!(statuses(&ledger, "tickets"), ["ELIGIBLE", "ELIGIBLE"]);

    let picture = ledger.path("findings.svg");
    let report = ledger.json(&["report", "pii", "--svg", picture.to_str().unwrap()]);
    let email = &report["detectors"][0]["entities"][0];
    assert_eq!((&email["found"], &email["right"], &email["precision_ppm"]), (&2.into(), &2.into(), &1_000_000.into()));
    let pair = &report["pairs"][0];
    assert_eq!((&pair["one"], &pair["other"]), (&"rita".into(), &"rolf".into()));
    assert_eq!((&pair["agreement"]["compared"], &pair["agreement"]["agreed"]), (&2.into(), &1.into()));
    assert!(std::fs::read_to_string(picture).unwrap().starts_with("<svg"));
    let told = ledger.ok(&["report", "pii", "tickets"]);
    assert!(told.contains("2 examples, 2 flagged, 2 decided") && told.contains("rita and rolf"), "{told}");

    ok("rosa", &["reopen", "tickets", "2"]);
    assert_eq!(statuses(&ledger, "tickets"), ["ELIGIBLE", "AWAITING_REVIEW"]);
}

#[test]
fn a_redaction_hides_what_asks_for_review_and_leaves_what_is_only_noted() {
    let ledger = Ledger::staffed();
    scanned(&ledger, "tickets", &["my mail is jo@example.org and I live in London"]);
    let listed = ledger.ok(&["review", "list", "tickets"]);
    assert!(listed.contains("email 11-25") && listed.contains("location") && listed.contains(", noted)"), "{listed}");
    let preview = |more: &[&str]| {
        let words = [&["review", "redact", "tickets", "1", "--preview", "--as", "rita"], more].concat();
        let output = ledger.run(&words);
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap())
    };
    let [left, said] = preview(&[]);
    assert!(left.contains("my mail is <EMAIL> and I live in London"), "{left}");
    assert!(said.contains("what is only noted stays (1 location); --noted hides it, too"), "{said}");
    let [left, said] = preview(&["--noted"]);
    assert!(left.contains("my mail is <EMAIL> and I live in <LOCATION>"), "{left}");
    assert!(!said.contains("only noted"), "{said}");

    let mut terminal = Terminal::run(&ledger, "review open tickets --as rita");
    terminal.wait_for("1 of 1");
    terminal.press("x");
    terminal.wait_for("my mail is <EMAIL> and I live in London");
    terminal.press("\r");
    terminal.wait_for("all are decided");
    terminal.press("q");
    terminal.wait_for("y sign and leave");
    terminal.press("y");
    terminal.ended();
    let shown = ledger.ok(&["review", "show", "tickets", "1", "--as", "rita"]);
    assert!(shown.contains("my mail is <EMAIL> and I live in London"), "{shown}");
    // What was left in place was not judged.
    let report = ledger.json(&["report", "pii"]);
    let location = report["detectors"][0]["entities"].as_array().unwrap().iter().find(|e| e["entity"] == "location");
    let location = location.unwrap();
    assert_eq!((&location["found"], &location["right"], &location["wrong"]), (&1.into(), &0.into(), &0.into()));
}

#[test]
fn what_is_assigned_is_for_one_until_it_is_late() {
    let ledger = Ledger::staffed();
    ledger.hire("rolf", "reviewer");
    scanned(&ledger, "tickets", &["my mail is jo@example.org", "mail to max@example.org, please"]);
    ledger.ok(&["review", "assign", "tickets", "1", "--to", "rita", "--due", "3d", "--as", "stella"]);
    let mine = |who: &str| {
        let queue = ledger.json(&["review", "queue", "tickets", "--as", who]);
        queue["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["example"]["example"]["index"].as_u64().unwrap())
            .collect()
    };
    let (rita, rolf): (Vec<u64>, Vec<u64>) = (mine("rita"), mine("rolf"));
    assert_eq!((rita, rolf), (vec![0, 1], vec![1]));
    let error = ledger.fails(1, &["review", "claim", "tickets", "1", "--as", "rolf"]);
    assert!(error.contains("assigned-to-another"), "{error}");
    ledger.ok(&["review", "assign", "tickets", "1", "--to", "rita", "--due", "2026-01-01", "--as", "stella"]);
    let late = ledger.ok(&["review", "queue", "--overdue"]);
    assert!(late.contains("late") && late.contains("rita (assigned)"), "{late}");
    ledger.ok(&["review", "claim", "tickets", "1", "--as", "rolf"]);
    let error = ledger.fails(1, &["review", "assign", "tickets", "1", "--to", "rolf", "--as", "rita"]);
    assert!(error.contains("role-missing"), "only stewards and officers give work to others: {error}");
    let preview = ledger.ok(&["review", "redact", "tickets", "1", "--preview", "--as", "rolf"]);
    assert!(preview.contains("my mail is <EMAIL>"), "{preview}");
    assert_eq!(statuses(&ledger, "tickets"), ["AWAITING_REVIEW", "AWAITING_REVIEW"], "a preview decides nothing");
}

#[test]
fn what_is_no_personal_data_passes_once_the_root_keys_adopt_it_and_not_before() {
    let ledger = Ledger::staffed();
    let hotline = "write to hotline@example.org any time";
    scanned(&ledger, "tickets", &[hotline, "or to hotline@example.org", "I am kim@example.org"]);
    ledger.ok(&["review", "approve", "tickets", "1", "2", "--as", "rita"]);
    ledger.ok(&["review", "redact", "tickets", "3", "--as", "rita"]);
    let proposed = ledger.run(&["review", "allow-list", "tickets", "--as", "rita"]);
    let told = String::from_utf8(proposed.stderr).unwrap();
    assert!(told.contains("2 times  email  hotline@example.org") && !told.contains("kim@"), "{told}");
    let policy = String::from_utf8(proposed.stdout).unwrap();
    assert!(policy.contains("allow_list:") && !policy.contains("hotline"), "{policy}");

    scanned(&ledger, "before", &["again hotline@example.org"]);
    assert_eq!(statuses(&ledger, "before"), ["AWAITING_REVIEW"]);
    let file = ledger.file("policy.yaml", policy.as_bytes());
    ledger.ok(&["policy", "adopt", &file, "--as", "ada", "--with", "ben"]);
    assert_eq!(statuses(&ledger, "before"), ["AWAITING_REVIEW"], "what was found is never cleared without review");
    scanned(&ledger, "after", &["again hotline@example.org", "again kim@example.org"]);
    assert_eq!(statuses(&ledger, "after"), ["ELIGIBLE", "AWAITING_REVIEW"]);
    // What is on the list stays on it.
    ledger.ok(&["review", "approve", "after", "2", "--as", "rita"]);
    ledger.ok(&["review", "reopen", "tickets", "3", "--as", "rita"]);
    let shown = ledger.run(&["review", "allow-list", "after", "--at-least", "1", "--as", "rita"]);
    assert!(String::from_utf8(shown.stderr).unwrap().contains("kim@example.org"));
}
