//! Recognizers of the user's own, read from YAML without a rebuild.

use sha2::{Digest, Sha256};

use crate::{rule::Rule, table::Entry};

/// What one file may hold.
const FILE_BYTES_MAX: usize = 1 << 20;
const RECOGNIZERS_MAX: usize = 1000;
const WORDS_MAX: usize = 100_000;

/// Recognizers that a user wrote, checked and ready.
///
/// ```
/// let yaml = r#"
/// recognizers:
///   - entity: employee-id
///     patterns: [{ regex: 'E-[0-9]{6}', score: 0.3 }]
///     context: [employee, badge]
///   - entity: project
///     deny_list: [Bluebird, "Red October"]
/// "#;
/// let own = attestune_pii::Recognizers::from_yaml(yaml)?;
/// let scanner = attestune_pii::Scanner::with(&Default::default(), &own, Vec::new())?;
/// let found = scanner.scan("badge E-204117 for red october");
/// let found: Vec<_> = found.iter().map(|f| f.entity.name()).collect();
/// assert_eq!(found, ["employee-id", "project"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Recognizers {
    pub(crate) rules: Vec<Rule>,
    /// Words that are always found, with what they are.
    pub(crate) denied: Vec<(String, crate::Entity)>,
    pub(crate) sha256: Option<String>,
}

/// A recognizer that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecognizerError {
    /// The file is no YAML, or has fields that no recognizer has.
    #[error("the recognizers can't be read: {reason}")]
    Yaml {
        /// What the reader said, with line and column.
        reason: String,
    },
    /// The file is past what is read.
    #[error("the recognizers have {count} {what}, over the limit of {limit}; split or shorten them")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        count: usize,
        /// How much there may be.
        limit: usize,
    },
    /// The entity's name is none.
    #[error(
        "recognizer {recognizer}: entity {entity:?} is no name; write up to 64 of a-z, 0-9 and -, a letter first \
         (Presidio's EMPLOYEE_ID is employee-id here)"
    )]
    Entity {
        /// The recognizer's name.
        recognizer: String,
        /// The entity asked for.
        entity: String,
    },
    /// The country is none.
    #[error(
        "recognizer {recognizer}: country {country:?} is unknown; write two capitals of ISO 3166-1, such as \"GB\""
    )]
    Country {
        /// The recognizer's name.
        recognizer: String,
        /// The country asked for.
        country: String,
    },
    /// The language is none.
    #[error(
        "recognizer {recognizer}: language {language:?} is unknown; write two letters of ISO 639-1, such as \"de\""
    )]
    Language {
        /// The recognizer's name.
        recognizer: String,
        /// The language asked for.
        language: String,
    },
    /// There is nothing to look for.
    #[error("recognizer {recognizer} has neither patterns nor a deny_list; give it one")]
    Empty {
        /// The recognizer's name.
        recognizer: String,
    },
    /// The score is none.
    #[error("recognizer {recognizer}: score {score} is not from 0 to 1")]
    Score {
        /// The recognizer's name.
        recognizer: String,
        /// The score asked for.
        score: String,
    },
    /// The checksum is none.
    #[error("recognizer {recognizer}: checksum {checksum:?} is unknown; the names are {known}")]
    Checksum {
        /// The recognizer's name.
        recognizer: String,
        /// The checksum asked for.
        checksum: String,
        /// The names that there are.
        known: String,
    },
    /// The pattern is invalid, has no bound, or takes too much.
    #[error("recognizer {recognizer}: pattern {pattern:?} can't be used: {reason}")]
    Pattern {
        /// The recognizer's name.
        recognizer: String,
        /// The pattern as written.
        pattern: String,
        /// Why not.
        reason: String,
    },
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    recognizers: Vec<Entry>,
}

impl Recognizers {
    /// Reads `recognizers:`, a list of entries with `entity`, `patterns` (`regex`, `score`), `checksum`, `context`,
    /// `deny_list`, `country` and `language`. Every pattern is compiled here, so that a scan can't fail.
    ///
    /// # Errors
    /// The YAML, an entity, country, language, score, checksum or pattern is not one that can be used.
    pub fn from_yaml(yaml: &str) -> Result<Self, RecognizerError> {
        bounded("bytes", yaml.len(), FILE_BYTES_MAX)?;
        let file: File =
            serde_yaml_ng::from_str(yaml).map_err(|error| RecognizerError::Yaml { reason: error.to_string() })?;
        bounded("recognizers", file.recognizers.len(), RECOGNIZERS_MAX)?;
        let words = file.recognizers.iter().map(|entry| entry.deny_list.len() + entry.context.len()).sum();
        bounded("words", words, WORDS_MAX)?;

        let mut own = Self { sha256: Some(hex::encode(Sha256::digest(yaml))), ..Self::default() };
        for entry in &file.recognizers {
            own.rules.extend(Rule::of_entry(entry)?);
            let entity = crate::Entity::named(&entry.entity);
            own.denied.extend(entry.deny_list.iter().cloned().zip(entity.into_iter().cycle()));
        }
        Ok(own)
    }
}

impl std::fmt::Debug for Recognizers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recognizers").field("rules", &self.rules.len()).field("sha256", &self.sha256).finish()
    }
}

fn bounded(what: &'static str, count: usize, limit: usize) -> Result<(), RecognizerError> {
    if count > limit { Err(RecognizerError::TooMany { what, count, limit }) } else { Ok(()) }
}
