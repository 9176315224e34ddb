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

/// Words by chance.
fn words(chance: &mut Chance, count: usize) -> String {
    const WORDS: &str =
        "card lost account close what fee transfer late where limit change please branch letter again statement";
    let all: Vec<&str> = WORDS.split(' ').collect();
    let words: Vec<&str> = (0..count).map(|_| all[chance.below(all.len() as u64) as usize]).collect();
    words.join(" ")
}

/// Rows of words, each row another.
fn rows(chance: &mut Chance) -> String {
    const INTENTS: [&str; 5] = ["card", "lost", "account", "close", "what"];
    let mut text = String::from("text,intent\n");
    for row in 0..ROWS {
        text.push_str(&format!("{} {},{}\n", words(chance, 12), letters(row), INTENTS[row % 5]));
    }
    text
}

/// A number in letters, as digits might look like somebody's.
fn letters(mut number: usize) -> String {
    let mut text = String::new();
    for _ in 0..4 {
        text.push((b'a' + (number % 26) as u8) as char);
        number /= 26;
    }
    text
}

fn documents(ledger: &Ledger, collection: &str) -> u64 {
    let batches = ledger.json(&["registry", "batches", "--name", collection]);
    batches["documents"].as_array().unwrap().iter().filter_map(|batch| batch["count"].as_u64()).sum()
}
