//! The network: forward with or without a record for the backward pass, and with a cache of keys
//! and values for generation.

use super::{
    attention::{Heads, KeyValues, Rotary, Segments, attend, attend_backward, attend_cached},
    elementwise::{rms_norm, rms_norm_backward, swiglu, swiglu_backward},
    linear::{self, LowRank},
    matrix::{Matrix, product_transposed},
};

/// A base model's frozen weights, each linear map `[out, in]`.
#[derive(Debug)]
pub(crate) struct Weights {
    /// `[vocabulary, hidden]`.
    pub(crate) embedding: Matrix,
    pub(crate) layers: Vec<LayerWeights>,
    pub(crate) norm: Vec<f32>,
    /// `[vocabulary, hidden]`; absent where the embedding serves as the output as well.
    pub(crate) output: Option<Matrix>,
    pub(crate) heads: Heads,
    pub(crate) rotary: Rotary,
    pub(crate) eps: f32,
}

/// The frozen weights of one layer.
#[derive(Debug)]
pub(crate) struct LayerWeights {
    pub(crate) attention_norm: Vec<f32>,
    /// Query, key and value, one below the other.
    pub(crate) qkv: Matrix,
    pub(crate) o: Matrix,
    pub(crate) mlp_norm: Vec<f32>,
    /// Gate and up, one below the other.
    pub(crate) gate_up: Matrix,
    pub(crate) down: Matrix,
}

/// The adapters of one layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct LayerAdapters {
    pub(crate) qkv: Option<LowRank>,
    pub(crate) o: Option<LowRank>,
    pub(crate) gate_up: Option<LowRank>,
    pub(crate) down: Option<LowRank>,
}

impl LayerAdapters {
    /// As [`LowRank::zeros_like`].
    pub(crate) fn zeros_like(&self) -> Self {
        let zeros = |adapter: &Option<LowRank>| adapter.as_ref().map(LowRank::zeros_like);
        Self { qkv: zeros(&self.qkv), o: zeros(&self.o), gate_up: zeros(&self.gate_up), down: zeros(&self.down) }
    }

    /// All matrices, in a fixed order.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        [&self.qkv, &self.o, &self.gate_up, &self.down].into_iter().flatten().flat_map(LowRank::matrices)
    }

    /// As [`LayerAdapters::matrices`].
    pub(crate) fn matrices_mut(&mut self) -> impl Iterator<Item = &mut Matrix> {
        [&mut self.qkv, &mut self.o, &mut self.gate_up, &mut self.down]
            .into_iter()
            .flatten()
            .flat_map(LowRank::matrices_mut)
    }
}

/// What the backward pass of one layer needs.
struct LayerRecord {
    input: Matrix,
    attention_input: Matrix,
    qkv: Matrix,
    attended: Matrix,
    middle: Matrix,
    mlp_input: Matrix,
    gate_up: Matrix,
}

/// What the backward pass needs of a forward pass.
pub(crate) struct Record {
    layers: Vec<LayerRecord>,
    segments: Segments,
    positions: Vec<usize>,
    /// `[answer tokens, hidden]`, before the last norm.
    last: Matrix,
    /// The rows of the batch that `last` was taken from.
    answer_rows: Vec<usize>,
}

/// Each sequence's keys and values, by layer.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    layers: Vec<KeyValues>,
    pub(crate) length: usize,
}

impl Weights {
    /// Logits `[answer rows, vocabulary]` after the tokens at `answer_rows` of the packed batch,
    /// and the record for [`Weights::backward`].
    pub(crate) fn forward(
        &self,
        adapters: &[LayerAdapters],
        tokens: &[u32],
        segments: Segments,
        answer_rows: Vec<usize>,
    ) -> (Matrix, Record) {
        let positions = segments.positions();
        let mut x = self.embed(tokens);
        let mut layers = Vec::with_capacity(self.layers.len());
        for (layer, adapter) in self.layers.iter().zip(adapters) {
            let (next, record) =
                self.layer(layer, Some(adapter), x, &positions, |qkv| attend(qkv, self.heads, &segments));
            x = next;
            layers.push(record);
        }
        let last = x.gather_rows(answer_rows.iter().copied());
        let logits = self.logits(&last);
        (logits, Record { layers, segments, positions, last, answer_rows })
    }

