//! The network: forward with or without a record for the backward pass, and with a cache of keys
//! and values for generation.

use candle_core::Result;

use super::{
    array::Array,
    attention::{Heads, Rotary, Segments},
    linear::{self, LowRank},
    matrix::Matrix,
};

/// A base model's frozen weights, each linear map `[out, in]`.
#[derive(Debug)]
pub(crate) struct Weights<A: Array = Matrix> {
    /// `[vocabulary, hidden]`.
    pub(crate) embedding: A,
    pub(crate) layers: Vec<LayerWeights<A>>,
    pub(crate) norm: A::Row,
    /// `[vocabulary, hidden]`; absent where the embedding serves as the output as well.
    pub(crate) output: Option<A>,
    pub(crate) heads: Heads,
    pub(crate) rotary: Rotary,
    pub(crate) eps: f32,
}

/// The frozen weights of one layer.
#[derive(Debug)]
pub(crate) struct LayerWeights<A: Array = Matrix> {
    pub(crate) attention_norm: A::Row,
    /// Query, key and value, one below the other.
    pub(crate) qkv: A,
    pub(crate) o: A,
    pub(crate) mlp_norm: A::Row,
    /// Gate and up, one below the other.
    pub(crate) gate_up: A,
    pub(crate) down: A,
}

/// The adapters of one layer.
#[derive(Clone, Debug)]
pub(crate) struct LayerAdapters<A = Matrix> {
    pub(crate) qkv: Option<LowRank<A>>,
    pub(crate) o: Option<LowRank<A>>,
    pub(crate) gate_up: Option<LowRank<A>>,
    pub(crate) down: Option<LowRank<A>>,
}

impl<A: Array> LayerAdapters<A> {
    /// Each matrix by another of its shape.
    pub(crate) fn map<B>(&self, mut to: impl FnMut(&A) -> Result<B>) -> Result<LayerAdapters<B>> {
        let mut map = |adapter: &Option<LowRank<A>>| adapter.as_ref().map(|low_rank| low_rank.map(&mut to)).transpose();
        Ok(LayerAdapters {
            qkv: map(&self.qkv)?,
            o: map(&self.o)?,
            gate_up: map(&self.gate_up)?,
            down: map(&self.down)?,
        })
    }

    /// One of the same shape, all zero: for gradients and the optimiser's moments.
    pub(crate) fn zeros_like(&self) -> Result<Self> {
        self.map(|matrix| matrix.zeros(matrix.rows(), matrix.cols()))
    }

    /// All matrices, in a fixed order.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = &A> {
        [&self.qkv, &self.o, &self.gate_up, &self.down].into_iter().flatten().flat_map(LowRank::matrices)
    }

    /// As [`LayerAdapters::matrices`].
    pub(crate) fn matrices_mut(&mut self) -> impl Iterator<Item = &mut A> {
        [&mut self.qkv, &mut self.o, &mut self.gate_up, &mut self.down]
            .into_iter()
            .flatten()
            .flat_map(LowRank::matrices_mut)
    }
}

/// What the backward pass of one layer needs.
struct LayerRecord<A> {
    input: A,
    attention_input: A,
    qkv: A,
    attended: A,
    middle: A,
    mlp_input: A,
    gate_up: A,
}

/// What the backward pass needs of a forward pass.
pub(crate) struct Record<A: Array> {
    layers: Vec<LayerRecord<A>>,
    plan: A::Plan,
    tokens: usize,
    /// `[answer tokens, hidden]`, before the last norm.
    last: A,
    /// The rows of the batch that `last` was taken from.
    answer_rows: Vec<usize>,
}

/// The keys and values of some sequences, by layer.
pub(crate) struct Caches<A: Array> {
    layers: Vec<A::KeyValues>,
    lengths: Vec<usize>,
}

impl<A: Array> Caches<A> {
    /// Forgets all sequences but those named, ascending.
    pub(crate) fn keep(&mut self, sequences: &[usize]) -> Result<()> {
        if sequences.len() == self.lengths.len() {
            return Ok(());
        }
        self.lengths = sequences.iter().map(|i| self.lengths[*i]).collect();
        self.layers.iter_mut().try_for_each(|layer| A::keep(layer, sequences))
    }
}

