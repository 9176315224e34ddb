//! The ledger: events, signatures, rules, state, trees, logs, replica, vault, queries.

pub mod tree;
