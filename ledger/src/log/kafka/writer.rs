//! Appending: records of many callers leave in shared batches, each answered once its records are durable and read.

use super::contact::Contact;
use super::error::{code, words};
use super::{KafkaConfig, KafkaError, PARTITION, Shared, Waiting};
use crate::log::{Answer, LogError};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much longer than its acknowledgement an append waits for the reader to come to it.
const READ_BACK: Duration = Duration::from_secs(30);
/// How long to let a full queue drain before the next try.
const FULL_PAUSE: Duration = Duration::from_millis(1);

pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Held while an append's records are put into the queue, so that they stand together on the log.
    producer: Mutex<ThreadedProducer<Deliveries>>,
}

/// What the producer's callbacks share.
struct Deliveries {
    shared: Arc<Shared>,
    contact: Contact,
}

/// One append until its last record is acknowledged.
pub(super) struct Ticket {
    /// What had been read when it was sent: its records come after.
    floor: i64,
    state: Mutex<TicketState>,
}

struct TicketState {
    unanswered: usize,
    offsets: Vec<i64>,
    /// The last of them, once all are acknowledged.
    durable: Option<i64>,
    error: Option<KafkaError>,
    answer: Option<Answer>,
}

impl Writer {
    pub(super) fn open(shared: Arc<Shared>) -> Result<Self, KafkaError> {
        let producer = Mutex::new(producer(&shared)?);
        Ok(Self { shared, producer })
    }

    pub(super) fn append(&self, values: &[Vec<u8>]) -> Result<Vec<u64>, LogError> {
        let config = &self.shared.config;
        let (reply, answer) = sync_channel(1);
        // Whoever appended may have given up.
        let ticket = self.submit(values, Box::new(move |outcome| drop(reply.send(outcome))));
        match answer.recv_timeout(config.append_timeout() + READ_BACK) {
            Ok(positions) => positions,
            Err(RecvTimeoutError::Timeout) => Err(self.overdue(&ticket).into()),
            Err(RecvTimeoutError::Disconnected) => {
                Err(KafkaError::NotAcknowledged { cause: "the log was closed".into() }.into())
            }
        }
    }

    /// Sends values without waiting for more than room in the queue.
    pub(super) fn submit(&self, values: &[Vec<u8>], answer: Answer) -> Arc<Ticket> {
        let offsets = Vec::with_capacity(values.len());
        let (unanswered, durable, error) = (values.len(), None, None);
        let state = Mutex::new(TicketState { unanswered, offsets, durable, error, answer: Some(answer) });
        let ticket = Arc::new(Ticket { floor: self.shared.progress().next_offset, state });
        if let Err(error) = self.send(values, &ticket) {
            ticket.give_up(&self.shared, values.len(), error);
        }
        ticket
    }

    /// # Errors
    /// If nothing was sent.
    fn send(&self, values: &[Vec<u8>], ticket: &Arc<Ticket>) -> Result<(), KafkaError> {
        let config = &self.shared.config;
        let until = Instant::now() + config.append_timeout();
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((code, reason)) = producer.client().fatal_error() {
            tracing::warn!(%code, reason, "the producer is made anew");
            *producer = self::producer(&self.shared)?;
        }
        for (sent, value) in values.iter().enumerate() {
            let record = BaseRecord::<[u8], [u8], _>::with_opaque_to(config.topic(), ticket.clone());
            let mut record = record.partition(PARTITION).payload(value.as_slice());
            while let Err((error, returned)) = producer.send(record) {
                let (full, in_time) = (code(&error) == Code::QueueFull, Instant::now() < until);
                if full && in_time {
                    record = returned;
                    std::thread::sleep(FULL_PAUSE);
                    continue;
                }
                drop(returned);
                let error = NotTaken::of(code(&error), value.len());
                let error = error.into_error(config, producer.client().context().contact.trouble());
                ticket.give_up(&self.shared, values.len() - sent, error);
                return Ok(()); // the ticket is answered once what was sent before has been, too
            }
        }
        Ok(())
    }

    fn overdue(&self, ticket: &Ticket) -> KafkaError {
        let waited_s = (self.shared.config.append_timeout() + READ_BACK).as_secs();
        match ticket.state.lock().unwrap_or_else(PoisonError::into_inner).durable {
            Some(offset) => KafkaError::Behind { offset, waited_s },
            None => KafkaError::NotAcknowledged { cause: format!("none within {waited_s} s") },
        }
    }
}

