//! Every refusal is produced by a scenario; the last test fails if one never is.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

use attestune_ledger::draft::kind;
use attestune_ledger::log::VALUE_BYTES_MAX;
use attestune_ledger::refusal::{ALL, ALL_REJECTIONS};
use attestune_ledger::state::{Models, Promotions, Versions, View};
use attestune_proto::v1::*;
use attestune_replay_tests::*;
use std::collections::BTreeSet;

/// A value beyond what any log takes in: kept out of the golden logs for its size.
fn too_large() -> World {
    let mut world = World::new();
    assert_eq!(world.push(vec![0; VALUE_BYTES_MAX]).code(), "not-an-envelope");
    assert_eq!(world.push(vec![0; VALUE_BYTES_MAX + 1]).code(), "too-large");
    world
}

#[test]
fn what_no_entry_can_hold_is_too_large() {
    too_large();
}

#[test]
fn the_door_stops_what_is_no_event() {
    the_door();
}

#[test]
fn every_event_passes_the_same_guards() {
    every_event();
}

#[test]
fn keys_and_roles_are_guarded() {
    keys_and_roles();
}

#[test]
fn data_and_review_are_guarded() {
    data_and_review();
}

#[test]
fn training_and_evaluation_are_guarded() {
    training_and_evaluation();
}

#[test]
fn the_gate_names_what_fell_short() {
    the_gate();
}

#[test]
fn promotion_and_rollback_are_guarded() {
    promotion_and_rollback();
}

#[test]
fn evidence_leaves_the_house_on_the_record_or_not_at_all() {
    evidence();
}

#[test]
fn serving_and_experiments_are_guarded() {
    serving_and_experiments();
}

#[test]
fn emergencies_have_a_deadline_and_a_way_back() {
    emergencies();
}

#[test]
fn watching_and_schedules_are_guarded() {
    watching_and_schedules();
}

#[test]
fn erasure_and_holds_are_guarded() {
    erasure_and_holds();
}

#[test]
fn every_refusal_is_produced_by_some_scenario() {
    let scenarios = SCENARIOS[1..].iter().map(|(_, scenario)| scenario());
    let produced: BTreeSet<_> = scenarios.chain([too_large()]).flat_map(|world| world.codes).collect();
    let never: Vec<_> =
        ALL.iter().chain(ALL_REJECTIONS).map(|c| c.code).filter(|code| !produced.contains(code)).collect();
    assert!(never.is_empty(), "no scenario produces {never:?}");
}

#[test]
fn a_refused_approval_sent_again_later_stays_what_it_was() {
    let mut world = World::new();
    let life = world.with_dataset();
    world.train(&life);
    world.evaluate(&life, 1, 97);
    let staging = world.must("alma", promotion(1, Stage::Staging, None));
    let event = world.draft("alma", approved(staging));
    let bytes = sign(&event, &["alma"]);
    let at = world.next();
    assert_eq!(world.push(bytes.clone()).code(), "approver-took-part");
    let again = world.push(bytes);
    assert_eq!((again.verdict, again.first), (Verdict::Duplicate, Some(at)));
    assert!(world.row(&Promotions::key(staging)).unwrap().approvals.is_empty());
}

#[test]
fn a_rollback_takes_effect_at_its_position_and_the_version_left_needs_the_gate_anew() {
    let mut world = World::new();
    let life = world.with_dataset();
    for (version, replaces) in [(1, None), (2, Some(1))] {
        world.train(&life);
        world.evaluate(&life, version, 98);
        world.promote(version, replaces);
    }
    assert_eq!(world.row(&Models::key("triage")).unwrap().in_force, 2);
    let at = world.must("otto", rolled_back(2, 1));
    let model = world.row(&Models::key("triage")).unwrap();
    assert_eq!((model.in_force, model.since), (1, at));
    assert_eq!(world.row(&Versions::key("triage", 2)).unwrap().stage, Stage::Staging as i32);
    world.refused("otto", rolled_back(1, 2), "no-way-back");
}

#[test]
fn the_same_log_gives_the_same_roots_and_rows() {
    let mut world = World::new();
    let life = world.with_dataset();
    world.train(&life);
    world.evaluate(&life, 1, 98);
    world.promote(1, None);
    let mut other = attestune_ledger::state::MemoryState::new();
    for (time_ms, value) in &world.log {
        other.push(*time_ms, value.clone()).unwrap();
    }
    let root =
        |s: &attestune_ledger::state::MemoryState| attestune_ledger::state::Reader::verdict_root(s, s.size()).unwrap();
    assert_eq!(root(&other), root(&world.state));
    assert!(other.all_rows().eq(world.state.all_rows()));
}

#[test]
fn a_stranger_signing_under_anothers_name_does_not_use_up_the_others_id() {
    let mut world = World::new();
    let event = world.draft("sten", ingested("tickets", 1));
    assert_eq!(world.push(sign(&event, &["rita"])).code(), "actor-did-not-sign");
    assert_eq!(world.push(sign(&event, &["sten"])).verdict, Verdict::Accepted);
}

#[test]
fn every_kind_that_has_rules_is_accepted_in_the_whole_life_or_after_promotion() {
    let lives = [whole_life(), after_promotion()];
    let mut accepted = BTreeSet::new();
    for world in &lives {
        let view = View::new(&world.state, world.next());
        let positions = (0..world.next()).filter(|p| world.folded[*p as usize].verdict == Verdict::Accepted);
        accepted.extend(positions.filter_map(|p| view.body(p)).map(|body| kind(&body)));
        assert_eq!(world.codes, BTreeSet::new());
    }
    // The kinds that the policy's permissions name, and those that root keys sign.
    let root = [Kind::LedgerCreated, Kind::PolicyAdopted, Kind::ClockCorrected];
    let permitted = policy().permissions.into_iter().filter_map(|p| Kind::try_from(p.kind).ok());
    let known: BTreeSet<_> = permitted.chain(root).collect();
    assert_eq!(accepted, known);
}
