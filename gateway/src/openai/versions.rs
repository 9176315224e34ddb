//! The versions that are ready to answer: loaded when the log says so, or when somebody who may asks for one.

use super::canary::Canary;
use super::engine::{Engines, LoadError, Loaded, Source};
use attestune_ledger::replica::Replica;
use attestune_ledger::state::{Bases, Runs, Versions as VersionTable, View};
use attestune_ledger::vault::Vault;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// What could not be loaded is tried again after this long.
const REST: Duration = Duration::from_secs(5);
/// A version that nobody asked for in so long, and that is not in force, is let go.
const KEEP: Duration = Duration::from_secs(600);

/// A version that is ready.
pub struct Version {
    pub model: String,
    pub number: u32,
    pub adapter_digest: Vec<u8>,
    pub loaded: Arc<dyn Loaded>,
    pub canary: Canary,
    in_flight: AtomicU32,
}

/// A request on a version, until it is dropped.
pub struct InFlight(Arc<Version>);

impl Version {
    /// Counts a request that begins.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// Requests under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

impl std::ops::Deref for InFlight {
    type Target = Version;

    fn deref(&self) -> &Version {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a version is not ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// Another server has its base model.
    #[error("{0}")]
    NotHere(String),
    /// What the vault or the disk holds is not what the log names, or doesn't fit together.
    #[error("{0}")]
    Unfit(String),
    /// The state, or the vault, can't be read just now.
    #[error("{0}")]
    Unread(String),
}

/// All that are ready, and how to get more.
pub struct Versions {
    replica: Arc<Replica>,
    vault: Arc<Vault>,
    runtime: Handle,
    engines: Box<dyn Engines>,
    kept: Mutex<HashMap<(String, u32), Kept>>,
    /// One is loaded at a time: two would not fit a small machine.
    loading: Mutex<()>,
}

struct Kept {
    outcome: Result<Arc<Version>, Unready>,
    used: Instant,
}

impl Versions {
    pub fn new(replica: Arc<Replica>, vault: Arc<Vault>, runtime: Handle, engines: Box<dyn Engines>) -> Self {
        Self { replica, vault, runtime, engines, kept: Mutex::default(), loading: Mutex::default() }
    }

    /// The version, ready. Blocks while it is loaded; not to be called on the runtime's own threads.
    ///
    /// # Errors
    /// If it can't be loaded.
    pub fn ready(&self, model: &str, number: u32) -> Result<Arc<Version>, Unready> {
        if let Some(outcome) = self.known(model, number) {
            return outcome;
        }
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = self.known(model, number) {
            return outcome;
        }
        let outcome = self.load(model, number);
        if let Err(error) = &outcome {
            tracing::warn!(model, version = number, %error, "a version could not be made ready");
        }
        self.kept().insert((model.to_owned(), number), Kept { outcome: outcome.clone(), used: Instant::now() });
        outcome
    }

    /// Whether a version is ready, or was tried lately.
    pub fn has(&self, model: &str, number: u32) -> bool {
        self.known(model, number).is_some()
    }

    /// Lets go of what is neither named nor asked for.
    pub fn let_go(&self, but: &BTreeSet<(String, u32)>) {
        self.kept().retain(|name, kept| but.contains(name) || kept.outcome.is_ok() && kept.used.elapsed() < KEEP);
    }

    fn known(&self, model: &str, number: u32) -> Option<Result<Arc<Version>, Unready>> {
        let mut all = self.kept();
        let kept = all.get_mut(&(model.to_owned(), number))?;
        if kept.outcome.is_err() {
            return (kept.used.elapsed() < REST).then(|| kept.outcome.clone());
        }
        kept.used = Instant::now();
        Some(kept.outcome.clone())
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<(String, u32), Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self, model: &str, number: u32) -> Result<Arc<Version>, Unready> {
        let (source, adapter_digest) = self.source(model, number)?;
        let loaded = self.engines.load(&source).map_err(|error| match error {
            LoadError::NotHere(why) => Unready::NotHere(why),
            LoadError::Unfit(why) => Unready::Unfit(why),
        })?;
        Ok(Arc::new(Version {
            model: model.to_owned(),
            number,
            adapter_digest,
            loaded,
            canary: Canary::default(),
            in_flight: AtomicU32::new(0),
        }))
    }

    /// What a version is made of, its adapter compared with the log's digest.
    fn source(&self, model: &str, number: u32) -> Result<(Source, Vec<u8>), Unready> {
        let store = self.replica.view();
        let view = store.view();
        let missing =
            |what: &str| read(&view, || Unready::Unfit(format!("{what} of {model}@{number} is not in the state")));
        let version = view.get(&VersionTable::key(model, number)).ok_or_else(|| missing("the version"))?;
        let base = view.get(&Bases::key(version.base)).ok_or_else(|| missing("the base model"))?;
        let hyperparameters = match version.run {
            None => None,
            Some(run) => view.get(&Runs::key(run)).ok_or_else(|| missing("the run"))?.hyperparameters,
        };
        let sealed = version.adapter.unwrap_or_default();
        let opened = self.runtime.block_on(self.vault.open_one(&sealed.pack, &sealed.commitment));
        let adapter = opened.map_err(|error| Unready::Unread(format!("the adapter of {model}@{number}: {error}")))?;
        let found = Sha256::digest(&adapter);
        if found.as_slice() != version.adapter_digest {
            let (found, named) = (hex::encode(found), hex::encode(&version.adapter_digest));
            let why =
                format!("the adapter of {model}@{number} in the vault has SHA-256 {found}, the log names {named}");
            return Err(Unready::Unfit(why));
        }
        Ok((Source { weights_digest: base.weights_digest, adapter, hyperparameters }, version.adapter_digest))
    }
}

/// What is absent is so only if the state could be read.
fn read(view: &View<'_>, absent: impl FnOnce() -> Unready) -> Unready {
    view.failure().map_or_else(absent, |failure| Unready::Unread(failure.to_string()))
}
