//! The JSON of Microsoft Presidio's REST services, so that their clients work unchanged: what comes in, what goes out,
//! which status. Whoever serves it brings the network.
//!
//! Requests and answers are those of Presidio's published API (analyzer and anonymizer, 2.2); the findings are this
//! crate's. Two things differ: findings don't overlap, and a pattern of a request's own recognizer needs a longest match.

mod analyze;
mod anonymize;
mod cipher;
mod operate;
mod spans;

pub use analyze::Analyzer;
pub use anonymize::{anonymize, anonymizers, deanonymize, deanonymizers};

use serde_json::Value;

/// An answer that is an error: `{"error": message}` with a status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// What is wrong. It may name fields of the request, never its text.
    pub message: String,
}

impl ApiError {
    /// With a status of one's own.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// The body.
    pub fn body(&self) -> Value {
        serde_json::json!({ "error": self.message })
    }

    fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(422, message)
    }

    /// What Presidio's analyzer answers to a request that it can't serve.
    fn cannot_serve(message: &str) -> Self {
        Self::new(500, message)
    }
}
