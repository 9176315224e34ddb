//! The gateway: gRPC, pages and OpenAI's API over a replica. It decides nothing: the rules do, in the fold.
//!
//! It stops at the door what costs nothing to judge, checks the tokens of readers, and records each read of a text by
//! a person before it releases the text. Whatever it answers no to carries a stable reason as `google.rpc.ErrorInfo`.

mod access;
mod convert;
mod health;
mod http;
pub mod metrics;
pub mod openai;
mod pages;
mod pairing;
mod published;
mod reason;
mod serve;
mod services;
mod stop;
mod sweep;
mod tiles;
mod witness;

pub use http::{listen_tcp, serve_pages, serve_router};
pub use pairing::Pairings;
pub use published::Published;
pub use serve::{InProcess, ServeError, serve_in_process, serve_tcp, serve_uds};
pub use tiles::{Cosigned, LogPages};
pub use witness::{Witness, serve_witness};

use attestune_ledger::envelope::SigningKey;
use attestune_ledger::replica::Replica;
use attestune_ledger::vault::Vault;
use std::sync::Arc;

/// What a gateway serves, and who it is.
#[derive(Clone)]
pub struct Gateway {
    /// The replica whose state it shows.
    pub replica: Arc<Replica>,
    /// The vault, if this gateway may open texts.
    pub vault: Option<Arc<Vault>>,
    /// Signs what the gateway records.
    pub key: SigningKey,
    /// The actor under which that key is registered.
    pub actor: String,
    /// How far decided events are published, where this process publishes them or stands by.
    pub published: Option<Arc<Published>>,
    /// How the log is served as static resources.
    pub log: LogPages,
    /// Browsers that are being paired: one for all the ways on which it listens.
    pub pairings: Arc<Pairings>,
    /// What answers prompts, where this gateway serves models.
    pub serving: Option<Arc<openai::Serving>>,
}
