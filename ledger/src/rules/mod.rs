//! The fold: a pure function from an entry and the state before it to a verdict and effects.
//!
//! No clock, no randomness, no I/O, no hash-map order, no floats. The order of the guards is part of the rules
//! version, as the verdict is hashed into the verdict tree.

pub mod bound;
mod check;
pub mod closure;
pub use check::is_identifier;
pub mod claims;
pub(crate) mod coverage;
mod data;
pub use data::bit;
mod datasets;
pub use datasets::tally;
pub mod decode;
pub mod eligibility;
mod emergency;
pub use emergency::unreviewed;
pub mod erasure;
mod evaluation;
pub mod evidence;
pub mod gate;
mod keys;
mod lease;
mod ledger;
pub mod policy;
mod promotion;
pub use promotion::part_in_making;
mod reversal;
pub use reversal::may_return;
mod review;
mod schedule;
mod serving;
mod traffic;
mod training;
mod watch;

use crate::draft::kind;
use crate::refusal::{Refusal, Rejection};
use crate::state::{Actors, Effects, Keys, Ledgers, ReadFailed, Reader, View};
use crate::tree::{Hash, leaf_hash};
use attestune_proto::v1::{ActorRow, Event, KeyRow, Kind, LedgerRow, Policy, Role, Signer, Verdict, event::Body};
use decode::Decoded;
use std::sync::Arc;

/// The newest rules version that this build knows. A draft until 1.0.0.
pub const RULES_VERSION: u32 = 1;

/// What the fold made of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, when refused.
    pub refusal: Option<Refusal>,
    /// Why, when it is no event.
    pub rejection: Option<Rejection>,
    /// For a duplicate: where the event stands.
    pub first: Option<u64>,
    /// What it changes.
    pub effects: Effects,
    /// SHA-256 of the effects.
    pub effects_digest: [u8; 32],
    /// The fold's time, which never runs backwards but by ClockCorrected.
    pub fold_time_ms: u64,
    /// The entry's leaf hash.
    pub leaf_hash: Hash,
    /// The id that is used up by it.
    pub uses_id: Option<(String, Vec<u8>)>,
}

impl Folded {
    /// The code of the refusal or rejection; empty if there is none.
    pub fn code(&self) -> &'static str {
        match (&self.refusal, &self.rejection) {
            (Some(refusal), _) => refusal.code(),
            (None, Some(rejection)) => rejection.code(),
            (None, None) => "",
        }
    }

    /// The leaf of the verdict tree: [`verdict_leaf`] of it.
    pub fn verdict_leaf(&self, position: u64) -> Hash {
        verdict_leaf(position, self.leaf_hash, self.verdict, self.code(), &self.effects_digest)
    }
}

/// The hash of the verdict tree's leaf
/// `position (8 bytes big-endian) ‖ leaf hash of the entry ‖ verdict (1 byte) ‖ length of the code (1 byte) ‖ code ‖
/// SHA-256(effects)`.
pub fn verdict_leaf(position: u64, entry: Hash, verdict: Verdict, code: &str, effects: &[u8; 32]) -> Hash {
    leaf_hash(&[&position.to_be_bytes(), &entry.0, &[verdict as u8, code.len() as u8], code.as_bytes(), effects])
}

/// The leaf hash of an entry: over `time (8 bytes big-endian milliseconds) ‖ value`.
pub fn entry_leaf(time_ms: u64, value: &[u8]) -> Hash {
    leaf_hash(&[&time_ms.to_be_bytes(), value])
}

/// A validly signed event with what the rules may know of its place.
pub struct Act<'a> {
    /// The event.
    pub event: &'a Event,
    /// Its kind.
    pub kind: Kind,
    /// Where it stands.
    pub position: u64,
    /// The fold's time at it.
    pub time_ms: u64,
    /// The log's raw time.
    pub raw_time_ms: u64,
    /// Its leaf hash.
    pub leaf_hash: Hash,
    /// The ledger's id.
    pub ledger_id: [u8; 32],
    /// Keys that signed, in the envelope's order.
    pub keys: Vec<KeyRow>,
    /// The ledger's row.
    pub ledger: LedgerRow,
    /// The policy in force.
    pub policy: Arc<Policy>,
    /// The actor's row.
    pub actor: ActorRow,
}

impl Act<'_> {
    /// The actor's signature, as rows keep it.
    pub fn signer(&self) -> Signer {
        let keyid = self.keys.iter().find(|k| k.actor == self.event.actor).map(|k| k.keyid.clone());
        Signer { actor: self.event.actor.clone(), keyid: keyid.unwrap_or_default(), position: self.position }
    }

    /// Whether the actor holds a role.
    pub fn has(&self, role: Role) -> bool {
        self.actor.roles.contains(&(role as i32))
    }
}

