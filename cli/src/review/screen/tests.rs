//! Keys in, a frame out.

use super::draw::{Look, draw};
use super::state::{Effect, Item, Screen};
use attestune_proto::v1::{
    ExampleInfo, ExampleRef, Finding, ReviewItem, ReviewReason, ReviewRules, ReviewVerdict, ReviewWhy, ScanFindings,
    Tool, VerdictReasons,
};
use attestune_workers::example::{ExampleText, scan_text};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::style::Modifier;

/// An item in which each of these words is an e-mail address.
fn item(index: u32, prompt: &str, found: &[&str]) -> Item {
    let text = ExampleText { prompt: prompt.into(), answer: " card_lost".into() };
    let scanned = scan_text(&text);
    let span = |word: &&str| {
        let start = scanned[..scanned.find(word).unwrap()].chars().count() as u32;
        Finding { entity: "email".into(), start, end: start + word.chars().count() as u32, score_ppm: 950_000 }
    };
    let detector = Some(Tool { name: "attestune-pii".into(), version: "2".into() });
    let scans = vec![ScanFindings { detector, spans: found.iter().map(span).collect(), noted: Vec::new() }];
    let example = Some(ExampleInfo { example: Some(ExampleRef { batch: 84, index }), ..Default::default() });
    let item = ReviewItem {
        example,
        collection: "tickets".into(),
        why: ReviewWhy::Flagged.into(),
        waiting_since_ms: 1_000,
        due_ms: 100_000_000,
        overdue: true,
        scans,
        ..Default::default()
    };
    Item::new(item, text)
}

fn screen() -> Screen {
    let items = vec![
        item(1, "my mail is jo@example.org or max@example.org, Jo Miller", &["jo@example.org", "max@example.org"]),
        item(2, "nothing is in here", &[]),
        item(5, "call anna@example.org", &["anna@example.org"]),
    ];
    Screen::new(items, ReviewRules::default())
}

fn press(screen: &mut Screen, keys: &str) -> Effect {
    let code = |key| match key {
        '\n' => KeyCode::Enter,
        '\x1b' => KeyCode::Esc,
        key => KeyCode::Char(key),
    };
    keys.chars().map(|key| screen.on_key(KeyEvent::from(code(key)))).last().unwrap()
}

fn frame_of(screen: &Screen, width: u16, height: u16, colour: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let look = Look { colour, now_ms: 200_000_000 };
    let area = Rect::new(0, 0, width, height);
    terminal.draw(|frame| _ = draw(frame.buffer_mut(), area, screen, look)).unwrap();
    terminal.backend().buffer().clone()
}

fn rows(buffer: &Buffer) -> Vec<String> {
    let area = buffer.area;
    let row = |y| (0..area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..area.height).map(row).collect()
}

fn shown(screen: &Screen) -> String {
    rows(&frame_of(screen, 80, 24, true)).join("\n")
}

#[test]
fn at_80_by_24_the_text_what_was_found_and_the_keys_are_all_there() {
    let rows = rows(&frame_of(&screen(), 80, 24, true));
    assert_eq!(rows.len(), 24);
    assert_eq!(rows[0], " tickets   1 of 3");
    assert_eq!(rows[1], " 84/1   flagged   waits 2 d   late since 1 d");
    assert_eq!(rows[3], " my mail is jo@example.org¹ or max@example.org², Jo Miller");
    assert_eq!(rows[4], "  card_lost");
    assert!(rows[19].starts_with("── found 2 ─"), "{rows:#?}");
    assert_eq!(rows[20], " ¹ email 95 %  attestune-pii@2  jo@example.org");
    assert_eq!(rows[21], " ² email 95 %  attestune-pii@2  max@example.org");
    assert!(rows[23].starts_with(" a approve  n not personal data  r reject  x redact"), "{rows:#?}");
}

