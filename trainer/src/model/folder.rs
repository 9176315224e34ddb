//! Reading a Hugging Face folder: `config.json`, `tokenizer.json`, and `model.safetensors` or the files that
//! `model.safetensors.index.json` names.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, safetensors::SliceSafetensors};
use safetensors::Dtype;
use serde::Deserialize;

use super::{
    BaseModel, ModelConfig, ModelError, ModelTokenizer, RopeScaling, SIDE_FILE_BYTES_MAX, digest_of_files, read,
    read_weights, weights_files, wrong_digest,
};
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
pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
pub(super) const WEIGHTS: &str = "model.safetensors";
/// Which file holds which tensor, where the weights lie in several files.
pub(super) const INDEX: &str = "model.safetensors.index.json";

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
    rope_scaling: Option<RopeParameters>,
    rope_parameters: Option<RopeParameters>,
    partial_rotary_factor: Option<f64>,
    rms_norm_eps: f64,
    #[serde(default = "silu")]
    hidden_act: String,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    quantization_config: Option<serde_json::Value>,
    bos_token_id: Option<u32>,
    eos_token_id: EndTokens,
}

fn silu() -> String {
    "silu".to_owned()
}

/// `rope_scaling`, or `rope_parameters` as newer versions of transformers call it. Older files say `type`.
#[derive(Deserialize)]
struct RopeParameters {
    rope_theta: Option<f64>,
    rope_type: Option<String>,
    #[serde(rename = "type")]
    older_type: Option<String>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    partial_rotary_factor: Option<f64>,
}

impl RopeParameters {
    fn scaling(&self, path: &Path) -> Result<Option<RopeScaling>, ModelError> {
        fn given<T>(value: Option<T>, name: &str, path: &Path) -> Result<T, ModelError> {
            value.ok_or_else(|| ModelError::malformed(path, format!("its rope parameters lack {name}")))
        }
        match self.rope_type.as_ref().or(self.older_type.as_ref()).map_or("default", String::as_str) {
            "default" => Ok(None),
            "linear" => Ok(Some(RopeScaling::Linear { factor: given(self.factor, "factor", path)? })),
            "llama3" => Ok(Some(RopeScaling::Llama3 {
                factor: given(self.factor, "factor", path)?,
                low_freq_factor: given(self.low_freq_factor, "low_freq_factor", path)?,
                high_freq_factor: given(self.high_freq_factor, "high_freq_factor", path)?,
                original_max_position_embeddings: given(
                    self.original_max_position_embeddings,
                    "original_max_position_embeddings",
                    path,
                )?,
            })),
            other => Err(ModelError::unsupported(
                path,
                format!("its rotary frequencies are scaled as `{other}`; `linear` and `llama3` are supported"),
            )),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum EndTokens {
    One(u32),
    Several(Vec<u32>),
}

pub(super) fn load(folder: &Path, expected: Option<Digest>) -> Result<BaseModel, ModelError> {
    let config = read_config(&folder.join(CONFIG))?;
    let mut files = Vec::new();
    for path in weights_files(folder)? {
        let (bytes, digest) = read_weights(&path, None)?;
        files.push((path, bytes, digest));
    }
    let weights_digest = digest_of_files(files.iter().map(|(path, _, digest)| (path.as_path(), *digest)));
    if let Some(expected) = expected.filter(|expected| *expected != weights_digest) {
        let path = if files.len() == 1 { folder.join(WEIGHTS) } else { folder.join(INDEX) };
        return Err(wrong_digest(&path, expected, weights_digest));
    }

    let tokenizer_path = folder.join(TOKENIZER);
    if !tokenizer_path.exists() && folder.join("tokenizer.model").exists() {
        return Err(ModelError::unsupported(
            &tokenizer_path,
            "there is only a tokenizer.model; let transformers' AutoTokenizer save the folder's tokenizer.json",
        ));
    }
    let json = read(&tokenizer_path, SIDE_FILE_BYTES_MAX)?;
    let tokenizer_digest = Digest::of(&json);
    let tokenizer = ModelTokenizer::parse(&tokenizer_path, json, config.vocab_size)?;
    let weights = Tensors::of(folder, &files)?.weights(&config)?;
    Ok(BaseModel { config, weights: weights.into(), tokenizer, weights_digest, tokenizer_digest })
}

/// The files that an index names, ascending.
pub(super) fn files_of_index(path: &Path) -> Result<Vec<PathBuf>, ModelError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index =
        serde_json::from_slice(&read(path, SIDE_FILE_BYTES_MAX)?).map_err(|e| ModelError::malformed(path, e))?;
    let mut names: Vec<&String> = index.weight_map.values().collect();
    names.sort_unstable();
    names.dedup();
    if let Some(name) = names.iter().find(|name| Path::new(name).file_name().is_none_or(|file| file != name.as_str())) {
        return Err(ModelError::malformed(path, format!("`{name}` is no file of this folder")));
    }
    if names.is_empty() {
        return Err(ModelError::malformed(path, "it names no file"));
    }
    Ok(names.into_iter().map(|name| path.with_file_name(name)).collect())
}

fn read_config(path: &Path) -> Result<ModelConfig, ModelError> {
    let bytes = read(path, SIDE_FILE_BYTES_MAX)?;
    let file: ConfigFile = serde_json::from_slice(&bytes).map_err(|e| ModelError::malformed(path, e))?;
    let unsupported = |reason: String| Err(ModelError::unsupported(path, reason));
    if file.model_type != "llama" {
        return unsupported(format!("its model_type is `{}`; only `llama` is supported", file.model_type));
    }
    if file.attention_bias || file.mlp_bias {
        return unsupported("its linear maps have biases, which isn't supported".to_owned());
    }
    if file.hidden_act != "silu" {
        return unsupported(format!("its hidden_act is `{}`; only `silu` is supported", file.hidden_act));
    }
    if file.quantization_config.is_some() {
        return unsupported("its weights are quantised; use the folder before that, or a GGUF".to_owned());
    }
    let rope = file.rope_parameters.as_ref().or(file.rope_scaling.as_ref());
    let partial = file.partial_rotary_factor.or(rope.and_then(|rope| rope.partial_rotary_factor));
    if partial.is_some_and(|factor| factor != 1.0) {
        return unsupported("its heads turn in part (partial_rotary_factor), which isn't supported".to_owned());
    }
    let rope_scaling = rope.map(|rope| rope.scaling(path)).transpose()?.flatten();
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
        rope_scaling,
        rms_norm_eps: file.rms_norm_eps,
        tie_word_embeddings: file.tie_word_embeddings,
        bos_token_id: file.bos_token_id,
        eos_token_id: eos_token_id.ok_or_else(|| ModelError::malformed(path, "eos_token_id is an empty list"))?,
    }
    .check(path)
}

struct Tensors<'a> {
    folder: &'a Path,
    files: Vec<(&'a Path, SliceSafetensors<'a>)>,
}

