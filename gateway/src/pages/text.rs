//! How things are written on pages. Every text is escaped; what would hide or turn text is made visible.

use super::ask::Ask;
use attestune_ledger::draft::plain;
use attestune_ledger::refusal::is_odd;
use attestune_ledger::time::iso;
use attestune_proto::v1::{self as pb, Signer};
use maud::{Markup, html};

/// A text from outside: characters that steer, hide or turn text (controls, bidi marks, zero width) stand as their code
/// points. Line breaks and tabs stay.
pub fn shown(text: &str) -> Markup {
    html! {
        @for part in parts(text) {
            @match part {
                Part::Plain(text) => (text),
                Part::Odd(char) => {
                    span.odd title="A character that can't be seen" { "U+" (format!("{:04X}", u32::from(char))) }
                }
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Plain(&'a str),
    Odd(char),
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut found = Vec::new();
    let mut begin = 0;
    for (at, char) in text.char_indices().filter(|(_, char)| is_shown_by_its_code(*char)) {
        if begin < at {
            found.push(Part::Plain(&text[begin..at]));
        }
        found.push(Part::Odd(char));
        begin = at + char.len_utf8();
    }
    if begin < text.len() {
        found.push(Part::Plain(&text[begin..]));
    }
    found
}

fn is_shown_by_its_code(char: char) -> bool {
    is_odd(char) && !matches!(char, '\n' | '\t')
}

/// Markup or text that was found in a text: its span in code points, half open, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark<'a> {
    /// First code point.
    pub start: u32,
    /// The one after the last.
    pub end: u32,
    /// Such as `email`.
    pub entity: &'a str,
    /// Parts per million.
    pub score_ppm: u32,
}

/// A text in which findings are marked. Overlapping findings become one mark that names them all.
pub fn marked(text: &str, marks: &[Mark<'_>]) -> Markup {
    let chars: Vec<char> = text.chars().collect();
    let piece = |start: usize, end: usize| -> String { chars[start..end].iter().collect() };
    let groups = groups(marks, chars.len());
    let before = std::iter::once(0).chain(groups.iter().map(|group| group.end));
    let last = groups.last().map_or(0, |group| group.end);
    html! {
        @for (begin, group) in before.zip(&groups) {
            (shown(&piece(begin, group.start)))
            mark title=(group.title()) { (shown(&piece(group.start, group.end))) sup { (group.names.join(", ")) } }
        }
        (shown(&piece(last, chars.len())))
    }
}

struct Group<'a> {
    start: usize,
    end: usize,
    names: Vec<&'a str>,
    score_ppm: u32,
}

impl Group<'_> {
    fn title(&self) -> String {
        format!("found: {}, {}", self.names.join(", "), percent(self.score_ppm))
    }
}

fn groups<'a>(marks: &[Mark<'a>], length: usize) -> Vec<Group<'a>> {
    let mut marks: Vec<&Mark<'a>> = marks.iter().filter(|m| m.start < m.end && (m.start as usize) < length).collect();
    marks.sort_by_key(|mark| (mark.start, mark.end));
    let mut groups: Vec<Group<'a>> = Vec::new();
    for mark in marks {
        let (start, end) = (mark.start as usize, (mark.end as usize).min(length));
        match groups.last_mut() {
            Some(last) if start < last.end => {
                last.end = last.end.max(end);
                last.score_ppm = last.score_ppm.max(mark.score_ppm);
                if !last.names.contains(&mark.entity) {
                    last.names.push(mark.entity);
                }
            }
            _ => groups.push(Group { start, end, names: vec![mark.entity], score_ppm: mark.score_ppm }),
        }
    }
    groups
}

/// A time in UTC, for people and programs.
pub fn time(ms: u64) -> Markup {
    let text = iso(ms);
    html! { time datetime=(text) { (text.replace('T', " ").trim_end_matches('Z')) } }
}

/// A hash: shortened, whole in its title, with a button to copy it where there is script.
pub fn hash(bytes: &[u8]) -> Markup {
    let whole = hex::encode(bytes);
    html! {
        span.hash { code title=(whole) { (whole.get(..8).unwrap_or(&whole)) @if whole.len() > 8 { "…" } }
            button.copy type="button" hidden data-copy=(whole) aria-label={ "Copy " (whole.get(..8).unwrap_or("")) } { "copy" } }
    }
}

/// Parts per million as a percentage.
pub fn percent(ppm: u32) -> String {
    let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Millionths as a decimal number.
pub fn micro(value: u64) -> String {
    format!("{}.{:04}", value / 1_000_000, value % 1_000_000 / 100)
}

/// A span of time.
pub fn duration(ms: u64) -> String {
    match ms / 1000 {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7200 => format!("{} min", s / 60),
        s @ 7200..172_800 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}

/// A position, as a link to its event.
pub fn at(ask: &Ask, position: u64) -> Markup {
    html! { a.position href=(ask.link(&format!("/events/{position}"))) { "@" (position) } }
}

/// An actor, as a link to what it did.
pub fn actor(ask: &Ask, name: &str) -> Markup {
    html! { a href=(ask.link_with("/timeline", &[("actor", name)])) { (shown(name)) } }
}

/// Who signed an act, and where it stands.
pub fn signed(ask: &Ask, signer: Option<&Signer>) -> Markup {
    html! {
        @match signer {
            Some(signer) => { (actor(ask, &signer.actor)) " " (at(ask, signer.position)) }
            None => "—",
        }
    }
}

/// A verdict: a word with a shape, never colour alone.
pub fn verdict(verdict: pb::Verdict) -> Markup {
    let (class, shape) = match verdict {
        pb::Verdict::Accepted => ("good", "✓"),
        pb::Verdict::Refused => ("bad", "✗"),
        pb::Verdict::Duplicate => ("dim", "="),
        pb::Verdict::Garbage | pb::Verdict::Unspecified => ("dim", "?"),
    };
    html! { span class=(class) { (shape) " " (plain(verdict.as_str_name(), "VERDICT_")) } }
}

/// A yes or no as a word with a shape.
pub fn judged(ok: bool, yes: &str, no: &str) -> Markup {
    html! { @if ok { span.good { "✓ " (yes) } } @else { span.bad { "✗ " (no) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_inert_and_visible() {
        let page = shown("<script>alert(1)</script>\u{202e}evil\u{1b}[2J\nnext").into_string();
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"), "{page}");
        assert!(page.contains("U+202E") && page.contains("U+001B") && page.contains("\nnext"), "{page}");
        assert!(!page.contains('\u{202e}') && !page.contains('\u{1b}'));
        assert_eq!(shown("Zoë, 東京, שלום").into_string(), "Zoë, 東京, שלום");
    }

    #[test]
    fn findings_are_marked_by_code_points_and_overlaps_become_one() {
        let mark = |entity, start, end| Mark { start, end, entity, score_ppm: 900_000 };
        let page = marked("ë <a> zoe@x.org", &[mark("email", 6, 15), mark("url", 10, 40), mark("date", 99, 100)]);
        assert_eq!(
            page.into_string(),
            "ë &lt;a&gt; <mark title=\"found: email, url, 90 %\">zoe@x.org<sup>email, url</sup></mark>"
        );
        assert_eq!(marked("plain", &[]).into_string(), "plain");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!((percent(950_000), percent(912_345), percent(0)), ("95 %".into(), "91.2345 %".into(), "0 %".into()));
        assert_eq!(micro(1_234_567), "1.2345");
        assert_eq!((duration(90_000), duration(86_400_000 * 91)), ("90 s".into(), "91 days".into()));
    }
}
