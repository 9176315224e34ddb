//! The screen as it looks: a pure function of what it holds. Colours are never alone: what is found is underlined and
//! numbered, what is hidden is reversed.

use super::hiding::{Hiding, words};
use super::state::{Decided, Item, Mode, Screen, reason_name, verdict_name};
use super::text::{Cell, inert, lines};
use crate::output;
use attestune_ledger::draft::plain;
use attestune_proto::v1::Finding;
use attestune_workers::example;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};

/// The least that all of it fits into.
const COLUMNS_MIN: u16 = 60;
const ROWS_MIN: u16 = 16;
/// Most findings that are listed at once.
const FINDINGS_MAX: usize = 6;

const READING: &str = "a approve  n not personal data  r reject  x redact  u undo  j/k move  s sign  q leave  ? help";
const HIDING: &str = "space/1-9 hide or show  a all  w/b word  m mark word  j/k move  Enter redact  Esc back";
const LEAVING: &str = "y sign and leave   d leave without signing   Esc go on";

const HELP: [&str; 17] = [
    "a        approve: it may stay as it is (what was found is invented)",
    "n        approve: what was found is no personal data",
    "r        reject: it enters no dataset",
    "x        redact: choose what is hidden, see what is left",
    "e        give the decision another reason",
    "u        take the last decision back",
    "j k      next, previous; also the arrows; g G first, last",
    "space b  on and back in a long text; also page down, page up",
    "s        sign what is decided, and go on",
    "q        leave; what is decided is signed if you say so",
    "Ctrl-L   draw the screen anew",
    "",
    "Redacting: space or a number hides or shows what was found, w and b go from",
    "word to word, m marks a word that no detector found, Enter decides.",
    "",
    "Nothing is on the record before you sign. What you have read is: opening",
    "an example was recorded, and for a while it is given to nobody else.",
];

/// How it is painted.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub colour: bool,
    /// What the asker's clock says.
    pub now_ms: u64,
}

impl Look {
    fn painted(self, colour: Color, modifiers: Modifier) -> Style {
        let style = Style::default().add_modifier(modifiers);
        if self.colour { style.fg(colour) } else { style }
    }
}

/// Draws the screen. Answers how many lines of the text are above what is shown: no more than there are.
pub fn draw(buffer: &mut Buffer, area: Rect, screen: &Screen, look: Look) -> usize {
    if area.width < COLUMNS_MIN || area.height < ROWS_MIN {
        let needed = format!("{COLUMNS_MIN} columns and {ROWS_MIN} rows are needed; q leaves");
        put(buffer, area, 0, &needed, Style::default());
        return screen.scroll;
    }
    let Some(item) = screen.item() else { return 0 };
    let found = item.spans.len().clamp(1, FINDINGS_MAX) as u16;
    let preview = if matches!(screen.mode, Mode::Hiding(_)) { Constraint::Fill(2) } else { Constraint::Length(0) };
    let rows =
        [Constraint::Length(2), Constraint::Fill(3), preview, Constraint::Length(found + 1), Constraint::Length(2)];
    let [head, text, preview, findings, foot] = Layout::vertical(rows).areas(area);
    heading(buffer, head, screen, item, look);
    footing(buffer, foot, screen);
    let hiding = match &screen.mode {
        Mode::Help => {
            let rest = Rect { height: findings.bottom() - text.y, ..text };
            HELP.iter().zip(0..).for_each(|(line, row)| put(buffer, rest, row, &format!(" {line}"), Style::default()));
            return screen.scroll;
        }
        Mode::Hiding(hiding) => Some(hiding),
        Mode::Reading | Mode::Leaving => None,
    };
    if let Some(hiding) = hiding {
        left_over(buffer, preview, item, hiding);
    }
    list(buffer, findings, item, hiding, look);
    body(buffer, text, screen, item, hiding, look)
}

