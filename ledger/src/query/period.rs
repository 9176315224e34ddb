//! Which positions a period of time covers.

use super::{QueryError, answer, not_found};
use crate::replica::StoreView;
use crate::state::Ledgers;
use std::ops::Range;

/// Those of some positions whose fold times lie in a period, both ends included, 0 for open: ranges in order, some of
/// them empty. Fold times ascend but where the clock was corrected, so each stretch between two corrections has one
/// range, found by halving.
///
/// # Errors
/// If the state can't be read.
pub fn positions(view: &StoreView, among: Range<u64>, from_ms: u64, to_ms: u64) -> Result<Vec<Range<u64>>, QueryError> {
    if from_ms == 0 && to_ms == 0 {
        return Ok(vec![among]);
    }
    let now = view.view();
    let (mut found, mut end) = (Vec::new(), among.end);
    while end > among.start {
        let then = now.as_of(end);
        let corrected_at = then.get(&Ledgers::key()).map_or(0, |ledger| ledger.clock_corrected_at);
        now.absorb(&then);
        // Before the end whatever the row says, so that this comes to its own end.
        let begin = corrected_at.clamp(among.start, end - 1);
        let from = first(view, begin..end, |time_ms| time_ms >= from_ms)?;
        let to = if to_ms == 0 { end } else { first(view, from..end, |time_ms| time_ms > to_ms)? };
        found.push(from..to);
        end = begin;
    }
    found.reverse();
    answer(&now, found)
}

/// The first of these positions, in which fold times ascend, whose time has reached something; their end if none has.
fn first(view: &StoreView, among: Range<u64>, reached: impl Fn(u64) -> bool) -> Result<u64, QueryError> {
    let (mut low, mut high) = (among.start, among.end);
    while low < high {
        let middle = low + (high - low) / 2;
        let decided = view.decided(middle)?.ok_or_else(|| not_found("entry", middle))?;
        if reached(decided.fold_time_ms) { high = middle } else { low = middle + 1 }
    }
    Ok(low)
}
