//! What happened, event by event.

use crate::draft::{kind, plain};
use crate::refusal::printable;
use crate::state::View;
use attestune_proto::v1::{
    AlertAction, AlertKind, Conclusion, Envelope, ErasureDecision, Event, HistoryEvent, ReviewVerdict, Role,
    ServingConfirmed, ServingOccasion, Stage, Verdict, event::Body,
};
use prost::Message as _;
#[cfg(feature = "store")]
use {
    super::{QueryError, answer, not_found, period},
    crate::replica::StoreView,
    crate::state::{Alerts, Evaluations, Experiments, Promotions, Reader as _, Runs},
    attestune_proto::v1::{DecidedRow, HistoryRequest, Kind},
};

/// Events that pass every filter, in order. Entries outside of the period are not read; of the others `visit` is told
/// each, by `None` if it does not pass, until it says stop by `false`. The view is that of the moment asked about: the
/// request's own is not looked at.
///
/// # Errors
/// If an entry or verdict can't be read.
#[cfg(feature = "store")]
pub fn history(
    view: &StoreView,
    request: &HistoryRequest,
    visit: &mut dyn FnMut(Option<HistoryEvent>) -> bool,
) -> Result<(), QueryError> {
    let end = if request.to == 0 { view.size() } else { request.to.min(view.size()) };
    let mut left = if request.limit == 0 { u32::MAX } else { request.limit };
    let stretches = period::positions(view, request.from..end, request.from_ms, request.to_ms)?;
    for position in stretches.into_iter().flatten() {
        let event = passing(view, request, position)?;
        left -= u32::from(event.is_some());
        if !visit(event) || left == 0 {
            break;
        }
    }
    Ok(())
}

/// The entry at a position, if it passes the filters that are not about when.
#[cfg(feature = "store")]
fn passing(view: &StoreView, request: &HistoryRequest, position: u64) -> Result<Option<HistoryEvent>, QueryError> {
    let decided = view.decided(position)?.ok_or_else(|| not_found("entry", position))?;
    if request.verdict != 0 && decided.verdict != request.verdict {
        return Ok(None);
    }
    let event = event_of(view, position)?;
    let body = event.as_ref().and_then(|e| e.body.as_ref());
    let actor = event.as_ref().map_or("", |e| e.actor.as_str());
    let of_kind = body.map_or(Kind::Unspecified, kind) as i32;
    let passes = (request.actor.is_empty() || actor == request.actor)
        && (request.kinds.is_empty() || request.kinds.contains(&of_kind));
    if !passes {
        return Ok(None);
    }
    if !request.model.is_empty() {
        let state = view.view();
        let concerned = body.is_some_and(|body| concerns(&state, body, &request.model));
        if !answer(&state, concerned)? {
            return Ok(None);
        }
    }
    Ok(Some(told(position, decided, event)))
}

/// One entry as history tells it.
#[cfg(feature = "store")]
pub(super) fn history_event(view: &StoreView, position: u64) -> Result<HistoryEvent, QueryError> {
    let decided = view.decided(position)?.ok_or_else(|| not_found("entry", position))?;
    Ok(told(position, decided, event_of(view, position)?))
}

