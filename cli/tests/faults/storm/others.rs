//! Processes that die or stop, lines that part, disks that fill.

use super::client::{Client, Journal};
use super::faults::{Alarm, Counts, Deck, Fault, OF_PARTS, note};
use super::leases::Work;
use super::lines::{Lines, Way};
use super::parts::Part;
use super::people::People;
use super::{PATIENCE, until, wait};
use crate::common::Ledger;
use crate::moment;
use attestune_replay_tests::Chance;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// After so long a disk is filled up again: whoever starts on it may have cleared away what was left by before.
const CLEARED: Duration = Duration::from_secs(20);
/// How long one line that was cut is waited for to be felt.
const CUT: Duration = Duration::from_secs(5);

/// The thread that strikes everything else.
pub struct Others<'a> {
    pub parts: &'a mut [Part],
    pub lines: &'a Lines,
    pub ledger: &'a Ledger,
    pub journal: &'a Journal,
    pub onlooker: Client,
    pub chance: Chance,
}

impl Others<'_> {
    /// Brings so many faults about, one after another.
    pub fn run(mut self, faults: usize, stop: &AtomicBool, people: &People) -> Counts {
        let _alarm = Alarm(stop);
        let mut counts = Counts::new();
        let disks = self.parts.iter().any(|part| part.disk.is_some());
        let possible = OF_PARTS.into_iter().filter(|(fault, _)| disks || *fault != Fault::DiskFull);
        let mut deck = Deck::new(possible.collect(), &mut self.chance);
        for number in 1..=faults {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let fault = deck.deal(&mut self.chance);
            let (at_work, recovery) = self.strike(fault);
            note(&mut counts, fault, at_work, recovery);
            people.all_well();
            self.parts.iter_mut().for_each(|part| part.tend(self.ledger));
            if number % 20 == 0 {
                eprintln!("{number} faults beside those of brokers; {} receipts", self.journal.receipts(None));
            }
            self.rest(1_500);
        }
        counts
    }

    fn rest(&mut self, at_most_ms: u64) {
        std::thread::sleep(moment(&mut self.chance, Duration::from_millis(at_most_ms)));
    }

    /// Whether it struck a worker under a lease, and how long it took from the mending until all went on.
    fn strike(&mut self, fault: Fault) -> (bool, Duration) {
        match fault {
            Fault::GatewayKilled => (false, self.kill_gateway()),
            Fault::GatewayPaused => (false, self.pause_gateway()),
            Fault::ScannerKilled => (false, self.kill_one("scanner")),
            Fault::CheckerKilled => (false, self.kill_one("checker")),
            Fault::EvaluatorKilled => self.kill_at_work(Work::Evaluation),
            Fault::TrainerKilled => self.kill_at_work(Work::Training),
            Fault::EvaluatorPausedPastItsLease => self.pause_past_lease(Work::Evaluation),
            Fault::TrainerPausedPastItsLease => self.pause_past_lease(Work::Training),
            Fault::LinesCut => (false, self.part_lines(Way::Cut)),
            Fault::LinesSilent => (false, self.part_lines(Way::Silent)),
            Fault::DiskFull => (false, self.fill_disk()),
            Fault::BrokerKilled | Fault::BrokerPaused | Fault::AllBrokersKilled => {
                unreachable!("the other thread does these")
            }
        }
    }

    /// One of the parts whose names begin so.
    pub fn one_of(&mut self, name: &str) -> usize {
        let named = |(_, part): &(usize, &Part)| part.plan.name.starts_with(name);
        let them: Vec<usize> = self.parts.iter().enumerate().filter(named).map(|(at, _)| at).collect();
        them[self.chance.below(them.len() as u64) as usize]
    }

    pub fn kill_one(&mut self, name: &str) -> Duration {
        let part = self.one_of(name);
        self.kill(part)
    }

    /// Kills a part and starts it again; now and then it is killed once more while it starts.
    pub fn kill(&mut self, part: usize) -> Duration {
        self.parts[part].kill();
        if self.chance.one_in(4) {
            self.parts[part].start(self.ledger);
            self.rest(300);
            self.parts[part].kill();
        }
        self.parts[part].start(self.ledger);
        self.parts[part].until_up(self.ledger)
    }

    fn kill_gateway(&mut self) -> Duration {
        let gateway = self.one_of("gateway");
        let up = self.kill(gateway);
        up + self.until_receipt(gateway)
    }

    /// Gateways come first among the parts, so a gateway's place is its number among clients, too.
    fn until_receipt(&mut self, gateway: usize) -> Duration {
        let began = Instant::now();
        let before = self.journal.receipts(Some(gateway));
        let name = self.parts[gateway].plan.name;
        wait(&format!("receipts come through {name}"), || {
            self.parts[gateway].tend(self.ledger);
            self.journal.receipts(Some(gateway)) > before
        });
        began.elapsed()
    }

    fn pause_gateway(&mut self) -> Duration {
        let gateway = self.one_of("gateway");
        let Some(process) = self.parts[gateway].running() else { return self.kill_gateway() };
        process.pause();
        self.rest(7_000);
        if let Some(process) = self.parts[gateway].running() {
            process.resume();
        }
        self.until_receipt(gateway)
    }

    fn part_lines(&mut self, way: Way) -> Duration {
        let all: Vec<usize> = (0..self.lines.count()).collect();
        let some = match way {
            // The connection to a broker that leads nothing may be idle: it would not be felt.
            Way::Cut if self.chance.one_in(3) => vec![self.chance.below(all.len() as u64) as usize],
            _ => all.clone(),
        };
        let felt = self.lines.felt();
        self.lines.set(&some, way);
        if !until(CUT, || self.lines.felt() > felt) {
            self.lines.set(&all, way);
            wait("the partition is felt", || self.lines.felt() > felt);
        }
        self.rest(10_000);
        self.lines.set(&all, Way::Open);
        let behind = self.parts.iter().position(|part| part.plan.behind).unwrap();
        self.until_receipt(behind)
    }

    /// Starts a part on a disk that is nearly full, until it has ended for that; then there is room again.
    fn fill_disk(&mut self) -> Duration {
        let with_disk = self.parts.iter().enumerate().filter(|(_, part)| part.disk.is_some());
        let with_disk: Vec<usize> = with_disk.map(|(at, _)| at).collect();
        let at = with_disk[self.chance.below(with_disk.len() as u64) as usize];
        let left = self.chance.below(200_000);
        let part = &mut self.parts[at];
        part.kill();
        part.disk.as_ref().unwrap().fill_but(left);
        part.start(self.ledger);
        let began = Instant::now();
        let full = loop {
            assert!(began.elapsed() < PATIENCE, "{} ends on a disk with {left} bytes left", part.plan.name);
            match part.take_end() {
                Some(end) if end.said.contains("disk") => break end,
                // It gave up on brokers that were away.
                Some(other) => {
                    part.ends.push(other);
                    part.start(self.ledger);
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
            if began.elapsed() > CLEARED {
                part.disk.as_ref().unwrap().fill_but(0);
            }
        };
        assert_eq!(full.status.code(), Some(2), "{} ends with a reason: {}", part.plan.name, full.said);
        assert!(full.said.contains("make room"), "{} says what to do: {}", part.plan.name, full.said);
        part.disk.as_ref().unwrap().make_room();
        part.start(self.ledger);
        part.until_up(self.ledger)
    }
}
