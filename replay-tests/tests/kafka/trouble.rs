//! Brokers that fail, while replicas go on.

use super::desk::{Foreign, open, topic};
use attestune_ledger::log::kafka::Stamp;
use attestune_ledger::log::kafka::rdkafka::ClientConfig;
use attestune_ledger::log::kafka::rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use attestune_ledger::log::kafka::rdkafka::client::DefaultClientContext;
use attestune_ledger::log::kafka::{create, delete};
use attestune_ledger::log::{EventLog as _, Kafka, KafkaConfig, KafkaError, LogError};
use attestune_replay_tests::kafka::Cluster;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_secs(3);

#[test]
fn brokers_that_nobody_runs_are_named_in_time() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let config = KafkaConfig::new(&address, "triage").unwrap().with_timeouts(SHORT, SHORT);
    let error = create(&config, Stamp::LogAppendTime).unwrap_err();
    assert!(matches!(&error, KafkaError::NoBroker { brokers, .. } if *brokers == address), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn a_setting_that_librdkafka_does_not_have_is_named() {
    let mut config = KafkaConfig::new("127.0.0.1:1", "triage").unwrap();
    config.set("no.such.setting=secret").unwrap();
    let error = create(&config, Stamp::LogAppendTime).unwrap_err();
    assert!(matches!(&error, KafkaError::Setting { key, .. } if key == "no.such.setting"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn while_the_broker_is_away_appends_fail_in_time_and_reads_go_on_and_then_all_goes_on() {
    let Some(cluster) = Cluster::start(1) else { return };
    let config = topic(&cluster).with_timeouts(SHORT, SHORT);
    let log = open(&config);
    log.log.append(vec![b"before".to_vec()]).unwrap();
    cluster.kill(1);
    let began = Instant::now();
    let error = log.log.append(vec![b"during".to_vec()]).unwrap_err();
    let LogError::Kafka(error) = error else { panic!("{error}") };
    assert!(error.may_be_on_the_log(), "{error}");
    assert!(began.elapsed() < 20 * SHORT);
    assert_eq!(log.log.read(0, 9, 99).unwrap().len(), 1);
    assert_eq!(log.log.end(), Ok(1), "the log has not stopped");
    assert!(log.log.standing().trouble.is_some());

    cluster.restart(1);
    let until = Instant::now() + super::desk::PATIENCE;
    let positions = loop {
        match log.log.append(vec![b"after".to_vec()]) {
            Ok(positions) => break positions,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
    };
    let entries = log.entries(positions[0] + 1);
    let count = |value: &[u8]| entries.iter().filter(|entry| entry.value == value).count();
    assert_eq!(count(b"before"), 1);
    assert!(count(b"during") <= 1, "what was not acknowledged is there once or not at all");
    assert_eq!(log.log.standing().trouble, None);
    // The same for a replica that comes now.
    assert_eq!(open(&config).entries(entries.len() as u64), entries);
}

#[test]
fn with_three_brokers_one_may_die_at_any_time_and_nothing_is_lost_or_doubled() {
    let Some(cluster) = Cluster::start(3) else { return };
    let config = topic(&cluster);
    let log = open(&config);
    let acknowledged = std::thread::scope(|scope| {
        let write = |writer: usize| {
            let log = &log.log;
            move || {
                (0..150)
                    .filter_map(|n| {
                        let value = format!("{writer} {n}").into_bytes();
                        std::thread::sleep(Duration::from_millis(20));
                        log.append(vec![value.clone()]).ok().map(|positions| (positions[0], value))
                    })
                    .collect::<Vec<_>>()
            }
        };
        let writers: Vec<_> = (0..4).map(|writer| scope.spawn(write(writer))).collect();
        for broker in [1, 2] {
            std::thread::sleep(Duration::from_millis(500));
            cluster.kill(broker);
            std::thread::sleep(Duration::from_millis(500));
            cluster.restart(broker);
        }
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    let last = acknowledged.iter().map(|(position, _)| *position).max().unwrap();
    let fresh = open(&config);
    let entries = fresh.entries(last + 1);
    for (position, value) in &acknowledged {
        assert_eq!(entries[*position as usize].value, *value, "it stands where it was said to");
    }
    let mut values: Vec<_> = entries.iter().map(|entry| &entry.value).collect();
    let all = values.len();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), all, "nothing stands there twice");
}

#[test]
fn while_the_brokers_do_not_know_the_topic_an_append_says_that_it_may_be_tried_again() {
    let Some(cluster) = Cluster::shared() else { return };
    let mut config = topic(cluster).with_timeouts(Duration::from_secs(20), SHORT);
    // Else the client bears with it by itself in the topic's first half minute.
    config.set("topic.metadata.propagation.max.ms=1").unwrap();
    let log = open(&config);
    log.log.append(vec![b"before".to_vec()]).unwrap();
    delete(&config).unwrap();
    // The first is on its way when the client hears of it.
    loop {
        let LogError::Kafka(error) = log.log.append(vec![b"during".to_vec()]).unwrap_err() else { panic!() };
        assert!(error.may_pass(), "{error}");
        if error.to_string().contains("do not know the topic") {
            break;
        }
    }
}

#[test]
fn a_record_that_the_topic_does_not_take_is_named_with_the_way_out() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap();
    let small = AlterConfig::new(ResourceSpecifier::Topic(config.topic())).set("max.message.bytes", "1000");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(admin.alter_configs([&small], &AdminOptions::new())).unwrap().pop().unwrap().unwrap();
    let log = open(&config);
    let error = log.log.append(vec![vec![1; 5000]]).unwrap_err();
    assert!(error.is_refusal());
    assert_eq!(error, KafkaError::RecordTooLarge { topic: config.topic().into(), size: 5000 }.into());
    assert!(error.to_string().contains("max.message.bytes"));
    assert_eq!(log.log.append(vec![vec![1; 500]]).unwrap(), [0], "nothing of it is on the log");
}

#[test]
fn a_transaction_of_others_that_stays_open_holds_nobody_up() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let foreign = Foreign::transactional(&config, "left-open");
    foreign.begin();
    foreign.write(&[b"open"]);
    let log = open(&config);
    assert_eq!(log.entries(1).len(), 1);
    assert_eq!(log.log.append(vec![b"on".to_vec()]).unwrap(), [1]);
    let late = open(&config);
    assert_eq!(late.entries(2).len(), 2);
    // It knows so once it has read its own marker, which comes after both.
    let until = Instant::now() + super::desk::PATIENCE;
    while !late.log.caught_up().unwrap() {
        assert!(Instant::now() < until, "it comes to the end");
        late.log.wait_past(2, Duration::from_millis(50)).unwrap();
    }
}

#[test]
fn a_log_that_is_opened_and_closed_at_once_leaves_no_thread_behind() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = topic(cluster);
    let began = Instant::now();
    for _ in 0..5 {
        let log: Kafka = open(&config).log;
        drop(log);
    }
    assert!(began.elapsed() < super::desk::PATIENCE);
}
