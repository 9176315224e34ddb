//! One log in memory, in a folder, on Kafka and back in a folder: one fold, root by root and row by row.

use crate::any_log::{any_steps, made};
use crate::cases;
use crate::held::{Windowed, hold, options, store, write};
use crate::long_lives::lived;
use attestune_ledger::log::kafka::rdkafka::ClientConfig;
use attestune_ledger::log::kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use attestune_ledger::log::kafka::{Stamp, create, follow, leave, restore};
use attestune_ledger::log::{Copied, Embedded, EventLog, Kafka, KafkaConfig, VALUE_BYTES_MAX};
use attestune_ledger::replica::{Replica, drop_state};
use attestune_ledger::state::Reader as _;
use attestune_proto::v1::{ActorKind, Role, Verdict, event::Body};
use attestune_replay_tests::kafka::Cluster;
use attestune_replay_tests::{
    Course, SCENARIOS, World, checked, derived, genesis, golden_log, grant, ingested, key, policy, register, scanned,
    sign,
};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Moves a log from a folder to Kafka and back; at each place a replica that folds it from nothing is held against the
/// world's fold in memory.
fn agrees_everywhere(cluster: &Cluster, world: &World, windows: &[usize]) {
    let size = world.log.len() as u64;
    let folder = tempfile::tempdir().unwrap();
    let first = store(folder.path());
    write(&first, world, 0..world.log.len());
    let config = KafkaConfig::new(cluster.bootstrap(), &cluster.fresh_topic()).unwrap();
    let restored = restore(&Copied::open(first.clone()).unwrap(), &config, &mut |_| {}).unwrap();
    assert_eq!((restored.size, restored.root), (size, world.state.entry_root(size).unwrap().unwrap()));

    // Who has nothing but the topic.
    let other = tempfile::tempdir().unwrap();
    follows(&config, other.path(), world, windows);

    // The folder that the log came from: it follows the topic, and goes on with what it had copied.
    follow(&first, &config).unwrap();
    drop(first);
    follows(&config, folder.path(), world, windows);

    // Back: the other folder takes its copy for its own log, and folds it anew.
    let store = store(other.path());
    leave(&store).unwrap();
    drop_state(&store).unwrap();
    let log = Embedded::open(store.clone(), Arc::new(|| 0)).unwrap();
    assert_eq!(log.end(), Ok(size));
    let replica = Replica::open(store, Windowed::new(log, windows), options(world, world.log.len())).unwrap();
    hold(&replica, world, world.log.len());
    replica.shut_down();
}

/// A replica of the topic in a folder comes to what the world's fold says.
fn follows(config: &KafkaConfig, folder: &Path, world: &World, windows: &[usize]) {
    let store = store(folder);
    let log = Kafka::open(store.clone(), config.clone()).unwrap();
    arrived(&log, world.log.len() as u64);
    let replica = Replica::open(store, Windowed::new(log, windows), options(world, world.log.len())).unwrap();
    hold(&replica, world, world.log.len());
    replica.shut_down();
}

/// Waits until so many entries have come.
fn arrived(log: &Kafka, size: u64) {
    let until = Instant::now() + PATIENCE;
    while log.wait_past(size.saturating_sub(1), Duration::from_millis(100)).unwrap() < size {
        assert!(Instant::now() < until, "{size} entries come, {:?} are here", log.end());
    }
}

#[test]
fn the_golden_logs_are_one_fold_in_memory_in_a_folder_on_kafka_and_back() {
    let Some(cluster) = Cluster::shared() else { return };
    for (name, _) in SCENARIOS {
        agrees_everywhere(cluster, &World::of_log(&golden_log(name)), &[1, 7, 1024]);
    }
}

#[test]
fn a_made_up_life_is_one_fold_in_memory_in_a_folder_on_kafka_and_back() {
    let Some(cluster) = Cluster::shared() else { return };
    for seed in 0..2 {
        let course = Course { seed, batches_max: 3, upheaval_in: 60, ..Course::default() };
        agrees_everywhere(cluster, &lived(course, 500), &[100, 3]);
    }
}

