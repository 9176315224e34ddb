//! DSSE envelopes: sign, verify, the exact bytes.
//!
//! The signature covers `PAE = "DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload`
//! (<https://github.com/secure-systems-lab/dsse/blob/master/protocol.md>). Nothing is ever encoded anew: what was
//! signed is stored, hashed, shown and exported.

mod curve;
mod field;
mod multiples;
mod table;

pub use table::{Expected, KeyTable, hold};

use attestune_proto::v1::{AccessToken, Envelope, Event, Signature};
use ed25519_dalek::{Signer as _, VerifyingKey};
use prost::Message as _;
use sha2::{Digest as _, Sha256};

/// The payload type of an event.
pub const EVENT_PAYLOAD_TYPE: &str = "application/vnd.attestune.event.v1+protobuf";
/// The payload type of an access token.
pub const TOKEN_PAYLOAD_TYPE: &str = "application/vnd.attestune.token.v1+protobuf";

/// What is wrong with an envelope, before any rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not an envelope, or not of the type asked for.
    #[error("the bytes are not a DSSE envelope of type {0}")]
    NotAnEnvelope(&'static str),
    /// The key signed it already.
    #[error("key {0} has signed this envelope already")]
    SignedBefore(String),
}

/// An Ed25519 private key. Its `Debug` shows the key id only.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.keyid())
    }
}

impl SigningKey {
    /// The key of a 32-byte seed (RFC 8032 §5.1.5).
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// The seed. For key files only.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The dalek key, for signed notes.
    pub fn inner(&self) -> &ed25519_dalek::SigningKey {
        &self.0
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// The public key's id.
    pub fn keyid(&self) -> String {
        keyid(&self.public())
    }

    /// Signs a payload and returns the envelope's bytes.
    pub fn sign(&self, payload_type: &str, payload: &[u8]) -> Vec<u8> {
        let signature = self.signature(payload_type, payload);
        let envelope =
            Envelope { payload: payload.into(), payload_type: payload_type.into(), signatures: vec![signature] };
        envelope.encode_to_vec()
    }

    /// Signs an event and returns the envelope's bytes.
    pub fn sign_event(&self, event: &Event) -> Vec<u8> {
        self.sign(EVENT_PAYLOAD_TYPE, &event.encode_to_vec())
    }

    /// Adds this key's signature to an envelope, in its place.
    ///
    /// # Errors
    /// If the bytes are no envelope, or the key has signed it.
    pub fn cosign(&self, envelope: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        let mut envelope = Envelope::decode(envelope).map_err(|_| EnvelopeError::NotAnEnvelope(EVENT_PAYLOAD_TYPE))?;
        let signature = self.signature(&envelope.payload_type, &envelope.payload);
        match envelope.signatures.binary_search_by(|s| s.keyid.cmp(&signature.keyid)) {
            Ok(_) => return Err(EnvelopeError::SignedBefore(signature.keyid)),
            Err(place) => envelope.signatures.insert(place, signature),
        }
        Ok(envelope.encode_to_vec())
    }

    /// Proves possession of this key for an actor of a ledger (empty for the root keys of a genesis).
    pub fn possession(&self, ledger: &[u8], actor: &str) -> [u8; 64] {
        self.0.sign(&possession_statement(ledger, actor, &self.public())).to_bytes()
    }

    fn signature(&self, payload_type: &str, payload: &[u8]) -> Signature {
        let sig = self.0.sign(&pae(payload_type, payload)).to_bytes().to_vec();
        Signature { sig, keyid: self.keyid() }
    }
}

/// The id of a public key: the first 16 bytes of its SHA-256, in lowercase hex.
pub fn keyid(public: &[u8]) -> String {
    hex::encode(&Sha256::digest(public)[..16])
}

/// The id of a ledger: SHA-256 of its genesis envelope.
pub fn ledger_id(genesis_envelope: &[u8]) -> [u8; 32] {
    Sha256::digest(genesis_envelope).into()
}

/// DSSE's pre-authentication encoding.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {} {} ", payload_type.len(), payload_type, payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// What a new key signs: `"attestune key possession v1" 0 ‖ ledger ‖ 0 ‖ actor ‖ 0 ‖ public key`.
pub fn possession_statement(ledger: &[u8], actor: &str, public: &[u8]) -> Vec<u8> {
    let mut out = b"attestune key possession v1\0".to_vec();
    out.extend_from_slice(ledger);
    out.push(0);
    out.extend_from_slice(actor.as_bytes());
    out.push(0);
    out.extend_from_slice(public);
    out
}

/// A public key fit to be registered: 32 bytes, a canonical point, of prime order (neither weak nor with torsion).
pub fn fit_key(public: &[u8]) -> Option<VerifyingKey> {
    let bytes: [u8; 32] = public.try_into().ok()?;
    let key = VerifyingKey::from_bytes(&bytes).ok()?;
    let point = key.to_edwards();
    (!key.is_weak() && point.is_torsion_free() && point.compress().to_bytes() == bytes).then_some(key)
}

/// Whether a signature over some bytes is that of the key, by the verdict of `verify_strict`.
pub fn verify_bytes(public: &VerifyingKey, message: &[u8], sig: &[u8]) -> bool {
    let Ok(sig) = ed25519_dalek::Signature::from_slice(sig) else { return false };
    public.verify_strict(message, &sig).is_ok()
}

/// Whether the envelope's signature at `index` is that of the key.
pub fn verify(envelope: &Envelope, public: &[u8; 32], index: usize) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(public) else { return false };
    let Some(signature) = envelope.signatures.get(index) else { return false };
    verify_bytes(&key, &pae(&envelope.payload_type, &envelope.payload), &signature.sig)
}

