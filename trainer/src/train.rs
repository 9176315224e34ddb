//! The training run: batches, AdamW, the schedule of the learning rate.

use std::{ops::ControlFlow, time::Instant};

use serde::{Deserialize, Serialize};

use crate::{
    adapter::Adapter,
    config::{ConfigError, Target, TrainConfig},
    device::{Device, DeviceError, Place},
    model::{BaseModel, ModelError},
    nn::{
        array::{Array, Descent},
        attention::Segments,
        network::{LayerAdapters, Weights},
    },
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
    /// A card failed, or has not enough memory.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The caller stopped the run.
    #[error("the run was stopped after step {step}")]
    Stopped {
        /// Steps done.
        step: u32,
    },
}

impl From<candle_core::Error> for TrainError {
    fn from(error: candle_core::Error) -> Self {
        Self::Device(error.into())
    }
}

/// Trains adapters for `base` on `examples`, on the CPU. `progress` is called after each step and may stop
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
    train_on(&Device::CPU, base, examples, config, progress)
}

/// As [`train`], on `device`. A card gives the adapter of the CPU up to rounding.
///
/// # Errors
/// As [`train`], and if a card fails.
pub fn train_on(
    device: &Device,
    base: &BaseModel,
    examples: &[TrainExample],
    config: &TrainConfig,
    progress: impl FnMut(Progress) -> ControlFlow<()> + Send,
) -> Result<Trained, TrainError> {
    let course = Course::prepare(base, examples, config)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(config.threads as usize)
        .build()
        .map_err(|e| TrainError::Threads { threads: config.threads, reason: e.to_string() })?;
    pool.install(|| match device.place() {
        Place::Host => Run::new(&course, &base.weights)?.all_steps(progress),
        Place::Candle(device) => Run::new(&course, &base.weights.on(device)?)?.all_steps(progress),
    })
}

/// An example's tokens; the loss counts those from `answer` on.
struct Encoded {
    tokens: Vec<u32>,
    answer: usize,
}

/// A run that can begin: all that was asked for is checked.
struct Course<'a> {
    config: &'a TrainConfig,
    targets: Vec<Target>,
    examples: Vec<Encoded>,
    steps: u32,
    /// What training begins with.
    adapters: Vec<LayerAdapters>,
    learning_rate: f64,
    weight_decay: f64,
}

impl<'a> Course<'a> {
    fn prepare(base: &BaseModel, examples: &[TrainExample], config: &'a TrainConfig) -> Result<Self, TrainError> {
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
        Ok(Self {
            config,
            adapters: Adapter::fresh(base, config.rank, config.alpha, &checked.targets, config.seed),
            examples,
            steps,
            targets: checked.targets,
            learning_rate: checked.learning_rate,
            weight_decay: checked.weight_decay,
        })
    }
}

/// A course under way: what changes, where the weights are.
struct Run<'a, A: Array> {
    course: &'a Course<'a>,
    weights: &'a Weights<A>,
    adapters: Vec<LayerAdapters<A>>,
    /// AdamW's moments.
    first: Vec<LayerAdapters<A>>,
    second: Vec<LayerAdapters<A>>,
}

impl<'a, A: Array> Run<'a, A> {
    fn new(course: &'a Course<'a>, weights: &'a Weights<A>) -> candle_core::Result<Self> {
        let bring = |layer: &LayerAdapters| layer.map(|matrix| weights.embedding.bring(matrix));
        let adapters: Vec<_> = course.adapters.iter().map(bring).collect::<Result<_, _>>()?;
        Ok(Self { course, weights, first: zeros_like(&adapters)?, second: zeros_like(&adapters)?, adapters })
    }

