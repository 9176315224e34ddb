//! `/metrics`, `/healthz` and `/readyz`, read over the port that gRPC is on.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod world;

use attestune_gateway::metrics::{METRICS, Type};
use attestune_gateway::{serve_pages, serve_tcp};
use attestune_proto::v1::{
    DocumentsIngested, HeadRequest, HistoryRequest, SealRequest, SubscribeRequest, content_client::ContentClient,
    event::Body, ledger_client::LedgerClient, provenance_client::ProvenanceClient,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use world::World;

/// A world behind a port, and the word to stop.
async fn served() -> (World, SocketAddr, watch::Sender<bool>) {
    let world = World::new().await;
    let (addr, (stop, stopped)) = (free_address(), watch::channel(false));
    tokio::spawn(serve_tcp(world.gateway.clone(), addr, stopped));
    (world, addr, stop)
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Asks over HTTP/1.1, as Prometheus does; answers status and body.
async fn ask(addr: SocketAddr, head: &str) -> (u16, String) {
    let mut socket = loop {
        match TcpStream::connect(addr).await {
            Ok(socket) => break socket,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    socket.write_all(format!("{head}\r\nhost: {addr}\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

async fn get(addr: SocketAddr, path: &str) -> (u16, String) {
    ask(addr, &format!("GET {path} HTTP/1.1")).await
}

async fn metrics(addr: SocketAddr) -> String {
    let (status, text) = get(addr, "/metrics").await;
    assert_eq!(status, 200);
    text
}

/// The value of a series, written as Prometheus does.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// Name and type of what a text holds.
fn types(text: &str) -> BTreeMap<String, String> {
    let typed = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    typed.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

async fn channel(addr: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{addr}")).unwrap().connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_of_the_list_is_told_with_its_type_and_no_other() {
    let (world, addr, _stop) = served().await;
    let text = "the card ending 4242 was declined";
    let sealed = SealRequest { contents: vec![text.into()], collection: String::new(), ..Default::default() };
    get(addr, "/healthz").await;
    ContentClient::new(channel(addr).await).seal(world.ask("sten", sealed)).await.unwrap();
    world.act("paul", Body::DocumentsIngested(DocumentsIngested::default()));
    LedgerClient::new(channel(addr).await).head(HeadRequest {}).await.unwrap();

    world.gateway.published.as_ref().unwrap().note(3, true);
    let told = metrics(addr).await;
    let listed: BTreeMap<_, _> = METRICS.iter().map(|m| (m.name.to_owned(), m.kind.name().to_owned())).collect();
    let mut expected = listed.clone();
    expected.remove("attestune_leases"); // nobody holds one
    expected.remove("attestune_work_partitions"); // a gateway has no share of the work
    // No model was asked.
    expected.retain(|name, _| !name.starts_with("attestune_openai_"));
    assert_eq!(types(&told), expected);

    let position = world.gateway.replica.position() as f64;
    assert_eq!(value(&told, "attestune_fold_position"), Some(position));
    assert_eq!(value(&told, "attestune_log_end"), Some(position));
    assert_eq!(value(&told, "attestune_log_lag_entries"), Some(0.0));
    assert_eq!(value(&told, "attestune_ready"), Some(1.0));
    assert_eq!(value(&told, "attestune_published_position"), Some(3.0));
    assert_eq!(value(&told, "attestune_publish_lag_entries"), Some(position - 3.0));
    assert_eq!(value(&told, "attestune_publishing"), Some(1.0));
    assert_eq!(value(&told, "attestune_unread_windows"), Some(0.0));
    assert_eq!(value(&told, "attestune_fold_entries_total{verdict=\"refused\"}"), Some(1.0));
    assert_eq!(value(&told, "attestune_fold_entries_total{verdict=\"accepted\"}"), Some(position - 1.0));
    let refusals: f64 = told.lines().filter(|l| l.starts_with("attestune_refusals_total{")).map(last_number).sum();
    assert_eq!(refusals, 1.0, "{told}");
    assert!(value(&told, "attestune_verified_entries_total").unwrap() >= position);
    assert!(value(&told, "attestune_verify_microseconds_total").unwrap() > 0.0);
    assert_eq!(value(&told, "attestune_vault_operations_total{operation=\"seal\",outcome=\"ok\"}"), Some(1.0));
    let call = "{service=\"attestune.v1.Ledger\",method=\"Head\",code=\"OK\"}";
    assert!(value(&told, &format!("attestune_grpc_requests_total{call}")).unwrap() >= 1.0, "{told}");
    let buckets = told.lines().filter(|l| l.starts_with("attestune_grpc_request_seconds_bucket{")).count();
    assert!(buckets >= 12, "{told}");

    for hidden in ["sten", "paul", "rita", "4242", "declined"] {
        assert!(!told.contains(hidden), "`{hidden}` has no place in {told}");
    }
}

fn last_number(line: &str) -> f64 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_counts_under_its_method_and_status_and_any_unknown_one_as_other() {
    let (world, addr, _stop) = served().await;
    get(addr, "/healthz").await;
    let mut provenance = ProvenanceClient::new(channel(addr).await);
    provenance.history(HistoryRequest::default()).await.unwrap_err(); // no token
    let mut history = provenance.history(world.ask("rita", HistoryRequest::default())).await.unwrap().into_inner();
    while history.message().await.unwrap().is_some() {}
    let following = world.ask("rita", SubscribeRequest::default());
    drop(LedgerClient::new(channel(addr).await).subscribe(following).await.unwrap()); // it would never end
    for path in ["/attestune.v1.Ledger/Nothing", "/x.y.Z/Nothing", "/attestune.v1.Ledger/Head/and/more"] {
        let mut grpc = tonic::client::Grpc::new(channel(addr).await);
        grpc.ready().await.unwrap();
        let path = path.parse().unwrap();
        let codec = tonic_prost::ProstCodec::<HeadRequest, HeadRequest>::default();
        grpc.unary(tonic::Request::new(HeadRequest {}), path, codec).await.unwrap_err();
    }
    let series = |service: &str, method: &str, code: &str| {
        format!("attestune_grpc_requests_total{{service=\"{service}\",method=\"{method}\",code=\"{code}\"}}")
    };
    let left = series("attestune.v1.Ledger", "Subscribe", "CANCELLED");
    let told = loop {
        let told = metrics(addr).await;
        if value(&told, &left).is_some() {
            break told;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let count = |service: &str, method: &str, code: &str| value(&told, &series(service, method, code));
    assert_eq!(count("attestune.v1.Provenance", "History", "UNAUTHENTICATED"), Some(1.0), "{told}");
    assert_eq!(count("attestune.v1.Provenance", "History", "OK"), Some(1.0), "{told}");
    assert_eq!(value(&told, &left), Some(1.0), "{told}");
    assert_eq!(count("other", "other", "UNIMPLEMENTED"), Some(3.0), "{told}");
    assert!(!told.contains("Nothing"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_ready_until_it_is_told_to_stop_or_its_fold_stops() {
    let (world, addr, _stop) = served().await;
    assert_eq!(get(addr, "/healthz").await, (200, "ok\n".into()));
    assert_eq!(get(addr, "/readyz").await, (200, "ok\n".into()));
    let (status, head) = get(addr, "/head").await;
    let folded = world.gateway.replica.head().unwrap();
    assert_eq!(status, 200);
    assert!(head.starts_with(&format!("size {}\n", folded.size)), "{head}");
    assert!(head.ends_with(&format!("verdicts {}\n", hex::encode(folded.verdict_root))), "{head}");
    assert_eq!(get(addr, "/nothing").await, (404, "there is no such page\n".into()));

    world.log.break_down();
    while world.gateway.replica.failure().is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for page in ["/healthz", "/readyz"] {
        let (status, why) = get(addr, page).await;
        assert_eq!(status, 503);
        assert!(why.starts_with("the fold has stopped: ") && why.contains("the test broke it"), "{why}");
    }
    let told = metrics(addr).await;
    assert_eq!(value(&told, "attestune_fold_failed"), Some(1.0));
    assert_eq!(value(&told, "attestune_ready"), Some(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_is_not_spoken_by_http_1_so_that_a_page_in_a_browser_cannot() {
    let (_world, addr, _stop) = served().await;
    let (status, why) = ask(addr, "POST /attestune.v1.Ledger/Head HTTP/1.1\r\ncontent-type: application/grpc").await;
    assert_eq!((status, why.as_str()), (505, "gRPC needs HTTP/2\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_serves_the_pages_alone() {
    let world = World::new().await;
    let (addr, (stop, stopped)) = (free_address(), watch::channel(false));
    let share = Some(Arc::new(AtomicU32::new(21)));
    let serving = tokio::spawn(serve_pages(world.gateway.replica.clone(), None, share, addr, stopped));
    assert_eq!(get(addr, "/readyz").await, (200, "ok\n".into()));
    let told = metrics(addr).await;
    assert!(value(&told, "attestune_fold_position").unwrap() > 0.0);
    assert_eq!(value(&told, "attestune_work_partitions"), Some(21.0));
    stop.send_replace(true);
    serving.await.unwrap().unwrap();
    let (_stop, stopped) = watch::channel(false);
    let outside = serve_pages(world.gateway.replica.clone(), None, None, "192.0.2.1:1".parse().unwrap(), stopped).await;
    assert!(outside.unwrap_err().to_string().contains("not a loopback address"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_path_buf()
}

#[test]
fn the_manual_lists_every_metric() {
    let mut wanted = String::from(
        "# Metrics\n\nGenerated from `gateway/src/metrics/names.rs`. A server tells them at `/metrics` on the port that \
         gRPC is on, in Prometheus' text format; [deployment](deployment.md) says how they are collected. No text of the \
         vault is in them, and of actors only the names of workers. Every label has few values.\n\n\
         | metric | type | labels | what it says |\n| --- | --- | --- | --- |\n",
    );
    for metric in METRICS {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels) = (metric.name, metric.kind.name(), labels.join(", "));
        writeln!(wanted, "| `{name}` | {kind} | {labels} | {} |", metric.meaning).unwrap();
    }
    let path = root().join("docs/metrics.md");
    if std::env::var_os("ATTESTUNE_WRITE_DOCS").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let have = fs::read_to_string(&path).unwrap_or_default();
    assert!(have == wanted, "docs/metrics.md is not what the code says: ATTESTUNE_WRITE_DOCS=1 cargo test --workspace");
}

#[test]
fn dashboard_and_alerts_ask_for_metrics_that_there_are() {
    let mut names: BTreeSet<String> = METRICS.iter().map(|m| m.name.to_owned()).collect();
    for metric in METRICS.iter().filter(|m| m.kind == Type::Histogram) {
        names.extend(["bucket", "count", "sum"].map(|part| format!("{}_{part}", metric.name)));
    }
    for file in ["deploy/grafana/dashboards/attestune.json", "deploy/prometheus/alerts.yml"] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let asked: BTreeSet<_> = words.filter(|word| word.starts_with("attestune_")).map(str::to_owned).collect();
        assert!(asked.len() >= 4, "{file} asks for {asked:?}");
        let missing: Vec<_> = asked.difference(&names).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}, which nobody tells");
    }
}
