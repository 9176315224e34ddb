//! Training beside plain candle: both train rank 8 on q, k, v and o of the same batch of 16 examples of about 18
//! tokens. Tokens are counted as if padded to the longest example, which plain candle does and the trainer doesn't.

use super::{
    Plan,
    figure::{Figure, Goal, Results, Skipped},
    machine,
    replay::{child, temporary_folder},
};
use anyhow::Context as _;
use attestune_trainer::{
    config::TrainConfig,
    environment::Environment,
    generate::Model,
    model::BaseModel,
    plain::{self, Plain},
    train::{TrainExample, train},
};
use serde::{Deserialize, Serialize};
use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Instant,
};

const PART: &str = "train";
/// Threads of both.
const THREADS: u32 = 2;
/// Steps of each in a round.
const STEPS: u32 = 4;
const RATE: &str = "0.001";
/// How far apart the logits of both may be before training, and the losses after it.
const DIFFERENCE_MAX: f64 = 1e-2;

/// What the process that trains says at its end, a number a round.
#[derive(Serialize, Deserialize)]
pub struct Trained {
    examples: usize,
    tokens: usize,
    ours: Vec<f64>,
    theirs: Vec<f64>,
    /// Processor time of a padded token, in milliseconds.
    our_cpu_ms: Vec<f64>,
    their_cpu_ms: Vec<f64>,
    kernels: String,
}

/// Measures, in a process that takes its threads from the beginning.
pub fn run(plan: &Plan) -> anyhow::Result<Results> {
    let model = plan.model.clone().map_or_else(cached_model, Ok)?;
    if !model.exists() {
        let why =
            format!("there is no model {}; `scripts/fetch-model` places it, --model names another", model.display());
        return Ok(Results { skipped: vec![Skipped { part: PART, why }], ..Results::default() });
    }
    let trained: Trained = child(&format!("train-{}", plan.rounds), &model, Some(THREADS))?;
    let Trained { examples, tokens, ours, theirs, our_cpu_ms, their_cpu_ms, kernels } = trained;
    let what = format!("{examples} examples of {tokens} tokens, {THREADS} threads, {kernels}");
    let figures = vec![
        Figure::new(PART, what.clone(), "tokens/s", ours.clone()).with_goal(Goal::ValueAtLeast(170.0)),
        Figure::new(PART, "the same beside its peer", "tokens/s", ours)
            .beside("plain candle", theirs)
            .with_goal(Goal::RatioAtLeast(1.9)),
        Figure::new(PART, "processor time of a token", "ms", our_cpu_ms).beside("plain candle", their_cpu_ms),
    ];
    Ok(Results { figures, ..Results::default() })
}

/// Where `scripts/fetch-model` places the model.
pub fn cached_model() -> anyhow::Result<PathBuf> {
    let cache = match std::env::var_os("ATTESTUNE_CACHE") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache/attestune"),
    };
    Ok(cache.join("models/smollm2-135m-instruct.q4_1.gguf"))
}

/// The work of the process that trains.
pub fn train_here(model: &Path, rounds: u32) -> anyhow::Result<Trained> {
    let base = BaseModel::load(model)?;
    let folder = temporary_folder()?;
    base.export(folder.path())?;
    let examples = examples();
    let batch = plain::encode(folder.path(), &examples)?;
    let longest = batch.iter().map(|(tokens, _)| tokens.len()).max().unwrap_or(0);
    let padded = longest * batch.len();
    let config = TrainConfig {
        epochs: STEPS,
        batch_size: batch.len() as u32,
        threads: THREADS,
        warmup_ppm: 0,
        learning_rate: RATE.to_owned(),
        ..TrainConfig::default()
    };
    let start = first_adapter(&base, folder.path(), &examples, &config)?;

    let environment = Environment::current(THREADS);
    let kernels = environment.entries().iter().find(|(name, _)| name == "kernels");
    let mut trained = Trained {
        examples: batch.len(),
        tokens: longest,
        ours: Vec::new(),
        theirs: Vec::new(),
        our_cpu_ms: Vec::new(),
        their_cpu_ms: Vec::new(),
        kernels: kernels.map_or_else(String::new, |(_, kernels)| kernels.clone()),
    };
    let all = padded as f64 * f64::from(STEPS);
    for _ in 0..rounds {
        let (mut seconds, before) = (0.0, machine::cpu_seconds());
        let ours = train(&base, &examples, &config, |progress| {
            seconds = progress.elapsed_ms as f64 / 1e3;
            ControlFlow::Continue(())
        })?;
        trained.ours.push(all / seconds);
        trained.our_cpu_ms.push((machine::cpu_seconds() - before) * 1e3 / all);

        let plain = Plain::load(folder.path(), &start, 2.0)?;
        let (began, before) = (Instant::now(), machine::cpu_seconds());
        let loss = plain.train(&batch, STEPS, 1e-3)?;
        trained.theirs.push(all / began.elapsed().as_secs_f64());
        trained.their_cpu_ms.push((machine::cpu_seconds() - before) * 1e3 / all);
        near("losses", ours.final_loss_micro as f64 / 1e6, f64::from(loss))?;
    }
    Ok(trained)
}

/// The adapter that training begins with, which must give the logits that plain candle gives.
fn first_adapter(
    base: &BaseModel,
    folder: &Path,
    examples: &[TrainExample],
    config: &TrainConfig,
) -> anyhow::Result<Vec<u8>> {
    // A rate of zero leaves the adapter as it begins.
    let zero = TrainConfig { learning_rate: "0".to_owned(), max_steps: 1, ..config.clone() };
    let start = train(base, examples, &zero, |_| ControlFlow::Continue(()))?.adapter;
    let prompt = examples.first().map(|example| example.prompt.as_str()).unwrap_or_default();
    let (tokens, found) = Model::new(base, Some(&start))?.logits(prompt)?;
    let start = start.weights_bytes();
    let expected = Plain::load(folder, &start, 2.0)?.sequence_logits(&tokens)?.flatten_all()?.to_vec1::<f32>()?;
    for (ours, theirs) in found.into_iter().zip(expected) {
        near("logits", ours.into(), theirs.into())?;
    }
    Ok(start)
}

fn near(what: &str, ours: f64, theirs: f64) -> anyhow::Result<()> {
    if (ours - theirs).abs() > DIFFERENCE_MAX {
        anyhow::bail!("the {what} differ, {ours} here and {theirs} in plain candle: they don't compute the same");
    }
    Ok(())
}

/// Sixteen short questions with a label.
fn examples() -> Vec<TrainExample> {
    let openings = ["Could you tell me", "I would like to know", "Please explain to me", "I do not understand"];
    let subjects = [
        ("why my card was refused in a shop", "card_refused"),
        ("where the money I sent has gone", "transfer_missing"),
        ("what the fee on my account is", "fee_question"),
        ("how a new address is told to you", "address_change"),
    ];
    let pairs = openings.iter().flat_map(|opening| subjects.map(|(subject, label)| (opening, subject, label)));
    pairs
        .map(|(opening, subject, label)| TrainExample {
            prompt: format!("{opening} {subject}\nIntent:"),
            answer: format!(" {label}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tiny_model_trains_beside_plain_candle() {
        let folder = tempfile::tempdir().unwrap();
        attestune_trainer::model::write_tiny_model(folder.path(), 3).unwrap();
        let trained = train_here(folder.path(), 2).unwrap();
        assert_eq!((trained.examples, trained.ours.len(), trained.theirs.len()), (16, 2, 2));
    }
}
