//! Append: from a signed envelope to a durable receipt over gRPC on a Unix socket, in turns with PostgreSQL's
//! synchronous insert of the same bytes; and 64 writers that stream.

use super::{
    Plan,
    figure::{Figure, Goal, Results, Skipped, Times},
    life::{GATEWAY, Life, Random, key, writer_name},
    postgres::{Cluster, Unavailable},
    replay::{temporary_folder, write_log},
    spans::{Spans, Timed},
};
use crate::{connect, wait};
use anyhow::Context as _;
use attestune_gateway::Gateway;
use attestune_ledger::{
    draft::draft,
    log::{Clock as _, Embedded, SystemClock},
    replica::{Replica, ReplicaOptions},
    store::{Options, Store},
};
use attestune_proto::v1::{
    AppendRequest, DocumentsIngested, Receipt, Seen, Verdict, event::Body, ledger_client::LedgerClient,
};
use rayon::prelude::*;
use std::{path::Path, path::PathBuf, sync::Arc, time::Instant};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

const PART: &str = "append";
/// Appends of the single writer in a round.
const SINGLE: usize = 4_000;
/// Appends without gRPC in a round, to time the door.
const DIRECT: usize = 1_000;
const WRITERS: usize = 64;
/// Appends of each of the 64 in a round.
const STREAMED: usize = 800;
/// Documents in an event, which make it about 500 bytes.
const DOCUMENTS: usize = 6;

