//! A company in one thread: people, workers and trainers sign real events onto a log in memory, each over a replica of
//! its own that lags behind, while chance lets them crash, stand still, lose what they sent or send it twice, while
//! clocks jump and strangers write into the log. After each entry an auditor, who knows the events and not the rules,
//! looks at what the ledger said. A seed gives a run; the same seed gives it again.
//!
//! `ATTESTUNE_SIM_SEEDS=N` lives another number of lives, `ATTESTUNE_SIM_SEED=N` that one alone,
//! `ATTESTUNE_SIM_STEPS=N` another number of steps, `ATTESTUNE_SIM_OFF=crash,pause` leaves out faults.
//!
//! Of the product run here: signing, the fold, its state, trees and queries' eligibility, and at each life's end the
//! replica in RocksDB. The workers are models ([`workers`], [`leases`]): the real ones want a disk, a vault, candle and
//! the machine's clock.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod auditor;
mod company;
mod course;
#[path = "../replicas/held.rs"]
mod held;
mod leases;
#[path = "../replicas/paged.rs"]
mod paged;
mod people;
mod process;
mod sim;
mod workers;

use attestune_ledger::rules::Folded;
use attestune_ledger::rules::decode::decode;
use attestune_ledger::state::{Models, Runs, View};
use attestune_proto::v1::{Verdict, WorkStatus, event::Body};
use auditor::Auditor;
use course::{Course, Fault};
use held::{Way, live_replica_agrees, replica_agrees};
use sim::{Lived, live, smaller};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lives in `make test`.
const LIVES: u64 = 40;
/// Steps of each.
const STEPS: u32 = 16_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn course(seed: u64) -> Course {
    let mut course = Course::new(seed, number("ATTESTUNE_SIM_STEPS").map_or(STEPS, |steps| steps as u32));
    let off = std::env::var("ATTESTUNE_SIM_OFF").unwrap_or_default();
    course.faults.retain(|fault| !off.split(',').any(|name| name == format!("{fault:?}").to_lowercase()));
    course
}

/// Lives each course on two threads, until one fails: that is made smaller and told.
fn live_all(seeds: std::ops::Range<u64>, course: impl Fn(u64) -> Course + Sync) -> Vec<Lived> {
    let next = AtomicU64::new(seeds.start);
    let (lived, failed) = (Mutex::new(Vec::new()), Mutex::new(None));
    let seed = || {
        let going_well = failed.lock().unwrap().is_none();
        Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| going_well && *seed < seeds.end)
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(seed) = seed() {
                    match live(&course(seed)) {
                        Ok(life) => lived.lock().unwrap().push(life),
                        Err(failure) => *failed.lock().unwrap() = Some(failure),
                    }
                }
            });
        }
    });
    if let Some(failure) = failed.into_inner().unwrap() {
        eprintln!(
            "seed {} fails after step {}: {}; it is made smaller",
            failure.course.seed, failure.step, failure.why
        );
        panic!("{}", smaller(failure));
    }
    lived.into_inner().unwrap()
}

/// Codes and kinds of verdicts over lives, with how often each came.
fn counted(lives: &[Lived]) -> BTreeMap<&'static str, usize> {
    let mut counted = BTreeMap::new();
    for folded in lives.iter().flat_map(|life| &life.world.folded) {
        let name = match folded.verdict {
            Verdict::Accepted => "accepted",
            Verdict::Duplicate => "duplicate",
            _ => folded.code(),
        };
        *counted.entry(name).or_default() += 1;
    }
    counted
}

/// How many reports of progress were refused as running backwards.
fn backwards(lives: &[Lived]) -> usize {
    let is = |value: &[u8]| {
        let body = decode(value).ok().and_then(|decoded| decoded.event.body);
        matches!(body, Some(Body::TrainingProgressed(_)))
    };
    let entries = lives.iter().flat_map(|life| life.world.log.iter().zip(&life.world.folded));
    entries.filter(|((_, value), folded)| folded.code() == "bad-field" && is(value)).count()
}

