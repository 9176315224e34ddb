//! The commands that reach Kafka, against a real one. Without Java and Kafka (scripts/kafka/install) each test says
//! SKIPPED and ends.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use attestune_ledger::log::kafka::{Stamp, create, describe};
use attestune_ledger::log::{EventLog as _, Kafka, KafkaConfig, KafkaError};
use attestune_ledger::store::{Options, Store};
use attestune_replay_tests::kafka::Cluster;
use common::Ledger;

/// Options that name a ledger's topic.
fn to(cluster: &Cluster, topic: &str) -> [String; 4] {
    ["--kafka", cluster.bootstrap(), "--ledger", topic].map(String::from)
}

fn with<'a>(args: &[&'a str], more: &'a [String]) -> Vec<&'a str> {
    args.iter().copied().chain(more.iter().map(String::as_str)).collect()
}

#[test]
fn a_ledger_moves_to_kafka_and_back_and_a_proof_issued_before_holds_after() {
    let Some(cluster) = Cluster::shared() else { return };
    let (ledger, topic) = (Ledger::staffed(), cluster.fresh_topic());
    let kafka = to(cluster, &topic);
    let size = ledger.size();
    let export = ledger.path("before.export");
    ledger.ok(&["log", "export", export.to_str().unwrap()]);

    let moved = ledger.ok(&with(&["log", "restore"], &kafka));
    assert!(moved.starts_with(&format!("{size} entries are in the topic {topic}")), "{moved}");
    // From now on the folder is a replica: it answers, and what it appends goes to the topic.
    assert_eq!(ledger.size(), size);
    ledger.ok(&["role", "withdraw", "rita", "reviewer", "--as", "ada"]);
    ledger.ok(&["doctor", "--drop-state"]);
    assert_eq!(ledger.size(), size + 1);
    let size = size + 1;

    // Back into a folder, with what the log does not hold.
    let back = Ledger::none();
    for part in ["keys", "server", "vault", "ledger.json"] {
        std::fs::create_dir_all(back.folder()).unwrap();
        let (from, into) = (ledger.folder().join(part), back.folder().join(part));
        assert!(std::process::Command::new("cp").arg("-a").args([from, into]).status().unwrap().success());
    }
    let folder = back.folder();
    let into = back.json(&with(&["log", "restore", "--into", folder.to_str().unwrap()], &kafka));
    let folded_anew = |ledger: &Ledger| {
        let replayed = ledger.json(&["replay"]);
        ["size", "entry_root", "verdict_root", "rows"].map(|name| replayed[name].clone())
    };
    assert_eq!(into["head"]["size"].to_string().trim_matches('"'), size.to_string());
    assert_eq!(folded_anew(&back), folded_anew(&ledger), "the same roots, row by row");
    // It is a log of its own again.
    back.ok(&["key", "new", "otto"]);
    back.ok(&["key", "register", "otto", "--name", "Otto", "--as", "ada"]);
    assert_eq!(back.size(), size + 1);

    // The checkpoints exported before the move cover the same leaves.
    let verified = ledger.ok(&["verify", export.to_str().unwrap()]);
    assert!(verified.contains(&(size - 1).to_string()), "{verified}");
}

#[test]
fn a_ledger_is_created_on_kafka_and_every_command_finds_it_there() {
    let Some(cluster) = Cluster::shared() else { return };
    let (ledger, topic) = (Ledger::none(), cluster.fresh_topic());
    let roots = ["--root", "ada=Ada Okafor", "--root", "ben=Ben Lindqvist", "--kafka", cluster.bootstrap()];
    let init = |ledger: &Ledger, topic: &str| ledger.run(&[&["init", topic], &roots[..]].concat());
    let output = init(&ledger, &topic);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(&format!("topic {topic} at {}", cluster.bootstrap())), "{said}");
    ledger.staff();
    let size = ledger.size();
    let found = describe(&KafkaConfig::new(cluster.bootstrap(), &topic).unwrap()).unwrap();
    assert_eq!(found.end_offset as usize, size, "every event is on the topic");
    assert_eq!(found.topic_settings["message.timestamp.type"], "LogAppendTime");

    // The topic of a ledger is never taken for another's; an empty one that somebody made is taken.
    let other = Ledger::none();
    let output = init(&other, &topic);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("holds a log already"), "{error}");
    assert!(!other.folder().join("kafka.json").exists() && !other.folder().join("ledger.unfinished").exists());
    let made = cluster.fresh_topic();
    create(&KafkaConfig::new(cluster.bootstrap(), &made).unwrap(), Stamp::LogAppendTime).unwrap();
    assert!(init(&other, &made).status.success());
}

