//! Ports for what a test starts.

use crate::Chance;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The first port that Linux gives to connections, unless told otherwise.
const FIRST_GIVEN: u16 = 32_768;

/// A port that nobody listens on now, and that this process was not given before. It lies below those that the system
/// gives to connections, so that none of them takes it while what listens there is down.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    let given = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let end = given.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(FIRST_GIVEN);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut chance = Chance::new(now.as_nanos() as u64 ^ u64::from(std::process::id()) << 32);
    let candidates = std::iter::repeat_with(|| end.saturating_sub(1 + chance.below(16_000) as u16).max(1024));
    static KNOWN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut free = |port: &u16| known.insert(*port) && TcpListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.take(10_000).find(|port| free(port)).expect("one of 16,000 ports is free")
}