fn heading(buffer: &mut Buffer, area: Rect, screen: &Screen, item: &Item, look: Look) {
    let decided = match screen.decided.len() {
        0 => String::new(),
        count => format!("   {count} decided, not signed"),
    };
    let place = format!(" {}   {} of {}{decided}", inert(&item.collection), screen.at + 1, screen.items.len());
    let width = usize::from(area.width);
    put(buffer, area, 0, &format!("{place:<width$}"), Style::default().add_modifier(Modifier::REVERSED));

    let at = item.at();
    let why = plain(item.why.as_str_name(), "REVIEW_WHY_");
    let waited = span(look.now_ms.saturating_sub(item.waiting_since_ms));
    let due = match item.due_ms {
        0 => String::new(),
        due_ms if item.overdue => format!("   late since {}", span(look.now_ms.saturating_sub(due_ms))),
        due_ms => format!("   due in {}", span(due_ms.saturating_sub(look.now_ms))),
    };
    let facts = format!(" {}/{}   {why}   waits {waited}{due}", at.batch, at.index);
    put(buffer, area, 1, &facts, Style::default());
    if let Some(decided) = screen.decided.get(&screen.at) {
        let said = format!("→ {}", saying(decided));
        let from = area.width.saturating_sub(said.chars().count() as u16 + 1);
        let style = look.painted(Color::Green, Modifier::BOLD);
        put(buffer, Rect { x: area.x + from, width: area.width - from, ..area }, 1, &said, style);
    }
}

fn saying(decided: &Decided) -> String {
    format!("{}: {}", verdict_name(decided.verdict), reason_name(decided.reason))
}

/// A length of time, roughly.
fn span(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m")];
    let unit = units.into_iter().find(|(unit, _)| ms >= *unit);
    unit.map_or_else(|| format!("{} s", ms / 1000), |(unit, name)| format!("{} {name}", ms / unit))
}

/// The text, with what was found in it and what is hidden of it.
fn body(buffer: &mut Buffer, area: Rect, screen: &Screen, item: &Item, hiding: Option<&Hiding>, look: Look) -> usize {
    let inside = Rect { x: area.x + 1, y: area.y + 1, width: area.width - 2, height: area.height.saturating_sub(1) };
    let note = |at: u32| {
        let ends = item.spans.iter().enumerate().filter(|(_, (_, finding))| finding.end == at + 1);
        let numbers: String = ends.map(|(number, _)| superscript(number + 1)).collect();
        (!numbers.is_empty()).then_some(numbers)
    };
    let all = lines(&item.scanned, usize::from(inside.width), &note);
    let height = usize::from(inside.height);
    let top = screen.scroll.min(all.len().saturating_sub(height));
    let word = hiding.and_then(|hiding| hiding.word).and_then(|word| words(&item.scanned).get(word).copied());
    // A word under the cursor is always in sight.
    let top = match word.and_then(|(start, _)| line_of(&all, start)) {
        Some(line) if line < top || line >= top + height => line.saturating_sub(height / 2),
        _ => top,
    };
    for (row, line) in all.iter().skip(top).take(height).enumerate() {
        let mut x = inside.x;
        for cell in line {
            let style = cell.at.map_or(look.painted(Color::Yellow, Modifier::empty()), |at| {
                style_at(at, cell, item, hiding, word, look)
            });
            let left = usize::from(inside.right().saturating_sub(x));
            buffer.set_stringn(x, inside.y + row as u16, &cell.shown, left, style);
            x += cell.width as u16;
        }
    }
    if all.len() > height {
        let seen = format!(" lines {}–{} of {} ", top + 1, (top + height).min(all.len()), all.len());
        let from = area.width.saturating_sub(seen.chars().count() as u16 + 1);
        put(buffer, Rect { x: area.x + from, width: area.width - from, ..area }, 0, &seen, Style::default());
    }
    top
}

fn line_of(all: &[Vec<Cell>], at: u32) -> Option<usize> {
    all.iter().position(|line| line.iter().any(|cell| cell.at == Some(at)))
}

