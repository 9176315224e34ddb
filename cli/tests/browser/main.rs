//! The pages in a real browser: Debian's Chromium, driven by playwright-core, judged by axe-core. Where these are not to
//! be had (scripts/browser/install) the tests say SKIPPED and end. Screenshots lie in the build folder.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

use attestune_replay_tests::free_port;
use common::{Ledger, process::Running};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a scenario of this folder in a browser on a ledger that is up.
fn in_a_browser(ledger: &Ledger, scenario: &str, port: u16, more: &[(&str, String)]) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let output = Command::new("node")
        .arg(here.join(scenario))
        .env("ATTESTUNE", env!("CARGO_BIN_EXE_attestune"))
        .env("ATTESTUNE_FOLDER", ledger.folder())
        .env("BASE", format!("http://127.0.0.1:{port}"))
        .env("CHROMIUM", "/usr/bin/chromium")
        .env("MODULES", modules().unwrap())
        .env("PROFILE", ledger.path("profile"))
        .env("SHOTS", shots())
        .envs(more.iter().map(|(name, value)| (*name, value.as_str())))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Where playwright-core and axe-core are, if they are here with a browser. Only looks: `make test` installs before.
fn modules() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/browser/installed");
    let output = Command::new(script).output().unwrap();
    if !output.status.success() {
        // Past libtest's capture: it is to be seen.
        let said = "SKIPPED: the pages in a browser: Chromium, node or their modules are missing: run scripts/browser/install";
        writeln!(std::io::stderr(), "\n{said}").unwrap();
        return None;
    }
    Some(String::from_utf8(output.stdout).unwrap().trim().into())
}

fn shots() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_attestune"));
    binary.parent().unwrap().join("screenshots")
}

#[test]
fn an_officer_looks_at_the_past_walks_back_to_the_source_and_approves_once() {
    if modules().is_none() {
        return;
    }
    let ledger = Ledger::none();
    ledger.init(&[("browser_keys_approve: false", "browser_keys_approve: true")]);
    ledger.staff();
    ledger.equip();
    let past = ledger.size() - 1;
    ledger.freeze_triage();
    ledger.train_and_evaluate("1", "triage@1");
    ledger.ok(&["promote", "request", "triage@1", "--to", "staging", "--as", "mina"]);
    ledger.ok(&["promote", "approve", "triage@1", "--as", "pia"]);
    let asked = ledger.json(&["promote", "request", "triage@1", "--to", "production", "--as", "mina"]);

    let port = free_port();
    let up = Running::up(&ledger, &["--no-workers", "--listen", &format!("127.0.0.1:{port}")]);
    let more = [("PAST", past.to_string()), ("PROMOTION", asked["position"].to_string())];
    in_a_browser(&ledger, "officer.mjs", port, &more);
    up.terminate();
    let approvals = &ledger.json(&["registry", "promotions"])["promotions"][1]["approvals"];
    assert_eq!(approvals.as_array().unwrap().len(), 1);
    assert_eq!(approvals[0]["signer"]["actor"], "omar");
}

#[test]
fn a_reviewer_decides_on_five_examples_by_keyboard_and_signs_once() {
    if modules().is_none() {
        return;
    }
    let ledger = Ledger::staffed();
    let hostile = "<img src=x onerror=alert(1)>\u{202e}";
    let rows = [
        format!("write to zoe@example.org {hostile},card"),
        "call me under max@example.org,card".into(),
        "I am lee@example.org and angry,fees".into(),
        "Meridian lost the mail of ann@example.org,fees".into(),
        "it is tom@example.org again,closing".into(),
    ];
    let tickets = ledger.file("tickets.csv", format!("text,intent\n{}\n", rows.join("\n")).as_bytes());
    ledger.ok(&["ingest", &tickets, "--collection", "tickets", "--as", "stella"]);
    ledger.ok(&["derive", "tickets", "--prompt", r"{text}\n", "--answer", "{intent}", "--as", "stella"]);
    ledger.ok(&["scan", "--wait"]);

    let port = free_port();
    let up = Running::up(&ledger, &["--no-workers", "--listen", &format!("127.0.0.1:{port}")]);
    in_a_browser(&ledger, "reviewer.mjs", port, &[]);
    up.terminate();
    let listed = ledger.json(&["review", "list", "tickets", "--all"]);
    let status = |of: &str| listed["examples"].as_array().unwrap().iter().filter(|e| e["status"] == of).count();
    assert_eq!((status("EXAMPLE_STATUS_ELIGIBLE"), status("EXAMPLE_STATUS_REJECTED")), (4, 1), "{listed}");
    let shown = ledger.json(&["review", "show", "tickets", "4", "--as", "rita"]);
    let prompt = shown[0]["prompt"].as_str().unwrap();
    assert!(prompt.contains("<PERSONAL_DATA> lost the mail of <") && !prompt.contains("ann@"), "{prompt}");
}