impl<'a> Tensors<'a> {
    fn of(folder: &'a Path, files: &'a [(PathBuf, Vec<u8>, Digest)]) -> Result<Self, ModelError> {
        let open = |(path, bytes, _): &'a (PathBuf, Vec<u8>, Digest)| {
            let file = SliceSafetensors::new(bytes).map_err(|e| ModelError::malformed(path, e))?;
            Ok((path.as_path(), file))
        };
        Ok(Self { folder, files: files.iter().map(open).collect::<Result<_, ModelError>>()? })
    }

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
            rotary: Rotary::new(config.frequencies()),
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
        let mut holders = self.files.iter().filter_map(|(path, file)| Some((*path, file, file.get(name).ok()?)));
        let (path, file, view) = holders
            .next()
            .ok_or_else(|| ModelError::malformed(self.folder, format!("tensor `{name}` is in no safetensors file")))?;
        let malformed = |reason: String| ModelError::malformed(path, format!("tensor `{name}`: {reason}"));
        if holders.next().is_some() {
            return Err(malformed("it stands in a second file, too".into()));
        }
        if view.shape() != shape {
            return Err(malformed(format!("its shape is {:?}, expected {shape:?}", view.shape())));
        }
        // Other kinds of numbers are quantised, and stand for something only together with their scales.
        if !matches!(view.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            let reason = format!("tensor `{name}` is of {:?}; F32, F16 and BF16 can be read", view.dtype());
            return Err(ModelError::unsupported(path, reason));
        }
        file.load(name, &Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1())
            .map_err(|e| malformed(e.to_string()))
    }
}
