//! Workers that share their batches over a consumer group, on a real Kafka. Without Java and Kafka
//! (scripts/kafka/install) the tests say SKIPPED and end.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use attestune_ledger::keyfile::KeyFile;
use attestune_ledger::log::kafka::rdkafka::ClientConfig;
use attestune_ledger::log::kafka::rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use attestune_ledger::log::kafka::rdkafka::client::DefaultClientContext;
use attestune_ledger::log::kafka::rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use attestune_ledger::log::kafka::{Group, WORK_PARTITIONS};
use attestune_ledger::log::{Kafka, KafkaConfig};
use attestune_ledger::query;
use attestune_ledger::replica::{Replica, ReplicaOptions};
use attestune_ledger::store::{Options, Store};
use attestune_ledger::vault::Vault;
use attestune_proto::v1::{Verdict, event::Body};
use attestune_replay_tests::{free_port, kafka::Cluster};
use attestune_workers::{Context, Limits, Pii, Share, Signer};
use common::process::Running;
use common::{Ledger, spread::Spread};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Runtime;

const SCANNERS: [&str; 3] = ["scanner", "scanner-2", "scanner-3"];
const DERIVE: [&str; 8] =
    ["derive", "tickets", "--prompt", r"{text}\nIntent:", "--answer", " {intent}", "--as", "stella"];

/// A staffed ledger with three scanners and so many tickets ingested, 512 in a batch.
fn ledger_with(tickets: usize) -> Ledger {
    let ledger = Ledger::staffed();
    for scanner in &SCANNERS[1..] {
        ledger.ok(&["key", "new", scanner]);
        ledger.ok(&["key", "register", scanner, "--name", scanner, "--kind", "worker", "--as", "ada"]);
        ledger.ok(&["role", "grant", scanner, "scanner", "--as", "ada"]);
        let folder = ledger.folder();
        std::fs::copy(folder.join(format!("keys/{scanner}.key")), key_file(&ledger, scanner)).unwrap();
    }
    let row = |n: usize| format!("ticket {n}: write to customer{n}@example.org about the card that was lost,card\n");
    let rows: String = (0..tickets).map(row).collect();
    let tickets = ledger.file("tickets.csv", format!("text,intent\n{rows}").as_bytes());
    ledger.ok(&["ingest", &tickets, "--collection", "tickets", "--as", "stella"]);
    ledger
}

fn key_file(ledger: &Ledger, actor: &str) -> PathBuf {
    ledger.folder().join(format!("server/{actor}.key"))
}

/// A worker process that tells what it holds.
struct Scanner<'a> {
    process: Running,
    ledger: &'a Ledger,
    pages: String,
}

impl<'a> Scanner<'a> {
    fn start(spread: &Spread<'a>, actor: &str) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let part = ["worker", "pii", "--as", actor, "--listen", &listen];
        let process = spread.start(&part, &format!("replica-{actor}"), actor);
        Self { process, ledger: spread.ledger, pages: format!("http://{listen}/metrics") }
    }

    fn partitions(&self) -> Option<u32> {
        let told = self.ledger.run(&["probe", &self.pages]).stdout;
        let told = String::from_utf8(told).unwrap();
        told.lines().find_map(|line| line.strip_prefix("attestune_work_partitions ")?.parse().ok())
    }
}

/// Makes a topic by hand.
fn make_topic(cluster: &Cluster, name: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap();
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let made = Runtime::new().unwrap().block_on(admin.create_topics([&topic], &AdminOptions::new()));
    made.unwrap().pop().unwrap().unwrap();
}

/// What `doctor` says of topic and brokers.
fn doctor(spread: &Spread<'_>) -> String {
    let said = spread.ledger.run(&["doctor", "--kafka", &spread.brokers, "--ledger", &spread.topic]);
    String::from_utf8(said.stdout).unwrap()
}

