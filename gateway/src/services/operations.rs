//! What happens after promotion: serving, what is due, experiments, alerts, erasure.

use super::Services;
use crate::access::{may_erase, reader, release};
use crate::convert::{query_failed, replica_failed, vault_failed};
use crate::reason::{Reason, status};
use attestune_ledger::query;
use attestune_ledger::vault::{self, SweepError};
use attestune_proto::v1 as pb;
use attestune_proto::v1::operations_server::Operations;
use tonic::{Request, Response, Status};

/// Longest name of a person, bytes.
const SUBJECT_MAX: usize = 1024;

#[tonic::async_trait]
impl Operations for Services {
    async fn get_serving(
        &self,
        request: Request<pb::GetServingRequest>,
    ) -> Result<Response<pb::GetServingResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::serving(view, &q.model, q.now_ms)).await
    }

    async fn due(&self, request: Request<pb::DueRequest>) -> Result<Response<pb::DueResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::due(view, &q.model, q.now_ms)).await
    }

    async fn list_experiments(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListExperimentsResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_experiments(view, &q)).await
    }

    async fn list_alerts(&self, request: Request<pb::ListRequest>) -> Result<Response<pb::ListAlertsResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_alerts(view, &q)).await
    }

    async fn list_windows(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListWindowsResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_windows(view, &q.name)).await
    }

    async fn list_schedules(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListSchedulesResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_schedules(view, &q.name)).await
    }

    async fn list_holds(&self, request: Request<pb::ListRequest>) -> Result<Response<pb::ListHoldsResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_holds(view, &q)).await
    }

    async fn list_erasures(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListErasuresResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, _| query::list_erasures(view)).await
    }

    async fn get_erasure(
        &self,
        request: Request<pb::GetErasureRequest>,
    ) -> Result<Response<pb::GetErasureResponse>, Status> {
        let position = request.get_ref().erasure;
        let mut response = self.ask(request, |q| q.as_of, |view, q| query::erasure(view, q.erasure)).await?;
        if let Some(vault) = &self.gateway.vault {
            let view = self.gateway.replica.view();
            response.get_mut().left = Some(vault::left(vault, &view, position).await.map_err(swept_failed)?);
        }
        Ok(response)
    }

    async fn find_subject(
        &self,
        request: Request<pb::FindSubjectRequest>,
    ) -> Result<Response<pb::FindSubjectResponse>, Status> {
        let caller = reader(&self.gateway, &request)?;
        may_erase(&self.gateway, &caller)?;
        let pb::FindSubjectRequest { subject } = request.into_inner();
        if subject.trim().is_empty() || subject.len() > SUBJECT_MAX {
            return Err(status(Reason::BadRequest, "a subject has 1 to 1,024 bytes"));
        }
        let texts = self.vault()?.find_subject(&subject).await.map_err(vault_failed)?;
        if !texts.is_empty() {
            let commitments = texts.iter().map(|text| text.commitment.clone()).collect();
            release(&self.gateway, &self.denials, &caller, commitments).await?;
        }
        let replica = self.gateway.replica.clone();
        let found = crate::access::blocking(move || {
            let view = replica.resolve(None).map_err(replica_failed)?;
            query::documents_among(&view, &texts).map_err(query_failed)
        });
        Ok(Response::new(found.await?))
    }

    async fn prepare_erasure(
        &self,
        request: Request<pb::PrepareErasureRequest>,
    ) -> Result<Response<pb::PrepareErasureResponse>, Status> {
        self.ask(request, |_| None, |view, q| query::prepare_erasure(view, &q)).await
    }
}

fn swept_failed(error: SweepError) -> Status {
    match error {
        SweepError::Query(error) => query_failed(error),
        SweepError::Vault(error) => vault_failed(error),
    }
}
