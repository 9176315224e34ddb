//! Payment cards and bank accounts.

use std::str::FromStr;

use iban::Iban;

use super::{Candidate, Judgement, phone::Plan};
use crate::checksum::luhn;

/// The range of a brand's leading digits, the number of digits compared, the lengths.
type Brand = (u32, u32, usize, &'static [usize]);

/// Ranges of leading digits, the number of digits compared, and the lengths that are issued.
/// From the issuers' public tables (ISO/IEC 7812 numbers).
const BRANDS: &[Brand] = &[
    (1, 1, 1, &[15]),                               // UATP, JCB
    (2131, 2131, 4, &[15]),                         // JCB
    (2200, 2204, 4, &[16, 17, 18, 19]),             // Mir
    (2221, 2720, 4, &[16]),                         // Mastercard
    (300, 305, 3, &[14, 16]),                       // Diners Club
    (309, 309, 3, &[14, 16]),                       // Diners Club
    (36, 36, 2, &[14, 15, 16, 17, 18, 19]),         // Diners Club
    (38, 39, 2, &[14, 16]),                         // Diners Club
    (34, 34, 2, &[15]),                             // American Express
    (37, 37, 2, &[15]),                             // American Express
    (3528, 3589, 4, &[16, 17, 18, 19]),             // JCB
    (4, 4, 1, &[13, 16, 19]),                       // Visa
    (51, 55, 2, &[16]),                             // Mastercard
    (50, 50, 2, &[12, 13, 14, 15, 16, 17, 18, 19]), // Maestro, Elo, RuPay
    (56, 69, 2, &[12, 13, 14, 15, 16, 17, 18, 19]), // Maestro, Discover, UnionPay, RuPay, Elo
    (81, 82, 2, &[16, 17, 18, 19]),                 // UnionPay, RuPay
    (9792, 9792, 4, &[16]),                         // Troy
];

/// The usual length, in the ranges that ISO/IEC 7812 gives to travel and banking. Ranges are handed out all the time,
/// so a number of no known issuer can be a card's if a word says so.
const UNKNOWN: &[Brand] = &[(3, 6, 1, &[16])];

/// Card numbers by issuer's range, length and the check digit of ISO/IEC 7812-1 (Luhn), with one
/// kind of separator or none. One random number in ten passes the check digit.
pub(super) fn card(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    let text = candidate.str();
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let of = |brands: &'static [Brand]| brands.iter().filter(|brand| leads(brand, &digits)).collect::<Vec<_>>();
    let brands = of(BRANDS);
    let (brands, is_known) = if brands.is_empty() { (of(UNKNOWN), false) } else { (brands, true) };
    if !candidate.starts_whole() || brands.is_empty() {
        return candidate.miss();
    }
    // An end that cuts a longer number off is no end, but the shorter ends inside are tried.
    let mut best = None;
    let mut count = 0;
    for (at, b) in text.bytes().enumerate() {
        count += usize::from(b.is_ascii_digit());
        let shorter = Candidate { end: candidate.start + at + 1, ..*candidate };
        if b.is_ascii_digit()
            && brands.iter().any(|brand| brand.3.contains(&count))
            && shorter.is_whole_number(&['-', '.'])
            && has_one_separator(shorter.str())
            && luhn(shorter.str())
        {
            best = Some(shorter.hit(match () {
                () if !is_known => 200_000,
                () if count < 13 || digits[0] == 1 => 400_000,
                () => 900_000,
            }));
        }
    }
    best.unwrap_or_else(|| candidate.miss())
}

fn has_one_separator(text: &str) -> bool {
    let mut separators = text.bytes().filter(|b| !b.is_ascii_digit());
    let first = separators.next();
    separators.all(|b| Some(b) == first)
}

fn leads(&(low, high, count, _): &Brand, digits: &[u32]) -> bool {
    let lead = digits.iter().take(count).fold(0, |n, d| n * 10 + d);
    (low..=high).contains(&lead)
}

/// Where each run of letters and digits in the text ends.
fn group_ends(text: &str) -> impl Iterator<Item = usize> {
    let is_end = |&at: &usize| {
        let bytes = text.as_bytes();
        bytes[at - 1].is_ascii_alphanumeric() && bytes.get(at).is_none_or(|b| !b.is_ascii_alphanumeric())
    };
    (1..=text.len()).filter(is_end)
}

/// Account numbers by country, length, structure and the check digits of ISO 13616-1 (modulo 97).
pub(super) fn iban(candidate: &Candidate<'_>, _: &[&Plan]) -> Judgement {
    if !candidate.starts_whole() {
        return candidate.miss();
    }
    let mut ends: Vec<usize> = group_ends(candidate.str()).collect();
    ends.reverse();
    for end in ends {
        let shorter = Candidate { end: candidate.start + end, ..*candidate };
        if shorter.stands_alone() && is_iban(shorter.str()) {
            return shorter.hit(1_000_000);
        }
    }
    candidate.miss()
}

fn is_iban(text: &str) -> bool {
    let bare: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    Iban::from_str(&bare.to_ascii_uppercase()).is_ok()
}

impl Candidate<'_> {
    /// Whether no letter or digit stands before, nor a digit and a joint.
    fn starts_whole(&self) -> bool {
        !super::char_before(self.text, self.start).is_some_and(super::goes_on)
            && !super::ends_in_joint(&self.text[..self.start], &['-', '.'])
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check, score};
    use crate::Entity;

    // Test numbers that the card schemes publish for developers.
    #[test]
    fn cards_pass_by_range_length_and_check_digit() {
        check(
            Entity::CREDIT_CARD,
            &[
                ("pay 4111 1111 1111 1111 now", &["4111 1111 1111 1111"]),
                ("4111111111111111", &["4111111111111111"]),
                ("5555-5555-5555-4444", &["5555-5555-5555-4444"]),
                ("3782 822463 10005", &["3782 822463 10005"]),
                ("6011.1111.1111.1117,", &["6011.1111.1111.1117"]),
                ("3530111333300000", &["3530111333300000"]),
                ("2223003122003222", &["2223003122003222"]),
                ("4222222222222", &["4222222222222"]),
                ("№4111111111111111é", &[]),
            ],
        );
    }

    #[test]
    fn numbers_that_are_no_cards_stay_silent() {
        check(
            Entity::CREDIT_CARD,
            &[
                ("4111 1111 1111 1112", &[]),
                ("4111-1111 1111-1111", &[]),
                ("0000000000000000", &[]),
                ("94111111111111111", &[]),
                ("A4111111111111111", &[]),
                ("1.4111111111111111", &[]),
                ("411111111111111", &[]),
                ("7111111111111111", &[]),
            ],
        );
    }

    #[test]
    fn a_number_of_no_known_issuer_needs_a_word() {
        assert_eq!(score(Entity::CREDIT_CARD, "no. 3599990000000003"), 200_000);
        assert_eq!(score(Entity::CREDIT_CARD, "my card 3599990000000003"), 550_000);
    }

    #[test]
    fn a_card_is_found_among_other_numbers() {
        check(
            Entity::CREDIT_CARD,
            &[
                ("order 12 4111 1111 1111 1111 123", &["4111 1111 1111 1111"]),
                ("4111111111111111 4111111111111111", &["4111111111111111", "4111111111111111"]),
            ],
        );
    }

    // Examples from the SWIFT IBAN registry.
    #[test]
    fn accounts_pass_by_country_length_and_check_digits() {
        check(
            Entity::IBAN,
            &[
                ("to GB29 NWBK 6016 1331 9268 19 please", &["GB29 NWBK 6016 1331 9268 19"]),
                ("DE89370400440532013000.", &["DE89370400440532013000"]),
                ("fr14 2004 1010 0505 0001 3m02 606", &["fr14 2004 1010 0505 0001 3m02 606"]),
                ("NO93-8601-1117-947", &["NO93-8601-1117-947"]),
                ("IBAN:MT84MALT011000012345MTLCAST001S", &["MT84MALT011000012345MTLCAST001S"]),
                ("ü DE89 3704 0044 0532 0130 00 5 Euro", &["DE89 3704 0044 0532 0130 00"]),
            ],
        );
    }

    #[test]
    fn wrong_digits_lengths_and_countries_are_no_accounts() {
        check(
            Entity::IBAN,
            &[
                ("GB29 NWBK 6016 1331 9268 18", &[]),
                ("DE8937040044053201300", &[]),
                ("ZZ89370400440532013000", &[]),
                ("XDE89370400440532013000", &[]),
                ("DE893704004405320130000", &[]),
            ],
        );
    }

    #[test]
    fn a_checked_account_is_certain_and_a_card_nearly() {
        assert_eq!(score(Entity::IBAN, "DE89370400440532013000"), 1_000_000);
        assert_eq!(score(Entity::CREDIT_CARD, "4111111111111111"), 900_000);
        assert_eq!(score(Entity::CREDIT_CARD, "card 4111111111111111"), 1_000_000);
    }
}
