//! A real Kafka cluster for tests, started by `scripts/kafka/up`.
//!
//! Where Java or Kafka are not to be had a test gets none, says SKIPPED and ends.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A cluster on free ports, its data in a temporary folder. Ends with its owner, or with the test's process.
pub struct Cluster {
    folder: tempfile::TempDir,
    brokers: usize,
    bootstrap: String,
}

impl Cluster {
    /// Starts so many brokers and waits until they are ready; none where that is not possible here.
    ///
    /// # Panics
    /// If they could be started, but don't come up.
    pub fn start(brokers: usize) -> Option<Self> {
        Self::start_with(brokers, &[])
    }

    /// One broker with listeners that ask for a password and for TLS, too.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn start_secured() -> Option<Self> {
        Self::start_with(1, &["--secured"])
    }

    /// The same, where nobody may do anything but whoever comes in plain text without a name, until [`Cluster::allow`].
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn start_with_access_lists() -> Option<Self> {
        let authorizer = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer";
        let options = ["--secured", "--property", authorizer, "--property", "super.users=User:ANONYMOUS"];
        Self::start_with(1, &options)
    }

    /// Lets the user of a secured cluster do something: operations and what they are on, as `kafka-acls` takes them.
    ///
    /// # Panics
    /// If the brokers do not take it.
    pub fn allow(&self, rights: &[&str]) {
        let said = Command::new(scripts().join("allow")).arg(self.bootstrap()).args(rights).output();
        let said = said.expect("the script is there");
        assert!(said.status.success(), "{rights:?}: {}", String::from_utf8_lossy(&said.stderr));
    }

    /// One broker that can't make the topic that consumer groups stand on.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn start_without_groups() -> Option<Self> {
        Self::start_with(1, &["--property", "offsets.topic.replication.factor=2"])
    }

    /// Brokers each of which has one more listener, and says that it is at the port given for it: whoever begins there
    /// comes to it through a proxy on that port, which passes to [`Cluster::behind`].
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn start_behind(ports: &[u16]) -> Option<Self> {
        let listed: Vec<String> = ports.iter().map(u16::to_string).collect();
        Self::start_with(ports.len(), &["--behind", &listed.join(",")])
    }

    fn start_with(brokers: usize, options: &[&str]) -> Option<Self> {
        let scripts = scripts();
        // Only looks: `make test` installs before the tests run.
        let jars = Command::new(scripts.join("installed")).stdout(Stdio::null()).status();
        if !jars.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: Java or Apache Kafka is not installed: run scripts/kafka/install");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("attestune-kafka-").tempdir().expect("a temporary folder");
        let (brokers_text, pid) = (brokers.to_string(), std::process::id().to_string());
        let started = Command::new(scripts.join("up"))
            .args(["--brokers", &brokers_text, "--while", &pid, "--folder"])
            .arg(folder.path())
            .args(options)
            .env("KAFKA_HEAP", "256m")
            .output()
            .expect("the script is there");
        assert!(started.status.success(), "Kafka comes up: {}", String::from_utf8_lossy(&started.stderr));
        let bootstrap = fs::read_to_string(folder.path().join("bootstrap")).expect("the script writes it");
        Some(Self { folder, brokers, bootstrap: bootstrap.trim().into() })
    }

    /// One broker that all tests of a process share; it ends with the process.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(1)).as_ref()
    }

    /// A name that no other topic of this process has.
    pub fn fresh_topic(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!("ledger-{}", NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Where clients connect, in plain text.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Where the proxies before each broker pass to.
    ///
    /// # Panics
    /// Unless it was started so.
    pub fn behind(&self) -> Vec<SocketAddr> {
        let addresses = self.read("bootstrap.behind");
        addresses.split(',').map(|address| address.parse().expect("the script writes addresses")).collect()
    }

    /// A file that the script wrote: `bootstrap.sasl`, `bootstrap.tls`, `password`, `ca.pem`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is in such a file.
    ///
    /// # Panics
    /// If there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).expect("a file of the cluster").trim().into()
    }

    /// How many brokers there are; they are numbered from 1.
    pub fn brokers(&self) -> usize {
        self.brokers
    }

    /// Ends a broker at once (kill -9).
    pub fn kill(&self, broker: usize) {
        let pid = self.signal(broker, "-KILL");
        let until = Instant::now() + PATIENCE;
        while Path::new("/proc").join(&pid).exists() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops a broker in its tracks: to the others it has fallen silent.
    ///
    /// # Panics
    /// If it doesn't stop.
    pub fn pause(&self, broker: usize) {
        let pid = self.signal(broker, "-STOP");
        let until = Instant::now() + PATIENCE;
        while !has_stopped(&pid) {
            assert!(Instant::now() < until, "broker {broker} stops");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets a paused broker go on.
    pub fn resume(&self, broker: usize) {
        self.signal(broker, "-CONT");
    }

    /// Starts a killed broker again and waits until it is up.
    ///
    /// # Panics
    /// If it doesn't come up.
    pub fn restart(&self, broker: usize) {
        self.launch(broker);
        self.wait_until_up(broker);
    }

    /// Starts a killed broker again without waiting: of three that were killed none is up before a second one is.
    ///
    /// # Panics
    /// If there is no such broker.
    pub fn launch(&self, broker: usize) {
        let folder = self.folder.path().join(broker.to_string());
        // What it has said so far is kept, and does not count as said by the one that starts.
        let said = fs::read(folder.join("log")).expect("its log can be read");
        let mut before = File::options().create(true).append(true).open(folder.join("log.before")).expect("a file");
        before.write_all(&said).expect("its log can be kept");
        fs::write(folder.join("log"), "").expect("its log can be written");
        assert!(Command::new(folder.join("run")).status().expect("it can be run").success());
    }

    /// Waits until a broker that was launched is up.
    ///
    /// # Panics
    /// If it doesn't come up.
    pub fn wait_until_up(&self, broker: usize) {
        let log = self.folder.path().join(broker.to_string()).join("log");
        let until = Instant::now() + PATIENCE;
        while !fs::read_to_string(&log).is_ok_and(|text| text.contains("Kafka Server started")) {
            assert!(Instant::now() < until, "broker {broker} comes up");
            // Kafka ends by itself where no controller answers while it starts; whoever runs it starts it again.
            if self.has_ended(broker) {
                self.launch(broker);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Whether the broker that was launched last is no process any more.
    fn has_ended(&self, broker: usize) -> bool {
        let pid = self.read(&format!("{broker}/pid"));
        fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
    }

    fn signal(&self, broker: usize, signal: &str) -> String {
        let pid = self.read(&format!("{broker}/pid"));
        // One that has ended already is as it should be.
        let _ = Command::new("kill").args([signal, &pid]).stderr(Stdio::null()).status();
        pid
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for broker in 1..=self.brokers {
            self.kill(broker);
        }
    }
}

/// Whether every thread of a process has been stopped, or it is no more.
fn has_stopped(pid: &str) -> bool {
    let Ok(threads) = fs::read_dir(Path::new("/proc").join(pid).join("task")) else { return true };
    let state = |thread: PathBuf| fs::read_to_string(thread.join("stat")).unwrap_or_default();
    // The state stands behind the name, which is in brackets.
    threads.flatten().all(|thread| state(thread.path()).rsplit_once(')').is_none_or(|(_, rest)| rest.starts_with(" T")))
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").join("scripts/kafka")
}
