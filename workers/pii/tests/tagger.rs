//! What holds for the tagger on every text, and what it finds in plain ones.
#![allow(clippy::unwrap_used)] // a test says what went wrong by failing

use attestune_pii::{
    Config, Entity, Recognizers, Scanner,
    tagger::{Kind, Span, Tagger},
};
use proptest::prelude::*;
use rayon::prelude::*;

fn found(text: &str) -> Vec<(Kind, &str)> {
    let spans = Tagger::shared().spans(text);
    spans.iter().map(|span| (span.kind, &text[span.start..span.end])).collect()
}

fn holds_for(text: &str) {
    let spans = Tagger::shared().spans(text);
    let mut last_end = 0;
    for Span { start, end, score_ppm, .. } in &spans {
        assert!(last_end <= *start && start < end && *end <= text.len(), "in order, apart, in range: {spans:?}");
        assert!(text.is_char_boundary(*start) && text.is_char_boundary(*end), "{spans:?}");
        assert!((400_000..=850_000).contains(score_ppm), "{score_ppm}");
        last_end = *end;
    }
    assert_eq!(Tagger::shared().spans(text), spans, "twice the same");
}

const PIECES: [&str; 24] = [
    "Anna",
    "ΛΕΥΚΩΣΙΑ",
    "О'Коннор",
    "d\u{2019}",
    "'s",
    "'",
    "Mr.",
    "12",
    "Straße",
    "İstanbul",
    "e\u{301}",
    "\u{300}",
    "\u{200d}",
    "👩\u{200d}👩",
    "東京",
    "שלום",
    "a@b.c",
    "https://",
    "\n",
    "\r\n\t",
    ".",
    ",",
    "\u{0}",
    "ﬁ",
];

proptest! {
    #[test]
    fn any_string_gives_spans_in_range_sorted_and_apart(text in any::<String>()) {
        holds_for(&text);
    }

    #[test]
    fn so_do_names_and_marks_thrown_together(
        parts in prop::collection::vec((prop::sample::select(&PIECES[..]), " ?"), 0..40)
    ) {
        holds_for(&parts.iter().flat_map(|(piece, space)| [*piece, space]).collect::<String>());
    }
}

#[test]
fn plain_texts_give_their_names_and_places() {
    let text = "Dear Mrs. Okonkwo,\nour driver Pavel Dvořák will be at 14 Mill Lane, Leeds on Friday.";
    let spans = found(text);
    for expected in [(Kind::Person, "Okonkwo"), (Kind::Person, "Pavel Dvořák"), (Kind::Location, "Leeds")] {
        assert!(spans.contains(&expected), "{expected:?} in {spans:?}");
    }
    assert!(spans.iter().any(|(kind, said)| *kind == Kind::Address && said.contains("Mill Lane")), "{spans:?}");

    let text = "I work at Brightwater Holdings Ltd, I am 34 years old and my wife is Canadian.";
    let spans = found(text);
    assert!(spans.iter().any(|(kind, said)| *kind == Kind::Organization && said.contains("Brightwater")), "{spans:?}");
    assert!(spans.contains(&(Kind::Age, "34")) && spans.contains(&(Kind::Nrp, "Canadian")), "{spans:?}");
}

#[test]
fn texts_about_nobody_give_nothing() {
    for text in [
        "",
        "How do I change the password of my account?",
        "Please return the items within 30 days, in their box.",
        "The meeting is moved to another day, same room.",
        "Excuse me, sir, when does the office open on Thursday?",
    ] {
        assert_eq!(found(text), [], "{text:?}");
    }
}

#[test]
fn a_long_text_is_cut_where_its_parts_are_found_as_they_are_alone() {
    let sentence = "Please call Pavel Dvořák in Leeds.\n";
    let alone = found(sentence).len();
    assert!(alone >= 2);
    let spans = Tagger::shared().spans(&sentence.repeat(2_000));
    assert!(spans.len() >= 1_990 * alone, "{} of {}", spans.len(), 2_000 * alone);
    holds_for("\u{300} 東京."); // a mark alone folds to nothing
    holds_for(&"(".repeat(100_000));
    holds_for(&"Anna".repeat(50_000));
    holds_for(&"Anna ".repeat(50_000));
    holds_for(&"a'".repeat(50_000));
}

#[test]
fn threads_find_what_one_finds() {
    let texts: Vec<String> = (0..400).map(|n| format!("{} met {} {n}", PIECES[n % 24], PIECES[n * 7 % 24])).collect();
    let one: Vec<_> = texts.iter().map(|text| Tagger::shared().spans(text)).collect();
    let many: Vec<_> = texts.par_iter().map(|text| Tagger::shared().spans(text)).collect();
    assert_eq!(one, many);
}

#[test]
fn a_scanner_runs_it_beside_the_patterns() {
    let scanner = Scanner::with(&Config::default(), &Recognizers::default(), vec![Tagger::shared()]).unwrap();
    let findings = scanner.scan("Zoë Brandt, zoe@example.org, lives in Trondheim.");
    let entities: Vec<Entity> = findings.iter().map(|finding| finding.entity).collect();
    assert_eq!(entities, [Entity::PERSON, Entity::EMAIL, Entity::LOCATION]);
    assert_eq!((findings[0].start, findings[0].end, findings[0].recognizer), (0, 10, "tagger"));
}

#[test]
fn other_bytes_are_no_tagger() {
    let error = Tagger::from_bytes(b"{}").unwrap_err();
    assert!(error.to_string().contains("make tagger"), "{error}");
}
