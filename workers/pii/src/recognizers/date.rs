//! Dates in digits and with the names of months.

use super::{Candidate, Judgement, phone::Plan};
use crate::checksum;

/// Words that speak of a person's dates.
pub(super) const CONTEXT: &[&str] = &[
    "date", "birthday", "birth", "born", "dob", "died", "expires", "expiry", "issued", "geboren", "né", "née",
    "nacido", "nato", "nata",
];

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

/// Three numbers with one kind of separator: the year first or last, and then day and month in
/// either order.
pub(super) fn numeric(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    if !candidate.is_whole_number(&['-', '.', '/']) {
        return candidate.miss();
    }
    let text = candidate.str();
    let mut separators = text.chars().filter(|c| !c.is_ascii_digit());
    let separator = separators.next();
    if separators.next() != separator {
        return candidate.miss();
    }
    let parts: Vec<&str> = text.split(['-', '.', '/']).collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let values: Vec<u32> = parts.iter().map(|part| number(part)).collect();
    let either_order = |year| is_day(year, values[0], values[1]) || is_day(year, values[1], values[0]);
    let score_ppm = match lengths[..] {
        [4, _, 1..=2] if is_day(values[0], values[1], values[2]) => 600_000,
        [1..=2, _, 4] if either_order(values[2]) => 600_000,
        // Dotted short numbers are mostly versions.
        [2, 2, 2] if either_order(2000 + values[2]) => 400_000,
        [1..=2, _, 2] if separator != Some('.') && either_order(2000 + values[2]) => 400_000,
        _ => return candidate.miss(),
    };
    candidate.hit(score_ppm)
}

/// A month and a year, or a day and a month, with a slash. Mostly something else, so the score
/// needs context.
pub(super) fn partial(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let Some((first, second)) = candidate.str().split_once('/') else {
        return candidate.miss();
    };
    let (a, b) = (number(first), number(second));
    if !candidate.is_whole_number(&['-', '.', '/', ',']) {
        return candidate.miss();
    }
    match second.len() {
        4 if is_day(b, a, 1) => candidate.hit(200_000),
        1..=2 if is_day(2000, a, b) || is_day(2000, b, a) => candidate.hit(100_000),
        _ => candidate.miss(),
    }
}

/// A day, a month's name and a year, of which one number may be missing.
pub(super) fn named(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    // A full stop after a short name is the sentence's if nothing follows it.
    let text = candidate.str().trim_end_matches(['.', '-', ',', ' ']);
    let trimmed = Candidate { end: candidate.start + text.len(), ..*candidate };
    if !trimmed.is_whole_number(&['-', '.', '/']) {
        return candidate.miss();
    }
    let numbers: Vec<&str> = text.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()).collect();
    let is_any_day = |day: &str| (1..=31).contains(&number(day));
    let is_year = |year: &str| (1000..=2999).contains(&number(year));
    let is_name = text.chars().any(char::is_uppercase);
    match numbers[..] {
        [day, year] if is_any_day(day) && is_year(year) => trimmed.hit(800_000),
        [year] if year.len() == 4 && is_year(year) => trimmed.hit(500_000),
        [day] if is_any_day(day) => trimmed.hit(if is_name { 400_000 } else { 100_000 }),
        _ => candidate.miss(),
    }
}

/// A year after a word that leads to one. Years belong to everybody, so only a lowered threshold or context tells it.
pub(super) fn year(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let year = Candidate { start: candidate.end - 4, ..*candidate };
    let whole = year.is_whole_number(&['-', '.', '/', ',', ':']);
    if whole { year.hit(200_000) } else { Judgement::Miss { resume: candidate.end } }
}

/// The name of a day of the week, told as a year is.
pub(super) fn weekday(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    if candidate.stands_alone() { candidate.hit(200_000) } else { candidate.miss() }
}

/// The number that at most nine digits write.
fn number(digits: &str) -> u32 {
    digits.bytes().fold(0, |n, b| n * 10 + u32::from(b - b'0'))
}

/// Whether the Gregorian calendar has the day, in a year that people write about.
fn is_day(year: u32, month: u32, day: u32) -> bool {
    (1000..=2999).contains(&year) && checksum::is_day(year, month, day)
}

#[cfg(test)]
mod tests {
    use super::super::{check, score};
    use crate::Entity;

    #[test]
    fn dates_in_digits_are_found() {
        check(
            Entity::DATE,
            &[
                ("am 2024-02-29.", &["2024-02-29"]),
                ("2023-07-01T08:15:00.5+02:00 ok", &["2023-07-01T08:15:00.5+02:00"]),
                ("2023-07-01 08:15 ü", &["2023-07-01 08:15"]),
                ("2023/7/1", &["2023/7/1"]),
                ("31.12.1999", &["31.12.1999"]),
                ("12/31/1999", &["12/31/1999"]),
                ("3-4-21", &["3-4-21"]),
                ("03.04.21", &["03.04.21"]),
                ("11/2027", &["11/2027"]),
                ("on 5/21,", &["5/21"]),
            ],
        );
    }

    #[test]
    fn days_that_no_calendar_has_are_not() {
        check(
            Entity::DATE,
            &[
                ("2023-02-29", &[]),
                ("31.04.1999", &[]),
                ("13/13/1999", &[]),
                ("1.2.33", &[]),
                ("1-2/2020", &[]),
                ("1/2/3/2020", &[]),
                ("x2023-07-01", &[]),
                ("2023-07-011", &[]),
                ("99/99", &[]),
            ],
        );
    }

    #[test]
    fn names_of_months_are_found_in_several_languages() {
        check(
            Entity::DATE,
            &[
                ("on 5 May 2021.", &["5 May 2021"]),
                ("the 3rd of March, 1999", &["3rd of March, 1999"]),
                ("March 3rd, 1999", &["March 3rd, 1999"]),
                ("Sept. 2020", &["Sept. 2020"]),
                ("May-2021", &["May-2021"]),
                ("12. März 1980", &["12. März 1980"]),
                ("1 août 2019", &["1 août 2019"]),
                ("4 de julio de 2018", &["4 de julio de 2018"]),
                ("Dec 25", &["Dec 25"]),
                ("25 Dec.", &["25 Dec"]),
            ],
        );
    }

    #[test]
    fn words_that_hold_a_month_are_not_dates() {
        check(
            Entity::DATE,
            &[
                ("mayor 2021", &[]),
                ("32 May", &[]),
                ("Dismay 2021", &[]),
                ("5 marches", &[]),
                ("May 20212", &[]),
                ("maybe", &[]),
            ],
        );
    }

    #[test]
    fn years_and_days_of_the_week_need_context_or_a_low_threshold() {
        check(Entity::DATE, &[("founded in 1977.", &["1977"]), ("on Tuesday, Mittwoch", &["Tuesday", "Mittwoch"])]);
        check(Entity::DATE, &[("in 19771", &[]), ("room 1977", &[]), ("of 1977-1", &[]), ("Sundays", &[])]);
        assert_eq!(score(Entity::DATE, "founded in 1977"), 200_000);
        assert_eq!(score(Entity::DATE, "born in 1977"), 550_000);
        assert_eq!(score(Entity::DATE, "see you on Monday"), 200_000);
    }

    #[test]
    fn a_partial_date_needs_context() {
        assert_eq!(score(Entity::DATE, "about 5/21"), 100_000);
        assert_eq!(score(Entity::DATE, "birth: 5/21"), 450_000);
        assert_eq!(score(Entity::DATE, "we may 5"), 100_000);
        assert_eq!(score(Entity::DATE, "born 5 May 1980"), 1_000_000);
    }
}
