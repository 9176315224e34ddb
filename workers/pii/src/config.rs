//! What to look for and from which score on to tell.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{CERTAIN_PPM, Entity, Why, recognizers::phone, rule};

const WINDOW_WORDS_MAX: usize = 50;

/// What to look for and from which score on to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The kinds to look for.
    pub entities: BTreeSet<Entity>,
    /// Only recognizers of these countries (ISO 3166-1 alpha-2) and of none; nothing for all.
    pub countries: Option<BTreeSet<String>>,
    /// Only recognizers whose context words are of these languages (ISO 639-1) and those of none; nothing for all.
    /// A text may mix languages: all are looked for in every text.
    pub languages: Option<BTreeSet<String>>,
    /// The least score of a finding that is told, in parts per million. The default, 350,000,
    /// leaves out what is plausible by its shape alone (nine digits, `5/21`) unless a context
    /// word supports it.
    pub threshold_ppm: u32,
    /// Thresholds of single kinds, instead of [`Self::threshold_ppm`].
    pub thresholds_ppm: BTreeMap<Entity, u32>,
    /// Kinds that are told and recorded but are no reason for a person to look, alone or with each other: most texts
    /// about anything name a place or a company, and it is personal only beside a person. The default: places,
    /// organisations, nationalities and religions, forms of address, ages.
    pub noted: BTreeSet<Entity>,
    /// Texts that are never findings when a span is exactly one of them: a company's own number.
    pub allow: BTreeSet<String>,
    /// Words that are always findings where they stand alone, in any case of letters.
    pub deny: BTreeMap<Entity, BTreeSet<String>>,
    /// Whether disguises are seen through: zero-width and look-alike characters, spelt-out numbers, HTML, percent and
    /// Base64 encodings.
    pub unfold: bool,
    /// How many words before a span are searched for context words.
    pub words_before: usize,
    /// How many words after a span are searched for context words.
    pub words_after: usize,
    /// The regions (ISO 3166-1 alpha-2) whose national telephone numbers are looked for.
    /// Numbers with `+` or `00` and a country code are found for every country.
    pub phone_regions: Vec<String>,
}

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No telephone plan is known for the region.
    #[error(
        "no telephone plan is known for region {region:?}; \
         write two capital letters of ISO 3166-1, such as \"GB\""
    )]
    UnknownRegion {
        /// The region asked for.
        region: String,
    },
    /// The language is none.
    #[error("language {language:?} is unknown; write two letters of ISO 639-1, such as \"de\"")]
    UnknownLanguage {
        /// The language asked for.
        language: String,
    },
    /// A threshold above certainty would silence every detector.
    #[error("threshold {threshold_ppm} ppm is over 1000000, so nothing would be found; lower it")]
    ThresholdTooHigh {
        /// The threshold asked for.
        threshold_ppm: u32,
    },
    /// The window of context words is larger than is read.
    #[error("a window of {words} context words is over the limit of {WINDOW_WORDS_MAX}; lower it")]
    WindowTooWide {
        /// The number of words asked for.
        words: usize,
    },
    /// The words to look for are more than one automaton holds.
    #[error("the context words and denied words are too many to look for at once: {reason}")]
    TooManyWords {
        /// What the builder said.
        reason: String,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            entities: Entity::all().iter().copied().chain(Entity::TAGGED).collect(),
            countries: None,
            languages: None,
            threshold_ppm: 350_000,
            thresholds_ppm: BTreeMap::new(),
            noted: [Entity::LOCATION, Entity::ORGANIZATION, Entity::NRP, Entity::TITLE, Entity::AGE].into(),
            allow: BTreeSet::new(),
            deny: BTreeMap::new(),
            unfold: true,
            words_before: 6,
            words_after: 3,
            phone_regions: phone::DEFAULT_REGIONS.map(str::to_owned).to_vec(),
        }
    }
}

impl Config {
    /// The default, for these kinds only and at every score.
    pub fn only(entities: impl IntoIterator<Item = Entity>) -> Self {
        Self { entities: entities.into_iter().collect(), threshold_ppm: 0, ..Self::default() }
    }

    pub(crate) fn check(&self) -> Result<Vec<&'static phone::Plan>, ConfigError> {
        let thresholds = self.thresholds_ppm.values().chain([&self.threshold_ppm]);
        if let Some(&threshold_ppm) = thresholds.into_iter().find(|&&threshold| threshold > CERTAIN_PPM) {
            return Err(ConfigError::ThresholdTooHigh { threshold_ppm });
        }
        let words = self.words_before.max(self.words_after);
        if words > WINDOW_WORDS_MAX {
            return Err(ConfigError::WindowTooWide { words });
        }
        if let Some(language) = self.languages.iter().flatten().find(|language| !rule::is_language(language)) {
            return Err(ConfigError::UnknownLanguage { language: language.clone() });
        }
        let plan =
            |region: &String| phone::plan(region).ok_or_else(|| ConfigError::UnknownRegion { region: region.clone() });
        self.countries.iter().flatten().try_for_each(|country| plan(country).map(drop))?;
        self.phone_regions.iter().map(plan).collect()
    }

    /// Why a recognizer of this kind, country and language does not run; nothing if it does.
    pub(crate) fn leaves_out(&self, entity: Entity, country: Option<&str>, language: Option<&str>) -> Option<Why> {
        let lacks = |set: &Option<BTreeSet<String>>, one: Option<&str>| {
            set.as_ref().zip(one).is_some_and(|(set, one)| !set.contains(one))
        };
        match () {
            () if !self.entities.contains(&entity) => Some(Why::Configuration),
            () if lacks(&self.countries, country) => Some(Why::Country),
            () if lacks(&self.languages, language) => Some(Why::Language),
            () => None,
        }
    }

    pub(crate) fn threshold_ppm(&self, entity: Entity) -> u32 {
        self.thresholds_ppm.get(&entity).copied().unwrap_or(self.threshold_ppm)
    }
}
