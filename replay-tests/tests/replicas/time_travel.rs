//! Every answer about a past moment is what a replica says that stopped there.

use crate::cases;
use crate::held::{options, store, write};
use crate::long_lives::lived;
use attestune_ledger::log::Embedded;
use attestune_ledger::query::{self, UnreadWindows};
use attestune_ledger::replica::{Replica, ReplicaError, StoreView};
use attestune_proto::v1::{
    AsOf, ClockCorrected, Direction, HistoryEvent, HistoryRequest, LineageRequest, ListExamplesRequest,
    WhyInForceResponse, as_of::When, event::Body,
};
use attestune_replay_tests::{
    Course, World, after_promotion, blind_second_review, emergencies, erasure_and_holds, watching_and_schedules,
    whole_life,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// A replica of the world's first entries.
fn replica(folder: &Path, world: &World, end: usize) -> Arc<Replica> {
    let store = store(folder);
    write(&store, world, 0..end);
    let log = Arc::new(Embedded::open(store.clone(), Arc::new(|| 0)).unwrap());
    Replica::open(store, log, options(world, end)).unwrap()
}

/// Every question that can be asked about a moment, with its answer.
fn answers(view: &StoreView) -> Vec<(String, String)> {
    let mut told = Vec::new();
    let mut tell = |question: &str, answer: String| told.push((question.to_owned(), answer));
    macro_rules! ask {
        ($($question:ident),+) => { $(tell(stringify!($question), format!("{:?}", query::$question(view, "")));)+ };
    }
    ask!(
        list_models,
        list_versions,
        list_datasets,
        list_runs,
        list_suites,
        list_bases,
        list_evaluations,
        list_promotions
    );
    ask!(list_actors, list_batches, list_exports);
    ask!(list_windows, list_experiments, list_alerts, list_schedules, list_holds);
    // By the moment's own time.
    tell("due", format!("{:?}", query::due(view, "", 0)));
    tell("serving", format!("{:?}", query::serving(view, "", 0)));
    tell("compliance", format!("{:?}", query::comply::comply(view, "", 0)));
    tell("backlog", format!("{:?}", query::review_counts(view, "", 0)));
    tell("review", format!("{:?}", query::review_report(view, "", 0)));
    let erasures = query::list_erasures(view).unwrap().erasures;
    for erasure in &erasures {
        tell("erasure", format!("{:?}", query::erasure(view, erasure.position)));
    }
    tell("erasures", format!("{erasures:?}"));
    tell("open work", format!("{:?}", query::open_work(view)));
    for version in 0..4 {
        tell("policy", format!("{:?}", query::policy(view, version)));
    }
    let models = query::list_models(view, "").unwrap().models;
    let names = models.iter().map(|row| row.model.as_str()).chain(["nobody-s"]);
    for model in names {
        // What came after is the one thing that a replica which stopped cannot say.
        let why = query::why_in_force(view, view, model).map(|found| WhyInForceResponse { after: Vec::new(), ..found });
        tell(&format!("why {model}"), format!("{why:?}"));
        for version in 1..=models.iter().find(|row| row.model == model).map_or(1, |row| row.versions) {
            tell(&format!("version {version} of {model}"), format!("{:?}", query::model_version(view, model, version)));
        }
        let history = |request: HistoryRequest| {
            let mut events: Vec<HistoryEvent> = Vec::new();
            let outcome = query::history(view, &request, &mut |event| {
                events.extend(event);
                true
            });
            format!("{outcome:?} {events:?}")
        };
        tell(&format!("history of {model}"), history(HistoryRequest { model: model.into(), ..Default::default() }));
    }
    let batches = query::list_batches(view, "").unwrap();
    for collection in batches.documents.iter().map(|row| row.collection.as_str()).take(3) {
        let request = ListExamplesRequest { collection: collection.into(), ..Default::default() };
        tell(&format!("examples of {collection}"), format!("{:?}", query::list_examples(view, &request)));
        let prepared = query::prepare_dataset(view, &[collection.to_owned()]);
        tell(&format!("a freeze of {collection}"), format!("{prepared:?}"));
    }
    for dataset in query::list_datasets(view, "").unwrap().datasets.iter().map(|row| row.position) {
        tell(&format!("members of {dataset}"), format!("{:?}", query::list_members(view, dataset)));
    }
    for position in (0..view.size()).step_by(11) {
        for direction in [Direction::Up, Direction::Down] {
            let request = LineageRequest { position, direction: direction.into(), ..Default::default() };
            tell(&format!("{direction:?} from {position}"), format!("{:?}", query::lineage(view, &request)));
        }
    }
    told
}

/// Holds the whole log's replica, asked about moments, against replicas that stopped there.
fn past_is_past(world: &World, ends: &[usize]) {
    let whole = tempfile::tempdir().unwrap();
    let whole = (replica(whole.path(), world, world.log.len()), whole);
    for end in ends {
        let stopped = tempfile::tempdir().unwrap();
        let stopped = (replica(stopped.path(), world, *end), stopped);
        let (then, now) = (whole.0.view_at(*end as u64 - 1), stopped.0.view());
        assert_eq!(then.size(), now.size());
        for (ours, theirs) in answers(&then).into_iter().zip(answers(&now)) {
            assert_eq!(ours, theirs, "as of size {end}");
        }
        // What the entries changed is the same told from either.
        let half = whole.0.view_at(*end as u64 / 2);
        let their_half = stopped.0.view_at(*end as u64 / 2);
        assert_eq!(query::diff(&half, &then).unwrap(), query::diff(&their_half, &now).unwrap());
        stopped.0.shut_down();
    }
    whole.0.shut_down();
}

proptest! {
    #![proptest_config(cases(6))]

    #[test]
    fn answers_about_a_moment_are_those_of_a_replica_that_stopped_there(
        seed in any::<u64>(), teams in 1..4u32, events in 150..500usize, share in any::<u16>()
    ) {
        let course = Course { seed, teams, batches_max: 3, upheaval_in: 100, ..Course::default() };
        let world = lived(course, events);
        let end = ((world.log.len() * usize::from(share)) >> 16).max(1);
        past_is_past(&world, &[end]);
    }
}

#[test]
fn at_each_moment_of_a_whole_life_the_answers_are_those_of_then() {
    let world = whole_life();
    let ends: Vec<usize> = (1..=world.log.len()).rev().step_by(9).collect();
    past_is_past(&world, &ends);
}

#[test]
fn what_comes_after_promotion_is_told_as_it_was_then() {
    for scenario in [after_promotion, emergencies, watching_and_schedules, erasure_and_holds, blind_second_review] {
        let world = scenario();
        let ends: Vec<usize> = (1..=world.log.len()).rev().step_by(17).collect();
        past_is_past(&world, &ends);
    }
}

#[test]
fn a_time_is_the_last_position_not_after_it_and_odd_times_have_clear_answers() {
    let folder = tempfile::tempdir().unwrap();
    let world = whole_life();
    let replica = replica(folder.path(), &world, world.log.len());
    let at = |time_ms| replica.resolve(Some(&AsOf { when: Some(When::TimeMs(time_ms)) })).map(|view| view.size());
    let (first, third) = (world.log[0].0, world.log[2].0);
    assert_eq!((at(first), at(third), at(third - 1)), (Ok(1), Ok(3), Ok(2)));
    let before = at(first - 1).unwrap_err();
    assert_eq!(before, ReplicaError::BeforeTheLedger { asked_ms: first - 1, first_ms: first });
    assert!(before.to_string().contains("is before the ledger, whose first entry is of 20"), "{before}");
    assert!(matches!(at(0), Err(ReplicaError::BeforeTheLedger { .. })));
    assert!(matches!(at(u64::MAX), Err(ReplicaError::InTheFuture { .. })));
    let beyond = replica.resolve(Some(&AsOf { when: Some(When::Position(world.next())) })).map(|view| view.size());
    assert!(matches!(beyond, Err(ReplicaError::Beyond { .. })));
    replica.shut_down();
}

#[test]
fn a_period_is_told_whole_though_the_clock_was_set_back_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new();
    let before = world.next();
    for jump_ms in [3_000, 60_000, 20_000] {
        world.push(b"all is well".to_vec());
        let true_ms = world.now_ms;
        world.push_at(true_ms + jump_ms, b"the clock has jumped ahead".to_vec());
        world.push_at(true_ms + 2_000, b"it is right again, the fold's time is not".to_vec());
        let time_ms = world.now_ms + 1_000;
        world.must_by(&["ada", "omar"], Body::ClockCorrected(ClockCorrected { time_ms }));
    }
    world.push(b"all is well".to_vec());
    let replica = replica(folder.path(), &world, world.log.len());
    let view = replica.view();
    let told = |request: HistoryRequest| {
        let mut events: Vec<HistoryEvent> = Vec::new();
        query::history(&view, &request, &mut |event| {
            events.extend(event);
            true
        })
        .unwrap();
        events
    };
    let all = told(HistoryRequest::default());
    assert_eq!(all.len() as u64, world.next());
    assert!(all.windows(2).any(|pair| pair[0].time_ms > pair[1].time_ms), "the fold's time was set back");

    let late = all.iter().filter(|event| event.position >= before).map(|event| event.time_ms);
    let times: BTreeSet<u64> = late.flat_map(|time_ms| [time_ms, time_ms + 1]).chain([0]).collect();
    for (from, to) in [(0, 0), (before + 2, before + 9)] {
        for (from_ms, to_ms) in times.iter().flat_map(|from_ms| times.iter().map(move |to_ms| (*from_ms, *to_ms))) {
            let inside = |event: &&HistoryEvent| {
                event.position >= from
                    && (to == 0 || event.position < to)
                    && event.time_ms >= from_ms
                    && (to_ms == 0 || event.time_ms <= to_ms)
            };
            let expected: Vec<HistoryEvent> = all.iter().filter(inside).cloned().collect();
            let request = HistoryRequest { from, to, from_ms, to_ms, ..Default::default() };
            assert_eq!(told(request), expected, "from {from} to {to}, from {from_ms} ms to {to_ms} ms");
        }
    }
    replica.shut_down();
}

