//! The service Review: who gets what, texts only once the read is on record, lateness by the asker's clock.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod world;

use attestune_proto::v1::{
    ActorKind, BatchReview, Decision, DocumentsIngested, ExampleFindings, ExamplesChecked, ExamplesDerived,
    ExamplesReviewed, ExamplesScanned, Finding, ReviewAssigned, ReviewCountsRequest, ReviewItem, ReviewQueueRequest,
    ReviewQueueView, ReviewReason, ReviewReportRequest, ReviewVerdict, ReviewWhy, Role, SealRequest, Tool,
    content_client::ContentClient, event::Body, review_client::ReviewClient,
};
use tonic::{Code, Status, transport::Channel};
use world::{World, now_ms, reason};

/// A world with a second reviewer and a batch of four examples, in two of which something was found; and its position.
async fn with_batch() -> (World, u64) {
    let world = World::new().await;
    world.cast("rolf", ActorKind::Person, Some(Role::Reviewer));
    world.cast("checker", ActorKind::Worker, Some(Role::Checker));
    let contents = (0..4).map(|n| format!("text {n}").into_bytes()).collect();
    let request = world.ask("sten", SealRequest { contents, collection: String::new(), subjects: Vec::new() });
    let sealed = ContentClient::new(world.channel.clone()).seal(request).await.unwrap().into_inner();
    let ingested = DocumentsIngested {
        collection: "tickets".into(),
        pack: sealed.pack.clone(),
        commitments: sealed.commitments.clone(),
    };
    let documents = world.must("sten", Body::DocumentsIngested(ingested));
    let derived = ExamplesDerived {
        documents,
        pack: sealed.pack,
        commitments: sealed.commitments,
        rows: (0..4).collect(),
        template: None,
    };
    let batch = world.must("sten", Body::ExamplesDerived(derived));
    let tool = |name: &str| Some(Tool { name: name.into(), version: "1".into() });
    let span = Finding { entity: "email".into(), start: 1, end: 4, score_ppm: 900_000 };
    let findings = [1, 3].map(|index| ExampleFindings { index, spans: vec![span.clone()] }).to_vec();
    let looked_for = vec!["email".into()];
    let scanned =
        ExamplesScanned { batch, detector: tool("pii"), looked_for, findings, coverage: None, languages: Vec::new() };
    world.must("scanner", Body::ExamplesScanned(scanned));
    world.must("checker", Body::ExamplesChecked(ExamplesChecked { batch, checker: tool("quality"), issues: vec![] }));
    (world, batch)
}

fn client(world: &World) -> ReviewClient<Channel> {
    ReviewClient::new(world.channel.clone())
}

async fn queue(world: &World, actor: &str, request: ReviewQueueRequest) -> Result<Vec<ReviewItem>, Status> {
    Ok(client(world).queue(world.ask(actor, request)).await?.into_inner().items)
}

fn of(view: ReviewQueueView) -> ReviewQueueRequest {
    ReviewQueueRequest { collection: "tickets".into(), view: view as i32, ..Default::default() }
}

fn indices(items: &[ReviewItem]) -> Vec<u32> {
    items.iter().map(|item| item.example.as_ref().unwrap().example.unwrap().index).collect()
}

