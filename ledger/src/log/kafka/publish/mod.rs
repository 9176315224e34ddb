//! Publishing to a topic beside the ledger's: one record for each position, for whoever reads what is committed.
//!
//! Records leave in transactions under one transactional id a topic. Where to go on is read from the topic itself: the
//! last committed record says its position. So a position is committed once, whatever dies when, and of two publishers
//! the brokers fence the older. Who publishes needs no coordinator: the newest begins at once, and one that was fenced
//! stands by until positions wait and nobody has published any for a while; then it begins again.

mod error;
mod stand_by;
mod tail;
mod turn;

pub use error::PublishError;

use super::KafkaConfig;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The position that a record is of.
pub const ID: &str = "ce_id";
/// The ledger that it is of.
pub const SOURCE: &str = "ce_source";
/// The entry that it is of.
pub const LEAF_HASH: &str = "ce_leafhash";

/// The first pause after a failure, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(30)];

/// The name of the topic of decided events of a ledger.
pub fn topic_of(ledger: &str) -> String {
    format!("{ledger}.decided")
}

/// A record to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is about: records of one key keep their order.
    pub key: String,
    /// Headers, those named here among them: by them the topic is recognised again.
    pub headers: Vec<(&'static str, String)>,
    /// The value.
    pub value: Vec<u8>,
}

impl Record {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(header, _)| *header == name).map_or("", |(_, value)| value)
    }
}

/// What is published: a record for each position.
pub trait Source: Send + Sync {
    /// How many positions there are, once there are more than `known`, or the time is up.
    fn wait_past(&self, known: u64, timeout: Duration) -> u64;

    /// The record of a position, always the same.
    ///
    /// # Errors
    /// If it can't be made, in words.
    fn record(&self, position: u64) -> Result<Record, String>;
}

/// How to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Where a topic without records begins: 0 unless something is said here. A topic whose records are all gone needs
    /// to be told.
    pub from: Option<u64>,
    /// How long positions may wait before one that stands by takes over.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { from: None, patience: Duration::from_secs(15) }
    }
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Positions published, by whomever, as last seen.
    pub published: u64,
    /// Whether this one publishes, as far as it knows.
    pub publishing: bool,
    /// Why it does not, if it does not.
    pub trouble: Option<PublishError>,
}

/// Publishes in a thread of its own until it is dropped.
pub struct Publisher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// The ledger's own topic.
    ledger: KafkaConfig,
    /// The topic that is published to.
    config: KafkaConfig,
    source: Box<dyn Source>,
    options: Options,
    told: Box<dyn Fn(Standing) + Send + Sync>,
    published: AtomicU64,
    stopping: AtomicBool,
}

impl Publisher {
    /// Starts to publish a ledger's positions to its topic of decided events, which is made where there is none. `told`
    /// hears how it stands. Trouble is logged, and what passes is tried again.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub fn start(
        ledger: &KafkaConfig,
        source: Box<dyn Source>,
        options: Options,
        told: Box<dyn Fn(Standing) + Send + Sync>,
    ) -> std::io::Result<Self> {
        let (ledger, config) = (ledger.clone(), ledger.for_topic(&topic_of(ledger.topic())));
        let (published, stopping) = (AtomicU64::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { ledger, config, source, options, told, published, stopping });
        let publishing = shared.clone();
        let thread = thread::Builder::new().name("publish".into()).spawn(move || publishing.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of that thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let topic = self.config.topic();
        let [mut pause, longest] = PAUSES;
        let mut said = String::new();
        while !self.stopping() {
            let before = self.published.load(Ordering::Relaxed);
            let Err(error) = turn::publish(self) else { return };
            let published = self.published.load(Ordering::Relaxed);
            self.tell(published, Some(&error));
            if published > before {
                ([pause, _], said) = (PAUSES, String::new());
            }
            if matches!(error, PublishError::Fenced { .. }) {
                tracing::warn!(topic, "{error}; this one stands by and goes on with all else");
                if stand_by::until_nobody_publishes(self, &error) {
                    tracing::warn!(topic, "nobody publishes what waits: this one takes over");
                }
                continue;
            }
            if error.is_final() {
                tracing::error!(topic, "nothing is published any more by this process: {error}");
                return;
            }
            if error.to_string() != said {
                said = error.to_string();
                tracing::warn!(topic, "not published, tried again: {error}");
            }
            self.rest(pause);
            pause = (pause * 2).min(longest);
        }
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn tell(&self, published: u64, trouble: Option<&PublishError>) {
        self.published.store(published, Ordering::Relaxed);
        (self.told)(Standing { published, publishing: trouble.is_none(), trouble: trouble.cloned() });
    }

    /// Waits, unless it is told to stop.
    fn rest(&self, pause: Duration) {
        if !self.stopping() {
            thread::park_timeout(pause);
        }
    }
}
