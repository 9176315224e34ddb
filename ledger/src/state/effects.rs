//! What an accepted event changes: ordered writes, as data.

use super::{RowKey, Uses};
use attestune_proto::v1::PositionRow;
use prost::Message;
use sha2::{Digest as _, Sha256};

/// One row's new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The row's name.
    pub row: Vec<u8>,
    /// Its value, an encoded message of `state.proto`.
    pub value: Vec<u8>,
}

/// The writes of one event, in order. Rows are never taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    writes: Vec<Write>,
}

impl Effects {
    /// None.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a write.
    pub fn put<R: Message>(&mut self, row: &RowKey<R>, value: &R) {
        self.writes.push(Write { row: row.as_bytes().to_vec(), value: value.encode_to_vec() });
    }

    /// The same, in a chain.
    #[must_use]
    pub fn and<R: Message>(mut self, row: &RowKey<R>, value: &R) -> Self {
        self.put(row, value);
        self
    }

    /// Adds all of another's writes behind its own.
    #[must_use]
    pub fn and_all(mut self, other: Self) -> Self {
        self.writes.extend(other.writes);
        self
    }

    /// Notes what the thing at a position was made from, so that lineage finds it from there.
    #[must_use]
    pub fn made_from(mut self, position: u64, sources: impl IntoIterator<Item = u64>) -> Self {
        for source in sources {
            self.put(&Uses::key(source, position), &PositionRow { position });
        }
        self
    }

    /// The writes.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// The writes, given away.
    pub fn into_writes(self) -> Vec<Write> {
        self.writes
    }

    /// SHA-256 over [`Effects::bytes`].
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for write in &self.writes {
            for part in [&write.row, &write.value] {
                hash.update((part.len() as u32).to_be_bytes());
                hash.update(part);
            }
        }
        hash.finalize().into()
    }

    /// `len(row) ‖ row ‖ len(value) ‖ value` of each write, lengths in 4 bytes big-endian.
    pub fn bytes(&self) -> Vec<u8> {
        let parts = self.writes.iter().flat_map(|write| [&write.row, &write.value]);
        parts.flat_map(|part| (part.len() as u32).to_be_bytes().into_iter().chain(part.iter().copied())).collect()
    }

    /// Reads [`Effects::bytes`]; none if they are cut off.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut part = || {
            let (length, rest) = bytes.split_first_chunk::<4>()?;
            let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            bytes = rest;
            Some((part.to_vec(), rest.is_empty()))
        };
        let mut effects = Self::none();
        loop {
            let Some((row, _)) = part() else { return effects.writes.is_empty().then_some(effects) };
            let (value, last) = part()?;
            effects.writes.push(Write { row, value });
            if last {
                return Some(effects);
            }
        }
    }
}
