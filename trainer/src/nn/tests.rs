//! Every fused layer against the same in plain candle operations, forward and backward.

use candle_core::{D, Device, Tensor, Var};
use candle_nn::{
    ops::{log_softmax, rms_norm_slow, silu, softmax},
    rotary_emb::rope_slow,
};

use super::{
    attention::{Heads, KeyValues, Rotary, Segments, attend, attend_backward, attend_cached},
    elementwise::{exp, rms_norm, rms_norm_backward, swiglu, swiglu_backward},
    linear::{self, LowRank, Part},
    loss::{cross_entropy, log_softmax as log_probability},
    matrix::Matrix,
};
use crate::rng::Rng;

const HEADS: Heads = Heads { query: 4, key_value: 2, dim: 6 };

fn random(seed: u64, rows: usize, cols: usize) -> Matrix {
    let mut rng = Rng::new(seed, 0);
    Matrix::new(rows, cols, (0..rows * cols).map(|_| rng.symmetric(1.0)).collect())
}

fn variable(matrix: &Matrix) -> Var {
    let shape = (matrix.rows(), matrix.cols());
    Var::from_tensor(&Tensor::from_slice(matrix.data(), shape, &Device::Cpu).unwrap()).unwrap()
}

/// The gradient of `sum(y * weights)` for `x`.
fn gradient(y: &Tensor, weights: &Matrix, x: &Var) -> Vec<f32> {
    let weights = variable(weights).as_detached_tensor();
    let gradients = (y * weights).unwrap().sum_all().unwrap().backward().unwrap();
    numbers(gradients.get(x).unwrap())
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    assert!(largest > 0.0, "a comparison with nothing but zeros says nothing");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 2e-6 * (1.0 + largest), "number {i}: {a} is not {b}");
    }
}

#[test]
fn exp_is_within_two_units_in_the_last_place() {
    for i in -8_700..=8_800 {
        let x = i as f32 / 100.0;
        let expected = f64::from(x).exp();
        let error = (f64::from(exp(x)) - expected).abs() / expected;
        assert!(error < 2.0 * f64::from(f32::EPSILON), "exp({x}) is off by {error}");
    }
    assert!(exp(-1e9) >= 0.0 && exp(-1e9) < 1e-37 && exp(f32::MAX).is_finite());
}

#[test]
fn rms_norm_agrees_with_plain_candle() {
    let (x, weight, grad) = (random(1, 37, 20), random(2, 1, 20), random(3, 37, 20));
    let plain_x = variable(&x);
    let plain_weight = variable(&weight).as_detached_tensor().squeeze(0).unwrap();
    let plain = rms_norm_slow(&plain_x, &plain_weight, 1e-5).unwrap();
    assert_near(rms_norm(&x, weight.data(), 1e-5).data(), &numbers(&plain));

    let mut found = Matrix::zeros(37, 20);
    rms_norm_backward(&mut found, &x, weight.data(), 1e-5, &grad);
    assert_near(found.data(), &gradient(&plain, &grad, &plain_x));
}

#[test]
fn the_backward_pass_of_rms_norm_adds_to_what_is_there() {
    let (x, weight, grad) = (random(1, 3, 20), random(2, 1, 20), random(3, 3, 20));
    let mut once = Matrix::zeros(3, 20);
    rms_norm_backward(&mut once, &x, weight.data(), 1e-5, &grad);
    let mut twice = once.clone();
    rms_norm_backward(&mut twice, &x, weight.data(), 1e-5, &grad);
    once.add_scaled(&once.clone(), 1.0);
    assert_near(twice.data(), once.data());
}

#[test]
fn swiglu_agrees_with_plain_candle() {
    let (mut x, grad) = (random(4, 37, 24), random(5, 37, 12));
    x.data_mut().iter_mut().for_each(|x| *x *= 6.0);
    let plain_x = variable(&x);
    let gate = silu(&plain_x.narrow(1, 0, 12).unwrap()).unwrap();
    let plain = (gate * plain_x.narrow(1, 12, 12).unwrap()).unwrap();
    assert_near(swiglu(&x).data(), &numbers(&plain));
    assert_near(swiglu_backward(&x, &grad).data(), &gradient(&plain, &grad, &plain_x));
}

#[test]
fn a_linear_map_with_two_adapters_agrees_with_plain_candle() {
    let (x, weight, grad) = (random(6, 9, 10), random(7, 14, 10), random(8, 9, 14));
    let (a, b0, b2) = (random(9, 6, 10), random(10, 5, 3), random(11, 4, 3));
    // Outputs 0..5 and 10..14 have an adapter, 5..10 have none.
    let adapter = LowRank {
        a: a.clone(),
        parts: vec![Part { start: 0, b: b0.clone() }, Part { start: 10, b: b2.clone() }],
        rank: 3,
        scale: 0.7,
    };
    let (px, pa, pb0, pb2) = (variable(&x), variable(&a), variable(&b0), variable(&b2));
    let low = |start: usize, b: &Var| {
        let low = px.matmul(&pa.narrow(0, start, 3).unwrap().t().unwrap()).unwrap();
        (low.matmul(&b.t().unwrap()).unwrap() * 0.7).unwrap()
    };
    let nothing = Tensor::zeros((9, 5), candle_core::DType::F32, &Device::Cpu).unwrap();
    let added = Tensor::cat(&[low(0, &pb0), nothing, low(3, &pb2)], 1).unwrap();
    let plain = (px.matmul(&variable(&weight).as_detached_tensor().t().unwrap()).unwrap() + added).unwrap();

    assert_near(linear::forward(&x, &weight, Some(&adapter)).unwrap().data(), &numbers(&plain));
    let mut into = adapter.map(|matrix| Ok(Matrix::zeros(matrix.rows(), matrix.cols()))).unwrap();
    let d_x = linear::backward(&x, &weight, Some((&adapter, &mut into)), &grad).unwrap();
    assert_near(d_x.data(), &gradient(&plain, &grad, &px));
    assert_near(into.a.data(), &gradient(&plain, &grad, &pa));
    assert_near(into.parts[0].b.data(), &gradient(&plain, &grad, &pb0));
    assert_near(into.parts[1].b.data(), &gradient(&plain, &grad, &pb2));
}