#[test]
fn what_an_entry_wrote_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let world = whole_life();
    let replica = replica(folder.path(), &world, world.log.len());
    let view = replica.view();
    for (position, folded) in (0..).zip(&world.folded) {
        assert_eq!(view.effects_of(position).unwrap(), folded.effects, "position {position}");
    }
    let changes = query::diff(&replica.view_at(0), &view).unwrap();
    assert!(changes.changes.iter().any(|c| c.text.starts_with("version 1 of triage is in force")), "{changes:?}");
    assert_eq!(changes.accepted + changes.refused + changes.duplicates + changes.garbage, world.next() - 1);
    replica.shut_down();
}

#[test]
fn windows_that_wait_for_a_monitor_are_counted_from_one_moment_to_the_next() {
    let world = after_promotion();
    let folder = tempfile::tempdir().unwrap();
    let replica = replica(folder.path(), &world, world.log.len());
    let mut counted = BTreeSet::new();
    for step in [1, 2, 5] {
        let mut kept = UnreadWindows::default();
        for position in (0..world.log.len() as u64).step_by(step) {
            let then = replica.view_at(position);
            let windows = query::list_windows(&then, "").unwrap().windows;
            let unread = windows.iter().filter(|row| !row.server.is_empty() && row.read_at == 0).count();
            assert_eq!(kept.advance(&then).unwrap(), unread, "as of {position}, every {step}");
            counted.insert(unread);
        }
        assert_eq!(kept.advance(&replica.view_at(0)).unwrap(), 0, "a moment before begins anew");
    }
    assert_eq!(counted, BTreeSet::from([0, 1, 2]));
    replica.shut_down();
}
