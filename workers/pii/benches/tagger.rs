//! How fast texts are tagged, and how soon the tagger is ready.

use std::hint::black_box;

use attestune_pii::tagger::Tagger;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const TEXTS: [&str; 4] = [
    "How do I change the password of my account?",
    "Please call Pavel Dvořák in Leeds before Friday.",
    "Ship to:\nIngrid Solberg\nStorgata 14\n7011 Trondheim\nNorway",
    "Dr. Amara Okonkwo of Brightwater Holdings, 34, told the Canadian board that nothing had been decided yet.",
];

fn tagger(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tagger");
    group.throughput(Throughput::Elements(TEXTS.len() as u64));
    group.bench_function("texts", |bench| {
        bench.iter(|| TEXTS.iter().map(|text| Tagger::shared().spans(black_box(text)).len()).sum::<usize>());
    });
    group.finish();
    let bytes = include_bytes!("../data/tagger.bin");
    criterion
        .bench_function("tagger/read the model", |bench| bench.iter(|| Tagger::from_bytes(black_box(bytes)).is_ok()));
}

criterion_group!(benches, tagger);
criterion_main!(benches);
