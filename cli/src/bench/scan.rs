//! Scans by worker processes that share them over Kafka, one and two at a time, on this machine with their broker.
//!
//! The workers are in their group before there is anything to do; then all batches come at once. The time is the log's:
//! from the first batch to the last scan.

use super::{
    Plan,
    brokers::Brokers,
    figure::{Figure, Results, Skipped},
    kafka::copied_to_kafka,
    life::{Life, Random, key},
    replay::temporary_folder,
};
use crate::wait;
use anyhow::Context as _;
use attestune_ledger::{
    draft::draft,
    log::{Clock as _, Kafka, SystemClock, kafka::WORK_PARTITIONS},
    query,
    replica::{Replica, ReplicaOptions},
    store::{Options, Store},
    vault::{SealedPack, Vault},
};
use attestune_proto::v1::{DocumentsIngested, ExamplesDerived, Seen, Verdict, event::Body};
use attestune_workers::example::ExampleText;
use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

const PART: &str = "scan";
/// Batches that are scanned in a round, and examples in each.
const BATCHES: usize = 80;
const EXAMPLES: usize = 512;
/// Words of an example, about 380 characters.
const WORDS: usize = 60;
const STEWARD: &str = "sten";
const SCANNER: &str = "scanner";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures one worker and two, in turns.
pub async fn run(plan: &Plan) -> anyhow::Result<Results> {
    let brokers = match Brokers::start(1)? {
        Ok(brokers) => brokers,
        Err(why) => return Ok(Results { skipped: vec![Skipped { part: PART, why }], ..Results::default() }),
    };
    let folder = temporary_folder()?;
    let texts = Texts::seal(folder.path()).await?;
    let bar = wait::bar("scanning");
    bar.set_length(u64::from(plan.rounds));
    let (mut one, mut two, mut twice) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        one.push(scan(&brokers, &texts, folder.path(), 1)?.examples_a_second);
        let shared = scan(&brokers, &texts, folder.path(), 2)?;
        two.push(shared.examples_a_second);
        twice.push(shared.scanned_twice as f64);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let figures = vec![
        Figure::new(PART, "examples scanned by one worker", "examples/s", one.clone()),
        Figure::new(PART, "by two that share them", "examples/s", two).beside("one worker", one),
        Figure::new(PART, format!("batches of {BATCHES} that both scanned"), "batches", twice),
    ];
    Ok(Results { figures, ..Results::default() })
}

/// Examples that lie in a vault.
struct Texts {
    packs: Vec<SealedPack>,
}

impl Texts {
    async fn seal(folder: &Path) -> anyhow::Result<Self> {
        let vault = Vault::open_folder(&folder.join("vault")).await?;
        let mut random = Random(11);
        let mut packs = Vec::with_capacity(BATCHES);
        for _ in 0..BATCHES {
            let texts = (0..EXAMPLES).map(|_| serde_json::to_vec(&example(&mut random)));
            packs.push(vault.seal(&texts.collect::<Result<Vec<_>, _>>()?).await?);
        }
        let mut file = std::fs::OpenOptions::new();
        let file = file.write(true).create_new(true).mode(0o600).open(folder.join("scanner.key"));
        writeln!(file?, "{}", hex::encode(key(SCANNER).seed()))?;
        Ok(Self { packs })
    }
}

/// What a customer might write; one in eight has something personal in it.
fn example(random: &mut Random) -> ExampleText {
    const VOCABULARY: [&str; 24] = [
        "account",
        "transfer",
        "card",
        "the",
        "my",
        "please",
        "payment",
        "was",
        "declined",
        "yesterday",
        "at",
        "branch",
        "statement",
        "and",
        "cannot",
        "see",
        "balance",
        "since",
        "Monday",
        "mortgage",
        "letter",
        "address",
        "of",
        "to",
    ];
    let mut words: Vec<String> = (0..WORDS).filter_map(|_| random.pick(&VOCABULARY)).map(|w| (*w).into()).collect();
    if random.below(8) == 0
        && let Some(word) = words.get_mut(WORDS / 2)
    {
        *word = format!("customer{}@example.org", random.below(100_000));
    }
    ExampleText { prompt: format!("{}\nIntent:", words.join(" ")), answer: " other".into() }
}

struct Scanned {
    examples_a_second: f64,
    scanned_twice: usize,
}

