//! The table of recognizers: a pattern proposes, a judge decides, context words support.
//!
//! Patterns are bounded (no `*`, no `+`), so that looking for all matches is linear. A judge may
//! read on to the left or right of what the pattern found, but then says where to go on, so that
//! no run of characters is read twice by the same recognizer.

mod candidate;
mod crypto;
mod date;
mod money;
mod network;
pub(crate) mod phone;
mod ssn;
mod web;

pub(crate) use candidate::{Candidate, Judgement};
use candidate::{char_after, char_before, ends_in_joint, goes_on, starts_in_joint};

use crate::Entity;

/// One way of finding one kind of personal data.
pub(crate) struct Recognizer {
    /// Stable: `entity.way`, of `[a-z0-9.-]`.
    pub(crate) name: &'static str,
    pub(crate) entity: Entity,
    /// ISO 3166-1 alpha-2; nothing for what is of no country.
    pub(crate) country: Option<&'static str>,
    /// What it checks, by whose rules.
    pub(crate) source: &'static str,
    /// The lowest and the highest score before context.
    pub(crate) scores_ppm: (u32, u32),
    /// Where to look closer. Case counts unless the pattern says otherwise.
    pub(crate) pattern: &'static str,
    pub(crate) judge: Judge,
    /// Words nearby that make it likelier, in lower case.
    pub(crate) context: &'static [&'static str],
}

