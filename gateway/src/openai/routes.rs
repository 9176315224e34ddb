//! The endpoints: `/v1/models`, `/v1/chat/completions`, `/v1/completions`, and `/v1/outcomes`, which is not OpenAI's.

use super::Serving;
use super::answer::{Answering, Asked};
use super::choose::{Chosen, is_served, unfailed};
use super::error::ApiError;
use super::form::Heading;
use super::outcome::Outcome;
use super::request::Request;
use crate::Gateway;
use crate::access::{Caller, blocking, reader_of};
use crate::metrics::count_answer;
use attestune_ledger::rules::policy;
use attestune_ledger::state::{Models, Versions};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// The largest request, bytes.
const BODY_MAX: usize = 4 << 20;
/// Events of a stream that wait for a slow client.
const EVENTS_AHEAD: usize = 64;

/// The version that answered, `support-triage@3`.
const VERSION: HeaderName = HeaderName::from_static("x-attestune-version");
/// The newest entry that was folded when the version was chosen.
const POSITION: HeaderName = HeaderName::from_static("x-attestune-position");

#[derive(Clone)]
struct Api {
    gateway: Gateway,
    serving: Arc<Serving>,
}

/// The endpoints of a gateway that serves.
pub fn routes(gateway: Gateway, serving: Arc<Serving>) -> Router {
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/models/{model}", get(model))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completion))
        .route("/v1/outcomes", post(outcome))
        .route("/v1/{*path}", any(nothing))
        .with_state(Api { gateway, serving })
}

async fn nothing() -> ApiError {
    let message =
        "there is no such endpoint: /v1/models, /v1/chat/completions, /v1/completions and /v1/outcomes are there";
    ApiError::new(StatusCode::NOT_FOUND, "not_found", message)
}

async fn chat(State(api): State<Api>, headers: HeaderMap, body: Body) -> Response {
    counted("chat", api.answer(&headers, body, Request::chat)).await
}

async fn completion(State(api): State<Api>, headers: HeaderMap, body: Body) -> Response {
    counted("completion", api.answer(&headers, body, Request::completion)).await
}

async fn outcome(State(api): State<Api>, headers: HeaderMap, body: Body) -> Response {
    counted("outcome", api.outcome(&headers, body)).await
}

async fn models(State(api): State<Api>, headers: HeaderMap) -> Response {
    let listed = async {
        let models = api.list(&headers).await?;
        Ok(json_response(&json!({ "object": "list", "data": models })))
    };
    counted("models", listed).await
}

async fn model(State(api): State<Api>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let found = async {
        let models = api.list(&headers).await?;
        let found = models.into_iter().find(|model| model["id"] == name.as_str());
        let missing = || ApiError::no_model(format!("the model `{name}` does not exist; see /v1/models"));
        Ok(json_response(&found.ok_or_else(missing)?))
    };
    counted("models", found).await
}

/// Counts a request by what came of it. A stream is counted when it begins.
async fn counted(endpoint: &'static str, answer: impl Future<Output = Result<Response, ApiError>>) -> Response {
    let begun = Instant::now();
    let response = answer.await.unwrap_or_else(IntoResponse::into_response);
    count_answer(endpoint, response.status(), begun.elapsed());
    response
}

impl Api {
    async fn caller(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let (gateway, token) = (self.gateway.clone(), headers.get(header::AUTHORIZATION).cloned());
        let caller = blocking(move || reader_of(&gateway, token.as_ref().and_then(|token| token.to_str().ok())));
        Ok(caller.await?)
    }

    async fn answer(
        &self,
        headers: &HeaderMap,
        body: Body,
        read: fn(&[u8]) -> Result<Request, ApiError>,
    ) -> Result<Response, ApiError> {
        let caller = self.caller(headers).await?;
        let body = whole_body(body).await?;
        let request = read(&body)?;
        let answering = self.begin(caller, request, body).await?;
        let (version, position) = heading(&answering.chosen);
        let mut response = match answering.request.stream {
            true => stream(answering),
            false => whole(answering).await?,
        };
        response.headers_mut().insert(VERSION, version);
        response.headers_mut().insert(POSITION, position);
        Ok(response)
    }

