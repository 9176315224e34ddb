//! A place for what is no pattern: a tagger of names, say.

use crate::Entity;

/// What finds personal data by other means than the recognizers here.
///
/// Its spans are weighed with theirs: the same thresholds, the same rules for overlaps.
pub trait Detector: Send + Sync {
    /// A stable name, of `[a-z0-9.-]`; it stands on findings and in the coverage.
    fn name(&self) -> &'static str;

    /// Changes whenever some text could give other spans than before.
    fn version(&self) -> &'static str;

    /// What it looks for.
    fn entities(&self) -> &[Entity];

    /// The languages (ISO 639-1) that it knows.
    fn languages(&self) -> &[&'static str];

    /// Adds what it finds in the text. A span that is empty or cuts a character is ignored.
    fn detect(&self, text: &str, spans: &mut Vec<Span>);
}

/// A span that a [`Detector`] found, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// What it looks like.
    pub entity: Entity,
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
    /// How sure the detector is, in parts per million.
    pub score_ppm: u32,
}
