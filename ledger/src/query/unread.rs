//! Servers' windows that no monitor has read.

use super::{QueryError, answer};
use crate::replica::StoreView;
use crate::state::{Models, View, Windows};
use attestune_proto::v1::{WindowRow, event::Body};
use std::collections::BTreeSet;

/// Servers' windows that wait for a monitor, kept from one moment to the next: a step looks at the windows and readings
/// that came since, not at all there ever were.
#[derive(Debug, Default)]
pub struct UnreadWindows {
    /// Entries looked at.
    size: u64,
    positions: BTreeSet<u64>,
}

impl UnreadWindows {
    /// Goes on to a view, and answers how many wait in it. A view before the last one starts anew.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn advance(&mut self, at: &StoreView) -> Result<usize, QueryError> {
        let view = at.view();
        if at.size() < self.size {
            *self = Self::default();
        }
        for model in view.scan(&Models::all()) {
            let rows: Vec<WindowRow> = at.rows_from(&Windows::under(model.model.as_str()), self.size)?;
            for row in rows {
                if row.server.is_empty() {
                    for position in read_by(&view, row.position) {
                        self.positions.remove(&position);
                    }
                } else if row.read_at == 0 {
                    self.positions.insert(row.position);
                }
            }
        }
        answer(&view, ())?;
        self.size = at.size();
        Ok(self.positions.len())
    }
}

/// The windows that a reading names.
fn read_by(view: &View<'_>, reading: u64) -> Vec<u64> {
    match view.body(reading) {
        Some(Body::WindowObserved(body)) => body.windows,
        _ => Vec::new(),
    }
}
