//! Presidio's own recognizer cases. They are read from the shared folder and never copied into the
//! project; where the folder is absent this test says so.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{env, fs, path::PathBuf};

use attestune_pii::{
    Entity,
    measure::{Cases, cases},
};

fn shared() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    env::var_os("ATTESTUNE_SHARED").map_or_else(|| beside.into(), PathBuf::from)
}

#[test]
fn nearly_every_case_is_met_and_the_others_have_a_reason() {
    let path = shared().join("data/pii/presidio_cases_a.jsonl");
    let Ok(lines) = fs::read_to_string(&path) else {
        println!("SKIPPED: {} is absent (set ATTESTUNE_SHARED)", path.display());
        return;
    };
    let Cases { entities, positive, found, negative, silent, unmet } = cases(&lines).unwrap();
    for case in &unmet {
        println!("not met: {case:?}");
    }
    println!("{entities} entities: found {found} of {positive}, silent {silent} of {negative}");
    let unmet: Vec<usize> = unmet.iter().map(|case| case.line).collect();
    assert_eq!(unmet, Cases::exceptions().collect::<Vec<_>>(), "exceptions, each with its reason");
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
