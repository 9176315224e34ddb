//! Sound bundles, and what they prove to whom.

use crate::house::{House, company, salt, text, told};
use attestune_ledger::evidence::{self, Anchors, Claim, OpenedText, Standing, verify};
use attestune_ledger::tree::{TlogPolicy, WitnessKey, cosign};
use attestune_replay_tests::key;

fn texts<'a>(claims: &'a [Claim], of: impl Fn(&Standing) -> bool + 'a) -> String {
    let chosen = claims.iter().filter(move |claim| of(&claim.standing));
    chosen.map(|claim| format!("{}\n", claim.text)).collect()
}

#[test]
fn a_complete_bundle_proves_the_answer_the_verdicts_and_the_absence() {
    let mut house = House::of(company());
    let last = house.last();
    let draft = house.complete(last);
    let bundle = house.take_out(&draft);
    let report = verify(&bundle, &house.anchors());
    assert_eq!(told(&report), "");
    assert!(report.origin_known);
    let proven = texts(&report.claims, |standing| *standing == Standing::Proven);
    for claim in [
        "whole, in order and unaltered",
        "folded again by the rules",
        "triage@1 was in force as of position",
        "alma approved it at",
        "none of them took part",
        "nothing changed that",
        "otto signed at position",
    ] {
        assert!(proven.contains(claim), "{claim} is proven:\n{proven}");
    }
    let attested = texts(&report.claims, |standing| matches!(standing, Standing::Attested(by) if by == "evaluator"));
    assert!(attested.contains("accuracy 97 of 100"), "{attested}");
    assert!(texts(&report.claims, |standing| matches!(standing, Standing::Asserted(_))).contains("since 2026-"));
}

#[test]
fn a_bundle_about_an_earlier_moment_says_what_followed() {
    let mut house = House::of(company());
    let rolled_back = house.last();
    let draft = house.complete(rolled_back - 1);
    assert_eq!(draft.manifest().version, 2);
    let bundle = house.take_out(&draft);
    let report = verify(&bundle, &house.anchors());
    assert_eq!(told(&report), "");
    assert!(texts(&report.claims, |_| true).contains("followed by version 1"), "{:?}", report.claims);
    // Before the first promotion no version was in force, which is an answer, too.
    let draft = house.complete(40);
    let bundle = house.take_out(&draft);
    assert!(texts(&verify(&bundle, &house.anchors()).claims, |_| true).contains("no version of triage was in force"));
}

#[test]
fn a_slice_proves_what_was_signed_and_attests_the_rest() {
    let mut house = House::of(company());
    let last = house.last();
    let draft = house.slice(last);
    let bundle = house.take_out(&draft);
    let report = verify(&bundle, &house.anchors());
    assert_eq!(told(&report), "");
    let proven = texts(&report.claims, |standing| *standing == Standing::Proven);
    assert!(
        proven.contains("alma signed an approval of it") && proven.contains("members in population.csv"),
        "{proven}"
    );
    let by_signer = texts(&report.claims, |s| matches!(s, Standing::Attested(by) if by.starts_with("the signer of")));
    assert!(by_signer.contains("triage@1 came into force"), "{by_signer}");
    let by_exporter = texts(&report.claims, |s| matches!(s, Standing::Attested(by) if by == "otto"));
    assert!(by_exporter.contains("nothing that is not here changed that"), "{by_exporter}");
    // A slice of a moment at which nothing was in force.
    let draft = house.slice(40);
    let bundle = house.take_out(&draft);
    assert_eq!(told(&verify(&bundle, &house.anchors())), "");
}

#[test]
fn a_slice_holds_no_event_of_another_model() {
    let mut world = company();
    world.must("sten", attestune_replay_tests::ingested("secret", 2));
    let at = world.next() - 1;
    let house = House::of(world);
    let positions: Vec<u64> =
        house.slice_entries(at).iter().map(|entry| entry.decided.as_ref().unwrap().position).collect();
    assert!(!positions.contains(&at), "{positions:?}");
    assert!(positions.len() < at as usize && positions.is_sorted());
}

