//! Texts with labelled spans.
//!
//! A finding counts if it shares a character with a labelled span of its type; a labelled span is found if a finding of
//! its type shares a character with it ("type and overlap"). Labels are mapped as Presidio's own evaluation does: GPE,
//! street address and postal code are LOCATION, a domain is URL, a prefix is TITLE.

use std::{collections::BTreeMap, ops::Range};

use serde::Deserialize;

use super::MeasureError;
use crate::{Entity, Scanner};

/// A text with its labels.
pub struct Labelled {
    text: String,
    characters: usize,
    /// Type and place in code points.
    spans: Vec<(String, Range<usize>)>,
}

/// One text as the file has it.
#[derive(Deserialize)]
struct Row {
    full_text: String,
    spans: Vec<Label>,
}

#[derive(Deserialize)]
struct Label {
    entity_type: String,
    start_position: usize,
    end_position: usize,
}

/// How many spans were labelled and found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Labels.
    pub labelled: usize,
    /// Labels that a finding of their type meets.
    pub found: usize,
    /// Findings.
    pub told: usize,
    /// Findings that a label of their type meets.
    pub right: usize,
}

/// What was found in labelled texts.
#[derive(Debug, Default)]
pub struct Found {
    /// Texts read.
    pub texts: usize,
    /// By Presidio's name of the type.
    pub by_entity: BTreeMap<String, Tally>,
    /// Characters inside a label.
    pub characters: usize,
    /// Those that are inside a finding as well, of any type.
    pub covered: usize,
    /// Texts without a label.
    pub clean: usize,
    /// Those in which something is found.
    pub flagged: usize,
}

/// Dates at one threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dates {
    /// The threshold, in parts per million.
    pub threshold_ppm: u32,
    /// What came of it.
    pub tally: Tally,
}

impl AsRef<str> for Labelled {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl Tally {
    /// The share of findings that are right.
    pub fn precision(&self) -> f64 {
        share(self.right, self.told)
    }

    /// The share of labels that are found.
    pub fn recall(&self) -> f64 {
        share(self.found, self.labelled)
    }

    /// The harmonic mean of both; 0 if both are.
    pub fn f1(&self) -> f64 {
        let (precision, recall) = (self.precision(), self.recall());
        if precision + recall == 0.0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) }
    }
}

impl Found {
    /// All types together.
    pub fn all(&self) -> Tally {
        let mut all = Tally::default();
        for one in self.by_entity.values() {
            all.labelled += one.labelled;
            all.found += one.found;
            all.told += one.told;
            all.right += one.right;
        }
        all
    }

    /// The share of labelled characters that a finding covers.
    pub fn coverage(&self) -> f64 {
        share(self.covered, self.characters)
    }
}

/// Reads the file: a list of texts with spans.
///
/// # Errors
/// It is no such list.
pub fn read(json: &str) -> Result<Vec<Labelled>, MeasureError> {
    let rows: Vec<Row> = serde_json::from_str(json)
        .map_err(|error| MeasureError::Form { line: error.line(), reason: error.to_string() })?;
    let label = |label: Label| (mapped(&label.entity_type).to_owned(), label.start_position..label.end_position);
    let text = |row: Row| Labelled {
        characters: row.full_text.chars().count(),
        spans: row.spans.into_iter().map(label).collect(),
        text: row.full_text,
    };
    Ok(rows.into_iter().map(text).collect())
}

/// What the scanner finds in the texts.
pub fn found(texts: &[Labelled], scanner: &Scanner) -> Found {
    let mut all = Found { texts: texts.len(), ..Found::default() };
    for (text, findings) in texts.iter().zip(scanner.scan_many(texts)) {
        let findings: Vec<_> = findings.iter().map(|f| typed(f.entity, f.start, f.end)).collect();
        for label in &text.spans {
            let tally = all.by_entity.entry(label.0.clone()).or_default();
            tally.labelled += 1;
            tally.found += usize::from(meets(label, &findings));
        }
        for finding in &findings {
            let tally = all.by_entity.entry(finding.0.clone()).or_default();
            tally.told += 1;
            tally.right += usize::from(meets(finding, &text.spans));
        }
        let inside = |spans: &[(String, Range<usize>)], at: usize| spans.iter().any(|(_, span)| span.contains(&at));
        for at in (0..text.characters).filter(|at| inside(&text.spans, *at)) {
            all.characters += 1;
            all.covered += usize::from(inside(&findings, at));
        }
        all.clean += usize::from(text.spans.is_empty());
        all.flagged += usize::from(text.spans.is_empty() && !findings.is_empty());
    }
    all
}

