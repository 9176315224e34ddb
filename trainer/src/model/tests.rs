use std::collections::{BTreeMap, HashMap};

use candle_core::{
    Device, Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Value},
    },
};
use serde_json::json;

use super::*;
use crate::generate::Model;

fn tiny() -> (tempfile::TempDir, BaseModel) {
    let folder = tempfile::tempdir().unwrap();
    write_tiny_model(folder.path(), 3).unwrap();
    let base = BaseModel::load(folder.path()).unwrap();
    (folder, base)
}

fn error(folder: &Path) -> String {
    BaseModel::load(folder).unwrap_err().to_string()
}

#[test]
fn the_same_seed_writes_the_same_model() {
    let ((_a, first), (_b, second)) = (tiny(), tiny());
    assert_eq!(first.weights_digest(), second.weights_digest());
    assert_eq!(first.tokenizer_digest(), second.tokenizer_digest());
    let other = tempfile::tempdir().unwrap();
    write_tiny_model(other.path(), 4).unwrap();
    assert_ne!(BaseModel::load(other.path()).unwrap().weights_digest(), first.weights_digest());
}

#[test]
fn an_exported_model_is_the_model() {
    let (folder, base) = tiny();
    let copy = tempfile::tempdir().unwrap();
    base.export(copy.path()).unwrap();
    let read = |folder: &Path, name: &str| std::fs::read(folder.join(name)).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        assert_eq!(read(folder.path(), name), read(copy.path(), name), "{name}");
    }
}

#[test]
fn every_text_survives_the_tiny_tokenizer() {
    let (_folder, base) = tiny();
    for text in ["Where is it?", "ünï 漢字 🙂\n\ttab", "\u{0}\u{7f}"] {
        let tokens = base.tokenizer.encode(text, true).unwrap();
        assert_eq!(base.tokenizer.decode_onward(&tokens).unwrap(), text);
        assert_eq!(tokens.len(), text.len());
    }
}

#[test]
fn a_wrong_digest_names_both_digests_and_the_file() {
    let (folder, base) = tiny();
    assert!(BaseModel::load_checked(folder.path(), base.weights_digest()).is_ok());
    let error = BaseModel::load_checked(folder.path(), Digest([7; 32])).unwrap_err().to_string();
    assert!(error.contains("model.safetensors"), "{error}");
    assert!(error.contains(&base.weights_digest().to_string()) && error.contains(&"07".repeat(32)), "{error}");
}

#[test]
fn missing_files_are_named() {
    let (folder, _) = tiny();
    for name in ["tokenizer.json", "model.safetensors", "config.json"] {
        std::fs::remove_file(folder.path().join(name)).unwrap();
        assert!(error(folder.path()).contains(name), "{}", error(folder.path()));
    }
    assert!(error(Path::new("/no/such/model.gguf")).starts_with("cannot read /no/such/model.gguf"));
}

#[test]
fn a_configuration_of_another_kind_or_of_absurd_size_is_refused() {
    let (folder, _) = tiny();
    let path = folder.path().join("config.json");
    let good = std::fs::read_to_string(&path).unwrap();
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        std::fs::write(&path, good.replace(from, to)).unwrap();
        error(folder.path())
    };
    assert!(with("\"llama\"", "\"gpt2\"").contains("only `llama`"));
    assert!(with("\"attention_bias\": false", "\"attention_bias\": true").contains("biases"));
    assert!(with("\"hidden_size\": 32", "\"hidden_size\": 99999999999").contains("hidden_size"));
    assert!(with("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 0").contains("num_hidden_layers"));
    assert!(with("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3").contains("can't share"));
    assert!(with("\"head_dim\": 8", "\"head_dim\": 7").contains("odd"));
    assert!(with("\"hidden_size\": 32", "\"hidden_size\": 64").contains("expected"));
    assert!(with("\"eos_token_id\": 0", "\"eos_token_id\": 9999").contains("9999"));
    assert!(with("\"vocab_size\": 257", "\"vocab_size\": 100").contains("256"));
    assert!(with("{", "").contains("damaged"));
}

