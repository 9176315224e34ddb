//! The network on quantised weights: a step takes some new tokens of many sequences, each with its own adapter and its
//! own keys and values.

use std::ops::Range;

use candle_core::Result;
use rayon::prelude::*;

use super::{
    delta::{Deltas, Place},
    quant::{Linear, dot, widest},
};
use crate::nn::{
    attention::{Heads, Rotary},
    elementwise::{exp, rms_norm, swiglu},
    matrix::Matrix,
};

/// Products of attention that are worth a task of their own.
const PRODUCTS_PER_TASK: usize = 1 << 15;

/// Weights as they are served.
#[derive(Debug)]
pub(super) struct Network {
    /// `[vocabulary, hidden]`.
    pub(super) embedding: Linear,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Vec<f32>,
    /// `[vocabulary, hidden]`; absent where the embedding serves as the output as well.
    pub(super) output: Option<Linear>,
    pub(super) heads: Heads,
    pub(super) rotary: Rotary,
    pub(super) eps: f32,
    pub(super) hidden: usize,
}

/// Weights of one layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attention_norm: Vec<f32>,
    /// Query, key and value, one below the other.
    pub(super) qkv: Linear,
    pub(super) o: Linear,
    pub(super) mlp_norm: Vec<f32>,
    /// Gate and up, one below the other.
    pub(super) gate_up: Linear,
    pub(super) down: Linear,
}

/// The keys and values of a sequence so far.
#[derive(Debug)]
pub(super) struct Cache {
    layers: Vec<KeyValues>,
    length: usize,
}

/// Those of one layer, `[tokens, key and value heads]` each.
#[derive(Debug)]
struct KeyValues {
    keys: Vec<f32>,
    values: Vec<f32>,
}

/// What a step does for one sequence.
pub(super) struct Slot<'a> {
    /// Its next tokens, at least one.
    pub(super) tokens: &'a [u32],
    pub(super) cache: &'a mut Cache,
    pub(super) deltas: Option<&'a Deltas>,
    pub(super) logits: Wanted,
}

/// After which of a slot's tokens logits are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    None,
    Last,
    All,
}

impl Cache {
    /// An empty one with room for so many tokens. Memory is taken as it fills.
    pub(super) fn new(network: &Network, tokens: usize) -> Self {
        let numbers = tokens * network.heads.key_value_width();
        let room = || KeyValues { keys: Vec::with_capacity(numbers), values: Vec::with_capacity(numbers) };
        Self { layers: network.layers.iter().map(|_| room()).collect(), length: 0 }
    }
}

impl Network {
    /// Bytes of the keys and values of one token.
    pub(super) fn bytes_per_token(&self) -> usize {
        self.layers.len() * 2 * 4 * self.heads.key_value_width()
    }

    /// Bytes of all weights.
    pub(super) fn bytes(&self) -> usize {
        let layer = |layer: &Layer| [&layer.qkv, &layer.o, &layer.gate_up, &layer.down].map(Linear::bytes);
        let ends = self.embedding.bytes() + self.output.as_ref().map_or(0, Linear::bytes);
        ends + self.layers.iter().flat_map(layer).sum::<usize>()
    }

