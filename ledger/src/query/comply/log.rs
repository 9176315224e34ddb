//! The question about the log itself.

use super::answer::{Tally, count};
use super::asked::Asked;
use crate::envelope::ledger_id;
use crate::query::QueryError;
use crate::replica::Tree;
use crate::rules::entry_leaf;
use crate::state::Ledgers;
use attestune_proto::v1::QuestionAnswer;

/// Entries that are hashed again: the first, the last, and others at even distances.
const SAMPLE: u64 = 64;
const DAY_MS: u64 = 86_400_000;

/// The log begins with the ledger's genesis, and a sample of its entries agrees with the tree.
pub fn whole(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    let size = asked.view.size();
    for position in sample(size) {
        tally.judge(position, entry_short(asked, position)?);
    }
    let root = asked.view.entry_root(size).map(|root| hex::encode(root.0)).unwrap_or_default();
    let time = |position: u64| asked.view.fold_time(position).unwrap_or(0);
    let days = time(size.saturating_sub(1)).saturating_sub(time(0)) / DAY_MS;
    let text = format!(
        "{} over {} stand under the root {root}; {} hashed again, {} agree; nothing is ever taken away",
        entries(size),
        count(days, "day"),
        tally.of(),
        tally.good(),
    );
    Ok(tally.answer(text))
}

fn entries(size: u64) -> String {
    if size == 1 { "1 entry".into() } else { format!("{size} entries") }
}

fn sample(size: u64) -> impl Iterator<Item = u64> {
    let last = size.saturating_sub(1);
    let steps = last.min(SAMPLE - 1);
    let at = move |step: u64| (u128::from(last) * u128::from(step) / u128::from(steps.max(1))) as u64;
    (0..=steps).map(at).take(if size == 0 { 0 } else { SAMPLE as usize })
}

fn entry_short(asked: &Asked<'_>, position: u64) -> Result<Option<String>, QueryError> {
    let (Some(value), Some(time_ms)) = (asked.view.entry(position), asked.store.entry_time(position)?) else {
        return Ok(Some(format!("entry {position} is missing")));
    };
    if position == 0 && asked.view.get(&Ledgers::key()).is_none_or(|row| row.ledger_id != ledger_id(&value)) {
        return Ok(Some("the first entry is not the genesis of this ledger".into()));
    }
    let agrees = asked.store.leaf(Tree::Entries, position)? == Some(entry_leaf(time_ms, &value));
    Ok((!agrees).then(|| format!("entry {position} is not what the tree says")))
}

#[cfg(test)]
mod tests {
    use super::sample;

    #[test]
    fn the_sample_has_both_ends_and_none_twice() {
        for size in [0, 1, 2, 63, 64, 65, 1_000_000] {
            let positions: Vec<u64> = sample(size).collect();
            assert_eq!(positions.len() as u64, size.min(64));
            assert!(positions.windows(2).all(|pair| pair[0] < pair[1]), "{size}: {positions:?}");
            let ends = (positions.first().copied(), positions.last().copied());
            assert_eq!(ends, if size == 0 { (None, None) } else { (Some(0), Some(size - 1)) });
        }
    }
}
