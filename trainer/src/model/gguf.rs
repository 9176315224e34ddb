//! Reading a GGUF file (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>): candle
//! parses and dequantises, the tokenizer is rebuilt from the metadata.

use std::{
    collections::HashMap,
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use candle_core::{
    Device,
    quantized::gguf_file::{Content, Value},
};
use serde_json::json;

use super::{BaseModel, ModelConfig, ModelError, ModelTokenizer, read_weights};
use crate::{
    digest::Digest,
    nn::{
        attention::{Heads, Rotary},
        matrix::Matrix,
        network::{LayerWeights, Weights},
    },
};

pub(super) fn load(path: &Path, expected: Option<Digest>) -> Result<BaseModel, ModelError> {
    let (bytes, weights_digest) = read_weights(path, expected)?;
    let mut reader = Cursor::new(bytes.as_slice());
    // candle's reader divides by an alignment that it takes from the file.
    let content = catch_unwind(AssertUnwindSafe(|| Content::read(&mut reader)))
        .map_err(|_| ModelError::malformed(path, "its header can't be parsed"))?
        .map_err(|e| ModelError::malformed(path, e))?;

    let metadata = Metadata { path, values: &content.metadata };
    let config = metadata.config(&content)?;
    let json = metadata.tokenizer_json()?;
    let tokenizer_digest = Digest::of(&json);
    let tokenizer = ModelTokenizer::parse(path, json, config.vocab_size)?;
    let weights = Tensors { path, content: &content, bytes: &bytes }.weights(&config)?;
    Ok(BaseModel { config, weights, tokenizer, weights_digest, tokenizer_digest })
}

struct Metadata<'a> {
    path: &'a Path,
    values: &'a HashMap<String, Value>,
}

