//! A training whose process is killed goes on: under its own claim if the same worker comes back, under another's once
//! the lease has run out.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use attestune_proto::v1::{Kind, WorkStatus, event::Body};
use attestune_workers::Trainer;
use common::{World, hyperparameters, policy};
use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
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
