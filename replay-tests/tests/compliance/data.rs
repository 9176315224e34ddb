//! Questions about training data and erasure.

use crate::{Answers, DAY_MS, revoke};
use attestune_ledger::query::comply::SAFE_HARBOR;
use attestune_proto::v1::event::Body;
use attestune_proto::v1::{
    ErasureDecision, ExamplesScanned, Policy, ReviewVerdict, RevocationReason, SubjectErased, Tool,
};
use attestune_replay_tests::*;

#[test]
fn a_dataset_whose_scanners_key_was_compromised_is_a_gap() {
    Answers::now(&World::new()).not_applicable("members-scanned");
    let mut world = World::new();
    world.with_dataset();
    let answer = Answers::now(&world).met("members-scanned").clone();
    assert_eq!(answer.text, "1 dataset with 4 members; all members of 1 scanned by pii@1");
    revoke(&mut world, "scanner", RevocationReason::Compromised);
    let gap = Answers::now(&world).gap("members-scanned");
    assert!(gap.contains("tickets@1") && gap.contains("scanner"), "{gap}");
}

#[test]
fn a_dataset_whose_checkers_key_was_compromised_is_a_gap() {
    let mut world = World::new();
    Answers::now(&world).not_applicable("members-checked");
    world.with_dataset();
    let answer = Answers::now(&world).met("members-checked").clone();
    assert_eq!(answer.text, "1 dataset with 4 members; all members of 1 checked by quality@1");
    revoke(&mut world, "checker", RevocationReason::Compromised);
    let gap = Answers::now(&world).gap("members-checked");
    assert!(gap.contains("tickets@1") && gap.contains("checker"), "{gap}");
}

#[test]
fn decisions_on_members_are_counted_and_doubted_with_their_key() {
    let mut world = World::new();
    Answers::now(&world).not_applicable("members-reviewed");
    let documents = world.must("sten", ingested("tickets", 4));
    let batch = world.must("sten", derived(documents, 4));
    world.must("scanner", scanned(batch, &[1, 2]));
    world.must("checker", checked(batch));
    world.must("rita", reviewed(batch, 1, ReviewVerdict::Redact));
    world.must("rolf", reviewed(batch, 2, ReviewVerdict::Reject));
    let freeze = frozen(&world, "tickets", &["tickets"]);
    world.must("sten", Body::DatasetFrozen(freeze));
    let text = Answers::now(&world).met("members-reviewed").text.clone();
    assert_eq!(text, "1 dataset; of 4 examples 2 were flagged, and persons decided on 2: 1 redacted, 1 rejected");
    revoke(&mut world, "rita", RevocationReason::Lost);
    let gap = Answers::now(&world).gap("members-reviewed");
    assert!(gap.contains("rita") && gap.contains("reported lost"), "{gap}");
}

#[test]
fn identifiers_that_no_scan_looked_for_are_a_gap() {
    let mut world = World::new();
    Answers::now(&world).not_applicable("identifiers-looked-for");
    world.with_dataset();
    let gap = Answers::now(&world).gap("identifiers-looked-for");
    assert!(gap.contains("aba-routing-number, age") && gap.contains("more in batch"), "{gap}");

    let mut world = with_all_looked_for(detector());
    Answers::now(&world).met("identifiers-looked-for");
    revoke(&mut world, "scanner", RevocationReason::Compromised);
    let gap = Answers::now(&world).gap("identifiers-looked-for");
    assert!(gap.starts_with("tickets@1 rests on the word of scanner"), "{gap}");
}

#[test]
fn what_a_detector_outside_the_policy_looked_for_counts_for_nothing() {
    let world = with_all_looked_for(Tool { name: "another".into(), version: "1".into() });
    assert!(Answers::now(&world).gap("identifiers-looked-for").contains("was not searched for aba-routing-number"));
}

/// A dataset scanned by the policy's detector, and for the whole Safe Harbor by one that may be the same.
fn with_all_looked_for(detector: Tool) -> World {
    let mut world = World::new();
    let documents = world.must("sten", ingested("tickets", 4));
    let batch = world.must("sten", derived(documents, 4));
    let Body::ExamplesScanned(scan) = scanned(batch, &[]) else { unreachable!() };
    let looked_for = SAFE_HARBOR.iter().map(|entity| (*entity).to_owned()).collect();
    if scan.detector.as_ref() != Some(&detector) {
        world.must("scanner", scanned(batch, &[]));
    }
    world.must("scanner", Body::ExamplesScanned(ExamplesScanned { looked_for, detector: Some(detector), ..scan }));
    world.must("checker", checked(batch));
    let freeze = frozen(&world, "tickets", &["tickets"]);
    world.must("sten", Body::DatasetFrozen(freeze));
    world
}

#[test]
fn an_erasure_is_a_gap_until_somebody_decided_on_every_version() {
    let mut world = World::new();
    let life = world.with_two_versions();
    Answers::now(&world).not_applicable("erasures-decided");
    let whole = erased(&world, &[indices(life.documents, &[1])]);
    let erasure = world.must("sten", Body::SubjectErased(whole));
    let gap = Answers::now(&world).gap("erasures-decided");
    assert!(gap.contains("triage@1, triage@2"), "{gap}");
    let mut retired = World::of_log(&world.log);
    retired.must("otto", erasure_decided(erasure, 1, ErasureDecision::Retire));
    retired.must("otto", erasure_decided(erasure, 2, ErasureDecision::Keep));
    let gap = Answers::now(&retired).gap("erasures-decided");
    assert!(gap.ends_with("triage@1 is to be retired, and is still in production"), "{gap}");
    retired.must("otto", halted(None));
    Answers::now(&retired).met("erasures-decided");
    world.must("otto", erasure_decided(erasure, 1, ErasureDecision::Keep));
    assert!(Answers::now(&world).gap("erasures-decided").contains("on triage@2"));
    world.must("otto", erasure_decided(erasure, 2, ErasureDecision::Retire));
    let text = Answers::now(&world).met("erasures-decided").text.clone();
    assert_eq!(text, "1 erasure of 2 texts; 1 complete and decided on, with 2 decisions on versions");

    // One of which only the first part came.
    let person = [indices(life.documents, &[2])];
    let first = SubjectErased { chunks: 2, root: Vec::new(), count: 0, ..erased(&world, &person) };
    world.must("sten", Body::SubjectErased(first));
    assert!(Answers::now(&world).gap("erasures-decided").contains("1 of 2 parts"));
}

#[test]
fn an_erasure_becomes_final_when_the_policy_says_how_long_key_backups_are_kept() {
    let mut world = World::new();
    let life = world.with_dataset();
    Answers::now(&world).not_applicable("erasures-final");
    let whole = erased(&world, &[indices(life.documents, &[1])]);
    world.must("sten", Body::SubjectErased(whole));
    assert!(Answers::now(&world).gap("erasures-final").contains("no known day"));
    world.adopt(Policy { key_backup_retention_ms: 30 * DAY_MS, ..policy() });
    let text = |now_ms| Answers::of(&world, now_ms).met("erasures-final").text.clone();
    assert_eq!(text(world.now_ms), "1 erasure; key backups are kept for 30 days, so that 0 are final");
    assert!(text(world.now_ms + 31 * DAY_MS).ends_with("so that 1 are final"));

    let person = [indices(life.documents, &[2])];
    let first = SubjectErased { chunks: 2, root: Vec::new(), count: 0, ..erased(&world, &person) };
    world.must("sten", Body::SubjectErased(first));
    assert!(Answers::now(&world).gap("erasures-final").contains("is not complete"));
}
