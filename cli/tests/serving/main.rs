//! Serving by the real binary, on a tiny random model: what is in force answers, whatever is sent.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod arms;
#[path = "../common/mod.rs"]
mod common;
mod one;
mod three;
mod watched;

use attestune_replay_tests::free_port;
use common::{
    Ledger,
    http::{Answer, Client},
    process::{PATIENCE, Running},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const TEMPLATE: &str = "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}\
    {{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";

/// A ledger with `triage@1` in production.
fn in_production() -> Ledger {
    in_production_under(&[])
}

/// The same under the default policy in which some lines are replaced.
fn in_production_under(lines: &[(&str, &str)]) -> Ledger {
    let ledger = Ledger::none();
    ledger.init(lines);
    ledger.staff();
    ledger.equip();
    std::fs::write(ledger.path("tiny").join("chat_template.jinja"), TEMPLATE).unwrap();
    ledger.freeze_triage();
    ledger.train_and_evaluate("1", "triage@1");
    ledger.promote("triage@1");
    ledger
}

/// A running server.
struct Served {
    up: Running,
    address: String,
}

impl Served {
    fn start(ledger: &Ledger) -> Self {
        Self::with(ledger, &[])
    }

    fn with(ledger: &Ledger, more: &[&str]) -> Self {
        Self::working(ledger, &[&["--no-workers"], more].concat())
    }

    /// One with the folder's workers.
    fn working(ledger: &Ledger, more: &[&str]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let args = ["--serve", "--server-name", "one", "--listen", &address];
        Self { up: Running::up(ledger, &[&args[..], more].concat()), address }
    }

    /// A client that acts for somebody.
    fn client(&self, ledger: &Ledger, actor: &str) -> Client {
        Client { address: self.address.clone(), token: ledger.ok(&["token", "--as", actor]).trim().to_owned() }
    }
}

fn completion(model: &str, more: Value) -> String {
    let mut request = json!({ "model": model, "prompt": "lost my card", "max_tokens": 4, "temperature": 0 });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request.to_string()
}

fn ask(client: &Client, model: &str, more: Value) -> Answer {
    client.post("/v1/completions", &completion(model, more))
}

/// The events of a kind on the log, oldest first.
fn events(ledger: &Ledger, kind: &str) -> Vec<Value> {
    let told = ledger.ok(&["history", "--kind", kind, "--json"]);
    told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn confirmations(ledger: &Ledger) -> Vec<Value> {
    events(ledger, "serving-confirmed").into_iter().map(|event| event["event"]["serving_confirmed"].clone()).collect()
}

/// Waits until something is so.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn until_confirmed(ledger: &Ledger, version: u64) -> Value {
    until("the server confirms", || {
        confirmations(ledger).pop().filter(|last| last["version"].as_u64().unwrap_or(0) == version)
    })
}

/// The bodies of the events of a kind.
fn events_of(ledger: &Ledger, kind: &str) -> Vec<Value> {
    let field = kind.replace('-', "_");
    events(ledger, kind).into_iter().map(|event| event["event"][&field].clone()).collect()
}

/// Alerts that were raised.
fn events_of_alerts(ledger: &Ledger) -> Vec<Value> {
    events_of(ledger, "alert-raised")
}
