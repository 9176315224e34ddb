//! The workers against a real embedded log, from a derived collection to an evaluation's verdict, on a tiny random model.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use attestune_ledger::envelope::SigningKey;
use attestune_ledger::state::{Checks, LatestEvaluations, Leakages, Scans, Versions};
use attestune_pii::{DETECTOR_NAME, VERSION};
use attestune_proto::v1::{
    CategoryResult, FailureReason, Hyperparameters, Kind, ModelRegistered, WorkStatus, event::Body,
};
use attestune_trainer::{
    adapter::Adapter,
    config::TrainConfig,
    model::{BaseModel, write_tiny_model},
    train::{TrainExample, train},
};
use attestune_workers::{BaseModels, CHECKER_NAME, CHECKER_VERSION, Evaluator, Pii, Quality, Trainer};
use common::{TICKETS, World, hyperparameters, key, policy};
use std::ops::ControlFlow;

const MINUTES_MS: u64 = 60_000;

fn world(folder: &tempfile::TempDir) -> World {
    World::create(folder.path(), policy(5 * MINUTES_MS, 10 * MINUTES_MS))
}

/// Why a run or an evaluation failed, as it stands on the log.
fn reasons(world: &World, kind: Kind) -> Vec<FailureReason> {
    let reason = |body| match body {
        Body::TrainingFailed(body) => body.reason(),
        Body::EvaluationFailed(body) => body.reason(),
        _ => FailureReason::Unspecified,
    };
    world.accepted_of(kind).into_iter().map(reason).collect()
}

#[test]
fn four_workers_bring_a_collection_to_a_judged_version() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(&folder);
    let (base, suite) = (world.base(), world.suite(40));
    let _workers = [
        world.work("scanner", Box::new(Pii::default())),
        world.work("checker", Box::new(Quality::default())),
        world.work("trainer", Box::new(Trainer::new(world.models()))),
        world.work("evaluator", Box::new(Evaluator::new(world.models()))),
    ];
    let batch = world.derive();
    let scan = Scans::key(batch, DETECTOR_NAME, VERSION);
    let check = Checks::key(batch, CHECKER_NAME, CHECKER_VERSION);
    world.wait("scan and check", || {
        let view = world.view();
        view.view().get(&scan).is_some() && view.view().get(&check).is_some()
    });
    // The ticket with an address in it awaits a person.
    let (dataset, members) = world.freeze();
    assert_eq!(members, TICKETS.len() as u64 - 1);

    let run = world.ended_run(world.request_training(dataset, base, hyperparameters(3)));
    assert_eq!(run.status(), WorkStatus::Completed);
    assert_eq!((run.version, run.step, run.steps), (1, 6, 6));
    assert_eq!(run.claimed_by, ["trainer"]);

    let evaluation = world.ended_evaluation(world.request_evaluation(1, suite));
    assert_eq!(evaluation.status(), WorkStatus::Completed);
    assert_eq!(evaluation.results, [CategoryResult { category: "format".into(), passed: 40, cases: 40 }]);
    let latest = world.row(&LatestEvaluations::key("triage", 1, "form"));
    assert_eq!((latest.evaluation, latest.attempts), (evaluation.position, 1));
    world.wait("the comparison of dataset and suite", || {
        world.view().view().get(&Leakages::key(dataset, suite)).is_some()
    });
    assert_eq!(world.replica.counts().refused, 0);
}

#[test]
fn a_batch_is_scanned_and_checked_anew_when_the_keys_that_vouched_for_it_are_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(&folder);
    let batch = world.derive();
    let scan = Scans::key(batch, DETECTOR_NAME, VERSION);
    let check = Checks::key(batch, CHECKER_NAME, CHECKER_VERSION);
    let signers = || {
        let view = world.view();
        let scanned = view.view().get(&scan).and_then(|row| row.signer).map(|signer| signer.keyid);
        (scanned, view.view().get(&check).and_then(|row| row.signer).map(|signer| signer.keyid))
    };
    let done_by = |scanner: &SigningKey, checker: &SigningKey| {
        let _workers = [
            world.work_under("scanner", scanner.clone(), Box::new(Pii::default())),
            world.work_under("checker", checker.clone(), Box::new(Quality::default())),
        ];
        let both = (Some(scanner.keyid()), Some(checker.keyid()));
        world.wait("scan and check", || signers() == both);
    };
    done_by(&key("scanner"), &key("checker"));
    let (scanner, checker) = (key("another scanner"), key("another checker"));
    world.replace_key("scanner", &scanner);
    world.replace_key("checker", &checker);
    let open = attestune_ledger::query::open_work(&world.view()).unwrap();
    assert_eq!((open.batches_to_scan, open.batches_to_check), (vec![batch], vec![batch]));

    done_by(&scanner, &checker);
    assert_eq!(world.accepted_of(Kind::ExamplesScanned).len(), 2);
    assert_eq!(world.replica.counts().refused, 0);
}

