//! Registry, Provenance, Admin, reflection, health, and the ways of listening.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod world;

use attestune_gateway::{ServeError, serve_tcp, serve_uds};
use attestune_proto::v1::{
    AsOf, DoctorRequest, DocumentsIngested, GetModelVersionRequest, GetPolicyRequest, HeadRequest, HistoryRequest,
    Kind, LineageRequest, ListRequest, PrepareDatasetRequest, RowsRequest, StatusRequest, Verdict, WhyInForceRequest,
    admin_client::AdminClient, as_of::When, event::Body, ledger_client::LedgerClient,
    provenance_client::ProvenanceClient, registry_client::RegistryClient,
};
use hyper_util::rt::TokioIo;
use std::{collections::BTreeSet, time::Duration};
use tokio::sync::watch;
use tonic::{Code, transport::Endpoint};
use world::World;

fn ingested(collection: &str) -> Body {
    Body::DocumentsIngested(DocumentsIngested {
        collection: collection.into(),
        pack: vec![1; 16],
        commitments: vec![vec![2; 32]],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registry_answers_as_of_now_and_as_of_then() {
    let world = World::new().await;
    let mut registry = RegistryClient::new(world.channel.clone());
    let before = world.gateway.replica.position() - 1;
    let at = world.must("sten", ingested("tickets"));
    world.must("sten", ingested("letters"));

    let named = |name: &str, as_of| world.ask("rita", ListRequest { name: name.into(), as_of });
    let batches = registry.list_batches(named("tickets", None)).await.unwrap().into_inner().documents;
    assert_eq!(batches.iter().map(|b| (b.position, b.collection.as_str())).collect::<Vec<_>>(), [(at, "tickets")]);
    let then = Some(AsOf { when: Some(When::Position(before)) });
    assert!(registry.list_batches(named("tickets", then)).await.unwrap().into_inner().documents.is_empty());
    let ahead = Some(AsOf { when: Some(When::Position(999)) });
    assert_eq!(registry.list_batches(named("", ahead)).await.unwrap_err().code(), Code::OutOfRange);

    let actors = registry.list_actors(named("sten", None)).await.unwrap().into_inner();
    assert_eq!((actors.actors.len(), actors.keys.len()), (1, 1));
    let policy = registry.get_policy(world.ask("rita", GetPolicyRequest { version: 0 })).await.unwrap().into_inner();
    assert_eq!(policy.policy.unwrap().detectors[0].name, "pii");
    let unknown = registry.get_policy(world.ask("rita", GetPolicyRequest { version: 9 })).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);

    let prepared = PrepareDatasetRequest { collections: vec!["tickets".into()] };
    assert_eq!(registry.prepare_dataset(world.ask("sten", prepared)).await.unwrap().into_inner().count, 0);
    let work = registry.list_open_work(named("", None)).await.unwrap().into_inner();
    assert!(work.batches_to_scan.is_empty() && work.runs.is_empty());
    assert!(registry.list_models(named("", None)).await.unwrap().into_inner().models.is_empty());
    assert!(registry.list_runs(named("", None)).await.unwrap().into_inner().runs.is_empty());
    assert!(registry.list_suites(named("", None)).await.unwrap().into_inner().suites.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provenance_names_what_is_missing_and_history_filters() {
    let world = World::new().await;
    let mut provenance = ProvenanceClient::new(world.channel.clone());
    let version = GetModelVersionRequest { model: "triage".into(), version: 3, as_of: None };
    let status = provenance.get_model_version(world.ask("rita", version)).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("triage"), "{}", status.message());
    let why = WhyInForceRequest { model: "triage".into(), as_of: None };
    assert_eq!(provenance.why_in_force(world.ask("rita", why)).await.unwrap_err().code(), Code::NotFound);

    let at = world.must("sten", ingested("tickets"));
    let lineage = LineageRequest { position: at, direction: 2, as_of: None, limit: 0 };
    let nodes = provenance.lineage(world.ask("rita", lineage)).await.unwrap().into_inner().nodes;
    assert_eq!(nodes.iter().map(|n| n.position).collect::<Vec<_>>(), [at]);

    let refused = world.act("paul", ingested("tickets")).position;
    let mut positions = async |request: HistoryRequest| {
        let mut events = provenance.history(world.ask("rita", request)).await.unwrap().into_inner();
        let mut positions = Vec::new();
        while let Some(event) = events.message().await.unwrap() {
            positions.push(event.position);
        }
        positions
    };
    let kinds = vec![Kind::DocumentsIngested.into()];
    assert_eq!(positions(HistoryRequest { kinds: kinds.clone(), ..Default::default() }).await, [at, refused]);
    let verdict = Verdict::Refused.into();
    assert_eq!(positions(HistoryRequest { kinds, verdict, ..Default::default() }).await, [refused]);
    assert_eq!(positions(HistoryRequest { limit: 2, ..Default::default() }).await, [0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_counts_verdicts_finds_nothing_wrong_and_gives_every_row() {
    let world = World::new().await;
    let mut admin = AdminClient::new(world.channel.clone());
    world.act("paul", ingested("tickets"));
    let status = admin.status(world.ask("ada", StatusRequest {})).await.unwrap().into_inner();
    let position = world.gateway.replica.position();
    assert_eq!((status.accepted, status.refused), (position - 1, 1));
    assert_eq!(status.head.unwrap().size, position);

    let checks = admin.doctor(world.ask("ada", DoctorRequest { deep: true })).await.unwrap().into_inner().checks;
    assert!(checks.iter().all(|check| check.ok), "{checks:?}");
    assert!(checks.iter().any(|check| check.detail.contains(&position.to_string())), "{checks:?}");

    let mut rows = admin.rows(world.ask("ada", RowsRequest {})).await.unwrap().into_inner();
    let mut keys = Vec::new();
    while let Some(row) = rows.message().await.unwrap() {
        keys.push((row.key, u64::MAX - row.position));
    }
    assert!(keys.is_sorted(), "rows come in order of key, the newest version first");
    assert!(keys.len() > 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_reflection_need_no_token() {
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let world = World::new().await;
    let request = HealthCheckRequest { service: "attestune.v1.Ledger".into() };
    let answer = HealthClient::new(world.channel.clone()).check(request).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);

    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(world.channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
    let names: BTreeSet<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["Ledger", "Receipts", "Provenance", "Registry", "Content", "Admin"] {
        assert!(names.contains(format!("attestune.v1.{name}").as_str()), "{name} is missing of {names:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_text_is_served_on_loopback_only() {
    let world = World::new().await;
    let (_stop, stopped) = watch::channel(false);
    let outcome = serve_tcp(world.gateway.clone(), "0.0.0.0:0".parse().unwrap(), stopped).await;
    assert!(matches!(outcome, Err(ServeError::NotLoopback(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_serves_until_told_to_stop() {
    let world = World::new().await;
    let path = world.path("socket");
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(serve_uds(world.gateway.clone(), path.clone(), stopped.clone()));
    while !path.exists() {
        assert!(!serving.is_finished());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let connector = {
        let path = path.clone();
        tower::service_fn(move |_| {
            let path = path.clone();
            async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
        })
    };
    let channel = Endpoint::from_static("http://socket").connect_with_connector(connector).await.unwrap();
    let head = LedgerClient::new(channel.clone()).head(HeadRequest {}).await.unwrap().into_inner();
    assert_eq!(head.ledger, world.ledger);

    let taken = serve_uds(world.gateway.clone(), path, stopped).await;
    assert!(matches!(taken, Err(ServeError::Listen { .. })));

    stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(10), serving).await.expect("it stops").unwrap().unwrap();
}
