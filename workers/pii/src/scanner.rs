//! The scanner: recognizers over a text, context, thresholds, overlaps, offsets.

use std::{cell::OnceCell, fmt, iter, ops::Range, sync::Arc};

use rayon::prelude::*;
use serde::Serialize;

use crate::{
    Asked, CERTAIN_PPM, Config, ConfigError, Coverage, Detector, Entity, Explained, Recognizers, Span,
    context::{self, Hit, Vocabulary},
    density::{REACH_BYTES, Zone, zones},
    fold,
    overlap::{self, Claim},
    recognizers::{Candidate, Judgement, TABLE, phone},
    rule::Rule,
    table,
    tagger::Tagger,
    version::version,
    windows::windows,
};

/// What a context word adds to a score, and the least a supported score is.
const CONTEXT_PPM: u32 = 350_000;
const SUPPORTED_PPM: u32 = 400_000;
/// What a stream holds in memory at once.
const STREAM_TEXTS_MAX: usize = 4096;
const STREAM_BYTES_MAX: usize = 1 << 22;
/// The recognizer's name on a finding that is a denied word.
const DENIED: &str = "deny-list";

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

/// Looks for personal data in texts. Making one compiles its patterns, so keep it; a clone is cheap.
#[derive(Clone)]
pub struct Scanner(Arc<Parts>);

struct Parts {
    config: Config,
    version: String,
    rules: Vec<Rule>,
    regions: Vec<&'static phone::Plan>,
    vocabulary: Vocabulary,
    denied: Vocabulary,
    /// The entity of each denied word, by the word's number.
    denied_entities: Vec<Entity>,
    detectors: Vec<Arc<dyn Detector>>,
    coverage: Coverage,
}

/// A text as it is read once: the text itself or a form of it without disguise.
struct View<'t> {
    text: &'t str,
    zones: Vec<Zone>,
    hits: OnceCell<Vec<Hit>>,
}

/// What a scan asks for, with the words around it by their numbers, ascending.
struct Question<'a> {
    asked: &'a Asked,
    around: Vec<u32>,
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scanner").field(&self.0.coverage).finish()
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new(&Config::default()).expect("the default configuration is valid")
    }
}

