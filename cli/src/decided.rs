//! A decided entry in JSON: with its event opened, and as it is published.

use attestune_proto::v1::{Decided, Envelope, Event, Verdict};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost::Message as _;
use serde_json::{Value, json};

/// A record of Kafka takes a million bytes, with its headers.
const JSON_BYTES_MAX: usize = 900_000;

/// The event in an envelope.
///
/// # Errors
/// If it is none.
pub fn event(envelope: &[u8]) -> anyhow::Result<(Envelope, Event)> {
    let envelope = Envelope::decode(envelope)?;
    anyhow::ensure!(!envelope.payload.is_empty(), "an envelope holds something");
    let event = Event::decode(envelope.payload.as_slice())?;
    Ok((envelope, event))
}

/// A decided entry with its event opened.
///
/// # Errors
/// If the package has no such messages.
pub fn opened(decided: &Decided) -> anyhow::Result<Value> {
    let mut json = crate::json::message("Decided", decided)?;
    if let Ok((envelope, event)) = event(&decided.envelope) {
        open(&mut json, &envelope, &event)?;
    }
    Ok(json)
}

/// Puts an event and who signed it beside its envelope.
///
/// # Errors
/// If the package has no such message.
pub fn open(json: &mut Value, envelope: &Envelope, event: &Event) -> anyhow::Result<()> {
    json["signers"] = envelope.signatures.iter().map(|signature| signature.keyid.clone()).collect();
    json["event"] = crate::json::message("Event", event)?;
    Ok(())
}

/// The same as a record's value: with the envelope in DSSE's own JSON form, too, so that its signatures can be checked
/// without protobuf. An event whose JSON would be too large for a record is left out; it is in the envelope all the same.
pub fn published(decided: &Decided) -> Value {
    let mut json = opened(decided).unwrap_or_else(|error| {
        // The package has these messages: a test says so.
        tracing::error!(%error, "an entry is published without its fields");
        json!({ "position": decided.position })
    });
    if decided.verdict() == Verdict::Garbage {
        return json;
    }
    if let Ok((envelope, _)) = event(&decided.envelope) {
        json["dsse"] = dsse(&envelope);
    }
    if json.to_string().len() > JSON_BYTES_MAX
        && let Some(fields) = json.as_object_mut()
    {
        fields.remove("event");
    }
    json
}

/// <https://github.com/secure-systems-lab/dsse/blob/master/envelope.md>
fn dsse(envelope: &Envelope) -> Value {
    let signatures = envelope.signatures.iter();
    json!({
        "payloadType": envelope.payload_type,
        "payload": BASE64_STANDARD.encode(&envelope.payload),
        "signatures": signatures
            .map(|signature| json!({ "keyid": signature.keyid, "sig": BASE64_STANDARD.encode(&signature.sig) }))
            .collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_ledger::envelope::SigningKey;
    use attestune_proto::v1::{BatchReview, Decision, ExamplesReviewed, event::Body};

    fn refused(decisions: usize) -> Decided {
        let decisions = vec![Decision::default(); decisions];
        let batches = vec![BatchReview { decisions, ..BatchReview::default() }];
        let body = Some(Body::ExamplesReviewed(ExamplesReviewed { batches }));
        let event = Event { actor: "rita".into(), body, ..Event::default() };
        let envelope = SigningKey::from_seed([7; 32]).sign_event(&event);
        Decided { position: 9, verdict: Verdict::Refused.into(), envelope, ..Decided::default() }
    }

    #[test]
    fn what_is_published_holds_event_signers_and_the_envelope_twice() {
        let json = published(&refused(1));
        assert_eq!(json["event"]["actor"], "rita");
        assert_eq!(json["verdict"], "VERDICT_REFUSED");
        let (envelope, _) = event(&hex::decode(json["envelope"].as_str().unwrap()).unwrap()).unwrap();
        assert_eq!(json["dsse"]["payload"], BASE64_STANDARD.encode(&envelope.payload));
        assert_eq!(json["dsse"]["signatures"][0]["keyid"], json["signers"][0]);
    }

    #[test]
    fn an_event_made_to_be_large_in_json_is_left_out_and_its_envelope_stays() {
        let json = published(&refused(30_000));
        assert!(json.get("event").is_none());
        assert!(json.to_string().len() < JSON_BYTES_MAX);
        assert!(json["dsse"]["payload"].as_str().unwrap().len() > 60_000);
    }
}
