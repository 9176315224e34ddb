//! The queue: what waits for whom, the most urgent first, and how much that is.

use super::{Batch, Desk, actor};
use crate::query::{QueryError, answer, reckoned_from};
use crate::replica::StoreView;
use crate::rules::claims::{self, Held};
use crate::rules::eligibility::{Example, Standing};
use attestune_proto::v1::{
    ExampleInfo, ExampleRef, ExampleStatus, HumanReview, ReviewCounts, ReviewItem, ReviewQueueRequest,
    ReviewQueueResponse, ReviewQueueView, ReviewWhy, ReviewerLoad, Sealed,
};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Items of an answer where the request names no limit.
const LIMIT: usize = 20;
/// Most items of one answer: as many as one recorded read may name.
const LIMIT_MAX: usize = 512;

/// What waits for review: for one who asks, or all of it. `now_ms` is the asker's clock.
///
/// # Errors
/// If the state can't be read.
pub fn review_queue(
    at: &StoreView,
    request: &ReviewQueueRequest,
    asker: &str,
    now_ms: u64,
) -> Result<ReviewQueueResponse, QueryError> {
    let view = at.view();
    let desk = Desk::new(&view, now_ms);
    let mut waiting: Vec<ReviewItem> = Vec::new();
    for batch in desk.batches(&request.collection) {
        let items = batch.examples.iter().filter(|e| e.status == ExampleStatus::AwaitingReview);
        let items = items.filter(|e| shows(&desk, request.view(), &batch, e, asker));
        waiting.extend(items.map(|e| item(&desk, &batch, e)));
    }
    waiting.sort_by_key(|item| urgency(item, asker));
    let total = waiting.len() as u64;
    let limit = if request.limit == 0 { LIMIT } else { (request.limit as usize).min(LIMIT_MAX) };
    waiting.truncate(limit);
    let mut found = BTreeMap::new();
    for item in &mut waiting {
        let Some(example) = &mut item.example else { continue };
        let at = example.example.unwrap_or_default();
        let scans = found.entry(at.batch).or_insert_with(|| desk.scans(at.batch));
        item.scans = scans.get(&at.index).cloned().unwrap_or_default();
        example.findings = item.scans.iter().flat_map(|s| s.spans.iter().cloned()).collect();
    }
    let rules = Some(desk.rules.clone());
    answer(&view, ReviewQueueResponse { items: waiting, total, rules })
}

/// Whether an example that waits belongs in what was asked for.
fn shows(desk: &Desk<'_>, of: ReviewQueueView, batch: &Batch, example: &Example, asker: &str) -> bool {
    let held = desk.held(batch, example.index);
    let claimed_by = held.claimed.map(|claim| claim.reviewer.as_str());
    match of {
        ReviewQueueView::All => true,
        ReviewQueueView::Overdue => late(desk, batch, &held),
        ReviewQueueView::Claimed => claimed_by == Some(asker),
        ReviewQueueView::Next | ReviewQueueView::Unspecified => {
            let others = held.assigned.is_some_and(|row| {
                row.reviewer != asker
                    && !claims::late(row, desk.now_ms)
                    && claims::may_review(desk.view, &desk.policy, &row.reviewer)
            });
            let mine = claimed_by.is_none_or(|who| who == asker);
            let made = batch.row.actor == asker || batch.row.ingested_by == asker;
            let open = claims::open_to(&batch.all, batch.row.position, example.index, asker).is_ok();
            mine && !others && !made && open
        }
    }
}

fn late(desk: &Desk<'_>, batch: &Batch, held: &Held<'_>) -> bool {
    let due_ms = desk.due_ms(batch, held);
    due_ms != 0 && desk.now_ms > due_ms
}

/// One's own claims first, then what is late, then what is assigned to one, then by when it is due, and how long it waits.
fn urgency(item: &ReviewItem, asker: &str) -> (Reverse<bool>, Reverse<bool>, Reverse<bool>, u64, u64, u64, u32) {
    let due_ms = if item.due_ms == 0 { u64::MAX } else { item.due_ms };
    let at = item.example.as_ref().and_then(|e| e.example).unwrap_or_default();
    (
        Reverse(item.claimed_by == asker),
        Reverse(item.overdue),
        Reverse(item.assigned_to == asker),
        due_ms,
        item.waiting_since_ms,
        at.batch,
        at.index,
    )
}