/// Measures.
pub async fn run(plan: &Plan) -> anyhow::Result<Results> {
    let mut results = Results::default();
    let mut ledger = Ledger::new()?;
    let server = Server::start(ledger.replica.clone(), &ledger.folder.path().join("sock")).await?;
    let sample = ledger.sign(0, 100)?;
    let cluster = match Cluster::start(&sample, plan.install) {
        Ok(cluster) => Some(cluster),
        Err(error) => {
            let missing = error.downcast::<Unavailable>()?;
            results.skipped.push(Skipped { part: "append beside PostgreSQL", why: missing.to_string() });
            None
        }
    };

    let (mut streamed, mut called, mut theirs) = (Single::default(), Single::default(), Single::default());
    let (mut split, mut streams, mut their_streams) = (Split::default(), Vec::new(), Vec::new());
    let bar = wait::bar("appending");
    bar.set_length(u64::from(plan.rounds));
    for _ in 0..plan.rounds {
        let door = direct(&mut ledger)?;
        ledger.log.take();
        let times = single(&mut ledger, &server, Way::Stream).await?;
        split.add(&times, &door, &ledger.log.take());
        streamed.add(&times);
        called.add(&single(&mut ledger, &server, Way::Calls).await?);
        if let Some(cluster) = &cluster {
            theirs.add(&cluster.insert(1, SINGLE)?.times);
        }
        streams.push(streaming(&mut ledger, &server).await?);
        if let Some(cluster) = &cluster {
            their_streams.push(cluster.insert(WRITERS, STREAMED)?.per_second);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    server.stop().await?;

    let bytes = sample.iter().map(Vec::len).sum::<usize>() / sample.len();
    let beside = |figure: Figure, rounds: Vec<f64>| match &cluster {
        Some(_) => figure.beside("PostgreSQL", rounds),
        None => figure,
    };
    let single = Figure::new(PART, format!("one writer, {bytes} bytes, to the receipt"), "events/s", streamed.rates);
    results.figures.push(beside(single.with_goal(Goal::RatioAtLeast(0.5)), theirs.rates.clone()));
    let calls = Figure::new(PART, "one writer, a call an event", "events/s", called.rates);
    results.figures.push(beside(calls, theirs.rates));
    results.figures.push(beside(Figure::new(PART, "one writer, median", "us", streamed.p50), theirs.p50.clone()));
    results
        .figures
        .push(beside(Figure::new(PART, "one writer, a call an event, median", "us", called.p50), theirs.p50));
    results.figures.push(beside(Figure::new(PART, "one writer, 99 of 100 within", "us", streamed.p99), theirs.p99));
    results.figures.extend(split.figures());
    let streaming = Figure::new(PART, format!("{WRITERS} writers streaming, folded"), "events/s", streams);
    results.figures.push(beside(streaming.with_goal(Goal::ValueAtLeast(20_000.0)), their_streams));
    Ok(results)
}

/// Figures of one writer, a number a round.
#[derive(Default)]
struct Single {
    rates: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Single {
    fn add(&mut self, times: &Times) {
        self.rates.push(1e6 / times.mean_us());
        self.p50.push(times.percentile_us(50));
        self.p99.push(times.percentile_us(99));
    }
}

/// Where the time of one append goes, as means in microseconds, a number a round.
#[derive(Default)]
struct Split {
    verify: Vec<f64>,
    fsync: Vec<f64>,
    fold: Vec<f64>,
    rest: Vec<f64>,
}

impl Split {
    fn add(&mut self, all: &Times, door: &Times, spans: &Spans) {
        let (verify, fsync, fold) = (door.mean_us(), spans.appends.mean_us(), spans.folds.mean_us());
        self.verify.push(verify);
        self.fsync.push(fsync);
        self.fold.push(fold);
        self.rest.push(all.mean_us() - verify - fsync);
    }

    fn figures(self) -> [Figure; 4] {
        let mean = |what: &str, rounds| Figure::new(PART, format!("mean share of {what}"), "us", rounds);
        [
            mean("the wire, and of handing over", self.rest),
            mean("decoding and verifying at the door", self.verify),
            mean("write and fsync", self.fsync),
            mean("the fold, while the disk takes it in", self.fold),
        ]
    }
}

/// A fresh ledger with its writers.
struct Ledger {
    replica: Arc<Replica>,
    log: Arc<Timed>,
    id: [u8; 32],
    random: Random,
    folder: tempfile::TempDir,
}

impl Ledger {
    fn new() -> anyhow::Result<Self> {
        let folder = temporary_folder()?;
        let db = folder.path().join("db");
        // An hour ago, so that no clock runs backwards.
        let (entries, id) = Life::opening(SystemClock.now_ms() - 3_600_000, WRITERS);
        write_log(&db, entries.into_iter().map(|entry| (entry.time_ms, entry.value)))?;
        let store = Store::open(&db, &Options::default())?;
        let log = Arc::new(Timed::new(Embedded::open(store.clone(), Arc::new(SystemClock))?));
        let replica = Replica::open(store, log.clone(), ReplicaOptions::default())?;
        if replica.counts().refused + replica.counts().garbage > 0 {
            anyhow::bail!("the opening of the bench's ledger was refused");
        }
        Ok(Self { replica, log, id, random: Random(7), folder })
    }

    /// Events of a writer who has seen the tree as it is now.
    fn sign(&mut self, writer: usize, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
        sign(&self.replica, &self.id, &mut self.random, writer, count)
    }
}

/// Events of a writer who has seen the replica's tree as it is now.
pub fn sign(
    replica: &Replica,
    ledger: &[u8; 32],
    random: &mut Random,
    writer: usize,
    count: usize,
) -> anyhow::Result<Vec<Vec<u8>>> {
    let head = replica.head()?;
    let seen = Seen { size: head.size, root: head.entry_root };
    let (name, now_ms) = (writer_name(writer), SystemClock.now_ms());
    let key = key(&name);
    let mut events = Vec::with_capacity(count);
    for _ in 0..count {
        let body = DocumentsIngested {
            collection: "tickets".into(),
            pack: random.bytes::<16>().to_vec(),
            commitments: (0..DOCUMENTS).map(|_| random.bytes::<32>().to_vec()).collect(),
        };
        let id = uuid::Uuid::now_v7().into_bytes();
        events.push(draft(ledger, &name, id, now_ms, Some(seen.clone()), Body::DocumentsIngested(body)));
    }
    Ok(events.par_iter().map(|event| key.sign_event(event)).collect())
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.replica.shut_down();
    }
}

/// A gateway on a Unix socket.
pub struct Server {
    /// The socket.
    pub socket: PathBuf,
    stop: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<Result<(), attestune_gateway::ServeError>>,
}

impl Server {
    /// Serves a replica of a bench.
    pub async fn start(replica: Arc<Replica>, socket: &Path) -> anyhow::Result<Self> {
        let gateway = Gateway {
            replica,
            vault: None,
            key: key(GATEWAY),
            actor: GATEWAY.into(),
            published: None,
            log: Default::default(),
            pairings: Arc::default(),
            serving: None,
        };
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(attestune_gateway::serve_uds(gateway, socket.to_owned(), stopped));
        while !socket.exists() && !serving.is_finished() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Ok(Self { socket: socket.to_owned(), stop, serving })
    }

    /// A connection of its own.
    pub async fn connect(&self) -> anyhow::Result<Channel> {
        connect::to_socket(&self.socket).await
    }

    /// Ends it; connections must be gone.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        Ok(self.serving.await??)
    }
}

/// How the single writer appends.
#[derive(Clone, Copy)]
enum Way {
    /// Each event on one stream, as PostgreSQL's client keeps a connection with a prepared statement.
    Stream,
    /// A call an event.
    Calls,
}

/// One writer, who waits for each receipt, in a thread of its own as in a process of its own: the time of each append.
async fn single(ledger: &mut Ledger, server: &Server, way: Way) -> anyhow::Result<Times> {
    let envelopes = ledger.sign(0, SINGLE)?;
    let socket = server.socket.clone();
    let writer = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = LedgerClient::new(connect::to_socket(&socket).await?);
            match way {
                Way::Stream => streamed(client, envelopes).await,
                Way::Calls => called(client, envelopes).await,
            }
        })
    };
    tokio::task::spawn_blocking(writer).await?
}

