//! The topic that work is shared by: its partitions stand for shares of the work, and it carries no records.

use super::block_on::wait;
use super::error::code;
use super::topic::{ASK, admin, failed, metadata, options, reach, reader};
use super::{KafkaConfig, KafkaError};
use rdkafka::ClientContext;
use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::client::Client;
use rdkafka::consumer::Consumer as _;
use rdkafka::types::RDKafkaErrorCode as Code;
use std::time::{Duration, Instant};

/// Partitions that the topic is made with: more than there are ever workers of a kind, so that shares are even.
pub const WORK_PARTITIONS: u32 = 64;

/// What is to be known of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkTopic {
    /// Its name.
    pub name: String,
    /// Its partitions; none if there is no such topic.
    pub partitions: Option<u32>,
    /// Records on it, where there should be none.
    pub records: u64,
}

/// The work topic of a ledger's topic, with the same brokers and settings.
pub(super) fn of(ledger: &KafkaConfig) -> KafkaConfig {
    ledger.for_topic(&format!("{}.work", ledger.topic()))
}

/// Looks at the work topic of a ledger.
///
/// # Errors
/// If no broker can be reached, or they refuse.
pub fn describe_work(ledger: &KafkaConfig) -> Result<WorkTopic, KafkaError> {
    let config = of(ledger);
    let (consumer, contact) = reader(&config)?;
    reach(&config, &consumer, &contact)?;
    let partitions = partitions(&config, consumer.client(), ASK)?;
    let mut records = 0;
    for partition in 0..partitions.unwrap_or(0) {
        let marks = consumer.client().fetch_watermarks(config.topic(), partition as i32, ASK);
        let (first, end) = marks.map_err(|error| failed(&config, "tell the ends of", code(&error)))?;
        records += end.saturating_sub(first).unsigned_abs();
    }
    Ok(WorkTopic { name: config.topic().into(), partitions, records })
}

/// How many partitions the topic has; none if there is no such topic.
pub(super) fn partitions(
    config: &KafkaConfig,
    client: &Client<impl ClientContext>,
    timeout: Duration,
) -> Result<Option<u32>, KafkaError> {
    let metadata = metadata(config, client, timeout)?;
    let topic = metadata.topics().iter().find(|topic| topic.name() == config.topic());
    match topic.map(|topic| (topic.error().map(Code::from), topic.partitions().len())) {
        None | Some((Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) | None, 0)) => Ok(None),
        Some((Some(Code::LeaderNotAvailable) | None, count)) => Ok(Some(count as u32)),
        Some((Some(code), _)) => Err(failed(config, "describe the topic", code)),
    }
}

/// Makes the topic and waits until it is known; well if somebody else was faster.
pub(super) fn make(config: &KafkaConfig, client: &Client<impl ClientContext>) -> Result<(), KafkaError> {
    let replicas = metadata(config, client, ASK)?.brokers().len().clamp(1, 3) as i32;
    let topic = NewTopic::new(config.topic(), WORK_PARTITIONS as i32, TopicReplication::Fixed(replicas));
    let made = wait(admin(config)?.create_topics([&topic], &options(config)));
    match made.map_err(|error| failed(config, "make the topic", code(&error)))?.pop() {
        Some(Err((_, code))) if code != Code::TopicAlreadyExists => return Err(failed(config, "make the topic", code)),
        _ => {}
    }
    let until = Instant::now() + ASK;
    while partitions(config, client, ASK)?.is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
