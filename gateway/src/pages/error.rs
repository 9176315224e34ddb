//! A page that could not be shown: what, and what to do.

use super::layout;
use super::moment::MomentError;
use super::text::shown;
use crate::convert::replica_failed;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use maud::html;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Why there is no page.
#[derive(Debug)]
pub enum PageError {
    /// Nobody is signed in, or the token has run out: to the page for that, and back.
    SignIn {
        /// The page asked for.
        next: String,
    },
    /// The address, or what was posted, is not what it should be.
    Bad(String),
    /// There is no such thing as of then.
    Missing(String),
    /// What a service says.
    Status(Box<Status>),
}

impl From<Status> for PageError {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl From<MomentError> for PageError {
    fn from(error: MomentError) -> Self {
        match error {
            MomentError::Replica(error) => replica_failed(error).into(),
            malformed @ MomentError::Malformed(_) => Self::Bad(malformed.to_string()),
        }
    }
}

/// The HTTP status that tells what a code of gRPC does.
pub fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::PAYLOAD_TOO_LARGE,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unimplemented | Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The stable reason of a status; empty if it has none.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (code, title, what, reason) = match self {
            Self::SignIn { next } => {
                let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
                return Redirect::to(&format!("/sign-in?next={next}")).into_response();
            }
            Self::Bad(what) => (StatusCode::BAD_REQUEST, "That can’t be shown", what, String::new()),
            Self::Missing(what) => (StatusCode::NOT_FOUND, "There is no such thing", what, String::new()),
            Self::Status(status) => {
                let title = match status.code() {
                    Code::NotFound => "There is no such thing",
                    Code::PermissionDenied => "You may not see this",
                    Code::InvalidArgument | Code::OutOfRange => "That can’t be shown",
                    _ => "This could not be done",
                };
                (http_status(status.code()), title, status.message().to_owned(), reason(&status))
            }
        };
        let body = html! {
            p.lead role="alert" { (shown(&what)) }
            @if !reason.is_empty() {
                p { "Reason: " code { (reason) } }
            }
            p { a href="/" { "To the models" } " · " a href="/health" { "Health of this server" } }
        };
        (code, layout::bare(title, body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_sent_to_sign_in_and_back() {
        let response = PageError::SignIn { next: "/models/triage?at=7&x=1".into() }.into_response();
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        assert_eq!(response.headers()["location"], "/sign-in?next=%2Fmodels%2Ftriage%3Fat%3D7%26x%3D1");
    }
}
