//! Bundles about what comes after a promotion: halts, emergencies, erasures, experiments.

use crate::house::{House, company, salt, text, told};
use attestune_ledger::evidence::{OpenedText, Report, Standing, verify};
use attestune_ledger::query;
use attestune_proto::v1::{WhyInForceResponse, event::Body};
use attestune_replay_tests::*;

/// What a bundle of either kind about a moment claims, sound as it must be.
fn claimed(house: &mut House, slice: bool, at: u64) -> Report {
    let draft = if slice { house.slice(at) } else { house.complete(at) };
    let bundle = house.take_out(&draft);
    let report = verify(&bundle, &house.anchors());
    assert_eq!(told(&report), "", "at {at}, slice {slice}");
    report
}

fn says(report: &Report, text: &str, proven: bool) -> bool {
    let mut claims = report.claims.iter().filter(|claim| claim.text.contains(text));
    claims.any(|claim| (claim.standing == Standing::Proven) == proven)
}

/// The first moment whose answer is such.
fn moment(house: &House, such: impl Fn(&WhyInForceResponse) -> bool) -> u64 {
    let answer = |at: &u64| query::why(&house.replica.view_at(*at).view(), "triage").ok();
    (0..house.world.next()).find(|at| answer(at).as_ref().is_some_and(&such)).unwrap()
}

#[test]
fn whatever_happens_after_promotion_both_kinds_of_bundle_are_sound() {
    for scenario in [after_promotion, emergencies, serving_and_experiments, watching_and_schedules, erasure_and_holds] {
        let mut house = House::of(scenario());
        let last = house.last();
        let first = moment(&house, |answer| answer.version != 0);
        // The answer changes with what happens to the model: each moment at which it does.
        let mut before = None;
        for at in first..=last {
            let answer = house.answer(at);
            let short =
                (answer.version, answer.since_position, answer.challenger, answer.halt.map(|halt| halt.position));
            if before.as_ref() != Some(&short) || at == last {
                claimed(&mut house, true, at);
                if at % 3 == 0 || at == last {
                    claimed(&mut house, false, at);
                }
                before = Some(short);
            }
        }
    }
}

#[test]
fn a_halt_is_said_with_what_was_in_force_until_then() {
    let mut house = House::of(after_promotion());
    let at = house.last();
    let text = "version 1 was in force until then";
    assert!(says(&claimed(&mut house, false, at), text, true));
    assert!(says(&claimed(&mut house, true, at), text, false), "a slice attests it");
}

#[test]
fn an_emergency_is_said_before_and_after_its_approvals_have_come() {
    let mut house = House::of(emergencies());
    let emergency = |answer: &WhyInForceResponse| answer.promotion.clone().filter(|promotion| promotion.emergency);
    let waits = moment(&house, |answer| emergency(answer).is_some());
    let reviewed = moment(&house, |answer| emergency(answer).is_some_and(|promotion| promotion.reviewed_at != 0));
    for (slice, proven) in [(false, true), (true, false)] {
        let report = claimed(&mut house, slice, waits);
        assert!(says(&report, "in an emergency, ahead of the 2 approvals, which were still missing", proven));
        let report = claimed(&mut house, slice, reviewed);
        assert!(says(&report, "in an emergency, ahead of the 2 approvals, the last of which came at", proven));
        assert!(says(&report, "after the deadline", true), "{:?}", report.claims);
    }
}

#[test]
fn members_that_were_erased_are_told_of() {
    let mut house = House::of(after_promotion());
    let reached = moment(&house, |answer| !answer.erasures.is_empty());
    assert!(says(&claimed(&mut house, false, reached), "of these members out", true));
}

#[test]
fn an_erasure_reaches_the_bundles_in_which_a_text_of_the_person_was_opened() {
    let mut house = House::of(company());
    let mut opened = house.complete(house.last());
    opened.open(&OpenedText { salt: salt(0), content: text(0) });
    house.take_out(&opened);
    let mut others = house.complete(house.last());
    others.open(&OpenedText { salt: salt(3), content: text(3) });
    house.take_out(&others);
    let documents = query::list_batches(&house.replica.view(), "").unwrap().documents[0].position;
    let gone = erased(&house.world, &[indices(documents, &[0])]);
    let erasure = house.act("sten", Body::SubjectErased(gone));
    let found = query::erasure(&house.replica.view(), erasure).unwrap();
    let manifests: Vec<_> = found.exports.into_iter().map(|export| export.manifest).collect();
    assert_eq!(manifests, [opened.event().manifest], "the one with text 0");
}
