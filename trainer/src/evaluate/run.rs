//! Running a suite on a model.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Case, Category, Judge, Suite, judge};
use crate::generate::{GenerateError, Model, Stop};

/// Cases that are answered together.
const CASES_A_BATCH: usize = 32;

/// The outcome of a suite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Passed and all cases of each category that the suite has.
    pub categories: BTreeMap<Category, Score>,
    /// Every case, in the suite's order.
    pub cases: Vec<Transcript>,
}

/// Cases passed, of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Cases passed.
    pub passed: u32,
    /// All cases.
    pub total: u32,
}

/// What was asked, what was answered, how it was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// The case.
    pub case_id: String,
    /// Its category.
    pub category: Category,
    /// What the model was shown.
    pub prompt: String,
    /// What it answered; for a label judge, the likeliest label.
    pub output: String,
    /// Whether the case is passed.
    pub passed: bool,
    /// The judge's reason.
    pub reason: String,
}

/// Why a suite couldn't be run.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The model couldn't answer a case.
    #[error("case `{case_id}`: {source}")]
    Generate {
        /// The case.
        case_id: String,
        /// What went wrong.
        source: GenerateError,
    },
}

/// Asks `model` every case of `suite`. `progress` is told how many cases of how many are done.
///
/// # Errors
/// If a prompt is too long for the model; the case is named.
pub fn run(model: &Model<'_>, suite: &Suite, mut progress: impl FnMut(usize, usize)) -> Result<Report, EvaluateError> {
    let stop = Stop { max_new_tokens: suite.max_new_tokens, at_newline: suite.stop_at_newline };
    let mut report = Report { categories: BTreeMap::new(), cases: Vec::with_capacity(suite.cases.len()) };
    for batch in suite.cases.chunks(CASES_A_BATCH) {
        let prompts: Vec<String> = batch.iter().map(|case| suite.prompt(case)).collect();
        let outputs = answer(model, batch, &prompts, stop)?;
        for ((case, prompt), output) in batch.iter().zip(prompts).zip(outputs) {
            report.add(case, prompt, output);
        }
        progress(report.cases.len(), suite.cases.len());
    }
    Ok(report)
}

fn answer(model: &Model<'_>, cases: &[Case], prompts: &[String], stop: Stop) -> Result<Vec<String>, EvaluateError> {
    let named = |index: usize, source| EvaluateError::Generate { case_id: cases[index].id.clone(), source };
    let mut outputs = vec![String::new(); cases.len()];
    let mut written = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        match &case.judge {
            Judge::Label { labels, .. } => {
                let spaced: Vec<String> = labels.iter().map(|label| format!(" {label}")).collect();
                let spaced: Vec<&str> = spaced.iter().map(String::as_str).collect();
                let ranked = model.likelihoods(&prompts[index], &spaced).map_err(|e| named(index, e))?;
                outputs[index] = ranked.first().map_or("", |best| best.label.trim()).to_owned();
            }
            Judge::Exact(_) | Judge::Regex(_) | Judge::JsonSchema(_) | Judge::MustRefuse | Judge::NoPii => {
                written.push(index);
            }
        }
    }
    let asked: Vec<&str> = written.iter().map(|index| prompts[*index].as_str()).collect();
    let answers = model.greedy(&asked, stop).map_err(|error| {
        let place = match &error {
            GenerateError::EmptyPrompt { index } | GenerateError::TooLong { index, .. } => *index,
            GenerateError::Model(_) | GenerateError::NoLabels => 0,
        };
        named(written.get(place).copied().unwrap_or(0), error)
    })?;
    for (index, answer) in written.into_iter().zip(answers) {
        outputs[index] = answer;
    }
    Ok(outputs)
}

impl Report {
    fn add(&mut self, case: &Case, prompt: String, output: String) {
        let verdict = judge(case, &output);
        let score = self.categories.entry(case.category).or_default();
        score.total += 1;
        score.passed += u32::from(verdict.passed);
        self.cases.push(Transcript {
            case_id: case.id.clone(),
            category: case.category,
            prompt,
            output,
            passed: verdict.passed,
            reason: verdict.reason,
        });
    }
}
