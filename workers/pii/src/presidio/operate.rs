//! Presidio's operators, with its parameters.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha512};

use super::{ApiError, cipher, spans::wrong_type};

/// The least length of a salt that a client chooses.
const SALT_BYTES_MIN: usize = 16;
const SALT_BYTES: usize = 32;

/// Which way a text is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Anonymize,
    Deanonymize,
}

impl Way {
    /// The operators that there are.
    pub(super) fn operators(self) -> &'static [&'static str] {
        match self {
            Self::Anonymize => &["encrypt", "hash", "keep", "mask", "redact", "replace"],
            Self::Deanonymize => &["decrypt", "deanonymize_keep"],
        }
    }
}

/// An operator as the client asks for it.
pub(super) struct Asked {
    pub(super) name: String,
    parameters: Map<String, Value>,
}

impl Asked {
    pub(super) fn read(value: &Value, way: Way) -> Result<Self, ApiError> {
        let parameters = value.as_object().cloned().unwrap_or_default();
        let name = parameters.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        match name.as_str() {
            "" => Err(ApiError::invalid("Invalid input, operator config must contain operator_name")),
            "custom" => Err(ApiError::bad_request("Custom type anonymizer is not supported")),
            name if !way.operators().contains(&name) => {
                Err(ApiError::invalid(format!("Invalid operator class '{name}'.")))
            }
            _ => Ok(Self { name, parameters }),
        }
    }

    /// The kind's name in angle brackets, for what no operator was asked for.
    pub(super) fn replace() -> Self {
        Self { name: "replace".to_owned(), parameters: Map::new() }
    }

    /// What is written for a value.
    pub(super) fn write(&self, entity: &str, value: &str) -> Result<String, ApiError> {
        match self.name.as_str() {
            "replace" => {
                let new = self.optional("new_value", "string", Value::as_str)?.filter(|new| !new.is_empty());
                Ok(new.map_or_else(|| format!("<{entity}>"), str::to_owned))
            }
            "redact" => Ok(String::new()),
            "mask" => self.mask(value),
            "hash" => self.hash(value),
            "encrypt" => {
                let no_chance = || ApiError::new(500, "Internal server error");
                cipher::encrypt(self.key()?, value).ok_or_else(no_chance)
            }
            "decrypt" => {
                let wrong = || ApiError::invalid("Invalid input, the text can't be decrypted with this key");
                cipher::decrypt(self.key()?, value).ok_or_else(wrong)
            }
            _ => Ok(value.to_owned()),
        }
    }

    fn mask(&self, value: &str) -> Result<String, ApiError> {
        let with = self.needed("masking_char", "string", Value::as_str)?;
        let count = self.needed("chars_to_mask", "number", Value::as_i64)?;
        let from_end = self.optional("from_end", "boolean", Value::as_bool)?.unwrap_or(false);
        if with.chars().count() > 1 {
            return Err(ApiError::invalid("Invalid input, masking_char must be a character"));
        }
        let length = value.chars().count();
        let masked = usize::try_from(count).unwrap_or(0).min(length);
        let is_masked = |at: usize| if from_end { at >= length - masked } else { at < masked };
        let mut written = String::with_capacity(value.len());
        for (at, c) in value.chars().enumerate() {
            if is_masked(at) { written.push_str(with) } else { written.push(c) }
        }
        Ok(written)
    }

    /// With a random salt unless the client gives one, so that nobody can try values.
    fn hash(&self, value: &str) -> Result<String, ApiError> {
        let kind = self.optional("hash_type", "string", Value::as_str)?.unwrap_or("sha256");
        let mut random = [0; SALT_BYTES];
        let salt = match self.optional("salt", "string", Value::as_str)? {
            Some(salt) if salt.len() < SALT_BYTES_MIN => {
                let message =
                    format!("Salt must be at least 16 bytes (128 bits). Provided salt is {} bytes.", salt.len());
                return Err(ApiError::invalid(message));
            }
            Some(salt) => salt.as_bytes(),
            None => {
                getrandom::fill(&mut random).map_err(|_| ApiError::new(500, "Internal server error"))?;
                &random[..]
            }
        };
        match kind {
            "sha256" => Ok(hex::encode(Sha256::new().chain_update(value).chain_update(salt).finalize())),
            "sha512" => Ok(hex::encode(Sha512::new().chain_update(value).chain_update(salt).finalize())),
            other => {
                let range = "['sha256', 'sha512']";
                let message = format!("Parameter hash_type value {other} is not in range of values {range}");
                Err(ApiError::invalid(message))
            }
        }
    }

    fn key(&self) -> Result<&[u8], ApiError> {
        let key = self.needed("key", "string", Value::as_str)?.as_bytes();
        match cipher::is_key(key) {
            true => Ok(key),
            false => Err(ApiError::invalid("Invalid input, key must be of length 128, 192 or 256 bits")),
        }
    }

    fn needed<'a, T>(
        &'a self,
        field: &str,
        kind: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, ApiError> {
        self.optional(field, kind, read)?.ok_or_else(|| ApiError::invalid(format!("Expected parameter {field}")))
    }

    fn optional<'a, T>(
        &'a self,
        field: &str,
        kind: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(value) = self.parameters.get(field).filter(|value| !value.is_null()) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| wrong_type(field, kind, value))
    }
}
