//! Rotary positions and causal attention over sequences that lie one after the other.
//!
//! A row of `qkv` holds a token's query heads, then its key heads, then its value heads, each
//! `dim` wide; several query heads may share a key and value head (Ainslie and others, "GQA",
//! 2023).

use rayon::prelude::*;

use super::{
    elementwise::{exp, sum_lanes},
    matrix::Matrix,
};

/// How a row of `qkv` is divided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    pub(crate) query: usize,
    pub(crate) key_value: usize,
    pub(crate) dim: usize,
}

impl Heads {
    pub(crate) fn query_width(&self) -> usize {
        self.query * self.dim
    }

    pub(crate) fn key_value_width(&self) -> usize {
        self.key_value * self.dim
    }

    pub(crate) fn row_width(&self) -> usize {
        self.query_width() + 2 * self.key_value_width()
    }

    fn scale(&self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }
}

/// Where the sequences of a batch begin and end.
#[derive(Clone, Debug)]
pub(crate) struct Segments(Vec<usize>);

impl Segments {
    /// Sequences of these lengths, one after the other.
    pub(crate) fn of_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        Self(lengths.into_iter().collect())
    }

    pub(crate) fn lengths(&self) -> &[usize] {
        &self.0
    }

    /// Each token's position in its own sequence.
    pub(crate) fn positions(&self) -> Vec<usize> {
        self.0.iter().flat_map(|length| 0..*length).collect()
    }
}

/// Cosines and sines of the rotary embedding (Su and others, "RoFormer", 2021) in the order of
/// Hugging Face's Llama: number `i` of a head turns with number `i + dim / 2`.
#[derive(Clone, Debug)]
pub(crate) struct Rotary {
    /// By pair, in radians a position.
    frequencies: Vec<f64>,
}

impl Rotary {
    pub(crate) fn new(frequencies: Vec<f64>) -> Self {
        Self { frequencies }
    }

    /// Turns the query and key heads of every row to its position.
    pub(crate) fn turn(&self, qkv: &mut Matrix, heads: Heads, positions: &[usize]) {
        self.rotate(qkv, heads, positions, 1.0);
    }

    /// Turns gradients back; a rotation's transpose is its inverse.
    pub(crate) fn turn_back(&self, qkv: &mut Matrix, heads: Heads, positions: &[usize]) {
        self.rotate(qkv, heads, positions, -1.0);
    }

    fn rotate(&self, qkv: &mut Matrix, heads: Heads, positions: &[usize], direction: f32) {
        let half = self.frequencies.len();
        let table = self.table(positions.iter().max().map_or(0, |last| last + 1));
        let turned = heads.query_width() + heads.key_value_width();
        qkv.data_mut().par_chunks_mut(heads.row_width()).zip(positions).for_each(|(row, position)| {
            let (cos, sin) = table[position * 2 * half..][..2 * half].split_at(half);
            for head in row[..turned].chunks_exact_mut(heads.dim) {
                let (low, high) = head.split_at_mut(half);
                for i in 0..half {
                    let (a, b, s) = (low[i], high[i], direction * sin[i]);
                    low[i] = a * cos[i] - b * s;
                    high[i] = b * cos[i] + a * s;
                }
            }
        });
    }

    /// The cosines and the sines of each token's angles, `[tokens, dim / 2]` each.
    pub(crate) fn cosines_and_sines(&self, positions: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let angles = positions.iter().flat_map(|position| self.angles(*position));
        angles.map(|angle| (angle.cos() as f32, angle.sin() as f32)).unzip()
    }

    fn angles(&self, position: usize) -> impl Iterator<Item = f64> {
        self.frequencies.iter().map(move |frequency| position as f64 * frequency)
    }

    /// `[positions, cosines then sines]`.
    fn table(&self, positions: usize) -> Vec<f32> {
        let mut table = Vec::with_capacity(positions * 2 * self.frequencies.len());
        for position in 0..positions {
            table.extend(self.angles(position).map(|angle| angle.cos() as f32));
            table.extend(self.angles(position).map(|angle| angle.sin() as f32));
        }
        table
    }
}

/// Keys or values of one head: row `t` begins at `data[t * stride]`.
#[derive(Clone, Copy)]
struct Rows<'a> {
    data: &'a [f32],
    stride: usize,
    dim: usize,
}

impl<'a> Rows<'a> {
    fn row(&self, t: usize) -> &'a [f32] {
        &self.data[t * self.stride..][..self.dim]
    }
}

/// Causal attention of each sequence over itself: `[tokens, query_width]`.
pub(crate) fn attend(qkv: &Matrix, heads: Heads, segments: &Segments) -> Matrix {
    let (width, stride) = (heads.query_width(), heads.row_width());
    let mut out = Matrix::zeros(qkv.rows(), width);
    let parts = split(out.data_mut(), segments, width);
    let inputs = split_ref(qkv.data(), segments, stride);
    parts.into_par_iter().zip(inputs).zip(segments.lengths()).for_each(|((out, qkv), length)| {
        let mut weights = vec![0.0; *length];
        for head in 0..heads.query {
            let (keys, values) = key_value_rows(qkv, heads, head);
            for t in 0..*length {
                let query = &qkv[t * stride + head * heads.dim..][..heads.dim];
                let out = &mut out[t * width + head * heads.dim..][..heads.dim];
                attend_one(query, keys, values, heads.scale(), &mut weights[..=t], out);
            }
        }
    });
    out
}

