//! Questions about who may act.

use crate::{Answers, revoke};
use attestune_ledger::state::Actors;
use attestune_proto::v1::event::Body;
use attestune_proto::v1::{
    ActorKind, KeyRegistered, KeyRevoked, Kind, LedgerCreated, Policy, RevocationReason, Role, RoleWithdrawn,
};
use attestune_replay_tests::*;

#[test]
fn a_policy_that_one_root_key_alone_adopts_is_a_gap() {
    let text = Answers::now(&World::new()).met("policy-by-several").text.clone();
    assert_eq!(text, "1 version of the policy, each adopted by at least 2 of 2 root keys");
    let mut world = World::empty();
    world.create(LedgerCreated { threshold: 1, ..genesis(policy()) });
    assert!(Answers::now(&world).gap("policy-by-several").contains("one root key alone"));
}

#[test]
fn persons_who_are_printed_alike_but_for_case_and_spaces_are_gaps() {
    let mut world = World::new();
    world.with_two_versions();
    let text = Answers::now(&world).met("signers-named").text.clone();
    assert_eq!(text, "10 persons with a printed name; 4 approvals with printed name, time and meaning");
    let Body::KeyRegistered(second) = register(&world.ledger, "rita-2", "rita-2", ActorKind::Person) else {
        unreachable!()
    };
    world.must("ada", Body::KeyRegistered(KeyRegistered { printed_name: " Rita ".into(), ..second }));
    let answers = Answers::now(&world);
    let answer = answers.of_question("signers-named");
    assert_eq!((answer.short, answer.of), (2, 11));
    assert_eq!(answer.gaps[0].text, "rita and rita-2 are printed alike");
}

#[test]
fn whoever_left_must_have_neither_key_nor_role() {
    let mut world = World::new();
    Answers::now(&world).met("access-withdrawn");
    revoke(&mut world, "rita", RevocationReason::Left);
    assert_eq!(Answers::now(&world).gap("access-withdrawn"), "rita left, but still has 0 keys and 1 role");
    world.must("ada", Body::RoleWithdrawn(RoleWithdrawn { actor: "rita".into(), role: Role::Reviewer as i32 }));
    let text = Answers::now(&world).met("access-withdrawn").text.clone();
    assert!(text.ends_with("1 left, 0 still can act"), "{text}");
}

#[test]
fn whoever_came_back_has_a_new_key_and_none_from_before() {
    let mut world = World::new();
    let further = |world: &World, name: &str| register(&world.ledger, "rita", name, ActorKind::Person);
    let second = further(&world, "rita-2");
    world.must_by(&["ada", "omar"], second);
    revoke(&mut world, "rita", RevocationReason::Left);
    assert_eq!(Answers::now(&world).gap("access-withdrawn"), "rita left, but still has 1 key and 1 role");
    let third = further(&world, "rita-3");
    world.must_by(&["ada", "omar"], third);
    assert_eq!(Answers::now(&world).gap("access-withdrawn"), "rita came back, but still has 1 key from before");
    let keyid = world.row(&Actors::key("rita")).unwrap().keyids[1].clone();
    world.must("ada", Body::KeyRevoked(KeyRevoked { keyid, reason: RevocationReason::Superseded as i32 }));
    let text = Answers::now(&world).met("access-withdrawn").text.clone();
    assert!(text.ends_with("1 left, 0 still can act; 1 came back"), "{text}");
}

#[test]
fn reads_are_recorded_by_gateways_only() {
    let mut world = World::new();
    Answers::now(&world).met("reads-recorded");
    let mut permissions = policy().permissions;
    let reads = permissions.iter_mut().find(|row| row.kind() == Kind::ContentAccessed).unwrap();
    reads.roles = vec![Role::Steward as i32, Role::Gateway as i32];
    world.adopt(Policy { permissions, ..policy() });
    assert!(Answers::now(&world).gap("reads-recorded").contains("another role"));
    world.adopt(policy());
    revoke(&mut world, "gateway", RevocationReason::Lost);
    assert!(Answers::now(&world).gap("reads-recorded").contains("no gateway"));
}
