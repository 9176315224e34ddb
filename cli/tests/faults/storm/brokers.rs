//! Brokers that die or fall silent.

use super::client::Journal;
use super::faults::{Alarm, Counts, Deck, Fault, OF_BROKERS, note};
use super::{operator, until, wait};
use crate::moment;
use attestune_replay_tests::Chance;
use attestune_replay_tests::kafka::Cluster;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long brokers that run again may go without taking an append before somebody helps them.
const COME_TO_TERMS: Duration = Duration::from_secs(60);

/// The thread that strikes brokers.
pub struct Brokers<'a> {
    cluster: &'a Cluster,
    journal: &'a Journal,
    chance: Chance,
}

impl<'a> Brokers<'a> {
    pub fn new(cluster: &'a Cluster, journal: &'a Journal, chance: Chance) -> Self {
        Self { cluster, journal, chance }
    }

    /// Brings so many faults about, one after another.
    pub fn run(mut self, faults: usize, stop: &AtomicBool) -> Counts {
        let mut counts = Counts::new();
        let _alarm = Alarm(stop);
        let mut deck = Deck::new(OF_BROKERS.into(), &mut self.chance);
        for _ in 0..faults {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let fault = deck.deal(&mut self.chance);
            self.strike(fault);
            let mended = Instant::now();
            let before = self.journal.receipts(None);
            let flows = || self.journal.receipts(None) > before;
            let helped = if until(COME_TO_TERMS, flows) { 0 } else { operator::help(self.cluster) };
            wait(&format!("receipts come after {}", fault.name()), flows);
            note(&mut counts, fault, false, mended.elapsed());
            counts.entry(fault).or_default().helped += helped;
            self.rest(2_000);
        }
        counts
    }

    fn strike(&mut self, fault: Fault) {
        let all = 1..=self.cluster.brokers();
        let broker = 1 + self.chance.below(self.cluster.brokers() as u64) as usize;
        match fault {
            Fault::BrokerPaused => {
                self.cluster.pause(broker);
                // Some are fenced meanwhile, after 6 s, and some come back in time.
                self.rest(9_000);
                self.cluster.resume(broker);
            }
            Fault::AllBrokersKilled => {
                all.clone().for_each(|broker| self.cluster.kill(broker));
                self.rest(2_000);
                all.clone().for_each(|broker| self.cluster.launch(broker));
                all.for_each(|broker| self.cluster.wait_until_up(broker));
            }
            _ => {
                self.cluster.kill(broker);
                self.rest(4_000);
                self.cluster.restart(broker);
            }
        }
    }

    fn rest(&mut self, at_most_ms: u64) {
        std::thread::sleep(moment(&mut self.chance, Duration::from_millis(at_most_ms)));
    }
}
