//! What a bundle proves, and what it does not.

use crate::refusal::printable;
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
        self.claim(Standing::Proven, text);
    }

    pub(super) fn attested(&mut self, by: impl Into<String>, text: impl Into<String>) {
        self.claim(Standing::Attested(printable(&by.into())), text);
    }

    pub(super) fn asserted(&mut self, by: impl Into<String>, text: impl Into<String>) {
        self.claim(Standing::Asserted(printable(&by.into())), text);
    }

    /// Names of all sorts come out of the bundle: none may steer the terminal that shows them.
    fn claim(&mut self, standing: Standing, text: impl Into<String>) {
        self.claims.push(Claim { standing, text: printable(&text.into()) });
    }

    pub(super) fn fail(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.failures.push(Failure { place: printable(&place.into()), what: printable(&what.into()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::is_odd;

    #[test]
    fn a_name_out_of_a_bundle_steers_no_terminal() {
        let hostile = "a\u{1b}[2J\r\n\u{202e}proven\u{2066}\u{61c}    everything";
        let mut report = Report::default();
        report.fail(hostile, hostile);
        report.attested(hostile, hostile);
        let told = format!("{} {}", report.failures[0], report.claims[0].text);
        assert!(told.contains("a\u{fffd}[2J") && !told.contains(is_odd), "{told:?}");
    }
}
