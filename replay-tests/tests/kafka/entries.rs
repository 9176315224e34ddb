//! What records become as entries.

use super::desk::{Foreign, open, open_in, read_all, store_in, topic, values};
use attestune_ledger::log::kafka::{Stamp, set_stamp};
use attestune_ledger::log::{Copied, EventLog as _, ShortForm, VALUE_BYTES_MAX, short_form};
use attestune_ledger::replica::{Replica, ReplicaOptions, drop_state};
use attestune_proto::v1::Verdict;
use attestune_replay_tests::kafka::Cluster;
use attestune_replay_tests::{World, genesis, policy};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn positions_stay_dense_across_transactions_of_others_that_commit_or_abort() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let log = open(&config);
    assert_eq!(log.log.append(vec![b"0".to_vec()]).unwrap(), [0]);
    let foreign = Foreign::transactional(&config, "someone-else");
    foreign.begin();
    foreign.write(&[b"1", b"2"]);
    foreign.commit();
    assert_eq!(log.log.append(vec![b"3".to_vec()]).unwrap(), [3]);
    foreign.begin();
    foreign.write(&[b"4"]);
    // While it is open what comes after is read all the same.
    assert_eq!(log.log.append(vec![b"5".to_vec(), b"6".to_vec()]).unwrap(), [5, 6]);
    foreign.abort();
    assert_eq!(log.log.append(vec![b"7".to_vec()]).unwrap(), [7]);

    let entries = log.entries(8);
    assert_eq!(values(&entries), [b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7"]);
    assert!(entries.iter().zip(0..).all(|(entry, position)| entry.position == position));
    // The second marker may come after what was appended meanwhile.
    assert!(log.log.standing().next_offset > 8, "a marker took an offset");

    // The same for one that comes later, and for this one after it was away.
    assert_eq!(open(&config).entries(8), entries);
    let again = open_in(log.close(), &config);
    assert_eq!(again.log.append(vec![b"8".to_vec()]).unwrap(), [8]);
    assert_eq!(again.entries(9)[..8], entries);
}

#[test]
fn a_topic_that_ends_in_a_transactions_marker_is_read_to_its_end() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let foreign = Foreign::transactional(&config, "last-word");
    foreign.begin();
    foreign.write(&[b"x"]);
    foreign.commit();
    let log = open(&config);
    let until = std::time::Instant::now() + super::desk::PATIENCE;
    while !log.log.caught_up().unwrap() {
        assert!(std::time::Instant::now() < until, "it comes to the end");
        log.log.wait_past(1, Duration::from_millis(50)).unwrap();
    }
    assert_eq!(log.log.end(), Ok(1));
}

#[test]
fn an_entry_is_the_value_alone_and_no_value_is_an_empty_one() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let foreign = Foreign::new(&config, &[]);
    foreign.write_with_key(Some(b"value"));
    foreign.write_with_key(None);
    foreign.write(&[b"", b"value"]);
    assert_eq!(values(&open(&config).entries(4)), [&b"value"[..], b"", b"", b"value"]);
}

#[test]
fn every_codec_that_another_producer_may_use_is_read() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let value = b"the same words again and again ".repeat(40);
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    for codec in codecs {
        Foreign::new(&config, &[("compression.codec", codec)]).write(&[value.as_slice(); 10]);
    }
    assert!(open(&config).entries(50).iter().all(|entry| entry.value == value));
}

#[test]
fn a_record_too_large_stands_as_its_length_and_hash_and_is_judged_from_them_alone() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let large = vec![7; VALUE_BYTES_MAX + 1];
    let largest = vec![7; VALUE_BYTES_MAX];
    let foreign = Foreign::new(&config, &[]);
    foreign.write(&[&large, &largest]);
    let log = open(&config);
    let entries = log.entries(2);
    let short = short_form(&large).unwrap();
    assert_eq!(ShortForm::read(&entries[0].value), Some(short));
    assert_eq!(entries[1].value, largest);

    let replica = Replica::open(log.store.clone(), Arc::new(log.log), ReplicaOptions::default()).unwrap();
    assert_eq!(replica.counts().garbage, 2);
    let judged = replica.decided(0).unwrap();
    let why = judged.refusal.clone().unwrap();
    assert_eq!((judged.verdict(), why.code.as_str()), (Verdict::Garbage, "too-large"));
    assert!(why.message.contains("65528"), "{}", why.message);
    replica.shut_down();
}

