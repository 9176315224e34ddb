//! Recognizers ready to run: what the code judges, what the table says, what the user adds.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::{
    Entity, RecognizerError,
    checksum::{self, Check},
    context::Vocabulary,
    entity::Interned,
    recognizers::{Candidate, Judge, Judgement, Recognizer, phone},
    table::{Case, Entry, Pattern, PhoneKind},
};

/// The longest match of a pattern, so that no run of characters is read over and over.
const MATCH_BYTES_MAX: usize = 1000;
/// What one compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Names of recognizers, countries and languages that the table or a configuration brought.
static NAMES: Interned = Interned::new();

/// One pattern with what judges its matches.
#[derive(Clone)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) entity: Entity,
    pub(crate) rank: usize,
    pub(crate) country: Option<&'static str>,
    pub(crate) language: Option<&'static str>,
    pub(crate) regex: Regex,
    /// No match has fewer digits, fewer bytes or more bytes.
    pub(crate) digits_min: usize,
    pub(crate) bytes_min: usize,
    pub(crate) bytes_max: usize,
    pub(crate) way: Way,
    pub(crate) words: Vec<String>,
    /// The words by their numbers in the scanner's vocabulary, ascending.
    pub(crate) context: Vec<u32>,
}

/// What judges a match.
#[derive(Clone)]
pub(crate) enum Way {
    Code(Judge),
    Shape { check: Option<Check>, score_ppm: u32, whole: bool },
    Phone { plan: &'static phone::Plan, kind: PhoneKind },
}

impl Rule {
    pub(crate) fn of_code(recognizer: &Recognizer) -> Self {
        let hir = regex_syntax::parse(recognizer.pattern).expect("a test compiles every pattern of the table");
        Self {
            name: recognizer.name,
            entity: recognizer.entity,
            rank: recognizer.entity.rank(),
            country: recognizer.country,
            language: None,
            regex: Regex::new(recognizer.pattern).expect("a test compiles every pattern of the table"),
            digits_min: digits_min(&hir),
            bytes_min: hir.properties().minimum_len().unwrap_or(0),
            bytes_max: hir.properties().maximum_len().unwrap_or(usize::MAX),
            way: Way::Code(recognizer.judge),
            words: recognizer.context.iter().map(|&word| word.to_owned()).collect(),
            context: Vec::new(),
        }
    }

    /// The rules of one entry: one for each of its patterns.
    pub(crate) fn of_entry(entry: &Entry) -> Result<Vec<Self>, RecognizerError> {
        let named = || entry.name.clone().unwrap_or_else(|| entry.entity.clone());
        let entity = Entity::named(&entry.entity)
            .ok_or_else(|| RecognizerError::Entity { recognizer: named(), entity: entry.entity.clone() })?;
        if let Some(country) = entry.country.as_deref().filter(|country| phone::plan(country).is_none()) {
            return Err(RecognizerError::Country { recognizer: named(), country: country.to_owned() });
        }
        if let Some(language) = entry.language.as_deref().filter(|language| !is_language(language)) {
            return Err(RecognizerError::Language { recognizer: named(), language: language.to_owned() });
        }
        if entry.patterns.is_empty() && entry.phone.is_none() && entry.deny_list.is_empty() {
            return Err(RecognizerError::Empty { recognizer: named() });
        }
        let by_plan = entry.phone.as_ref().map(|phone| {
            let plan = phone::plan(&phone.region);
            let unknown = || RecognizerError::Country { recognizer: named(), country: phone.region.clone() };
            let hir = regex_syntax::parse(phone::PATTERN).map_err(|_| unknown())?;
            let way = Way::Phone { plan: plan.ok_or_else(unknown)?, kind: phone.kind };
            let regex = Regex::new(phone::PATTERN).map_err(|_| unknown())?;
            Ok(Self::of(entry, entity, "plan", (regex, &hir), way))
        });
        let by_shape = entry.patterns.iter().map(|pattern| Self::of_pattern(entry, entity, pattern));
        by_plan.into_iter().chain(by_shape).collect()
    }

    fn of_pattern(entry: &Entry, entity: Entity, pattern: &Pattern) -> Result<Self, RecognizerError> {
        let recognizer = entry.name.clone().unwrap_or_else(|| entry.entity.clone());
        if !(0.0..=1.0).contains(&pattern.score) {
            return Err(RecognizerError::Score { recognizer, score: pattern.score.to_string() });
        }
        let wanted = pattern.checksum.as_ref().or(entry.checksum.as_ref());
        let check = wanted.map(|checksum| {
            let unknown = || RecognizerError::Checksum {
                recognizer: recognizer.clone(),
                checksum: checksum.describe(),
                known: checksum::names(),
            };
            checksum.resolve().ok_or_else(unknown)
        });
        let check = check.transpose()?;
        let (regex, hir) = compile(pattern, &recognizer)?;
        let score_ppm = (pattern.score * 1e6).round() as u32;
        let way = Way::Shape { check, score_ppm, whole: pattern.whole };
        let kind = if wanted.is_some() { "checked" } else { "shape" };
        Ok(Self::of(entry, entity, kind, (regex, &hir), way))
    }

