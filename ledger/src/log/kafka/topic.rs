//! The ledger's topic: made, described, changed.

use super::block_on::wait;
use super::contact::Contact;
use super::error::words;
use super::identity::topic_id;
use super::{KafkaConfig, KafkaError, PARTITION};
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode as Code;
use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

/// A batch of records that the brokers take, in bytes; far more than one entry.
const MESSAGE_BYTES_MAX: u32 = 1 << 20;
/// How long one question to the brokers may take.
pub(super) const ASK: Duration = Duration::from_secs(10);

/// Who says when a record came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// The broker, when it takes the record in: of every ledger's topic.
    LogAppendTime,
    /// The record itself: while a log is being restored into the topic.
    CreateTime,
}

/// A topic as the brokers know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub cluster: String,
    pub topic_id: Option<String>,
}

/// What the brokers say about themselves and the topic: what `doctor` judges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The topic's name.
    pub topic: String,
    /// Brokers there are.
    pub brokers: usize,
    /// Partitions of the topic.
    pub partitions: usize,
    /// Brokers that hold the topic's partition.
    pub replicas: usize,
    /// Those of them that hold all of it now.
    pub in_sync: usize,
    /// Settings of the topic, with the brokers' where it has none of its own.
    pub topic_settings: BTreeMap<String, String>,
    /// Settings of each broker.
    pub broker_settings: BTreeMap<i32, BTreeMap<String, String>>,
    /// The first offset that the topic still holds.
    pub first_offset: i64,
    /// The offset after the last.
    pub end_offset: i64,
}

/// Makes the ledger's topic: one partition, everything kept for ever, three replicas where there are as many brokers,
/// two of which must have a record before it is acknowledged.
///
/// # Errors
/// If no broker can be reached, there is such a topic, or the brokers refuse.
pub fn create(config: &KafkaConfig, stamp: Stamp) -> Result<(), KafkaError> {
    let (consumer, contact) = reader(config)?;
    let replicas = reach(config, &consumer, &contact)?.clamp(1, 3);
    make(config, &consumer, 1, replicas, stamp)
}

