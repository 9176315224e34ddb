//! Faults: processes killed at random moments, brokers that die or fall silent, networks that part, full disks, clocks
//! that jump. What is long waits for `make faults`; a short storm runs with the other tests.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod clocks;
#[path = "../common/mod.rs"]
mod common;
mod full_disks;
mod kills;
mod machine;
mod storm;

use attestune_replay_tests::Chance;
use common::Ledger;
use std::time::Duration;

/// Rows of a life's file: several batches, so that an ingest has more than one act in it.
const ROWS: usize = 1_100;
/// Leases that outlast the trainer's silence of 5 s, but run out soon after a kill.
const LEASES: [(&str, &str); 2] =
    [("training_lease: 5m", "training_lease: 8s"), ("evaluation_lease: 10m", "evaluation_lease: 8s")];

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// The seed that was asked for, or one of the clock; says how to have the same again.
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number_from("ATTESTUNE_FAULTS_SEED").unwrap_or(now.as_secs());
    eprintln!("seed {seed}: ATTESTUNE_FAULTS_SEED={seed} aims the same way again");
    seed
}

/// A moment in a span of time.
fn moment(chance: &mut Chance, span: Duration) -> Duration {
    Duration::from_micros(chance.below(span.as_micros().max(1) as u64))
}

/// A text with nobody's data in it, another for each number below 4,096.
fn text(chance: &mut Chance, number: usize) -> String {
    const CLAUSES: [&str; 16] = [
        "I lost my card",
        "please close my account",
        "what is the fee for a transfer",
        "where is the next branch",
        "my statement is late",
        "how do I change the limit",
        "the card does not work",
        "send me the letter again",
        "the transfer has not come",
        "I can not see my account",
        "the fee is too high",
        "I want another limit",
        "when does the branch open",
        "I need a new statement",
        "what does the card cost",
        "the letter was wrong",
    ];
    let places = [number >> 8, number >> 4, number, chance.below(16) as usize, chance.below(16) as usize];
    places.map(|clause| CLAUSES[clause % CLAUSES.len()]).join(" and ")
}

/// What a text may be about.
const INTENTS: [&str; 5] = ["card", "lost", "account", "close", "what"];

/// Rows of texts, each row another.
fn rows(chance: &mut Chance) -> String {
    let mut rows = String::from("text,intent\n");
    for row in 0..ROWS {
        rows.push_str(&format!("{},{}\n", text(chance, row), INTENTS[row % 5]));
    }
    rows
}

fn documents(ledger: &Ledger, collection: &str) -> u64 {
    let batches = ledger.json(&["registry", "batches", "--name", collection]);
    batches["documents"].as_array().unwrap().iter().filter_map(|batch| batch["count"].as_u64()).sum()
}
