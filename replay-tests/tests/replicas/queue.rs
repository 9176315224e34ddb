//! The queue for review: what is known from one question to the next says what is found anew, its pages are the whole, and
//! a page costs the same however much waits.

use crate::held::{options, store, write};
use crate::paged::{asking, pages, review_is_kept};
use attestune_ledger::log::Embedded;
use attestune_ledger::query::{self, ReviewBacklog, review_place};
use attestune_ledger::replica::{Replica, StoreView};
use attestune_proto::v1::{
    ExampleRef, ExampleStatus, ListExamplesRequest, ReviewItem, ReviewPlace, ReviewQueueView, ReviewReopened,
    ReviewRules, ReviewVerdict, event::Body,
};
use attestune_replay_tests::*;
use std::collections::BTreeSet;
use std::sync::Arc;

const COUNT: u8 = 5;
const CLAIM_MS: u64 = 60_000;

fn replica_of(world: &World) -> (tempfile::TempDir, Arc<Replica>) {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    write(&store, world, 0..world.log.len());
    let log = Embedded::open(store.clone(), Arc::new(|| 0)).unwrap();
    let replica = Replica::open(store, Arc::new(log), options(world, world.log.len())).unwrap();
    (folder, replica)
}

/// Batches of five examples, of each of which the last four wait.
fn batches(world: &mut World, count: usize) -> Vec<u64> {
    let made = (0..count).map(|number| {
        let collection = ["tickets", "letters"][number % 2];
        let documents = world.must("sten", ingested(collection, COUNT));
        let batch = world.must("sten", derived(documents, COUNT));
        world.must("scanner", scanned(batch, &[1, 2, 3, 4]));
        world.must("checker", checked(batch));
        batch
    });
    made.collect()
}

fn waiting(world: &World, at: &StoreView) -> BTreeSet<(u64, u32)> {
    assert!(world.next() >= at.size());
    let of = |collection: &str| {
        let request = ListExamplesRequest {
            collection: collection.into(),
            awaiting_review: true,
            ..ListExamplesRequest::default()
        };
        query::list_examples(at, &request).unwrap().examples
    };
    let examples = [of("tickets"), of("letters")].concat();
    assert!(examples.iter().all(|e| e.status() == ExampleStatus::AwaitingReview));
    examples.iter().filter_map(|e| e.example).map(|ExampleRef { batch, index }| (batch, index)).collect()
}

/// People claim, assign, decide and reopen at random.
fn people_review(world: &mut World, batches: &[u64], acts: usize, chance: &mut Chance) {
    for _ in 0..acts {
        let who = ["rita", "rolf"][chance.below(2) as usize];
        let batch = batches[chance.below(batches.len() as u64) as usize];
        let index = 1 + chance.below(4) as u32;
        world.now_ms += chance.below(5_000);
        let due_ms = world.now_ms + chance.below(60_000);
        // What the rules refuse is part of the log as well.
        match chance.below(6) {
            0 => world.act("otto", assigned(batch, &[index], who, due_ms)),
            1 => world.act(who, Body::ReviewReopened(ReviewReopened { batch, indices: vec![index] })),
            2 | 3 => world.act(who, claimed(batch, &[index], who)),
            _ => world.act(who, reviewed(batch, index, ReviewVerdict::Approve)),
        };
    }
}

#[test]
fn pages_are_the_whole_in_order_and_all_that_waits_is_in_it() {
    for (seed, due_ms) in [(1, 0), (2, 40_000), (3, 200_000)] {
        let mut world = World::new();
        let rules = ReviewRules { second_review_ppm: 400_000, claim_ms: CLAIM_MS, due_ms, ..ReviewRules::default() };
        world.must_by(&["ada", "omar"], reviewing(rules));
        let batches = batches(&mut world, 12);
        people_review(&mut world, &batches, 60, &mut Chance::new(seed));
        let (_folder, replica) = replica_of(&world);
        let at = replica.view();
        review_is_kept(&replica, at.size(), 6);
        let mut backlog = ReviewBacklog::default();
        for who in ["rita", "rolf", "alma", "sten"] {
            let now_ms = world.now_ms;
            let (all, total) = pages(&mut backlog, &at, (ReviewQueueView::All, who), now_ms);
            let places: Vec<_> = all.iter().map(|item| item.example.as_ref().unwrap().example.unwrap()).collect();
            let found: BTreeSet<_> = places.iter().map(|at| (at.batch, at.index)).collect();
            assert_eq!((found, places.len() as u64), (waiting(&world, &at), total), "each once");
            let urgency = |item: &ReviewItem| {
                let place = review_place(item, who, 0, 0);
                let due_ms = if place.due_ms == 0 { u64::MAX } else { place.due_ms };
                (!place.claimed, !place.overdue, !place.assigned, due_ms, place.waiting_since_ms, place.batch)
            };
            assert!(all.windows(2).all(|two| urgency(&two[0]) <= urgency(&two[1])), "the most urgent first");
            let (next, _) = pages(&mut backlog, &at, (ReviewQueueView::Next, who), now_ms);
            assert!(next.iter().all(|item| all.contains(item)));
            assert_eq!(next.is_empty(), who == "sten", "who made them reviews none");
        }
    }
}

#[test]
fn a_page_reads_as_many_batches_however_many_wait_and_are_done() {
    let cost = |count: usize| {
        let mut world = World::new();
        let batches = batches(&mut world, count);
        // The oldest half is done.
        for batch in &batches[..count / 2] {
            (1..5).for_each(|index| _ = world.must("rita", reviewed(*batch, index, ReviewVerdict::Approve)));
        }
        let (_folder, replica) = replica_of(&world);
        let at = replica.view();
        let mut backlog = ReviewBacklog::default();
        let mut read = 0;
        let mut page = |after: Option<ReviewPlace>| {
            let page = backlog.queue(&at, &asking(ReviewQueueView::Next, "", 6, after), "rolf", world.now_ms).unwrap();
            let before = std::mem::replace(&mut read, backlog.batches_read());
            assert_eq!((page.items.len(), page.total), (6, 4 * (count - count / 2) as u64));
            (page.next, read - before)
        };
        let (second, first_time) = page(None);
        assert!(first_time >= count as u64, "the first question looks at all");
        [page(None), page(second)].map(|(_, read)| read)
    };
    let few = cost(8);
    assert_eq!(few, [2, 2], "four of a batch wait, and six are asked for");
    assert_eq!(cost(80), few);
}
