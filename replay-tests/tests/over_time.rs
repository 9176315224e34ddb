//! What time, crashes and revoked keys change: leases, fresh knowledge, words that count no more.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

use attestune_ledger::state::{Runs, Scans};
use attestune_proto::v1::event::Body;
use attestune_proto::v1::*;
use attestune_replay_tests::*;

const DAY_MS: u64 = 86_400_000;

fn claimed(run: u64, previous: Option<u64>) -> Body {
    Body::TrainingClaimed(TrainingClaimed { run, previous })
}

fn progressed(run: u64, token: u64, step: u32) -> Body {
    Body::TrainingProgressed(TrainingProgressed { run, token, step, steps: 100, loss_micro: 1, ..Default::default() })
}

#[test]
fn a_holder_renews_its_lease_before_it_runs_out_under_a_new_token_and_nobody_else_may() {
    let mut world = World::new();
    let life = world.with_dataset();
    world.cast("trainer-2", ActorKind::Worker, Role::Trainer);
    let run = world.must("ella", Body::TrainingRequested(training(life.dataset, life.base)));
    let first = world.must("trainer", claimed(run, None));
    let before = world.row(&Runs::key(run)).unwrap().lease.unwrap().expires_ms;
    world.now_ms += 1_000;
    world.refused("trainer-2", claimed(run, Some(first)), "lease-held");
    let second = world.must("trainer", claimed(run, Some(first)));
    assert!(world.row(&Runs::key(run)).unwrap().lease.unwrap().expires_ms > before);
    world.refused("trainer", progressed(run, first, 1), "token-outdated");
    world.must("trainer", progressed(run, second, 1));
}

#[test]
fn a_run_that_is_claimed_again_after_a_crash_begins_its_progress_anew() {
    let mut world = World::new();
    let life = world.with_dataset();
    let run = world.must("ella", Body::TrainingRequested(training(life.dataset, life.base)));
    let token = world.must("trainer", claimed(run, None));
    world.must("trainer", progressed(run, token, 69));
    world.refused("trainer", progressed(run, token, 5), "bad-field");
    world.now_ms += DAY_MS / 2;
    let token = world.must("trainer", claimed(run, Some(token)));
    assert_eq!(world.row(&Runs::key(run)).unwrap().step, 0);
    world.must("trainer", progressed(run, token, 5));
}

#[test]
fn the_first_act_after_idle_days_is_accepted_and_one_that_missed_something_for_so_long_is_not() {
    let mut world = World::new();
    let late = world.draft("sten", ingested("tickets", 1));
    world.now_ms += 9 * DAY_MS;
    assert_eq!(world.push(sign(&late, &["sten"])).code(), "");
    let stale = world.draft("sten", ingested("tickets", 1));
    world.must("sten", ingested("others", 1));
    world.now_ms += 2 * DAY_MS;
    assert_eq!(world.push(sign(&stale, &["sten"])).code(), "seen-too-old");
}

#[test]
fn a_batch_is_scanned_anew_when_the_scanners_key_is_revoked() {
    let mut world = World::new();
    let documents = world.must("sten", ingested("tickets", 2));
    let batch = world.must("sten", derived(documents, 2));
    world.must("scanner", scanned(batch, &[]));
    world.refused("scanner", scanned(batch, &[]), "done-before");
    world.cast("scanner-2", ActorKind::Worker, Role::Scanner);
    let keyid = key("scanner").keyid();
    let reason = RevocationReason::Compromised.into();
    world.must("ada", Body::KeyRevoked(KeyRevoked { keyid, reason }));
    world.must("scanner-2", scanned(batch, &[1]));
    let scan = world.row(&Scans::key(batch, &detector().name, &detector().version)).unwrap();
    assert_eq!(scan.signer.unwrap().actor, "scanner-2");
    world.refused("scanner-2", scanned(batch, &[]), "done-before");
}

#[test]
fn what_a_scan_only_notes_asks_for_no_review() {
    let mut world = World::new();
    let documents = world.must("sten", ingested("tickets", 3));
    let batch = world.must("sten", derived(documents, 3));
    let Body::ExamplesScanned(mut scan) = scanned(batch, &[0, 1]) else { panic!("a scan") };
    scan.looked_for = vec!["email".into(), "location".into()];
    scan.findings[0].spans[0].entity = "location".into();
    let part = CoveredBy { detector: Some(detector()), entities: vec![0, 1], languages: vec!["en".into()] };
    let noted = vec!["location".into()];
    scan.coverage = Some(Coverage { detectors: vec![part], noted, unfolds: true, ..Default::default() });
    let unknown = Coverage { noted: vec!["person".into()], ..scan.coverage.clone().unwrap_or_default() };
    let wrong = ExamplesScanned { coverage: Some(unknown), ..scan.clone() };
    world.refused("scanner", Body::ExamplesScanned(wrong), "bad-field");
    world.must("scanner", Body::ExamplesScanned(scan));
    let row = world.row(&Scans::key(batch, &detector().name, &detector().version)).unwrap();
    assert_eq!(row.flagged, [0b010], "the place in the first is noted, the address in the second is not");
    world.must("checker", checked(batch));
    assert_eq!(frozen(&world, "triage", &["tickets"]).count, 2, "the noted one is eligible");
}

#[test]
fn a_suite_too_large_for_exact_arithmetic_is_refused() {
    let mut world = World::new();
    let with = |cases: u32, categories: usize| {
        let category = |n| Category { category: format!("c{n:02}"), cases, bar_ppm: 500_001 };
        Body::SuiteRegistered(SuiteRegistered { categories: (0..categories).map(category).collect(), ..suite() })
    };
    world.refused("ella", with(10_001, 1), "bad-field");
    world.refused("ella", with(10_000, 11), "bad-field");
    world.must("ella", with(500, 64));
}
