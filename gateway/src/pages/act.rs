//! Acts that a browser's key has signed: what it must have seen, and the way onto the log.
//!
//! The browser builds and signs the whole event; here it is only appended, by the same door as anybody's.

use super::error::{http_status, reason};
use super::session;
use crate::access::{blocking, reader};
use crate::convert::replica_failed;
use crate::services::Services;
use attestune_ledger::draft::plain;
use attestune_ledger::log::{Clock as _, SystemClock};
use attestune_proto::v1::ledger_server::Ledger as _;
use attestune_proto::v1::{AppendRequest, Receipt};
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use tonic::{Request, Status};

/// An answer in JSON.
pub fn answer(code: StatusCode, value: &Value) -> Response {
    (code, [(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// What a service says, in JSON.
pub fn failed(status: &Status) -> Response {
    let value = json!({ "code": reason(status), "message": status.message() });
    answer(http_status(status.code()), &value)
}

/// What a signer has before it: the tree's head, and this server's clock.
pub async fn seen(State(services): State<Services>) -> Response {
    let replica = services.gateway.replica.clone();
    match blocking(move || replica.head().map_err(replica_failed)).await {
        Err(status) => failed(&status),
        Ok(head) => {
            let value = json!({
                "ledger": hex::encode(&head.ledger),
                "size": head.size,
                "root": hex::encode(&head.entry_root),
                "now_ms": SystemClock.now_ms(),
            });
            answer(StatusCode::OK, &value)
        }
    }
}

/// Appends an envelope of somebody who is signed in, and answers with what the rules made of it.
pub async fn append(State(services): State<Services>, headers: HeaderMap, envelope: Bytes) -> Response {
    match appended(&services, &headers, envelope).await {
        Ok(receipt) => answer(StatusCode::OK, &told(&receipt)),
        Err(status) => failed(&status),
    }
}

async fn appended(services: &Services, headers: &HeaderMap, envelope: Bytes) -> Result<Receipt, Status> {
    let token = session::token_of(headers, &session::ledger_of(services).await?).unwrap_or_default();
    reader(&services.gateway, &session::carrying(&token, ()))?;
    let request = AppendRequest { envelope: envelope.to_vec() };
    Ok(services.append(Request::new(request)).await?.into_inner())
}

fn told(receipt: &Receipt) -> Value {
    let refusal = receipt.refusal.clone().unwrap_or_default();
    let figures: Map<String, Value> = refusal.figures.into_iter().map(|f| (f.name, f.value.into())).collect();
    json!({
        "verdict": plain(receipt.verdict().as_str_name(), "VERDICT_"),
        "position": receipt.position,
        "first_position": receipt.first_position,
        "code": refusal.code,
        "message": refusal.message,
        "figures": figures,
    })
}
