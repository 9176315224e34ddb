//! The services of `service.proto`, one file each for the larger ones.

mod admin;
mod admission;
mod append;
mod compliance;
mod content;
mod ledger;
mod operations;
mod pairing;
mod provenance;
mod reading;
mod registry;
mod review;

use crate::Gateway;
use crate::access::Denials;
use crate::health::set_all;
use crate::pages;
use crate::stop::Stop;
use admission::Admission;
use attestune_ledger::log::{Clock as _, SystemClock};
use attestune_ledger::query::{OpenWorkCursor, ReviewBacklog};
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
use std::sync::{Arc, Mutex};
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Largest message either way, bytes.
const MESSAGE_MAX: usize = 16 << 20;
/// Largest message to the service Ledger, bytes: one envelope, and room to say that it is too large.
const ENVELOPE_MAX: usize = 1 << 20;

/// What every service holds.
#[derive(Clone)]
pub struct Services {
    pub gateway: Gateway,
    pub denials: Arc<Denials>,
    pub known: Arc<content::Known>,
    pub open_work: Arc<Mutex<OpenWorkCursor>>,
    pub backlog: Arc<Mutex<ReviewBacklog>>,
    pub drafts: Arc<pages::Drafts>,
    pub started_ms: u64,
    pub stop: Stop,
    /// Streams that append. Signed events need no token, so nobody knows whose these are.
    pub appending: Admission,
    /// Streams that are read.
    pub reading: Admission,
}

macro_rules! server {
    ($server:ident, $service:expr) => {
        $server::new($service).max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX)
    };
}

/// All services with health and reflection, the pages beside them, and what tells their health.
///
/// # Errors
/// If reflection can't read the descriptors, which the build excludes.
pub async fn routes(gateway: Gateway, stop: Stop) -> Result<(Routes, HealthReporter), tonic_reflection::server::Error> {
    let services = Services {
        gateway,
        denials: Arc::default(),
        known: Arc::default(),
        open_work: Arc::default(),
        backlog: Arc::default(),
        drafts: Arc::default(),
        started_ms: SystemClock.now_ms(),
        stop,
        appending: Admission::new("append", append::STREAMS_MAX),
        reading: Admission::new("are read", reading::STREAMS_MAX).each(reading::STREAMS_EACH_MAX),
    };
    let (health, health_service) = tonic_health::server::health_reporter();
    set_all(&health, ServingStatus::Serving).await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(attestune_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let routes = Routes::new(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(server!(LedgerServer, services.clone()).max_decoding_message_size(ENVELOPE_MAX))
        .add_service(server!(ReceiptsServer, services.clone()))
        .add_service(server!(ProvenanceServer, services.clone()))
        .add_service(server!(RegistryServer, services.clone()))
        .add_service(server!(ContentServer, services.clone()))
        .add_service(server!(OperationsServer, services.clone()))
        .add_service(server!(ComplianceServer, services.clone()))
        .add_service(server!(ReviewServer, services.clone()))
        .add_service(server!(PairingServer, services.clone()))
        .add_service(server!(AdminServer, services.clone()));
    Ok((Routes::from(routes.into_axum_router().merge(pages::router(services))), health))
}
