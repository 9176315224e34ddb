//! How often the vault did what, and what came of it: counters since it was opened.

use super::VaultError;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is asked of a vault.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Sealing contents into a new pack.
    Seal,
    /// Opening contents.
    Open,
    /// Erasing contents.
    Erase,
}

/// The operations with their names.
pub const OPERATIONS: [(Operation, &str); 3] =
    [(Operation::Seal, "seal"), (Operation::Open, "open"), (Operation::Erase, "erase")];

/// What may come of an operation.
pub const OUTCOMES: [&str; 5] = ["ok", "unknown", "erased", "corrupt", "unavailable"];

#[derive(Default)]
pub(super) struct Measured([[AtomicU64; OUTCOMES.len()]; OPERATIONS.len()]);

impl Measured {
    /// Counts what came of an operation and passes it on.
    pub(super) fn count<T>(&self, operation: Operation, result: Result<T, VaultError>) -> Result<T, VaultError> {
        let outcome = match &result {
            Ok(_) => 0,
            Err(VaultError::Unknown { .. }) => 1,
            Err(VaultError::Erased { .. }) => 2,
            Err(VaultError::Corrupt { .. }) => 3,
            Err(VaultError::Kek { .. } | VaultError::Unavailable(_)) => 4,
        };
        self.0[operation as usize][outcome].fetch_add(1, Ordering::Relaxed);
        result
    }

    /// Operation, outcome, how often.
    pub(super) fn counts(&self) -> Vec<(&'static str, &'static str, u64)> {
        let row = |(operation, name): (Operation, &'static str)| {
            let counts = self.0[operation as usize].iter().map(|count| count.load(Ordering::Relaxed));
            OUTCOMES.iter().zip(counts).map(move |(outcome, count)| (name, *outcome, count))
        };
        OPERATIONS.into_iter().flat_map(row).collect()
    }
}
