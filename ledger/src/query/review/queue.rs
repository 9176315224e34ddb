//! The queue: what waits for whom, the most urgent first, and how much that is.

use super::backlog::{ReviewBacklog, Waiting};
use super::{Batch, Desk, actor};
use crate::query::{QueryError, answer, reckoned_from};
use crate::replica::StoreView;
use crate::rules::claims::{self, Held};
use crate::rules::eligibility::{Example, Standing};
use attestune_proto::v1::{
    ExampleInfo, ExampleRef, ExampleStatus, HumanReview, ReviewCounts, ReviewItem, ReviewPlace, ReviewQueueRequest,
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
    ReviewBacklog::default().queue(at, request, asker, now_ms)
}

/// The place in the queue that an item has for whoever asked, to go on from there.
pub fn review_place(item: &ReviewItem, asker: &str, now_ms: u64, total: u64) -> ReviewPlace {
    let at = item.example.as_ref().and_then(|e| e.example).unwrap_or_default();
    ReviewPlace {
        now_ms,
        total,
        claimed: item.claimed_by == asker,
        overdue: item.overdue,
        assigned: item.assigned_to == asker,
        due_ms: item.due_ms,
        waiting_since_ms: item.waiting_since_ms,
        batch: at.batch,
        index: at.index,
    }
}

impl ReviewBacklog {
    /// What waits for review, as [`review_queue`], from what is known of it. An answer costs as much as it names and as
    /// is claimed or assigned, whatever else waits. It goes on after the place that the request names, by the clock of
    /// the first answer.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn queue(
        &mut self,
        at: &StoreView,
        request: &ReviewQueueRequest,
        asker: &str,
        now_ms: u64,
    ) -> Result<ReviewQueueResponse, QueryError> {
        let view = at.view();
        let now_ms = request.after.as_ref().map_or(now_ms, |place| place.now_ms);
        let desk = Desk::new(&view, now_ms);
        self.go_to(at, &desk)?;
        let limit = if request.limit == 0 { LIMIT } else { (request.limit as usize).min(LIMIT_MAX) };
        let held = self.held_items(&desk, request, asker);
        let total = request
            .after
            .as_ref()
            .map_or_else(|| held.len() as u64 + self.free_total(&desk, request, asker), |place| place.total);
        let mut items = self.page(&desk, request, asker, limit, held);
        let next = (items.len() == limit).then(|| items.last().map(|item| review_place(item, asker, now_ms, total)));
        add_findings(&desk, &mut items);
        answer(&view, ReviewQueueResponse { items, total, rules: Some(desk.rules.clone()), next: next.flatten() })
    }

    /// The items of the batches that somebody has something of.
    fn held_items(&mut self, desk: &Desk<'_>, of: &ReviewQueueRequest, asker: &str) -> Vec<ReviewItem> {
        let fits = |waiting: &Waiting| of.collection.is_empty() || of.collection == waiting.collection;
        let held: Vec<u64> = self.held(desk.now_ms).filter(|(_, w)| fits(w)).map(|(batch, _)| batch).collect();
        let batches = held.into_iter().filter_map(|batch| self.batch(desk, batch));
        batches.flat_map(|batch| shown(desk, of, &batch, asker).collect::<Vec<_>>()).collect()
    }

    /// The most urgent items after the place that the request names: those that somebody has, and of the others as many
    /// as it takes.
    fn page(
        &mut self,
        desk: &Desk<'_>,
        of: &ReviewQueueRequest,
        asker: &str,
        limit: usize,
        mut items: Vec<ReviewItem>,
    ) -> Vec<ReviewItem> {
        let after = of.after.as_ref().map(urgency);
        let comes = |item: &ReviewItem| after.as_ref().is_none_or(|after| urgency_of(item, asker) > *after);
        items.retain(comes);
        let mut free = 0;
        let mut from = start(desk, of.after.as_ref());
        while free < limit
            && let Some((batch, place)) = self.next_free(desk, of, asker, from)
        {
            from = place;
            let Some(batch) = self.batch(desk, batch) else { continue };
            let before = items.len();
            items.extend(shown(desk, of, &batch, asker).filter(comes));
            free += items.len() - before;
        }
        items.sort_by_key(|item| urgency_of(item, asker));
        items.truncate(limit);
        items
    }

    /// The first batch from a place on that has something to show and that nobody has anything of, and the place after it.
    fn next_free(
        &self,
        desk: &Desk<'_>,
        of: &ReviewQueueRequest,
        asker: &str,
        from: (u64, u64),
    ) -> Option<(u64, (u64, u64))> {
        let mut free = self.free(&of.collection, from, desk.now_ms);
        let (batch, waiting) = free.find(|(_, waiting)| free_items(desk, of.view(), waiting, asker) > 0)?;
        Some((batch, (waiting.ready_ms, batch + 1)))
    }

    /// How many items the other batches have.
    fn free_total(&self, desk: &Desk<'_>, of: &ReviewQueueRequest, asker: &str) -> u64 {
        let free = self.free(&of.collection, (0, 0), desk.now_ms);
        free.map(|(_, waiting)| free_items(desk, of.view(), waiting, asker)).sum()
    }
}

