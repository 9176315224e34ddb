//! The training run: batches, AdamW, the schedule of the learning rate.

use std::{ops::ControlFlow, time::Instant};

use serde::{Deserialize, Serialize};

use crate::{
    adapter::Adapter,
    config::{ConfigError, TrainConfig},
    model::{BaseModel, ModelError},
    nn::{attention::Segments, loss::cross_entropy, network::LayerAdapters},
    rng::Rng,
};

/// A prompt and the answer that the model shall learn to give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainExample {
    /// What the model is shown, for example `{text}\nIntent:`.
    pub prompt: String,
    /// What it shall answer, with the space before it if there is one. The loss counts its tokens
    /// and the end token after them.
    pub answer: String,
}

/// How far a run is, after each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Steps done.
    pub step: u32,
    /// Steps in all.
    pub steps: u32,
    /// The step's mean loss, in millionths of a nat a token.
    pub loss_micro: u64,
    /// Tokens trained on so far.
    pub tokens: u64,
    /// Milliseconds since the first step began.
    pub elapsed_ms: u64,
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Trained {
    /// What was learnt.
    pub adapter: Adapter,
    /// The mean loss of the last step, in millionths of a nat a token.
    pub final_loss_micro: u64,
    /// The mean loss of each step, likewise.
    pub losses: Vec<u64>,
    /// Steps done.
    pub steps: u32,
    /// Tokens trained on.
    pub tokens: u64,
    /// Tokens had each example been padded to the longest of its batch, as most trainers do; for
    /// comparing speeds.
    pub padded_tokens: u64,
}

/// Why a run didn't end well.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting can't be trained with.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The tokenizer failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// There is nothing to learn from.
    #[error("there are no examples to train on")]
    NoExamples,
    /// An example has no prompt or no answer.
    #[error("example {index} has an empty {part}")]
    EmptyText {
        /// The example, counted from 0.
        index: usize,
        /// `prompt` or `answer`.
        part: &'static str,
    },
    /// An example is longer than the run allows.
    #[error("example {index} has {tokens} tokens; max_tokens is {max}: shorten it or raise the limit")]
    TooLong {
        /// The example, counted from 0.
        index: usize,
        /// Its length, answer and end token included.
        tokens: usize,
        /// The limit.
        max: usize,
    },
    /// `max_tokens` is more than the model can attend to.
    #[error("max_tokens is {asked}, but the base model reads at most {max}")]
    ContextTooShort {
        /// The setting.
        asked: u32,
        /// The model's longest sequence.
        max: usize,
    },
    /// The loss became infinite or not a number.
    #[error("the loss of step {step} is not finite: lower learning_rate")]
    Diverged {
        /// The step, counted from 1.
        step: u32,
    },
    /// The threads couldn't be started.
    #[error("cannot start {threads} threads: {reason}")]
    Threads {
        /// How many.
        threads: u32,
        /// What the system said.
        reason: String,
    },
    /// The caller stopped the run.
    #[error("the run was stopped after step {step}")]
    Stopped {
        /// Steps done.
        step: u32,
    },
}

/// Trains adapters for `base` on `examples`. `progress` is called after each step and may stop
/// the run.
///
/// The same base, examples and configuration give the same adapter bit for bit where the kernels
/// ([`crate::environment`]) are the same, on any number of threads.
///
/// # Errors
/// See [`TrainError`]; everything about the configuration and the examples is checked before the
/// first step.
pub fn train(
    base: &BaseModel,
    examples: &[TrainExample],
    config: &TrainConfig,
    progress: impl FnMut(Progress) -> ControlFlow<()> + Send,
) -> Result<Trained, TrainError> {
    let mut run = Run::prepare(base, examples, config)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(config.threads as usize)
        .build()
        .map_err(|e| TrainError::Threads { threads: config.threads, reason: e.to_string() })?;
    pool.install(|| run.all_steps(progress))
}

/// An example's tokens; the loss counts those from `answer` on.
struct Encoded {
    tokens: Vec<u32>,
    answer: usize,
}

