//! What is looked at once the storm is over: that the log holds what was acknowledged, that nothing took effect twice, and
//! that all replicas came to the same.

use super::client::Journal;
use super::place::Place;
use attestune_ledger::draft::{kind, plain};
use attestune_ledger::log::Kafka;
use attestune_ledger::replica::{Replica, ReplicaOptions};
use attestune_ledger::rules::entry_leaf;
use attestune_ledger::store::{Options, Store};
use attestune_ledger::tree::Hash;
use attestune_proto::v1::{Decided, Envelope, Event, Receipt, Row, Verdict, event::Body};
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

/// What stands on the log.
pub struct Audit {
    pub entries: usize,
    pub accepted: usize,
    pub duplicates: usize,
    /// Trainings and evaluations that came to their end.
    pub completed: usize,
    /// Leases that went over to another worker.
    pub taken_over: usize,
    /// By kind and code.
    pub refused: BTreeMap<(String, String), usize>,
    pub replicas: usize,
    pub root: String,
}

/// Looks at everything. Nobody appends any more, and every part has ended.
pub fn audit(place: &Place, journal: &Journal) -> Audit {
    let fresh = replica(place, &place.ledger.path("fresh"));
    let head = fresh.head().unwrap();
    let mut rows = Vec::new();
    fresh.rows(&mut |row| push(&mut rows, row)).unwrap();
    for part in &place.parts {
        let name = part.plan.name;
        let theirs = replica(place, part.replica());
        let their_head = theirs.head().unwrap();
        assert_eq!(their_head.size, head.size, "{name} has come to the end");
        assert_eq!(hex::encode(&their_head.entry_root), hex::encode(&head.entry_root), "{name} has the same entries");
        assert_eq!(hex::encode(&their_head.verdict_root), hex::encode(&head.verdict_root), "{name} judged the same");
        compare_rows(name, &rows, &theirs);
        theirs.shut_down();
    }
    let log: Vec<Decided> = (0..head.size).map(|position| fresh.decided(position).unwrap()).collect();
    fresh.shut_down();
    acknowledged_stands(&log, journal);
    let events: Vec<(u64, Verdict, Event)> = log.iter().filter_map(read).collect();
    assert_eq!(events.len(), log.len(), "nobody appended what is no event");
    once_each(&events);
    let accepted: Vec<(u64, &Event)> = events
        .iter()
        .filter(|(_, verdict, _)| *verdict == Verdict::Accepted)
        .map(|(position, _, event)| (*position, event))
        .collect();
    batches_were_judged_once(&accepted);
    let (completed, taken_over) = work_was_done_once(&accepted);
    Audit {
        entries: log.len(),
        accepted: accepted.len(),
        completed,
        duplicates: log.iter().filter(|entry| entry.verdict() == Verdict::Duplicate).count(),
        taken_over,
        refused: refusals(&log, &events),
        replicas: place.parts.len() + 1,
        root: hex::encode(&head.verdict_root),
    }
}

fn push<T>(all: &mut Vec<T>, one: T) -> bool {
    all.push(one);
    true
}

/// A replica in a folder, of its own or a part's, that has read the topic to its end.
fn replica(place: &Place, folder: &Path) -> Arc<Replica> {
    std::fs::create_dir_all(folder).unwrap();
    let store = Store::open(folder.join("db"), &Options::default()).unwrap();
    let log = Arc::new(Kafka::open(store.clone(), place.topic()).unwrap());
    Replica::open(store, log, ReplicaOptions::default()).unwrap()
}

fn compare_rows(name: &str, ours: &[Row], theirs: &Replica) {
    let mut next = ours.iter();
    let mut differ = None;
    let same = |their: Row| {
        let our = next.next();
        if our != Some(&their) {
            differ = Some(format!("{our:?} {their:?}"));
        }
        our == Some(&their)
    };
    theirs.rows(&mut { same }).unwrap();
    assert_eq!(differ, None, "{name} has the same rows");
    assert_eq!(next.next(), None, "{name} has all rows");
}

fn read(entry: &Decided) -> Option<(u64, Verdict, Event)> {
    let envelope = Envelope::decode(entry.envelope.as_slice()).ok()?;
    let event = Event::decode(envelope.payload.as_slice()).ok()?;
    Some((entry.position, entry.verdict(), event))
}

