//! Questions about models in production.

use crate::{Answers, DAY_MS, Folded};
use attestune_proto::v1::event::Body;
use attestune_proto::v1::{
    ClauseStatus, Kind, Policy, ReviewVerdict, ServingConfirmed, ServingOccasion, Watch, WindowObserved,
};
use attestune_replay_tests::*;

/// With monitor and scheduler, version 1 in force.
fn in_production() -> (World, Life) {
    let mut world = World::new();
    world.with_watchers();
    let life = world.with_two_versions();
    (world, life)
}

/// Time passes, and an event comes that the next one has seen: `seen` must not be too old.
fn wait(world: &mut World, ms: u64) {
    world.now_ms += ms;
    world.act("sten", ingested("letters", 1));
}

#[test]
fn without_a_model_in_production_there_is_nothing_to_ask() {
    let answers = Answers::now(&World::new());
    for code in
        ["stoppable", "served-as-decided", "traffic-on-record", "watched", "alerts-answered", "retraining-current"]
    {
        answers.not_applicable(code);
    }
}

#[test]
fn a_model_that_nobody_may_halt_is_a_gap() {
    let (mut world, _) = in_production();
    let text = Answers::now(&world).met("stoppable").text.clone();
    assert!(text.starts_with("1 model in production; 5 persons may halt them, 5 roll back; 0 with"), "{text}");
    let mut permissions = policy().permissions;
    permissions.retain(|row| row.kind() != Kind::ServingHalted);
    world.adopt(Policy { permissions, ..policy() });
    assert_eq!(Answers::now(&world).gap("stoppable"), "nobody can halt triage");
}

#[test]
fn what_servers_confirm_is_held_against_what_was_decided() {
    let (mut world, _) = in_production();
    Answers::now(&world).met("served-as-decided");
    let late = Answers::of(&world, world.now_ms + 16 * 60_000);
    assert_eq!(late.gap("served-as-decided"), "triage: no server has confirmed version 1");
    world.confirm("gateway-1", ServingOccasion::Changed);
    let text = Answers::now(&world).met("served-as-decided").text.clone();
    assert_eq!(text, "1 model in production, 1 served as decided, by 1 server");
    let silent = Answers::of(&world, world.now_ms + 16 * 60_000);
    assert_eq!(silent.gap("served-as-decided"), "triage: gateway-1 is silent");
    let altered =
        ServingConfirmed { template_digest: digest(9), ..confirmed(&world, "gateway-2", ServingOccasion::Changed) };
    world.must("gateway", Body::ServingConfirmed(altered));
    assert!(Answers::now(&world).gap("served-as-decided").contains("gateway-2 says that it serves something else"));
}

#[test]
fn a_server_that_still_serves_what_was_halted_is_a_gap() {
    let (mut world, _) = in_production();
    world.confirm("gateway-1", ServingOccasion::Changed);
    world.must("otto", halted(None));
    assert_eq!(Answers::now(&world).gap("served-as-decided"), "triage: gateway-1 has not changed over yet");
    world.confirm("gateway-1", ServingOccasion::Changed);
    Answers::now(&world).not_applicable("served-as-decided");
}

#[test]
fn traffic_and_its_readings_must_not_stop() {
    let (mut world, _) = in_production();
    let codes = ["traffic-on-record", "watched"];
    let fresh = Answers::now(&world);
    codes.iter().for_each(|code| _ = fresh.met(code));
    let late = Answers::of(&world, world.now_ms + DAY_MS + 1000);
    codes.iter().for_each(|code| assert!(late.gap(code).contains("triage: no window")));

    wait(&mut world, 2 * DAY_MS);
    let observed = world.must("gateway", Body::WindowObserved(window(1, START_MS)));
    let answers = Answers::now(&world);
    let traffic = answers.met("traffic-on-record");
    assert_eq!(traffic.positions, [observed]);
    assert!(traffic.text.contains("texts of requests are kept for 30 days"), "{}", traffic.text);
    assert!(answers.gap("watched").contains("by a monitor"));
    let read = world.must("monitor", Body::WindowObserved(reading(1, &[observed], 10)));
    assert_eq!(Answers::now(&world).met("watched").positions, [read]);

    for watch in [None, Some(Watch { window_ms: DAY_MS, ..Default::default() })] {
        world.adopt(Policy { watch, ..policy() });
        assert!(Answers::now(&world).gap("watched").contains("sets no limits"));
    }
}

#[test]
fn a_hole_between_the_windows_of_a_server_is_a_gap() {
    let (mut world, _) = in_production();
    let observe = |from_ms| Body::WindowObserved(window(1, from_ms));
    world.must("gateway", observe(START_MS));
    wait(&mut world, 3 * DAY_MS);
    // A window is 60 seconds long, and the policy bears a day.
    world.must("gateway", observe(START_MS + 60_000 + DAY_MS));
    Answers::now(&world).met("traffic-on-record");
    let other = WindowObserved { server: "gateway-2".into(), ..window(1, START_MS + 120_000 + DAY_MS) };
    world.must("gateway", Body::WindowObserved(other));
    Answers::now(&world).met("traffic-on-record");
    let late = world.must("gateway", observe(START_MS + 120_001 + 2 * DAY_MS));
    world.must("gateway", observe(START_MS + 180_001 + 2 * DAY_MS));
    let gap = Answers::now(&world).gap("traffic-on-record");
    assert_eq!(gap, format!("triage: no window of gateway-1 for 1.0 days before the one at {late}"));
}

