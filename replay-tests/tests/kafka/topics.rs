//! Topics that are no ledger's, or no longer the one that a replica followed.

use super::desk::{Foreign, open, open_in, refused, store_in, topic};
use attestune_ledger::log::kafka::rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication,
};
use attestune_ledger::log::kafka::rdkafka::client::DefaultClientContext;
use attestune_ledger::log::kafka::rdkafka::{ClientConfig, Offset, TopicPartitionList};
use attestune_ledger::log::kafka::{Stamp, create, delete, describe, settings::judge};
use attestune_ledger::log::{Embedded, EventLog as _, KafkaConfig, KafkaError, LogError, SystemClock};
use attestune_ledger::replica::{Replica, ReplicaError, ReplicaOptions};
use attestune_replay_tests::kafka::Cluster;
use attestune_replay_tests::{World, genesis, policy};
use std::sync::Arc;
use std::time::Duration;

fn admin(cluster: &Cluster) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Makes a topic by hand, with settings of one's own.
fn topic_by_hand(cluster: &Cluster, partitions: i32, settings: &[(&str, &str)]) -> KafkaConfig {
    let config = KafkaConfig::new(cluster.bootstrap(), &cluster.fresh_topic()).unwrap();
    let mut topic = NewTopic::new(config.topic(), partitions, TopicReplication::Fixed(1));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    wait(admin(cluster).create_topics([&topic], &AdminOptions::new())).unwrap().pop().unwrap().unwrap();
    config
}

#[test]
fn a_missing_topic_is_named() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = KafkaConfig::new(cluster.bootstrap(), "nowhere").unwrap();
    let error = refused(&tempfile::tempdir().unwrap(), &config);
    let brokers = cluster.bootstrap().into();
    assert_eq!(error, KafkaError::TopicMissing { topic: "nowhere".into(), brokers }.into());
}

#[test]
fn a_topic_with_two_partitions_has_no_one_order() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic_by_hand(cluster, 2, &[]);
    let error = refused(&tempfile::tempdir().unwrap(), &config);
    assert_eq!(error, KafkaError::Partitions { topic: config.topic().into(), count: 2 }.into());
}

#[test]
fn a_topic_is_never_made_over_another() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let again = create(&config, Stamp::LogAppendTime);
    assert_eq!(again, Err(KafkaError::TopicExists { topic: config.topic().into() }));
}

#[test]
fn a_topic_made_for_a_ledger_keeps_everything_and_one_broker_is_its_only_weakness() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let found = describe(&config).unwrap();
    let weak = judge(&found, cluster.bootstrap()).into_iter().filter(|judgement| judgement.weakness.is_some());
    assert_eq!(weak.map(|judgement| judgement.name).collect::<Vec<_>>(), ["min.insync.replicas", "replication"]);
}

#[test]
fn three_brokers_leave_no_weakness() {
    let Some(cluster) = Cluster::start(3) else { return };
    let config = topic(&cluster);
    let judged = judge(&describe(&config).unwrap(), cluster.bootstrap());
    let weak: Vec<_> = judged.iter().filter(|judgement| judgement.weakness.is_some()).collect();
    assert!(weak.is_empty(), "{weak:?}");
}

#[test]
fn compaction_and_finite_retention_are_named() {
    let Some(cluster) = Cluster::shared() else { return };
    let settings = [("cleanup.policy", "compact"), ("retention.ms", "1000"), ("message.timestamp.type", "CreateTime")];
    let config = topic_by_hand(cluster, 1, &settings);
    let judged = judge(&describe(&config).unwrap(), cluster.bootstrap());
    for (name, _) in settings {
        assert!(judged.iter().any(|j| j.name == name && j.weakness.is_some()), "{name}: {judged:?}");
    }
}

#[test]
fn a_topic_made_anew_under_a_running_replica_stops_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let log = open(&config);
    log.log.append(vec![b"old".to_vec(); 3]).unwrap();
    delete(&config).unwrap();
    create(&config, Stamp::LogAppendTime).unwrap();
    // Longer than the old one, so that offsets alone tell nothing.
    Foreign::new(&config, &[]).write(&[&b"new"[..]; 9]);
    let error = log.stops_with();
    let remade = LogError::from(KafkaError::Remade { topic: config.topic().into() });
    assert_eq!(error, remade);
    assert_eq!(log.log.append(vec![b"more".to_vec()]), Err(remade.clone()));
    // Nor does it start again on it.
    assert_eq!(refused(&log.close(), &config), remade);
}

#[test]
fn a_topic_deleted_under_a_running_replica_stops_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster).with_timeouts(Duration::from_secs(5), Duration::from_secs(30));
    let log = open(&config);
    log.log.append(vec![b"x".to_vec()]).unwrap();
    delete(&config).unwrap();
    assert!(matches!(log.stops_with(), LogError::Kafka(KafkaError::TopicMissing { .. })));
}