/// Makes a topic with the settings of a ledger's, and waits until each partition has a leader.
pub(super) fn make(
    config: &KafkaConfig,
    consumer: &BaseConsumer<Contact>,
    partitions: usize,
    replicas: usize,
    stamp: Stamp,
) -> Result<(), KafkaError> {
    let settings = settings(replicas, stamp);
    let mut topic = NewTopic::new(config.topic(), partitions as i32, TopicReplication::Fixed(replicas as i32));
    for (key, value) in &settings {
        topic = topic.set(key, value);
    }
    let made = wait(admin(config)?.create_topics([&topic], &options(config)));
    match made.map_err(|error| failed(config, "make the topic", super::error::code(&error)))?.pop() {
        Some(Err((_, Code::TopicAlreadyExists))) => {
            return Err(KafkaError::TopicExists { topic: config.topic().into() });
        }
        Some(Err((_, code))) => return Err(failed(config, "make the topic", code)),
        _ => {}
    }
    // It is there for everybody once it has a leader.
    let until = Instant::now() + config.open_timeout();
    loop {
        match partition_leaders(config, consumer.client()) {
            Ok(leaders) if leaders == vec![true; partitions] => return Ok(()),
            Err(error) if Instant::now() > until => return Err(error),
            _ if Instant::now() > until => {
                return Err(KafkaError::Failed { what: "lead the new topic".into(), cause: "it has no leader".into() });
            }
            _ => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Deletes the topic, and with it the log. Waits until it is gone.
///
/// # Errors
/// If no broker can be reached, or they refuse.
pub fn delete(config: &KafkaConfig) -> Result<(), KafkaError> {
    let (consumer, contact) = reader(config)?;
    reach(config, &consumer, &contact)?;
    let gone = wait(admin(config)?.delete_topics(&[config.topic()], &options(config)));
    match gone.map_err(|error| failed(config, "delete the topic", super::error::code(&error)))?.pop() {
        Some(Err((_, code))) if code != Code::UnknownTopicOrPartition => {
            return Err(failed(config, "delete the topic", code));
        }
        _ => {}
    }
    let until = Instant::now() + config.open_timeout();
    while !matches!(partition_leaders(config, consumer.client()), Err(KafkaError::TopicMissing { .. })) {
        if Instant::now() > until {
            return Err(KafkaError::Failed { what: "delete the topic".into(), cause: "it is still there".into() });
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Says who stamps the records from now on. Those that are there keep their times. All other settings of the topic
/// become those of a ledger's topic, too.
///
/// # Errors
/// If no broker can be reached, or they refuse.
pub fn set_stamp(config: &KafkaConfig, stamp: Stamp) -> Result<(), KafkaError> {
    let replicas = describe(config)?.replicas;
    let settings = settings(replicas, stamp);
    let mut change = AlterConfig::new(ResourceSpecifier::Topic(config.topic()));
    for (key, value) in &settings {
        change = change.set(key, value);
    }
    let changed = wait(admin(config)?.alter_configs([&change], &options(config)));
    match changed.map_err(|error| failed(config, "set up the topic", super::error::code(&error)))?.pop() {
        Some(Err((_, code))) => Err(failed(config, "set up the topic", code)),
        _ => Ok(()),
    }
}

fn settings(replicas: usize, stamp: Stamp) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", "-1".into()),
        ("retention.bytes", "-1".into()),
        ("unclean.leader.election.enable", "false".into()),
        ("min.insync.replicas", (replicas.saturating_sub(1)).max(1).to_string()),
        ("max.message.bytes", MESSAGE_BYTES_MAX.to_string()),
    ];
    match stamp {
        Stamp::LogAppendTime => settings.push(("message.timestamp.type", "LogAppendTime".into())),
        Stamp::CreateTime => {
            settings.push(("message.timestamp.type", "CreateTime".into()));
            // A clock that had jumped ahead is part of the record.
            settings.push(("message.timestamp.after.max.ms", i64::MAX.to_string()));
        }
    }
    settings
}

/// Everything that `doctor` looks at.
///
/// # Errors
/// If no broker can be reached, the topic is missing, or we may not look at its settings.
pub fn describe(config: &KafkaConfig) -> Result<Found, KafkaError> {
    let (consumer, contact) = reader(config)?;
    let brokers = reach(config, &consumer, &contact)?;
    let metadata = metadata(config, consumer.client(), ASK)?;
    partition_leaders(config, consumer.client())?;
    let topic = metadata.topics().first();
    let partitions = topic.map_or(&[][..], |topic| topic.partitions());
    let (first_offset, end_offset) = watermarks(config, consumer.client(), PARTITION)?;

    let ids: Vec<i32> = metadata.brokers().iter().map(|broker| broker.id()).collect();
    let mut asked = vec![ResourceSpecifier::Topic(config.topic())];
    asked.extend(ids.iter().map(|id| ResourceSpecifier::Broker(*id)));
    let admin = admin(config)?;
    let mut found = Found {
        topic: config.topic().into(),
        brokers,
        partitions: partitions.len(),
        replicas: partitions.first().map_or(0, |partition| partition.replicas().len()),
        in_sync: partitions.first().map_or(0, |partition| partition.isr().len()),
        first_offset,
        end_offset,
        ..Found::default()
    };
    // A broker answers for itself only, so each is asked alone; one that does not answer is left out.
    for resource in &asked {
        let answer = wait(admin.describe_configs([resource], &options(config)));
        let settings = answer.ok().and_then(|mut answer| answer.pop()?.ok());
        let settings: Option<BTreeMap<String, String>> = settings.map(|resource| {
            resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect()
        });
        match (resource, settings) {
            (ResourceSpecifier::Broker(id), Some(settings)) => {
                found.broker_settings.insert(*id, settings);
            }
            (ResourceSpecifier::Topic(_), Some(settings)) => found.topic_settings = settings,
            (ResourceSpecifier::Topic(_), None) => {
                return Err(KafkaError::NotAllowed { topic: config.topic().into(), what: "see the settings of" });
            }
            _ => {}
        }
    }
    Ok(found)
}

/// A consumer with what it hears.
pub(super) fn reader(config: &KafkaConfig) -> Result<(BaseConsumer<Contact>, Contact), KafkaError> {
    let contact = Contact::default();
    let consumer = config.consumer().create_with_context(contact.clone()).map_err(KafkaError::from_creation)?;
    Ok((consumer, contact))
}

/// Waits until a broker answers; tells how many there are.
pub(super) fn reach(
    config: &KafkaConfig,
    consumer: &BaseConsumer<Contact>,
    contact: &Contact,
) -> Result<usize, KafkaError> {
    let started = Instant::now();
    loop {
        let error = match consumer.client().fetch_metadata(Some(config.topic()), Duration::from_millis(500)) {
            Ok(metadata) if !metadata.brokers().is_empty() => {
                contact.forget();
                return Ok(metadata.brokers().len());
            }
            Ok(_) => "no broker is known yet".to_owned(),
            Err(error) => words(super::error::code(&error)),
        };
        // What went wrong is told by events.
        while let Some(Err(_)) = consumer.poll(Duration::ZERO) {}
        if contact.is_refused() || started.elapsed() >= config.open_timeout() {
            return Err(contact.why(config, started.elapsed(), &error));
        }
    }
}

/// The topic with its one partition, whose leader is known. One that was `followed` before is given time to show itself:
/// brokers that have just started may not know it yet.
pub(super) fn look(
    config: &KafkaConfig,
    consumer: &BaseConsumer<Contact>,
    contact: &Contact,
    followed: bool,
) -> Result<Seen, KafkaError> {
    let started = Instant::now();
    let patience = if followed { config.settle_timeout() } else { Duration::from_secs(2) };
    loop {
        let trouble = match partition_leaders(config, consumer.client()) {
            Ok(leaders) if leaders.len() != 1 => {
                return Err(KafkaError::Partitions { topic: config.topic().into(), count: leaders.len() });
            }
            Ok(leaders) if leaders[0] => break,
            Ok(_) => Some("the topic's partition has no leader".to_owned()),
            Err(KafkaError::TopicMissing { .. }) if started.elapsed() < patience => None,
            Err(error @ KafkaError::Failed { .. }) => Some(error.to_string()),
            Err(error) => return Err(error),
        };
        while let Some(Err(_)) = consumer.poll(Duration::ZERO) {}
        if let Some(trouble) = trouble
            && (contact.is_refused() || started.elapsed() >= config.open_timeout())
        {
            return Err(contact.why(config, started.elapsed(), &trouble));
        }
        thread::sleep(Duration::from_millis(100));
    }
    let cluster = consumer.client().fetch_cluster_id(ASK).unwrap_or_default();
    Ok(Seen { cluster, topic_id: topic_id(consumer.client(), config.topic(), ASK) })
}

/// What the brokers say of the topic. One that has just started answers before it knows anything, itself included: from
/// that nothing follows.
pub(super) fn metadata(
    config: &KafkaConfig,
    client: &Client<impl ClientContext>,
    timeout: Duration,
) -> Result<Metadata, KafkaError> {
    let metadata = client.fetch_metadata(Some(config.topic()), timeout);
    let metadata = metadata.map_err(|error| failed(config, "describe the topic", super::error::code(&error)))?;
    if metadata.brokers().is_empty() {
        let what = format!("describe the topic `{}`", config.topic());
        return Err(KafkaError::Failed { what, cause: "the broker that answers has just started".into() });
    }
    Ok(metadata)
}

/// For each partition of the topic, whether it has a leader.
pub(super) fn partition_leaders(config: &KafkaConfig, client: &Client<Contact>) -> Result<Vec<bool>, KafkaError> {
    let metadata = metadata(config, client, ASK)?;
    let topic = metadata.topics().iter().find(|topic| topic.name() == config.topic());
    let Some(topic) = topic else { return Err(missing(config)) };
    match topic.error().map(Code::from) {
        Some(Code::LeaderNotAvailable) => Ok(vec![false]),
        Some(code) => Err(failed(config, "describe the topic", code)),
        None if topic.partitions().is_empty() => Err(missing(config)),
        None => Ok(topic.partitions().iter().map(|partition| partition.leader() >= 0).collect()),
    }
}

/// How many brokers hold the topic.
pub(super) fn replicas(config: &KafkaConfig, client: &Client<Contact>) -> Result<usize, KafkaError> {
    let metadata = metadata(config, client, ASK)?;
    let partition = metadata.topics().first().and_then(|topic| topic.partitions().first());
    partition.map(|partition| partition.replicas().len()).ok_or_else(|| missing(config))
}

/// The first offset that a partition holds, and the one after the last. Asked again while the partition changes leaders.
pub(super) fn watermarks(
    config: &KafkaConfig,
    client: &Client<Contact>,
    partition: i32,
) -> Result<(i64, i64), KafkaError> {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let code = match client.fetch_watermarks(config.topic(), partition, ASK) {
            Ok(watermarks) => return Ok(watermarks),
            Err(error) => super::error::code(&error),
        };
        let passes = matches!(
            code,
            Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::ReplicaNotAvailable
                | Code::OffsetNotAvailable
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
        );
        if !passes || Instant::now() > until {
            return Err(failed(config, "tell the topic's end", code));
        }
        // Else the client asks whom it took for the leader, again and again.
        if let Err(error) = client.fetch_metadata(Some(config.topic()), ASK) {
            tracing::debug!(%error, "the partition's leader is not known");
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn missing(config: &KafkaConfig) -> KafkaError {
    KafkaError::TopicMissing { topic: config.topic().into(), brokers: config.brokers().into() }
}

pub(super) fn failed(config: &KafkaConfig, what: &'static str, code: Code) -> KafkaError {
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicId => {
            missing(config)
        }
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            KafkaError::NotAllowed { topic: config.topic().into(), what }
        }
        code => KafkaError::Failed { what: format!("{what} `{}`", config.topic()), cause: words(code) },
    }
}

pub(super) fn admin(config: &KafkaConfig) -> Result<AdminClient<Contact>, KafkaError> {
    config.client().create_with_context(Contact::default()).map_err(KafkaError::from_creation)
}

pub(super) fn options(config: &KafkaConfig) -> AdminOptions {
    let timeout = Some(config.open_timeout());
    AdminOptions::new().request_timeout(timeout).operation_timeout(timeout)
}
