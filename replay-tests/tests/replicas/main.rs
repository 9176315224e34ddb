//! Whatever is on a log, its fold never stops, and is the same in memory, in RocksDB over any windows and openings, from
//! Kafka, and after the log has moved there and back.
//!
//! `PROPTEST_CASES` sets how many cases each property is tried on.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod any_log;
mod held;
mod long_lives;
mod over_kafka;
mod scenarios;

use proptest::prelude::ProptestConfig;

/// So many cases, unless the environment asks for another number.
fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(asked.unwrap_or(usual)) }
}
