//! The store: rows found and not found, and a window's worth written.
#![allow(clippy::unwrap_used, reason = "a bench that can't be set up shall stop")]

use attestune_ledger::store::{Family, Options, Store, state_key};
use criterion::{Criterion, criterion_group, criterion_main};
use std::{hint::black_box, sync::Arc};

const ROWS: u64 = 200_000;

/// A row's name, as those of batches are.
fn row(n: u64) -> [u8; 9] {
    let mut row = [8; 9];
    row[1..].copy_from_slice(&n.to_be_bytes());
    row
}

fn filled(folder: &tempfile::TempDir) -> Arc<Store> {
    let store = Store::open(folder.path(), &Options::default()).unwrap();
    for window in 0..ROWS / 1000 {
        let mut batch = store.batch();
        for n in window * 1000..(window + 1) * 1000 {
            batch.put(Family::State, &state_key(&row(n), n), &[n as u8; 60]);
            batch.put(Family::Log, &n.to_be_bytes(), &[n as u8; 500]);
        }
        store.write(batch, false).unwrap();
    }
    store.flush().unwrap();
    store
}

fn tables(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder);
    // Steps that are prime to the number of rows reach all of them.
    let mut at = 0;
    let mut next = move || {
        at = (at + 77_773) % ROWS;
        at
    };
    let mut group = criterion.benchmark_group("store");
    group.bench_function("row as of a position", |b| b.iter(|| store.as_of(&row(next()), u64::MAX).unwrap().unwrap()));
    group.bench_function("row that is not there", |b| b.iter(|| store.as_of(&row(ROWS + next()), u64::MAX).unwrap()));
    group.bench_function("entry", |b| b.iter(|| store.get(Family::Log, &next().to_be_bytes()).unwrap().unwrap()));
    group.bench_function("1000 rows written, not synced", |b| {
        b.iter(|| {
            let mut batch = store.batch();
            (0..1000).for_each(|n| batch.put(Family::Meta, &row(n), black_box(&[1; 60])));
            store.write(batch, false).unwrap();
        });
    });
    group.finish();
}

criterion_group!(benches, tables);
criterion_main!(benches);
