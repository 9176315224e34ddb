//! Dates in digits and with the names of months, their parts, and times of day. What is told by its distance from
//! another day (yesterday, two weeks ago) is none.

mod pattern;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use regex::Regex;

use super::{Candidate, Judgement, char_after, char_before, phone::Plan};
use crate::checksum;

pub(super) use pattern::{
    DAY_MONTH, ISO, ISO_OTHER, MONTH, MONTH_DAY, NUMERIC, ORDINAL, PARTIAL, SIGNS, TIME, WEEKDAY, YEAR, YEAR_ALONE,
};

/// Words that speak of a person's dates.
pub(super) const CONTEXT: &[&str] = &[
    "date",
    "birthday",
    "birthdate",
    "birth",
    "born",
    "dob",
    "died",
    "expires",
    "expiry",
    "issued",
    "geboren",
    "geburtsdatum",
    "geburtstag",
    "datum",
    "né",
    "née",
    "naissance",
    "nacido",
    "nacimiento",
    "fecha",
    "nato",
    "nata",
    "nascita",
    "nascimento",
    "geboortedatum",
    "urodzenia",
    "född",
    "födelsedatum",
    "syntymäaika",
    "doğum",
    "생년월일",
    "วันเกิด",
];

/// Words that make a number of four digits a year.
pub(super) const BORN: &[&str] =
    &["born", "birthyear", "geboren", "jahrgang", "né", "née", "nacido", "nacida", "nato", "nata", "född"];

/// How far to the left a day of the week is looked for.
const WEEKDAY_BYTES: usize = 40;
/// How far to the right a time is read.
const TIME_BYTES: usize = 64;
/// Names of months, in lower case, that are words of their own; those of fewer than five letters of ASCII count as such.
const ALSO_WORDS: [&str; 2] = ["march", "marca"];
/// How English ordinals end, and no month.
const ORDINAL_ENDS: [&str; 5] = ["th", "first", "second", "third", "ty"];

/// A calendar date of ISO 8601 with an optional time of RFC 3339.
pub(super) fn iso(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let text = candidate.str();
    if is_day(number(&text[..4]), number(&text[5..7]), number(&text[8..10])) {
        if candidate.is_whole_number(&['-', '.']) {
            return candidate.hit(800_000);
        }
        // What follows may be no time: the date alone can still stand.
        let date = Candidate { end: candidate.start + 10, ..*candidate };
        if date.is_whole_number(&['-', '.', ':']) {
            return date.hit(800_000);
        }
    }
    candidate.miss()
}

/// The forms of ISO 8601 beside that: what looks like any number needs context.
pub(super) fn iso_other(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let text = candidate.str();
    let (year, rest) = (number(&text[..4]), &text[4..]);
    if !candidate.is_whole_number(&['-', '.', '/', ':', ',']) {
        return candidate.miss();
    }
    let score_ppm = match rest.as_bytes() {
        [b'-', b'W', tens, ones, ..] if (1..=53).contains(&two(*tens, *ones)) => 600_000,
        [b':', ..] if is_day(year, number(&rest[1..3]), number(&rest[4..6])) => 600_000,
        [b'-', a, b] if (1..=12).contains(&two(*a, *b)) => 150_000,
        [b'-', _, _, _] if (1..=366).contains(&number(&rest[1..])) => 50_000,
        [a, b, c, d, after @ ..] if a.is_ascii_digit() && is_day(year, two(*a, *b), two(*c, *d)) => {
            if after.is_empty() { 50_000 } else { 800_000 }
        }
        _ => return candidate.miss(),
    };
    candidate.hit(score_ppm)
}

/// Three numbers with one kind of separator: the year first or last, and then day and month in
/// either order.
pub(super) fn numeric(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    if !candidate.is_whole_number(&['-', '.', '/']) {
        return candidate.miss();
    }
    let text = candidate.str();
    let mut separators = text.chars().filter(|c| !c.is_ascii_digit() && *c != ' ');
    let separator = separators.next();
    if separators.next() != separator {
        return candidate.miss();
    }
    let parts: Vec<&str> = text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let values: Vec<u32> = parts.iter().map(|part| number(part)).collect();
    let either_order = |year| is_day(year, values[0], values[1]) || is_day(year, values[1], values[0]);
    let tight = !text.contains(' ');
    let score_ppm = match lengths[..] {
        [4, _, 1..=2] if is_day(values[0], values[1], values[2]) => 600_000,
        [1..=2, _, 4] if either_order(values[2]) => 600_000,
        // Dotted short numbers are mostly versions.
        [2, 2, 2] if tight && either_order(2000 + values[2]) => 400_000,
        [1..=2, _, 2] if tight && separator != Some('.') && either_order(2000 + values[2]) => 400_000,
        _ => return candidate.miss(),
    };
    whole(candidate, score_ppm)
}

