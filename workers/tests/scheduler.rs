//! The scheduler at work beside the other workers.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use attestune_ledger::state::{Datasets, LatestEvaluations, Leakages, Models, Promotions, Versions};
use attestune_proto::v1::{
    ActorKind, AlertKind, AlertRaised, ApprovalMeaning, DatasetFrozen, Kind, PromotionApproved, PromotionRequested,
    PromotionStatus, Role, ScheduleSet, Stage, TrainingRequested, WindowObserved, event::Body,
};
use attestune_workers::{Evaluator, Quality, Scheduler, Trainer};
use common::{World, hyperparameters, policy};

fn promotion(version: u32, to: Stage) -> Body {
    let (model, to) = ("triage".into(), to.into());
    Body::PromotionRequested(PromotionRequested { model, version, to, ..Default::default() })
}

/// Version 1 is trained on a dataset, judged and brought into force.
fn in_force(world: &World, dataset: u64, base: u64, suite: u64) {
    let run = world.request_training(dataset, base, hyperparameters(1));
    world.ended_run(run);
    let evaluation = world.request_evaluation(1, suite);
    world.ended_evaluation(evaluation);
    world.wait("leakage", || world.view().view().get(&Leakages::key(dataset, suite)).is_some());
    world.act("mina", promotion(1, Stage::Staging));
    let production = world.act("mina", promotion(1, Stage::Production));
    let meaning = ApprovalMeaning::ReviewedAndApproved.into();
    world.act("alma", Body::PromotionApproved(PromotionApproved { promotion: production, meaning }));
    assert_eq!(world.row(&Models::key("triage")).in_force, 1);
}

#[test]
fn an_alert_about_drift_brings_a_retraining_as_far_as_a_request_for_staging() {
    let folder = tempfile::tempdir().unwrap();
    let mut policy = policy(120_000, 120_000);
    (policy.gates[0].approvals, policy.gates[1].approvals) = (0, 1);
    let world = World::create(folder.path(), policy);
    world.hire("alma", ActorKind::Person, Role::Approver);
    world.hire("gateway", ActorKind::Gateway, Role::Gateway);
    world.hire("monitor", ActorKind::Worker, Role::Monitor);
    world.hire("scheduler", ActorKind::Worker, Role::Scheduler);
    let (first, base, suite) = (world.dataset(), world.base(), world.suite(3));
    let _workers = [
        world.work("checker", Box::new(Quality::default())),
        world.work("trainer", Box::new(Trainer::new(world.models()))),
        world.work("evaluator", Box::new(Evaluator::new(world.models()))),
        world.work("scheduler", Box::new(Scheduler)),
    ];
    in_force(&world, first, base, suite);

    let schedule = world.act(
        "mina",
        Body::ScheduleSet(ScheduleSet {
            model: "triage".into(),
            interval_ms: 91 * 86_400_000,
            dataset: "triage".into(),
            collections: vec!["tickets".into()],
            base,
            hyperparameters: Some(hyperparameters(1)),
            on_drift: true,
            ..Default::default()
        }),
    );
    let window = WindowObserved {
        model: "triage".into(),
        version: 1,
        to_ms: 1,
        server: "gateway-1".into(),
        requests_root: vec![0; 32],
        ..Default::default()
    };
    let window = world.act("gateway", Body::WindowObserved(window));
    assert_eq!(world.accepted_of(Kind::DatasetFrozen).len(), 1, "nothing is due yet");
    let alert = AlertRaised {
        model: "triage".into(),
        version: 1,
        kind: AlertKind::Drift.into(),
        subject: "length".into(),
        evidence: vec![window],
        ..Default::default()
    };
    world.act("monitor", Body::AlertRaised(alert));

    world.wait("the request for staging", || world.row(&Models::key("triage")).open_promotion.is_some());
    let model = world.row(&Models::key("triage"));
    assert_eq!((model.in_force, model.versions), (1, 2));
    let asked = world.row(&Promotions::key(model.open_promotion.unwrap()));
    assert_eq!(asked.requested_by.unwrap().actor, "scheduler");
    // Nobody's approval is needed for staging here, and yet a scheduler only asks.
    assert_eq!((asked.approvals_needed, asked.status), (1, PromotionStatus::Open as i32));
    assert_eq!(world.row(&Versions::key("triage", 2)).stage, Stage::Dev as i32);
    assert!(world.view().view().get(&LatestEvaluations::key("triage", 2, "form")).is_some());

    // Each was asked for once.
    let runs = world.accepted_of(Kind::TrainingRequested);
    let [_, Body::TrainingRequested(TrainingRequested { dataset, schedule: named, .. })] = runs.as_slice() else {
        panic!("{runs:?}")
    };
    assert_eq!((*named, *dataset > first), (Some(schedule), true));
    let frozen = world.accepted_of(Kind::DatasetFrozen);
    let [_, Body::DatasetFrozen(DatasetFrozen { dataset: name, .. })] = frozen.as_slice() else { panic!("{frozen:?}") };
    assert_eq!((name.as_str(), world.row(&Datasets::key(*dataset)).number), ("triage", 2));
    assert_eq!(world.accepted_of(Kind::EvaluationRequested).len(), 2);
}
