//! Membership in a group of workers of one kind, which share what there is to do.
//!
//! The group is Kafka's own: its members are each assigned some partitions of the ledger's work topic, and told when
//! that changes. What is assigned says which work to begin with, and nothing more: who holds a partition has no right to
//! anything, and the rules accept each result once from whomever it comes.

use super::contact::Contact;
use super::error::{code, words};
use super::{KafkaConfig, KafkaError, work};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode as Code;
use std::collections::BTreeSet;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long it rests after it could not begin, before it tries again.
const TRY_EVERY: Duration = Duration::from_secs(10);
/// How long it waits for an assignment before it begins anew: a broker that swallows the request to join is heard of only
/// after `max.poll.interval.ms`.
const ASSIGNMENT_WAIT: Duration = Duration::from_secs(60);
/// How long leaving may take; the brokers notice by themselves after `session.timeout.ms`.
const LEAVE_WAIT: Duration = Duration::from_secs(5);
/// How long a question to the brokers may take; the caller's work rests meanwhile.
const ASK: Duration = Duration::from_secs(5);
/// Events that are heard at once.
const HEARD_MAX: usize = 16;

/// A member of a group, or somebody who wants to be one.
///
/// Everything happens inside [`Group::hear`], on the caller's thread: a partition is given up between two calls, never
/// during the work that the caller does between them.
pub struct Group {
    /// Of the work topic.
    config: KafkaConfig,
    id: String,
    wanted: bool,
    consumer: Option<BaseConsumer<Member>>,
    assigned: Arc<Mutex<Assigned>>,
    /// Partitions of the topic, as counted when the assignment last changed.
    partitions: u32,
    counted_at: u64,
    try_at: Option<Instant>,
    /// Since when there is no assignment, if there is none.
    without_since: Instant,
    /// What was complained about last.
    complaint: Option<String>,
}

/// What this member holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its partitions, from 0 on.
    pub partitions: BTreeSet<u32>,
    /// How many there are in all.
    pub of: u32,
}

#[derive(Default)]
struct Assigned {
    /// None before the first assignment, and where it was lost.
    partitions: Option<BTreeSet<u32>>,
    changes: u64,
}

/// What a consumer's callbacks know.
struct Member {
    contact: Contact,
    assigned: Arc<Mutex<Assigned>>,
}

impl Group {
    /// Of the workers of one kind and one version on a ledger. Nothing is asked of the brokers before
    /// [`Group::hear`].
    ///
    /// ```
    /// use attestune_ledger::log::{KafkaConfig, kafka::Group};
    ///
    /// let ledger = KafkaConfig::new("kafka:9092", "triage")?;
    /// assert_eq!(Group::new(&ledger, "pii", "1").id(), "triage.work.pii-1");
    /// # Ok::<(), attestune_ledger::log::KafkaError>(())
    /// ```
    pub fn new(ledger: &KafkaConfig, worker: &str, version: &str) -> Self {
        let config = work::of(ledger);
        let id = format!("{}.{worker}-{version}", config.topic());
        Self {
            config,
            id,
            wanted: true,
            consumer: None,
            assigned: Arc::default(),
            partitions: 0,
            counted_at: 0,
            try_at: None,
            without_since: Instant::now(),
            complaint: None,
        }
    }

    /// The group's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Hears what the group says, and tells what is held; nothing while the group forms or can't be reached. Has to be
    /// called again within `max.poll.interval.ms`, else the group goes on without this member until it is.
    pub fn hear(&mut self) -> Option<Held> {
        if !self.wanted {
            return None;
        }
        if self.consumer.is_none() {
            if self.try_at.is_some_and(|at| Instant::now() < at) {
                return None;
            }
            if let Err(error) = self.begin() {
                self.try_at = Some(Instant::now() + TRY_EVERY);
                self.complain(&error.to_string());
                return None;
            }
        }
        self.listen();
        self.count();
        let held = lock(&self.assigned).partitions.clone().filter(|_| self.partitions > 0);
        match held {
            Some(partitions) => {
                (self.complaint, self.without_since) = (None, Instant::now());
                Some(Held { partitions, of: self.partitions })
            }
            None => {
                if self.without_since.elapsed() >= ASSIGNMENT_WAIT {
                    self.complain("no assignment comes");
                    self.end();
                }
                None
            }
        }
    }

    /// Gives everything up and leaves, until [`Group::join`].
    pub fn leave(&mut self) {
        self.wanted = false;
        self.end();
    }

