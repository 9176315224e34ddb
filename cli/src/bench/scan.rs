//! Scans by worker processes that share them over Kafka, one and two at a time, on this machine with their broker.
//!
//! The workers are in their group before there is anything to do; then all batches come at once. The time is the log's:
//! from the first batch to the last scan. Where all processors are busy by one worker and what it needs around it, a second
//! one can add little: so the same is measured with each worker held to a processor of its own, and the processor time of
//! each side is told.

use super::{
    Plan,
    brokers::Brokers,
    figure::{Figure, Results, Skipped},
    kafka::copied_to_kafka,
    life::{Life, Random, key},
    machine,
    replay::temporary_folder,
};
use crate::wait;
use anyhow::Context as _;
use attestune_ledger::{
    draft::draft,
    log::{Clock as _, Kafka, KafkaConfig, SystemClock, kafka::WORK_PARTITIONS},
    query,
    replica::{Replica, ReplicaOptions},
    store::{Options, Store},
    vault::{SealedItem, SealedPack, Vault},
};
use attestune_pii::Scanner;
use attestune_proto::v1::{DocumentsIngested, ExamplesDerived, Sealed, Seen, Verdict, event::Body};
use attestune_workers::example::{ExampleText, scan_text};
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
const EXAMPLES_ALL: f64 = (BATCHES * EXAMPLES) as f64;
/// Words of an example, about 380 characters.
const WORDS: usize = 60;
const STEWARD: &str = "sten";
const SCANNER: &str = "scanner";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures one worker and two, in turns, free and held to a processor each.
pub async fn run(plan: &Plan) -> anyhow::Result<Results> {
    let brokers = match Brokers::start(1)? {
        Ok(brokers) => brokers,
        Err(why) => return Ok(Results { skipped: vec![Skipped { part: PART, why }], ..Results::default() }),
    };
    let folder = temporary_folder()?;
    let texts = Texts::seal(folder.path()).await?;
    let pieces = texts.pieces(folder.path()).await?;
    let held = Command::new("taskset").arg("--version").output().is_ok_and(|said| said.status.success());
    let settings = [(1, false), (2, false), (1, true), (2, true)];
    let settings = &settings[..if held { 4 } else { 2 }];
    let bar = wait::bar("scanning");
    bar.set_length(u64::from(plan.rounds));
    let mut measured = vec![Vec::new(); settings.len()];
    for _ in 0..plan.rounds {
        for (rounds, (workers, held)) in measured.iter_mut().zip(settings) {
            rounds.push(scan(&brokers, &texts, folder.path(), *workers, *held)?);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut figures = of_workers("", &measured[0], &measured[1]);
    if held {
        figures.extend(of_workers("held to a processor each: ", &measured[2], &measured[3]));
    }
    figures.extend(pieces);
    let skipped = Skipped { part: PART, why: "workers held to a processor each: taskset is missing".into() };
    Ok(Results { figures, skipped: if held { Vec::new() } else { vec![skipped] }, ..Results::default() })
}

/// One worker beside two, and where the processors' time went.
fn of_workers(how: &str, one: &[Scanned], two: &[Scanned]) -> Vec<Figure> {
    let of = |rounds: &[Scanned], value: fn(&Scanned) -> f64| rounds.iter().map(value).collect::<Vec<_>>();
    let figure = |what: &str, unit, rounds| Figure::new(PART, format!("{how}{what}"), unit, rounds);
    let rate: Value = |scanned| EXAMPLES_ALL / scanned.seconds;
    let mut figures = vec![
        figure("examples scanned by one worker", "examples/s", of(one, rate)),
        figure("by two that share them", "examples/s", of(two, rate)).beside("one worker", of(one, rate)),
        figure("processors that were busy", "processors", of(two, Scanned::busy))
            .beside("one worker", of(one, Scanned::busy)),
    ];
    let split: [(&str, Value); 3] = [
        ("processor time of an example, the workers'", |scanned| scanned.workers_s * 1e6 / EXAMPLES_ALL),
        ("the broker's", |scanned| scanned.broker_s * 1e6 / EXAMPLES_ALL),
        ("that of who appends and follows", |scanned| scanned.here_s * 1e6 / EXAMPLES_ALL),
    ];
    for (what, value) in split {
        figures.push(figure(what, "us", of(two, value)).beside("one worker", of(one, value)));
    }
    let twice = |scanned: &Scanned| scanned.twice as f64;
    figures.push(figure(&format!("batches of {BATCHES} that both scanned"), "batches", of(two, twice)));
    figures
}

/// A figure of a scan.
type Value = fn(&Scanned) -> f64;

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

    /// What of a worker's time is opening the texts and finding in them, on one processor.
    async fn pieces(&self, folder: &Path) -> anyhow::Result<Vec<Figure>> {
        let vault = Vault::open_folder(&folder.join("vault")).await?;
        let scanner = Scanner::default();
        let (mut opening, mut finding) = (Duration::ZERO, Duration::ZERO);
        for pack in &self.packs {
            let sealed = |item: &SealedItem| Sealed { pack: pack.pack.to_vec(), commitment: item.commitment.to_vec() };
            let sealed: Vec<Sealed> = pack.items.iter().map(sealed).collect();
            let began = Instant::now();
            let contents = vault.open_all(&sealed).await?;
            opening += began.elapsed();
            let texts = contents.iter().map(|content| serde_json::from_slice(content));
            let texts = texts.collect::<Result<Vec<ExampleText>, _>>()?;
            let began = Instant::now();
            for text in &texts {
                std::hint::black_box(scanner.scan(&scan_text(text)));
            }
            finding += began.elapsed();
        }
        let figure =
            |what: &str, took: Duration| Figure::new(PART, what, "us", vec![took.as_secs_f64() * 1e6 / EXAMPLES_ALL]);
        Ok(vec![
            figure("of an example: opening its text, on one processor", opening),
            figure("of an example: finding in it, on one processor", finding),
        ])
    }
}

/// What a customer might write; one in eight has something personal in it.
fn example(random: &mut Random) -> ExampleText {
    const VOCABULARY: &str = "account transfer card the my please payment was declined yesterday at branch statement and \
                              cannot see balance since Monday mortgage letter address of to";
    let vocabulary: Vec<&str> = VOCABULARY.split_whitespace().collect();
    let mut words: Vec<String> = (0..WORDS).filter_map(|_| random.pick(&vocabulary)).map(|w| (*w).into()).collect();
    if random.below(8) == 0
        && let Some(word) = words.get_mut(WORDS / 2)
    {
        *word = format!("customer{}@example.org", random.below(100_000));
    }
    ExampleText { prompt: format!("{}\nIntent:", words.join(" ")), answer: " other".into() }
}

/// One round.
#[derive(Clone)]
struct Scanned {
    seconds: f64,
    /// Processor time from the first batch to the last scan, as near as it can be read.
    workers_s: f64,
    broker_s: f64,
    here_s: f64,
    twice: usize,
}

impl Scanned {
    fn busy(&self) -> f64 {
        (self.workers_s + self.broker_s + self.here_s) / self.seconds
    }
}

/// A fresh ledger on a fresh topic, with so many workers.
fn scan(brokers: &Brokers, texts: &Texts, folder: &Path, workers: usize, held: bool) -> anyhow::Result<Scanned> {
    let at = temporary_folder()?;
    let (entries, id) = Life::opening(SystemClock.now_ms() - 3_600_000, 0);
    let config = copied_to_kafka(brokers, at.path(), entries.into_iter().map(|e| (e.time_ms, e.value)))?;
    let store = Store::open(at.path().join("db"), &Options::default())?;
    let log = Arc::new(Kafka::open(store.clone(), config.clone())?);
    let replica = Replica::open(store, log, ReplicaOptions::default())?;

    let start = |number: usize| {
        let replica = at.path().join(number.to_string());
        Running::start(&config, folder, &replica, held.then_some(number))
    };
    let started = (0..workers).map(start).collect::<anyhow::Result<Vec<_>>>()?;
    let even = WORK_PARTITIONS / workers as u32;
    until("each worker has its share", || Ok(started.iter().all(|worker| worker.partitions() == Some(even))))?;
    let of_workers = || started.iter().map(|worker| machine::cpu_seconds_of(worker.child.id())).sum::<f64>();
    let before = (of_workers(), brokers.cpu_seconds(), machine::cpu_seconds());
    let begin = derive(&replica, &id, texts)?;
    let mut scans = Scans { next: begin.position, all: 0, accepted: 0, last: begin };
    until("all is scanned", || {
        scans.look(&replica)?;
        Ok(scans.accepted == BATCHES)
    })?;
    let (workers_s, broker_s) = (of_workers() - before.0, brokers.cpu_seconds() - before.1);
    let here_s = machine::cpu_seconds() - before.2;
    drop(started);
    scans.look(&replica)?;
    replica.shut_down();
    let seconds = (scans.last.time_ms - begin.time_ms).max(1) as f64 / 1000.0;
    Ok(Scanned { seconds, workers_s, broker_s, here_s, twice: scans.all - scans.accepted })
}

/// The scans on the log, as far as it was looked at.
struct Scans {
    next: u64,
    all: usize,
    accepted: usize,
    last: Moment,
}

impl Scans {
    fn look(&mut self, replica: &Replica) -> anyhow::Result<()> {
        let view = replica.view();
        for position in self.next..view.size() {
            let event = query::event_of(&view, position)?;
            if matches!(event.and_then(|event| event.body), Some(Body::ExamplesScanned(_))) {
                let decided = replica.decided(position)?;
                self.all += 1;
                if decided.verdict() == Verdict::Accepted {
                    self.accepted += 1;
                    self.last = Moment { position, time_ms: decided.time_ms };
                }
            }
            self.next = position + 1;
        }
        Ok(())
    }
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
    /// Starts one, held to the processor of that number if one is given.
    fn start(config: &KafkaConfig, folder: &Path, replica: &Path, held_to: Option<usize>) -> anyhow::Result<Self> {
        let pages = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let program = std::env::current_exe()?;
        let mut command = match held_to {
            None => Command::new(program),
            // It becomes that program, so that the child's number is the worker's.
            Some(processor) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", &processor.to_string()]).arg(program);
                command
            }
        };
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
