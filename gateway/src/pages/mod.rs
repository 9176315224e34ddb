//! Pages for people: rendered here, readable without script. Each asks the services as a program would, with the token of
//! whoever is signed in, and as of one moment.
//!
//! Signing in and signing need script; it holds the key, builds the bytes, signs and posts them. Nothing here signs for
//! a person or decides anything.

mod act;
mod ask;
mod assets;
mod chart;
mod comply;
mod data;
mod error;
mod evaluations;
mod event;
mod evidence;
mod example;
mod fields;
mod graph;
mod headers;
mod health;
mod layout;
mod lineage;
mod models;
mod moment;
mod pair;
mod people;
mod promotions;
mod review;
mod runs;
mod session;
mod text;
mod timeline;
mod transcripts;
mod version;
mod words;
mod work;

pub use evidence::Drafts;

use crate::services::Services;
use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};

/// First parts of the paths that are pages.
const SECTIONS: [&str; 26] = [
    "",
    "act",
    "assets",
    "batches",
    "collections",
    "comply",
    "datasets",
    "documents",
    "evaluations",
    "events",
    "evidence",
    "examples",
    "health",
    "lineage",
    "models",
    "pair",
    "people",
    "policy",
    "promotions",
    "review",
    "runs",
    "sign-in",
    "sign-out",
    "suites",
    "timeline",
    "work",
];

/// Whether a path is that of a page.
pub fn is_page(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let section = rest.split('/').next().unwrap_or_default();
    // Without a section there is the first page and no other.
    SECTIONS.contains(&section) && section.is_empty() == rest.is_empty()
}

/// All pages of a gateway.
pub fn router(services: Services) -> Router {
    let posted = Router::new()
        .route("/sign-in", post(session::sign_in))
        .route("/sign-out", post(session::sign_out))
        .route("/pair/begin", post(pair::begin))
        .route("/pair/offer", post(pair::offer))
        .route("/pair/state", post(pair::state))
        .route("/act/append", post(act::append))
        .route("/examples/{batch}/{index}", post(example::opened))
        .route("/documents/{batch}/{index}", post(example::document_opened))
        .route("/evaluations/{evaluation}", post(transcripts::opened))
        .route("/evidence/draft", post(evidence::draft))
        .route("/review/next", post(review::next))
        .route("/review/desk", post(review::desk))
        .route("/review/seal", post(review::seal))
        .layer(from_fn(headers::same_origin));
    Router::new()
        .route("/", get(models::index))
        .route("/models/{model}", get(models::model))
        .route("/models/{model}/{version}", get(version::page))
        .route("/lineage/{position}", get(lineage::page))
        .route("/timeline", get(timeline::page))
        .route("/events/{position}", get(event::page))
        .route("/events/{position}/proof", get(event::proof))
        .route("/datasets", get(data::index))
        .route("/datasets/{position}", get(data::dataset))
        .route("/collections/{collection}", get(data::collection))
        .route("/batches/{position}", get(data::batch))
        .route("/examples/{batch}/{index}", get(example::page))
        .route("/documents/{batch}/{index}", get(example::document))
        .route("/runs", get(runs::index))
        .route("/runs/{position}", get(runs::run))
        .route("/runs/{one}/{other}", get(runs::compare))
        .route("/suites", get(evaluations::index))
        .route("/suites/{position}", get(evaluations::suite))
        .route("/evaluations/{evaluation}", get(evaluations::evaluation))
        .route("/promotions", get(promotions::index))
        .route("/promotions/{position}", get(promotions::page))
        .route("/review", get(review::index))
        .route("/work", get(work::page))
        .route("/evidence/{bundle}/{position}", get(evidence::bundle))
        .route("/comply", get(comply::index))
        .route("/comply/{pack}", get(comply::pack))
        .route("/people", get(people::index))
        .route("/policy", get(people::policy))
        .route("/health", get(health::page))
        .route("/sign-in", get(session::page))
        .route("/pair", get(pair::page))
        .route("/act/seen", get(act::seen))
        .route("/assets/{version}/{name}", get(assets::asset))
        .merge(posted)
        .layer(from_fn(headers::guarded))
        .with_state(services)
}

#[cfg(test)]
mod tests {
    use super::is_page;

    #[test]
    fn pages_are_told_from_what_is_none() {
        for page in ["/", "/models/triage/1", "/sign-in", "/assets/style.css", "/events/3/proof"] {
            assert!(is_page(page), "{page}");
        }
        for other in ["/attestune.v1.Ledger/Head", "/metrics", "/modelsx", "//evil", "x"] {
            assert!(!is_page(other), "{other}");
        }
    }
}
