//! The log on Kafka, in turns with plain rdkafka on the same brokers with the same bytes: what is left is what a ledger
//! costs. Broker, clients and replica share this machine.

use super::{
    Plan,
    append::sign,
    brokers::Brokers,
    figure::{Figure, Goal, Results, Skipped, Times},
    life::{Life, Random},
    machine,
    replay::{child, temporary_folder, write_log},
};
use crate::wait;
use anyhow::Context as _;
use attestune_ledger::{
    log::{
        Clock as _, Copied, EventLog as _, Kafka, KafkaConfig, SystemClock,
        kafka::{
            Stamp, create, rdkafka,
            rdkafka::{
                ClientContext,
                producer::{
                    BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
                },
            },
            restore,
        },
    },
    replica::{Replica, ReplicaOptions},
    store::{Options, Store},
};
use attestune_proto::v1::Verdict;
use serde::{Deserialize, Serialize};
use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

const PART: &str = "kafka";
/// Appends of the single writer in a round.
const SINGLE: usize = 1_000;
const WRITERS: usize = 64;
/// Appends of each of the 64 in a round.
const EACH: usize = 500;
/// Events of the bulk in a round.
const BULK: usize = 100_000;
/// Events in a call of the bulk, and calls under way.
const BULK_CALL: usize = 2_000;
const BULK_CALLS: usize = 3;
/// How long the brokers may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures on one broker and on three.
pub fn run(plan: &Plan) -> anyhow::Result<Results> {
    let mut results = Results::default();
    for count in [1, 3] {
        match Brokers::start(count)? {
            Ok(brokers) => results.figures.extend(beside_rdkafka(plan, &brokers)?),
            Err(why) => {
                results.skipped.push(Skipped { part: "kafka", why });
                return Ok(results);
            }
        }
    }
    if let Ok(brokers) = Brokers::start(1)? {
        results.figures.extend(follow(plan, &brokers)?);
    }
    Ok(results)
}

fn beside_rdkafka(plan: &Plan, brokers: &Brokers) -> anyhow::Result<Vec<Figure>> {
    let on = match brokers.count() {
        1 => "one broker".to_owned(),
        count => format!("{count} brokers"),
    };
    let bar = wait::bar("appending to Kafka");
    bar.set_length(u64::from(plan.rounds) + 1);
    let (mut ours, mut theirs) = (Rounds::default(), Rounds::default());
    for round in 0..=plan.rounds {
        // The first round warms the brokers, which compile what they run often.
        if round == 1 {
            (ours, theirs) = (Rounds::default(), Rounds::default());
        }
        let mut ledger = Ledger::new(brokers)?;
        let plain = Plain::new(brokers)?;
        let single = ledger.sign(0, SINGLE)?;
        theirs.single(&plain.write(std::slice::from_ref(&single))?);
        ours.single(&ledger.write(&[single])?);

        let writers = (0..WRITERS).map(|writer| ledger.sign(writer, EACH)).collect::<anyhow::Result<Vec<_>>>()?;
        theirs.many(brokers, || plain.write(&writers))?;
        ours.many(brokers, || ledger.write(&writers))?;

        let bulk = bulk(BULK);
        theirs.bulk.push(BULK as f64 / plain.bulk(&bulk)?.as_secs_f64());
        ours.bulk.push(BULK as f64 / bulk_through_us(brokers, bulk)?.as_secs_f64());
        bar.inc(1);
    }
    bar.finish_and_clear();
    let more: Vec<f64> = ours.p50.iter().zip(&theirs.p50).map(|(ours, theirs)| ours - theirs).collect();
    let figure = |what: String, unit, rounds| Figure::new(PART, format!("{on}: {what}"), unit, rounds);
    Ok(vec![
        figure("one append to its receipt, median".into(), "us", ours.p50).beside("rdkafka", theirs.p50),
        figure("more than rdkafka's acknowledged send, median".into(), "us", more)
            .with_goal(Goal::ValueAtMost(2_000.0)),
        figure("one append to its receipt, 99 of 100 within".into(), "us", ours.p99).beside("rdkafka", theirs.p99),
        figure(format!("{WRITERS} writers to their receipts"), "events/s", ours.many)
            .beside("rdkafka", theirs.many)
            .with_goal(Goal::RatioAtLeast(0.4)),
        figure("their processor time here, an event".into(), "us", ours.cpu_here).beside("rdkafka", theirs.cpu_here),
        figure("their processor time in the brokers, an event".into(), "us", ours.cpu_brokers)
            .beside("rdkafka", theirs.cpu_brokers),
        figure("bulk, appended and read back".into(), "events/s", ours.bulk)
            .beside("rdkafka", theirs.bulk)
            .with_goal(Goal::RatioAtLeast(0.8)),
    ])
}

/// Numbers of one side, one a round.
#[derive(Default)]
struct Rounds {
    p50: Vec<f64>,
    p99: Vec<f64>,
    many: Vec<f64>,
    cpu_here: Vec<f64>,
    cpu_brokers: Vec<f64>,
    bulk: Vec<f64>,
}

