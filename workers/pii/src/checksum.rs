//! Check digits and letters: what a number's own rules say of its characters.
//!
//! A check gets the number without separators, in capitals, of `[0-9A-Z]`. What many countries
//! share (Luhn, Verhoeff, ISO 7064, weighted sums) is named in the table with its figures; only
//! a number with rules of its own has a function here.

use serde::Deserialize;

mod national;

/// A check that the table, or a recognizer of the user's own, names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Checksum {
    /// One of [`NAMES`].
    Named(String),
    /// Digits times weights, summed, leave this remainder. Digits past the weights count nothing.
    Weighted {
        weights: Vec<u32>,
        modulus: u32,
        #[serde(default)]
        remainder: u32,
    },
}

/// A check ready to be asked.
#[derive(Clone)]
pub(crate) enum Check {
    Function(Function),
    Weighted { weights: Vec<u32>, modulus: u32, remainder: u32 },
}

type Function = fn(&str) -> bool;

const NAMES: &[(&str, Function)] = &[
    ("luhn", luhn),
    ("verhoeff", verhoeff),
    ("iso-7064-mod-97-10", mod_97_10),
    ("iso-7064-mod-11-10", mod_11_10),
    ("icao-9303", icao_9303),
    ("two-letters-two-digits", two_letters_two_digits),
    ("us-dea", national::us_dea),
    ("us-npi", national::us_npi),
    ("uk-nino", national::uk_nino),
    ("de-kvnr", national::de_kvnr),
    ("de-rvnr", national::de_rvnr),
    ("de-tax-id", national::de_tax_id),
    ("es-nif", national::es_nif),
    ("fi-hetu", national::fi_hetu),
    ("it-fiscal-code", national::it_fiscal_code),
    ("pl-pesel", national::pl_pesel),
    ("se-personnummer", national::se_personnummer),
    ("tr-national-id", national::tr_national_id),
    ("in-gstin", national::in_gstin),
    ("kr-brn", national::kr_brn),
    ("kr-rrn", national::kr_rrn),
    ("kr-frn", national::kr_frn),
    ("sg-nric", national::sg_nric),
    ("sg-uen", national::sg_uen),
    ("th-tnin", national::th_tnin),
    ("za-id", national::za_id),
];

/// The names of the checks, for whoever asked for another.
pub(crate) fn names() -> String {
    let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

impl Checksum {
    /// The check, or nothing if none has that name or the figures make no sense.
    pub(crate) fn resolve(&self) -> Option<Check> {
        match self {
            Self::Named(wanted) => {
                let found = NAMES.iter().find(|(name, _)| name == wanted);
                found.map(|(_, function)| Check::Function(*function))
            }
            Self::Weighted { weights, modulus, remainder } => {
                let small = weights.iter().chain([modulus, remainder]).all(|&n| n <= 10_000);
                let fits = !weights.is_empty() && weights.len() <= 64 && remainder < modulus && small;
                let (weights, modulus, remainder) = (weights.clone(), *modulus, *remainder);
                fits.then_some(Check::Weighted { weights, modulus, remainder })
            }
        }
    }

    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Named(name) => name.clone(),
            Self::Weighted { modulus, .. } => format!("modulus {modulus}"),
        }
    }
}

impl Check {
    /// Whether the number passes. One digit throughout passes none: it is a placeholder.
    pub(crate) fn passes(&self, number: &str) -> bool {
        let mut all = number.bytes();
        let first = all.next();
        if first.is_none_or(|first| first.is_ascii_digit() && all.all(|b| b == first)) {
            return false;
        }
        match self {
            Self::Function(function) => function(number),
            Self::Weighted { weights, modulus, remainder } => {
                let digits = digits(number);
                digits.len() >= weights.len() && weighted(&digits, weights) % modulus == *remainder
            }
        }
    }
}

fn digits(text: &str) -> Vec<u32> {
    text.chars().filter_map(|c| c.to_digit(10)).collect()
}

