//! The faults: which there are, how often each comes, and what came of them.

use super::brokers::Brokers;
use super::client::Journal;
use super::others::Others;
use super::people::People;
use super::place::Place;
use attestune_replay_tests::Chance;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    BrokerKilled,
    BrokerPaused,
    AllBrokersKilled,
    GatewayKilled,
    GatewayPaused,
    ScannerKilled,
    CheckerKilled,
    EvaluatorKilled,
    EvaluatorPausedPastItsLease,
    TrainerKilled,
    TrainerPausedPastItsLease,
    LinesCut,
    LinesSilent,
    DiskFull,
}

impl Fault {
    /// As the table at the end has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::BrokerKilled => "a broker killed",
            Self::BrokerPaused => "a broker paused",
            Self::AllBrokersKilled => "all three brokers killed",
            Self::GatewayKilled => "a gateway killed",
            Self::GatewayPaused => "a gateway paused",
            Self::ScannerKilled => "a scanner killed",
            Self::CheckerKilled => "the checker killed",
            Self::EvaluatorKilled => "an evaluator killed",
            Self::EvaluatorPausedPastItsLease => "an evaluator paused past its lease",
            Self::TrainerKilled => "a trainer killed",
            Self::TrainerPausedPastItsLease => "a trainer paused past its lease",
            Self::LinesCut => "a partition, connections cut",
            Self::LinesSilent => "a partition, silent",
            Self::DiskFull => "a full disk under a replica",
        }
    }
}

/// Faults of the brokers, with how often each is in the deck.
pub const OF_BROKERS: [(Fault, usize); 3] =
    [(Fault::BrokerKilled, 4), (Fault::BrokerPaused, 3), (Fault::AllBrokersKilled, 1)];
/// Faults of everything else.
pub const OF_PARTS: [(Fault, usize); 11] = [
    (Fault::GatewayKilled, 3),
    (Fault::GatewayPaused, 2),
    (Fault::ScannerKilled, 3),
    (Fault::CheckerKilled, 2),
    (Fault::EvaluatorKilled, 2),
    (Fault::EvaluatorPausedPastItsLease, 1),
    (Fault::TrainerKilled, 3),
    (Fault::TrainerPausedPastItsLease, 1),
    (Fault::LinesCut, 2),
    (Fault::LinesSilent, 2),
    (Fault::DiskFull, 1),
];

/// A deck that deals each fault once, then as often as it is in there.
pub struct Deck {
    faults: Vec<(Fault, usize)>,
    left: Vec<Fault>,
}

impl Deck {
    pub fn new(faults: Vec<(Fault, usize)>, chance: &mut Chance) -> Self {
        let mut left: Vec<Fault> = faults.iter().map(|(fault, _)| *fault).collect();
        shuffle(&mut left, chance);
        Self { faults, left }
    }

    pub fn deal(&mut self, chance: &mut Chance) -> Fault {
        if self.left.is_empty() {
            self.left = self.faults.iter().flat_map(|(fault, times)| vec![*fault; *times]).collect();
            shuffle(&mut self.left, chance);
        }
        self.left.pop().unwrap()
    }
}

fn shuffle(faults: &mut [Fault], chance: &mut Chance) {
    for last in (1..faults.len()).rev() {
        faults.swap(last, chance.below(last as u64 + 1) as usize);
    }
}

/// What a kind of fault came to.
#[derive(Default)]
pub struct Count {
    pub times: usize,
    /// Of a worker that held a lease.
    pub at_work: usize,
    /// Brokers that an operator had to start again after it, as they did not come to terms by themselves.
    pub helped: usize,
    /// From the mending to when all went on.
    pub recovery: Duration,
    pub recovery_max: Duration,
}

pub type Counts = BTreeMap<Fault, Count>;

/// Brings faults upon brokers and upon everything else, each in a thread, until there were so many in all.
pub fn blow(place: &mut Place, people: &People, journal: &Journal, seed: u64, faults: usize) -> Counts {
    let (of_brokers, stop) = (faults / 4, AtomicBool::new(false));
    let Place { parts, lines, cluster, ledger, .. } = place;
    let mut chance = Chance::new(seed);
    let brokers = Brokers::new(cluster, journal, Chance::new(chance.bits()));
    let others = Others { parts, lines, ledger, journal, onlooker: people.onlooker.clone(), chance };
    std::thread::scope(|scope| {
        let stop = &stop;
        let brokers = scope.spawn(move || brokers.run(of_brokers, stop));
        let mut counts = others.run(faults - of_brokers, stop, people);
        counts.extend(brokers.join().unwrap());
        counts
    })
}

/// Tells the other thread to stop when this one panics.
pub struct Alarm<'a>(pub &'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Counts a fault.
pub fn note(counts: &mut Counts, fault: Fault, at_work: bool, recovery: Duration) {
    let count = counts.entry(fault).or_default();
    count.times += 1;
    count.at_work += usize::from(at_work);
    count.recovery += recovery;
    count.recovery_max = count.recovery_max.max(recovery);
}
