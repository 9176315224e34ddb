//! The suite that every event log passes.

use super::desk::{Log, open, topic};
use attestune_ledger::log::{Entry, EventLog, LogError, conformance};
use attestune_replay_tests::kafka::Cluster;
use std::time::Duration;

impl EventLog for Log {
    fn append(&self, values: Vec<Vec<u8>>) -> Result<Vec<u64>, LogError> {
        self.log.append(values)
    }
    fn read(&self, from: u64, entries: usize, bytes: usize) -> Result<Vec<Entry>, LogError> {
        self.log.read(from, entries, bytes)
    }
    fn end(&self) -> Result<u64, LogError> {
        self.log.end()
    }
    fn wait_past(&self, end: u64, timeout: Duration) -> Result<u64, LogError> {
        self.log.wait_past(end, timeout)
    }
    fn caught_up(&self) -> Result<bool, LogError> {
        self.log.caught_up()
    }
}

#[test]
fn the_log_on_kafka_conforms() {
    let Some(cluster) = Cluster::shared() else { return };
    conformance::check(|| Box::new(open(&topic(cluster))));
}

#[test]
fn the_log_on_three_brokers_conforms() {
    let Some(cluster) = Cluster::start(3) else { return };
    conformance::check(|| Box::new(open(&topic(&cluster))));
}
