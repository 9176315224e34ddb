//! What the process tells of its work: lines on stderr and, where a collector is named, traces by OTLP.
//!
//! Spans name services, methods, statuses and counts. Nothing that a call carries is in them.

use crate::problem;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use std::time::Duration;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt, registry};

/// How long a collector has to take a batch; also how long the process waits for that at its end.
const EXPORT_WAIT: Duration = Duration::from_secs(5);

/// The traces under way, if any.
pub struct Telemetry(Option<SdkTracerProvider>);

/// Starts lines and traces; inside a runtime, as the exporter needs one.
///
/// # Errors
/// If the collector's URL is none.
pub fn start(otlp: Option<&str>) -> anyhow::Result<Telemetry> {
    let filter = EnvFilter::try_from_env("ATTESTUNE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let lines = registry().with(fmt::layer().with_writer(std::io::stderr).with_filter(filter));
    let Some(url) = otlp else {
        lines.init();
        return Ok(Telemetry(None));
    };
    let provider = provider(url)?;
    let tracer = provider.tracer("attestune");
    let spans = tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_threads(false);
    let ours = filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with("attestune"));
    lines.with(spans.with_filter(ours)).init();
    Ok(Telemetry(Some(provider)))
}

fn provider(url: &str) -> anyhow::Result<SdkTracerProvider> {
    let cannot = |why: String| {
        problem::cannot(
            format!("no traces can be sent to `{url}`: {why}"),
            "name a collector that listens for OTLP by gRPC, for instance http://127.0.0.1:4317",
        )
    };
    if !url.starts_with("http://") {
        return Err(cannot("plain http:// is spoken, to an agent on this machine that passes them on".into()));
    }
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(url).with_timeout(EXPORT_WAIT).build();
    let exporter = exporter.map_err(|error| cannot(error.to_string()))?;
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_service_name("attestune").with_attribute(version).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

impl Telemetry {
    /// Sends what is left.
    pub fn stop(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown_with_timeout(EXPORT_WAIT)
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}
