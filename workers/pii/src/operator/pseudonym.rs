//! Values of the same form that stay the same for the same person under one key.
//!
//! A pseudonym is no encryption: it can't be turned back, and two values may share one.

use crate::{Entity, Key};

/// How often another is tried where the pseudonym is the value itself, as a short one may be.
const TRIES: u8 = 8;

/// A letter for each letter and a digit for each digit, with marks, spaces and the case of letters kept; mail and web
/// addresses move to the domains that RFC 2606 keeps for examples, network addresses to the private network 10.0.0.0/8,
/// dates stay dates, and the last digit of a card keeps its check right.
pub(super) fn of(key: &Key, entity: Entity, value: &str) -> String {
    let plain = canonical(value);
    let tries = (0..TRIES).map(|attempt| {
        let mut stream = Stream::new(key, entity, &plain, attempt);
        match entity {
            Entity::EMAIL => email(value, &mut stream),
            Entity::URL => format!("https://example.org/{}", word(&mut stream, 10)),
            Entity::IP_ADDRESS if !value.contains(':') => network(&mut stream),
            Entity::DATE => date(value, &mut stream),
            Entity::CREDIT_CARD => with_check_digit(&letters_and_digits(value, &mut stream)),
            _ => letters_and_digits(value, &mut stream),
        }
    });
    let differs = |written: &String| canonical(written) != plain;
    tries.into_iter().find(differs).unwrap_or_else(|| entity.tag())
}

/// What the value is whatever way it is set: `+1 212-555-0142` and `+1 (212) 555 0142` are one number, and
/// `Zoe@Example.org` and `zoe@example.org` one address.
fn canonical(value: &str) -> String {
    let is_address = value.contains('@') || value.contains("//");
    let kept = value.chars().filter(|c| is_address || c.is_alphanumeric());
    kept.flat_map(char::to_lowercase).collect()
}

/// Bytes from the key, the kind and the value, without end.
struct Stream<'k> {
    key: &'k Key,
    seed: [u8; 32],
    block: [u8; 32],
    at: usize,
    count: u64,
}

impl<'k> Stream<'k> {
    fn new(key: &'k Key, entity: Entity, plain: &str, attempt: u8) -> Self {
        let seed = key.derive(&[b"pseudonym\0", entity.name().as_bytes(), b"\0", &[attempt], plain.as_bytes()]);
        Self { key, seed, block: seed, at: 0, count: 0 }
    }

    fn below(&mut self, limit: u8) -> u8 {
        if self.at == self.block.len() {
            self.count += 1;
            self.block = self.key.derive(&[b"more\0", &self.seed, &self.count.to_be_bytes()]);
            self.at = 0;
        }
        self.at += 1;
        self.block[self.at - 1] % limit
    }

    fn digit(&mut self) -> char {
        char::from(b'0' + self.below(10))
    }

    fn letter(&mut self) -> char {
        char::from(b'a' + self.below(26))
    }
}

fn letters_and_digits(value: &str, stream: &mut Stream<'_>) -> String {
    let write = |c: char| match c {
        _ if c.is_numeric() => stream.digit(),
        _ if c.is_uppercase() => stream.letter().to_ascii_uppercase(),
        _ if c.is_alphabetic() => stream.letter(),
        _ => c,
    };
    value.chars().map(write).collect()
}

fn word(stream: &mut Stream<'_>, length: usize) -> String {
    (0..length).map(|_| stream.letter()).collect()
}

fn email(value: &str, stream: &mut Stream<'_>) -> String {
    let local = value.rsplit_once('@').map_or(value, |(local, _)| local);
    // As many letters as the value has, but enough that two persons seldom share one.
    let length = local.chars().count().clamp(8, 32);
    let domain = ["example.com", "example.net", "example.org"][usize::from(stream.below(3))];
    format!("{}@{domain}", word(stream, length))
}

fn network(stream: &mut Stream<'_>) -> String {
    let [a, b, c] = [0; 3].map(|_| stream.below(254) + 1);
    format!("10.{a}.{b}.{c}")
}

/// Days and months become others from 01 to 12, which fit in either order; of a year the last two digits change; names
/// of months stay.
fn date(value: &str, stream: &mut Stream<'_>) -> String {
    let mut written = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let length = rest[start..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - start);
        written.push_str(&rest[..start]);
        let digits = &rest[start..start + length];
        match length {
            1 => written.push(char::from(b'1' + stream.below(9))),
            2 => written.push_str(&format!("{:02}", stream.below(12) + 1)),
            4 => written.extend(digits[..2].chars().chain([stream.digit(), stream.digit()])),
            _ => written.extend(digits.chars().map(|_| stream.digit())),
        }
        rest = &rest[start + length..];
    }
    written + rest
}

/// The number with the last digit that Luhn's check wants.
fn with_check_digit(number: &str) -> String {
    let Some(last) = number.rfind(|c: char| c.is_ascii_digit()) else {
        return number.to_owned();
    };
    let with = |digit: u8| format!("{}{}{}", &number[..last], char::from(b'0' + digit), &number[last + 1..]);
    (0..10).map(with).find(|number| crate::checksum::luhn(number)).unwrap_or_else(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scanner;

    fn pseudonym(entity: Entity, value: &str) -> String {
        of(&Key::new([7; 32]), entity, value)
    }

    #[test]
    fn the_form_stays_and_the_value_does_not() {
        let phone = pseudonym(Entity::PHONE, "+1 (212) 555-0142");
        let form = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "9");
        assert_eq!(form(&phone), "+9 (999) 999-9999");
        let iban = pseudonym(Entity::IBAN, "GB82 WEST 1234");
        assert!(iban.chars().nth(4) == Some(' ') && iban.chars().take(2).all(|c| c.is_ascii_uppercase()), "{iban}");
        assert!(pseudonym(Entity::IP_ADDRESS, "203.0.113.9").starts_with("10."));
        assert!(pseudonym(Entity::EMAIL, "zoe@firm.test").contains("@example."));
    }

    #[test]
    fn one_person_keeps_one_pseudonym_however_the_value_is_set() {
        let digits = |text: String| text.chars().filter(char::is_ascii_digit).collect::<String>();
        let phone = |value: &str| digits(pseudonym(Entity::PHONE, value));
        assert_eq!(phone("+1 212-555-0142"), phone("+1 (212) 555 0142"));
        assert_eq!(pseudonym(Entity::EMAIL, "Zoe@Firm.test"), pseudonym(Entity::EMAIL, "zoe@firm.test"));
        assert_ne!(pseudonym(Entity::EMAIL, "zoe@firm.test"), pseudonym(Entity::EMAIL, "max@firm.test"));
        let other = of(&Key::new([8; 32]), Entity::EMAIL, "zoe@firm.test");
        assert_ne!(pseudonym(Entity::EMAIL, "zoe@firm.test"), other);
    }

    #[test]
    fn a_card_and_a_date_stay_what_they_are() {
        let scanner = Scanner::patterns(&crate::Config::default()).unwrap();
        let finds = |text: &str, entity| scanner.scan(text).iter().any(|f| f.entity == entity);
        let card = pseudonym(Entity::CREDIT_CARD, "4111 1111 1111 1111");
        assert!(crate::checksum::luhn(&card), "{card}");
        for date in ["2024-02-29", "31.12.1999", "12/31/1999"] {
            let other = pseudonym(Entity::DATE, date);
            assert!(finds(&other, Entity::DATE), "{other}");
        }
        assert_eq!(pseudonym(Entity::DATE, "Monday"), "<DATE>", "nothing in it can change");
    }
}
