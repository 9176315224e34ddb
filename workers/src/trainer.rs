//! The worker that trains, and the repetition of a run.

use crate::{
    BaseModels, Context, Outcome, Progress, Worker, WorkerError,
    context::parse_examples,
    lease::{Held, Work},
    runner::each,
};
use attestune_ledger::{
    query,
    state::{Bases, Datasets},
    tree::{Frontier, leaf_hash},
};
use attestune_proto::v1::{
    Hyperparameters, Kind, RunRow, Sealed, Setting, TrainingCompleted, TrainingFailed, TrainingProgressed, event::Body,
};
use attestune_trainer::{
    config::TrainConfig,
    device::Device,
    digest::Digest,
    environment::Environment,
    model::BaseModel,
    train::{self, TrainExample, Trained},
};
use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

/// How often a run's progress is put on record, which also renews its lease.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// Identifiers of the log are at most so long.
const ID_CHARS_MAX: usize = 64;

/// Claims training runs, one after another, and trains. A run whose base model is not here is left to another worker.
/// A key serves one trainer: a claim that it finds under its own key is one of before it started again, and it goes on
/// with it.
pub struct Trainer {
    models: BaseModels,
    device: Device,
}

impl Trainer {
    /// A trainer on the CPU that finds base models there.
    pub fn new(models: BaseModels) -> Self {
        Self { models, device: Device::CPU }
    }

    /// The same, on `device`.
    pub fn on(self, device: Device) -> Self {
        Self { device, ..self }
    }

    fn train(&self, context: &Context, run: &RunRow) -> Result<Progress, WorkerError> {
        let position = run.position;
        let base = context.view().view().get(&Bases::key(run.base)).unwrap_or_default();
        if !self.models.serves(&base, &format!("run {position}")) {
            return Ok(Progress::Idle);
        }
        let Some(mut held) = Held::take(context, Work::Training(position))? else { return Ok(Progress::Idle) };
        tracing::info!(run = position, model = run.model, "training");
        let outcome = match self.complete(context, run, &mut held) {
            Ok(outcome) => outcome,
            Err(error) => match error.reason() {
                Some(reason) => {
                    tracing::warn!(run = position, %error, "the training failed");
                    let reason = reason.into();
                    held.report(|token| Body::TrainingFailed(TrainingFailed { run: position, token, reason }))?
                }
                // Stopped, or the lease was lost.
                None if matches!(error, WorkerError::Train(_)) => Outcome::Resting,
                None => return Err(error),
            },
        };
        if !matches!(outcome, Outcome::Accepted(_)) {
            held.leave();
        }
        Ok(Progress::Done)
    }

    fn complete(&self, context: &Context, run: &RunRow, held: &mut Held<'_>) -> Result<Outcome, WorkerError> {
        let inputs = Inputs::of(context, &self.models, run)?;
        let environment = settings(&Environment::on(&self.device, inputs.config.threads)?);
        let began = Instant::now();
        let trained = inputs.train(&self.device, reporter(context, run.position, held))?;
        // What no event will name does not go into the vault.
        if !held.renew() {
            return Ok(Outcome::Resting);
        }
        let weights = trained.adapter.weights_bytes();
        let digest = Digest::of(&weights);
        let sealed = context.seal(&[weights])?;
        let commitment = sealed.items.first().map(|item| item.commitment.to_vec()).unwrap_or_default();
        let body = TrainingCompleted {
            run: run.position,
            token: held.token,
            adapter_digest: digest.0.to_vec(),
            adapter: Some(Sealed { pack: sealed.pack.to_vec(), commitment }),
            final_loss_micro: trained.final_loss_micro,
            steps: trained.steps,
            tokens: trained.tokens,
            duration_ms: began.elapsed().as_millis() as u64,
            dataset_root: inputs.dataset_root.to_vec(),
            weights_digest: inputs.base.weights_digest().0.to_vec(),
            tokenizer_digest: inputs.base.tokenizer_digest().0.to_vec(),
            environment,
        };
        held.report(|token| Body::TrainingCompleted(TrainingCompleted { token, ..body.clone() }))
    }
}

impl Worker for Trainer {
    fn name(&self) -> &'static str {
        "trainer"
    }

    fn react(&mut self, context: &Context) -> Result<Progress, WorkerError> {
        let runs = context.open_work()?.runs;
        each(context, Kind::TrainingClaimed, runs, |run| run.position, |run| self.train(context, &run))
    }
}

/// All that a run's result depends on, beside the environment.
struct Inputs {
    base: Arc<BaseModel>,
    examples: Vec<TrainExample>,
    config: TrainConfig,
    /// Over the members that were really opened.
    dataset_root: [u8; 32],
}