    /// Counts what somebody reports of an answer.
    async fn outcome(&self, headers: &HeaderMap, body: Body) -> Result<Response, ApiError> {
        let caller = self.caller(headers).await?;
        let outcome = Outcome::read(&whole_body(body).await?)?;
        let serving = self.serving.clone();
        let counted = tokio::task::spawn_blocking(move || outcome.count(&serving, &caller)).await;
        Ok(json_response(&counted.map_err(|_| ApiError::from(crate::access::panicked()))??))
    }

    /// Chooses the version and sends the prompts off, on a thread for what blocks.
    async fn begin(&self, caller: Caller, request: Request, body: Vec<u8>) -> Result<Answering, ApiError> {
        let serving = self.serving.clone();
        let begun = tokio::task::spawn_blocking(move || {
            let chosen = serving.choose(&caller, &request.model, request.user.as_deref())?;
            Answering::begin(serving, chosen, Asked { request, body, caller: caller.actor.actor })
        });
        let panicked = |_| ApiError::from(crate::access::panicked());
        begun.await.map_err(panicked)?
    }

    /// The models in force; for a role that may ask for a version by its number, those, too.
    async fn list(&self, headers: &HeaderMap) -> Result<Vec<Value>, ApiError> {
        let caller = self.caller(headers).await?;
        let replica = self.gateway.replica.clone();
        let listed = tokio::task::spawn_blocking(move || {
            let store = replica.view();
            let view = store.view();
            let may = policy::in_force(&view).by_number.iter().any(|role| caller.actor.roles.contains(role));
            let mut listed = Vec::new();
            let entry = |id: String, at: u64| {
                let created = view.fold_time(at).unwrap_or(0) / 1000;
                json!({ "id": id, "object": "model", "created": created, "owned_by": "attestune" })
            };
            for model in view.scan(&Models::all()) {
                if model.in_force != 0 {
                    listed.push(entry(model.model.clone(), model.since));
                }
                let versions = if may { view.scan(&Versions::under(model.model.as_str())) } else { Vec::new() };
                let served = versions.into_iter().filter(is_served);
                listed.extend(
                    served.map(|version| entry(format!("{}@{}", version.model, version.version), version.position)),
                );
            }
            unfailed(&view).map(|()| listed)
        });
        listed.await.map_err(|_| ApiError::from(crate::access::panicked()))?
    }
}

async fn whole_body(body: Body) -> Result<Vec<u8>, ApiError> {
    let too_large = |_| {
        let message = format!("the body is larger than {BODY_MAX} bytes, or broke off");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    };
    Ok(to_bytes(body, BODY_MAX).await.map_err(too_large)?.to_vec())
}

fn heading(chosen: &Chosen) -> (HeaderValue, HeaderValue) {
    let version = format!("{}@{}", chosen.version.model, chosen.version.number);
    // A model's name is an identifier of the log.
    let version = HeaderValue::try_from(version).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
    (version, HeaderValue::from(chosen.as_of))
}

async fn whole(mut answering: Answering) -> Result<Response, ApiError> {
    let heading = Heading::of(&answering);
    while answering.next().await?.is_some() {}
    Ok(json_response(&heading.whole(&answering)))
}

fn json_response(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// Server-sent events. When the client leaves, the answer ends.
fn stream(answering: Answering) -> Response {
    let (out, events) = mpsc::channel::<Result<String, std::convert::Infallible>>(EVENTS_AHEAD);
    tokio::spawn(async move {
        tokio::select! {
            () = send(answering, &out) => {}
            () = out.closed() => {}
        }
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(ReceiverStream::new(events))).into_response()
}

async fn send(mut answering: Answering, out: &mpsc::Sender<Result<String, std::convert::Infallible>>) {
    let mut heading = Heading::of(&answering);
    for event in heading.first(&answering) {
        if out.send(Ok(line(&event))).await.is_err() {
            return;
        }
    }
    loop {
        let event = match answering.next().await {
            Ok(Some(news)) => heading.news(&news, &answering),
            Ok(None) => break,
            Err(error) => {
                let _ = out.send(Ok(line(&error.json()))).await; // the client may have left
                return;
            }
        };
        if let Some(event) = event
            && out.send(Ok(line(&event))).await.is_err()
        {
            return;
        }
    }
    let used = if answering.request.usage_in_stream { line(&heading.used(&answering)) } else { String::new() };
    let _ = out.send(Ok(used + "data: [DONE]\n\n")).await; // the client may have left
}

fn line(event: &Value) -> String {
    format!("data: {event}\n\n")
}
