//! What the brokers were last heard to say.

use super::error::words;
use super::{KafkaConfig, KafkaError};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode as Code;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The last trouble of a client, shared with its callbacks.
#[derive(Clone, Default)]
pub(super) struct Contact(Arc<Mutex<Option<Trouble>>>);

#[derive(Clone)]
struct Trouble {
    code: Code,
    reason: String,
}

impl Contact {
    fn note(&self, code: Code, reason: &str) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // "All brokers are down" says less than why the last one is.
        if code == Code::AllBrokersDown && last.is_some() {
            return;
        }
        // A refusal is the cause of the broken connections that follow it.
        if last.as_ref().is_some_and(|last| is_refusal(last.code)) && !is_refusal(code) {
            return;
        }
        *last = Some(Trouble { code, reason: reason.into() });
    }

    /// All is well again.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// In words, if there was trouble.
    pub(super) fn trouble(&self) -> Option<String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(if last.reason.is_empty() { words(last.code) } else { last.reason })
    }

    /// Whether trying again is of no use.
    pub(super) fn is_refused(&self) -> bool {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|last| is_refusal(last.code))
    }

    /// Why nobody could be reached.
    pub(super) fn why(&self, config: &KafkaConfig, waited: Duration, otherwise: &str) -> KafkaError {
        let brokers = config.brokers().to_owned();
        let code = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|last| last.code);
        let cause = self.trouble().unwrap_or_else(|| otherwise.to_owned());
        match code {
            Some(Code::SSL) => KafkaError::Tls { brokers, cause },
            Some(code) if is_refusal(code) => KafkaError::Refused { brokers, cause },
            _ => KafkaError::NoBroker { brokers, waited_s: waited.as_secs(), cause },
        }
    }
}

fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::SSL
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
    )
}

impl ClientContext for Contact {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Debug => tracing::trace!(target: "librdkafka", facility, "{message}"),
            _ => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
        if let Some(code) = error.rdkafka_error_code() {
            self.note(code, reason);
        }
    }
}

impl ConsumerContext for Contact {}

/// For transactions: what became of a record shows in that of its transaction.
impl ProducerContext for Contact {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            tracing::debug!(target: "librdkafka", %error, "a record was not delivered");
        }
    }
}
