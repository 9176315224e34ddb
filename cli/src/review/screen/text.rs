//! A text as a terminal may show it: nothing in it moves the cursor, changes colours or turns letters round.

use unicode_normalization::char::is_combining_mark;
use unicode_width::UnicodeWidthChar as _;

/// Most marks that one letter may carry; more are shown by name.
const MARKS_MAX: usize = 3;
/// What a tab is shown as.
const TAB: &str = "    ";

/// One place of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The code point of the text that it shows; nothing for what was put in.
    pub at: Option<u32>,
    pub shown: String,
    /// Columns.
    pub width: usize,
    /// The text has something else here, which has no shape of its own.
    pub named: bool,
}

/// A text on one line as it may be printed.
pub fn inert(text: &str) -> String {
    cells(text, &|_| None).iter().map(|cell| cell.shown.as_str()).collect()
}

/// A text in lines of at most `width` columns, broken between words where that is possible. `note` puts something in
/// after a code point.
pub fn lines(text: &str, width: usize, note: &dyn Fn(u32) -> Option<String>) -> Vec<Vec<Cell>> {
    let (mut lines, mut line) = (Vec::new(), Vec::new());
    for cell in cells(text, note) {
        if cell.shown == "\n" {
            lines.push(std::mem::take(&mut line));
        } else if columns(&line) + cell.width <= width {
            line.push(cell);
        } else if cell.shown == " " {
            lines.push(std::mem::take(&mut line)); // the break stands for it
        } else {
            // The last word goes along, unless the line is all one word.
            let space = line.iter().rposition(|cell: &Cell| cell.shown == " ");
            let mut rest = space.map_or_else(Vec::new, |space| line.split_off(space + 1));
            rest.push(cell);
            lines.push(std::mem::replace(&mut line, rest));
        }
    }
    lines.push(line);
    lines
}

/// Columns of a line.
pub fn columns(line: &[Cell]) -> usize {
    line.iter().map(|cell| cell.width).sum()
}

fn cells(text: &str, note: &dyn Fn(u32) -> Option<String>) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    let mut marks = 0;
    for (at, char) in (0..).zip(text.chars()) {
        match cells.last_mut() {
            Some(letter) if is_combining_mark(char) && marks < MARKS_MAX && letter.shown != "\n" => {
                marks += 1;
                letter.shown.push(char);
            }
            _ => {
                marks = 0;
                let (shown, named) = shape(char);
                let width = if shown == "\n" { 0 } else { shown.chars().filter_map(|c| c.width()).sum() };
                cells.push(Cell { at: Some(at), shown, width, named });
            }
        }
        if let Some(shown) = note(at) {
            marks = MARKS_MAX;
            let width = shown.chars().filter_map(|c| c.width()).sum();
            cells.push(Cell { at: None, shown, width, named: false });
        }
    }
    cells
}

/// How a character is shown, and whether that is a name instead of a shape.
fn shape(char: char) -> (String, bool) {
    match char {
        '\n' => ("\n".into(), false),
        '\t' => (TAB.into(), false),
        // U+2400 and on: pictures of control characters.
        '\0'..='\u{1f}' => (char::from_u32(0x2400 + char as u32).unwrap_or('\u{fffd}').into(), true),
        '\u{7f}' => ("\u{2421}".into(), true),
        _ if is_shapeless(char) => (format!("<U+{:04X}>", char as u32), true),
        _ => (char.into(), false),
    }
}

/// Controls, what turns the direction of writing, joins, separates or tags, and all else that takes no column.
fn is_shapeless(char: char) -> bool {
    let named = matches!(
        char,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    );
    named || char.is_control() || char.width().is_none_or(|width| width == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, width: usize) -> Vec<String> {
        let lines = lines(text, width, &|_| None);
        lines.iter().map(|line| line.iter().map(|cell| cell.shown.as_str()).collect()).collect()
    }

    #[test]
    fn controls_escapes_and_marks_of_direction_are_shown_and_do_nothing() {
        assert_eq!(inert("\x1b[31mred\x07\x7f"), "␛[31mred␇␡");
        assert_eq!(inert("a\u{202e}b\u{2066}c\u{200b}d"), "a<U+202E>b<U+2066>c<U+200B>d");
        assert_eq!(inert("\u{9b}2J\u{feff}\u{ad}\u{e0041}"), "<U+009B>2J<U+FEFF><U+00AD><U+E0041>");
        assert_eq!(inert("tab\there\r"), "tab    here␍");
        let all: String = (0..0x11_0000).filter_map(char::from_u32).filter(|c| *c != '\n').collect();
        let shown = inert(&all);
        assert!(!shown.chars().any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)));
    }

    #[test]
    fn a_letter_carries_a_few_marks_and_no_tower() {
        assert_eq!(inert("e\u{301}"), "e\u{301}");
        let tower = format!("e{}", "\u{301}".repeat(5));
        assert_eq!(inert(&tower), "e\u{301}\u{301}\u{301}<U+0301>\u{301}");
        assert!(inert("\u{301}").starts_with("<U+"), "there is nothing to carry it");
    }

    #[test]
    fn lines_break_between_words_and_wide_letters_take_two_columns() {
        assert_eq!(shown("one two three", 8), ["one two ", "three"]);
        assert_eq!(shown("one two  three", 7), ["one two", " three"]);
        assert_eq!(shown("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(shown("日本語です", 4), ["日本", "語で", "す"]);
        assert_eq!(shown("a\n\nb", 4), ["a", "", "b"]);
    }

    #[test]
    fn each_place_knows_its_code_point_and_notes_stand_between() {
        let lines = lines("aäb\u{200b}c", 40, &|at| (at == 1).then(|| "¹".into()));
        let places: Vec<_> = lines[0].iter().map(|cell| (cell.at, cell.shown.as_str())).collect();
        let expected = [(Some(0), "a"), (Some(1), "ä"), (None, "¹"), (Some(2), "b"), (Some(3), "<U+200B>")];
        assert_eq!(places[..5], expected);
        assert_eq!(places[5], (Some(4), "c"));
    }
}