impl<A: Array> Weights<A> {
    /// Logits `[answer rows, vocabulary]` after the tokens at `answer_rows` of the packed batch,
    /// and the record for [`Weights::backward`].
    pub(crate) fn forward(
        &self,
        adapters: &[LayerAdapters<A>],
        tokens: &[u32],
        segments: &Segments,
        answer_rows: Vec<usize>,
    ) -> Result<(A, Record<A>)> {
        let plan = self.plan(segments)?;
        let mut x = self.embed(tokens)?;
        let mut layers = Vec::with_capacity(self.layers.len());
        for (layer, adapter) in self.layers.iter().zip(adapters) {
            let (next, record) = self.layer(layer, Some(adapter), x, &plan, |qkv| qkv.attend(self.heads, &plan))?;
            x = next;
            layers.push(record);
        }
        let last = x.gather_rows(&answer_rows)?;
        let logits = self.logits(&last)?;
        Ok((logits, Record { layers, plan, tokens: tokens.len(), last, answer_rows }))
    }

    /// Adds to `into` the gradients of the adapters, given those of the logits.
    pub(crate) fn backward(
        &self,
        adapters: &[LayerAdapters<A>],
        record: Record<A>,
        d_logits: &A,
        into: &mut [LayerAdapters<A>],
    ) -> Result<()> {
        let Record { layers, plan, tokens, last, answer_rows } = record;
        let d_normed = linear::backward(&last, self.output(), None, d_logits)?;
        let mut d_last = last.zeros(last.rows(), last.cols())?;
        d_last.add_rms_norm_gradient(&last, &self.norm, self.eps, &d_normed)?;
        let mut d_x = d_last.scatter_rows(&answer_rows, tokens)?;

        let layers = self.layers.iter().zip(adapters).zip(into).zip(layers).rev();
        for (((layer, adapter), into), record) in layers {
            self.layer_backward(layer, adapter, into, record, &plan, &mut d_x)?;
        }
        Ok(())
    }

    /// Runs whole sequences: the logits after each one's last token, and the caches to go on with.
    pub(crate) fn prefill(
        &self,
        adapters: Option<&[LayerAdapters<A>]>,
        tokens: &[u32],
        segments: &Segments,
    ) -> Result<(A, Caches<A>)> {
        let (x, caches) = self.prefill_all(adapters, tokens, segments)?;
        let mut end = 0;
        let last = segments.lengths().iter().map(|length| {
            end += length;
            end - 1
        });
        let last: Vec<usize> = last.collect();
        Ok((self.logits(&x.gather_rows(&last)?)?, caches))
    }

    /// Runs whole sequences: the hidden state after each token, before the last norm.
    pub(crate) fn prefill_all(
        &self,
        adapters: Option<&[LayerAdapters<A>]>,
        tokens: &[u32],
        segments: &Segments,
    ) -> Result<(A, Caches<A>)> {
        let plan = self.plan(segments)?;
        let mut layers = Vec::with_capacity(self.layers.len());
        let mut x = self.embed(tokens)?;
        for (i, layer) in self.layers.iter().enumerate() {
            (x, _) = self.layer(layer, adapters.map(|a| &a[i]), x, &plan, |qkv| {
                layers.push(qkv.key_values(self.heads, &plan)?);
                qkv.attend(self.heads, &plan)
            })?;
        }
        Ok((x, Caches { layers, lengths: segments.lengths().to_vec() }))
    }

    /// Runs one new token for each sequence: the logits after it.
    pub(crate) fn step(
        &self,
        adapters: Option<&[LayerAdapters<A>]>,
        tokens: &[u32],
        caches: &mut Caches<A>,
    ) -> Result<A> {
        let alone = Segments::of_lengths(vec![1; tokens.len()]);
        let plan = self.embedding.plan(&self.rotary, &alone, caches.lengths.clone())?;
        let mut x = self.embed(tokens)?;
        for (i, layer) in self.layers.iter().enumerate() {
            let held = &mut caches.layers[i];
            (x, _) = self.layer(layer, adapters.map(|a| &a[i]), x, &plan, |qkv| {
                qkv.extend(self.heads, held)?;
                qkv.attend_cached(self.heads, held)
            })?;
        }
        caches.lengths.iter_mut().for_each(|length| *length += 1);
        self.logits(&x)
    }

