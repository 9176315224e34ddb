//! Personal data in disguise: found, with the span of the disguise in the text as it stands.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use attestune_pii::{Config, Entity, Scanner};

fn patterns() -> Scanner {
    Scanner::patterns(&Config::default()).unwrap()
}

fn found(scanner: &Scanner, text: &str) -> Vec<(Entity, String)> {
    let span = |start: u32, end: u32| text.chars().skip(start as usize).take((end - start) as usize).collect();
    scanner.scan(text).iter().map(|f| (f.entity, span(f.start, f.end))).collect()
}

/// The text with the disguise between bars, and what it hides.
const DISGUISES: [(&str, Entity); 22] = [
    ("mail |zo\u{200b}e@exam\u{ad}ple.org| now", Entity::EMAIL),
    ("konto |DЕ89 3704 0044 0532 0130 00|", Entity::IBAN),
    ("mail |ｚｏｅ＠ｅｘａｍｐｌｅ．ｏｒｇ|", Entity::EMAIL),
    ("mail |zoe&#64;example&period;org|", Entity::EMAIL),
    ("mail |zoe&#x40;example.org|", Entity::EMAIL),
    ("mail |zoe%40example%2Eorg|", Entity::EMAIL),
    ("mail |zoe%2540example.org|", Entity::EMAIL),
    ("mail |zoe [at] example [dot] org|", Entity::EMAIL),
    ("token |bWFpbCB6b2VAZXhhbXBsZS5vcmch|", Entity::EMAIL),
    ("card |４１１１ １１１１ １１１１ １１１１|.", Entity::CREDIT_CARD),
    ("card |4111\u{200b}1111\u{200d}1111\u{feff}1111|", Entity::CREDIT_CARD),
    ("card |4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1|", Entity::CREDIT_CARD),
    ("card |4.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1|", Entity::CREDIT_CARD),
    ("card |4111_1111_1111_1111|", Entity::CREDIT_CARD),
    ("card |4111 - 1111 - 1111 - 1111|", Entity::CREDIT_CARD),
    ("my card is |4111 1111\n1111 1111|", Entity::CREDIT_CARD),
    ("my card is |4111 1111 11\n11 1111|", Entity::CREDIT_CARD),
    ("card |४१११ ११११ ११११ ११११|", Entity::CREDIT_CARD),
    ("my SSN is |536-22-\n8726|, thanks", Entity::US_SSN),
    ("my SSN is |5 3 6 2 2 8 7 2 6|", Entity::US_SSN),
    ("SSN |536\u{2011}22\u{2011}8726|", Entity::US_SSN),
    ("konto |DE89&nbsp;3704&nbsp;0044&nbsp;0532&nbsp;0130&nbsp;00|", Entity::IBAN),
];

#[test]
fn every_disguise_is_seen_through_and_covered_whole() {
    let scanner = patterns();
    let plain = Scanner::patterns(&Config { unfold: false, ..Config::default() }).unwrap();
    let mut seen_plainly = 0;
    for (marked, entity) in DISGUISES {
        let text = marked.replace('|', "");
        let hidden = marked.split('|').nth(1).unwrap();
        let told = found(&scanner, &text);
        let covers = told.iter().any(|(kind, span)| *kind == entity && hidden.ends_with(span.as_str()));
        // Base64 is covered in groups of four characters, so that the word before the address stays.
        let whole = told.iter().any(|(_, span)| span == hidden) || hidden.starts_with("bWFpb");
        assert!(covers && whole, "{marked:?}: {told:?}");
        seen_plainly += usize::from(found(&plain, &text).contains(&(entity, hidden.to_owned())));
    }
    // Cards are found with a space or a dot after every digit by their own pattern.
    assert_eq!(seen_plainly, 2, "the others are disguises");
}

#[test]
fn lists_and_tables_of_numbers_are_no_disguise() {
    let scanner = patterns();
    for text in [
        "1 2 3 4 5 6 7 8 9 0",
        "9 8 7 6 5 4 3 2 1",
        "41111111\n11111111\n41111111\n11111111",
        "100%25 of &c; and [attn] (dotted)",
        "sha256 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    ] {
        assert_eq!(found(&scanner, text), [], "{text:?}");
    }
}

#[test]
fn the_text_itself_is_read_as_well_as_its_forms() {
    let told = found(&patterns(), "see https://example.org/a%20b%20c and почта@пример.рф");
    assert_eq!(told[0], (Entity::URL, "https://example.org/a%20b%20c".to_owned()));
    assert_eq!(told[1], (Entity::EMAIL, "почта@пример.рф".to_owned()));
}