#[test]
fn what_was_found_is_underlined_also_without_colours() {
    for colour in [true, false] {
        let buffer = frame_of(&screen(), 80, 24, colour);
        let at = |x: u16| buffer[(x, 3)].modifier.contains(Modifier::UNDERLINED);
        assert!(!at(11) && at(12) && at(25) && !at(26), "jo@example.org stands in columns 12 to 25");
        let coloured =
            (0..80u16).flat_map(|x| (0..24u16).map(move |y| (x, y))).any(|at| buffer[at].fg != Default::default());
        assert_eq!(coloured, colour);
    }
}

#[test]
fn a_decision_is_shown_and_the_next_open_example_comes_up() {
    let mut screen = screen();
    press(&mut screen, "n");
    assert!(shown(&screen).contains(" tickets   2 of 3   1 decided, not signed"));
    press(&mut screen, "a");
    press(&mut screen, "r");
    let made = screen.made();
    let said: Vec<_> = made.iter().map(|m| (m.at.index, m.verdict, m.reason)).collect();
    let expected = [
        (1, ReviewVerdict::Approve, ReviewReason::NoPersonalData),
        (2, ReviewVerdict::Approve, ReviewReason::NoPersonalData),
        (5, ReviewVerdict::Reject, ReviewReason::PersonalData),
    ];
    assert_eq!(said, expected);
    press(&mut screen, "k");
    press(&mut screen, "k");
    assert!(shown(&screen).contains("→ approve: no-personal-data"), "{}", shown(&screen));
    press(&mut screen, "e");
    assert!(shown(&screen).contains("→ approve: personal-data"), "e takes the next reason");
}

#[test]
fn undo_takes_the_last_decision_back_and_goes_there() {
    let mut screen = screen();
    press(&mut screen, "nr");
    press(&mut screen, "u");
    assert_eq!((screen.at, screen.decided.len()), (1, 1));
    press(&mut screen, "u");
    assert_eq!((screen.at, screen.decided.len()), (0, 0));
    press(&mut screen, "u");
    assert!(shown(&screen).contains("there is nothing to take back"));
}

#[test]
fn a_redaction_is_chosen_by_span_with_what_is_left_in_sight() {
    let mut screen = screen();
    press(&mut screen, "x");
    let frame = shown(&screen);
    assert!(frame.contains("my mail is <EMAIL> or <EMAIL>, Jo Miller"), "{frame}");
    assert!(frame.contains("▸[hide] ¹ email 95 %"), "{frame}");
    press(&mut screen, "2");
    let frame = shown(&screen);
    assert!(frame.contains("my mail is <EMAIL> or max@example.org, Jo Miller"), "{frame}");
    assert!(frame.contains("[show] ²"), "{frame}");
    // Back from the end: `card_lost`, then `Miller`, which nobody found.
    press(&mut screen, "bbm\n");
    let made = screen.made();
    let hidden: Vec<_> = made[0].hidden.iter().map(|f| (f.entity.as_str(), f.start, f.end)).collect();
    assert_eq!(hidden, [("email", 11, 25), ("personal-data", 49, 55)]);
    let left = made[0].redacted.as_ref().unwrap();
    assert_eq!(left.prompt, "my mail is <EMAIL> or max@example.org, Jo <PERSONAL_DATA>");
    // What was chosen is there again.
    press(&mut screen, "kx");
    assert!(shown(&screen).contains("my mail is <EMAIL> or max@example.org, Jo <PERSONAL_DATA>"), "{}", shown(&screen));
    press(&mut screen, "\x1b");
    assert_eq!(screen.made(), made, "Esc changes nothing");
}

#[test]
fn a_redaction_that_hides_nothing_is_none() {
    let mut screen = screen();
    press(&mut screen, "xa\n");
    assert!(shown(&screen).contains("nothing is hidden"), "{}", shown(&screen));
    assert!(screen.made().is_empty());
}

