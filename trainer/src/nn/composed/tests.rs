//! Every operation in candle's form, on its CPU, against the fused one.

use candle_core::{Device, Tensor};

use super::Array;
use crate::{
    nn::{
        array::Descent,
        attention::{Heads, Rotary, Segments},
        matrix::Matrix,
    },
    rng::Rng,
};

const HEADS: Heads = Heads { query: 6, key_value: 2, dim: 8 };

/// Whether cuBLAS, as candle calls it, takes an operand as it lies: its rows or its columns one after the other without a
/// gap, and so for the matrices of a pile.
pub(super) fn a_card_multiplies(operand: &Tensor) -> bool {
    let (dims, strides) = (operand.dims(), operand.stride());
    let (last, before) = (dims.len() - 1, dims.len() - 2);
    let rows = (strides[last] == 1 || dims[last] == 1) && (strides[before] == dims[last] || dims[before] == 1);
    let cols = (strides[last] == dims[before] || dims[last] == 1) && (strides[before] == 1 || dims[before] == 1);
    let piled = dims.len() == 2 || dims.len() == 3 && (strides[0] == dims[1] * dims[2] || dims[0] == 1);
    (rows || cols) && piled
}

fn random(seed: u64, rows: usize, cols: usize) -> Matrix {
    let mut rng = Rng::new(seed, 0);
    Matrix::new(rows, cols, (0..rows * cols).map(|_| rng.symmetric(2.0)).collect())
}

fn on_candle(matrix: &Matrix) -> Tensor {
    super::tensor(matrix, &Device::Cpu).unwrap()
}

#[track_caller]
fn assert_near(found: &Tensor, expected: &Matrix) {
    assert_eq!(found.dims(), [expected.rows(), expected.cols()]);
    assert!(found.is_contiguous());
    let largest = expected.data().iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    assert!(largest > 0.0, "a comparison with nothing but zeros says nothing");
    for (i, (a, b)) in found.to_host().unwrap().data().iter().zip(expected.data()).enumerate() {
        assert!((a - b).abs() <= 5e-6 * (1.0 + largest), "number {i}: {a} is not {b}");
    }
}

#[test]
fn sums_and_rows() {
    let (a, b) = (random(1, 7, 6), random(2, 7, 6));
    let (mut host, mut candle) = (a.clone(), on_candle(&a));
    host.add_scaled(&b, 0.3);
    candle.add_scaled(&on_candle(&b), 0.3).unwrap();
    assert_near(&candle, &host);

    let part = random(3, 7, 2);
    host.add_to_columns(3, &part, -1.5);
    candle.add_to_columns(3, &on_candle(&part), -1.5).unwrap();
    assert_near(&candle, &host);

    let rows = [5, 0, 5, 2];
    assert_near(&candle.gather_rows(&rows).unwrap(), &Array::gather_rows(&host, &rows).unwrap());
    let rows = [9, 2, 3, 11, 0, 1, 7];
    assert_near(&candle.scatter_rows(&rows, 12).unwrap(), &host.scatter_rows(&rows, 12).unwrap());
}

#[test]
fn norm_and_activation_forward_and_backward() {
    let (x, grad, before) = (random(4, 9, 20), random(5, 9, 20), random(6, 9, 20));
    let weight = random(7, 1, 20).data().to_vec();
    let row = Tensor::from_slice(&weight, weight.len(), &Device::Cpu).unwrap();
    assert_near(&on_candle(&x).rms_norm(&row, 1e-5).unwrap(), &x.rms_norm(&weight, 1e-5).unwrap());

    let (mut host, mut candle) = (before.clone(), on_candle(&before));
    host.add_rms_norm_gradient(&x, &weight, 1e-5, &grad).unwrap();
    candle.add_rms_norm_gradient(&on_candle(&x), &row, 1e-5, &on_candle(&grad)).unwrap();
    assert_near(&candle, &host);

    let grad = random(8, 9, 10);
    assert_near(&on_candle(&x).swiglu().unwrap(), &x.swiglu().unwrap());
    assert_near(&on_candle(&x).swiglu_gradient(&on_candle(&grad)).unwrap(), &x.swiglu_gradient(&grad).unwrap());
}

