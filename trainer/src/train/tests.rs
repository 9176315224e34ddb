//! Runs on the tiny model; gradients of the whole network against plain candle.

use super::*;
use crate::{
    generate::{Model, Stop},
    model::write_tiny_model,
    plain,
};

fn tiny() -> (tempfile::TempDir, BaseModel) {
    let folder = tempfile::tempdir().unwrap();
    write_tiny_model(folder.path(), 3).unwrap();
    let base = BaseModel::load(folder.path()).unwrap();
    (folder, base)
}

fn examples() -> Vec<TrainExample> {
    [("where is it", "lost"), ("it costs a lot", "fee"), ("I moved", "address"), ("gone!", "lost"), ("why pay", "fee")]
        .map(|(text, label)| TrainExample { prompt: format!("{text}\nIntent:"), answer: format!(" {label}") })
        .to_vec()
}

fn config() -> TrainConfig {
    TrainConfig { epochs: 2, batch_size: 2, rank: 4, ..TrainConfig::default() }
}

fn run(base: &BaseModel, config: &TrainConfig) -> Trained {
    train(base, &examples(), config, |_| ControlFlow::Continue(())).unwrap()
}

fn on_every_target() -> TrainConfig {
    TrainConfig { targets: Target::ALL.map(|target| target.name().to_owned()).to_vec(), ..config() }
}

/// A course whose adapters are random: with b at zero, a's gradient would be zero, too.
fn scattered<'a>(base: &BaseModel, examples: &[TrainExample], config: &'a TrainConfig) -> Course<'a> {
    let mut course = Course::prepare(base, examples, config).unwrap();
    let mut rng = Rng::new(9, 9);
    let matrices = course.adapters.iter_mut().flat_map(LayerAdapters::matrices_mut);
    matrices.for_each(|matrix| matrix.data_mut().iter_mut().for_each(|x| *x = rng.symmetric(0.3)));
    course
}

