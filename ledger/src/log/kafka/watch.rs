//! Watching that the topic stays the one that is read.

use super::contact::Contact;
use super::identity::topic_id;
use super::{KafkaError, PARTITION, Shared, topic};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked.
const WATCH: Duration = Duration::from_secs(5);
/// How long to wait for an answer.
const ASK: Duration = Duration::from_secs(5);

/// Asks now and then whether the topic is still the one that is read.
pub(super) struct Watch {
    pub shared: Arc<Shared>,
    pub consumer: Arc<BaseConsumer<Contact>>,
    pub topic_id: Option<String>,
}

impl Watch {
    pub(super) fn run(self) {
        let mut next = Instant::now() + WATCH;
        let mut complained = false;
        while !self.shared.stopping() && !self.shared.failed() {
            let left = next.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                thread::park_timeout(left);
                continue;
            }
            let topic = self.shared.config.topic();
            match examine(&self.shared, &self.consumer, self.topic_id.as_deref()) {
                Err(error) => self.shared.fail(error.into()),
                Ok(Some(trouble)) if !complained && !self.shared.stopping() => {
                    tracing::warn!(topic, "{trouble}; it is tried again, and nothing can be appended meanwhile");
                    complained = true;
                }
                Ok(None) if complained => {
                    tracing::warn!(topic, "the brokers answer again");
                    complained = false;
                }
                Ok(_) => {}
            }
            next = Instant::now() + WATCH;
        }
    }
}

/// Fails where the topic is gone, was made anew, or lost entries. Brokers that do not answer prove nothing: answers why it
/// could not be looked at.
pub(super) fn examine(
    shared: &Shared,
    consumer: &BaseConsumer<Contact>,
    known_id: Option<&str>,
) -> Result<Option<KafkaError>, KafkaError> {
    let config = &shared.config;
    let until = Instant::now() + config.settle_timeout();
    loop {
        let found = look_again(shared, consumer, known_id);
        match found {
            Ok(()) => return Ok(None),
            // While brokers start it may look so.
            Err(KafkaError::TopicMissing { .. } | KafkaError::EndLost { .. })
                if Instant::now() < until && !shared.stopping() =>
            {
                thread::sleep(Duration::from_millis(500));
            }
            Err(
                error @ (KafkaError::TopicMissing { .. }
                | KafkaError::EndLost { .. }
                | KafkaError::BeginningLost { .. }
                | KafkaError::Remade { .. }
                | KafkaError::Partitions { .. }),
            ) if !shared.stopping() => return Err(error),
            Err(error) => return Ok(Some(error)),
        }
    }
}

fn look_again(shared: &Shared, consumer: &BaseConsumer<Contact>, known_id: Option<&str>) -> Result<(), KafkaError> {
    let config = &shared.config;
    let leaders = topic::partition_leaders(config, consumer.client())?;
    if leaders.len() != 1 {
        return Err(KafkaError::Partitions { topic: config.topic().into(), count: leaders.len() });
    }
    let id = topic_id(consumer.client(), config.topic(), ASK);
    if let (Some(known), Some(id)) = (known_id, id)
        && known != id
    {
        return Err(KafkaError::Remade { topic: config.topic().into() });
    }
    // Asked for before the topic's end, which only grows.
    let known = shared.progress().next_offset;
    let (first, end) = topic::watermarks(config, consumer.client(), PARTITION)?;
    shared.end_offset.store(end, Ordering::Release);
    if end < known {
        return Err(KafkaError::EndLost { topic: config.topic().into(), end, known });
    }
    if first > known {
        return Err(KafkaError::BeginningLost { topic: config.topic().into(), first, needed: known });
    }
    Ok(())
}
