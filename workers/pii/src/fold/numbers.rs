//! Numbers that are spelt out digit by digit, set with odd separators, or broken by the end of a line.

use super::Folded;

/// A gap is at most so many bytes.
const GAP_BYTES_MAX: usize = 4;
/// So many single digits in a row are a number that is spelt out.
const SPELT_DIGITS_MIN: usize = 7;
/// So many groups with the same odd gap are one number.
const ODD_GROUPS_MIN: usize = 3;

/// What the gaps of a chain of groups of digits mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chain {
    Plain,
    Spelt,
    Odd,
}

/// The forms in which such numbers are whole: none, or one, or, where a line ends inside a number, one with and one
/// without a space in its place.
pub(super) fn join(text: &str) -> Vec<Folded> {
    let (with_space, broken) = joined(text, " ");
    let mut forms: Vec<Folded> = with_space.into_iter().collect();
    if broken {
        forms.extend(joined(text, "").0);
    }
    forms
}

/// The text with its gaps put right, if there are any, and whether one of them was the end of a line.
fn joined(text: &str, for_break: &str) -> (Option<Folded>, bool) {
    let mut form = Folded::default();
    let (mut changed, mut broken) = (false, false);
    let mut copied = 0;
    let mut replace = |start: usize, end: usize, by: &str| {
        form.copy(&text[copied..start], copied);
        form.put(by, start, end - start);
        copied = end;
        changed = true;
    };
    let mut groups = Groups { text, at: 0 }.peekable();
    while let Some(first) = groups.next() {
        let mut chain = vec![first];
        while let Some(next) = groups.next_if(|next| is_gap(&text[chain[chain.len() - 1].1..next.0])) {
            chain.push(next);
        }
        let kind = kind(text, &chain);
        for pair in chain.windows(2) {
            let (start, end) = (pair[0].1, pair[1].0);
            let gap = &text[start..end];
            let breaks = gap.contains('\n');
            if kind == Chain::Spelt {
                replace(start, end, "");
            } else if breaks && in_prose(text, pair[0].0, pair[1].1, start, end) {
                broken = true;
                replace(start, end, if gap.contains('-') { "-" } else { for_break });
            } else if kind == Chain::Odd && !breaks {
                replace(start, end, odd(gap));
            }
        }
    }
    form.copy(&text[copied..], copied);
    (changed.then_some(form), broken)
}

fn kind(text: &str, chain: &[(usize, usize)]) -> Chain {
    let gap = |pair: &[(usize, usize)]| &text[pair[0].1..pair[1].0];
    let first = chain.get(..2).map(gap);
    let same = chain.windows(2).all(|pair| Some(gap(pair)) == first);
    let blank = chain.windows(2).all(|pair| gap(pair).bytes().all(|b| b == b' '));
    let single = chain.iter().all(|group| group.1 - group.0 == 1);
    match first {
        Some(_) if single && counts(text, chain) => Chain::Plain,
        Some(_) if single && chain.len() >= SPELT_DIGITS_MIN && (same || blank) => Chain::Spelt,
        Some(gap) if same && chain.len() >= ODD_GROUPS_MIN && (gap.len() > 1 || "_|*~".contains(gap)) => Chain::Odd,
        _ => Chain::Plain,
    }
}

/// Whether every digit is one more, or one less, than the last: a list, not a number.
fn counts(text: &str, chain: &[(usize, usize)]) -> bool {
    let digit = |group: &(usize, usize)| text.as_bytes()[group.0] - b'0';
    let by = |step: u8| chain.windows(2).all(|pair| digit(&pair[1]) == (digit(&pair[0]) + step) % 10);
    by(1) || by(9)
}

fn odd(gap: &str) -> &'static str {
    match () {
        () if gap.contains('-') => "-",
        () if gap.contains('.') => ".",
        () => " ",
    }
}

/// Whether one of the two lines says more than the number: in a column of numbers none does.
fn in_prose(text: &str, first: usize, last: usize, gap_start: usize, gap_end: usize) -> bool {
    const REACH: usize = 80;
    // A group of digits may be longer than the reach: then nothing beyond it is looked at.
    let before = &text[text.ceil_char_boundary(gap_start.saturating_sub(REACH)).min(first)..first];
    let after = &text[last..text.floor_char_boundary(gap_end.saturating_add(REACH)).max(last)];
    let line_before = before.rsplit('\n').next().unwrap_or_default();
    let line_after = after.split('\n').next().unwrap_or_default();
    [line_before, line_after].iter().any(|line| line.contains(char::is_alphabetic))
}

fn is_gap(gap: &str) -> bool {
    let belongs = |b: u8| b" \t\r\n-._|*~".contains(&b);
    (1..=GAP_BYTES_MAX).contains(&gap.len()) && gap.bytes().all(belongs)
}

/// The runs of ASCII digits of a text, in bytes.
struct Groups<'t> {
    text: &'t str,
    at: usize,
}

impl Iterator for Groups<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let bytes = self.text.as_bytes();
        let start = self.at + bytes[self.at..].iter().position(u8::is_ascii_digit)?;
        let length = bytes[start..].iter().position(|b| !b.is_ascii_digit());
        self.at = length.map_or(bytes.len(), |length| start + length);
        Some((start, self.at))
    }
}
