//! Decided events for other teams' consumers, on a real Kafka. Without Java and Kafka (scripts/kafka/install) each test
//! says SKIPPED and ends; without kcat or Python's clients (scripts/consumers/install) those that need them do.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod consumers;
mod desk;
mod gateways;
mod publishers;
