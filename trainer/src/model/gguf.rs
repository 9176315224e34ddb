//! Reading a GGUF file (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>): candle
//! parses and dequantises, the tokenizer is rebuilt from the metadata.

use std::{
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use candle_core::{
    Device,
    quantized::{
        GgmlDType,
        gguf_file::{Content, TensorInfo},
    },
};

use super::{
    BaseModel, ModelConfig, ModelError, ModelTokenizer, RopeScaling, metadata::Metadata, read_weights,
    vocabulary::tokenizer_json,
};
use crate::{
    digest::Digest,
    nn::{
        attention::{Heads, Rotary},
        matrix::Matrix,
        network::{LayerWeights, Weights},
    },
};

/// Factors by which each rotary frequency is slowed down, as Llama 3.1 and later have them.
const ROPE_FACTORS: &str = "rope_freqs.weight";

pub(super) fn load(path: &Path, expected: Option<Digest>) -> Result<BaseModel, ModelError> {
    let (bytes, weights_digest) = read_weights(path, expected)?;
    let content = header(path, &bytes)?;
    let metadata = metadata(path, &content);
    let tensors = Tensors { path, content: &content, bytes: &bytes };
    let config = config(&metadata, &tensors)?;
    let json = tokenizer_json(&metadata)?;
    let tokenizer_digest = Digest::of(&json);
    let tokenizer = ModelTokenizer::parse(path, json, config.vocab_size)?;
    let weights = tensors.weights(&config)?;
    Ok(BaseModel { config, weights: weights.into(), tokenizer, weights_digest, tokenizer_digest })
}

/// Parses a GGUF's header.
pub(super) fn header(path: &Path, bytes: &[u8]) -> Result<Content, ModelError> {
    let mut reader = Cursor::new(bytes);
    // candle's reader divides by an alignment that it takes from the file.
    catch_unwind(AssertUnwindSafe(|| Content::read(&mut reader)))
        .map_err(|_| ModelError::malformed(path, "its header can't be parsed"))?
        .map_err(|error| {
            let error = error.to_string();
            match error.split_once(UNKNOWN_KIND).and_then(|(_, rest)| rest.split_whitespace().next()) {
                Some(number) => unknown_kind(path, number),
                None => ModelError::malformed(path, error),
            }
        })
}

/// What candle says of a tensor whose kind it doesn't know, before the kind's number.
const UNKNOWN_KIND: &str = "unknown dtype for tensor ";

/// The kinds of tensors that candle doesn't dequantise, by their number in `ggml.h`.
fn unknown_kind(path: &Path, number: &str) -> ModelError {
    let name = match number {
        "16" => "IQ2_XXS",
        "17" => "IQ2_XS",
        "18" => "IQ3_XXS",
        "19" => "IQ1_S",
        "20" => "IQ4_NL",
        "21" => "IQ3_S",
        "22" => "IQ2_S",
        "23" => "IQ4_XS",
        "29" => "IQ1_M",
        "34" => "TQ1_0",
        "35" => "TQ2_0",
        "39" => "MXFP4",
        _ => "unknown",
    };
    ModelError::unsupported(path, format!("a tensor is quantised as {name} (kind {number}); {READABLE}"))
}

const READABLE: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K and Q6_K can be read";

pub(super) fn metadata<'a>(path: &'a Path, content: &'a Content) -> Metadata<'a> {
    Metadata { path, values: &content.metadata }
}

pub(super) fn config(metadata: &Metadata<'_>, tensors: &Tensors<'_>) -> Result<ModelConfig, ModelError> {
    let architecture = metadata.text("general.architecture")?;
    if architecture != "llama" {
        return Err(metadata.unsupported(format!("its architecture is `{architecture}`; only `llama` is supported")));
    }
    if metadata.integer_or("llama.expert_count", 0)? > 0 {
        return Err(metadata.unsupported("it is a mixture of experts, which isn't supported"));
    }
    let names = &tensors.content.tensor_infos;
    if let Some(bias) = names.keys().filter(|name| name.ends_with(".bias")).min() {
        return Err(metadata.unsupported(format!("it has a bias (`{bias}`), which isn't supported")));
    }
    let hidden_size = metadata.integer("llama.embedding_length")?;
    let num_attention_heads = metadata.integer("llama.attention.head_count")?;
    let width = hidden_size.checked_div(num_attention_heads).unwrap_or(0);
    let turned = metadata.integer_or("llama.rope.dimension_count", width)?;
    let head_dim = metadata.integer_or("llama.attention.key_length", turned)?;
    if turned != head_dim || metadata.integer_or("llama.attention.value_length", head_dim)? != head_dim {
        return Err(metadata.unsupported("its heads turn in part, or keys and values differ in width"));
    }
    let config = ModelConfig {
        hidden_size,
        intermediate_size: metadata.integer("llama.feed_forward_length")?,
        num_hidden_layers: metadata.integer("llama.block_count")?,
        num_attention_heads,
        num_key_value_heads: metadata.integer_or("llama.attention.head_count_kv", num_attention_heads)?,
        head_dim,
        vocab_size: metadata.texts("tokenizer.ggml.tokens")?.len(),
        max_position_embeddings: metadata.integer("llama.context_length")?,
        rope_theta: match metadata.has("llama.rope.freq_base") {
            true => metadata.float("llama.rope.freq_base")?,
            false => 10_000.0,
        },
        rope_scaling: None,
        rms_norm_eps: metadata.float("llama.attention.layer_norm_rms_epsilon")?,
        tie_word_embeddings: !names.contains_key("output.weight"),
        bos_token_id: metadata.integer("tokenizer.ggml.bos_token_id").ok().map(|id| id as u32),
        eos_token_id: metadata.integer("tokenizer.ggml.eos_token_id")? as u32,
    }
    .check(metadata.path)?;
    let rope_scaling = scaling(metadata, tensors, &config)?;
    ModelConfig { rope_scaling, ..config }.check(metadata.path)
}

/// How rotary frequencies are scaled: `config` as it is without.
fn scaling(
    metadata: &Metadata<'_>,
    tensors: &Tensors<'_>,
    config: &ModelConfig,
) -> Result<Option<RopeScaling>, ModelError> {
    let kind = match metadata.has("llama.rope.scaling.type") {
        true => metadata.text("llama.rope.scaling.type")?,
        false => "none",
    };
    let factors = tensors.content.tensor_infos.contains_key(ROPE_FACTORS);
    match kind {
        "none" if factors => {
            let factors = tensors.data(ROPE_FACTORS, &[config.head_dim / 2])?;
            let known = RopeScaling::of_factors(config, &factors);
            let unknown = || metadata.unsupported("its rotary frequencies are scaled in a way that isn't supported");
            known.map(Some).ok_or_else(unknown)
        }
        "none" if metadata.has("llama.rope.scale_linear") => {
            Ok(Some(RopeScaling::Linear { factor: metadata.float("llama.rope.scale_linear")? }))
        }
        "none" => Ok(None),
        "linear" if !factors => Ok(Some(RopeScaling::Linear { factor: metadata.float("llama.rope.scaling.factor")? })),
        other => {
            let kinds = "linear and Llama 3's are supported";
            Err(metadata.unsupported(format!("its rotary frequencies are scaled as `{other}`; {kinds}")))
        }
    }
}

/// The tensors of a file in memory.
pub(super) struct Tensors<'a> {
    pub(super) path: &'a Path,
    pub(super) content: &'a Content,
    pub(super) bytes: &'a [u8],
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
            rotary: Rotary::new(config.frequencies()),
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

    /// Where a tensor lies and what it is; its shape must be this.
    pub(super) fn info(&self, name: &str, shape: &[usize]) -> Result<&TensorInfo, ModelError> {
        let malformed = |reason: String| ModelError::malformed(self.path, format!("tensor `{name}`: {reason}"));
        let info = self.content.tensor_infos.get(name).ok_or_else(|| malformed("missing".into()))?;
        if info.shape.dims() != shape {
            return Err(malformed(format!("its shape is {:?}, expected {shape:?}", info.shape.dims())));
        }
        if matches!(info.ggml_dtype, GgmlDType::Q8_1 | GgmlDType::Q8K) {
            let reason = format!("tensor `{name}` is quantised as {:?}; {READABLE}", info.ggml_dtype);
            return Err(ModelError::unsupported(self.path, reason));
        }
        Ok(info)
    }

    /// A tensor as f32.
    pub(super) fn data(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let malformed = |reason: String| ModelError::malformed(self.path, format!("tensor `{name}`: {reason}"));
        let info = self.info(name, shape)?;
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