    /// Adds to `into` the gradients of the adapters, given those of the logits.
    pub(crate) fn backward(
        &self,
        adapters: &[LayerAdapters],
        record: Record,
        d_logits: &Matrix,
        into: &mut [LayerAdapters],
    ) {
        let d_normed = linear::backward(&record.last, self.output(), None, d_logits);
        let mut d_last = Matrix::zeros(record.last.rows(), record.last.cols());
        rms_norm_backward(&mut d_last, &record.last, &self.norm, self.eps, &d_normed);
        let mut d_x = Matrix::zeros(record.positions.len(), record.last.cols());
        scatter_rows(&d_last, &record.answer_rows, &mut d_x);

        let layers = self.layers.iter().zip(adapters).zip(into).zip(record.layers).rev();
        for (((layer, adapter), into), record_of_layer) in layers {
            self.layer_backward(layer, adapter, into, record_of_layer, &record.segments, &record.positions, &mut d_x);
        }
    }

    /// Runs whole sequences: the logits after each one's last token, and the caches to go on with.
    pub(crate) fn prefill(
        &self,
        adapters: Option<&[LayerAdapters]>,
        tokens: &[u32],
        segments: &Segments,
    ) -> (Matrix, Vec<Cache>) {
        let lengths = segments.lengths();
        let (x, caches) = self.prefill_all(adapters, tokens, segments);
        let mut end = 0;
        let last = lengths.iter().map(|length| {
            end += length;
            end - 1
        });
        (self.logits(&x.gather_rows(last)), caches)
    }

    /// Runs whole sequences: the hidden state after each token, before the last norm.
    pub(crate) fn prefill_all(
        &self,
        adapters: Option<&[LayerAdapters]>,
        tokens: &[u32],
        segments: &Segments,
    ) -> (Matrix, Vec<Cache>) {
        let positions = segments.positions();
        let lengths = segments.lengths();
        let mut caches: Vec<Cache> = lengths
            .iter()
            .map(|length| Cache { layers: Vec::with_capacity(self.layers.len()), length: *length })
            .collect();
        let mut x = self.embed(tokens);
        for (i, layer) in self.layers.iter().enumerate() {
            (x, _) = self.layer(layer, adapters.map(|a| &a[i]), x, &positions, |qkv| {
                let mut start = 0;
                for (cache, length) in caches.iter_mut().zip(lengths) {
                    let mut held = KeyValues::default();
                    let width = qkv.cols();
                    held.extend(&qkv.data()[start * width..][..length * width], self.heads);
                    cache.layers.push(held);
                    start += length;
                }
                attend(qkv, self.heads, segments)
            });
        }
        (x, caches)
    }

    /// Runs one new token for each cache: the logits after it.
    pub(crate) fn step(&self, adapters: Option<&[LayerAdapters]>, tokens: &[u32], caches: &mut [&mut Cache]) -> Matrix {
        let positions: Vec<usize> = caches.iter().map(|cache| cache.length).collect();
        let mut x = self.embed(tokens);
        for (i, layer) in self.layers.iter().enumerate() {
            (x, _) = self.layer(layer, adapters.map(|a| &a[i]), x, &positions, |qkv| {
                for (row, cache) in caches.iter_mut().enumerate() {
                    cache.layers[i].extend(qkv.row(row), self.heads);
                }
                let held: Vec<&KeyValues> = caches.iter().map(|cache| &cache.layers[i]).collect();
                attend_cached(qkv, self.heads, &held)
            });
        }
        caches.iter_mut().for_each(|cache| cache.length += 1);
        self.logits(&x)
    }

