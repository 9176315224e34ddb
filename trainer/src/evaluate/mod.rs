//! Evaluation: a suite of cases in YAML, answered by a model, judged case by case.
//!
//! Judging needs the case and the output alone ([`judge`]), so that transcripts can be judged
//! again by someone without the model.

mod judging;
mod run;
mod suite;
mod unasked;

pub use judging::{Verdict, is_refusal, judge};
pub use run::{EvaluateError, Report, Score, Transcript, run};
pub use suite::{Case, Category, Judge, Suite, SuiteError};
pub use unasked::Unasked;
