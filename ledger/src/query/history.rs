//! What happened, event by event.

use crate::draft::{kind, plain};
use crate::refusal::printable;
use crate::state::View;
use attestune_proto::v1::{Envelope, Event, HistoryEvent, ReviewVerdict, Role, Stage, Verdict, event::Body};
use prost::Message as _;
#[cfg(feature = "store")]
use {
    super::{QueryError, not_found},
    crate::replica::StoreView,
    crate::state::{Evaluations, Promotions, Reader as _, Runs},
    attestune_proto::v1::{HistoryRequest, Kind},
};

/// Events that pass every filter, in order, until `visit` says stop by `false`. The view is that of the moment asked
/// about: the request's own is not looked at.
///
/// # Errors
/// If an entry or verdict can't be read.
#[cfg(feature = "store")]
pub fn history(
    view: &StoreView,
    request: &HistoryRequest,
    visit: &mut dyn FnMut(HistoryEvent) -> bool,
) -> Result<(), QueryError> {
    let end = if request.to == 0 { view.size() } else { request.to.min(view.size()) };
    let mut left = if request.limit == 0 { u32::MAX } else { request.limit };
    for position in request.from..end {
        let event = history_event(view, position)?;
        let passes = (request.actor.is_empty() || event.actor == request.actor)
            && (request.kinds.is_empty() || request.kinds.contains(&event.kind))
            && (request.verdict == 0 || event.verdict == request.verdict)
            && event.time_ms >= request.from_ms
            && (request.to_ms == 0 || event.time_ms <= request.to_ms)
            && (request.model.is_empty() || event_concerns(view, &event, &request.model));
        if !passes {
            continue;
        }
        left -= 1;
        if !visit(event) || left == 0 {
            break;
        }
    }
    Ok(())
}

/// One entry as history tells it.
#[cfg(feature = "store")]
pub(super) fn history_event(view: &StoreView, position: u64) -> Result<HistoryEvent, QueryError> {
    let decided = view.decided(position)?.ok_or_else(|| not_found("entry", position))?;
    let event = event_of(view, position)?;
    let body = event.as_ref().and_then(|e| e.body.as_ref());
    Ok(HistoryEvent {
        position,
        time_ms: decided.fold_time_ms,
        verdict: decided.verdict,
        refusal: decided.refusal,
        kind: body.map_or(Kind::Unspecified, kind) as i32,
        actor: event.as_ref().map(|e| e.actor.clone()).unwrap_or_default(),
        summary: body.map_or_else(|| "an entry that is no event known here".into(), summary),
        event,
    })
}

/// The event at a position, if the entry is one.
///
/// # Errors
/// If the entry can't be read.
#[cfg(feature = "store")]
pub fn event_of(view: &StoreView, position: u64) -> Result<Option<Event>, QueryError> {
    let Some(bytes) = view.entry(position)? else { return Ok(None) };
    let envelope = Envelope::decode(bytes.as_slice()).ok();
    Ok(envelope.and_then(|e| Event::decode(e.payload.as_slice()).ok()))
}

/// An accepted event of the view's history, as history tells it.
pub(super) fn accepted_event(view: &View<'_>, position: u64) -> Option<HistoryEvent> {
    let envelope = Envelope::decode(view.entry(position)?.as_slice()).ok()?;
    let event = Event::decode(envelope.payload.as_slice()).ok()?;
    let body = event.body.as_ref()?;
    Some(HistoryEvent {
        position,
        time_ms: view.fold_time(position).unwrap_or(0),
        verdict: Verdict::Accepted as i32,
        refusal: None,
        kind: kind(body) as i32,
        actor: event.actor.clone(),
        summary: summary(body),
        event: Some(event),
    })
}

#[cfg(feature = "store")]
fn event_concerns(view: &StoreView, event: &HistoryEvent, model: &str) -> bool {
    let body = event.event.as_ref().and_then(|e| e.body.as_ref());
    body.is_some_and(|body| concerns(&view.view(), body, model))
}

/// Whether an event is about a model: it names it, or a run, evaluation or promotion of it.
#[cfg(feature = "store")]
fn concerns(view: &View<'_>, body: &Body, model: &str) -> bool {
    let run = |view: &View<'_>, p: u64| view.get(&Runs::key(p)).is_some_and(|r| r.model == model);
    let evaluation = |view: &View<'_>, p: u64| view.get(&Evaluations::key(p)).is_some_and(|e| e.model == model);
    let promotion = |view: &View<'_>, p: u64| view.get(&Promotions::key(p)).is_some_and(|q| q.model == model);
    match body {
        Body::TrainingRequested(b) => b.model == model,
        Body::TrainingClaimed(b) => run(view, b.run),
        Body::TrainingProgressed(b) => run(view, b.run),
        Body::TrainingCompleted(b) => run(view, b.run),
        Body::TrainingFailed(b) => run(view, b.run),
        Body::HyperparametersSelected(b) => b.model == model,
        Body::TrainingReproduced(b) => run(view, b.run),
        Body::EvaluationRequested(b) => b.model == model,
        Body::EvaluationClaimed(b) => evaluation(view, b.evaluation),
        Body::EvaluationCompleted(b) => evaluation(view, b.evaluation),
        Body::EvaluationFailed(b) => evaluation(view, b.evaluation),
        Body::ModelRegistered(b) => b.model == model,
        Body::EvidenceExported(b) => b.model == model,
        Body::PromotionRequested(b) => b.model == model,
        Body::PromotionApproved(b) => promotion(view, b.promotion),
        Body::PromotionRejected(b) => promotion(view, b.promotion),
        Body::PromotionWithdrawn(b) => promotion(view, b.promotion),
        Body::RolledBack(b) => b.model == model,
        _ => false,
    }
}