/// Rotary positions and attention of one sequence in plain candle.
fn plain_attention(qkv: &Tensor) -> Tensor {
    let length = qkv.dim(0).unwrap();
    let half = HEADS.dim / 2;
    let angle = |t: usize, i: usize| t as f64 * 10_000f64.powf(-(i as f64) / half as f64);
    let table = |f: fn(f64) -> f64| {
        let numbers: Vec<f32> = (0..length).flat_map(|t| (0..half).map(move |i| f(angle(t, i)) as f32)).collect();
        Tensor::from_vec(numbers, (length, half), &Device::Cpu).unwrap()
    };
    let split = |start: usize, heads: usize| {
        let part = qkv.narrow(1, start, heads * HEADS.dim).unwrap();
        let part = part.reshape((1, length, heads, HEADS.dim)).unwrap();
        part.transpose(1, 2).unwrap().contiguous().unwrap()
    };
    let turned = |x: Tensor| rope_slow(&x, &table(f64::cos), &table(f64::sin)).unwrap();
    let repeat = |x: Tensor| {
        let x = x.unsqueeze(2).unwrap().broadcast_as((1, 2, 2, length, HEADS.dim)).unwrap();
        x.reshape((1, 4, length, HEADS.dim)).unwrap()
    };
    let (query, key, value) = (turned(split(0, 4)), repeat(turned(split(24, 2))), repeat(split(36, 2)));
    let mask: Vec<f32> =
        (0..length * length).map(|i| if i % length > i / length { f32::NEG_INFINITY } else { 0.0 }).collect();
    let mask = Tensor::from_vec(mask, (length, length), &Device::Cpu).unwrap();
    let scores = (query.matmul(&key.t().unwrap()).unwrap() / (HEADS.dim as f64).sqrt()).unwrap();
    let weights = softmax(&scores.broadcast_add(&mask).unwrap(), D::Minus1).unwrap();
    weights.matmul(&value).unwrap().transpose(1, 2).unwrap().reshape((length, 24)).unwrap()
}

#[test]
fn attention_over_packed_sequences_agrees_with_plain_candle_on_each() {
    let segments = Segments::of_lengths([5, 1, 11]);
    let (qkv, grad) = (random(12, 17, HEADS.row_width()), random(13, 17, HEADS.query_width()));
    let plain_qkv = variable(&qkv);
    let parts =
        [(0, 5), (5, 1), (6, 11)].map(|(start, len)| plain_attention(&plain_qkv.narrow(0, start, len).unwrap()));
    let plain = Tensor::cat(&parts, 0).unwrap();

    let rotary = Rotary::new((0..3).map(|i| 10_000f64.powf(-f64::from(i) / 3.0)).collect());
    let mut turned = qkv.clone();
    rotary.turn(&mut turned, HEADS, &segments.positions());
    assert_near(attend(&turned, HEADS, &segments).data(), &numbers(&plain));

    let mut found = attend_backward(&turned, HEADS, &segments, &grad);
    rotary.turn_back(&mut found, HEADS, &segments.positions());
    assert_near(found.data(), &gradient(&plain, &grad, &plain_qkv));
}

#[test]
fn attention_from_a_cache_gives_the_bits_of_attention_over_the_whole() {
    let qkv = random(14, 9, HEADS.row_width());
    let whole = attend(&qkv, HEADS, &Segments::of_lengths([9]));
    let mut cache = KeyValues::default();
    cache.extend(qkv.data(), HEADS);
    let last = qkv.gather_rows([8].into_iter());
    assert_eq!(attend_cached(&last, HEADS, &[cache]).data(), whole.row(8));
}

#[test]
fn cross_entropy_and_its_gradient_agree_with_plain_candle() {
    let mut logits = random(15, 7, 50);
    logits.data_mut().iter_mut().for_each(|x| *x *= 9.0);
    let targets = [0u32, 49, 7, 7, 20, 31, 2];
    let plain_logits = variable(&logits);
    let indices = Tensor::new(&targets, &Device::Cpu).unwrap().unsqueeze(1).unwrap();
    let log_p = log_softmax(&plain_logits, D::Minus1).unwrap().gather(&indices, 1).unwrap();
    let plain = log_p.neg().unwrap().mean_all().unwrap();
    let expected = numbers(plain.backward().unwrap().get(&plain_logits).unwrap());

    let each: Vec<f32> = (0..7).map(|row| log_probability(logits.row(row), targets[row] as usize)).collect();
    assert_near(&each, &numbers(&log_p));
    let loss = cross_entropy(&mut logits, &targets);
    assert_near(&[loss as f32], &numbers(&plain));
    assert_near(logits.data(), &expected);
}
