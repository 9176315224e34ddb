//! How evenly examples spread over labels.

use std::collections::BTreeMap;

/// The counts of labels and the shares of the extremes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelBalance {
    /// How many examples each label has.
    pub counts: BTreeMap<String, u64>,
    /// How many examples there are.
    pub total: u64,
    /// The share of the most frequent label in parts per million, rounded down; 0 of nothing.
    pub most_ppm: u32,
    /// The share of the least frequent label that occurs, in parts per million, rounded down.
    pub least_ppm: u32,
}

/// Counts labels. They are compared as they are written, since a label is an answer to be learnt:
/// `Refund` and `refund` are two, and that they are is worth seeing.
pub fn label_balance<'t>(labels: impl IntoIterator<Item = &'t str>) -> LabelBalance {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut total = 0;
    for label in labels {
        *counts.entry(label.to_owned()).or_default() += 1;
        total += 1;
    }
    let share = |count: Option<&u64>| {
        let parts = u128::from(*count.unwrap_or(&0)) * 1_000_000 / u128::from(total.max(1));
        u32::try_from(parts).expect("a share of the total is at most a million parts")
    };
    let (most, least) = (counts.values().max(), counts.values().min());
    LabelBalance { most_ppm: share(most), least_ppm: share(least), total, counts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_all_examples() {
        let balance = label_balance(["refund", "card", "refund", "Refund", "refund", "card"]);
        assert_eq!(balance.counts["refund"], 3);
        assert_eq!((balance.total, balance.counts.len()), (6, 3));
        assert_eq!((balance.most_ppm, balance.least_ppm), (500_000, 166_666));
    }

    #[test]
    fn nothing_has_no_shares() {
        assert_eq!(label_balance([]), LabelBalance::default());
    }

    #[test]
    fn one_label_is_most_and_least() {
        let balance = label_balance(["a", "a"]);
        assert_eq!((balance.most_ppm, balance.least_ppm), (1_000_000, 1_000_000));
    }
}
