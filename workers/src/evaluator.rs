//! The worker that runs suites on versions.

use crate::{
    BaseModels, Context, Outcome, Progress, Worker, WorkerError,
    leakage::suite,
    lease::{Held, Work},
    runner::each,
    trainer::settings,
};
use attestune_ledger::{
    state::{Bases, Runs, Suites, Versions},
    tree::{Frontier, leaf_hash},
};
use attestune_proto::v1::{
    CategoryResult, EvaluationCompleted, EvaluationFailed, EvaluationRow, Hyperparameters, Kind, SuiteRow, VersionRow,
    event::Body,
};
use attestune_trainer::{
    adapter::Adapter,
    device::Device,
    digest::Digest,
    environment::Environment,
    evaluate::{self, Category, Report},
    generate::Model,
};
use std::time::Instant;

/// Claims evaluations, one after another, and runs them, of versions trained here or registered with an adapter from
/// elsewhere. One whose base model is not here is left to another worker. A key serves one evaluator.
pub struct Evaluator {
    models: BaseModels,
    device: Device,
}

impl Evaluator {
    /// An evaluator on the CPU that finds base models there.
    pub fn new(models: BaseModels) -> Self {
        Self { models, device: Device::CPU }
    }

    /// The same, on `device`.
    pub fn on(self, device: Device) -> Self {
        Self { device, ..self }
    }

    fn evaluate(&self, context: &Context, evaluation: &EvaluationRow) -> Result<Progress, WorkerError> {
        let position = evaluation.position;
        if !self.serves(context, evaluation) {
            return Ok(Progress::Idle);
        }
        let Some(mut held) = Held::take(context, Work::Evaluation(position))? else { return Ok(Progress::Idle) };
        tracing::info!(evaluation = position, model = evaluation.model, version = evaluation.version, "evaluating");
        let outcome = match self.complete(context, evaluation, &mut held) {
            Ok(outcome) => outcome,
            Err(error) => match error.reason() {
                Some(reason) => {
                    tracing::warn!(evaluation = position, %error, "the evaluation failed");
                    let reason = reason.into();
                    let failed = |token| EvaluationFailed { evaluation: position, token, reason };
                    held.report(|token| Body::EvaluationFailed(failed(token)))?
                }
                // Stopped, or the lease was lost.
                None if matches!(error, WorkerError::Evaluate(_)) => Outcome::Resting,
                None => return Err(error),
            },
        };
        if !matches!(outcome, Outcome::Accepted(_)) {
            held.leave();
        }
        Ok(Progress::Done)
    }

    /// Whether the base model is here. Where the state doesn't name one, the evaluation is taken, to fail with that.
    fn serves(&self, context: &Context, evaluation: &EvaluationRow) -> bool {
        let view = context.view();
        let view = view.view();
        let version = view.get(&Versions::key(&evaluation.model, evaluation.version));
        let base = version.and_then(|version| view.get(&Bases::key(version.base)));
        base.is_none_or(|base| self.models.serves(&base, &format!("evaluation {}", evaluation.position)))
    }

    fn complete(
        &self,
        context: &Context,
        evaluation: &EvaluationRow,
        held: &mut Held<'_>,
    ) -> Result<Outcome, WorkerError> {
        let began = Instant::now();
        let subject = Subject::of(context, evaluation)?;
        let suite = suite(context, evaluation.suite)?;
        let base = self.models.load(&subject.weights_digest)?;
        let weights = subject.adapter(context)?;
        let adapter_digest = Digest::of(&weights);
        let adapter = match &subject.hyperparameters {
            Some(hyperparameters) => Adapter::from_bytes(&adapter_config(hyperparameters), &weights)?,
            None => Adapter::from_packed(&weights)?,
        };
        let environment = settings(&Environment::on(&self.device, threads())?);
        let model = Model::on(&self.device, &base, Some(&adapter))?;
        let report = evaluate::run(&model, &suite, |_, _| held.keep())?;
        // What no event will name does not go into the vault.
        if !held.renew() {
            return Ok(Outcome::Resting);
        }

        let transcripts: Vec<Vec<u8>> = report.cases.iter().map(transcript).collect();
        let sealed = context.seal(&transcripts)?;
        let mut tree = Frontier::new();
        sealed.items.iter().for_each(|item| tree.push(leaf_hash(&[&item.commitment])));
        let body = EvaluationCompleted {
            evaluation: evaluation.position,
            token: held.token,
            results: results(&subject.suite, &report),
            pack: sealed.pack.to_vec(),
            transcripts_root: tree.root().0.to_vec(),
            suite_digest: suite.digest().0.to_vec(),
            adapter_digest: adapter_digest.0.to_vec(),
            duration_ms: began.elapsed().as_millis() as u64,
            environment,
        };
        held.report(|token| Body::EvaluationCompleted(EvaluationCompleted { token, ..body.clone() }))
    }
}

