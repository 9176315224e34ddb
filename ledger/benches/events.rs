//! One event: signed, decoded, verified, folded over a state in memory. The fold is that of the rules alone, its
//! signatures taken as verified.
#![allow(clippy::unwrap_used, reason = "a bench that can't be set up shall stop")]

use attestune_ledger::{
    envelope::{self, EVENT_PAYLOAD_TYPE, KeyTable, SigningKey, hold, pae},
    rules::{decode::decode, fold_decoded},
};
use attestune_proto::v1::{ContentAccessed, ReviewVerdict, TrainingClaimed, TrainingProgressed, event::Body};
use attestune_replay_tests::{
    Life, World, approved, checked, derived, digest, ingested, key, promotion, reviewed, scanned, sign, training,
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

/// Examples in a batch, which make events of about 500 bytes.
const COUNT: u8 = 6;

fn signatures(criterion: &mut Criterion) {
    let mut world = World::new();
    let event = world.draft("sten", ingested("tickets", COUNT));
    let signer: SigningKey = key("sten");
    let value = sign(&event, &["sten"]);
    let decoded = decode(&value).unwrap();
    let public = signer.public();

    let mut group = criterion.benchmark_group("event");
    group.throughput(Throughput::Bytes(value.len() as u64));
    group.bench_function("pae", |b| b.iter(|| pae(EVENT_PAYLOAD_TYPE, black_box(&decoded.envelope.payload))));
    group.bench_function("sign", |b| b.iter(|| signer.sign_event(black_box(&event))));
    group.bench_function("decode", |b| b.iter(|| decode(black_box(&value))));
    let table = KeyTable::new(&public).unwrap();
    let by_table = || table.expect_envelope(black_box(&decoded.envelope), 0).unwrap();
    let together: Vec<_> = (0..32).map(|_| by_table()).collect();
    assert_eq!(hold(&together), [true; 32]);
    group.bench_function("verify", |b| b.iter(|| envelope::verify(black_box(&decoded.envelope), &public, 0)));
    // With a key's table: what each signature costs, and what remains for 32 of them together.
    group.bench_function("verify-by-table", |b| b.iter(by_table));
    group.bench_function("verify-by-table-32-at-the-end", |b| b.iter(|| hold(black_box(&together))));
    group.bench_function("table-of-a-key", |b| b.iter(|| KeyTable::new(black_box(&public))));
    group.finish();
}

fn folds(criterion: &mut Criterion) {
    let mut world = World::new();
    let life = world.with_dataset();
    let batch = world.must("sten", derived(life.documents, 4));
    let run = world.must("ella", Body::TrainingRequested(training(life.dataset, life.base)));
    let token = world.must("trainer", Body::TrainingClaimed(TrainingClaimed { run, previous: None }));
    let staging = staged(&mut world, &life);
    let read =
        ContentAccessed { reader: "rita".into(), token_hash: digest(1), commitments: (0..COUNT).map(digest).collect() };
    let progress = TrainingProgressed { run, token, step: 4, steps: 20, loss_micro: 1_000_000, tokens: 1_000 };
    let acts = [
        ("documents-ingested", "sten", ingested("tickets", COUNT)),
        ("content-accessed", "gateway", Body::ContentAccessed(read)),
        ("examples-derived", "sten", derived(life.documents, 4)),
        ("examples-scanned", "scanner", scanned(batch, &[1])),
        ("examples-checked", "checker", checked(batch)),
        ("examples-reviewed", "rita", reviewed(batch, 1, ReviewVerdict::Approve)),
        ("training-progressed", "trainer", Body::TrainingProgressed(progress)),
        ("promotion-approved", "alma", approved(staging)),
    ];
    let mut group = criterion.benchmark_group("fold");
    for (name, actor, body) in acts {
        let event = world.draft(actor, body);
        let value = sign(&event, &[actor]);
        let decoded = decode(&value);
        let fold = || fold_decoded(&world.state, world.next(), world.now_ms, &value, &decoded, &mut |_, _, _| true);
        assert_eq!(fold().unwrap().code(), "", "{name} is accepted");
        group.bench_function(name, |b| b.iter_batched(|| (), |()| black_box(fold()), BatchSize::SmallInput));
    }
    group.finish();
}

/// A version that waits for its approval to staging; answers the request's position.
fn staged(world: &mut World, life: &Life) -> u64 {
    world.train(life);
    world.evaluate(life, 1, 100);
    world.must("ella", promotion(1, attestune_proto::v1::Stage::Staging, None))
}

criterion_group!(benches, signatures, folds);
criterion_main!(benches);