impl Scanner {
    /// A scanner for this configuration, by patterns and the tagger.
    ///
    /// # Errors
    /// The configuration asks for an unknown region, country or language, a threshold above
    /// certainty or too wide a window.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        Self::with(config, &Recognizers::default(), Self::detectors())
    }

    /// The same by patterns alone.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn patterns(config: &Config) -> Result<Self, ConfigError> {
        Self::with(config, &Recognizers::default(), Vec::new())
    }

    /// The detectors that run beside the patterns unless something else is said: the tagger.
    pub fn detectors() -> Vec<Arc<dyn Detector>> {
        vec![Tagger::shared()]
    }

    /// A scanner that also runs the user's own recognizers, which are always on, and these detectors beside the
    /// patterns: none for patterns alone. A detector of nothing that the configuration looks for doesn't run.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(config: &Config, own: &Recognizers, detectors: Vec<Arc<dyn Detector>>) -> Result<Self, ConfigError> {
        let regions = config.check()?;
        let version = version(config, own, &detectors);
        let wanted = |detector: &Arc<dyn Detector>| detector.entities().iter().any(|e| config.entities.contains(e));
        let detectors: Vec<_> = detectors.into_iter().filter(wanted).collect();
        let of_code = TABLE.iter().map(|r| (r.entity, r.country, None));
        let of_table = table::built_in().iter().filter_map(|entry| {
            Some((Entity::named(&entry.entity)?, entry.country.as_deref(), entry.language.as_deref()))
        });
        let why = |(entity, country, language)| config.leaves_out(entity, country, language);
        let left_out: Vec<_> = of_code.chain(of_table).filter_map(|of| Some((of.0, why(of)?))).collect();

        let code = TABLE.iter().filter(|r| why((r.entity, r.country, None)).is_none()).map(Rule::of_code);
        let table = table::built_in().iter().filter(|entry| {
            let entity = Entity::named(&entry.entity);
            entity.is_some_and(|e| why((e, entry.country.as_deref(), entry.language.as_deref())).is_none())
        });
        let table = table.flat_map(|entry| Rule::of_entry(entry).expect("a test compiles every entry of the table"));
        let mut rules: Vec<Rule> = code.chain(table).chain(own.rules.iter().cloned()).collect();

        let too_many = |error: aho_corasick::BuildError| ConfigError::TooManyWords { reason: error.to_string() };
        let words = rules.iter().flat_map(|rule| rule.words.iter().map(String::as_str));
        let vocabulary = Vocabulary::new(words).map_err(too_many)?;
        rules.iter_mut().for_each(|rule| rule.learn(&vocabulary));

        let by_config = config.deny.iter().flat_map(|(&entity, words)| words.iter().map(move |word| (word, entity)));
        let denied = by_config.chain(own.denied.iter().map(|(word, entity)| (word, *entity)));
        let mut denied: Vec<(String, Entity)> = denied.map(|(word, entity)| (word.to_lowercase(), entity)).collect();
        denied.retain(|(word, _)| !word.is_empty());
        denied.sort();
        denied.dedup_by(|a, b| a.0 == b.0);
        let (words, denied_entities): (Vec<String>, Vec<Entity>) = denied.into_iter().unzip();
        let denied = Vocabulary::new(words.iter().map(String::as_str)).map_err(too_many)?;

        let coverage = Coverage::new(config, &rules, &left_out, own, &detectors);
        let config = config.clone();
        let parts = Parts { config, version, rules, regions, vocabulary, denied, denied_entities, detectors, coverage };
        Ok(Self(Arc::new(parts)))
    }

    /// The version under which a scan by this scanner is put on record: [`VERSION`] for the default one; any other has
    /// the beginning of a SHA-256 over configuration, recognizers and detectors behind it, so that no record can take
    /// one configuration for another.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// What is found in the text, by position; spans do not overlap.
    ///
    /// A text of more than half a megabyte is read in windows that overlap by eight kilobytes, so that a finding longer
    /// than four may lose its end. Offsets stay at `u32::MAX` past that many code points, so bound the length of texts.
    pub fn scan(&self, text: &str) -> Vec<Finding> {
        in_code_points(text, &self.0.settled(text, &Asked::default()))
    }

    /// The same for other kinds, thresholds or surroundings, with the reason for each score.
    pub fn explain(&self, text: &str, asked: &Asked) -> Vec<Explained<'_>> {
        let claims = self.0.settled(text, asked);
        let explained = |(finding, claim): (Finding, &Claim)| Explained {
            finding,
            original_ppm: claim.original_ppm,
            word: claim.word.map(|word| self.0.vocabulary.word(word)),
        };
        in_code_points(text, &claims).into_iter().zip(&claims).map(explained).collect()
    }

    /// Whether a finding of this kind is by itself a reason for a person to look ([`Config::noted`]).
    pub fn flags(&self, entity: Entity) -> bool {
        !self.0.config.noted.contains(&entity)
    }

    /// What is found in each text, in the order of the texts, by all threads of the current
    /// rayon pool. The same as [`Self::scan`] of each.
    pub fn scan_many<T: AsRef<str> + Sync>(&self, texts: &[T]) -> Vec<Vec<Finding>> {
        texts.par_iter().with_min_len(16).map(|text| self.scan(text.as_ref())).collect()
    }

    /// What is found in each of a stream of texts, in their order, by all threads of the current rayon pool. Texts are
    /// taken a few at a time, so that memory does not grow with the stream.
    pub fn scan_stream<T: AsRef<str> + Sync>(
        &self,
        texts: impl IntoIterator<Item = T>,
    ) -> impl Iterator<Item = (T, Vec<Finding>)> {
        let mut texts = texts.into_iter();
        let next = move || {
            let mut bytes = 0;
            let mut some: Vec<T> = Vec::new();
            while some.len() < STREAM_TEXTS_MAX && bytes < STREAM_BYTES_MAX {
                let Some(text) = texts.next() else { break };
                bytes += text.as_ref().len();
                some.push(text);
            }
            let found = self.scan_many(&some);
            (!some.is_empty()).then(|| some.into_iter().zip(found))
        };
        iter::from_fn(next).flatten()
    }

    /// What this scanner looks for, to be kept beside its findings.
    pub fn coverage(&self) -> &Coverage {
        &self.0.coverage
    }
}

