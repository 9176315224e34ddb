//! What a word can be: outside, or at the beginning or inside of a span of some kind.

use crate::Entity;

/// What a span is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A person's name, or a part of it.
    Person,
    /// A town, region or country.
    Location,
    /// A street address, or a part of it: street and number, flat, postal code, box.
    Address,
    /// A company, authority, school, band or club.
    Organization,
    /// A nationality, religion or political group.
    Nrp,
    /// A form of address (`Dr.`) or an occupation.
    Title,
    /// A person's age.
    Age,
}

/// One word's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// No personal data.
    Outside,
    /// The first word of a span.
    Begin(Kind),
    /// A later word of a span.
    Inside(Kind),
}

/// How many labels there are.
pub const LABELS: usize = 15;

impl Kind {
    /// Every kind, in the order of their labels.
    pub const ALL: [Self; 7] =
        [Self::Person, Self::Location, Self::Address, Self::Organization, Self::Nrp, Self::Title, Self::Age];

    /// The entity that findings of this kind have.
    pub fn entity(self) -> Entity {
        match self {
            Self::Person => Entity::PERSON,
            Self::Location => Entity::LOCATION,
            Self::Address => Entity::STREET_ADDRESS,
            Self::Organization => Entity::ORGANIZATION,
            Self::Nrp => Entity::NRP,
            Self::Title => Entity::TITLE,
            Self::Age => Entity::AGE,
        }
    }

    fn place(self) -> usize {
        self as usize
    }
}

impl Label {
    /// 0 for outside, then begin and inside of each kind in turn.
    pub fn number(self) -> usize {
        match self {
            Self::Outside => 0,
            Self::Begin(kind) => 1 + 2 * kind.place(),
            Self::Inside(kind) => 2 + 2 * kind.place(),
        }
    }

    /// The label of this number; outside for a number that is none.
    pub fn from_number(number: usize) -> Self {
        let kind = number.checked_sub(1).and_then(|n| Kind::ALL.get(n / 2));
        match kind {
            None => Self::Outside,
            Some(&kind) if number % 2 == 1 => Self::Begin(kind),
            Some(&kind) => Self::Inside(kind),
        }
    }

    /// The kind of span that the word is in.
    pub fn kind(self) -> Option<Kind> {
        match self {
            Self::Outside => None,
            Self::Begin(kind) | Self::Inside(kind) => Some(kind),
        }
    }

    /// Whether this label may stand after `before` (none at the beginning of a text).
    pub fn may_follow(self, before: Option<Self>) -> bool {
        match self {
            Self::Outside | Self::Begin(_) => true,
            Self::Inside(kind) => before.and_then(Self::kind) == Some(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_numbers_go_both_ways() {
        for number in 0..LABELS {
            assert_eq!(Label::from_number(number).number(), number);
        }
        assert_eq!(Label::from_number(LABELS), Label::Outside);
    }

    #[test]
    fn a_span_goes_on_only_after_its_own_kind() {
        let inside = Label::Inside(Kind::Person);
        assert!(inside.may_follow(Some(Label::Begin(Kind::Person))));
        assert!(inside.may_follow(Some(inside)));
        assert!(!inside.may_follow(Some(Label::Begin(Kind::Location))));
        assert!(!inside.may_follow(Some(Label::Outside)));
        assert!(!inside.may_follow(None));
    }
}