/// Every receipt is true, and every event that has one stands once.
fn acknowledged_stands(log: &[Decided], journal: &Journal) {
    let mut stands: HashMap<&[u8], u64> = HashMap::new();
    for entry in log.iter().filter(|entry| entry.verdict() != Verdict::Duplicate) {
        let before = stands.insert(&entry.envelope, entry.position);
        assert_eq!(before, None, "what stands at {} stands once", entry.position);
    }
    let acknowledged = journal.acknowledged.lock().unwrap();
    for (envelope, receipt) in acknowledged.iter().map(|known| (&known.envelope, &known.receipt)) {
        let position = receipt.position;
        let entry =
            log.get(position as usize).unwrap_or_else(|| panic!("entry {position} was acknowledged and is lost"));
        assert!(entry.envelope == *envelope, "entry {position} is another than was acknowledged");
        let Hash(leaf) = entry_leaf(entry.time_ms, &entry.envelope);
        assert_eq!(receipt.leaf_hash, leaf, "entry {position} has the leaf that was acknowledged");
        assert_eq!(verdict_of(receipt), verdict_of_entry(entry), "entry {position} was judged as was said");
        if receipt.verdict() == Verdict::Duplicate {
            assert_eq!(stands.get(envelope.as_slice()), Some(&receipt.first_position), "entry {position} stood before");
        }
    }
}

type Judged = (Verdict, Option<String>);

fn verdict_of(receipt: &Receipt) -> Judged {
    (receipt.verdict(), receipt.refusal.as_ref().map(|refusal| refusal.code.clone()))
}

fn verdict_of_entry(entry: &Decided) -> Judged {
    (entry.verdict(), entry.refusal.as_ref().map(|refusal| refusal.code.clone()))
}

/// No id of an actor took effect twice, and producers were never refused.
fn once_each(events: &[(u64, Verdict, Event)]) {
    let mut ids = BTreeSet::new();
    for (position, verdict, event) in events {
        match verdict {
            Verdict::Accepted => assert!(ids.insert((&event.actor, &event.id)), "the event at {position} stands once"),
            Verdict::Refused => assert!(!event.actor.starts_with("producer"), "{position}: a producer was refused"),
            _ => {}
        }
    }
}

/// Each batch of examples has one accepted scan and one accepted check.
fn batches_were_judged_once(accepted: &[(u64, &Event)]) {
    let (mut batches, mut scans, mut checks) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
    for (position, event) in accepted {
        match &event.body {
            Some(Body::ExamplesDerived(_)) => drop(batches.insert(*position)),
            Some(Body::ExamplesScanned(scan)) => *scans.entry(scan.batch).or_insert(0) += 1,
            Some(Body::ExamplesChecked(check)) => *checks.entry(check.batch).or_insert(0) += 1,
            _ => {}
        }
    }
    let once: BTreeMap<u64, i32> = batches.into_iter().map(|batch| (batch, 1)).collect();
    assert_eq!(scans, once, "each batch has one accepted scan");
    assert_eq!(checks, once, "each batch has one accepted check");
}

/// Each run and each evaluation was completed once, and every report was of who held the lease. Answers how many there were,
/// and how often a lease went over to another.
fn work_was_done_once(accepted: &[(u64, &Event)]) -> (usize, usize) {
    let mut taken_over = 0;
    let mut completed: BTreeMap<u64, u32> = BTreeMap::new();
    let mut holders: BTreeMap<u64, (u64, &str)> = BTreeMap::new();
    for (position, event) in accepted {
        let reported = |work: u64, token: u64| {
            let holder = holders.get(&work).copied();
            assert_eq!(
                holder,
                Some((token, event.actor.as_str())),
                "the report at {position} is of who holds the lease"
            );
        };
        match &event.body {
            Some(Body::TrainingRequested(_) | Body::EvaluationRequested(_)) => drop(completed.insert(*position, 0)),
            Some(Body::TrainingProgressed(report)) => reported(report.run, report.token),
            Some(Body::TrainingCompleted(report)) => {
                reported(report.run, report.token);
                *completed.get_mut(&report.run).unwrap() += 1;
            }
            Some(Body::EvaluationCompleted(report)) => {
                reported(report.evaluation, report.token);
                *completed.get_mut(&report.evaluation).unwrap() += 1;
            }
            Some(Body::TrainingFailed(_) | Body::EvaluationFailed(_)) => panic!("{position}: work failed"),
            Some(Body::TrainingClaimed(_) | Body::EvaluationClaimed(_)) => {
                let work = event.cause.unwrap();
                let before = holders.insert(work, (*position, event.actor.as_str()));
                taken_over += usize::from(before.is_some_and(|(_, actor)| actor != event.actor));
            }
            _ => {}
        }
    }
    assert!(completed.values().all(|times| *times == 1), "each work was completed once: {completed:?}");
    (completed.len(), taken_over)
}

fn refusals(log: &[Decided], events: &[(u64, Verdict, Event)]) -> BTreeMap<(String, String), usize> {
    let mut refused = BTreeMap::new();
    for (entry, (_, verdict, event)) in log.iter().zip(events) {
        if *verdict == Verdict::Refused {
            let what = event.body.as_ref().map_or(String::new(), |body| plain(kind(body).as_str_name(), "KIND_"));
            let (_, code) = verdict_of_entry(entry);
            *refused.entry((what, code.unwrap_or_default())).or_insert(0) += 1;
        }
    }
    refused
}
