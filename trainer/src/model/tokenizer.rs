//! Text to tokens and back, by the `tokenizers` crate.

use std::{collections::HashMap, path::Path};

use serde_json::{Value, json};
use tokenizers::Tokenizer;

use super::{ModelError, SIDE_FILE_BYTES_MAX, folder, gguf, read, vocabulary::tokenizer_json};

/// A tokenizer and the `tokenizer.json` that defines it.
#[derive(Debug)]
pub struct ModelTokenizer {
    tokenizer: Tokenizer,
    /// For texts that go on from another: without what is put before a text. Absent where nothing is.
    onward: Option<Tokenizer>,
    /// Tokens that are not cut out of texts by the model's own rules, with their texts and whether they are special.
    added: HashMap<u32, (String, bool)>,
    /// Whether a token's characters stand for bytes, as GPT-2's do. Else they are SentencePiece's.
    byte_level: bool,
    pub(crate) json: Vec<u8>,
}

/// What a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPiece {
    /// Its bytes, which need not be whole characters.
    pub bytes: Vec<u8>,
    /// Whether it is no part of a text: a mark such as `<|im_end|>`.
    pub special: bool,
}

impl ModelTokenizer {
    /// The tokenizer of a model's folder, or of a GGUF, which may have no weights.
    ///
    /// # Errors
    /// If there is none, or it is of a kind that isn't supported.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        if path.is_dir() {
            let path = path.join(folder::TOKENIZER);
            return Self::parse(&path, read(&path, SIDE_FILE_BYTES_MAX)?, usize::MAX);
        }
        let bytes = read(path, super::WEIGHTS_BYTES_MAX)?;
        let content = gguf::header(path, &bytes)?;
        let json = tokenizer_json(&gguf::metadata(path, &content))?;
        Self::parse(path, json, usize::MAX)
    }

    /// From the bytes of a `tokenizer.json`; `path` is where they came from.
    pub(super) fn parse(path: &Path, json: Vec<u8>, vocabulary: usize) -> Result<Self, ModelError> {
        let tokenizer = plain(path, &json)?;
        let highest = tokenizer.get_vocab(true).values().max().copied().unwrap_or(0);
        if highest as usize >= vocabulary {
            return Err(ModelError::malformed(
                path,
                format!("token {highest} has no place in a vocabulary of {vocabulary}"),
            ));
        }
        let mut onward: Value = serde_json::from_slice(&json).map_err(|e| ModelError::malformed(path, e))?;
        let onward = match drop_prefixes(&mut onward) {
            true => Some(plain(path, onward.to_string().as_bytes())?),
            false => None,
        };
        let added = tokenizer.get_added_tokens_decoder();
        let added = added.into_iter().map(|(id, token)| (id, (token.content, token.special))).collect();
        let byte_level = String::from_utf8_lossy(&json).contains("\"ByteLevel\"");
        let tokenizer = Self { tokenizer, onward, added, byte_level, json };
        // An answer follows its prompt: nothing may stand between them.
        let (with, without) = (tokenizer.encode("a", true)?, tokenizer.encode("a", false)?);
        if !with.ends_with(&without) {
            let reason = "its tokenizer puts a token after every text, which isn't supported";
            return Err(ModelError::unsupported(path, reason));
        }
        Ok(tokenizer)
    }

    /// The tokens of a text that stands for itself; `special` adds what the model expects before it, if
    /// anything.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, ModelError> {
        encode(&self.tokenizer, text, special)
    }

    /// The tokens of a text that goes on from another, as an answer does from its prompt.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn encode_onward(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        encode(self.onward.as_ref().unwrap_or(&self.tokenizer), text, false)
    }

    /// The bytes of the `tokenizer.json` that defines it.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// What a token stands for; nothing where it has no place in the vocabulary.
    pub fn piece(&self, token: u32) -> Option<TokenPiece> {
        if let Some((text, special)) = self.added.get(&token) {
            return Some(TokenPiece { bytes: text.clone().into_bytes(), special: *special });
        }
        let text = self.tokenizer.id_to_token(token)?;
        let bytes = match self.byte_level {
            true => text.chars().flat_map(byte_of).collect(),
            false => match text.strip_prefix("<0x").and_then(|hex| hex.strip_suffix('>')) {
                Some(hex) if hex.len() == 2 => {
                    u8::from_str_radix(hex, 16).map_or_else(|_| text.clone().into_bytes(), |b| vec![b])
                }
                _ => text.replace('\u{2581}', " ").into_bytes(),
            },
        };
        Some(TokenPiece { bytes, special: false })
    }

    /// The text of `tokens` that go on from others, without special ones.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn decode_onward(&self, tokens: &[u32]) -> Result<String, ModelError> {
        let tokenizer = self.onward.as_ref().unwrap_or(&self.tokenizer);
        tokenizer.decode(tokens, true).map_err(|e| ModelError::Tokenizer { bytes: 0, reason: e.to_string() })
    }
}

