//! Which examples may enter a dataset, and why the others may not.
//!
//! An example is eligible once scanned by every required detector at its version, checked by every required checker,
//! and reviewed as the policy asks. A missing scan is never a pass. What counts, counts only while its signer's key is
//! unrevoked and the role still held.

use super::{counts, data::bit};
use crate::state::{Checks, CollectionBatches, ErasedExamples, Examples, FirstScans, Reviews, Scans, View};
use crate::tree::{Hash, leaf_hash};
use attestune_proto::v1::{
    CheckRow, Decision, ExampleStatus, ExamplesRow, Finding, HumanReview, Kind, Policy, ReviewRow, ReviewVerdict,
    ScanRow, event::Body,
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
    /// It was drawn into the policy's sample.
    pub sampled: bool,
    /// It is decided, and that counts.
    pub reviewed: bool,
    /// How many people have decided on it, of those whose word counts.
    pub decisions: u32,
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
    let reviewed = Reviewed::counting(data, judge, policy, row.position);
    let erased = data.get(&ErasedExamples::key(row.position)).unwrap_or_default().erased;
    let review = HumanReview::try_from(policy.human_review).unwrap_or_default();
    let mut found = Vec::with_capacity(row.count as usize);
    for (index, commitment) in (0u32..).zip(&derived.commitments) {
        // Every scan counts here, whoever made it: a rescan may add findings, never clear one.
        let flagged = scans.iter().any(|s| bit(&s.flagged, index));
        let given = reviewed.given(index);
        let decision = match reviewed.standing(index) {
            Standing::Decided(decision, review) => Some((decision, review)),
            Standing::Open | Standing::Halfway => None,
        };
        let sampled = review == HumanReview::Sample && drawn(b"", &reviewed.first_scan, index, policy.sample_ppm);
        let wanted = match review {
            HumanReview::Flagged | HumanReview::Sample => flagged || sampled,
            HumanReview::Every | HumanReview::Unspecified => true,
        };
        let verdict = decision.map(|(d, _)| ReviewVerdict::try_from(d.verdict).unwrap_or_default());
        let status = match verdict {
            _ if bit(&erased, index) => ExampleStatus::Erased,
            Some(ReviewVerdict::Reject) => ExampleStatus::Rejected,
            _ if bit(&excluded, index) => ExampleStatus::Excluded,
            _ if !checked => ExampleStatus::Unchecked,
            Some(ReviewVerdict::Approve | ReviewVerdict::Redact) => ExampleStatus::Eligible,
            // Whoever decided unasked is not passed over where another person must look, too.
            Some(ReviewVerdict::Unspecified) | None if wanted || !given.is_empty() => ExampleStatus::AwaitingReview,
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
            sampled,
            reviewed: decision.is_some(),
            decisions: given.len() as u32,
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

/// A decision with the act that it is part of.
pub type Given<'r> = (&'r Decision, &'r ReviewRow);

/// What people have made of an example.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Standing<'r> {
    /// Nobody has decided.
    Open,
    /// Another person must decide, too: a second one, or a third where two disagree.
    Halfway,
    /// This stands.
    Decided(&'r Decision, &'r ReviewRow),
}

/// What people have made of the examples of a batch.
pub struct Reviewed {
    reviews: Vec<ReviewRow>,
    first_scan: Vec<u8>,
    second_ppm: u32,
}

impl Reviewed {
    /// All of it, also what a revoked key signed.
    pub fn all(view: &View<'_>, policy: &Policy, batch: u64) -> Self {
        let second_ppm = policy.review.as_ref().map_or(0, |rules| rules.second_review_ppm);
        let first_scan = if second_ppm == 0 { None } else { view.get(&FirstScans::key(batch)) };
        let first_scan = first_scan.map(|f| f.leaf_hash).unwrap_or_default();
        Self { reviews: view.scan(&Reviews::under(batch)), first_scan, second_ppm }
    }

    /// What counts, judged by the policy, keys and roles of `judge`.
    pub fn counting(data: &View<'_>, judge: &View<'_>, policy: &Policy, batch: u64) -> Self {
        let counts =
            |r: &ReviewRow| r.signer.as_ref().is_some_and(|s| counts(judge, policy, s, Kind::ExamplesReviewed));
        let mut reviewed = Self::all(data, policy, batch);
        reviewed.reviews.retain(counts);
        reviewed.first_scan = data.get(&FirstScans::key(batch)).map(|f| f.leaf_hash).unwrap_or_default();
        reviewed
    }

    /// The decisions on an example that were not set aside, in order.
    pub fn given(&self, index: u32) -> Vec<Given<'_>> {
        given(&self.reviews, index)
    }

    /// How an example stands.
    pub fn standing(&self, index: u32) -> Standing<'_> {
        standing(&self.given(index), second_review(&self.first_scan, index, self.second_ppm))
    }
}

fn given(reviews: &[ReviewRow], index: u32) -> Vec<Given<'_>> {
    let standing = reviews.iter().filter(|r| !r.reopened.contains(&index));
    standing.filter_map(|r| Some((r.decisions.iter().find(|d| d.index == index)?, r))).collect()
}

