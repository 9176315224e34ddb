//! What a compliance officer asks, and takes out of the house.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Ledger, flip};
use serde_json::Value;

/// A ledger with two versions of a model, the first in force again after a rollback, and an officer.
fn company() -> Ledger {
    let ledger = Ledger::staffed();
    ledger.equip();
    ledger.ok(&["key", "new", "otto"]);
    ledger.ok(&["key", "register", "otto", "--name", "Otto Nilsson", "--as", "ada"]);
    ledger.ok(&["role", "grant", "otto", "officer", "--as", "ada"]);
    ledger.freeze_triage();
    ledger.train_and_evaluate("1", "triage@1");
    ledger.promote("triage@1");
    ledger.train_and_evaluate("2", "triage@2");
    ledger.promote("triage@2");
    ledger.ok(&["rollback", "triage", "--to", "1", "--reason", "drill", "--as", "otto"]);
    ledger
}

fn id(ledger: &Ledger) -> String {
    let file: Value = serde_json::from_slice(&std::fs::read(ledger.folder().join("ledger.json")).unwrap()).unwrap();
    file["ledger"].as_str().unwrap().to_owned()
}

fn path(ledger: &Ledger, name: &str) -> String {
    ledger.path(name).to_str().unwrap().to_owned()
}

#[test]
fn an_officer_asks_about_the_past_and_hands_the_answer_out() {
    let ledger = company();
    the_answer_is_whole(&ledger);
    moments_are_told_apart(&ledger);
    the_log_is_explained(&ledger);
    bundles_leave_the_house(&ledger);
}

/// WhyInForce by its command.
fn the_answer_is_whole(ledger: &Ledger) {
    let said = ledger.ok(&["in-force", "triage"]);
    for part in [
        "triage@1 is in force as of position",
        "by a rollback at",
        "Otto Nilsson (otto)",
        "reviewed-and-approved by omar (omar)",
        "responsible-for-release by pia (pia)",
        "whose bars were fixed at",
        "✓ format: 1 of 1 passed",
        "3 members under root",
        "of 3 examples: 0 flagged, 0 reviewed, 0 redacted, 0 rejected",
        "3 of 3 examples scanned by",
        "trained by trainer: never repeated",
        "policy 1 was in force then",
        "fewer than 2 approvals of distinct persons",
        "[gate-failed]",
        "nothing, up to now",
    ] {
        assert!(said.contains(part), "{part}:\n{said}");
    }
    let now = ledger.json(&["in-force", "triage"]);
    let since = now["since_position"].as_u64().unwrap();
    let suite = now["evaluations"][0]["suite"]["position"].as_u64().unwrap();
    assert!(suite < now["run"]["position"].as_u64().unwrap(), "the bar was fixed before the training");
    assert_eq!(now["scans"][0]["scanned"], 3);
    let before = ledger.json(&["in-force", "triage", "--at-position", &(since - 1).to_string()]);
    assert_eq!(before["version"], 2);
    let after = before["after"].as_array().unwrap();
    assert_eq!((after.len(), &after[0]["position"]), (1, &now["since_position"]));
}

