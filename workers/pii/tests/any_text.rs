//! What holds for every text, however odd or hostile: any bytes, no panic, spans on characters, and no operator leaves a
//! found value. `PROPTEST_CASES` sets how many texts each property is tried on: with ten million it is a fuzzer that runs
//! until it is stopped (`PROPTEST_CASES=10000000 timeout 300 cargo test -p attestune-pii --test any_text -- spoilt`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use attestune_pii::{Config, Finding, Key, Operator, Operators, Recognizers, Scanner, redact, reveal};
use proptest::prelude::*;

fn eager() -> Scanner {
    static EAGER: LazyLock<Scanner> =
        LazyLock::new(|| Scanner::new(&Config { threshold_ppm: 0, ..Config::default() }).unwrap());
    EAGER.clone()
}

fn span(text: &str, finding: &Finding) -> String {
    let length = (finding.end - finding.start) as usize;
    text.chars().skip(finding.start as usize).take(length).collect()
}

/// Whether the value stands in the text without a letter or digit beside it.
fn stands_in(text: &str, value: &str) -> bool {
    text.match_indices(value).any(|(at, _)| {
        let edges = |a: Option<char>, b: Option<char>| [a, b].iter().all(|c| c.is_some_and(char::is_alphanumeric));
        let (before, after) = (&text[..at], &text[at + value.len()..]);
        !edges(before.chars().next_back(), value.chars().next())
            && !edges(value.chars().next_back(), after.chars().next())
    })
}

/// The characters outside all findings, with a tag at each finding's place.
fn expected_redaction(text: &str, findings: &[Finding]) -> String {
    let characters: Vec<char> = text.chars().collect();
    let (mut expected, mut at) = (String::new(), 0);
    for finding in findings {
        expected.extend(&characters[at..finding.start as usize]);
        expected.push_str(&finding.entity.tag());
        at = finding.end as usize;
    }
    expected.extend(&characters[at..]);
    expected
}

fn holds_for(scanner: &Scanner, text: &str) {
    let findings = scanner.scan(text);
    let length = text.chars().count() as u32;
    let mut last_end = 0;
    for finding in &findings {
        assert!(last_end <= finding.start, "sorted and apart: {findings:?}");
        assert!(finding.start < finding.end && finding.end <= length, "in range: {finding:?}");
        assert!(finding.score_ppm <= 1_000_000);
        last_end = finding.end;
    }
    assert_eq!(redact(text, &findings), expected_redaction(text, &findings));
    assert_eq!(scanner.scan(text), findings, "twice the same");
}

/// No operator leaves a found value standing alone, and what is encrypted comes back.
fn operators_hide(text: &str) {
    let findings = eager().scan(text);
    let key = || Key::new([7; 32]);
    let operators = [
        Operator::Tag,
        Operator::Replace("…".into()),
        Operator::Redact,
        Operator::Mask { with: '*', keep: 4 },
        Operator::Hash(key()),
        Operator::Pseudonym(key()),
        Operator::Encrypt(key()),
    ];
    for operator in operators {
        let written = Operators::from(operator.clone()).apply(text, &findings).unwrap();
        for finding in &findings {
            let value = span(text, finding);
            assert!(!stands_in(&written, &value), "{value:?} by {operator:?} in {written:?} of {text:?}");
        }
        if matches!(operator, Operator::Encrypt(_)) {
            assert_eq!(reveal(&written, &key()).as_deref(), Ok(text));
        }
    }
}

/// Pieces thrown together, of which bytes are then changed, put in, cut out or said twice.
fn spoilt() -> impl Strategy<Value = Vec<u8>> {
    let parts = prop::collection::vec((prop::sample::select(&PIECES[..]), "[ .:@/(+\\-\n]{0,2}"), 0..9);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), 0..4u8, any::<u8>()), 0..9);
    (parts, changes).prop_map(|(parts, changes)| {
        let text: String = parts.iter().flat_map(|(piece, mark)| [*piece, mark]).collect();
        let mut bytes = text.into_bytes();
        for (at, change, byte) in changes {
            let at = at.index(bytes.len() + 1);
            match change {
                0 => bytes.insert(at, byte),
                1 => bytes.truncate(at.max(bytes.len() / 2)),
                2 => bytes.extend_from_within(at..),
                _ if at < bytes.len() => bytes[at] ^= 1 << (byte % 8),
                _ => {}
            }
        }
        bytes.truncate(1000);
        bytes
    })
}