struct Run<'a> {
    base: &'a BaseModel,
    config: &'a TrainConfig,
    targets: Vec<crate::config::Target>,
    examples: Vec<Encoded>,
    steps: u32,
    adapters: Vec<LayerAdapters>,
    optimiser: AdamW,
    learning_rate: f64,
}

impl<'a> Run<'a> {
    fn prepare(base: &'a BaseModel, examples: &[TrainExample], config: &'a TrainConfig) -> Result<Self, TrainError> {
        let checked = config.check()?;
        if config.max_tokens as usize > base.config.max_position_embeddings {
            return Err(TrainError::ContextTooShort {
                asked: config.max_tokens,
                max: base.config.max_position_embeddings,
            });
        }
        if examples.is_empty() {
            return Err(TrainError::NoExamples);
        }
        let examples = encode(base, examples, config.max_tokens as usize)?;
        let an_epoch = examples.len().div_ceil(config.batch_size as usize) as u64;
        let limit = if config.max_steps == 0 { u32::MAX } else { config.max_steps };
        let steps = (an_epoch * u64::from(config.epochs)).min(u64::from(limit)) as u32;
        let adapters = Adapter::fresh(base, config.rank, config.alpha, &checked.targets, config.seed);
        Ok(Self {
            base,
            config,
            optimiser: AdamW::new(&adapters, checked.weight_decay),
            adapters,
            examples,
            steps,
            targets: checked.targets,
            learning_rate: checked.learning_rate,
        })
    }

    fn all_steps(&mut self, mut progress: impl FnMut(Progress) -> ControlFlow<()>) -> Result<Trained, TrainError> {
        let started = Instant::now();
        let mut rng = Rng::new(self.config.seed, 0xB0);
        let mut order: Vec<usize> = (0..self.examples.len()).collect();
        let mut waiting: Vec<usize> = Vec::new();
        let (mut losses, mut tokens, mut padded_tokens) = (Vec::new(), 0, 0);

        for step in 1..=self.steps {
            if waiting.is_empty() {
                rng.shuffle(&mut order);
                waiting.extend(order.iter().rev());
            }
            let batch = waiting.split_off(waiting.len().saturating_sub(self.config.batch_size as usize));
            let lengths = batch.iter().map(|i| self.examples[*i].tokens.len());
            tokens += lengths.clone().sum::<usize>() as u64;
            padded_tokens += (lengths.max().unwrap_or(0) * batch.len()) as u64;

            let loss = self.step(step, &batch);
            if !loss.is_finite() {
                return Err(TrainError::Diverged { step });
            }
            let loss_micro = (loss * 1e6).round() as u64;
            losses.push(loss_micro);
            let elapsed_ms = started.elapsed().as_millis() as u64;
            tracing::debug!(step, loss_micro, tokens, "trained a step");
            let state = Progress { step, steps: self.steps, loss_micro, tokens, elapsed_ms };
            if progress(state).is_break() && step < self.steps {
                return Err(TrainError::Stopped { step });
            }
        }
        Ok(Trained {
            adapter: Adapter::of_layers(&self.adapters, self.config.rank, self.config.alpha, &self.targets),
            final_loss_micro: losses.last().copied().unwrap_or(0),
            losses,
            steps: self.steps,
            tokens,
            padded_tokens,
        })
    }

    /// One batch forward, backward and through the optimiser: its mean loss.
    fn step(&mut self, step: u32, batch: &[usize]) -> f64 {
        let (loss, gradients) = self.gradients(batch);
        let rate = self.learning_rate * schedule(step, self.steps, self.config.warmup_ppm);
        self.optimiser.step(&mut self.adapters, &gradients, rate, step);
        loss
    }

