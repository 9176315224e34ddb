//! Numbers with rules of their own, by country. The table names the source of each.

use super::{digits, is_day, luhn, mod_11_10, number, weighted};

/// The character at a place counted from 0, or a space past the end.
fn at(text: &str, place: usize) -> char {
    text.chars().nth(place).unwrap_or(' ')
}

/// The part of a text, or nothing where it is too short or not ASCII.
fn part(text: &str, from: usize, to: usize) -> &str {
    text.get(from..to).unwrap_or_default()
}

/// Whether the last character is the one that `letters` has at this place.
fn ends_in(text: &str, letters: &str, place: u32) -> bool {
    text.chars().next_back().is_some_and(|last| letters.chars().nth(place as usize) == Some(last))
}

/// Digit sums: 16 counts 1 and 6.
fn cross_weighted(digits: &[u32], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(d, w)| d * w / 10 + d * w % 10).sum()
}

pub(super) fn us_dea(text: &str) -> bool {
    let d = digits(part(text, 2, 9));
    d.len() == 7 && (d[0] + d[2] + d[4] + 2 * (d[1] + d[3] + d[5])) % 10 == d[6]
}

pub(super) fn us_npi(text: &str) -> bool {
    let placeholder = part(text, 1, 9).chars().all(|c| c == at(text, 0));
    !placeholder && luhn(&format!("80840{text}"))
}

/// Prefixes that are never given out.
pub(super) fn uk_nino(text: &str) -> bool {
    !["BG", "GB", "NK", "KN", "TN", "NT", "ZZ"].contains(&part(text, 0, 2))
}

/// A letter counts as two digits, A as 01.
fn with_letter_as_digits(text: &str) -> Vec<u32> {
    let values = text.chars().flat_map(|c| match c {
        'A'..='Z' => {
            let value = c as u32 - 'A' as u32 + 1;
            vec![value / 10, value % 10]
        }
        _ => c.to_digit(10).into_iter().collect(),
    });
    values.collect()
}

pub(super) fn de_kvnr(text: &str) -> bool {
    let d = with_letter_as_digits(text);
    d.len() == 11 && cross_weighted(&d[..10], &[1, 2, 1, 2, 1, 2, 1, 2, 1, 2]) % 10 == d[10]
}

pub(super) fn de_rvnr(text: &str) -> bool {
    let d = with_letter_as_digits(text);
    d.len() == 13 && cross_weighted(&d[..12], &[2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1]) % 10 == d[12]
}

/// One digit stands twice or thrice among the first ten, every other at most once.
pub(super) fn de_tax_id(text: &str) -> bool {
    let mut counts = [0; 10];
    digits(part(text, 0, 10)).into_iter().for_each(|d| counts[d as usize] += 1);
    let repeated: Vec<_> = counts.into_iter().filter(|&count| count > 1).collect();
    matches!(repeated[..], [2 | 3]) && mod_11_10(text)
}

/// X, Y and Z stand for 0, 1 and 2 in front of a foreigner's number.
pub(super) fn es_nif(text: &str) -> bool {
    let front = text.replacen('X', "0", 1).replacen('Y', "1", 1).replacen('Z', "2", 1);
    let text = if at(text, 0).is_ascii_digit() { text } else { front.as_str() };
    let value = digits(text).into_iter().fold(0, |n, d| (n * 10 + d) % 23);
    ends_in(text, "TRWAGMYFPDXBNJZSQVHLCKE", value)
}

/// The sign of the century is gone with the separators if it was `+` or `-`.
pub(super) fn fi_hetu(text: &str) -> bool {
    let century = match (text.len(), at(text, 6)) {
        (10, _) | (11, 'U'..='Y') => 1900,
        (11, 'A'..='F') => 2000,
        _ => return false,
    };
    let day = is_day(century + number(part(text, 4, 6)), number(part(text, 2, 4)), number(part(text, 0, 2)));
    let serial = part(text, text.len() - 4, text.len() - 1);
    let value = number(part(text, 0, 6)) * 1000 + number(serial);
    day && number(serial) >= 2 && ends_in(text, "0123456789ABCDEFHJKLMNPRSTUVWXY", value % 31)
}

pub(super) fn it_fiscal_code(text: &str) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    // A digit counts as the letter at its place in the alphabet.
    let values = text.chars().filter_map(|c| match c {
        'A'..='Z' => Some(c as u32 - 'A' as u32),
        _ => c.to_digit(10),
    });
    let values: Vec<u32> = values.collect();
    let Some((check, rest)) = values.split_last().filter(|_| values.len() == 16) else {
        return false;
    };
    let weigh = |(place, &value): (usize, &u32)| if place % 2 == 0 { ODD[value as usize] } else { value };
    rest.iter().enumerate().map(weigh).sum::<u32>() % 26 == *check
}

