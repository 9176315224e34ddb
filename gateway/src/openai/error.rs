//! Errors in OpenAI's form: `{"error": {"message", "type", "param", "code"}}`.

use super::engine::AskError;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use tonic::{Code, Status};

/// Why a request is not answered.
#[derive(Debug)]
pub struct ApiError {
    pub status: StatusCode,
    /// A stable word for programs.
    pub code: &'static str,
    /// The parameter that is wrong.
    pub param: Option<&'static str>,
    pub message: String,
    /// After how many seconds another try may be worth it.
    pub retry_s: Option<u64>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, param: None, message: message.into(), retry_s: None }
    }

    /// A parameter that is wrong.
    pub fn bad(param: &'static str, message: impl Into<String>) -> Self {
        Self { param: Some(param), ..Self::new(StatusCode::BAD_REQUEST, "invalid_value", message) }
    }

    /// A parameter that would change the answer and that this server does not know.
    pub fn unsupported(param: &'static str, message: impl Into<String>) -> Self {
        Self { code: "unsupported_parameter", ..Self::bad(param, message) }
    }

    /// There is no such model for this caller.
    pub fn no_model(message: impl Into<String>) -> Self {
        Self { param: Some("model"), ..Self::new(StatusCode::NOT_FOUND, "model_not_found", message) }
    }

    /// The server can't just now.
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    /// The same, to be tried again.
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_s: Some(seconds), ..self }
    }

    /// What was asked can't be taken; `param` is where the prompt stands.
    pub fn of_ask(error: AskError, param: &'static str) -> Self {
        let message = error.to_string();
        match error {
            AskError::Bad(_) => Self::bad(param, message),
            AskError::TooLong { .. } => Self { code: "context_length_exceeded", ..Self::bad(param, message) },
            AskError::Busy { retry_s } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", message).retry_after(retry_s)
            }
            AskError::Failed(_) => Self::unavailable("engine_failed", message).retry_after(5),
        }
    }

    /// The error as JSON.
    pub fn json(&self) -> serde_json::Value {
        let kind = match self.status.as_u16() {
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        json!({ "error": { "message": self.message, "type": kind, "param": self.param, "code": self.code } })
    }
}

impl From<Status> for ApiError {
    fn from(status: Status) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            Code::Unauthenticated => Self::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message),
            Code::PermissionDenied => Self::new(StatusCode::FORBIDDEN, "forbidden", message),
            Code::Unavailable => Self::unavailable("unavailable", message).retry_after(1),
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.json().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
