//! RMS norm and SwiGLU, forward and backward, a row at a time on all threads of the pool.

use rayon::prelude::*;

use super::matrix::Matrix;

/// Rows a task takes: enough work that handing it over costs nothing beside it.
const ROWS_PER_TASK: usize = 16;

/// `x / sqrt(mean(x²) + eps) * weight`, for each row of `x` `[tokens, width]`
/// (Zhang and Sennrich, "Root mean square layer normalization", 2019).
pub(crate) fn rms_norm(x: &Matrix, weight: &[f32], eps: f32) -> Matrix {
    let width = weight.len();
    let mut out = Matrix::zeros(x.rows(), width);
    out.data_mut().par_chunks_mut(width * ROWS_PER_TASK).zip(x.data().par_chunks(width * ROWS_PER_TASK)).for_each(
        |(out, x)| {
            for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                let scale = inverse_rms(x, eps);
                for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                    *out = x * scale * weight;
                }
            }
        },
    );
    out
}

/// Adds to `into` the gradient of [`rms_norm`] for `x`, given `grad`, the gradient of its result.
pub(crate) fn rms_norm_backward(into: &mut Matrix, x: &Matrix, weight: &[f32], eps: f32, grad: &Matrix) {
    let width = weight.len();
    into.data_mut()
        .par_chunks_mut(width * ROWS_PER_TASK)
        .zip(x.data().par_chunks(width * ROWS_PER_TASK))
        .zip(grad.data().par_chunks(width * ROWS_PER_TASK))
        .for_each(|((into, x), grad)| {
            for ((into, x), grad) in
                into.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(grad.chunks_exact(width))
            {
                let scale = inverse_rms(x, eps);
                let projected = sum_lanes(width, |i| x[i] * weight[i] * grad[i]);
                let pull = projected * scale * scale * scale / width as f32;
                for i in 0..width {
                    into[i] += grad[i] * weight[i] * scale - x[i] * pull;
                }
            }
        });
}

/// `silu(gate) * up` for `gate_up` `[tokens, 2 * width]`, gate first (Shazeer, "GLU variants
/// improve transformer", 2020).
pub(crate) fn swiglu(gate_up: &Matrix) -> Matrix {
    let width = gate_up.cols() / 2;
    let mut out = Matrix::zeros(gate_up.rows(), width);
    out.data_mut()
        .par_chunks_mut(width * ROWS_PER_TASK)
        .zip(gate_up.data().par_chunks(2 * width * ROWS_PER_TASK))
        .for_each(|(out, gate_up)| {
            for (out, row) in out.chunks_exact_mut(width).zip(gate_up.chunks_exact(2 * width)) {
                let (gate, up) = row.split_at(width);
                for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                    *out = gate * sigmoid(*gate) * up;
                }
            }
        });
    out
}

/// The gradient of [`swiglu`] for `gate_up`, given `grad` `[tokens, width]`.
pub(crate) fn swiglu_backward(gate_up: &Matrix, grad: &Matrix) -> Matrix {
    let width = grad.cols();
    let mut out = Matrix::zeros(grad.rows(), 2 * width);
    out.data_mut()
        .par_chunks_mut(2 * width * ROWS_PER_TASK)
        .zip(gate_up.data().par_chunks(2 * width * ROWS_PER_TASK))
        .zip(grad.data().par_chunks(width * ROWS_PER_TASK))
        .for_each(|((out, gate_up), grad)| {
            for ((out, row), grad) in
                out.chunks_exact_mut(2 * width).zip(gate_up.chunks_exact(2 * width)).zip(grad.chunks_exact(width))
            {
                let (gate, up) = row.split_at(width);
                let (d_gate, d_up) = out.split_at_mut(width);
                for i in 0..width {
                    let open = sigmoid(gate[i]);
                    d_up[i] = grad[i] * gate[i] * open;
                    d_gate[i] = grad[i] * up[i] * open * (1.0 + gate[i] * (1.0 - open));
                }
            }
        });
    out
}

/// `e^x` in single precision, to about 2 units in the last place; 0 and a large finite number at
/// the ends. Unlike the C library's it has no branch, so the compiler runs it on whole vectors.
///
/// Cody and Waite's reduction `x = n·ln 2 + r`, then the Taylor polynomial of degree 6 on
/// |r| ≤ ln 2 / 2.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    /// Adding and subtracting it rounds to the nearest integer.
    const ROUNDER: f32 = 12_582_912.0;

    let x = x.clamp(-87.0, 88.0);
    let n = (x * std::f32::consts::LOG2_E + ROUNDER) - ROUNDER;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let polynomial =
        1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0))))));
    let power_of_two = f32::from_bits(((n as i32 + 127) << 23) as u32);
    polynomial * power_of_two
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (sum_lanes(x.len(), |i| x[i] * x[i]) / x.len() as f32 + eps).sqrt()
}

/// The sum of `term(0..len)` in eight interleaved partial sums: an order that vector units of
/// any width can follow.
#[inline(always)]
pub(crate) fn sum_lanes(len: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0f32; 8];
    let whole = len / 8 * 8;
    for base in (0..whole).step_by(8) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(base + lane);
        }
    }
    for (lane, i) in (whole..len).enumerate() {
        lanes[lane] += term(i);
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}
