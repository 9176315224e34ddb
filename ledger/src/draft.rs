//! Drafts: events before they are signed.

use attestune_proto::v1::{Event, Kind, Seen, event::Body};
use uuid::Uuid;

/// The name space of workers' ids: UUIDv5 of `attestune.worker` in the URL name space.
const WORKERS: Uuid =
    Uuid::from_bytes([0xcc, 0xfc, 0x41, 0xd4, 0xdb, 0x31, 0x51, 0xad, 0x8b, 0x86, 0x8d, 0x2e, 0x7c, 0xe9, 0xba, 0x3c]);

/// The id that a worker gives its act: UUIDv5 of cause, kind, part and attempt (RFC 9562 §5.5), so that a worker that
/// starts again gives the same id to the same act.
pub fn worker_id(cause: u64, kind: Kind, part: &str, attempt: u32) -> [u8; 16] {
    let name = format!("{cause}/{}/{part}/{attempt}", kind as i32);
    *Uuid::new_v5(&WORKERS, name.as_bytes()).as_bytes()
}

/// An event of `actor` for a ledger, before its signature.
pub fn draft(ledger: &[u8], actor: &str, id: [u8; 16], claimed_at_ms: u64, seen: Option<Seen>, body: Body) -> Event {
    Event {
        id: id.to_vec(),
        ledger: ledger.to_vec(),
        actor: actor.into(),
        claimed_at_ms,
        seen,
        cause: None,
        comment: None,
        body: Some(body),
    }
}

/// The kind of a body.
pub fn kind(body: &Body) -> Kind {
    match body {
        Body::LedgerCreated(_) => Kind::LedgerCreated,
        Body::RulesActivated(_) => Kind::RulesActivated,
        Body::PolicyAdopted(_) => Kind::PolicyAdopted,
        Body::StateAttested(_) => Kind::StateAttested,
        Body::ClockCorrected(_) => Kind::ClockCorrected,
        Body::KeyRegistered(_) => Kind::KeyRegistered,
        Body::KeyRevoked(_) => Kind::KeyRevoked,
        Body::RoleGranted(_) => Kind::RoleGranted,
        Body::RoleWithdrawn(_) => Kind::RoleWithdrawn,
        Body::DocumentsIngested(_) => Kind::DocumentsIngested,
        Body::ExamplesDerived(_) => Kind::ExamplesDerived,
        Body::ExamplesScanned(_) => Kind::ExamplesScanned,
        Body::ExamplesChecked(_) => Kind::ExamplesChecked,
        Body::LeakageChecked(_) => Kind::LeakageChecked,
        Body::DatasetFrozen(_) => Kind::DatasetFrozen,
        Body::ContentAccessed(_) => Kind::ContentAccessed,
        Body::AccessDenied(_) => Kind::AccessDenied,
        Body::EvidenceExported(_) => Kind::EvidenceExported,
        Body::ReviewAssigned(_) => Kind::ReviewAssigned,
        Body::ExamplesReviewed(_) => Kind::ExamplesReviewed,
        Body::ReviewReopened(_) => Kind::ReviewReopened,
        Body::SubjectErased(_) => Kind::SubjectErased,
        Body::ErasureDecided(_) => Kind::ErasureDecided,
        Body::LegalHoldPlaced(_) => Kind::LegalHoldPlaced,
        Body::LegalHoldReleased(_) => Kind::LegalHoldReleased,
        Body::BaseModelRegistered(_) => Kind::BaseModelRegistered,
        Body::TrainingRequested(_) => Kind::TrainingRequested,
        Body::TrainingClaimed(_) => Kind::TrainingClaimed,
        Body::TrainingProgressed(_) => Kind::TrainingProgressed,
        Body::TrainingCompleted(_) => Kind::TrainingCompleted,
        Body::TrainingFailed(_) => Kind::TrainingFailed,
        Body::HyperparametersSelected(_) => Kind::HyperparametersSelected,
        Body::TrainingReproduced(_) => Kind::TrainingReproduced,
        Body::SuiteRegistered(_) => Kind::SuiteRegistered,
        Body::EvaluationRequested(_) => Kind::EvaluationRequested,
        Body::EvaluationClaimed(_) => Kind::EvaluationClaimed,
        Body::EvaluationCompleted(_) => Kind::EvaluationCompleted,
        Body::EvaluationFailed(_) => Kind::EvaluationFailed,
        Body::ModelRegistered(_) => Kind::ModelRegistered,
        Body::PromotionRequested(_) => Kind::PromotionRequested,
        Body::PromotionApproved(_) => Kind::PromotionApproved,
        Body::PromotionRejected(_) => Kind::PromotionRejected,
        Body::PromotionWithdrawn(_) => Kind::PromotionWithdrawn,
        Body::RolledBack(_) => Kind::RolledBack,
        Body::ServingHalted(_) => Kind::ServingHalted,
        Body::ServingConfirmed(_) => Kind::ServingConfirmed,
        Body::ExperimentStarted(_) => Kind::ExperimentStarted,
        Body::ExperimentConcluded(_) => Kind::ExperimentConcluded,
        Body::WindowObserved(_) => Kind::WindowObserved,
        Body::AlertRaised(_) => Kind::AlertRaised,
        Body::AlertAcknowledged(_) => Kind::AlertAcknowledged,
        Body::ScheduleSet(_) => Kind::ScheduleSet,
    }
}

/// A proto name such as `KIND_ROLE_GRANTED` as people write it, `role-granted`.
pub fn plain(name: &'static str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_space_of_workers_is_what_it_says() {
        assert_eq!(WORKERS, Uuid::new_v5(&Uuid::NAMESPACE_URL, b"attestune.worker"));
    }

    #[test]
    fn a_workers_id_depends_on_each_part() {
        let id = worker_id(4, Kind::ExamplesScanned, "attestune-pii/1", 0);
        assert_eq!(id, worker_id(4, Kind::ExamplesScanned, "attestune-pii/1", 0));
        assert_ne!(id, worker_id(5, Kind::ExamplesScanned, "attestune-pii/1", 0));
        assert_ne!(id, worker_id(4, Kind::ExamplesChecked, "attestune-pii/1", 0));
        assert_ne!(id, worker_id(4, Kind::ExamplesScanned, "attestune-pii/2", 0));
        assert_ne!(id, worker_id(4, Kind::ExamplesScanned, "attestune-pii/1", 1));
        assert_eq!(plain(Kind::RoleGranted.as_str_name(), "KIND_"), "role-granted");
    }
}