#[test]
fn attention_over_sequences_of_several_lengths_forward_and_backward() {
    let segments = Segments::of_lengths([5, 1, 11]);
    let rotary = Rotary::new((0..4).map(|i| 10_000f64.powf(-f64::from(i) / 4.0)).collect());
    let (qkv, grad) = (random(9, 17, HEADS.row_width()), random(10, 17, HEADS.query_width()));
    let (mut host, mut candle) = (qkv.clone(), on_candle(&qkv));
    let host_plan = host.plan(&rotary, &segments, segments.positions()).unwrap();
    let plan = candle.plan(&rotary, &segments, segments.positions()).unwrap();

    host.turn(&rotary, HEADS, &host_plan).unwrap();
    candle.turn(&rotary, HEADS, &plan).unwrap();
    assert_near(&candle, &host);
    assert_near(&candle.attend(HEADS, &plan).unwrap(), &host.attend(HEADS, &host_plan).unwrap());

    let mut expected = host.attend_gradient(HEADS, &host_plan, &grad).unwrap();
    let mut found = candle.attend_gradient(HEADS, &plan, &on_candle(&grad)).unwrap();
    assert_near(&found, &expected);
    expected.turn_back(&rotary, HEADS, &host_plan).unwrap();
    found.turn_back(&rotary, HEADS, &plan).unwrap();
    assert_near(&found, &expected);
}

#[test]
fn attention_over_what_is_held_while_sequences_end() {
    let segments = Segments::of_lengths([3, 7, 1, 4]);
    let rotary = Rotary::new(vec![1.0; 4]);
    let qkv = random(11, 15, HEADS.row_width());
    let candle = on_candle(&qkv);
    let host_plan = qkv.plan(&rotary, &segments, segments.positions()).unwrap();
    let plan = candle.plan(&rotary, &segments, segments.positions()).unwrap();
    let mut host_held = qkv.key_values(HEADS, &host_plan).unwrap();
    let mut held = candle.key_values(HEADS, &plan).unwrap();

    let mut open = 4;
    for (seed, kept) in [(12, vec![0, 1, 2, 3]), (13, vec![1, 2, 3]), (14, vec![0, 2]), (15, vec![0, 1])] {
        assert!(kept.iter().all(|i| *i < open));
        open = kept.len();
        Matrix::keep(&mut host_held, &kept).unwrap();
        Tensor::keep(&mut held, &kept).unwrap();
        let new = random(seed, open, HEADS.row_width());
        new.extend(HEADS, &mut host_held).unwrap();
        on_candle(&new).extend(HEADS, &mut held).unwrap();
        let expected = new.attend_cached(HEADS, &host_held).unwrap();
        assert_near(&on_candle(&new).attend_cached(HEADS, &held).unwrap(), &expected);
    }
}

#[test]
fn the_loss_its_gradient_and_a_step_of_the_optimiser() {
    let mut logits = random(16, 7, 50);
    logits.data_mut().iter_mut().for_each(|x| *x *= 9.0);
    let targets = [0u32, 49, 7, 7, 20, 31, 2];
    let mut candle = on_candle(&logits);
    let (expected, found) = (logits.cross_entropy(&targets).unwrap(), candle.cross_entropy(&targets).unwrap());
    assert!((expected - found).abs() < 1e-5, "{expected} is not {found}");
    assert_near(&candle, &logits);

    let mut host = [17, 18, 19].map(|seed| random(seed, 3, 4));
    host[2].data_mut().iter_mut().for_each(|x| *x = x.abs());
    let mut candle = host.each_ref().map(on_candle);
    let gradient = random(20, 3, 4);
    let descent = Descent::new(0.01, 0.1, 3);
    let [parameter, first, second] = &mut host;
    parameter.descend(&gradient, first, second, descent).unwrap();
    let [parameter, first, second] = &mut candle;
    parameter.descend(&on_candle(&gradient), first, second, descent).unwrap();
    candle.iter().zip(&host).for_each(|(found, expected)| assert_near(found, expected));
}
