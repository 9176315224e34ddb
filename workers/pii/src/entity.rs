//! The kinds of personal data.

use std::{
    collections::BTreeSet,
    fmt,
    str::FromStr,
    sync::{LazyLock, Mutex, PoisonError},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::table;

const NAME_BYTES_MAX: usize = 64;

/// A kind of personal data. Its name is stable: it stands on records.
///
/// The kinds that this crate knows are [`Entity::all`]; a recognizer of the user's own, or a
/// [`crate::Detector`], may bring others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity(&'static str);

/// No entity has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no entity is named {name:?}; the names are {}", names())]
pub struct UnknownEntity {
    /// The name that was asked for.
    pub name: String,
}

/// Names that the table, a configuration or a detector brought.
static ADDED: Interned = Interned::new();

static ALL: LazyLock<Vec<Entity>> = LazyLock::new(|| {
    let mut all = Entity::JUDGED.to_vec();
    all.extend(table::built_in().iter().map(|entry| Entity::intern(&entry.entity)));
    all
});

impl Entity {
    /// An e-mail address.
    pub const EMAIL: Self = Self("email");
    /// A telephone number, national or international.
    pub const PHONE: Self = Self("phone");
    /// A payment card's number.
    pub const CREDIT_CARD: Self = Self("credit-card");
    /// An international bank account number (ISO 13616).
    pub const IBAN: Self = Self("iban");
    /// A social security number of the United States.
    pub const US_SSN: Self = Self("us-ssn");
    /// An address of the internet protocol, version 4 or 6, or a network of such.
    pub const IP_ADDRESS: Self = Self("ip-address");
    /// A network card's hardware address.
    pub const MAC_ADDRESS: Self = Self("mac-address");
    /// A web address or a bare domain name.
    pub const URL: Self = Self("url");
    /// A date of the calendar or a part of one (a month, a year, a weekday), with or without a time; a time of day. Not what
    /// is told by its distance from another day: yesterday, two weeks ago.
    pub const DATE: Self = Self("date");
    /// An address on a blockchain.
    pub const CRYPTO_ADDRESS: Self = Self("crypto-address");
    /// A person's name. No recognizer finds it; a [`crate::Detector`] may.
    pub const PERSON: Self = Self("person");
    /// A place: a town, a region, a country. No recognizer finds it; a [`crate::Detector`] may.
    pub const LOCATION: Self = Self("location");
    /// Where somebody lives: street and number, flat, postal code, box. No recognizer finds it; a [`crate::Detector`] may.
    pub const STREET_ADDRESS: Self = Self("street-address");
    /// A company, an office, a school. No recognizer finds it; a [`crate::Detector`] may.
    pub const ORGANIZATION: Self = Self("organization");
    /// A nationality, religion or political group. No recognizer finds it; a [`crate::Detector`] may.
    pub const NRP: Self = Self("nrp");
    /// A form of address. No recognizer finds it; a [`crate::Detector`] may.
    pub const TITLE: Self = Self("title");
    /// A person's age. No recognizer finds it; a [`crate::Detector`] may.
    pub const AGE: Self = Self("age");

    /// Those whose recognizers are code, in the order in which ties between overlaps are broken.
    const JUDGED: [Self; 10] = [
        Self::CREDIT_CARD,
        Self::IBAN,
        Self::US_SSN,
        Self::CRYPTO_ADDRESS,
        Self::EMAIL,
        Self::MAC_ADDRESS,
        Self::IP_ADDRESS,
        Self::PHONE,
        Self::DATE,
        Self::URL,
    ];
    pub(crate) const TAGGED: [Self; 7] =
        [Self::PERSON, Self::STREET_ADDRESS, Self::LOCATION, Self::ORGANIZATION, Self::NRP, Self::TITLE, Self::AGE];

    /// Every entity that has a recognizer here, in the order in which ties between overlapping
    /// findings are broken: those of no country first, then the table's.
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// The entity of this name, new or known; a name is of `[a-z0-9-]`, a letter first.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(fits);
        (is_name && name.len() <= NAME_BYTES_MAX).then(|| Self::intern(name))
    }

    fn intern(name: &str) -> Self {
        let mut built_in = Self::JUDGED.into_iter().chain(Self::TAGGED);
        built_in.find(|entity| entity.0 == name).unwrap_or_else(|| Self(ADDED.keep(name)))
    }

    /// The stable name, of the characters `[a-z0-9-]`.
    pub fn name(self) -> &'static str {
        self.0
    }

    /// What stands in a redacted text for it, such as `<CREDIT_CARD>`.
    pub fn tag(self) -> String {
        format!("<{}>", self.in_capitals())
    }

    /// The name that Microsoft Presidio has for it, such as `EMAIL_ADDRESS`.
    pub fn presidio_name(self) -> String {
        match self {
            Self::EMAIL => "EMAIL_ADDRESS".into(),
            Self::PHONE => "PHONE_NUMBER".into(),
            Self::IBAN => "IBAN_CODE".into(),
            Self::DATE => "DATE_TIME".into(),
            Self::CRYPTO_ADDRESS => "CRYPTO".into(),
            Self::STREET_ADDRESS => Self::LOCATION.presidio_name(),
            _ => self.in_capitals(),
        }
    }

    /// The kinds that have this name in Microsoft Presidio: a `LOCATION` is a place or a street address.
    pub fn of_presidio(name: &str) -> Vec<Self> {
        let known = ALL.iter().chain(&Self::TAGGED).copied();
        known.filter(|entity| entity.presidio_name() == name).collect()
    }

    fn in_capitals(self) -> String {
        self.0.to_ascii_uppercase().replace('-', "_")
    }

    pub(crate) fn rank(self) -> usize {
        ALL.iter().position(|&entity| entity == self).unwrap_or(usize::MAX)
    }
}

