//! Presidio's own recognizer cases. They are read from the shared folder and never copied into the
//! project; where the folder is absent this test says so.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use attestune_pii::{Config, Entity, Scanner};

/// The cases that are not met, by the line of the file (from 1), each with its reason.
const EXCEPTIONS: &[(usize, &str)] = &[
    (89, "the serial of the specimen of the Bundesdruckerei: issued serials of nine carry no check digit inside"),
    (110, "the same serial as a passport number"),
    (143, "its check digit is wrong by § 27a UStG; further down the file the same text must stay silent"),
    (144, "as the line before"),
    (145, "as the line before"),
];

fn shared() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    env::var_os("ATTESTUNE_SHARED").map_or_else(|| beside.into(), PathBuf::from)
}

#[derive(Default)]
struct Tally {
    found: usize,
    positive: usize,
    silent: usize,
    negative: usize,
}

/// Of every case: the right entity and span, at any score, by the recognizers of that entity alone, as in their tests.
#[test]
fn nearly_every_case_is_met_and_the_others_have_a_reason() {
    let path = shared().join("data/pii/presidio_cases_a.jsonl");
    let Ok(cases) = fs::read_to_string(&path) else {
        println!("SKIPPED: {} is absent (set ATTESTUNE_SHARED)", path.display());
        return;
    };
    let entities: BTreeMap<String, Entity> = Entity::all().iter().map(|e| (e.presidio_name(), *e)).collect();
    let mut scanners: BTreeMap<&str, Scanner> = BTreeMap::new();
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut unmet = Vec::new();
    for (line, case) in (1..).zip(cases.lines()) {
        let case: serde_json::Value = serde_json::from_str(case).unwrap();
        let theirs = case["entity"].as_str().unwrap();
        let (name, entity) = entities.get_key_value(theirs).unwrap_or_else(|| panic!("no recognizer for {theirs}"));
        let scanner = scanners.entry(name).or_insert_with(|| Scanner::new(&Config::only([*entity])).unwrap());
        let text = case["text"].as_str().unwrap();
        let found: Vec<(u64, u64)> = scanner.scan(text).iter().map(|f| (f.start.into(), f.end.into())).collect();
        let expected = case["expected"].as_array().unwrap().iter();
        let expected: Vec<_> = expected.map(|span| (span[0].as_u64().unwrap(), span[1].as_u64().unwrap())).collect();

        let tally = tallies.entry(name.clone()).or_default();
        let met = if expected.is_empty() {
            tally.negative += 1;
            tally.silent += usize::from(found.is_empty());
            found.is_empty()
        } else {
            tally.positive += 1;
            let all = expected.iter().all(|span| found.contains(span));
            tally.found += usize::from(all);
            all
        };
        if !met {
            let reason = EXCEPTIONS.iter().find(|(at, _)| *at == line).map_or("NO REASON", |(_, reason)| *reason);
            println!("not met: line {line}, {theirs}, expected {expected:?}, found {found:?} in {text:?}: {reason}");
            unmet.push(line);
        }
    }

    let sum = |count: fn(&Tally) -> usize| tallies.values().map(count).sum::<usize>();
    let (found, positive) = (sum(|t| t.found), sum(|t| t.positive));
    let (silent, negative) = (sum(|t| t.silent), sum(|t| t.negative));
    println!("{} entities: found {found} of {positive}, silent {silent} of {negative}", tallies.len());
    assert_eq!(unmet, EXCEPTIONS.iter().map(|(line, _)| *line).collect::<Vec<_>>(), "exceptions, each with its reason");
    assert!(found * 100 >= positive * 99, "too few found");
    assert!(silent * 100 >= negative * 99, "too few silent");
}

/// Theirs that no pattern could be: models, services, and bases of others.
const NOT_PATTERNS: [&str; 11] = [
    "AzureAILanguageRecognizer",
    "AzureHealthDeidRecognizer",
    "AzureOpenAILangExtractRecognizer",
    "BasicLangExtractRecognizer",
    "GLiNERRecognizer",
    "HuggingFaceNerRecognizer",
    "LangExtractRecognizer",
    "MedicalNERRecognizer",
    "SpacyRecognizer",
    "StanzaRecognizer",
    "TransformersRecognizer",
];

#[test]
fn every_predefined_recognizer_that_is_a_pattern_has_one_here() {
    let path = shared().join("data/pii/presidio_recognizers_2.2.366.psv");
    let Ok(lines) = fs::read_to_string(&path) else {
        println!("SKIPPED: {} is absent (set ATTESTUNE_SHARED)", path.display());
        return;
    };
    let ours: Vec<String> = Entity::all().iter().map(|entity| entity.presidio_name()).collect();
    let mut missing = Vec::new();
    for line in lines.lines() {
        let mut fields = line.split('|');
        let (recognizer, entity) = (fields.next().unwrap(), fields.next().unwrap());
        if !NOT_PATTERNS.contains(&recognizer) && !ours.iter().any(|ours| ours == entity) {
            missing.push(entity);
        }
    }
    assert_eq!(missing, [""; 0]);
}
