//! Erasing what the log says is erased: after each erasure, and of all there ever were when a process starts. So an old key
//! store that is brought back loses again what it had lost.

use super::{Vault, VaultError};
use crate::query::{QueryError, to_erase};
use crate::replica::StoreView;

/// Why a sweep was not finished. What it had erased stays erased; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The state can't be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// What a sweep did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Erasures looked at.
    pub erasures: u64,
    /// Contents whose salts and data keys it took.
    pub erased: u64,
}

/// Erases in a vault what came into effect at a position from `from` on, as of a view. What the vault never held, or holds
/// erased, is no error.
///
/// # Errors
/// If the state or the vault can't be read or written.
pub async fn sweep(vault: &Vault, view: &StoreView, from: u64) -> Result<Swept, SweepError> {
    let mut swept = Swept::default();
    for (erasure, contents) in to_erase(view, from)? {
        let mut erased = 0;
        for pack in contents {
            erased += vault.erase_known(&pack.pack, &pack.commitments).await?;
        }
        if erased > 0 {
            tracing::info!(erasure = erasure.position, erased, "erased salts and data keys in the vault");
        }
        swept.erasures += 1;
        swept.erased += erased;
    }
    Ok(swept)
}

/// How many contents of an erasure the vault could still open.
///
/// # Errors
/// If the state or the vault can't be read.
pub async fn left(vault: &Vault, view: &StoreView, erasure: u64) -> Result<u64, SweepError> {
    let mut left = 0;
    let all = to_erase(view, 0)?.into_iter().filter(|(row, _)| row.position == erasure);
    for pack in all.flat_map(|(_, contents)| contents) {
        left += vault.count_known(&pack.pack, &pack.commitments).await?;
    }
    Ok(left)
}
