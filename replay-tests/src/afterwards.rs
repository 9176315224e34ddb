//! Scenarios of what comes after promotion: see [`crate::SCENARIOS`].

use crate::*;
use attestune_ledger::state::{Models, Promotions, Servings, Versions};
use attestune_proto::v1::*;
use event::Body;

/// A second version as a challenger, through an experiment into force and back; watched, retrained on schedule; a person's
/// data erased; a halt. Every kind of it is accepted.
pub fn after_promotion() -> World {
    let mut world = World::new();
    world.with_watchers();
    let life = world.with_two_versions();
    world.confirm("gateway-1", ServingOccasion::Changed);
    world.challenge(2);
    let experiment = world.must("ella", Body::ExperimentStarted(started(1, 2)));
    world.confirm("gateway-1", ServingOccasion::Changed);
    let first = world.must("gateway", Body::WindowObserved(window(2, START_MS)));
    let second = world.must("gateway", Body::WindowObserved(window(2, START_MS + 60_000)));
    let read = world.must("monitor", Body::WindowObserved(reading(2, &[first, second], 10)));
    assert!(read > second);
    let outcome = concluded(experiment, Conclusion::BIsBetter, 400, "0.01", "0.19");
    world.must("monitor", Body::ExperimentConcluded(outcome));
    world.promote_from_staging(2, Some(1));
    world.confirm("gateway-1", ServingOccasion::Changed);

    let third = world.must("gateway", Body::WindowObserved(window(2, START_MS + 120_000)));
    let fell = world.must("monitor", Body::WindowObserved(reading(2, &[third], 5)));
    let raised = world.must("monitor", Body::AlertRaised(alert(2, &[fell])));
    world.must("otto", rolled_back(2, 1));
    world.confirm("gateway-1", ServingOccasion::Changed);
    world.must("otto", acknowledged(raised));
    world.confirm("gateway-1", ServingOccasion::Heartbeat);

    retrained_on_schedule(&mut world, &life);
    let hold = world.must("otto", held(&["letters"]));
    let gone = erased(&world, &[indices(life.documents, &[0, 2])]);
    let erasure = world.must("sten", Body::SubjectErased(gone));
    world.must("otto", hold_released(hold));
    world.must("otto", erasure_decided(erasure, 1, ErasureDecision::Retrain));
    world.must("otto", halted(None));
    world.confirm("gateway-1", ServingOccasion::Changed);
    world.confirm("gateway-1", ServingOccasion::Stopped);
    world
}

/// A scheduler freezes, has a version trained and evaluated, and asks for its promotion; more it can't do.
fn retrained_on_schedule(world: &mut World, life: &Life) {
    let schedule = world.must("otto", Body::ScheduleSet(scheduled(life.base)));
    let freeze = frozen(world, "tickets", &["tickets"]);
    let dataset = world.must("scheduler", Body::DatasetFrozen(freeze));
    let asked = TrainingRequested { schedule: Some(schedule), ..training(dataset, life.base) };
    let run = world.must("scheduler", Body::TrainingRequested(asked));
    let token = world.must("trainer", Body::TrainingClaimed(TrainingClaimed { run, previous: None }));
    let done = completed(world, run, token);
    world.must("trainer", Body::TrainingCompleted(done));
    world.evaluate(&Life { dataset, ..*life }, 3, 99);
    let staging = world.must("scheduler", promotion(3, Stage::Staging, None));
    world.must("axel", approved(staging));
}

/// Halts, ways back, confirmations that differ, challengers and experiments that do not fit.
pub fn serving_and_experiments() -> World {
    let mut world = World::new();
    let old = Policy { permissions: policy().permissions.into_iter().filter(|p| p.kind < 101).collect(), ..policy() };
    world.adopt(old);
    world.refused("otto", halted(None), "role-missing");
    world.adopt(policy());
    world.refused("otto", halted(None), "unknown-model");
    let nothing = confirmed(&world, "gateway-1", ServingOccasion::Changed);
    world.refused("gateway", Body::ServingConfirmed(nothing), "unknown-model");
    world.with_two_versions();
    confirmations_are_held_against_the_record(&mut world);
    experiments_have_their_arms(&mut world);
    halts_have_ways_back(&mut world);
    world
}

