//! A client's queue that is full: nobody who submits is held up, and nobody is forgotten.

use super::desk::{Log, PATIENCE, open, topic};
use attestune_ledger::log::{EventLog as _, KafkaError, LogError};
use attestune_replay_tests::kafka::Cluster;
use std::sync::mpsc::{Receiver, channel};

type Answers = Receiver<(usize, Result<Vec<u64>, LogError>)>;

/// A log whose client's queue takes four records. While its broker says nothing none leaves it.
fn cramped(cluster: &Cluster) -> Log {
    let mut config = topic(cluster);
    config.set("queue.buffering.max.messages=4").unwrap();
    let log = open(&config);
    log.log.append(vec![b"before".to_vec()]).unwrap();
    cluster.pause(1);
    log
}

/// Submits so many appends of two values each, without ever waiting.
fn submit(log: &Log, appends: usize) -> Answers {
    let (send, answers) = channel();
    for append in 0..appends {
        let send = send.clone();
        let values = (0..2).map(|half| value(append, half)).collect();
        log.log.submit(values, Box::new(move |outcome| drop(send.send((append, outcome)))));
    }
    answers
}

fn value(append: usize, half: usize) -> Vec<u8> {
    format!("{append} {half}").into_bytes()
}

#[test]
fn while_the_queue_is_full_nobody_who_submits_is_held_up_and_all_come_in_their_order() {
    const APPENDS: usize = 300;
    let Some(cluster) = Cluster::start(1) else { return };
    let log = cramped(&cluster);
    // Whoever waited here would wait until his time is up, and hear that too many records wait.
    let answers = submit(&log, APPENDS);
    assert!(answers.try_recv().is_err(), "the broker has said nothing");
    cluster.resume(1);
    for _ in 0..APPENDS {
        let (append, outcome) = answers.recv_timeout(PATIENCE).unwrap();
        let first = 1 + 2 * append as u64;
        assert_eq!(outcome.unwrap(), [first, first + 1], "append {append} stands where it was submitted, whole");
    }
    let entries = log.entries(1 + 2 * APPENDS as u64);
    for (place, entry) in entries[1..].iter().enumerate() {
        assert_eq!(entry.value, value(place / 2, place % 2));
    }
}

#[test]
fn what_is_kept_for_room_is_bounded_and_whoever_comes_too_late_is_told() {
    let Some(cluster) = Cluster::start(1) else { return };
    let log = cramped(&cluster);
    let (send, answers) = channel();
    // Four records are in the queue, and so many bytes are kept that this is more.
    for _ in 0..1_200 {
        let send = send.clone();
        log.log.submit(vec![vec![7; 60_000]], Box::new(move |outcome| drop(send.send(outcome))));
    }
    let LogError::Kafka(error) = answers.try_recv().expect("the last are told at once").unwrap_err() else { panic!() };
    assert!(matches!(error, KafkaError::NotAcknowledged { .. }) && error.may_pass(), "{error}");
    assert!(error.to_string().contains("too many records wait"), "{error}");
    let late = 1 + answers.try_iter().map(|outcome| assert!(outcome.is_err())).count();
    cluster.resume(1);
    for _ in late..1_200 {
        answers.recv_timeout(PATIENCE).unwrap().unwrap();
    }
}

#[test]
fn whoever_waits_for_room_when_the_log_is_closed_is_told() {
    let Some(cluster) = Cluster::start(1) else { return };
    let log = cramped(&cluster);
    let answers = submit(&log, 20);
    drop(log);
    cluster.resume(1);
    for _ in 0..20 {
        let (_, outcome) = answers.recv_timeout(PATIENCE).unwrap();
        let LogError::Kafka(error) = outcome.unwrap_err() else { panic!() };
        assert!(error.may_be_on_the_log(), "{error}");
    }
}
