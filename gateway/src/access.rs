//! Who may do what here: tokens, roles, and the record of each read of a text.
//!
//! | what | who |
//! |---|---|
//! | read | an actor with a role |
//! | open texts | a person who is steward, reviewer, engineer, approver or officer, once the read is on the record; a worker that is scanner, checker, trainer, evaluator or monitor, under its own key |
//! | seal texts | whoever the policy lets record an event that holds sealed texts |
//! | ask for a person's texts | whoever the policy lets erase |
//! | have a bundle of evidence made | whoever the policy lets take evidence out |
//!
//! An admin keeps keys and roles, and a gateway its own record: neither opens a text.

use crate::Gateway;
use crate::convert::{append_failed, query_failed, replica_failed};
use crate::reason::{Reason, status, with_figures};
use attestune_ledger::draft::draft;
use attestune_ledger::envelope::{open_token, verify};
use attestune_ledger::log::{Clock as _, SystemClock};
use attestune_ledger::rules::policy;
use attestune_ledger::state::{Actors, Keys, View};
use attestune_proto::v1::{AccessDenied, ActorKind, ActorRow, ContentAccessed, Kind, Role, Seen, Verdict, event::Body};
use base64::Engine as _;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tonic::{Request, Status};

/// Longest life of a token.
const TOKEN_MS_MAX: u64 = 3_600_000;
/// Most texts named by one recorded read.
const TEXTS_MAX: usize = 512;
/// A refused reader is recorded this often at most.
const DENIED_EVERY: Duration = Duration::from_secs(60);
/// Refused readers remembered for that.
const DENIED_MAX: usize = 10_000;

/// Roles of persons that open texts, each read on the record.
const PERSONS_OPEN: [Role; 5] = [Role::Steward, Role::Reviewer, Role::Engineer, Role::Approver, Role::Officer];
/// Roles of workers that open texts.
const WORKERS_OPEN: [Role; 5] = [Role::Scanner, Role::Checker, Role::Trainer, Role::Evaluator, Role::Monitor];
/// Kinds of events that hold sealed texts.
const SEALED: [Kind; 9] = [
    Kind::DocumentsIngested,
    Kind::ExamplesDerived,
    Kind::ExamplesReviewed,
    Kind::SuiteRegistered,
    Kind::TrainingCompleted,
    Kind::EvaluationCompleted,
    Kind::ModelRegistered,
    Kind::ExperimentStarted,
    Kind::ExperimentConcluded,
];

/// An actor whose token holds.
pub struct Caller {
    pub actor: ActorRow,
    token_hash: [u8; 32],
}

impl Caller {
    fn has_one_of(&self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.actor.roles.contains(&(*role as i32)))
    }
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

    /// The record did not come about: the next refusal is due.
    fn forget(&self, reader: &str) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(reader);
    }
}

/// Who calls: the actor of a token that holds.
///
/// # Errors
/// If there is no token, or it does not hold here and now.
pub fn caller<T>(gateway: &Gateway, request: &Request<T>) -> Result<Caller, Status> {
    caller_of(gateway, request.metadata().get("authorization").and_then(|value| value.to_str().ok()))
}

/// The same, by the header `authorization`.
fn caller_of(gateway: &Gateway, header: Option<&str>) -> Result<Caller, Status> {
    let no = |reason: Reason, what: &str| {
        status(reason, format!("{what}; send `authorization: Bearer TOKEN`, `attestune token` prints one"))
    };
    let text = header.and_then(|h| h.strip_prefix("Bearer "));
    let text = text.ok_or_else(|| no(Reason::TokenMissing, "the call carries no token"))?;
    let malformed = || no(Reason::TokenMalformed, "the token is not base64url of a signed access token");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed())?;
    let (token, envelope) = open_token(&bytes).map_err(|_| malformed())?;
    let head = gateway.replica.head().map_err(replica_failed)?;
    let now_ms = SystemClock.now_ms();
    if token.ledger != head.ledger || token.audience != "attestune" {
        return Err(no(Reason::TokenElsewhere, "the token is for another ledger or audience"));
    }
    if token.not_after_ms < now_ms {
        return Err(no(Reason::TokenExpired, "the token has run out"));
    }
    if token.not_after_ms > now_ms + TOKEN_MS_MAX {
        return Err(no(Reason::TokenTooLong, "the token is valid for more than an hour"));
    }
    let store = gateway.replica.view();
    let view = store.view();
    let signed = envelope.signatures.len() == 1
        && view.get(&Keys::key(&envelope.signatures[0].keyid)).is_some_and(|key| {
            let public: Option<[u8; 32]> = key.public_key.as_slice().try_into().ok();
            key.actor == token.actor && key.revoked_at.is_none() && public.is_some_and(|p| verify(&envelope, &p, 0))
        });
    let actor = view.get(&Actors::key(&token.actor));
    unfailed(&view)?;
    match actor {
        Some(actor) if signed => Ok(Caller { actor, token_hash: Sha256::digest(&bytes).into() }),
        _ => Err(no(Reason::TokenNotSigned, "the token is not signed by an active key of its actor")),
    }
}

/// Who calls, if the actor may read: one with a role.
///
/// # Errors
/// As [`caller`]; if the actor holds no role.
pub fn reader<T>(gateway: &Gateway, request: &Request<T>) -> Result<Caller, Status> {
    may_read(caller(gateway, request)?)
}

/// The same, by the header `authorization`.
///
/// # Errors
/// As [`reader`].
pub fn reader_of(gateway: &Gateway, header: Option<&str>) -> Result<Caller, Status> {
    may_read(caller_of(gateway, header)?)
}

