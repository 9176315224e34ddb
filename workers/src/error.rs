//! Why a worker could not do something.

use attestune_ledger::{
    query::QueryError,
    replica::{AppendError, ReplicaError},
    vault::VaultError,
};
use attestune_proto::v1::FailureReason;
use attestune_trainer::{
    adapter::AdapterError,
    device::DeviceError,
    evaluate::{EvaluateError, SuiteError},
    generate::GenerateError,
    model::ModelError,
    train::TrainError,
};

/// Why a worker could not do something. No text of an example ever stands in it.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The replica has stopped; so does the worker.
    #[error("the replica has stopped: {0}; see `attestune doctor`")]
    Stopped(String),
    /// The state can't be read.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The state does not hold what was asked for.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The act did not get onto the log.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A text can't be opened or sealed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A content is not what its place on the log says.
    #[error("{what} at position {position} can't be used: {why}")]
    Content {
        /// What it should be.
        what: &'static str,
        /// The event that names it.
        position: u64,
        /// What is wrong.
        why: String,
    },
    /// No base model with these weights is here.
    #[error("no base model with weights {digest} is here ({searched}): add its file to the list of models")]
    NoBaseModel {
        /// SHA-256 of the weights, in hex.
        digest: String,
        /// Where it was looked for.
        searched: String,
    },
    /// A base model can't be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An adapter can't be used.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// A suite can't be used.
    #[error(transparent)]
    Suite(#[from] SuiteError),
    /// A suite could not be run.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// A training did not end well.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A card doesn't say what it is.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl WorkerError {
    /// Whether no other work can succeed either.
    pub(crate) fn is_fatal(&self) -> bool {
        matches!(self, Self::Stopped(_) | Self::Append(AppendError::Failed(ReplicaError::Stopped(_))))
    }

    /// What is put on record when a run or an evaluation fails by this; nothing for what concerns this process only.
    pub(crate) fn reason(&self) -> Option<FailureReason> {
        if let Some(error) = self.of_device() {
            let full = matches!(error, DeviceError::OutOfMemory { .. });
            return Some(if full { FailureReason::OutOfMemory } else { FailureReason::Internal });
        }
        match self {
            Self::Stopped(_) | Self::Replica(_) | Self::Append(_) | Self::Query(QueryError::Failed(_)) => None,
            Self::Train(TrainError::Stopped { .. }) | Self::Evaluate(EvaluateError::Stopped { .. }) => None,
            Self::Query(QueryError::NotFound { .. }) => Some(FailureReason::InvalidInput),
            Self::Vault(_) => Some(FailureReason::ContentUnavailable),
            Self::NoBaseModel { .. } | Self::Model(_) => Some(FailureReason::ModelUnavailable),
            Self::Train(TrainError::Diverged { .. }) => Some(FailureReason::Diverged),
            Self::Train(TrainError::Threads { .. }) => Some(FailureReason::Internal),
            Self::Device(_) => Some(FailureReason::Internal),
            Self::Content { .. } | Self::Adapter(_) | Self::Suite(_) | Self::Evaluate(_) | Self::Train(_) => {
                Some(FailureReason::InvalidInput)
            }
        }
    }

    /// What a card said, whoever asked it.
    fn of_device(&self) -> Option<&DeviceError> {
        match self {
            Self::Device(error)
            | Self::Train(TrainError::Device(error))
            | Self::Adapter(AdapterError::Device(error))
            | Self::Evaluate(EvaluateError::Generate { source: GenerateError::Device(error), .. }) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_card_is_put_on_record_as_such_whoever_filled_it() {
        let full = || DeviceError::OutOfMemory { reason: "CUDA_ERROR_OUT_OF_MEMORY".into() };
        let source = GenerateError::Device(full());
        let errors = [
            WorkerError::Train(TrainError::Device(full())),
            WorkerError::Adapter(AdapterError::Device(full())),
            WorkerError::Evaluate(EvaluateError::Generate { case_id: "a".into(), source }),
        ];
        assert!(errors.iter().all(|error| error.reason() == Some(FailureReason::OutOfMemory)));
        let failed = TrainError::Device(DeviceError::Failed { reason: "CUDA_ERROR_ECC_UNCORRECTABLE".into() });
        assert_eq!(WorkerError::Train(failed).reason(), Some(FailureReason::Internal));
    }
}
