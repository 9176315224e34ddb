//! A log moved between a folder and Kafka keeps its leaves, and with them every proof.

use super::desk::{open_in, store_in, topic};
use attestune_ledger::log::kafka::{Stamp, describe, follow, leave, restore};
use attestune_ledger::log::{
    Clock, Copied, Embedded, Entry, EventLog, Kafka, KafkaConfig, KafkaError, LogError, SystemClock,
};
use attestune_ledger::replica::{Replica, ReplicaOptions};
use attestune_ledger::store::Store;
use attestune_ledger::tree::{Hash, verify_inclusion};
use attestune_proto::v1::{HeadResponse, InclusionProofRequest};
use attestune_replay_tests::kafka::Cluster;
use attestune_replay_tests::{World, whole_life};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder whose own log is a world's, times and all.
fn embedded(world: &World) -> (tempfile::TempDir, HeadResponse) {
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(&folder);
    let now = Arc::new(AtomicU64::new(0));
    let clock: Arc<dyn Clock> = {
        let now = now.clone();
        Arc::new(move || now.load(Ordering::SeqCst))
    };
    let log = Embedded::open(store.clone(), clock).unwrap();
    for (time_ms, value) in &world.log {
        now.store(*time_ms, Ordering::SeqCst);
        log.append(vec![value.clone()]).unwrap();
    }
    let head = head(&store, Arc::new(log));
    drop(store);
    (folder, head)
}

fn head(store: &Arc<Store>, log: Arc<dyn EventLog>) -> HeadResponse {
    let replica = Replica::open(store.clone(), log, ReplicaOptions::default()).unwrap();
    let head = replica.head().unwrap();
    replica.shut_down();
    head
}

fn fresh(cluster: &Cluster) -> KafkaConfig {
    KafkaConfig::new(cluster.bootstrap(), &cluster.fresh_topic()).unwrap()
}

#[test]
fn from_a_folder_to_kafka_and_back_head_state_and_proofs_stay() {
    let Some(cluster) = Cluster::shared() else { return };
    let world = whole_life();
    let (folder, before) = embedded(&world);
    let config = fresh(cluster);

    // Issued before it moves.
    let (index, proof) = {
        let store = store_in(&folder);
        let log = Arc::new(Copied::open(store.clone()).unwrap());
        let replica = Replica::open(store, log, ReplicaOptions::default()).unwrap();
        let index = before.size / 2;
        let request = InclusionProofRequest { position: index, size: before.size, ..Default::default() };
        let proof = replica.inclusion_proof(&request).unwrap();
        replica.shut_down();
        (index, proof)
    };

    // Folder to Kafka.
    let store = store_in(&folder);
    let mut told = 0;
    let restored = restore(&Copied::open(store.clone()).unwrap(), &config, &mut |count| told = count).unwrap();
    assert_eq!((restored.size, restored.root.0.to_vec(), told), (before.size, before.entry_root.clone(), before.size));
    let stamp = &describe(&config).unwrap().topic_settings["message.timestamp.type"];
    assert_eq!(stamp, "LogAppendTime");

    // The folder goes on as a replica of the topic, and no longer as a log of its own.
    follow(&store, &config).unwrap();
    assert!(matches!(Embedded::open(store.clone(), Arc::new(SystemClock)).err(), Some(LogError::Follows { .. })));
    let kafka = Kafka::open(store.clone(), config.clone()).unwrap();
    assert_eq!(kafka.end(), Ok(before.size));
    assert_eq!(head(&store, Arc::new(kafka)), before);
    drop(store);

    // Kafka to another folder.
    let other = open_in(tempfile::tempdir().unwrap(), &config);
    other.entries(before.size);
    let other = other.close();
    let store = store_in(&other);
    leave(&store).unwrap();
    let log = Embedded::open(store.clone(), Arc::new(SystemClock)).unwrap();
    let entry: Entry = log.read(index, 1, 1).unwrap().remove(0);
    assert_eq!(head(&store, Arc::new(log)), before, "entry tree, verdict tree and state are the same");
    let leaf = attestune_ledger::rules::entry_leaf(entry.time_ms, &entry.value);
    let hashes: Vec<Hash> = proof.hashes.iter().map(|hash| Hash(hash.as_slice().try_into().unwrap())).collect();
    let root = Hash(before.entry_root.as_slice().try_into().unwrap());
    assert_eq!(
        verify_inclusion(leaf, index, before.size, &hashes, root),
        Ok(()),
        "the proof issued before holds after"
    );
}

#[test]
fn a_lost_topic_comes_back_from_a_replica_with_gaps_in_its_offsets_closed() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let foreign = super::desk::Foreign::transactional(&config, "gaps");
    foreign.begin();
    foreign.write(&[b"a"]);
    foreign.abort();
    let log = open_in(tempfile::tempdir().unwrap(), &config);
    let large = vec![1; attestune_ledger::log::VALUE_BYTES_MAX + 1];
    super::desk::Foreign::new(&config, &[]).write(&[&large]);
    log.log.append(vec![b"b".to_vec()]).unwrap();
    let entries = log.entries(3);
    let folder = log.close();
    attestune_ledger::log::kafka::delete(&config).unwrap();

    let store = store_in(&folder);
    restore(&Copied::open(store.clone()).unwrap(), &config, &mut |_| {}).unwrap();
    follow(&store, &config).unwrap();
    drop(store);
    let replica = open_in(folder, &config);
    assert_eq!(replica.log.append(vec![b"c".to_vec()]).unwrap(), [3]);
    let fresh = super::desk::open(&config);
    assert_eq!(fresh.entries(4)[..3], entries, "the same leaves, the short form of the large record too");
}

#[test]
fn a_log_is_not_restored_over_a_topic_and_a_time_that_can_not_be_kept_leaves_none_behind() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let folder = tempfile::tempdir().unwrap();
    let log = Embedded::open(store_in(&folder), Arc::new(|| u64::MAX)).unwrap();
    log.append(vec![b"x".to_vec()]).unwrap();
    let exists = KafkaError::TopicExists { topic: config.topic().into() };
    assert_eq!(restore(&log, &config, &mut |_| {}), Err(exists.into()));

    let config = fresh(cluster);
    let time = KafkaError::Time { position: 0, time_ms: u64::MAX };
    assert_eq!(restore(&log, &config, &mut |_| {}), Err(time.into()));
    // The name is free again.
    attestune_ledger::log::kafka::create(&config, Stamp::LogAppendTime).unwrap();
}
