//! Errors of the ledger as gRPC statuses.

use crate::reason::{Figures, Reason, coded, status, with_figures};
use attestune_ledger::log::LogError;
use attestune_ledger::query::QueryError;
use attestune_ledger::refusal::Rejection;
use attestune_ledger::replica::{AppendError, ReplicaError};
use attestune_ledger::store::StoreError;
use attestune_ledger::vault::VaultError;
use attestune_proto::v1::Receipt;
use std::path::PathBuf;
use tonic::{Code, Status};

/// A failure to append; `before` requests of the same call came before the first of these.
pub fn append_failed(error: AppendError, before: u64) -> Status {
    match error {
        AppendError::Rejected { index, rejection } => rejected(&rejection, before + index as u64),
        AppendError::Failed(error) => replica_failed(error),
    }
}

/// What the door stopped: the request at `index` of its call.
pub fn rejected(rejection: &Rejection, index: u64) -> Status {
    let code = match rejection {
        Rejection::TooLarge { .. } => Code::ResourceExhausted,
        Rejection::UnknownKey { .. } | Rejection::BadSignature { .. } => Code::Unauthenticated,
        Rejection::NoLedger {} => Code::FailedPrecondition,
        _ => Code::InvalidArgument,
    };
    let mut figures: Figures = rejection.figures().into_iter().map(|(n, v)| (n.to_string(), v)).collect();
    figures.insert("index".into(), index.to_string());
    coded(code, rejection.code(), rejection.to_string(), figures)
}

/// A refusal as a status, for programs that want one.
pub fn refused(receipt: &Receipt) -> Option<Status> {
    let refusal = receipt.refusal.as_ref()?;
    let mut figures: Figures = refusal.figures.iter().map(|f| (f.name.clone(), f.value.clone())).collect();
    figures.insert("position".into(), receipt.position.to_string());
    Some(coded(Code::FailedPrecondition, &refusal.code, refusal.message.clone(), figures))
}

/// A failure of the replica.
pub fn replica_failed(error: ReplicaError) -> Status {
    let message = error.to_string();
    match error {
        ReplicaError::Beyond { asked, size } => {
            with_figures(Reason::BeyondTheEnd, message, [("asked", asked.to_string()), ("size", size.to_string())])
        }
        ReplicaError::Read { position, .. } | ReplicaError::Log(LogError::Unreadable { position, .. }) => {
            with_figures(unread(&message), message, [("position", position.to_string())])
        }
        ReplicaError::Diverged { at, .. } => with_figures(Reason::Diverged, message, [("position", at.to_string())]),
        ReplicaError::BeforeTheLedger { .. } => status(Reason::BeforeTheLedger, message),
        ReplicaError::InTheFuture { .. } => status(Reason::InTheFuture, message),
        ReplicaError::NoLedger => status(Reason::NoLedger, message),
        ReplicaError::NoCheckpointKey => status(Reason::NoCheckpointKey, message),
        ReplicaError::Damaged { .. } | ReplicaError::LostEnd { .. } | ReplicaError::OtherLedger { .. } => {
            status(Reason::Damaged, message)
        }
        ReplicaError::Log(error) if error.may_pass() => status(Reason::LogUnreachable, message),
        ReplicaError::Behind { .. } => status(Reason::LogUnreachable, message),
        ReplicaError::Log(error) if error.is_refusal() => status(Reason::LogRefused, message),
        ReplicaError::Log(LogError::ReadOnly) => status(Reason::LogReadOnly, message),
        ReplicaError::Stopped(_) => status(Reason::FoldStopped, message),
        ReplicaError::Store(_) | ReplicaError::Log(_) => status(unread(&message), message),
    }
}

/// A question without an answer.
pub fn query_failed(error: QueryError) -> Status {
    let message = error.to_string();
    match error {
        QueryError::NotFound { what, name } => {
            with_figures(Reason::NotFound, message, [("what", what.into()), ("name", name)])
        }
        QueryError::Failed(_) => status(unread(&message), message),
    }
}

/// Whether the system failed to read, which may pass, or what it read is damaged. A failed read of the state comes as
/// its text alone, so the store's own sentence tells.
fn unread(message: &str) -> Reason {
    let passing = [
        StoreError::Io { path: PathBuf::new(), what: String::new() },
        StoreError::DiskFull { path: PathBuf::new() },
        StoreError::Poisoned { path: PathBuf::new() },
    ];
    // The sentence up to its path.
    let begin = |error: &StoreError| {
        let text = error.to_string();
        let end = text.find("  ").or_else(|| text.find(" :")).map_or(text.len(), |at| at + 1);
        text[..end].to_owned()
    };
    if passing.iter().any(|error| message.contains(&begin(error))) { Reason::StoreUnreachable } else { Reason::Damaged }
}

/// A failure of the vault.
pub fn vault_failed(error: VaultError) -> Status {
    let message = error.to_string();
    match error {
        VaultError::Unknown { pack, commitment } => {
            with_figures(Reason::ContentUnknown, message, [("pack", pack), ("commitment", commitment)])
        }
        VaultError::Erased { pack, commitment } => {
            with_figures(Reason::ContentErased, message, [("pack", pack), ("commitment", commitment)])
        }
        VaultError::Corrupt { pack } => with_figures(Reason::ContentCorrupt, message, [("pack", pack)]),
        VaultError::Kek { .. } => status(Reason::VaultKeyUnfit, message),
        VaultError::Unavailable(_) => status(Reason::VaultUnreachable, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::StatusExt as _;

    #[test]
    fn an_event_without_a_receipt_in_time_may_be_appended_again_and_one_that_the_log_does_not_take_may_not() {
        let told = |error: ReplicaError| {
            let status = replica_failed(error);
            let reason = status.get_details_error_info().map(|info| info.reason);
            (status.code(), reason.unwrap_or_default())
        };
        let behind = ReplicaError::Behind { waited_s: 150 };
        assert_eq!(told(behind), (Code::Unavailable, "log-unreachable".to_owned()));
        let large = ReplicaError::Log(LogError::TooLarge { index: 0, size: 70_000, limit: 65_527 });
        assert_eq!(told(large), (Code::FailedPrecondition, "log-refused".to_owned()));
    }

    #[test]
    fn a_damaged_store_is_told_from_one_that_cannot_be_read_just_now() {
        let path = PathBuf::from("/ledger/db");
        let code = |error: StoreError| query_failed(QueryError::Failed(error.to_string())).code();
        assert_eq!(code(StoreError::Corrupt { path: path.clone(), what: "checksum".into() }), Code::DataLoss);
        assert_eq!(code(StoreError::Io { path: path.clone(), what: "EIO".into() }), Code::Unavailable);
        assert_eq!(code(StoreError::DiskFull { path: path.clone() }), Code::Unavailable);
        assert_eq!(code(StoreError::Poisoned { path: path.clone() }), Code::Unavailable);
        let undecoded = QueryError::Failed("a row of the state does not decode: wire type".into());
        assert_eq!(query_failed(undecoded).code(), Code::DataLoss);
        assert_eq!(
            replica_failed(ReplicaError::Store(StoreError::Corrupt { path, what: "x".into() })).code(),
            Code::DataLoss
        );
    }
}
