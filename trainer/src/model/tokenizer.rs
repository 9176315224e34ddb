//! Text to tokens and back, by the `tokenizers` crate.

use std::path::Path;

use tokenizers::Tokenizer;

use super::ModelError;

/// A tokenizer and the `tokenizer.json` that defines it.
#[derive(Debug)]
pub(crate) struct ModelTokenizer {
    tokenizer: Tokenizer,
    pub(crate) json: Vec<u8>,
}

impl ModelTokenizer {
    /// From the bytes of a `tokenizer.json`; `path` is where they came from.
    pub(super) fn parse(path: &Path, json: Vec<u8>, vocabulary: usize) -> Result<Self, ModelError> {
        let mut tokenizer = Tokenizer::from_bytes(&json).map_err(|e| ModelError::malformed(path, e))?;
        // Padding and truncation are this crate's; a file's own setting would change digests of runs.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| ModelError::malformed(path, e))?;
        let highest = tokenizer.get_vocab(true).values().max().copied().unwrap_or(0);
        if highest as usize >= vocabulary {
            return Err(ModelError::malformed(
                path,
                format!("token {highest} has no place in a vocabulary of {vocabulary}"),
            ));
        }
        Ok(Self { tokenizer, json })
    }

    /// The tokens of `text`; `special` adds what the model expects before a text, if anything.
    pub(crate) fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, ModelError> {
        match self.tokenizer.encode_fast(text, special) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(e) => Err(ModelError::Tokenizer { bytes: text.len(), reason: e.to_string() }),
        }
    }

    /// The text of `tokens`, without special ones.
    pub(crate) fn decode(&self, tokens: &[u32]) -> Result<String, ModelError> {
        self.tokenizer.decode(tokens, true).map_err(|e| ModelError::Tokenizer { bytes: 0, reason: e.to_string() })
    }
}