    fn of(entry: &Entry, entity: Entity, kind: &str, (regex, hir): (Regex, &Hir), way: Way) -> Self {
        let name = entry.name.clone().unwrap_or_else(|| format!("{}.{kind}", entry.entity));
        let keep = |text: &Option<String>| text.as_deref().map(|text| NAMES.keep(text));
        Self {
            name: NAMES.keep(&name),
            entity,
            rank: entity.rank(),
            country: keep(&entry.country),
            language: keep(&entry.language),
            regex,
            digits_min: digits_min(hir),
            bytes_min: hir.properties().minimum_len().unwrap_or(0),
            bytes_max: hir.properties().maximum_len().unwrap_or(usize::MAX),
            way,
            words: entry.context.iter().map(|word| word.to_lowercase()).collect(),
            context: Vec::new(),
        }
    }

    pub(crate) fn learn(&mut self, vocabulary: &Vocabulary) {
        self.context = self.words.iter().filter_map(|word| vocabulary.number(word)).collect();
        self.context.sort_unstable();
    }

    pub(crate) fn judge(&self, candidate: &Candidate<'_>, regions: &[&phone::Plan]) -> Judgement {
        match &self.way {
            Way::Code(judge) => judge(candidate, regions),
            Way::Phone { plan, kind } => phone::of_region(candidate, plan, *kind),
            Way::Shape { check, score_ppm, whole } => shape(candidate, check.as_ref(), *score_ppm, *whole),
        }
    }
}

/// The match, if nothing beside it makes it another number and it passes its check.
fn shape(candidate: &Candidate<'_>, check: Option<&Check>, score_ppm: u32, whole: bool) -> Judgement {
    if !whole {
        return candidate.hit(score_ppm);
    }
    // The pattern took an underscore beside it for a boundary.
    let text = candidate.str();
    let start = candidate.start + text.len() - text.trim_start_matches('_').len();
    let end = candidate.start + text.trim_end_matches('_').len();
    let bare = Candidate { start, end: end.max(start), ..*candidate };
    let compact = || -> String {
        bare.str().chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
    };
    if start < end && bare.is_whole_number(&['-', '.']) && check.is_none_or(|check| check.passes(&compact())) {
        return bare.hit(score_ppm);
    }
    bare.miss()
}

fn compile(pattern: &Pattern, recognizer: &str) -> Result<(Regex, Hir), RecognizerError> {
    let refuse = |reason: String| RecognizerError::Pattern {
        recognizer: recognizer.to_owned(),
        pattern: pattern.regex.clone(),
        reason,
    };
    let any_case = pattern.case == Case::Any;
    let hir = regex_syntax::ParserBuilder::new().case_insensitive(any_case).nest_limit(50).build();
    let hir = { hir }.parse(&pattern.regex).map_err(|error| refuse(last_line(&error)))?;
    match hir.properties().maximum_len() {
        None => return Err(refuse("it has no longest match; write {1,64} rather than + or *".into())),
        Some(longest) if longest > MATCH_BYTES_MAX => {
            return Err(refuse(format!("a match may take {longest} bytes, over the limit of {MATCH_BYTES_MAX}")));
        }
        Some(_) => {}
    }
    if hir.properties().minimum_len().unwrap_or(0) == 0 {
        return Err(refuse("it matches the empty text".into()));
    }
    let (before, after) =
        if pattern.whole { (r"(?:_|(?-u:\b{start-half}))", r"(?:(?-u:\b{end-half})|_)") } else { ("", "") };
    let regex = format!("{before}(?:{}){after}", pattern.regex);
    let regex = RegexBuilder::new(&regex).case_insensitive(any_case).size_limit(COMPILED_BYTES_MAX).build();
    Ok((regex.map_err(|error| refuse(last_line(&error)))?, hir))
}

/// The last line of the message, which says why; what stands before is a drawing of the pattern.
fn last_line(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// The fewest digits that a match has.
fn digits_min(hir: &Hir) -> usize {
    let is_digits = |class: &Class| match class {
        Class::Unicode(class) => class.ranges().iter().all(|r| r.start() >= '0' && r.end() <= '9'),
        Class::Bytes(class) => class.ranges().iter().all(|r| r.start() >= b'0' && r.end() <= b'9'),
    };
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => literal.0.iter().filter(|b| b.is_ascii_digit()).count(),
        HirKind::Class(class) => usize::from(is_digits(class)),
        HirKind::Repetition(repetition) => digits_min(&repetition.sub).saturating_mul(repetition.min as usize),
        HirKind::Capture(capture) => digits_min(&capture.sub),
        HirKind::Concat(parts) => parts.iter().map(digits_min).sum(),
        HirKind::Alternation(parts) => parts.iter().map(digits_min).min().unwrap_or(0),
    }
}

/// Whether ISO 639-1 has the code.
pub(crate) fn is_language(code: &str) -> bool {
    const CODES: &str = "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy \
        da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie \
        ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi \
        mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc \
        sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi \
        vo wa wo xh yi yo za zh zu";
    CODES.split_whitespace().any(|known| known == code)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{RecognizerError, Recognizers, table};

    #[test]
    fn every_entry_of_the_table_compiles_and_names_its_source() {
        let mut entities = BTreeSet::new();
        for entry in table::built_in() {
            let rules = Rule::of_entry(entry).unwrap();
            assert!(rules.iter().all(|rule| rule.bytes_max <= MATCH_BYTES_MAX), "{}", entry.entity);
            assert!(entities.insert(&entry.entity), "{} twice", entry.entity);
            assert!(!entry.source.is_empty() && !entry.context.is_empty(), "{}", entry.entity);
            assert!(entry.context.iter().all(|word| word.to_lowercase() == *word), "{}", entry.entity);
        }
    }

    #[test]
    fn the_fewest_digits_of_a_match_are_counted() {
        let count = |pattern: &str| digits_min(&regex_syntax::parse(pattern).unwrap());
        assert_eq!(count("[0-9]{3}-[0-9]{2}"), 5);
        assert_eq!(count("(?:19|20)[0-9]{2}[A-Z]?"), 4);
        assert_eq!(count("[A-Z0-9]{9}|[0-9]{2}x7"), 0);
        assert_eq!(count("(?:1|22)?3"), 1);
    }

    fn error(entry: &str) -> RecognizerError {
        Recognizers::from_yaml(&format!("recognizers:\n  - {entry}")).unwrap_err()
    }

    #[test]
    fn a_recognizer_that_cannot_be_used_is_refused_with_the_way_out() {
        use RecognizerError as E;
        let pattern = |regex: &str| error(&format!("{{ entity: x, patterns: [{{ regex: '{regex}', score: 0.5 }}] }}"));
        let says = |error: RecognizerError, word: &str| {
            assert!(error.to_string().contains(word), "{error}");
            error
        };
        assert!(matches!(says(pattern("(a+)+$"), "{1,64} rather than"), E::Pattern { .. }));
        assert!(matches!(says(pattern("(a"), "unclosed group"), E::Pattern { .. }));
        assert!(matches!(says(pattern(r"(a)\1"), "backreferences"), E::Pattern { .. }));
        assert!(matches!(says(pattern("(?=a)b"), "look"), E::Pattern { .. }));
        assert!(matches!(says(pattern("a?"), "empty text"), E::Pattern { .. }));
        assert!(matches!(says(pattern("(a{50}){50}"), "over the limit"), E::Pattern { .. }));
        assert!(matches!(says(pattern(r"(?:\w{1,20}){1,12}"), "size limit"), E::Pattern { .. }));
        let with = |field: &str| error(&format!("{{ entity: x, deny_list: [a], {field} }}"));
        assert!(matches!(says(with("language: xx"), "ISO 639-1"), E::Language { .. }));
        assert!(matches!(says(with("country: Utopia"), "ISO 3166-1"), E::Country { .. }));
        assert!(matches!(says(with("colour: red"), "unknown field"), E::Yaml { .. }));
        assert!(matches!(says(error("{ entity: EMPLOYEE_ID, deny_list: [a] }"), "employee-id"), E::Entity { .. }));
        assert!(matches!(says(error("{ entity: x }"), "deny_list"), E::Empty { .. }));
        let scored = |rest: &str| error(&format!("{{ entity: x, patterns: [{{ regex: a, {rest} }}] }}"));
        assert!(matches!(says(scored("score: 7"), "from 0 to 1"), E::Score { .. }));
        assert!(matches!(says(scored("score: 0.5, checksum: magic"), "luhn, verhoeff"), E::Checksum { .. }));
        let senseless = scored("score: 0.5, checksum: { weights: [1], modulus: 0 }");
        assert!(matches!(senseless, E::Checksum { .. }));
        let many = format!("recognizers: [{}]", "{ entity: x, deny_list: [a] },".repeat(RECOGNIZERS_TOO_MANY));
        assert!(matches!(Recognizers::from_yaml(&many), Err(E::TooMany { .. })));
    }

    const RECOGNIZERS_TOO_MANY: usize = 1001;

    #[test]
    fn presidio_names_of_the_fields_are_read_as_well() {
        let yaml = "recognizers:\n  - name: Zip\n    supported_entity: zip\n    supported_language: en\n    \
                    patterns:\n      - { name: zip (weak), regex: '[0-9]{5}', score: 0.01 }\n    context: [zip]\n";
        let own = Recognizers::from_yaml(yaml).unwrap();
        assert_eq!((own.rules[0].name, own.rules[0].language), ("Zip", Some("en")));
    }
}
