//! One entry folded once more: what it wrote, which a store keeps under the rows' names only.

use super::reader::{StoreView, failed, read_decided, read_entry};
use crate::rules::decode::decode;
use crate::rules::fold_decoded;
use crate::state::{Effects, ReadFailed, Reader, RowKey};
use crate::tree::Hash;
use attestune_proto::v1::{DecidedRow, Verdict};

impl StoreView {
    /// What the entry at a position below the view's size wrote; nothing unless it was accepted.
    ///
    /// # Errors
    /// If it can't be read, or does not give what it gave when it was folded.
    pub fn effects_of(&self, position: u64) -> Result<Effects, ReadFailed> {
        let missing = || failed(format!("entry {position} is missing"));
        let decided: DecidedRow = read_decided(self.store(), position)?.ok_or_else(missing)?;
        if decided.verdict != Verdict::Accepted as i32 {
            return Ok(Effects::none());
        }
        let entry = read_entry(self.store(), position)?.ok_or_else(missing)?;
        let before = Before { view: self, size: position };
        // Its signatures held when it was folded: the verdict says so.
        let folded =
            fold_decoded(&before, position, entry.time_ms, &entry.value, &decode(&entry.value), &mut |_, _, _| true)?;
        let same = decided.effects_digest.is_empty() || decided.effects_digest == folded.effects_digest;
        if folded.verdict != Verdict::Accepted || !same {
            return Err(failed(format!("entry {position} does not fold to what it was folded to")));
        }
        Ok(folded.effects)
    }

    /// Positions at which a row was written, the newest first, none below `from`, `limit` at most.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn versions_from<R>(&self, row: &RowKey<R>, from: u64, limit: usize) -> Result<Vec<u64>, ReadFailed> {
        let Some(last) = self.size().checked_sub(1) else { return Ok(Vec::new()) };
        self.store().state_rows().written_at(row.as_bytes(), last, from, limit).map_err(failed)
    }
}

/// A store as it was before a position, ids used up since then left out.
struct Before<'a> {
    view: &'a StoreView,
    size: u64,
}

impl Reader for Before<'_> {
    fn row(&self, row: &[u8], size: u64) -> Result<Option<Vec<u8>>, ReadFailed> {
        self.view.row(row, size.min(self.size))
    }

    fn rows(&self, prefix: &[u8], size: u64, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<(), ReadFailed> {
        self.view.rows(prefix, size.min(self.size), visit)
    }

    fn id(&self, actor: &str, id: &[u8]) -> Result<Option<u64>, ReadFailed> {
        Ok(self.view.id(actor, id)?.filter(|position| *position < self.size))
    }

    fn entry(&self, position: u64) -> Result<Option<Vec<u8>>, ReadFailed> {
        self.view.entry(position)
    }

    fn fold_time(&self, position: u64) -> Result<Option<u64>, ReadFailed> {
        self.view.fold_time(position)
    }

    fn entry_root(&self, size: u64) -> Result<Option<Hash>, ReadFailed> {
        self.view.entry_root(size)
    }

    fn verdict_root(&self, size: u64) -> Result<Option<Hash>, ReadFailed> {
        self.view.verdict_root(size)
    }
}
