//! Appending: records of many callers leave in shared batches, each answered once its records are durable and read.

use super::contact::Contact;
use super::error::{code, words};
use super::outbox::{Outbox, closed};
use super::{KafkaError, Shared, Waiting};
use crate::log::{Answer, LogError};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How much longer than its acknowledgement an append waits for the reader to come to it.
const READ_BACK: Duration = Duration::from_secs(30);

pub(super) struct Writer {
    shared: Arc<Shared>,
    outbox: Outbox,
}

/// What the producer's callbacks share.
pub(super) struct Deliveries {
    shared: Arc<Shared>,
    /// What went wrong with the brokers.
    pub contact: Contact,
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
        let outbox = Outbox::open(shared.clone())?;
        Ok(Self { shared, outbox })
    }

    pub(super) fn append(&self, values: Vec<Vec<u8>>) -> Result<Vec<u64>, LogError> {
        let (reply, answer) = sync_channel(1);
        // Whoever appended may have given up.
        let ticket = self.submit(values, Box::new(move |outcome| drop(reply.send(outcome))));
        match answer.recv_timeout(self.patience()) {
            Ok(positions) => positions,
            Err(RecvTimeoutError::Timeout) => Err(self.overdue(&ticket).into()),
            Err(RecvTimeoutError::Disconnected) => Err(closed().into()),
        }
    }

    /// Sends values, or keeps them until there is room in the client's queue: waits for neither.
    pub(super) fn submit(&self, values: Vec<Vec<u8>>, answer: Answer) -> Arc<Ticket> {
        let shared = self.shared.clone();
        shared.under_way.fetch_add(1, Ordering::Relaxed);
        let answer: Answer = Box::new(move |outcome| {
            shared.under_way.fetch_sub(1, Ordering::Relaxed);
            answer(outcome);
        });
        let offsets = Vec::with_capacity(values.len());
        let (unanswered, durable, error) = (values.len(), None, None);
        let state = Mutex::new(TicketState { unanswered, offsets, durable, error, answer: Some(answer) });
        let ticket = Arc::new(Ticket { floor: self.shared.progress().next_offset, state });
        self.outbox.put(values, ticket.clone());
        ticket
    }

    /// As long as it may take for room in the queue, for the acknowledgement after that, and for reading it back.
    fn patience(&self) -> Duration {
        2 * self.shared.config.append_timeout() + READ_BACK
    }

    fn overdue(&self, ticket: &Ticket) -> KafkaError {
        let waited_s = self.patience().as_secs();
        match ticket.state.lock().unwrap_or_else(PoisonError::into_inner).durable {
            Some(offset) => KafkaError::Behind { offset, waited_s },
            None => KafkaError::NotAcknowledged { cause: format!("none within {waited_s} s") },
        }
    }
}

pub(super) fn producer(shared: &Arc<Shared>) -> Result<ThreadedProducer<Deliveries>, KafkaError> {
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
    pub(super) fn give_up(&self, shared: &Shared, records: usize, error: KafkaError) {
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
        let settled = progress.settle();
        drop(progress);
        settled.answer();
    }
}
