//! The scanner: recognizers over a text, context, threshold, overlaps, offsets.

use std::{collections::BTreeSet, fmt};

use rayon::prelude::*;
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::{
    CERTAIN_PPM, DETECTOR_NAME, Entity, VERSION, context,
    overlap::{self, Claim},
    recognizers::{Candidate, Judgement, Recognizer, TABLE, phone},
};

/// What a context word adds to a score, and the least a supported score is.
const CONTEXT_PPM: u32 = 350_000;
const SUPPORTED_PPM: u32 = 400_000;
const WINDOW_WORDS_MAX: usize = 50;

/// One span of a text that looks like personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it looks like.
    pub entity: Entity,
    /// The first code point of the span, counted from the text's beginning.
    pub start: u32,
    /// The code point after the span's last.
    pub end: u32,
    /// How sure the recognizer is, in parts per million. An order, not a probability.
    pub score_ppm: u32,
    /// The stable name of the recognizer that found it.
    pub recognizer: &'static str,
}

/// What to look for and from which score on to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The kinds to look for.
    pub entities: BTreeSet<Entity>,
    /// The least score of a finding that is told, in parts per million. The default, 350,000,
    /// leaves out what is plausible by its shape alone (nine digits, `5/21`) unless a context
    /// word supports it.
    pub threshold_ppm: u32,
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
}

/// What a scanner looks for, and what it was told to leave out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// [`DETECTOR_NAME`].
    pub detector: &'static str,
    /// [`VERSION`].
    pub version: &'static str,
    /// The kinds looked for.
    pub entities: Vec<Entity>,
    /// The kinds this detector knows but was told not to look for.
    pub entities_left_out: Vec<Entity>,
    /// The recognizers that run, by their stable names.
    pub recognizers: Vec<&'static str>,
    /// The regions whose national telephone numbers are looked for.
    pub phone_regions: Vec<String>,
    /// The least score that is told, in parts per million.
    pub threshold_ppm: u32,
}

/// Looks for personal data in texts. Making one compiles its patterns, so keep it.
#[derive(Clone)]
pub struct Scanner {
    config: Config,
    recognizers: Vec<(&'static Recognizer, Regex)>,
    regions: Vec<&'static phone::Plan>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            entities: Entity::ALL.into_iter().collect(),
            threshold_ppm: 350_000,
            words_before: 6,
            words_after: 3,
            phone_regions: phone::DEFAULT_REGIONS.map(str::to_owned).to_vec(),
        }
    }
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scanner").field(&self.coverage()).finish()
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new(&Config::default()).expect("the default configuration is valid")
    }
}

impl Scanner {
    /// A scanner for this configuration.
    ///
    /// # Errors
    /// The configuration asks for a region without a telephone plan, a threshold above
    /// certainty or too wide a window.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        if config.threshold_ppm > CERTAIN_PPM {
            return Err(ConfigError::ThresholdTooHigh { threshold_ppm: config.threshold_ppm });
        }
        let words = config.words_before.max(config.words_after);
        if words > WINDOW_WORDS_MAX {
            return Err(ConfigError::WindowTooWide { words });
        }
        let regions = config
            .phone_regions
            .iter()
            .map(|region| phone::plan(region).ok_or_else(|| ConfigError::UnknownRegion { region: region.clone() }));
        let regions = regions.collect::<Result<_, _>>()?;

        let wanted = TABLE.iter().filter(|r| config.entities.contains(&r.entity));
        let compile =
            |r: &'static Recognizer| (r, Regex::new(r.pattern).expect("a test compiles every pattern of the table"));
        Ok(Self { config: config.clone(), recognizers: wanted.map(compile).collect(), regions })
    }

    /// What is found in the text, by position; spans do not overlap.
    ///
    /// Offsets stay at `u32::MAX` past that many code points, so bound the length of texts.
    pub fn scan(&self, text: &str) -> Vec<Finding> {
        let mut claims = Vec::new();
        for (recognizer, regex) in &self.recognizers {
            self.run(recognizer, regex, text, &mut claims);
        }
        in_code_points(text, &overlap::settle(claims))
    }

    /// What is found in each text, in the order of the texts, by all threads of the current
    /// rayon pool. The same as [`Self::scan`] of each.
    pub fn scan_many(&self, texts: &[&str]) -> Vec<Vec<Finding>> {
        texts.par_iter().with_min_len(16).map(|text| self.scan(text)).collect()
    }

    /// What this scanner looks for, to be kept beside its findings.
    pub fn coverage(&self) -> Coverage {
        let looked_for = |entity: &Entity| self.config.entities.contains(entity);
        Coverage {
            detector: DETECTOR_NAME,
            version: VERSION,
            entities: Entity::ALL.into_iter().filter(looked_for).collect(),
            entities_left_out: Entity::ALL.into_iter().filter(|e| !looked_for(e)).collect(),
            recognizers: self.recognizers.iter().map(|(r, _)| r.name).collect(),
            phone_regions: self.config.phone_regions.clone(),
            threshold_ppm: self.config.threshold_ppm,
        }
    }

    fn run(&self, recognizer: &'static Recognizer, regex: &Regex, text: &str, claims: &mut Vec<Claim>) {
        let mut from = 0;
        while let Some(found) = regex.find_at(text, from) {
            let candidate = Candidate { text, floor: from, start: found.start(), end: found.end() };
            let first = text[found.start()..].chars().next().map_or(1, char::len_utf8);
            let resume = match (recognizer.judge)(&candidate, &self.regions) {
                Judgement::Hit { start, end, score_ppm } => {
                    let claim = Claim { start, end, score_ppm, recognizer };
                    claims.extend(self.weigh(text, claim));
                    end
                }
                Judgement::Miss { resume } => resume,
            };
            from = resume.max(found.start() + first);
        }
    }

    /// The claim with the score that its context gives it, if that is worth telling.
    fn weigh(&self, text: &str, mut claim: Claim) -> Option<Claim> {
        let window = (self.config.words_before, self.config.words_after);
        let words = claim.recognizer.context;
        if claim.score_ppm < CERTAIN_PPM && context::supports(text, (claim.start, claim.end), window, words) {
            let raised = claim.score_ppm.saturating_add(CONTEXT_PPM);
            claim.score_ppm = raised.clamp(SUPPORTED_PPM, CERTAIN_PPM);
        }
        (claim.score_ppm >= self.config.threshold_ppm).then_some(claim)
    }
}

/// Claims in order, with their byte offsets counted out in code points: one walk over the text.
fn in_code_points(text: &str, claims: &[Claim]) -> Vec<Finding> {
    let (mut bytes, mut points) = (0, 0usize);
    let mut advance = |to: usize| {
        points += text[bytes..to].chars().count();
        bytes = to;
        u32::try_from(points).unwrap_or(u32::MAX)
    };
    let found = |claim: &Claim| Finding {
        entity: claim.recognizer.entity,
        start: advance(claim.start),
        end: advance(claim.end),
        score_ppm: claim.score_ppm,
        recognizer: claim.recognizer.name,
    };
    claims.iter().map(found).collect()
}
