//! Whoever looks after the brokers: knows whether they have come to terms, and helps where they have not.

use super::place::TOPIC;
use attestune_ledger::log::kafka::rdkafka::ClientConfig;
use attestune_ledger::log::kafka::rdkafka::consumer::{BaseConsumer, Consumer as _};
use attestune_replay_tests::kafka::Cluster;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long the brokers may take for an answer.
const ASK: Duration = Duration::from_secs(5);

/// What the brokers say of themselves.
pub struct Terms {
    /// Brokers that are not in sync in some partition of any topic.
    lagging: BTreeSet<i32>,
    /// The same of the ledger's topic.
    lagging_on_ledger: BTreeSet<i32>,
    /// All brokers are there, and every partition has a leader.
    complete: bool,
}

impl Terms {
    /// Asks the brokers; none if they give no answer.
    pub fn of(cluster: &Cluster) -> Option<Self> {
        let asker: BaseConsumer = ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap();
        let told = asker.fetch_metadata(None, ASK).ok()?;
        let mut terms = Self {
            lagging: BTreeSet::new(),
            lagging_on_ledger: BTreeSet::new(),
            complete: told.brokers().len() == cluster.brokers(),
        };
        for topic in told.topics() {
            for partition in topic.partitions() {
                terms.complete &= partition.leader() >= 0;
                let lagging = partition.replicas().iter().filter(|broker| !partition.isr().contains(broker));
                for broker in lagging {
                    terms.lagging.insert(*broker);
                    if topic.name() == TOPIC {
                        terms.lagging_on_ledger.insert(*broker);
                    }
                }
            }
        }
        Some(terms)
    }

    /// Everybody is there, and in sync everywhere.
    pub fn are_settled(&self) -> bool {
        self.complete && self.lagging.is_empty()
    }
}

/// Does what an operator does where a ledger's topic takes no appends though all brokers run: starts those again, one by
/// one, that do not come back into sync. Answers how many.
pub fn help(cluster: &Cluster) -> usize {
    let Some(terms) = Terms::of(cluster) else { return 0 };
    let stuck: Vec<usize> = terms.lagging_on_ledger.iter().map(|broker| *broker as usize).collect();
    for broker in &stuck {
        cluster.kill(*broker);
        cluster.restart(*broker);
    }
    stuck.len()
}
