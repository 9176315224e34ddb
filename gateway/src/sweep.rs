//! The vault erases what the log says is erased: all of it when the server starts, and from then on what comes.

use crate::stop::Stop;
use attestune_ledger::replica::Replica;
use attestune_ledger::vault::{Vault, sweep};
use std::sync::Arc;
use std::time::Duration;

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long to wait after the vault has failed.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Follows the log until told to stop. Without a vault there is nothing to erase.
pub async fn follow(replica: Arc<Replica>, vault: Option<Arc<Vault>>, stop: Stop) {
    let Some(vault) = vault else { return };
    tokio::select! {
        () = stop.wait() => {}
        never = erase(&replica, &vault) => match never {},
    }
}

async fn erase(replica: &Replica, vault: &Vault) -> std::convert::Infallible {
    let mut next = None;
    loop {
        let view = replica.view();
        let size = view.size();
        if next == Some(size) {
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        match sweep(vault, &view, next.unwrap_or(0)).await {
            Ok(_) => next = Some(size),
            Err(error) => {
                tracing::error!(%error, "what was erased by the log is not yet erased in the vault");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}
