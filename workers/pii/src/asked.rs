//! What one scan asks for beside its scanner's configuration, and why something was found.

use std::collections::BTreeSet;

use crate::{Entity, Finding};

/// What one scan asks for instead of its scanner's configuration; the default asks for nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Only these of the kinds that the scanner looks for.
    pub entities: Option<BTreeSet<Entity>>,
    /// The least score that is told, instead of every threshold of the configuration.
    pub threshold_ppm: Option<u32>,
    /// Texts that are never findings, beside the configuration's.
    pub allow: BTreeSet<String>,
    /// Words taken to stand beside every finding: a column's name, the title of a form.
    pub around: String,
}

/// A finding with what made its score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained<'s> {
    /// The finding.
    pub finding: Finding,
    /// Its score before context.
    pub original_ppm: u32,
    /// The context word that raised it.
    pub word: Option<&'s str>,
}

impl Asked {
    pub(crate) fn wants(&self, entity: Entity) -> bool {
        self.entities.as_ref().is_none_or(|entities| entities.contains(&entity))
    }
}