    fn gradients(&self, batch: &[usize]) -> (f64, Vec<LayerAdapters>) {
        let (mut tokens, mut answer_rows, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for example in batch.iter().map(|i| &self.examples[*i]) {
            // The state after a token predicts the next one.
            answer_rows.extend((example.answer..example.tokens.len()).map(|t| tokens.len() + t - 1));
            targets.extend_from_slice(&example.tokens[example.answer..]);
            tokens.extend_from_slice(&example.tokens);
        }
        let segments = Segments::of_lengths(batch.iter().map(|i| self.examples[*i].tokens.len()));
        let weights = &self.base.weights;
        let (mut logits, record) = weights.forward(&self.adapters, &tokens, segments, answer_rows);
        let loss = cross_entropy(&mut logits, &targets);
        let mut gradients: Vec<_> = self.adapters.iter().map(LayerAdapters::zeros_like).collect();
        weights.backward(&self.adapters, record, &logits, &mut gradients);
        (loss, gradients)
    }
}

fn encode(base: &BaseModel, examples: &[TrainExample], max: usize) -> Result<Vec<Encoded>, TrainError> {
    let mut all = Vec::with_capacity(examples.len());
    for (index, example) in examples.iter().enumerate() {
        let mut tokens = base.tokenizer.encode(&example.prompt, true)?;
        let answer = tokens.len();
        if answer == 0 {
            return Err(TrainError::EmptyText { index, part: "prompt" });
        }
        tokens.extend(base.tokenizer.encode_onward(&example.answer)?);
        if tokens.len() == answer {
            return Err(TrainError::EmptyText { index, part: "answer" });
        }
        tokens.push(base.config.eos_token_id);
        if tokens.len() > max {
            return Err(TrainError::TooLong { index, tokens: tokens.len(), max });
        }
        all.push(Encoded { tokens, answer });
    }
    Ok(all)
}

/// The share of the highest rate that `step` (from 1) uses: rising, then falling to zero after
/// the last.
fn schedule(step: u32, steps: u32, warmup_ppm: u32) -> f64 {
    let warmup = (u64::from(steps) * u64::from(warmup_ppm)).div_ceil(1_000_000) as u32;
    match step <= warmup {
        true => f64::from(step) / f64::from(warmup),
        false => f64::from(steps - step + 1) / f64::from(steps - warmup + 1),
    }
}

/// AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) with its usual
/// constants.
struct AdamW {
    first: Vec<LayerAdapters>,
    second: Vec<LayerAdapters>,
    weight_decay: f64,
}

impl AdamW {
    const BETA_1: f32 = 0.9;
    const BETA_2: f32 = 0.999;
    const EPSILON: f32 = 1e-8;

    fn new(adapters: &[LayerAdapters], weight_decay: f64) -> Self {
        let zeros = || adapters.iter().map(LayerAdapters::zeros_like).collect();
        Self { first: zeros(), second: zeros(), weight_decay }
    }

    fn step(&mut self, adapters: &mut [LayerAdapters], gradients: &[LayerAdapters], rate: f64, step: u32) {
        let correct = |beta: f32| 1.0 - f64::from(beta).powi(step as i32);
        let scale = (rate / correct(Self::BETA_1)) as f32;
        let correct_second = (1.0 / correct(Self::BETA_2)) as f32;
        let keep = (1.0 - rate * self.weight_decay) as f32;

        let parameters = adapters.iter_mut().flat_map(LayerAdapters::matrices_mut);
        let gradients = gradients.iter().flat_map(LayerAdapters::matrices);
        let first = self.first.iter_mut().flat_map(LayerAdapters::matrices_mut);
        let second = self.second.iter_mut().flat_map(LayerAdapters::matrices_mut);
        for (((parameter, gradient), first), second) in parameters.zip(gradients).zip(first).zip(second) {
            let numbers = parameter.data_mut().iter_mut().zip(gradient.data());
            for (((p, g), m), v) in numbers.zip(first.data_mut()).zip(second.data_mut()) {
                *m = Self::BETA_1 * *m + (1.0 - Self::BETA_1) * g;
                *v = Self::BETA_2 * *v + (1.0 - Self::BETA_2) * g * g;
                *p = *p * keep - scale * *m / ((*v * correct_second).sqrt() + Self::EPSILON);
            }
        }
    }
}

#[cfg(test)]
mod tests;