fn assigned(batch: u64, indices: &[u32], reviewer: &str, due_ms: u64, claim: bool) -> Body {
    let (indices, reviewer) = (indices.to_vec(), reviewer.into());
    Body::ReviewAssigned(ReviewAssigned { batch, indices, reviewer, due_ms, claim })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_reviewer_has_claimed_is_not_given_to_another() {
    let (world, batch) = with_batch().await;
    let next = of(ReviewQueueView::Next);
    let items = queue(&world, "rita", next.clone()).await.unwrap();
    assert_eq!(indices(&items), [1, 3]);
    let item = &items[0];
    assert_eq!((item.why(), item.round, item.collection.as_str()), (ReviewWhy::Flagged, 1, "tickets"));
    assert_eq!((item.scans[0].detector.as_ref().unwrap().name.as_str(), item.scans[0].spans.len()), ("pii", 1));
    assert!(item.text.is_empty() && item.waiting_since_ms > 0 && !item.overdue);
    assert!(queue(&world, "sten", next.clone()).await.unwrap().is_empty(), "whoever derived them reviews none");

    world.must("rita", assigned(batch, &[1], "rita", 0, true));
    assert_eq!(indices(&queue(&world, "rita", of(ReviewQueueView::Claimed)).await.unwrap()), [1]);
    assert_eq!(indices(&queue(&world, "rolf", next.clone()).await.unwrap()), [3]);
    let all = queue(&world, "rolf", of(ReviewQueueView::All)).await.unwrap();
    let claimed: Vec<_> = all.iter().map(|item| item.claimed_by.as_str()).collect();
    assert_eq!((indices(&all), claimed), (vec![1, 3], vec!["rita", ""]));
    // A claim ends by the asker's clock, without an event.
    let later = ReviewQueueRequest { now_ms: all[0].claim_expires_ms + 1, ..next };
    assert_eq!(indices(&queue(&world, "rolf", later).await.unwrap()), [1, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_are_given_once_the_read_is_on_record_and_to_reviewers_only() {
    let (world, _) = with_batch().await;
    let texts = ReviewQueueRequest { texts: true, limit: 1, ..of(ReviewQueueView::Next) };
    let items = queue(&world, "rita", texts.clone()).await.unwrap();
    assert_eq!((indices(&items), items[0].text.as_slice()), (vec![1], &b"text 1"[..]));
    let Body::ContentAccessed(recorded) = world.last() else { panic!("{:?}", world.last()) };
    assert_eq!((recorded.reader.as_str(), recorded.commitments.len()), ("rita", 1));

    for (actor, texts) in [("ada", texts.clone()), ("paul", texts)] {
        let status = queue(&world, actor, texts).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "may-not-open"), "{actor}");
    }
    assert!(matches!(world.last(), Body::AccessDenied(_)));
    let status = queue(&world, "paul", of(ReviewQueueView::Next)).await.unwrap_err();
    assert_eq!(reason(&status), "no-role");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_goes_on_after_the_last_item_of_an_answer() {
    let (world, _) = with_batch().await;
    let ask = async |request: ReviewQueueRequest| client(&world).queue(world.ask("rita", request)).await.unwrap();
    let one = ReviewQueueRequest { limit: 1, ..of(ReviewQueueView::Next) };
    let first = ask(one.clone()).await.into_inner();
    assert_eq!((indices(&first.items), first.total, first.next.is_some()), (vec![1], 2, true));
    let second = ask(ReviewQueueRequest { after: first.next, ..one.clone() }).await.into_inner();
    assert_eq!((indices(&second.items), second.total), (vec![3], 2));
    let last = ask(ReviewQueueRequest { after: second.next, ..one }).await.into_inner();
    assert!(last.items.is_empty() && last.next.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_late_is_known_by_the_askers_clock_and_open_to_others() {
    let (world, batch) = with_batch().await;
    let due_ms = now_ms() + 60_000;
    world.must("sten", assigned(batch, &[3], "rolf", due_ms, false));
    let at = |view, now_ms| ReviewQueueRequest { now_ms, ..of(view) };
    assert_eq!(indices(&queue(&world, "rolf", of(ReviewQueueView::Next)).await.unwrap()), [3, 1], "what is due first");
    assert_eq!(indices(&queue(&world, "rita", of(ReviewQueueView::Next)).await.unwrap()), [1]);
    assert!(queue(&world, "sten", at(ReviewQueueView::Overdue, due_ms)).await.unwrap().is_empty());
    let late = queue(&world, "sten", at(ReviewQueueView::Overdue, due_ms + 1)).await.unwrap();
    assert_eq!((indices(&late), late[0].assigned_to.as_str(), late[0].overdue), (vec![3], "rolf", true));
    assert_eq!(indices(&queue(&world, "rita", at(ReviewQueueView::Next, due_ms + 1)).await.unwrap()), [3, 1]);

    let counts = ReviewCountsRequest { now_ms: due_ms + 1, ..Default::default() };
    let counts = client(&world).counts(world.ask("sten", counts)).await.unwrap().into_inner();
    assert_eq!((counts.waiting, counts.overdue, counts.assigned, counts.claimed, counts.decided), (2, 1, 1, 0, 0));
    assert_eq!((counts.reviewers[0].reviewer.as_str(), counts.reviewers[0].overdue), ("rolf", 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_says_what_came_of_the_findings() {
    let (world, batch) = with_batch().await;
    let decide = |index, verdict: ReviewVerdict, reason: ReviewReason| {
        let (verdict, reason) = (verdict as i32, reason as i32);
        let decision = Decision { index, verdict, reason, redacted: Vec::new(), hidden: Vec::new() };
        let review = BatchReview { batch, decisions: vec![decision], pack: Vec::new() };
        Body::ExamplesReviewed(ExamplesReviewed { batches: vec![review] })
    };
    world.must("rita", decide(1, ReviewVerdict::Approve, ReviewReason::NoPersonalData));
    world.must("rolf", decide(3, ReviewVerdict::Reject, ReviewReason::PersonalData));
    let request = world.ask("rita", ReviewReportRequest::default());
    let report = client(&world).report(request).await.unwrap().into_inner();
    assert_eq!((report.examples, report.flagged, report.verdicts.len()), (4, 2, 2));
    let email = &report.detectors[0].entities[0];
    assert_eq!((email.entity.as_str(), email.found, email.right, email.wrong), ("email", 2, 1, 1));
    assert_eq!(email.precision_ppm, Some(500_000));
    assert_eq!(report.times.unwrap().decided, 2);
    assert_eq!(report.counts.unwrap().decided, 2);
}
