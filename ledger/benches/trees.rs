//! The trees: a leaf appended, the root, proofs made and verified, over a million leaves in memory.
#![allow(clippy::unwrap_used, reason = "a bench that can't be set up shall stop")]

use attestune_ledger::tree::{
    Frontier, Hash, TILE_WIDTH, TileReader, consistency_proof, inclusion_proof, leaf_hash, verify_inclusion,
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use std::{convert::Infallible, hint::black_box};

const LEAVES: u64 = 1 << 20;

/// Hashes by level.
#[derive(Default)]
struct Tiles(Vec<Vec<Hash>>);

impl TileReader for Tiles {
    type Error = Infallible;

    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<Hash>, Infallible> {
        let first = (index * u64::from(TILE_WIDTH)) as usize;
        let level = self.0.get(usize::from(level)).map_or(&[][..], Vec::as_slice);
        Ok(level.iter().skip(first).take(usize::from(width)).copied().collect())
    }
}

fn trees(criterion: &mut Criterion) {
    let (mut tree, mut tiles) = (Frontier::new(), Tiles::default());
    for n in 0..LEAVES {
        tree.push_noting(leaf_hash(&[&n.to_be_bytes()]), |tile| {
            tiles.0.resize_with(tiles.0.len().max(usize::from(tile.level) + 1), Vec::new);
            tiles.0[usize::from(tile.level)].push(tile.hash);
        });
    }
    let entry = [7; 500];
    let leaf = leaf_hash(&[&entry]);
    let mut group = criterion.benchmark_group("tree");
    group.bench_function("leaf of 500 bytes", |b| b.iter(|| leaf_hash(&[black_box(&entry)])));
    group.bench_function("append 1000 leaves", |b| {
        b.iter_batched_ref(|| tree.clone(), |tree| (0..1000).for_each(|_| tree.push(leaf)), BatchSize::SmallInput);
    });
    let odd = {
        let mut odd = tree.clone();
        (0..12_345).for_each(|_| odd.push(leaf));
        odd
    };
    group.bench_function("root", |b| b.iter(|| black_box(&odd).root()));
    group.bench_function("inclusion proof", |b| b.iter(|| inclusion_proof(&tiles, black_box(345_678), LEAVES)));
    group.bench_function("consistency proof", |b| b.iter(|| consistency_proof(&tiles, black_box(345_678), LEAVES)));
    let proof = inclusion_proof(&tiles, 345_678, LEAVES).unwrap();
    let (proven, root) = (leaf_hash(&[&345_678u64.to_be_bytes()]), tree.root());
    group.bench_function("inclusion verified", |b| {
        b.iter(|| verify_inclusion(black_box(proven), 345_678, LEAVES, &proof, root).unwrap());
    });
    group.finish();
}

criterion_group!(benches, trees);
criterion_main!(benches);
