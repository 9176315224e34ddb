//! Status, doctor, and the rows of the state.

use super::Services;
use crate::access::{blocking, reader};
use crate::convert::replica_failed;
use attestune_ledger::log::{Clock as _, SystemClock};
use attestune_ledger::replica::{Replica, ReplicaError};
use attestune_proto::v1::admin_server::Admin;
use attestune_proto::v1::{Check, DoctorRequest, DoctorResponse, Row, RowsRequest, StatusRequest, StatusResponse};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl Admin for Services {
    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        reader(&self.gateway, &request)?;
        let counts = self.gateway.replica.counts();
        Ok(Response::new(StatusResponse {
            head: match self.gateway.replica.head() {
                Err(ReplicaError::NoLedger) => None,
                head => Some(head.map_err(replica_failed)?),
            },
            accepted: counts.accepted,
            refused: counts.refused,
            duplicates: counts.duplicates,
            garbage: counts.garbage,
            version: env!("CARGO_PKG_VERSION").into(),
            started_ms: self.started_ms,
            stopped: self.gateway.replica.failure(),
        }))
    }

    async fn doctor(&self, request: Request<DoctorRequest>) -> Result<Response<DoctorResponse>, Status> {
        reader(&self.gateway, &request)?;
        let deep = request.into_inner().deep;
        let gateway = self.gateway.clone();
        let checks = blocking(move || Ok(examine(&gateway.replica, gateway.vault.is_some(), deep))).await?;
        Ok(Response::new(DoctorResponse { checks }))
    }

    type RowsStream = ReceiverStream<Result<Row, Status>>;

    async fn rows(&self, request: Request<RowsRequest>) -> Result<Response<Self::RowsStream>, Status> {
        let caller = reader(&self.gateway, &request)?;
        let replica = self.gateway.replica.clone();
        self.stream(&caller, 1024, move |out| {
            let outcome = replica.rows(&mut |row| out.blocking_send(Ok(row)).is_ok());
            if let Err(error) = outcome {
                let _ = out.blocking_send(Err(replica_failed(error)));
            }
        })
    }
}

fn examine(replica: &Replica, vault: bool, deep: bool) -> Vec<Check> {
    let check = |name: &str, outcome: Result<String, (String, &str)>| match outcome {
        Ok(detail) => Check { name: name.into(), ok: true, detail, remedy: String::new() },
        Err((detail, remedy)) => Check { name: name.into(), ok: false, detail, remedy: remedy.into() },
    };
    let fold = match replica.failure() {
        None => Ok(format!("at position {}", replica.position())),
        Some(why) => Err((why, "keep the folder, mend the cause, start again")),
    };
    let head = match replica.head() {
        Ok(head) => Ok(format!("{}, rules version {}, policy {}", head.name, head.rules_version, head.policy_version)),
        Err(ReplicaError::NoLedger) => Err(("there is no ledger yet".into(), "run `attestune init`")),
        Err(error) => {
            Err((error.to_string(), "keep the folder; `attestune doctor --drop-state` on a copy folds it anew"))
        }
    };
    let has_vault =
        if vault { Ok("reachable".into()) } else { Err(("none".into(), "start with a vault to open texts")) };
    let mut checks =
        vec![check("fold", fold), check("ledger", head), check("vault", has_vault), clock(replica, &check)];
    if deep {
        let entries = replica.check_entries(|_| {});
        checks.push(check(
            "entries",
            match entries {
                Ok(count) => Ok(format!("{count} entries read, each is the one that was folded")),
                Err(error) => Err((error.to_string(), "keep the folder and restore the log from a backup")),
            },
        ));
    }
    checks
}

fn clock(replica: &Replica, check: &impl Fn(&str, Result<String, (String, &str)>) -> Check) -> Check {
    let fold_ms = replica.head().map_or(0, |h| h.fold_time_ms);
    let now_ms = SystemClock.now_ms();
    let ahead_ms = fold_ms.saturating_sub(now_ms);
    check(
        "clock",
        if ahead_ms > 60_000 {
            let detail = format!("the log's time is {ahead_ms} ms ahead of this machine's clock");
            Err((
                detail,
                "find out which clock jumped: set this machine's right, or, if the log's had jumped ahead, sign `attestune clock correct` \
                          with the root keys",
            ))
        } else {
            Ok("this machine's clock is not behind the log's".into())
        },
    )
}
