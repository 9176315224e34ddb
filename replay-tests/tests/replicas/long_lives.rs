//! Lives of many models, some hundred events each, nearly all of them valid.

use crate::held::{live_replica_agrees, replica_agrees};
use crate::{any_way, cases};
use attestune_ledger::state::Models;
use attestune_proto::v1::Verdict;
use attestune_replay_tests::{Course, Lives, World};
use proptest::prelude::*;

/// The world after the first events of a course. What was no mistake is accepted, each mistake is not.
pub fn lived(course: Course, events: usize) -> World {
    let mut world = World::empty();
    for (position, lived) in Lives::new(course).take(events).enumerate() {
        let folded = world.push_at(lived.time_ms, lived.value);
        let accepted = folded.verdict == Verdict::Accepted;
        assert_eq!(accepted, !lived.mistake, "position {position} of {course:?}: {folded:?}");
    }
    world
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn a_life_folds_to_the_same_over_any_windows_and_openings(
        seed in any::<u64>(), teams in 1..6u32, batches_max in 1..10u32, events in 100..700usize, way in any_way()
    ) {
        let course = Course { seed, teams, batches_max, upheaval_in: 100, ..Course::default() };
        replica_agrees(&lived(course, events), &way);
    }
}

#[test]
fn a_long_life_reaches_production_often_and_rolls_back() {
    let course = Course { seed: 7, teams: 4, batches_max: 3, ..Course::default() };
    let world = lived(course, 3000);
    for team in 0..course.teams {
        let model = world.row(&Models::key(&format!("model-{team}"))).unwrap_or_default();
        assert!(model.versions >= 4 && model.in_force > 0, "{model:?}");
    }
    assert!(world.codes.contains("gate-failed"), "{:?}", world.codes);
}

#[test]
fn a_life_at_the_door_gets_the_receipts_that_the_fold_says() {
    live_replica_agrees(&lived(Course { seed: 3, ..Course::default() }, 150));
}

#[test]
fn the_same_course_gives_the_same_bytes_and_another_seed_others() {
    let course = Course::default();
    let bytes = |course| Lives::new(course).skip(60).take(200).map(|lived| lived.value).collect::<Vec<_>>();
    assert_eq!(bytes(course), bytes(course));
    assert_ne!(bytes(course), bytes(Course { seed: 1, ..course }));
}
