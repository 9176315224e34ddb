//! The parts of a ledger on Kafka, each a process with a replica of its own.

use super::{Ledger, process::Running};
use attestune_replay_tests::{free_port, kafka::Cluster};
use std::time::{Duration, Instant};

/// A ledger that was moved to Kafka.
pub struct Spread<'a> {
    pub ledger: &'a Ledger,
    pub brokers: String,
    pub topic: String,
}

impl<'a> Spread<'a> {
    /// Moves a ledger into a fresh topic.
    pub fn over(ledger: &'a Ledger, cluster: &Cluster) -> Self {
        let (brokers, topic) = (cluster.bootstrap().to_owned(), cluster.fresh_topic());
        ledger.ok(&["log", "restore", "--kafka", &brokers, "--ledger", &topic]);
        Self { ledger, brokers, topic }
    }

    /// Starts a part, with a replica folder and a key among the server's.
    pub fn start(&self, part: &[&str], replica: &str, key: &str) -> Running {
        let log = self.ledger.path(&format!("{replica}.log"));
        let (replica, vault) =
            (self.ledger.path(replica), format!("file://{}", self.ledger.folder().join("vault").display()));
        let key = self.ledger.folder().join(format!("server/{key}.key"));
        let mut command = self.ledger.command(part);
        command.args(["--kafka", &self.brokers, "--ledger", &self.topic, "--vault", &vault]);
        command.arg("--replica").arg(replica).arg("--key").arg(key);
        Running::noting(command, &log)
    }

    /// What the parts with this replica have said.
    pub fn said(&self, replica: &str) -> String {
        std::fs::read_to_string(self.ledger.path(&format!("{replica}.log"))).unwrap()
    }

    /// Starts a gateway and waits until it answers; answers its URL, too.
    pub fn gateway(&self, replica: &str) -> (Running, String) {
        let address = format!("127.0.0.1:{}", free_port());
        let gateway = self.start(&["gateway", "--listen", &address], replica, "gateway");
        let url = format!("http://{address}");
        self.until("the gateway answers", || {
            self.ledger.run(&["key", "list", "--server", &url, "--as", "stella"]).status.success()
        });
        (gateway, url)
    }

    /// Waits until something is so.
    pub fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let until = Instant::now() + Duration::from_secs(120);
        while !done() {
            assert!(Instant::now() < until, "in two minutes: {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Accepted events of a kind.
    pub fn accepted(&self, url: &str, kind: &str) -> usize {
        let told = self.ledger.ok(&["history", "--kind", kind, "--server", url, "--as", "stella"]);
        told.lines().filter(|line| line.contains("accepted")).count()
    }
}
