//! The trainer's parts on a tiny model: a text's logits, an epoch of two steps, an answer. For a real model's speed see
//! `attestune bench train`.
#![allow(clippy::unwrap_used, reason = "a bench that can't be set up shall stop")]

use attestune_trainer::{
    config::TrainConfig,
    generate::{Model, Stop},
    model::{BaseModel, write_tiny_model},
    train::{TrainExample, train},
};
use criterion::{Criterion, criterion_group, criterion_main};
use std::{hint::black_box, ops::ControlFlow};

fn training(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    write_tiny_model(folder.path(), 3).unwrap();
    let base = BaseModel::load(folder.path()).unwrap();
    let example = |n: u32| TrainExample { prompt: format!("where is card {n}?\nIntent:"), answer: " lost".into() };
    let examples: Vec<_> = (0..32).map(example).collect();
    let config = TrainConfig { epochs: 1, ..TrainConfig::default() };
    let run = || train(&base, &examples, &config, |_| ControlFlow::Continue(())).unwrap();
    let adapter = run().adapter;
    let model = Model::new(&base, Some(&adapter)).unwrap();

    let mut group = criterion.benchmark_group("tiny model");
    let text = "I would like to know where the money I sent has gone\nIntent:";
    group.bench_function("tokens and logits of a text", |b| b.iter(|| model.logits(black_box(text)).unwrap()));
    group.bench_function("two steps of sixteen examples", |b| b.iter(run));
    group.bench_function("answer of eight tokens", |b| {
        b.iter(|| model.greedy(&[text], Stop { max_new_tokens: 8, at_newline: false }).unwrap());
    });
    group.finish();
}

criterion_group!(benches, training);
criterion_main!(benches);
