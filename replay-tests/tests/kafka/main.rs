//! The log on a real Kafka. Without Java and Kafka (scripts/kafka/install) each test says SKIPPED and ends.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod conformance;
mod desk;
mod entries;
mod restored;
mod room;
mod secured;
mod topics;
mod trouble;
