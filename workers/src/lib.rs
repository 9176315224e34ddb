//! The worker runner and one module per worker.

pub mod quality;