impl Worker for Evaluator {
    fn name(&self) -> &'static str {
        "evaluator"
    }

    fn react(&mut self, context: &Context) -> Result<Progress, WorkerError> {
        let evaluations = context.open_work()?.evaluations;
        let claim = Kind::EvaluationClaimed;
        each(context, claim, evaluations, |e| e.position, |evaluation| self.evaluate(context, &evaluation))
    }
}

/// What is evaluated: a version with what it stands on.
struct Subject {
    version: VersionRow,
    suite: SuiteRow,
    /// Those of its run. An adapter from elsewhere has none: how it counts stands in its own header.
    hyperparameters: Option<Hyperparameters>,
    weights_digest: Vec<u8>,
}

impl Subject {
    fn of(context: &Context, evaluation: &EvaluationRow) -> Result<Self, WorkerError> {
        let bad =
            |why: &str| WorkerError::Content { what: "evaluation", position: evaluation.position, why: why.into() };
        let view = context.view();
        let view = view.view();
        let version = view.get(&Versions::key(&evaluation.model, evaluation.version));
        let version = version.ok_or_else(|| bad("its version is not in the state"))?;
        let suite = view.get(&Suites::key(evaluation.suite)).ok_or_else(|| bad("its suite is not in the state"))?;
        let base = view.get(&Bases::key(version.base)).ok_or_else(|| bad("its base model is not in the state"))?;
        let hyperparameters = match version.run {
            None => None,
            Some(run) => {
                let run = view.get(&Runs::key(run)).ok_or_else(|| bad("its run is not in the state"))?;
                Some(run.hyperparameters.ok_or_else(|| bad("its run has no hyperparameters"))?)
            }
        };
        Ok(Self { version, suite, hyperparameters, weights_digest: base.weights_digest })
    }

    fn adapter(&self, context: &Context) -> Result<Vec<u8>, WorkerError> {
        let position = self.version.position;
        let sealed = self.version.adapter.clone().unwrap_or_default();
        let weights = context.open("adapter", position, &sealed)?;
        if Digest::of(&weights).0.as_slice() != self.version.adapter_digest.as_slice() {
            let why = "its weights have another digest than was recorded".into();
            return Err(WorkerError::Content { what: "adapter", position, why });
        }
        Ok(weights)
    }
}

/// PEFT's `adapter_config.json` of a run.
pub fn adapter_config(of: &Hyperparameters) -> Vec<u8> {
    let config = serde_json::json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": null,
        "r": of.rank,
        "lora_alpha": of.alpha,
        "target_modules": of.targets,
    });
    config.to_string().into_bytes()
}

fn transcript(transcript: &evaluate::Transcript) -> Vec<u8> {
    serde_json::to_vec(transcript).expect("a transcript of plain strings can be written as JSON")
}

/// Results in the order of the suite's categories; one that the report lacks has no case passed, which the fold refuses.
fn results(suite: &SuiteRow, report: &Report) -> Vec<CategoryResult> {
    let of = |name: &str| report.categories.iter().find(|(category, _)| category_name(**category) == name);
    let result = |category: &attestune_proto::v1::CategoryBar| {
        let score = of(&category.category).map(|(_, score)| *score).unwrap_or_default();
        CategoryResult { category: category.category.clone(), passed: score.passed, cases: score.total }
    };
    suite.categories.iter().map(result).collect()
}

fn category_name(category: Category) -> &'static str {
    match category {
        Category::Accuracy => "accuracy",
        Category::Safety => "safety",
        Category::Compliance => "compliance",
        Category::Format => "format",
    }
}

/// Threads that matrix products use where no run sets them.
fn threads() -> u32 {
    std::thread::available_parallelism().map_or(1, |threads| threads.get() as u32)
}