proptest! {
    #![proptest_config(cases(3))]

    #[test]
    fn a_hostile_log_is_one_fold_in_memory_in_a_folder_on_kafka_and_back(
        // Kafka keeps no time before 1970 or beyond i64.
        (begun, steps) in any_steps(60, (-2_000_000..2_000_000i64).boxed())
    ) {
        if let Some(cluster) = Cluster::shared() {
            agrees_everywhere(cluster, &made(begun, &steps), &[1, 2, 50]);
        }
    }
}

/// A topic as its writers left it, between them somebody who writes what he likes.
#[test]
fn what_the_brokers_stamped_folds_in_memory_as_it_does_in_a_replica_that_follows() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = KafkaConfig::new(cluster.bootstrap(), &cluster.fresh_topic()).unwrap();
    create(&config, Stamp::LogAppendTime).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut live = Live { log: Kafka::open(store(folder.path()), config.clone()).unwrap(), world: World::empty() };

    let mut event = live.world.draft("ada", Body::LedgerCreated(genesis(policy())));
    (event.ledger, event.seen) = (Vec::new(), None);
    assert_eq!(live.put(key("omar").cosign(&sign(&event, &["ada"])).unwrap()), Verdict::Accepted);
    let cast = [
        ("sten", ActorKind::Person, Role::Steward),
        ("scanner", ActorKind::Worker, Role::Scanner),
        ("checker", ActorKind::Worker, Role::Checker),
    ];
    for (name, kind, role) in cast {
        let body = register(&live.world.ledger, name, name, kind);
        live.act(&["ada"], body);
        live.act(&["ada", "omar"], grant(name, role));
    }
    for number in 0..6u8 {
        let documents = live.act(&["sten"], ingested("tickets", 4));
        live.put(vec![number; usize::from(number) * 40]);
        let batch = live.act(&["sten"], derived(documents, 4));
        live.act(&["scanner"], scanned(batch, &[1]));
        // A second scan, the first one's very bytes, and a record larger than any entry may be.
        live.act(&["scanner"], scanned(batch, &[]));
        let again = live.world.log[batch as usize + 1].1.clone();
        assert_eq!(live.put(again), Verdict::Duplicate);
        live.act(&["checker"], checked(batch));
        live.write_past_the_door(&config, &vec![number; VALUE_BYTES_MAX + 1]);
    }
    let verdicts = |verdict| live.world.folded.iter().filter(|f| f.verdict == verdict).count();
    assert_eq!([Verdict::Refused, Verdict::Duplicate, Verdict::Garbage].map(verdicts), [6, 6, 12]);
    let world = live.world;
    drop(live.log);
    follows(&config, folder.path(), &world, &[5, 1]);
    follows(&config, tempfile::tempdir().unwrap().path(), &world, &[1024]);
}

/// A world whose log is a topic.
struct Live {
    log: Kafka,
    world: World,
}

impl Live {
    fn put(&mut self, value: Vec<u8>) -> Verdict {
        self.log.append(vec![value]).unwrap();
        self.take_in()
    }

    /// A record of another program, larger than ours would write.
    fn write_past_the_door(&mut self, config: &KafkaConfig, value: &[u8]) {
        let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", config.brokers()).create().unwrap();
        producer.send(BaseRecord::<[u8], [u8]>::to(config.topic()).payload(value)).unwrap();
        producer.flush(PATIENCE).unwrap();
        assert_eq!(self.take_in(), Verdict::Garbage);
    }

    /// Folds the topic's next record.
    fn take_in(&mut self) -> Verdict {
        let position = self.world.next();
        arrived(&self.log, position + 1);
        let entry = self.log.read(position, 1, VALUE_BYTES_MAX).unwrap().remove(0);
        self.world.push_at(entry.time_ms, entry.value).verdict
    }

    fn act(&mut self, actors: &[&str], body: Body) -> u64 {
        let event = self.world.draft(actors[0], body);
        self.put(sign(&event, actors));
        self.world.next() - 1
    }
}
