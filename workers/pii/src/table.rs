//! The table of recognizers that are data: a pattern, a checksum, context words, a source.
//!
//! A recognizer of the user's own is written in the same words ([`crate::Recognizers`]).

use std::sync::LazyLock;

use serde::Deserialize;

use crate::checksum::Checksum;

/// One kind of personal data and what tells it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Presidio's files have other words for some fields; both are read.
    #[serde(alias = "supported_entity")]
    pub(crate) entity: String,
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// ISO 3166-1 alpha-2; nothing for what is of no country.
    #[serde(default)]
    pub(crate) country: Option<String>,
    /// ISO 639-1, the language of the country's context words; nothing for what is of none.
    #[serde(default, alias = "supported_language")]
    pub(crate) language: Option<String>,
    /// Where the rules are published.
    #[serde(default)]
    pub(crate) source: String,
    #[serde(default)]
    pub(crate) patterns: Vec<Pattern>,
    /// What every pattern without one of its own must pass.
    #[serde(default)]
    pub(crate) checksum: Option<Checksum>,
    /// Instead of patterns: the numbers of one region's telephone plan.
    #[serde(default)]
    pub(crate) phone: Option<Phone>,
    #[serde(default)]
    pub(crate) context: Vec<String>,
    /// Words that are always found, whatever stands around them.
    #[serde(default)]
    pub(crate) deny_list: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pattern {
    #[serde(default)]
    pub(crate) name: Option<String>,
    pub(crate) regex: String,
    /// The score before context, from 0 to 1, once the checksum has passed.
    pub(crate) score: f64,
    #[serde(default)]
    pub(crate) checksum: Option<Checksum>,
    #[serde(default)]
    pub(crate) case: Case,
    /// Whether letters or digits beside it, or a further group of digits, make it something else.
    #[serde(default = "yes")]
    pub(crate) whole: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Case {
    #[default]
    Any,
    Exact,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phone {
    pub(crate) region: String,
    pub(crate) kind: PhoneKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PhoneKind {
    Any,
    Mobile,
    Fixed,
}

fn yes() -> bool {
    true
}

/// The files, in the order in which ties between overlapping findings are broken.
const FILES: [&str; 8] = [
    include_str!("table/any.yaml"),
    include_str!("table/us.yaml"),
    include_str!("table/ca_au.yaml"),
    include_str!("table/uk.yaml"),
    include_str!("table/germany.yaml"),
    include_str!("table/europe.yaml"),
    include_str!("table/asia.yaml"),
    include_str!("table/africa.yaml"),
];

static BUILT_IN: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let read = |file: &&str| -> Vec<Entry> { serde_yaml_ng::from_str(file).expect("a test reads every file") };
    FILES.iter().flat_map(read).collect()
});

/// Every entry that this build carries.
pub(crate) fn built_in() -> &'static [Entry] {
    &BUILT_IN
}
