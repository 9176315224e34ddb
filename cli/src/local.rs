//! The ledger opened inside this process: store, log, replica, vault, gateway and, on demand, the workers.

use crate::{context::load_key, folder::Folder, pii::Settings, problem, vault};
use attestune_gateway::{Gateway, InProcess};
use attestune_ledger::{
    envelope::SigningKey,
    log::{Copied, Embedded, EventLog, Kafka, SystemClock, followed_topic},
    replica::{Replica, ReplicaOptions},
    store::{Options, Store, StoreError},
    vault::Vault,
};
use attestune_trainer::device::Device;
use attestune_workers::{BaseModels, Evaluator, Monitor, Pii, Quality, Scheduler, Signer, Trainer, Worker};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use std::time::{Duration, Instant};
use tonic::transport::Channel;

/// How long closing waits for whoever still uses the store: a call that nobody waits for any more, a worker in a step.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// The actor and key file of the scheduler.
const SCHEDULER: &str = "scheduler";
/// The actor and key file of the monitor.
const MONITOR: &str = "monitor";

/// A ledger opened in this process, and the channel to its gateway.
pub struct Local {
    /// The replica.
    pub replica: Arc<Replica>,
    /// The vault.
    pub vault: Arc<Vault>,
    /// The gateway behind [`Local::channel`].
    pub gateway: Gateway,
    /// Calls to the gateway.
    pub channel: Channel,
    server: Option<InProcess>,
    store: Arc<Store>,
    folder: Folder,
}