fn confirmations_are_held_against_the_record(world: &mut World) {
    let good = confirmed(world, "gateway-1", ServingOccasion::Changed);
    let confirm = |body: ServingConfirmed| Body::ServingConfirmed(body);
    let bad = ServingConfirmed { canary_digest: vec![1], ..good.clone() };
    world.refused("gateway", confirm(bad), "bad-field");
    let ahead = ServingConfirmed { as_of: world.next() + 1, ..good.clone() };
    world.refused("gateway", confirm(ahead), "served-ahead");
    world.must("gateway", confirm(good.clone()));
    let earlier = ServingConfirmed { as_of: good.as_of - 1, ..good.clone() };
    world.refused("gateway", confirm(earlier), "served-before");
    let altered = ServingConfirmed { adapter_digest: digest(1), canary_digest: digest(2), ..good };
    world.must("gateway", confirm(altered));
    let row = world.row(&Servings::key("triage", "gateway", "gateway-1")).unwrap_or_default();
    assert_eq!(row.differs, [ServingPart::Adapter as i32, ServingPart::Canary as i32]);
    world.confirm("gateway-1", ServingOccasion::Changed);
}

fn experiments_have_their_arms(world: &mut World) {
    let start = |a, b| Body::ExperimentStarted(started(a, b));
    for share_ppm in [0, 1_000_000] {
        world.refused("ella", Body::ExperimentStarted(ExperimentStarted { share_ppm, ..started(1, 2) }), "bad-field");
    }
    let other = ExperimentStarted { model: "other".into(), ..started(1, 2) };
    world.refused("ella", Body::ExperimentStarted(other), "unknown-model");
    world.refused("ella", start(1, 2), "not-the-challenger");
    world.challenge(2);
    world.refused("ella", start(2, 2), "not-in-force");
    let experiment = world.must("ella", start(1, 2));
    world.refused("ella", start(1, 2), "experiment-running");
    let conclude = |at, conclusion, users, lower: &str, upper: &str| {
        Body::ExperimentConcluded(concluded(at, conclusion, users, lower, upper))
    };
    let better = Conclusion::BIsBetter;
    world.refused("ella", conclude(1, better, 400, "0.01", "0.2"), "unknown-experiment");
    world.refused("ella", conclude(experiment, better, 400, "-0.01", "0.2"), "conclusion-unfit");
    world.refused("ella", conclude(experiment, better, 99, "0.01", "0.2"), "conclusion-unfit");
    world.refused("ella", conclude(experiment, Conclusion::AIsBetter, 400, "0.01", "0.2"), "conclusion-unfit");
    world.refused("ella", conclude(experiment, Conclusion::NoDifference, 999, "-0.1", "0.2"), "conclusion-unfit");
    world.refused("ella", conclude(experiment, Conclusion::ShareMismatch, 400, "-0.1", "0.2"), "conclusion-unfit");
    let skewed = ExperimentConcluded { share_p_ppm: 1, ..concluded(experiment, better, 400, "0.01", "0.2") };
    world.refused("ella", Body::ExperimentConcluded(skewed), "conclusion-unfit");
    world.must("ella", conclude(experiment, Conclusion::NoDifference, 1_000, "-0.1", "0.2"));
    world.refused("ella", conclude(experiment, Conclusion::Stopped, 4, "-0.1", "0.2"), "ended");

    // The halt of an arm ends an experiment, and so does the rollback of the challenger.
    let running = world.must("ella", start(1, 2));
    world.must("otto", halted(Some(2)));
    world.refused("ella", conclude(running, Conclusion::Stopped, 4, "-0.1", "0.2"), "ended");
    world.challenge(2);
    world.must("ella", start(1, 2));
    world.must("ella", rolled_back(2, 1));
    assert_eq!(world.row(&Models::key("triage")).unwrap_or_default().in_force, 1);
    world.refused("ella", start(1, 2), "not-the-challenger");
}