/// The gradient of [`attend`] for `qkv`, given `grad` `[tokens, query_width]`. The attention
/// weights are computed again: at these lengths that is cheaper than keeping them.
pub(crate) fn attend_backward(qkv: &Matrix, heads: Heads, segments: &Segments, grad: &Matrix) -> Matrix {
    let (width, stride, dim) = (heads.query_width(), heads.row_width(), heads.dim);
    let mut out = Matrix::zeros(qkv.rows(), stride);
    let parts = split(out.data_mut(), segments, stride);
    let inputs = split_ref(qkv.data(), segments, stride);
    let grads = split_ref(grad.data(), segments, width);
    let inputs = inputs.into_par_iter().zip(grads);
    parts.into_par_iter().zip(inputs).zip(segments.lengths()).for_each(|((d_qkv, (qkv, grad)), length)| {
        let mut weights = vec![0.0; *length];
        let mut d_weights = vec![0.0; *length];
        for head in 0..heads.query {
            let (keys, values) = key_value_rows(qkv, heads, head);
            let key_start = heads.query_width() + shared_head(heads, head) * dim;
            let value_start = key_start + heads.key_value_width();
            for t in 0..*length {
                let query = &qkv[t * stride + head * dim..][..dim];
                let grad = &grad[t * width + head * dim..][..dim];
                let weights = &mut weights[..=t];
                attention_weights(query, keys, heads.scale(), weights);

                let d_weights = &mut d_weights[..=t];
                for (s, d_weight) in d_weights.iter_mut().enumerate() {
                    *d_weight = dot(grad, values.row(s));
                    add_scaled(&mut d_qkv[s * stride + value_start..][..dim], grad, weights[s]);
                }
                let mean = sum_lanes(weights.len(), |s| weights[s] * d_weights[s]);
                for s in 0..=t {
                    let d_score = weights[s] * (d_weights[s] - mean) * heads.scale();
                    add_scaled(&mut d_qkv[t * stride + head * dim..][..dim], keys.row(s), d_score);
                    add_scaled(&mut d_qkv[s * stride + key_start..][..dim], query, d_score);
                }
            }
        }
    });
    out
}

/// The keys and values a sequence has had so far in one layer, row-major.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyValues {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl KeyValues {
    /// Takes over the keys and values of rows of `qkv`.
    pub(crate) fn extend(&mut self, qkv: &[f32], heads: Heads) {
        for row in qkv.chunks_exact(heads.row_width()) {
            let (keys, values) = row[heads.query_width()..].split_at(heads.key_value_width());
            self.keys.extend_from_slice(keys);
            self.values.extend_from_slice(values);
        }
    }
}

/// One new token a sequence, over all that its cache holds (the new token's own included).
pub(crate) fn attend_cached(qkv: &Matrix, heads: Heads, caches: &[KeyValues]) -> Matrix {
    let (width, dim) = (heads.query_width(), heads.dim);
    let mut out = Matrix::zeros(qkv.rows(), width);
    out.data_mut().par_chunks_mut(width).zip(caches).enumerate().for_each(|(sequence, (out, cache))| {
        let length = cache.keys.len() / heads.key_value_width();
        let mut weights = vec![0.0; length];
        for head in 0..heads.query {
            let start = shared_head(heads, head) * dim;
            let rows = |data| Rows { data, stride: heads.key_value_width(), dim };
            attend_one(
                &qkv.row(sequence)[head * dim..][..dim],
                rows(&cache.keys[start..]),
                rows(&cache.values[start..]),
                heads.scale(),
                &mut weights,
                &mut out[head * dim..][..dim],
            );
        }
    });
    out
}

fn attend_one(query: &[f32], keys: Rows<'_>, values: Rows<'_>, scale: f32, weights: &mut [f32], out: &mut [f32]) {
    attention_weights(query, keys, scale, weights);
    for (s, weight) in weights.iter().enumerate() {
        add_scaled(out, values.row(s), *weight);
    }
}

/// Softmax of the scaled scores of `query` against the first `weights.len()` keys.
fn attention_weights(query: &[f32], keys: Rows<'_>, scale: f32, weights: &mut [f32]) {
    let mut highest = f32::NEG_INFINITY;
    for (s, weight) in weights.iter_mut().enumerate() {
        *weight = dot(query, keys.row(s)) * scale;
        highest = highest.max(*weight);
    }
    weights.iter_mut().for_each(|weight| *weight = exp(*weight - highest));
    let total = sum_lanes(weights.len(), |s| weights[s]);
    weights.iter_mut().for_each(|weight| *weight /= total);
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let b = &b[..a.len()];
    sum_lanes(a.len(), |i| a[i] * b[i])
}

fn add_scaled(to: &mut [f32], from: &[f32], scale: f32) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += scale * from);
}

/// The key and value head that a query head uses.
fn shared_head(heads: Heads, head: usize) -> usize {
    head / (heads.query / heads.key_value)
}

fn key_value_rows<'a>(qkv: &'a [f32], heads: Heads, head: usize) -> (Rows<'a>, Rows<'a>) {
    let start = heads.query_width() + shared_head(heads, head) * heads.dim;
    let rows = |start| Rows { data: &qkv[start..], stride: heads.row_width(), dim: heads.dim };
    (rows(start), rows(start + heads.key_value_width()))
}

fn split<'a>(mut data: &'a mut [f32], segments: &Segments, width: usize) -> Vec<&'a mut [f32]> {
    let mut parts = Vec::with_capacity(segments.0.len());
    for length in &segments.0 {
        let (part, rest) = data.split_at_mut(length * width);
        parts.push(part);
        data = rest;
    }
    parts
}

fn split_ref<'a>(mut data: &'a [f32], segments: &Segments, width: usize) -> Vec<&'a [f32]> {
    let mut parts = Vec::with_capacity(segments.0.len());
    for length in &segments.0 {
        let (part, rest) = data.split_at(length * width);
        parts.push(part);
        data = rest;
    }
    parts
}
