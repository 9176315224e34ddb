//! Presidio's recognizer cases: a text, a kind, the spans that its recognizer finds.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::MeasureError;
use crate::{Config, Entity, Scanner};

/// The cases that are not met, by the line of the file (from 1), each with its reason.
const EXCEPTIONS: &[(usize, &str)] = &[
    (89, "the serial of the specimen of the Bundesdruckerei: issued serials of nine carry no check digit inside"),
    (110, "the same serial as a passport number"),
    (143, "its check digit is wrong by § 27a UStG; further down the file the same text must stay silent"),
    (144, "as the line before"),
    (145, "as the line before"),
];

/// One line of the file.
#[derive(Deserialize)]
struct Case {
    text: String,
    entity: String,
    /// Start, end, least and highest score.
    expected: Vec<(u32, u32, f64, f64)>,
}

/// What came of the cases.
#[derive(Debug, Default)]
pub struct Cases {
    /// Kinds with a case.
    pub entities: usize,
    /// Cases with a span.
    pub positive: usize,
    /// Those whose spans are all found.
    pub found: usize,
    /// Cases without a span.
    pub negative: usize,
    /// Those in which nothing is found.
    pub silent: usize,
    /// The others, by line.
    pub unmet: Vec<Unmet>,
}

/// A case that is not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// The line of the file, from 1.
    pub line: usize,
    /// Presidio's name of the kind.
    pub entity: String,
    /// The spans expected, in code points.
    pub expected: Vec<(u32, u32)>,
    /// The spans found.
    pub found: Vec<(u32, u32)>,
    /// Why that is right all the same; nothing for a case that should be met.
    pub reason: Option<&'static str>,
}

impl Cases {
    /// The lines that have a reason not to be met.
    pub fn exceptions() -> impl Iterator<Item = usize> {
        EXCEPTIONS.iter().map(|(line, _)| *line)
    }
}

/// Tries every case: the right kind and spans, at any score, by the recognizers of that kind alone, as in Presidio's
/// own tests.
///
/// # Errors
/// A line is no case, or of a kind that nothing here finds.
pub fn cases(lines: &str) -> Result<Cases, MeasureError> {
    let mut scanners: BTreeMap<String, Scanner> = BTreeMap::new();
    let mut cases = Cases::default();
    for (line, text) in (1..).zip(lines.lines()) {
        let case: Case =
            serde_json::from_str(text).map_err(|error| MeasureError::Form { line, reason: error.to_string() })?;
        if !scanners.contains_key(&case.entity) {
            scanners.insert(case.entity.clone(), scanner(line, &case.entity)?);
        }
        let found = scanners[&case.entity].scan(&case.text);
        let found: Vec<(u32, u32)> = found.iter().map(|finding| (finding.start, finding.end)).collect();
        let expected: Vec<(u32, u32)> = case.expected.iter().map(|span| (span.0, span.1)).collect();
        let met = match expected.is_empty() {
            true => found.is_empty(),
            false => expected.iter().all(|span| found.contains(span)),
        };
        let (all, good) = match expected.is_empty() {
            true => (&mut cases.negative, &mut cases.silent),
            false => (&mut cases.positive, &mut cases.found),
        };
        *all += 1;
        *good += usize::from(met);
        if !met {
            let reason = EXCEPTIONS.iter().find(|(at, _)| *at == line).map(|(_, reason)| *reason);
            cases.unmet.push(Unmet { line, entity: case.entity, expected, found, reason });
        }
    }
    cases.entities = scanners.len();
    Ok(cases)
}

fn scanner(line: usize, theirs: &str) -> Result<Scanner, MeasureError> {
    let unknown = || MeasureError::UnknownEntity { line, entity: theirs.to_owned() };
    let entities = Entity::of_presidio(theirs);
    if entities.is_empty() {
        return Err(unknown());
    }
    Scanner::new(&Config::only(entities)).map_err(|_| unknown())
}
