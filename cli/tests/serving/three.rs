//! Three servers of one ledger on Kafka, under load. Without Java and Kafka (scripts/kafka/install) the test says SKIPPED
//! and ends.

use crate::{ask, common::http::Client, common::spread::Spread, in_production, until};
use attestune_replay_tests::{free_port, kafka::Cluster};
use serde_json::json;
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

#[test]
fn a_rollback_under_load_reaches_three_servers_and_no_request_fails() {
    let Some(cluster) = Cluster::shared() else { return };
    let ledger = in_production();
    ledger.train_and_evaluate("2", "triage@2");
    ledger.promote("triage@2");
    let spread = Spread::over(&ledger, cluster);
    let folder = ledger.path("models");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(ledger.path("tiny"), folder.join("tiny")).unwrap();
    let models = folder.to_str().unwrap();
    let servers: Vec<_> = ["s1", "s2", "s3"]
        .map(|name| {
            let address = format!("127.0.0.1:{}", free_port());
            let gateway = ["gateway", "--serve", "--models", models, "--server-name", name, "--listen", &address];
            (spread.start(&gateway, name, "gateway"), address)
        })
        .into();
    let url = |address: &str| format!("http://{address}");
    let clients: Vec<Client> = servers
        .iter()
        .map(|(_, address)| {
            let token = until("a token is signed", || {
                let output = ledger.run(&["token", "--as", "mina", "--minutes", "60", "--server", &url(address)]);
                output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
            });
            Client { address: address.clone(), token: token.trim().to_owned() }
        })
        .collect();
    let first = url(&clients[0].address);
    let served = || ledger.json(&["served", "triage", "--server", &first, "--as", "mina"]);
    let confirmed = |version: u64| {
        let answer = served();
        let servers = answer["models"][0]["servers"].as_array().cloned().unwrap_or_default();
        let of = |server: &serde_json::Value| server["serving"]["confirmed"]["version"].as_u64();
        servers.iter().filter(|server| of(server) == Some(version)).count()
    };
    until("all three serve version 2", || (confirmed(2) == 3).then_some(()));

    let (stop, answered, versions) = (AtomicBool::new(false), AtomicU64::new(0), Mutex::new(Vec::new()));
    let told = thread::scope(|scope| {
        let (stop, answered, versions) = (&stop, &answered, &versions);
        for client in clients.iter().flat_map(|client| [client; 2]) {
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let answer = ask(client, "triage", json!({ "max_tokens": 16 }));
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    let version = answer.header("x-attestune-version").unwrap().to_owned();
                    versions.lock().unwrap().push((begun, version));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let after =
            |count: u64| until("requests are answered", || (answered.load(Ordering::Relaxed) >= count).then_some(()));
        after(30);
        let rollback = ["rollback", "triage", "--to", "1", "--reason", "drill", "--wait", "--as", "omar", "--json"];
        let told = ledger.ok(&[&rollback[..], &["--server", &first]].concat());
        let confirmed_at = Instant::now();
        after(answered.load(Ordering::Relaxed) + 30);
        stop.store(true, Ordering::Relaxed);
        (told, confirmed_at)
    });
    let (told, confirmed_at) = told;
    let told: serde_json::Value =
        serde_json::from_str(told.lines().last().unwrap_or_default()).or_else(|_| serde_json::from_str(&told)).unwrap();
    assert_eq!(told["servers"], 3);
    // Whatever began once all had confirmed was answered by the version rolled back to.
    let versions = versions.into_inner().unwrap();
    assert!(versions.iter().filter(|(begun, _)| *begun > confirmed_at).all(|(_, version)| version == "triage@1"));
    assert!(versions.iter().any(|(_, version)| version == "triage@2"));
    eprintln!("rolled back under load: {told}");
    assert_eq!(confirmed(1), 3);
}
