//! The log as static resources, by C2SP tlog-tiles: `/checkpoint`, `/tile/LEVEL/N`, `/tile/entries/N`.
//!
//! Checkpoint and hashes ask for no token: they tell sizes and digests, as the proofs over gRPC do. Entries do, unless
//! whoever runs the server says that they are public: they hold no personal data of a subject, but the company's facts.

use crate::Gateway;
use crate::access::{blocking, reader};
use crate::convert::replica_failed;
use attestune_ledger::tree::TilePath;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, VARY, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::sync::{Arc, Mutex, PoisonError};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// Where the log's signed tree head is.
pub const CHECKPOINT: &str = "/checkpoint";
/// Below this are tiles and bundles of entries.
pub const TILES: &str = "/tile/";

/// A tile never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Nor do entries, but they are not for everybody.
const FOR_EVER_MINE: &str = "private, max-age=31536000, immutable";
/// A checkpoint is soon an old one.
const SHORTLY: &str = "public, max-age=1";

/// How the log's resources are served.
#[derive(Debug, Clone, Default)]
pub struct LogPages {
    /// Whether entries need no token.
    pub public_entries: bool,
    /// The newest checkpoint that witnesses have cosigned, where they are asked.
    pub cosigned: Option<Arc<Cosigned>>,
}

/// The newest checkpoint with its witnesses' cosignatures.
#[derive(Debug, Default)]
pub struct Cosigned(Mutex<Option<String>>);

impl Cosigned {
    /// Notes a newer one.
    pub fn set(&self, note: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(note);
    }

    /// The newest, if there is one yet.
    pub fn note(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The resources of a gateway's log.
pub fn router(gateway: Gateway) -> Router {
    Router::new().route(CHECKPOINT, get(checkpoint)).route("/tile/{*path}", get(tile)).with_state(gateway)
}

async fn checkpoint(State(gateway): State<Gateway>) -> Response {
    let note = match gateway.log.cosigned.as_ref().and_then(|cosigned| cosigned.note()) {
        Some(note) => Ok(note),
        None => {
            let replica = gateway.replica.clone();
            blocking(move || replica.checkpoint(false).map(|signed| signed.note).map_err(replica_failed)).await
        }
    };
    match note {
        Ok(note) => ([(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, SHORTLY)], note).into_response(),
        Err(status) => failed(&status),
    }
}

async fn tile(State(gateway): State<Gateway>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    let Some(path) = TilePath::parse(&format!("tile/{path}")) else {
        return (StatusCode::NOT_FOUND, "there is no such tile\n").into_response();
    };
    let closed = path.level.is_none() && !gateway.log.public_entries;
    if closed && let Err(status) = authorized(&gateway, &headers) {
        return failed(&status);
    }
    let replica = gateway.replica.clone();
    match blocking(move || replica.tile(path).map_err(replica_failed)).await {
        Ok(Some(bytes)) => {
            let caching = if closed { FOR_EVER_MINE } else { FOR_EVER };
            let mut response =
                ([(CONTENT_TYPE, "application/octet-stream"), (CACHE_CONTROL, caching)], bytes).into_response();
            if closed {
                response.headers_mut().insert(VARY, HeaderValue::from_static("authorization"));
            }
            response
        }
        Ok(None) => (StatusCode::NOT_FOUND, "the log has not grown to this tile\n").into_response(),
        Err(status) => failed(&status),
    }
}

/// Judges the token of a reader.
fn authorized(gateway: &Gateway, headers: &HeaderMap) -> Result<(), Status> {
    let mut request = tonic::Request::new(());
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(token) = token.and_then(|token| token.parse::<MetadataValue<_>>().ok()) {
        request.metadata_mut().insert("authorization", token);
    }
    reader(gateway, &request).map(|_| ())
}

fn failed(status: &Status) -> Response {
    let code = match status.code() {
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound | Code::OutOfRange => StatusCode::NOT_FOUND,
        Code::Unavailable | Code::FailedPrecondition => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = (code, format!("{}\n", status.message())).into_response();
    if code == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
