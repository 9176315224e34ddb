//! A training whose process is killed goes on: under its own claim if the same worker comes back, under another's once
//! the lease has run out.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use attestune_ledger::log::{Embedded, Entry, EventLog, LogError};
use attestune_proto::v1::{Kind, TrainingClaimed, TrainingProgressed, WorkStatus, event::Body};
use attestune_workers::Trainer;
use common::{World, hyperparameters, policy};
use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// Where this test's own process, started once more, is told to train until it is killed, and which run.
const TRAIN: &str = "ATTESTUNE_TEST_TRAINS";
const CLAIMED: &str = "the run is claimed";

#[test]
fn the_same_worker_goes_on_under_its_own_claim() {
    if trains_until_it_is_killed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = killed_while_training(folder.path(), 5 * 60_000, "the_same_worker_goes_on_under_its_own_claim");
    let world = World::open(folder.path());
    let lease = world.run(run).lease.unwrap();
    let _trainer = world.work("trainer", Box::new(Trainer::new(world.models())));
    let ended = world.ended_run(run);
    assert_eq!((ended.status(), ended.version), (WorkStatus::Completed, 1));
    assert_eq!(world.accepted_of(Kind::TrainingClaimed).len(), 1);
    let [Body::TrainingCompleted(completed)] = &world.accepted_of(Kind::TrainingCompleted)[..] else { unreachable!() };
    assert_eq!(completed.token, lease.holder.unwrap().position);
    assert_eq!(world.replica.counts().refused, 0);
}

#[test]
fn another_worker_claims_it_once_the_lease_has_run_out() {
    if trains_until_it_is_killed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = killed_while_training(folder.path(), 3_000, "another_worker_claims_it_once_the_lease_has_run_out");
    let world = World::open(folder.path());
    let first = world.run(run).lease.unwrap().holder.unwrap().position;
    let _trainer = world.work("trainer-2", Box::new(Trainer::new(world.models())));
    let ended = world.ended_run(run);
    assert_eq!((ended.status(), ended.version), (WorkStatus::Completed, 1));
    assert_eq!(ended.claimed_by, ["trainer", "trainer-2"]);
    let claims = world.accepted_of(Kind::TrainingClaimed);
    let Body::TrainingClaimed(second) = &claims[1] else { unreachable!() };
    assert_eq!((claims.len(), second.previous), (2, Some(first)));
}

/// On Kafka a report stands unread for as long as the brokers do not agree on it, which may outlast the process that made
/// it. The next one goes on under that one's claim, from the first step.
#[test]
fn a_report_of_the_process_before_that_comes_late_makes_none_of_this_one_run_backwards() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::create(folder.path(), policy(5 * 60_000, 60_000));
    let (dataset, base) = (world.dataset(), world.base());
    let run = world.request_training(dataset, base, hyperparameters(3));
    let token = world.act("trainer", Body::TrainingClaimed(TrainingClaimed { run, previous: None }));
    let progressed = |step| {
        let (steps, loss_micro, tokens) = (1_000, 900_000, 64);
        Body::TrainingProgressed(TrainingProgressed { run, token, step, steps, loss_micro, tokens })
    };
    world.act("trainer", progressed(3));
    let late = world.sign("trainer", progressed(1_000));
    drop(world);

    let (store, log) = World::log(folder.path());
    let known = AtomicU64::new(log.end().unwrap());
    log.append(vec![late]).unwrap();
    let world = World::open_over(folder.path(), store, Arc::new(Unagreed { log, known }));
    assert_eq!(world.run(run).step, 3, "the late report is not known yet");
    let _trainer = world.work("trainer", Box::new(Trainer::new(world.models())));
    let ended = world.ended_run(run);
    assert_eq!((ended.status(), ended.step, ended.steps), (WorkStatus::Completed, 6, 6));
    let step = |body| if let Body::TrainingProgressed(told) = body { told.step } else { unreachable!() };
    let told: Vec<u32> = world.accepted_of(Kind::TrainingProgressed).into_iter().map(step).collect();
    assert_eq!(told, [3, 1_000]);
    assert_eq!(world.replica.counts().refused, 0);
}

/// A log of which an end is not known until something is appended behind it.
struct Unagreed {
    log: Embedded,
    /// Where what is known ends; `u64::MAX` if all is.
    known: AtomicU64,
}

impl EventLog for Unagreed {
    fn append(&self, values: Vec<Vec<u8>>) -> Result<Vec<u64>, LogError> {
        let positions = self.log.append(values);
        self.known.store(u64::MAX, Ordering::Relaxed);
        positions
    }

    fn settle(&self, end: u64) -> Result<(), LogError> {
        self.log.settle(end)
    }

    fn read(&self, from: u64, max_entries: usize, max_bytes: usize) -> Result<Vec<Entry>, LogError> {
        let known = self.known.load(Ordering::Relaxed);
        let mut entries = self.log.read(from, max_entries, max_bytes)?;
        entries.retain(|entry| entry.position < known);
        Ok(entries)
    }

    fn end(&self) -> Result<u64, LogError> {
        Ok(self.log.end()?.min(self.known.load(Ordering::Relaxed)))
    }

    fn wait_past(&self, end: u64, timeout: Duration) -> Result<u64, LogError> {
        let known = self.known.load(Ordering::Relaxed);
        if known <= end {
            thread::sleep(Duration::from_millis(5).min(timeout));
            return Ok(known);
        }
        Ok(self.log.wait_past(end, timeout)?.min(known))
    }
}

/// Asks for a run and lets this test train it in a process of its own, which is killed at it; the run's position.
fn killed_while_training(folder: &Path, lease_ms: u64, test: &str) -> u64 {
    let world = World::create(folder, policy(lease_ms, 60_000));
    let (dataset, base) = (world.dataset(), world.base());
    let run = world.request_training(dataset, base, hyperparameters(300));
    drop(world);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(TRAIN, format!("{run} {}", folder.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(CLAIMED)), "the process ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    run
}

fn trains_until_it_is_killed() -> bool {
    let Ok(told) = std::env::var(TRAIN) else { return false };
    let (run, folder) = told.split_once(' ').unwrap();
    let world = World::open(Path::new(folder));
    let _trainer = world.work("trainer", Box::new(Trainer::new(world.models())));
    let run = run.parse().unwrap();
    world.wait("the claim", || world.run(run).lease.is_some());
    println!("{CLAIMED}");
    world.wait("being killed", || false);
    true
}
