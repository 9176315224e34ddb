//! A place in a text that a pattern proposes, and what a judge makes of it.

use crate::context::is_unspaced;

/// A place in a text that a pattern proposes, in bytes.
pub(crate) struct Candidate<'t> {
    pub(crate) text: &'t str,
    /// What lies before was judged already; reading to the left stops here.
    pub(crate) floor: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// What a judge makes of a candidate. All offsets are bytes on character boundaries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is one, with this span and this score before context.
    Hit { start: usize, end: usize, score_ppm: u32 },
    /// It is none; the next candidate is looked for from `resume` on.
    Miss { resume: usize },
}

impl<'t> Candidate<'t> {
    pub(crate) fn str(&self) -> &'t str {
        &self.text[self.start..self.end]
    }

    pub(crate) fn hit(&self, score_ppm: u32) -> Judgement {
        Judgement::Hit { start: self.start, end: self.end, score_ppm }
    }

    /// No. No recognizer that calls this takes what begins in the middle of a run of letters and
    /// digits, so the next candidate is looked for after this run.
    pub(crate) fn miss(&self) -> Judgement {
        let rest = &self.text[self.start..];
        let run = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        Judgement::Miss { resume: self.start + run }
    }

    /// Whether neither side goes on with a letter or digit.
    pub(super) fn stands_alone(&self) -> bool {
        let before = char_before(self.text, self.start);
        let after = char_after(self.text, self.end);
        !before.is_some_and(goes_on) && !after.is_some_and(goes_on)
    }

    /// Whether neither side goes on with a letter or digit, or with one of `joints` and then a
    /// digit, as a longer number would.
    pub(crate) fn is_whole_number(&self, joints: &[char]) -> bool {
        self.stands_alone()
            && !ends_in_joint(&self.text[..self.start], joints)
            && !starts_in_joint(&self.text[self.end..], joints)
    }
}

/// Whether the character beside a number makes it part of a word; scripts without spaces do not.
pub(super) fn goes_on(c: char) -> bool {
    c.is_alphanumeric() && !is_unspaced(c)
}

pub(super) fn char_before(text: &str, at: usize) -> Option<char> {
    text[..at].chars().next_back()
}

pub(super) fn char_after(text: &str, at: usize) -> Option<char> {
    text[at..].chars().next()
}

pub(super) fn ends_in_joint(before: &str, joints: &[char]) -> bool {
    let mut back = before.chars().rev();
    back.next().is_some_and(|c| joints.contains(&c)) && back.next().is_some_and(|c| c.is_numeric())
}

pub(super) fn starts_in_joint(after: &str, joints: &[char]) -> bool {
    let mut ahead = after.chars();
    ahead.next().is_some_and(|c| joints.contains(&c)) && ahead.next().is_some_and(|c| c.is_numeric())
}