#[test]
fn hostile_text_is_shown_and_does_nothing() {
    let hostile = "a\x1b[2Jb\x1b]0;owned\x07c\u{202e}txet\u{2066}d\u{9b}31m\r\u{200b}e";
    let screen = Screen::new(vec![item(1, hostile, &[])], ReviewRules::default());
    let buffer = frame_of(&screen, 80, 24, true);
    let all = rows(&buffer).join("\n");
    assert!(all.contains("a␛[2Jb␛]0;owned␇c<U+202E>txet<U+2066>d<U+009B>31m␍<U+200B>e"), "{all}");
    for cell in buffer.content() {
        assert!(!cell.symbol().chars().any(|c| c.is_control() || ('\u{200b}'..='\u{2069}').contains(&c) && c != '–'));
    }
}

#[test]
fn nothing_is_lost_on_leaving_without_a_word() {
    let mut screen = screen();
    assert_eq!(press(&mut screen, "q"), Effect::Leave, "nothing is decided");
    press(&mut screen, "n");
    assert_eq!(press(&mut screen, "q"), Effect::Nothing);
    assert!(shown(&screen).contains("y sign and leave"), "{}", shown(&screen));
    assert_eq!(press(&mut screen, "\x1b"), Effect::Nothing);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(screen.on_key(control_c), Effect::Nothing);
    assert_eq!(press(&mut screen, "y"), Effect::SignAndLeave);
    assert_eq!(press(&mut screen, "s"), Effect::Sign);
    press(&mut screen, "q");
    assert_eq!(press(&mut screen, "d"), Effect::Leave);
}

#[test]
fn the_policys_reasons_are_the_ones_that_are_given() {
    let reasons = vec![ReviewReason::Fictitious.into(), ReviewReason::WrongLabel.into()];
    let row = VerdictReasons { verdict: ReviewVerdict::Approve.into(), reasons };
    let rules = ReviewRules { reasons: vec![row], ..Default::default() };
    let mut screen = Screen::new(screen().items, rules);
    press(&mut screen, "n");
    assert!(screen.made().is_empty());
    assert!(shown(&screen).contains("does not take no-personal-data as a reason to approve"), "{}", shown(&screen));
    press(&mut screen, "a");
    press(&mut screen, "ke");
    assert_eq!(screen.made()[0].reason, ReviewReason::WrongLabel);
}

#[test]
fn a_long_text_scrolls_and_a_small_terminal_says_what_it_needs() {
    let long: String = (0..200).map(|n| format!("line {n}\n")).collect();
    let mut screen = Screen::new(vec![item(1, &long, &[])], ReviewRules::default());
    assert!(shown(&screen).contains("line 0") && shown(&screen).contains("of 202"));
    press(&mut screen, "  ");
    assert!(!shown(&screen).contains("line 0\n") && shown(&screen).contains("line 16"));
    for _ in 0..100 {
        press(&mut screen, " ");
    }
    assert!(shown(&screen).contains("line 199"), "it stops at the end: {}", shown(&screen));
    let small = rows(&frame_of(&screen, 40, 10, true)).join("\n");
    assert!(small.contains("60 columns and 16 rows"), "{small}");
    for (width, height) in [(1, 1), (60, 16), (200, 60), (61, 17)] {
        frame_of(&screen, width, height, false);
    }
}

#[test]
fn help_tells_every_key_and_any_key_goes_back() {
    let mut screen = screen();
    press(&mut screen, "?");
    let help = shown(&screen);
    for word in ["approve", "reject", "redact", "take the last decision back", "sign what is decided", "Ctrl-L"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    press(&mut screen, "q");
    assert!(shown(&screen).contains("jo@example.org"));
}

#[test]
fn what_is_signed_goes_and_more_comes() {
    let mut screen = screen();
    press(&mut screen, "n");
    let more = vec![item(1, "signed already", &[]), item(2, "known", &[]), item(9, "new", &[])];
    screen.signed(more);
    assert_eq!(screen.items.iter().map(|i| i.at().index).collect::<Vec<_>>(), [2, 5, 9]);
    assert!(screen.made().is_empty());
}