#[test]
fn days_in_which_nobody_asked_are_no_hole_where_a_server_says_so() {
    let (mut world, _) = in_production();
    let quiet = |from_ms: u64| WindowObserved {
        to_ms: from_ms + DAY_MS,
        requests: 0,
        packs: Vec::new(),
        latency_us: None,
        outcomes: Vec::new(),
        ..window(1, from_ms)
    };
    let mut windows = Vec::new();
    for day in 0..3 {
        wait(&mut world, DAY_MS);
        windows.push(world.must("gateway", Body::WindowObserved(quiet(START_MS + day * DAY_MS))));
    }
    Answers::now(&world).met("traffic-on-record");
    let read = WindowObserved { requests: 0, judged: Vec::new(), ..reading(1, &windows, 0) };
    world.must("monitor", Body::WindowObserved(read));
    Answers::now(&world).met("watched");
}

#[test]
fn a_hole_before_the_first_window_is_a_gap_unless_the_server_had_stopped() {
    let (mut world, _) = in_production();
    world.confirm("gateway-1", ServingOccasion::Changed);
    let mut stopped = World::of_log(&world.log);
    stopped.confirm("gateway-1", ServingOccasion::Stopped);
    wait(&mut stopped, 2 * DAY_MS);
    stopped.confirm("gateway-1", ServingOccasion::Changed);
    let again = Body::WindowObserved(window(1, stopped.now_ms));
    stopped.must("gateway", again);
    Answers::now(&stopped).met("traffic-on-record");

    wait(&mut world, 2 * DAY_MS);
    let first = Body::WindowObserved(window(1, world.now_ms));
    world.must("gateway", first);
    assert!(Answers::now(&world).gap("traffic-on-record").contains("no window of gateway-1 for 2.0 days"));
}

#[test]
fn texts_that_are_kept_for_less_than_a_clause_asks_are_a_gap_of_that_clause() {
    let (mut world, _) = in_production();
    let kept = |world: &World| {
        let answer = Folded::of(world).comply("eu-ai-act", None, world.now_ms);
        let clause = answer.packs[0].clauses.iter().find(|clause| clause.clause == "Art. 19(1)").unwrap();
        (clause.status(), clause.questions[0].too_short.clone())
    };
    let says = "kept for 30 days, while this clause asks for 184 days";
    assert_eq!(kept(&world), (ClauseStatus::Gap, says.into()));
    Answers::now(&world).met("traffic-on-record");
    world.adopt(Policy { request_retention_ms: 184 * DAY_MS, ..policy() });
    assert_eq!(kept(&world), (ClauseStatus::Met, String::new()));
}

#[test]
fn a_window_that_no_monitor_reads_is_a_gap() {
    let (mut world, _) = in_production();
    let unread = world.must("gateway", Body::WindowObserved(window(1, START_MS)));
    wait(&mut world, 2 * DAY_MS);
    let second = world.must("gateway", Body::WindowObserved(window(1, START_MS + 60_000)));
    world.must("monitor", Body::WindowObserved(reading(1, &[second], 5)));
    let answers = Answers::now(&world);
    answers.met("traffic-on-record");
    let gap = answers.gap("watched");
    assert_eq!(gap, format!("triage: no monitor has read the window of gateway-1 at {unread}"));
    world.must("monitor", Body::WindowObserved(reading(1, &[unread], 5)));
    Answers::now(&world).met("watched");
}

#[test]
fn alerts_are_answered_by_persons_in_the_policys_time() {
    let (mut world, _) = in_production();
    let observed = world.must("gateway", Body::WindowObserved(window(1, START_MS)));
    let read = world.must("monitor", Body::WindowObserved(reading(1, &[observed], 5)));
    let raised = world.must("monitor", Body::AlertRaised(alert(1, &[read])));
    Answers::now(&world).met("alerts-answered");
    let open = Answers::of(&world, world.now_ms + DAY_MS + 1000);
    assert_eq!(open.gap("alerts-answered"), "the alert on triage@1 is overdue");

    let mut in_time = World::of_log(&world.log);
    in_time.must("otto", acknowledged(raised));
    Answers::of(&in_time, in_time.now_ms + 9 * DAY_MS).met("alerts-answered");
    let mut timeless = World::of_log(&world.log);
    timeless.adopt(Policy { alert_response_ms: 0, ..policy() });
    assert!(Answers::now(&timeless).gap("alerts-answered").contains("sets no time"));

    wait(&mut world, 2 * DAY_MS);
    world.must("otto", acknowledged(raised));
    assert!(Answers::now(&world).gap("alerts-answered").contains("was answered late"));
}

#[test]
fn a_retraining_that_did_not_happen_is_a_gap() {
    let (world, _) = in_production();
    Answers::now(&world).met("retraining-current");
    let gap = Answers::of(&world, world.now_ms + 93 * DAY_MS).gap("retraining-current");
    assert!(gap.contains("triage is overdue for retraining by 2 days"), "{gap}");
}

#[test]
fn a_review_that_was_assigned_must_be_done_in_time() {
    let mut world = World::new();
    let life = world.with_examples();
    Answers::now(&world).not_applicable("reviews-in-time");
    let due_ms = world.now_ms + DAY_MS;
    world.must("sten", assigned(life.batch, &[1], "rita", due_ms));
    Answers::now(&world).met("reviews-in-time");
    assert!(Answers::of(&world, due_ms + 1).gap("reviews-in-time").contains("assigned to rita"));
    world.must("rita", reviewed(life.batch, 1, ReviewVerdict::Approve));
    Answers::of(&world, due_ms + 1).met("reviews-in-time");
}