/// The century stands in the month: 80 for the 1800s, 0, 20, 40 and 60 for what follows.
pub(super) fn pl_pesel(text: &str) -> bool {
    let d = digits(text);
    let (year, month, day) = (number(part(text, 0, 2)), number(part(text, 2, 4)), number(part(text, 4, 6)));
    let century = [1900, 2000, 2100, 2200, 1800][month as usize / 20];
    d.len() == 11
        && is_day(century + year, month % 20, day)
        && weighted(&d, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]).is_multiple_of(10)
}

pub(super) fn se_personnummer(text: &str) -> bool {
    let (century, short) = text.split_at_checked(text.len().saturating_sub(10)).unwrap_or_default();
    let year = number(part(short, 0, 2));
    let (month, day) = (number(part(short, 2, 4)), number(part(short, 4, 6)));
    let day = if day > 60 { day - 60 } else { day };
    if century.len() > 2 || short.len() != 10 {
        return false;
    }
    let is_any = |century: u32| is_day(century * 100 + year, month, day);
    let is_born = if century.is_empty() { is_any(19) || is_any(20) } else { is_any(number(century)) };
    is_born && luhn(short)
}

pub(super) fn tr_national_id(text: &str) -> bool {
    let d = digits(text);
    if d.len() != 11 {
        return false;
    }
    let (odd, even): (u32, u32) = (d[..9].iter().step_by(2).sum(), d[1..8].iter().step_by(2).sum());
    (odd * 7 + 90 - even) % 10 == d[9] && d[..10].iter().sum::<u32>() % 10 == d[10]
}

/// Modulus 36 with weights 1 and 2, the two digits (to base 36) of each product summed.
pub(super) fn in_gstin(text: &str) -> bool {
    let values: Vec<u32> = text.chars().filter_map(|c| c.to_digit(36)).collect();
    let Some((check, rest)) = values.split_last() else {
        return false;
    };
    let weigh = |(place, value): (usize, &u32)| {
        let product = value * (place as u32 % 2 + 1);
        product / 36 + product % 36
    };
    (36 - rest.iter().enumerate().map(weigh).sum::<u32>() % 36) % 36 == *check
}

pub(super) fn kr_brn(text: &str) -> bool {
    let d = digits(text);
    let sum = weighted(&d, &[1, 3, 7, 1, 3, 7, 1, 3, 5]);
    d.len() == 10 && (sum + d[8] * 5 / 10 + d[9]).is_multiple_of(10)
}

fn kr_resident(text: &str, offset: u32) -> bool {
    let d = digits(text);
    let sum = weighted(&d, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    d.len() == 13 && (offset - sum % 11) % 10 == d[12]
}

pub(super) fn kr_rrn(text: &str) -> bool {
    kr_resident(text, 11)
}

/// Two more than a citizen's.
pub(super) fn kr_frn(text: &str) -> bool {
    kr_resident(text, 13)
}

pub(super) fn sg_nric(text: &str) -> bool {
    let (offset, letters) = match at(text, 0) {
        'S' => (0, "JZIHGFEDCBA"),
        'T' => (4, "JZIHGFEDCBA"),
        'F' => (0, "XWUTRQPNMLK"),
        'G' => (4, "XWUTRQPNMLK"),
        'M' => (3, "KLJNPQRTUWX"),
        _ => return false,
    };
    let remainder = (weighted(&digits(text), &[2, 7, 6, 5, 4, 3, 2]) + offset) % 11;
    ends_in(text, letters, if at(text, 0) == 'M' { 10 - remainder } else { remainder })
}

pub(super) fn sg_uen(text: &str) -> bool {
    let d = digits(text);
    match (text.len(), d.len()) {
        (9, 8) => ends_in(text, "XMKECAWLJDB", weighted(&d, &[10, 4, 9, 3, 8, 2, 7, 1]) % 11),
        (10, 9) => ends_in(text, "ZKCMDNERGWH", weighted(&d, &[10, 8, 6, 4, 9, 7, 5, 3, 1]) % 11),
        (10, _) => {
            const ALPHABET: &str = "ABCDEFGHJKLMNPQRSTUVWX0123456789";
            let values: Vec<u32> =
                text.chars().filter_map(|c| ALPHABET.find(c)).filter_map(|v| v.try_into().ok()).collect();
            let sum = weighted(&values, &[4, 3, 5, 3, 10, 2, 2, 5, 7]);
            values.len() == 10 && ends_in(text, ALPHABET, (sum + 6) % 11)
        }
        _ => false,
    }
}

pub(super) fn th_tnin(text: &str) -> bool {
    let d = digits(text);
    let sum = weighted(&d, &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
    d.len() == 13 && (11 - sum % 11) % 10 == d[12]
}

pub(super) fn za_id(text: &str) -> bool {
    let (year, month, day) = (number(part(text, 0, 2)), number(part(text, 2, 4)), number(part(text, 4, 6)));
    let is_born = [1900, 2000].into_iter().any(|century| is_day(century + year, month, day));
    is_born && luhn(text)
}
