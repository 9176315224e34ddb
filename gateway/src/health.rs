//! Health: the services serve as long as the fold goes on and nobody said stop.

use crate::services::Services;
use crate::stop::Stop;
use attestune_ledger::replica::Replica;
use attestune_proto::v1::admin_server::AdminServer;
use attestune_proto::v1::compliance_server::ComplianceServer;
use attestune_proto::v1::content_server::ContentServer;
use attestune_proto::v1::ledger_server::LedgerServer;
use attestune_proto::v1::operations_server::OperationsServer;
use attestune_proto::v1::pairing_server::PairingServer;
use attestune_proto::v1::provenance_server::ProvenanceServer;
use attestune_proto::v1::receipts_server::ReceiptsServer;
use attestune_proto::v1::registry_server::RegistryServer;
use attestune_proto::v1::review_server::ReviewServer;
use std::sync::Arc;
use std::time::Duration;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// How often the fold is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Every service of ours; the empty name is the server as a whole.
const NAMES: [&str; 11] = [
    "",
    LedgerServer::<Services>::NAME,
    ReceiptsServer::<Services>::NAME,
    ProvenanceServer::<Services>::NAME,
    RegistryServer::<Services>::NAME,
    ContentServer::<Services>::NAME,
    PairingServer::<Services>::NAME,
    ReviewServer::<Services>::NAME,
    AdminServer::<Services>::NAME,
    OperationsServer::<Services>::NAME,
    ComplianceServer::<Services>::NAME,
];

/// Sets the status of every service.
pub async fn set_all(reporter: &HealthReporter, status: ServingStatus) {
    for name in NAMES {
        reporter.set_service_status(name, status).await;
    }
}

/// Follows the fold. Ends once the server was told to stop and whoever watches the health knows it.
pub async fn follow(replica: Arc<Replica>, mut reporter: HealthReporter, stop: Stop) {
    tokio::select! {
        () = stop.clone().wait() => {}
        why = fold_stopped(&replica) => {
            tracing::error!(why, "the fold has stopped, so no service serves any more");
            set_all(&reporter, ServingStatus::NotServing).await;
            stop.wait().await;
        }
    }
    set_all(&reporter, ServingStatus::NotServing).await;
    for name in NAMES {
        reporter.clear_service_status(name).await; // ends the streams of those who watch it
    }
}

async fn fold_stopped(replica: &Replica) -> String {
    loop {
        if let Some(why) = replica.failure() {
            return why;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