#[test]
fn an_init_that_fails_takes_its_topic_away() {
    let Some(cluster) = Cluster::shared() else { return };
    let (ledger, topic) = (Ledger::none(), cluster.fresh_topic());
    let error =
        ledger.fails(2, &["init", "test", "--root", "Ada=Ada", "--kafka", cluster.bootstrap(), "--ledger", &topic]);
    assert!(error.contains("bad-genesis"), "{error}");
    let found = describe(&KafkaConfig::new(cluster.bootstrap(), &topic).unwrap());
    assert!(matches!(found, Err(KafkaError::TopicMissing { .. })), "{found:?}");
    assert!(!ledger.folder().join("kafka.json").exists());
}

#[test]
fn restore_names_what_stands_in_its_way() {
    let Some(cluster) = Cluster::shared() else { return };
    let (ledger, topic) = (Ledger::new(), cluster.fresh_topic());
    let kafka = to(cluster, &topic);
    assert!(ledger.fails(2, &["log", "restore"]).contains("--kafka"));
    let nowhere = ledger.path("nowhere");
    let into = ["log", "restore", "--into", nowhere.to_str().unwrap()];
    let error = ledger.fails(2, &with(&into, &kafka));
    assert!(error.contains(&format!("there is no topic `{topic}`")), "{error}");
    assert!(!nowhere.join("db").exists());

    create(&KafkaConfig::new(cluster.bootstrap(), &topic).unwrap(), Stamp::LogAppendTime).unwrap();
    assert!(ledger.fails(2, &with(&["log", "restore"], &kafka)).contains("already"));
    let folder = ledger.folder();
    let over = ["log", "restore", "--into", folder.to_str().unwrap()];
    assert!(ledger.fails(2, &with(&over, &kafka)).contains("already"));
}

#[test]
fn doctor_names_each_weak_setting_of_a_topic_and_says_no() {
    let Some(cluster) = Cluster::shared() else { return };
    let ledger = Ledger::none();
    let topic = cluster.fresh_topic();
    create(&KafkaConfig::new(cluster.bootstrap(), &topic).unwrap(), Stamp::CreateTime).unwrap();
    let output = ledger.run(&with(&["doctor"], &to(cluster, &topic)));
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    for weak in ["min.insync.replicas", "message.timestamp.type", "replication"] {
        assert!(said.contains(&format!("✗ wrong  {weak}")), "{said}");
    }
    assert!(said.contains("✓ ok     retention.ms: -1"), "{said}");
    assert!(said.contains("kafka-configs.sh --bootstrap-server"), "{said}");
}

#[test]
fn a_broker_that_is_not_there_is_named_and_a_password_is_not() {
    let ledger = Ledger::none();
    let secret = ledger.file("sasl", b"sasl.password=hunter2\nno.such=hunter2\n");
    let args = ["doctor", "--kafka", "127.0.0.1:9", "--ledger", "triage", "--kafka-config", &secret];
    let error = ledger.fails(2, &args);
    assert!(error.contains("no.such") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_replica_reads_what_another_process_wrote() {
    let Some(cluster) = Cluster::shared() else { return };
    let (ledger, topic) = (Ledger::new(), cluster.fresh_topic());
    ledger.ok(&with(&["log", "restore"], &to(cluster, &topic)));
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &Options::default()).unwrap();
    let log = Kafka::open(store, KafkaConfig::new(cluster.bootstrap(), &topic).unwrap()).unwrap();
    let size = ledger.size() as u64;
    while !log.caught_up().unwrap() {
        log.wait_past(size - 1, std::time::Duration::from_millis(100)).unwrap();
    }
    assert_eq!(log.end(), Ok(size));
}
