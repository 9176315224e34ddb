//! Questions about what came into production.

use crate::{Answers, revoke};
use attestune_ledger::rules::policy::gate;
use attestune_proto::v1::event::Body;
use attestune_proto::v1::{
    ModelRegistered, Policy, PromotionRejected, RejectionReason, Reproduction, RevocationReason, Stage,
    TrainingReproduced,
};
use attestune_replay_tests::*;

fn in_production() -> (World, Life) {
    let mut world = World::new();
    let life = world.with_two_versions();
    (world, life)
}

#[test]
fn before_anything_came_into_production_there_is_nothing_to_ask() {
    let answers = Answers::now(&World::new());
    for code in
        ["sources-known", "evaluated-before", "no-leakage", "approved-by-others", "emergencies-reviewed", "repeated"]
    {
        answers.not_applicable(code);
    }
}

#[test]
fn a_change_that_was_tested_and_approved_by_others_is_met_with_its_counts() {
    let (world, _) = in_production();
    let answers = Answers::now(&world);
    let approved = answers.met("approved-by-others");
    assert_eq!((approved.of, approved.positions.len()), (1, 1));
    assert_eq!(
        approved.text,
        "1 change, 1 approved as the policy asked by persons who took no part; 1 with two approvals or more, 0 emergencies"
    );
    assert_eq!(
        answers.met("evaluated-before").text,
        "1 change in production; 1 had passed every bar, fixed before the training, by 1 evaluation"
    );
    answers.met("no-leakage");
    let sources = answers.met("sources-known");
    assert!(sources.text.contains("1 version") && sources.text.contains("1 base model, 1 dataset"), "{}", sources.text);
    answers.not_applicable("emergencies-reviewed");
}

#[test]
fn words_of_keys_that_were_later_compromised_are_gaps() {
    for (actor, code) in [("alma", "approved-by-others"), ("evaluator", "evaluated-before"), ("checker", "no-leakage")]
    {
        let (mut world, _) = in_production();
        revoke(&mut world, actor, RevocationReason::Compromised);
        let gap = Answers::now(&world).gap(code);
        assert!(gap.contains("triage@1") && gap.contains(actor) && gap.contains("compromised"), "{gap}");
    }
    // Whose key was only exchanged keeps their word.
    let (mut world, _) = in_production();
    revoke(&mut world, "alma", RevocationReason::Superseded);
    Answers::now(&world).met("approved-by-others");
}

#[test]
fn a_model_trained_elsewhere_has_unknown_sources_and_unchecked_leakage() {
    let open =
        |stage| attestune_proto::v1::Gate { unchecked_leakage: true, ..gate(&policy(), stage).cloned().unwrap() };
    let gates = vec![open(Stage::Staging), open(Stage::Production)];
    let mut world = World::with_policy(Policy { gates, ..policy() });
    let life = world.with_dataset();
    let bought = ModelRegistered {
        model: "triage".into(),
        base: life.base,
        adapter_digest: digest(75),
        adapter: sealed(76),
        origin: "vendor".into(),
    };
    world.must("ella", Body::ModelRegistered(bought));
    world.evaluate(&life, 1, 99);
    world.promote(1, None);
    let answers = Answers::now(&world);
    assert!(answers.gap("sources-known").contains("trained elsewhere"));
    assert!(answers.gap("no-leakage").contains("can't be checked"));
    answers.not_applicable("repeated");
    answers.met("evaluated-before");
    answers.met("approved-by-others");
}

#[test]
fn an_emergency_has_time_until_its_deadline_and_then_is_a_gap() {
    let (mut world, _) = in_production();
    world.adopt(emergency_policy());
    let promoted = world.must("alma", emergency(2, Stage::Production, Some(1)));
    let answers = Answers::now(&world);
    answers.met("emergencies-reviewed");
    assert!(answers.met("emergencies-reviewed").text.ends_with("0 decided on in time, 1 still open"));
    let waiting = answers.met("approved-by-others");
    assert!(waiting.text.contains("1 emergency") && waiting.text.contains("1 waiting"), "{}", waiting.text);

    let late = Answers::of(&world, world.now_ms + EMERGENCY_MS + 1);
    assert!(late.gap("emergencies-reviewed").contains("past the deadline"));
    assert!(late.gap("approved-by-others").contains("0 of 2 approvals"));

    let mut denied = World::of_log(&world.log);
    let reason = RejectionReason::Risk as i32;
    denied.must("anja", Body::PromotionRejected(PromotionRejected { promotion: promoted, reason }));
    let text = &Answers::now(&denied).met("approved-by-others").text.clone();
    assert!(text.starts_with("2 changes, 1 approved") && text.ends_with("1 rejected afterwards"), "{text}");

    world.must("axel", approved(promoted));
    let mut in_time = World::of_log(&world.log);
    in_time.must("anja", approved(promoted));
    let answers = Answers::of(&in_time, in_time.now_ms + 2 * EMERGENCY_MS);
    answers.met("emergencies-reviewed");
    let text = &answers.met("approved-by-others").text;
    assert!(text.starts_with("2 changes, 2 approved"), "{text}");
    assert!(text.ends_with("2 with two approvals or more, 1 emergency, reviewed in time"), "{text}");

    world.now_ms += EMERGENCY_MS;
    world.must("anja", approved(promoted));
    let answers = Answers::now(&world);
    assert!(answers.gap("emergencies-reviewed").contains("after the deadline"));
    assert!(answers.met("approved-by-others").text.contains("not all reviewed in time"));
}

#[test]
fn a_training_that_was_repeated_with_the_same_outcome_is_met() {
    let (mut world, _) = in_production();
    assert!(Answers::now(&world).gap("repeated").contains("never trained a second time"));
    let run = world.row(&attestune_ledger::state::Versions::key("triage", 1)).unwrap().run.unwrap();
    let again = |reproduction: Reproduction| {
        let exact = reproduction == Reproduction::Exact;
        Body::TrainingReproduced(TrainingReproduced {
            run,
            adapter_digest: digest(if exact { 75 } else { 74 }),
            reproduction: reproduction as i32,
            difference_micro: u64::from(!exact),
            environment: Vec::new(),
        })
    };
    world.must("trainer", again(Reproduction::Exact));
    Answers::now(&world).met("repeated");
    world.must("trainer", again(Reproduction::Different));
    assert!(Answers::now(&world).gap("repeated").contains("came out otherwise"));
}

#[test]
fn a_halt_takes_the_question_about_repeating_away() {
    let (mut world, _) = in_production();
    world.must("otto", halted(None));
    Answers::now(&world).not_applicable("repeated");
}
