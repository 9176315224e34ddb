//! What is another at one moment than at another.

use super::explain::{Wrote, name, wrote};
use super::history::event_of;
use super::{QueryError, answer, not_found};
use crate::replica::StoreView;
use crate::state::Reader as _;
use attestune_proto::v1::{Change, DiffResponse, Verdict};
use std::collections::BTreeMap;

/// Most rows that are told.
const CHANGES_MAX: usize = 10_000;

/// What the events between two moments changed, row by row: only what is another in the end. Where `to` is the earlier
/// one, nothing is.
///
/// # Errors
/// If the state can't be read.
pub fn diff(from: &StoreView, to: &StoreView) -> Result<DiffResponse, QueryError> {
    let view = to.view();
    let time = |size: u64| size.checked_sub(1).and_then(|last| view.fold_time(last)).unwrap_or(0);
    let mut found = DiffResponse {
        from_position: from.size().saturating_sub(1),
        from_ms: time(from.size()),
        to_position: to.size().saturating_sub(1),
        to_ms: time(to.size()),
        ..Default::default()
    };
    // The last write of each row, and where.
    let mut last: BTreeMap<Vec<u8>, (u64, Vec<u8>)> = BTreeMap::new();
    for position in from.size()..to.size() {
        let decided = to.decided(position)?.ok_or_else(|| not_found("entry", position))?;
        match decided.verdict() {
            Verdict::Accepted => found.accepted += 1,
            Verdict::Refused => found.refused += 1,
            Verdict::Duplicate => found.duplicates += 1,
            Verdict::Garbage | Verdict::Unspecified => found.garbage += 1,
        }
        for write in to.effects_of(position)?.into_writes() {
            last.insert(write.row, (position, write.value));
        }
    }
    for (row, (position, after)) in last {
        let before = from.row(&row, from.size())?;
        if before.as_ref() == Some(&after) {
            continue;
        }
        let Some(text) = wrote(Wrote { row: &row, before: before.as_deref(), after: &after }) else { continue };
        if found.changes.len() == CHANGES_MAX {
            found.truncated = true;
            break;
        }
        found.changes.push(Change {
            table: name(row.first().copied().unwrap_or(0)).into(),
            key: row,
            position,
            time_ms: view.fold_time(position).unwrap_or(0),
            actor: event_of(to, position)?.map(|event| event.actor).unwrap_or_default(),
            text,
            added: before.is_none(),
        });
    }
    answer(&view, found)
}
