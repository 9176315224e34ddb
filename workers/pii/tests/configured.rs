//! What a configuration changes: thresholds, lists, countries, languages, other detectors; and what the coverage says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use attestune_pii::{Config, ConfigError, Detector, Entity, Recognizers, Scanner, Span, Why};

fn told(config: &Config, text: &str) -> Vec<(&'static str, String)> {
    let scanner = Scanner::patterns(config).unwrap();
    let span = |start: u32, end: u32| text.chars().skip(start as usize).take((end - start) as usize).collect();
    scanner.scan(text).iter().map(|f| (f.entity.name(), span(f.start, f.end))).collect()
}

#[test]
fn a_kind_has_its_own_threshold() {
    let text = "since 1977 at 203.0.113.9";
    assert_eq!(told(&Config::default(), text), [("ip-address", "203.0.113.9".into())]);
    let config =
        Config { thresholds_ppm: [(Entity::DATE, 200_000), (Entity::IP_ADDRESS, 700_000)].into(), ..Config::default() };
    assert_eq!(told(&config, text), [("date", "1977".into())]);
}

#[test]
fn what_is_allowed_is_no_finding_and_what_is_denied_always_is() {
    let config = Config {
        allow: ["help@example.org".to_owned()].into(),
        deny: [(Entity::ORGANIZATION, ["Bluebird".to_owned(), "red october".to_owned()].into())].into(),
        ..Config::default()
    };
    let text = "Bluebirds, BLUEBIRD & Red October: help@example.org, zoe@example.org";
    let expected = [
        ("organization", "Bluebirds"),
        ("organization", "BLUEBIRD"),
        ("organization", "Red October"),
        ("email", "zoe@example.org"),
    ];
    let expected = expected.map(|(kind, text)| (kind, text.to_owned()));
    assert_eq!(told(&config, text)[1..], expected[1..]);
}

#[test]
fn countries_and_languages_leave_recognizers_out_and_the_coverage_says_so() {
    let text = "DNI 12345678Z, codice fiscale RSSMRA85T10A562S, a@example.org";
    let spanish = Config { languages: Some(["es".to_owned()].into()), ..Config::default() };
    let kinds = |config: &Config| told(config, text).iter().map(|(kind, _)| *kind).collect::<Vec<_>>();
    assert_eq!(kinds(&spanish), ["es-nif", "email"]);
    let italian = Config { countries: Some(["IT".to_owned()].into()), ..Config::default() };
    assert_eq!(kinds(&italian), ["it-fiscal-code", "email"]);

    let scanner = Scanner::patterns(&italian).unwrap();
    let coverage = scanner.coverage();
    assert_eq!((coverage.countries.as_slice(), coverage.languages.as_slice()), (&["IT"][..], &["it"][..]));
    let why = |name: &str| coverage.skipped.iter().find(|s| s.entity.name() == name).map(|s| s.why);
    assert_eq!(why("es-nif"), Some(Why::Country));
    assert_eq!(why("person"), Some(Why::NoDetector));
    assert_eq!(why("it-fiscal-code"), None);
    assert!(coverage.entities.iter().all(|entity| why(entity.name()).is_none()));
}

#[test]
fn what_cannot_be_used_is_refused() {
    let error = |config: Config| Scanner::new(&config).unwrap_err();
    let language = Config { languages: Some(["xx".to_owned()].into()), ..Config::default() };
    assert!(matches!(error(language), ConfigError::UnknownLanguage { .. }));
    let country = Config { countries: Some(["gb".to_owned()].into()), ..Config::default() };
    assert!(matches!(error(country), ConfigError::UnknownRegion { .. }));
    let threshold = Config { thresholds_ppm: [(Entity::DATE, 1_000_001)].into(), ..Config::default() };
    assert!(matches!(error(threshold), ConfigError::ThresholdTooHigh { .. }));
    let window = Config { words_after: 51, ..Config::default() };
    assert!(matches!(error(window), ConfigError::WindowTooWide { words: 51 }));
}

#[test]
fn a_configuration_is_read_from_yaml_and_an_unknown_kind_is_refused() {
    let config: Config = serde_yaml_ng::from_str("entities: [email, us-ssn]\nthreshold_ppm: 500000").unwrap();
    assert_eq!(config.entities, [Entity::EMAIL, Entity::US_SSN].into());
    let error = serde_yaml_ng::from_str::<Config>("entities: [shoe-size]").unwrap_err();
    assert!(error.to_string().contains("no entity is named \"shoe-size\""), "{error}");
}

#[test]
fn own_recognizers_run_with_their_checksum_and_context() {
    let own = Recognizers::from_yaml(
        "recognizers:\n  - entity: badge\n    patterns: [{ regex: 'B-[0-9]{6}', score: 0.2 }]\n    checksum: luhn\n    \
         context: [badge, ausweis]\n",
    )
    .unwrap();
    let scanner = Scanner::with(&Config::default(), &own, Vec::new()).unwrap();
    let score = |text: &str| scanner.scan(text).first().map(|f| (f.recognizer, f.score_ppm));
    assert_eq!(score("my badge is B-123455"), Some(("badge.checked", 550_000)));
    assert_eq!(score("seen B-123455"), None, "below the threshold");
    assert_eq!(score("my badge is B-123456"), None, "its check digit is wrong");
    assert_eq!(scanner.coverage().recognizers_sha256.as_ref().map(String::len), Some(64));
}

/// Finds one name, and answers with spans that nobody may trust.
struct Tagger;

impl Detector for Tagger {
    fn name(&self) -> &'static str {
        "test-tagger"
    }
    fn version(&self) -> &'static str {
        "3"
    }
    fn entities(&self) -> &[Entity] {
        &[Entity::PERSON]
    }
    fn languages(&self) -> &[&'static str] {
        &["en"]
    }
    fn detect(&self, text: &str, spans: &mut Vec<Span>) {
        let mut span = |start, end| spans.push(Span { entity: Entity::PERSON, start, end, score_ppm: 2_000_000 });
        if let Some(at) = text.find("Zoë") {
            span(at, at + "Zoë".len());
            span(at, at + 3);
        }
        span(5, 2);
        span(0, usize::MAX);
    }
}

#[test]
fn a_detector_brings_spans_that_are_weighed_with_the_others() {
    let scanner = Scanner::with(&Config::default(), &Recognizers::default(), vec![Arc::new(Tagger)]).unwrap();
    let found = scanner.scan("ask Zoë, zoe@example.org");
    let kinds: Vec<_> = found.iter().map(|f| (f.entity.name(), f.recognizer, f.score_ppm.min(1_000_000))).collect();
    assert_eq!(kinds, [("person", "test-tagger", 1_000_000), ("email", "email.address", 950_000)]);
    let coverage = scanner.coverage();
    assert_eq!((coverage.detectors[1].name, coverage.detectors[1].version), ("test-tagger", "3"));
    assert!(coverage.skipped.iter().all(|skipped| skipped.entity != Entity::PERSON));
    let without = Config { entities: [Entity::EMAIL].into(), ..Config::default() };
    let scanner = Scanner::with(&without, &Recognizers::default(), vec![Arc::new(Tagger)]).unwrap();
    assert_eq!(scanner.scan("ask Zoë, zoe@example.org").len(), 1, "the configuration leaves persons out");
}