#[test]
fn a_clock_set_back_and_forward_is_recorded_as_it_was() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    set_stamp(&config, Stamp::CreateTime).unwrap();
    let foreign = Foreign::new(&config, &[]);
    let times = [1_800_000_000_000, 4_000_000_000_000, 1_000_000_000_000, 1];
    for time_ms in times {
        foreign.write_at(time_ms, b"x");
    }
    set_stamp(&config, Stamp::LogAppendTime).unwrap();
    foreign.write_at(5, b"x");
    let entries = open(&config).entries(5);
    let raw: Vec<_> = entries.iter().map(|entry| entry.time_ms as i64).collect();
    assert_eq!(raw[..4], times);
    assert!(raw[4] > 1_700_000_000_000, "now the broker says when: {}", raw[4]);
}

#[test]
fn two_replicas_of_a_topic_with_garbage_on_it_reach_one_root_and_so_does_one_folded_anew() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let [first, second] = [0, 1].map(|_| open(&config));
    let (stores, folders) = ([first.store, second.store], [first.folder, second.folder]);
    let open = |store: &Arc<_>, log| Replica::open(Arc::clone(store), log, ReplicaOptions::default()).unwrap();
    let replicas = [open(&stores[0], Arc::new(first.log)), open(&stores[1], Arc::new(second.log))];

    let mut world = World::empty();
    world.create(genesis(policy()));
    let receipts = replicas[0].append(vec![world.log[0].1.clone()]).unwrap();
    assert_eq!((receipts[0].position, receipts[0].verdict()), (0, Verdict::Accepted));
    Foreign::new(&config, &[]).write(&[b"garbage", b"", b"more of it"]);
    // The same bytes again, through the other replica.
    assert_eq!(replicas[1].wait_past(3, super::desk::PATIENCE), 4);
    let again = replicas[1].append(vec![world.log[0].1.clone()]).unwrap();
    assert_eq!((again[0].position, again[0].verdict(), again[0].first_position), (4, Verdict::Duplicate, 0));

    for replica in &replicas {
        assert_eq!(replica.wait_past(4, super::desk::PATIENCE), 5);
        assert_eq!(replica.counts().garbage, 3);
    }
    let heads = [0, 1].map(|n| replicas[n].head().unwrap());
    assert_eq!(heads[0], heads[1]);

    for replica in replicas {
        replica.shut_down();
        drop(replica);
    }
    drop(stores);
    // From the copy alone, without Kafka.
    let store = store_in(&folders[0]);
    drop_state(&store).unwrap();
    let copied = Arc::new(Copied::open(store.clone()).unwrap());
    let replica = Replica::open(store.clone(), copied, ReplicaOptions::default()).unwrap();
    assert_eq!(replica.head().unwrap(), heads[0]);
    replica.shut_down();
    drop((replica, store));
    // And then on with Kafka again: the copy was not fetched anew, but goes on.
    let [folder, _] = folders;
    let log = open_in(folder, &config);
    assert_eq!(log.log.end(), Ok(5));
    assert_eq!(log.log.append(vec![b"on".to_vec()]).unwrap(), [5]);
}

#[test]
fn many_writers_on_several_replicas_leave_one_order_without_gap() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let logs = [open(&config), open(&config)];
    let positions = std::thread::scope(|scope| {
        let write = |log: &'static str, n: usize| {
            let log_of = &logs[n];
            move || {
                let batch = |i: usize| (0..1 + i % 3).map(|part| format!("{log} {i} {part}").into_bytes()).collect();
                (0..50).flat_map(|i| log_of.log.append(batch(i)).unwrap()).collect::<Vec<_>>()
            }
        };
        let names = [("a", 0), ("b", 0), ("c", 1), ("d", 1)];
        let writers: Vec<_> = names.into_iter().map(|(name, n)| scope.spawn(write(name, n))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(positions.iter().all(|mine| mine.is_sorted()), "each writer's entries stand in its order");
    let mut all: Vec<_> = positions.concat();
    all.sort_unstable();
    assert_eq!(all, (0..all.len() as u64).collect::<Vec<_>>(), "each position once");
    let entries = logs[0].entries(all.len() as u64);
    assert_eq!(logs[1].entries(all.len() as u64), entries);
}

#[test]
fn a_long_log_is_read_from_the_copy_and_waits_for_nothing() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let log = open(&config);
    // More than is kept in memory.
    let values: Vec<Vec<u8>> = (0..400u32).map(|n| n.to_be_bytes().repeat(12_000)).collect();
    for batch in values.chunks(40) {
        log.log.append(batch.to_vec()).unwrap();
    }
    let entries = read_all(&log.log);
    assert!(entries.iter().map(|entry| &entry.value).eq(&values));
    let again = open_in(log.close(), &config);
    assert_eq!(again.log.end(), Ok(400), "nothing was fetched again");
    assert_eq!(again.log.wait_past(0, Duration::ZERO), Ok(400));
    assert_eq!(read_all(&again.log), entries);
}