/// Every list at a moment; odd moments have clear answers.
fn moments_are_told_apart(ledger: &Ledger) {
    let count = |args: &[&str], field: &str| ledger.json(args)[field].as_array().unwrap().len();
    let frozen = ledger.json(&["dataset", "show", "triage"])["position"].as_u64().unwrap();
    let (before, at) = ((frozen - 1).to_string(), frozen.to_string());
    for (position, datasets, members) in [(&before, 0, 0), (&at, 1, 3)] {
        let moment = ["--at-position", position];
        assert_eq!(count(&[&["dataset", "list"], &moment[..]].concat(), "datasets"), datasets);
        assert_eq!(count(&[&["registry", "datasets"], &moment[..]].concat(), "datasets"), datasets);
        assert_eq!(count(&[&["registry", "runs"], &moment[..]].concat(), "runs"), 0);
        assert_eq!(count(&[&["suite", "list"], &moment[..]].concat(), "suites"), 1);
        if datasets == 1 {
            let shown = ledger.json(&[&["dataset", "show", "triage", "--members"], &moment[..]].concat());
            assert_eq!(shown["members"].as_array().unwrap().len(), members);
        } else {
            ledger.fails(2, &[&["dataset", "show", "triage"], &moment[..]].concat());
        }
    }
    assert_eq!(count(&["key", "list", "--at-position", "0"], "actors"), 2);
    assert_eq!(ledger.json(&["policy", "show", "--at-position", "0"])["version"], 1);
    assert_eq!(count(&["train", "status", "--at-position", &at], "runs"), 0);

    let later = ["hold list", "erasure list", "alert list", "schedule show", "experiment show", "served", "report pii"];
    for question in later {
        let asked: Vec<&str> = question.split(' ').chain(["--at-position", &at]).collect();
        ledger.json(&asked);
    }
    // What is late is reckoned from the moment; a time to come is asked of now.
    let due = ledger.json(&["due", "triage", "--at-position", &at]);
    assert_eq!((due["as_of_position"].as_u64(), due["now_ms"].as_u64() > Some(0)), (Some(frozen), true), "{due}");
    assert!(ledger.ok(&["due", "triage", "--at", "2999-01-01"]).contains("OVERDUE"));

    let error = ledger.fails(2, &["in-force", "triage", "--at", "1999-01-01"]);
    assert!(error.contains("before-the-ledger: 1999-01-01T23:59:59.999Z is before the ledger"), "{error}");
    let error = ledger.fails(2, &["in-force", "triage", "--at", "2999-01-01"]);
    assert!(error.contains("in-the-future") && error.contains("lies in the future"), "{error}");
    let error = ledger.fails(2, &["in-force", "triage", "--at", "the ides of March"]);
    assert!(error.contains("a time such as 2026-05-03T09:00:00Z"), "{error}");
    let error = ledger.fails(2, &["in-force", "nobody-s", "--at-position", &at]);
    assert!(error.contains("there is no model nobody-s as of then"), "{error}");
    let error = ledger.fails(2, &["registry", "models", "--at-position", "100000"]);
    assert!(error.contains("beyond-the-end"), "{error}");
    let today = chrono::Utc::now().format("%Y-%m-%d").to_string();
    assert_eq!(ledger.json(&["in-force", "triage", "--at", &today])["version"], 1, "the day that is not over is now");

    let said = ledger.ok(&["diff", "--from", &before, "--to", &at]);
    assert!(said.contains("dataset triage@1 has 3 members, for ever") && said.contains("1 events accepted"), "{said}");
    let said = ledger.ok(&["diff", "--from", &at]);
    assert!(said.contains("+ ") && said.contains("version 1 of triage is in force"), "{said}");
    let approvals = |args: &[&str]| {
        let filter = ["history", "--model", "triage", "--actor", "omar", "--kind", "promotion-approved"];
        ledger.ok(&[&filter[..], &["--verdict", "accepted"], args].concat()).lines().count()
    };
    assert_eq!(approvals(&[]), 4);
    assert_eq!(approvals(&["--since", &today]), 4);
    assert_eq!(approvals(&["--until", "2000-01-01"]), 0);
    assert_eq!(approvals(&["--at-position", &at]), 0);
    let error = ledger.fails(2, &["history", "--since", "2026-05-04", "--until", "2026-05-03"]);
    assert!(error.contains("ends before it begins"), "{error}");
}

/// `replay --explain`.
fn the_log_is_explained(ledger: &Ledger) {
    let said = ledger.ok(&["replay", "--explain"]);
    for part in [
        "ada created the ledger test",
        "→ the ledger test exists",
        "→ version 2 of triage is in force instead of version 1",
        "        accepted\n",
    ] {
        assert!(said.contains(part), "{part}:\n{said}");
    }
    assert_eq!(ledger.ok(&["replay", "--explain", "--to", "2", "--json"]).lines().count(), 3);
    let from = ledger.ok(&["replay", "--explain", "--from", "2", "--to", "2", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&from).unwrap()["position"], 2);
    let error = ledger.fails(2, &["replay", "--explain", "--to", "100000"]);
    assert!(error.contains("there are no entries 0 to 100000"), "{error}");
}