/// Personal data of every kind, and pieces that nearly are.
const PIECES: [&str; 53] = [
    "Anna O'Brien, 34, Dr.",
    "Brightwater Holdings Ltd",
    "14 Mill Lane, Leeds",
    "34",
    "a.b@example.org",
    "a@b",
    "4111 1111 1111 1111",
    "4111-1111-1111-1112",
    "GB29 NWBK 6016 1331 9268 19",
    "536-22-8726",
    "203.0.113.9/24",
    "2001:db8::7",
    "::",
    "00:1b:63:84:45:e6",
    "https://example.org/a(b)",
    "http://[",
    "www.example.co.uk",
    "2024-02-29T10:00Z",
    "31.12.1999",
    "5/21",
    "12. März 1980",
    "Fri, 21 Nov 1997 09:55:06 -0600",
    "20240229T101500Z",
    "5 กุมภาพันธ์ 2564",
    "2021년 2월 5일",
    "since August 1977",
    "the 1980s, (1999)",
    "3 p.m.",
    "twenty-first of May",
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "0xde709f2102306220921060314715629080e2fb77",
    "+44 (0)20 7946 0958",
    "(212) 555-0142 x12",
    "é",
    "谢谢",
    "\u{200b}",
    "😀",
    " ssn phone card ",
    "&#64;",
    "&#x40",
    "%40",
    "%C3%BC",
    "%2540",
    " [at] ",
    "４１１１",
    "ехаmple",
    "bWFpbCB6b2VAZXhhbXBsZS5vcmch",
    "4 1 1 1 1 1 1 1",
    "4111\n1111 x",
    "_",
    "𝟒",
    "RSSMRA85T10A562S",
    "여권번호는M789C1234입니다",
];

