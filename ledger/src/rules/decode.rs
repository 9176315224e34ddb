//! From bytes to a validly signed event: canonical form, known keys, true signatures.
//!
//! The door uses this, too: what fails here is stopped there and, where the log holds it all the same, counted.

use crate::envelope::{EVENT_PAYLOAD_TYPE, ledger_id};
use crate::log::{ShortForm, VALUE_BYTES_MAX};
use crate::refusal::Rejection;
use crate::state::{Keys, View};
use attestune_proto::v1::{Envelope, Event, KeyRow, LedgerRow, event::Body};
use prost::Message;

/// Verifies the envelope's signature at an index under a public key.
pub type Verify<'a> = &'a mut dyn FnMut(&Envelope, &[u8; 32], usize) -> bool;

/// An envelope and its event in canonical form; nothing is known of its signatures yet.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The envelope.
    pub envelope: Envelope,
    /// The event in it.
    pub event: Event,
    /// SHA-256 of the envelope when the event is a genesis.
    pub genesis_id: Option<[u8; 32]>,
}

/// Decodes an entry's value.
///
/// # Errors
/// If it is no event in canonical form.
pub fn decode(value: &[u8]) -> Result<Decoded, Rejection> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(Rejection::TooLarge { size: value.len(), limit: VALUE_BYTES_MAX });
    }
    if let Some(short) = ShortForm::read(value) {
        return Err(Rejection::TooLarge { size: short.length as usize, limit: VALUE_BYTES_MAX });
    }
    let envelope = Envelope::decode(value).map_err(|_| Rejection::NotAnEnvelope {})?;
    if envelope.payload_type != EVENT_PAYLOAD_TYPE {
        return Err(Rejection::NotAnEnvelope {});
    }
    if envelope.encoded_len() != value.len() || envelope.encode_to_vec() != value {
        return Err(Rejection::NotCanonical { part: "envelope" });
    }
    let ordered = envelope.signatures.windows(2).all(|w| w[0].keyid < w[1].keyid);
    if envelope.signatures.is_empty() || envelope.signatures.len() > 16 || !ordered {
        return Err(Rejection::SignaturesUnordered {});
    }
    let event = Event::decode(envelope.payload.as_slice()).map_err(|_| Rejection::NotAnEnvelope {})?;
    if event.encode_to_vec() != envelope.payload {
        return Err(Rejection::NotCanonical { part: "payload" });
    }
    let genesis_id = matches!(event.body, Some(Body::LedgerCreated(_))).then(|| ledger_id(value));
    Ok(Decoded { envelope, event, genesis_id })
}

/// The keys that signed, all known and all valid, and the ledger's id.
///
/// # Errors
/// If the event is for another ledger, a key is unknown or a signature false.
pub fn open(
    view: &View<'_>,
    ledger: &LedgerRow,
    decoded: &Decoded,
    verify: Verify<'_>,
) -> Result<([u8; 32], Vec<KeyRow>), Rejection> {
    let genesis: [u8; 32] = ledger.ledger_id.as_slice().try_into().map_err(|_| Rejection::NoLedger {})?;
    if decoded.event.ledger != genesis && decoded.genesis_id.is_none() {
        return Err(Rejection::OtherLedger {});
    }
    let mut keys = Vec::with_capacity(decoded.envelope.signatures.len());
    for (index, signature) in decoded.envelope.signatures.iter().enumerate() {
        let unknown = || Rejection::UnknownKey { keyid: printable(&signature.keyid) };
        let key: KeyRow = view.get(&Keys::key(&signature.keyid)).ok_or_else(unknown)?;
        let public: [u8; 32] = key.public_key.as_slice().try_into().map_err(|_| unknown())?;
        if !verify(&decoded.envelope, &public, index) {
            return Err(Rejection::BadSignature { keyid: signature.keyid.clone() });
        }
        keys.push(key);
    }
    Ok((genesis, keys))
}

/// A key id from outside, fit to be shown.
fn printable(keyid: &str) -> String {
    keyid.chars().filter(char::is_ascii_hexdigit).take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::SigningKey;
    use attestune_proto::v1::LedgerCreated;

    /// What becomes of an event's bytes with these behind them, signed as they then are.
    fn with_suffix(body: Option<Body>, suffix: &[u8]) -> Result<(), Rejection> {
        let event = Event { id: vec![1; 16], actor: "ada".into(), body, ..Default::default() };
        let payload = [&event.encode_to_vec()[..], suffix].concat();
        decode(&SigningKey::from_seed([1; 32]).sign(EVENT_PAYLOAD_TYPE, &payload)).map(drop)
    }

    #[test]
    fn a_record_too_large_is_judged_from_its_short_form_alone() {
        let large = vec![0; VALUE_BYTES_MAX + 1];
        let short = crate::log::short_form(&large).unwrap().to_bytes();
        let (size, limit) = (VALUE_BYTES_MAX + 1, VALUE_BYTES_MAX);
        for value in [large, short] {
            assert_eq!(decode(&value).err(), Some(Rejection::TooLarge { size, limit }));
        }
    }

    #[test]
    fn what_stands_behind_an_event_makes_it_another() {
        let not_canonical = Err(Rejection::NotCanonical { part: "payload" });
        let known = || Some(Body::LedgerCreated(LedgerCreated::default()));
        assert_eq!(with_suffix(known(), &[]), Ok(()));
        assert_eq!(with_suffix(None, &[]), Ok(()), "an event without a body is for the rules to refuse");
        for body in [None, known()] {
            assert_eq!(with_suffix(body.clone(), &[0xf8, 0xff, 0x03, 1]), not_canonical, "no kind's number");
            assert_eq!(with_suffix(body, &[0xf8, 0xff, 0x03]), Err(Rejection::NotAnEnvelope {}), "cut off");
        }
    }
}
