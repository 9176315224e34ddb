//! Read-only questions to a replica's state, at any position.
//!
//! Each takes a view and answers the message of `service.proto`. Nothing here decides anything.

mod aggregate;
mod calendar;
pub mod comply;
mod due;
mod erased;
mod examples;
mod history;
mod in_force;
mod lineage;
mod lists;
mod open_work;
mod provenance;
mod review;
mod serving;

pub use aggregate::aggregate;
pub use calendar::next_after;
pub use due::{due, retraining_due};
pub use erased::{documents_among, erasure, erasures_of, prepare_erasure, to_erase};
pub use examples::{list_examples, list_members, members_of, prepare_dataset};
pub use history::{event_of, history, summary};
pub use in_force::why_in_force;
pub use lineage::lineage;
pub use lists::*;
pub use open_work::{OpenWorkCursor, Word, check_of, open_work, scan_of};
pub use provenance::{evaluation_provenance, lower_bound_ppm, model_version};
pub use review::{judged, review_counts, review_queue, review_report};
pub use serving::{serving, status};

use crate::replica::ReplicaError;
use crate::state::{ReadFailed, View};

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum QueryError {
    /// There is no such thing at that moment.
    #[error("there is no {what} {name} as of then; see `attestune registry`")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Its name or position.
        name: String,
    },
    /// The state can't be read.
    #[error("the state can't be read: {0}; run `attestune doctor`")]
    Failed(String),
}

impl From<ReadFailed> for QueryError {
    fn from(failure: ReadFailed) -> Self {
        Self::Failed(failure.0)
    }
}

impl From<ReplicaError> for QueryError {
    fn from(error: ReplicaError) -> Self {
        Self::Failed(error.to_string())
    }
}

fn not_found(what: &'static str, name: impl ToString) -> QueryError {
    QueryError::NotFound { what, name: name.to_string() }
}

/// An answer made on a view counts only if no read failed.
fn answer<T>(view: &View<'_>, value: T) -> Result<T, QueryError> {
    view.failure().map_or(Ok(value), |failure| Err(failure.into()))
}
