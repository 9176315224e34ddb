//! The processes of a ledger that is spread out, each started anew with the same arguments whenever it has ended.

use super::wait;
use crate::common::Ledger;
use crate::common::process::Running;
use crate::machine::Disk;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// What a part is.
pub struct Plan {
    pub name: &'static str,
    /// Its command, and who acts.
    pub command: &'static [&'static str],
    /// It reaches the brokers through the lines.
    pub behind: bool,
    /// Its replica lies on a small disk of its own, where that can be had.
    pub small_disk: bool,
}

const fn plan(name: &'static str, command: &'static [&'static str], behind: bool, small_disk: bool) -> Plan {
    Plan { name, command, behind, small_disk }
}

/// Two of whatever shares work. Those behind the lines are a site of their own, which a partition cuts off.
pub const PLANS: [Plan; 9] = [
    plan("gateway-1", &["gateway"], false, true),
    plan("gateway-2", &["gateway"], true, false),
    plan("scanner-1", &["worker", "pii", "--as", "scanner"], false, false),
    plan("scanner-2", &["worker", "pii", "--as", "scanner"], true, false),
    plan("checker", &["worker", "quality", "--as", "checker"], false, true),
    plan("evaluator-1", &["worker", "evaluator", "--as", "evaluator"], false, false),
    plan("evaluator-2", &["worker", "evaluator", "--as", "evaluator-2"], true, false),
    plan("trainer-1", &["trainer", "--as", "trainer"], false, false),
    plan("trainer-2", &["trainer", "--as", "trainer-2"], true, false),
];

/// Room for the replica of a storm and its write-ahead log.
const SMALL_DISK: &str = "640m";

/// One of them.
pub struct Part {
    pub plan: &'static Plan,
    pub disk: Option<Disk>,
    arguments: Vec<String>,
    replica: PathBuf,
    address: SocketAddr,
    log: PathBuf,
    running: Option<Running>,
    /// What its log held when it was started.
    said_before: u64,
    was_up: bool,
    /// When it ended by itself, how, and what it said.
    pub ends: Vec<End>,
}

/// The end of a process that nobody ended.
#[derive(Debug)]
pub struct End {
    pub status: ExitStatus,
    /// It had come up before.
    pub was_up: bool,
    pub said: String,
}

impl Part {
    /// Prepares a part; `shared` is what all of them are told.
    pub fn new(ledger: &Ledger, plan: &'static Plan, brokers: &str, shared: &[&str]) -> Self {
        let disk = plan.small_disk.then(|| Disk::mount(SMALL_DISK)).flatten();
        let replica = disk.as_ref().map_or_else(|| ledger.path(plan.name), |disk| disk.folder().join(plan.name));
        let address = SocketAddr::from(([127, 0, 0, 1], attestune_replay_tests::free_port()));
        let mut arguments: Vec<String> = plan.command.iter().chain(shared).map(|text| (*text).to_owned()).collect();
        let actor = plan.actor();
        let key = ledger.folder().join(format!("server/{actor}.key"));
        let (listen, path) = (address.to_string(), |path: &Path| path.to_str().unwrap().to_owned());
        for (option, value) in [
            ("--kafka", brokers.to_owned()),
            ("--replica", path(&replica)),
            ("--key", path(&key)),
            ("--listen", listen),
        ] {
            arguments.extend([option.to_owned(), value]);
        }
        if plan.name == "gateway-1" {
            let checkpoints = ledger.folder().join("server/checkpoint.key");
            arguments.extend(["--checkpoint-key".to_owned(), path(&checkpoints)]);
        }
        if actor.starts_with("trainer") || actor.starts_with("evaluator") {
            arguments.extend(["--models".to_owned(), path(&ledger.path("models"))]);
        }
        let log = ledger.path(&format!("{}.log", plan.name));
        let (running, ends) = (None, Vec::new());
        Self { plan, disk, arguments, replica, address, log, running, said_before: 0, was_up: false, ends }
    }

    /// Starts it.
    pub fn start(&mut self, ledger: &Ledger) {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.said_before = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        self.running = Some(Running::noting(ledger.command(&arguments), &self.log));
        self.was_up = false;
    }

    /// Ends it at once (kill -9). One that had ended by itself is noted as that.
    pub fn kill(&mut self) {
        let end = self.take_end();
        self.ends.extend(end);
        if let Some(mut running) = self.running.take() {
            running.kill();
        }
    }

    /// The process, if it was not ended.
    pub fn running(&self) -> Option<&Running> {
        self.running.as_ref()
    }

    /// Starts it anew if it has ended by itself, as whatever supervises it would.
    pub fn tend(&mut self, ledger: &Ledger) {
        if let Some(end) = self.take_end() {
            self.ends.push(end);
            self.start(ledger);
        }
    }

    /// Its end, if it has ended by itself.
    pub fn take_end(&mut self) -> Option<End> {
        let status = self.running.as_mut()?.ended()?;
        self.running = None;
        Some(End { status, was_up: self.was_up, said: self.said() })
    }

    /// What it has said since it was started.
    fn said(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let tail = log.get(self.said_before as usize..).unwrap_or_default();
        String::from_utf8_lossy(&tail[tail.len().saturating_sub(2_000)..]).into_owned()
    }

    /// Waits until it has folded what was there and answers; started anew where it gave up on the brokers.
    pub fn until_up(&mut self, ledger: &Ledger) -> Duration {
        let began = Instant::now();
        let name = self.plan.name;
        wait(&format!("{name} is up"), || {
            self.tend(ledger);
            self.is_healthy()
        });
        self.was_up = true;
        began.elapsed()
    }

    fn is_healthy(&self) -> bool {
        let limit = Duration::from_secs(5);
        let ask = || -> std::io::Result<String> {
            let mut connection = TcpStream::connect_timeout(&self.address, limit)?;
            connection.set_read_timeout(Some(limit))?;
            connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: part\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// Asks it to stop; it ends in good order.
    pub fn stop(&mut self) {
        let status = self.running.take().unwrap().stop();
        assert!(status.success(), "{} ends in good order: {status}, {}", self.plan.name, self.said());
    }

    /// The folder of its replica.
    pub fn replica(&self) -> &Path {
        &self.replica
    }

    /// Where it is served, if it is a gateway.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Plan {
    /// Who acts.
    pub fn actor(&self) -> &'static str {
        self.command.iter().skip_while(|text| **text != "--as").nth(1).copied().unwrap_or("gateway")
    }
}
