//! Pairing: a browser's key on its way to being registered.

use super::Services;
use crate::access::reader;
use crate::pairing::GOOD;
use crate::reason::{Reason, status};
use attestune_ledger::log::{Clock as _, SystemClock};
use attestune_ledger::rules::is_identifier;
use attestune_proto::v1::pairing_server::Pairing;
use attestune_proto::v1::{AwaitPairingRequest, AwaitPairingResponse, OpenPairingRequest, OpenPairingResponse};
use std::time::Duration;
use tonic::{Request, Response, Status};

/// How long a call waits for a browser.
const WAIT: Duration = Duration::from_secs(20);

#[tonic::async_trait]
impl Pairing for Services {
    async fn open_pairing(
        &self,
        request: Request<OpenPairingRequest>,
    ) -> Result<Response<OpenPairingResponse>, Status> {
        let by = reader(&self.gateway, &request)?.actor.actor;
        let actor = request.into_inner().actor;
        if !is_identifier(&actor) {
            return Err(status(Reason::BadRequest, "the actor is no identifier"));
        }
        let code = self.gateway.pairings.open(&actor, &by)?;
        let expires_ms = SystemClock.now_ms() + GOOD.as_millis() as u64;
        Ok(Response::new(OpenPairingResponse { code, expires_ms }))
    }

    async fn await_pairing(
        &self,
        request: Request<AwaitPairingRequest>,
    ) -> Result<Response<AwaitPairingResponse>, Status> {
        let by = reader(&self.gateway, &request)?.actor.actor;
        let mut offer = self.gateway.pairings.watch(&request.into_inner().code, &by)?;
        let come = offer.wait_for(Option::is_some);
        let come = tokio::select! {
            come = tokio::time::timeout(WAIT, come) => come.ok().and_then(Result::ok).and_then(|offer| offer.clone()),
            () = self.stop.clone().wait() => return Err(crate::stop::stopping()),
        };
        Ok(Response::new(match come {
            Some(offer) => AwaitPairingResponse { public_key: offer.public_key, possession: offer.possession },
            None => AwaitPairingResponse::default(),
        }))
    }
}
