//! A tiny random model, for tests that need a training run but not its result.

use std::path::Path;

use serde_json::json;

use super::{
    ModelConfig, ModelError,
    export::{Tensor, safetensors_bytes, write_config},
    folder, write,
};
use crate::rng::Rng;

/// A tiny model, loaded; its folder is gone again.
#[cfg(test)]
pub(crate) fn tiny(seed: u64) -> super::BaseModel {
    let folder = tempfile::tempdir().unwrap();
    write_tiny_model(folder.path(), seed).unwrap();
    super::BaseModel::load(folder.path()).unwrap()
}

/// Writes a random Llama model into `folder`: two layers of width 32, four query and two key and
/// value heads, a byte-level tokenizer without merges. It trains in well under a second and
/// knows nothing. The same seed gives the same files.
///
/// # Errors
/// If a file can't be written.
pub fn write_tiny_model(folder: &Path, seed: u64) -> Result<(), ModelError> {
    std::fs::create_dir_all(folder).map_err(|source| ModelError::Write { path: folder.to_owned(), source })?;
    let alphabet = byte_alphabet();
    let config = ModelConfig {
        hidden_size: 32,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 8,
        vocab_size: alphabet.len() + 1,
        max_position_embeddings: 256,
        rope_theta: 10_000.0,
        rope_scaling: None,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: true,
        bos_token_id: None,
        eos_token_id: 0,
    };
    write_config(&config, folder)?;
    write(&folder.join(folder::TOKENIZER), &tokenizer_json(&alphabet))?;

    let mut rng = Rng::new(seed, 0x7131);
    let mut data: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    let mut random = |name: String, shape: Vec<usize>| {
        let bound = (3.0 / *shape.last().unwrap_or(&1) as f32).sqrt();
        let numbers = (0..shape.iter().product()).map(|_| rng.symmetric(bound)).collect();
        data.push((name, shape, numbers));
    };
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let (query, key_value) =
        (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
    random("model.embed_tokens.weight".into(), vec![config.vocab_size, hidden]);
    for i in 0..config.num_hidden_layers {
        for (name, rows, cols) in [
            ("self_attn.q_proj", query, hidden),
            ("self_attn.k_proj", key_value, hidden),
            ("self_attn.v_proj", key_value, hidden),
            ("self_attn.o_proj", hidden, query),
            ("mlp.gate_proj", inner, hidden),
            ("mlp.up_proj", inner, hidden),
            ("mlp.down_proj", hidden, inner),
        ] {
            random(format!("model.layers.{i}.{name}.weight"), vec![rows, cols]);
        }
    }
    for i in 0..config.num_hidden_layers {
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            data.push((format!("model.layers.{i}.{norm}.weight"), vec![hidden], vec![1.0; hidden]));
        }
    }
    // With ones, no logit would be high enough to make a token certain, whatever is learnt.
    data.push(("model.norm.weight".to_owned(), vec![hidden], vec![3.0; hidden]));

    let tensors =
        data.iter().map(|(name, shape, data)| (name.clone(), Tensor { shape: shape.clone(), data })).collect();
    write(&folder.join(folder::WEIGHTS), &safetensors_bytes(tensors, "format", "pt".to_owned()))
}

/// The 256 characters that stand for bytes in a byte-level tokenizer, as GPT-2 assigned them:
/// printable Latin-1 stands for itself, the rest follows from U+0100 on.
fn byte_alphabet() -> Vec<String> {
    let printable = |byte: &u8| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..=255u8).filter(|byte| !printable(byte)).count() as u32;
    let own = (0..=255u8).filter(printable).map(char::from);
    own.chain((0..others).filter_map(|i| char::from_u32(0x100 + i))).map(String::from).collect()
}

fn tokenizer_json(alphabet: &[String]) -> Vec<u8> {
    let byte_level = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    });
    let mut vocabulary = serde_json::Map::from_iter([("<end>".to_owned(), 0.into())]);
    vocabulary.extend(alphabet.iter().enumerate().map(|(i, token)| (token.clone(), (i + 1).into())));
    let mut file = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [{
            "id": 0, "content": "<end>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        }],
        "normalizer": null, "pre_tokenizer": byte_level, "post_processor": null, "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": false, "vocab": vocabulary, "merges": [],
        },
    });
    file.sort_all_objects();
    serde_json::to_vec(&file).expect("a JSON value can be written")
}