/// A fresh ledger on a fresh topic, with so many workers.
fn scan(brokers: &Brokers, texts: &Texts, folder: &Path, workers: usize) -> anyhow::Result<Scanned> {
    let at = temporary_folder()?;
    let (entries, id) = Life::opening(SystemClock.now_ms() - 3_600_000, 0);
    let config = copied_to_kafka(brokers, at.path(), entries.into_iter().map(|e| (e.time_ms, e.value)))?;
    let store = Store::open(at.path().join("db"), &Options::default())?;
    let log = Arc::new(Kafka::open(store.clone(), config.clone())?);
    let replica = Replica::open(store, log, ReplicaOptions::default())?;

    let started = (0..workers).map(|number| Running::start(&config, folder, &at.path().join(number.to_string())));
    let started = started.collect::<anyhow::Result<Vec<_>>>()?;
    let even = WORK_PARTITIONS / workers as u32;
    until("each worker has its share", || Ok(started.iter().all(|worker| worker.partitions() == Some(even))))?;
    let begin = derive(&replica, &id, texts)?;
    let view = || replica.view();
    until("all is scanned", || Ok(query::open_work(&view())?.batches_to_scan.is_empty()))?;
    drop(started);

    let (mut last, mut accepted, mut all) = (begin, 0, 0);
    for position in begin.position..replica.position() {
        let decided = replica.decided(position)?;
        let event = query::event_of(&view(), position)?;
        if !matches!(event.and_then(|event| event.body), Some(Body::ExamplesScanned(_))) {
            continue;
        }
        all += 1;
        if decided.verdict() == Verdict::Accepted {
            accepted += 1;
            last = Moment { position, time_ms: decided.time_ms };
        }
    }
    replica.shut_down();
    if accepted != BATCHES {
        anyhow::bail!("{accepted} of {BATCHES} batches have an accepted scan");
    }
    let seconds = (last.time_ms - begin.time_ms).max(1) as f64 / 1000.0;
    Ok(Scanned { examples_a_second: (BATCHES * EXAMPLES) as f64 / seconds, scanned_twice: all - accepted })
}

#[derive(Clone, Copy)]
struct Moment {
    position: u64,
    time_ms: u64,
}

/// Puts all batches on the log in one call; when the first of them came.
fn derive(replica: &Replica, ledger: &[u8; 32], texts: &Texts) -> anyhow::Result<Moment> {
    let append = |bodies: Vec<Body>| -> anyhow::Result<u64> {
        let head = replica.head()?;
        let seen = Seen { size: head.size, root: head.entry_root };
        let sign = |body| {
            let id = uuid::Uuid::now_v7().into_bytes();
            key(STEWARD).sign_event(&draft(ledger, STEWARD, id, SystemClock.now_ms(), Some(seen.clone()), body))
        };
        let receipts = replica.append(bodies.into_iter().map(sign).collect())?;
        if let Some(refused) = receipts.iter().find(|receipt| receipt.verdict() != Verdict::Accepted) {
            anyhow::bail!("a batch of the bench was not accepted: {:?}", refused.refusal);
        }
        Ok(receipts.first().context("nothing was appended")?.position)
    };
    let document =
        texts.packs.first().and_then(|pack| Some((pack.pack.to_vec(), pack.items.first()?.commitment.to_vec())));
    let (pack, commitment) = document.context("there are no texts")?;
    let ingested = DocumentsIngested { collection: "tickets".into(), pack, commitments: vec![commitment] };
    let documents = append(vec![Body::DocumentsIngested(ingested)])?;
    let derived = texts.packs.iter().map(|pack| {
        Body::ExamplesDerived(ExamplesDerived {
            documents,
            pack: pack.pack.to_vec(),
            commitments: pack.items.iter().map(|item| item.commitment.to_vec()).collect(),
            rows: vec![0; pack.items.len()],
            template: None,
        })
    });
    let position = append(derived.collect())?;
    Ok(Moment { position, time_ms: replica.decided(position)?.time_ms })
}

/// A worker process.
struct Running {
    child: Child,
    pages: SocketAddr,
}

impl Running {
    fn start(config: &attestune_ledger::log::KafkaConfig, folder: &Path, replica: &Path) -> anyhow::Result<Self> {
        let pages = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["worker", "pii", "--as", SCANNER, "--kafka", config.brokers(), "--ledger", config.topic()]);
        command.arg("--vault").arg(format!("file://{}", folder.join("vault").display()));
        command.arg("--key").arg(folder.join("scanner.key")).arg("--replica").arg(replica);
        command.arg("--listen").arg(pages.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { child: command.spawn()?, pages })
    }

    /// How many partitions of the work it holds, once it tells.
    fn partitions(&self) -> Option<u32> {
        let url = format!("http://{}/metrics", self.pages);
        let told = Command::new(std::env::current_exe().ok()?).args(["probe", &url]).output().ok()?;
        String::from_utf8(told.stdout)
            .ok()?
            .lines()
            .find_map(|line| line.strip_prefix("attestune_work_partitions ")?.trim().parse().ok())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            tracing::warn!(%error, "a worker of the bench did not end");
        }
    }
}

fn until(what: &str, mut done: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let began = Instant::now();
    while !done()? {
        if began.elapsed() > PATIENCE {
            anyhow::bail!("{} s were not enough: {what}", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