#[test]
fn damaged_weights_are_an_error_wherever_they_are_cut() {
    let (folder, _) = tiny();
    let path = folder.path().join("model.safetensors");
    let good = std::fs::read(&path).unwrap();
    for length in [0, 7, 8, 100, good.len() / 2, good.len() - 1] {
        std::fs::write(&path, &good[..length]).unwrap();
        assert!(error(folder.path()).contains("model.safetensors"));
    }
    let mut huge_header = good.clone();
    huge_header[..8].fill(0xff);
    std::fs::write(&path, huge_header).unwrap();
    assert!(error(folder.path()).contains("model.safetensors"));
}

/// The shortest GGUF there is, with these key–value pairs.
fn gguf(pairs: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend(0u64.to_le_bytes());
    bytes.extend((pairs.len() as u64).to_le_bytes());
    for (key, kind, value) in pairs {
        bytes.extend((key.len() as u64).to_le_bytes());
        bytes.extend(key.as_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(*value);
    }
    bytes
}

#[test]
fn hostile_gguf_files_are_errors_not_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let zero_alignment = gguf(&[("general.alignment", 5, &0i32.to_le_bytes()), ("general.alignment", 0, &[0])]);
    let many = [&b"GGUF\x03\0\0\0"[..], &[0xff; 16]].concat();
    let architecture = |name: &str| [&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat();
    let other = gguf(&[("general.architecture", 8, &architecture("bert"))]);
    let empty = gguf(&[("general.architecture", 8, &architecture("llama"))]);
    for bytes in [b"".to_vec(), b"GGUF".to_vec(), b"ELF?".to_vec(), many, zero_alignment] {
        std::fs::write(&path, bytes).unwrap();
        assert!(error(&path).contains("is damaged or no model"), "{}", error(&path));
    }
    std::fs::write(&path, other).unwrap();
    assert!(error(&path).contains("its architecture is `bert`"));
    std::fs::write(&path, empty).unwrap();
    assert!(error(&path).contains("is missing"), "{}", error(&path));
}

/// Metadata of a GGUF.
pub(super) fn values<const N: usize>(pairs: [(&str, Value); N]) -> HashMap<String, Value> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The tiny model's metadata as a GGUF has it.
fn tiny_values(base: &BaseModel) -> HashMap<String, Value> {
    let number = |number: usize| Value::U32(number as u32);
    let config = &base.config;
    let tokenizer: serde_json::Value = serde_json::from_slice(&base.tokenizer.json).unwrap();
    let vocabulary = tokenizer["model"]["vocab"].as_object().unwrap();
    let mut tokens = vec![String::new(); vocabulary.len()];
    vocabulary.iter().for_each(|(token, id)| tokens[id.as_u64().unwrap() as usize] = token.clone());
    let kinds = (0..tokens.len()).map(|id| Value::I32(if id == 0 { 3 } else { 1 }));
    values([
        ("general.architecture", Value::String("llama".into())),
        ("llama.embedding_length", number(config.hidden_size)),
        ("llama.feed_forward_length", number(config.intermediate_size)),
        ("llama.block_count", number(config.num_hidden_layers)),
        ("llama.attention.head_count", number(config.num_attention_heads)),
        ("llama.attention.head_count_kv", number(config.num_key_value_heads)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("llama.context_length", number(config.max_position_embeddings)),
        ("tokenizer.ggml.model", Value::String("gpt2".into())),
        ("tokenizer.ggml.pre", Value::String("gpt-2".into())),
        ("tokenizer.ggml.token_type", Value::Array(kinds.collect())),
        ("tokenizer.ggml.tokens", Value::Array(tokens.into_iter().map(Value::String).collect())),
        ("tokenizer.ggml.merges", Value::Array(Vec::new())),
        ("tokenizer.ggml.eos_token_id", number(0)),
    ])
}

/// The tiny model's tensors under GGUF's names, query and key rows in GGUF's order.
fn tiny_tensors(base: &BaseModel) -> BTreeMap<String, Tensor> {
    let weights = &base.weights;
    let matrix = |data: &[f32], cols: usize| Tensor::from_slice(data, (data.len() / cols, cols), &Device::Cpu).unwrap();
    let vector = |data: &[f32]| Tensor::from_slice(data, data.len(), &Device::Cpu).unwrap();
    let neighbours = |data: &[f32], heads: usize, cols: usize| {
        let by_half = Tensor::from_slice(data, (heads, 2, weights.heads.dim / 2, cols), &Device::Cpu).unwrap();
        by_half.transpose(1, 2).unwrap().reshape((heads * weights.heads.dim, cols)).unwrap()
    };
    let hidden = weights.embedding.cols();
    let (query, key_value) = (weights.heads.query_width() * hidden, weights.heads.key_value_width() * hidden);
    let mut all = BTreeMap::from([
        ("token_embd.weight".to_owned(), matrix(weights.embedding.data(), hidden)),
        ("output_norm.weight".to_owned(), vector(&weights.norm)),
    ]);
    for (i, layer) in weights.layers.iter().enumerate() {
        let (qkv, gate_up) = (layer.qkv.data(), layer.gate_up.data());
        let mut put = |name: &str, tensor| all.insert(format!("blk.{i}.{name}.weight"), tensor);
        put("attn_norm", vector(&layer.attention_norm));
        put("attn_q", neighbours(&qkv[..query], weights.heads.query, hidden));
        put("attn_k", neighbours(&qkv[query..query + key_value], weights.heads.key_value, hidden));
        put("attn_v", matrix(&qkv[query + key_value..], hidden));
        put("attn_output", matrix(layer.o.data(), layer.o.cols()));
        put("ffn_norm", vector(&layer.mlp_norm));
        put("ffn_gate", matrix(&gate_up[..gate_up.len() / 2], hidden));
        put("ffn_up", matrix(&gate_up[gate_up.len() / 2..], hidden));
        put("ffn_down", matrix(layer.down.data(), layer.down.cols()));
    }
    all
}

fn write_gguf(path: &Path, values: &HashMap<String, Value>, tensors: &BTreeMap<String, Tensor>, kind: GgmlDType) {
    let mut values: Vec<_> = values.iter().map(|(key, value)| (key.as_str(), value)).collect();
    values.sort_by_key(|(key, _)| *key);
    let tensors: Vec<(String, QTensor)> = tensors
        .iter()
        .map(|(name, tensor)| {
            let whole_blocks = tensor.rank() == 2 && tensor.dims()[1].is_multiple_of(kind.block_size());
            let kind = if whole_blocks { kind } else { GgmlDType::F32 };
            (name.clone(), QTensor::quantize(tensor, kind).unwrap())
        })
        .collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut std::fs::File::create(path).unwrap(), &values, &tensors).unwrap();
}

fn logits(base: &BaseModel) -> Vec<f32> {
    Model::new(base, None).unwrap().logits("Where is my card?").unwrap().1
}

#[test]
fn a_gguf_gives_the_logits_of_the_folder_it_was_made_of() {
    let (folder, base) = tiny();
    let path = folder.path().join("tiny.gguf");
    let (values, mut tensors) = (tiny_values(&base), tiny_tensors(&base));
    write_gguf(&path, &values, &tensors, GgmlDType::F32);
    let read = BaseModel::load(&path).unwrap();
    assert_eq!(logits(&read), logits(&base));
    assert_eq!(weights_digest(&path).unwrap(), read.weights_digest());

    write_gguf(&path, &values, &tensors, GgmlDType::Q8_0);
    let near = logits(&BaseModel::load(&path).unwrap());
    let (mut worst, mut largest) = (0f32, 0f32);
    for (near, exact) in near.iter().zip(logits(&base)) {
        worst = worst.max((near - exact).abs());
        largest = largest.max(exact.abs());
    }
    assert!(worst > 0.0 && worst < largest / 10.0, "{worst} of {largest}");

    // An output matrix of its own.
    tensors.insert("output.weight".into(), tensors["token_embd.weight"].affine(2.0, 0.0).unwrap());
    write_gguf(&path, &values, &tensors, GgmlDType::F32);
    let doubled: Vec<f32> = logits(&base).iter().map(|logit| 2.0 * logit).collect();
    assert_eq!(logits(&BaseModel::load(&path).unwrap()), doubled);
}

#[test]
fn what_a_gguf_asks_for_and_is_not_supported_is_named() {
    let (folder, base) = tiny();
    let path = folder.path().join("tiny.gguf");
    let (values, tensors) = (tiny_values(&base), tiny_tensors(&base));
    let with = |key: &str, value: Value| {
        let mut values = values.clone();
        values.insert(key.into(), value);
        write_gguf(&path, &values, &tensors, GgmlDType::F32);
        error(&path)
    };
    assert!(with("llama.expert_count", Value::U32(8)).contains("mixture of experts"));
    assert!(with("llama.rope.scaling.type", Value::String("yarn".into())).contains("scaled as `yarn`"));
    assert!(with("llama.attention.value_length", Value::U32(16)).contains("differ in width"));
    assert!(with("llama.attention.key_length", Value::U32(16)).contains("turn in part"));
    assert!(with("tokenizer.ggml.pre", Value::String("default".into())).contains("`default`"));

    let mut biased = tensors.clone();
    biased.insert("blk.0.attn_q.bias".into(), tensors["output_norm.weight"].clone());
    write_gguf(&path, &values, &biased, GgmlDType::F32);
    assert!(error(&path).contains("a bias (`blk.0.attn_q.bias`)"));

    // Kind 20 in the place of the first tensor's kind 0, which stands after its name, rank and shape.
    write_gguf(&path, &values, &tensors, GgmlDType::F32);
    let mut bytes = std::fs::read(&path).unwrap();
    let name = b"blk.0.attn_k.weight";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap() + name.len() + 4 + 2 * 8;
    bytes[at..at + 4].copy_from_slice(&20u32.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    assert!(error(&path).contains("quantised as IQ4_NL (kind 20)"), "{}", error(&path));
}

#[test]
fn scaled_rotary_frequencies_are_read_from_both_formats() {
    let (folder, base) = tiny();
    let scaling = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8_192,
    };
    // So that of the four frequencies two are kept, one is scaled in part and one in full.
    let plain = ModelConfig { rope_theta: 270_000.0, ..base.config.clone() };
    let scaled = ModelConfig { rope_scaling: Some(scaling), ..plain.clone() };
    export::write_config(&scaled, folder.path()).unwrap();
    let from_folder = BaseModel::load(folder.path()).unwrap();
    assert_eq!(from_folder.config, scaled);
    assert_ne!(logits(&from_folder), logits(&base));

    let factors: Vec<f32> =
        plain.frequencies().iter().zip(scaled.frequencies()).map(|(plain, scaled)| (plain / scaled) as f32).collect();
    assert!(factors[..2] == [1.0, 1.0] && factors[2] > 1.0 && factors[2] < 8.0 && factors[3] == 8.0, "{factors:?}");
    let (mut values, mut tensors) = (tiny_values(&base), tiny_tensors(&base));
    values.insert("llama.rope.freq_base".into(), Value::F32(270_000.0));
    tensors.insert("rope_freqs.weight".into(), Tensor::new(factors.clone(), &Device::Cpu).unwrap());
    let path = folder.path().join("tiny.gguf");
    write_gguf(&path, &values, &tensors, GgmlDType::F32);
    let from_gguf = BaseModel::load(&path).unwrap();
    assert_eq!(from_gguf.config.rope_scaling, Some(scaling));
    assert_eq!(logits(&from_gguf), logits(&from_folder));

    let odd: Vec<f32> = factors.iter().map(|factor| factor * 1.1).collect();
    tensors.insert("rope_freqs.weight".into(), Tensor::new(odd, &Device::Cpu).unwrap());
    write_gguf(&path, &values, &tensors, GgmlDType::F32);
    assert!(error(&path).contains("scaled in a way that isn't supported"));
}

#[test]
fn rope_parameters_of_either_name_are_read_and_unknown_ones_refused() {
    let (folder, _) = tiny();
    let path = folder.path().join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let mut with = |name: &str, parameters: serde_json::Value| {
        config[name] = parameters;
        std::fs::write(&path, config.to_string()).unwrap();
        config[name] = serde_json::Value::Null;
        BaseModel::load(folder.path()).map(|base| base.config.rope_scaling)
    };
    let linear = Some(RopeScaling::Linear { factor: 4.0 });
    assert_eq!(with("rope_scaling", json!({"type": "linear", "factor": 4.0})).unwrap(), linear);
    assert_eq!(with("rope_parameters", json!({"rope_type": "linear", "factor": 4.0})).unwrap(), linear);
    assert_eq!(with("rope_parameters", json!({"rope_type": "default", "rope_theta": 10000.0})).unwrap(), None);
    let error = |result: Result<_, ModelError>| result.unwrap_err().to_string();
    assert!(error(with("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0}))).contains("`yarn`"));
    assert!(error(with("rope_scaling", json!({"rope_type": "llama3", "factor": 4.0}))).contains("low_freq_factor"));
    assert!(error(with("rope_scaling", json!({"rope_type": "linear", "factor": 0.5}))).contains("below 1"));
    assert!(error(with("partial_rotary_factor", json!(0.5))).contains("partial_rotary_factor"));
    assert!(error(with("quantization_config", json!({"bits": 4}))).contains("quantised"));
}

#[test]
fn weights_in_several_files_are_the_same_weights() {
    let (folder, base) = tiny();
    let single = std::fs::read(folder.path().join("model.safetensors")).unwrap();
    let all = safetensors::SafeTensors::deserialize(&single).unwrap();
    let mut names = all.names();
    names.sort_unstable();
    let mut map = serde_json::Map::new();
    for (i, names) in names.chunks(names.len() / 2 + 1).enumerate() {
        let file = format!("model-{:05}-of-00002.safetensors", i + 1);
        let part = names.iter().map(|name| (name.to_string(), all.tensor(name).unwrap()));
        std::fs::write(folder.path().join(&file), safetensors::serialize(part, None).unwrap()).unwrap();
        map.extend(names.iter().map(|name| (name.to_string(), json!(file))));
    }
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let index = folder.path().join("model.safetensors.index.json");
    let write_index = |map: &serde_json::Map<_, _>| {
        std::fs::write(&index, json!({"metadata": {}, "weight_map": map}).to_string()).unwrap();
    };
    write_index(&map);
    let parts = BaseModel::load(folder.path()).unwrap();
    assert_eq!(logits(&parts), logits(&base));

    // As `sha256sum model-*.safetensors | sha256sum` has it.
    let mut listing = String::new();
    for i in 1..=2 {
        let name = format!("model-{i:05}-of-00002.safetensors");
        listing += &format!("{}  {name}\n", Digest::of(&std::fs::read(folder.path().join(&name)).unwrap()));
    }
    assert_eq!(parts.weights_digest(), Digest::of(listing.as_bytes()));
    assert_eq!(weights_digest(folder.path()).unwrap(), parts.weights_digest());
    assert!(BaseModel::load_checked(folder.path(), parts.weights_digest()).is_ok());
    let wrong = BaseModel::load_checked(folder.path(), base.weights_digest()).unwrap_err().to_string();
    assert!(wrong.contains("model.safetensors.index.json"), "{wrong}");

    map.retain(|_, file| file != "model-00001-of-00002.safetensors");
    write_index(&map);
    assert!(error(folder.path()).contains("is in no safetensors file"), "{}", error(folder.path()));
    map.insert("x".into(), json!("../model.safetensors"));
    write_index(&map);
    assert!(error(folder.path()).contains("is no file of this folder"));
}

#[test]
fn a_tokenizer_that_ends_every_text_with_a_token_is_refused() {
    let (folder, _) = tiny();
    let path = folder.path().join("tokenizer.json");
    let mut file: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let end = json!({"SpecialToken": {"id": "<end>", "type_id": 0}});
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    file["post_processor"] = json!({
        "type": "TemplateProcessing", "single": [text, end], "pair": [text, end],
        "special_tokens": {"<end>": {"id": "<end>", "ids": [0], "tokens": ["<end>"]}},
    });
    std::fs::write(&path, file.to_string()).unwrap();
    assert!(error(folder.path()).contains("a token after every text"));
}
