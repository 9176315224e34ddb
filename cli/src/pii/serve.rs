//! `attestune pii serve`: Presidio's REST services over this build's scanner, so that their clients work unchanged.

use super::settings::{Settings, unusable};
use crate::running::Signals;
use attestune_gateway::{listen_tcp, serve_router};
use attestune_pii::{
    Config,
    presidio::{Analyzer, ApiError, anonymize, anonymizers, deanonymize, deanonymizers},
};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, RawQuery, rejection::BytesRejection},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::Value;
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::watch;

/// What a request may take.
const BODY_BYTES_MAX: usize = 64 << 20;

/// A body, unless it is too large or was not sent whole.
type Body = Result<Bytes, BytesRejection>;

/// Serves until told to stop.
pub async fn run(listen: SocketAddr, settings: &Settings) -> anyhow::Result<()> {
    // Presidio tells everything, whatever its score, unless the request has a threshold.
    let (config, own) = settings.read(Config { threshold_ppm: 0, ..Config::default() })?;
    let analyzer = tokio::task::spawn_blocking(move || Analyzer::new(config, own)).await?;
    let analyzer = Arc::new(analyzer.map_err(|error| unusable(None, error))?);
    let signals = Signals::listen()?;
    let listener = listen_tcp(listen).await?;
    eprintln!("Presidio's analyzer and anonymizer at http://{}", listener.local_addr()?);
    let (stop, stopped) = watch::channel(false);
    let serving = serve_router(router(analyzer), listener, stopped);
    tokio::pin!(serving);
    tokio::select! {
        served = &mut serving => return Ok(served?),
        () = signals.come() => {}
    }
    eprintln!("stopping");
    stop.send_replace(true);
    Ok(serving.await?)
}

fn router(analyzer: Arc<Analyzer>) -> Router {
    let (analyze, recognizers, entities) = (analyzer.clone(), analyzer.clone(), analyzer);
    let asks =
        |body: Body| async move { body.map_err(|error| ApiError::new(error.status().as_u16(), error.body_text())) };
    Router::new()
        .route("/health", get(|| async { "Presidio Analyzer service is up" }))
        .route("/analyze", post(move |body: Body| answer(asks(body), move |body| analyze.analyze(&body))))
        .route(
            "/recognizers",
            get(move |query: RawQuery| async move { reply(recognizers.recognizers(language(&query))) }),
        )
        .route(
            "/supportedentities",
            get(move |query: RawQuery| async move { reply(entities.supported_entities(language(&query))) }),
        )
        .route("/anonymize", post(move |body: Body| answer(asks(body), |body| anonymize(&body))))
        .route("/deanonymize", post(move |body: Body| answer(asks(body), |body| deanonymize(&body))))
        .route("/anonymizers", get(|| async { reply(Ok(anonymizers())) }))
        .route("/deanonymizers", get(|| async { reply(Ok(deanonymizers())) }))
        .fallback(|| async { reply(Err(ApiError::new(404, "There is nothing at this address"))) })
        .method_not_allowed_fallback(|| async { reply(Err(ApiError::new(405, "This address takes another method"))) })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// Answers a body off the threads that serve connections.
async fn answer(
    body: impl Future<Output = Result<Bytes, ApiError>>,
    work: impl FnOnce(Bytes) -> Result<Value, ApiError> + Send + 'static,
) -> Response {
    let body = match body.await {
        Ok(body) => body,
        Err(error) => return reply(Err(error)),
    };
    let done = tokio::task::spawn_blocking(move || work(body)).await;
    reply(done.unwrap_or_else(|_| Err(ApiError::new(500, "Internal server error"))))
}

fn reply(answer: Result<Value, ApiError>) -> Response {
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => {
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, error.body())
        }
    };
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// What `?language=` says.
fn language(query: &RawQuery) -> Option<&str> {
    let pairs = query.0.as_deref()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(name, _)| *name == "language").map(|(_, value)| value)
}
