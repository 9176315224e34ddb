//! The ledger of Attestune: signed events on an append-only log, the rules that fold them, the state that comes of it,
//! and the proofs.
//!
//! Without features this is the pure core: no RocksDB, no Kafka, no tokio, no clock. The offline verifier and the
//! fuzzers build on that. Feature `store` adds what a replica keeps: RocksDB, the embedded log, the vault, queries.
//! It knows nothing of HTTP, gRPC or models.
//!
//! ```
//! use attestune_ledger::{envelope::SigningKey, state::MemoryState};
//! use attestune_proto::v1::Verdict;
//!
//! let mut replica = MemoryState::new();
//! let folded = replica.push(1_700_000_000_000, b"no event".to_vec())?;
//! assert_eq!(folded.verdict, Verdict::Garbage);
//! assert_eq!(folded.code(), "not-an-envelope");
//! assert_eq!(SigningKey::from_seed([1; 32]).keyid().len(), 32);
//! # Ok::<(), attestune_ledger::state::ReadFailed>(())
//! ```

#[cfg(feature = "store")]
pub mod assignment;
pub mod draft;
pub mod envelope;
pub mod evidence;
#[cfg(feature = "store")]
pub mod keyfile;
pub mod log;
#[cfg(feature = "kafka")]
pub mod publish;
pub mod query;
pub mod refusal;
#[cfg(feature = "store")]
pub mod replica;
pub mod rules;
pub mod state;
#[cfg(feature = "store")]
pub mod store;
pub mod time;
pub mod tree;
#[cfg(feature = "store")]
pub mod vault;