/// Dates as found by a scanner that tells them at every score: at the highest threshold with at least this recall, else
/// at the lowest, which finds the most.
pub fn dates(texts: &[Labelled], scanner: &Scanner, recall: f64) -> Option<Dates> {
    let name = Entity::DATE.presidio_name();
    // Of each finding its score and whether it is right; of each label the best score that finds it.
    let (mut told, mut labels): (Vec<(u32, bool)>, Vec<u32>) = Default::default();
    for (text, findings) in texts.iter().zip(scanner.scan_many(texts)) {
        let findings: Vec<_> = findings.iter().filter(|f| f.entity == Entity::DATE).collect();
        let place = |f: &crate::Finding| typed(f.entity, f.start, f.end);
        told.extend(findings.iter().map(|f| (f.score_ppm, meets(&place(f), &text.spans))));
        for label in text.spans.iter().filter(|(entity, _)| *entity == name) {
            let met = findings.iter().filter(|f| meets(label, &[place(f)]));
            labels.push(met.map(|f| f.score_ppm + 1).max().unwrap_or(0));
        }
    }
    let mut thresholds: Vec<u32> = told.iter().map(|(score, _)| *score).collect();
    thresholds.sort_unstable_by(|a, b| b.cmp(a));
    thresholds.dedup();
    let at = |threshold_ppm: u32| Tally {
        labelled: labels.len(),
        found: labels.iter().filter(|best| **best > threshold_ppm).count(),
        told: told.iter().filter(|(score, _)| *score >= threshold_ppm).count(),
        right: told.iter().filter(|(score, right)| *score >= threshold_ppm && *right).count(),
    };
    let dates = |threshold_ppm: u32| Dates { threshold_ppm, tally: at(threshold_ppm) };
    let enough = thresholds.iter().map(|&threshold_ppm| dates(threshold_ppm)).find(|d| d.tally.recall() >= recall);
    enough.or_else(|| thresholds.last().map(|&threshold_ppm| dates(threshold_ppm)))
}

/// A line for each label that is missed and each finding that is wrong.
pub fn wrong<'t>(texts: &'t [Labelled], scanner: &'t Scanner) -> impl Iterator<Item = String> + 't {
    texts.iter().flat_map(move |text| {
        let findings: Vec<_> = scanner.scan(&text.text).iter().map(|f| typed(f.entity, f.start, f.end)).collect();
        let said = |span: &Range<usize>| text.text.chars().skip(span.start).take(span.len()).collect::<String>();
        let line = |what: &str, (entity, span): &(String, Range<usize>)| {
            format!("{what} {entity} {:?} in {:?}", said(span), text.text)
        };
        let missed = text.spans.iter().filter(|label| !meets(label, &findings)).map(|label| line("missed", label));
        let wrong = findings.iter().filter(|found| !meets(found, &text.spans)).map(|found| line("wrong", found));
        missed.chain(wrong).collect::<Vec<_>>()
    })
}

fn mapped(entity: &str) -> &str {
    match entity {
        "GPE" | "STREET_ADDRESS" | "ZIP_CODE" => "LOCATION",
        "DOMAIN_NAME" => "URL",
        "PREFIX" => "TITLE",
        other => other,
    }
}

fn typed(entity: Entity, start: u32, end: u32) -> (String, Range<usize>) {
    (entity.presidio_name(), start as usize..end as usize)
}

fn meets((entity, span): &(String, Range<usize>), others: &[(String, Range<usize>)]) -> bool {
    others.iter().any(|(other, place)| other == entity && place.start < span.end && span.start < place.end)
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn texts() -> Vec<Labelled> {
        let span = |kind: &str, start: usize, end: usize| {
            format!(r#"{{"entity_type":"{kind}","start_position":{start},"end_position":{end}}}"#)
        };
        let row = |text: &str, spans: &[String]| format!(r#"{{"full_text":"{text}","spans":[{}]}}"#, spans.join(","));
        let rows = [
            row("é: zoe@example.org", &[span("EMAIL_ADDRESS", 3, 18)]),
            row("born 2001-02-03, card 4111 1111 1111 1111", &[span("DATE_TIME", 5, 15)]),
            row("see you on Monday or on Tuesday", &[span("DATE_TIME", 11, 17)]),
            row("nothing is here", &[]),
            row("203.0.113.9", &[]),
        ];
        read(&format!("[{}]", rows.join(","))).unwrap()
    }

    #[test]
    fn labels_findings_characters_and_clean_texts_are_counted() {
        let scanner = Scanner::patterns(&Config::default()).unwrap();
        let found = found(&texts(), &scanner);
        assert_eq!(found.by_entity["EMAIL_ADDRESS"], Tally { labelled: 1, found: 1, told: 1, right: 1 });
        assert_eq!(found.by_entity["DATE_TIME"], Tally { labelled: 2, found: 1, told: 1, right: 1 });
        assert_eq!(found.by_entity["CREDIT_CARD"], Tally { labelled: 0, found: 0, told: 1, right: 0 });
        assert_eq!(found.all(), Tally { labelled: 3, found: 2, told: 4, right: 2 });
        assert_eq!((found.characters, found.covered), (15 + 10 + 6, 15 + 10));
        assert_eq!((found.texts, found.clean, found.flagged), (5, 2, 1));
    }

    #[test]
    fn the_threshold_of_dates_is_the_highest_with_the_recall() {
        let config = Config { thresholds_ppm: [(Entity::DATE, 0)].into(), ..Config::default() };
        let scanner = Scanner::patterns(&config).unwrap();
        let half = dates(&texts(), &scanner, 0.5).unwrap();
        assert_eq!(half.tally, Tally { labelled: 2, found: 1, told: 1, right: 1 });
        let all = dates(&texts(), &scanner, 1.0).unwrap();
        assert!(all.threshold_ppm < half.threshold_ppm);
        assert_eq!(all.tally, Tally { labelled: 2, found: 2, told: 3, right: 2 });
    }

    #[test]
    fn what_is_no_list_of_texts_is_refused_with_its_line() {
        let error = read("[\n{}]").err().unwrap();
        assert!(error.to_string().starts_with("line 2 of the data"), "{error}");
    }
}
