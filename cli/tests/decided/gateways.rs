//! Gateways that publish, each a process: killed, fenced, asked for what they wrote.

use super::common::{Ledger, process::Running};
use super::desk::{PATIENCE, Watch, check, committed, decided, key_file, ledger_of, until};
use attestune_ledger::envelope::{fit_key, pae, verify_bytes};
use attestune_ledger::log::KafkaConfig;
use attestune_replay_tests::kafka::Cluster;
use attestune_replay_tests::{World, free_port, ingested};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A gateway in a process.
pub struct Gateway {
    running: Running,
    address: String,
    said: PathBuf,
}

impl Gateway {
    /// Starts one with these arguments, its replica in a folder of that name, and waits until it is ready.
    pub fn start(ledger: &Ledger, config: &KafkaConfig, replica: &str, key: &Path, args: &[&str]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let said = ledger.path(&format!("{replica}.said"));
        let vault = ledger.folder().join("vault");
        std::fs::create_dir_all(&vault).unwrap();
        let mut command = ledger.command(&["gateway", "--listen", &address]);
        command.args(["--kafka", config.brokers(), "--ledger", config.topic()]).args(args);
        command.arg("--vault").arg(format!("file://{}", vault.display()));
        command.arg("--replica").arg(ledger.path(replica)).arg("--key").arg(key);
        let gateway = Self { running: Running::noting(command, &said), address, said };
        until("the gateway is ready", || gateway.page("/readyz").starts_with("HTTP/1.1 200"));
        gateway
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn page(&self, path: &str) -> String {
        let mut answer = String::new();
        if let Ok(mut socket) = TcpStream::connect(&self.address) {
            let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
            let asked = socket.write_all(request.as_bytes()).and_then(|()| socket.read_to_string(&mut answer));
            asked.unwrap_or_default();
        }
        answer
    }

    fn metric(&self, name: &str) -> Option<u64> {
        self.page("/metrics").lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Waits until so many positions are published, as it sees.
    pub fn has_published(&self, positions: u64) {
        until("all is published", || self.metric("attestune_published_position ") == Some(positions));
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }

    pub fn terminate(self) {
        self.running.terminate();
    }
}

#[test]
fn a_gateway_killed_in_mid_transaction_and_started_again_publishes_each_position_once() {
    let Some(cluster) = Cluster::shared() else { return };
    let mut world = World::new();
    for batch in 0..2000u32 {
        world.must("sten", ingested("tickets", 1));
        for n in 0..16u32 {
            world.push([batch.to_be_bytes(), n.to_be_bytes()].concat());
        }
    }
    let (config, desk) = (ledger_of(cluster, &world), Ledger::none());
    let key = key_file(desk.path("").as_path(), "gateway");
    let topic = decided(&config);
    let start = || Gateway::start(&desk, &config, "replica", &key, &["--publish"]);

    let mut killed = 0;
    for _ in 0..20 {
        let mut gateway = start();
        let watch = Watch::of(&topic);
        let deadline = Instant::now() + PATIENCE;
        while !watch.is_open() {
            assert!(Instant::now() < deadline, "a transaction is open");
        }
        assert!(gateway.running.kill());
        // One that was being committed just then may have been.
        killed += usize::from(watch.is_open());
        if killed == 3 {
            break;
        }
    }
    assert_eq!(killed, 3, "killed in mid-transaction");
    let positions = world.log.len() as u64;
    assert!((committed(&topic).len() as u64) < positions, "it was killed before it was done");
    let gateway = start();
    gateway.has_published(positions);
    gateway.terminate();
    check(&committed(&topic), positions);
}

/// A ledger of the command line's, moved to Kafka, with something refused on it.
pub fn moved(cluster: &Cluster) -> (Ledger, KafkaConfig) {
    let ledger = Ledger::staffed();
    let error = ledger.fails(1, &["role", "grant", "mina", "officer", "--as", "stella"]);
    assert!(error.contains("refused at position"), "{error}");
    let topic = cluster.fresh_topic();
    ledger.ok(&["log", "restore", "--kafka", cluster.bootstrap(), "--ledger", &topic]);
    let config = KafkaConfig::new(cluster.bootstrap(), &topic).unwrap();
    (ledger, config)
}

/// The key that a ledger's gateway signs with.
pub fn own_key(ledger: &Ledger) -> PathBuf {
    ledger.folder().join("server/gateway.key")
}

#[test]
fn a_gateway_that_is_fenced_says_so_and_goes_on_serving_and_json_needs_no_protobuf_to_be_checked() {
    let Some(cluster) = Cluster::shared() else { return };
    let (ledger, config) = moved(cluster);
    let size = ledger.size() as u64;
    let json = ["--publish=json"];
    let start = |name: &str| Gateway::start(&ledger, &config, name, &own_key(&ledger), &json);
    let one = start("gateway-1");
    one.has_published(size);
    let two = start("gateway-2");
    two.has_published(size);
    // Whatever comes now is published by the second; the first hears that it is fenced, and serves on.
    ledger.ok(&["key", "new", "otto"]);
    ledger.ok(&["key", "register", "otto", "--name", "Otto", "--as", "ada", "--server", &one.url()]);
    two.has_published(size + 1);
    until("the first says that it is fenced", || one.said().contains("another process publishes to"));
    until("and shows it", || one.metric("attestune_publishing ") == Some(0));
    assert!(one.said().contains("stands by"), "{}", one.said());
    assert_eq!(two.metric("attestune_publishing "), Some(1));
    assert!(one.page("/readyz").starts_with("HTTP/1.1 200"));
    let keys = ledger.json(&["key", "list", "--server", &one.url(), "--as", "stella"]);

    let records = committed(&decided(&config));
    check(&records, size + 1);
    let mut refused = 0;
    for record in &records {
        assert_eq!(record.headers["content-type"], "application/json");
        let value: Value = serde_json::from_slice(&record.value).unwrap();
        assert_eq!(value["position"], record.position());
        assert_eq!(value["event"]["actor"].as_str().map(str::is_empty), Some(false));
        let dsse = &value["dsse"];
        let bytes = |value: &Value| BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap();
        let message = pae(dsse["payloadType"].as_str().unwrap(), &bytes(&dsse["payload"]));
        for signature in dsse["signatures"].as_array().unwrap() {
            let row = keys["keys"].as_array().unwrap().iter().find(|row| row["keyid"] == signature["keyid"]).unwrap();
            let public = fit_key(&hex::decode(row["public_key"].as_str().unwrap()).unwrap()).unwrap();
            assert!(verify_bytes(&public, &message, &bytes(&signature["sig"])));
        }
        if value["verdict"] == "VERDICT_REFUSED" {
            assert!(record.headers["ce_type"].starts_with("attestune.v1.refused."));
            assert!(!value["refusal"]["figures"].as_array().unwrap().is_empty(), "{value}");
            refused += 1;
        }
    }
    assert_eq!(refused, 1);
    two.terminate();
    one.terminate();
}

#[test]
fn decode_prints_a_record_of_either_topic_in_either_format_once_its_signature_is_checked() {
    let Some(cluster) = Cluster::shared() else { return };
    let (ledger, config) = moved(cluster);
    let size = ledger.size() as u64;
    let topic = decided(&config);
    let gateway = Gateway::start(&ledger, &config, "gateway", &own_key(&ledger), &["--publish"]);
    gateway.has_published(size);
    let protobuf = committed(&topic).into_iter().find(|record| record.key == "actor/stella").unwrap();
    gateway.terminate();
    attestune_ledger::log::kafka::delete(&topic).unwrap();
    let gateway = Gateway::start(&ledger, &config, "gateway", &own_key(&ledger), &["--publish=json"]);
    gateway.has_published(size);
    let json = committed(&topic).into_iter().find(|record| record.position() == protobuf.position()).unwrap();
    let (url, envelope) = (gateway.url(), protobuf.decided().envelope);

    let asked = ["--server", &url, "--as", "stella"];
    let keys = ledger.json(&[&["key", "list"], &asked[..]].concat());
    let of = |actor: &str| keys["keys"].as_array().unwrap().iter().find(|row| row["actor"] == actor).unwrap();
    let public = |actor: &str| of(actor)["public_key"].as_str().unwrap().to_owned();
    let list = ledger.file("keys.json", keys.to_string().as_bytes());
    for (name, value) in [("protobuf", &protobuf.value), ("json", &json.value), ("envelope", &envelope)] {
        let file = ledger.file(name, value);
        let decode = ["log", "decode", "--record", &file];
        let told = ledger.json(&[&decode[..], &asked].concat());
        assert_eq!((&told["signature"], &told["event"]["actor"]), (&"verified".into(), &"ada".into()), "{told}");
        assert_eq!(
            (&told["signed_by"][0]["actor"], &told["envelope"]),
            (&"ada".into(), &hex::encode(&envelope).into())
        );
        if name != "envelope" {
            assert_eq!(
                (&told["position"], &told["verdict"]),
                (&protobuf.position().into(), &"VERDICT_ACCEPTED".into())
            );
        }
        // Without a server.
        for keys in [["--keys", &list], ["--public-key", &public("ada")]] {
            assert_eq!(ledger.json(&[&decode[..], &keys].concat())["signature"], "verified");
        }
        let error = ledger.fails(1, &[&decode[..], &["--public-key", &public("stella")]].concat());
        assert!(error.contains("is not among the 1 known"), "{error}");
        assert_eq!(ledger.json(&[&decode[..], &["--unchecked"]].concat())["signature"], "unchecked");
    }
    // A bit of the signature, which stands at the envelope's end before the key's id.
    let mut forged = envelope.clone();
    let at = forged.len() - 40;
    forged[at] ^= 1;
    let file = ledger.file("forged", &forged);
    let error = ledger.fails(1, &[&["log", "decode", "--record", &file], &asked[..]].concat());
    assert!(error.contains("does not verify"), "{error}");
    let file = ledger.file("nothing", b"no record");
    assert!(ledger.fails(1, &["log", "decode", "--record", &file]).contains("holds no record"));
    gateway.terminate();
}
