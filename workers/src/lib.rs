//! The workers: they react to what stands on the log by appending, and keep nothing of their own.
//!
//! What there is to do is read from the state, so a worker may die and start again at any moment. It holds no rules:
//! whether its act counts is decided by the fold.
//!
//! ```no_run
//! # fn example(context: attestune_workers::Context) -> Result<(), attestune_workers::WorkerError> {
//! use std::sync::{Arc, atomic::AtomicBool};
//!
//! let stop = Arc::new(AtomicBool::new(false));
//! attestune_workers::run(Box::new(attestune_workers::Pii::default()), &context, &stop)
//! # }
//! ```

pub mod allow_list;
mod bases;
mod checker;
mod context;
mod error;
mod evaluator;
pub mod example;
pub mod experiment;
mod leakage;
mod lease;
mod monitor;
mod pii;
pub mod quality;
mod runner;
mod scheduler;
mod share;
mod trainer;

pub use bases::BaseModels;
pub use checker::{CHECKER_NAME, CHECKER_VERSION, Quality};
pub use context::{Context, Outcome, Signer};
pub use error::WorkerError;
pub use evaluator::{Evaluator, adapter_config};
pub use monitor::{MONITOR_NAME, MONITOR_VERSION, Monitor};
pub use pii::Pii;
pub use runner::{Progress, Worker, run};
pub use scheduler::Scheduler;
pub use share::{Group, Held, Limits, Share};
pub use trainer::{Trainer, settings, train_config};
