//! Two arms side by side, by the real binary on a tiny model.

use crate::{
    Served, ask,
    common::{Ledger, http::Client},
    confirmations, events_of, in_production, until,
};
use serde_json::{Value, json};
use std::fmt::Write as _;

const USERS: usize = 24;

/// The version that answers a user.
fn version_of(client: &Client, user: &str) -> String {
    let answer = ask(client, "triage", json!({ "user": user }));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.header("x-attestune-version").unwrap().to_owned()
}

fn as_challenger(ledger: &Ledger) {
    ledger.ok(&["promote", "request", "triage@2", "--to", "staging", "--as", "mina"]);
    ledger.ok(&["promote", "approve", "triage@2", "--as", "omar"]);
    ledger.ok(&["promote", "request", "triage@2", "--to", "production", "--challenger", "--as", "mina"]);
    ledger.ok(&["promote", "approve", "triage@2", "--as", "omar"]);
    ledger.ok(&["promote", "approve", "triage@2", "--meaning", "responsible-for-release", "--as", "pia"]);
}

#[test]
fn each_user_gets_one_arm_for_as_long_as_the_experiment_runs() {
    let ledger = in_production();
    ledger.train_and_evaluate("2", "triage@2");
    as_challenger(&ledger);
    let served = Served::start(&ledger);
    let mina = served.client(&ledger, "mina");
    assert_eq!(version_of(&mina, "user-0"), "triage@1", "a challenger without an experiment is served to nobody");

    let start = ["experiment", "start", "triage", "--a", "1", "--b", "2", "--share", "50%", "--metric", "resolved"];
    let started = ledger.json(&[&start[..], &["--users-min", "10", "--share-alpha", "0%", "--as", "mina"]].concat());
    let experiment = started["position"].to_string();
    let users: Vec<String> = (0..USERS).map(|user| format!("user-{user}")).collect();
    let first: Vec<String> = users.iter().map(|user| version_of(&mina, user)).collect();
    let again: Vec<String> = users.iter().rev().map(|user| version_of(&mina, user)).collect();
    assert!(first.iter().eq(again.iter().rev()), "the same user, the same arm");
    let of_second = first.iter().filter(|version| *version == "triage@2").count();
    assert!((1..USERS).contains(&of_second), "{of_second} of {USERS} users got version 2");
    // Whoever names no user, or a version, is in no arm.
    for (model, expected) in [("triage", "triage@1"), ("triage@2", "triage@2")] {
        assert_eq!(ask(&mina, model, json!({})).header("x-attestune-version"), Some(expected));
    }

    let both = until("the server confirms both arms", || {
        confirmations(&ledger).pop().filter(|last| last["challenger"]["version"] == 2)
    });
    assert_eq!(both["version"], 1);
    let arm = |version: &str| ledger.json(&["provenance", version])["version"]["adapter_digest"].clone();
    assert_eq!((&both["adapter_digest"], &both["challenger"]["adapter_digest"]), (&arm("triage@1"), &arm("triage@2")));

    // What is counted at the end puts each user into the arm that served it.
    let mut rows = String::from("user,value\n");
    users.iter().zip(&first).for_each(|(user, version)| {
        let _ = writeln!(rows, "{user},{}", u8::from(version == "triage@2"));
    });
    let outcomes = ledger.file("outcomes.csv", rows.as_bytes());
    let looked = ledger.json(&["experiment", "look", &experiment, "--outcomes", &outcomes, "--as", "mina"]);
    assert_eq!((&looked["users"]["b"], &looked["difference"]), (&json!(of_second), &json!("1.000000000000")));
    ledger.ok(&["experiment", "conclude", &experiment, "--outcomes", &outcomes, "--stop", "--as", "mina"]);
    assert!(users.iter().all(|user| version_of(&mina, user) == "triage@1"), "nothing in force has changed");

    served.up.terminate();
    let requests = |version: u64| -> u64 {
        let of = |window: &&Value| window["version"] == version;
        events_of(&ledger, "window-observed").iter().filter(of).map(|window| window["requests"].as_u64().unwrap()).sum()
    };
    // Twice each, one by its number, one before, all after: each is in the windows of the version that answered.
    assert_eq!(requests(2), 2 * of_second as u64 + 1);
    assert_eq!(requests(1), 2 * (USERS - of_second) as u64 + 1 + 1 + USERS as u64);
}
