//! The key of hashes, pseudonyms and encryption, and the way back from the last.

use std::fmt;

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroize;

use crate::Entity;

const NONCE_BYTES: usize = 12;
/// `<ENC:` kind `:` nonce and cipher text in Base64 `>`.
const OPENING: &str = "<ENC:";

/// Thirty-two secret bytes, wiped from memory when dropped. Its owner keeps it, in the vault say; this crate doesn't.
#[derive(Clone)]
pub struct Key([u8; 32]);

/// A value that was encrypted can't be revealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the encrypted {entity} at byte {at} can't be revealed: the key is another, or the text was changed")]
pub struct RevealError {
    /// The kind that the text names.
    pub entity: String,
    /// Where it stands in the text.
    pub at: usize,
}

impl Key {
    /// A key of random bytes from a source that nobody can guess.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// HMAC-SHA-256 over the kind's name, a zero byte and the value.
    pub(crate) fn hash(&self, entity: Entity, value: &str) -> [u8; 32] {
        self.derive(&[b"hash\0", entity.name().as_bytes(), b"\0", value.as_bytes()])
    }

    pub(crate) fn derive(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    /// The name of a kind is bound to the value; nothing without random numbers.
    pub(crate) fn encrypt(&self, name: &str, value: &str) -> Option<String> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).ok()?;
        let payload = Payload { msg: value.as_bytes(), aad: name.as_bytes() };
        let sealed = self.cipher().encrypt(&nonce.into(), payload).ok()?;
        let body = URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat());
        Some(format!("{OPENING}{name}:{body}>"))
    }

    fn decrypt(&self, entity: &str, body: &str) -> Option<String> {
        let sealed = URL_SAFE_NO_PAD.decode(body).ok()?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
        let payload = Payload { msg: sealed, aad: entity.as_bytes() };
        String::from_utf8(self.cipher().decrypt(&nonce.into(), payload).ok()?).ok()
    }

    /// Of a key of its own, so that no use of one kind tells about another.
    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&self.derive(&[b"encrypt\0"]).into())
    }
}

/// The text with every encrypted value as it was.
///
/// # Errors
/// A value was encrypted with another key, or changed since.
pub fn reveal(text: &str, key: &Key) -> Result<String, RevealError> {
    let mut revealed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(OPENING) {
        let body_at = at + OPENING.len();
        let parts = rest[body_at..].split_once('>').and_then(|(inside, _)| inside.split_once(':'));
        let is_body = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let Some((entity, body)) = parts.filter(|(_, body)| body.chars().all(is_body)) else {
            revealed.push_str(&rest[..body_at]);
            rest = &rest[body_at..];
            continue;
        };
        let value = key
            .decrypt(entity, body)
            .ok_or_else(|| RevealError { entity: entity.to_owned(), at: text.len() - rest.len() + at })?;
        revealed.push_str(&rest[..at]);
        revealed.push_str(&value);
        rest = &rest[body_at + entity.len() + 1 + body.len() + 1..];
    }
    revealed.push_str(rest);
    Ok(revealed)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