#[test]
fn without_anything_known_from_outside_a_bundle_proves_nothing() {
    let mut house = House::of(company());
    let draft = house.slice(house.last());
    let bundle = house.take_out(&draft);
    let report = verify(&bundle, &Anchors::default());
    assert!(report.holds() && !report.origin_known);
    let checkpoint_key = Some(key("checkpoint").public());
    let report = verify(&bundle, &Anchors { checkpoint_key, ..Anchors::default() });
    assert!(report.holds() && report.origin_known);
    let checkpoint_key = Some(key("another").public());
    let report = verify(&bundle, &Anchors { checkpoint_key, ..Anchors::default() });
    assert!(told(&report).contains("another checkpoint signer"), "{}", told(&report));
}

#[test]
fn opened_texts_are_held_against_their_commitments_and_may_be_taken_out() {
    let mut house = House::of(company());
    let draft_of = |house: &House, kind: &str| match kind {
        "complete" => house.complete(house.last()),
        _ => house.slice(house.last()),
    };
    for kind in ["complete", "slice"] {
        let mut draft = draft_of(&house, kind);
        for index in [0, 3] {
            draft.open(&OpenedText { salt: salt(index), content: text(index) });
        }
        assert_eq!(draft.event().texts.len(), 2);
        let bundle = house.take_out(&draft);
        let report = verify(&bundle, &house.anchors());
        assert_eq!(told(&report), "");
        assert!(texts(&report.claims, |_| true).contains("2 of 2 opened texts are here"), "{:?}", report.claims);
        let without = crate::altered::repacked(&bundle, |name, _| !name.starts_with("texts/"));
        let report = verify(&without, &house.anchors());
        assert_eq!(told(&report), "");
        assert!(texts(&report.claims, |_| true).contains("0 of 2 opened texts are here"));

        let mut draft = draft_of(&house, kind);
        draft.open(&OpenedText { salt: salt(0), content: b"another text".to_vec() });
        let bundle = house.take_out(&draft);
        let report = verify(&bundle, &house.anchors());
        assert!(told(&report).contains("no event of the bundle names this text"), "{}", told(&report));
    }
}

#[test]
fn a_trust_policy_asks_for_its_log_and_its_witnesses() {
    let mut house = House::of(company());
    let (entries, verdicts) = house.notes();
    let log = house.replica.checkpoint(false).unwrap().verifier_key;
    let witness = |name: &str| {
        WitnessKey::new(format!("{name}.example").parse().unwrap(), key(name).inner().verifying_key()).unwrap()
    };
    let line = cosign(&entries, witness("w1").name(), key("w1").inner(), 1_780_000_000).unwrap();
    let request = house.request(house.last());
    let export = evidence::Export::write(&format!("{entries}{line}"), &verdicts, &house.entries());
    let draft = evidence::complete(&export, &request).unwrap();
    let bundle = house.take_out(&draft);
    let with = |policy: &str| {
        let policy: TlogPolicy = policy.parse().unwrap();
        verify(&bundle, &Anchors { policy: Some(policy), ..Anchors::default() })
    };
    let report = with(&format!("log {log}\nwitness one {}\nquorum one\n", witness("w1")));
    assert_eq!(told(&report), "");
    assert!(
        report.claims.iter().any(|c| c.standing == Standing::Attested("witness one".into())),
        "{:?}",
        report.claims
    );
    let report = with(&format!("log {log}\nwitness two {}\nquorum two\n", witness("w2")));
    assert!(
        told(&report).contains("quorum two is not met") && told(&report).contains("w1.example"),
        "{}",
        told(&report)
    );
    let other = log.replace("attestune/test", "attestune/other");
    let bad_log = attestune_ledger::tree::VerifierKey::new(
        "attestune/other/1".parse().unwrap(),
        key("checkpoint").inner().verifying_key(),
    )
    .unwrap();
    assert_ne!(other, log);
    let report = with(&format!("log {bad_log}\nquorum none\n"));
    assert!(told(&report).contains("none of the trust policy's 1 logs"), "{}", told(&report));
    // Witnesses alone tie nothing to a ledger.
    let report = with(&format!("witness one {}\nquorum one\n", witness("w1")));
    assert!(report.holds() && !report.origin_known);
}
