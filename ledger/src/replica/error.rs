//! Why a replica stopped, or an append got no receipt.

use crate::log::LogError;
use crate::refusal::Rejection;
use crate::store::StoreError;
use crate::time::iso;
use crate::tree::{Hash, TileError};

/// Why a replica stopped or could not answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReplicaError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A row or entry can't be read.
    #[error(
        "what the fold needs at position {position} can't be read: {cause}; keep this folder and run `attestune doctor`"
    )]
    Read {
        /// The position that was being folded or read.
        position: u64,
        /// What is wrong.
        cause: String,
    },
    /// The store contradicts itself.
    #[error("this replica's folder is damaged: {what}; keep it and run `attestune doctor --drop-state` on a copy")]
    Damaged {
        /// What is wrong.
        what: String,
    },
    /// The log is not the one that this replica followed.
    #[error(
        "log diverged at {at}: this replica holds {ours}, the log holds {theirs}; keep this folder and run `attestune doctor`"
    )]
    Diverged {
        /// The position.
        at: u64,
        /// Leaf hash or root here.
        ours: Hash,
        /// The same in the log.
        theirs: Hash,
    },
    /// Entries that a signed head knew are gone.
    #[error(
        "the log ends at {end}, but the signed head knew {head} entries: the end was lost; keep this folder and restore from a backup"
    )]
    LostEnd {
        /// Entries there are.
        end: u64,
        /// Entries the head knew.
        head: u64,
    },
    /// Another ledger's log.
    #[error("this is ledger {found}, not {pinned}, to which this folder is pinned")]
    OtherLedger {
        /// The digest found.
        found: Hash,
        /// The digest expected.
        pinned: Hash,
    },
    /// There is no such entry or tree.
    #[error("{asked} is beyond the log's end, {size}")]
    Beyond {
        /// What was asked for.
        asked: u64,
        /// Entries folded.
        size: u64,
    },
    /// A moment before the first entry.
    #[error("{} is before the ledger, whose first entry is of {}", iso(*.asked_ms), iso(*.first_ms))]
    BeforeTheLedger {
        /// The time asked for.
        asked_ms: u64,
        /// The fold's time at the first entry.
        first_ms: u64,
    },
    /// A moment that has not come.
    #[error("{} lies in the future: it is {}", iso(*.asked_ms), iso(*.now_ms))]
    InTheFuture {
        /// The time asked for.
        asked_ms: u64,
        /// The time here.
        now_ms: u64,
    },
    /// No ledger was created yet.
    #[error("there is no ledger here yet: run `attestune init`")]
    NoLedger,
    /// The replica has no checkpoint key.
    #[error("this replica holds no checkpoint key, so it signs no checkpoints")]
    NoCheckpointKey,
    /// Log or fold did not come to what was appended in time.
    #[error(
        "no receipt within {waited_s} s, log or fold are too far behind: the events may be on the log or not, append the \
         same bytes again, they count once"
    )]
    Behind {
        /// How long it was waited for.
        waited_s: u64,
    },
    /// The fold stopped earlier.
    #[error("the replica has stopped: {0}")]
    Stopped(String),
}

impl ReplicaError {
    pub(super) fn damaged(error: TileError<StoreError>) -> Self {
        Self::Damaged { what: format!("a tree: {error}") }
    }
}

/// Why an append got no receipt.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AppendError {
    /// Stopped at the door; nothing was appended.
    #[error("{rejection}")]
    Rejected {
        /// Which of the envelopes.
        index: usize,
        /// Why.
        rejection: Rejection,
    },
    /// The log or the replica failed. What was sent may or may not be on the log: ask for its receipt.
    #[error(transparent)]
    Failed(#[from] ReplicaError),
}

impl AppendError {
    /// Nothing came of it within [`RECEIPT_WAIT`](super::RECEIPT_WAIT).
    pub fn overdue() -> Self {
        ReplicaError::Behind { waited_s: super::RECEIPT_WAIT.as_secs() }.into()
    }
}