pub(crate) type Judge = fn(&Candidate<'_>, &[&phone::Plan]) -> Judgement;

/// Every recognizer, in the order in which coverage lists them.
pub(crate) static TABLE: &[Recognizer] = &[
    Recognizer {
        name: "email.address",
        entity: Entity::EMAIL,
        country: None,
        source: "RFC 5322 dot-atom before an @; a name under a public suffix, lower for any other name with a dot",
        scores_ppm: (500_000, 950_000),
        pattern: "@",
        judge: web::email,
        context: &["email", "mail", "e", "contact", "address", "mailto"],
    },
    Recognizer {
        name: "phone.plan",
        entity: Entity::PHONE,
        country: None,
        source: "numbering plans of every country with + or 00, of the configured regions without",
        scores_ppm: (150_000, 700_000),
        pattern: phone::PATTERN,
        judge: phone::number,
        context: &[
            "phone",
            "telephone",
            "tel",
            "mobile",
            "cell",
            "cellphone",
            "call",
            "fax",
            "contact",
            "whatsapp",
            "sms",
            "handy",
            "telefon",
            "telefono",
            "teléfono",
            "telefone",
            "portable",
            "ring",
            "dial",
            "reach",
            "text",
        ],
    },
    Recognizer {
        name: "credit-card.luhn",
        entity: Entity::CREDIT_CARD,
        country: None,
        source: "ISO/IEC 7812: issuers' ranges and lengths, Luhn",
        scores_ppm: (200_000, 900_000),
        pattern: r"[0-9](?:[ .\-]?[0-9]){11,18}",
        judge: money::card,
        context: &[
            "card",
            "credit",
            "debit",
            "visa",
            "mastercard",
            "amex",
            "discover",
            "maestro",
            "jcb",
            "diners",
            "cc",
            "payment",
            "pan",
        ],
    },
    Recognizer {
        name: "iban.registry",
        entity: Entity::IBAN,
        country: None,
        source: "ISO 13616: length and structure by country, ISO 7064 MOD 97-10",
        scores_ppm: (1_000_000, 1_000_000),
        pattern: r"(?i-u:[a-z]{2}[0-9]{2}(?:[ \-]?[a-z0-9]){11,30})",
        judge: money::iban,
        context: &["iban", "bank", "account", "transfer", "konto", "compte", "cuenta", "conto"],
    },
    Recognizer {
        name: "us-ssn.rules",
        entity: Entity::US_SSN,
        country: Some("US"),
        source: "Social Security Administration: areas, groups and serials that are issued",
        scores_ppm: (50_000, 600_000),
        pattern: r"[0-9]{3}[\-. ]?[0-9]{2}[\-. ]?[0-9]{4}",
        judge: ssn::number,
        context: &["ssn", "ssns", "social", "security", "ss", "ssid", "taxpayer"],
    },
    Recognizer {
        name: "ip-address.v4",
        entity: Entity::IP_ADDRESS,
        country: None,
        source: "RFC 791: four numbers up to 255, with a network's length",
        scores_ppm: (100_000, 600_000),
        pattern: r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}",
        judge: network::v4,
        context: &["ip", "ipv4", "address", "host", "server", "login", "router"],
    },
    Recognizer {
        name: "ip-address.v6",
        entity: Entity::IP_ADDRESS,
        country: None,
        source: "RFC 4291, section 2.2: every text form, with a network's length",
        scores_ppm: (100_000, 600_000),
        pattern: r"::|[0-9A-Fa-f]:[0-9A-Fa-f]",
        judge: network::v6,
        context: &["ip", "ipv6", "address", "host", "server", "login", "router"],
    },
    Recognizer {
        name: "mac-address.eui48",
        entity: Entity::MAC_ADDRESS,
        country: None,
        source: "IEEE 802: six bytes with one kind of separator, neither nobody's nor everybody's",
        scores_ppm: (600_000, 600_000),
        pattern: r"[0-9A-Fa-f]{2}(?:[:\-][0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2}",
        judge: network::mac,
        context: &["mac", "hardware", "ethernet", "physical", "device", "wifi", "adapter"],
    },
    Recognizer {
        name: "url.scheme",
        entity: Entity::URL,
        country: None,
        source: "RFC 3986 with a scheme; a host under a public suffix or an address",
        scores_ppm: (600_000, 600_000),
        pattern: r"(?i-u:https?|ftps?|sftp|wss?)://",
        judge: web::url,
        context: &["url", "website", "link", "site", "page", "profile"],
    },
    Recognizer {
        name: "url.domain",
        entity: Entity::URL,
        country: None,
        source: "a name under a public suffix without a scheme; lower for endings of files",
        scores_ppm: (100_000, 600_000),
        pattern: r"[A-Za-z0-9]\.[A-Za-z]",
        judge: web::domain,
        context: &["url", "website", "link", "site", "page", "domain", "visit", "profile"],
    },
    Recognizer {
        name: "date.iso",
        entity: Entity::DATE,
        country: None,
        source: "ISO 8601 and RFC 3339: days that the calendar has, with a time",
        scores_ppm: (800_000, 800_000),
        pattern: date::ISO,
        judge: date::iso,
        context: date::CONTEXT,
    },
    Recognizer {
        name: "date.iso-other",
        entity: Entity::DATE,
        country: None,
        source: "ISO 8601: weeks, days of the year, months, without hyphens; EXIF with colons",
        scores_ppm: (50_000, 800_000),
        pattern: date::ISO_OTHER,
        judge: date::iso_other,
        context: date::CONTEXT,
    },
    Recognizer {
        name: "date.numeric",
        entity: Entity::DATE,
        country: None,
        source: "CLDR 48: day, month and year in digits, in any order: days that the calendar has; with a time",
        scores_ppm: (400_000, 600_000),
        pattern: date::NUMERIC,
        judge: date::numeric,
        context: date::CONTEXT,
    },
    Recognizer {
        name: "date.partial",
        entity: Entity::DATE,
        country: None,
        source: "month and year, or day and month, in digits",
        scores_ppm: (50_000, 200_000),
        pattern: date::PARTIAL,
        judge: date::partial,
        context: date::CONTEXT,
    },
    Recognizer {
        name: "date.day-month",
        entity: Entity::DATE,
        country: None,
        source: "CLDR 48, RFC 2822: a day and a month's name in twelve languages, with weekday, year and time",
        scores_ppm: (100_000, 800_000),
        pattern: date::DAY_MONTH,
        judge: date::named,
        context: date::CONTEXT,
    },
    Recognizer {
        name: "date.month-day",
        entity: Entity::DATE,
        country: None,
        source: "CLDR 48: a month's name in twelve languages with a day or a year",
        scores_ppm: (100_000, 800_000),
        pattern: date::MONTH_DAY,
        judge: date::named,
        context: date::CONTEXT,
    },
    Recognizer {
        name: "date.ordinal",
        entity: Entity::DATE,
        country: None,
        source: "a day in English words with its month",
        scores_ppm: (100_000, 800_000),
        pattern: date::ORDINAL,
        judge: date::ordinal,
        context: date::CONTEXT,
    },
    Recognizer {
        name: "date.signs",
        entity: Entity::DATE,
        country: None,
        source: "CLDR 48: numbers with the signs for year, month and day of Korean, Japanese and Chinese",
        scores_ppm: (200_000, 800_000),
        pattern: date::SIGNS,
        judge: date::signs,
        context: date::CONTEXT,
    },
    Recognizer {
        name: "date.month",
        entity: Entity::DATE,
        country: None,
        source: "a month's name after a word that leads to one",
        scores_ppm: (150_000, 150_000),
        pattern: date::MONTH,
        judge: date::month,
        context: date::CONTEXT,
    },
    Recognizer {
        name: "date.year",
        entity: Entity::DATE,
        country: None,
        source: "a year after a word that leads to one",
        scores_ppm: (200_000, 200_000),
        pattern: date::YEAR,
        judge: date::year,
        context: date::CONTEXT,
    },
    Recognizer {
        name: "date.year-alone",
        entity: Entity::DATE,
        country: None,
        source: "four digits that may be a year, a decade or a range of years",
        scores_ppm: (50_000, 100_000),
        pattern: date::YEAR_ALONE,
        judge: date::year_alone,
        context: date::BORN,
    },
    Recognizer {
        name: "date.weekday",
        entity: Entity::DATE,
        country: None,
        source: "CLDR 48: the names of weekdays in thirteen languages",
        scores_ppm: (200_000, 200_000),
        pattern: date::WEEKDAY,
        judge: date::weekday,
        context: date::CONTEXT,
    },
    Recognizer {
        name: "date.time",
        entity: Entity::DATE,
        country: None,
        source: "ISO 8601, CLDR 48: a time of day; without a day it is nobody's",
        scores_ppm: (50_000, 150_000),
        pattern: date::TIME,
        judge: date::time,
        context: &[],
    },
    Recognizer {
        name: "crypto-address.base58check",
        entity: Entity::CRYPTO_ADDRESS,
        country: None,
        source: "Bitcoin, Litecoin and Dogecoin: Base58Check",
        scores_ppm: (1_000_000, 1_000_000),
        pattern: "[123LMDmn][1-9A-HJ-NP-Za-km-z]{25,34}",
        judge: crypto::base58check,
        context: crypto::CONTEXT,
    },
    Recognizer {
        name: "crypto-address.bech32",
        entity: Entity::CRYPTO_ADDRESS,
        country: None,
        source: "BIP 173 and BIP 350: witness programs with their checksum",
        scores_ppm: (1_000_000, 1_000_000),
        pattern: r"(?i-u:(?:bc|tb|ltc)1[02-9ac-hj-np-z]{8,87})",
        judge: crypto::segwit,
        context: crypto::CONTEXT,
    },
    Recognizer {
        name: "crypto-address.ethereum",
        entity: Entity::CRYPTO_ADDRESS,
        country: None,
        source: "EIP-55: twenty bytes, with the checksum where letters of both cases carry one",
        scores_ppm: (700_000, 1_000_000),
        pattern: "0[xX][0-9A-Fa-f]{40}",
        judge: crypto::ethereum,
        context: crypto::CONTEXT,
    },
];

