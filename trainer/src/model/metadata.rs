//! Typed look-ups in a GGUF's metadata.

use std::{collections::HashMap, path::Path};

use candle_core::quantized::gguf_file::Value;

use super::ModelError;

/// The key–value pairs of a GGUF's header; `path` is named in errors.
#[derive(Clone, Copy)]
pub(super) struct Metadata<'a> {
    pub(super) path: &'a Path,
    pub(super) values: &'a HashMap<String, Value>,
}

impl<'a> Metadata<'a> {
    pub(super) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub(super) fn text(&self, key: &str) -> Result<&'a str, ModelError> {
        match self.value(key)? {
            Value::String(text) => Ok(text),
            _ => Err(self.malformed(format!("`{key}` is no text"))),
        }
    }

    /// A truth value; the default where there is none.
    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, ModelError> {
        match self.values.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.malformed(format!("`{key}` is neither true nor false"))),
        }
    }

    pub(super) fn integer(&self, key: &str) -> Result<usize, ModelError> {
        let number = self.value(key)?.to_u64().ok().and_then(|n| u32::try_from(n).ok());
        number.map(|n| n as usize).ok_or_else(|| self.malformed(format!("`{key}` is no small whole number")))
    }

    /// As [`Metadata::integer`]; the default where there is none.
    pub(super) fn integer_or(&self, key: &str, default: usize) -> Result<usize, ModelError> {
        if self.has(key) { self.integer(key) } else { Ok(default) }
    }

    pub(super) fn float(&self, key: &str) -> Result<f64, ModelError> {
        let number = self.value(key)?.to_f32();
        // Through the shortest decimal: 9.999999747378752e-6 was 1e-5 before it became an f32.
        let number = number.ok().and_then(|n| n.to_string().parse().ok());
        number.ok_or_else(|| self.malformed(format!("`{key}` is no number")))
    }

    pub(super) fn texts(&self, key: &str) -> Result<Vec<&'a str>, ModelError> {
        let text = |value: &'a Value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        };
        self.list(key, text, "no text")
    }

    pub(super) fn integers(&self, key: &str) -> Result<Vec<i64>, ModelError> {
        let integer = |value: &Value| match value {
            Value::I32(number) => Some(i64::from(*number)),
            Value::U32(number) => Some(i64::from(*number)),
            _ => None,
        };
        self.list(key, integer, "no whole number")
    }

    pub(super) fn floats(&self, key: &str) -> Result<Vec<f32>, ModelError> {
        self.list(key, |value| value.to_f32().ok(), "no number")
    }

    pub(super) fn malformed(&self, reason: impl ToString) -> ModelError {
        ModelError::malformed(self.path, reason)
    }

    pub(super) fn unsupported(&self, reason: impl ToString) -> ModelError {
        ModelError::unsupported(self.path, reason)
    }

    fn value(&self, key: &str) -> Result<&'a Value, ModelError> {
        self.values.get(key).ok_or_else(|| self.malformed(format!("`{key}` is missing")))
    }

    fn list<T>(&self, key: &str, item: impl Fn(&'a Value) -> Option<T>, other: &str) -> Result<Vec<T>, ModelError> {
        let Value::Array(items) = self.value(key)? else {
            return Err(self.malformed(format!("`{key}` is no list")));
        };
        let read: Option<Vec<T>> = items.iter().map(item).collect();
        read.ok_or_else(|| self.malformed(format!("`{key}` holds something that is {other}")))
    }
}