#[test]
fn many_short_lives_keep_every_promise_of_the_ledger() {
    if let Some(seed) = number("ATTESTUNE_SIM_SEED") {
        live_all(seed..seed + 1, course);
        return;
    }
    let lives = live_all(0..number("ATTESTUNE_SIM_SEEDS").unwrap_or(LIVES), course);
    let counted = counted(&lives);
    eprintln!("{} lives: {counted:?}", lives.len());
    // The lives were no idle ones: faults led to what the ledger must refuse, and work was done all the same.
    for code in [
        "approved-before",
        "approver-took-part",
        "bad-signature",
        "claim-outdated",
        "done-before",
        "duplicate",
        "ended",
        "gate-failed",
        "id-used",
        "key-revoked",
        "lease-expired",
        "lease-held",
        "member-lost",
        "other-ledger",
        "promotion-decided",
        "reviewed-before",
        "role-missing",
        "token-outdated",
    ] {
        assert!(counted.contains_key(code), "no life had a {code}: {counted:?}");
    }
    assert_eq!(backwards(&lives), 0, "a trainer told of a step before one that was told of already");
    let (mut completed, mut in_force) = (0, 0);
    for life in &lives {
        let view = View::new(&life.world.state, life.world.next());
        completed += view.scan(&Runs::all()).iter().filter(|r| r.status == WorkStatus::Completed as i32).count();
        in_force += view.scan(&Models::all()).iter().filter(|model| model.in_force > 0).count();
    }
    assert!(completed >= lives.len() && in_force >= lives.len() / 4, "{completed} runs, {in_force} models in force");
}

#[test]
fn a_life_folds_to_the_same_in_a_replica_on_disk_over_other_windows() {
    for life in live_all(1000..1006, course) {
        let windows = vec![1 + life.world.log.len() % 7, 64, 3];
        let way = Way { windows, openings: vec![20_000, 50_000], drops_state: life.world.log.len() % 2 == 0 };
        replica_agrees(&life.world, &way);
        if life.world.log.len() % 3 == 0 {
            live_replica_agrees(&life.world);
        }
    }
}

#[test]
fn the_same_course_is_the_same_run() {
    let life = |seed| live(&Course::new(seed, 2000)).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(life(5).world.log, life(5).world.log);
    assert_eq!(life(5).told, life(5).told);
    assert_ne!(life(5).world.log, life(6).world.log);
}

/// Trainers and evaluators that report without a look at their lease: it is the ledger that must refuse them.
#[test]
fn a_trainer_that_ignores_its_token_is_refused() {
    let careless = |seed| Course { careless: true, ..course(seed) };
    let lives = live_all(0..8, careless);
    let counted = counted(&lives);
    let refused: usize = ["token-outdated", "lease-expired", "ended"].iter().filter_map(|code| counted.get(code)).sum();
    assert!(refused > lives.len(), "{counted:?}");
}

/// What the auditor is for: each of these refusals, were it an acceptance, is noticed.
#[test]
fn a_ledger_that_accepts_what_it_must_refuse_is_found_out() {
    let codes = BTreeSet::from([
        "actor-did-not-sign",
        "approved-before",
        "approver-took-part",
        "claim-outdated",
        "done-before",
        "ended",
        "evaluation-missing",
        "evaluation-void",
        "gate-failed",
        "id-used",
        "key-revoked",
        "leakage-found",
        "leakage-unknown",
        "lease-expired",
        "lease-held",
        "member-lost",
        "members-differ",
        "no-way-back",
        "not-in-force",
        "promotion-decided",
        "promotion-open",
        "reviewed-before",
        "reviewer-made-it",
        "role-missing",
        "token-outdated",
        "wrong-stage",
    ]);
    let mut found = BTreeSet::new();
    for seed in 0..100 {
        let life = live(&course(seed)).unwrap_or_else(|failure| panic!("{failure}"));
        for (at, folded) in life.world.folded.iter().enumerate() {
            if codes.contains(folded.code()) && found.insert(folded.code()) {
                assert!(notices(&life, at), "an accepted {} at {at} goes unnoticed in seed {seed}", folded.code());
            }
        }
        if found == codes {
            return;
        }
    }
    panic!("no life had a {:?}", codes.difference(&found));
}

