//! The scenarios, and the comparison put to the test.

use crate::held::{Way, live_replica_agrees, replica_agrees};
use attestune_proto::v1::Verdict;
use attestune_replay_tests::{SCENARIOS, every_event, whole_life};

#[test]
fn the_scenarios_give_the_same_in_rocksdb() {
    for (number, (_, scenario)) in SCENARIOS[1..].iter().chain(&SCENARIOS[..1]).enumerate() {
        let world = scenario();
        let windows = [vec![1], vec![2, 7], vec![1024]][number % 3].clone();
        replica_agrees(&world, &Way { windows, openings: vec![30_000, 60_000], drops_state: number % 2 == 0 });
    }
    live_replica_agrees(&whole_life());
    live_replica_agrees(&every_event());
}

/// A test of the comparison itself.
#[test]
fn a_world_that_differs_in_one_verdict_is_told_apart() {
    let mut world = every_event();
    let way = Way { windows: vec![5], openings: vec![], drops_state: false };
    replica_agrees(&world, &way);
    let changed = world.folded.iter().position(|f| f.verdict == Verdict::Refused).unwrap();
    world.folded[changed].verdict = Verdict::Accepted;
    let outcome = std::panic::catch_unwind(|| replica_agrees(&world, &way));
    let words = outcome.unwrap_err().downcast::<String>().unwrap();
    assert!(words.contains(&format!("the verdict on {changed}")), "{words}");
}
