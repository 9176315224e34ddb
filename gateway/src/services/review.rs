//! Review: the queue, the backlog, the report. Decisions are events, which the reviewer signs and appends.

use super::Services;
use crate::access::{Caller, blocking, caller, reader, release};
use crate::convert::{query_failed, replica_failed, vault_failed};
use attestune_ledger::log::{Clock as _, SystemClock};
use attestune_ledger::query;
use attestune_proto::v1::review_server::Review;
use attestune_proto::v1::{
    AsOf, ReviewCounts, ReviewCountsRequest, ReviewItem, ReviewQueueRequest, ReviewQueueResponse, ReviewReport,
    ReviewReportRequest, Sealed,
};
use std::sync::PoisonError;
use tonic::{Request, Response, Status};

/// Bytes of texts in one answer; what comes after them is left to the next call.
const TEXT_BYTES_MAX: usize = 8 << 20;

/// The asker's clock, or this server's; 0, which stands for the moment's own, where one is named.
fn clock(asked_ms: u64, as_of: Option<&AsOf>) -> u64 {
    if asked_ms == 0 && as_of.is_none() { SystemClock.now_ms() } else { asked_ms }
}

impl Services {
    /// Puts the texts into items, once the read is on the record.
    async fn read_out(&self, caller: &Caller, items: &mut Vec<ReviewItem>) -> Result<(), Status> {
        let sealed = |item: &ReviewItem| item.example.as_ref().and_then(|e| e.content.clone()).unwrap_or_default();
        let wanted: Vec<Sealed> = items.iter().map(sealed).collect();
        let vault = self.vault()?;
        let commitments = wanted.iter().map(|s| s.commitment.clone()).collect();
        release(&self.gateway, &self.denials, caller, commitments).await?;
        let texts = vault.open_all(&wanted).await.map_err(vault_failed)?;
        let mut bytes = 0;
        let fits = texts.iter().take_while(|text| {
            bytes += text.len();
            bytes <= TEXT_BYTES_MAX
        });
        let fit = fits.count().max(1);
        items.truncate(fit);
        items.iter_mut().zip(texts).for_each(|(item, text)| item.text = text);
        Ok(())
    }
}

#[tonic::async_trait]
impl Review for Services {
    async fn queue(&self, request: Request<ReviewQueueRequest>) -> Result<Response<ReviewQueueResponse>, Status> {
        let may_read = reader(&self.gateway, &request).map(drop);
        let caller = caller(&self.gateway, &request)?;
        let (replica, request, asker) =
            (self.gateway.replica.clone(), request.into_inner(), caller.actor.actor.clone());
        let now_ms = request.after.as_ref().map_or_else(|| clock(request.now_ms, None), |place| place.now_ms);
        let (texts, backlog) = (request.texts, self.backlog.clone());
        // What was looked at stays known from one call to the next.
        let asked = move || {
            let mut backlog = backlog.lock().unwrap_or_else(PoisonError::into_inner);
            backlog.queue(&replica.view(), &request, &asker, now_ms).map_err(query_failed)
        };
        let mut answer = blocking(asked).await?;
        // Who may not open texts is put on the record, also without any role, where there is one to be opened.
        if !texts || answer.items.is_empty() {
            may_read?;
        } else {
            let found = answer.items.len();
            self.read_out(&caller, &mut answer.items).await?;
            if let Some(last) = answer.items.last().filter(|_| answer.items.len() < found) {
                answer.next = Some(query::review_place(last, &caller.actor.actor, now_ms, answer.total));
            }
        }
        Ok(Response::new(answer))
    }

    async fn counts(&self, request: Request<ReviewCountsRequest>) -> Result<Response<ReviewCounts>, Status> {
        reader(&self.gateway, &request)?;
        let (replica, request) = (self.gateway.replica.clone(), request.into_inner());
        let now_ms = clock(request.now_ms, request.as_of.as_ref());
        let asked = move || {
            let view = replica.resolve(request.as_of.as_ref()).map_err(replica_failed)?;
            query::review_counts(&view, &request.collection, now_ms).map_err(query_failed)
        };
        Ok(Response::new(blocking(asked).await?))
    }

    async fn report(&self, request: Request<ReviewReportRequest>) -> Result<Response<ReviewReport>, Status> {
        reader(&self.gateway, &request)?;
        let (replica, request) = (self.gateway.replica.clone(), request.into_inner());
        let now_ms = clock(request.now_ms, request.as_of.as_ref());
        let asked = move || {
            let view = replica.resolve(request.as_of.as_ref()).map_err(replica_failed)?;
            query::review_report(&view, &request.collection, now_ms).map_err(query_failed)
        };
        Ok(Response::new(blocking(asked).await?))
    }
}
