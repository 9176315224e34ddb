//! The eighteen identifiers of HIPAA's Safe Harbor, and what finds each.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{Config, Coverage, Entity};

/// One of the identifiers that 45 CFR 164.514(b)(2)(i) wants removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SafeHarborIdentifier {
    /// Its letter in the regulation, A to R.
    pub letter: char,
    /// What it is.
    pub what: &'static str,
    /// What finds it.
    pub found_by: FoundBy,
    /// What a person has to look for all the same; empty if nothing.
    pub left_to_a_person: &'static str,
}

/// What finds an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum FoundBy {
    /// Patterns, checksums and context words: these kinds.
    Patterns {
        /// The kinds.
        entities: &'static [&'static str],
    },
    /// A tagger ([`crate::Detector`]) for these kinds, with patterns for the others.
    Tagger {
        /// The kinds that only a tagger finds.
        entities: &'static [&'static str],
        /// The kinds that patterns find.
        and_patterns: &'static [&'static str],
    },
    /// Nothing that reads text.
    Person,
}

const fn patterns(entities: &'static [&'static str]) -> FoundBy {
    FoundBy::Patterns { entities }
}

const fn identifier(
    letter: char,
    what: &'static str,
    found_by: FoundBy,
    left_to_a_person: &'static str,
) -> SafeHarborIdentifier {
    SafeHarborIdentifier { letter, what, found_by, left_to_a_person }
}

/// All eighteen, in the regulation's order.
pub const SAFE_HARBOR: [SafeHarborIdentifier; 18] = [
    identifier('A', "names", FoundBy::Tagger { entities: &["person"], and_patterns: &[] }, "nicknames, initials"),
    identifier(
        'B',
        "geographic subdivisions smaller than a state",
        FoundBy::Tagger {
            entities: &["location", "street-address"],
            and_patterns: &["uk-postcode", "ca-postal-code", "de-plz"],
        },
        "the first three digits of a ZIP code may stay where more than 20,000 people live",
    ),
    identifier(
        'C',
        "elements of dates but the year, and ages over 89",
        FoundBy::Tagger { entities: &["age"], and_patterns: &["date"] },
        "dates in words: the day after Easter",
    ),
    identifier('D', "telephone numbers", patterns(&["phone"]), ""),
    identifier('E', "fax numbers", patterns(&["phone"]), ""),
    identifier('F', "e-mail addresses", patterns(&["email"]), ""),
    identifier('G', "social security numbers", patterns(&["us-ssn", "us-itin"]), ""),
    identifier(
        'H',
        "medical record numbers",
        FoundBy::Person,
        "each hospital has its own: write a recognizer for yours",
    ),
    identifier(
        'I',
        "health plan beneficiary numbers",
        patterns(&[
            "us-mbi",
            "us-health-insurance-member-id",
            "us-claim-number",
            "us-prior-authorization-number",
            "us-referral-number",
            "us-prescription-number",
        ]),
        "a plan's own numbers without a word that says so",
    ),
    identifier(
        'J',
        "account numbers",
        patterns(&["us-bank-number", "aba-routing-number", "iban", "credit-card", "crypto-address"]),
        "a company's own numbers",
    ),
    identifier(
        'K',
        "certificate and license numbers",
        patterns(&["us-driver-license", "us-passport", "medical-license", "us-npi", "us-provider-tax-id"]),
        "licences of single trades",
    ),
    identifier(
        'L',
        "vehicle identifiers and serial numbers, license plates",
        FoundBy::Person,
        "plates of the states and vehicle identification numbers: write a recognizer",
    ),
    identifier(
        'M',
        "device identifiers and serial numbers",
        patterns(&["mac-address", "uuid"]),
        "makers' serial numbers",
    ),
    identifier('N', "web addresses", patterns(&["url"]), ""),
    identifier('O', "addresses of the internet protocol", patterns(&["ip-address"]), ""),
    identifier('P', "biometric identifiers", FoundBy::Person, "finger and voice prints are no text"),
    identifier('Q', "full-face photographs", FoundBy::Person, "pictures are no text"),
    identifier('R', "any other unique number, characteristic or code", FoundBy::Person, "what only a reader can tell"),
];

impl Config {
    /// Looks for the identifiers of HIPAA's Safe Harbor, and tells dates at a lower score than the default does: the
    /// names of weekdays as well. Each is a reason to look. What neither pattern nor tagger finds is in [`SAFE_HARBOR`].
    pub fn safe_harbor() -> Self {
        let kinds = SAFE_HARBOR.iter().flat_map(|identifier| match identifier.found_by {
            FoundBy::Patterns { entities } => [entities, &[]],
            FoundBy::Tagger { entities, and_patterns } => [entities, and_patterns],
            FoundBy::Person => [&[][..], &[]],
        });
        let entities: BTreeSet<Entity> = kinds.flatten().filter_map(|name| name.parse().ok()).collect();
        let thresholds_ppm = [(Entity::DATE, 100_000)].into();
        Self { entities, thresholds_ppm, noted: BTreeSet::new(), ..Self::default() }
    }
}

impl Coverage {
    /// The identifiers of the Safe Harbor that this scan doesn't look for, or not by every means: they need a person.
    pub fn safe_harbor_gaps(&self) -> Vec<SafeHarborIdentifier> {
        let lacks =
            |names: &[&str]| names.iter().any(|name| !self.entities.iter().any(|entity| entity.name() == *name));
        let is_gap = |identifier: &SafeHarborIdentifier| match identifier.found_by {
            FoundBy::Patterns { entities } => lacks(entities),
            FoundBy::Tagger { entities, and_patterns } => lacks(entities) || lacks(and_patterns),
            FoundBy::Person => true,
        };
        SAFE_HARBOR.into_iter().filter(is_gap).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scanner;

    #[test]
    fn all_eighteen_are_there_and_name_kinds_that_exist() {
        let letters: String = SAFE_HARBOR.iter().map(|identifier| identifier.letter).collect();
        assert_eq!(letters, "ABCDEFGHIJKLMNOPQR");
        for identifier in SAFE_HARBOR {
            let (FoundBy::Patterns { entities } | FoundBy::Tagger { and_patterns: entities, .. }) = identifier.found_by
            else {
                assert!(!identifier.left_to_a_person.is_empty());
                continue;
            };
            let known = |name: &&str| Entity::all().iter().any(|entity| entity.name() == *name);
            assert!(entities.iter().all(known), "{identifier:?}");
        }
    }

    #[test]
    fn without_a_tagger_names_places_and_ages_are_gaps() {
        let scanner = Scanner::patterns(&Config::safe_harbor()).unwrap();
        let gaps = |scanner: &Scanner| -> String {
            scanner.coverage().safe_harbor_gaps().iter().map(|gap| gap.letter).collect()
        };
        assert_eq!(gaps(&scanner), "ABCHLPQR");
        assert_eq!(gaps(&Scanner::new(&Config::safe_harbor()).unwrap()), "HLPQR");
        assert_eq!(scanner.scan("seen on Monday").len(), 1);
        assert!(scanner.scan("NHS 943 476 5919").iter().all(|found| found.entity != "uk-nhs".parse().unwrap()));
    }
}
