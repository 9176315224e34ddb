//! The monitor at work on windows that a server put on the log.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use attestune_ledger::{
    state::{Alerts, Windows},
    tree::{Frontier, leaf_hash},
};
use attestune_pii::Scanner;
use attestune_proto::v1::{
    ActorKind, AlertAcknowledged, AlertAction, AlertKind, AlertRow, CategoryResult, Kind, Quantiles, Role, Watch,
    WindowObserved, event::Body,
};
use attestune_workers::{Context, Monitor, Progress, Trainer, Worker as _};
use common::{World, hyperparameters, policy};
use sha2::{Digest as _, Sha256};

const SUITE: &str = "  - { id: a, category: format, prompt: question, judge: { regex: '^(card|fees)$' } }
  - { id: b, category: compliance, prompt: question, judge: { no_pii: {} } }
";

/// Words of the tickets that the model was trained on, and that customers go on to use.
const WORDS: [&str; 24] = [
    "card",
    "lost",
    "fees",
    "town",
    "cost",
    "please",
    "home",
    "stolen",
    "where",
    "train",
    "block",
    "new",
    "account",
    "what",
    "shop",
    "today",
    "yesterday",
    "bank",
    "help",
    "gone",
    "letter",
    "office",
    "abroad",
    "machine",
];

/// A ticket of six words, no two alike.
fn ticket(number: usize) -> String {
    let lots = Sha256::digest(format!("ticket {number}"));
    lots.iter().take(6).map(|lot| WORDS[usize::from(*lot) % WORDS.len()]).collect::<Vec<_>>().join(" ")
}

/// A ledger with `triage@1`, trained on about eighty tickets, and a gateway and a monitor.
fn trained(folder: &std::path::Path) -> World {
    let watch = Watch {
        window_ms: 1_000,
        judged_max: 50,
        refusals_max_ppm: 200_000,
        format_failures_max_ppm: 50_000,
        psi_max_ppm: 250_000,
        cusum_bad_ppm: 900_000,
        cusum_limit_milli: 4_000,
        ..Default::default()
    };
    let mut policy = policy(120_000, 120_000);
    policy.watch = Some(watch);
    let world = World::create(folder, policy);
    world.hire("gateway", ActorKind::Gateway, Role::Gateway);
    world.hire("monitor", ActorKind::Worker, Role::Monitor);
    let tickets: Vec<String> = (0..80).map(ticket).collect();
    let tickets: Vec<(&str, &str)> = tickets.iter().map(|text| (text.as_str(), "card")).collect();
    let (dataset, base) = (world.dataset_of(&tickets), world.base());
    world.suite_of(SUITE, &[("compliance", 1), ("format", 1)]);
    let run = world.request_training(dataset, base, hyperparameters(1));
    let _trainer = world.work("trainer", Box::new(Trainer::new(world.models())));
    world.ended_run(run);
    world
}

/// A window of a server's, of these prompts with these answers.
fn served(world: &World, from_ms: u64, requests: &[(String, &str)]) -> WindowObserved {
    let text = |(prompt, answer): &(String, &str)| {
        let prompt = format!("{prompt}\nIntent:");
        let text = serde_json::json!({ "request": { "prompt": prompt }, "caller": "app", "as_of": 1,
            "answers": [{ "text": format!(" {answer}"), "ended": true }] });
        text.to_string().into_bytes()
    };
    let (pack, commitments) = world.seal(&requests.iter().map(text).collect::<Vec<_>>());
    let mut tree = Frontier::new();
    commitments.iter().for_each(|commitment| tree.push(leaf_hash(&[commitment])));
    let count = requests.len() as u64;
    WindowObserved {
        model: "triage".into(),
        version: 1,
        from_ms,
        to_ms: from_ms + 1_000,
        server: "one".into(),
        requests: count,
        requests_root: tree.root().0.to_vec(),
        packs: vec![pack],
        latency_us: Some(Quantiles { count, sum: 90 * count, p50: 80, p90: 95, p99: 99, max: 120 }),
        ..Default::default()
    }
}

fn usual(answer: &str) -> Vec<(String, &str)> {
    (0..60).map(|number| (ticket(number * 7 % 80), answer)).collect()
}

fn observe(world: &World, window: WindowObserved) -> u64 {
    world.act("gateway", Body::WindowObserved(window))
}

fn monitor(world: &World) -> Monitor {
    Monitor::new(world.models(), Scanner::default())
}

/// Lets it react until there is nothing to do.
fn settle(monitor: &mut Monitor, context: &Context) {
    while monitor.react(context).unwrap() == Progress::Done {}
}

