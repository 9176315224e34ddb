//! Answers of a model, with or without an adapter: greedy decoding and the likelihood of labels.

use std::sync::Arc;

use candle_core::Tensor;

use crate::{
    adapter::{Adapter, AdapterError},
    device::{Device, DeviceError, Place},
    model::{BaseModel, ModelError},
    nn::{
        array::Array,
        attention::Segments,
        loss::{argmax, log_softmax},
        matrix::Matrix,
        network::{LayerAdapters, Weights},
    },
};

/// Sequences that are computed together.
const SEQUENCES_A_BATCH: usize = 32;
/// Tokens of prompts that are computed together, unless one prompt alone is longer.
const TOKENS_A_BATCH: usize = 2_048;

/// A base model with an adapter or none, ready to answer.
#[derive(Debug)]
pub struct Model<'a> {
    base: &'a BaseModel,
    network: Network,
}

/// The network, where it is computed.
#[derive(Debug)]
enum Network {
    Host(Adapted<Matrix>),
    Candle(Adapted<Tensor>),
}

#[derive(Debug)]
struct Adapted<A: Array> {
    weights: Arc<Weights<A>>,
    adapters: Option<Vec<LayerAdapters<A>>>,
}

/// When an answer ends, apart from the model's end token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Answers are cut after so many tokens.
    pub max_new_tokens: u32,
    /// Whether a line's end ends the answer. It isn't part of it.
    pub at_newline: bool,
}

/// How likely a label is as the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelLikelihood {
    /// The label as it was given.
    pub label: String,
    /// The natural logarithm of the probability of its tokens and the end token after them.
    pub log_likelihood: f64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The tokenizer failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A prompt without tokens.
    #[error("prompt {index} is empty")]
    EmptyPrompt {
        /// The prompt, counted from 0.
        index: usize,
    },
    /// A prompt for whose answer the model has no room.
    #[error(
        "prompt {index} has {tokens} tokens and its answer up to {answer}; this model reads at most {max}: \
         shorten the prompt"
    )]
    TooLong {
        /// The prompt, counted from 0.
        index: usize,
        /// The prompt's length.
        tokens: usize,
        /// Tokens asked for.
        answer: usize,
        /// The model's longest sequence.
        max: usize,
    },
    /// A card failed, or has not enough memory.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// There is no label to choose, or one is empty.
    #[error("there are no labels to choose from, or one is empty")]
    NoLabels,
}

impl From<candle_core::Error> for GenerateError {
    fn from(error: candle_core::Error) -> Self {
        Self::Device(error.into())
    }
}

impl<'a> Model<'a> {
    /// The base model, adapted if there is an adapter, on the CPU.
    ///
    /// # Errors
    /// If the adapter is for another base model.
    pub fn new(base: &'a BaseModel, adapter: Option<&Adapter>) -> Result<Self, AdapterError> {
        let adapters = adapter.map(|adapter| adapter.layers(&base.config)).transpose()?;
        Ok(Self { base, network: Network::Host(Adapted { weights: base.weights.clone(), adapters }) })
    }

    /// As [`Model::new`], on `device`.
    ///
    /// # Errors
    /// If the adapter is for another base model, or the model doesn't fit into a card.
    pub fn on(device: &Device, base: &'a BaseModel, adapter: Option<&Adapter>) -> Result<Self, AdapterError> {
        let Place::Candle(device) = device.place() else { return Self::new(base, adapter) };
        let adapters = adapter.map(|adapter| adapter.layers(&base.config)).transpose()?;
        let network = Adapted::upload(&base.weights, adapters.as_deref(), device).map_err(DeviceError::from)?;
        Ok(Self { base, network: Network::Candle(network) })
    }

    /// The most likely token again and again, for each prompt by itself: the answers, in order.
    ///
    /// # Errors
    /// If a prompt is empty or too long; all are checked first.
    pub fn greedy(&self, prompts: &[&str], stop: Stop) -> Result<Vec<String>, GenerateError> {
        let prompts = self.encode(prompts, stop.max_new_tokens as usize)?;
        let mut answers = Vec::with_capacity(prompts.len());
        for batch in batches(&prompts) {
            for tokens in self.greedy_batch(batch, stop)? {
                let text = self.base.tokenizer.decode_onward(&tokens)?;
                let line = if stop.at_newline { text.split('\n').next().unwrap_or("") } else { &text };
                answers.push(line.to_owned());
            }
        }
        Ok(answers)
    }

