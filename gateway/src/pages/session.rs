//! Who is signed in: a token that the person's key has signed, kept in a cookie for as long as it is good.
//!
//! The cookie is out of reach of script and sent from this server's own pages only. Its name holds the ledger's, as a
//! browser keeps one jar for all ports of a host.

use super::ask::parse;
use super::error::{PageError, http_status};
use super::layout;
use super::text::shown;
use crate::access::{blocking, caller};
use crate::convert::replica_failed;
use crate::services::Services;
use attestune_ledger::envelope::open_token;
use attestune_ledger::log::{Clock as _, SystemClock};
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::header::{COOKIE, HeaderName, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use maud::{Markup, html};
use tonic::{Request, Status};

/// A request that carries a token.
pub fn carrying<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    // What is no header value is no token either: without one the call is turned down.
    if let Ok(bearer) = format!("Bearer {token}").parse() {
        request.metadata_mut().insert("authorization", bearer);
    }
    request
}

/// The token in a request's cookies.
pub fn token_of(headers: &HeaderMap, ledger: &[u8]) -> Option<String> {
    let name = cookie_name(ledger);
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(';'));
    let mut pairs = cookies.filter_map(|cookie| cookie.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

fn cookie_name(ledger: &[u8]) -> String {
    format!("attestune-{}", hex::encode(&ledger[..ledger.len().min(4)]))
}

/// The page to sign in on.
pub async fn page(State(services): State<Services>, RawQuery(query): RawQuery) -> Result<Response, PageError> {
    let query = parse(&query.unwrap_or_default());
    let next = query.iter().find(|(key, _)| key == "next").map_or("/", |(_, value)| local(value));
    Ok(layout::open("Sign in", &ledger_of(&services).await?, form(next, None)).into_response())
}

/// The ledger's id.
pub async fn ledger_of(services: &Services) -> Result<Vec<u8>, Status> {
    let replica = services.gateway.replica.clone();
    blocking(move || Ok(replica.head().map_err(replica_failed)?.ledger)).await
}

fn form(next: &str, refused: Option<&Status>) -> Markup {
    html! {
        @if let Some(status) = refused {
            p.lead role="alert" { (shown(status.message())) }
        }
        p { "Your key signs a token that is good for an hour at most; what you read is asked with it." }
        section.sign-in hidden aria-label="Sign in with this browser's key" {
            ul.keys {}
            p.status role="status" {}
        }
        p { a href="/pair" { "Pair this browser" } " with your name, if you have not yet." }
        form method="post" action="/sign-in" {
            input type="hidden" name="next" value=(next);
            p {
                label for="token" { "Or give a token, as " code { "attestune token --as YOU" } " prints it" }
                textarea id="token" name="token" rows="3" required autocomplete="off" spellcheck="false" {}
            }
            button { "Sign in with the token" }
        }
    }
}

/// Signs in by a token.
pub async fn sign_in(
    State(services): State<Services>,
    headers: HeaderMap,
    body: String,
) -> Result<Response, PageError> {
    let fields = parse(&body);
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim());
    let (token, next) = (field("token").to_owned(), local(field("next")));
    let ledger = ledger_of(&services).await?;
    if let Err(status) = caller(&services.gateway, &carrying(&token, ())) {
        let page = layout::open("Sign in", &ledger, form(next, Some(&status)));
        return Ok((http_status(status.code()), page).into_response());
    }
    let left_s = seconds_left(&token);
    let cookie = cookie(&ledger, &token, left_s, &headers);
    Ok(([(SET_COOKIE, cookie)], Redirect::to(next)).into_response())
}

/// Signs out.
pub async fn sign_out(State(services): State<Services>, headers: HeaderMap) -> Result<Response, PageError> {
    let cookie = cookie(&ledger_of(&services).await?, "", 0, &headers);
    Ok(([(SET_COOKIE, cookie)], Redirect::to("/sign-in")).into_response())
}

fn seconds_left(token: &str) -> u64 {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
    let not_after_ms = open_token(&bytes).map_or(0, |(token, _)| token.not_after_ms);
    not_after_ms.saturating_sub(SystemClock.now_ms()) / 1000
}

/// Where TLS ends at a proxy, the proxy says so; the word only makes the cookie stricter.
fn cookie(ledger: &[u8], token: &str, left_s: u64, headers: &HeaderMap) -> HeaderValue {
    let by_tls = headers.get(HeaderName::from_static("x-forwarded-proto")).is_some_and(|proto| proto == "https");
    let secure = if by_tls { "; Secure" } else { "" };
    let name = cookie_name(ledger);
    let text = format!("{name}={token}; Path=/; Max-Age={left_s}; HttpOnly; SameSite=Strict{secure}");
    // A token that was judged is base64url.
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A path of this server; anything else is its first page.
fn local(next: &str) -> &str {
    let plain = next.starts_with('/') && !next.starts_with("//") && next.bytes().all(|b| b.is_ascii_graphic());
    if plain && !next.contains('\\') { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_led_back_to_this_server_only() {
        assert_eq!(local("/models/triage?at=7"), "/models/triage?at=7");
        for elsewhere in ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil", "", "models"] {
            assert_eq!(local(elsewhere), "/", "{elsewhere}");
        }
    }

    #[test]
    fn the_token_of_this_ledger_is_taken_from_the_cookies() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=b; attestune-01020304=tok; attestune-ffffffff=other"));
        assert_eq!(token_of(&headers, &[1, 2, 3, 4, 5]).as_deref(), Some("tok"));
        assert_eq!(token_of(&headers, &[9; 32]), None);
    }

    #[test]
    fn a_cookie_is_out_of_reach_of_script_and_of_other_sites() {
        let mut headers = HeaderMap::new();
        let plain = cookie(&[1; 32], "tok", 60, &headers);
        assert_eq!(plain, "attestune-01010101=tok; Path=/; Max-Age=60; HttpOnly; SameSite=Strict");
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        assert!(cookie(&[1; 32], "tok", 60, &headers).to_str().unwrap().ends_with("; Secure"));
    }
}
