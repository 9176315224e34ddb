//! Presidio's own recognizer cases, for the entities built here. They are read from the shared
//! folder and never copied into the project; where the folder is absent this test says so.

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use attestune_pii::{Config, Entity, Scanner};

/// For each of their entities: ours, the share of positive cases that must be found with the right
/// span, and the share of negative cases that must be silent, in percent.
const MINIMA: [(&str, Entity, usize, usize); 10] = [
    ("CREDIT_CARD", Entity::CreditCard, 100, 100),
    ("CRYPTO", Entity::CryptoAddress, 100, 100),
    ("DATE_TIME", Entity::Date, 100, 100),
    ("EMAIL_ADDRESS", Entity::Email, 100, 100),
    ("IBAN_CODE", Entity::Iban, 100, 100),
    ("IP_ADDRESS", Entity::IpAddress, 100, 100),
    ("MAC_ADDRESS", Entity::MacAddress, 100, 100),
    ("PHONE_NUMBER", Entity::Phone, 100, 100),
    ("URL", Entity::Url, 100, 100),
    ("US_SSN", Entity::UsSsn, 100, 100),
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

#[test]
fn the_cases_of_the_entities_built_here_are_met() {
    let path = shared().join("data/pii/presidio_cases_a.jsonl");
    let Ok(cases) = fs::read_to_string(&path) else {
        println!("skipped: {} is absent (set ATTESTUNE_SHARED)", path.display());
        return;
    };
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for line in cases.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let theirs = case["entity"].as_str().unwrap();
        let Some((name, entity, ..)) = MINIMA.iter().find(|(name, ..)| *name == theirs) else {
            continue;
        };
        // As their tests do: one recognizer alone, no threshold.
        let config = Config { entities: [*entity].into(), threshold_ppm: 0, ..Config::default() };
        let text = case["text"].as_str().unwrap();
        let findings = Scanner::new(&config).unwrap().scan(text);
        let found: Vec<(u64, u64)> = findings.iter().map(|f| (f.start.into(), f.end.into())).collect();
        let number = |value: &serde_json::Value| value.as_u64().unwrap();
        let expected: Vec<(u64, u64)> =
            case["expected"].as_array().unwrap().iter().map(|span| (number(&span[0]), number(&span[1]))).collect();

        let tally = tallies.entry(name).or_default();
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
            println!("not met: {theirs} expected {expected:?}, found {found:?} in {text:?}");
        }
    }

    for (name, _, found_min, silent_min) in MINIMA {
        let t = &tallies[name];
        println!("{name}: found {} of {}, silent {} of {}", t.found, t.positive, t.silent, t.negative);
        assert!(t.found * 100 >= t.positive * found_min, "{name}: too few found");
        assert!(t.silent * 100 >= t.negative * silent_min, "{name}: too few silent");
    }
}