/// The monitors' readings.
fn readings(world: &World) -> Vec<WindowObserved> {
    let windows = world.accepted_of(Kind::WindowObserved).into_iter();
    let of = |body| match body {
        Body::WindowObserved(window) if window.server.is_empty() => Some(window),
        _ => None,
    };
    windows.filter_map(of).collect()
}

fn alerts(world: &World) -> Vec<AlertRow> {
    world.view().view().scan(&Alerts::all())
}

fn kinds(world: &World) -> Vec<(AlertKind, String)> {
    let raised = alerts(world).into_iter().filter_map(|row| row.raised);
    let mut kinds: Vec<_> = raised.map(|raised| (raised.kind(), raised.subject)).collect();
    kinds.sort();
    kinds
}

fn sum_of(reading: &WindowObserved, category: &str) -> u64 {
    reading.cusum.iter().find(|row| row.category == category).unwrap().sum_milli
}

#[test]
fn traffic_as_it_was_trained_on_raises_nothing_and_of_another_kind_does_whoever_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let world = trained(folder.path());
    let context = world.context("monitor");
    let mut first = monitor(&world);
    let good = observe(&world, served(&world, 1_000, &usual("card")));
    settle(&mut first, &context);

    let [reading] = readings(&world).try_into().unwrap();
    assert_eq!((reading.windows.as_slice(), reading.requests, reading.refusals), (&[good][..], 60, 0));
    let passed = |category: &str| CategoryResult { category: category.into(), passed: 50, cases: 50 };
    assert_eq!(reading.judged, [passed("answered"), passed("compliance"), passed("format")]);
    assert_eq!(reading.latency_us.unwrap().p99, 99);
    assert_eq!(reading.drift.len(), 3, "{:?}", reading.environment);
    // A ticket or two may wait for a review of what looks like a name.
    assert!(reading.drift.iter().all(|drift| drift.inputs == 60 && drift.members > 60), "{:?}", reading.drift);
    assert_eq!(kinds(&world), []);
    assert_ne!(world.row(&Windows::key("triage", good)).read_at, 0);

    // Another kind of traffic, which the model does not know.
    let strange: Vec<_> = (0..60)
        .map(|number| (format!("Guten Tag, zu meiner Versicherung Nummer {number} habe ich eine lange Frage"), "hm"))
        .collect();
    observe(&world, served(&world, 2_000, &strange));
    settle(&mut first, &context);
    let expected = [
        (AlertKind::QualityFell, "format"),
        (AlertKind::FormatFailuresRose, ""),
        (AlertKind::Drift, "embedding"),
        (AlertKind::Drift, "length"),
        (AlertKind::Drift, "tokens"),
    ];
    let expected = expected.map(|(kind, subject)| (kind, subject.to_owned()));
    assert_eq!(kinds(&world), expected);
    let fell = alerts(&world).into_iter().filter_map(|row| row.raised).find(|a| a.kind() == AlertKind::QualityFell);
    let fell = fell.unwrap();
    // Fifty failures, each ln(0.1 / 0.05) nats.
    assert_eq!((fell.observed.as_str(), fell.allowed.as_str(), fell.evidence.len()), ("34.65", "4", 1));

    // Another monitor goes on where this one was, and raises nothing twice.
    drop(first);
    let mut second = monitor(&world);
    observe(&world, served(&world, 3_000, &usual("fees")));
    settle(&mut second, &context);
    let all = readings(&world);
    assert_eq!(all.iter().map(|reading| sum_of(reading, "format")).collect::<Vec<_>>(), [0, 34_650, 34_650 - 50 * 54]);
    assert_eq!(kinds(&world), expected);

    // What a person has seen counts no more.
    let seen = alerts(&world).into_iter().find(|row| row.raised.as_ref().unwrap().kind() == AlertKind::QualityFell);
    let action = AlertAction::Fixed.into();
    world.act("mina", Body::AlertAcknowledged(AlertAcknowledged { alert: seen.unwrap().position, action }));
    observe(&world, served(&world, 4_000, &usual("fees")));
    settle(&mut second, &context);
    assert_eq!(sum_of(readings(&world).last().unwrap(), "format"), 0);
    assert_eq!(kinds(&world), expected);
}

