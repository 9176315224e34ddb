//! Errors as gRPC statuses: the stable code and the figures travel as `google.rpc.ErrorInfo`.

use attestune_ledger::log::LogError;
use attestune_ledger::query::QueryError;
use attestune_ledger::refusal::Rejection;
use attestune_ledger::replica::{AppendError, ReplicaError};
use attestune_ledger::vault::VaultError;
use attestune_proto::v1::Receipt;
use std::collections::HashMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of every ErrorInfo.
pub const DOMAIN: &str = "attestune";

/// A status with a stable reason and figures.
pub fn status(code: Code, reason: &str, message: String, figures: HashMap<String, String>) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_error_info(reason, DOMAIN, figures))
}

/// A failure to append.
pub fn append_failed(error: AppendError) -> Status {
    match error {
        AppendError::Rejected { index, rejection } => rejected(&rejection, index),
        AppendError::Failed(error) => replica_failed(error),
    }
}

fn rejected(rejection: &Rejection, index: usize) -> Status {
    let code = match rejection {
        Rejection::TooLarge { .. } => Code::ResourceExhausted,
        Rejection::UnknownKey { .. } | Rejection::BadSignature { .. } => Code::Unauthenticated,
        Rejection::NoLedger {} => Code::FailedPrecondition,
        _ => Code::InvalidArgument,
    };
    let mut figures: HashMap<_, _> = rejection.figures().into_iter().map(|(n, v)| (n.to_string(), v)).collect();
    figures.insert("index".into(), index.to_string());
    status(code, rejection.code(), rejection.to_string(), figures)
}

/// A refusal as a status, for programs that want one.
pub fn refused(receipt: &Receipt) -> Option<Status> {
    let refusal = receipt.refusal.as_ref()?;
    let mut figures: HashMap<_, _> = refusal.figures.iter().map(|f| (f.name.clone(), f.value.clone())).collect();
    figures.insert("position".into(), receipt.position.to_string());
    Some(status(Code::FailedPrecondition, &refusal.code, refusal.message.clone(), figures))
}

/// A failure of the replica.
pub fn replica_failed(error: ReplicaError) -> Status {
    let figure = |name: &str, value: u64| HashMap::from([(name.to_string(), value.to_string())]);
    let message = error.to_string();
    match error {
        ReplicaError::Beyond { asked, .. } => {
            status(Code::OutOfRange, "beyond-the-end", message, figure("asked", asked))
        }
        ReplicaError::Read { position, .. } | ReplicaError::Log(LogError::Unreadable { position, .. }) => {
            status(Code::DataLoss, "unreadable", message, figure("position", position))
        }
        ReplicaError::Diverged { at, .. } => status(Code::DataLoss, "diverged", message, figure("position", at)),
        ReplicaError::NoLedger | ReplicaError::NoCheckpointKey => Status::failed_precondition(message),
        ReplicaError::Damaged { .. } => Status::data_loss(message),
        _ => Status::unavailable(message),
    }
}

/// A question without an answer.
pub fn query_failed(error: QueryError) -> Status {
    match &error {
        QueryError::NotFound { .. } => Status::not_found(error.to_string()),
        QueryError::Failed(_) => Status::unavailable(error.to_string()),
    }
}

/// A failure of the vault.
pub fn vault_failed(error: VaultError) -> Status {
    match &error {
        VaultError::Unknown { .. } | VaultError::Erased { .. } => Status::not_found(error.to_string()),
        VaultError::Corrupt { .. } => Status::data_loss(error.to_string()),
        VaultError::Kek { .. } | VaultError::Unavailable(_) => Status::unavailable(error.to_string()),
    }
}
