//! The question about the log itself.

use super::answer::{Tally, count};
use super::asked::Asked;
use crate::envelope::ledger_id;
use crate::query::QueryError;
use crate::replica::Tree;
use crate::rules::entry_leaf;
use crate::state::Ledgers;
use attestune_proto::v1::QuestionAnswer;
use sha2::{Digest as _, Sha256};

/// Entries that are hashed again.
const SAMPLE: u64 = 64;
const DAY_MS: u64 = 86_400_000;

/// The log begins with the ledger's genesis, and a sample of its entries agrees with the tree.
pub fn whole(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    let size = asked.view.size();
    let root = asked.view.entry_root(size).map(|root| root.0).unwrap_or_default();
    for position in sample(size, &root) {
        tally.judge(position, entry_short(asked, position)?);
    }
    let root = hex::encode(root);
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

/// The first position, the last, and one out of each of 62 equal stretches between them; all where there are no more.
///
/// The tree's root draws them: whoever asks about the same head gets the same, and with every entry come others, so that
/// nothing stays unseen for good.
fn sample(size: u64, root: &[u8; 32]) -> Vec<u64> {
    if size <= SAMPLE {
        return (0..size).collect();
    }
    let (between, stretches) = (size - 2, SAMPLE - 2);
    let begin = |stretch: u64| 1 + (u128::from(between) * u128::from(stretch) / u128::from(stretches)) as u64;
    let drawn = (0..stretches).map(|stretch| {
        let length = begin(stretch + 1) - begin(stretch);
        begin(stretch) + draw(root, stretch) % length
    });
    [0].into_iter().chain(drawn).chain([size - 1]).collect()
}

/// A number of a stretch: the first eight bytes of SHA-256(root ‖ stretch).
fn draw(root: &[u8; 32], stretch: u64) -> u64 {
    let digest = Sha256::new().chain_update(root).chain_update(stretch.to_be_bytes()).finalize();
    digest.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
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
    use std::collections::BTreeSet;

    #[test]
    fn the_sample_has_both_ends_and_none_twice() {
        for size in [0, 1, 2, 63, 64, 65, 66, 1_000_000] {
            let positions = sample(size, &[7; 32]);
            assert_eq!(positions.len() as u64, size.min(64));
            assert!(positions.windows(2).all(|pair| pair[0] < pair[1]), "{size}: {positions:?}");
            let ends = (positions.first().copied(), positions.last().copied());
            assert_eq!(ends, if size == 0 { (None, None) } else { (Some(0), Some(size - 1)) });
        }
    }

    #[test]
    fn the_sample_is_the_heads_own() {
        let of = |size, byte| sample(size, &[byte; 32]);
        assert_eq!(of(1_000_000, 1), of(1_000_000, 1));
        let seen: BTreeSet<u64> = (0..100).flat_map(|byte| of(1_000_000, byte)).collect();
        assert!(seen.len() > 6_000, "{} of 1,000,000", seen.len());
        let all: BTreeSet<u64> = (0..100).flat_map(|byte| of(200, byte)).collect();
        assert_eq!(all.len(), 200, "no entry stays unseen");
    }
}