fn halts_have_ways_back(world: &mut World) {
    world.challenge(2);
    world.refused("otto", halted(Some(7)), "not-in-force");
    world.must("ella", Body::ExperimentStarted(started(1, 2)));
    let blocked = world.act("ella", challenge(2));
    assert_eq!(blocked.code(), "wrong-stage");
    world.must("otto", halted(None));
    world.refused("otto", halted(None), "model-halted");
    world.refused("ella", Body::ExperimentStarted(started(1, 2)), "model-halted");
    world.refused("ella", challenge(2), "nothing-to-challenge");
    world.refused("otto", rolled_back(1, 2), "no-way-back");
    world.promote_from_staging(1, None);
    let model = world.row(&Models::key("triage")).unwrap_or_default();
    assert_eq!((model.in_force, model.challenger, model.halted_at), (1, 0, None));
    // From a halt back to what was in force before, without a gate: nothing was wrong with that.
    world.promote_from_staging(2, Some(1));
    world.must("otto", halted(None));
    world.must("otto", rolled_back(2, 1));
    let model = world.row(&Models::key("triage")).unwrap_or_default();
    assert_eq!((model.in_force, model.halted_at), (1, None));
}

/// Promotions ahead of their approvals: by whom, until when, and what a rejection does.
pub fn emergencies() -> World {
    let mut world = World::new();
    world.with_two_versions();
    let now = |version, replaces| emergency(version, Stage::Production, replaces);
    world.refused("alma", now(2, Some(1)), "emergency-not-allowed");
    world.adopt(emergency_policy());
    world.refused("ella", now(2, Some(1)), "emergency-not-allowed");
    world.must_by(&["ada", "omar"], grant("ella", Role::Approver));
    world.refused("ella", now(2, Some(1)), "emergency-took-part");
    let (model, to) = ("triage".to_string(), Stage::Production as i32);
    let both = PromotionRequested { model, version: 2, to, challenger: true, emergency: true, ..Default::default() };
    world.refused("alma", Body::PromotionRequested(both), "bad-field");

    // Reviewed in time, and by one late.
    let first = world.must("alma", now(2, Some(1)));
    assert_eq!(world.row(&Models::key("triage")).unwrap_or_default().in_force, 2);
    world.refused("axel", emergency(1, Stage::Production, Some(2)), "wrong-stage");
    world.refused("otto", rolled_back(1, 2), "not-in-force");
    world.refused("alma", approved(first), "approver-took-part");
    world.must("axel", approved(first));
    world.now_ms += EMERGENCY_MS;
    world.must("anja", approved(first));
    let row = world.row(&Promotions::key(first)).unwrap_or_default();
    assert_eq!(row.approvals.iter().map(|a| a.late).collect::<Vec<_>>(), [false, true]);
    assert!(row.reviewed_at > 0);
    world.refused("anja", approved(first), "promotion-decided");

    // A rejection is a rollback, and where nothing is left to go back to, a halt.
    world.must("otto", rolled_back(2, 1));
    let second = world.must("axel", now(2, Some(1)));
    world.must("otto", rolled_back(2, 1));
    world.refused("axel", now(2, Some(1)), "emergency-unreviewed");
    let reject =
        |promotion| Body::PromotionRejected(PromotionRejected { promotion, reason: RejectionReason::Risk as i32 });
    world.must("otto", reject(second));
    let third = world.must("axel", now(2, Some(1)));
    world.must("anja", reject(third));
    let model = world.row(&Models::key("triage")).unwrap_or_default();
    assert_eq!((model.in_force, model.unreviewed), (1, None));
    world.refused("otto", rolled_back(1, 2), "no-way-back");
    world.must("otto", halted(None));
    let fourth = world.must("axel", now(2, None));
    world.must("anja", reject(fourth));
    let model = world.row(&Models::key("triage")).unwrap_or_default();
    assert_eq!((model.in_force, model.halted_version), (0, 2));
    assert!(model.halted_at.is_some());
    let staged = world.row(&Versions::key("triage", 2)).unwrap_or_default();
    assert_eq!(staged.stage, Stage::Staging as i32);
    world
}

