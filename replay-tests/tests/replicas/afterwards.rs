//! Questions about what comes after promotion, put to a replica.

use crate::held::{options, store, write};
use attestune_ledger::log::Embedded;
use attestune_ledger::query;
use attestune_ledger::replica::{Replica, StoreView};
use attestune_proto::v1::event::Body;
use attestune_proto::v1::{
    AlertKind, AlertRaised, DueItem, DueKind, ErasureDecision, PrepareErasureRequest, ScheduleSet, Sealed,
    ServerServing, ServerStatus, ServingConfirmed, ServingOccasion, ServingPart, Stage,
};
use attestune_replay_tests::*;
use std::sync::Arc;

/// Asks a replica that has folded a world's log.
fn asked<T>(world: &World, question: impl FnOnce(&StoreView) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    write(&store, world, 0..world.log.len());
    let log = Embedded::open(store.clone(), Arc::new(|| 0)).unwrap();
    let replica = Replica::open(store, Arc::new(log), options(world, world.log.len())).unwrap();
    let answer = question(&replica.view());
    replica.shut_down();
    answer
}

fn due(world: &World, now_ms: u64) -> Vec<DueItem> {
    asked(world, |view| query::due(view, "", now_ms).unwrap().items)
}

fn kinds(items: &[DueItem], overdue: bool) -> Vec<DueKind> {
    let mut kinds: Vec<DueKind> = items.iter().filter(|item| item.overdue == overdue).map(|item| item.kind()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

const DAY_MS: u64 = 86_400_000;

#[test]
fn each_server_stands_to_what_was_decided_as_it_says() {
    let mut world = World::new();
    world.with_two_versions();
    world.confirm("current", ServingOccasion::Changed);
    world.confirm("stopped", ServingOccasion::Stopped);
    world.confirm("late", ServingOccasion::Changed);
    world.now_ms += 20 * 60_000;
    let altered =
        ServingConfirmed { template_digest: digest(9), ..confirmed(&world, "altered", ServingOccasion::Changed) };
    world.must("gateway", Body::ServingConfirmed(altered));
    world.confirm("current", ServingOccasion::Heartbeat);
    world.confirm("behind", ServingOccasion::Changed);
    world.promote_from_staging(2, Some(1));
    world.confirm("current", ServingOccasion::Changed);
    let models = asked(&world, |view| query::serving(view, "triage", world.now_ms).unwrap().models);
    let status = |name: &str| {
        let of = |s: &&ServerServing| s.serving.as_ref().unwrap().confirmed.as_ref().unwrap().server == name;
        models[0].servers.iter().find(of).unwrap().clone()
    };
    assert_eq!(status("current").status(), ServerStatus::Current);
    assert_eq!(status("behind").status(), ServerStatus::Behind);
    assert_eq!(status("stopped").status(), ServerStatus::Stopped);
    assert_eq!(status("late").status(), ServerStatus::Silent);
    assert_eq!(status("altered").status(), ServerStatus::Differs);
    assert_eq!(status("altered").serving.unwrap().differs, [ServingPart::Template as i32]);
    assert!(status("current").changed_ms > status("behind").changed_ms);
}

#[test]
fn what_is_missing_is_reckoned_from_the_log_and_the_askers_clock() {
    let mut world = World::new();
    let life = world.with_two_versions();
    world.confirm("gateway-1", ServingOccasion::Changed);
    let first = world.must("gateway", Body::WindowObserved(window(1, START_MS)));
    let now_ms = world.now_ms;
    assert_eq!(kinds(&due(&world, now_ms), true), []);
    let expected = [DueKind::Retraining, DueKind::WatchSilent, DueKind::ServerSilent, DueKind::WindowUnread];
    assert_eq!(kinds(&due(&world, now_ms), false), expected);
    assert_eq!(kinds(&due(&world, now_ms + 16 * 60_000), true), [DueKind::ServerSilent]);
    assert_eq!(kinds(&due(&world, now_ms + 92 * DAY_MS), true), expected);
    // The most overdue comes first.
    let items = due(&world, now_ms + 92 * DAY_MS);
    assert!(items.windows(2).all(|w| w[0].due_ms <= w[1].due_ms));

    // A schedule goes before the policy's interval; an alert about drift brings it forward.
    let monthly = ScheduleSet { interval_ms: 30 * DAY_MS, ..scheduled(life.base) };
    world.must("otto", Body::ScheduleSet(monthly));
    let retraining = |world: &World| due(world, now_ms).into_iter().find(|i| i.kind() == DueKind::Retraining).unwrap();
    let run_ms = |world: &World, position: u64| world.folded[position as usize].fold_time_ms;
    let scheduled = retraining(&world);
    assert_eq!(scheduled.due_ms, run_ms(&world, scheduled.position) + 30 * DAY_MS);
    world.with_watchers();
    let observed = world.must("gateway", Body::WindowObserved(window(1, START_MS + 60_000)));
    let shown = world.must("monitor", Body::WindowObserved(reading(1, &[observed], 9)));
    let drifted = AlertRaised { kind: AlertKind::Drift as i32, subject: "length".into(), ..alert(1, &[shown]) };
    let raised = world.must("monitor", Body::AlertRaised(drifted));
    // Of the two windows one is read; once both are, nothing waits.
    let unread = |world: &World| due(world, now_ms).into_iter().find(|item| item.kind() == DueKind::WindowUnread);
    assert_eq!(unread(&world).map(|item| (item.position, item.subject)), Some((first, "gateway-1".into())));
    world.must("monitor", Body::WindowObserved(reading(1, &[first], 9)));
    assert_eq!(unread(&world), None);
    assert_eq!(retraining(&world).due_ms, run_ms(&world, raised));
    assert!(kinds(&due(&world, world.now_ms + 2 * DAY_MS), true).contains(&DueKind::Alert));
    world.must("otto", acknowledged(raised));
    assert!(!kinds(&due(&world, world.now_ms + 2 * DAY_MS), true).contains(&DueKind::Alert));

    // Nobody serves version 2, and its emergency waits for approvals.
    world.adopt(emergency_policy());
    let promoted = world.must("axel", emergency(2, Stage::Production, Some(1)));
    let late = due(&world, world.now_ms + EMERGENCY_MS + 1);
    assert!(kinds(&late, true).contains(&DueKind::NotServed));
    let review = late.iter().find(|item| item.kind() == DueKind::EmergencyReview).unwrap();
    assert_eq!((review.position, review.version, review.overdue), (promoted, 2, true));
}

#[test]
fn an_erasure_reaches_what_was_made_from_it_until_somebody_decides() {
    let mut world = World::new();
    let life = world.with_two_versions();
    let person = [indices(life.documents, &[1, 3])];
    let prepared = asked(&world, |view| {
        let request = PrepareErasureRequest { documents: person.to_vec(), ..Default::default() };
        query::prepare_erasure(view, &request).unwrap()
    });
    let body = erased(&world, &person);
    assert_eq!((prepared.root, prepared.count), (body.root.clone(), 4));
    assert_eq!(prepared.examples, [indices(life.batch, &[1, 3])]);
    let erasure = world.must("sten", Body::SubjectErased(body));
    let answer = asked(&world, |view| query::erasure(view, erasure).unwrap());
    assert_eq!(answer.datasets.iter().map(|d| d.members).collect::<Vec<_>>(), [2]);
    let versions: Vec<_> = answer.versions.iter().map(|v| (v.version.clone().unwrap().version, v.in_force)).collect();
    assert_eq!(versions, [(1, true), (2, false)]);
    assert_eq!(answer.final_ms, 0, "the policy does not say how long backups are kept");

    let open = kinds(&due(&world, world.now_ms + 1), true);
    assert!(open.contains(&DueKind::ErasureDecision));
    let why = asked(&world, |view| query::why_in_force(view, view, "triage").unwrap());
    assert_eq!((why.erasures.len(), why.erasures[0].members, why.erasures[0].decision.is_none()), (1, 2, true));
    for version in [1, 2] {
        world.must("otto", erasure_decided(erasure, version, ErasureDecision::Keep));
    }
    assert!(!kinds(&due(&world, world.now_ms + 1), true).contains(&DueKind::ErasureDecision));
    let version = asked(&world, |view| query::model_version(view, "triage", 2).unwrap());
    assert!(version.erasures[0].decision.is_some());

    // The vault is told each text once, by the pack in which it lies.
    let told = asked(&world, |view| query::to_erase(view, 0).unwrap());
    let texts: Vec<(u8, u8)> = told
        .iter()
        .flat_map(|(_, packs)| packs)
        .flat_map(|p| p.commitments.iter().map(move |c| (p.pack[0], c[0])))
        .collect();
    assert_eq!(texts, [(1, 1), (1, 3), (2, 101), (2, 103)]);
    assert!(asked(&world, |view| query::to_erase(view, world.next()).unwrap()).is_empty());
    let sealed = |pack: u8, byte: u8| Sealed { pack: vec![pack; 16], commitment: digest(byte) };
    let found = asked(&world, |view| query::documents_among(view, &[sealed(1, 2), sealed(7, 2)]).unwrap());
    assert_eq!(found.documents, [indices(life.documents, &[2])]);
    assert_eq!(found.others[0].pack, vec![7; 16], "what is not on the log as a document");
}