fn style_at(at: u32, cell: &Cell, item: &Item, hiding: Option<&Hiding>, word: Option<(u32, u32)>, look: Look) -> Style {
    let within = |finding: &Finding| (finding.start..finding.end).contains(&at);
    let found = item.spans.iter().any(|(_, finding)| within(finding));
    let hidden = hiding.is_some_and(|hiding| {
        let chosen = hiding.chosen.iter().filter_map(|number| item.spans.get(*number));
        chosen.map(|(_, finding)| finding).chain(&hiding.own).any(within)
    });
    let style = match (found, hidden) {
        (_, true) => look.painted(Color::Red, Modifier::REVERSED),
        (true, false) => look.painted(Color::Yellow, Modifier::BOLD | Modifier::UNDERLINED),
        (false, false) if cell.named => Style::default().add_modifier(Modifier::DIM),
        (false, false) => Style::default(),
    };
    if word.is_some_and(|(start, end)| (start..end).contains(&at)) {
        return style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED | Modifier::REVERSED);
    }
    style
}

fn superscript(number: usize) -> String {
    let digits = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    number.to_string().bytes().filter_map(|digit| digits.get(usize::from(digit.wrapping_sub(b'0')))).collect()
}

/// What the redaction would leave.
fn left_over(buffer: &mut Buffer, area: Rect, item: &Item, hiding: &Hiding) {
    rule(buffer, area, "what is left");
    let hidden = super::super::ascending(hiding.hidden(item));
    let left = example::scan_text(&example::redact(&item.text, &hidden));
    let inside = Rect { x: area.x + 1, y: area.y + 1, width: area.width - 2, height: area.height.saturating_sub(1) };
    let shown = lines(&left, usize::from(inside.width), &|_| None);
    for (row, line) in shown.iter().take(usize::from(inside.height)).enumerate() {
        let line: String = line.iter().map(|cell| cell.shown.as_str()).collect();
        put(buffer, inside, row as u16, &line, Style::default());
    }
}

/// What was found, by number.
fn list(buffer: &mut Buffer, area: Rect, item: &Item, hiding: Option<&Hiding>, look: Look) {
    rule(buffer, area, &format!("found {}", item.spans.len()));
    if item.spans.is_empty() {
        put(buffer, area, 1, " nothing", Style::default());
        return;
    }
    let cursor = hiding.map_or(0, |hiding| hiding.row);
    let first = (cursor + 1).saturating_sub(FINDINGS_MAX);
    let chars: Vec<char> = item.scanned.chars().collect();
    for (row, number) in (first..item.spans.len()).take(FINDINGS_MAX).enumerate() {
        let (detector, finding) = &item.spans[number];
        let box_ = match hiding {
            None => String::new(),
            Some(hiding) => {
                let mark = if hiding.chosen.contains(&number) { "hide" } else { "show" };
                format!("{}[{mark}] ", if cursor == number { "▸" } else { " " })
            }
        };
        let text = chars.get(finding.start as usize..finding.end as usize).unwrap_or_default();
        let text = inert(&text.iter().collect::<String>());
        let line = format!(
            " {box_}{} {} {}{}  {}  {text}",
            superscript(number + 1),
            inert(&finding.entity),
            output::percent(finding.score_ppm),
            if item.noted.contains(&number) { " noted" } else { "" },
            inert(detector),
        );
        let here = hiding.is_some() && cursor == number;
        let style = if here { look.painted(Color::Yellow, Modifier::BOLD) } else { Style::default() };
        put(buffer, area, row as u16 + 1, &line, style);
    }
}

fn footing(buffer: &mut Buffer, area: Rect, screen: &Screen) {
    let (message, keys) = match screen.mode {
        Mode::Reading => (screen.message.as_str(), READING),
        Mode::Hiding(_) => (screen.message.as_str(), HIDING),
        Mode::Help => ("", "any key goes back"),
        Mode::Leaving => ("what you decided is not signed yet", LEAVING),
    };
    put(buffer, area, 0, &format!(" {}", inert(message)), Style::default().add_modifier(Modifier::BOLD));
    put(buffer, area, 1, &format!(" {keys}"), Style::default());
}

/// A line across with a word in it.
fn rule(buffer: &mut Buffer, area: Rect, word: &str) {
    let width = usize::from(area.width);
    let line = format!("── {word} {}", "─".repeat(width));
    put(buffer, area, 0, &line, Style::default().add_modifier(Modifier::DIM));
}

/// A line of an area, cut at its edge.
fn put(buffer: &mut Buffer, area: Rect, row: u16, text: &str, style: Style) {
    if row < area.height {
        buffer.set_stringn(area.x, area.y + row, text, usize::from(area.width), style);
    }
}