/// Somebody who follows the log inside this process, and may work there, too.
struct Follower {
    replica: Arc<Replica>,
    vault: Arc<Vault>,
    config: KafkaConfig,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl Follower {
    fn of(spread: &Spread<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = KafkaConfig::new(&spread.brokers, &spread.topic).unwrap();
        let store = Store::open(folder.path().join("db"), &Options::default()).unwrap();
        let log = Arc::new(Kafka::open(store.clone(), config.clone()).unwrap());
        let replica = Replica::open(store, log, ReplicaOptions::default()).unwrap();
        let runtime = Runtime::new().unwrap();
        let vault = runtime.block_on(Vault::open_folder(&spread.ledger.folder().join("vault"))).unwrap();
        Self { replica, vault: Arc::new(vault), config, runtime, _folder: folder }
    }

    fn group(&self, version: &str) -> Group {
        Group::new(&self.config, "pii", version)
    }

    /// Starts a scanner in this process.
    fn work(&self, ledger: &Ledger, actor: &str, share: Share) -> Working {
        let signer = Signer { actor: actor.into(), key: KeyFile::load(&key_file(ledger, actor)).unwrap() };
        let held = share.held();
        let context = Context::new(self.replica.clone(), self.vault.clone(), signer, self.runtime.handle().clone());
        let (context, stop) = (context.sharing(share), Arc::new(AtomicBool::new(false)));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            attestune_workers::run(Box::new(Pii::default()), &context, &told).unwrap();
        });
        Working { held, stop, thread: Some(thread) }
    }

    /// The batches of examples there are.
    fn batches(&self) -> BTreeSet<u64> {
        let derived = |body: &Body| matches!(body, Body::ExamplesDerived(_));
        self.events().into_iter().filter(|(_, _, body)| derived(body)).map(|(position, ..)| position).collect()
    }

    /// Who scanned each batch, in the log's order, and what the rules said.
    fn scans(&self) -> BTreeMap<u64, Vec<(String, Verdict)>> {
        let mut scans: BTreeMap<u64, Vec<_>> = BTreeMap::new();
        for (position, actor, body) in self.events() {
            if let Body::ExamplesScanned(scan) = body {
                let verdict = self.replica.decided(position).unwrap().verdict();
                scans.entry(scan.batch).or_default().push((actor, verdict));
            }
        }
        scans
    }

    fn events(&self) -> Vec<(u64, String, Body)> {
        let view = self.replica.view();
        let event = |position| {
            let event = query::event_of(&view, position).unwrap()?;
            Some((position, event.actor, event.body?))
        };
        (0..view.size()).filter_map(event).collect()
    }

    fn scanned(&self) -> usize {
        self.scans().values().filter(|scans| scans.iter().any(|(_, verdict)| *verdict == Verdict::Accepted)).count()
    }

    /// Whether each of the first two scanners has scanned some.
    fn both_did_some(&self) -> bool {
        let scans = self.scans();
        SCANNERS[..2].iter().all(|scanner| scans.values().flatten().any(|(actor, _)| actor == scanner))
    }

    /// Each batch has one accepted scan. How many each scanner did, and how many scans did not count.
    fn each_scanned_once(&self) -> (BTreeMap<String, usize>, usize) {
        let scans = self.scans();
        assert!(scans.keys().eq(self.batches().iter()), "every batch was scanned: {scans:?}");
        let (mut did, mut wasted) = (BTreeMap::new(), 0);
        for (batch, scans) in scans {
            let accepted: Vec<_> = scans.iter().filter(|(_, verdict)| *verdict == Verdict::Accepted).collect();
            assert_eq!(accepted.len(), 1, "batch {batch}: {scans:?}");
            *did.entry(accepted[0].0.clone()).or_default() += 1;
            wasted += scans.len() - 1;
        }
        (did, wasted)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.replica.shut_down();
    }
}

/// A worker in this process; it stops when it is dropped.
struct Working {
    held: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of its own is enough.
            assert!(thread.join().is_ok() || std::thread::panicking());
        }
    }
}

/// A member of a group that holds what it is given and does nothing.
struct Idle {
    held: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
}