fn item(desk: &Desk<'_>, batch: &Batch, example: &Example) -> ReviewItem {
    let held = desk.held(batch, example.index);
    let reviewer =
        |row: Option<&attestune_proto::v1::AssignmentRow>| row.map_or("", |r| r.reviewer.as_str()).to_owned();
    let decided = matches!(batch.all.standing(example.index), Standing::Decided(..));
    ReviewItem {
        example: Some(ExampleInfo {
            example: Some(ExampleRef { batch: example.batch, index: example.index }),
            status: example.status as i32,
            content: Some(Sealed { pack: example.pack.clone(), commitment: example.commitment.clone() }),
            findings: Vec::new(),
            redacted: example.redacted,
        }),
        collection: batch.row.collection.clone(),
        why: why(desk, example) as i32,
        round: example.decisions + 1,
        waiting_since_ms: batch.ready_ms,
        due_ms: desk.due_ms(batch, &held),
        overdue: late(desk, batch, &held),
        assigned_to: reviewer(held.assigned),
        claimed_by: reviewer(held.claimed),
        claim_expires_ms: held.claimed.map_or(0, |claim| claim.expires_ms),
        scans: Vec::new(),
        text: Vec::new(),
        reopen_first: decided,
    }
}

fn why(desk: &Desk<'_>, example: &Example) -> ReviewWhy {
    match desk.policy.human_review() {
        HumanReview::Every | HumanReview::Unspecified => ReviewWhy::Every,
        _ if example.flagged => ReviewWhy::Flagged,
        HumanReview::Sample if example.sampled => ReviewWhy::Sampled,
        HumanReview::Sample | HumanReview::Flagged => ReviewWhy::Second,
    }
}

/// The backlog of a collection, or of all. `now_ms` is the asker's clock.
///
/// # Errors
/// If the state can't be read.
pub fn review_counts(at: &StoreView, collection: &str, now_ms: u64) -> Result<ReviewCounts, QueryError> {
    let view = at.view();
    let desk = Desk::new(&view, reckoned_from(&view, now_ms));
    let mut counter = Counter::default();
    desk.batches(collection).for_each(|batch| counter.take_in(&desk, &batch));
    answer(&view, counter.counts())
}

/// Counts the backlog, batch by batch.
#[derive(Default)]
pub(super) struct Counter {
    counts: ReviewCounts,
    loads: BTreeMap<String, ReviewerLoad>,
}

impl Counter {
    pub(super) fn take_in(&mut self, desk: &Desk<'_>, batch: &Batch) {
        for example in &batch.examples {
            for (_, review) in batch.counting.given(example.index) {
                self.load(actor(review.signer.as_ref())).decided += 1;
            }
            self.counts.decided += u64::from(example.reviewed);
            self.counts.unchecked += u64::from(example.status == ExampleStatus::Unchecked);
            if example.status == ExampleStatus::AwaitingReview {
                self.waits(desk, batch, example);
            }
        }
    }

    pub(super) fn counts(mut self) -> ReviewCounts {
        self.counts.reviewers = self.loads.into_values().collect();
        self.counts
    }

    fn waits(&mut self, desk: &Desk<'_>, batch: &Batch, example: &Example) {
        let held = desk.held(batch, example.index);
        let late = late(desk, batch, &held);
        let counts = &mut self.counts;
        counts.waiting += 1;
        counts.overdue += u64::from(late);
        counts.second += u64::from(example.decisions == 1);
        counts.disputed += u64::from(example.decisions > 1);
        if counts.oldest_ms == 0 || batch.ready_ms < counts.oldest_ms {
            counts.oldest_ms = batch.ready_ms;
        }
        if let Some(claim) = held.claimed {
            counts.claimed += 1;
            self.load(&claim.reviewer).claimed += 1;
        }
        if let Some(assigned) = held.assigned {
            self.counts.assigned += 1;
            let load = self.load(&assigned.reviewer);
            load.assigned += 1;
            load.overdue += u64::from(late);
        }
    }

    fn load(&mut self, reviewer: &str) -> &mut ReviewerLoad {
        let new = || ReviewerLoad { reviewer: reviewer.into(), ..Default::default() };
        self.loads.entry(reviewer.into()).or_insert_with(new)
    }
}