/// Folds one entry over the state before it, verifying its signatures.
///
/// # Errors
/// If the state can't be read: the replica stops.
pub fn fold(reader: &dyn Reader, position: u64, time_ms: u64, value: &[u8]) -> Result<Folded, ReadFailed> {
    let decoded = decode::decode(value);
    fold_decoded(reader, position, time_ms, value, &decoded, &mut |envelope, key, index| {
        crate::envelope::verify(envelope, key, index)
    })
}

/// The same with the envelope decoded before, and a verifier that may remember what was verified in parallel. It must
/// give the verdict of [`crate::envelope::verify`].
///
/// # Errors
/// If the state can't be read: the replica stops.
pub fn fold_decoded(
    reader: &dyn Reader,
    position: u64,
    time_ms: u64,
    value: &[u8],
    decoded: &Result<Decoded, Rejection>,
    verify: decode::Verify<'_>,
) -> Result<Folded, ReadFailed> {
    let view = View::new(reader, position);
    let before = if position == 0 { 0 } else { view.fold_time(position - 1).unwrap_or(0) };
    let mut folded = Folded {
        verdict: Verdict::Garbage,
        refusal: None,
        rejection: None,
        first: None,
        effects: Effects::none(),
        effects_digest: [0; 32],
        fold_time_ms: before.max(time_ms),
        leaf_hash: entry_leaf(time_ms, value),
        uses_id: None,
    };
    judge(&view, position, time_ms, value, decoded, verify, &mut folded);
    if let Some(failure) = view.failure() {
        return Err(failure);
    }
    folded.effects_digest = folded.effects.digest();
    Ok(folded)
}

fn judge(
    view: &View<'_>,
    position: u64,
    raw_time_ms: u64,
    value: &[u8],
    decoded: &Result<Decoded, Rejection>,
    verify: decode::Verify<'_>,
    folded: &mut Folded,
) {
    let decoded = match decoded {
        Ok(decoded) => decoded,
        Err(rejection) => return folded.rejection = Some(rejection.clone()),
    };
    let Some(ledger) = view.get(&Ledgers::key()) else {
        match ledger::create(position, decoded, verify) {
            Ok(effects) => {
                folded.verdict = Verdict::Accepted;
                folded.effects = effects;
                folded.uses_id = Some((decoded.event.actor.clone(), decoded.event.id.clone()));
            }
            Err(rejection) => folded.rejection = Some(rejection),
        }
        return;
    };
    let (ledger_id, keys) = match decode::open(view, &ledger, decoded, verify) {
        Ok(opened) => opened,
        Err(rejection) => return folded.rejection = Some(rejection),
    };
    let event = &decoded.event;
    if let Some(first) = view.id(&event.actor, &event.id) {
        if view.entry(first).as_deref() == Some(value) {
            folded.verdict = Verdict::Duplicate;
            folded.first = Some(first);
        } else {
            folded.verdict = Verdict::Refused;
            folded.refusal = Some(Refusal::IdUsed { first });
        }
        return;
    }
    // An actor who did not sign cannot use up another's ids.
    if keys.iter().any(|k| k.actor == event.actor) {
        folded.uses_id = Some((event.actor.clone(), event.id.clone()));
    }
    let outcome = decide(view, decoded, keys, ledger, ledger_id, position, raw_time_ms, folded);
    match outcome {
        Ok(effects) => {
            folded.verdict = Verdict::Accepted;
            folded.effects = effects;
            if let Some(Body::ClockCorrected(body)) = &event.body {
                folded.fold_time_ms = body.time_ms;
            }
        }
        Err(refusal) => {
            folded.verdict = Verdict::Refused;
            folded.refusal = Some(refusal);
        }
    }
}

#[allow(clippy::too_many_arguments)]
fn decide(
    view: &View<'_>,
    decoded: &Decoded,
    keys: Vec<KeyRow>,
    ledger: LedgerRow,
    ledger_id: [u8; 32],
    position: u64,
    raw_time_ms: u64,
    folded: &Folded,
) -> Result<Effects, Refusal> {
    let event = &decoded.event;
    if event.id.len() != 16 {
        return Err(Refusal::BadId {});
    }
    let Some(body) = &event.body else {
        return Err(Refusal::UnknownKind { kind: 0 });
    };
    let mut signed_by: Vec<&str> = keys.iter().map(|k| k.actor.as_str()).collect();
    signed_by.sort_unstable();
    if !signed_by.contains(&event.actor.as_str()) || signed_by.windows(2).any(|w| w[0] == w[1]) {
        return Err(Refusal::ActorDidNotSign { actor: event.actor.clone() });
    }
    for key in &keys {
        if let Some(at) = key.revoked_at {
            return Err(Refusal::KeyRevoked { keyid: key.keyid.clone(), at });
        }
    }
    let actor = view.get(&Actors::key(&event.actor)).unwrap_or_default();
    let policy = view.policy(ledger.policy_version);
    let act = Act {
        event,
        kind: kind(body),
        position,
        time_ms: folded.fold_time_ms,
        raw_time_ms,
        leaf_hash: folded.leaf_hash,
        ledger_id,
        keys,
        ledger,
        policy,
        actor,
    };
    check::seen(view, &act)?;
    check::cause(&act)?;
    check::permission(&act)?;
    check::clock(&act)?;
    check::comment(event)?;
    dispatch(view, &act, body)
}

