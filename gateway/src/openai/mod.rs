//! Serving: OpenAI's API over versions that the log says are in force.
//!
//! Each request reads from the folded state which version answers it, so that a promotion, a rollback or a halt holds
//! from its position on, whatever this process was doing. A request under way ends on the version that it began with.
//! Beside it a thread follows the log: it makes ready what comes into force, says so on the log, and keeps the record of
//! requests.

mod answer;
mod canary;
mod choose;
mod engine;
mod error;
mod follow;
mod form;
mod outcome;
mod request;
mod retention;
mod routes;
mod versions;
mod windows;

pub use engine::{Ask, AskError, Engines, Event, Facts, LoadError, Loaded, Message, Source, Token};
pub use routes::routes;

use self::follow::Follower;
use self::versions::Versions;
use self::windows::Windows;
use attestune_ledger::draft::draft;
use attestune_ledger::envelope::SigningKey;
use attestune_ledger::log::{Clock as _, SystemClock};
use attestune_ledger::replica::Replica;
use attestune_ledger::vault::Vault;
use attestune_proto::v1::{Seen, Verdict, event::Body};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::runtime::Handle;

/// What answers, and follows the log for it.
pub struct Serving {
    replica: Arc<Replica>,
    vault: Arc<Vault>,
    key: SigningKey,
    actor: String,
    /// This server among those of its actor.
    server: String,
    runtime: Handle,
    versions: Versions,
    windows: Mutex<Windows>,
    /// Keys by which experiments share users out, by position.
    assignment_keys: Mutex<HashMap<u64, Vec<u8>>>,
    stopping: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Who serves.
pub struct Server {
    /// Signs what is said of what is served.
    pub key: SigningKey,
    /// The actor under which that key is registered.
    pub actor: String,
    /// The server's name among those of this actor, an identifier that it keeps when it starts again.
    pub name: String,
}

/// Why something is not on the log.
#[derive(Debug, thiserror::Error)]
enum ActError {
    /// The rules refused it; it stands as that.
    #[error("refused: {0}")]
    Refused(String),
    /// It did not get onto the log.
    #[error("{0}")]
    Failed(String),
}

impl Serving {
    /// Starts to serve: what is in force is made ready from now on. Called on a runtime, on which the vault is awaited.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        replica: Arc<Replica>,
        vault: Arc<Vault>,
        server: Server,
        engines: Box<dyn Engines>,
    ) -> std::io::Result<Arc<Self>> {
        let runtime = Handle::current();
        let serving = Arc::new(Self {
            versions: Versions::new(replica.clone(), vault.clone(), runtime.clone(), engines),
            replica,
            vault,
            key: server.key,
            actor: server.actor,
            server: server.name,
            runtime,
            windows: Mutex::default(),
            assignment_keys: Mutex::default(),
            stopping: AtomicBool::new(false),
            thread: Mutex::new(None),
        });
        let following = serving.clone();
        let thread = std::thread::Builder::new().name("serving".into());
        let thread = thread.spawn(move || Follower::new(&following).run())?;
        *serving.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(serving)
    }

    /// Stops to follow: what is held of requests is put on the log, and that this server serves no more. Blocks; the
    /// replica must still be up.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic of that thread was reported when it happened.
            let _ = thread.join();
        }
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs an event and appends it; answers its position if it is accepted. Blocks.
    fn act(&self, body: Body) -> Result<u64, ActError> {
        let failed = |error: &dyn std::fmt::Display| ActError::Failed(error.to_string());
        let head = self.replica.head().map_err(|error| failed(&error))?;
        let seen = Some(Seen { size: head.size, root: head.entry_root });
        let id = *uuid::Uuid::now_v7().as_bytes();
        let event = draft(&head.ledger, &self.actor, id, now_ms(), seen, body);
        let receipts = self.replica.append(vec![self.key.sign_event(&event)]).map_err(|error| failed(&error))?;
        let receipt = receipts.into_iter().next().unwrap_or_default();
        match receipt.verdict() {
            Verdict::Accepted => Ok(receipt.position),
            _ => {
                let refusal = receipt.refusal.unwrap_or_default();
                Err(ActError::Refused(format!("position {}, {}: {}", receipt.position, refusal.code, refusal.message)))
            }
        }
    }
}

/// What answers depend on besides the model: the engine's settings, and what is taken where a request says nothing.
fn settings(facts: &Facts) -> impl Iterator<Item = (String, String)> {
    let defaults = [
        ("default.temperature", "1".to_owned()),
        ("default.top_p", "1".to_owned()),
        ("default.max_tokens.completion", request::COMPLETION_TOKENS.to_string()),
        ("default.max_tokens.chat", request::CHAT_TOKENS.to_string()),
    ];
    let defaults = defaults.map(|(name, value)| (name.to_owned(), value));
    facts.settings.clone().into_iter().chain(defaults)
}

fn now_ms() -> u64 {
    SystemClock.now_ms()
}