fn weighted(digits: &[u32], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

/// The number that a few digits write; 0 for anything else.
fn number(text: &str) -> u32 {
    text.parse().unwrap_or(0)
}

/// Whether the Gregorian calendar has the day.
pub(crate) fn is_day(year: u32, month: u32, day: u32) -> bool {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// ISO/IEC 7812-1, annex B: from the right, every second digit doubled.
pub(crate) fn luhn(number: &str) -> bool {
    let weigh = |(at, d): (usize, u32)| match (at % 2, d * 2) {
        (0, _) => d,
        (_, doubled) => doubled / 10 + doubled % 10,
    };
    let digits = number.chars().rev().filter_map(|c| c.to_digit(10));
    digits.enumerate().map(weigh).sum::<u32>() % 10 == 0
}

/// J. Verhoeff, Error Detecting Decimal Codes, 1969: the dihedral group of order ten.
fn verhoeff(number: &str) -> bool {
    const PERMUTATION: [usize; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let product = |a: usize, b: usize| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b - 5) % 5 + 5,
        (false, true) => (a - 5 + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    };
    let digits = number.chars().rev().filter_map(|c| c.to_digit(10));
    let sum = digits.enumerate().fold(0, |sum, (at, digit)| {
        let permuted = (0..at % 8).fold(digit as usize, |digit, _| PERMUTATION[digit]);
        product(sum, permuted)
    });
    sum == 0
}

/// ISO 7064, MOD 97-10: letters count from 10 on, the whole leaves 1.
fn mod_97_10(number: &str) -> bool {
    let value = |sum: u32, c: char| c.to_digit(36).map_or(sum, |v| (sum * if v > 9 { 100 } else { 10 } + v) % 97);
    number.chars().fold(0, value) == 1
}

/// ISO 7064, MOD 11,10.
fn mod_11_10(number: &str) -> bool {
    let digits = digits(number);
    let Some((check, digits)) = digits.split_last() else {
        return false;
    };
    let product = digits.iter().fold(10, |product, digit| {
        let sum = (product + digit) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (product + check) % 10 == 1
}

/// ICAO Doc 9303-3, section 4.9: weights 7, 3, 1, letters from 10 on.
fn icao_9303(number: &str) -> bool {
    let Some((at, check)) = number.char_indices().next_back() else {
        return false;
    };
    let values = number[..at].chars().filter_map(|c| c.to_digit(36));
    let sum: u32 = values.zip([7, 3, 1].into_iter().cycle()).map(|(value, weight)| value * weight).sum();
    check.to_digit(10) == Some(sum % 10)
}

/// No check, but no plain number or word either.
fn two_letters_two_digits(number: &str) -> bool {
    let count = |is: fn(&u8) -> bool| number.bytes().filter(is).count();
    count(u8::is_ascii_alphabetic) >= 2 && count(u8::is_ascii_digit) >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(name: &str, number: &str) -> bool {
        Checksum::Named(name.into()).resolve().unwrap().passes(number)
    }

    // Examples from ISO/IEC 7812-1, Wikipedia's articles on Verhoeff and ISO 7064, ICAO 9303-3 appendix A.
    #[test]
    fn the_shared_checks_pass_their_published_examples_and_no_neighbour() {
        let examples = [
            ("luhn", "79927398713"),
            ("verhoeff", "2363"),
            ("iso-7064-mod-97-10", "79444"),
            ("iso-7064-mod-11-10", "07945"),
            ("icao-9303", "5207273"),
            ("icao-9303", "AB21345"),
        ];
        for (name, number) in examples {
            assert!(passes(name, number), "{name} {number}");
            let (front, last) = number.split_at(number.len() - 1);
            for other in ('0'..='9').filter(|c| !last.contains(*c)) {
                assert!(!passes(name, &format!("{front}{other}")), "{name} {front}{other}");
            }
        }
    }

    #[test]
    fn one_digit_throughout_passes_nothing() {
        for (name, _) in NAMES {
            assert!(!passes(name, "00000000000") && !passes(name, ""), "{name}");
        }
    }

    #[test]
    fn no_check_panics_on_any_length() {
        for (_, function) in NAMES {
            for length in 0..30 {
                for piece in ["1", "A", "A1", "1A", "9"] {
                    function(&piece.repeat(length));
                }
            }
        }
    }

    #[test]
    fn senseless_figures_are_no_check() {
        let weighted = |weights: Vec<u32>, modulus| Checksum::Weighted { weights, modulus, remainder: 0 }.resolve();
        assert!(weighted(vec![1, 2], 0).is_none());
        assert!(weighted(vec![], 7).is_none());
        assert!(weighted(vec![u32::MAX], 7).is_none());
        assert!(weighted(vec![1, 2], 7).is_some());
    }
}
