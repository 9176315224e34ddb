use std::path::Path;

use candle_core::quantized::gguf_file::Value as Gguf;

use super::*;
use crate::{
    model::{ModelTokenizer, tests::values},
    rng::Rng,
};

const NORMAL: i32 = 1;

/// A SentencePiece vocabulary: `<unk>`, `<s>`, `</s>`, all bytes, then these tokens with their scores.
fn sentence_piece(tokens: &[(&str, f32)]) -> HashMap<String, Gguf> {
    let special = [("<unk>".to_owned(), 0.0, 2), ("<s>".to_owned(), 0.0, 3), ("</s>".to_owned(), 0.0, 3)];
    let bytes = (0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), 0.0, 6));
    let own = tokens.iter().map(|(token, score)| ((*token).to_owned(), *score, NORMAL));
    let all: Vec<(String, f32, i32)> = special.into_iter().chain(bytes).chain(own).collect();
    let list = |item: fn(&(String, f32, i32)) -> Gguf| Gguf::Array(all.iter().map(item).collect());
    values([
        ("tokenizer.ggml.model", Gguf::String("llama".into())),
        ("tokenizer.ggml.tokens", list(|(token, ..)| Gguf::String(token.clone()))),
        ("tokenizer.ggml.scores", list(|(_, score, _)| Gguf::F32(*score))),
        ("tokenizer.ggml.token_type", list(|(.., kind)| Gguf::I32(*kind))),
        ("tokenizer.ggml.bos_token_id", Gguf::U32(1)),
        ("tokenizer.ggml.eos_token_id", Gguf::U32(2)),
    ])
}

/// A byte-level vocabulary of two letters, a space and what they join to.
fn byte_level(pre: &str) -> HashMap<String, Gguf> {
    let texts = |texts: &[&str]| Gguf::Array(texts.iter().map(|text| Gguf::String((*text).into())).collect());
    values([
        ("tokenizer.ggml.model", Gguf::String("gpt2".into())),
        ("tokenizer.ggml.pre", Gguf::String(pre.into())),
        ("tokenizer.ggml.tokens", texts(&["<end>", "a", "b", "Ġ", "1", "Ġa", "11", "111", "ba"])),
        ("tokenizer.ggml.token_type", Gguf::Array([3, 1, 1, 1, 1, 1, 1, 1, 1].map(Gguf::I32).to_vec())),
        ("tokenizer.ggml.merges", texts(&["Ġ a", "1 1", "11 1"])),
        ("tokenizer.ggml.bos_token_id", Gguf::U32(0)),
    ])
}

fn tokenizer(values: &HashMap<String, Gguf>) -> Result<ModelTokenizer, ModelError> {
    let path = Path::new("model.gguf");
    ModelTokenizer::parse(path, tokenizer_json(&Metadata { path, values })?, usize::MAX)
}

fn error(values: &HashMap<String, Gguf>) -> String {
    tokenizer(values).unwrap_err().to_string()
}

/// SentencePiece's rule by itself: of all neighbours that make a token, join the ones whose token has the highest
/// score, the leftmost of equals; what is no token in the end goes byte by byte.
fn joined(text: &str, tokens: &[(String, f32)]) -> Vec<u32> {
    const BYTES_AT: u32 = 3;
    let id = |text: &str| tokens.iter().position(|(token, _)| token == text).map(|at| BYTES_AT + 256 + at as u32);
    let score = |text: &str| tokens.iter().find(|(token, _)| token == text).map(|(_, score)| *score);
    let mut symbols: Vec<String> = text.chars().map(String::from).collect();
    loop {
        let mut best: Option<(f32, usize)> = None;
        for at in 1..symbols.len() {
            if let Some(score) = score(&symbols[at - 1..=at].concat())
                && best.is_none_or(|(highest, _)| score > highest)
            {
                best = Some((score, at));
            }
        }
        let Some((_, at)) = best else { break };
        let right = symbols.remove(at);
        symbols[at - 1].push_str(&right);
    }
    let ids = |symbol: &String| match id(symbol) {
        Some(id) => vec![id],
        None => symbol.bytes().map(|byte| BYTES_AT + u32::from(byte)).collect(),
    };
    symbols.iter().flat_map(ids).collect()
}

#[test]
fn merges_by_score_join_texts_as_sentencepiece_does() {
    let mut rng = Rng::new(11, 0);
    let mut below = |n: usize| (rng.next() % n as u64) as usize;
    for _ in 0..20 {
        let mut tokens: Vec<(String, f32)> =
            [SPACE, "a", "b", "c", "é"].map(|char| (char.to_owned(), -1000.0)).to_vec();
        while tokens.len() < 40 {
            let joined = format!("{}{}", tokens[below(tokens.len())].0, tokens[below(tokens.len())].0);
            if !tokens.iter().any(|(token, _)| *token == joined) {
                // The fractions differ, and so do the scores.
                tokens.push((joined, below(1000) as f32 + tokens.len() as f32 / 64.0));
            }
        }
        let given: Vec<(&str, f32)> = tokens.iter().map(|(token, score)| (token.as_str(), *score)).collect();
        let tokenizer = tokenizer(&sentence_piece(&given)).unwrap();
        for _ in 0..100 {
            let text: String = (0..1 + below(30)).map(|_| [" ", "a", "b", "c", "é", "€"][below(6)]).collect();
            let escaped = text.replace(' ', SPACE);
            assert_eq!(
                tokenizer.encode(&text, false).unwrap(),
                joined(&format!("{SPACE}{escaped}"), &tokens),
                "{text:?}"
            );
            assert_eq!(tokenizer.encode_onward(&text).unwrap(), joined(&escaped, &tokens), "{text:?}");
        }
    }
}