/// The same, of what was read.
#[cfg(feature = "store")]
fn told(position: u64, decided: DecidedRow, event: Option<Event>) -> HistoryEvent {
    let body = event.as_ref().and_then(|e| e.body.as_ref());
    HistoryEvent {
        position,
        time_ms: decided.fold_time_ms,
        verdict: decided.verdict,
        refusal: decided.refusal,
        kind: body.map_or(Kind::Unspecified, kind) as i32,
        actor: event.as_ref().map(|e| e.actor.clone()).unwrap_or_default(),
        summary: body.map_or_else(|| "an entry that is no event known here".into(), summary),
        event,
    }
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
        Body::ServingHalted(b) => b.model == model,
        Body::ServingConfirmed(b) => b.model == model,
        Body::ExperimentStarted(b) => b.model == model,
        Body::ExperimentConcluded(b) => {
            let started = view.get(&Experiments::key(b.experiment)).and_then(|row| row.started);
            started.is_some_and(|s| s.model == model)
        }
        Body::WindowObserved(b) => b.model == model,
        Body::AlertRaised(b) => b.model == model,
        Body::AlertAcknowledged(b) => {
            view.get(&Alerts::key(b.alert)).and_then(|row| row.raised).is_some_and(|r| r.model == model)
        }
        Body::ScheduleSet(b) => b.model == model,
        Body::ErasureDecided(b) => b.model == model,
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
        Body::ReviewAssigned(b) if b.claim => format!("claimed {} examples of batch {}", b.indices.len(), b.batch),
        Body::ReviewAssigned(b) => {
            format!("assigned {} examples of batch {} to {}", b.indices.len(), b.batch, b.reviewer)
        }
        Body::ExamplesReviewed(b) => reviewed(b),
        Body::ReviewReopened(b) => format!("reopened {} decisions on batch {}", b.indices.len(), b.batch),
        Body::SubjectErased(b) => match b.chunks {
            1 => "erased a person's data".into(),
            chunks => format!("erased a person's data, part {} of {chunks}", b.chunk),
        },
        Body::ErasureDecided(b) => {
            let decision =
                plain(ErasureDecision::try_from(b.decision).unwrap_or_default().as_str_name(), "ERASURE_DECISION_");
            format!("decided on {}@{} after erasure {}: {decision}", b.model, b.version, b.erasure)
        }
        Body::LegalHoldPlaced(b) => format!("placed the legal hold {}", b.hold),
        Body::LegalHoldReleased(b) => format!("released the legal hold placed at {}", b.hold),
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
        Body::PromotionRequested(b) => {
            let how = match (b.challenger, b.emergency) {
                (true, _) => " as a challenger",
                (false, true) => " at once, in an emergency",
                (false, false) => "",
            };
            format!("asked to promote {}@{} to {}{how}", b.model, b.version, stage(b.to))
        }
        Body::PromotionApproved(b) => format!("approved promotion {}", b.promotion),
        Body::PromotionRejected(b) => format!("rejected promotion {}", b.promotion),
        Body::PromotionWithdrawn(b) => format!("withdrew promotion {}", b.promotion),
        Body::RolledBack(b) => format!("rolled {} back from version {} to {}", b.model, b.from, b.to),
        Body::ServingHalted(b) => match b.version {
            Some(version) => format!("halted {}@{version}", b.model),
            None => format!("halted {}", b.model),
        },
        Body::ServingConfirmed(b) => confirmed(b),
        Body::ExperimentStarted(b) => {
            format!("started an experiment on {}: {} against {} for {} ppm of users", b.model, b.a, b.b, b.share_ppm)
        }
        Body::ExperimentConcluded(b) => format!(
            "concluded experiment {}: {}, difference {} [{}, {}]",
            b.experiment,
            plain(Conclusion::try_from(b.conclusion).unwrap_or_default().as_str_name(), "CONCLUSION_"),
            b.difference,
            b.lower,
            b.upper
        ),
        Body::WindowObserved(b) => format!("observed {} requests to {}@{}", b.requests, b.model, b.version),
        Body::AlertRaised(b) => {
            let kind = plain(AlertKind::try_from(b.kind).unwrap_or_default().as_str_name(), "ALERT_KIND_");
            let subject = if b.subject.is_empty() { String::new() } else { format!(" of {}", b.subject) };
            format!("raised an alert on {}@{}: {kind}{subject}", b.model, b.version)
        }
        Body::AlertAcknowledged(b) => {
            let action = plain(AlertAction::try_from(b.action).unwrap_or_default().as_str_name(), "ALERT_ACTION_");
            format!("acknowledged alert {}: {action}", b.alert)
        }
        Body::ScheduleSet(b) if b.paused => format!("paused the retraining of {}", b.model),
        Body::ScheduleSet(b) => format!("scheduled the retraining of {}", b.model),
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

fn confirmed(body: &ServingConfirmed) -> String {
    let occasion = match body.occasion() {
        ServingOccasion::Heartbeat => "still serves",
        ServingOccasion::Stopped => "stops serving",
        ServingOccasion::Changed | ServingOccasion::Unspecified => "serves",
    };
    let version = if body.version == 0 { "no version".into() } else { format!("version {}", body.version) };
    format!("{} {occasion} {version} of {} as of {}", body.server, body.model, body.as_of)
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
