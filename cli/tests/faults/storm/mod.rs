//! A storm over a ledger that is spread out: three brokers, two gateways, workers and trainers, each a process with a
//! replica of its own, and twenty producers, while processes are killed and paused, lines part and disks fill.

mod audit;
mod brokers;
mod client;
mod faults;
mod leases;
mod lines;
mod operator;
mod others;
mod parts;
mod people;
mod place;

use crate::machine::skip;
use crate::{number_from, seed};
use attestune_proto::v1::{HeadRequest, ledger_client::LedgerClient};
use audit::{Audit, audit};
use client::Client;
use faults::Counts;
use people::{PRODUCERS, People, open_work, producers};
use place::Place;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Faults of `make faults`; `ATTESTUNE_FAULTS_STORM` sets another number.
const FAULTS: usize = 200;
/// Faults among the other tests.
const FAULTS_SHORT: usize = 8;
/// How long anything may take here, whatever happened to it: a call, a start, the end of what waits.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn a_short_storm_loses_nothing_that_was_acknowledged_and_does_nothing_twice() {
    storm(FAULTS_SHORT);
}

#[test]
#[ignore = "long: make faults"]
fn a_storm_of_two_hundred_faults_loses_nothing_that_was_acknowledged_and_does_nothing_twice() {
    storm(number_from("ATTESTUNE_FAULTS_STORM").map_or(FAULTS, |faults| faults as usize));
}

fn storm(faults: usize) {
    let (seed, began) = (seed(), Instant::now());
    let names = producers();
    let Some(mut place) = Place::build(&names) else { return };
    if place.parts.iter().all(|part| part.disk.is_none()) {
        skip("a full disk in the storm: no tmpfs can be mounted here");
    }
    let gateways = place.gateways();
    let journal = gateways.journal.clone();
    let people = People::begin(&place, &gateways, &names, seed);
    let mut onlooker = people.onlooker.clone();
    wait("there is something to train", || !open_work(&mut onlooker, None).runs.is_empty());
    let blew = Instant::now();
    let counts = faults::blow(&mut place, &people, &journal, seed, faults);
    let blew = blew.elapsed();
    let mut onlooker = people.go_home();
    calm(&mut place, &mut onlooker);
    let audit = audit(&place, &journal);
    report(&counts, &audit, &place);
    let (receipts, again) = (journal.receipts(None), journal.again.load(Ordering::Relaxed));
    eprintln!("{receipts} receipts to {PRODUCERS} producers and an engineer, {again} calls made again");
    eprintln!("{} s in all, {} s of storm; seed {seed}", began.elapsed().as_secs(), blew.as_secs());
    assert_eq!(counts.values().map(|count| count.times).sum::<usize>(), faults);
    assert!(audit.completed > 0, "something was trained, and so on");
    // Who is refused so has said what no order of things makes right.
    assert!(audit.refused.keys().all(|(_, code)| code != "bad-field"), "a report was malformed: {:?}", audit.refused);
}

/// Waits until everything that was begun is done and both gateways know it, compares each with a fold of its own log from
/// nothing, and stops all parts in good order.
fn calm(place: &mut Place, onlooker: &mut Client) {
    for part in &mut place.parts {
        part.until_up(&place.ledger);
    }
    let parts = &mut place.parts;
    wait("everything is done, and both gateways know it", || {
        parts.iter_mut().for_each(|part| part.tend(&place.ledger));
        let heads = [0, 1].map(|gateway| {
            let open = open_work(onlooker, Some(gateway));
            let batches = open.batches_to_scan.len() + open.batches_to_check.len() + open.leakage_to_check.len();
            let head = onlooker
                .ask_of(Some(gateway), &HeadRequest {}, async |channel, request| {
                    LedgerClient::new(channel).head(request).await
                })
                .1;
            (batches + open.runs.len() + open.evaluations.len() == 0).then_some((head.size, head.verdict_root))
        });
        heads[0].is_some() && heads[0] == heads[1]
    });
    for gateway in &parts[..2] {
        place.ledger.json(&["replay", "--server", &gateway.url(), "--as", "stella"]);
    }
    // Workers first: they are at nothing now.
    parts.iter_mut().rev().for_each(parts::Part::stop);
    for part in parts {
        for end in &part.ends {
            // Whoever starts while no broker is there gives up, and is started anew. Nothing else ends by itself.
            let gave_up = end.status.code() == Some(2) && !end.was_up;
            assert!(gave_up && end.said.contains("no broker answered"), "{} ended: {end:?}", part.plan.name);
        }
    }
}

fn report(counts: &Counts, audit: &Audit, place: &Place) {
    eprintln!("\n{:>5}  {:36}  {:>9}  {:>12}  {:>10}", "times", "fault", "at work", "recovery, ø s", "longest, s");
    for (fault, count) in counts {
        let mean = count.recovery.as_secs_f64() / count.times as f64;
        let (name, longest) = (fault.name(), count.recovery_max.as_secs_f64());
        eprintln!("{:>5}  {name:36}  {:>9}  {mean:>12.1}  {longest:>10.1}", count.times, count.at_work);
    }
    let Audit { entries, accepted, duplicates, completed, taken_over, refused, replicas, root } = audit;
    eprintln!("{entries} entries: {accepted} accepted, {duplicates} the same again");
    eprintln!("{completed} trainings and evaluations completed; {taken_over} leases taken over");
    for ((kind, code), times) in refused {
        eprintln!("{times:>5}  refused: {kind}, {code}");
    }
    let helped: usize = counts.values().map(|count| count.helped).sum();
    eprintln!("{helped} brokers started again by an operator, as they did not come to terms");
    let ends: usize = place.parts.iter().map(|part| part.ends.len()).sum();
    eprintln!("{ends} starts given up while no broker was there; {replicas} replicas at one root, {root}");
}

/// Waits until something holds.
fn wait(what: &str, holds: impl FnMut() -> bool) {
    assert!(until(PATIENCE, holds), "not within {} s: {what}", PATIENCE.as_secs());
}

/// Whether something holds within a time.
fn until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !holds() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}