impl Rounds {
    fn single(&mut self, (times, _): &(Times, Duration)) {
        self.p50.push(times.percentile_us(50));
        self.p99.push(times.percentile_us(99));
    }

    fn many(
        &mut self,
        brokers: &Brokers,
        write: impl FnOnce() -> anyhow::Result<(Times, Duration)>,
    ) -> anyhow::Result<()> {
        let (here, there) = (machine::cpu_seconds(), brokers.cpu_seconds());
        let (times, took) = write()?;
        let events = times.len() as f64;
        self.many.push(events / took.as_secs_f64());
        self.cpu_here.push((machine::cpu_seconds() - here) * 1e6 / events);
        self.cpu_brokers.push((brokers.cpu_seconds() - there) * 1e6 / events);
        Ok(())
    }
}

/// A ledger on a fresh topic, and its replica.
struct Ledger {
    replica: Arc<Replica>,
    id: [u8; 32],
    random: Random,
    _folder: tempfile::TempDir,
}

impl Ledger {
    fn new(brokers: &Brokers) -> anyhow::Result<Self> {
        let folder = temporary_folder()?;
        // An hour ago, so that no clock runs backwards.
        let (entries, id) = Life::opening(SystemClock.now_ms() - 3_600_000, WRITERS);
        let config = copied_to_kafka(brokers, folder.path(), entries.into_iter().map(|e| (e.time_ms, e.value)))?;
        let store = Store::open(folder.path().join("db"), &Options::default())?;
        let log = Arc::new(Kafka::open(store.clone(), config)?);
        let replica = Replica::open(store, log, ReplicaOptions::default())?;
        if replica.counts().refused + replica.counts().garbage > 0 {
            anyhow::bail!("the opening of the bench's ledger was refused");
        }
        Ok(Self { replica, id, random: Random(7), _folder: folder })
    }

    fn sign(&mut self, writer: usize, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
        sign(&self.replica, &self.id, &mut self.random, writer, count)
    }

    /// Each writer appends its events one after another, and waits for each receipt.
    fn write(&self, writers: &[Vec<Vec<u8>>]) -> anyhow::Result<(Times, Duration)> {
        in_threads(writers, |event| {
            let receipts = self.replica.append(vec![event.to_vec()])?;
            match receipts.first().map(attestune_proto::v1::Receipt::verdict) {
                Some(Verdict::Accepted) => Ok(()),
                verdict => anyhow::bail!("an event of the bench was not accepted: {verdict:?}"),
            }
        })
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.replica.shut_down();
    }
}

/// A log of its own in `folder/log`, copied into a fresh topic.
pub fn copied_to_kafka(
    brokers: &Brokers,
    folder: &Path,
    entries: impl Iterator<Item = (u64, Vec<u8>)>,
) -> anyhow::Result<KafkaConfig> {
    write_log(&folder.join("log"), entries)?;
    let config = brokers.fresh_topic()?;
    let source = Store::open(folder.join("log"), &Options { read_only: true, ..Options::default() })?;
    restore(&Copied::open(source)?, &config, &mut |_| {})?;
    Ok(config)
}

/// The same events appended in large calls, a few at a time; the log reads them back meanwhile.
fn bulk_through_us(brokers: &Brokers, events: Vec<Vec<u8>>) -> anyhow::Result<Duration> {
    let folder = temporary_folder()?;
    let config = brokers.fresh_topic()?;
    create(&config, Stamp::LogAppendTime)?;
    let log = Kafka::open(Store::open(folder.path().join("db"), &Options::default())?, config)?;
    let calls: std::sync::Mutex<Vec<Vec<Vec<u8>>>> =
        std::sync::Mutex::new(events.chunks(BULK_CALL).map(<[Vec<u8>]>::to_vec).collect());
    drop(events);
    let began = Instant::now();
    std::thread::scope(|scope| {
        let append = || -> anyhow::Result<()> {
            loop {
                let next = calls.lock().map_err(|_| anyhow::anyhow!("a writer panicked"))?.pop();
                let Some(call) = next else { return Ok(()) };
                log.append(call)?;
            }
        };
        let writers: Vec<_> = (0..BULK_CALLS).map(|_| scope.spawn(append)).collect();
        writers.into_iter().try_for_each(|writer| writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))?)
    })?;
    Ok(began.elapsed())
}

fn bulk(count: usize) -> Vec<Vec<u8>> {
    Life::new().take(count).map(|signed| signed.value).collect()
}

/// What a user of rdkafka would write: an idempotent producer, `acks=all`, each send waited for.
struct Plain {
    brokers: String,
    topic: String,
}

/// Tells whoever sent a record that it is acknowledged.
struct Answers;

impl ClientContext for Answers {}

impl ProducerContext for Answers {
    type DeliveryOpaque = Box<SyncSender<bool>>;

    fn delivery(&self, result: &DeliveryResult<'_>, sender: Box<SyncSender<bool>>) {
        let _ = sender.send(result.is_ok()); // it waits, or has given up
    }
}

