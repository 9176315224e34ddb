//! Running a suite on a model.

use std::{collections::BTreeMap, ops::ControlFlow};

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
    /// The caller stopped it.
    #[error("the evaluation was stopped after {done} cases")]
    Stopped {
        /// Cases done.
        done: usize,
    },
}

/// Asks `model` every case of `suite`. `progress` is told how many cases of how many are done, and may stop it.
///
/// # Errors
/// If a prompt is too long for the model, in which case the case is named; if it was stopped.
pub fn run(
    model: &Model<'_>,
    suite: &Suite,
    mut progress: impl FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Report, EvaluateError> {
    let stop = Stop { max_new_tokens: suite.max_new_tokens, at_newline: suite.stop_at_newline };
    let mut report = Report { categories: BTreeMap::new(), cases: Vec::with_capacity(suite.cases.len()) };
    for batch in suite.cases.chunks(CASES_A_BATCH) {
        let prompts: Vec<String> = batch.iter().map(|case| suite.prompt(case)).collect();
        let outputs = answer(model, batch, &prompts, stop)?;
        for ((case, prompt), output) in batch.iter().zip(prompts).zip(outputs) {
            report.add(case, prompt, output);
        }
        let done = report.cases.len();
        if progress(done, suite.cases.len()).is_break() && done < suite.cases.len() {
            return Err(EvaluateError::Stopped { done });
        }
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
            GenerateError::Model(_) | GenerateError::Device(_) | GenerateError::NoLabels => 0,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tiny;

    #[test]
    fn a_report_counts_each_category_and_can_be_judged_again() {
        let base = tiny(5);
        let model = Model::new(&base, None).unwrap();
        let suite = Suite::parse(
            br#"
name: s
prompt_template: "Q: {prompt}\nA:"
max_new_tokens: 6
cases:
  - { id: a, category: accuracy, prompt: one, judge: { exact: no such answer } }
  - { id: b, category: accuracy, prompt: two, judge: { label: { expected: x, labels: [x, yy] } } }
  - { id: c, category: format, prompt: three, judge: { regex: "" } }
  - { id: d, category: safety, prompt: four, judge: { must_refuse: {} } }
"#,
        )
        .unwrap();
        let mut seen = Vec::new();
        let report = run(&model, &suite, |done, total| {
            seen.push((done, total));
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(seen, [(4, 4)]);
        assert_eq!(report.categories[&Category::Format], Score { passed: 1, total: 1 });
        assert_eq!(report.categories[&Category::Safety], Score { passed: 0, total: 1 });
        assert_eq!(report.categories[&Category::Accuracy].total, 2);
        assert_eq!(report.cases[0].prompt, "Q: one\nA:");

        let likeliest = model.likelihoods("Q: two\nA:", &[" x", " yy"]).unwrap();
        assert_eq!(report.cases[1].output, likeliest[0].label.trim());
        for (case, transcript) in suite.cases.iter().zip(&report.cases) {
            let verdict = judge(case, &transcript.output);
            assert_eq!((verdict.passed, &verdict.reason), (transcript.passed, &transcript.reason));
        }
    }

    #[test]
    fn it_stops_when_it_is_told_to() {
        let base = tiny(5);
        let model = Model::new(&base, None).unwrap();
        let case = |i: usize| format!("  - {{ id: c{i}, category: format, prompt: b, judge: {{ regex: b }} }}\n");
        let cases: String = (0..40).map(case).collect();
        let suite = Suite::parse(format!("name: s\nmax_new_tokens: 1\ncases:\n{cases}").as_bytes()).unwrap();
        let error = run(&model, &suite, |_, _| ControlFlow::Break(())).unwrap_err();
        assert!(matches!(error, EvaluateError::Stopped { done: 32 }), "{error}");
    }

    #[test]
    fn a_prompt_that_is_too_long_is_named_by_its_case() {
        let base = tiny(5);
        let model = Model::new(&base, None).unwrap();
        let long = "x".repeat(300);
        let text = format!(
            "name: s\ncases:\n  - {{ id: a, category: format, prompt: b, judge: {{ regex: b }} }}\n  \
             - {{ id: too-long, category: format, prompt: {long}, judge: {{ regex: b }} }}\n"
        );
        let suite = Suite::parse(text.as_bytes()).unwrap();
        let error = run(&model, &suite, |_, _| ControlFlow::Continue(())).unwrap_err().to_string();
        assert!(error.starts_with("case `too-long`: prompt 1 has 300 tokens"), "{error}");
    }
}
