//! Registry, Provenance, Admin, reflection, health, and the ways of listening.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod world;

use attestune_gateway::{ServeError, serve_tcp, serve_uds};
use attestune_ledger::store::{Family, state_key};
use attestune_proto::v1::{
    AppendRequest, AsOf, ClauseStatus, ComplyRequest, DoctorRequest, DocumentsIngested, GetModelVersionRequest,
    GetPolicyRequest, HeadRequest, HistoryRequest, Kind, LineageRequest, ListRequest, PrepareDatasetRequest,
    RowsRequest, StatusRequest, SubscribeRequest, Verdict, WhyInForceRequest, admin_client::AdminClient, as_of::When,
    compliance_client::ComplianceClient, event::Body, ledger_client::LedgerClient, provenance_client::ProvenanceClient,
    registry_client::RegistryClient,
};
use hyper_util::rt::TokioIo;
use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinHandle};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use world::{World, reason};

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

    let named = |name: &str, as_of| world.ask("rita", ListRequest { name: name.into(), as_of, ..Default::default() });
    let batches = registry.list_batches(named("tickets", None)).await.unwrap().into_inner().documents;
    assert_eq!(batches.iter().map(|b| (b.position, b.collection.as_str())).collect::<Vec<_>>(), [(at, "tickets")]);
    let then = Some(AsOf { when: Some(When::Position(before)) });
    assert!(registry.list_batches(named("tickets", then)).await.unwrap().into_inner().documents.is_empty());
    let ahead = Some(AsOf { when: Some(When::Position(999)) });
    assert_eq!(registry.list_batches(named("", ahead)).await.unwrap_err().code(), Code::OutOfRange);

    let actors = registry.list_actors(named("sten", None)).await.unwrap().into_inner();
    assert_eq!((actors.actors.len(), actors.keys.len()), (1, 1));
    let policy = registry.get_policy(world.ask("rita", GetPolicyRequest::default())).await.unwrap().into_inner();
    assert_eq!(policy.policy.unwrap().detectors[0].name, "pii");
    let unknown =
        registry.get_policy(world.ask("rita", GetPolicyRequest { version: 9, as_of: None })).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);

    let prepared = PrepareDatasetRequest { collections: vec!["tickets".into()], as_of: None };
    assert_eq!(registry.prepare_dataset(world.ask("sten", prepared)).await.unwrap().into_inner().count, 0);
    let work = registry.list_open_work(named("", None)).await.unwrap().into_inner();
    assert!(work.batches_to_scan.is_empty() && work.runs.is_empty());
    assert!(registry.list_models(named("", None)).await.unwrap().into_inner().models.is_empty());
    assert!(registry.list_runs(named("", None)).await.unwrap().into_inner().runs.is_empty());
    assert!(registry.list_suites(named("", None)).await.unwrap().into_inner().suites.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_with_a_limit_gives_the_newest_first_and_goes_on_below_a_position() {
    let world = World::new().await;
    let mut registry = RegistryClient::new(world.channel.clone());
    let tickets: Vec<u64> = (0..3).map(|_| world.must("sten", ingested("tickets"))).collect();
    let letters = world.must("sten", ingested("letters"));
    // Far more entries lie between them than are looked through at once.
    let idle = (0..1100).map(|_| world.signed("paul", ingested("tickets"))).collect();
    world.gateway.replica.append(idle).unwrap();
    let last = world.must("sten", ingested("tickets"));

    let mut listed = async |name: &str, limit: u32, before: u64| {
        let request = ListRequest { name: name.into(), limit, before, as_of: None };
        let answer = registry.list_batches(world.ask("rita", request)).await.unwrap().into_inner();
        answer.documents.iter().map(|row| row.position).collect::<Vec<_>>()
    };
    assert_eq!(listed("", 2, 0).await, [last, letters]);
    assert_eq!(listed("tickets", 2, 0).await, [last, tickets[2]]);
    assert_eq!(listed("tickets", 9, tickets[2]).await, [tickets[1], tickets[0]]);
    assert!(listed("tickets", 9, tickets[0]).await.is_empty());
    assert_eq!(listed("tickets", 0, 0).await, [&tickets[..], &[last]].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compliance_is_told_to_whoever_holds_a_role() {
    let world = World::new().await;
    let mut compliance = ComplianceClient::new(world.channel.clone());
    let asked = |pack: &str| ComplyRequest { pack: pack.into(), ..Default::default() };
    let answer = compliance.comply(world.ask("rita", asked("21-cfr-11"))).await.unwrap().into_inner();
    let named = answer.packs[0].clauses.iter().find(|clause| clause.clause == "11.50(a)").unwrap();
    assert_eq!(named.status(), ClauseStatus::Met);
    // One root key alone adopts policies here.
    let authority = answer.packs[0].clauses.iter().find(|clause| clause.clause == "11.10(g)").unwrap();
    assert_eq!(authority.status(), ClauseStatus::Gap);
    let unknown = compliance.comply(world.ask("rita", asked("hammurabi"))).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(compliance.comply(world.ask("paul", asked(""))).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(compliance.comply(asked("")).await.unwrap_err().code(), Code::Unauthenticated);
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

/// The server as a whole, and its services.
const SERVICES: [&str; 9] = [
    "",
    "attestune.v1.Ledger",
    "attestune.v1.Receipts",
    "attestune.v1.Provenance",
    "attestune.v1.Registry",
    "attestune.v1.Content",
    "attestune.v1.Operations",
    "attestune.v1.Review",
    "attestune.v1.Admin",
];

async fn health(world: &World, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.into() };
    HealthClient::new(world.channel.clone()).check(request).await.unwrap().into_inner().status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_reflection_need_no_token() {
    let world = World::new().await;
    for name in SERVICES {
        assert_eq!(health(&world, name).await, ServingStatus::Serving, "{name}");
    }

    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(world.channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
    let names: BTreeSet<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in &SERVICES[1..] {
        assert!(names.contains(name), "{name} is missing of {names:?}");
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
async fn once_the_fold_has_stopped_no_service_serves_and_the_status_says_why() {
    let world = World::new().await;
    let following = SubscribeRequest { from: world.gateway.replica.position(), to_end: false };
    let mut ledger = LedgerClient::new(world.channel.clone());
    let mut following = ledger.subscribe(world.ask("rita", following)).await.unwrap().into_inner();
    world.log.break_down();
    let until = Instant::now() + Duration::from_secs(10);
    while health(&world, "").await != ServingStatus::NotServing {
        assert!(Instant::now() < until, "the health follows the fold");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for name in SERVICES {
        assert_eq!(health(&world, name).await, ServingStatus::NotServing, "{name}");
    }
    let mut admin = AdminClient::new(world.channel.clone());
    let status = admin.status(world.ask("ada", StatusRequest {})).await.unwrap().into_inner();
    assert!(status.head.is_some(), "what was folded can still be read");
    assert!(status.stopped.is_some_and(|why| why.contains("the test broke it")));
    let checks = admin.doctor(world.ask("ada", DoctorRequest { deep: false })).await.unwrap().into_inner().checks;
    assert!(checks.iter().any(|check| !check.ok && check.detail.contains("the test broke it")), "{checks:?}");
    assert_eq!(reason(&following.message().await.unwrap_err()), "fold-stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_does_not_decode_is_a_loss_of_data_not_an_absence() {
    let world = World::new().await;
    let row = attestune_ledger::state::Actors::key("sten");
    let (written, _) = world.store.as_of(row.as_bytes(), u64::MAX - 1).unwrap().unwrap();
    let mut batch = world.store.batch();
    batch.put(Family::State, &state_key(row.as_bytes(), written), &[0xff]);
    world.store.write(batch, true).unwrap();

    let mut registry = RegistryClient::new(world.channel.clone());
    for reader in ["rita", "sten"] {
        let status = registry.list_actors(world.ask(reader, ListRequest::default())).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::DataLoss, "damaged"), "{}", status.message());
    }
}

/// A gateway on a Unix socket.
struct Served {
    path: PathBuf,
    stop: watch::Sender<bool>,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl Served {
    async fn new(world: &World) -> Self {
        let (path, (stop, stopped)) = (world.path("socket"), watch::channel(false));
        let serving = tokio::spawn(serve_uds(world.gateway.clone(), path.clone(), stopped));
        while !path.exists() {
            assert!(!serving.is_finished());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self { path, stop, serving }
    }

    async fn connect(&self) -> Channel {
        let path = self.path.clone();
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
        });
        Endpoint::from_static("http://socket").connect_with_connector(connector).await.unwrap()
    }

    /// Says stop, and answers how long it took.
    async fn stop(self) -> Duration {
        let begun = Instant::now();
        self.stop.send_replace(true);
        tokio::time::timeout(Duration::from_secs(20), self.serving).await.expect("it stops").unwrap().unwrap();
        begun.elapsed()
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_is_its_owners_alone_and_keeps_its_name() {
    let world = World::new().await;
    let served = Served::new(&world).await;
    assert_eq!(mode(&served.path), 0o600);
    let head = LedgerClient::new(served.connect().await).head(HeadRequest {}).await.unwrap().into_inner();
    assert_eq!(head.ledger, world.ledger);

    let taken = serve_uds(world.gateway.clone(), served.path.clone(), served.stop.subscribe()).await;
    assert!(matches!(taken, Err(ServeError::Listen { .. })), "a name that is taken stays with whoever has it");
    LedgerClient::new(served.connect().await).head(HeadRequest {}).await.unwrap();
    let left: Vec<_> =
        std::fs::read_dir(served.path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.contains(&".up".into()), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_would_go_on_for_ever_end_when_the_server_is_told_to_stop() {
    let world = World::new().await;
    let served = Served::new(&world).await;
    let channel = served.connect().await;
    let from = world.gateway.replica.position() - 1;
    let subscribe = world.ask("rita", SubscribeRequest { from, to_end: false });
    let mut following = LedgerClient::new(channel.clone()).subscribe(subscribe).await.unwrap().into_inner();
    assert_eq!(following.message().await.unwrap().unwrap().position, from);
    let (sender, requests) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut appending = LedgerClient::new(channel.clone()).append_stream(requests).await.unwrap().into_inner();
    sender.send(AppendRequest { envelope: world.signed("sten", ingested("tickets")) }).await.unwrap();
    assert_eq!(appending.message().await.unwrap().unwrap().position, from + 1);
    assert_eq!(following.message().await.unwrap().unwrap().position, from + 1);
    let request = HealthCheckRequest { service: String::new() };
    let mut watching = HealthClient::new(channel).watch(request).await.unwrap().into_inner();
    assert_eq!(watching.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    let took = served.stop().await;
    assert!(took < Duration::from_secs(3), "it waited {took:?}");
    for status in [following.message().await.unwrap_err(), appending.message().await.unwrap_err()] {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "stopping"));
    }
    assert_eq!(watching.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert!(watching.message().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_does_not_end_is_cut_when_the_time_of_grace_is_over() {
    let world = World::new().await;
    let served = Served::new(&world).await;
    // A client of reflection that asks nothing and stays.
    let (sender, requests) = tokio::sync::mpsc::channel::<ServerReflectionRequest>(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut client = ServerReflectionClient::new(served.connect().await);
    let staying = client.server_reflection_info(requests).await.unwrap();
    let took = served.stop().await;
    assert!((4..15).contains(&took.as_secs()), "it took {took:?}");
    drop((sender, staying));
}
