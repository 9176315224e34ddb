//! gRPC calls: each is counted by method and status when it ends, timed, and a span for tracing. What it carries is not
//! looked at.

use super::{describe, names};
use crate::http::is_page;
use crate::pages;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use metrics::{counter, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tonic::Code;
use tracing::{Instrument as _, Span};

/// Upper bounds of the histogram, seconds.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
/// Times are put into buckets after so many calls, also if nobody reads them.
const UPKEEP_EVERY: u32 = 1024;

/// All servers of this process count together.
static RECORDER: LazyLock<PrometheusRecorder> = LazyLock::new(|| {
    let builder = PrometheusBuilder::new();
    let builder = builder.set_buckets_for_metric(Matcher::Full(names::CALL_TIME.into()), &BUCKETS);
    let builder = builder.and_then(|b| b.set_buckets_for_metric(Matcher::Full(names::ANSWER_TIME.into()), &BUCKETS));
    let recorder = builder.expect("the list of buckets is not empty").build_recorder();
    describe(&recorder);
    recorder
});

/// Service and method by path, of all that is served; whatever else is asked for is one.
static METHODS: LazyLock<HashMap<String, (String, String)>> = LazyLock::new(|| {
    let sets = [
        attestune_proto::DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let files = sets.into_iter().filter_map(|set| FileDescriptorSet::decode(set).ok()).flat_map(|set| set.file);
    let mut methods = HashMap::new();
    for file in files {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            for method in &service.method {
                let path = format!("/{name}/{}", method.name());
                methods.insert(path, (name.clone(), method.name().to_owned()));
            }
        }
    }
    methods
});

/// What was counted, as Prometheus reads it.
pub(super) fn render() -> String {
    RECORDER.handle().render()
}

/// Counts, times and traces a gRPC call. By HTTP/1 only pages are served: no gRPC client speaks it, but a browser that
/// was led astray does.
pub async fn measure(request: Request, next: Next) -> Response {
    if !is_grpc(request.headers()) {
        let path = request.uri().path();
        if is_page(path) || pages::is_page(path) {
            return next.run(request).await;
        }
        return (StatusCode::NOT_FOUND, "there is no such page\n").into_response();
    }
    if request.version() < Version::HTTP_2 {
        return (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "gRPC needs HTTP/2\n").into_response();
    }
    let (service, method) =
        METHODS.get(request.uri().path()).map_or(("other", "other"), |(s, m)| (s.as_str(), m.as_str()));
    let span = tracing::info_span!(
        "grpc",
        otel.name = format!("{service}/{method}"),
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = tracing::field::Empty,
    );
    let mut call = Call { service, method, begun: Instant::now(), span: span.clone(), ended: false };
    let response = next.run(request).instrument(span).await;
    if let Some(code) = status(response.headers()) {
        call.end(code); // no message comes before it
    }
    response.map(|body| Body::new(Counted { body, call }))
}

/// Counts and times a request of OpenAI's API.
pub fn count_answer(endpoint: &'static str, status: StatusCode, took: Duration) {
    metrics::with_local_recorder(&*RECORDER, || {
        counter!(names::ANSWERS, "endpoint" => endpoint, "status" => status.as_u16().to_string()).increment(1);
        histogram!(names::ANSWER_TIME, "endpoint" => endpoint).record(took);
    });
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(http::header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn status(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

/// A call under way.
struct Call {
    service: &'static str,
    method: &'static str,
    begun: Instant,
    span: Span,
    ended: bool,
}

impl Call {
    fn end(&mut self, code: Code) {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.span.record("rpc.grpc.status_code", code as i32);
        let (service, method) = (self.service, self.method);
        metrics::with_local_recorder(&*RECORDER, || {
            counter!(names::CALLS, "service" => service, "method" => method, "code" => name(code)).increment(1);
            histogram!(names::CALL_TIME, "service" => service, "method" => method).record(self.begun.elapsed());
        });
        if CALLS.fetch_add(1, Ordering::Relaxed) % UPKEEP_EVERY == UPKEEP_EVERY - 1 {
            RECORDER.handle().run_upkeep();
        }
    }
}

impl Drop for Call {
    /// A client that left, or a connection that broke.
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// A code as the specification of gRPC writes it.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// An answer whose trailers tell how the call ended.
struct Counted {
    body: Body,
    call: Call,
}

impl HttpBody for Counted {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        let polled = {
            let span = this.call.span.clone();
            let _inside = span.enter();
            Pin::new(&mut this.body).poll_frame(context)
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(code) = frame.trailers_ref().and_then(status) {
                    this.call.end(code);
                }
            }
            Poll::Ready(Some(Err(_)) | None) => this.call.end(Code::Unknown),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
