//! Provenance: versions, lineage, history, what was in force.

use super::Services;
use crate::access::{blocking, reader};
use crate::convert::{query_failed, replica_failed};
use attestune_ledger::query;
use attestune_proto::v1::provenance_server::Provenance;
use attestune_proto::v1::{
    GetModelVersionRequest, HistoryEvent, HistoryRequest, LineageRequest, LineageResponse, ModelVersion,
    WhyInForceRequest, WhyInForceResponse,
};
use tokio::sync::mpsc;
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
        reader(&self.gateway, &request)?;
        let (replica, request) = (self.gateway.replica.clone(), request.into_inner());
        let (out, events) = mpsc::channel(256);
        tokio::task::spawn_blocking(move || {
            let view = replica.view();
            let outcome = query::history(&view, &request, &mut |event| out.blocking_send(Ok(event)).is_ok());
            if let Err(error) = outcome {
                let _ = out.blocking_send(Err(query_failed(error))); // the client may have left
            }
        });
        Ok(Response::new(ReceiverStream::new(events)))
    }

    async fn why_in_force(&self, request: Request<WhyInForceRequest>) -> Result<Response<WhyInForceResponse>, Status> {
        reader(&self.gateway, &request)?;
        let (replica, request) = (self.gateway.replica.clone(), request.into_inner());
        let found = blocking(move || {
            let view = replica.resolve(request.as_of.as_ref()).map_err(replica_failed)?;
            query::why_in_force(&view, &request.model).map_err(query_failed)
        });
        Ok(Response::new(found.await?))
    }
}