/// Whether an auditor notices that a life's refused event was accepted.
fn notices(life: &Lived, forged: usize) -> bool {
    let mut auditor = Auditor::default();
    let entries = life.world.log.iter().zip(&life.world.folded).enumerate();
    for (at, ((time_ms, value), folded)) in entries {
        let mut folded = folded.clone();
        if at == forged {
            (folded.verdict, folded.refusal) = (Verdict::Accepted, None);
        }
        if auditor.take(at as u64, *time_ms, value, &folded).is_err() {
            return at == forged;
        }
    }
    false
}

/// Entries with their times, and what was said on each.
type History = Vec<(u64, Vec<u8>, Folded)>;

#[test]
fn an_auditor_notices_what_was_changed_in_a_history() {
    let life = live(&Course::new(3, 3000)).unwrap_or_else(|failure| panic!("{failure}"));
    let replay = |change: &dyn Fn(&mut History)| {
        let entries = life.world.log.iter().zip(&life.world.folded);
        let mut history: History =
            entries.map(|((time, value), folded)| (*time, value.clone(), folded.clone())).collect();
        change(&mut history);
        let mut auditor = Auditor::default();
        let audit = |(at, (time, value, folded)): (u64, &(u64, Vec<u8>, _))| auditor.take(at, *time, value, folded);
        (0u64..).zip(&history).try_for_each(audit)
    };
    assert_eq!(replay(&|_| ()), Ok(()));
    let accepted = |kind: fn(&Body) -> bool| {
        let is = |value: &[u8]| decode(value).ok().and_then(|d| d.event.body).is_some_and(|body| kind(&body));
        let all = life.world.log.iter().zip(&life.world.folded).enumerate();
        let mut all = all.filter(|(_, ((_, value), folded))| folded.verdict == Verdict::Accepted && is(value));
        all.next().map(|(at, _)| at).expect("it happened")
    };
    let scan = accepted(|body| matches!(body, Body::ExamplesScanned(_)));
    let twice = replay(&|history| history.insert(scan + 1, history[scan].clone()));
    assert!(twice.unwrap_err().contains("are now"), "an effect twice");
    let freeze = accepted(|body| matches!(body, Body::DatasetFrozen(_)));
    assert!(replay(&|history| _ = history.remove(scan)).is_err(), "a scan that is gone");
    assert!(freeze > scan);
    let duplicate = life.world.folded.iter().position(|folded| folded.verdict == Verdict::Duplicate).expect("one");
    let writes = replay(&|history| history[duplicate].2.effects = life.world.folded[scan].effects.clone());
    assert!(writes.unwrap_err().contains("changes rows"), "a duplicate with effects");
}

#[test]
fn a_failing_run_tells_its_seed_its_steps_and_the_faults_that_it_takes() {
    let broken = |seed| Course { broken: Some("done-before"), ..Course::new(seed, 3000) };
    let failure = (0..10).find_map(|seed| live(&broken(seed)).err()).expect("two scanners meet in one of them");
    let seed = failure.course.seed;
    let small = smaller(failure);
    assert!(small.course.faults.len() < Fault::ALL.len(), "{small}");
    let told = small.to_string();
    assert!(told.starts_with(&format!("seed {seed} fails after step {}", small.step)), "{told}");
    assert!(told.contains("has spoken at") && told.contains(&format!("ATTESTUNE_SIM_SEED={seed}")), "{told}");
    // The prefix up to that step is enough.
    let again = live(&small.course).err().map(|failure| failure.step);
    assert_eq!(again, Some(small.step), "{told}");
}

#[test]
#[ignore = "long: make faults"]
fn a_thousand_lives_keep_every_promise_of_the_ledger() {
    let lives = live_all(10_000..11_000, course);
    eprintln!("{} lives: {:?}", lives.len(), counted(&lives));
}