#[test]
fn a_training_fails_on_the_record_by_its_reason_and_the_next_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(&folder);
    let (dataset, base) = (world.dataset(), world.base());
    let trainer = world.work("trainer", Box::new(Trainer::new(world.models())));
    let too_short = Hyperparameters { tokens_max: 8, ..hyperparameters(1) };
    let run = world.ended_run(world.request_training(dataset, base, too_short));
    assert_eq!((run.status(), run.version), (WorkStatus::Failed, 0));
    assert_eq!(reasons(&world, Kind::TrainingFailed), [FailureReason::InvalidInput]);

    let run = world.ended_run(world.request_training(dataset, base, hyperparameters(1)));
    assert_eq!(run.status(), WorkStatus::Completed);

    world.lose_texts();
    let run = world.ended_run(world.request_training(dataset, base, hyperparameters(1)));
    assert_eq!(run.status(), WorkStatus::Failed);
    drop(trainer);
    let all = reasons(&world, Kind::TrainingFailed);
    assert_eq!(all, [FailureReason::InvalidInput, FailureReason::ContentUnavailable]);
}

#[test]
fn a_run_is_left_unclaimed_by_a_worker_that_lacks_its_base_model() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(&folder);
    let (dataset, base, suite) = (world.dataset(), world.base(), world.suite(1));
    let other = folder.path().join("another");
    write_tiny_model(&other, 8).unwrap();
    let without = || BaseModels::new(vec![other.clone(), "/nowhere.gguf".into()]);
    let _lacking = world.work("trainer", Box::new(Trainer::new(without())));
    let run = world.request_training(dataset, base, hyperparameters(1));
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!((world.run(run).status(), world.run(run).lease), (WorkStatus::Open, None));

    let _serving = world.work("trainer-2", Box::new(Trainer::new(world.models())));
    let run = world.ended_run(run);
    assert_eq!((run.status(), run.claimed_by), (WorkStatus::Completed, vec!["trainer-2".to_owned()]));

    let lacking = world.work("evaluator", Box::new(Evaluator::new(without())));
    let evaluation = world.request_evaluation(1, suite);
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(world.evaluation(evaluation).status(), WorkStatus::Open);
    drop(lacking);
    let _serving = world.work("evaluator", Box::new(Evaluator::new(world.models())));
    assert_eq!(world.ended_evaluation(evaluation).status(), WorkStatus::Completed);
    assert_eq!(world.replica.counts().refused, 0);
}

#[test]
fn an_adapter_trained_elsewhere_is_evaluated_by_what_its_own_header_says() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(&folder);
    let (base, suite) = (world.base(), world.suite(3));
    let adapter = trained_elsewhere();
    let register = |bytes: Vec<u8>| {
        let (adapter_digest, adapter) = world.sealed_adapter(bytes);
        let (model, origin) = ("triage".into(), "peft".into());
        world.act("mina", Body::ModelRegistered(ModelRegistered { model, base, adapter_digest, adapter, origin }));
    };
    register(adapter.packed_bytes());
    register(adapter.weights_bytes());
    let _evaluator = world.work("evaluator", Box::new(Evaluator::new(world.models())));
    let evaluation = world.ended_evaluation(world.request_evaluation(1, suite));
    assert_eq!(evaluation.status(), WorkStatus::Completed);
    assert_eq!(world.row(&Versions::key("triage", 1)).run, None);

    // Weights alone don't say how much they count.
    let evaluation = world.ended_evaluation(world.request_evaluation(2, suite));
    assert_eq!(evaluation.status(), WorkStatus::Failed);
    assert_eq!(reasons(&world, Kind::EvaluationFailed), [FailureReason::InvalidInput]);
}

/// An adapter for the tiny model that no run of the ledger made.
fn trained_elsewhere() -> Adapter {
    let folder = tempfile::tempdir().unwrap();
    write_tiny_model(folder.path(), 7).unwrap();
    let base = BaseModel::load(folder.path()).unwrap();
    let examples = [TrainExample { prompt: "a".into(), answer: " b".into() }];
    let config = TrainConfig { rank: 3, alpha: 5, ..TrainConfig::default() };
    train(&base, &examples, &config, |_| ControlFlow::Continue(())).unwrap().adapter
}

#[test]
fn an_evaluation_that_outlasts_its_lease_keeps_hold_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::create(folder.path(), policy(5 * MINUTES_MS, 60));
    let (dataset, base, suite) = (world.dataset(), world.base(), world.suite(400));
    let _workers = [
        world.work("trainer", Box::new(Trainer::new(world.models()))),
        world.work("evaluator", Box::new(Evaluator::new(world.models()))),
    ];
    world.ended_run(world.request_training(dataset, base, hyperparameters(1)));
    let evaluation = world.ended_evaluation(world.request_evaluation(1, suite));
    assert_eq!(evaluation.status(), WorkStatus::Completed);
    let claims = world.accepted_of(Kind::EvaluationClaimed);
    assert!(claims.len() > 1, "the lease outlasted the evaluation; ask for more cases");
    assert_eq!(world.accepted_of(Kind::EvaluationCompleted).len(), 1);
    let Some(Body::EvaluationClaimed(last)) = claims.last() else { unreachable!() };
    assert!(last.previous.is_some());
}