/// The cases of one entity: each text with the spans, as strings, that its recognizers find at
/// threshold zero.
#[cfg(test)]
pub(crate) fn check(entity: Entity, cases: &[(&str, &[&str])]) {
    let config = crate::Config::only([entity]);
    let scanner = crate::Scanner::new(&config).unwrap();
    for (text, expected) in cases {
        let span = |f: &crate::Finding| {
            let length = (f.end - f.start) as usize;
            text.chars().skip(f.start as usize).take(length).collect::<String>()
        };
        let found: Vec<String> = scanner.scan(text).iter().map(span).collect();
        assert_eq!(found, *expected, "in {text:?}");
    }
}

/// The score of the only finding of an entity in a text, at threshold zero.
#[cfg(test)]
pub(crate) fn score(entity: Entity, text: &str) -> u32 {
    let config = crate::Config::only([entity]);
    let findings = crate::Scanner::new(&config).unwrap().scan(text);
    assert_eq!(findings.len(), 1, "in {text:?}: {findings:?}");
    findings[0].score_ppm
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_pattern_compiles_and_every_name_is_an_identifier_of_its_own() {
        let mut names = BTreeSet::new();
        for recognizer in TABLE {
            regex::Regex::new(recognizer.pattern).unwrap();
            let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
            assert!(recognizer.name.bytes().all(fits) && recognizer.name.len() <= 64);
            assert!(recognizer.name.starts_with(recognizer.entity.name()));
            assert!(names.insert(recognizer.name), "{} twice", recognizer.name);
            assert!(recognizer.context.iter().all(|w| w.to_lowercase() == *w));
        }
        let covered: BTreeSet<Entity> = TABLE.iter().map(|r| r.entity).collect();
        assert_eq!(covered.len(), 10, "the others are in the table");
    }

    #[test]
    fn no_pattern_is_unbounded() {
        let class = regex::Regex::new(r"\[[^\]]*\]|\\.").unwrap();
        for recognizer in TABLE {
            let bare = class.replace_all(recognizer.pattern, "x");
            assert!(!bare.contains(['*', '+']), "{}: {bare}", recognizer.name);
            assert!(!bare.contains(",}"), "{}: {bare}", recognizer.name);
        }
    }
}
