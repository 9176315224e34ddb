//! Bundles of evidence: what verifies, what proves what, and that nothing can be altered unseen.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod afterwards;
mod altered;
mod browser;
mod fields;
mod house;
mod lies;
mod sound;