impl Metadata<'_> {
    fn config(&self, content: &Content) -> Result<ModelConfig, ModelError> {
        let architecture = self.text("general.architecture")?;
        if architecture != "llama" {
            return Err(ModelError::unsupported(
                self.path,
                format!("its architecture is `{architecture}`; only `llama` is supported"),
            ));
        }
        if content.tensor_infos.contains_key("rope_freqs.weight") {
            return Err(ModelError::unsupported(self.path, "its rotary frequencies are scaled, which isn't supported"));
        }
        let hidden_size = self.integer("llama.embedding_length")?;
        let num_attention_heads = self.integer("llama.attention.head_count")?;
        let head_dim = match self.values.get("llama.rope.dimension_count") {
            Some(_) => self.integer("llama.rope.dimension_count")?,
            None => hidden_size.checked_div(num_attention_heads).unwrap_or(0),
        };
        let vocab_size = self.list("tokenizer.ggml.tokens")?.len();
        ModelConfig {
            hidden_size,
            intermediate_size: self.integer("llama.feed_forward_length")?,
            num_hidden_layers: self.integer("llama.block_count")?,
            num_attention_heads,
            num_key_value_heads: self.integer("llama.attention.head_count_kv")?,
            head_dim,
            vocab_size,
            max_position_embeddings: self.integer("llama.context_length")?,
            rope_theta: match self.values.get("llama.rope.freq_base") {
                Some(_) => self.float("llama.rope.freq_base")?,
                None => 10_000.0,
            },
            rms_norm_eps: self.float("llama.attention.layer_norm_rms_epsilon")?,
            tie_word_embeddings: !content.tensor_infos.contains_key("output.weight"),
            bos_token_id: self.integer("tokenizer.ggml.bos_token_id").ok().map(|id| id as u32),
            eos_token_id: self.integer("tokenizer.ggml.eos_token_id")? as u32,
        }
        .check(self.path)
    }

    /// The `tokenizer.json` that stands for a byte-level BPE in the metadata. Its bytes are a
    /// function of the metadata alone.
    fn tokenizer_json(&self) -> Result<Vec<u8>, ModelError> {
        let model = self.text("tokenizer.ggml.model")?;
        if model != "gpt2" {
            return Err(ModelError::unsupported(
                self.path,
                format!(
                    "its tokenizer is of kind `{model}`; only byte-level BPE (`gpt2`) is read from a GGUF. \
                     Use the model's folder with tokenizer.json instead"
                ),
            ));
        }
        let byte_level = json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
        });
        let pre_tokenizer = match self.text("tokenizer.ggml.pre")? {
            "smollm" => json!({"type": "Sequence", "pretokenizers": [
                {"type": "Digits", "individual_digits": true}, byte_level,
            ]}),
            "gpt-2" | "default" => byte_level.clone(),
            other => {
                return Err(ModelError::unsupported(
                    self.path,
                    format!(
                        "its pre-tokenizer is `{other}`; `smollm` and `gpt-2` are supported. \
                         Use the model's folder with tokenizer.json instead"
                    ),
                ));
            }
        };
        if self.values.get("tokenizer.ggml.add_bos_token").is_some_and(|v| matches!(v, Value::Bool(true))) {
            return Err(ModelError::unsupported(
                self.path,
                "it asks for a token before every text, which is read from a folder with tokenizer.json only",
            ));
        }

        let tokens = self.texts("tokenizer.ggml.tokens")?;
        let kinds = self.list("tokenizer.ggml.token_type")?;
        let special: Vec<_> = tokens
            .iter()
            .zip(kinds)
            .enumerate()
            // Type 3 is a control token.
            .filter(|(_, (_, kind))| matches!(kind, Value::I32(3) | Value::U32(3)))
            .map(|(id, (token, _))| {
                json!({
                    "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true,
                })
            })
            .collect();
        let merges: Vec<_> = self
            .texts("tokenizer.ggml.merges")?
            .into_iter()
            .map(|merge| merge.split_once(' ').map(|(a, b)| [a, b]))
            .collect::<Option<_>>()
            .ok_or_else(|| ModelError::malformed(self.path, "a merge of its tokenizer isn't two tokens"))?;
        let vocabulary: serde_json::Map<_, _> =
            tokens.iter().enumerate().map(|(id, token)| ((*token).to_owned(), id.into())).collect();
        let mut file = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": special,
            "normalizer": null, "pre_tokenizer": pre_tokenizer, "post_processor": null,
            "decoder": byte_level,
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                "ignore_merges": false, "vocab": vocabulary, "merges": merges,
            },
        });
        // The order of keys would else depend on a feature that any crate of the build may switch on.
        file.sort_all_objects();
        Ok(serde_json::to_vec(&file).expect("a JSON value can be written"))
    }

    fn value(&self, key: &str) -> Result<&Value, ModelError> {
        self.values.get(key).ok_or_else(|| ModelError::malformed(self.path, format!("`{key}` is missing")))
    }

    fn text(&self, key: &str) -> Result<&str, ModelError> {
        match self.value(key)? {
            Value::String(text) => Ok(text),
            _ => Err(ModelError::malformed(self.path, format!("`{key}` is no text"))),
        }
    }

    fn list(&self, key: &str) -> Result<&[Value], ModelError> {
        match self.value(key)? {
            Value::Array(items) => Ok(items),
            _ => Err(ModelError::malformed(self.path, format!("`{key}` is no list"))),
        }
    }

    fn texts(&self, key: &str) -> Result<Vec<&str>, ModelError> {
        let mut texts = Vec::new();
        for value in self.list(key)? {
            match value {
                Value::String(text) => texts.push(text.as_str()),
                _ => return Err(ModelError::malformed(self.path, format!("`{key}` holds something that is no text"))),
            }
        }
        Ok(texts)
    }

    fn integer(&self, key: &str) -> Result<usize, ModelError> {
        let number = self.value(key)?.to_u64().ok().and_then(|n| u32::try_from(n).ok());
        number
            .map(|n| n as usize)
            .ok_or_else(|| ModelError::malformed(self.path, format!("`{key}` is no small whole number")))
    }

    fn float(&self, key: &str) -> Result<f64, ModelError> {
        let number = self.value(key)?.to_f32();
        // Through the shortest decimal: 9.999999747378752e-6 was 1e-5 before it became an f32.
        number
            .ok()
            .and_then(|n| n.to_string().parse().ok())
            .ok_or_else(|| ModelError::malformed(self.path, format!("`{key}` is no number")))
    }
}