/// Texts kept for the life of the process, each once. What is kept is bounded by what
/// configurations name.
pub(crate) struct Interned(Mutex<BTreeSet<&'static str>>);

impl Interned {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeSet::new()))
    }

    pub(crate) fn keep(&self, text: &str) -> &'static str {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get(text) {
            return known;
        }
        let new: &'static str = Box::leak(text.to_owned().into_boxed_str());
        kept.insert(new);
        new
    }

    fn find(&self, text: &str) -> Option<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(text).copied()
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for Entity {
    type Err = UnknownEntity;

    /// A kind that has a recognizer here, one of a tagger's, or one that a recognizer of the user's own brought.
    fn from_str(name: &str) -> Result<Self, UnknownEntity> {
        let mut known = ALL.iter().chain(&Self::TAGGED).map(|entity| entity.0);
        let known = known.find(|known| *known == name);
        let found = known.or_else(|| ADDED.find(name)).ok_or_else(|| UnknownEntity { name: name.to_owned() })?;
        Ok(Self(found))
    }
}

impl Serialize for Entity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Entity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn names() -> String {
    let names: Vec<&str> = ALL.iter().map(|entity| entity.0).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_an_identifier_and_reads_back() {
        for &entity in Entity::all() {
            assert_eq!(Entity::named(entity.name()), Some(entity));
            assert_eq!(entity.name().parse(), Ok(entity));
            assert_eq!(serde_json::to_value(entity).unwrap(), entity.name());
        }
        let distinct: BTreeSet<_> = Entity::all().iter().collect();
        assert_eq!(distinct.len(), Entity::all().len());
        assert_eq!(Entity::CREDIT_CARD.tag(), "<CREDIT_CARD>");
        assert_eq!(Entity::EMAIL.presidio_name(), "EMAIL_ADDRESS");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "shoe-size".parse::<Entity>().unwrap_err();
        assert!(error.to_string().contains("credit-card, iban"), "{error}");
        assert_eq!(Entity::named("Shoe Size"), None);
    }
}
