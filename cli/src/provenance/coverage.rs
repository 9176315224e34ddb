//! What the scans behind a version looked for, as text.

use crate::output;
use attestune_proto::v1::{Coverage, ScanCoverage, SkipReason, Tool};

/// Characters of a line, the stem not counted.
const WIDTH: usize = 100;

/// The statement of some scans: its detectors with their kinds, what is only noted, what was left out and why, and the
/// languages of the texts.
pub fn lines(said: &ScanCoverage) -> String {
    let by = said.detector.as_ref().map(name).unwrap_or_default();
    let head = format!("├─ coverage {} of {} scans by {by}: ", output::short(&said.digest), said.scans);
    let Some(coverage) = &said.coverage else {
        return format!("{head}looked for {}; it says no more\n", said.looked_for.join(", "));
    };
    let mut lines =
        vec![format!("{head}{} kinds, told from {}", said.looked_for.len(), output::percent(coverage.threshold_ppm))];
    for (what, words) in parts(said, coverage) {
        lines.extend(wrapped(&what, &words));
    }
    lines.join("\n") + "\n"
}

/// Headings, each with what stands under it; the empty ones are left out.
fn parts(said: &ScanCoverage, coverage: &Coverage) -> Vec<(String, Vec<String>)> {
    let mut parts = Vec::new();
    for part in &coverage.detectors {
        let kinds = part.entities.iter().filter_map(|place| said.looked_for.get(*place as usize));
        let tool = part.detector.as_ref().map(name).unwrap_or_default();
        parts.push((format!("{tool}, made for {}:", part.languages.join(" ")), kinds.cloned().collect()));
    }
    let thresholds = coverage.thresholds.iter().map(|t| format!("{} from {}", t.entity, output::percent(t.ppm)));
    let skipped = coverage.skipped.iter().map(|skipped| format!("{} ({})", skipped.entity, why(skipped.reason())));
    let languages = said.languages.iter().map(|share| format!("{} {}", share.language, share.texts));
    let lists = [(coverage.allowed, "texts never told"), (coverage.denied, "words always told")];
    let mut rest: Vec<String> = lists.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    rest.extend((!coverage.unfolds).then(|| "disguises not seen through".to_owned()));
    rest.extend(
        (!coverage.recognizers.is_empty())
            .then(|| format!("own recognizers, SHA-256 {}", hex::encode(&coverage.recognizers))),
    );
    parts.extend([
        ("noted, no reason for a review:".to_owned(), coverage.noted.clone()),
        ("not looked for:".to_owned(), skipped.collect()),
        ("with thresholds of their own:".to_owned(), thresholds.collect()),
        ("numbers of:".to_owned(), coverage.countries.clone()),
        ("national telephone numbers of:".to_owned(), coverage.phone_regions.clone()),
        ("besides:".to_owned(), rest),
        ("texts by language:".to_owned(), languages.collect()),
    ]);
    parts.retain(|(_, words)| !words.is_empty());
    parts
}

fn name(tool: &Tool) -> String {
    format!("{}@{}", tool.name, tool.version)
}

fn why(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Configuration => "left out",
        SkipReason::Country => "its country is left out",
        SkipReason::Language => "its language is left out",
        SkipReason::NoDetector => "no detector knows it",
        SkipReason::Unspecified => "no reason given",
    }
}

/// A heading and its words, in lines of bearable length under the stem.
fn wrapped(what: &str, words: &[String]) -> Vec<String> {
    let mut lines = vec![what.to_owned()];
    for (at, word) in words.iter().enumerate() {
        let comma = if at + 1 < words.len() { "," } else { "" };
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() + 2 <= WIDTH => {
                *line += &format!(" {word}{comma}")
            }
            _ => lines.push(format!("  {word}{comma}")),
        }
    }
    lines.into_iter().map(|line| format!("│    {line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_proto::v1::{CoveredBy, LanguageShare, NotCovered};

    fn said() -> ScanCoverage {
        let tool = |name: &str| Some(Tool { name: name.into(), version: "3".into() });
        let part = |name: &str, entities: &[u32]| CoveredBy {
            detector: tool(name),
            entities: entities.to_vec(),
            languages: vec!["de".into(), "en".into()],
        };
        ScanCoverage {
            digest: vec![0xab; 32],
            detector: tool("attestune-pii"),
            looked_for: vec!["email".into(), "location".into(), "person".into()],
            coverage: Some(Coverage {
                detectors: vec![part("attestune-pii", &[0]), part("tagger", &[1, 2])],
                noted: vec!["location".into()],
                skipped: vec![NotCovered { entity: "age".into(), reason: SkipReason::Configuration.into() }],
                threshold_ppm: 350_000,
                denied: 2,
                unfolds: true,
                ..Default::default()
            }),
            scans: 4,
            languages: vec![LanguageShare { language: "en".into(), texts: 9 }],
        }
    }

    #[test]
    fn a_statement_is_told_whole() {
        let expected = "\
├─ coverage abababab of 4 scans by attestune-pii@3: 3 kinds, told from 35 %
│    attestune-pii@3, made for de en: email
│    tagger@3, made for de en: location, person
│    noted, no reason for a review: location
│    not looked for: age (left out)
│    besides: 2 words always told
│    texts by language: en 9
";
        assert_eq!(lines(&said()), expected);
    }

    #[test]
    fn many_kinds_stand_in_lines_of_bearable_length() {
        let words: Vec<String> = (0..90).map(|n| format!("some-kind-of-number-{n}")).collect();
        let lines = wrapped("attestune-pii@3:", &words);
        assert!(lines.len() > 10 && lines.iter().all(|line| line.chars().count() <= WIDTH + 5), "{lines:?}");
    }

    #[test]
    fn a_detector_without_a_statement_is_told_as_that() {
        let said = ScanCoverage { coverage: None, ..said() };
        assert!(lines(&said).contains("looked for email, location, person; it says no more"));
    }
}
