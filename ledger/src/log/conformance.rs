//! What every [`EventLog`] must do. Panics on the first thing that it doesn't.

use std::thread;
use std::time::{Duration, Instant};

use super::{Entry, EventLog, LogError, VALUE_BYTES_MAX};

/// Runs the whole suite. `make` gives a fresh, empty log each time.
///
/// # Panics
/// If the log breaks the contract of [`EventLog`].
pub fn check(make: impl Fn() -> Box<dyn EventLog>) {
    an_empty_log_has_an_end_and_no_entries(&*make());
    what_is_appended_is_read_back_in_order(&*make());
    a_read_keeps_its_limits_but_gives_at_least_one_entry(&*make());
    a_batch_with_an_oversized_value_is_refused_whole(&*make());
    waiting_ends_with_an_append_or_at_the_time_out(&*make());
    concurrent_batches_stay_whole_and_leave_no_gap(&*make());
}

fn an_empty_log_has_an_end_and_no_entries(log: &dyn EventLog) {
    assert_eq!(log.end(), Ok(0));
    assert_eq!(log.read(0, 10, 1000), Ok(vec![]));
    assert_eq!(log.read(u64::MAX, 10, 1000), Ok(vec![]));
    assert_eq!(log.append(vec![]), Ok(vec![]));
    assert_eq!(log.end(), Ok(0));
}

fn what_is_appended_is_read_back_in_order(log: &dyn EventLog) {
    let largest = vec![7; VALUE_BYTES_MAX];
    assert_eq!(log.append(vec![b"a".to_vec(), vec![], b"a".to_vec()]), Ok(vec![0, 1, 2]));
    assert_eq!(log.settle(3), Ok(()), "what was appended is durable");
    assert_eq!(log.append(vec![largest.clone()]), Ok(vec![3]));
    assert_eq!(log.append(vec![]), Ok(vec![]));
    assert_eq!(log.end(), Ok(4));
    let entries = read_all(log);
    let values: Vec<_> = entries.iter().map(|entry| entry.value.as_slice()).collect();
    assert_eq!(values, [&b"a"[..], b"", b"a", &largest]);
    assert!(entries.iter().zip(0..).all(|(entry, position)| entry.position == position));
    assert!(entries.iter().all(|entry| entry.time_ms > 0), "entries carry the log's time");
    assert_eq!(log.read(2, 1, 1000), Ok(vec![entries[2].clone()]), "an entry never changes");
}

fn a_read_keeps_its_limits_but_gives_at_least_one_entry(log: &dyn EventLog) {
    assert_eq!(log.append(vec![vec![1; 100]; 10]), Ok((0..10).collect()));
    for (from, max_entries, max_bytes, count) in [
        (0, 100, 10_000, 10),
        (0, 3, 10_000, 3),
        (0, 100, 399, 3),
        (0, 100, 400, 4),
        (0, 100, 1, 1),
        (0, 0, 0, 1),
        (9, 100, 10_000, 1),
        (10, 100, 10_000, 0),
        (11, 100, 10_000, 0),
    ] {
        let entries = log.read(from, max_entries, max_bytes).expect("the log is readable");
        assert_eq!(entries.len(), count, "from {from}, {max_entries} entries, {max_bytes} bytes");
        assert!(entries.iter().zip(from..).all(|(entry, position)| entry.position == position));
    }
}

fn a_batch_with_an_oversized_value_is_refused_whole(log: &dyn EventLog) {
    let size = VALUE_BYTES_MAX + 1;
    let refused = log.append(vec![b"good".to_vec(), vec![0; size]]);
    assert_eq!(refused, Err(LogError::TooLarge { index: 1, size, limit: VALUE_BYTES_MAX }));
    assert_eq!(log.end(), Ok(0));
    assert_eq!(log.append(vec![b"next".to_vec()]), Ok(vec![0]), "the log goes on");
}

fn waiting_ends_with_an_append_or_at_the_time_out(log: &dyn EventLog) {
    let start = Instant::now();
    assert_eq!(log.wait_past(0, Duration::from_millis(50)), Ok(0));
    assert!(start.elapsed() >= Duration::from_millis(50), "it waited");

    let long = Duration::from_secs(60);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| log.wait_past(0, long));
        thread::sleep(Duration::from_millis(20));
        assert_eq!(log.append(vec![b"x".to_vec()]), Ok(vec![0]));
        assert_eq!(waiter.join().expect("the waiter ends"), Ok(1));
    });
    assert_eq!(log.wait_past(0, long), Ok(1), "what is already there is not waited for");
    assert!(start.elapsed() < long, "an append ends the wait");
}

fn concurrent_batches_stay_whole_and_leave_no_gap(log: &dyn EventLog) {
    const WRITERS: u8 = 8;
    const BATCHES: u8 = 20;
    let batch = |writer: u8, number: u8| {
        let value = |part| vec![writer, number, part];
        (0..1 + number % 4).map(value).collect::<Vec<_>>()
    };
    let mut appended = thread::scope(|scope| {
        let write = |writer| {
            (0..BATCHES)
                .map(|number| (log.append(batch(writer, number)).expect("durable"), writer, number))
                .collect::<Vec<_>>()
        };
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        writers.into_iter().flat_map(|writer| writer.join().expect("it ends")).collect::<Vec<_>>()
    });
    appended.sort();

    let entries = read_all(log);
    let mut end = 0;
    for (positions, writer, number) in appended {
        let values = batch(writer, number);
        let together: Vec<_> = (end..end + values.len() as u64).collect();
        assert_eq!(positions, together, "a batch stands together, without gap or overlap");
        for (position, value) in positions.iter().zip(values) {
            assert_eq!(entries[*position as usize].value, value, "in its order");
        }
        end += positions.len() as u64;
    }
    assert_eq!(log.end(), Ok(end));
    assert_eq!(entries.len() as u64, end);
}

/// All entries, by as many reads as it takes.
fn read_all(log: &dyn EventLog) -> Vec<Entry> {
    let mut entries = Vec::new();
    loop {
        let more = log.read(entries.len() as u64, 7, 1 << 20).expect("the log is readable");
        if more.is_empty() {
            return entries;
        }
        entries.extend(more);
    }
}
