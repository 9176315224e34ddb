//! Texts a second, patterns only: `cargo bench -p attestune-pii --profile dev`.
//!
//! Over the labelled texts in the shared folder where it is, else over a handful of sentences.
#![allow(missing_docs, reason = "the macros of criterion make public items")]

use std::{env, fs, hint::black_box};

use attestune_pii::{Config, Scanner};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn texts() -> Vec<String> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let shared = env::var("ATTESTUNE_SHARED").unwrap_or_else(|_| beside.to_owned());
    let rows = fs::read_to_string(format!("{shared}/data/pii/synth_dataset_v2.json"));
    let rows: Option<Vec<serde_json::Value>> = rows.ok().and_then(|rows| serde_json::from_str(&rows).ok());
    let Some(rows) = rows else {
        println!("SKIPPED the labelled texts: {shared}/data/pii is absent (set ATTESTUNE_SHARED)");
        let few =
            ["Nothing is in here.", "Write to zoe@example.org or call +44 20 7946 0958.", "Card 4111 1111 1111 1111"];
        return few.iter().cycle().take(1500).map(|&text| text.to_owned()).collect();
    };
    rows.iter().filter_map(|row| row["full_text"].as_str().map(str::to_owned)).collect()
}

fn scan(criterion: &mut Criterion) {
    let texts = texts();
    let scanner = Scanner::patterns(&Config::default()).expect("the default is valid");
    let mut group = criterion.benchmark_group("patterns only");
    group.throughput(Throughput::Elements(texts.len() as u64)).sample_size(20);
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
        group.bench_function(format!("{threads} threads"), |bencher| {
            bencher.iter(|| pool.install(|| black_box(scanner.scan_many(&texts))));
        });
    }
    group.finish();
    criterion.bench_function("make a scanner", |bencher| bencher.iter(Scanner::default));
}

criterion_group!(benches, scan);
criterion_main!(benches);
