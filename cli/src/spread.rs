//! The parts of a ledger that is spread over machines: `gateway`, `worker`, `trainer`. Each has a replica of its own that
//! follows the log on Kafka; nothing coordinates them but the log.

use crate::{
    context::{Context, Signer, load_key},
    cosigned::LogArgs,
    device::DeviceArgs,
    folder::{self, Folder},
    kafka_args::KafkaArgs,
    local::open_store,
    pii::{self, Settings},
    problem,
    publish::PublishArgs,
    running::{Signals, failed},
    serving::{self, ServeArgs},
    vault,
};
use anyhow::Context as _;
use attestune_gateway::{Gateway, ServeError, serve_pages, serve_tcp};
use attestune_ledger::{
    envelope::SigningKey,
    log::{Kafka, kafka::Group},
    replica::{Replica, ReplicaOptions},
    vault::Vault,
};
use attestune_workers::{
    BaseModels, Evaluator, Limits, Monitor, Pii, Quality, Scheduler, Share, Trainer, Worker, WorkerError,
};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What every part is told.
#[derive(clap::Args)]
struct Part {
    #[command(flatten)]
    kafka: KafkaArgs,
    /// The folder of this part's own replica; made where there is none
    #[arg(long, value_name = "FOLDER")]
    replica: PathBuf,
    /// The ledger's id, known from outside; without it the first that is followed is noted and held
    #[arg(long, value_name = "HEX", value_parser = |text: &str| folder::hash(text).map_err(|error| error.to_string()))]
    ledger_id: Option<[u8; 32]>,
    /// Where the texts lie: file:///PATH or s3://BUCKET/PREFIX
    #[arg(long, env = "ATTESTUNE_VAULT", value_name = "URL")]
    vault: String,
}

#[derive(clap::Args)]
pub struct GatewayArgs {
    #[command(flatten)]
    part: Part,
    /// Where programs reach it, by gRPC and for /metrics; loopback only, as it is plain text
    #[arg(long, default_value = "127.0.0.1:7400", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The key that signs checkpoints; one gateway of a ledger holds it
    #[arg(long, value_name = "FILE")]
    checkpoint_key: Option<PathBuf>,
    #[command(flatten)]
    publish: PublishArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(clap::Args)]
pub struct WorkerArgs {
    /// What it does
    #[arg(value_enum)]
    name: WorkerName,
    #[command(flatten)]
    work: Work,
    #[command(flatten)]
    device: DeviceArgs,
    /// For the workers pii and monitor
    #[command(flatten)]
    settings: Settings,
}

#[derive(clap::Args)]
pub struct TrainerArgs {
    #[command(flatten)]
    work: Work,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Copy, Clone, clap::ValueEnum)]
enum WorkerName {
    /// Scans examples for personal data
    Pii,
    /// Checks their quality, and suites for leakage
    Quality,
    /// Runs evaluations
    Evaluator,
    /// Has models trained anew when their schedules say so
    Scheduler,
    /// Watches what is served: judges answers, compares inputs with the training set, raises alerts
    Monitor,
}

