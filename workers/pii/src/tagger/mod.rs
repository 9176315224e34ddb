//! The tagger: names, places, organisations, nationalities, titles, ages and street addresses.
//!
//! What these look like no pattern says, so a linear model weighs, word by word, what the word
//! looks like, what lists it stands on and what stands beside it ([`features`]), and the best
//! sequence of labels is found for the whole text at once ([`model`]). It is a model of English
//! text with names from anywhere; it knows nothing of meaning, and it misses and it errs.
//!
//! Everything after training is integers, so a text gives the same spans on any machine and
//! thread. The model lies in the crate (`data/tagger.bin`) and holds no names, only hashes.
//!
//! ```
//! use attestune_pii::tagger::{Kind, Tagger};
//!
//! let text = "Please call Mr. Henrik Solberg, he lives in Trondheim.";
//! let spans = Tagger::shared().spans(text);
//! let found: Vec<_> = spans.iter().map(|span| (span.kind, &text[span.start..span.end])).collect();
//! assert!(found.contains(&(Kind::Person, "Henrik Solberg")), "{found:?}");
//! assert!(found.contains(&(Kind::Location, "Trondheim")), "{found:?}");
//! ```

pub mod features;
pub mod gazetteer;
pub mod index;
pub mod label;
pub mod model;
pub mod token;

use std::sync::{Arc, LazyLock};

pub use label::Kind;
use label::Label;
use model::{Decoder, Model, ModelError};
use token::Token;

use crate::{Detector, Entity, Span as Found};

/// Changes whenever some text could give other spans than before: with the model, the features, the tokens.
pub const VERSION: &str = "2";

/// The most words that are labelled together; a longer text is cut at the end of a sentence or
/// line where there is one. Bounds memory and keeps the time linear.
const SEGMENT_TOKENS_MAX: usize = 400;
const SEGMENT_TOKENS: usize = 200;

/// A span of a text that the tagger takes for personal data, in bytes on character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// What it is taken for.
    pub kind: Kind,
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
    /// How far the next best reading is behind, in parts per million: an order, not a probability.
    pub score_ppm: u32,
}

/// Finds names and places. See the [module](self).
#[derive(Debug)]
pub struct Tagger {
    model: Model,
}

static SHARED: LazyLock<Arc<Tagger>> = LazyLock::new(|| {
    let bytes = include_bytes!("../../data/tagger.bin");
    Arc::new(Tagger::from_bytes(bytes).expect("a test reads the model that lies in the crate"))
});

impl Tagger {
    /// The tagger with the model that lies in the crate. The first call reads it (milliseconds).
    pub fn shared() -> Arc<Self> {
        SHARED.clone()
    }

    /// A tagger with another model, as [`Model::to_bytes`] wrote it.
    ///
    /// # Errors
    /// The bytes are no model, or one of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        Ok(Self { model: Model::from_bytes(bytes)? })
    }

    /// What the tagger finds in the text, by position; spans do not overlap.
    pub fn spans(&self, text: &str) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut decoder = Decoder::default();
        let mut segment: Vec<Token<'_>> = Vec::new();
        for token in token::tokens(text) {
            let full = segment.len() >= SEGMENT_TOKENS && token.starts_sentence();
            if full || segment.len() >= SEGMENT_TOKENS_MAX {
                self.tag(&segment, &mut decoder, &mut spans);
                segment.clear();
            }
            segment.push(token);
        }
        self.tag(&segment, &mut decoder, &mut spans);
        spans
    }

    fn tag(&self, segment: &[Token<'_>], decoder: &mut Decoder, spans: &mut Vec<Span>) {
        self.model.label(segment, decoder);
        let mut open: Option<Span> = None;
        for (at, (token, label)) in segment.iter().zip(decoder.labels()).enumerate() {
            let score_ppm = decoder.score_ppm(at);
            match (open.as_mut(), *label) {
                (Some(span), Label::Inside(kind)) if span.kind == kind => {
                    span.end = token.end();
                    span.score_ppm = span.score_ppm.min(score_ppm);
                }
                (_, Label::Begin(kind) | Label::Inside(kind)) => {
                    spans.extend(open.replace(Span { kind, start: token.start, end: token.end(), score_ppm }));
                }
                (_, Label::Outside) => spans.extend(open.take()),
            }
        }
        spans.extend(open);
    }
}

/// To be run by a [`crate::Scanner`] beside its recognizers.
impl Detector for Tagger {
    fn name(&self) -> &'static str {
        "tagger"
    }

    fn version(&self) -> &'static str {
        VERSION
    }

    fn entities(&self) -> &[Entity] {
        &Entity::TAGGED
    }

    fn languages(&self) -> &[&'static str] {
        &["en"]
    }

    fn detect(&self, text: &str, spans: &mut Vec<Found>) {
        let found = |Span { kind, start, end, score_ppm }| Found { entity: kind.entity(), start, end, score_ppm };
        spans.extend(self.spans(text).into_iter().map(found));
    }
}