fn dispatch(view: &View<'_>, act: &Act<'_>, body: &Body) -> Result<Effects, Refusal> {
    match body {
        Body::LedgerCreated(_) => Err(Refusal::LedgerExists {}),
        Body::RulesActivated(body) => ledger::activate_rules(act, body),
        Body::PolicyAdopted(body) => ledger::adopt_policy(act, body),
        Body::StateAttested(body) => ledger::attest_state(view, body),
        Body::ClockCorrected(body) => ledger::correct_clock(act, body),
        Body::KeyRegistered(body) => keys::register(view, act, body),
        Body::KeyRevoked(body) => keys::revoke(view, act, body),
        Body::RoleGranted(body) => keys::grant(view, act, body),
        Body::RoleWithdrawn(body) => keys::withdraw(view, act, body),
        Body::DocumentsIngested(body) => data::ingest(act, body),
        Body::ExamplesDerived(body) => data::derive(view, act, body),
        Body::ExamplesScanned(body) => data::scan(view, act, body),
        Body::ExamplesChecked(body) => data::check(view, act, body),
        Body::LeakageChecked(body) => datasets::check_leakage(view, act, body),
        Body::DatasetFrozen(body) => datasets::freeze(view, act, body),
        Body::ContentAccessed(body) => data::access(view, &body.reader, &body.token_hash, &body.commitments),
        Body::AccessDenied(body) => data::deny(&body.reader, &body.token_hash, &body.commitments),
        Body::EvidenceExported(body) => evidence::export(view, act, body),
        Body::ReviewAssigned(body) => review::assign(view, act, body),
        Body::ExamplesReviewed(body) => review::decide(view, act, body),
        Body::ReviewReopened(body) => review::reopen(view, act, body),
        Body::SubjectErased(body) => erasure::erase(view, act, body),
        Body::ErasureDecided(body) => erasure::decide(view, act, body),
        Body::LegalHoldPlaced(body) => erasure::hold(act, body),
        Body::LegalHoldReleased(body) => erasure::release(view, act, body),
        Body::BaseModelRegistered(body) => training::register_base(act, body),
        Body::TrainingRequested(body) => training::request(view, act, body),
        Body::TrainingClaimed(body) => training::claim(view, act, body),
        Body::TrainingProgressed(body) => training::progress(view, act, body),
        Body::TrainingCompleted(body) => training::complete(view, act, body),
        Body::TrainingFailed(body) => training::fail(view, act, body),
        Body::HyperparametersSelected(body) => training::select(view, act, body),
        Body::TrainingReproduced(body) => training::reproduce(view, body),
        Body::SuiteRegistered(body) => evaluation::register_suite(view, act, body),
        Body::EvaluationRequested(body) => evaluation::request(view, act, body),
        Body::EvaluationClaimed(body) => evaluation::claim(view, act, body),
        Body::EvaluationCompleted(body) => evaluation::complete(view, act, body),
        Body::EvaluationFailed(body) => evaluation::fail(view, act, body),
        Body::ModelRegistered(body) => promotion::register_model(view, act, body),
        Body::PromotionRequested(body) => promotion::request(view, act, body),
        Body::PromotionApproved(body) => promotion::approve(view, act, body),
        Body::PromotionRejected(body) => promotion::reject(view, act, body),
        Body::PromotionWithdrawn(body) => promotion::withdraw(view, act, body),
        Body::RolledBack(body) => reversal::roll_back(view, act, body),
        Body::ServingHalted(body) => reversal::halt(view, act, body),
        Body::ServingConfirmed(body) => serving::confirm(view, act, body),
        Body::ExperimentStarted(body) => traffic::start(view, act, body),
        Body::ExperimentConcluded(body) => traffic::conclude(view, act, body),
        Body::WindowObserved(body) => watch::observe(view, act, body),
        Body::AlertRaised(body) => watch::raise(view, act, body),
        Body::AlertAcknowledged(body) => watch::acknowledge(view, act, body),
        Body::ScheduleSet(body) => schedule::set(view, act, body),
    }
}

/// Whether what a signer did still counts: the key is unrevoked and one of the roles that the policy asks for the kind
/// is still held in this view.
pub fn counts(view: &View<'_>, policy: &Policy, signer: &Signer, kind: Kind) -> bool {
    let unrevoked = view.get(&Keys::key(&signer.keyid)).is_some_and(|k| k.revoked_at.is_none());
    unrevoked && view.get(&Actors::key(&signer.actor)).is_some_and(|a| check::may(policy, &a, kind))
}