/// Decodes an access token; who signed it and whether it holds is for the caller to judge.
///
/// # Errors
/// If the bytes are no envelope around a token.
pub fn open_token(bytes: &[u8]) -> Result<(AccessToken, Envelope), EnvelopeError> {
    let error = EnvelopeError::NotAnEnvelope(TOKEN_PAYLOAD_TYPE);
    let envelope = Envelope::decode(bytes).map_err(|_| error.clone())?;
    if envelope.payload_type != TOKEN_PAYLOAD_TYPE {
        return Err(error);
    }
    let token = AccessToken::decode(envelope.payload.as_slice()).map_err(|_| error)?;
    Ok((token, envelope))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_dsse_protocol() {
        // The protocol's own example.
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn a_signature_verifies_and_a_changed_payload_does_not() {
        let key = SigningKey::from_seed([7; 32]);
        let bytes = key.sign(EVENT_PAYLOAD_TYPE, b"payload");
        let mut envelope = Envelope::decode(bytes.as_slice()).unwrap();
        assert!(verify(&envelope, &key.public(), 0));
        assert!(!verify(&envelope, &SigningKey::from_seed([8; 32]).public(), 0));
        envelope.payload.push(0);
        assert!(!verify(&envelope, &key.public(), 0));
    }

    #[test]
    fn a_second_signature_takes_its_place_by_key_id_and_none_signs_twice() {
        let (a, b) = (SigningKey::from_seed([1; 32]), SigningKey::from_seed([2; 32]));
        let ab = b.cosign(&a.sign(EVENT_PAYLOAD_TYPE, b"x")).unwrap();
        assert_eq!(ab, a.cosign(&b.sign(EVENT_PAYLOAD_TYPE, b"x")).unwrap());
        assert_eq!(a.cosign(&ab), Err(EnvelopeError::SignedBefore(a.keyid())));
    }

    #[test]
    fn weak_keys_and_keys_with_torsion_are_unfit() {
        assert!(fit_key(&[0; 32]).is_none());
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(fit_key(&identity).is_none());
        assert!(fit_key(&SigningKey::from_seed([3; 32]).public()).is_some());
        assert!(fit_key(&[1; 31]).is_none());
        // A prime-order key plus the point of order 2 (0, -1).
        let minus_one = curve25519_dalek::edwards::CompressedEdwardsY([
            0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
        ])
        .decompress()
        .unwrap();
        let good = fit_key(&SigningKey::from_seed([3; 32]).public()).unwrap().to_edwards();
        assert!(fit_key(&(good + minus_one).compress().to_bytes()).is_none());
    }
}