async fn called(mut client: LedgerClient<Channel>, envelopes: Vec<Vec<u8>>) -> anyhow::Result<Times> {
    let mut times = Times::default();
    for envelope in envelopes {
        let began = Instant::now();
        let receipt = client.append(AppendRequest { envelope }).await?.into_inner();
        times.push(began.elapsed());
        accepted(&receipt)?;
    }
    Ok(times)
}

async fn streamed(mut client: LedgerClient<Channel>, envelopes: Vec<Vec<u8>>) -> anyhow::Result<Times> {
    let (send, requests) = mpsc::channel(1);
    let mut receipts = client.append_stream(ReceiverStream::new(requests)).await?.into_inner();
    let mut times = Times::default();
    for envelope in envelopes {
        let began = Instant::now();
        send.send(AppendRequest { envelope }).await?;
        let receipt = receipts.message().await?.context("the stream of receipts ended")?;
        times.push(began.elapsed());
        accepted(&receipt)?;
    }
    Ok(times)
}

/// Appends without gRPC: the time at the door, from the call to the append to the log.
fn direct(ledger: &mut Ledger) -> anyhow::Result<Times> {
    let envelopes = ledger.sign(0, DIRECT)?;
    ledger.log.take();
    let mut calls = Vec::with_capacity(DIRECT);
    for envelope in envelopes {
        calls.push(Instant::now());
        ledger.replica.append(vec![envelope])?.iter().try_for_each(accepted)?;
    }
    let began = ledger.log.take().appends_began;
    Ok(calls.into_iter().zip(began).map(|(call, append)| append.duration_since(call)).collect())
}

/// Many writers, each streaming events that were signed before on a connection of its own: receipts a second.
async fn streaming(ledger: &mut Ledger, server: &Server) -> anyhow::Result<f64> {
    let mut writers = Vec::with_capacity(WRITERS);
    for writer in 0..WRITERS {
        let requests: Vec<_> =
            ledger.sign(writer, STREAMED)?.into_iter().map(|envelope| AppendRequest { envelope }).collect();
        writers.push((LedgerClient::new(server.connect().await?), requests));
    }
    let began = Instant::now();
    let mut streams = JoinSet::new();
    for (mut client, requests) in writers {
        streams.spawn(async move {
            let mut receipts = client.append_stream(tokio_stream::iter(requests)).await?.into_inner();
            let mut count = 0;
            while let Some(receipt) = receipts.message().await? {
                accepted(&receipt)?;
                count += 1;
            }
            anyhow::Ok(count)
        });
    }
    let mut receipts = 0;
    while let Some(count) = streams.join_next().await {
        receipts += count??;
    }
    let seconds = began.elapsed().as_secs_f64();
    if receipts != WRITERS * STREAMED {
        anyhow::bail!("{receipts} receipts came for {} events", WRITERS * STREAMED);
    }
    Ok(receipts as f64 / seconds)
}

fn accepted(receipt: &Receipt) -> anyhow::Result<()> {
    match receipt.verdict() {
        Verdict::Accepted => Ok(()),
        _ => anyhow::bail!("an event of the bench was not accepted: {:?}", receipt.refusal),
    }
}