/// A month and a year, or a day and a month. Mostly something else, so the score needs context.
pub(super) fn partial(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let text = candidate.str();
    let Some((first, second)) = text.split_once(['/', '.', '-']) else {
        return candidate.miss();
    };
    let (a, b) = (number(first), number(second));
    if !candidate.is_whole_number(&['-', '.', '/', ',']) {
        return candidate.miss();
    }
    match second.len() {
        4 if is_day(b, a, 1) => candidate.hit(if text.contains('/') { 200_000 } else { 50_000 }),
        1..=2 if is_day(2000, a, b) || is_day(2000, b, a) => candidate.hit(100_000),
        _ => candidate.miss(),
    }
}

/// A day, a month's name and a year, of which one number may be missing.
pub(super) fn named(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    // A full stop after a short name is the sentence's if nothing follows it.
    let text = candidate.str().trim_end_matches(['.', '-', ',', ' ', '/']);
    let trimmed = Candidate { end: candidate.start + text.len(), ..*candidate };
    if !trimmed.is_whole_number(&['-', '.', '/']) {
        return candidate.miss();
    }
    let numbers: Vec<&str> = text.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()).collect();
    let is_any_day = |day: &str| day.len() <= 2 && (1..=31).contains(&number(day));
    let is_year = |year: &str| (1000..=2999).contains(&number(year));
    match numbers[..] {
        [day, year] if is_any_day(day) && is_year(year) => whole(&trimmed, 800_000),
        [day, year] if is_any_day(day) && year.len() == 2 => whole(&trimmed, 600_000),
        [year] if year.len() == 4 && is_year(year) => trimmed.hit(500_000),
        [year] if text.contains(['\'', '’']) && year.len() == 2 => trimmed.hit(500_000),
        [day] if is_any_day(day) => trimmed.hit(if is_name(text) { 400_000 } else { 100_000 }),
        _ => candidate.miss(),
    }
}

/// A day in words. `may first` is a date only where the month is capital.
pub(super) fn ordinal(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let text = candidate.str();
    let has_year = text.contains(|c: char| c.is_ascii_digit());
    let capital =
        |word: &str| word.starts_with(char::is_uppercase) && !ORDINAL_ENDS.iter().any(|end| word.ends_with(end));
    match candidate.is_whole_number(&['-', '.', '/', ',']) {
        true if has_year => whole(candidate, 800_000),
        true => candidate.hit(if text.split([' ', '-']).any(capital) { 400_000 } else { 100_000 }),
        false => candidate.miss(),
    }
}

/// Numbers with the signs of Chinese characters or Hangul.
pub(super) fn signs(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    if char_before(candidate.text, candidate.start).is_some_and(|c| c.is_numeric()) {
        return candidate.miss();
    }
    let numbers = candidate.str().split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).map(number);
    let score_ppm = match numbers.collect::<Vec<_>>()[..] {
        [year, month, day] if is_day(year, month, day) => 800_000,
        [year, month] if is_day(year, month, 1) => 500_000,
        [month, day] if is_day(2000, month, day) => 400_000,
        [year] if (1800..2100).contains(&year) => 200_000,
        _ => return candidate.miss(),
    };
    whole(candidate, score_ppm)
}

/// A month after a word that leads to one.
pub(super) fn month(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let text = candidate.str();
    let name = text.rfind([' ', '-']).map_or(text, |at| &text[at + 1..]);
    let month = Candidate { start: candidate.end - name.len(), ..*candidate };
    if month.stands_alone() && is_name(name) {
        return month.hit(150_000);
    }
    Judgement::Miss { resume: month.start }
}

