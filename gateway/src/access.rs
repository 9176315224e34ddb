//! Who reads: tokens, roles, and the record of each read.

use crate::Gateway;
use crate::convert::append_failed;
use attestune_ledger::draft::draft;
use attestune_ledger::envelope::{open_token, verify};
use attestune_ledger::log::{Clock as _, SystemClock};
use attestune_ledger::state::{Actors, Keys};
use attestune_proto::v1::{AccessDenied, ActorKind, ActorRow, ContentAccessed, Role, Seen, Verdict, event::Body};
use base64::Engine as _;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tonic::{Code, Request, Status};

/// Longest life of a token.
const TOKEN_MS_MAX: u64 = 3_600_000;
/// Most texts named by one recorded read.
const TEXTS_MAX: usize = 512;
/// A refused reader is recorded this often at most.
const DENIED_EVERY: Duration = Duration::from_secs(60);
/// Refused readers remembered for that.
const DENIED_MAX: usize = 10_000;

/// A reader whose token holds.
pub struct Reader {
    pub actor: ActorRow,
    token_hash: [u8; 32],
}

/// When a refused reader was recorded last.
#[derive(Default)]
pub struct Denials(Mutex<HashMap<String, Instant>>);

impl Denials {
    fn due(&self, reader: &str) -> bool {
        let mut last = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.get(reader).is_some_and(|at| at.elapsed() < DENIED_EVERY) {
            return false;
        }
        if last.len() >= DENIED_MAX {
            last.clear();
        }
        last.insert(reader.into(), Instant::now());
        true
    }
}

/// The reader of a request.
pub fn reader<T>(gateway: &Gateway, request: &Request<T>) -> Result<Reader, Status> {
    let no = |what: &str| {
        Status::unauthenticated(format!("{what}; send `authorization: Bearer TOKEN`, `attestune token` prints one"))
    };
    let header = request.metadata().get("authorization").and_then(|v| v.to_str().ok());
    let text = header.and_then(|h| h.strip_prefix("Bearer ")).ok_or_else(|| no("the call carries no token"))?;
    let bytes =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).map_err(|_| no("the token is not base64url"))?;
    let (token, envelope) = open_token(&bytes).map_err(|_| no("the token is not a signed access token"))?;
    let head = gateway.replica.head().ok_or_else(|| no("there is no ledger yet"))?;
    let now_ms = SystemClock.now_ms();
    if token.ledger != head.ledger || token.audience != "attestune" {
        return Err(no("the token is for another ledger or audience"));
    }
    if token.not_after_ms < now_ms || token.not_after_ms > now_ms + TOKEN_MS_MAX {
        return Err(no("the token has run out, or is valid for more than an hour"));
    }
    let store = gateway.replica.view();
    let view = store.view();
    let signed = envelope.signatures.len() == 1
        && view.get(&Keys::key(&envelope.signatures[0].keyid)).is_some_and(|key| {
            let public: Option<[u8; 32]> = key.public_key.as_slice().try_into().ok();
            key.actor == token.actor && key.revoked_at.is_none() && public.is_some_and(|p| verify(&envelope, &p, 0))
        });
    let actor = view.get(&Actors::key(&token.actor));
    match actor {
        Some(actor) if signed => Ok(Reader { actor, token_hash: Sha256::digest(&bytes).into() }),
        _ => Err(no("the token is not signed by an active key of its actor")),
    }
}

/// Lets a reader at texts: a worker under its own key, a person with a role once the read is on the record.
pub async fn release(
    gateway: &Gateway,
    denials: &Denials,
    reader: &Reader,
    commitments: Vec<Vec<u8>>,
) -> Result<(), Status> {
    if reader.actor.kind == ActorKind::Worker as i32 {
        return Ok(());
    }
    let may = [Role::Steward, Role::Reviewer, Role::Engineer, Role::Approver, Role::Officer, Role::Admin];
    let name = reader.actor.actor.clone();
    if !may.iter().any(|r| reader.actor.roles.contains(&(*r as i32))) {
        if denials.due(&name) {
            let commitments = commitments.into_iter().take(TEXTS_MAX).collect();
            let body = AccessDenied { reader: name.clone(), token_hash: reader.token_hash.to_vec(), commitments };
            record(gateway, Body::AccessDenied(body)).await?;
        }
        return Err(Status::permission_denied(format!("{name} holds no role that may read texts")));
    }
    for part in commitments.chunks(TEXTS_MAX) {
        let body = ContentAccessed {
            reader: name.clone(),
            token_hash: reader.token_hash.to_vec(),
            commitments: part.to_vec(),
        };
        record(gateway, Body::ContentAccessed(body)).await?;
    }
    Ok(())
}

/// Records something under the gateway's own key; only what is accepted counts.
async fn record(gateway: &Gateway, body: Body) -> Result<(), Status> {
    let gateway = gateway.clone();
    let receipt = blocking(move || {
        let head = gateway.replica.head().ok_or_else(|| Status::unavailable("there is no ledger yet"))?;
        let now_ms = SystemClock.now_ms();
        let seen = Some(Seen { size: head.size, root: head.entry_root });
        let id = *uuid::Uuid::now_v7().as_bytes();
        let event = draft(&head.ledger, &gateway.actor, id, now_ms, seen, body);
        let receipts = gateway.replica.append(vec![gateway.key.sign_event(&event)]).map_err(append_failed)?;
        Ok(receipts.into_iter().next())
    })
    .await?;
    match receipt {
        Some(receipt) if receipt.verdict == Verdict::Accepted as i32 => Ok(()),
        _ => Err(crate::convert::status(
            Code::Unavailable,
            "read-not-recorded",
            "the read could not be recorded, so no text is released: has the gateway's key its role?".into(),
            HashMap::new(),
        )),
    }
}

/// Runs what blocks on a thread for that.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Status::internal("a task of the server ended by a panic"))?
}
