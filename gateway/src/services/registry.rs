//! The registry: lists of what there is. Each call reads as of a moment.

use super::Services;
use crate::access::{blocking, reader};
use crate::convert::{query_failed, replica_failed};
use attestune_ledger::query::{self, QueryError};
use attestune_ledger::replica::StoreView;
use attestune_proto::v1 as pb;
use attestune_proto::v1::registry_server::Registry;
use std::sync::PoisonError;
use tonic::{Request, Response, Status};

impl Services {
    /// Asks a question about the state as of a moment.
    pub(super) async fn ask<Q: Send + 'static, A: Send + 'static>(
        &self,
        request: Request<Q>,
        as_of: impl FnOnce(&Q) -> Option<pb::AsOf>,
        question: impl FnOnce(&StoreView, Q) -> Result<A, QueryError> + Send + 'static,
    ) -> Result<Response<A>, Status> {
        reader(&self.gateway, &request)?;
        let (replica, request) = (self.gateway.replica.clone(), request.into_inner());
        let as_of = as_of(&request);
        let answer = blocking(move || {
            let view = replica.resolve(as_of.as_ref()).map_err(replica_failed)?;
            question(&view, request).map_err(query_failed)
        });
        Ok(Response::new(answer.await?))
    }
}

#[tonic::async_trait]
impl Registry for Services {
    async fn list_models(&self, request: Request<pb::ListRequest>) -> Result<Response<pb::ListModelsResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_models(view, &q.name)).await
    }

    async fn list_versions(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListVersionsResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_versions(view, &q)).await
    }

    async fn list_datasets(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListDatasetsResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_datasets(view, &q)).await
    }

    async fn list_runs(&self, request: Request<pb::ListRequest>) -> Result<Response<pb::ListRunsResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_runs(view, &q)).await
    }

    async fn list_suites(&self, request: Request<pb::ListRequest>) -> Result<Response<pb::ListSuitesResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_suites(view, &q)).await
    }

    async fn list_bases(&self, request: Request<pb::ListRequest>) -> Result<Response<pb::ListBasesResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_bases(view, &q)).await
    }

    async fn list_evaluations(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListEvaluationsResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_evaluations(view, &q)).await
    }

    async fn list_promotions(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListPromotionsResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_promotions(view, &q)).await
    }

    async fn list_actors(&self, request: Request<pb::ListRequest>) -> Result<Response<pb::ListActorsResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_actors(view, &q.name)).await
    }

    async fn list_batches(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListBatchesResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_batches(view, &q)).await
    }

    async fn get_policy(&self, request: Request<pb::GetPolicyRequest>) -> Result<Response<pb::PolicyRow>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::policy(view, q.version)).await
    }

    async fn list_examples(
        &self,
        request: Request<pb::ListExamplesRequest>,
    ) -> Result<Response<pb::ListExamplesResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_examples(view, &q)).await
    }

    async fn prepare_dataset(
        &self,
        request: Request<pb::PrepareDatasetRequest>,
    ) -> Result<Response<pb::PrepareDatasetResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::prepare_dataset(view, &q.collections)).await
    }

    async fn list_members(
        &self,
        request: Request<pb::ListMembersRequest>,
    ) -> Result<Response<pb::ListMembersResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_members(view, q.dataset)).await
    }

    async fn list_open_work(&self, request: Request<pb::ListRequest>) -> Result<Response<pb::OpenWork>, Status> {
        // Whoever waits for workers asks again and again: what was looked at stays known from one call to the next.
        let cursor = self.open_work.clone();
        self.ask(
            request,
            |q| q.as_of,
            move |view, q| match q.as_of {
                None => cursor.lock().unwrap_or_else(PoisonError::into_inner).advance(view, usize::MAX),
                Some(_) => query::open_work(view),
            },
        )
        .await
    }

    async fn list_exports(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListExportsResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| query::list_exports(view, &q)).await
    }
}
