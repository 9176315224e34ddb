//! How far decided events are published: told by whoever publishes, shown by `/metrics`.

use std::sync::Mutex;
use std::sync::PoisonError;

/// How far decided events are published.
#[derive(Debug, Default)]
pub struct Published(Mutex<Option<(u64, bool)>>);

impl Published {
    /// Notes how many positions are published, by whomever, and whether this process publishes.
    pub fn note(&self, positions: u64, publishing: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((positions, publishing));
    }

    /// What was noted last.
    pub fn noted(&self) -> Option<(u64, bool)> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
