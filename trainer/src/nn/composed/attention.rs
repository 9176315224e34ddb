//! Rotary positions and causal attention in candle's operations. Sequences are padded to the longest, so that one product
//! serves all of them; query heads that share a key head lie one below the other.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::softmax_last_dim;

use super::{Array as _, indices, product};
use crate::nn::attention::{Heads, Rotary, Segments};

/// Where the tokens of a batch stand, and where in the padded form.
pub(crate) struct Plan {
    /// Cosines and sines of each token's angles, `[tokens, 1, dim / 2]`.
    cos: Tensor,
    sin: Tensor,
    sequences: usize,
    longest: usize,
    /// The row whose token each slot holds; any row where it holds none. `[sequences * longest]`.
    rows: Tensor,
    /// 1 where a slot holds a token, 0 where not: `[sequences * longest, 1]`.
    filled: Tensor,
    /// Each token's slot.
    slots: Tensor,
    /// What is added to scores: nothing for what is past, -∞ for what is to come. `[longest, longest]`.
    unseen: Tensor,
    lengths: Vec<usize>,
}

impl Plan {
    pub(super) fn new(rotary: &Rotary, segments: &Segments, positions: &[usize], device: &Device) -> Result<Self> {
        let lengths = segments.lengths().to_vec();
        let (sequences, longest) = (lengths.len(), lengths.iter().copied().max().unwrap_or(0));
        let (mut rows, mut filled, mut slots) = (Vec::new(), Vec::new(), Vec::new());
        for (sequence, length) in lengths.iter().enumerate() {
            let first = slots.len();
            rows.extend((0..longest).map(|t| if t < *length { first + t } else { 0 }));
            filled.extend((0..longest).map(|t| if t < *length { 1.0f32 } else { 0.0 }));
            slots.extend((0..*length).map(|t| sequence * longest + t));
        }
        let unseen = (0..longest).flat_map(|t| (0..longest).map(move |s| hidden(s > t)));
        let (cos, sin) = rotary.cosines_and_sines(positions);
        let by_token = |table: Vec<f32>| {
            let half = table.len() / positions.len().max(1);
            Tensor::from_vec(table, (positions.len(), 1, half), device)
        };
        Ok(Self {
            cos: by_token(cos)?,
            sin: by_token(sin)?,
            sequences,
            longest,
            rows: indices(&rows, device)?,
            filled: Tensor::from_vec(filled, (sequences * longest, 1), device)?,
            slots: indices(&slots, device)?,
            unseen: Tensor::from_vec(unseen.collect::<Vec<f32>>(), (longest, longest), device)?,
            lengths,
        })
    }

    /// Turns the query and key heads of `qkv` in place, forward or back.
    pub(super) fn rotate(&self, qkv: &Tensor, heads: Heads, direction: f64) -> Result<()> {
        let (tokens, half) = (qkv.rows(), heads.dim / 2);
        let width = heads.query_width() + heads.key_value_width();
        let x = qkv.narrow(1, 0, width)?.reshape((tokens, heads.query + heads.key_value, heads.dim))?;
        let (low, high) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
        let sin = (&self.sin * direction)?;
        let turned_low = (low.broadcast_mul(&self.cos)? - high.broadcast_mul(&sin)?)?;
        let turned_high = (high.broadcast_mul(&self.cos)? + low.broadcast_mul(&sin)?)?;
        let turned = Tensor::cat(&[turned_low, turned_high], 2)?.contiguous()?.reshape((tokens, width))?;
        qkv.slice_set(&turned, 1, 0)
    }

    pub(super) fn attend(&self, qkv: &Tensor, heads: Heads) -> Result<Tensor> {
        let [query, key, value] = self.split(qkv, heads)?;
        let attended = product(&self.weights(&query, &key, heads)?, &value)?;
        self.unpad(&self.query_columns(&attended, heads)?)
    }

    /// The weights are computed again: keeping them takes memory that grows with the square of the length.
    pub(super) fn attend_gradient(&self, qkv: &Tensor, heads: Heads, grad: &Tensor) -> Result<Tensor> {
        let [query, key, value] = self.split(qkv, heads)?;
        let weights = self.weights(&query, &key, heads)?;
        let grad = self.pad(grad)?.broadcast_mul(&self.filled)?;
        let grad = self.query_heads(&grad, heads)?;

        let d_value = product(&weights.t()?, &grad)?;
        let d_weights = product(&grad, &value.t()?)?;
        let mean = (&weights * &d_weights)?.sum_keepdim(2)?;
        let d_scores = ((weights * d_weights.broadcast_sub(&mean)?)? * scale(heads))?;
        let d_query = product(&d_scores, &key)?;
        let d_key = product(&d_scores.t()?, &query)?;
        let columns = [
            self.query_columns(&d_query, heads)?,
            self.key_value_columns(&d_key, heads)?,
            self.key_value_columns(&d_value, heads)?,
        ];
        self.unpad(&Tensor::cat(&columns, 1)?)
    }

    /// The keys and values of whole sequences.
    pub(super) fn held(&self, qkv: &Tensor, heads: Heads) -> Result<Held> {
        let [_, key, value] = self.split(qkv, heads)?;
        let shape = (self.sequences, heads.key_value, self.longest, heads.dim);
        let unseen = self.lengths.iter().flat_map(|length| (0..self.longest).map(move |t| hidden(t >= *length)));
        let unseen: Vec<f32> = unseen.collect();
        Ok(Held {
            keys: key.reshape(shape)?,
            values: value.reshape(shape)?,
            unseen: Tensor::from_vec(unseen, (self.sequences, 1, self.longest), qkv.device())?,
        })
    }

