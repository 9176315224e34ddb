//! The kinds of personal data.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A kind of personal data. Its name is stable: it stands on records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entity {
    /// An e-mail address.
    Email,
    /// A telephone number, national or international.
    Phone,
    /// A payment card's number.
    CreditCard,
    /// An international bank account number (ISO 13616).
    Iban,
    /// A social security number of the United States.
    UsSsn,
    /// An address of the internet protocol, version 4 or 6, or a network of such.
    IpAddress,
    /// A network card's hardware address.
    MacAddress,
    /// A web address or a bare domain name.
    Url,
    /// A date, with or without a time.
    Date,
    /// An address on a blockchain.
    CryptoAddress,
}

/// No entity has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no entity is named {name:?}; the names are {}", names())]
pub struct UnknownEntity {
    /// The name that was asked for.
    pub name: String,
}

impl Entity {
    /// Every entity, in the order in which ties between overlapping findings are broken.
    pub const ALL: [Self; 10] = [
        Self::CreditCard,
        Self::Iban,
        Self::UsSsn,
        Self::CryptoAddress,
        Self::Email,
        Self::MacAddress,
        Self::IpAddress,
        Self::Phone,
        Self::Date,
        Self::Url,
    ];

    /// The stable name, of the letters `[a-z-]`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::CreditCard => "credit-card",
            Self::Iban => "iban",
            Self::UsSsn => "us-ssn",
            Self::IpAddress => "ip-address",
            Self::MacAddress => "mac-address",
            Self::Url => "url",
            Self::Date => "date",
            Self::CryptoAddress => "crypto-address",
        }
    }

    /// What stands in a redacted text for it, such as `<CREDIT_CARD>`.
    pub fn tag(self) -> String {
        format!("<{}>", self.name().to_ascii_uppercase().replace('-', "_"))
    }

    pub(crate) fn rank(self) -> usize {
        let at = Self::ALL.iter().position(|&entity| entity == self);
        at.expect("ALL holds every entity")
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Entity {
    type Err = UnknownEntity;

    fn from_str(name: &str) -> Result<Self, UnknownEntity> {
        let found = Self::ALL.into_iter().find(|entity| entity.name() == name);
        found.ok_or_else(|| UnknownEntity { name: name.to_owned() })
    }
}

fn names() -> String {
    Entity::ALL.map(Entity::name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_an_identifier_and_reads_back() {
        for entity in Entity::ALL {
            let name = entity.name();
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
            assert_eq!(name.parse(), Ok(entity));
            assert_eq!(serde_json::to_value(entity).unwrap(), name);
        }
        assert_eq!(Entity::CreditCard.tag(), "<CREDIT_CARD>");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "shoe-size".parse::<Entity>().unwrap_err();
        assert!(error.to_string().contains("credit-card, iban"), "{error}");
    }
}
