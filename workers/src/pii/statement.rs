//! What a scan says of itself on the log: what it looked for and how, and the languages of the texts.

use attestune_pii::{Scanner, Why};
use attestune_proto::v1::{Coverage, CoveredBy, EntityThreshold, LanguageShare, NotCovered, SkipReason, Tool};
use std::collections::BTreeMap;

/// What the scanner looks for, ascending, and its statement.
pub(super) fn of(scanner: &Scanner, detector: &Tool) -> (Vec<String>, Coverage) {
    let coverage = scanner.coverage();
    let looked_for = sorted(coverage.entities.iter().map(|entity| entity.name().to_owned()));
    let places = |entities: &[attestune_pii::Entity]| {
        let place = |entity: &attestune_pii::Entity| looked_for.iter().position(|name| name == entity.name());
        let mut places: Vec<u32> = entities.iter().filter_map(place).map(|place| place as u32).collect();
        places.sort_unstable();
        places
    };
    let detectors = coverage.detectors.iter().enumerate().map(|(at, part)| {
        // The first is the scanner itself, whose version on the log tells the configuration as well.
        let version = if at == 0 { detector.version.clone() } else { part.version.to_owned() };
        CoveredBy {
            detector: Some(Tool { name: part.name.to_owned(), version }),
            entities: places(&part.entities),
            languages: sorted(part.languages.iter().map(|language| (*language).to_owned())),
        }
    });
    let thresholds = coverage.thresholds_ppm.iter();
    let mut thresholds: Vec<_> =
        thresholds.map(|(entity, ppm)| EntityThreshold { entity: entity.name().to_owned(), ppm: *ppm }).collect();
    thresholds.sort_by(|a, b| a.entity.cmp(&b.entity));
    let skipped: BTreeMap<&str, Why> = coverage.skipped.iter().map(|one| (one.entity.name(), one.why)).collect();
    let skipped = skipped
        .into_iter()
        .map(|(entity, why)| NotCovered { entity: entity.to_owned(), reason: SkipReason::from(Reason(why)).into() });
    let statement = Coverage {
        detectors: detectors.collect(),
        noted: sorted(coverage.noted.iter().map(|entity| entity.name().to_owned())),
        skipped: skipped.collect(),
        countries: sorted(coverage.countries.iter().map(|country| country.to_ascii_lowercase())),
        phone_regions: sorted(coverage.phone_regions.iter().map(|region| region.to_ascii_lowercase())),
        threshold_ppm: coverage.threshold_ppm,
        thresholds,
        allowed: coverage.allowed as u32,
        denied: coverage.denied as u32,
        unfolds: coverage.unfolds,
        recognizers: coverage.recognizers_sha256.as_ref().and_then(|hash| hex::decode(hash).ok()).unwrap_or_default(),
    };
    (looked_for, statement)
}

/// In how many texts each language was told; a text may have several.
pub(super) fn languages(texts: &[String]) -> Vec<LanguageShare> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for language in texts.iter().flat_map(|text| attestune_pii::languages(text)) {
        *counts.entry(language).or_default() += 1;
    }
    let share = |(language, texts): (&str, u32)| LanguageShare { language: language.to_owned(), texts };
    counts.into_iter().map(share).collect()
}

struct Reason(Why);

impl From<Reason> for SkipReason {
    fn from(Reason(why): Reason) -> Self {
        match why {
            Why::Configuration => Self::Configuration,
            Why::Country => Self::Country,
            Why::Language => Self::Language,
            Why::NoDetector => Self::NoDetector,
        }
    }
}

/// Ascending, each once.
fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}
