//! A GGUF whose weights are read as they stand, quantised.

use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, gguf_file::Content};

use super::{ModelConfig, ModelError, ModelTokenizer, SIDE_FILE_BYTES_MAX, folder, gguf, read, read_weights};
use crate::digest::Digest;

/// The key of a chat template in a GGUF's header.
const TEMPLATE: &str = "tokenizer.chat_template";

/// A GGUF in memory: configuration and tokenizer read, tensors as bytes.
pub(crate) struct QuantisedFile {
    path: PathBuf,
    bytes: Vec<u8>,
    content: Content,
    pub(crate) config: ModelConfig,
    pub(crate) tokenizer: ModelTokenizer,
    /// The text of its chat template, if it comes with one.
    pub(crate) template: Option<String>,
    pub(crate) weights_digest: Digest,
    pub(crate) tokenizer_digest: Digest,
}

impl QuantisedFile {
    /// Reads a file that must have this SHA-256.
    pub(crate) fn read(path: &Path, expected: Digest) -> Result<Self, ModelError> {
        let (bytes, weights_digest) = read_weights(path, Some(expected))?;
        let content = gguf::header(path, &bytes)?;
        let metadata = gguf::metadata(path, &content);
        let tensors = gguf::Tensors { path, content: &content, bytes: &bytes };
        let config = gguf::config(&metadata, &tensors)?;
        let json = super::vocabulary::tokenizer_json(&metadata)?;
        let tokenizer_digest = Digest::of(&json);
        let tokenizer = ModelTokenizer::parse(path, json, config.vocab_size)?;
        let template = match metadata.has(TEMPLATE) {
            true => Some(metadata.text(TEMPLATE)?.to_owned()),
            false => None,
        };
        let path = path.to_owned();
        Ok(Self { path, bytes, content, config, tokenizer, template, weights_digest, tokenizer_digest })
    }

    /// A tensor's kind and bytes; its shape must be this.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<(GgmlDType, &[u8]), ModelError> {
        let tensors = self.tensors();
        let info = tensors.info(name, shape)?;
        let kind = info.ggml_dtype;
        let size = shape.iter().product::<usize>() / kind.block_size() * kind.type_size();
        let start = usize::try_from(self.content.tensor_data_offset.saturating_add(info.offset)).ok();
        let bytes = start.and_then(|start| self.bytes.get(start..start.checked_add(size)?));
        let beyond = || self.malformed(format!("tensor `{name}`: it ends after the file does"));
        Ok((kind, bytes.ok_or_else(beyond)?))
    }

    /// A vector as f32.
    pub(crate) fn numbers(&self, name: &str, len: usize) -> Result<Vec<f32>, ModelError> {
        self.tensors().data(name, &[len])
    }

    pub(crate) fn malformed(&self, reason: impl ToString) -> ModelError {
        ModelError::malformed(&self.path, reason)
    }

    fn tensors(&self) -> gguf::Tensors<'_> {
        gguf::Tensors { path: &self.path, content: &self.content, bytes: &self.bytes }
    }
}

/// The chat template of a model's folder: its `chat_template.jinja`, or else what its `tokenizer_config.json` has.
pub(crate) fn folder_chat_template(folder: &Path) -> Result<Option<String>, ModelError> {
    let path = folder.join("chat_template.jinja");
    if path.exists() {
        let text = String::from_utf8(read(&path, SIDE_FILE_BYTES_MAX)?);
        return text.map(Some).map_err(|error| ModelError::malformed(&path, error));
    }
    let path = folder.join(folder::TOKENIZER_CONFIG);
    if !path.exists() {
        return Ok(None);
    }
    let config: serde_json::Value = serde_json::from_slice(&read(&path, SIDE_FILE_BYTES_MAX)?)
        .map_err(|error| ModelError::malformed(&path, error))?;
    let template = &config["chat_template"];
    // Older files list several under names.
    let listed = template.as_array().into_iter().flatten().find(|one| one["name"] == "default");
    Ok(listed.map_or(template, |one| &one["template"]).as_str().map(str::to_owned))
}
