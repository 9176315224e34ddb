//! Reading a Hugging Face folder: `config.json`, `tokenizer.json`, `model.safetensors`.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, safetensors::SliceSafetensors};
use serde::Deserialize;

use super::{BaseModel, ModelConfig, ModelError, ModelTokenizer, SIDE_FILE_BYTES_MAX, read, read_weights};
use crate::{
    digest::Digest,
    nn::{
        attention::{Heads, Rotary},
        matrix::Matrix,
        network::{LayerWeights, Weights},
    },
};

pub(super) const CONFIG: &str = "config.json";
pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const WEIGHTS: &str = "model.safetensors";

/// `config.json` as found: what is absent has Hugging Face's default.
#[derive(Deserialize)]
struct ConfigFile {
    model_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: usize,
    rope_theta: Option<f64>,
    rope_scaling: Option<serde_json::Value>,
    rope_parameters: Option<RopeParameters>,
    rms_norm_eps: f64,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    bos_token_id: Option<u32>,
    eos_token_id: EndTokens,
}

/// Where newer versions of transformers keep the rotary embedding's parameters.
#[derive(Deserialize)]
struct RopeParameters {
    rope_theta: Option<f64>,
    rope_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum EndTokens {
    One(u32),
    Several(Vec<u32>),
}

pub(super) fn load(folder: &Path, expected: Option<Digest>) -> Result<BaseModel, ModelError> {
    let config = read_config(&folder.join(CONFIG))?;
    let path = folder.join(WEIGHTS);
    if !path.exists() && folder.join("model.safetensors.index.json").exists() {
        return Err(ModelError::unsupported(
            &path,
            "the weights lie in several files; save the model as one model.safetensors first",
        ));
    }
    let (bytes, weights_digest) = read_weights(&path, expected)?;

    let tokenizer_path = folder.join(TOKENIZER);
    let json = read(&tokenizer_path, SIDE_FILE_BYTES_MAX)?;
    let tokenizer_digest = Digest::of(&json);
    let tokenizer = ModelTokenizer::parse(&tokenizer_path, json, config.vocab_size)?;
    let file = SliceSafetensors::new(&bytes).map_err(|e| ModelError::malformed(&path, e))?;
    let weights = Tensors { path, file }.weights(&config)?;
    Ok(BaseModel { config, weights, tokenizer, weights_digest, tokenizer_digest })
}

fn read_config(path: &Path) -> Result<ModelConfig, ModelError> {
    let bytes = read(path, SIDE_FILE_BYTES_MAX)?;
    let file: ConfigFile = serde_json::from_slice(&bytes).map_err(|e| ModelError::malformed(path, e))?;
    if file.model_type != "llama" {
        return Err(ModelError::unsupported(
            path,
            format!("its model_type is `{}`; only `llama` is supported", file.model_type),
        ));
    }
    let rope_type = file.rope_parameters.as_ref().and_then(|p| p.rope_type.as_deref()).unwrap_or("default");
    if file.rope_scaling.is_some() || rope_type != "default" {
        return Err(ModelError::unsupported(path, "its rotary frequencies are scaled, which isn't supported"));
    }
    if file.attention_bias || file.mlp_bias {
        return Err(ModelError::unsupported(path, "its linear maps have biases, which isn't supported"));
    }
    let eos_token_id = match file.eos_token_id {
        EndTokens::One(id) => Some(id),
        EndTokens::Several(ids) => ids.first().copied(),
    };
    ModelConfig {
        hidden_size: file.hidden_size,
        intermediate_size: file.intermediate_size,
        num_hidden_layers: file.num_hidden_layers,
        num_attention_heads: file.num_attention_heads,
        num_key_value_heads: file.num_key_value_heads.unwrap_or(file.num_attention_heads),
        head_dim: match file.head_dim {
            Some(dim) => dim,
            None => file.hidden_size.checked_div(file.num_attention_heads).unwrap_or(0),
        },
        vocab_size: file.vocab_size,
        max_position_embeddings: file.max_position_embeddings,
        rope_theta: file.rope_theta.or(file.rope_parameters.and_then(|p| p.rope_theta)).unwrap_or(10_000.0),
        rms_norm_eps: file.rms_norm_eps,
        tie_word_embeddings: file.tie_word_embeddings,
        bos_token_id: file.bos_token_id,
        eos_token_id: eos_token_id.ok_or_else(|| ModelError::malformed(path, "eos_token_id is an empty list"))?,
    }
    .check(path)
}

struct Tensors<'a> {
    path: PathBuf,
    file: SliceSafetensors<'a>,
}

impl Tensors<'_> {
    fn weights(&self, config: &ModelConfig) -> Result<Weights, ModelError> {
        let heads =
            Heads { query: config.num_attention_heads, key_value: config.num_key_value_heads, dim: config.head_dim };
        let hidden = config.hidden_size;
        let layers = (0..config.num_hidden_layers).map(|i| self.layer(i, config, heads)).collect::<Result<_, _>>()?;
        let matrix =
            |name: &str| Ok(Matrix::new(config.vocab_size, hidden, self.data(name, &[config.vocab_size, hidden])?));
        Ok(Weights {
            embedding: matrix("model.embed_tokens.weight")?,
            layers,
            norm: self.data("model.norm.weight", &[hidden])?,
            output: match config.tie_word_embeddings {
                true => None,
                false => Some(matrix("lm_head.weight")?),
            },
            heads,
            rotary: Rotary::new(heads.dim, config.rope_theta),
            eps: config.rms_norm_eps as f32,
        })
    }

    fn layer(&self, i: usize, config: &ModelConfig, heads: Heads) -> Result<LayerWeights, ModelError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (query, key_value) = (heads.query_width(), heads.key_value_width());
        let named = |name: &str| format!("model.layers.{i}.{name}.weight");
        let load = |name: &str, rows: usize, cols: usize| self.data(&named(name), &[rows, cols]);

        let mut qkv = load("self_attn.q_proj", query, hidden)?;
        qkv.extend(load("self_attn.k_proj", key_value, hidden)?);
        qkv.extend(load("self_attn.v_proj", key_value, hidden)?);
        let mut gate_up = load("mlp.gate_proj", inner, hidden)?;
        gate_up.extend(load("mlp.up_proj", inner, hidden)?);
        Ok(LayerWeights {
            attention_norm: self.data(&named("input_layernorm"), &[hidden])?,
            qkv: Matrix::new(heads.row_width(), hidden, qkv),
            o: Matrix::new(hidden, query, load("self_attn.o_proj", hidden, query)?),
            mlp_norm: self.data(&named("post_attention_layernorm"), &[hidden])?,
            gate_up: Matrix::new(2 * inner, hidden, gate_up),
            down: Matrix::new(hidden, inner, load("mlp.down_proj", hidden, inner)?),
        })
    }

    fn data(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let malformed = |reason: String| ModelError::malformed(&self.path, format!("tensor `{name}`: {reason}"));
        let view = self.file.get(name).map_err(|_| malformed("missing".into()))?;
        if view.shape() != shape {
            return Err(malformed(format!("its shape is {:?}, expected {shape:?}", view.shape())));
        }
        self.file
            .load(name, &Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1())
            .map_err(|e| malformed(e.to_string()))
    }
}
