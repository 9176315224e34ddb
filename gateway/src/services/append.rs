//! Appending a stream of envelopes: in its order, within bounds, a receipt for each request in the order of the
//! requests.
//!
//! One batch is under way at a time while the next one is gathered, so a stream's events stand on the log in the order
//! in which it sent them. While both are full nothing is read, and HTTP/2's flow control holds the client back. What
//! stops a stream is its last answer, a status: every request before it has its receipt, and none after it is appended.

use super::admission::Place;
use crate::access::panicked;
use crate::convert::{append_failed, rejected};
use crate::reason::{Reason, with_figures};
use crate::stop::{Stop, stopping};
use attestune_ledger::replica::{AppendError, RECEIPT_WAIT, Replica};
use attestune_proto::v1::{AppendRequest, Receipt};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// Most streams at a time: each holds two batches at most.
pub const STREAMS_MAX: usize = 256;
/// Most events of a batch.
const BATCH_EVENTS: usize = 512;
/// Bytes of envelopes after which a batch takes no further one.
const BATCH_BYTES: usize = 1 << 20;

/// Starts to append what comes in, as long as the stream has its place.
pub fn start(
    replica: Arc<Replica>,
    incoming: Streaming<AppendRequest>,
    stop: Stop,
    place: Place,
) -> ReceiverStream<Result<Receipt, Status>> {
    let (out, receipts) = mpsc::channel(BATCH_EVENTS);
    tokio::spawn(async move {
        if let Err(status) = run(replica, incoming, stop, &out).await {
            let _ = out.send(Err(status)).await; // the client may have left
        }
        drop(place);
    });
    ReceiverStream::new(receipts)
}

/// Envelopes gathered for the next batch.
#[derive(Default)]
struct Gathered {
    envelopes: Vec<Vec<u8>>,
    bytes: usize,
}

impl Gathered {
    fn has_room(&self) -> bool {
        self.envelopes.len() < BATCH_EVENTS && self.bytes < BATCH_BYTES
    }

    fn push(&mut self, envelope: Vec<u8>) {
        self.bytes += envelope.len();
        self.envelopes.push(envelope);
    }
}

async fn run(
    replica: Arc<Replica>,
    mut incoming: Streaming<AppendRequest>,
    stop: Stop,
    out: &mpsc::Sender<Result<Receipt, Status>>,
) -> Result<(), Status> {
    let mut told = std::pin::pin!(stop.wait());
    let mut ended: Option<Result<(), Status>> = None;
    let mut gathered = Gathered::default();
    let mut under_way = None;
    let mut begun = 0;
    loop {
        if under_way.is_none() && !gathered.envelopes.is_empty() {
            let Gathered { envelopes, .. } = std::mem::take(&mut gathered);
            let before = begun;
            begun += envelopes.len() as u64;
            under_way = Some(Box::pin(begin(replica.clone(), envelopes, before)));
        }
        tokio::select! {
            done = async { under_way.as_mut().expect("looked at only if there is one").await }, if under_way.is_some() => {
                under_way = None;
                let (receipts, outcome) = done;
                for receipt in receipts {
                    if out.send(Ok(receipt)).await.is_err() {
                        return Ok(()); // the client has left
                    }
                }
                outcome?;
            }
            next = incoming.next(), if ended.is_none() && gathered.has_room() => match next {
                Some(Ok(request)) => gathered.push(request.envelope),
                Some(Err(status)) => ended = Some(Err(broken(&status, begun + gathered.envelopes.len() as u64))),
                None => ended = Some(Ok(())),
            },
            () = &mut told, if ended.is_none() => ended = Some(Err(stopping())),
            else => return ended.unwrap_or(Ok(())),
        }
    }
}

/// What came of a batch: receipts of those before the first that failed, and its status.
type Outcome = (Vec<Receipt>, Result<(), Status>);

/// Appends a batch: a single envelope at once, as it takes less time at the door than a thread that may block takes to
/// wake; more of them in such a thread.
async fn begin(replica: Arc<Replica>, mut envelopes: Vec<Vec<u8>>, before: u64) -> Outcome {
    if envelopes.len() > 1 {
        let appending = tokio::task::spawn_blocking(move || append(&replica, envelopes, before));
        return appending.await.unwrap_or_else(|_| (Vec::new(), Err(panicked())));
    }
    let Some(envelope) = envelopes.pop() else { return (Vec::new(), Ok(())) };
    match one(&replica, envelope).await {
        Ok(receipt) => (vec![receipt], Ok(())),
        Err(error) => (Vec::new(), Err(append_failed(error, before))),
    }
}

/// Appends an envelope and waits for its receipt without holding a thread.
pub async fn one(replica: &Replica, envelope: Vec<u8>) -> Result<Receipt, AppendError> {
    let (send, receipts) = oneshot::channel();
    // Whoever waited for it may have left.
    replica.submit(vec![envelope], move |outcome| drop(send.send(outcome)));
    let told = timeout(RECEIPT_WAIT, receipts).await.map_err(|_| AppendError::overdue())?;
    told.unwrap_or_else(|_| Err(AppendError::overdue()))?.pop().ok_or_else(AppendError::overdue)
}

/// Appends a batch. Where the door stops one, those before it are appended all the same, and it is judged again by what
/// they have brought about: a key registered before it in the same stream is known.
fn append(replica: &Replica, mut envelopes: Vec<Vec<u8>>, before: u64) -> Outcome {
    let mut receipts = Vec::with_capacity(envelopes.len());
    let mut until = envelopes.len();
    while !envelopes.is_empty() {
        let index = before + receipts.len() as u64;
        match replica.append(envelopes[..until].to_vec()) {
            Ok(more) => {
                receipts.extend(more);
                envelopes.drain(..until);
                until = envelopes.len();
            }
            Err(AppendError::Rejected { index: 0, rejection }) => return (receipts, Err(rejected(&rejection, index))),
            Err(AppendError::Rejected { index, .. }) => until = index,
            Err(error) => return (receipts, Err(append_failed(error, index))),
        }
    }
    (receipts, Ok(()))
}

/// A request could not be read.
fn broken(status: &Status, index: u64) -> Status {
    let message = format!("request {index} of the stream could not be read: {}", status.message());
    with_figures(Reason::BrokenStream, message, [("index", index.to_string())])
}
