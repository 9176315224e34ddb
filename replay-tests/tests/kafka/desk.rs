//! Topics, logs and foreign writers for the tests.

use attestune_ledger::log::kafka::rdkafka::ClientConfig;
use attestune_ledger::log::kafka::rdkafka::message::{Header, OwnedHeaders};
use attestune_ledger::log::kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use attestune_ledger::log::kafka::{Stamp, create};
use attestune_ledger::log::{Entry, EventLog, Kafka, KafkaConfig, LogError};
use attestune_ledger::store::{Options, Store};
use attestune_replay_tests::kafka::Cluster;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long anything here may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A fresh ledger's topic.
pub fn topic(cluster: &Cluster) -> KafkaConfig {
    let config = KafkaConfig::new(cluster.bootstrap(), &cluster.fresh_topic()).unwrap();
    create(&config, Stamp::LogAppendTime).unwrap();
    config
}

/// A replica's log with the folder of its store.
pub struct Log {
    pub log: Kafka,
    pub store: Arc<Store>,
    pub folder: tempfile::TempDir,
}

pub fn store_in(folder: &tempfile::TempDir) -> Arc<Store> {
    Store::open(folder.path().join("db"), &Options::default()).unwrap()
}

/// Opens a log with a fresh folder.
pub fn open(config: &KafkaConfig) -> Log {
    open_in(tempfile::tempdir().unwrap(), config)
}

/// Opens a log in a folder that may hold a copy already.
pub fn open_in(folder: tempfile::TempDir, config: &KafkaConfig) -> Log {
    let store = store_in(&folder);
    let log = Kafka::open(store.clone(), config.clone()).unwrap();
    Log { log, store, folder }
}

/// Opens what must not open.
pub fn refused(folder: &tempfile::TempDir, config: &KafkaConfig) -> LogError {
    Kafka::open(store_in(folder), config.clone()).err().expect("it does not open")
}

impl Log {
    /// Closes it and gives its folder.
    pub fn close(self) -> tempfile::TempDir {
        self.folder
    }

    /// All entries, once there are so many.
    pub fn entries(&self, count: u64) -> Vec<Entry> {
        let until = Instant::now() + PATIENCE;
        while self.log.wait_past(count.saturating_sub(1), Duration::from_millis(100)).unwrap() < count {
            assert!(Instant::now() < until, "{count} entries come, {:?} are here", self.log.end());
        }
        read_all(&self.log)
    }

    /// The error that stops it.
    pub fn stops_with(&self) -> LogError {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.log.wait_past(u64::MAX, Duration::from_millis(100)) {
                Err(error) => return error,
                Ok(_) => assert!(Instant::now() < until, "it stops"),
            }
        }
    }
}

pub fn read_all(log: &dyn EventLog) -> Vec<Entry> {
    let mut entries = Vec::new();
    loop {
        let more = log.read(entries.len() as u64, 1000, 1 << 20).unwrap();
        if more.is_empty() {
            return entries;
        }
        entries.extend(more);
    }
}

pub fn values(entries: &[Entry]) -> Vec<&[u8]> {
    entries.iter().map(|entry| entry.value.as_slice()).collect()
}

/// Another program that writes into the topic.
pub struct Foreign {
    producer: BaseProducer,
    topic: String,
}

impl Foreign {
    pub fn new(config: &KafkaConfig, settings: &[(&str, &str)]) -> Self {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", config.brokers());
        for (key, value) in settings {
            client.set(*key, *value);
        }
        Self { producer: client.create().unwrap(), topic: config.topic().into() }
    }

    pub fn transactional(config: &KafkaConfig, id: &str) -> Self {
        let foreign = Self::new(config, &[("transactional.id", id)]);
        foreign.producer.init_transactions(PATIENCE).unwrap();
        foreign
    }

    pub fn begin(&self) {
        self.producer.begin_transaction().unwrap();
    }

    pub fn commit(&self) {
        self.producer.commit_transaction(PATIENCE).unwrap();
    }

    pub fn abort(&self) {
        self.flush();
        self.producer.abort_transaction(PATIENCE).unwrap();
    }

    pub fn flush(&self) {
        self.producer.flush(PATIENCE).unwrap();
    }

    /// Writes records and waits until they are on the topic.
    pub fn write(&self, values: &[&[u8]]) {
        for value in values {
            self.producer.send(BaseRecord::<[u8], [u8]>::to(&self.topic).payload(value)).unwrap();
        }
        self.flush();
    }

    /// A record with a key and headers, and perhaps without a value.
    pub fn write_with_key(&self, value: Option<&[u8]>) {
        let headers = OwnedHeaders::new().insert(Header { key: "ce_id", value: Some("7") });
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).key(b"key").headers(headers);
        record.payload = value;
        self.producer.send(record).unwrap();
        self.flush();
    }

    pub fn write_at(&self, time_ms: i64, value: &[u8]) {
        let record = BaseRecord::<[u8], [u8]>::to(&self.topic).payload(value).timestamp(time_ms);
        self.producer.send(record).unwrap();
        self.flush();
    }
}
