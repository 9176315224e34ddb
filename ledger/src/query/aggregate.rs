//! Which aggregate an entry is about: what consumers of decided events may count on to come in order.

use super::{QueryError, answer};
use crate::replica::StoreView;
use crate::rules::is_identifier;
use crate::state::{Alerts, Datasets, Evaluations, Experiments, Holds, Keys, Promotions, Runs, View};
use attestune_proto::v1::{Decided, Envelope, Event, Verdict, event::Body};
use prost::Message as _;

/// The aggregate of a decided entry, such as `model/support-triage` or `batch/17`, on the state after it was folded.
/// Whatever was decided, the same acts on the same things have the same one; an act on several has the first it names.
/// A name that is no identifier, which only a refused event can have, is `?`.
///
/// # Errors
/// If the state can't be read.
pub fn aggregate(view: &StoreView, decided: &Decided) -> Result<String, QueryError> {
    if decided.verdict() == Verdict::Garbage {
        return Ok("garbage".into());
    }
    let envelope = Envelope::decode(decided.envelope.as_slice()).unwrap_or_default();
    let event = Event::decode(envelope.payload.as_slice()).unwrap_or_default();
    let Some(body) = &event.body else { return Ok(named("actor", &event.actor)) };
    let position = match decided.verdict() {
        // What these bytes made stands where they stood first.
        Verdict::Duplicate => view.decided(decided.position)?.map_or(decided.position, |row| row.first_position),
        _ => decided.position,
    };
    let rows = view.view();
    let aggregate = of(&rows, position, body);
    answer(&rows, aggregate)
}

fn of(view: &View<'_>, position: u64, body: &Body) -> String {
    let batch = |position: u64| format!("batch/{position}");
    let run = |p: u64| view.get(&Runs::key(p)).map_or_else(|| format!("run/{p}"), |row| named("model", &row.model));
    let evaluation = |p: u64| {
        view.get(&Evaluations::key(p)).map_or_else(|| format!("evaluation/{p}"), |row| named("model", &row.model))
    };
    let promotion = |p: u64| {
        view.get(&Promotions::key(p)).map_or_else(|| format!("promotion/{p}"), |row| named("model", &row.model))
    };
    let experiment = |p: u64| match view.get(&Experiments::key(p)).and_then(|row| row.started) {
        Some(started) => named("model", &started.model),
        None => format!("experiment/{p}"),
    };
    let alert = |p: u64| match view.get(&Alerts::key(p)).and_then(|row| row.raised) {
        Some(raised) => named("model", &raised.model),
        None => format!("alert/{p}"),
    };
    match body {
        Body::LedgerCreated(_)
        | Body::RulesActivated(_)
        | Body::PolicyAdopted(_)
        | Body::StateAttested(_)
        | Body::ClockCorrected(_) => "ledger".into(),
        Body::KeyRegistered(b) => named("actor", &b.actor),
        Body::KeyRevoked(b) => {
            view.get(&Keys::key(&b.keyid)).map_or_else(|| named("key", &b.keyid), |row| named("actor", &row.actor))
        }
        Body::RoleGranted(b) => named("actor", &b.actor),
        Body::RoleWithdrawn(b) => named("actor", &b.actor),
        Body::DocumentsIngested(_) => format!("documents/{position}"),
        Body::ExamplesDerived(_) => batch(position),
        Body::ExamplesScanned(b) => batch(b.batch),
        Body::ExamplesChecked(b) => batch(b.batch),
        Body::LeakageChecked(b) => view
            .get(&Datasets::key(b.dataset))
            .map_or_else(|| format!("dataset/@{}", b.dataset), |row| named("dataset", &row.dataset)),
        Body::DatasetFrozen(b) => named("dataset", &b.dataset),
        Body::ContentAccessed(b) => named("actor", &b.reader),
        Body::AccessDenied(b) => named("actor", &b.reader),
        Body::EvidenceExported(b) => named("model", &b.model),
        Body::ReviewAssigned(b) => batch(b.batch),
        Body::ExamplesReviewed(b) => b.batches.first().map_or_else(|| named("batch", ""), |first| batch(first.batch)),
        Body::ReviewReopened(b) => batch(b.batch),
        Body::SubjectErased(b) => format!("erasure/{}", b.first.unwrap_or(position)),
        Body::ErasureDecided(b) => named("model", &b.model),
        Body::LegalHoldPlaced(b) => named("hold", &b.hold),
        Body::LegalHoldReleased(b) => {
            view.get(&Holds::key(b.hold)).map_or_else(|| format!("hold/@{}", b.hold), |row| named("hold", &row.hold))
        }
        Body::BaseModelRegistered(b) => named("base", &b.base),
        Body::SuiteRegistered(b) => named("suite", &b.suite),
        Body::TrainingRequested(b) => named("model", &b.model),
        Body::TrainingClaimed(b) => run(b.run),
        Body::TrainingProgressed(b) => run(b.run),
        Body::TrainingCompleted(b) => run(b.run),
        Body::TrainingFailed(b) => run(b.run),
        Body::HyperparametersSelected(b) => named("model", &b.model),
        Body::TrainingReproduced(b) => run(b.run),
        Body::EvaluationRequested(b) => named("model", &b.model),
        Body::EvaluationClaimed(b) => evaluation(b.evaluation),
        Body::EvaluationCompleted(b) => evaluation(b.evaluation),
        Body::EvaluationFailed(b) => evaluation(b.evaluation),
        Body::ModelRegistered(b) => named("model", &b.model),
        Body::PromotionRequested(b) => named("model", &b.model),
        Body::PromotionApproved(b) => promotion(b.promotion),
        Body::PromotionRejected(b) => promotion(b.promotion),
        Body::PromotionWithdrawn(b) => promotion(b.promotion),
        Body::RolledBack(b) => named("model", &b.model),
        Body::ServingHalted(b) => named("model", &b.model),
        Body::ServingConfirmed(b) => named("model", &b.model),
        Body::ExperimentStarted(b) => named("model", &b.model),
        Body::ExperimentConcluded(b) => experiment(b.experiment),
        Body::WindowObserved(b) => named("model", &b.model),
        Body::AlertRaised(b) => named("model", &b.model),
        Body::AlertAcknowledged(b) => alert(b.alert),
        Body::ScheduleSet(b) => named("model", &b.model),
    }
}

fn named(what: &str, name: &str) -> String {
    format!("{what}/{}", if is_identifier(name) { name } else { "?" })
}