impl Plain {
    fn new(brokers: &Brokers) -> anyhow::Result<Self> {
        let config = brokers.fresh_topic()?;
        create(&config, Stamp::LogAppendTime)?;
        Ok(Self { brokers: config.brokers().into(), topic: config.topic().into() })
    }

    fn settings(&self, linger_ms: &str) -> rdkafka::ClientConfig {
        let mut settings = rdkafka::ClientConfig::new();
        settings.set("bootstrap.servers", &self.brokers).set("enable.idempotence", "true").set("acks", "all");
        settings.set("linger.ms", linger_ms);
        settings
    }

    fn write(&self, writers: &[Vec<Vec<u8>>]) -> anyhow::Result<(Times, Duration)> {
        let producer: ThreadedProducer<Answers> = self.settings("0").create_with_context(Answers)?;
        // The first send finds the partition's leader.
        self.send(&producer, b"first")?;
        in_threads(writers, |event| self.send(&producer, event))
    }

    fn send(&self, producer: &ThreadedProducer<Answers>, event: &[u8]) -> anyhow::Result<()> {
        let (sender, answer) = sync_channel(1);
        let record = BaseRecord::<[u8], [u8], _>::with_opaque_to(&self.topic, Box::new(sender));
        producer.send(record.partition(0).payload(event)).map_err(|(error, _)| error)?;
        if answer.recv_timeout(PATIENCE)? { Ok(()) } else { anyhow::bail!("rdkafka could not deliver a record") }
    }

    fn bulk(&self, events: &[Vec<u8>]) -> anyhow::Result<Duration> {
        let producer: BaseProducer = self.settings("5").create()?;
        let began = Instant::now();
        for event in events {
            let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).partition(0).payload(event);
            while let Err((error, returned)) = producer.send(record) {
                if error.rdkafka_error_code() != Some(rdkafka::types::RDKafkaErrorCode::QueueFull) {
                    return Err(error.into());
                }
                record = returned;
                producer.poll(Duration::from_millis(1));
            }
            producer.poll(Duration::ZERO);
        }
        producer.flush(PATIENCE)?;
        Ok(began.elapsed())
    }
}

/// Each writer's events one after another, the writers side by side: the time of each, and of all.
fn in_threads(
    writers: &[Vec<Vec<u8>>],
    write: impl Fn(&[u8]) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<(Times, Duration)> {
    let began = Instant::now();
    let times = std::thread::scope(|scope| {
        let write = &write;
        let run = |events: &[Vec<u8>]| -> anyhow::Result<Vec<Duration>> {
            let mut times = Vec::with_capacity(events.len());
            for event in events {
                let began = Instant::now();
                write(event)?;
                times.push(began.elapsed());
            }
            Ok(times)
        };
        let threads: Vec<_> = writers.iter().map(|events| scope.spawn(move || run(events))).collect();
        let all = threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a writer panicked"))?);
        all.collect::<anyhow::Result<Vec<_>>>()
    })?;
    Ok((times.into_iter().flatten().collect(), began.elapsed()))
}

/// A fresh replica comes to the end of a long topic.
fn follow(plan: &Plan, brokers: &Brokers) -> anyhow::Result<Vec<Figure>> {
    let folder = temporary_folder()?;
    let events = plan.events as usize;
    let config = copied_to_kafka(brokers, folder.path(), Life::new().take(events).map(|e| (e.time_ms, e.value)))?;
    let (mut rates, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let at = temporary_folder()?;
        std::fs::write(at.path().join("topic"), format!("{}\n{}\n", config.brokers(), config.topic()))?;
        let followed: Followed = child("follow", at.path(), None)?;
        if followed.events != plan.events {
            anyhow::bail!("{} of {} events were folded", followed.events, plan.events);
        }
        rates.push(plan.events as f64 / followed.seconds);
        peaks.push(followed.peak_bytes as f64 / 1e6);
    }
    Ok(vec![
        Figure::new(PART, format!("a fresh replica folds {} events", plan.events), "events/s", rates)
            .with_goal(Goal::ValueAtLeast(28_000.0)),
        Figure::new(PART, "its peak memory", "MB", peaks).with_goal(Goal::ValueAtMost(400.0)),
    ])
}

/// What a process that follows says at its end.
#[derive(Serialize, Deserialize)]
pub struct Followed {
    seconds: f64,
    events: u64,
    peak_bytes: u64,
}

/// The work of a process that follows the topic named in a folder, from nothing to its end.
pub fn follow_here(folder: &Path) -> anyhow::Result<Followed> {
    let topic = std::fs::read_to_string(folder.join("topic"))?;
    let (brokers, ledger) = topic.trim().split_once('\n').context("brokers and topic stand in a line each")?;
    let began = Instant::now();
    let store = Store::open(folder.join("db"), &Options::default())?;
    let log = Arc::new(Kafka::open(store.clone(), KafkaConfig::new(brokers, ledger)?)?);
    let replica = Replica::open(store, log, ReplicaOptions::default())?;
    let seconds = began.elapsed().as_secs_f64();
    let events = replica.position();
    replica.shut_down();
    Ok(Followed { seconds, events, peak_bytes: machine::peak_memory_bytes() })
}
