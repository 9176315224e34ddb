//! Traces sent to a collector: a real receiver of OTLP, and a real server that sends.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Ledger, process::Running};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::sync::{Arc, Mutex};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Starts it on a free port; answers its URL.
    fn start(&self, runtime: &tokio::runtime::Runtime) -> String {
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(self.clone()));
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        url
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.0.lock().unwrap();
        let scopes = requests.iter().flat_map(|r| &r.resource_spans).flat_map(|r| &r.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A running `up` that sends traces there.
fn up(ledger: &Ledger, otlp: &str) -> Running {
    Running::up(ledger, &["--no-tcp", "--no-workers", "--otlp", otlp])
}

#[test]
fn calls_and_appends_arrive_at_the_collector_and_no_text_with_them() {
    let (runtime, collector) = (runtime(), Collector::default());
    let url = collector.start(&runtime);
    let ledger = Ledger::staffed();
    let server = up(&ledger, &url);
    let tickets = ledger.file("tickets.jsonl", b"{\"id\":\"1\",\"text\":\"my card ending 4242 was declined\"}\n");
    ledger.ok(&["ingest", &tickets, "--as", "stella", "--collection", "tickets"]);
    server.terminate(); // what is left is sent before it ends

    let spans = collector.spans();
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name}: {spans:?}"));
    let seal = named("attestune.v1.Content/Seal");
    let attribute = |span: &Span, key: &str| span.attributes.iter().find(|a| a.key == key).map(|a| format!("{a:?}"));
    assert!(attribute(seal, "rpc.method").unwrap().contains("Seal"));
    assert!(attribute(seal, "rpc.grpc.status_code").unwrap().contains("IntValue(0)"), "{seal:?}");
    let call = named("attestune.v1.Ledger/Append");
    let within = |span: &&Span| span.name == "append" && span.parent_span_id == call.span_id;
    let append = spans.iter().find(within).unwrap_or_else(|| panic!("no append within the call: {spans:?}"));
    assert!(attribute(append, "entries").unwrap().contains('1'), "{append:?}");
    assert!(call.end_time_unix_nano >= append.end_time_unix_nano);

    let everything = format!("{:?}", collector.0.lock().unwrap());
    for hidden in ["4242", "declined", "stella", "tickets"] {
        assert!(!everything.contains(hidden), "`{hidden}` has no place in a trace");
    }
}

#[test]
fn a_collector_that_is_not_there_costs_no_call() {
    let ledger = Ledger::staffed();
    let server = up(&ledger, "http://127.0.0.1:1");
    assert!(ledger.ok(&["key", "list"]).contains("Ada Okafor"));
    server.terminate();
    let error = ledger.fails(2, &["key", "list", "--otlp", "collector:4317"]);
    assert!(
        error.contains("no traces can be sent to `collector:4317`") && error.contains("http://127.0.0.1:4317"),
        "{error}"
    );
}
