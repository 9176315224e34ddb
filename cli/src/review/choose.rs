//! Which examples a command means.

use super::{examples, reference, texts};
use crate::{problem, session::Session};
use attestune_proto::v1::{ExampleInfo, ExampleRef};
use attestune_workers::example::{self, ExampleText};
use std::str::FromStr;

#[derive(clap::Args)]
pub struct Chosen {
    /// The collection
    pub collection: String,
    /// Examples: BATCH/INDEX, BATCH/FIRST-LAST, or their number in the collection, counted from 1
    examples: Vec<Range>,
    /// All that await review
    #[arg(long, conflicts_with = "examples")]
    all_flagged: bool,
    /// Those that await review and whose text contains this
    #[arg(long, conflicts_with_all = ["examples", "all_flagged"], value_name = "TEXT")]
    containing: Vec<String>,
}

/// Examples of one batch, or of the whole collection, first and last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Without it the numbers count through the collection, from 1.
    batch: Option<u64>,
    first: u32,
    last: u32,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (batch, indices) = match text.split_once('/') {
                Some((batch, indices)) => (Some(batch.parse().ok()?), indices),
                None => (None, text),
            };
            let (first, last) = indices.split_once('-').unwrap_or((indices, indices));
            Some(Self { batch, first: first.parse().ok()?, last: last.parse().ok()? })
        };
        let range = parse().filter(|range| range.first <= range.last && (range.batch.is_some() || range.first > 0));
        range.ok_or_else(|| "BATCH/INDEX is expected, such as 24/7 or 24/0-31, or a number from 1 on".into())
    }
}

impl Range {
    /// Whether it holds the example that is `number` in its collection.
    fn holds(&self, number: u32, example: &ExampleRef) -> bool {
        let place = if self.batch.is_some() { example.index } else { number };
        self.batch.is_none_or(|batch| batch == example.batch) && (self.first..=self.last).contains(&place)
    }

    fn len(&self) -> usize {
        (self.last - self.first) as usize + 1
    }
}

/// The examples that the command line names, with their texts where it needed them.
pub async fn choose(session: &Session, chosen: &Chosen) -> anyhow::Result<Vec<ExampleInfo>> {
    let by_place = !chosen.examples.is_empty();
    if !by_place && !chosen.all_flagged && chosen.containing.is_empty() {
        return Err(problem::cannot(
            "no examples are named",
            "name them as BATCH/INDEX (see `attestune review list`), or say --all-flagged",
        ));
    }
    let mut infos = examples(session, &chosen.collection, !by_place).await?;
    if by_place {
        let mut kept = Vec::new();
        for range in &chosen.examples {
            let found = (1..).zip(&infos).filter(|(number, info)| range.holds(*number, &reference(info)));
            let found: Vec<_> = found.map(|(_, info)| info.clone()).collect();
            if found.len() != range.len() {
                return Err(problem::cannot(
                    format!("{} of the {} examples named stand in {}", found.len(), range.len(), chosen.collection),
                    "see `attestune review list COLLECTION --all`",
                ));
            }
            kept.extend(found);
        }
        kept.sort_by_key(|info| (reference(info).batch, reference(info).index));
        kept.dedup_by_key(|info| reference(info));
        infos = kept;
    }
    if !chosen.containing.is_empty() {
        let texts = texts(session, &infos).await?;
        let holds = |text: &ExampleText| chosen.containing.iter().any(|part| example::scan_text(text).contains(part));
        let kept = infos.into_iter().zip(texts).filter(|(_, text)| holds(text));
        infos = kept.map(|(info, _)| info).collect();
    }
    Ok(infos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_named_by_batch_and_index() {
        assert_eq!("24/7".parse(), Ok(Range { batch: Some(24), first: 7, last: 7 }));
        assert_eq!("24/0-31".parse(), Ok(Range { batch: Some(24), first: 0, last: 31 }));
        assert_eq!("9".parse(), Ok(Range { batch: None, first: 9, last: 9 }));
        for wrong in ["", "0", "24/", "24/3-1", "/3", "a/b", "24/-1"] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_count_from_one_and_indices_from_zero() {
        let second = ExampleRef { batch: 24, index: 1 };
        assert!("2".parse::<Range>().unwrap().holds(2, &second));
        assert!("24/1".parse::<Range>().unwrap().holds(2, &second));
        assert!(!"25/1".parse::<Range>().unwrap().holds(2, &second));
    }
}