    /// Logits `[rows, vocabulary]` of hidden states.
    pub(crate) fn logits(&self, hidden: &Matrix) -> Matrix {
        let normed = rms_norm(hidden, &self.norm, self.eps);
        product_transposed(normed.all(), self.output().all())
    }

    fn layer(
        &self,
        layer: &LayerWeights,
        adapter: Option<&LayerAdapters>,
        input: Matrix,
        positions: &[usize],
        attend: impl FnOnce(&Matrix) -> Matrix,
    ) -> (Matrix, LayerRecord) {
        let on = |pick: fn(&LayerAdapters) -> &Option<LowRank>| adapter.and_then(|a| pick(a).as_ref());

        let attention_input = rms_norm(&input, &layer.attention_norm, self.eps);
        let mut qkv = linear::forward(&attention_input, &layer.qkv, on(|a| &a.qkv));
        self.rotary.turn(&mut qkv, self.heads, positions);
        let attended = attend(&qkv);
        let mut middle = linear::forward(&attended, &layer.o, on(|a| &a.o));
        middle.add_scaled(&input, 1.0);

        let mlp_input = rms_norm(&middle, &layer.mlp_norm, self.eps);
        let gate_up = linear::forward(&mlp_input, &layer.gate_up, on(|a| &a.gate_up));
        let mut output = linear::forward(&swiglu(&gate_up), &layer.down, on(|a| &a.down));
        output.add_scaled(&middle, 1.0);
        (output, LayerRecord { input, attention_input, qkv, attended, middle, mlp_input, gate_up })
    }

    /// Turns `d_x` from the gradient of the layer's output to that of its input.
    #[expect(clippy::too_many_arguments, reason = "the layer's weights, its adapters and its record")]
    fn layer_backward(
        &self,
        layer: &LayerWeights,
        adapter: &LayerAdapters,
        into: &mut LayerAdapters,
        record: LayerRecord,
        segments: &Segments,
        positions: &[usize],
        d_x: &mut Matrix,
    ) {
        // Only an adapter on the down projection asks for its input again.
        let activated = match &adapter.down {
            Some(_) => swiglu(&record.gate_up),
            None => Matrix::zeros(0, layer.down.cols()),
        };
        let d_activated = linear::backward(&activated, &layer.down, both(&adapter.down, &mut into.down), d_x);
        let d_gate_up = swiglu_backward(&record.gate_up, &d_activated);
        let d_mlp_input =
            linear::backward(&record.mlp_input, &layer.gate_up, both(&adapter.gate_up, &mut into.gate_up), &d_gate_up);
        rms_norm_backward(d_x, &record.middle, &layer.mlp_norm, self.eps, &d_mlp_input);

        let d_attended = linear::backward(&record.attended, &layer.o, both(&adapter.o, &mut into.o), d_x);
        let mut d_qkv = attend_backward(&record.qkv, self.heads, segments, &d_attended);
        self.rotary.turn_back(&mut d_qkv, self.heads, positions);
        let d_attention_input =
            linear::backward(&record.attention_input, &layer.qkv, both(&adapter.qkv, &mut into.qkv), &d_qkv);
        rms_norm_backward(d_x, &record.input, &layer.attention_norm, self.eps, &d_attention_input);
    }

    fn embed(&self, tokens: &[u32]) -> Matrix {
        self.embedding.gather_rows(tokens.iter().map(|token| *token as usize))
    }

    fn output(&self) -> &Matrix {
        self.output.as_ref().unwrap_or(&self.embedding)
    }
}

fn both<'a>(adapter: &'a Option<LowRank>, into: &'a mut Option<LowRank>) -> Option<(&'a LowRank, &'a mut LowRank)> {
    adapter.as_ref().zip(into.as_mut())
}

fn scatter_rows(from: &Matrix, rows: &[usize], to: &mut Matrix) {
    let cols = from.cols();
    for (i, row) in rows.iter().enumerate() {
        let to = &mut to.data_mut()[row * cols..][..cols];
        to.iter_mut().zip(from.row(i)).for_each(|(to, from)| *to += from);
    }
}