impl Local {
    /// Opens the folder; the log must begin with the pinned ledger, if there is a pin.
    ///
    /// # Errors
    /// If another process has it open, it is damaged, or its ledger is not the pinned one.
    pub async fn open(folder: &Folder, pin: Option<[u8; 32]>) -> anyhow::Result<Self> {
        let gateway_key = load_key(&folder.server_key("gateway"))?;
        let checkpoint_key = load_key(&folder.server_key("checkpoint"))?;
        let (store, replica) = {
            let folder = folder.clone();
            tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
                let store = open_store(&folder)?;
                let log = log_of(&folder, &store)?;
                let options = ReplicaOptions { checkpoint_key: Some(checkpoint_key), pin };
                let replica = Replica::open(store.clone(), log, options)?;
                Ok((store, replica))
            })
            .await??
        };
        let vault = vault::of_folder(folder).await?;
        let gateway = Gateway {
            replica: replica.clone(),
            vault: Some(vault.clone()),
            key: gateway_key,
            actor: "gateway".into(),
            published: None,
            log: attestune_gateway::LogPages::default(),
            pairings: Arc::default(),
            serving: None,
        };
        let (channel, server) = attestune_gateway::serve_in_process(gateway.clone()).await?;
        Ok(Self { replica, vault, gateway, channel, server: Some(server), store, folder: folder.clone() })
    }

    /// Stops the server and the fold, and closes the store: from then on nothing of this process writes into the
    /// folder, and another may open it.
    ///
    /// # Errors
    /// If somebody still uses the store after five seconds; it is closed once that ends.
    pub async fn close(mut self) -> anyhow::Result<()> {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
        let (mut store, folder) = (self.store.clone(), self.folder.clone());
        tokio::task::spawn_blocking(move || drop(self)).await?;
        let until = Instant::now() + CLOSE_WAIT;
        loop {
            // Only whoever holds the last one closes RocksDB, and knows when that is done.
            store = match Arc::try_unwrap(store) {
                Ok(last) => return Ok(tokio::task::spawn_blocking(move || drop(last)).await?),
                Err(shared) if Instant::now() < until => shared,
                Err(_) => {
                    return Err(problem::cannot(
                        format!("{} is still in use inside this process", folder.path().display()),
                        "it is free once this command has ended",
                    ));
                }
            };
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Starts the workers in threads of their own, trainer and evaluator on `device`; they stop when the handle is dropped.
    pub fn work(&self, device: &Device) -> anyhow::Result<Working> {
        let stop = Arc::new(AtomicBool::new(false));
        let models = BaseModels::new(self.folder.model_paths()?);
        let mut workers: Vec<(&str, Box<dyn Worker + Send>)> = vec![
            ("scanner", Box::new(Pii::new(Settings::of(&self.folder).scanner()?))),
            ("checker", Box::new(Quality::default())),
            ("trainer", Box::new(Trainer::new(models.clone()).on(device.clone()))),
            ("evaluator", Box::new(Evaluator::new(models).on(device.clone()))),
        ];
        // These only where one was hired: `init` registers none.
        if self.folder.server_key(SCHEDULER).exists() {
            workers.push((SCHEDULER, Box::new(Scheduler)));
        }
        if self.folder.server_key(MONITOR).exists() {
            // Models of its own: it needs their embeddings alone, and must not push out what is trained.
            let models = BaseModels::new(self.folder.model_paths()?);
            workers.push((MONITOR, Box::new(Monitor::new(models, Settings::of(&self.folder).scanner()?))));
        }
        let runtime = tokio::runtime::Handle::current();
        let mut threads = Vec::new();
        for (actor, worker) in workers {
            let signer = Signer { actor: actor.into(), key: load_key(&self.folder.server_key(actor))? };
            let context =
                attestune_workers::Context::new(self.replica.clone(), self.vault.clone(), signer, runtime.clone());
            let stop = stop.clone();
            threads.push(std::thread::spawn(move || attestune_workers::run(worker, &context, &stop)));
        }
        Ok(Working { stop, threads })
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.replica.shut_down();
    }
}

/// Opens store, log and replica of a folder, to look at what is there: where the log is on Kafka, the copy of it.
pub fn open_replica(
    folder: &Folder,
    checkpoint_key: Option<SigningKey>,
    pin: Option<[u8; 32]>,
) -> anyhow::Result<Arc<Replica>> {
    let store = open_store(folder)?;
    let log = own_log(&store)?;
    Ok(Replica::open(store, log, ReplicaOptions { checkpoint_key, pin })?)
}

/// The folder's log: on Kafka if it is noted so.
fn log_of(folder: &Folder, store: &Arc<Store>) -> anyhow::Result<Arc<dyn EventLog>> {
    match folder.kafka()? {
        Some(kafka) => Ok(Arc::new(Kafka::open(store.clone(), kafka.config()?)?)),
        None => own_log(store),
    }
}

/// The log in the store; one that is the copy of a topic can be read only.
fn own_log(store: &Arc<Store>) -> anyhow::Result<Arc<dyn EventLog>> {
    Ok(match followed_topic(store)? {
        None => Arc::new(Embedded::open(store.clone(), Arc::new(SystemClock))?),
        Some(_) => Arc::new(Copied::open(store.clone())?),
    })
}

/// Opens the store of a folder.
///
/// # Errors
/// If another process has it open, or it is damaged.
pub fn open_store(folder: &Folder) -> anyhow::Result<Arc<Store>> {
    // RocksDB takes a folder without its file CURRENT for an empty one, and sweeps away what lies in it.
    if folder.exists() && !folder.db().join("CURRENT").exists() {
        return Err(problem::cannot(
            format!("damaged store in {}: its file CURRENT is gone", folder.db().display()),
            "nothing was changed: keep the folder as it is and restore its db from a backup",
        ));
    }
    Store::open(folder.db(), &Options::default()).map_err(|error| match error {
        StoreError::LockedByAnother { .. } => problem::cannot(
            format!("another process has {} open", folder.path().display()),
            "if that is `attestune up`, wait until it is ready and try again; else wait until the other command ends",
        ),
        other => anyhow::Error::new(other),
    })
}

/// Workers at work in this process.
pub struct Working {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<Result<(), attestune_workers::WorkerError>>>,
}

impl Working {
    /// Why a worker stopped by itself, if one did.
    pub fn failure(&mut self) -> Option<String> {
        let ended = self.threads.iter().position(std::thread::JoinHandle::is_finished)?;
        Some(match self.threads.swap_remove(ended).join() {
            Ok(Ok(())) => "it ended by itself".into(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked".into(),
        })
    }

    /// Lets each worker end what it does, and waits for that.
    pub async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                match thread.join() {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(%error, "a worker failed"),
                    Err(_) => tracing::warn!("a worker panicked"),
                }
            }
        });
        if let Err(error) = joined.await {
            tracing::warn!(%error, "could not wait for the workers");
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    async fn attestune(folder: &Folder, command: &[&str]) -> anyhow::Result<()> {
        let path = folder.path().to_str().unwrap();
        let line = ["attestune", "--folder", path].into_iter().chain(command.iter().copied());
        crate::run(&crate::Cli::parse_from(line)).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_is_free_as_soon_as_a_command_has_ended() {
        let path = tempfile::tempdir().unwrap();
        let folder = Folder::new(path.path());
        attestune(&folder, &["init", "test", "--root", "ada=Ada Okafor", "--root", "ben=Ben Lindqvist"]).await.unwrap();
        for _ in 0..50 {
            drop(Store::open(folder.db(), &Options::default()).expect("it is free"));
            attestune(&folder, &["key", "list"]).await.unwrap();
        }
        drop(Store::open(folder.db(), &Options::default()).expect("it is free"));
        attestune(&folder, &["--as", "ada", "role", "grant", "nobody", "steward"]).await.unwrap_err();
        drop(Store::open(folder.db(), &Options::default()).expect("it is free after an error, too"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_failed_init_has_closed_what_it_removes() {
        let path = tempfile::tempdir().unwrap();
        let folder = Folder::new(path.path());
        for _ in 0..20 {
            let error = attestune(&folder, &["init", "test", "--root", "Ada=Ada Okafor"]).await.unwrap_err();
            assert!(error.to_string().contains("a root actor is not an identifier"), "{error}");
            assert!(!folder.db().exists() && !folder.unfinished(), "nothing is left");
        }
    }
}