fn may_read(caller: Caller) -> Result<Caller, Status> {
    if caller.actor.roles.is_empty() {
        let actor = caller.actor.actor;
        return Err(with_figures(Reason::NoRole, format!("{actor} holds no role"), [("actor", actor)]));
    }
    Ok(caller)
}

/// Whether a caller may open texts.
pub fn may_open(caller: &Caller) -> bool {
    match caller.actor.kind() {
        ActorKind::Worker => caller.has_one_of(&WORKERS_OPEN),
        ActorKind::Person => caller.has_one_of(&PERSONS_OPEN),
        ActorKind::Gateway | ActorKind::Unspecified => false,
    }
}

/// Refuses a caller texts, which is recorded where there are any.
pub async fn refuse(gateway: &Gateway, denials: &Denials, caller: &Caller, commitments: Vec<Vec<u8>>) -> Status {
    let name = caller.actor.actor.clone();
    if !commitments.is_empty() && denials.due(&name) {
        let commitments = commitments.into_iter().take(TEXTS_MAX).collect();
        let body = AccessDenied { reader: name.clone(), token_hash: caller.token_hash.to_vec(), commitments };
        if let Err(unrecorded) = record(gateway, Body::AccessDenied(body)).await {
            denials.forget(&name);
            return unrecorded;
        }
    }
    let message = format!("{name} holds no role that may open texts");
    with_figures(Reason::MayNotOpen, message, [("actor", name)])
}

/// Lets a caller at texts, a person once the read is on the record.
///
/// # Errors
/// If the caller may not open texts, which is recorded, or the read can't be recorded.
pub async fn release(
    gateway: &Gateway,
    denials: &Denials,
    caller: &Caller,
    commitments: Vec<Vec<u8>>,
) -> Result<(), Status> {
    if !may_open(caller) {
        return Err(refuse(gateway, denials, caller, commitments).await);
    }
    if caller.actor.kind() == ActorKind::Worker {
        return Ok(());
    }
    for part in commitments.chunks(TEXTS_MAX) {
        let body = ContentAccessed {
            reader: caller.actor.actor.clone(),
            token_hash: caller.token_hash.to_vec(),
            commitments: part.to_vec(),
        };
        record(gateway, Body::ContentAccessed(body)).await?;
    }
    Ok(())
}

/// Whether a caller may seal texts: only one who may also put them on the log.
///
/// # Errors
/// If not, or the policy can't be read.
pub fn may_seal(gateway: &Gateway, caller: &Caller) -> Result<(), Status> {
    may_record(gateway, caller, &SEALED, Reason::MayNotSeal, "records sealed texts")
}

/// Whether a caller may erase, and so ask whose texts are whose.
///
/// # Errors
/// If not, or the policy can't be read.
pub fn may_erase(gateway: &Gateway, caller: &Caller) -> Result<(), Status> {
    may_record(gateway, caller, &[Kind::SubjectErased], Reason::MayNotErase, "erases")
}

/// Whether a caller may take evidence out, and so have a bundle made.
///
/// # Errors
/// If not, or the policy can't be read.
pub fn may_export(gateway: &Gateway, caller: &Caller) -> Result<(), Status> {
    may_record(gateway, caller, &[Kind::EvidenceExported], Reason::MayNotExport, "takes evidence out")
}

/// Whether the policy lets a caller record one of these kinds.
fn may_record(gateway: &Gateway, caller: &Caller, kinds: &[Kind], no: Reason, what: &str) -> Result<(), Status> {
    let store = gateway.replica.view();
    let view = store.view();
    let policy = policy::in_force(&view);
    unfailed(&view)?;
    let permissions = policy.permissions.iter().filter(|p| kinds.iter().any(|kind| *kind as i32 == p.kind));
    if permissions.flat_map(|p| &p.roles).any(|role| caller.actor.roles.contains(role)) {
        return Ok(());
    }
    let actor = caller.actor.actor.clone();
    Err(with_figures(no, format!("{actor} holds no role that {what}"), [("actor", actor)]))
}

/// Records something under the gateway's own key; only what is accepted counts.
async fn record(gateway: &Gateway, body: Body) -> Result<(), Status> {
    let gateway = gateway.clone();
    let receipt = blocking(move || {
        let head = gateway.replica.head().map_err(replica_failed)?;
        let now_ms = SystemClock.now_ms();
        let seen = Some(Seen { size: head.size, root: head.entry_root });
        let id = *uuid::Uuid::now_v7().as_bytes();
        let event = draft(&head.ledger, &gateway.actor, id, now_ms, seen, body);
        let envelope = gateway.key.sign_event(&event);
        let receipts = gateway.replica.append(vec![envelope]).map_err(|error| append_failed(error, 0))?;
        Ok(receipts.into_iter().next())
    })
    .await?;
    match receipt {
        Some(receipt) if receipt.verdict == Verdict::Accepted as i32 => Ok(()),
        _ => Err(status(
            Reason::ReadNotRecorded,
            "the read could not be recorded, so no text is released: has the gateway's key its role?",
        )),
    }
}

/// What was read from a view counts only if no read failed.
fn unfailed(view: &View<'_>) -> Result<(), Status> {
    view.failure().map_or(Ok(()), |failure| Err(query_failed(failure.into())))
}

/// Runs what blocks on a thread for that.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work)).await.unwrap_or_else(|_| Err(panicked()))
}

/// A task of the server is gone.
pub fn panicked() -> Status {
    status(Reason::Internal, "a task of the server ended by a panic; its log says where")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_reader_is_due_again_where_the_record_did_not_come_about() {
        let denials = Denials::default();
        assert!(denials.due("paul") && !denials.due("paul") && denials.due("ada"));
        denials.forget("paul");
        assert!(denials.due("paul") && !denials.due("ada"));
    }
}
