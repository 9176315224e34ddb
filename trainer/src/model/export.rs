//! Writing a base model as a Hugging Face folder.

use std::{borrow::Cow, collections::HashMap, path::Path};

use safetensors::{Dtype, View, serialize};
use serde_json::json;

use super::{BaseModel, ModelConfig, ModelError, folder, write};

/// An f32 tensor for the `safetensors` crate.
pub(crate) struct Tensor<'a> {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: &'a [f32],
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.data.iter().flat_map(|number| number.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        4 * self.data.len()
    }
}

/// The bytes of a safetensors file; the same tensors give the same bytes.
/// `key` and `value` go into its header.
pub(crate) fn safetensors_bytes(tensors: Vec<(String, Tensor<'_>)>, key: &str, value: String) -> Vec<u8> {
    // One entry only: the order of a map's entries is not fixed.
    let metadata = HashMap::from([(key.to_owned(), value)]);
    serialize(tensors, Some(metadata)).expect("tensors whose sizes agree with their shapes")
}

pub(super) fn write_config(config: &ModelConfig, folder: &Path) -> Result<(), ModelError> {
    let mut json = serde_json::to_value(config).expect("a configuration is plain numbers");
    json["model_type"] = json!("llama");
    json["architectures"] = json!(["LlamaForCausalLM"]);
    json["hidden_act"] = json!("silu");
    json["attention_bias"] = json!(false);
    json["mlp_bias"] = json!(false);
    json["torch_dtype"] = json!("float32");
    json.sort_all_objects();
    write(&folder.join(folder::CONFIG), &serde_json::to_vec_pretty(&json).expect("a JSON value can be written"))
}

pub(super) fn write_all(model: &BaseModel, folder: &Path) -> Result<(), ModelError> {
    std::fs::create_dir_all(folder).map_err(|source| ModelError::Write { path: folder.to_owned(), source })?;
    write_config(&model.config, folder)?;
    write(&folder.join(folder::TOKENIZER), &model.tokenizer.json)?;
    write(&folder.join(folder::WEIGHTS), &safetensors_bytes(tensors(model), "format", "pt".to_owned()))
}

fn tensors(model: &BaseModel) -> Vec<(String, Tensor<'_>)> {
    let weights = &model.weights;
    let vector = |data| Tensor { shape: vec![<[f32]>::len(data)], data };
    let mut all = vec![
        ("model.embed_tokens.weight".to_owned(), rows(&weights.embedding, 0, weights.embedding.rows())),
        ("model.norm.weight".to_owned(), vector(&weights.norm)),
    ];
    if let Some(output) = &weights.output {
        all.push(("lm_head.weight".to_owned(), rows(output, 0, output.rows())));
    }
    let (query, key_value) = (weights.heads.query_width(), weights.heads.key_value_width());
    for (i, layer) in weights.layers.iter().enumerate() {
        let inner = layer.down.cols();
        let mut push = |name: &str, tensor| all.push((format!("model.layers.{i}.{name}.weight"), tensor));
        push("input_layernorm", vector(&layer.attention_norm));
        push("self_attn.q_proj", rows(&layer.qkv, 0, query));
        push("self_attn.k_proj", rows(&layer.qkv, query, key_value));
        push("self_attn.v_proj", rows(&layer.qkv, query + key_value, key_value));
        push("self_attn.o_proj", rows(&layer.o, 0, layer.o.rows()));
        push("post_attention_layernorm", vector(&layer.mlp_norm));
        push("mlp.gate_proj", rows(&layer.gate_up, 0, inner));
        push("mlp.up_proj", rows(&layer.gate_up, inner, inner));
        push("mlp.down_proj", rows(&layer.down, 0, layer.down.rows()));
    }
    all
}

fn rows(matrix: &crate::nn::matrix::Matrix, start: usize, len: usize) -> Tensor<'_> {
    let cols = matrix.cols();
    Tensor { shape: vec![len, cols], data: &matrix.data()[start * cols..][..len * cols] }
}
