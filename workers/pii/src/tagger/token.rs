//! Words, numbers and marks, with what stands before them.

/// What stands between a token and the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// Nothing: this is the text's first token.
    Start,
    /// No space.
    Joined,
    /// Spaces within a line.
    Space,
    /// A line's end.
    Line,
}

/// A token: its text, its first byte and what stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'t> {
    /// The characters.
    pub text: &'t str,
    /// The first byte in the whole text.
    pub start: usize,
    /// What stands before.
    pub gap: Gap,
    /// Whether the token before ends a sentence.
    pub after_stop: bool,
}

impl Token<'_> {
    /// The byte after the last.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether a sentence or line begins with this token.
    pub fn starts_sentence(&self) -> bool {
        self.after_stop || matches!(self.gap, Gap::Start | Gap::Line)
    }
}

/// The tokens of a text, in order. Runs of letters and digits are one token each, and so is an
/// e-mail or web address; an apostrophe belongs to its word (`O'Brien`) except where an ending is
/// set off by it (`Anna`, `'s`); every other mark stands alone.
pub fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let (mut at, mut gap, mut after_stop, mut chunk_end) = (0, Gap::Start, false, 0);
    std::iter::from_fn(move || {
        while let Some(space) = text[at..].chars().next().filter(|c| c.is_whitespace()) {
            let line = matches!(space, '\n' | '\r' | '\u{2028}' | '\u{2029}');
            gap = match gap {
                Gap::Start | Gap::Line => gap,
                Gap::Joined | Gap::Space if line => Gap::Line,
                Gap::Joined | Gap::Space => Gap::Space,
            };
            at += space.len_utf8();
        }
        let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
        // An address is looked for once in a chunk without spaces, so that time stays linear.
        let address = if at >= chunk_end && rest.starts_with(char::is_alphanumeric) {
            let chunk = &rest[..rest.find(char::is_whitespace).unwrap_or(rest.len())];
            chunk_end = at + chunk.len();
            address_length(chunk)
        } else {
            0
        };
        let length = if address > 0 { address } else { word_length(rest) };
        let token = Token { text: &rest[..length], start: at, gap, after_stop };
        after_stop = matches!(token.text, "." | "!" | "?" | "。");
        at += length;
        gap = Gap::Joined;
        Some(token)
    })
}

fn address_length(chunk: &str) -> usize {
    let is_address = chunk.contains('@') && chunk.contains('.') || chunk.contains("://") || chunk.starts_with("www.");
    let chunk = if is_address { chunk } else { "" };
    chunk.trim_end_matches(|c: char| c.is_ascii_punctuation() && c != '/').len()
}

fn word_length(rest: &str) -> usize {
    let mut characters = rest.char_indices();
    let Some((_, first)) = characters.next() else { return 0 };
    if !in_word(first) {
        return first.len_utf8();
    }
    if is_apostrophe(first) {
        return ending_length(rest).unwrap_or(first.len_utf8());
    }
    for (at, c) in characters {
        if is_apostrophe(c) {
            let goes_on = rest[at + c.len_utf8()..].chars().next().is_some_and(char::is_alphabetic);
            if !goes_on || ending_length(&rest[at..]).is_some() {
                return at;
            }
        } else if !in_word(c) {
            return at;
        }
    }
    rest.len()
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || is_mark(c) || is_apostrophe(c)
}

/// Combining marks and joiners: part of the letter before.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{200c}' | '\u{200d}' | '\u{5b0}'..='\u{5c7}' | '\u{64b}'..='\u{65f}'
        | '\u{93a}'..='\u{94f}' | '\u{981}'..='\u{983}' | '\u{9bc}'..='\u{9cd}' | '\u{b82}'..='\u{bcd}' | '\u{e31}'..='\u{e4e}')
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}')
}

/// The length of `'s`, `'ll` and their like, where one stands first and ends the word.
fn ending_length(rest: &str) -> Option<usize> {
    let mark = rest.chars().next().filter(|&c| is_apostrophe(c))?.len_utf8();
    let found = ["s", "S", "ll", "re", "ve", "d", "m", "t"].into_iter().find(|ending| rest[mark..].starts_with(ending));
    let length = mark + found?.len();
    let ends = !rest[length..].chars().next().is_some_and(char::is_alphanumeric);
    ends.then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        tokens(text).map(|token| token.text).collect()
    }

    #[test]
    fn words_numbers_and_marks_stand_apart() {
        assert_eq!(cut("Mr. Müller-Lang, b. 1970"), ["Mr", ".", "Müller", "-", "Lang", ",", "b", ".", "1970"]);
        assert_eq!(cut("O'Brien's and d\u{2019}Arc"), ["O'Brien", "'s", "and", "d\u{2019}Arc"]);
        assert_eq!(cut("'tis don't dogs'"), ["'", "tis", "don", "'t", "dogs", "'"]);
        assert_eq!(
            cut("mail a.b@c.org, or see https://x.org/y)."),
            ["mail", "a.b@c.org", ",", "or", "see", "https://x.org/y", ")", "."]
        );
        assert_eq!(cut(" \n "), [""; 0]);
        assert_eq!(cut("''''"), ["'", "'", "'", "'"]);
    }

    #[test]
    fn a_token_knows_what_stands_before_it() {
        let gaps: Vec<Gap> = tokens("a b,\n c").map(|token| token.gap).collect();
        assert_eq!(gaps, [Gap::Start, Gap::Space, Gap::Joined, Gap::Line]);
        let starts: Vec<bool> = tokens("Go. Now\nthen").map(|token| token.starts_sentence()).collect();
        assert_eq!(starts, [true, false, true, true]);
    }
}
