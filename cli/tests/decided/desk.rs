//! Ledgers on Kafka, replicas of them, and a reader of what is published.

use attestune_ledger::envelope::SigningKey;
use attestune_ledger::log::kafka::publish::{Options, Publisher, Standing, topic_of};
use attestune_ledger::log::kafka::rdkafka::consumer::{BaseConsumer, Consumer as _};
use attestune_ledger::log::kafka::rdkafka::error::KafkaError as ClientError;
use attestune_ledger::log::kafka::rdkafka::message::{Headers as _, Message as _};
use attestune_ledger::log::kafka::rdkafka::{ClientConfig, Offset, TopicPartitionList};
use attestune_ledger::log::kafka::{Kafka, restore};
use attestune_ledger::log::{Entry, EventLog, KafkaConfig, LogError};
use attestune_ledger::publish::{Decisions, Encoding};
use attestune_ledger::replica::{AppendError, Replica, ReplicaError, ReplicaOptions};
use attestune_ledger::store::Store;
use attestune_proto::v1::{Decided, Envelope, Event};
use attestune_replay_tests::kafka::Cluster;
use attestune_replay_tests::{World, key};
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything here may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// The partitions of a topic of decided events.
pub const PARTITIONS: i32 = 6;

/// Waits for something.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "in five minutes: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A world's log.
struct Written<'a>(&'a World);

impl EventLog for Written<'_> {
    fn append(&self, _: Vec<Vec<u8>>) -> Result<Vec<u64>, LogError> {
        Err(LogError::ReadOnly)
    }

    fn read(&self, from: u64, max_entries: usize, _: usize) -> Result<Vec<Entry>, LogError> {
        let entries = (0..).zip(&self.0.log).skip(from as usize).take(max_entries);
        Ok(entries
            .map(|(position, (time_ms, value))| Entry { position, time_ms: *time_ms, value: value.clone() })
            .collect())
    }

    fn end(&self) -> Result<u64, LogError> {
        Ok(self.0.log.len() as u64)
    }

    fn wait_past(&self, _: u64, _: Duration) -> Result<u64, LogError> {
        self.end()
    }
}

/// A fresh topic that holds a world's log, times and all.
pub fn ledger_of(cluster: &Cluster, world: &World) -> KafkaConfig {
    let config = KafkaConfig::new(cluster.bootstrap(), &cluster.fresh_topic()).unwrap();
    restored(&config, world);
    config
}

/// The same for a topic that is not there.
pub fn restored(config: &KafkaConfig, world: &World) {
    restore(&Written(world), config, &mut |_| {}).unwrap();
}

/// The topic of decided events beside it.
pub fn decided(ledger: &KafkaConfig) -> KafkaConfig {
    ledger.for_topic(&topic_of(ledger.topic()))
}

/// A replica that follows a ledger's topic.
pub struct Following {
    pub replica: Arc<Replica>,
    config: KafkaConfig,
    _folder: tempfile::TempDir,
}

impl Following {
    pub fn open(config: &KafkaConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Default::default()).unwrap();
        let log = Arc::new(Kafka::open(store.clone(), config.clone()).unwrap());
        let replica = Replica::open(store, log, ReplicaOptions::default()).unwrap();
        Self { replica, config: config.clone(), _folder: folder }
    }

    /// Publishes what it decides.
    pub fn publish(&self, from: Option<u64>) -> Publishing {
        let source = Box::new(Decisions::of(self.replica.clone(), Encoding::PROTOBUF));
        let (told, standings) = channel();
        let told = Mutex::new(told);
        let told = Box::new(move |standing| drop(told.lock().unwrap().send(standing)));
        let options = Options { from, patience: Duration::from_secs(2) };
        Publishing { standings, _publisher: Publisher::start(&self.config, source, options, told).unwrap() }
    }

    /// An actor of a world does something more; tries again while brokers are away.
    pub fn append(&self, world: &mut World, actor: &str, body: attestune_proto::v1::event::Body) {
        let mut event = world.draft(actor, body);
        let head = self.replica.head().unwrap();
        event.seen = Some(attestune_proto::v1::Seen { size: head.size, root: head.entry_root });
        let envelope = key(actor).sign_event(&event);
        until("it is appended", || match self.replica.append(vec![envelope.clone()]) {
            Ok(_) => true,
            Err(AppendError::Failed(ReplicaError::Log(error))) if error.may_pass() => false,
            Err(error) => panic!("{error}"),
        });
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.replica.shut_down();
    }
}

/// A publisher with what it tells.
pub struct Publishing {
    standings: Receiver<Standing>,
    _publisher: Publisher,
}

impl Publishing {
    /// Waits until it tells this.
    pub fn tells(&self, what: &str, wanted: impl Fn(&Standing) -> bool) -> Standing {
        loop {
            let told = self.standings.recv_timeout(PATIENCE);
            let standing = told.unwrap_or_else(|_| panic!("it tells in five minutes: {what}"));
            if wanted(&standing) {
                return standing;
            }
        }
    }