impl Idle {
    fn member(mut group: Group) -> Self {
        let (held, stop) = (Arc::<AtomicU32>::default(), Arc::<AtomicBool>::default());
        let (told, is_held) = (stop.clone(), held.clone());
        std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                let held = group.hear().map_or(0, |held| held.partitions.len() as u32);
                is_held.store(held, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { held, stop }
    }

    fn holds(&self) -> u32 {
        self.held.load(Ordering::Relaxed)
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[test]
fn two_workers_share_20_000_examples_and_each_batch_is_scanned_once_though_one_is_killed() {
    let Some(cluster) = Cluster::shared() else { return };
    let ledger = ledger_with(20_000);
    let spread = Spread::over(&ledger, cluster);
    let (_gateway, url) = spread.gateway("gateway");
    let follower = Follower::of(&spread);
    let scanners = [0, 1].map(|n| Scanner::start(&spread, SCANNERS[n]));
    let half = Some(WORK_PARTITIONS / 2);
    spread.until("each holds half", || scanners.iter().all(|scanner| scanner.partitions() == half));

    let derive = Running::spawn(ledger.command(&[&DERIVE[..], &["--server", &url]].concat()));
    let [mut first, second] = scanners;
    spread.until("some is scanned by each", || follower.both_did_some());
    assert!(first.process.kill());
    let done_then = follower.scanned();
    assert!(done_then < 40, "it is killed in the middle");
    spread.until("all is scanned", || follower.scanned() == 40);
    assert_eq!(second.partitions(), Some(WORK_PARTITIONS), "what the dead one held is the other's");
    drop(derive);

    let (did, wasted) = follower.each_scanned_once();
    println!("{did:?}, {wasted} scans in vain, {done_then} done when one was killed");
    assert_eq!(did.len(), 2);
    assert!(wasted <= 1, "{wasted} scans in vain");
}

#[test]
fn workers_come_and_go_and_no_scan_is_in_vain() {
    let Some(cluster) = Cluster::shared() else { return };
    let ledger = ledger_with(10_240);
    let spread = Spread::over(&ledger, cluster);
    let (_gateway, url) = spread.gateway("gateway");
    let follower = Follower::of(&spread);
    let [first, second] = [0, 1].map(|n| Scanner::start(&spread, SCANNERS[n]));
    spread.until("each holds half", || [&first, &second].iter().all(|s| s.partitions() == Some(WORK_PARTITIONS / 2)));

    let _derive = Running::spawn(ledger.command(&[&DERIVE[..], &["--server", &url]].concat()));
    spread.until("some is scanned", || follower.scanned() >= 2);
    let third = Scanner::start(&spread, SCANNERS[2]);
    spread.until("the third has a share", || third.partitions().is_some_and(|held| held > 0));
    first.process.terminate();
    spread.until("all is scanned", || follower.scanned() == 20);
    spread.until("two are left", || [&second, &third].iter().all(|s| s.partitions() == Some(WORK_PARTITIONS / 2)));

    let (did, wasted) = follower.each_scanned_once();
    assert!(did.len() >= 2, "{did:?}");
    assert_eq!(wasted, 0, "{did:?}");
    assert!(doctor(&spread).contains("64 partitions, no records"));
}

#[test]
fn a_member_of_an_older_version_is_in_a_group_of_its_own_and_disturbs_nobody() {
    let Some(cluster) = Cluster::shared() else { return };
    let ledger = ledger_with(2_048);
    ledger.ok(&DERIVE);
    let spread = Spread::over(&ledger, cluster);
    let follower = Follower::of(&spread);
    let older = Idle::member(follower.group("0"));
    spread.until("the older one holds everything", || older.holds() == WORK_PARTITIONS);
    let scanner = Scanner::start(&spread, SCANNERS[0]);
    spread.until("so does the newer one", || scanner.partitions() == Some(WORK_PARTITIONS));
    // One from before there were groups scans whatever is open.
    let _oldest = follower.work(&ledger, SCANNERS[1], Share::default());
    spread.until("all is scanned", || follower.scanned() == 4);
    follower.each_scanned_once();
    assert_eq!((older.holds(), scanner.partitions()), (WORK_PARTITIONS, Some(WORK_PARTITIONS)));
}

#[test]
fn what_a_member_holds_and_does_not_do_is_done_by_others_in_the_end() {
    let Some(cluster) = Cluster::shared() else { return };
    let ledger = ledger_with(6_144);
    ledger.ok(&DERIVE);
    let spread = Spread::over(&ledger, cluster);
    let follower = Follower::of(&spread);
    let idle = Idle::member(follower.group(attestune_pii::VERSION));
    spread.until("the idle one holds everything", || idle.holds() == WORK_PARTITIONS);
    let limits = Limits { overdue: Duration::from_secs(5), form: Duration::from_secs(600), ..Limits::default() };
    let share = Share::of(Box::new(follower.group(attestune_pii::VERSION)), limits);
    let worker = follower.work(&ledger, SCANNERS[0], share);
    spread.until("all is scanned", || follower.scanned() == 12);
    assert_eq!((idle.holds(), worker.held.load(Ordering::Relaxed)), (WORK_PARTITIONS / 2, WORK_PARTITIONS / 2));
    assert_eq!(follower.each_scanned_once().1, 0);
}

#[test]
fn a_member_whose_results_do_not_count_leaves_its_share_to_others() {
    let Some(cluster) = Cluster::shared() else { return };
    let ledger = ledger_with(10_240);
    ledger.ok(&DERIVE);
    ledger.ok(&["role", "withdraw", SCANNERS[1], "scanner", "--as", "ada"]);
    let spread = Spread::over(&ledger, cluster);
    let follower = Follower::of(&spread);
    let limits = Limits { stuck: Duration::from_secs(5), away: Duration::from_secs(600), ..Limits::default() };
    let share = || Share::of(Box::new(follower.group(attestune_pii::VERSION)), limits);
    let without_role = follower.work(&ledger, SCANNERS[1], share());
    spread.until("it holds everything", || without_role.held.load(Ordering::Relaxed) == WORK_PARTITIONS);
    let able = follower.work(&ledger, SCANNERS[0], share());
    spread.until("all is scanned", || follower.scanned() == 20);
    let held = || [&without_role, &able].map(|worker| worker.held.load(Ordering::Relaxed));
    spread.until("the able one holds everything", || held() == [0, WORK_PARTITIONS]);
    let (did, _) = follower.each_scanned_once();
    assert_eq!(did.into_keys().collect::<Vec<_>>(), [SCANNERS[0]]);
}

#[test]
fn while_no_group_forms_a_worker_works_on_everything_and_joins_when_one_does() {
    let Some(cluster) = Cluster::start_without_groups() else { return };
    let ledger = ledger_with(1_024);
    ledger.ok(&DERIVE);
    let spread = Spread::over(&ledger, &cluster);
    let follower = Follower::of(&spread);
    let scanner = Scanner::start(&spread, SCANNERS[0]);
    spread.until("all is scanned", || follower.scanned() == 2);
    assert_eq!(scanner.partitions(), Some(0));
    assert_eq!(follower.each_scanned_once().1, 0);

    // It joins once that is possible; and ends in good order where nobody is there to be told.
    make_topic(&cluster, "__consumer_offsets", 1);
    spread.until("it holds everything", || scanner.partitions() == Some(WORK_PARTITIONS));
    cluster.kill(1);
    scanner.process.terminate();
}

#[test]
fn a_topic_with_another_count_of_partitions_is_taken_as_it_is_and_records_on_it_are_named() {
    let Some(cluster) = Cluster::shared() else { return };
    let ledger = ledger_with(512);
    let spread = Spread::over(&ledger, cluster);
    let work = format!("{}.work", spread.topic);
    assert!(doctor(&spread).contains("the first worker that shares its work makes it"));
    make_topic(cluster, &work, 3);
    let scanner = Scanner::start(&spread, SCANNERS[0]);
    spread.until("it holds all three", || scanner.partitions() == Some(3));
    assert!(doctor(&spread).contains("3 partitions, no records"));

    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap();
    producer.send(BaseRecord::<(), str>::to(&work).payload("what is this for?")).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
    assert!(doctor(&spread).contains(&format!("✗ wrong  work topic {work}: 1 records")));
}