/// Where to look for what nobody has and comes after a place: at the beginning, unless the place itself is such.
fn start(desk: &Desk<'_>, after: Option<&ReviewPlace>) -> (u64, u64) {
    let Some(place) = after else { return (0, 0) };
    let free = !place.claimed && !place.assigned && place.due_ms == desk.free_due_ms(place.waiting_since_ms);
    if free { (place.waiting_since_ms, place.batch) } else { (0, 0) }
}

/// How many items a batch has in a view, that nobody has anything of.
fn free_items(desk: &Desk<'_>, view: ReviewQueueView, waiting: &Waiting, asker: &str) -> u64 {
    let due_ms = desk.free_due_ms(waiting.ready_ms);
    match view {
        ReviewQueueView::All => waiting.examples,
        ReviewQueueView::Overdue if due_ms != 0 && desk.now_ms > due_ms => waiting.examples,
        ReviewQueueView::Overdue | ReviewQueueView::Claimed => 0,
        ReviewQueueView::Next | ReviewQueueView::Unspecified => waiting.open_to(asker),
    }
}

/// The items of a batch in what was asked for.
fn shown<'b>(
    desk: &'b Desk<'_>,
    of: &ReviewQueueRequest,
    batch: &'b Batch,
    asker: &'b str,
) -> impl Iterator<Item = ReviewItem> {
    let view = of.view();
    let waiting = batch.examples.iter().filter(|e| e.status == ExampleStatus::AwaitingReview);
    waiting.filter(move |e| shows(desk, view, batch, e, asker)).map(move |e| item(desk, batch, e))
}

/// What each scan found in the items.
fn add_findings(desk: &Desk<'_>, items: &mut [ReviewItem]) {
    let mut found = BTreeMap::new();
    for item in items {
        let Some(example) = &mut item.example else { continue };
        let at = example.example.unwrap_or_default();
        let scans = found.entry(at.batch).or_insert_with(|| desk.scans(at.batch));
        item.scans = scans.get(&at.index).cloned().unwrap_or_default();
        for scan in &item.scans {
            for span in &scan.spans {
                if scan.noted.contains(&span.entity) {
                    example.noted.push(example.findings.len() as u32);
                }
                example.findings.push(span.clone());
            }
        }
    }
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

type Urgency = (Reverse<bool>, Reverse<bool>, Reverse<bool>, u64, u64, u64, u32);

/// One's own claims first, then what is late, then what is assigned to one, then by when it is due, and how long it waits.
fn urgency(place: &ReviewPlace) -> Urgency {
    let due_ms = if place.due_ms == 0 { u64::MAX } else { place.due_ms };
    (
        Reverse(place.claimed),
        Reverse(place.overdue),
        Reverse(place.assigned),
        due_ms,
        place.waiting_since_ms,
        place.batch,
        place.index,
    )
}

fn urgency_of(item: &ReviewItem, asker: &str) -> Urgency {
    urgency(&review_place(item, asker, 0, 0))
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
            noted: Vec::new(),
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