    /// Waits until it has published so many itself.
    pub fn publishes(&self, positions: u64) {
        self.tells("all is published", |standing| standing.publishing && standing.published >= positions);
    }

    /// Waits until it does not publish, and says why in these words.
    pub fn gives_up(&self, why: &str) {
        self.tells(why, |standing| standing.trouble.as_ref().is_some_and(|trouble| trouble.to_string().contains(why)));
    }
}

/// A record of the topic of decided events.
#[derive(Debug, Clone)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub headers: BTreeMap<String, String>,
    pub value: Vec<u8>,
}

impl Record {
    pub fn position(&self) -> u64 {
        self.headers["ce_id"].parse().unwrap()
    }

    pub fn decided(&self) -> Decided {
        Decided::decode(self.value.as_slice()).unwrap()
    }

    pub fn event(&self) -> Event {
        let envelope = Envelope::decode(self.decided().envelope.as_slice()).unwrap();
        Event::decode(envelope.payload.as_slice()).unwrap()
    }
}

fn reader(config: &KafkaConfig, isolation: &str) -> BaseConsumer {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", config.brokers()).set("group.id", "test").set("enable.auto.commit", "false");
    client.set("enable.partition.eof", "true").set("isolation.level", isolation);
    client.set("fetch.wait.max.ms", "10"); // at the end there is no more to wait for
    client.create().unwrap()
}

/// The offsets after the last record of each partition, for readers of that isolation level.
pub fn ends(config: &KafkaConfig, isolation: &str) -> Vec<i64> {
    let reader = reader(config, isolation);
    (0..PARTITIONS).map(|p| reader.fetch_watermarks(config.topic(), p, PATIENCE).unwrap().1).collect()
}

/// Everything on the topic of decided events that is committed, partition by partition.
pub fn committed(config: &KafkaConfig) -> Vec<Record> {
    records(config, "read_committed")
}

/// The same, attempts that were given up among them.
pub fn uncommitted(config: &KafkaConfig) -> Vec<Record> {
    records(config, "read_uncommitted")
}

fn records(config: &KafkaConfig, isolation: &str) -> Vec<Record> {
    let reader = reader(config, isolation);
    let mut records = Vec::new();
    for partition in 0..PARTITIONS {
        let mut assigned = TopicPartitionList::new();
        assigned.add_partition_offset(config.topic(), partition, Offset::Beginning).unwrap();
        reader.assign(&assigned).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "partition {partition} is read to its end");
            let record = match reader.poll(Duration::from_millis(100)) {
                None => continue,
                Some(Err(ClientError::PartitionEOF(_))) => break,
                Some(record) => record.unwrap(),
            };
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
            let headers = record.headers().into_iter().flat_map(|headers| headers.iter());
            records.push(Record {
                partition,
                offset: record.offset(),
                key: text(record.key()),
                headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
                value: record.payload().unwrap_or_default().to_vec(),
            });
        }
    }
    records
}

/// Holds what is published against what it must be: each position once, and in order within each key.
pub fn check(records: &[Record], positions: u64) {
    let mut found: Vec<_> = records.iter().map(Record::position).collect();
    found.sort_unstable();
    let twice = found.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None, "a position that was published twice");
    assert_eq!(found.len() as u64, positions, "records");
    assert_eq!(found.last().map(|last| last + 1), positions.checked_sub(1).map(|last| last + 1), "the last position");
    let mut last: BTreeMap<&str, (i32, u64)> = BTreeMap::new();
    for record in records {
        if let Some((partition, position)) = last.insert(&record.key, (record.partition, record.position())) {
            assert_eq!(partition, record.partition, "the records of {} stay in one partition", record.key);
            assert!(position < record.position(), "the records of {} keep their order", record.key);
        }
    }
}

/// A file with the private key of a name of the world's.
pub fn key_file(folder: &std::path::Path, name: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let key: SigningKey = key(name);
    let path = folder.join(format!("{name}.key"));
    let seed: String = key.seed().iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(&path, seed).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Looks whether a transaction is open on the topic of decided events.
pub struct Watch {
    topic: String,
    committed: BaseConsumer,
    all: BaseConsumer,
}

impl Watch {
    pub fn of(config: &KafkaConfig) -> Self {
        let [committed, all] = ["read_committed", "read_uncommitted"].map(|isolation| reader(config, isolation));
        Self { topic: config.topic().into(), committed, all }
    }

    pub fn is_open(&self) -> bool {
        let seen = self.all.fetch_metadata(Some(&self.topic), PATIENCE).unwrap();
        if seen.topics().iter().all(|topic| topic.partitions().is_empty()) {
            return false; // there is no topic yet
        }
        let end = |reader: &BaseConsumer, partition| {
            reader.fetch_watermarks(&self.topic, partition, Duration::from_secs(5)).map_or(0, |(_, end)| end)
        };
        (0..PARTITIONS).any(|partition| end(&self.committed, partition) < end(&self.all, partition))
    }
}
