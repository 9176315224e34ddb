//! Social security numbers of the United States.

use super::{Candidate, Judgement, phone::Plan};

/// Numbers that were printed in advertisements and are nobody's (ssa.gov, history of the number).
const PRINTED: [&str; 2] = ["078051120", "219099999"];

/// By the allocation rules that the Social Security Administration publishes: area not 000, 666
/// or from 900 on; group not 00; serial not 0000. There is no check digit, so only the usual
/// layout gives a score that stands without context.
pub(super) fn number(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let text = candidate.str();
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let separators: Vec<char> = text.chars().filter(|c| !c.is_ascii_digit()).collect();
    let (area, group, serial) = (&digits[..3], &digits[3..5], &digits[5..]);
    let never_issued = area == "000" || area == "666" || area.starts_with('9');
    if !candidate.is_whole_number(&['-', '.'])
        || never_issued
        || group == "00"
        || serial == "0000"
        || PRINTED.contains(&digits.as_str())
    {
        return candidate.miss();
    }
    match separators[..] {
        [first, second] if first != second => candidate.miss(),
        ['-', '-'] => candidate.hit(600_000),
        [_, _] => candidate.hit(500_000),
        _ => candidate.hit(50_000),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check, score};
    use crate::Entity;

    #[test]
    fn numbers_that_could_be_issued_are_found() {
        check(
            Entity::US_SSN,
            &[
                ("is 536-22-8726.", &["536-22-8726"]),
                ("536 22 8726", &["536 22 8726"]),
                ("ß536.22.8726", &[]),
                ("“536.22.8726”", &["536.22.8726"]),
                ("536228726", &["536228726"]),
                ("53622-8726", &["53622-8726"]),
            ],
        );
    }

    #[test]
    fn numbers_that_are_never_issued_are_not() {
        check(
            Entity::US_SSN,
            &[
                ("000-22-8726", &[]),
                ("666-22-8726", &[]),
                ("912-22-8726", &[]),
                ("536-00-8726", &[]),
                ("536-22-0000", &[]),
                ("078-05-1120", &[]),
                ("536-22.8726", &[]),
                ("1-536-22-8726", &[]),
                ("5362287261", &[]),
                ("536-22-8726-1", &[]),
            ],
        );
    }

    #[test]
    fn nine_bare_digits_need_a_word_of_context() {
        assert_eq!(score(Entity::US_SSN, "code 536228726"), 50_000);
        assert_eq!(score(Entity::US_SSN, "my social security number is 536228726"), 400_000);
        assert_eq!(score(Entity::US_SSN, "SSN: 536-22-8726"), 950_000);
    }
}
