//! The queue for review, asked whole and page by page.

use crate::held::view;
use attestune_ledger::query::{self, ReviewBacklog};
use attestune_ledger::replica::{Replica, StoreView};
use attestune_proto::v1::{ReviewItem, ReviewPlace, ReviewQueueRequest, ReviewQueueView};

/// What of it can be asked for.
pub const VIEWS: [ReviewQueueView; 4] =
    [ReviewQueueView::Next, ReviewQueueView::Claimed, ReviewQueueView::All, ReviewQueueView::Overdue];

/// A question.
pub fn asking(view: ReviewQueueView, collection: &str, limit: u32, after: Option<ReviewPlace>) -> ReviewQueueRequest {
    ReviewQueueRequest { collection: collection.into(), view: view as i32, limit, after, ..Default::default() }
}

/// All pages of a question, joined; with what the first said of how many there are.
/// All of a queue, a page at a time, and its total.
pub fn pages(
    backlog: &mut ReviewBacklog,
    at: &StoreView,
    (of, who): (ReviewQueueView, &str),
    now_ms: u64,
) -> (Vec<ReviewItem>, u64) {
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let page = backlog.queue(at, &asking(of, "", 3, after), who, now_ms).unwrap();
        items.extend(page.items);
        after = page.next;
        if after.is_none() {
            return (items, page.total);
        }
        assert_eq!(after.unwrap().total, page.total);
    }
}

/// The queue kept over so many moments is what is found anew at each, whole and page by page.
///
/// # Panics
/// Where they differ.
pub fn review_is_kept(replica: &Replica, size: u64, moments: u64) {
    let mut kept = ReviewBacklog::default();
    for moment in 1..=moments {
        let then = view(replica, size * moment / moments);
        let fold_ms = then.view().fold_time(then.size().saturating_sub(1)).unwrap_or(0);
        for (who, now_ms) in [("rita", fold_ms), ("rolf", fold_ms + 100_000)] {
            for of in VIEWS {
                let request = asking(of, "", 512, None);
                let anew = query::review_queue(&then, &request, who, now_ms).unwrap();
                assert_eq!(kept.queue(&then, &request, who, now_ms).as_ref(), Ok(&anew), "{of:?} for {who}");
                let (items, total) = pages(&mut kept, &then, (of, who), now_ms);
                assert_eq!((items.len() as u64, total), (anew.total, anew.total), "{of:?} for {who}");
                assert!(items.iter().zip(&anew.items).all(|(one, other)| one == other), "{of:?} for {who}");
            }
        }
    }
}
