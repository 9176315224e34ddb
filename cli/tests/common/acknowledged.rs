//! What a ledger has acknowledged to somebody, and whether it still stands.

use super::Ledger;
use attestune_ledger::{rules::entry_leaf, tree::Hash};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::thread::JoinHandle;

/// The leaf hash of every entry that was acknowledged, by position; none where only the position is known.
#[derive(Default)]
pub struct Acknowledged(BTreeMap<u64, Option<String>>);

impl Acknowledged {
    /// Takes in what a command said on stdout with `--json`, be it a receipt or a list of positions. What a killed
    /// command left unfinished was not said.
    pub fn take_in(&mut self, stdout: &[u8]) {
        let Ok(said) = serde_json::from_slice::<Value>(stdout) else { return };
        if let (Some(position), Some(leaf)) = (said["position"].as_u64(), said["leaf_hash"].as_str()) {
            self.0.insert(position, Some(leaf.to_owned()));
        }
        for position in said["positions"].as_array().into_iter().flatten().filter_map(Value::as_u64) {
            self.0.entry(position).or_default();
        }
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Reads the whole log: it has no gap, and every entry acknowledged stands where it stood, as it was. All of it
    /// counts as acknowledged from then on. Answers how many entries there are.
    pub fn check(&mut self, ledger: &Ledger) -> u64 {
        let log = ledger.ok(&["log", "tail", "-n", "1000000", "--json"]);
        let log: BTreeMap<u64, String> = log.lines().map(|line| decided(line).expect("a whole line")).collect();
        assert!(log.keys().copied().eq(0..log.len() as u64), "the log has no gap");
        for (position, leaf) in &self.0 {
            let found = log.get(position);
            assert!(found.is_some(), "entry {position} was acknowledged and is lost");
            assert!(leaf.is_none() || leaf.as_ref() == found, "entry {position} is another than was acknowledged");
        }
        self.0 = log.into_iter().map(|(position, leaf)| (position, Some(leaf))).collect();
        self.0.len() as u64
    }
}

/// Position and leaf hash of an entry as `log tail --json` shows it.
fn decided(line: &str) -> Option<(u64, String)> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let value = hex::decode(entry["envelope"].as_str()?).ok()?;
    let Hash(leaf) = entry_leaf(entry["time_ms"].as_u64()?, &value);
    Some((entry["position"].as_u64()?, hex::encode(leaf)))
}

/// Somebody who follows the log of a running `up`: what was shown to him is acknowledged, workers' events too.
pub struct Observer {
    tail: Child,
    seen: JoinHandle<Vec<(u64, String)>>,
}

impl Observer {
    /// Follows from the newest entry on.
    pub fn follow(ledger: &Ledger) -> Self {
        let mut tail = ledger.command(&["log", "tail", "-n", "1", "--follow", "--json"]);
        let mut tail = tail.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(tail.stdout.take().unwrap()).lines();
        let seen = std::thread::spawn(move || lines.map_while(Result::ok).filter_map(|line| decided(&line)).collect());
        Self { tail, seen }
    }

    /// Ends it and takes in what it saw.
    pub fn end(mut self, acknowledged: &mut Acknowledged) {
        let _ = self.tail.kill(); // it may have ended with the server
        self.tail.wait().unwrap();
        let seen = self.seen.join().unwrap();
        acknowledged.0.extend(seen.into_iter().map(|(position, leaf)| (position, Some(leaf))));
    }
}
