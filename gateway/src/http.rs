//! Pages beside gRPC on the same port: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever keeps the process
//! running, `/head` to compare replicas. They ask for no token, and hold nothing that needs one. The log's own resources
//! (`tiles.rs`) are served beside them.

use crate::metrics::{Watched, measure};
use crate::serve::ServeError;
use crate::stop::Stop;
use crate::tiles::{CHECKPOINT, TILES};
use attestune_ledger::replica::Replica;
use attestune_ledger::vault::Vault;
use axum::Router;
use axum::middleware::from_fn;
use axum::routing::get;
use http::{StatusCode, header::CONTENT_TYPE};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is served beside gRPC.
const PAGES: [&str; 4] = [HEALTHZ, READYZ, METRICS, HEAD];
const HEALTHZ: &str = "/healthz";
const READYZ: &str = "/readyz";
const METRICS: &str = "/metrics";
const HEAD: &str = "/head";

/// Whether a path is served beside gRPC.
pub fn is_page(path: &str) -> bool {
    PAGES.contains(&path) || path == CHECKPOINT || path.strip_prefix(TILES).is_some_and(|tile| !tile.is_empty())
}

/// gRPC's routes with the pages and the log's static resources, all calls counted, and OpenAI's endpoints where there are
/// any, which count for themselves.
pub fn with_pages(routes: Routes, watched: Watched, tiles: Router, openai: Option<Router>) -> Routes {
    let routes = routes.into_axum_router().merge(pages(watched)).merge(tiles).layer(from_fn(measure));
    Routes::from(openai.into_iter().fold(routes, Router::merge))
}

/// Serves the pages alone on a loopback address until told to stop: for processes that serve no gRPC. `share` counts the
/// partitions of a worker that shares its work.
///
/// # Errors
/// If the address is not loopback, or taken.
pub async fn serve_pages(
    replica: Arc<Replica>,
    vault: Option<Arc<Vault>>,
    share: Option<Arc<AtomicU32>>,
    addr: SocketAddr,
    stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let listener = listen_tcp(addr).await?;
    let watched = Watched::new(replica, vault, None, Stop::new(stop.clone())).sharing(share);
    serve_router(pages(watched).layer(from_fn(measure)), listener, stop).await
}

/// Listens on a loopback address.
///
/// # Errors
/// If the address is not loopback, or taken.
pub async fn listen_tcp(addr: SocketAddr) -> Result<TcpListener, ServeError> {
    if !addr.ip().is_loopback() {
        return Err(ServeError::NotLoopback(addr));
    }
    TcpListener::bind(addr).await.map_err(|cause| ServeError::Listen { place: addr.to_string(), cause })
}

/// Serves these routes until told to stop; calls under way then have five seconds to end.
///
/// # Errors
/// If the server can't go on.
pub async fn serve_router(
    router: Router,
    listener: TcpListener,
    stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let stop = Stop::new(stop);
    let server = Server::builder().accept_http1(true).add_routes(Routes::from(router));
    let server = server.serve_with_incoming_shutdown(TcpIncoming::from(listener), stop.clone().wait());
    tokio::select! {
        served = server => Ok(served?),
        () = stop.grace_over() => Ok(()),
    }
}

fn pages(watched: Watched) -> Router {
    let watched = Arc::new(watched);
    let (alive, ready, head) = (watched.clone(), watched.clone(), watched.clone());
    Router::new()
        .route(HEALTHZ, get(move || async move { answer(alive.dead().map_or_else(ok, Err)) }))
        .route(READYZ, get(move || async move { answer(ready.unready().await.map_or_else(ok, Err)) }))
        .route(HEAD, get(move || async move { answer(head.head().await) }))
        .route(METRICS, get(move || async move { ([(CONTENT_TYPE, TEXT_FORMAT)], watched.render().await) }))
}

fn ok() -> Result<String, String> {
    Ok("ok\n".into())
}

/// 200 with the text, or 503 with the reason.
fn answer(text: Result<String, String>) -> (StatusCode, String) {
    match text {
        Ok(text) => (StatusCode::OK, text),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
    }
}