struct Tensors<'a> {
    path: &'a Path,
    content: &'a Content,
    bytes: &'a [u8],
}

impl Tensors<'_> {
    fn weights(&self, config: &ModelConfig) -> Result<Weights, ModelError> {
        let heads =
            Heads { query: config.num_attention_heads, key_value: config.num_key_value_heads, dim: config.head_dim };
        let hidden = config.hidden_size;
        let layers = (0..config.num_hidden_layers).map(|i| self.layer(i, config, heads)).collect::<Result<_, _>>()?;
        Ok(Weights {
            embedding: self.matrix("token_embd.weight", config.vocab_size, hidden)?,
            layers,
            norm: self.data("output_norm.weight", &[hidden])?,
            output: match config.tie_word_embeddings {
                true => None,
                false => Some(self.matrix("output.weight", config.vocab_size, hidden)?),
            },
            heads,
            rotary: Rotary::new(heads.dim, config.rope_theta),
            eps: config.rms_norm_eps as f32,
        })
    }

    fn layer(&self, i: usize, config: &ModelConfig, heads: Heads) -> Result<LayerWeights, ModelError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (query, key_value) = (heads.query_width(), heads.key_value_width());
        let named = |name: &str| format!("blk.{i}.{name}.weight");
        let load = |name: &str, rows: usize, cols: usize| self.data(&named(name), &[rows, cols]);

        let mut qkv = halves_apart(load("attn_q", query, hidden)?, heads.dim, hidden);
        qkv.extend(halves_apart(load("attn_k", key_value, hidden)?, heads.dim, hidden));
        qkv.extend(load("attn_v", key_value, hidden)?);
        let mut gate_up = load("ffn_gate", inner, hidden)?;
        gate_up.extend(load("ffn_up", inner, hidden)?);
        Ok(LayerWeights {
            attention_norm: self.data(&named("attn_norm"), &[hidden])?,
            qkv: Matrix::new(heads.row_width(), hidden, qkv),
            o: Matrix::new(hidden, query, load("attn_output", hidden, query)?),
            mlp_norm: self.data(&named("ffn_norm"), &[hidden])?,
            gate_up: Matrix::new(2 * inner, hidden, gate_up),
            down: Matrix::new(hidden, inner, load("ffn_down", hidden, inner)?),
        })
    }

    fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Matrix, ModelError> {
        Ok(Matrix::new(rows, cols, self.data(name, &[rows, cols])?))
    }

    fn data(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let malformed = |reason: String| ModelError::malformed(self.path, format!("tensor `{name}`: {reason}"));
        let info = self.content.tensor_infos.get(name).ok_or_else(|| malformed("missing".into()))?;
        if info.shape.dims() != shape {
            return Err(malformed(format!("its shape is {:?}, expected {shape:?}", info.shape.dims())));
        }
        let mut reader = Cursor::new(self.bytes);
        info.read(&mut reader, self.content.tensor_data_offset, &Device::Cpu)
            .and_then(|tensor| tensor.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1())
            .map_err(|e| malformed(e.to_string()))
    }
}

/// Undoes the order of rows that GGUF gives to query and key weights: there the two numbers that
/// turn together are neighbours; in Hugging Face's order, and so in PEFT's adapters, they are
/// half a head apart.
fn halves_apart(weight: Vec<f32>, dim: usize, cols: usize) -> Vec<f32> {
    let half = dim / 2;
    let mut out = Vec::with_capacity(weight.len());
    for head in weight.chunks_exact(dim * cols) {
        for row in (0..half).map(|i| 2 * i).chain((0..half).map(|i| 2 * i + 1)) {
            out.extend_from_slice(&head[row * cols..][..cols]);
        }
    }
    out
}
