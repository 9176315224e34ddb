//! A whole replica's memory in ordered maps: for the offline verifier and the tests.

use super::{PolicyCache, ReadFailed, Reader};
use crate::refusal::Rejection;
use crate::rules::decode::{self, Decoded, Verify};
use crate::rules::{Folded, fold_decoded};
use crate::tree::{Hash, Subtrees};
use std::collections::BTreeMap;

/// Log, state and trees in memory. Feed it entries in order; it folds each.
#[derive(Debug, Default)]
pub struct MemoryState {
    /// Each row's versions, ascending by position.
    rows: BTreeMap<Vec<u8>, Vec<(u64, Vec<u8>)>>,
    ids: BTreeMap<(String, Vec<u8>), u64>,
    entries: Vec<(u64, Vec<u8>)>,
    fold_times: Vec<u64>,
    entry_tree: Subtrees,
    verdict_tree: Subtrees,
    policies: PolicyCache,
}

impl MemoryState {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Folds the next entry.
    ///
    /// # Errors
    /// If a row of this very memory does not decode, which a sound program never sees.
    pub fn push(&mut self, time_ms: u64, value: Vec<u8>) -> Result<Folded, ReadFailed> {
        let decoded = decode::decode(&value);
        self.push_decoded(time_ms, value, &decoded, &mut |envelope, key, index| {
            crate::envelope::verify(envelope, key, index)
        })
    }

    /// The same for a value that was decoded before, with a verifier that may remember what was verified in parallel.
    ///
    /// # Errors
    /// As [`MemoryState::push`].
    pub fn push_decoded(
        &mut self,
        time_ms: u64,
        value: Vec<u8>,
        decoded: &Result<Decoded, Rejection>,
        verify: Verify<'_>,
    ) -> Result<Folded, ReadFailed> {
        let position = self.entries.len() as u64;
        let folded = fold_decoded(self, position, time_ms, &value, decoded, verify)?;
        self.entries.push((time_ms, value));
        self.fold_times.push(folded.fold_time_ms);
        for write in folded.effects.writes() {
            let versions = self.rows.entry(write.row.clone()).or_default();
            match versions.last_mut() {
                Some((last, value)) if *last == position => value.clone_from(&write.value),
                _ => versions.push((position, write.value.clone())),
            }
        }
        if let Some((actor, id)) = &folded.uses_id {
            self.ids.insert((actor.clone(), id.clone()), position);
        }
        self.entry_tree.push(folded.leaf_hash);
        self.verdict_tree.push(folded.verdict_leaf(position));
        Ok(folded)
    }

    /// Entries folded.
    pub fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Every version of every row: name, position, value; in order of name, then position.
    pub fn all_rows(&self) -> impl Iterator<Item = (&[u8], u64, &[u8])> {
        self.rows.iter().flat_map(|(name, versions)| {
            versions.iter().map(move |(position, value)| (name.as_slice(), *position, value.as_slice()))
        })
    }
}

impl Reader for MemoryState {
    fn row(&self, row: &[u8], size: u64) -> Result<Option<Vec<u8>>, ReadFailed> {
        Ok(self.rows.get(row).and_then(|versions| as_of(versions, size)).cloned())
    }

    fn rows(&self, prefix: &[u8], size: u64, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), ReadFailed> {
        for (name, versions) in self.rows.range(prefix.to_vec()..).take_while(|(n, _)| n.starts_with(prefix)) {
            if let Some(value) = as_of(versions, size)
                && !visit(name, value)
            {
                break;
            }
        }
        Ok(())
    }

    fn id(&self, actor: &str, id: &[u8]) -> Result<Option<u64>, ReadFailed> {
        Ok(self.ids.get(&(actor.to_string(), id.to_vec())).copied())
    }

    fn entry(&self, position: u64) -> Result<Option<Vec<u8>>, ReadFailed> {
        Ok(self.entries.get(position as usize).map(|(_, value)| value.clone()))
    }

    fn fold_time(&self, position: u64) -> Result<Option<u64>, ReadFailed> {
        Ok(self.fold_times.get(position as usize).copied())
    }

    fn policies(&self) -> Option<&PolicyCache> {
        Some(&self.policies)
    }

    fn entry_root(&self, size: u64) -> Result<Option<Hash>, ReadFailed> {
        Ok(self.entry_tree.root(size))
    }

    fn verdict_root(&self, size: u64) -> Result<Option<Hash>, ReadFailed> {
        Ok(self.verdict_tree.root(size))
    }
}

/// The newest version below a size.
fn as_of(versions: &[(u64, Vec<u8>)], size: u64) -> Option<&Vec<u8>> {
    let older = versions.partition_point(|(position, _)| *position < size);
    versions.get(older.checked_sub(1)?).map(|(_, value)| value)
}