    fn all_steps(&mut self, mut progress: impl FnMut(Progress) -> ControlFlow<()>) -> Result<Trained, TrainError> {
        let started = Instant::now();
        let Course { config, examples, steps, targets, .. } = self.course;
        let mut rng = Rng::new(config.seed, 0xB0);
        let mut order: Vec<usize> = (0..examples.len()).collect();
        let mut waiting: Vec<usize> = Vec::new();
        let (mut losses, mut tokens, mut padded_tokens) = (Vec::new(), 0, 0);

        for step in 1..=*steps {
            if waiting.is_empty() {
                rng.shuffle(&mut order);
                waiting.extend(order.iter().rev());
            }
            let batch = waiting.split_off(waiting.len().saturating_sub(config.batch_size as usize));
            let lengths = batch.iter().map(|i| examples[*i].tokens.len());
            tokens += lengths.clone().sum::<usize>() as u64;
            padded_tokens += (lengths.max().unwrap_or(0) * batch.len()) as u64;

            let loss = self.step(step, &batch)?;
            if !loss.is_finite() {
                return Err(TrainError::Diverged { step });
            }
            let loss_micro = (loss * 1e6).round() as u64;
            losses.push(loss_micro);
            let elapsed_ms = started.elapsed().as_millis() as u64;
            tracing::debug!(step, loss_micro, tokens, "trained a step");
            let state = Progress { step, steps: *steps, loss_micro, tokens, elapsed_ms };
            if progress(state).is_break() && step < *steps {
                return Err(TrainError::Stopped { step });
            }
        }
        Ok(Trained {
            adapter: Adapter::of_layers(&on_host(&self.adapters)?, config.rank, config.alpha, targets),
            final_loss_micro: losses.last().copied().unwrap_or(0),
            losses,
            steps: *steps,
            tokens,
            padded_tokens,
        })
    }

    /// One batch forward, backward and through the optimiser: its mean loss.
    fn step(&mut self, step: u32, batch: &[usize]) -> candle_core::Result<f64> {
        let (loss, gradients) = self.gradients(batch)?;
        let Course { config, steps, learning_rate, weight_decay, .. } = self.course;
        let rate = learning_rate * schedule(step, *steps, config.warmup_ppm);
        let descent = Descent::new(rate, *weight_decay, step);

        let parameters = self.adapters.iter_mut().flat_map(LayerAdapters::matrices_mut);
        let gradients = gradients.iter().flat_map(LayerAdapters::matrices);
        let first = self.first.iter_mut().flat_map(LayerAdapters::matrices_mut);
        let second = self.second.iter_mut().flat_map(LayerAdapters::matrices_mut);
        for (((parameter, gradient), first), second) in parameters.zip(gradients).zip(first).zip(second) {
            parameter.descend(gradient, first, second, descent)?;
        }
        Ok(loss)
    }

    fn gradients(&self, batch: &[usize]) -> candle_core::Result<(f64, Vec<LayerAdapters<A>>)> {
        let batch = || batch.iter().map(|i| &self.course.examples[*i]);
        let (mut tokens, mut answer_rows, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for example in batch() {
            // The state after a token predicts the next one.
            answer_rows.extend((example.answer..example.tokens.len()).map(|t| tokens.len() + t - 1));
            targets.extend_from_slice(&example.tokens[example.answer..]);
            tokens.extend_from_slice(&example.tokens);
        }
        let segments = Segments::of_lengths(batch().map(|example| example.tokens.len()));
        let (mut logits, record) = self.weights.forward(&self.adapters, &tokens, &segments, answer_rows)?;
        let loss = logits.cross_entropy(&targets)?;
        let mut gradients = zeros_like(&self.adapters)?;
        self.weights.backward(&self.adapters, record, &logits, &mut gradients)?;
        Ok((loss, gradients))
    }
}

fn zeros_like<A: Array>(layers: &[LayerAdapters<A>]) -> candle_core::Result<Vec<LayerAdapters<A>>> {
    layers.iter().map(LayerAdapters::zeros_like).collect()
}

fn on_host<A: Array>(layers: &[LayerAdapters<A>]) -> candle_core::Result<Vec<LayerAdapters>> {
    layers.iter().map(|layer| layer.map(A::to_host)).collect()
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

#[cfg(test)]
mod tests;