impl Parts {
    fn settled(&self, text: &str, asked: &Asked) -> Vec<Claim> {
        let around = if asked.around.is_empty() { Vec::new() } else { self.vocabulary.hits(&asked.around) };
        let mut around: Vec<u32> = around.into_iter().map(|hit| hit.word).collect();
        around.sort_unstable();
        overlap::settle(self.claims(text, &Question { asked, around }))
    }

    /// What could be told, by every means, before overlaps are settled.
    fn claims(&self, text: &str, question: &Question<'_>) -> Vec<Claim> {
        let windows = windows(text);
        let read = |(window, own): &(Range<usize>, Range<usize>)| {
            let claims = self.claims_of_window(&text[window.clone()], question).into_iter();
            let at = |claim: Claim| Claim { start: claim.start + window.start, end: claim.end + window.start, ..claim };
            claims.map(at).filter(|claim| own.contains(&claim.start)).collect::<Vec<_>>()
        };
        match &windows[..] {
            [_] => self.claims_of_window(text, question),
            _ => windows.par_iter().flat_map_iter(read).collect(),
        }
    }

    fn claims_of_window(&self, text: &str, question: &Question<'_>) -> Vec<Claim> {
        let mut claims = self.read(text, question);
        let forms = if self.config.unfold { fold::forms(text) } else { Vec::new() };
        for form in &forms {
            let told = self.read(&form.text, question).into_iter().map(|claim| {
                let (start, end) = form.back(claim.start, claim.end);
                Claim { start, end, ..claim }
            });
            claims.extend(told.filter(|claim| claim.start < claim.end));
        }
        for allow in [&self.config.allow, &question.asked.allow] {
            if !allow.is_empty() {
                claims.retain(|claim| !allow.contains(&text[claim.start..claim.end]));
            }
        }
        claims
    }

    /// The claims of one reading of a text.
    fn read(&self, text: &str, question: &Question<'_>) -> Vec<Claim> {
        let view = View { text, zones: zones(text), hits: OnceCell::new() };
        let mut claims = Vec::new();
        let asked = question.asked;
        for rule in self.rules.iter().filter(|rule| text.len() >= rule.bytes_min && asked.wants(rule.entity)) {
            if rule.digits_min == 0 || rule.bytes_max > REACH_BYTES {
                self.run(rule, &view, 0..text.len(), question, &mut claims);
                continue;
            }
            for zone in view.zones.iter().filter(|zone| zone.allows(rule.digits_min, rule.bytes_max)) {
                self.run(rule, &view, zone.start..zone.end, question, &mut claims);
            }
        }
        let denied = self.denied.hits(text).into_iter().map(|hit| {
            let entity = self.denied_entities[hit.word as usize];
            self.claim(entity, hit.start, hit.end, CERTAIN_PPM, DENIED)
        });
        claims.extend(denied.filter(|claim| asked.wants(claim.entity)));
        let mut spans: Vec<Span> = Vec::new();
        for detector in self.detectors.iter().filter(|d| d.entities().iter().any(|&entity| asked.wants(entity))) {
            spans.clear();
            detector.detect(text, &mut spans);
            let whole = |span: &&Span| span.start < span.end && text.get(span.start..span.end).is_some();
            let told = |span: &&Span| {
                let Span { entity, score_ppm, .. } = **span;
                let wanted = self.config.entities.contains(&entity) && asked.wants(entity);
                wanted && score_ppm >= self.threshold_ppm(question, entity)
            };
            let span = |s: &Span| self.claim(s.entity, s.start, s.end, s.score_ppm.min(CERTAIN_PPM), detector.name());
            claims.extend(spans.iter().filter(whole).filter(told).map(span));
        }
        claims
    }