    /// Logits `[rows, vocabulary]` of hidden states.
    pub(crate) fn logits(&self, hidden: &A) -> Result<A> {
        let normed = hidden.rms_norm(&self.norm, self.eps)?;
        A::product_transposed(normed.all()?, self.output().all()?)
    }

    fn layer(
        &self,
        layer: &LayerWeights<A>,
        adapter: Option<&LayerAdapters<A>>,
        input: A,
        plan: &A::Plan,
        attend: impl FnOnce(&A) -> Result<A>,
    ) -> Result<(A, LayerRecord<A>)> {
        let on = |pick: fn(&LayerAdapters<A>) -> &Option<LowRank<A>>| adapter.and_then(|a| pick(a).as_ref());

        let attention_input = input.rms_norm(&layer.attention_norm, self.eps)?;
        let mut qkv = linear::forward(&attention_input, &layer.qkv, on(|a| &a.qkv))?;
        qkv.turn(&self.rotary, self.heads, plan)?;
        let attended = attend(&qkv)?;
        let mut middle = linear::forward(&attended, &layer.o, on(|a| &a.o))?;
        middle.add_scaled(&input, 1.0)?;

        let mlp_input = middle.rms_norm(&layer.mlp_norm, self.eps)?;
        let gate_up = linear::forward(&mlp_input, &layer.gate_up, on(|a| &a.gate_up))?;
        let mut output = linear::forward(&gate_up.swiglu()?, &layer.down, on(|a| &a.down))?;
        output.add_scaled(&middle, 1.0)?;
        Ok((output, LayerRecord { input, attention_input, qkv, attended, middle, mlp_input, gate_up }))
    }

    /// Turns `d_x` from the gradient of the layer's output to that of its input.
    fn layer_backward(
        &self,
        layer: &LayerWeights<A>,
        adapter: &LayerAdapters<A>,
        into: &mut LayerAdapters<A>,
        record: LayerRecord<A>,
        plan: &A::Plan,
        d_x: &mut A,
    ) -> Result<()> {
        // Only an adapter on the down projection asks for its input again; without one it isn't looked at.
        let activated = match &adapter.down {
            Some(_) => &record.gate_up.swiglu()?,
            None => &record.mlp_input,
        };
        let d_activated = linear::backward(activated, &layer.down, both(&adapter.down, &mut into.down), d_x)?;
        let d_gate_up = record.gate_up.swiglu_gradient(&d_activated)?;
        let on_gate_up = both(&adapter.gate_up, &mut into.gate_up);
        let d_mlp_input = linear::backward(&record.mlp_input, &layer.gate_up, on_gate_up, &d_gate_up)?;
        d_x.add_rms_norm_gradient(&record.middle, &layer.mlp_norm, self.eps, &d_mlp_input)?;

        let d_attended = linear::backward(&record.attended, &layer.o, both(&adapter.o, &mut into.o), d_x)?;
        let mut d_qkv = record.qkv.attend_gradient(self.heads, plan, &d_attended)?;
        d_qkv.turn_back(&self.rotary, self.heads, plan)?;
        let on_qkv = both(&adapter.qkv, &mut into.qkv);
        let d_attention_input = linear::backward(&record.attention_input, &layer.qkv, on_qkv, &d_qkv)?;
        d_x.add_rms_norm_gradient(&record.input, &layer.attention_norm, self.eps, &d_attention_input)
    }

    fn plan(&self, segments: &Segments) -> Result<A::Plan> {
        self.embedding.plan(&self.rotary, segments, segments.positions())
    }

    fn embed(&self, tokens: &[u32]) -> Result<A> {
        let rows: Vec<usize> = tokens.iter().map(|token| *token as usize).collect();
        self.embedding.gather_rows(&rows)
    }

    fn output(&self) -> &A {
        self.output.as_ref().unwrap_or(&self.embedding)
    }
}

fn both<'a, A>(
    adapter: &'a Option<LowRank<A>>,
    into: &'a mut Option<LowRank<A>>,
) -> Option<(&'a LowRank<A>, &'a mut LowRank<A>)> {
    adapter.as_ref().zip(into.as_mut())
}
