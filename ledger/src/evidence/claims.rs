//! What a bundle proves, and what it does not.

use std::fmt;

/// How far a claim can be relied upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Follows from signatures and hashes alone.
    Proven,
    /// Somebody's signed word.
    Attested(String),
    /// Somebody's word.
    Asserted(String),
}

/// Something that the bundle says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// How far it can be relied upon.
    pub standing: Standing,
    /// What it says.
    pub text: String,
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where: a part, or a part and a position.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// What became of a bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether ledger or signer were known from outside. Else the bundle is only consistent with itself, and proves no
    /// claim: anyone can make such a bundle.
    pub origin_known: bool,
    /// The ledger that it says it is of, in hex.
    pub ledger: String,
    /// What it says.
    pub claims: Vec<Claim>,
    /// What does not hold; where there is anything, no claim counts.
    pub failures: Vec<Failure>,
}

impl Report {
    /// Whether everything holds.
    pub fn holds(&self) -> bool {
        self.failures.is_empty()
    }

    pub(super) fn proven(&mut self, text: impl Into<String>) {
        self.claims.push(Claim { standing: Standing::Proven, text: text.into() });
    }

    pub(super) fn attested(&mut self, by: impl Into<String>, text: impl Into<String>) {
        self.claims.push(Claim { standing: Standing::Attested(by.into()), text: text.into() });
    }

    pub(super) fn asserted(&mut self, by: impl Into<String>, text: impl Into<String>) {
        self.claims.push(Claim { standing: Standing::Asserted(by.into()), text: text.into() });
    }

    pub(super) fn fail(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.failures.push(Failure { place: place.into(), what: what.into() });
    }
}
