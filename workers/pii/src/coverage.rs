//! What a scan looked for and what it did not.

use std::sync::Arc;

use serde::Serialize;

use crate::{Config, DETECTOR_NAME, Detector, Entity, Recognizers, VERSION, rule::Rule};

/// What a scanner looks for, and what it leaves out and why: to be kept beside its findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// This crate first, then each [`Detector`], at their versions.
    pub detectors: Vec<Covered>,
    /// The kinds looked for, by any detector.
    pub entities: Vec<Entity>,
    /// The recognizers that run, by their stable names.
    pub recognizers: Vec<&'static str>,
    /// The kinds among them that are no reason for a person to look ([`Config::noted`]).
    pub noted: Vec<Entity>,
    /// The languages (ISO 639-1) of the context words looked for and of the detectors.
    pub languages: Vec<&'static str>,
    /// The countries (ISO 3166-1) whose own numbers are looked for.
    pub countries: Vec<&'static str>,
    /// The regions whose national telephone numbers are looked for.
    pub phone_regions: Vec<String>,
    /// The least score that is told, in parts per million.
    pub threshold_ppm: u32,
    /// Thresholds of single kinds.
    pub thresholds_ppm: Vec<(Entity, u32)>,
    /// How many texts are never findings.
    pub allowed: usize,
    /// How many words are always findings.
    pub denied: usize,
    /// Whether disguises are seen through.
    pub unfolds: bool,
    /// The SHA-256, in hexadecimal, of the file of the user's own recognizers.
    pub recognizers_sha256: Option<String>,
    /// What is not looked for, and why.
    pub skipped: Vec<Skipped>,
}

/// One detector and what it looks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Covered {
    /// Its stable name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The kinds it looks for.
    pub entities: Vec<Entity>,
    /// The languages (ISO 639-1) that it knows: of the patterns, those of their context words. It reads every text,
    /// whatever its language.
    pub languages: Vec<&'static str>,
}

/// Something that is not looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The kind.
    pub entity: Entity,
    /// Why not.
    pub why: Why,
}

/// Why something is not looked for. Its text is a sentence without its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The configuration doesn't name it.
    #[error("the configuration leaves it out")]
    Configuration,
    /// It belongs to a country that the configuration doesn't name.
    #[error("its country is not among the configuration's")]
    Country,
    /// Its context words are of a language that the configuration doesn't name.
    #[error("its language is not among the configuration's")]
    Language,
    /// No detector of this scan knows it.
    #[error("it needs a tagger, and none that knows it is part of this scan")]
    NoDetector,
}

impl Coverage {
    /// Of the rules that run and the kinds left out, each with its reason.
    pub(crate) fn new(
        config: &Config,
        rules: &[Rule],
        left_out: &[(Entity, Why)],
        own: &Recognizers,
        detectors: &[Arc<dyn Detector>],
    ) -> Self {
        let by_rule =
            distinct(rules.iter().map(|rule| rule.entity).chain(own.denied.iter().map(|(_, entity)| *entity)));
        let by_word = config.deny.keys().copied();
        let wanted = |detector: &Arc<dyn Detector>| -> Vec<Entity> {
            detector.entities().iter().copied().filter(|entity| config.entities.contains(entity)).collect()
        };
        let mut covered = vec![Covered {
            name: DETECTOR_NAME,
            version: VERSION,
            entities: distinct(by_rule.iter().copied().chain(by_word)),
            languages: distinct(rules.iter().filter_map(|rule| rule.language)),
        }];
        covered.extend(detectors.iter().map(|d| Covered {
            name: d.name(),
            version: d.version(),
            entities: wanted(d),
            languages: d.languages().to_vec(),
        }));
        let entities = distinct(covered.iter().flat_map(|detector| detector.entities.iter().copied()));

        let untagged = Entity::TAGGED.into_iter().map(|entity| match config.entities.contains(&entity) {
            true => (entity, Why::NoDetector),
            false => (entity, Why::Configuration),
        });
        let skipped = left_out.iter().copied().chain(untagged).filter(|(entity, _)| !entities.contains(entity));
        let mut skipped: Vec<Skipped> = skipped.map(|(entity, why)| Skipped { entity, why }).collect();
        skipped.dedup();
        Self {
            recognizers: distinct(rules.iter().map(|rule| rule.name).chain(detectors.iter().map(|d| d.name()))),
            languages: distinct(covered.iter().flat_map(|detector| detector.languages.iter().copied())),
            noted: entities.iter().copied().filter(|entity| config.noted.contains(entity)).collect(),
            countries: distinct(rules.iter().filter_map(|rule| rule.country)),
            phone_regions: config.phone_regions.clone(),
            threshold_ppm: config.threshold_ppm,
            thresholds_ppm: config.thresholds_ppm.iter().map(|(&entity, &ppm)| (entity, ppm)).collect(),
            allowed: config.allow.len(),
            denied: own.denied.len() + config.deny.values().map(|words| words.len()).sum::<usize>(),
            unfolds: config.unfold,
            recognizers_sha256: own.sha256.clone(),
            detectors: covered,
            entities,
            skipped,
        }
    }
}

/// Each once, in the order of its first appearance.
fn distinct<T: PartialEq + Copy>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for one in all {
        if !distinct.contains(&one) {
            distinct.push(one);
        }
    }
    distinct
}
