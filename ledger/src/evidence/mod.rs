//! Evidence bundles: one file that answers one question and proves the answer, without trust in whoever made it.
//!
//! A *complete* bundle holds the log up to a size: the verifier hashes every leaf and folds again, so that verdicts and
//! absence are proven. A *slice* holds the events that answer the question and those that judge them: that they stand in
//! the log is proven, what was decided on them is attested by the checkpoint's signer, what is absent by the exporter.
//!
//! ```text
//! manifest.txt                what it is, and every part below by its SHA-256
//! index.html                  a page for people
//! check.html                  a page that checks the bundle in a browser, without network
//! answer                      the WhyInForceResponse that the page shows
//! policy                      the Policy in force at the moment asked about
//! population.csv  sample.csv  the dataset's members, and a sample of them that nobody could choose
//! log  leaves                 complete: the log as `attestune log export` writes it; its leaf hashes
//! checkpoint  verdicts        slice: the checkpoints of both trees
//! events/N.tlog-proof         slice: an entry and that it stands in the log
//! judged/N.tlog-proof         slice: what was decided on it
//! effects/N                   slice: what it changed
//! texts/COMMITMENT            opened texts, salt first; the bundle verifies without them, too
//! export/event.tlog-proof     that somebody took the bundle out: an EvidenceExported that names the manifest
//! export/consistency          that the log went on from the bundle's checkpoint to that one's
//! ```
//!
//! Pure: no store, no network, no clock.

mod archive;
mod build;
mod claims;
mod complete;
mod each;
mod export;
mod facts;
mod fold;
mod held;
mod manifest;
mod page;
mod population;
mod slice;
mod verify;

/// The page that checks bundles in a browser: this module, compiled to WebAssembly (`scripts/verifier-wasm`).
#[cfg(feature = "store")]
pub static CHECKER: &[u8] = include_bytes!("../../../verifier-wasm/check.html");

pub use build::{Draft, Exported, OpenedText, Request, complete, slice};
pub use claims::{Claim, Failure, Report, Standing};
pub use export::{Export, FRAME_BYTES_MAX, MAGIC};
pub use manifest::{Manifest, PartName};
pub use verify::{Anchors, verify};

/// Why a bundle can't be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EvidenceError {
    /// What it is to be made from does not fit together.
    #[error("{0}")]
    Unfit(String),
    /// The state can't be read.
    #[error(transparent)]
    Query(#[from] crate::query::QueryError),
    /// An entry can't be folded.
    #[error("the fold stopped: {0}")]
    Read(#[from] crate::state::ReadFailed),
    /// The archive can't be written.
    #[error("the bundle can't be written: {0}")]
    Write(String),
}
