//! Style and script, which stand in files of their own: a page holds neither.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Name, kind and content of each.
const FILES: [(&str, &str, &str); 9] = [
    ("style.css", "text/css; charset=utf-8", include_str!("assets/style.css")),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
    ("pages.js", SCRIPT, include_str!("assets/pages.js")),
    ("wire.js", SCRIPT, include_str!("assets/wire.js")),
    ("events.js", SCRIPT, include_str!("assets/events.js")),
    ("evidence.js", SCRIPT, include_str!("assets/evidence.js")),
    ("keys.js", SCRIPT, include_str!("assets/keys.js")),
    ("pair.js", SCRIPT, include_str!("assets/pair.js")),
    ("review.js", SCRIPT, include_str!("assets/review.js")),
];

/// Of all of them together: scripts load each other by their names beside them, so one that changed must not meet an
/// older one.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let all = FILES.iter().fold(Sha256::new(), |hash, (_, _, content)| hash.chain_update(content));
    hex::encode(&all.finalize()[..6])
});

/// Where a file is: its address changes with what is in it.
pub fn address(name: &str) -> String {
    format!("/assets/{}/{name}", *VERSION)
}

/// Serves a file; one of another version is not here.
pub async fn asset(Path((version, name)): Path<(String, String)>) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name && version == *VERSION) {
        Some((_, kind, content)) => {
            ([(CONTENT_TYPE, *kind), (CACHE_CONTROL, "public, max-age=31536000, immutable")], *content).into_response()
        }
        None => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
    }
}