impl Inputs {
    fn of(context: &Context, models: &BaseModels, run: &RunRow) -> Result<Self, WorkerError> {
        let bad = |why: &str| WorkerError::Content { what: "run", position: run.position, why: why.into() };
        let (dataset, base) = {
            let view = context.view();
            let view = view.view();
            (view.get(&Datasets::key(run.dataset)), view.get(&Bases::key(run.base)))
        };
        let dataset = dataset.ok_or_else(|| bad("its dataset is not in the state"))?;
        let base = base.ok_or_else(|| bad("its base model is not in the state"))?;
        let config = train_config(run.hyperparameters.as_ref().ok_or_else(|| bad("it has no hyperparameters"))?);
        let model = models.load(&base.weights_digest)?;
        if model.tokenizer_digest().0.as_slice() != base.tokenizer_digest.as_slice() {
            return Err(bad("the base model's tokenizer is another than was registered"));
        }
        let members = query::list_members(&context.view(), run.dataset)?.members;
        let contents: Vec<Sealed> = members.into_iter().map(|member| member.content.unwrap_or_default()).collect();
        let mut tree = Frontier::new();
        contents.iter().for_each(|content| tree.push(leaf_hash(&[&content.commitment])));
        let dataset_root = tree.root().0;
        if dataset_root.as_slice() != dataset.root.as_slice() {
            return Err(bad("the dataset's members are not those that were frozen"));
        }
        let texts = parse_examples(run.dataset, &context.open_all("member", run.dataset, &contents)?)?;
        let examples = texts.into_iter().map(|text| TrainExample { prompt: text.prompt, answer: text.answer });
        Ok(Self { base: model, examples: examples.collect(), config, dataset_root })
    }

    fn train(
        &self,
        device: &Device,
        progress: impl FnMut(train::Progress) -> ControlFlow<()> + Send,
    ) -> Result<Trained, WorkerError> {
        Ok(train::train_on(device, &self.base, &self.examples, &self.config, progress)?)
    }
}

/// Hyperparameters as the trainer takes them.
pub fn train_config(asked: &Hyperparameters) -> TrainConfig {
    TrainConfig {
        rank: asked.rank,
        alpha: asked.alpha,
        targets: asked.targets.clone(),
        learning_rate: asked.learning_rate.clone(),
        weight_decay: asked.weight_decay.clone(),
        warmup_ppm: asked.warmup_ppm,
        epochs: asked.epochs,
        max_steps: asked.steps_max,
        batch_size: asked.batch_size,
        max_tokens: asked.tokens_max,
        seed: asked.seed,
        threads: asked.threads,
    }
}

/// Puts progress on record now and then, which renews the lease, and stops the run when it was told to or has lost it.
///
/// Under an inherited claim it tells nothing. A report of the process that made the claim may come onto the log between
/// what this one has read and what it would tell; it is further on than this one, which began anew, so that this one's
/// would run backwards. A claim of its own comes after it, and begins the progress on record anew, too.
fn reporter(context: &Context, run: u64, held: &mut Held<'_>) -> impl FnMut(train::Progress) -> ControlFlow<()> + Send {
    let every = Duration::from_millis(held.renewal_ms(PROGRESS_EVERY.as_millis() as u64));
    let mut last = Instant::now();
    move |now| {
        if context.stopping() {
            return ControlFlow::Break(());
        }
        if now.step < now.steps && last.elapsed() < every {
            return ControlFlow::Continue(());
        }
        last = Instant::now();
        held.keep()?;
        if held.inherited {
            return ControlFlow::Continue(());
        }
        let (token, train::Progress { step, steps, loss_micro, tokens, .. }) = (held.token, now);
        let told = TrainingProgressed { run, token, step, steps, loss_micro, tokens };
        match context.act(run, &format!("{token}/{step}"), Body::TrainingProgressed(told)) {
            Ok(Outcome::Accepted(_) | Outcome::Before(_)) if held.look() => ControlFlow::Continue(()),
            // It ran out just now, and is claimed anew the next time, if it is still free.
            Ok(Outcome::Refused(_)) if held.look() => ControlFlow::Continue(()),
            Ok(_) => ControlFlow::Break(()),
            Err(error) => {
                tracing::warn!(run, %error, "progress could not be put on record");
                ControlFlow::Break(())
            }
        }
    }
}

/// An environment as the log keeps it: identifiers, ascending by name.
pub fn settings(environment: &Environment) -> Vec<Setting> {
    let entries = environment.entries().iter();
    let mut settings: Vec<_> =
        entries.map(|(name, value)| Setting { name: identifier(name), value: identifier(value) }).collect();
    settings.sort_by(|a, b| a.name.cmp(&b.name));
    settings.dedup_by(|a, b| a.name == b.name);
    settings
}

/// The text as an identifier: lower case, each run of other characters one hyphen, cut at 64 characters.
fn identifier(text: &str) -> String {
    let mut out = String::new();
    for char in text.trim().chars().flat_map(char::to_lowercase) {
        match char {
            'a'..='z' | '0'..='9' | '.' | '_' | '-' => out.push(char),
            _ if out.ends_with('-') => {}
            _ => out.push('-'),
        }
    }
    out.truncate(ID_CHARS_MAX);
    let out = out.trim_matches('-');
    if out.is_empty() { "unknown".into() } else { out.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_made_of_identifiers_ascending_by_name() {
        let settings = settings(&Environment::current(2));
        assert!(settings.windows(2).all(|pair| pair[0].name < pair[1].name));
        let good = |text: &str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        };
        assert!(settings.iter().all(|s| good(&s.name) && good(&s.value)), "{settings:?}");
    }

    #[test]
    fn an_identifier_is_cut_and_never_empty() {
        assert_eq!(identifier("Intel(R) Xeon(R) Processor @ 2.10GHz"), "intel-r-xeon-r-processor-2.10ghz");
        assert_eq!(identifier("Intel(R) Xeon(R) @ 2.10GHz"), "intel-r-xeon-r-2.10ghz");
        assert_eq!(identifier(" é "), "unknown");
        assert_eq!(identifier(&"x".repeat(100)).len(), 64);
    }
}
