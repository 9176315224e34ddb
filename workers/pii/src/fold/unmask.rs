//! Characters that are not what they look like, and characters written as something else.

use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;

use super::Folded;

/// `&CounterClockwiseContourIntegral;` is the longest name; of those, only marks of addresses and numbers are read.
const REFERENCE_BYTES_MAX: usize = 12;
const NAMED: [(&str, char); 17] = [
    ("amp", '&'),
    ("colon", ':'),
    ("comma", ','),
    ("commat", '@'),
    ("dash", '-'),
    ("hyphen", '-'),
    ("lowbar", '_'),
    ("lpar", '('),
    ("nbsp", ' '),
    ("num", '#'),
    ("percnt", '%'),
    ("period", '.'),
    ("plus", '+'),
    ("quot", '"'),
    ("rpar", ')'),
    ("sol", '/'),
    ("shy", '\u{ad}'),
];

/// How far a word is looked at for Latin letters beside look-alikes.
const WORD_BYTES_MAX: usize = 64;
/// Cyrillic and Greek letters and the Latin ones that they look like (Unicode TS 39, confusables).
const LOOK_ALIKES: (&str, &str) = (
    "АВЕЅІЈКМНОРСТУХҮԌԚԜаеѕіјорсухһԁԛԝʏɡΑΒΕΖΗΙΚΜΝΟΡΤΥΧανορυχΙ",
    "ABESIJKMHOPCTYXYGQWaesijopcyxhdqwygABEZHIKMNOPTYXavopuxI",
);

/// The decimal digits of every script, as ranges that each begin with a zero.
static DIGITS: LazyLock<Vec<(char, char)>> = LazyLock::new(|| {
    use regex_syntax::hir::{Class, HirKind};
    match regex_syntax::parse(r"\d").map(regex_syntax::hir::Hir::into_kind) {
        Ok(HirKind::Class(Class::Unicode(class))) => class.ranges().iter().map(|r| (r.start(), r.end())).collect(),
        _ => Vec::new(),
    }
});

/// The text without zero-width characters, look-alikes, compatibility forms, HTML references, percent encoding and
/// spelt-out marks of mail addresses; nothing if it has none.
pub(super) fn unmask(text: &str) -> Option<Folded> {
    if text.is_ascii() && !text.bytes().any(|b| matches!(b, b'&' | b'%' | b'[' | b'(' | b'{')) {
        return None;
    }
    let mut form = Folded::default();
    let mut changed = false;
    let (mut at, mut copied) = (0, 0);
    while let Some(c) = text[at..].chars().next() {
        let Some((piece, length)) = read(text, at, c) else {
            at += c.len_utf8();
            continue;
        };
        form.copy(&text[copied..at], copied);
        match piece {
            Piece::Nothing => {}
            Piece::Char(c) => form.put(c.encode_utf8(&mut [0; 4]), at, length),
            Piece::Text(piece) => form.put(&piece, at, length),
        }
        changed = true;
        at += length;
        copied = at;
    }
    form.copy(&text[copied..], copied);
    changed.then_some(form)
}

enum Piece {
    Nothing,
    Char(char),
    Text(String),
}

/// What stands at this byte in truth, and how many bytes write it; nothing if it is what it looks like.
fn read(text: &str, at: usize, c: char) -> Option<(Piece, usize)> {
    match c {
        '&' => reference(&text[at..]).map(|(c, length)| (Piece::Char(c), length)),
        '%' => percent(&text.as_bytes()[at..]).map(|(c, length)| (Piece::Char(c), length)),
        ' ' | '[' | '(' | '{' => spelt_mark(&text[at..]).map(|(c, length)| (Piece::Char(c), length)),
        _ if c.is_ascii() => None,
        _ => plain(text, at, c).map(|piece| (piece, c.len_utf8())),
    }
}

fn plain(text: &str, at: usize, c: char) -> Option<Piece> {
    if is_invisible(c) {
        return Some(Piece::Nothing);
    }
    match c {
        '\u{2028}' | '\u{2029}' | '\u{85}' => return Some(Piece::Char('\n')),
        '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' => {
            return is_beside(text, at, c, char::is_numeric).then_some(Piece::Char('-'));
        }
        '\u{b7}' | '\u{2022}' | '\u{2027}' | '\u{2219}' | '\u{3002}' | '\u{ff61}' => {
            return is_beside(text, at, c, |c| c.is_ascii_alphanumeric() || c.is_numeric()).then_some(Piece::Char('.'));
        }
        // Kept, though it has a plain form: three full stops say something else.
        '\u{2026}' => return None,
        _ if c.is_whitespace() => return is_beside(text, at, c, char::is_numeric).then_some(Piece::Char(' ')),
        _ => {}
    }
    if c.is_numeric()
        && let Some((zero, _)) = DIGITS.iter().find(|(first, last)| (*first..=*last).contains(&c))
    {
        return char::from_digit((c as u32 - *zero as u32) % 10, 10).map(Piece::Char);
    }
    if let Some(place) = LOOK_ALIKES.0.chars().position(|alike| alike == c) {
        return LOOK_ALIKES.1.chars().nth(place).filter(|_| stands_among_latin(text, at)).map(Piece::Char);
    }
    let plain: String = c.nfkc().collect();
    plain.is_ascii().then_some(Piece::Text(plain))
}

