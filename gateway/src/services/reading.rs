//! Streams that a client reads from: each holds a thread that may block, for as long as the client takes.

use super::Services;
use crate::access::Caller;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

/// Most streams at a time. With those that append they leave some of tokio's 512 threads to calls that are short.
pub const STREAMS_MAX: usize = 128;
/// Most of them that one reader holds, so that streams are left for others.
pub const STREAMS_EACH_MAX: usize = 32;

impl Services {
    /// Answers a reader with a stream, which `fill` fills in a thread for that; it ends when the client has left.
    pub(super) fn stream<T: Send + 'static>(
        &self,
        reader: &Caller,
        waiting_max: usize,
        fill: impl FnOnce(&mpsc::Sender<Result<T, Status>>) + Send + 'static,
    ) -> Result<Response<ReceiverStream<Result<T, Status>>>, Status> {
        let place = self.reading.admit(Some(&reader.actor.actor))?;
        let (out, items) = mpsc::channel(waiting_max);
        tokio::task::spawn_blocking(move || {
            fill(&out);
            drop(place);
        });
        Ok(Response::new(ReceiverStream::new(items)))
    }
}