    /// Query, key and value heads: `[sequences * key heads, rows, dim]`.
    fn split(&self, qkv: &Tensor, heads: Heads) -> Result<[Tensor; 3]> {
        let padded = self.pad(qkv)?;
        let (query, shared) = (heads.query_width(), heads.key_value_width());
        Ok([
            self.query_heads(&padded.narrow(1, 0, query)?, heads)?,
            self.key_value_heads(&padded.narrow(1, query, shared)?, heads)?,
            self.key_value_heads(&padded.narrow(1, query + shared, shared)?, heads)?,
        ])
    }

    /// Softmax of the scaled scores: `[sequences * key heads, query heads a key head * longest, longest]`.
    fn weights(&self, query: &Tensor, key: &Tensor, heads: Heads) -> Result<Tensor> {
        let scores = (product(query, &key.t()?)? * scale(heads))?;
        let shape = scores.shape().clone();
        let by_head = scores.reshape((self.sequences * heads.query, self.longest, self.longest))?;
        softmax_last_dim(&by_head.broadcast_add(&self.unseen)?)?.reshape(shape)
    }

    fn pad(&self, packed: &Tensor) -> Result<Tensor> {
        packed.index_select(&self.rows, 0)
    }

    fn unpad(&self, padded: &Tensor) -> Result<Tensor> {
        padded.contiguous()?.index_select(&self.slots, 0)
    }

    fn query_heads(&self, columns: &Tensor, heads: Heads) -> Result<Tensor> {
        let group = heads.query / heads.key_value;
        columns
            .reshape((self.sequences, self.longest, heads.key_value, group, heads.dim))?
            .permute((0, 2, 3, 1, 4))?
            .contiguous()?
            .reshape((self.sequences * heads.key_value, group * self.longest, heads.dim))
    }

    fn key_value_heads(&self, columns: &Tensor, heads: Heads) -> Result<Tensor> {
        columns
            .reshape((self.sequences, self.longest, heads.key_value, heads.dim))?
            .transpose(1, 2)?
            .contiguous()?
            .reshape((self.sequences * heads.key_value, self.longest, heads.dim))
    }

    fn query_columns(&self, by_head: &Tensor, heads: Heads) -> Result<Tensor> {
        let group = heads.query / heads.key_value;
        by_head
            .reshape((self.sequences, heads.key_value, group, self.longest, heads.dim))?
            .permute((0, 3, 1, 2, 4))?
            .contiguous()?
            .reshape((self.sequences * self.longest, heads.query_width()))
    }

    fn key_value_columns(&self, by_head: &Tensor, heads: Heads) -> Result<Tensor> {
        by_head
            .reshape((self.sequences, heads.key_value, self.longest, heads.dim))?
            .transpose(1, 2)?
            .contiguous()?
            .reshape((self.sequences * self.longest, heads.key_value_width()))
    }
}

/// What some sequences have had so far in one layer.
pub(crate) struct Held {
    /// `[sequences, key heads, slots, dim]`.
    keys: Tensor,
    values: Tensor,
    /// What is added to scores: -∞ for slots that hold nothing of the sequence. `[sequences, 1, slots]`.
    unseen: Tensor,
}

impl Held {
    pub(super) fn extend(&mut self, qkv: &Tensor, heads: Heads) -> Result<()> {
        let (query, shared) = (heads.query_width(), heads.key_value_width());
        let longer = |held: &Tensor, start: usize| {
            let new = qkv.narrow(1, start, shared)?.reshape((qkv.rows(), heads.key_value, 1, heads.dim))?;
            Tensor::cat(&[held, &new], 2)?.contiguous()
        };
        self.keys = longer(&self.keys, query)?;
        self.values = longer(&self.values, query + shared)?;
        let seen = Tensor::zeros((qkv.rows(), 1, 1), DType::F32, qkv.device())?;
        self.unseen = Tensor::cat(&[&self.unseen, &seen], 2)?.contiguous()?;
        Ok(())
    }

    pub(super) fn keep(&mut self, sequences: &[usize]) -> Result<()> {
        let sequences = indices(sequences, self.keys.device())?;
        for part in [&mut self.keys, &mut self.values, &mut self.unseen] {
            *part = part.index_select(&sequences, 0)?;
        }
        Ok(())
    }

    /// One new token a sequence over all that is held, its own included.
    pub(super) fn attend(&self, qkv: &Tensor, heads: Heads) -> Result<Tensor> {
        let (sequences, _, slots, _) = self.keys.dims4()?;
        let shared = sequences * heads.key_value;
        let group = heads.query / heads.key_value;
        let query = qkv.narrow(1, 0, heads.query_width())?.reshape((shared, group, heads.dim))?;
        let flat = |held: &Tensor| held.reshape((shared, slots, heads.dim));
        let scores = (product(&query, &flat(&self.keys)?.t()?)? * scale(heads))?;
        let scores = scores.reshape((sequences, heads.query, slots))?.broadcast_add(&self.unseen)?;
        let weights = softmax_last_dim(&scores)?.reshape((shared, group, slots))?;
        product(&weights, &flat(&self.values)?)?.reshape((sequences, heads.query_width()))
    }
}

fn scale(heads: Heads) -> f64 {
    1.0 / (heads.dim as f64).sqrt()
}

fn hidden(is: bool) -> f32 {
    if is { f32::NEG_INFINITY } else { 0.0 }
}
