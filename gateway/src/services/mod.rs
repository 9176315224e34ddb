//! The services of `service.proto`, one file each for the larger ones.

mod admin;
mod content;
mod ledger;
mod provenance;
mod registry;

use crate::Gateway;
use crate::access::Denials;
use attestune_ledger::log::{Clock as _, SystemClock};
use attestune_proto::v1::admin_server::AdminServer;
use attestune_proto::v1::content_server::ContentServer;
use attestune_proto::v1::ledger_server::LedgerServer;
use attestune_proto::v1::provenance_server::ProvenanceServer;
use attestune_proto::v1::receipts_server::ReceiptsServer;
use attestune_proto::v1::registry_server::RegistryServer;
use std::sync::Arc;
use tonic::service::Routes;

/// Largest message either way, bytes.
const MESSAGE_MAX: usize = 16 << 20;

/// What every service holds.
#[derive(Clone)]
pub struct Services {
    pub gateway: Gateway,
    pub denials: Arc<Denials>,
    pub known: Arc<content::Known>,
    pub started_ms: u64,
}

macro_rules! server {
    ($server:ident, $service:expr) => {
        $server::new($service).max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX)
    };
}

/// All services with health and reflection.
///
/// # Errors
/// If reflection can't read the descriptors, which the build excludes.
pub async fn routes(gateway: Gateway) -> Result<Routes, tonic_reflection::server::Error> {
    let started_ms = SystemClock.now_ms();
    let services = Services { gateway, denials: Arc::default(), known: Arc::default(), started_ms };
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<LedgerServer<Services>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(attestune_proto::DESCRIPTORS)
    };
    Ok(Routes::new(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(server!(LedgerServer, services.clone()))
        .add_service(server!(ReceiptsServer, services.clone()))
        .add_service(server!(ProvenanceServer, services.clone()))
        .add_service(server!(RegistryServer, services.clone()))
        .add_service(server!(ContentServer, services.clone()))
        .add_service(server!(AdminServer, services)))
}
