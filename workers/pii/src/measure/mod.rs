//! How much of labelled texts is found: for benches and tests, over data that they read.
//!
//! The data is Microsoft Presidio's own: the cases of its recognizers and the labelled texts of presidio-research. It is
//! read, never learnt from, and none of it is part of this project.

mod cases;
mod generated;
mod labelled;

pub use cases::{Cases, Unmet, cases};
pub use generated::{generated, generated_stream};
pub use labelled::{Dates, Found, Labelled, Tally, dates, found, read, wrong};

use std::time::Instant;

use rayon::prelude::*;

use crate::Scanner;

/// The data can't be read.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// It is no JSON of the form that is known.
    #[error("line {line} of the data is not what is expected: {reason}")]
    Form {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// It names a kind that nothing here finds.
    #[error("line {line} of the data names {entity}, which no recognizer here finds")]
    UnknownEntity {
        /// The line, from 1.
        line: usize,
        /// Presidio's name of the kind.
        entity: String,
    },
}

/// How many texts a second a scanner reads with so many threads; none if threads can't be started.
pub fn texts_a_second<T: AsRef<str> + Sync>(texts: &[T], scanner: &Scanner, threads: usize) -> Option<f64> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().ok()?;
    let pass = || texts.par_iter().with_min_len(16).map(|text| scanner.scan(text.as_ref()).len()).sum::<usize>();
    pool.install(pass);
    let started = Instant::now();
    std::hint::black_box(pool.install(pass));
    Some(texts.len() as f64 / started.elapsed().as_secs_f64())
}