#[test]
fn a_topic_that_gets_a_second_partition_under_a_running_replica_stops_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let log = open(&config);
    log.log.append(vec![b"x".to_vec()]).unwrap();
    let two = NewPartitions::new(config.topic(), 2);
    wait(admin(cluster).create_partitions([&two], &AdminOptions::new())).unwrap().pop().unwrap().unwrap();
    let split = LogError::from(KafkaError::Partitions { topic: config.topic().into(), count: 2 });
    assert_eq!(log.stops_with(), split);
    assert_eq!(refused(&log.close(), &config), split);
}

/// A topic that is gone, and the closed folder of a replica that had read three records of it.
fn followed_and_deleted(cluster: &Cluster) -> (KafkaConfig, tempfile::TempDir) {
    let config = topic(cluster);
    let log = open(&config);
    log.log.append(vec![b"old".to_vec(); 3]).unwrap();
    let folder = log.close();
    delete(&config).unwrap();
    (config, folder)
}

#[test]
fn a_topic_that_is_followed_and_not_there_is_waited_for_as_brokers_that_have_just_started_know_none() {
    let Some(cluster) = Cluster::shared() else { return };
    let (config, folder) = followed_and_deleted(cluster);
    let error = std::thread::scope(|scope| {
        let opening = scope.spawn(|| refused(&folder, &config));
        std::thread::sleep(Duration::from_secs(4)); // more than a topic that is not followed is given
        assert!(!opening.is_finished(), "it waits");
        create(&config, Stamp::LogAppendTime).unwrap();
        opening.join().unwrap()
    });
    assert!(matches!(&error, LogError::Kafka(KafkaError::EndLost { known: 3, .. })), "it looked at what came: {error}");
}

#[test]
fn a_topic_made_anew_and_shorter_has_lost_its_end() {
    let Some(cluster) = Cluster::shared() else { return };
    let (config, folder) = followed_and_deleted(cluster);
    create(&config, Stamp::LogAppendTime).unwrap();
    let lost = KafkaError::EndLost { topic: config.topic().into(), end: 0, known: 3 };
    assert_eq!(refused(&folder, &config), lost.into());
}

#[test]
fn a_beginning_that_was_deleted_is_named_and_who_has_it_goes_on() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let log = open(&config);
    log.log.append((0..9).map(|n| vec![n]).collect()).unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(config.topic(), 0, Offset::Offset(4)).unwrap();
    wait(admin(cluster).delete_records(&offsets, &AdminOptions::new())).unwrap();
    let lost = KafkaError::BeginningLost { topic: config.topic().into(), first: 4, needed: 0 };
    assert_eq!(refused(&tempfile::tempdir().unwrap(), &config), lost.into());
    let again = open_in(log.close(), &config);
    assert_eq!(again.log.append(vec![vec![9]]).unwrap(), [9]);
    let judged = judge(&describe(&config).unwrap(), cluster.bootstrap());
    assert!(judged.iter().any(|judgement| judgement.name == "first offset" && judgement.weakness.is_some()));
}

#[test]
fn a_folder_with_a_log_of_its_own_follows_no_topic_and_one_that_follows_is_no_log_of_its_own() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(&folder);
    let own = Embedded::open(store.clone(), Arc::new(SystemClock)).unwrap();
    own.append(vec![b"x".to_vec(); 2]).unwrap();
    drop((own, store));
    assert_eq!(refused(&folder, &config), KafkaError::OwnLog { entries: 2, topic: config.topic().into() }.into());

    let log = open(&config);
    log.log.append(vec![b"x".to_vec()]).unwrap();
    let embedded = Embedded::open(store_in(&log.close()), Arc::new(SystemClock));
    assert_eq!(embedded.err(), Some(LogError::Follows { topic: config.topic().into() }));
}

#[test]
fn a_folder_of_another_ledger_is_refused() {
    let Some(cluster) = Cluster::shared() else { return };
    let [one, other] = [0, 1].map(|_| topic(cluster));
    let mut world = World::empty();
    world.create(genesis(policy()));
    let log = open(&one);
    log.log.append(vec![world.log[0].1.clone()]).unwrap();
    let pin = Some([7; 32]);
    let replica = Replica::open(log.store.clone(), Arc::new(log.log), ReplicaOptions { pin, ..Default::default() });
    assert!(matches!(replica.err(), Some(ReplicaError::OtherLedger { .. })));

    // A copy of one topic, started on another that is as long.
    let log = open(&other);
    log.log.append(vec![b"something else".to_vec()]).unwrap();
    let folder = log.close();
    let error = refused(&folder, &one);
    let named = KafkaError::OtherTopic { followed: other.topic().into(), topic: one.topic().into() };
    assert_eq!(error, named.into());
}
