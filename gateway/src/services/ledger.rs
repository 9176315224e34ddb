//! Append, read, subscribe, checkpoints, proofs, receipts.

use super::Services;
use super::append;
use crate::access::{blocking, reader};
use crate::convert::{append_failed, refused, replica_failed};
use crate::reason::{Reason, status};
use crate::stop::stopping;
use attestune_ledger::replica::ReplicaError;
use attestune_proto::v1::ledger_server::Ledger;
use attestune_proto::v1::receipts_server::Receipts;
use attestune_proto::v1::{
    AppendRequest, CheckpointRequest, ConsistencyProofRequest, Decided, Entry, GetReceiptRequest, HeadRequest,
    HeadResponse, InclusionProofRequest, Proof, ReadRequest, Receipt, SignedCheckpoint, SubscribeRequest,
};
use std::time::Duration;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// How long a subscriber's wait for new entries lasts before it looks whether to stop.
const WAIT: Duration = Duration::from_millis(250);

#[tonic::async_trait]
impl Ledger for Services {
    async fn append(&self, request: Request<AppendRequest>) -> Result<Response<Receipt>, Status> {
        let wants_status = request.metadata().get("attestune-refusal").is_some_and(|v| v == "status");
        let envelope = request.into_inner().envelope;
        let receipt = append::one(&self.gateway.replica, envelope).await.map_err(|error| append_failed(error, 0))?;
        match refused(&receipt) {
            Some(refusal) if wants_status => Err(refusal),
            _ => Ok(Response::new(receipt)),
        }
    }

    type AppendStreamStream = ReceiverStream<Result<Receipt, Status>>;

    async fn append_stream(
        &self,
        request: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let place = self.appending.admit(None)?;
        Ok(Response::new(append::start(self.gateway.replica.clone(), request.into_inner(), self.stop.clone(), place)))
    }

    type ReadStream = ReceiverStream<Result<Entry, Status>>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let caller = reader(&self.gateway, &request)?;
        let ReadRequest { from, limit } = request.into_inner();
        let replica = self.gateway.replica.clone();
        let end = replica.position();
        let end = if limit == 0 { end } else { end.min(from.saturating_add(limit)) };
        self.stream(&caller, 1024, move |out| {
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
        })
    }

    type SubscribeStream = ReceiverStream<Result<Decided, Status>>;

    async fn subscribe(&self, request: Request<SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        let caller = reader(&self.gateway, &request)?;
        let SubscribeRequest { from, to_end } = request.into_inner();
        let replica = self.gateway.replica.clone();
        let (end, stop) = (replica.position(), self.stop.clone());
        self.stream(&caller, 1024, move |out| {
            let mut next = from;
            while !(out.is_closed() || to_end && next >= end) {
                let grown = replica.wait_past(next, WAIT) > next;
                let last = match replica.failure() {
                    _ if stop.said() && !to_end => Some(stopping()),
                    Some(why) if !grown => Some(replica_failed(ReplicaError::Stopped(why))),
                    _ => None,
                };
                if let Some(last) = last {
                    let _ = out.blocking_send(Err(last)); // the client may have left
                    return;
                }
                if !grown {
                    continue;
                }
                let event = replica.decided(next).map_err(replica_failed);
                let ends = event.is_err();
                if out.blocking_send(event).is_err() || ends {
                    return;
                }
                next += 1;
            }
        })
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
        self.gateway.replica.head().map(Response::new).map_err(replica_failed)
    }
}

#[tonic::async_trait]
impl Receipts for Services {
    async fn get_receipt(&self, request: Request<GetReceiptRequest>) -> Result<Response<Receipt>, Status> {
        reader(&self.gateway, &request)?;
        let GetReceiptRequest { actor, id } = request.into_inner();
        let replica = self.gateway.replica.clone();
        let receipt = blocking(move || replica.receipt(&actor, &id).map_err(replica_failed)).await?;
        receipt.map(Response::new).ok_or_else(|| status(Reason::NotFound, "no event of this actor carries this id"))
    }
}