/// The byte that a character of a byte-level vocabulary stands for, as GPT-2 assigned them: printable Latin-1 stands for
/// itself, the other bytes follow from U+0100 on. Any other character stands for its own bytes.
fn byte_of(character: char) -> Vec<u8> {
    let printable = |byte: &u8| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let code = u32::from(character);
    let byte = match u8::try_from(code) {
        Ok(byte) => printable(&byte).then_some(byte),
        Err(_) => (0..=255u8).filter(|byte| !printable(byte)).nth(code as usize - 0x100),
    };
    byte.map_or_else(|| character.to_string().into_bytes(), |byte| vec![byte])
}

fn encode(tokenizer: &Tokenizer, text: &str, special: bool) -> Result<Vec<u32>, ModelError> {
    match tokenizer.encode_fast(text, special) {
        Ok(encoding) => Ok(encoding.get_ids().to_vec()),
        Err(e) => Err(ModelError::Tokenizer { bytes: text.len(), reason: e.to_string() }),
    }
}

fn plain(path: &Path, json: &[u8]) -> Result<Tokenizer, ModelError> {
    let mut tokenizer = Tokenizer::from_bytes(json).map_err(|e| ModelError::malformed(path, e))?;
    // Padding and truncation are this crate's; a file's own setting would change digests of runs.
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|e| ModelError::malformed(path, e))?;
    Ok(tokenizer)
}

/// Takes out what adds a space before a text, and what takes it off again when decoding. Answers whether
/// there was any.
fn drop_prefixes(file: &mut Value) -> bool {
    let mut dropped = false;
    for (part, list) in [("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers"), ("decoder", "decoders")] {
        let Some(step) = file.get_mut(part) else { continue };
        if is_prefix(step) {
            *step = Value::Null;
            dropped = true;
        } else if let Some(steps) = step.get_mut(list).and_then(Value::as_array_mut) {
            let before = steps.len();
            steps.retain(|step| !is_prefix(step));
            dropped |= steps.len() != before;
            steps.iter_mut().for_each(|step| dropped |= unset_prefix(part, step));
        } else {
            dropped |= unset_prefix(part, step);
        }
    }
    dropped
}

fn is_prefix(step: &Value) -> bool {
    step["type"] == "Prepend" || step["type"] == "Strip" && step["content"] == " " && step["start"] != 0
}

fn unset_prefix(part: &str, step: &mut Value) -> bool {
    match step["type"].as_str() {
        Some("Metaspace") if step["prepend_scheme"] != "never" && step["add_prefix_space"] != false => {
            step["prepend_scheme"] = json!("never");
            if let Some(step) = step.as_object_mut() {
                step.remove("add_prefix_space");
            }
            true
        }
        // A byte-level decoder leaves spaces as they are, whatever it says here.
        Some("ByteLevel") if part != "decoder" && step["add_prefix_space"] != false => {
            step["add_prefix_space"] = json!(false);
            true
        }
        _ => false,
    }
}