    /// Each label's likelihood as the answer to `prompt`, the likeliest first. A label is taken
    /// as it stands, so give it the space that answers begin with.
    ///
    /// # Errors
    /// If there is no label, one is empty, or prompt and label are too long.
    pub fn likelihoods(&self, prompt: &str, labels: &[&str]) -> Result<Vec<LabelLikelihood>, GenerateError> {
        let mut answers = Vec::with_capacity(labels.len());
        for label in labels {
            let mut tokens = self.base.tokenizer.encode_onward(label)?;
            if tokens.is_empty() {
                return Err(GenerateError::NoLabels);
            }
            tokens.push(self.base.config.eos_token_id);
            answers.push(tokens);
        }
        let longest = answers.iter().map(Vec::len).max().ok_or(GenerateError::NoLabels)?;
        let prompt = self.encode(&[prompt], longest)?.remove(0);

        let texts: Vec<Vec<u32>> = answers.iter().map(|answer| [&prompt[..], answer].concat()).collect();
        let mut ranked = Vec::with_capacity(labels.len());
        for batch in batches(&texts) {
            let likelihoods = match &self.network {
                Network::Host(network) => network.likelihoods(batch, prompt.len())?,
                Network::Candle(network) => network.likelihoods(batch, prompt.len())?,
            };
            for log_likelihood in likelihoods {
                ranked.push(LabelLikelihood { label: labels[ranked.len()].to_owned(), log_likelihood });
            }
        }
        ranked.sort_by(|a, b| b.log_likelihood.total_cmp(&a.log_likelihood));
        Ok(ranked)
    }

    /// Logits `[tokens, vocabulary]` after each token of `text`, row by row, with the tokens: for
    /// comparing this implementation with others.
    ///
    /// # Errors
    /// If `text` is empty or too long.
    pub fn logits(&self, text: &str) -> Result<(Vec<u32>, Vec<f32>), GenerateError> {
        let tokens = self.encode(&[text], 0)?.remove(0);
        let logits = match &self.network {
            Network::Host(network) => network.logits(&tokens)?,
            Network::Candle(network) => network.logits(&tokens)?,
        };
        Ok((tokens, logits.data().to_vec()))
    }

    fn greedy_batch(&self, prompts: &[Vec<u32>], stop: Stop) -> Result<Vec<Vec<u32>>, GenerateError> {
        let ends = |token| self.ends(token, stop);
        match &self.network {
            Network::Host(network) => network.greedy(prompts, stop.max_new_tokens as usize, ends),
            Network::Candle(network) => network.greedy(prompts, stop.max_new_tokens as usize, ends),
        }
    }

    fn ends(&self, token: u32, stop: Stop) -> Result<bool, ModelError> {
        Ok(token == self.base.config.eos_token_id
            || stop.at_newline && self.base.tokenizer.decode_onward(&[token])?.starts_with('\n'))
    }

    fn encode(&self, prompts: &[&str], answer: usize) -> Result<Vec<Vec<u32>>, GenerateError> {
        let max = self.base.config.max_position_embeddings;
        let mut all = Vec::with_capacity(prompts.len());
        for (index, prompt) in prompts.iter().enumerate() {
            let tokens = self.base.tokenizer.encode(prompt, true)?;
            if tokens.is_empty() {
                return Err(GenerateError::EmptyPrompt { index });
            }
            if tokens.len().saturating_add(answer) > max {
                return Err(GenerateError::TooLong { index, tokens: tokens.len(), answer, max });
            }
            all.push(tokens);
        }
        Ok(all)
    }
}

impl Adapted<Tensor> {
    fn upload(
        weights: &Weights,
        adapters: Option<&[LayerAdapters]>,
        device: &candle_core::Device,
    ) -> candle_core::Result<Self> {
        let weights = Arc::new(weights.on(device)?);
        let bring = |layer: &LayerAdapters| layer.map(|matrix| weights.embedding.bring(matrix));
        let adapters =
            adapters.map(|layers| layers.iter().map(bring).collect::<candle_core::Result<Vec<_>>>()).transpose()?;
        Ok(Self { weights, adapters })
    }
}

impl<A: Array> Adapted<A> {
    /// The likeliest token after each prompt, again and again until it ends the answer or there are `max` of them.
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

