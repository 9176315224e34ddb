use super::*;

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
        assert_eq!(base.tokenizer.decode(&tokens).unwrap(), text);
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
