//! What every command that goes on until it is told to stop has in common.

use attestune_ledger::replica::Replica;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often a running command looks whether its replica has stopped.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The signals that end a command in good order. Listen before anything is opened: one that comes meanwhile must not
/// kill the process half-way.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> anyhow::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Ends once one has come.
    pub async fn come(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Ends once the replica has failed, with the reason.
pub async fn failed(replica: &Replica) -> String {
    loop {
        if let Some(why) = replica.failure() {
            return why;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
