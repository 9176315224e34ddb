//! Provenance: versions, lineage, history, what was in force, what changed, what a slice of evidence discloses.

use super::Services;
use crate::access::{blocking, reader};
use crate::convert::{query_failed, replica_failed};
use attestune_ledger::query;
use attestune_ledger::replica::Replica;
use attestune_proto::v1::provenance_server::Provenance;
use attestune_proto::v1::{
    DiffRequest, DiffResponse, GetModelVersionRequest, HistoryEvent, HistoryRequest, InclusionProofRequest,
    LineageRequest, LineageResponse, ModelVersion, SliceEntry, SliceRequest, WhyInForceRequest, WhyInForceResponse,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl Provenance for Services {
    async fn get_model_version(
        &self,
        request: Request<GetModelVersionRequest>,
    ) -> Result<Response<ModelVersion>, Status> {
        reader(&self.gateway, &request)?;
        let (replica, request) = (self.gateway.replica.clone(), request.into_inner());
        let found = blocking(move || {
            let view = replica.resolve(request.as_of.as_ref()).map_err(replica_failed)?;
            query::model_version(&view, &request.model, request.version).map_err(query_failed)
        });
        Ok(Response::new(found.await?))
    }

    async fn lineage(&self, request: Request<LineageRequest>) -> Result<Response<LineageResponse>, Status> {
        reader(&self.gateway, &request)?;
        let (replica, request) = (self.gateway.replica.clone(), request.into_inner());
        let found = blocking(move || {
            let view = replica.resolve(request.as_of.as_ref()).map_err(replica_failed)?;
            query::lineage(&view, &request).map_err(query_failed)
        });
        Ok(Response::new(found.await?))
    }

    type HistoryStream = ReceiverStream<Result<HistoryEvent, Status>>;

    async fn history(&self, request: Request<HistoryRequest>) -> Result<Response<Self::HistoryStream>, Status> {
        let caller = reader(&self.gateway, &request)?;
        let (replica, request) = (self.gateway.replica.clone(), request.into_inner());
        let view = {
            let (replica, as_of) = (replica.clone(), request.as_of);
            blocking(move || replica.resolve(as_of.as_ref()).map_err(replica_failed)).await?
        };
        self.stream(&caller, 256, move |out| {
            let outcome = query::history(&view, &request, &mut |event| match event {
                Some(event) => out.blocking_send(Ok(event)).is_ok(),
                // Where nothing passes, too, it ends with the client.
                None => !out.is_closed(),
            });
            if let Err(error) = outcome {
                let _ = out.blocking_send(Err(query_failed(error))); // the client may have left
            }
        })
    }

    async fn why_in_force(&self, request: Request<WhyInForceRequest>) -> Result<Response<WhyInForceResponse>, Status> {
        reader(&self.gateway, &request)?;
        let (replica, request) = (self.gateway.replica.clone(), request.into_inner());
        let found = blocking(move || {
            let view = replica.resolve(request.as_of.as_ref()).map_err(replica_failed)?;
            query::why_in_force(&view, &replica.view(), &request.model).map_err(query_failed)
        });
        Ok(Response::new(found.await?))
    }

    async fn diff(&self, request: Request<DiffRequest>) -> Result<Response<DiffResponse>, Status> {
        reader(&self.gateway, &request)?;
        let (replica, request) = (self.gateway.replica.clone(), request.into_inner());
        let found = blocking(move || {
            let from = replica.resolve(request.from.as_ref()).map_err(replica_failed)?;
            let to = replica.resolve(request.to.as_ref()).map_err(replica_failed)?;
            query::diff(&from, &to).map_err(query_failed)
        });
        Ok(Response::new(found.await?))
    }

    type SliceStream = ReceiverStream<Result<SliceEntry, Status>>;

    async fn slice(&self, request: Request<SliceRequest>) -> Result<Response<Self::SliceStream>, Status> {
        let caller = reader(&self.gateway, &request)?;
        let (replica, request) = (self.gateway.replica.clone(), request.into_inner());
        let found = {
            let (replica, request) = (replica.clone(), request.clone());
            blocking(move || {
                let then = replica.resolve(request.as_of.as_ref()).map_err(replica_failed)?;
                let now = replica.view();
                query::slice(&then, &now, &request.model, &request.exporter, request.list_only).map_err(query_failed)
            })
            .await?
        };
        self.stream(&caller, 256, move |out| {
            for mut entry in found {
                let proven = if request.list_only { Ok(()) } else { prove(&replica, request.size, &mut entry) };
                let ends = proven.is_err();
                if out.blocking_send(proven.map(|()| entry)).is_err() || ends {
                    return; // the client may have left
                }
            }
        })
    }
}

/// Adds the proofs that an entry and its verdict stand in the trees of a size.
fn prove(replica: &Replica, size: u64, entry: &mut SliceEntry) -> Result<(), Status> {
    let position = entry.decided.as_ref().map_or(0, |decided| decided.position);
    let path = |verdicts| {
        let request = InclusionProofRequest { position, size: size.max(1), verdicts };
        replica.inclusion_proof(&request).map(|proof| proof.hashes).map_err(replica_failed)
    };
    (entry.entry_path, entry.verdict_path) = (path(false)?, path(true)?);
    Ok(())
}