    /// Wants to be a member again.
    pub fn join(&mut self) {
        self.wanted = true;
        self.try_at = None;
    }

    fn begin(&mut self) -> Result<(), KafkaError> {
        // What one of before still hears on its way out is no more of this one's business.
        (self.assigned, self.counted_at) = (Arc::default(), 0);
        let member = Member { contact: Contact::default(), assigned: self.assigned.clone() };
        let consumer: BaseConsumer<Member> =
            self.config.member(&self.id).create_with_context(member).map_err(KafkaError::from_creation)?;
        if work::partitions(&self.config, consumer.client(), ASK)?.is_none() {
            work::make(&self.config, consumer.client())?;
            tracing::info!(topic = self.config.topic(), "the work topic was missing and is made");
        }
        let failed = |error| KafkaError::Failed { what: format!("join `{}`", self.id), cause: format!("{error}") };
        consumer.subscribe(&[self.config.topic()]).map_err(failed)?;
        (self.consumer, self.without_since) = (Some(consumer), Instant::now());
        Ok(())
    }

    fn listen(&mut self) {
        for _ in 0..HEARD_MAX {
            let heard = match self.consumer.as_ref().and_then(|consumer| consumer.poll(Duration::ZERO)) {
                None => return,
                Some(Ok(_)) => continue, // a record where none should be
                Some(Err(error)) => error,
            };
            match code(&heard) {
                // The topic was deleted: it is made again at the next try.
                Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
                    self.complain("the work topic is gone");
                    self.try_at = Some(Instant::now() + TRY_EVERY);
                    return self.end();
                }
                Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve => {
                    tracing::debug!(group = self.id, error = %heard, "heard from the group");
                }
                code => self.complain(&words(code)),
            }
        }
    }

    /// Counts the partitions anew where the assignment has changed: all members have to count alike.
    fn count(&mut self) {
        let changes = lock(&self.assigned).changes;
        let Some(consumer) = self.consumer.as_ref().filter(|_| changes != self.counted_at) else { return };
        match work::partitions(&self.config, consumer.client(), ASK) {
            Ok(Some(count)) => (self.partitions, self.counted_at) = (count, changes),
            Ok(None) => {}
            Err(error) => tracing::debug!(group = self.id, %error, "the work topic's partitions can't be counted"),
        }
    }

    /// Says once what is wrong.
    fn complain(&mut self, what: &str) {
        if self.complaint.as_deref() != Some(what) {
            tracing::warn!(group = self.id, "work is not shared now: {what}");
            self.complaint = Some(what.into());
        }
    }

    /// Leaves in good order; after a while without waiting for the end of it.
    fn end(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            let (done, ended) = sync_channel::<()>(1);
            std::thread::spawn(move || {
                drop(consumer);
                drop(done);
            });
            if ended.recv_timeout(LEAVE_WAIT) == Err(RecvTimeoutError::Timeout) {
                tracing::debug!(group = self.id, "the group could not be told that a member leaves");
            }
        }
        self.assigned = Arc::default();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

impl Assigned {
    fn change(&mut self, partitions: Option<BTreeSet<u32>>) {
        self.partitions = partitions;
        self.changes += 1;
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.contact.log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.contact.error(error, reason);
    }
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let mut assigned = lock(&self.assigned);
        match rebalance {
            Rebalance::Assign(_) => {}
            Rebalance::Revoke(_) if consumer.assignment_lost() => assigned.change(None),
            Rebalance::Revoke(taken) => {
                let taken = numbers(taken);
                let kept = assigned.partitions.as_ref().map(|held| held - &taken);
                assigned.change(kept);
            }
            Rebalance::Error(_) => assigned.change(None),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(given) = rebalance else { return };
        // There is nothing to fetch, and a paused partition asks for nothing.
        if let Err(error) = consumer.pause(given) {
            tracing::debug!(%error, "partitions of work are not paused");
        }
        let mut assigned = lock(&self.assigned);
        let held = assigned.partitions.take().unwrap_or_default();
        assigned.change(Some(&held | &numbers(given)));
    }
}

fn numbers(partitions: &TopicPartitionList) -> BTreeSet<u32> {
    partitions.elements().iter().filter_map(|element| u32::try_from(element.partition()).ok()).collect()
}

fn lock(assigned: &Mutex<Assigned>) -> MutexGuard<'_, Assigned> {
    assigned.lock().unwrap_or_else(PoisonError::into_inner)
}