/// An event in one plain sentence, without its actor.
pub fn summary(body: &Body) -> String {
    // The rules may have refused the event for what a name holds.
    printable(&sentence(body))
}

fn sentence(body: &Body) -> String {
    let stage = |s: i32| plain(Stage::try_from(s).unwrap_or_default().as_str_name(), "STAGE_");
    let role = |r: i32| plain(Role::try_from(r).unwrap_or_default().as_str_name(), "ROLE_");
    match body {
        Body::LedgerCreated(b) => format!("created the ledger {} with {} root keys", b.name, b.root_keys.len()),
        Body::RulesActivated(b) => format!("activated rules version {}", b.version),
        Body::PolicyAdopted(_) => "adopted a new policy".into(),
        Body::StateAttested(b) => format!("attested the state at size {}", b.size),
        Body::ClockCorrected(b) => format!("set the ledger's time to {} ms", b.time_ms),
        Body::KeyRegistered(b) => format!("registered a key of {} ({})", b.actor, b.printed_name),
        Body::KeyRevoked(b) => format!("revoked key {}", b.keyid),
        Body::RoleGranted(b) => format!("made {} {}", b.actor, role(b.role)),
        Body::RoleWithdrawn(b) => format!("took the role {} from {}", role(b.role), b.actor),
        Body::DocumentsIngested(b) => format!("ingested {} documents into {}", b.commitments.len(), b.collection),
        Body::ExamplesDerived(b) => {
            format!("derived {} examples from the documents at {}", b.commitments.len(), b.documents)
        }
        Body::ExamplesScanned(b) => {
            format!("scanned batch {} and found something in {} examples", b.batch, b.findings.len())
        }
        Body::ExamplesChecked(b) => format!("checked batch {} and noted {} issues", b.batch, b.issues.len()),
        Body::LeakageChecked(b) => {
            format!("compared dataset {} with suite {}: {} exact, {} near", b.dataset, b.suite, b.exact, b.near)
        }
        Body::DatasetFrozen(b) => format!("froze {} with {} examples", b.dataset, b.count),
        Body::ContentAccessed(b) => format!("released {} texts to {}", b.commitments.len(), b.reader),
        Body::AccessDenied(b) => format!("refused {} texts to {}", b.commitments.len(), b.reader),
        Body::EvidenceExported(b) => exported(b),
        Body::ReviewAssigned(b) => {
            format!("assigned {} examples of batch {} to {}", b.indices.len(), b.batch, b.reviewer)
        }
        Body::ExamplesReviewed(b) => reviewed(b),
        Body::ReviewReopened(b) => format!("reopened {} decisions on batch {}", b.indices.len(), b.batch),
        Body::BaseModelRegistered(b) => format!("registered the base model {}", b.base),
        Body::TrainingRequested(b) => format!("requested a training of {} on dataset {}", b.model, b.dataset),
        Body::TrainingClaimed(b) => format!("claimed run {}", b.run),
        Body::TrainingProgressed(b) => {
            format!("run {} at step {} of {}, loss {}", b.run, b.step, b.steps, micro(b.loss_micro))
        }
        Body::TrainingCompleted(b) => format!("completed run {}, loss {}", b.run, micro(b.final_loss_micro)),
        Body::TrainingFailed(b) => format!("gave up run {}", b.run),
        Body::HyperparametersSelected(b) => format!("chose run {} among {}", b.chosen, b.runs.len()),
        Body::TrainingReproduced(b) => format!("repeated run {}", b.run),
        Body::SuiteRegistered(b) => format!("registered the suite {}", b.suite),
        Body::EvaluationRequested(b) => format!("requested an evaluation of {}@{}", b.model, b.version),
        Body::EvaluationClaimed(b) => format!("claimed evaluation {}", b.evaluation),
        Body::EvaluationCompleted(b) => {
            let results = b.results.iter().map(|r| format!("{} {}/{}", r.category, r.passed, r.cases));
            format!("completed evaluation {}: {}", b.evaluation, results.collect::<Vec<_>>().join(", "))
        }
        Body::EvaluationFailed(b) => format!("gave up evaluation {}", b.evaluation),
        Body::ModelRegistered(b) => format!("registered a version of {} trained elsewhere", b.model),
        Body::PromotionRequested(b) => format!("asked to promote {}@{} to {}", b.model, b.version, stage(b.to)),
        Body::PromotionApproved(b) => format!("approved promotion {}", b.promotion),
        Body::PromotionRejected(b) => format!("rejected promotion {}", b.promotion),
        Body::PromotionWithdrawn(b) => format!("withdrew promotion {}", b.promotion),
        Body::RolledBack(b) => format!("rolled {} back from version {} to {}", b.model, b.from, b.to),
    }
}

fn exported(body: &attestune_proto::v1::EvidenceExported) -> String {
    let purpose = plain(body.purpose().as_str_name(), "EXPORT_PURPOSE_");
    let of = match body.positions.len() {
        0 => format!("the whole log up to {}", body.size),
        count => format!("{count} of {} entries", body.size),
    };
    format!("took out evidence on {} for {purpose}: {of}, {} texts", body.model, body.texts.len())
}

fn reviewed(body: &attestune_proto::v1::ExamplesReviewed) -> String {
    let with = |verdict: ReviewVerdict| {
        body.batches.iter().flat_map(|b| &b.decisions).filter(|d| d.verdict == verdict as i32).count()
    };
    format!(
        "reviewed examples: {} approved, {} redacted, {} rejected",
        with(ReviewVerdict::Approve),
        with(ReviewVerdict::Redact),
        with(ReviewVerdict::Reject)
    )
}

fn micro(value: u64) -> String {
    format!("{}.{:03}", value / 1_000_000, value / 1000 % 1000)
}
