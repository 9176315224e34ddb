//! Texts of a size and form that nobody writes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use attestune_pii::{Config, Operator, Operators, Scanner, redact};

/// A million brackets inside each other, plain and in disguise, with a finding in the middle.
#[test]
fn a_million_nested_brackets_hide_nothing_and_take_no_stack() {
    let scanner = Scanner::default();
    for (open, close) in [("[", "]"), ("&#40;", "&#41;")] {
        let count = 1_000_000 / open.len();
        let text = format!("{} zoe@example.org {}", open.repeat(count), close.repeat(count));
        let found = scanner.scan(&text);
        let mails: Vec<_> = found.iter().filter(|finding| finding.entity.name() == "email").collect();
        assert_eq!(mails.len(), 1, "{open}");
        assert_eq!(mails[0].start as usize, open.len() * count + 1, "{open}");
        assert!(!redact(&text, &found).contains("zoe@"), "{open}");
    }
}

/// Patterns alone, as it is about the line.
#[test]
fn a_hundred_megabytes_on_one_line_are_read_and_written() {
    let scanner = Scanner::patterns(&Config::default()).unwrap();
    let filler = "nothing of any kind stands in these words, which go on ";
    let (before, after) = (filler.repeat(900_000), filler.repeat(1_000_000));
    let text = format!("zoe@example.org {before} 4111 1111 1111 1111 {after} 203.0.113.9");
    assert!(text.len() > 100_000_000);
    let found = scanner.scan(&text);
    let kinds: Vec<_> = found.iter().map(|finding| finding.entity.name()).collect();
    assert_eq!(kinds, ["email", "credit-card", "ip-address"]);
    assert_eq!(found[2].end as usize, text.len(), "it is ASCII");
    let written = Operators::from(Operator::Tag).apply(&text, &found).unwrap();
    assert!(written.starts_with("<EMAIL> nothing") && written.ends_with(" <IP_ADDRESS>"));
    assert!(!written.contains("4111"));
}