/// Windows that overlap or contradict themselves, alerts without evidence, schedules that nobody may follow.
pub fn watching_and_schedules() -> World {
    let mut world = World::new();
    world.with_watchers();
    let life = world.with_two_versions();
    let observe = |body: WindowObserved| Body::WindowObserved(body);
    world.refused("gateway", observe(WindowObserved { from_ms: 9, to_ms: 9, ..window(1, 0) }), "bad-field");
    world.refused("gateway", observe(WindowObserved { errors: 11, ..window(1, 0) }), "window-unfit");
    world.refused("gateway", observe(window(9, 0)), "unknown-version");
    let first = world.must("gateway", observe(window(1, 0)));
    world.refused("gateway", observe(window(1, 59_999)), "window-overlaps");
    let second = world.must("gateway", observe(window(1, 60_000)));
    world.refused("monitor", observe(reading(2, &[first], 10)), "unknown-window");
    let miscounted = WindowObserved { requests: 3, ..reading(1, &[first], 10) };
    world.refused("monitor", observe(miscounted), "window-unfit");
    let read = world.must("monitor", observe(reading(1, &[first], 5)));
    world.refused("monitor", observe(reading(1, &[first, second], 10)), "done-before");

    let raise = |body: AlertRaised| Body::AlertRaised(body);
    world.refused("monitor", raise(AlertRaised { observed: "half".into(), ..alert(1, &[read]) }), "bad-field");
    world.refused("monitor", raise(alert(9, &[read])), "unknown-version");
    world.refused("monitor", raise(alert(1, &[life.dataset])), "evidence-unfit");
    let raised = world.must("monitor", raise(alert(1, &[read])));
    world.refused("monitor", raise(alert(1, &[second])), "alert-open");
    world.refused("otto", acknowledged(read), "unknown-alert");
    world.must("otto", acknowledged(raised));
    world.refused("ella", acknowledged(raised), "done-before");
    world.must("monitor", raise(alert(1, &[read])));

    let set = |body: ScheduleSet| Body::ScheduleSet(body);
    world.refused("otto", set(ScheduleSet { interval_ms: 0, ..scheduled(life.base) }), "bad-field");
    let never = Calendar { minutes: vec![0], days: vec![31], months: vec![2, 4], ..Default::default() };
    let never = ScheduleSet { interval_ms: 0, calendar: Some(never), ..scheduled(life.base) };
    world.refused("otto", set(never), "bad-field");
    world.refused("otto", set(scheduled(1)), "unknown-base");
    let ask = |schedule| Body::TrainingRequested(TrainingRequested { schedule, ..training(life.dataset, life.base) });
    world.refused("scheduler", ask(None), "schedule-missing");
    world.refused("scheduler", ask(Some(4)), "schedule-outdated");
    let schedule = world.must("otto", set(scheduled(life.base)));
    world.refused("ella", ask(Some(schedule)), "bad-field");
    let mut other = training(life.dataset, life.base);
    other.hyperparameters.as_mut().expect("set").epochs = 9;
    let other = TrainingRequested { schedule: Some(schedule), ..other };
    world.refused("scheduler", Body::TrainingRequested(other), "inputs-differ");
    let run = world.must("scheduler", ask(Some(schedule)));
    let token = world.must("trainer", Body::TrainingClaimed(TrainingClaimed { run, previous: None }));
    let done = completed(&world, run, token);
    world.must("trainer", Body::TrainingCompleted(done));
    world.must("otto", set(ScheduleSet { paused: true, ..scheduled(life.base) }));
    world.refused("scheduler", ask(Some(schedule)), "schedule-outdated");

    // Whoever set the schedule has a part in what came of it.
    world.must_by(&["ada", "omar"], grant("otto", Role::Approver));
    world.evaluate(&life, 3, 99);
    let staging = world.must("scheduler", promotion(3, Stage::Staging, None));
    world.refused("otto", approved(staging), "approver-took-part");
    world.must("axel", approved(staging));
    world
}