    /// The log-probability of each text after its first `prompt` tokens.
    fn likelihoods(&self, texts: &[Vec<u32>], prompt: usize) -> candle_core::Result<Vec<f64>> {
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

    /// Logits after each token.
    fn logits(&self, tokens: &[u32]) -> candle_core::Result<Matrix> {
        let segments = Segments::of_lengths([tokens.len()]);
        let (hidden, _) = self.weights.prefill_all(self.adapters.as_deref(), tokens, &segments)?;
        self.weights.logits(&hidden)?.to_host()
    }
}

/// Divides texts into runs that are computed together.
fn batches(texts: &[Vec<u32>]) -> Vec<&[Vec<u32>]> {
    let mut all = Vec::new();
    let (mut start, mut tokens) = (0, 0);
    for (i, text) in texts.iter().enumerate() {
        if i > start && (i - start == SEQUENCES_A_BATCH || tokens + text.len() > TOKENS_A_BATCH) {
            all.push(&texts[start..i]);
            (start, tokens) = (i, 0);
        }
        tokens += text.len();
    }
    if start < texts.len() {
        all.push(&texts[start..]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tiny;

    const STOP: Stop = Stop { max_new_tokens: 12, at_newline: false };

    #[test]
    fn greedy_takes_the_likeliest_token_of_the_whole_text_each_time() {
        let base = tiny(5);
        let model = Model::new(&base, None).unwrap();
        let prompt = "Hello there";
        let answer = model.greedy_batch(&[base.tokenizer.encode(prompt, true).unwrap()], STOP).unwrap().remove(0);
        assert!(!answer.is_empty());
        let mut tokens = base.tokenizer.encode(prompt, true).unwrap();
        for token in answer {
            let segments = Segments::of_lengths([tokens.len()]);
            let (logits, _) = base.weights.prefill(None, &tokens, &segments).unwrap();
            assert_eq!(argmax(logits.row(0)) as u32, token);
            tokens.push(token);
        }
    }

    #[test]
    fn an_answer_does_not_depend_on_what_else_is_asked() {
        let base = tiny(5);
        let model = Model::new(&base, None).unwrap();
        let prompts: Vec<String> = (0..40).map(|i| format!("question {i} {}", "x".repeat(i))).collect();
        let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
        let together = model.greedy(&prompts, STOP).unwrap();
        assert_eq!(together.len(), 40);
        for (prompt, answer) in prompts.iter().zip(&together).step_by(13) {
            assert_eq!(&model.greedy(&[prompt], STOP).unwrap()[0], answer);
        }
    }

    #[test]
    fn likelihoods_rank_labels_and_sum_over_their_tokens() {
        let base = tiny(5);
        let model = Model::new(&base, None).unwrap();
        let ranked = model.likelihoods("text:", &[" a", " bb", " c"]).unwrap();
        assert_eq!(ranked.len(), 3);
        assert!(ranked.windows(2).all(|pair| pair[0].log_likelihood >= pair[1].log_likelihood));

        let (tokens, logits) = model.logits("text: bb").unwrap();
        let width = base.config.vocab_size;
        let row = |t: usize| &logits[t * width..][..width];
        let own: f32 = (5..8).map(|t| log_softmax(row(t - 1), tokens[t] as usize)).sum::<f32>()
            + log_softmax(row(7), base.config.eos_token_id as usize);
        let found = ranked.iter().find(|label| label.label == " bb").unwrap().log_likelihood;
        assert!((found - f64::from(own)).abs() < 1e-4, "{found} is not {own}");
    }

    /// What a card computes with, here on the processor.
    #[test]
    fn candles_operations_answer_as_the_fused_layers_do() {
        let base = tiny(5);
        let (_, adapter) = crate::adapter::tests::trained(&["q_proj", "v_proj", "down_proj"]);
        for adapter in [None, Some(&adapter)] {
            let fused = Model::new(&base, adapter).unwrap();
            let candle = Model::on(&Device::candle_cpu(), &base, adapter).unwrap();
            let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-4, "{a} is not {b}");

            let ((tokens, expected), (same, found)) =
                (fused.logits("Hello there").unwrap(), candle.logits("Hello there").unwrap());
            assert_eq!((tokens, expected.len()), (same, found.len()));
            expected.iter().zip(&found).for_each(|(a, b)| near(f64::from(*a), f64::from(*b)));

            // Prompts of many lengths, whose answers end at different steps.
            let prompts: Vec<String> = (0..9).map(|i| format!("question {i} {}", "x".repeat(i * i))).collect();
            let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
            let stop = Stop { max_new_tokens: 12, at_newline: true };
            assert_eq!(candle.greedy(&prompts, stop).unwrap(), fused.greedy(&prompts, stop).unwrap());

            let labels = [" a", " bb", " and a longer one"];
            let pairs = |model: &Model<'_>| model.likelihoods("text:", &labels).unwrap();
            for (a, b) in pairs(&fused).iter().zip(&pairs(&candle)) {
                assert_eq!(a.label, b.label);
                near(a.log_likelihood, b.log_likelihood);
            }
        }
    }

    #[test]
    fn empty_and_overlong_prompts_are_named() {
        let base = tiny(5);
        let model = Model::new(&base, None).unwrap();
        assert_eq!(model.greedy(&["a", ""], STOP).unwrap_err().to_string(), "prompt 1 is empty");
        let long = "x".repeat(250);
        let error = model.greedy(&["a", &long], STOP).unwrap_err().to_string();
        assert!(error.starts_with("prompt 1 has 250 tokens and its answer up to 12"), "{error}");
        assert!(model.likelihoods("a", &[]).is_err());
        assert!(model.likelihoods("a", &[""]).is_err());
        assert!(model.greedy(&[], STOP).unwrap().is_empty());
    }
}