/// A year after a word that leads to one. Years belong to everybody, so only a lowered threshold or context tells it.
pub(super) fn year(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let year = Candidate { start: candidate.end - 4, ..*candidate };
    let whole = year.is_whole_number(&['-', '.', '/', ',', ':']);
    if whole { year.hit(200_000) } else { Judgement::Miss { resume: candidate.end } }
}

/// Four digits that may be a year.
pub(super) fn year_alone(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let text = candidate.str();
    let (before, after) = (char_before(candidate.text, candidate.start), char_after(candidate.text, candidate.end));
    let framed = (before, after) == (Some('('), Some(')'));
    if framed || text.len() > 4 && candidate.is_whole_number(&['-', '.', '/', ',', ':']) {
        return candidate.hit(100_000);
    }
    // Beside these it is an amount or a part of a number or name.
    let signs = ['$', '€', '£', '¥', '#', '%', '°', '@', '_', '=', '-'];
    let beside = |c: Option<char>| c.is_some_and(|c| signs.contains(&c));
    let whole = candidate.is_whole_number(&['.', '/', ',', ':', ' ']);
    if whole && !beside(before) && !beside(after) { candidate.hit(50_000) } else { candidate.miss() }
}

/// A time of day. With no day it is nobody's, so only a lowered threshold tells it.
pub(super) fn time(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let text = candidate.str();
    let hour = text.split(|c: char| !c.is_ascii_digit()).next().map_or(99, number);
    let clean = candidate.is_whole_number(&[':', '.', '-', '/', ',']);
    let marked = text.chars().any(|c| c.is_alphabetic() && c != 'h');
    let score_ppm = match text.bytes().filter(|b| *b == b':').count() {
        _ if !clean || hour > 24 => return candidate.miss(),
        _ if marked => 150_000,
        2 => 150_000,
        1 => 50_000,
        _ if text.contains('h') => 50_000,
        // Two numbers with a full stop.
        _ => return candidate.miss(),
    };
    candidate.hit(score_ppm)
}

/// The name of a day of the week, told as a year is.
pub(super) fn weekday(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    if candidate.stands_alone() { candidate.hit(200_000) } else { candidate.miss() }
}

/// A date with the day of the week before it and the time after it.
fn whole(date: &Candidate<'_>, score_ppm: u32) -> Judgement {
    static BEFORE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(pattern::WEEKDAY_BEFORE).ok());
    static AFTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(pattern::TIME_AFTER).ok());
    let from = date.text.ceil_char_boundary(date.floor.max(date.start.saturating_sub(WEEKDAY_BYTES)));
    let day = BEFORE.as_ref().and_then(|regex| regex.find(&date.text[from..date.start]));
    let to = date.text.floor_char_boundary(date.text.len().min(date.end + TIME_BYTES));
    let time = AFTER.as_ref().and_then(|regex| regex.find(&date.text[date.end..to]));
    let start = day.map_or(date.start, |day| from + day.start());
    let end = time.map_or(date.end, |time| date.end + time.end());
    let with_both = Candidate { start, end, ..*date };
    if with_both.is_whole_number(&['-', '.', '/', ':']) { with_both.hit(score_ppm) } else { date.hit(score_ppm) }
}

/// Whether letters are a month's name rather than another word: they are capital, or no other word looks like it.
fn is_name(text: &str) -> bool {
    let letters = text.split(|c: char| !c.is_alphabetic()).max_by_key(|word| word.len()).unwrap_or_default();
    let rare = !letters.is_ascii() || letters.len() >= 5 && !ALSO_WORDS.contains(&letters);
    rare || letters.chars().any(char::is_uppercase)
}

/// The number that at most nine digits write.
fn number(digits: &str) -> u32 {
    digits.bytes().fold(0, |n, b| n * 10 + u32::from(b - b'0'))
}

/// The number that two digits write; none of it if they are something else.
fn two(tens: u8, ones: u8) -> u32 {
    let digit = |byte: u8| char::from(byte).to_digit(10).unwrap_or(99);
    digit(tens) * 10 + digit(ones)
}

/// Whether the Gregorian calendar has the day, in a year that people write about.
fn is_day(year: u32, month: u32, day: u32) -> bool {
    (1000..=2999).contains(&year) && checksum::is_day(year, month, day)
}