    fn claim(&self, entity: Entity, start: usize, end: usize, score_ppm: u32, recognizer: &'static str) -> Claim {
        let (original_ppm, word, rank) = (score_ppm, None, entity.rank());
        Claim { start, end, score_ppm, original_ppm, word, entity, rank, recognizer }
    }

    fn threshold_ppm(&self, question: &Question<'_>, entity: Entity) -> u32 {
        question.asked.threshold_ppm.unwrap_or_else(|| self.config.threshold_ppm(entity))
    }

    fn run(&self, rule: &Rule, view: &View<'_>, range: Range<usize>, question: &Question<'_>, claims: &mut Vec<Claim>) {
        let text = view.text;
        let mut from = range.start;
        while let Some(found) = rule.regex.find_at(&text[..range.end], from.min(range.end)) {
            let candidate = Candidate { text, floor: from, start: found.start(), end: found.end() };
            let first = text[found.start()..].chars().next().map_or(1, char::len_utf8);
            let resume = match rule.judge(&candidate, &self.regions) {
                Judgement::Hit { start, end, score_ppm } => {
                    let (entity, rank, recognizer) = (rule.entity, rule.rank, rule.name);
                    let (original_ppm, word) = (score_ppm, None);
                    let claim = Claim { start, end, score_ppm, original_ppm, word, entity, rank, recognizer };
                    claims.extend(self.weigh(rule, view, question, claim));
                    end
                }
                Judgement::Miss { resume } => resume,
            };
            from = resume.max(found.start() + first);
        }
    }

    /// The claim with the score that its context gives it, if that is worth telling.
    fn weigh(&self, rule: &Rule, view: &View<'_>, question: &Question<'_>, mut claim: Claim) -> Option<Claim> {
        if claim.score_ppm < CERTAIN_PPM && !rule.context.is_empty() {
            claim.word = self.support(rule, view, question, (claim.start, claim.end));
            if claim.word.is_some() {
                let raised = claim.score_ppm.saturating_add(CONTEXT_PPM);
                claim.score_ppm = raised.clamp(SUPPORTED_PPM, CERTAIN_PPM);
            }
        }
        (claim.score_ppm >= self.threshold_ppm(question, rule.entity)).then_some(claim)
    }

    fn support(&self, rule: &Rule, view: &View<'_>, question: &Question<'_>, span: (usize, usize)) -> Option<u32> {
        let window = (self.config.words_before, self.config.words_after);
        let hits = view.hits.get_or_init(|| self.vocabulary.hits(view.text));
        let beside = context::support(view.text, hits, span, window, &rule.context);
        beside.or_else(|| question.around.iter().copied().find(|word| rule.context.binary_search(word).is_ok()))
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
        entity: claim.entity,
        start: advance(claim.start),
        end: advance(claim.end),
        score_ppm: claim.score_ppm,
        recognizer: claim.recognizer,
    };
    claims.iter().map(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_around_a_text_support_what_stands_in_it() {
        let scanner = Scanner::default();
        let score = |around: &str| {
            let asked = Asked { around: around.to_owned(), threshold_ppm: Some(0), ..Asked::default() };
            let entities = Some([Entity::US_SSN].into());
            let told = scanner.explain("536228726", &Asked { entities, ..asked });
            told.first().map(|e| (e.original_ppm, e.finding.score_ppm, e.word.map(str::to_owned)))
        };
        let (original, alone, word) = score("").unwrap();
        assert_eq!((original, word), (alone, None));
        let (original, raised, word) = score("Your social security number").unwrap();
        assert!(raised > original && original == alone);
        assert!(word.is_some_and(|word| "social security".contains(&word)));
    }
}
