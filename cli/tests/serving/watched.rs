//! What is said of what is served, again and again, and kept of it, and what a monitor makes of it.

use crate::{Served, ask, common::Ledger, confirmations, events_of, in_production_under, until};
use serde_json::{Value, json};

/// A monitor whose key the folder's `up` finds.
fn hire_monitor(ledger: &Ledger) {
    ledger.ok(&["key", "new", "monitor"]);
    ledger.ok(&["key", "register", "monitor", "--name", "Monitor", "--kind", "worker", "--as", "ada"]);
    ledger.ok(&["role", "grant", "monitor", "monitor", "--as", "ada"]);
    std::fs::rename(ledger.folder().join("keys/monitor.key"), ledger.folder().join("server/monitor.key")).unwrap();
}

fn windows(ledger: &Ledger) -> Vec<Value> {
    ledger.json(&["watch", "list", "triage", "-n", "1000"])["windows"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_server_confirms_again_and_again() {
    let ledger = in_production_under(&[("serving_silence: 15m", "serving_silence: 900ms")]);
    let served = Served::start(&ledger);
    let beats = || -> Vec<Value> {
        let beat = |confirmed: &Value| confirmed["occasion"] == "SERVING_OCCASION_HEARTBEAT";
        confirmations(&ledger).into_iter().filter(beat).collect()
    };
    let beats = until("three heartbeats", || Some(beats()).filter(|beats| beats.len() >= 3));
    let first = confirmations(&ledger).remove(0);
    for beat in &beats {
        for same in ["server", "version", "weights_digest", "adapter_digest", "canary_digest"] {
            assert_eq!(beat[same], first[same], "{same}");
        }
    }
    let count = |beat: &Value| beat["sequence"].as_u64().unwrap();
    assert!(beats.windows(2).all(|two| count(&two[0]) < count(&two[1])));
    served.up.terminate();
    assert_eq!(confirmations(&ledger).last().unwrap()["occasion"], "SERVING_OCCASION_STOPPED");
}

#[test]
fn texts_of_requests_are_kept_for_as_long_as_the_policy_says() {
    let ledger = in_production_under(&[("request_retention: 30d", "request_retention: 1ms")]);
    let served = Served::start(&ledger);
    let mina = served.client(&ledger, "mina");
    assert_eq!(ask(&mina, "triage", json!({})).status, 200);
    served.up.terminate();
    let window = windows(&ledger).pop().unwrap()["position"].to_string();
    let texts = ["watch", "show", &window, "--texts", "--as", "mina"];
    let told = ledger.ok(&texts);
    let text: Value = serde_json::from_str(told.trim()).unwrap();
    assert_eq!((&text["request"]["prompt"], &text["caller"]), (&json!("lost my card"), &json!("mina")));
    assert!(
        events_of(&ledger, "content-accessed").iter().any(|read| read["reader"] == "mina"),
        "the read is on record"
    );

    // A server that starts looks for what is over its time.
    let served = Served::start(&ledger);
    let error = until("the text is erased", || {
        let output = ledger.run(&texts);
        (!output.status.success()).then(|| String::from_utf8(output.stderr).unwrap())
    });
    assert!(error.contains("erased"), "{error}");
    served.up.terminate();
    let shown = ledger.json(&["watch", "show", &window]);
    assert_eq!(shown["requests"], 1, "its window stays");
    assert!(ledger.json(&["replay"])["rows"].as_u64().unwrap() > 50);
}

#[test]
fn bad_outcomes_of_answers_bring_an_alert_that_a_person_acknowledges() {
    let ledger = in_production_under(&[("window: 1h", "window: 1s")]);
    hire_monitor(&ledger);
    let served = Served::working(&ledger, &[]);
    let mina = served.client(&ledger, "mina");
    let report = |metric: &str, value: i64, model: &str| {
        mina.post("/v1/outcomes", &json!({ "model": model, "metric": metric, "value": value }).to_string())
    };
    assert_eq!(ask(&mina, "triage", json!({})).status, 200);
    // What is no outcome, or of nothing, is said to be, and the server goes on.
    for (answer, status, code) in [
        (report("format", 2, "triage@1"), 400, "invalid_value"),
        (report("format", 1, "triage"), 400, "invalid_value"),
        (report("format", 1, "triage@9"), 404, "model_not_found"),
        (mina.post("/v1/outcomes", "{"), 400, "invalid_json"),
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.body);
    }
    for _ in 0..20 {
        let counted = report("format", 0, "triage@1");
        assert_eq!((counted.status, &counted.json()["counted"]), (200, &json!("outcomes")), "{}", counted.body);
    }
    let rita = served.client(&ledger, "rita");
    let reviewed = rita.post("/v1/outcomes", r#"{"model": "triage@1", "metric": "compliance", "value": 1}"#);
    assert_eq!(reviewed.json()["counted"], "reviewed");

    let open = || ledger.json(&["alert", "list", "triage", "--open"])["alerts"].as_array().cloned().unwrap_or_default();
    let fell = |alert: &Value| {
        let raised = &alert["raised"];
        raised["kind"] == "ALERT_KIND_QUALITY_FELL" && raised["subject"] == "outcome.format"
    };
    let alert = until("the monitor raises an alert", || open().into_iter().find(fell));
    assert_eq!((&alert["signer"]["actor"], &alert["raised"]["allowed"]), (&json!("monitor"), &json!("4")));
    let position = alert["position"].to_string();
    ledger.ok(&["alert", "ack", &position, "--action", "rolled-back", "--as", "omar"]);
    assert!(open().iter().all(|other| other["position"] != alert["position"]), "somebody has seen it");

    let evidence = alert["raised"]["evidence"][0].to_string();
    let shown = ledger.ok(&["watch", "show", &evidence]);
    // The tiny model was trained on three tickets.
    for said in ["read of", "outcome.format", "drift too-few-texts", "detector attestune-pii-"] {
        assert!(shown.contains(said), "{said} in {shown}");
    }
    let read = until("all windows are read", || {
        let all = windows(&ledger);
        let unread = |window: &Value| window["server"] != "" && window["read_at"] == 0;
        (!all.iter().any(unread)).then_some(all)
    });
    let readings = read.iter().filter(|window| window["server"] == "").count();
    assert!(readings > 0 && readings < read.len());
    served.up.terminate();
}