proptest! {
    #[test]
    fn any_string_gives_spans_in_range_sorted_and_apart(text in any::<String>()) {
        holds_for(&eager(), &text);
    }

    #[test]
    fn so_do_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        holds_for(&eager(), &String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn so_do_personal_data_and_marks_thrown_together(
        parts in prop::collection::vec((prop::sample::select(&PIECES[..]), "[ .:@/(+\\-]{0,2}"), 0..12)
    ) {
        let text: String = parts.iter().flat_map(|(piece, mark)| [*piece, mark]).collect();
        holds_for(&eager(), &text);
    }

    #[test]
    fn no_operator_leaves_a_found_value_standing(
        parts in prop::collection::vec((prop::sample::select(&PIECES[..]), "[ .:@/,]{0,2}"), 0..12)
    ) {
        operators_hide(&parts.iter().flat_map(|(piece, mark)| [*piece, mark]).collect::<String>());
    }

    #[test]
    fn all_of_it_holds_for_texts_with_spoilt_bytes(bytes in spoilt()) {
        let text = String::from_utf8_lossy(&bytes);
        holds_for(&eager(), &text);
        operators_hide(&text);
    }

    #[test]
    fn any_yaml_is_recognizers_or_an_error(yaml in "(?s)recognizers:\\n( *- |entity: x|regex: .{0,9}|[\\[\\]{},:\\n ]){0,9}") {
        let _ = Recognizers::from_yaml(&yaml);
    }

    #[test]
    fn any_pattern_compiles_or_is_refused(pattern in ".{0,20}", text in any::<String>()) {
        let pattern = serde_json::to_string(&pattern).unwrap();
        let yaml = format!("recognizers: [{{ entity: x, patterns: [{{ regex: {pattern}, score: 1 }}] }}]");
        if let Ok(own) = Recognizers::from_yaml(&yaml) {
            Scanner::with(&Config::only([]), &own, Vec::new()).unwrap().scan(&text);
        }
    }

    #[test]
    fn a_found_value_that_stands_once_is_gone_after_redaction(
        before in "[a-zé ]{0,20}", at in 0..PIECES.len(), after in "[a-zé ]{0,20}"
    ) {
        let text = format!("{before} {} {after}", PIECES[at]);
        let findings = eager().scan(&text);
        let redacted = redact(&text, &findings);
        for finding in &findings {
            let value = span(&text, finding);
            if text.matches(&value).count() == 1 {
                prop_assert!(!redacted.contains(&value), "{value:?} in {redacted:?}");
            }
        }
    }
}

#[test]
fn many_texts_give_what_each_gives_in_the_same_order() {
    let scanner = Scanner::default();
    let texts: Vec<String> = (0..500).map(|n| format!("{} is no. {n}", PIECES[n % PIECES.len()])).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let one_by_one: Vec<_> = texts.iter().map(|text| scanner.scan(text)).collect();
    assert_eq!(scanner.scan_many(&texts), one_by_one);
    let streamed = scanner.scan_stream((0..9000).map(|n| texts[n % texts.len()])).enumerate();
    assert_eq!(
        streamed.filter(|(n, (text, found))| *text == texts[n % 500] && *found == one_by_one[n % 500]).count(),
        9000
    );
    assert!(one_by_one.iter().filter(|findings| !findings.is_empty()).count() > 200);
}

/// Of patterns: the tagger reads a sentence by its neighbours.
#[test]
fn a_long_text_gives_what_its_parts_give_wherever_its_windows_end() {
    let scanner = Scanner::patterns(&Config::default()).unwrap();
    for shift in [0, 1, 7, 20] {
        let line = "é: zoe@example.org, card 4111 1111 1111 1111. ";
        let text = "ü".repeat(shift) + &" ".repeat(3) + &line.repeat(40_000);
        let found = scanner.scan(&text);
        let length = line.chars().count() as u32;
        let each = scanner.scan(line);
        let expected = (0..40_000).flat_map(|n| {
            let by = shift as u32 + 3 + n * length;
            each.iter().map(move |f| Finding { start: f.start + by, end: f.end + by, ..f.clone() })
        });
        assert!(found.iter().cloned().eq(expected), "shifted by {shift}");
    }
}

/// Twice the text must not take much more than twice the time. The bound is generous (8 for 4
/// times the text), so that a busy machine doesn't fail it, and a quadratic scan (16) does.
#[test]
fn hostile_texts_take_time_in_proportion_to_their_length() {
    let scanner = eager();
    let seeds = [
        "(",
        "[",
        "@",
        "a@",
        "a.",
        ".a",
        ":",
        "::",
        "a:a",
        "1",
        "1 ",
        "12 ",
        "123-",
        "4111 ",
        "0x",
        "http://",
        "http://a.b@",
        "http://a)",
        "2020-",
        "may ",
        "1 may ",
        "GB29 ",
        "bc1q",
        "é",
        "1é",
        "a-",
        "+1 ",
        "(1",
        "1/",
        "255.",
        "00:",
        "&#64;",
        "%40",
        "%25",
        "４",
        "а",
        "1\n",
        "1\na",
        "1 - ",
        "QUFB",
        "[at]",
        "A1",
        "AB12 ",
    ];
    for seed in seeds {
        let short = seed.repeat(6_000 / seed.len());
        let long = short.repeat(4);
        let time = |text: &str| {
            let took = (0..3).map(|_| {
                let start = Instant::now();
                scanner.scan(text);
                start.elapsed()
            });
            took.min().unwrap_or_default()
        };
        // On a busy machine a measurement may go wrong, but not again and again.
        let floor = Duration::from_millis(20);
        let mut told = Vec::new();
        let holds = (0..8).any(|_| {
            let (short_took, long_took) = (time(&short), time(&long));
            told.push((short_took, long_took));
            long_took < short_took.max(floor) * 8 && long_took < Duration::from_secs(5)
        });
        assert!(holds, "{seed:?}: {told:?} for 6 kB and 24 kB");
    }
}
