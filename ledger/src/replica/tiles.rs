//! The log as the static resources of C2SP tlog-tiles.

use super::reader::Tree;
use super::{Replica, ReplicaError, StoredTiles};
use crate::log::Entry;
use crate::tree::{TILE_WIDTH, TilePath, TileReader as _, tile_width};

impl Replica {
    /// The bytes of a tile or a bundle of entries in the log as it is now; none where the log is too short for it, or
    /// the tile is a partial one that no tree of it has any more.
    ///
    /// # Errors
    /// If the store or the log can't be read.
    pub fn tile(&self, path: TilePath) -> Result<Option<Vec<u8>>, ReplicaError> {
        let level = path.level.unwrap_or(0);
        // Any narrower one was a right edge once: it never changes, so that it may be asked for after the log has grown.
        if level > 7 || path.width == 0 || tile_width(level, path.index, self.position()) < path.width {
            return Ok(None);
        }
        match path.level {
            Some(level) => {
                let tiles = StoredTiles { store: &self.store, tree: Tree::Entries };
                let hashes = tiles.tile(level, path.index, path.width)?;
                Ok(Some(hashes.iter().flat_map(|hash| hash.0).collect()))
            }
            None => self.entry_bundle(path.index, path.width).map(Some),
        }
    }

    /// Entries, each with its length before it in 2 bytes big-endian.
    fn entry_bundle(&self, index: u64, width: u16) -> Result<Vec<u8>, ReplicaError> {
        let (mut next, mut bytes) = (index * u64::from(TILE_WIDTH), Vec::new());
        let end = next + u64::from(width);
        while next < end {
            let entries = self.entries(next, end - next)?;
            if entries.is_empty() {
                return Err(ReplicaError::Read { position: next, cause: "the entry is missing".into() });
            }
            for entry in entries {
                let stored = Entry::stored(entry.time_ms, &entry.value);
                let length = u16::try_from(stored.len()).map_err(|_| ReplicaError::Damaged {
                    what: format!("entry {} is larger than any entry can be", entry.position),
                })?;
                bytes.extend(length.to_be_bytes());
                bytes.extend(stored);
                next = entry.position + 1;
            }
        }
        Ok(bytes)
    }
}