#[test]
fn the_gradient_of_every_adapter_agrees_with_plain_candle() {
    let (folder, base) = tiny();
    let config = on_every_target();
    let examples = examples();
    let course = scattered(&base, &examples, &config);
    let start = Adapter::of_layers(&course.adapters, config.rank, config.alpha, &course.targets);
    let plain = plain::Plain::load(folder.path(), &start.weights_bytes(), 4.0).unwrap();

    let batch = [0, 1, 2];
    let (loss, gradients) = Run::new(&course, &base.weights).unwrap().gradients(&batch).unwrap();
    let encoded: Vec<plain::Example> =
        batch.iter().map(|i| (course.examples[*i].tokens.clone(), course.examples[*i].answer)).collect();
    let plain_loss = plain.loss(&encoded).unwrap();
    let difference = loss - f64::from(plain_loss.to_scalar::<f32>().unwrap());
    assert!(difference.abs() < 1e-5, "the losses differ by {difference}");

    let store = plain_loss.backward().unwrap();
    let gradients = Adapter::of_layers(&gradients, config.rank, config.alpha, &course.targets).weights_bytes();
    let gradients = candle_core::safetensors::load_buffer(&gradients, &candle_core::Device::Cpu).unwrap();
    let variables = plain.variables();
    assert_eq!(variables.len(), 2 * 7 * 2);
    for (name, variable) in variables {
        let numbers = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (found, expected) = (numbers(&gradients[&name]), numbers(store.get(&variable).unwrap()));
        let largest = expected.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        assert!(largest > 1e-4, "{name} has no gradient to compare");
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 2e-5 * largest.max(1.0) + 1e-4 * largest, "{name}: {a} is not {b}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_adapter_bit_for_bit_on_any_number_of_threads() {
    let (_folder, base) = tiny();
    let first = run(&base, &config());
    assert_eq!(first.adapter.digest(), run(&base, &config()).adapter.digest());
    let three = TrainConfig { threads: 3, ..config() };
    assert_eq!(first.adapter.digest(), run(&base, &three).adapter.digest());
    let other = TrainConfig { seed: 2, ..config() };
    assert_ne!(first.adapter.digest(), run(&base, &other).adapter.digest());
}

#[test]
fn training_lowers_the_loss_until_the_answers_are_known_by_heart() {
    let (_folder, base) = tiny();
    let config = TrainConfig {
        epochs: 80,
        batch_size: 5,
        rank: 16,
        alpha: 32,
        learning_rate: "0.01".into(),
        ..on_every_target()
    };
    let trained = run(&base, &config);
    assert!(trained.final_loss_micro * 10 < trained.losses[0], "{:?}", trained.losses);
    let examples = examples();
    let prompts: Vec<&str> = examples.iter().map(|example| example.prompt.as_str()).collect();
    let model = Model::new(&base, Some(&trained.adapter)).unwrap();
    let answers = model.greedy(&prompts, Stop { max_new_tokens: 12, at_newline: true }).unwrap();
    let expected: Vec<&str> = examples.iter().map(|example| example.answer.as_str()).collect();
    assert_eq!(answers, expected);
}

#[test]
fn progress_counts_steps_and_tokens_and_may_stop_the_run() {
    let (_folder, base) = tiny();
    let mut seen = Vec::new();
    let trained = train(&base, &examples(), &config(), |progress| {
        seen.push(progress);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(seen.iter().map(|p| p.step).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert!(seen.iter().all(|p| p.steps == 6 && p.loss_micro > 0));
    assert_eq!(seen[5].tokens, trained.tokens);
    assert!(trained.padded_tokens >= trained.tokens);

    let stopped = train(&base, &examples(), &config(), |p| match p.step {
        2 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(stopped, Err(TrainError::Stopped { step: 2 })));
}

#[test]
fn max_steps_ends_a_run_early() {
    let (_folder, base) = tiny();
    assert_eq!(run(&base, &TrainConfig { max_steps: 4, ..config() }).losses.len(), 4);
}

#[test]
fn what_cannot_be_trained_on_is_named() {
    let (_folder, base) = tiny();
    let fails = |examples: &[TrainExample], config: &TrainConfig| {
        train(&base, examples, config, |_| ControlFlow::Continue(())).unwrap_err().to_string()
    };
    let example = |prompt: &str, answer: &str| TrainExample { prompt: prompt.into(), answer: answer.into() };
    assert_eq!(fails(&[], &config()), "there are no examples to train on");
    assert_eq!(fails(&[example("a", "b"), example("a", "")], &config()), "example 1 has an empty answer");
    assert_eq!(fails(&[example("", "b")], &config()), "example 0 has an empty prompt");
    let short = TrainConfig { max_tokens: 10, ..config() };
    assert!(
        fails(&[example("a", "b"), example("more than ten bytes", "b")], &short)
            .starts_with("example 1 has 21 tokens; max_tokens is 10")
    );
    let long = TrainConfig { max_tokens: 257, ..config() };
    assert_eq!(fails(&examples(), &long), "max_tokens is 257, but the base model reads at most 256");
    assert!(fails(&examples(), &TrainConfig { rank: 0, ..config() }).starts_with("rank is 0"));
}

#[test]
fn the_rate_rises_then_falls_and_is_never_zero_before_the_end() {
    let rates: Vec<f64> = (1..=10).map(|step| schedule(step, 10, 200_000)).collect();
    assert_eq!(rates[0], 0.5);
    assert_eq!(rates[1], 1.0);
    assert!(rates[1..].windows(2).all(|pair| pair[0] > pair[1]) && rates[9] > 0.0);
    assert_eq!(schedule(1, 1, 0), 0.5);
    assert_eq!(schedule(1, 1, 1_000_000), 1.0);
}

#[test]
fn plain_candle_gives_the_same_logits_through_an_adapter() {
    let (folder, base) = tiny();
    let trained = run(&base, &config());
    let plain = plain::Plain::load(folder.path(), &trained.adapter.weights_bytes(), 4.0).unwrap();
    let (tokens, found) = Model::new(&base, Some(&trained.adapter)).unwrap().logits("where are you?").unwrap();
    let expected: Vec<f32> = plain.sequence_logits(&tokens).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4));
}

/// What a card computes with, here on the processor.
#[test]
fn candles_operations_give_the_loss_and_the_gradients_of_the_fused_layers() {
    let (_folder, base) = tiny();
    let config = on_every_target();
    let examples = examples();
    let course = scattered(&base, &examples, &config);
    let batch = [0, 1, 2, 3];
    let (loss, gradients) = Run::new(&course, &base.weights).unwrap().gradients(&batch).unwrap();
    let weights = base.weights.on(&candle_core::Device::Cpu).unwrap();
    let (other_loss, others) = Run::new(&course, &weights).unwrap().gradients(&batch).unwrap();
    assert!((loss - other_loss).abs() < 1e-5, "{loss} is not {other_loss}");

    let others = on_host(&others).unwrap();
    let pairs = gradients.iter().flat_map(LayerAdapters::matrices).zip(others.iter().flat_map(LayerAdapters::matrices));
    let mut compared = 0;
    for (expected, found) in pairs {
        let largest = expected.data().iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        assert!(largest > 1e-4, "there is no gradient to compare");
        for (a, b) in found.data().iter().zip(expected.data()) {
            assert!((a - b).abs() < 2e-5 * largest.max(1.0) + 1e-4 * largest, "{a} is not {b}");
        }
        compared += 1;
    }
    assert_eq!(compared, 2 * (4 + 7));
}

#[test]
fn a_run_in_candles_operations_ends_near_the_fused_one_and_is_repeated_bit_for_bit() {
    let (_folder, base) = tiny();
    let config = TrainConfig { weight_decay: "0.1".into(), ..on_every_target() };
    let on = |device: &Device| train_on(device, &base, &examples(), &config, |_| ControlFlow::Continue(())).unwrap();
    let (fused, candle) = (on(&Device::CPU), on(&Device::candle_cpu()));
    assert_eq!(candle.adapter.digest(), on(&Device::candle_cpu()).adapter.digest());
    assert_eq!((candle.steps, candle.tokens), (fused.steps, fused.tokens));
    for (a, b) in candle.losses.iter().zip(&fused.losses) {
        assert!(a.abs_diff(*b) <= 1_000, "losses of {a} and {b} millionths");
    }

    let load = |trained: &Trained| {
        candle_core::safetensors::load_buffer(&trained.adapter.weights_bytes(), &candle_core::Device::Cpu).unwrap()
    };
    let expected = load(&fused);
    for (name, found) in load(&candle) {
        let off = (found - &expected[&name]).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        // What `train verify` takes for the same.
        assert!(off < 1e-3, "{name} is off by {off}");
    }
}

#[test]
fn what_cannot_be_trained_on_is_named_before_a_device_is_touched() {
    let (_folder, base) = tiny();
    let error = train_on(&Device::candle_cpu(), &base, &[], &config(), |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, TrainError::NoExamples), "{error}");
}
