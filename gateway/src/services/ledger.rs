//! Append, read, subscribe, checkpoints, proofs, receipts.

use super::Services;
use crate::access::{blocking, reader};
use crate::convert::{append_failed, refused, replica_failed};
use attestune_proto::v1::ledger_server::Ledger;
use attestune_proto::v1::receipts_server::Receipts;
use attestune_proto::v1::{
    AppendRequest, CheckpointRequest, ConsistencyProofRequest, Decided, Entry, GetReceiptRequest, HeadRequest,
    HeadResponse, InclusionProofRequest, Proof, ReadRequest, Receipt, SignedCheckpoint, SubscribeRequest,
};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Most events of a stream appended at once.
const BATCH_EVENTS: usize = 512;
/// Batches of one stream under way at once.
const BATCHES: usize = 8;

#[tonic::async_trait]
impl Ledger for Services {
    async fn append(&self, request: Request<AppendRequest>) -> Result<Response<Receipt>, Status> {
        let wants_status = request.metadata().get("attestune-refusal").is_some_and(|v| v == "status");
        let replica = self.gateway.replica.clone();
        let envelope = request.into_inner().envelope;
        let mut receipts = blocking(move || replica.append(vec![envelope]).map_err(append_failed)).await?;
        let receipt = receipts.pop().ok_or_else(|| Status::internal("an append gave no receipt"))?;
        match refused(&receipt) {
            Some(status) if wants_status => Err(status),
            _ => Ok(Response::new(receipt)),
        }
    }

    type AppendStreamStream = ReceiverStream<Result<Receipt, Status>>;

    async fn append_stream(
        &self,
        request: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let mut incoming = request.into_inner();
        let (values, mut gathered) = mpsc::channel::<Vec<u8>>(BATCH_EVENTS * 2);
        let (batches, mut under_way) = mpsc::channel::<oneshot::Receiver<Result<Vec<Receipt>, Status>>>(BATCHES);
        let (out, receipts) = mpsc::channel(BATCH_EVENTS);
        tokio::spawn(async move {
            while let Some(Ok(request)) = incoming.next().await {
                if values.send(request.envelope).await.is_err() {
                    break;
                }
            }
        });
        let replica = self.gateway.replica.clone();
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while gathered.recv_many(&mut batch, BATCH_EVENTS).await > 0 {
                let (done, waiting) = oneshot::channel();
                let (replica, values) = (replica.clone(), std::mem::take(&mut batch));
                tokio::task::spawn_blocking(move || done.send(replica.append(values).map_err(append_failed)));
                if batches.send(waiting).await.is_err() {
                    break;
                }
            }
        });
        tokio::spawn(async move {
            while let Some(waiting) = under_way.recv().await {
                let lost = || Err(Status::internal("a task of the server ended by a panic"));
                match waiting.await.unwrap_or_else(|_| lost()) {
                    Ok(batch) => {
                        for receipt in batch {
                            if out.send(Ok(receipt)).await.is_err() {
                                return;
                            }
                        }
                    }
                    Err(status) => {
                        let _ = out.send(Err(status)).await; // the client may have left
                        return;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receipts)))
    }

    type ReadStream = ReceiverStream<Result<Entry, Status>>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        reader(&self.gateway, &request)?;
        let ReadRequest { from, limit } = request.into_inner();
        let replica = self.gateway.replica.clone();
        let end = replica.position();
        let end = if limit == 0 { end } else { end.min(from.saturating_add(limit)) };
        let (out, entries) = mpsc::channel(1024);
        tokio::task::spawn_blocking(move || {
            let mut next = from;
            while next < end {
                let window = match replica.entries(next, end - next) {
                    Ok(window) => window,
                    Err(error) => {
                        let _ = out.blocking_send(Err(replica_failed(error))); // the client may have left
                        return;
                    }
                };
                for entry in window {
                    next = entry.position + 1;
                    let entry = Entry { position: entry.position, time_ms: entry.time_ms, value: entry.value };
                    if out.blocking_send(Ok(entry)).is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(entries)))
    }

    type SubscribeStream = ReceiverStream<Result<Decided, Status>>;

    async fn subscribe(&self, request: Request<SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        reader(&self.gateway, &request)?;
        let SubscribeRequest { from, to_end } = request.into_inner();
        let replica = self.gateway.replica.clone();
        let end = replica.position();
        let (out, decided) = mpsc::channel(1024);
        tokio::task::spawn_blocking(move || {
            let mut next = from;
            while !(out.is_closed() || to_end && next >= end) {
                if replica.wait_past(next, Duration::from_millis(500)) <= next {
                    if let Some(why) = replica.failure() {
                        let _ = out.blocking_send(Err(Status::unavailable(why))); // the client may have left
                        return;
                    }
                    continue;
                }
                let event = replica.decided(next).map_err(replica_failed);
                let ends = event.is_err();
                if out.blocking_send(event).is_err() || ends {
                    return;
                }
                next += 1;
            }
        });
        Ok(Response::new(ReceiverStream::new(decided)))
    }

    async fn checkpoint(&self, request: Request<CheckpointRequest>) -> Result<Response<SignedCheckpoint>, Status> {
        let replica = self.gateway.replica.clone();
        let verdicts = request.into_inner().verdicts;
        Ok(Response::new(blocking(move || replica.checkpoint(verdicts).map_err(replica_failed)).await?))
    }

    async fn inclusion_proof(&self, request: Request<InclusionProofRequest>) -> Result<Response<Proof>, Status> {
        let replica = self.gateway.replica.clone();
        let request = request.into_inner();
        Ok(Response::new(blocking(move || replica.inclusion_proof(&request).map_err(replica_failed)).await?))
    }

    async fn consistency_proof(&self, request: Request<ConsistencyProofRequest>) -> Result<Response<Proof>, Status> {
        let replica = self.gateway.replica.clone();
        let request = request.into_inner();
        Ok(Response::new(blocking(move || replica.consistency_proof(&request).map_err(replica_failed)).await?))
    }

    async fn head(&self, _: Request<HeadRequest>) -> Result<Response<HeadResponse>, Status> {
        let none = || Status::failed_precondition("there is no ledger here yet: run `attestune init`");
        self.gateway.replica.head().map(Response::new).ok_or_else(none)
    }
}

#[tonic::async_trait]
impl Receipts for Services {
    async fn get_receipt(&self, request: Request<GetReceiptRequest>) -> Result<Response<Receipt>, Status> {
        reader(&self.gateway, &request)?;
        let GetReceiptRequest { actor, id } = request.into_inner();
        let replica = self.gateway.replica.clone();
        let receipt = blocking(move || replica.receipt(&actor, &id).map_err(replica_failed)).await?;
        receipt.map(Response::new).ok_or_else(|| Status::not_found("no event of this actor carries this id"))
    }
}
