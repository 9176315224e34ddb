//! Which examples may enter a dataset, and why the others may not.
//!
//! An example is eligible once scanned by every required detector at its version, checked by every required checker,
//! and reviewed as the policy asks. A missing scan is never a pass. What counts, counts only while its signer's key is
//! unrevoked and the role still held.

use super::{counts, data::bit};
use crate::state::{Checks, CollectionBatches, ErasedExamples, Examples, FirstScans, Reviews, Scans, View};
use crate::tree::{Hash, leaf_hash};
use attestune_proto::v1::{
    CheckRow, Decision, ExampleStatus, ExamplesRow, HumanReview, Kind, Policy, ReviewRow, ReviewVerdict, ScanRow,
    event::Body,
};
use sha2::{Digest as _, Sha256};

/// One example with all that decides on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Position of its batch.
    pub batch: u64,
    /// Index in it.
    pub index: u32,
    /// What is known of it.
    pub status: ExampleStatus,
    /// Some detector found something in it.
    pub flagged: bool,
    /// A person decided on it, and that counts.
    pub reviewed: bool,
    /// The pack of its text: the redacted one after redaction.
    pub pack: Vec<u8>,
    /// The commitment to that text.
    pub commitment: Vec<u8>,
    /// Whether that is a redacted text.
    pub redacted: bool,
}

/// All examples of some collections as `data` shows them, judged by the policy, keys and roles of `judge`.
pub fn examples(data: &View<'_>, judge: &View<'_>, policy: &Policy, collections: &[String]) -> Vec<Example> {
    let mut found = Vec::new();
    for row in batches(data, collections) {
        found.extend(batch(data, judge, policy, &row));
    }
    found
}

/// The batches of some collections, in order of position.
pub fn batches(data: &View<'_>, collections: &[String]) -> Vec<ExamplesRow> {
    let mut positions: Vec<u64> =
        collections.iter().flat_map(|c| data.scan(&CollectionBatches::under(c.as_str()))).map(|p| p.position).collect();
    positions.sort_unstable();
    positions.iter().filter_map(|p| data.get(&Examples::key(*p))).collect()
}

/// The examples of one batch.
pub fn batch(data: &View<'_>, judge: &View<'_>, policy: &Policy, row: &ExamplesRow) -> Vec<Example> {
    let Some(Body::ExamplesDerived(derived)) = data.body(row.position) else { return Vec::new() };
    let scans = data.scan(&Scans::under(row.position));
    let checked = required(judge, policy, row.position, data);
    let excluded = exclusions(judge, policy, row.position, data);
    let reviews = counted_reviews(judge, policy, data.scan(&Reviews::under(row.position)));
    let first_scan = data.get(&FirstScans::key(row.position)).map(|f| f.leaf_hash).unwrap_or_default();
    let erased = data.get(&ErasedExamples::key(row.position)).unwrap_or_default().erased;
    let review = HumanReview::try_from(policy.human_review).unwrap_or_default();
    let mut found = Vec::with_capacity(row.count as usize);
    for (index, commitment) in (0u32..).zip(&derived.commitments) {
        // Every scan counts here, whoever made it: a rescan may add findings, never clear one.
        let flagged = scans.iter().any(|s| bit(&s.flagged, index));
        let decision = latest(&reviews, index);
        let wanted = match review {
            HumanReview::Flagged => flagged,
            HumanReview::Sample => flagged || drawn(&first_scan, index, policy.sample_ppm),
            HumanReview::Every | HumanReview::Unspecified => true,
        };
        let verdict = decision.map(|(d, _)| ReviewVerdict::try_from(d.verdict).unwrap_or_default());
        let status = match verdict {
            _ if bit(&erased, index) => ExampleStatus::Erased,
            Some(ReviewVerdict::Reject) => ExampleStatus::Rejected,
            _ if bit(&excluded, index) => ExampleStatus::Excluded,
            _ if !checked => ExampleStatus::Unchecked,
            Some(ReviewVerdict::Approve | ReviewVerdict::Redact) => ExampleStatus::Eligible,
            Some(ReviewVerdict::Unspecified) | None if wanted => ExampleStatus::AwaitingReview,
            Some(ReviewVerdict::Unspecified) | None => ExampleStatus::Eligible,
        };
        let redaction = decision.filter(|(d, _)| d.verdict == ReviewVerdict::Redact as i32);
        let (pack, commitment) = redaction.map_or_else(
            || (derived.pack.clone(), commitment.clone()),
            |(decision, review)| (review.pack.clone(), decision.redacted.clone()),
        );
        found.push(Example {
            batch: row.position,
            index,
            status,
            flagged,
            reviewed: decision.is_some(),
            pack,
            commitment,
            redacted: redaction.is_some(),
        });
    }
    found
}

