//! Scenarios: worlds in which much happened. Tests look at how they ended; the golden logs keep them byte by byte.

use crate::*;
use attestune_ledger::state::Models;
use attestune_proto::v1::*;
use prost::Message as _;

/// A scenario's name, which its golden log has, and what makes it.
pub type Scenario = (&'static str, fn() -> World);

/// Every scenario: the whole life first, then those that are about what is refused. All worlds begin alike, so that
/// they are of one ledger, but for the first of these, [`the_door`].
pub const SCENARIOS: [Scenario; 16] = [
    ("whole-life", whole_life),
    ("the-door", the_door),
    ("every-event", every_event),
    ("keys-and-roles", keys_and_roles),
    ("data-and-review", data_and_review),
    ("training-and-evaluation", training_and_evaluation),
    ("the-gate", the_gate),
    ("promotion-and-rollback", promotion_and_rollback),
    ("blind-second-review", blind_second_review),
    ("after-promotion", after_promotion),
    ("serving-and-experiments", serving_and_experiments),
    ("emergencies", emergencies),
    ("watching-and-schedules", watching_and_schedules),
    ("erasure-and-holds", erasure_and_holds),
    ("evidence", evidence),
    ("scan-coverage", scan_coverage),
];

/// What is no event at all, and a genesis that breaks its own rules.
pub fn the_door() -> World {
    let mut world = World::empty();
    let early = world.draft("ada", ingested("tickets", 1));
    assert_eq!(world.push(sign(&early, &["ada"])).code(), "no-ledger");
    let bad = LedgerCreated { threshold: 3, ..genesis(policy()) };
    assert_eq!(world.create(bad).code(), "bad-genesis");
    assert_eq!(world.create(genesis(policy())).code(), "");
    let event = world.draft("ada", register(&world.ledger.clone(), "sten", "sten", ActorKind::Person));
    let good = sign(&event, &["ada"]);
    assert_eq!(world.push(b"hello".to_vec()).code(), "not-an-envelope");
    let mut loose = good.clone();
    loose.extend([0x22, 0]);
    assert_eq!(world.push(loose).code(), "not-canonical");
    let mut envelope = Envelope::decode(good.as_slice()).expect("an envelope");
    envelope.signatures.clear();
    assert_eq!(world.push(envelope.encode_to_vec()).code(), "signatures-unordered");
    assert_eq!(world.push(sign(&event, &["nobody"])).code(), "unknown-key");
    let mut envelope = Envelope::decode(good.as_slice()).expect("an envelope");
    envelope.signatures[0].sig[5] ^= 1;
    assert_eq!(world.push(envelope.encode_to_vec()).code(), "bad-signature");
    let mut other = event.clone();
    other.ledger = vec![9; 32];
    assert_eq!(world.push(sign(&other, &["ada"])).code(), "other-ledger");
    assert_eq!(world.push(good).verdict, Verdict::Accepted);
    world
}

/// Guards that every event passes, whatever its kind.
pub fn every_event() -> World {
    let mut world = World::new();
    let mut event = world.draft("sten", ingested("tickets", 1));
    event.body = None;
    assert_eq!(world.push(sign(&event, &["sten"])).code(), "unknown-kind");
    let mut short = world.draft("sten", ingested("tickets", 1));
    short.id.pop();
    assert_eq!(world.push(sign(&short, &["sten"])).code(), "bad-id");
    let first = world.draft("sten", ingested("tickets", 1));
    let bytes = sign(&first, &["sten"]);
    let at = world.next();
    assert_eq!(world.push(bytes.clone()).code(), "");
    let again = world.push(bytes);
    assert_eq!((again.verdict, again.first), (Verdict::Duplicate, Some(at)));
    let other = Event { claimed_at_ms: 1, ..first };
    assert_eq!(world.push(sign(&other, &["sten"])).code(), "id-used");
    let genesis = Body::LedgerCreated(genesis(policy()));
    assert_eq!(world.act_by(&["ada", "omar"], genesis).code(), "ledger-exists");
    let event = world.draft("sten", ingested("tickets", 1));
    assert_eq!(world.push(sign(&event, &["rita"])).code(), "actor-did-not-sign");
    let mut blind = world.draft("sten", ingested("tickets", 1));
    blind.seen = Some(Seen { size: 3, root: vec![7; 32] });
    assert_eq!(world.push(sign(&blind, &["sten"])).code(), "seen-unknown");
    let old = world.draft("sten", ingested("tickets", 1));
    world.must("sten", ingested("unseen", 1));
    world.now_ms += 2 * 86_400_000;
    assert_eq!(world.push(sign(&old, &["sten"])).code(), "seen-too-old");
    let mut effect_first = world.draft("sten", ingested("tickets", 1));
    effect_first.cause = Some(world.next());
    assert_eq!(world.push(sign(&effect_first, &["sten"])).code(), "cause-unknown");
    world.refused("sten", ingested("Tickets!", 1), "bad-identifier");
    world.refused("sten", ingested("tickets", 0), "bad-field");
    let adopt = || Body::PolicyAdopted(PolicyAdopted { policy: Some(policy()) });
    world.refused("ada", adopt(), "root-signatures-missing");
    assert_eq!(world.act_by(&["sten", "rita"], ingested("tickets", 1)).code(), "too-many-signatures");
    world.refused("rita", ingested("tickets", 1), "role-missing");
    let rules = Body::RulesActivated(RulesActivated { version: 9 });
    assert_eq!(world.act_by(&["ada", "omar"], rules).code(), "bad-rules-version");
    let lie = StateAttested { size: 3, verdict_root: digest(3) };
    world.refused("gateway", Body::StateAttested(lie), "state-differs");
    let bad = Body::PolicyAdopted(PolicyAdopted { policy: None });
    assert_eq!(world.act_by(&["ada", "omar"], bad).code(), "bad-policy");
    assert_eq!(world.act_by(&["ada", "omar"], adopt()).code(), "");
    world
}

/// Keys and roles: second keys, possession, revocation, second signers.
pub fn keys_and_roles() -> World {
    let mut world = World::new();
    let ledger = world.ledger;
    let person = ActorKind::Person;
    world.refused("ada", register(&ledger, "sten", "sten", person), "key-known");
    world.refused("ada", register(&[1; 32], "tove", "tove", person), "key-unfit");
    world.refused("ada", register(&ledger, "sten", "sten2", ActorKind::Worker), "actor-differs");
    world.refused("ada", register(&ledger, "sten", "sten2", person), "key-needs-holder");
    world.must("sten", register(&ledger, "sten", "sten2", person));
    world.refused("sten", register(&ledger, "tove", "tove", person), "role-missing");
    let revoke =
        |name: &str| Body::KeyRevoked(KeyRevoked { keyid: key(name).keyid(), reason: RevocationReason::Lost as i32 });
    world.refused("ada", revoke("nobody"), "unknown-key-named");
    world.must("ada", revoke("sten"));
    assert_eq!(world.act("sten", ingested("tickets", 1)).code(), "key-revoked");
    world.refused("ada", revoke("sten"), "key-revoked");
    let by_the_second = world.draft("sten", ingested("tickets", 1));
    assert_eq!(world.push(sign(&by_the_second, &["sten2"])).code(), "");
    world.must_by(&["ada", "omar"], register(&ledger, "sten", "sten3", person));
    world.refused("ada", revoke("omar"), "root-needed");
    world.refused("ada", grant("nobody", Role::Steward), "unknown-actor");
    world.refused("ada", grant("sten", Role::Steward), "role-held");
    world.refused("ada", grant("trainer", Role::Steward), "role-unfit");
    world.refused("ada", grant("sten", Role::Approver), "second-signer-missing");
    let withdraw =
        |actor: &str, role: Role| Body::RoleWithdrawn(RoleWithdrawn { actor: actor.into(), role: role as i32 });
    world.refused("ada", withdraw("sten", Role::Approver), "role-not-held");
    world.refused("ada", withdraw("omar", Role::Admin), "root-needed");
    world.must("ada", withdraw("sten", Role::Steward));
    let without_role = world.draft("sten", ingested("tickets", 1));
    assert_eq!(world.push(sign(&without_role, &["sten2"])).code(), "role-missing");
    world.must_by(&["ada", "omar"], grant("sten", Role::Approver));
    world.must("ada", revoke("sten2"));
    world
}

/// Batches, scans, reviews, and freezes that do not fit.
pub fn data_and_review() -> World {
    let mut world = World::new();
    let documents = world.must("sten", ingested("tickets", 4));
    world.refused("sten", derived(documents + 1, 4), "unknown-batch");
    world.refused("sten", derived(documents, 5), "index-outside");
    let batch = world.must("sten", derived(documents, 4));
    let freeze = frozen(&world, "tickets", &["tickets"]);
    world.refused("sten", Body::DatasetFrozen(freeze), "nothing-eligible");
    world.must("scanner", scanned(batch, &[1, 2]));
    world.refused("scanner", scanned(batch, &[]), "done-before");
    world.must("checker", checked(batch));
    assert_eq!(frozen(&world, "tickets", &["tickets"]).count, 2);
    world.act_by(&["ada", "omar"], grant("sten", Role::Admin));
    let review = |index| reviewed(batch, index, ReviewVerdict::Approve);
    world.must("ada", grant("sten", Role::Reviewer));
    world.refused("sten", review(1), "reviewer-made-it");
    world.must("rita", reviewed(batch, 1, ReviewVerdict::Redact));
    world.refused("rolf", review(1), "reviewed-before");
    let reopen = |index| Body::ReviewReopened(ReviewReopened { batch, indices: vec![index] });
    world.refused("rolf", reopen(2), "not-reviewed");
    let before = frozen(&world, "tickets", &["tickets"]);
    assert_eq!(before.count, 3);
    world.must("rita", reopen(1));
    world.refused("sten", Body::DatasetFrozen(before.clone()), "member-lost");
    let ahead = DatasetFrozen { at: world.next() + 5, ..before.clone() };
    world.refused("sten", Body::DatasetFrozen(ahead), "freeze-ahead");
    let wrong = DatasetFrozen { count: 9, ..frozen(&world, "tickets", &["tickets"]) };
    world.refused("sten", Body::DatasetFrozen(wrong), "members-differ");
    let freeze = frozen(&world, "tickets", &["tickets"]);
    world.must("sten", Body::DatasetFrozen(freeze));
    world
}

/// Every flagged example is decided on by two people, neither shown what the other said; where they disagree, a third
/// decides. Claims keep others away, and end.
pub fn blind_second_review() -> World {
    use ReviewVerdict::{Approve, Redact, Reject};
    let mut world = World::new();
    world.cast("rosa", ActorKind::Person, Role::Reviewer);
    let none = ReviewReason::NoPersonalData;
    let reasons = vec![VerdictReasons { verdict: Approve as i32, reasons: vec![none as i32] }];
    let rules = ReviewRules {
        reasons,
        second_review_ppm: 1_000_000,
        claim_ms: 600_000,
        due_ms: 86_400_000,
        allow_list: sealed(12),
    };
    world.must_by(&["ada", "omar"], reviewing(rules));
    let documents = world.must("sten", ingested("tickets", 4));
    let batch = world.must("sten", derived(documents, 4));
    world.must("scanner", scanned(batch, &[1, 2, 3]));
    world.must("checker", checked(batch));

    let due_ms = world.now_ms + 3_600_000;
    world.must("otto", assigned(batch, &[1], "rita", due_ms));
    world.refused("rolf", claimed(batch, &[1], "rolf"), "assigned-to-another");
    world.must("rolf", claimed(batch, &[2, 3], "rolf"));
    world.must("rolf", claimed(batch, &[2], "rolf"));
    world.refused("rita", claimed(batch, &[1, 3], "rita"), "lease-held");
    world.refused("rita", claimed(batch, &[1], "rolf"), "bad-field");
    world.refused("sten", claimed(batch, &[1], "sten"), "role-missing");

    let eligible = |world: &World| frozen(world, "tickets", &["tickets"]).count;
    world.refused("rita", reviewed(batch, 1, Approve), "reason-not-taken");
    let redact = |hidden: (u32, u32)| decided(batch, 1, Redact, ReviewReason::PersonalData, &[hidden]);
    world.refused("rita", redact((9, 9)), "bad-field");
    world.must("rita", redact((3, 9)));
    world.refused("rita", redact((3, 9)), "another-reviewer-needed");
    world.refused("rita", claimed(batch, &[1], "rita"), "another-reviewer-needed");
    assert_eq!(eligible(&world), 1, "only the one that is not flagged");
    world.must("rolf", redact((3, 9)));
    assert_eq!(eligible(&world), 2, "the two agree");
    world.refused("rosa", redact((3, 9)), "reviewed-before");
    world.refused("rosa", claimed(batch, &[1], "rosa"), "reviewed-before");

    world.must("rolf", decided(batch, 2, Approve, none, &[]));
    world.must("rita", reviewed(batch, 2, Reject));
    assert_eq!(eligible(&world), 2, "the two disagree");
    world.refused("rita", decided(batch, 2, Approve, none, &[]), "another-reviewer-needed");
    world.must("rosa", decided(batch, 2, Approve, none, &[]));
    assert_eq!(eligible(&world), 3, "the third decides");

    world.now_ms += 600_000;
    world.must("rita", claimed(batch, &[3], "rita"));
    let reopen = ReviewReopened { batch, indices: vec![2] };
    world.must("rosa", Body::ReviewReopened(reopen));
    assert_eq!(eligible(&world), 2, "all that was decided on it is set aside");
    world.must("rita", decided(batch, 2, Approve, none, &[]));
    world.must("rolf", decided(batch, 2, Approve, none, &[]));
    let freeze = frozen(&world, "tickets", &["tickets"]);
    assert_eq!(freeze.count, 3);
    world.must("sten", Body::DatasetFrozen(freeze));
    world
}

/// Leases, tokens and results that do not fit.
pub fn training_and_evaluation() -> World {
    let mut world = World::new();
    let life = world.with_dataset();
    let request = |t: TrainingRequested| Body::TrainingRequested(t);
    world.refused("ella", request(training(99, life.base)), "unknown-dataset");
    world.refused("ella", request(training(life.dataset, 99)), "unknown-base");
    let mut odd = training(life.dataset, life.base);
    odd.hyperparameters.as_mut().expect("set").learning_rate = "1e-3".into();
    world.refused("ella", request(odd), "bad-hyperparameter");
    let run = world.must("ella", request(training(life.dataset, life.base)));
    let claim = |run, previous| Body::TrainingClaimed(TrainingClaimed { run, previous });
    world.refused("trainer", claim(99, None), "unknown-run");
    let token = world.must("trainer", claim(run, None));
    world.cast("trainer-2", ActorKind::Worker, Role::Trainer);
    world.refused("trainer-2", claim(run, Some(token)), "lease-held");
    let token = world.must("trainer", claim(run, Some(token)));
    world.refused("trainer", claim(run, None), "claim-outdated");
    let stale = completed(&world, run, token - 1);
    world.refused("trainer", Body::TrainingCompleted(stale), "token-outdated");
    let other = TrainingCompleted { weights_digest: digest(0), ..completed(&world, run, token) };
    world.refused("trainer", Body::TrainingCompleted(other), "inputs-differ");
    world.now_ms += 600_000;
    let late = completed(&world, run, token);
    world.refused("trainer", Body::TrainingCompleted(late), "lease-expired");
    let token = world.must("trainer", claim(run, Some(token)));
    let done = completed(&world, run, token);
    let ended = world.must("trainer", Body::TrainingCompleted(done));
    assert!(
        world
            .refused("trainer", claim(run, Some(token)), "ended")
            .refusal
            .expect("refused")
            .to_string()
            .contains(&ended.to_string())
    );
    let select = HyperparametersSelected { model: "triage".into(), dataset: life.dataset, runs: vec![run], chosen: 1 };
    world.refused("ella", Body::HyperparametersSelected(select), "run-not-completed");
    let tiny = SuiteRegistered {
        bound: Bound::Lower95 as i32,
        categories: vec![Category { category: "accuracy".into(), cases: 58, bar_ppm: 950_000 }],
        ..suite()
    };
    world.refused("ella", Body::SuiteRegistered(tiny), "category-too-small");
    let ask =
        |version, suite| Body::EvaluationRequested(EvaluationRequested { model: "triage".into(), version, suite });
    world.refused("ella", ask(2, life.suite), "unknown-version");
    world.refused("ella", ask(1, 1), "unknown-suite");
    let evaluation = world.must("ella", ask(1, life.suite));
    let claim = |evaluation| Body::EvaluationClaimed(EvaluationClaimed { evaluation, previous: None });
    world.refused("evaluator", claim(1), "unknown-evaluation");
    let token = world.must("evaluator", claim(evaluation));
    world.refused("evaluator", Body::EvaluationCompleted(results(evaluation, token, 101)), "results-unfit");
    world.must("evaluator", Body::EvaluationCompleted(results(evaluation, token, 100)));
    world
}

/// A gate that is failed in each of its ways.
pub fn the_gate() -> World {
    let mut world = World::new();
    let life = world.with_dataset();
    world.train(&life);
    let ask = || promotion(1, Stage::Staging, None);
    world.refused("ella", ask(), "evaluation-missing");
    let evaluation = world.must(
        "ella",
        Body::EvaluationRequested(EvaluationRequested { model: "triage".into(), version: 1, suite: life.suite }),
    );
    let token = world.must("evaluator", Body::EvaluationClaimed(EvaluationClaimed { evaluation, previous: None }));
    world.must("evaluator", Body::EvaluationCompleted(results(evaluation, token, 94)));
    world.refused("ella", ask(), "leakage-unknown");
    world.must("checker", leakage(&world, &life, 1));
    world.refused("ella", ask(), "leakage-found");
    world.must("checker", leakage(&world, &life, 0));
    let failed = world.refused("ella", ask(), "gate-failed").refusal.expect("refused").to_string();
    assert!(failed.contains("94 of 100 passed, 95 needed for 950000 ppm"), "{failed}");
    // A suite that came after the training cannot judge it.
    let late = Life { suite: world.must("ella", Body::SuiteRegistered(suite())), ..life };
    world.evaluate(&late, 1, 100);
    world.refused("ella", ask(), "suite-too-late");
    world.evaluate(&life, 1, 100);
    let strict = |ppm| {
        let mut policy = policy();
        policy.gates.iter_mut().for_each(|g| g.bar_ppm = ppm);
        Body::PolicyAdopted(PolicyAdopted { policy: Some(policy) })
    };
    assert_eq!(world.act_by(&["ada", "omar"], strict(990_000)).code(), "");
    world.refused("ella", ask(), "bar-too-low");
    assert_eq!(world.act_by(&["ada", "omar"], strict(950_000)).code(), "");
    let withdrawn = Body::RoleWithdrawn(RoleWithdrawn { actor: "evaluator".into(), role: Role::Evaluator as i32 });
    world.must("ada", withdrawn);
    world.refused("ella", ask(), "evaluation-void");
    world
}

/// Bundles of evidence that leave the house, and such that may not.
pub fn evidence() -> World {
    let mut world = World::new();
    let life = world.with_dataset();
    world.train(&life);
    let good = EvidenceExported { version: 0, ..evidence_exported(&world) };
    let mut refused = |body: EvidenceExported, code: &str| {
        world.refused("otto", Body::EvidenceExported(body), code);
    };
    refused(EvidenceExported { kind: 0, ..good.clone() }, "bad-field");
    refused(EvidenceExported { purpose: 9, ..good.clone() }, "bad-field");
    refused(EvidenceExported { model: "Triage!".into(), ..good.clone() }, "bad-identifier");
    refused(EvidenceExported { manifest: vec![1], ..good.clone() }, "bad-field");
    refused(EvidenceExported { model: "unknown".into(), ..good.clone() }, "unknown-version");
    refused(EvidenceExported { version: 9, ..good.clone() }, "unknown-version");
    refused(EvidenceExported { size: 0, ..good.clone() }, "bad-field");
    refused(EvidenceExported { size: 1_000, ..good.clone() }, "bad-field");
    refused(EvidenceExported { positions: vec![1], ..good.clone() }, "bad-field");
    let slice = EvidenceExported { kind: BundleKind::Slice as i32, positions: vec![0, 3], ..good.clone() };
    refused(EvidenceExported { positions: vec![], ..slice.clone() }, "bad-field");
    refused(EvidenceExported { positions: vec![3, 0], ..slice.clone() }, "bad-field");
    refused(EvidenceExported { positions: vec![slice.size], ..slice.clone() }, "bad-field");
    refused(EvidenceExported { texts: vec![vec![1; 31]], ..slice.clone() }, "bad-field");
    world.refused("ella", Body::EvidenceExported(good.clone()), "role-missing");
    world.must("otto", Body::EvidenceExported(good));
    world.must("otto", Body::EvidenceExported(EvidenceExported { version: 1, texts: vec![digest(100)], ..slice }));
    world
}

/// A complete bundle on the model `triage`, for a regulator.
fn evidence_exported(world: &World) -> EvidenceExported {
    EvidenceExported {
        kind: BundleKind::Complete as i32,
        purpose: ExportPurpose::Regulator as i32,
        model: "triage".into(),
        version: 1,
        size: world.next(),
        manifest: digest(48),
        positions: Vec::new(),
        texts: Vec::new(),
    }
}

/// Promotions asked, approved and taken back by the wrong ones or too early.
pub fn promotion_and_rollback() -> World {
    let mut world = World::new();
    let life = world.with_dataset();
    world.train(&life);
    world.evaluate(&life, 1, 97);
    world.refused("ella", promotion(1, Stage::Production, None), "wrong-stage");
    let staging = world.must("ella", promotion(1, Stage::Staging, None));
    world.refused("ella", promotion(1, Stage::Staging, None), "promotion-open");
    world.refused("alma", approved(1), "unknown-promotion");
    let withdraw = |promotion| Body::PromotionWithdrawn(PromotionWithdrawn { promotion });
    world.refused("axel", withdraw(staging), "not-the-requester");
    let mut unseen = world.draft("alma", approved(staging));
    unseen.seen = Some(Seen { size: 1, root: world.root_at(1) });
    assert_eq!(world.push(sign(&unseen, &["alma"])).code(), "request-not-seen");
    world.must("alma", approved(staging));
    world.refused("axel", approved(staging), "promotion-decided");
    world.refused("ella", promotion(1, Stage::Production, Some(3)), "not-in-force");
    let own = world.must("alma", promotion(1, Stage::Production, None));
    world.refused("alma", approved(own), "approver-took-part");
    world.must("axel", approved(own));
    world.refused("axel", approved(own), "approved-before");
    let browser = KeyRegistered {
        custody: KeyCustody::Browser as i32,
        ..match register(&world.ledger.clone(), "anja", "anja2", ActorKind::Person) {
            Body::KeyRegistered(b) => b,
            _ => unreachable!(),
        }
    };
    world.must("anja", Body::KeyRegistered(browser));
    let mut event = world.draft("anja", approved(own));
    event.actor = "anja".into();
    assert_eq!(world.push(key("anja2").sign_event(&event)).code(), "browser-key");
    // The log's clock falls behind: promotions wait.
    world.now_ms -= 300_000;
    world.refused("anja", approved(own), "clock-lagging");
    world.now_ms += 300_000;
    world.must("anja", approved(own));
    assert_eq!(world.row(&Models::key("triage")).unwrap_or_default().in_force, 1);
    world.refused("ella", rolled_back(1, 1), "no-way-back");
    world.refused("ella", rolled_back(2, 1), "unknown-version");
    world
}

/// Two versions of a model from their documents into production, and back to the first. Every kind that has rules is
/// accepted in it, but RulesActivated, as there is no second version of the rules.
pub fn whole_life() -> World {
    let mut world = World::new();
    people_come_and_go(&mut world);
    let mut life = data_is_reviewed(&mut world);
    let freeze = frozen(&world, "tickets", &["tickets"]);
    life.dataset = world.must("sten", Body::DatasetFrozen(freeze));
    life.base = world.must("ella", base());
    life.suite = world.must("ella", Body::SuiteRegistered(suite()));
    the_first_run_fails(&mut world, &life);
    let run = world.train(&life);
    the_run_is_told_apart(&mut world, &life, run);
    the_evaluator_falls_ill(&mut world, &life);
    world.evaluate(&life, 1, 97);
    two_requests_come_to_nothing(&mut world);
    world.promote(1, None);

    let documents = world.must("sten", ingested("tickets", 3));
    let batch = world.must("sten", derived(documents, 3));
    world.must("scanner", scanned(batch, &[]));
    world.must("checker", checked(batch));
    let freeze = frozen(&world, "tickets", &["tickets"]);
    let second = Life { dataset: world.must("sten", Body::DatasetFrozen(freeze)), ..life };
    world.train(&second);
    world.evaluate(&second, 2, 99);
    world.promote(2, Some(1));
    world.must("otto", rolled_back(2, 1));
    let bought = ModelRegistered {
        model: "bought".into(),
        base: life.base,
        adapter_digest: digest(90),
        adapter: sealed(91),
        origin: "vendor".into(),
    };
    world.must("ella", Body::ModelRegistered(bought));
    let export = evidence_exported(&world);
    world.must("otto", Body::EvidenceExported(export));
    let time_ms = world.now_ms + 60_000;
    world.must_by(&["ada", "omar"], Body::ClockCorrected(ClockCorrected { time_ms }));
    world
}

fn people_come_and_go(world: &mut World) {
    let ledger = world.ledger;
    let size = world.next();
    let root = View::new(&world.state, size).verdict_root(size).expect("memory can be read");
    let attested = StateAttested { size, verdict_root: root.0.to_vec() };
    world.must("gateway", Body::StateAttested(attested));
    world.must_by(&["ada", "omar"], Body::PolicyAdopted(PolicyAdopted { policy: Some(policy()) }));
    world.must("ada", register(&ledger, "tess", "tess", ActorKind::Person));
    world.must("ada", grant("tess", Role::Steward));
    world.must("tess", ingested("spam", 2));
    world.must("ada", Body::RoleWithdrawn(RoleWithdrawn { actor: "tess".into(), role: Role::Steward as i32 }));
    let left = KeyRevoked { keyid: key("tess").keyid(), reason: RevocationReason::Left as i32 };
    world.must("ada", Body::KeyRevoked(left));
}

/// Of six examples one is redacted, one rejected, one a duplicate: four are members.
fn data_is_reviewed(world: &mut World) -> Life {
    let documents = world.must("sten", ingested("tickets", 6));
    let batch = world.must("sten", derived(documents, 6));
    world.must("scanner", scanned(batch, &[1, 4]));
    let issue =
        QualityIssue { index: 5, quality: Quality::ExactDuplicate as i32, of: Some(ExampleRef { batch, index: 0 }) };
    let found = ExamplesChecked { batch, checker: Some(checker()), issues: vec![issue] };
    world.must("checker", Body::ExamplesChecked(found));
    let due_ms = world.now_ms + 86_400_000;
    world.must("otto", assigned(batch, &[1, 4], "rita", due_ms));
    let read = ContentAccessed { reader: "rita".into(), token_hash: digest(5), commitments: vec![digest(101)] };
    world.must("gateway", Body::ContentAccessed(read));
    let denied = AccessDenied { reader: "mallory".into(), token_hash: digest(6), commitments: vec![digest(101)] };
    world.must("gateway", Body::AccessDenied(denied));
    world.must("rita", reviewed(batch, 1, ReviewVerdict::Redact));
    world.must("rita", reviewed(batch, 4, ReviewVerdict::Approve));
    world.must("rolf", Body::ReviewReopened(ReviewReopened { batch, indices: vec![4] }));
    world.must("rolf", reviewed(batch, 4, ReviewVerdict::Reject));
    Life { documents, batch, ..Life::default() }
}

fn the_first_run_fails(world: &mut World, life: &Life) {
    let run = world.must("ella", Body::TrainingRequested(training(life.dataset, life.base)));
    let token = world.must("trainer", Body::TrainingClaimed(TrainingClaimed { run, previous: None }));
    let progress = TrainingProgressed { run, token, step: 1, steps: 20, loss_micro: 4_000_000, tokens: 50 };
    world.must("trainer", Body::TrainingProgressed(progress));
    let failed = TrainingFailed { run, token, reason: FailureReason::Diverged as i32 };
    world.must("trainer", Body::TrainingFailed(failed));
}

fn the_run_is_told_apart(world: &mut World, life: &Life, run: u64) {
    let selected =
        HyperparametersSelected { model: "triage".into(), dataset: life.dataset, runs: vec![run], chosen: run };
    world.must("ella", Body::HyperparametersSelected(selected));
    let again = TrainingReproduced {
        run,
        adapter_digest: digest(75),
        reproduction: Reproduction::Exact as i32,
        difference_micro: 0,
        environment: vec![Setting { name: "threads".into(), value: "2".into() }],
    };
    world.must("trainer", Body::TrainingReproduced(again));
}

fn the_evaluator_falls_ill(world: &mut World, life: &Life) {
    let request = EvaluationRequested { model: "triage".into(), version: 1, suite: life.suite };
    let evaluation = world.must("ella", Body::EvaluationRequested(request));
    let claim = EvaluationClaimed { evaluation, previous: None };
    let token = world.must("evaluator", Body::EvaluationClaimed(claim));
    let failed = EvaluationFailed { evaluation, token, reason: FailureReason::OutOfMemory as i32 };
    world.must("evaluator", Body::EvaluationFailed(failed));
}

fn two_requests_come_to_nothing(world: &mut World) {
    let rejected = world.must("ella", promotion(1, Stage::Staging, None));
    let reason = RejectionReason::Evidence as i32;
    world.must("otto", Body::PromotionRejected(PromotionRejected { promotion: rejected, reason }));
    let withdrawn = world.must("ella", promotion(1, Stage::Staging, None));
    world.must("ella", Body::PromotionWithdrawn(PromotionWithdrawn { promotion: withdrawn }));
}