#[derive(clap::Args)]
struct Work {
    #[command(flatten)]
    part: Part,
    /// The folder of base models: GGUF files, or folders of safetensors
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// Serve /metrics, /healthz and /readyz there; loopback only
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

/// `attestune gateway`: gRPC over a replica of its own.
pub async fn gateway(context: &Context, args: &GatewayArgs) -> anyhow::Result<()> {
    let signer = match context.key_file() {
        Some(path) if !context.acts() => Signer { actor: "gateway".into(), key: load_key(&path)? },
        _ => context.signer()?,
    };
    let checkpoint_key = args.checkpoint_key.as_deref().map(load_key).transpose()?;
    let signals = Signals::listen()?;
    let (replica, vault) = open(&args.part, checkpoint_key).await?;
    let (stop, stopped) = watch::channel(false);
    let mut servers = JoinSet::new();
    let publishing = args.publish.start(&replica, &args.part.kafka)?;
    let serving = args.serve.start(&replica, &vault, &signer, Vec::new())?;
    let gateway = Gateway {
        replica: replica.clone(),
        vault: Some(vault),
        key: signer.key,
        actor: signer.actor,
        published: publishing.as_ref().map(|publishing| publishing.published.clone()),
        log: args.log.pages(&replica)?,
        pairings: Arc::default(),
        serving: serving.clone(),
    };
    servers.spawn(serve_tcp(gateway, args.listen, stopped));
    eprintln!("the gateway is up at position {}: http://{}", replica.position(), args.listen);
    let outcome = tokio::select! {
        () = signals.come() => Ok(()),
        ended = ended(&mut servers) => ended,
        why = failed(&replica) => Err(problem::cannot(
            format!("the replica stopped: {why}"),
            "keep its folder as it is; `attestune doctor --kafka` looks at topic and brokers",
        )),
    };
    stop.send_replace(true);
    while servers.join_next().await.is_some() {}
    serving::stop(serving).await?;
    if let Some(publishing) = publishing {
        publishing.stop().await;
    }
    close(replica).await?;
    outcome
}

/// `attestune worker`: one of the workers, at whatever waits for it.
pub async fn worker(context: &Context, args: &WorkerArgs) -> anyhow::Result<()> {
    let device = args.device.open()?;
    if device.is_card() && !matches!(args.name, WorkerName::Evaluator) {
        return Err(problem::cannot("this worker computes on no card", "leave --device out"));
    }
    if args.settings.given() && !matches!(args.name, WorkerName::Pii | WorkerName::Monitor) {
        return Err(problem::cannot("this worker looks for no personal data", "leave --config and --recognizers out"));
    }
    let worker: Box<dyn Worker + Send> = match args.name {
        WorkerName::Pii => {
            let scanner = args.settings.scanner()?;
            eprintln!("it scans as {}", pii::detector(&scanner));
            Box::new(Pii::new(scanner))
        }
        WorkerName::Quality => Box::new(Quality::default()),
        WorkerName::Evaluator => Box::new(Evaluator::new(args.work.bases()?).on(device)),
        WorkerName::Scheduler => Box::new(Scheduler),
        WorkerName::Monitor => Box::new(Monitor::new(args.work.bases()?, args.settings.scanner()?)),
    };
    work(context, &args.work, worker).await
}

/// `attestune trainer`: trains what is requested, by lease.
pub async fn trainer(context: &Context, args: &TrainerArgs) -> anyhow::Result<()> {
    let device = args.device.open()?;
    work(context, &args.work, Box::new(Trainer::new(args.work.bases()?).on(device))).await
}

async fn work(context: &Context, args: &Work, worker: Box<dyn Worker + Send>) -> anyhow::Result<()> {
    let signer = context.signer()?;
    let signals = Signals::listen()?;
    let (replica, vault) = open(&args.part, None).await?;
    let name = worker.name();
    let config = args.part.kafka.config()?;
    let share = worker.shares().map(|version| Group::new(&config, name, version));
    let share = share.map(|group| Share::of(Box::new(group), Limits::default()));
    let (stop, stopped) = watch::channel(false);
    let mut servers = JoinSet::new();
    if let Some(listen) = args.listen {
        let held = share.as_ref().map(Share::held);
        servers.spawn(serve_pages(replica.clone(), Some(vault.clone()), held, listen, stopped));
    }
    let runtime = tokio::runtime::Handle::current();
    let signer = attestune_workers::Signer { actor: signer.actor, key: signer.key };
    let desk =
        attestune_workers::Context::new(replica.clone(), vault, signer, runtime).sharing(share.unwrap_or_default());
    let stopping = Arc::new(AtomicBool::new(false));
    let told_thread = stopping.clone();
    let mut thread = tokio::task::spawn_blocking(move || attestune_workers::run(worker, &desk, &told_thread));
    eprintln!("the worker {name} is at position {}", replica.position());
    let outcome = tokio::select! {
        () = signals.come() => None,
        ended = ended(&mut servers), if !servers.is_empty() => Some(ended),
        done = &mut thread => Some(worked(done)),
    };
    // What is under way is ended, or given up at its next step.
    stopping.store(true, Ordering::Relaxed);
    stop.send_replace(true);
    let outcome = match outcome {
        Some(outcome) if thread.is_finished() => outcome,
        Some(outcome) => outcome.and(worked(thread.await)),
        None => worked(thread.await),
    };
    while servers.join_next().await.is_some() {}
    close(replica).await?;
    outcome
}

fn worked(done: Result<Result<(), WorkerError>, tokio::task::JoinError>) -> anyhow::Result<()> {
    Ok(done.context("the worker's thread died")??)
}

impl Work {
    fn bases(&self) -> anyhow::Result<BaseModels> {
        let Some(folder) = &self.models else {
            return Err(problem::cannot("no base models are named", "say where they lie: --models FOLDER"));
        };
        Ok(BaseModels::new(models_in(folder)?))
    }
}

/// The base models in a folder: GGUF files, and folders.
///
/// # Errors
/// If it can't be read.
pub fn models_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read the folder of base models {}", folder.display());
    let entries = std::fs::read_dir(folder).with_context(cannot)?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().with_context(cannot)?;
    paths.retain(|path| path.is_dir() || path.extension().is_some_and(|ending| ending == "gguf"));
    paths.sort();
    Ok(paths)
}

/// Opens the replica and folds what is on the topic.
async fn open(part: &Part, checkpoint_key: Option<SigningKey>) -> anyhow::Result<(Arc<Replica>, Arc<Vault>)> {
    let config = part.kafka.config()?;
    let vault = vault::open(&part.vault).await?;
    let noted = noted(&part.replica)?;
    let pin = part.ledger_id.or(noted);
    if let (Some(told), Some(noted)) = (part.ledger_id, noted)
        && told != noted
    {
        return Err(problem::cannot(
            format!("the replica in {} follows the ledger {}", part.replica.display(), hex::encode(noted)),
            "give this ledger a replica folder of its own: --replica FOLDER",
        ));
    }
    let folder = part.replica.clone();
    let replica = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let store = open_store(&Folder::new(&folder))?;
        let log = Arc::new(Kafka::open(store.clone(), config)?);
        Ok(Replica::open(store, log, ReplicaOptions { checkpoint_key, pin })?)
    })
    .await??;
    if noted.is_none()
        && let Ok(head) = replica.head()
    {
        folder::replace(&note(&part.replica), format!("{}\n", hex::encode(&head.ledger)).as_bytes())?;
    }
    Ok((replica, vault))
}

fn note(replica: &Path) -> PathBuf {
    replica.join("ledger.id")
}

/// The id of the ledger that this replica followed before.
fn noted(replica: &Path) -> anyhow::Result<Option<[u8; 32]>> {
    folder::line_in(&note(replica))?.map(|id| folder::hash(&id)).transpose()
}

/// Stops the fold and puts what is in memory into files.
async fn close(replica: Arc<Replica>) -> anyhow::Result<()> {
    eprintln!("stopping");
    Ok(tokio::task::spawn_blocking(move || replica.shut_down()).await?)
}

async fn ended(servers: &mut JoinSet<Result<(), ServeError>>) -> anyhow::Result<()> {
    match servers.join_next().await {
        Some(ended) => Ok(ended.context("the server's task died")??),
        None => Ok(()),
    }
}