/// Whether a mark could be part of a number or an address: in prose it is only a mark.
fn is_beside(text: &str, at: usize, mark: char, belongs: impl Fn(char) -> bool) -> bool {
    let before = text[..at].chars().next_back();
    let after = text[at + mark.len_utf8()..].chars().next();
    before.is_some_and(&belongs) || after.is_some_and(belongs)
}

/// Characters that no one sees: joiners, marks of direction, fillers, selectors of variants.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether the word or address around has an ASCII letter or digit, so that a look-alike is no letter of its script.
fn stands_among_latin(text: &str, at: usize) -> bool {
    let belongs = |c: &char| c.is_alphanumeric() || "@._-+".contains(*c);
    let before = &text[text.ceil_char_boundary(at.saturating_sub(WORD_BYTES_MAX))..at];
    let after = &text[at..text.floor_char_boundary(at.saturating_add(WORD_BYTES_MAX))];
    let around = before.chars().rev().take_while(belongs).chain(after.chars().take_while(belongs));
    around.into_iter().any(|c| c.is_ascii_alphanumeric())
}

/// HTML: `&#64;`, `&#x40;`, `&commat;`.
fn reference(text: &str) -> Option<(char, usize)> {
    let reach = &text.as_bytes()[1..text.len().min(REFERENCE_BYTES_MAX)];
    let length = reach.iter().position(|&b| b == b';')?;
    let name = text.get(1..=length)?;
    let decimal = || name.strip_prefix('#').and_then(|digits| digits.parse().ok());
    let hex = || name.strip_prefix("#x").or(name.strip_prefix("#X")).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let named = || NAMED.iter().find(|(known, _)| *known == name).map(|(_, c)| *c);
    let c = decimal().or_else(hex).map_or_else(named, char::from_u32)?;
    Some((c, length + 2))
}

/// RFC 3986, section 2.1: a character of UTF-8 as `%` and two hexadecimal digits for each byte.
fn percent(bytes: &[u8]) -> Option<(char, usize)> {
    let byte = |n: usize| -> Option<u8> {
        let [b'%', high, low] = bytes.get(3 * n..3 * n + 3)? else {
            return None;
        };
        let digit = |b: &u8| char::from(*b).to_digit(16);
        u8::try_from(digit(high)? * 16 + digit(low)?).ok()
    };
    let first = byte(0)?;
    let length = match first {
        0..=0x7f => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let bytes: Option<Vec<u8>> = (0..length).map(byte).collect();
    let c = std::str::from_utf8(&bytes?).ok()?.chars().next()?;
    Some((c, 3 * length))
}

/// ` [at] `, `(dot)`: a mark spelt out in brackets, with a space on each side or none.
fn spelt_mark(text: &str) -> Option<(char, usize)> {
    let opened = text.strip_prefix(' ').unwrap_or(text);
    let close = match opened.chars().next()? {
        '[' => ']',
        '(' => ')',
        '{' => '}',
        _ => return None,
    };
    let word_at = text.len() - opened.len() + 1;
    let reach = &text[word_at..text.floor_char_boundary((word_at + 6).min(text.len()))];
    let length = reach.find(close)?;
    let c = match &reach[..length] {
        word if word.trim().eq_ignore_ascii_case("at") => '@',
        word if word.trim().eq_ignore_ascii_case("dot") => '.',
        _ => return None,
    };
    let end = word_at + length + 1;
    Some((c, end + usize::from(text[end..].starts_with(' '))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_of_digits_begins_with_a_zero_and_every_look_alike_has_its_letter() {
        assert!(DIGITS.len() > 60);
        assert!(DIGITS.iter().all(|(first, last)| (*last as u32 - *first as u32 + 1).is_multiple_of(10)));
        assert_eq!(LOOK_ALIKES.0.chars().count(), LOOK_ALIKES.1.chars().count());
        assert!(!LOOK_ALIKES.0.is_ascii() && LOOK_ALIKES.1.is_ascii());
    }

    #[test]
    fn what_is_cut_off_or_no_character_is_left_alone() {
        for text in ["&#", "&#64", "&#xD800;", "&;", "%", "%4", "%zz", "%ff", "%C3", "[at", "(dat)"] {
            assert!(unmask(text).is_none(), "{text}");
        }
    }
}