/// How an example stands, of which `twice` says whether two persons must decide on it.
fn standing<'r>(given: &[Given<'r>], twice: bool) -> Standing<'r> {
    match given {
        [] => Standing::Open,
        [_] if twice => Standing::Halfway,
        [(first, _), (second, _)] if twice && !agree(first, second) => Standing::Halfway,
        [.., last] => Standing::Decided(last.0, last.1),
    }
}

/// Whether two people decided the same: one verdict and, where they redact, the same characters hidden.
fn agree(one: &Decision, other: &Decision) -> bool {
    one.verdict == other.verdict && covered(&one.hidden) == covered(&other.hidden)
}

/// The characters that spans cover, as intervals apart from one another, ascending; of spans that ascend by start.
fn covered(spans: &[Finding]) -> Vec<(u32, u32)> {
    let mut intervals: Vec<(u32, u32)> = Vec::new();
    for span in spans {
        match intervals.last_mut() {
            Some((_, end)) if span.start <= *end => *end = span.end.max(*end),
            _ => intervals.push((span.start, span.end)),
        }
    }
    intervals
}

/// Whether an example was drawn to be decided on by two persons. Before its first scan none is.
fn second_review(first_scan: &[u8], index: u32, ppm: u32) -> bool {
    !first_scan.is_empty() && drawn(b"second review", first_scan, index, ppm)
}

/// Whether an example was drawn into a sample: once and for ever, from the leaf hash of its first scan. Samples of
/// different names are drawn apart from each other.
fn drawn(sample: &[u8], first_scan: &[u8], index: u32, ppm: u32) -> bool {
    let hash = Sha256::new().chain_update(first_scan).chain_update(index.to_be_bytes()).chain_update(sample).finalize();
    let (head, _) = hash.split_at(8);
    let number = head.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    number % 1_000_000 < u64::from(ppm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_about_its_share_and_grows_with_it() {
        let count = |ppm| (0..10_000).filter(|i| drawn(b"", &[9; 32], *i, ppm)).count();
        assert_eq!(count(0), 0);
        assert_eq!(count(1_000_000), 10_000);
        assert!((900..1100).contains(&count(100_000)), "{}", count(100_000));
        assert!((0..1000).all(|i| !drawn(b"", &[9; 32], i, 100_000) || drawn(b"", &[9; 32], i, 200_000)));
    }

    #[test]
    fn the_sample_for_a_second_review_is_another_than_the_first_ones() {
        let first = |i| drawn(b"", &[9; 32], i, 500_000);
        let both = (0..10_000).filter(|i| first(*i) && second_review(&[9; 32], *i, 500_000)).count();
        assert!((2300..2700).contains(&both), "{both}");
        assert!(!second_review(&[], 1, 1_000_000), "nothing is drawn before the first scan");
    }

    fn decided(verdict: ReviewVerdict, hidden: &[(u32, u32)]) -> ReviewRow {
        let hidden = hidden.iter().map(|(start, end)| Finding { start: *start, end: *end, ..Default::default() });
        let decision = Decision { index: 3, verdict: verdict as i32, hidden: hidden.collect(), ..Default::default() };
        ReviewRow { decisions: vec![decision], ..Default::default() }
    }

    fn verdict(reviews: &[ReviewRow], twice: bool) -> Option<i32> {
        match standing(&given(reviews, 3), twice) {
            Standing::Decided(decision, _) => Some(decision.verdict),
            Standing::Open | Standing::Halfway => None,
        }
    }

    #[test]
    fn two_who_agree_decide_and_a_third_does_where_they_do_not() {
        use ReviewVerdict::{Approve, Redact, Reject};
        let [approve, reject] = [Approve, Reject].map(|verdict| decided(verdict, &[]));
        assert_eq!(verdict(&[], true), None);
        assert_eq!(verdict(std::slice::from_ref(&approve), false), Some(Approve as i32));
        assert_eq!(verdict(std::slice::from_ref(&approve), true), None);
        assert_eq!(verdict(&[approve.clone(), approve.clone()], true), Some(Approve as i32));
        assert_eq!(verdict(&[approve.clone(), reject.clone()], true), None);
        assert_eq!(verdict(&[approve.clone(), reject.clone(), approve.clone()], true), Some(Approve as i32));
        assert_eq!(verdict(&[approve.clone(), reject.clone(), decided(Redact, &[])], true), Some(Redact as i32));
        let set_aside = ReviewRow { reopened: vec![3], ..reject };
        assert_eq!(verdict(&[approve, set_aside], true), None);
    }

    #[test]
    fn who_hides_other_characters_disagrees() {
        let redact = |hidden: &[(u32, u32)]| decided(ReviewVerdict::Redact, hidden);
        let same = [redact(&[(0, 4), (2, 6), (9, 12)]), redact(&[(0, 6), (9, 12)])];
        assert_eq!(verdict(&same, true), Some(ReviewVerdict::Redact as i32));
        assert_eq!(verdict(&[redact(&[(0, 6)]), redact(&[(0, 6), (9, 12)])], true), None);
    }
}