/// The RFC 6962 root over the members' commitments.
pub fn members_root<'a>(members: impl Iterator<Item = &'a Example>) -> (Hash, u64) {
    let mut tree = crate::tree::Frontier::new();
    for member in members {
        tree.push(leaf_hash(&[&member.commitment]));
    }
    (tree.root(), tree.size())
}

/// Whether every required detector and checker has reported, by a signer who still counts.
fn required(judge: &View<'_>, policy: &Policy, batch: u64, data: &View<'_>) -> bool {
    let scanned = policy.detectors.iter().all(|d| {
        let scan: Option<ScanRow> = data.get(&Scans::key(batch, &d.name, &d.version));
        scan.and_then(|s| s.signer).is_some_and(|s| counts(judge, policy, &s, Kind::ExamplesScanned))
    });
    scanned
        && policy.checkers.iter().all(|c| {
            let check: Option<CheckRow> = data.get(&Checks::key(batch, &c.name, &c.version));
            check.and_then(|c| c.signer).is_some_and(|s| counts(judge, policy, &s, Kind::ExamplesChecked))
        })
}

fn exclusions(judge: &View<'_>, policy: &Policy, batch: u64, data: &View<'_>) -> Vec<u8> {
    let mut all = Vec::new();
    for checker in &policy.checkers {
        let Some(check) = data.get(&Checks::key(batch, &checker.name, &checker.version)) else { continue };
        if !check.signer.as_ref().is_some_and(|s| counts(judge, policy, s, Kind::ExamplesChecked)) {
            continue;
        }
        all.resize(all.len().max(check.excluded.len()), 0);
        all.iter_mut().zip(&check.excluded).for_each(|(all, one)| *all |= one);
    }
    all
}

fn counted_reviews(judge: &View<'_>, policy: &Policy, reviews: Vec<ReviewRow>) -> Vec<ReviewRow> {
    let counts = |r: &ReviewRow| r.signer.as_ref().is_some_and(|s| counts(judge, policy, s, Kind::ExamplesReviewed));
    reviews.into_iter().filter(counts).collect()
}

/// The newest decision on an example that was not set aside.
pub fn latest(reviews: &[ReviewRow], index: u32) -> Option<(&Decision, &ReviewRow)> {
    reviews.iter().rev().filter(|r| !r.reopened.contains(&index)).find_map(|review| {
        let decision = review.decisions.iter().find(|d| d.index == index)?;
        Some((decision, review))
    })
}

/// Whether an example was drawn into the sample: once and for ever, from the leaf hash of its first scan.
fn drawn(first_scan: &[u8], index: u32, sample_ppm: u32) -> bool {
    let hash = Sha256::new().chain_update(first_scan).chain_update(index.to_be_bytes()).finalize();
    let (head, _) = hash.split_at(8);
    let number = head.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    number % 1_000_000 < u64::from(sample_ppm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_about_its_share_and_grows_with_it() {
        let count = |ppm| (0..10_000).filter(|i| drawn(&[9; 32], *i, ppm)).count();
        assert_eq!(count(0), 0);
        assert_eq!(count(1_000_000), 10_000);
        assert!((900..1100).contains(&count(100_000)), "{}", count(100_000));
        assert!((0..1000).all(|i| !drawn(&[9; 32], i, 100_000) || drawn(&[9; 32], i, 200_000)));
    }
}