/// Both kinds of bundle, and who may take them out.
fn bundles_leave_the_house(ledger: &Ledger) {
    let (id, outsider) = (id(ledger), Ledger::none());
    let [complete, slice, other] = ["complete.zip", "slice.zip", "other.zip"].map(|name| path(&outsider, name));
    let export = |kind: &str, file: &str, args: &[&str]| {
        let line = ["evidence", "export", kind, "triage", file, "--purpose", "regulator", "--as", "otto"];
        ledger.command(&[&line[..], args].concat()).output().unwrap()
    };
    let said = export("complete", &complete, &["--open", "2"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    // A slice lists what it discloses before it is written.
    let said = export("slice", &slice, &[]);
    let listed = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.status.code(), Some(2));
    assert!(
        listed.contains("the slice discloses") && listed.contains("approval") && listed.contains("key or role"),
        "{listed}"
    );
    assert!(!outsider.path("slice.zip").exists());
    let said = export("slice", &slice, &["--json"]);
    let listed: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(said.status.code(), Some(2));
    // With --json what it discloses and where it is are one document.
    let said = export("slice", &slice, &["--yes", "--sample", "2", "--json"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let taken: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert!(!taken["discloses"].as_array().unwrap().is_empty() && taken["position"].is_u64(), "{taken}");
    assert_eq!(taken["discloses"], listed["discloses"]);
    let again = export("slice", &slice, &["--yes"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("is there already"));

    for (file, opened) in [(&complete, true), (&slice, false)] {
        let said = outsider.ok(&["verify", file, "--ledger", &id]);
        assert!(said.contains("proven    ") && said.contains("attested  ") && said.contains("asserted  "), "{said}");
        assert_eq!(said.contains("2 of 2 opened texts are here"), opened, "{said}");
        let said = outsider.ok(&["verify", file]);
        assert!(
            said.contains("self-consistent, origin unknown: this proves no claim") && !said.contains("proven  "),
            "{said}"
        );
        let error = outsider.fails(1, &["verify", file, "--ledger", &"00".repeat(32)]);
        assert!(error.contains("not of the one that you named"), "{error}");
        let json = outsider.json(&["verify", file, "--ledger", &id]);
        assert_eq!((&json["holds"], &json["origin"]), (&true.into(), &"known".into()));
        std::fs::copy(file, &other).unwrap();
        let middle = std::fs::metadata(&other).unwrap().len() as usize / 2;
        flip(outsider.path("other.zip").as_path(), middle);
        let error = outsider.fails(1, &["verify", &other, "--ledger", &id]);
        assert!(error.contains("does not verify: "), "{error}");
    }
    let reads = ledger.ok(&["history", "--kind", "content-accessed"]);
    assert!(reads.contains("released 2 texts to otto"), "{reads}");
    let taken = ledger.json(&["evidence", "list"]);
    assert_eq!(taken["exports"].as_array().unwrap().len(), 2);
    assert_eq!(taken["exports"][0]["texts"].as_array().unwrap().len(), 2);
    assert!(ledger.ok(&["evidence", "list"]).contains("regulator"));

    let engineer = ["evidence", "export", "complete", "triage", &other, "--purpose", "internal", "--as", "mina"];
    std::fs::remove_file(outsider.path("other.zip")).unwrap();
    let error = ledger.fails(1, &engineer);
    assert!(error.contains("role-missing") && !outsider.path("other.zip").exists(), "{error}");
    the_page_is_for_people(&complete);
}

/// The page in the bundle says what was asked and needs nothing from elsewhere.
fn the_page_is_for_people(bundle: &str) {
    let bytes = std::fs::read(bundle).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let page = &text[text.find("<!doctype html>").unwrap()..text.find("</html>").unwrap()];
    assert!(page.contains("Why triage@1 was in force") && page.contains("<bdi>Otto Nilsson</bdi>"), "{page}");
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"), "{page}");
}
