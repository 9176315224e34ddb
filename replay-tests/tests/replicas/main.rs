//! Whatever is on a log, its fold never stops, and is the same in memory, in RocksDB over any windows and openings, from
//! Kafka, and after the log has moved there and back.
//!
//! `PROPTEST_CASES` sets how many cases each property is tried on.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod afterwards;
mod any_log;
mod held;
mod long_lives;
mod over_kafka;
mod paged;
mod queue;
mod scenarios;
mod time_travel;

use held::Way;
use proptest::prelude::*;

/// So many cases, unless the environment asks for another number.
fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(asked.unwrap_or(usual)) }
}

/// Any way.
fn any_way() -> impl Strategy<Value = Way> {
    let windows = prop::collection::vec(prop_oneof![1..4usize, 1..40usize, Just(1024)], 1..6);
    let openings = prop::collection::vec(any::<u16>(), 0..3);
    (windows, openings, any::<bool>()).prop_map(|(windows, openings, drops_state)| Way {
        windows,
        openings,
        drops_state,
    })
}
