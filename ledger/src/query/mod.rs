//! Read-only questions to a replica's state, at any position.
//!
//! Each takes a view and answers the message of `service.proto`. Nothing here decides anything. Without feature `store`
//! only what the offline verifier asks is here.

#[cfg(feature = "store")]
mod aggregate;
#[cfg(feature = "store")]
mod calendar;
#[cfg(feature = "store")]
pub mod comply;
#[cfg(feature = "store")]
mod diff;
#[cfg(feature = "store")]
mod due;
mod erased;
mod evaluation;
mod examples;
mod explain;
mod history;
mod in_force;
#[cfg(feature = "store")]
mod lineage;
#[cfg(feature = "store")]
mod lists;
#[cfg(feature = "store")]
mod open_work;
#[cfg(feature = "store")]
mod period;
#[cfg(feature = "store")]
mod provenance;
#[cfg(feature = "store")]
mod review;
#[cfg(feature = "store")]
mod serving;
#[cfg(feature = "store")]
mod slice;
#[cfg(feature = "store")]
mod unread;

pub use erased::erasures_of;
pub use evaluation::{category_verdict, evaluation_provenance, lower_bound_ppm};
pub use examples::members_of;
pub use explain::{Wrote, wrote};
pub use history::summary;
pub use in_force::{hurdles, signers, why};

#[cfg(feature = "store")]
pub use {
    aggregate::aggregate,
    calendar::next_after,
    diff::diff,
    due::{due, retraining_due},
    erased::{documents_among, erasure, prepare_erasure, to_erase},
    examples::{list_examples, list_members, prepare_dataset},
    history::{event_of, history},
    in_force::{AFTER_MAX, why_in_force},
    lineage::lineage,
    lists::*,
    open_work::{OpenWorkCursor, Word, check_of, open_work, scan_of},
    provenance::model_version,
    review::{ReviewBacklog, judged, review_counts, review_place, review_queue, review_report},
    serving::{serving, status},
    slice::slice,
    unread::UnreadWindows,
};

#[cfg(feature = "store")]
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

#[cfg(feature = "store")]
impl From<ReplicaError> for QueryError {
    fn from(error: ReplicaError) -> Self {
        Self::Failed(error.to_string())
    }
}

fn not_found(what: &'static str, name: impl ToString) -> QueryError {
    QueryError::NotFound { what, name: name.to_string() }
}

/// The time from which lateness is reckoned: the asker's, or with 0 the view's own.
#[cfg(feature = "store")]
fn reckoned_from(view: &View<'_>, now_ms: u64) -> u64 {
    let own = || view.fold_time(view.size().saturating_sub(1)).unwrap_or(0);
    if now_ms == 0 { own() } else { now_ms }
}

/// An answer made on a view counts only if no read failed.
fn answer<T>(view: &View<'_>, value: T) -> Result<T, QueryError> {
    view.failure().map_or(Ok(value), |failure| Err(failure.into()))
}
