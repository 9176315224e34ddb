//! The services Ledger and Receipts, over a channel.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod world;

use attestune_ledger::{
    log::VALUE_BYTES_MAX,
    rules::entry_leaf,
    tree::{Hash, verify_consistency, verify_inclusion},
};
use attestune_proto::v1::{
    ActorKind, AppendRequest, CheckpointRequest, ConsistencyProofRequest, DocumentsIngested, Entry, GetReceiptRequest,
    HeadRequest, InclusionProofRequest, ReadRequest, SubscribeRequest, Verdict, event::Body,
    ledger_client::LedgerClient, receipts_client::ReceiptsClient,
};
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use tonic::{Code, Request, transport::Channel};
use tonic_types::StatusExt as _;
use world::{World, key, reason};

fn client(world: &World) -> LedgerClient<Channel> {
    LedgerClient::new(world.channel.clone())
}

fn ingested(collection: &str) -> Body {
    Body::DocumentsIngested(DocumentsIngested {
        collection: collection.into(),
        pack: vec![1; 16],
        commitments: vec![vec![2; 32]],
    })
}

fn hash(bytes: &[u8]) -> Hash {
    Hash(bytes.try_into().unwrap())
}

async fn entries(world: &World, from: u64, limit: u64) -> Vec<Entry> {
    let request = world.ask("sten", ReadRequest { from, limit });
    let mut stream = client(world).read(request).await.unwrap().into_inner();
    let mut entries = Vec::new();
    while let Some(entry) = stream.message().await.unwrap() {
        entries.push(entry);
    }
    entries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_is_answered_by_a_receipt_that_the_events_id_finds_again() {
    let world = World::new().await;
    let event = world.event("sten", ingested("tickets"));
    let envelope = key("sten").sign_event(&event);
    let request = AppendRequest { envelope: envelope.clone() };
    let receipt = client(&world).append(request.clone()).await.unwrap().into_inner();
    assert_eq!(receipt.verdict(), Verdict::Accepted);
    assert_eq!(receipt.position + 1, world.gateway.replica.position());

    let found = GetReceiptRequest { actor: "sten".into(), id: event.id };
    let mut receipts = ReceiptsClient::new(world.channel.clone());
    assert_eq!(receipts.get_receipt(world.ask("rita", found)).await.unwrap().into_inner(), receipt);
    let unknown = GetReceiptRequest { actor: "sten".into(), id: vec![0; 16] };
    let status = receipts.get_receipt(world.ask("rita", unknown)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "not-found"));

    let again = client(&world).append(request).await.unwrap().into_inner();
    assert_eq!((again.verdict(), again.first_position), (Verdict::Duplicate, receipt.position));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_a_receipt_or_if_asked_for_a_status_with_code_and_figures() {
    let world = World::new().await;
    let refused = |world: &World| AppendRequest { envelope: world.signed("paul", ingested("tickets")) };
    let receipt = client(&world).append(refused(&world)).await.unwrap().into_inner();
    assert_eq!(receipt.verdict(), Verdict::Refused);
    assert_eq!(receipt.refusal.unwrap().code, "role-missing");

    let mut request = Request::new(refused(&world));
    request.metadata_mut().insert("attestune-refusal", "status".parse().unwrap());
    let status = client(&world).append(request).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("role-missing", "attestune"));
    assert_eq!(info.metadata["actor"], "paul");
    // It stands on the record all the same.
    assert_eq!(info.metadata["position"], (world.gateway.replica.position() - 1).to_string());
    assert_eq!(world.gateway.replica.counts().refused, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_door_stops_is_a_status_and_nothing_is_appended() {
    let world = World::new().await;
    let before = world.gateway.replica.position();
    let stranger = key("stranger").sign_event(&world.event("sten", ingested("tickets")));
    let mut forged = world.signed("sten", ingested("tickets"));
    let place = forged.windows(7).position(|bytes| bytes == b"tickets").unwrap();
    forged[place] = b'b';
    let cases = [
        (b"no envelope".to_vec(), Code::InvalidArgument, "not-an-envelope"),
        (stranger, Code::Unauthenticated, "unknown-key"),
        (forged, Code::Unauthenticated, "bad-signature"),
        (vec![0; VALUE_BYTES_MAX + 1], Code::ResourceExhausted, "too-large"),
    ];
    for (envelope, code, reason) in cases {
        let status = client(&world).append(AppendRequest { envelope }).await.unwrap_err();
        let info = status.get_details_error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str()), (code, reason), "{}", status.message());
        assert_eq!(info.domain, "attestune");
    }
    assert_eq!(world.gateway.replica.position(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_registered_in_a_stream_may_sign_what_comes_behind_it() {
    let world = World::new().await;
    let registration = world.signed("ada", world.registration("nina", "nina", ActorKind::Person));
    let requests = [registration, world.signed("nina", ingested("tickets"))].map(|envelope| AppendRequest { envelope });
    let mut stream = client(&world).append_stream(tokio_stream::iter(requests)).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().verdict(), Verdict::Accepted);
    let receipt = stream.message().await.unwrap().unwrap();
    assert_eq!(receipt.refusal.unwrap().code, "role-missing", "the door knows her key; the rules judge the act");
    assert!(stream.message().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_of_a_stream_come_in_the_order_of_its_requests() {
    let world = World::new().await;
    let envelopes: Vec<_> = (0..3_000).map(|n| world.signed("sten", ingested(&format!("c{n}")))).collect();
    let requests: Vec<_> = envelopes.iter().map(|envelope| AppendRequest { envelope: envelope.clone() }).collect();
    let first = world.gateway.replica.position();
    let mut stream = client(&world).append_stream(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let stored = |position| world.gateway.replica.entry(position).unwrap().value;
    for (at, envelope) in (first..).zip(&envelopes) {
        let receipt = stream.message().await.unwrap().unwrap();
        assert_eq!((receipt.verdict(), receipt.position), (Verdict::Accepted, at), "the log has the stream's order");
        assert!(stored(receipt.position) == *envelope, "position {} is another request's", receipt.position);
    }
    assert!(stream.message().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_come_back_as_appended_and_proofs_verify_over_them() {
    let world = World::new().await;
    let head = client(&world).head(HeadRequest {}).await.unwrap().into_inner();
    assert_eq!(head.ledger, world.ledger);
    let envelope = world.signed("sten", ingested("tickets"));
    let position =
        client(&world).append(AppendRequest { envelope: envelope.clone() }).await.unwrap().into_inner().position;

    let all = entries(&world, 0, 0).await;
    assert_eq!(all.iter().map(|e| e.position).collect::<Vec<_>>(), (0..=position).collect::<Vec<_>>());
    assert!(all[position as usize].value == envelope);
    assert_eq!(entries(&world, 2, 3).await, all[2..5]);
    assert_eq!(entries(&world, position + 1, 0).await, []);

    let path = |hashes: &[Vec<u8>]| hashes.iter().map(|h| hash(h)).collect::<Vec<_>>();
    let new = client(&world).head(HeadRequest {}).await.unwrap().into_inner();
    let request = InclusionProofRequest { position, size: 0, verdicts: false };
    let proof = client(&world).inclusion_proof(request).await.unwrap().into_inner();
    let leaf = entry_leaf(all[position as usize].time_ms, &envelope);
    assert_eq!((proof.size, hash(&proof.root), hash(&proof.leaf_hash)), (new.size, hash(&new.entry_root), leaf));
    verify_inclusion(leaf, position, proof.size, &path(&proof.hashes), hash(&new.entry_root)).unwrap();

    let request = ConsistencyProofRequest { old_size: head.size, new_size: 0, verdicts: true };
    let proof = client(&world).consistency_proof(request).await.unwrap().into_inner();
    let (old, new) = (hash(&head.verdict_root), hash(&new.verdict_root));
    verify_consistency(head.size, old, proof.size, new, &path(&proof.hashes)).unwrap();

    let signed = client(&world).checkpoint(CheckpointRequest { verdicts: false }).await.unwrap().into_inner();
    let verifier = signed.verifier_key.parse().unwrap();
    let checkpoint = attestune_ledger::tree::Checkpoint::open(&signed.note, &verifier).unwrap();
    assert_eq!((checkpoint.size, checkpoint.root), (position + 1, hash(&proof_root(&world).await)));

    let beyond = InclusionProofRequest { position: 999, size: 0, verdicts: false };
    let status = client(&world).inclusion_proof(beyond).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "beyond-the-end"));
}

async fn proof_root(world: &World) -> Vec<u8> {
    client(world).head(HeadRequest {}).await.unwrap().into_inner().entry_root
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_gets_what_stands_and_what_comes_later_with_the_verdicts() {
    let world = World::new().await;
    let from = world.gateway.replica.position();
    let request = |to_end| world.ask("rita", SubscribeRequest { from: from - 1, to_end });
    let mut following = client(&world).subscribe(request(false)).await.unwrap().into_inner();
    assert_eq!(following.message().await.unwrap().unwrap().position, from - 1);
    world.must("sten", ingested("tickets"));
    world.act("paul", ingested("tickets"));
    let mut next = async || {
        let decided = tokio::time::timeout(Duration::from_secs(10), following.message()).await.unwrap();
        decided.unwrap().unwrap()
    };
    let (first, second) = (next().await, next().await);
    assert_eq!((first.position, first.verdict()), (from, Verdict::Accepted));
    assert_eq!((second.position, second.verdict()), (from + 1, Verdict::Refused));
    assert_eq!(second.refusal.unwrap().code, "role-missing");

    let mut ending = client(&world).subscribe(request(true)).await.unwrap().into_inner();
    let mut positions = Vec::new();
    while let Some(decided) = ending.message().await.unwrap() {
        positions.push(decided.position);
    }
    assert_eq!(positions, [from - 1, from, from + 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_are_limited_so_that_a_thread_is_left_for_others_and_one_that_leaves_makes_room() {
    let world = World::new().await;
    let subscribe = async |reader: &str| {
        let request = world.ask(reader, SubscribeRequest { from: 0, to_end: false });
        client(&world).subscribe(request).await.map(tonic::Response::into_inner)
    };
    let mut open = Vec::new();
    for (reader, so_far) in [("rita", 32), ("sten", 64), ("scanner", 96), ("ada", 128)] {
        let refused = loop {
            match subscribe(reader).await {
                Ok(stream) => open.push(stream),
                Err(status) => break status,
            }
        };
        assert_eq!((open.len(), reason(&refused).as_str()), (so_far, "too-many-streams"));
        assert_eq!(refused.message(), format!("32 streams of {reader} are read already; end one of them first"));
    }
    let refused = subscribe("gateway").await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "too-many-streams"));
    assert_eq!(refused.message(), "128 streams are read already; try again later");
    let request = CheckpointRequest { verdicts: false };
    let short = tokio::time::timeout(Duration::from_secs(10), client(&world).checkpoint(request)).await;
    short.unwrap().unwrap();

    drop(open);
    // A stream looks four times a second whether its client has left.
    let again = async {
        while subscribe("rita").await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_stream_registers_signs_later_in_it_once_its_receipt_came() {
    let world = World::new().await;
    let (sender, requests) = tokio::sync::mpsc::channel(1);
    let registration = world.signed("ada", world.registration("vera", "vera", ActorKind::Person));
    sender.send(AppendRequest { envelope: registration }).await.unwrap();
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut stream = client(&world).append_stream(requests).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().verdict(), Verdict::Accepted);
    sender.send(AppendRequest { envelope: world.signed("vera", ingested("tickets")) }).await.unwrap();
    let receipt = stream.message().await.unwrap().unwrap();
    assert_eq!(receipt.refusal.unwrap().code, "role-missing");
    drop(sender);
    assert!(stream.message().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_stops_a_stream_is_named_and_all_before_it_have_receipts() {
    let world = World::new().await;
    let good = |n: u32| world.signed("sten", ingested(&format!("c{n}")));
    let oversized = vec![0; 2 << 20];
    let bad = [
        (key("stranger").sign_event(&world.event("sten", ingested("x"))), "unknown-key"),
        (oversized, "broken-stream"),
    ];
    for (bad, expected) in bad {
        let before = world.gateway.replica.position();
        let requests: Vec<_> =
            [good(1), good(2), good(3), bad, good(4)].map(|envelope| AppendRequest { envelope }).into_iter().collect();
        let mut stream = client(&world)
            .max_encoding_message_size(usize::MAX)
            .append_stream(tokio_stream::iter(requests))
            .await
            .unwrap()
            .into_inner();
        for at in before..before + 3 {
            assert_eq!(stream.message().await.unwrap().unwrap().position, at);
        }
        let status = stream.message().await.unwrap_err();
        assert_eq!(reason(&status), expected, "{}", status.message());
        assert_eq!(status.get_details_error_info().unwrap().metadata["index"], "3");
        assert_eq!(world.gateway.replica.position(), before + 3, "nothing after it is appended");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_the_log_cannot_keep_up_with_is_held_back() {
    let world = World::new().await;
    let commitments = (0..512_u32).map(|n| Sha256::digest(n.to_be_bytes()).to_vec()).collect();
    let body = DocumentsIngested { collection: "tickets".into(), pack: vec![1; 16], commitments };
    let envelope = || world.signed("sten", Body::DocumentsIngested(body.clone()));
    let size = envelope().len();
    let (sender, requests) = tokio::sync::mpsc::channel(1);
    world.log.hold();
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut stream = client(&world).append_stream(requests).await.unwrap().into_inner();

    let mut sent = 0;
    let wait = Duration::from_millis(500);
    while sent < 2_000 && tokio::time::timeout(wait, sender.send(AppendRequest { envelope: envelope() })).await.is_ok()
    {
        sent += 1;
    }
    // One batch of a megabyte is gathered, one event is under way; the rest waits in HTTP/2's windows.
    assert!(sent * size < 8 << 20, "{sent} events of {size} bytes were taken in while the log stood still");
    world.log.release();
    drop(sender);
    for _ in 0..sent {
        assert_eq!(stream.message().await.unwrap().unwrap().verdict(), Verdict::Accepted);
    }
}
