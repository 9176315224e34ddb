//! LoRA training, inference and evaluation of Llama-family models, on the CPU or (feature `cuda`) a card.
//!
//! Knows nothing of the ledger: files and texts in, adapters and transcripts out. On the CPU matrix
//! products are candle's; layers are fused and carry their own backward passes ([`train`] says what a
//! run promises). On a card all operations are candle's ([`device`]).
//!
//! ```
//! use std::ops::ControlFlow;
//! use attestune_trainer::{config::TrainConfig, generate::{Model, Stop}, model, train};
//!
//! let folder = tempfile::tempdir()?;
//! model::write_tiny_model(folder.path(), 7)?;
//! let base = model::BaseModel::load(folder.path())?;
//! let examples = [train::TrainExample { prompt: "where is my card?\nIntent:".into(), answer: " card".into() }];
//! let trained = train::train(&base, &examples, &TrainConfig::default(), |_| ControlFlow::Continue(()))?;
//! let model = Model::new(&base, Some(&trained.adapter))?;
//! let answers = model.greedy(&["where?\nIntent:"], Stop { max_new_tokens: 8, at_newline: true })?;
//! assert_eq!(answers.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod adapter;
pub mod config;
pub mod device;
pub mod digest;
pub mod environment;
pub mod evaluate;
pub mod generate;
pub mod model;
mod nn;
#[cfg(any(test, feature = "plain"))]
pub mod plain;
pub mod plot;
pub mod rng;
pub mod serve;
pub mod train;
