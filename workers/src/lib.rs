//! The worker runner and one module per worker.
