//! What the ledger says to clauses of regulations.
//!
//! A *question* ([`QUESTIONS`]) is a pure function of the state at a moment and the asker's clock; its answer is met, a gap,
//! or not applicable, with counts and the events behind it. A *pack* ([`packs`]) is data: it maps the clauses of one text
//! to the questions that bear on them. What no software can answer a pack leaves to people, in words.
//!
//! ```
//! use attestune_ledger::query::comply::{packs, question};
//!
//! let soc2 = packs()?.iter().find(|pack| pack.pack == "soc-2").expect("it is among them");
//! let clause = &soc2.clauses[2];
//! assert_eq!(clause.clause, "CC8.1");
//! assert!(clause.questions.iter().all(|asked| question(&asked.question).is_some()));
//! # Ok::<(), attestune_ledger::query::QueryError>(())
//! ```

mod answer;
mod asked;
mod changes;
mod data;
mod erasures;
mod log;
mod pack;
mod people;
mod questions;
mod running;

pub use data::SAFE_HARBOR;
pub use pack::{Asks, Clause, Pack, PackError, judge, packs, parse};
pub use questions::{QUESTIONS, Question, question};

use super::{QueryError, answer as sound, not_found};
use crate::replica::StoreView;
use asked::Asked;
use attestune_proto::v1::{ComplyResponse, QuestionAnswer};
use std::collections::BTreeSet;

/// The clauses of a pack, or with an empty name of every pack, and the answers to what they ask.
///
/// # Errors
/// If there is no such pack, or the state can't be read.
pub fn comply(store: &StoreView, pack: &str, now_ms: u64) -> Result<ComplyResponse, QueryError> {
    let wanted: Vec<&Pack> = packs()?.iter().filter(|one| pack.is_empty() || one.pack == pack).collect();
    if wanted.is_empty() {
        return Err(not_found("pack", pack));
    }
    let names: BTreeSet<&str> = wanted.iter().flat_map(|pack| pack.questions()).collect();
    let questions = QUESTIONS.iter().filter(|question| names.contains(question.code));
    let asked = Asked::new(store, now_ms)?;
    let answers = answers(&asked, questions)?;
    let as_of_position = store.size().saturating_sub(1);
    let response = ComplyResponse {
        packs: wanted.iter().map(|pack| judge(pack, &answers)).collect(),
        questions: answers,
        as_of_position,
        as_of_ms: asked.view.fold_time(as_of_position).unwrap_or(0),
        now_ms: asked.now_ms,
    };
    sound(&asked.view, response)
}

fn answers<'q>(
    asked: &Asked<'_>,
    questions: impl Iterator<Item = &'q Question>,
) -> Result<Vec<QuestionAnswer>, QueryError> {
    questions
        .map(|question| {
            let answer = (question.ask)(asked)?;
            Ok(QuestionAnswer { question: question.code.into(), asks: question.asks.into(), ..answer })
        })
        .collect()
}