enum NotTaken {
    Full,
    /// Brokers that have just started do not know all topics, and the client asks them anew every second. A topic that is
    /// gone for good stops the log: the reader sees to that.
    TopicUnknown,
    TooLarge(usize),
    Other(Code),
}

impl NotTaken {
    fn of(code: Code, size: usize) -> Self {
        match code {
            Code::QueueFull => Self::Full,
            Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition => Self::TopicUnknown,
            Code::MessageSizeTooLarge => Self::TooLarge(size),
            code => Self::Other(code),
        }
    }

    fn into_error(self, config: &KafkaConfig, trouble: Option<String>) -> KafkaError {
        match self {
            Self::Full => {
                let trouble = trouble.unwrap_or_else(|| "the brokers are too slow".into());
                KafkaError::NotAcknowledged { cause: format!("too many records wait already ({trouble})") }
            }
            Self::TopicUnknown => KafkaError::NotAcknowledged { cause: "the brokers do not know the topic now".into() },
            Self::TooLarge(size) => KafkaError::RecordTooLarge { topic: config.topic().into(), size },
            Self::Other(code) => super::topic::failed(config, "take a record into", code),
        }
    }
}

fn producer(shared: &Arc<Shared>) -> Result<ThreadedProducer<Deliveries>, KafkaError> {
    let deliveries = Deliveries { shared: shared.clone(), contact: Contact::default() };
    shared.config.producer().create_with_context(deliveries).map_err(KafkaError::from_creation)
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.contact.log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.contact.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Arc<Ticket>) {
        match result {
            Ok(record) => {
                self.contact.forget();
                ticket.acknowledged(&self.shared, record.offset());
            }
            Err((error, record)) => {
                let error = self.undelivered(code(error), record.payload_len());
                ticket.give_up(&self.shared, 1, error);
            }
        }
    }
}

impl Deliveries {
    fn undelivered(&self, code: Code, size: usize) -> KafkaError {
        let config = &self.shared.config;
        let topic = || config.topic().to_owned();
        match code {
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
                KafkaError::RecordTooLarge { topic: topic(), size }
            }
            Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
                KafkaError::NotAllowed { topic: topic(), what: "append to" }
            }
            Code::MessageTimedOut => {
                let waited = config.append_timeout().as_secs();
                let trouble = self.contact.trouble().unwrap_or_else(|| "the brokers are silent or too slow".into());
                KafkaError::NotAcknowledged { cause: format!("none within {waited} s ({trouble})") }
            }
            code => KafkaError::NotAcknowledged { cause: words(code) },
        }
    }
}

impl Ticket {
    fn acknowledged(&self, shared: &Shared, offset: i64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.unanswered -= 1;
        state.offsets.push(offset);
        self.answer_if_done(shared, &mut state);
    }

    /// So many of its records did not get there, or nobody knows.
    fn give_up(&self, shared: &Shared, records: usize, error: KafkaError) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.unanswered -= records;
        // That something may be on the log outweighs that something else is not.
        if state.error.as_ref().is_none_or(|known| !known.may_be_on_the_log()) {
            state.error = Some(error);
        }
        self.answer_if_done(shared, &mut state);
    }

    fn answer_if_done(&self, shared: &Shared, state: &mut TicketState) {
        if state.unanswered > 0 {
            return;
        }
        let Some(answer) = state.answer.take() else { return };
        let mut offsets = std::mem::take(&mut state.offsets);
        offsets.sort_unstable();
        match state.error.take() {
            Some(error) => {
                let error = if offsets.is_empty() || error.may_be_on_the_log() {
                    error
                } else {
                    KafkaError::NotAcknowledged { cause: format!("a part of them only is there ({error})") }
                };
                answer(Err(error.into()));
            }
            None => {
                state.durable = offsets.last().copied();
                shared.acknowledged(self.floor, offsets, answer);
            }
        }
    }
}

impl Shared {
    /// All records of an append are durable: it is answered now, or when the reader comes to the last of them.
    fn acknowledged(&self, floor: i64, offsets: Vec<i64>, answer: Answer) {
        let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else { return };
        if first < floor {
            // This topic takes records where the one that was read had some already.
            let error = LogError::from(KafkaError::Remade { topic: self.config.topic().into() });
            answer(Err(error.clone()));
            return self.fail(error);
        }
        let mut progress = self.progress();
        progress.waiting.insert(last, Waiting { offsets, answer });
        progress.settle();
    }
}
