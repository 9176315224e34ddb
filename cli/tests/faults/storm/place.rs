//! Where the storm passes: a ledger on three brokers, its parts, and the lines between some of them.

use super::client::Gateways;
use super::lines::Lines;
use super::operator::Terms;
use super::parts::{PLANS, Part};
use super::wait;
use crate::LEASES;
use crate::common::Ledger;
use attestune_ledger::draft::draft;
use attestune_ledger::keyfile::KeyFile;
use attestune_ledger::log::KafkaConfig;
use attestune_ledger::log::kafka::WORK_PARTITIONS;
use attestune_proto::v1::{ActorKind, Role, Seen, event::Body};
use attestune_replay_tests::kafka::Cluster;
use attestune_replay_tests::{grant, key, register};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;

const BROKERS: usize = 3;
/// The ledger, and its topic.
pub const TOPIC: &str = "storm";

/// Everything that is there.
pub struct Place {
    pub parts: Vec<Part>,
    pub lines: Lines,
    pub cluster: Cluster,
    pub runtime: Runtime,
    pub ledger: Ledger,
}

impl Place {
    /// Makes the ledger, moves it to a cluster of its own and starts every part; none without Kafka.
    pub fn build(producers: &[String]) -> Option<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listeners = Lines::listeners(&runtime, BROKERS);
        let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        let cluster = Cluster::start_behind(&ports)?;
        let lines = Lines::open(&runtime, listeners, &cluster.behind());

        let ledger = Ledger::none();
        ledger.init(&LEASES);
        ledger.staff();
        ledger.equip();
        attestune_trainer::model::write_tiny_model(&ledger.path("models/tiny"), 7).unwrap();
        ledger.ok(&["suite", "register", &ledger.file("long.yaml", long_suite().as_bytes()), "--as", "mina"]);
        hire(&ledger, producers);
        ledger.ok(&["log", "restore", "--kafka", cluster.bootstrap(), "--ledger", TOPIC]);

        let proxied: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let proxied = proxied.join(",");
        let vault = format!("file://{}", ledger.folder().join("vault").display());
        let shared = ["--ledger", TOPIC, "--vault", &vault];
        let prepare = |plan: &'static super::parts::Plan| {
            Part::new(&ledger, plan, if plan.behind { &proxied } else { cluster.bootstrap() }, &shared)
        };
        let mut parts: Vec<Part> = PLANS.iter().map(prepare).collect();
        parts.iter_mut().for_each(|part| part.start(&ledger));
        for part in &mut parts {
            part.until_up(&ledger);
        }
        settle(&cluster, &parts);
        Some(Self { parts, lines, cluster, runtime, ledger })
    }

    /// The gateways, as clients reach them.
    pub fn gateways(&self) -> Gateways {
        let urls = self.parts.iter().filter(|part| part.plan.name.starts_with("gateway")).map(Part::url);
        Gateways::new(&self.runtime, ledger_id(&self.ledger), urls)
    }

    /// The topic, for a replica of the test's own.
    pub fn topic(&self) -> KafkaConfig {
        KafkaConfig::new(self.cluster.bootstrap(), TOPIC).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for broker in 1..=BROKERS {
                for log in ["log.before", "log"] {
                    let copy = self.ledger.path(&format!("broker-{broker}.{log}"));
                    let _ = std::fs::copy(self.cluster.file(&format!("{broker}/{log}")), copy); // what there is
                }
            }
            // What lies on small disks goes with them.
            for part in self.parts.iter().filter(|part| part.disk.is_some()) {
                let _ = Command::new("cp").arg("-r").arg(part.replica()).arg(self.ledger.path(part.plan.name)).status();
            }
            eprintln!("kept for a look: {}", self.ledger.keep().display());
        }
    }
}

/// Waits until the workers share their work and the brokers are in sync. Brokers that are killed while the topic of shares
/// is being made are no fault of a ledger's, and Kafka does not always get over it.
fn settle(cluster: &Cluster, parts: &[Part]) {
    let sharing = ["scanner", "checker"];
    for kind in sharing {
        let held = || parts.iter().filter(|part| part.plan.name.starts_with(kind)).map(Part::partitions);
        let all = || held().sum::<u32>() == WORK_PARTITIONS && held().all(|partitions| partitions > 0);
        wait(&format!("each {kind} has its share"), all);
    }
    wait("the brokers are in sync", || Terms::of(cluster).is_some_and(|terms| terms.are_settled()));
}

/// Registers producers, and a second evaluator and trainer, whose keys come of their names.
fn hire(ledger: &Ledger, producers: &[String]) {
    let id = ledger_id(ledger);
    let root = |name: &str| KeyFile::load(&ledger.folder().join(format!("keys/{name}.key"))).unwrap();
    let (ada, ben) = (root("ada"), root("ben"));
    let head = ledger.json(&["replay", "--roots-only"]);
    let seen =
        Seen { size: head["size"].as_u64().unwrap(), root: hex::decode(head["entry_root"].as_str().unwrap()).unwrap() };
    let workers = [("evaluator-2", Role::Evaluator), ("trainer-2", Role::Trainer)];
    let workers = workers.map(|(name, role)| (name, ActorKind::Worker, role));
    let producers = producers.iter().map(|name| (name.as_str(), ActorKind::Person, Role::Steward));
    let mut lines = String::new();
    for (number, (name, kind, role)) in (0u32..).zip(workers.into_iter().chain(producers)) {
        let sign = |part: u32, body: Body| {
            let mut event_id = [0; 16];
            event_id[..8].copy_from_slice(&[number.to_be_bytes(), part.to_be_bytes()].concat());
            ada.sign_event(&draft(&id, "ada", event_id, now_ms(), Some(seen.clone()), body))
        };
        let registered = sign(1, register(&id, name, name, kind));
        let granted = ben.cosign(&sign(2, grant(name, role))).unwrap();
        lines.push_str(&format!("{}\n{}\n", hex::encode(registered), hex::encode(granted)));
    }
    ledger.ok(&["log", "append", "--lines", &ledger.file("hired.hex", lines.as_bytes())]);
    for (name, ..) in workers {
        let path = ledger.folder().join(format!("server/{name}.key"));
        std::fs::write(&path, hex::encode(key(name).seed())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// The ledger's id, from its folder.
fn ledger_id(ledger: &Ledger) -> Vec<u8> {
    let bytes = std::fs::read(ledger.folder().join("ledger.json")).unwrap();
    let noted: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    hex::decode(noted["ledger"].as_str().unwrap()).unwrap()
}

/// A suite that the tiny model answers for some seconds.
fn long_suite() -> String {
    let mut text = String::from("name: long\nmax_new_tokens: 64\nstop_at_newline: false\ncases:\n");
    for case in 0..60 {
        text.push_str(&format!(
            "  - {{ id: c-{case}, category: compliance, prompt: \"who are you\", judge: {{ no_pii: {{}} }} }}\n"
        ));
    }
    text
}

/// What the clock says, in milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}
