//! A network with its adapters, where it is computed.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::GenerateError;
use crate::{
    device::{Device, Place},
    model::ModelError,
    nn::{
        array::Array,
        attention::Segments,
        loss::{argmax, log_softmax},
        matrix::Matrix,
        network::{LayerAdapters, Weights},
    },
};

#[derive(Debug)]
pub(super) enum Network {
    Host(Adapted<Matrix>),
    Candle(Adapted<Tensor>),
}

#[derive(Debug)]
pub(super) struct Adapted<A: Array> {
    weights: Arc<Weights<A>>,
    adapters: Option<Vec<LayerAdapters<A>>>,
}

impl Network {
    pub(super) fn on(device: &Device, weights: Arc<Weights>, adapters: Option<Vec<LayerAdapters>>) -> Result<Self> {
        let Place::Candle(device) = device.place() else { return Ok(Self::Host(Adapted { weights, adapters })) };
        let weights = Arc::new(weights.on(device)?);
        let bring = |layer: &LayerAdapters| layer.map(|matrix| weights.embedding.bring(matrix));
        let adapters = adapters.map(|layers| layers.iter().map(bring).collect::<Result<Vec<_>>>()).transpose()?;
        Ok(Self::Candle(Adapted { weights, adapters }))
    }

    /// The likeliest token after each prompt, again and again until it ends the answer or there are `max` of them.
    pub(super) fn greedy(
        &self,
        prompts: &[Vec<u32>],
        max: usize,
        ends: impl Fn(u32) -> Result<bool, ModelError>,
    ) -> Result<Vec<Vec<u32>>, GenerateError> {
        match self {
            Self::Host(network) => network.greedy(prompts, max, ends),
            Self::Candle(network) => network.greedy(prompts, max, ends),
        }
    }

    /// The log-probability of each text after its first `prompt` tokens.
    pub(super) fn likelihoods(&self, texts: &[Vec<u32>], prompt: usize) -> Result<Vec<f64>> {
        match self {
            Self::Host(network) => network.likelihoods(texts, prompt),
            Self::Candle(network) => network.likelihoods(texts, prompt),
        }
    }

    /// Logits after each token.
    pub(super) fn logits(&self, tokens: &[u32]) -> Result<Matrix> {
        match self {
            Self::Host(network) => network.logits(tokens),
            Self::Candle(network) => network.logits(tokens),
        }
    }
}

impl<A: Array> Adapted<A> {
    fn greedy(
        &self,
        prompts: &[Vec<u32>],
        max: usize,
        ends: impl Fn(u32) -> Result<bool, ModelError>,
    ) -> Result<Vec<Vec<u32>>, GenerateError> {
        let mut answers = vec![Vec::new(); prompts.len()];
        if max == 0 {
            return Ok(answers);
        }
        let adapters = self.adapters.as_deref();
        let segments = Segments::of_lengths(prompts.iter().map(Vec::len));
        let (mut logits, mut caches) = self.weights.prefill(adapters, &prompts.concat(), &segments)?;
        // `open[i]` is the prompt that row `i` of the logits belongs to.
        let mut open: Vec<usize> = (0..prompts.len()).collect();
        loop {
            let logits_now = logits.to_host()?;
            let (mut rows, mut tokens) = (Vec::new(), Vec::new());
            for (row, prompt) in open.iter().enumerate() {
                let token = argmax(logits_now.row(row)) as u32;
                if ends(token)? {
                    continue;
                }
                answers[*prompt].push(token);
                if answers[*prompt].len() < max {
                    rows.push(row);
                    tokens.push(token);
                }
            }
            if rows.is_empty() {
                return Ok(answers);
            }
            open = rows.iter().map(|row| open[*row]).collect();
            caches.keep(&rows)?;
            logits = self.weights.step(adapters, &tokens, &mut caches)?;
        }
    }

    fn likelihoods(&self, texts: &[Vec<u32>], prompt: usize) -> Result<Vec<f64>> {
        let segments = Segments::of_lengths(texts.iter().map(Vec::len));
        let (hidden, _) = self.weights.prefill_all(self.adapters.as_deref(), &texts.concat(), &segments)?;
        let mut start = 0;
        let mut all = Vec::with_capacity(texts.len());
        for text in texts {
            let rows: Vec<usize> = (start + prompt - 1..start + text.len() - 1).collect();
            let logits = self.weights.logits(&hidden.gather_rows(&rows)?)?.to_host()?;
            let answer = text[prompt..].iter().enumerate();
            all.push(answer.map(|(row, token)| f64::from(log_softmax(logits.row(row), *token as usize))).sum());
            start += text.len();
        }
        Ok(all)
    }

    fn logits(&self, tokens: &[u32]) -> Result<Matrix> {
        let segments = Segments::of_lengths([tokens.len()]);
        let (hidden, _) = self.weights.prefill_all(self.adapters.as_deref(), tokens, &segments)?;
        self.weights.logits(&hidden)?.to_host()
    }
}
