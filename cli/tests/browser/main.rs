//! The pages in a real browser: Debian's Chromium, driven by playwright-core, judged by axe-core. Where these are not to
//! be had (scripts/browser/install) the tests say SKIPPED and end. Screenshots lie in the build folder.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

use attestune_ledger::{draft::draft, keyfile::KeyFile};
use attestune_proto::v1::{AlertKind, AlertRaised, Seen, ServingConfirmed, ServingOccasion, event::Body};
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
        let said =
            "SKIPPED: the pages in a browser: Chromium, node or their modules are missing: run scripts/browser/install";
        std::io::stderr().write_all(format!("\n{said}\n").as_bytes()).unwrap();
        return None;
    }
    Some(String::from_utf8(output.stdout).unwrap().trim().into())
}

fn shots() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_attestune"));
    binary.parent().unwrap().join("screenshots")
}

/// An alert that the ledger's own gateway raises: a server of it says that it serves nothing of `triage`.
fn raise_an_alert(ledger: &Ledger, base: &str) {
    let key = KeyFile::load(&ledger.folder().join("server/gateway.key")).unwrap();
    let act = |body: Body| -> u64 {
        let seen: serde_json::Value =
            serde_json::from_str(&ledger.ok(&["probe", &format!("{base}/act/seen")])).unwrap();
        let bytes = |name: &str| hex::decode(seen[name].as_str().unwrap()).unwrap();
        let (size, now_ms) = (seen["size"].as_u64().unwrap(), seen["now_ms"].as_u64().unwrap());
        let id = uuid::Uuid::now_v7().into_bytes();
        let event = draft(&bytes("ledger"), "gateway", id, now_ms, Some(Seen { size, root: bytes("root") }), body);
        let file = ledger.file("alert.hex", hex::encode(key.sign_event(&event)).as_bytes());
        ledger.json(&["log", "append", &file])["position"].as_u64().unwrap()
    };
    let confirmed = ServingConfirmed {
        server: "server-1".into(),
        model: "triage".into(),
        occasion: ServingOccasion::Changed.into(),
        sequence: 1,
        ..Default::default()
    };
    let shown = act(Body::ServingConfirmed(confirmed));
    act(Body::AlertRaised(AlertRaised {
        model: "triage".into(),
        version: 1,
        kind: AlertKind::ServingMismatch.into(),
        subject: "server-1".into(),
        evidence: vec![shown],
        ..Default::default()
    }));
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
    ledger.ok(&["role", "grant", "omar", "officer", "--as", "ada"]); // who takes evidence out
    let past = ledger.size() - 1;
    ledger.freeze_triage();
    ledger.train_and_evaluate("1", "triage@1");
    ledger.ok(&["promote", "request", "triage@1", "--to", "staging", "--as", "mina"]);
    ledger.ok(&["promote", "approve", "triage@1", "--as", "pia"]);
    let asked = ledger.json(&["promote", "request", "triage@1", "--to", "production", "--as", "mina"]);

    let port = free_port();
    let up = Running::up(&ledger, &["--no-workers", "--listen", &format!("127.0.0.1:{port}")]);
    raise_an_alert(&ledger, &format!("http://127.0.0.1:{port}"));
    let more = [
        ("PAST", past.to_string()),
        ("PROMOTION", asked["position"].to_string()),
        ("BUNDLE", ledger.path("bundle.zip").display().to_string()),
    ];
    in_a_browser(&ledger, "officer.mjs", port, &more);
    up.terminate();
    let approvals = &ledger.json(&["registry", "promotions"])["promotions"][1]["approvals"];
    let approvers: Vec<_> = approvals.as_array().unwrap().iter().map(|approval| &approval["signer"]["actor"]).collect();
    assert_eq!(approvers, ["omar", "pia"]);
    let alerts = &ledger.json(&["alert", "list"])["alerts"];
    assert_eq!(
        (&alerts[0]["acknowledged"]["actor"], &alerts[0]["action"]),
        (&"omar".into(), &"ALERT_ACTION_FALSE_ALARM".into())
    );
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
        "the blue desk lost the mail of ann@example.org,fees".into(),
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
    assert!(prompt.contains("the <PERSONAL_DATA> lost the mail of <") && !prompt.contains("ann@"), "{prompt}");
}
