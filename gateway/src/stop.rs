//! Stopping: streams that would never end by themselves end when the server is told to stop.

use crate::reason::{Reason, status};
use std::time::Duration;
use tokio::sync::watch;
use tonic::Status;

/// How long calls under way have to end once the server was told to stop.
pub const GRACE: Duration = Duration::from_secs(5);

/// The word to stop. A sender that is gone has said it, too.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// The word of a channel.
    pub fn new(word: watch::Receiver<bool>) -> Self {
        Self(word)
    }

    /// Whether it was said.
    pub fn said(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until it is said.
    pub async fn wait(mut self) {
        // An error means that the sender is gone.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Waits until it was said and the time of grace is over.
    pub async fn grace_over(self) {
        self.wait().await;
        tokio::time::sleep(GRACE).await;
    }
}

/// How a stream ends because the server does.
pub fn stopping() -> Status {
    status(Reason::Stopping, "the server is stopping: connect again and go on from the last position you have")
}