    /// Takes the slots' tokens in: the logits that were asked for, `[rows, vocabulary]`, in the order of slots and tokens.
    ///
    /// # Errors
    /// If candle fails.
    pub(super) fn step(&self, slots: &mut [Slot<'_>]) -> Result<Matrix> {
        let mut rows = Vec::with_capacity(slots.len());
        let (mut numbers, mut positions) = (Vec::new(), Vec::new());
        for slot in slots.iter() {
            let start = positions.len();
            for (i, token) in slot.tokens.iter().enumerate() {
                numbers.extend(self.embedding.row(*token as usize)?);
                positions.push(slot.cache.length + i);
            }
            rows.push(start..positions.len());
        }
        let mut x = Matrix::new(positions.len(), self.hidden, numbers);
        let angles = self.rotary.cosines_and_sines(&positions);

        for (i, layer) in self.layers.iter().enumerate() {
            let input = rms_norm(&x, &layer.attention_norm, self.eps);
            let mut qkv = layer.qkv.product(&input)?;
            adapt(slots, &rows, i, Place::Qkv, &input, &mut qkv);
            self.turn(&mut qkv, &angles);
            for (slot, rows) in slots.iter_mut().zip(&rows) {
                slot.cache.layers[i].extend(&qkv, rows.clone(), self.heads);
            }
            let attended = self.attend(&qkv, slots, i);
            let mut middle = layer.o.product(&attended)?;
            adapt(slots, &rows, i, Place::Output, &attended, &mut middle);
            x.add_scaled(&middle, 1.0);

            let input = rms_norm(&x, &layer.mlp_norm, self.eps);
            let mut gate_up = layer.gate_up.product(&input)?;
            adapt(slots, &rows, i, Place::GateUp, &input, &mut gate_up);
            let activated = swiglu(&gate_up);
            let mut down = layer.down.product(&activated)?;
            adapt(slots, &rows, i, Place::Down, &activated, &mut down);
            x.add_scaled(&down, 1.0);
        }
        for slot in slots.iter_mut() {
            slot.cache.length += slot.tokens.len();
        }
        let wanted: Vec<usize> = slots.iter().zip(rows).flat_map(|(slot, rows)| slot.logits.rows(rows)).collect();
        self.logits(&x.gather_rows(wanted.into_iter()))
    }

    fn logits(&self, hidden: &Matrix) -> Result<Matrix> {
        let output = self.output.as_ref().unwrap_or(&self.embedding);
        if hidden.rows() == 0 {
            return Ok(Matrix::zeros(0, output.rows()));
        }
        output.product(&rms_norm(hidden, &self.norm, self.eps))
    }

    /// Turns the query and key heads of every row to its position.
    fn turn(&self, qkv: &mut Matrix, (cosines, sines): &(Vec<f32>, Vec<f32>)) {
        let (heads, half) = (self.heads, self.heads.dim / 2);
        let turned = heads.query_width() + heads.key_value_width();
        for (row, numbers) in qkv.data_mut().chunks_exact_mut(heads.row_width()).enumerate() {
            let (cosines, sines) = (&cosines[row * half..][..half], &sines[row * half..][..half]);
            for head in numbers[..turned].chunks_exact_mut(heads.dim) {
                let (low, high) = head.split_at_mut(half);
                for i in 0..half {
                    (low[i], high[i]) =
                        (low[i] * cosines[i] - high[i] * sines[i], high[i] * cosines[i] + low[i] * sines[i]);
                }
            }
        }
    }

    /// Each row over all that its sequence had up to it, its own token included.
    fn attend(&self, qkv: &Matrix, slots: &[Slot<'_>], layer: usize) -> Matrix {
        let heads = self.heads;
        let of = |slot: &Slot<'_>| (slot.cache.length + 1)..=(slot.cache.length + slot.tokens.len());
        let rows: Vec<(&KeyValues, usize)> =
            slots.iter().flat_map(|slot| of(slot).map(|length| (&slot.cache.layers[layer], length))).collect();
        let group = heads.query / heads.key_value * heads.dim;
        let longest = rows.iter().map(|(_, length)| *length).max().unwrap_or(1);
        let mut out = Matrix::zeros(rows.len(), heads.query_width());
        let tasks = out.data_mut().par_chunks_mut(group).with_min_len(1 + PRODUCTS_PER_TASK / (2 * group * longest));
        tasks.enumerate().for_each(|(i, out)| {
            let (row, shared) = (i / heads.key_value, i % heads.key_value);
            let (held, length) = rows[row];
            let query = &qkv.row(row)[shared * group..][..group];
            widest((held, length, heads, shared, query, out), attend_group);
        });
        out
    }
}

impl KeyValues {
    fn extend(&mut self, qkv: &Matrix, rows: Range<usize>, heads: Heads) {
        for row in rows {
            let (keys, values) = qkv.row(row)[heads.query_width()..].split_at(heads.key_value_width());
            self.keys.extend_from_slice(keys);
            self.values.extend_from_slice(values);
        }
    }
}

impl Wanted {
    fn rows(self, rows: Range<usize>) -> Range<usize> {
        match self {
            Self::None => rows.end..rows.end,
            Self::Last => rows.end - 1..rows.end,
            Self::All => rows,
        }
    }
}

/// Adds to `y` what each slot's adapter makes of its rows of `x`.
fn adapt(slots: &[Slot<'_>], rows: &[Range<usize>], layer: usize, place: Place, x: &Matrix, y: &mut Matrix) {
    for (slot, rows) in slots.iter().zip(rows) {
        if let Some(deltas) = slot.deltas {
            deltas.add(layer, place, x, y, rows.clone());
        }
    }
}

/// The query heads that share a key and value head (Ainslie and others, "GQA", 2023), of one row.
#[inline(always)]
fn attend_group((held, length, heads, shared, query, out): (&KeyValues, usize, Heads, usize, &[f32], &mut [f32])) {
    let (dim, width) = (heads.dim, heads.key_value_width());
    let scale = 1.0 / (dim as f32).sqrt();
    let mut weights = vec![0.0; length];
    for (query, out) in query.chunks_exact(dim).zip(out.chunks_exact_mut(dim)) {
        let mut highest = f32::NEG_INFINITY;
        for (weight, key) in weights.iter_mut().zip(held.keys.chunks_exact(width)) {
            *weight = dot(query, &key[shared * dim..][..dim]) * scale;
            highest = highest.max(*weight);
        }
        let mut total = 0.0;
        for weight in &mut weights {
            *weight = exp(*weight - highest);
            total += *weight;
        }
        for (weight, value) in weights.iter().zip(held.values.chunks_exact(width)) {
            let share = weight / total;
            out.iter_mut().zip(&value[shared * dim..][..dim]).for_each(|(out, value)| *out += share * value);
        }
    }
}
