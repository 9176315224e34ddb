//! Personal data detection: text in, findings out.
//!
//! This crate reads a text and says where personal data may stand in it, with a score.
//! It knows nothing of ledgers, files or networks, and the same text always gives the same
//! findings, so a finding can be signed and checked again later. It is not an anonymiser:
//! what it doesn't look for, it doesn't find, and [`Scanner::coverage`] says what it looked for.
//!
//! Patterns find what has a form; the [`tagger`] finds names and places. Every pattern is bounded
//! and every judge reads a run of characters once, so that the time is linear in the length of the
//! text, whatever the text is.
//!
//! ```
//! use attestune_pii::{Entity, Scanner, redact};
//!
//! let scanner = Scanner::default();
//! let text = "Zoë, write to zoe@example.org or pay to GB82 WEST 1234 5698 7654 32.";
//! let findings = scanner.scan(text);
//! assert_eq!((findings[0].entity, findings[1].entity), (Entity::PERSON, Entity::EMAIL));
//! assert_eq!((findings[1].start, findings[1].end), (14, 29)); // code points, not bytes
//! assert_eq!(redact(text, &findings), "<PERSON>, write to <EMAIL> or pay to <IBAN>.");
//! ```

mod asked;
mod checksum;
mod config;
mod context;
mod coverage;
mod custom;
mod density;
mod detector;
mod entity;
mod fold;
mod key;
mod languages;
mod listing;
pub mod measure;
mod operator;
mod overlap;
pub mod presidio;
mod profile;
mod recognizers;
mod redact;
mod rule;
mod scanner;
mod table;
pub mod tagger;
mod version;
mod windows;

pub use asked::{Asked, Explained};
pub use config::{Config, ConfigError};
pub use coverage::{Coverage, Covered, Skipped, Why};
pub use custom::{RecognizerError, Recognizers};
pub use detector::{Detector, Span};
pub use entity::{Entity, UnknownEntity};
pub use key::{Key, RevealError, reveal};
pub use languages::{UNDETERMINED, languages};
pub use listing::{Listed, recognizers};
pub use operator::{Operator, OperatorError, Operators};
pub use profile::{FoundBy, SAFE_HARBOR, SafeHarborIdentifier};
pub use redact::redact;
pub use scanner::{Finding, Scanner};

/// The name under which a scan by this crate is put on record.
pub const DETECTOR_NAME: &str = "attestune-pii";

/// The version of the detector's behaviour: it changes whenever some text could give
/// other findings than before, so that a record says which rules were applied.
pub const VERSION: &str = "4";

/// The highest score: certain.
pub const CERTAIN_PPM: u32 = 1_000_000;