/// Erasures against holds, in chunks that do not follow, and what they reach.
pub fn erasure_and_holds() -> World {
    let mut world = World::new();
    let life = world.with_two_versions();
    let letters = world.must("sten", ingested("letters", 9));
    let erase = |body: SubjectErased| Body::SubjectErased(body);
    let person = [indices(life.documents, &[1])];
    let whole = erased(&world, &person);
    world.refused("sten", erase(SubjectErased { chunk: 2, ..whole.clone() }), "bad-field");
    world.refused("sten", erase(erased(&world, &[indices(life.batch, &[1])])), "unknown-batch");
    world.refused("sten", erase(erased(&world, &[indices(life.documents, &[4])])), "index-outside");
    world.refused("sten", erase(SubjectErased { count: 1, ..whole.clone() }), "closure-differs");
    let hold = world.must("otto", held(&["tickets"]));
    world.refused("sten", erase(whole.clone()), "under-hold");
    world.refused("otto", hold_released(life.batch), "unknown-hold");
    world.must("otto", hold_released(hold));
    world.refused("otto", hold_released(hold), "ended");

    // Two chunks; the closure is named with the second.
    let chunk = |chunk, first, documents: Vec<BatchIndices>| SubjectErased {
        chunk,
        chunks: 2,
        first,
        documents,
        root: Vec::new(),
        count: 0,
        ..whole.clone()
    };
    world.refused("sten", erase(chunk(2, Some(life.batch), person.to_vec())), "bad-field");
    let first = world.must("sten", erase(chunk(1, None, person.to_vec())));
    let both = erased(&world, &[person[0].clone(), indices(letters, &[8])]);
    let second = SubjectErased {
        root: both.root.clone(),
        count: both.count,
        ..chunk(2, Some(first), vec![indices(letters, &[8])])
    };
    let stray = SubjectErased { first: Some(letters), ..second.clone() };
    world.refused("sten", erase(stray), "unknown-erasure");
    world.refused("otto", erase(second.clone()), "chunk-unfit");
    world.refused("otto", erasure_decided(first, 1, ErasureDecision::Keep), "unknown-erasure");
    let everything = world.must("otto", held(&[]));
    world.refused("sten", erase(second.clone()), "under-hold");
    world.must("otto", hold_released(everything));
    // A run that is under way on what is erased ends.
    let ask = || Body::TrainingRequested(training(life.dataset, life.base));
    let run = world.must("ella", ask());
    let token = world.must("trainer", Body::TrainingClaimed(TrainingClaimed { run, previous: None }));
    let before = frozen(&world, "tickets", &["tickets"]);
    world.must("sten", erase(second.clone()));
    world.refused("sten", erase(second), "ended");
    world.refused("sten", Body::DatasetFrozen(before), "member-lost");
    world.refused("rita", reviewed(life.batch, 1, ReviewVerdict::Redact), "content-erased");
    let progress = TrainingProgressed { run, token, step: 1, steps: 20, loss_micro: 1, tokens: 50 };
    world.refused("trainer", Body::TrainingProgressed(progress), "members-erased");
    let done = completed(&world, run, token);
    world.refused("trainer", Body::TrainingCompleted(done), "members-erased");
    let claim = Body::TrainingClaimed(TrainingClaimed { run, previous: Some(token) });
    world.refused("trainer", claim, "members-erased");
    world.refused("ella", ask(), "members-erased");
    world.refused("sten", derived(life.documents, 2), "content-erased");
    assert_eq!(frozen(&world, "tickets", &["tickets"]).count, 3);

    world.refused("otto", erasure_decided(first, 9, ErasureDecision::Keep), "unknown-version");
    let bought = ModelRegistered {
        model: "triage".into(),
        base: life.base,
        adapter_digest: digest(90),
        adapter: sealed(91),
        origin: "vendor".into(),
    };
    world.must("ella", Body::ModelRegistered(bought));
    world.refused("otto", erasure_decided(first, 3, ErasureDecision::Keep), "not-reached");
    world.must("otto", erasure_decided(first, 1, ErasureDecision::Keep));
    world.must("otto", erasure_decided(first, 2, ErasureDecision::Retire));
    world.refused("ella", challenge(2), "version-retired");
    world.refused("ella", promotion(2, Stage::Production, Some(1)), "version-retired");
    world
}