#[test]
fn a_text_begins_with_a_space_and_an_answer_goes_on_without() {
    let tokens = [(SPACE, 0.0), ("h", 0.0), ("i", 0.0), ("\u{2581}h", -2.0), ("hi", -1.0), ("\u{2581}hi", -3.0)];
    let mut values = sentence_piece(&tokens);
    let id = |token: &str| 259 + tokens.iter().position(|(text, _)| *text == token).unwrap() as u32;
    let (spaced, plain) = (id("\u{2581}hi"), id("hi"));

    let llama = tokenizer(&values).unwrap();
    assert_eq!(llama.encode("hi", true).unwrap(), [1, spaced]);
    assert_eq!(llama.encode_onward("hi").unwrap(), [plain]);
    assert_eq!(llama.encode_onward(" hi").unwrap(), [spaced]);
    assert_eq!(llama.decode_onward(&[spaced, plain]).unwrap(), " hihi");
    assert_eq!(llama.decode_onward(&llama.encode_onward(" h€\n").unwrap()).unwrap(), " h€\n");

    values.insert("tokenizer.ggml.add_space_prefix".into(), Gguf::Bool(false));
    values.insert("tokenizer.ggml.add_bos_token".into(), Gguf::Bool(false));
    assert_eq!(tokenizer(&values).unwrap().encode("hi", true).unwrap(), [plain]);
}

#[test]
fn control_tokens_never_come_of_joining() {
    let tokens = [("<", 0.0), ("s", 0.0), (">", 0.0), ("<s", -1.0), (SPACE, 0.0)];
    let llama = tokenizer(&sentence_piece(&tokens)).unwrap();
    assert_eq!(llama.encode_onward("<0x0A>").unwrap().len(), 6);
    assert!(!serde_json::from_slice::<Value>(&llama.json).unwrap()["model"]["merges"].to_string().contains("<s>"));
}

#[test]
fn a_vocabulary_that_merges_cannot_stand_for_is_refused() {
    let tied = [("a", 0.0), ("b", 0.0), ("ab", -1.0), ("ba", -1.0)];
    assert!(error(&sentence_piece(&tied)).contains("different tokens have one score, -1"));
    let runs = [("a", 0.0), ("aa", -1.0), ("aaa", -1.0)];
    assert!(tokenizer(&sentence_piece(&runs)).is_ok());
    let unreachable = [("a", 0.0), ("aé", -1.0)];
    assert!(error(&sentence_piece(&unreachable)).contains(r"token 260 has a character (\u{e9}) that is no token"));

    let mut no_bytes = sentence_piece(&[("a", 0.0)]);
    let Some(Gguf::Array(kinds)) = no_bytes.get_mut("tokenizer.ggml.token_type") else { unreachable!() };
    kinds[10] = Gguf::I32(NORMAL);
    assert!(error(&no_bytes).contains("no token for some bytes"));
    let mut ends = sentence_piece(&[("a", 0.0)]);
    ends.insert("tokenizer.ggml.add_eos_token".into(), Gguf::Bool(true));
    assert!(error(&ends).contains("an end token after every text"));
}

#[test]
fn digits_are_cut_as_the_pre_tokenizer_says() {
    let encode = |pre: &str, text: &str| tokenizer(&byte_level(pre)).unwrap().encode(text, true).unwrap();
    assert_eq!(encode("gpt-2", "a 1111"), [1, 3, 6, 6]);
    assert_eq!(encode("smollm", "a 1111"), [1, 3, 4, 4, 4, 4]);
    assert_eq!(encode("qwen2", "a 1111"), [1, 3, 4, 4, 4, 4]);
    // Three digits at most, and a token before the text.
    assert_eq!(encode("llama-bpe", "a 1111"), [0, 1, 3, 7, 4]);
    // Llama 3 takes a word that is a token whole, though no merge makes it.
    assert_eq!(encode("llama-bpe", "ba"), [0, 8]);
    assert_eq!(encode("gpt-2", "ba"), [2, 1]);
}

#[test]
fn an_unknown_kind_is_named() {
    assert!(error(&byte_level("tekken")).contains("its pre-tokenizer is `tekken`"));
    let mut values = byte_level("gpt-2");
    values.insert("tokenizer.ggml.model".into(), Gguf::String("t5".into()));
    assert!(error(&values).contains("its tokenizer is of kind `t5`"));
    values.remove("tokenizer.ggml.model");
    assert!(error(&values).contains("`tokenizer.ggml.model` is missing"));
}
