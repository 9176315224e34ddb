//! Where bodies name positions of other events, so that a test can move events along the log or make them miss.

use attestune_proto::v1::event::Body;

/// Every position that a body names.
pub fn positions(body: &mut Body) -> Vec<&mut u64> {
    match body {
        Body::ExamplesDerived(b) => vec![&mut b.documents],
        Body::ExamplesScanned(b) => vec![&mut b.batch],
        Body::ExamplesChecked(b) => {
            let originals = b.issues.iter_mut().filter_map(|i| i.of.as_mut()).map(|of| &mut of.batch);
            originals.chain([&mut b.batch]).collect()
        }
        Body::LeakageChecked(b) => vec![&mut b.dataset, &mut b.suite],
        Body::DatasetFrozen(b) => vec![&mut b.at],
        Body::EvidenceExported(b) => b.positions.iter_mut().chain([&mut b.size]).collect(),
        Body::ReviewAssigned(b) => vec![&mut b.batch],
        Body::ExamplesReviewed(b) => b.batches.iter_mut().map(|r| &mut r.batch).collect(),
        Body::ReviewReopened(b) => vec![&mut b.batch],
        Body::TrainingRequested(b) => [&mut b.dataset, &mut b.base].into_iter().chain(&mut b.schedule).collect(),
        Body::TrainingClaimed(b) => [&mut b.run].into_iter().chain(&mut b.previous).collect(),
        Body::TrainingProgressed(b) => vec![&mut b.run, &mut b.token],
        Body::TrainingCompleted(b) => vec![&mut b.run, &mut b.token],
        Body::TrainingFailed(b) => vec![&mut b.run, &mut b.token],
        Body::HyperparametersSelected(b) => b.runs.iter_mut().chain([&mut b.dataset, &mut b.chosen]).collect(),
        Body::TrainingReproduced(b) => vec![&mut b.run],
        Body::EvaluationRequested(b) => vec![&mut b.suite],
        Body::EvaluationClaimed(b) => [&mut b.evaluation].into_iter().chain(&mut b.previous).collect(),
        Body::EvaluationCompleted(b) => vec![&mut b.evaluation, &mut b.token],
        Body::EvaluationFailed(b) => vec![&mut b.evaluation, &mut b.token],
        Body::ModelRegistered(b) => vec![&mut b.base],
        Body::PromotionApproved(b) => vec![&mut b.promotion],
        Body::PromotionRejected(b) => vec![&mut b.promotion],
        Body::PromotionWithdrawn(b) => vec![&mut b.promotion],
        Body::SubjectErased(b) => {
            let batches = b.documents.iter_mut().chain(&mut b.examples).map(|named| &mut named.batch);
            batches.chain(&mut b.first).collect()
        }
        Body::ErasureDecided(b) => vec![&mut b.erasure],
        Body::LegalHoldReleased(b) => vec![&mut b.hold],
        Body::ServingConfirmed(b) => vec![&mut b.as_of],
        Body::ExperimentConcluded(b) => vec![&mut b.experiment],
        Body::WindowObserved(b) => b.windows.iter_mut().collect(),
        Body::AlertRaised(b) => b.evidence.iter_mut().collect(),
        Body::AlertAcknowledged(b) => vec![&mut b.alert],
        Body::ScheduleSet(b) => vec![&mut b.base],
        Body::LedgerCreated(_)
        | Body::RulesActivated(_)
        | Body::PolicyAdopted(_)
        | Body::StateAttested(_)
        | Body::ClockCorrected(_)
        | Body::KeyRegistered(_)
        | Body::KeyRevoked(_)
        | Body::RoleGranted(_)
        | Body::RoleWithdrawn(_)
        | Body::DocumentsIngested(_)
        | Body::ContentAccessed(_)
        | Body::AccessDenied(_)
        | Body::BaseModelRegistered(_)
        | Body::SuiteRegistered(_)
        | Body::PromotionRequested(_)
        | Body::RolledBack(_)
        | Body::ServingHalted(_)
        | Body::ExperimentStarted(_)
        | Body::LegalHoldPlaced(_) => Vec::new(),
    }
}
