//! Clauses of regulations, and what the ledger says to them.

use super::Services;
use attestune_ledger::query::comply;
use attestune_proto::v1 as pb;
use attestune_proto::v1::compliance_server::Compliance;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl Compliance for Services {
    async fn comply(&self, request: Request<pb::ComplyRequest>) -> Result<Response<pb::ComplyResponse>, Status> {
        self.ask(request, |q| q.as_of, |view, q| comply::comply(view, &q.pack, q.now_ms)).await
    }
}
