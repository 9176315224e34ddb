//! Pairing a browser with a name: it makes a key of its own and offers it under the code that `attestune key pair` printed;
//! whoever ran that registers it.

use super::act::{answer, failed};
use super::ask::parse;
use super::error::PageError;
use super::layout;
use super::session::ledger_of;
use crate::pairing::Offer;
use crate::reason::{Reason, status};
use crate::services::Services;
use attestune_ledger::envelope::keyid;
use attestune_ledger::state::Keys;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use maud::html;
use serde_json::json;
use tonic::Status;

/// The page to pair on.
pub async fn page(State(services): State<Services>) -> Result<Response, PageError> {
    let body = html! {
        p {
            "This browser makes a key of its own, which can’t leave it. On a machine that holds your key, or an admin’s, run "
            code { "attestune key pair --as YOU" } " and give the code that it prints."
        }
        noscript { p.lead { "Pairing needs script: the key is made by it." } }
        form.pair hidden {
            label for="code" { "Code" }
            input id="code" name="code" autocomplete="one-time-code" autocapitalize="characters" spellcheck="false" required maxlength="16";
            button { "Pair" }
            p.status role="status" {}
        }
    };
    Ok(layout::open("Pair this browser", &ledger_of(&services).await?, body).into_response())
}

/// The ledger and actor of a code: what the new key must sign.
pub async fn begin(State(services): State<Services>, body: String) -> Response {
    let begun = async {
        let actor = services.gateway.pairings.actor(field(&parse(&body), "code"))?;
        Ok::<_, Status>(json!({ "ledger": hex::encode(ledger_of(&services).await?), "actor": actor }))
    };
    begun.await.map_or_else(|status| failed(&status), |value| answer(StatusCode::OK, &value))
}

/// Takes a browser's key, the first one under its code.
pub async fn offer(State(services): State<Services>, body: String) -> Response {
    let fields = parse(&body);
    let bytes = |name: &str| hex::decode(field(&fields, name)).unwrap_or_default();
    let offer = Offer { public_key: bytes("public_key"), possession: bytes("possession") };
    let offered = async {
        let ledger = ledger_of(&services).await?;
        let keyid = keyid(&offer.public_key);
        services.gateway.pairings.offer(field(&fields, "code"), &ledger, offer)?;
        Ok::<_, Status>(json!({ "keyid": keyid }))
    };
    offered.await.map_or_else(|status| failed(&status), |value| answer(StatusCode::OK, &value))
}

/// Whether a key that was offered is registered.
pub async fn state(State(services): State<Services>, body: String) -> Response {
    let fields = parse(&body);
    let keyid = field(&fields, "keyid");
    let store = services.gateway.replica.view();
    let view = store.view();
    let known = view.get(&Keys::key(keyid)).is_some_and(|key| key.revoked_at.is_none());
    if let Some(failure) = view.failure() {
        return failed(&status(Reason::Internal, failure.to_string()));
    }
    let open = services.gateway.pairings.actor(field(&fields, "code")).is_ok();
    let word = if known {
        "registered"
    } else if open {
        "waiting"
    } else {
        "gone"
    };
    answer(StatusCode::OK, &json!({ "state": word }))
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim())
}
