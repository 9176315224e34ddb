//! People decide, claim and reopen at random, beside a model that knows nothing of the rules: it keeps lists of who said
//! what, and says of each act whether the rules must take it, and of each example how it must stand.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

use attestune_ledger::rules::eligibility::examples;
use attestune_ledger::rules::policy::in_force;
use attestune_ledger::state::View;
use attestune_proto::v1::{
    ActorKind, ExampleStatus, ReviewReason, ReviewReopened, ReviewRules, ReviewVerdict, Role, event::Body,
};
use attestune_replay_tests::*;
use sha2::{Digest as _, Sha256};

const COUNT: u32 = 6;
const CLAIM_MS: u64 = 20_000;
const SECOND_PPM: u32 = 500_000;
const REVIEWERS: [&str; 4] = ["rita", "rolf", "rosa", "sten"];
const VERDICTS: [ReviewVerdict; 3] = [ReviewVerdict::Approve, ReviewVerdict::Reject, ReviewVerdict::Redact];

/// What one person said of an example.
#[derive(Clone)]
struct Said {
    by: &'static str,
    verdict: ReviewVerdict,
    hidden: Vec<(u32, u32)>,
}

#[derive(Clone, Default)]
struct Example {
    said: Vec<Said>,
    twice: bool,
    claim: Option<(&'static str, u64)>,
    assigned: Option<(&'static str, u64)>,
}

impl Example {
    /// What stands, if it is decided.
    fn decided(&self) -> Option<ReviewVerdict> {
        let last = self.said.last()?;
        let agree = || {
            let (first, second) = (&self.said[0], &self.said[1]);
            first.verdict == second.verdict && first.hidden == second.hidden
        };
        let enough = !self.twice || self.said.len() > 2 || (self.said.len() == 2 && agree());
        enough.then_some(last.verdict)
    }

    fn status(&self) -> ExampleStatus {
        match self.decided() {
            None => ExampleStatus::AwaitingReview,
            Some(ReviewVerdict::Reject) => ExampleStatus::Rejected,
            Some(_) => ExampleStatus::Eligible,
        }
    }

    /// The code with which a decision, or a claim up to here, must be refused; empty for none.
    fn closed_to(&self, who: &str) -> &'static str {
        match () {
            () if self.decided().is_some() => "reviewed-before",
            () if self.said.iter().any(|said| said.by == who) => "another-reviewer-needed",
            () => "",
        }
    }

    fn claim_by(&self, who: &str, now_ms: u64) -> &'static str {
        let closed = self.closed_to(who);
        match () {
            () if !closed.is_empty() => closed,
            () if self.claim.is_some_and(|(by, until)| by != who && now_ms <= until) => "lease-held",
            () if self.assigned.is_some_and(|(to, due)| to != who && now_ms <= due) => "assigned-to-another",
            () => "",
        }
    }
}

/// Drawn as the manual says: the first eight bytes of a hash, of the first scan's leaf and the index, in the share.
fn drawn(leaf: &[u8], index: u32) -> bool {
    let hash = Sha256::new().chain_update(leaf).chain_update(index.to_be_bytes()).chain_update("second review");
    let number = u64::from_be_bytes(hash.finalize()[..8].try_into().unwrap());
    number % 1_000_000 < u64::from(SECOND_PPM)
}

fn live(seed: u64) -> u32 {
    let mut chance = Chance::new(seed);
    let mut world = World::new();
    world.cast("rosa", ActorKind::Person, Role::Reviewer);
    world.must("ada", grant("sten", Role::Reviewer));
    let rules = ReviewRules { second_review_ppm: SECOND_PPM, claim_ms: CLAIM_MS, ..Default::default() };
    world.must_by(&["ada", "omar"], reviewing(rules));
    // Whoever made the examples decides on none of them: that is somebody else here.
    world.cast("stella", ActorKind::Person, Role::Steward);
    let documents = world.must("stella", ingested("tickets", COUNT as u8));
    let batch = world.must("stella", derived(documents, COUNT as u8));
    let scan = world.must("scanner", scanned(batch, &[0, 1, 2, 3, 4, 5]));
    world.must("checker", checked(batch));
    let leaf = world.folded[scan as usize].leaf_hash;
    let mut model: Vec<Example> =
        (0..COUNT).map(|index| Example { twice: drawn(&leaf.0, index), ..Example::default() }).collect();

    let mut thirds = 0;
    for step in 0..120 {
        let who = REVIEWERS[chance.below(4) as usize];
        let index = chance.below(u64::from(COUNT)) as u32;
        let example = &mut model[index as usize];
        world.now_ms += chance.below(15_000);
        let now_ms = world.now_ms + 1000; // at which the next entry is taken in
        let (expected, folded) = match chance.below(8) {
            0 => {
                let expected = if example.said.is_empty() { "not-reviewed" } else { "" };
                example.said.clear();
                let reopen = ReviewReopened { batch, indices: vec![index] };
                (expected, world.act(who, Body::ReviewReopened(reopen)))
            }
            1 | 2 => {
                let expected = example.claim_by(who, now_ms);
                if expected.is_empty() {
                    example.claim = Some((who, now_ms + CLAIM_MS));
                }
                (expected, world.act(who, claimed(batch, &[index], who)))
            }
            3 => {
                let due_ms = now_ms + chance.below(30_000);
                (example.assigned, example.claim) = (Some((who, due_ms)), None);
                ("", world.act("otto", assigned(batch, &[index], who, due_ms)))
            }
            _ => {
                let verdict = VERDICTS[chance.below(3) as usize];
                let hidden = match verdict {
                    ReviewVerdict::Redact => vec![(3, 9 + chance.below(2) as u32)],
                    _ => Vec::new(),
                };
                let expected = example.closed_to(who);
                if expected.is_empty() {
                    example.said.push(Said { by: who, verdict, hidden: hidden.clone() });
                    thirds += u32::from(example.said.len() == 3);
                }
                (expected, world.act(who, decided(batch, index, verdict, ReviewReason::PersonalData, &hidden)))
            }
        };
        assert_eq!(folded.code(), expected, "seed {seed}, step {step}, {who} on {index}");
        let view = View::new(&world.state, world.next());
        let found = examples(&view, &view, &in_force(&view), &["tickets".into()]);
        for (found, example) in found.iter().zip(&model) {
            assert_eq!(found.status, example.status(), "seed {seed}, step {step}, example {}", found.index);
            let redacted = example.decided() == Some(ReviewVerdict::Redact);
            assert_eq!(found.redacted, redacted, "seed {seed}, step {step}, example {}", found.index);
            assert_eq!(found.decisions as usize, example.said.len());
        }
    }
    thirds
}

#[test]
fn whatever_people_do_the_rules_take_what_they_must_and_every_example_stands_as_it_must() {
    let thirds: u32 = (0..24).map(live).sum();
    assert!(thirds > 20, "two disagreed only {thirds} times, so this says little");
}