#[test]
fn windows_in_which_nobody_asked_are_read_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let world = trained(folder.path());
    let context = world.context("monitor");
    let mut reader = monitor(&world);
    let idle = |from_ms| WindowObserved {
        requests: 0,
        requests_root: Frontier::new().root().0.to_vec(),
        packs: Vec::new(),
        latency_us: None,
        ..served(&world, from_ms, &usual("card"))
    };
    observe(&world, idle(1_000));
    settle(&mut reader, &context);
    let [reading] = readings(&world).try_into().unwrap();
    assert_eq!((reading.requests, reading.judged.len(), reading.drift.len(), reading.cusum.len()), (0, 0, 0, 0));
    assert!(reading.environment.iter().any(|setting| setting.name == "texts" && setting.value == "none"));
    assert_eq!(kinds(&world), []);

    observe(&world, served(&world, 2_000, &usual("hm")));
    settle(&mut reader, &context);
    let raised = kinds(&world);
    assert!(!raised.is_empty());
    observe(&world, idle(3_000));
    settle(&mut reader, &context);
    let sums: Vec<_> = readings(&world)[1..].iter().map(|reading| sum_of(reading, "format")).collect();
    assert_eq!(sums, [34_650, 34_650]);
    assert_eq!(kinds(&world), raised, "nothing is raised twice");

    for row in alerts(&world) {
        let action = AlertAction::Fixed.into();
        world.act("mina", Body::AlertAcknowledged(AlertAcknowledged { alert: row.position, action }));
    }
    observe(&world, idle(4_000));
    settle(&mut reader, &context);
    assert_eq!(sum_of(readings(&world).last().unwrap(), "format"), 0);
    assert_eq!(kinds(&world), raised, "what a person has seen is not raised again");
}

#[test]
fn personal_data_refusals_and_outcomes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let world = trained(folder.path());
    let mut requests = usual("I can't help with that.");
    requests.truncate(30);
    requests[7].1 = "write to zoe@example.org";
    let outcome = |category: &str, passed| CategoryResult { category: category.into(), passed, cases: 10 };
    let window = WindowObserved {
        outcomes: vec![outcome("format", 2), outcome("resolved", 0)],
        reviewed: vec![outcome("compliance", 10)],
        ..served(&world, 1_000, &requests)
    };
    observe(&world, window);
    settle(&mut monitor(&world), &world.context("monitor"));
    let expected =
        [(AlertKind::QualityFell, "outcome.format"), (AlertKind::RefusalsRose, ""), (AlertKind::PersonalData, "email")];
    assert_eq!(kinds(&world), expected.map(|(kind, subject)| (kind, subject.to_owned())));
    let [reading] = readings(&world).try_into().unwrap();
    assert_eq!((reading.refusals, reading.format_failures), (29, 1));
    let sums: Vec<_> = reading.cusum.iter().map(|row| row.category.as_str()).collect();
    assert_eq!(sums, ["compliance", "format", "outcome.format", "reviewed.compliance"], "`resolved` is in no suite");
}

#[test]
fn what_a_monitor_died_before_raising_is_raised_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let world = trained(folder.path());
    let window = observe(&world, served(&world, 1_000, &usual("card")));
    let judged = vec![CategoryResult { category: "answered".into(), passed: 0, cases: 50 }];
    let reading = WindowObserved {
        model: "triage".into(),
        version: 1,
        from_ms: 1_000,
        to_ms: 2_000,
        windows: vec![window],
        requests: 60,
        refusals: 50,
        judged,
        ..Default::default()
    };
    world.act("monitor", Body::WindowObserved(reading));
    settle(&mut monitor(&world), &world.context("monitor"));
    assert_eq!(kinds(&world), [(AlertKind::RefusalsRose, String::new())]);
    settle(&mut monitor(&world), &world.context("monitor"));
    assert_eq!(kinds(&world).len(), 1, "once");
}

#[test]
fn texts_that_are_gone_are_said_to_be_and_texts_that_differ_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let world = trained(folder.path());
    let window = served(&world, 1_000, &usual("hm"));
    let pack = window.packs[0].clone();
    let commitments = world.commitments(&pack);
    observe(&world, window);
    world.erase(&pack, &commitments);
    settle(&mut monitor(&world), &world.context("monitor"));
    let [reading] = readings(&world).try_into().unwrap();
    let texts =
        |reading: &WindowObserved| reading.environment.iter().find(|s| s.name == "texts").unwrap().value.clone();
    assert_eq!((texts(&reading).as_str(), reading.requests, reading.judged.len()), ("erased", 60, 0));

    let kept = WindowObserved { packs: Vec::new(), ..served(&world, 2_000, &usual("hm")) };
    observe(&world, kept);
    settle(&mut monitor(&world), &world.context("monitor"));
    assert_eq!(texts(readings(&world).last().unwrap()), "not-kept");

    let altered = WindowObserved { requests_root: vec![7; 32], ..served(&world, 3_000, &usual("hm")) };
    let altered = observe(&world, altered);
    settle(&mut monitor(&world), &world.context("monitor"));
    assert_eq!(world.row(&Windows::key("triage", altered)).read_at, 0);
    assert_eq!(readings(&world).len(), 2);
}
