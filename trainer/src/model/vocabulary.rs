//! The `tokenizer.json` that stands for a GGUF's vocabulary. Its bytes are a function of the metadata alone.
//!
//! Two families are read: byte-level BPE (`tokenizer.ggml.model` is `gpt2`), whose kind of pre-tokenizer
//! is named in `tokenizer.ggml.pre`, and SentencePiece's BPE (`llama`), which has scores in place of
//! merges. Anything else is an error that names it: a text cut up in another way than in training
//! would spoil a run in silence.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::{ModelError, metadata::Metadata};

/// SentencePiece's sign for a space, U+2581.
const SPACE: &str = "\u{2581}";
const INSTEAD: &str = "use the model's folder, with its tokenizer.json";

/// What `tokenizer.ggml.token_type` says of a token; numbers as in GGUF's specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal,
    /// Not for texts: `<s>`, `<|im_end|>`.
    Control,
    /// Cut out of a text before anything else.
    UserDefined,
    /// One byte, `<0x0A>`.
    Byte,
    /// `<unk>`, or a place that is not used.
    Other,
}

/// The bytes of the `tokenizer.json`.
pub(super) fn tokenizer_json(metadata: &Metadata<'_>) -> Result<Vec<u8>, ModelError> {
    let vocabulary = Vocabulary::read(metadata)?;
    let mut file = match metadata.text("tokenizer.ggml.model")? {
        "gpt2" => vocabulary.byte_level()?,
        "llama" => vocabulary.sentence_piece()?,
        other => {
            return Err(metadata.unsupported(format!(
                "its tokenizer is of kind `{other}`; byte-level BPE (`gpt2`) and SentencePiece (`llama`) are read \
                 from a GGUF. Else {INSTEAD}"
            )));
        }
    };
    // The order of keys would else depend on a feature that any crate of the build may switch on.
    file.sort_all_objects();
    Ok(serde_json::to_vec(&file).expect("a JSON value can be written"))
}

struct Vocabulary<'a> {
    metadata: &'a Metadata<'a>,
    tokens: Vec<&'a str>,
    kinds: Vec<Kind>,
}

impl<'a> Vocabulary<'a> {
    fn read(metadata: &'a Metadata<'a>) -> Result<Self, ModelError> {
        let tokens = metadata.texts("tokenizer.ggml.tokens")?;
        let kinds = metadata.integers("tokenizer.ggml.token_type")?.into_iter().map(|kind| match kind {
            1 => Kind::Normal,
            3 => Kind::Control,
            4 => Kind::UserDefined,
            6 => Kind::Byte,
            _ => Kind::Other,
        });
        let kinds: Vec<Kind> = kinds.collect();
        if kinds.len() != tokens.len() {
            let counts = format!("{} tokens and {} types of tokens", tokens.len(), kinds.len());
            return Err(metadata.malformed(format!("its tokenizer has {counts}")));
        }
        if tokens.iter().collect::<HashSet<_>>().len() != tokens.len() {
            return Err(metadata.malformed("its tokenizer has a token twice"));
        }
        if metadata.flag("tokenizer.ggml.add_eos_token", false)? {
            return Err(metadata.unsupported("it asks for an end token after every text, which isn't supported"));
        }
        Ok(Self { metadata, tokens, kinds })
    }

    /// A byte-level BPE with the merges that the file lists.
    fn byte_level(&self) -> Result<Value, ModelError> {
        let merges: Option<Vec<_>> =
            self.metadata.texts("tokenizer.ggml.merges")?.into_iter().map(|merge| merge.split_once(' ')).collect();
        let merges = merges.ok_or_else(|| self.metadata.malformed("a merge of its tokenizer isn't two tokens"))?;
        let pre = PreTokenizer::named(self.metadata)?;
        let byte_level = |use_regex: bool| {
            json!({
                "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex,
            })
        };
        let split = match pre {
            PreTokenizer::Gpt2 => byte_level(true),
            PreTokenizer::SmolLm => json!({"type": "Sequence", "pretokenizers": [
                {"type": "Digits", "individual_digits": true}, byte_level(true),
            ]}),
            PreTokenizer::Llama3 => json!({"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": words(3)}, "behavior": "Isolated", "invert": false},
                byte_level(false),
            ]}),
            PreTokenizer::Qwen2 => json!({"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": words(1)}, "behavior": "Isolated", "invert": false},
                byte_level(false),
            ]}),
        };
        let normalizer = if pre == PreTokenizer::Qwen2 { json!({"type": "NFC"}) } else { Value::Null };
        let mut file = self.file(pre == PreTokenizer::Llama3)?;
        file["normalizer"] = normalizer;
        file["pre_tokenizer"] = split;
        file["decoder"] = byte_level(true);
        file["model"]["ignore_merges"] = json!(pre == PreTokenizer::Llama3);
        file["model"]["merges"] = json!(merges.into_iter().map(|(a, b)| [a, b]).collect::<Vec<_>>());
        Ok(file)
    }

    /// SentencePiece's BPE: any two neighbours whose text is a token may be joined, the token with the
    /// highest score first and the leftmost of equals. Each such pair becomes a merge, in that order.
    fn sentence_piece(&self) -> Result<Value, ModelError> {
        let bytes = self.kinds.iter().filter(|kind| **kind == Kind::Byte).count();
        let byte_token = |byte: u8| self.tokens.contains(&format!("<0x{byte:02X}>").as_str());
        if bytes != 256 || !(0..=255).all(byte_token) {
            return Err(self.unsupported("it has no token for some bytes"));
        }
        for key in ["tokenizer.ggml.remove_extra_whitespaces", "tokenizer.ggml.precompiled_charsmap"] {
            if self.metadata.has(key) && self.metadata.flag(key, false).unwrap_or(true) {
                return Err(self.unsupported(&format!("`{key}` asks for a rewriting of texts")));
            }
        }
        let prefix = self.metadata.flag("tokenizer.ggml.add_space_prefix", true)?;
        let spaces = json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE});
        let mut decoders = vec![
            json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        let mut file = self.file(true)?;
        file["normalizer"] = spaces.clone();
        if prefix {
            file["normalizer"] =
                json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, spaces]});
            decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        file["decoder"] = json!({"type": "Sequence", "decoders": decoders});
        file["model"]["byte_fallback"] = json!(true);
        file["model"]["merges"] = json!(self.merges_by_score()?);
        Ok(file)
    }

    /// Every way of joining two tokens to a third, by the third's score; among the ways to one token
    /// the longer left part first, as Hugging Face's conversion has it.
    fn merges_by_score(&self) -> Result<Vec<[&'a str; 2]>, ModelError> {
        let scores = self.metadata.floats("tokenizer.ggml.scores")?;
        if scores.len() != self.tokens.len() || scores.iter().any(|score| !score.is_finite()) {
            return Err(self.metadata.malformed("its tokenizer has not one finite score for each token"));
        }
        let normal = self.tokens.iter().zip(&scores).zip(&self.kinds).filter(|(_, kind)| **kind == Kind::Normal);
        let normal: HashMap<&'a str, f32> = normal.map(|((token, score), _)| (*token, *score)).collect();
        let mut merges: Vec<(f32, &'a str, usize)> = Vec::new();
        for (token, score) in &normal {
            let mut chars = token.char_indices().map(|(at, char)| &token[at..at + char.len_utf8()]);
            if let Some(unknown) = chars.find(|char| !normal.contains_key(*char)) {
                let at = self.tokens.iter().position(|other| other == token).unwrap_or_default();
                let reason = format!("token {at} has a character ({}) that is no token", unknown.escape_unicode());
                return Err(self.unsupported(&reason));
            }
            let cuts = token.char_indices().map(|(at, _)| at).skip(1);
            let cuts = cuts.filter(|at| normal.contains_key(&token[..*at]) && normal.contains_key(&token[*at..]));
            merges.extend(cuts.map(|at| (*score, *token, at)));
        }
        merges.sort_by(|(a_score, a, a_cut), (b_score, b, b_cut)| {
            let by_length = (b_cut, b.len()).cmp(&(a_cut, a.len()));
            b_score.total_cmp(a_score).then(by_length).then(a.cmp(b))
        });
        self.no_ties(&merges)?;
        Ok(merges.into_iter().map(|(_, token, cut)| [&token[..cut], &token[cut..]]).collect())
    }

    /// Between different tokens of one score the leftmost would win, which an order of merges can't
    /// say. Runs of one character are safe: whichever comes first, they grow from the left.
    fn no_ties(&self, merges: &[(f32, &str, usize)]) -> Result<(), ModelError> {
        let run_of = |token: &str| {
            let first = token.chars().next();
            first.filter(|first| token.chars().all(|char| char == *first))
        };
        for pair in merges.windows(2) {
            let ((a_score, a, _), (b_score, b, _)) = (pair[0], pair[1]);
            if a_score == b_score && a != b && (run_of(a).is_none() || run_of(a) != run_of(b)) {
                return Err(self.unsupported(&format!("different tokens have one score, {a_score}")));
            }
        }
        Ok(())
    }

    /// What both families share. `begins` is whether texts begin with a token where the file doesn't say.
    fn file(&self, begins: bool) -> Result<Value, ModelError> {
        let tokens = || self.tokens.iter().zip(&self.kinds).enumerate();
        let added = tokens().filter(|(_, (_, kind))| matches!(kind, Kind::Control | Kind::UserDefined));
        let added = added.map(|(id, (token, kind))| {
            json!({
                "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": *kind == Kind::Control,
            })
        });
        let vocabulary: serde_json::Map<_, _> =
            tokens().map(|(id, (token, _))| ((*token).to_owned(), id.into())).collect();
        Ok(json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added.collect::<Vec<_>>(),
            "normalizer": null, "pre_tokenizer": null, "post_processor": self.beginning(begins)?, "decoder": null,
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                "ignore_merges": false, "vocab": vocabulary, "merges": [],
            },
        }))
    }

    /// The post-processor that puts the first token before a text, if that is asked for.
    fn beginning(&self, default: bool) -> Result<Value, ModelError> {
        if !self.metadata.flag("tokenizer.ggml.add_bos_token", default)? {
            return Ok(Value::Null);
        }
        let id = self.metadata.integer("tokenizer.ggml.bos_token_id")?;
        let Some(token) = self.tokens.get(id) else {
            return Err(self.metadata.malformed(format!("there is no token {id} to begin a text with")));
        };
        let first = |kind: u32| json!({"SpecialToken": {"id": token, "type_id": kind}});
        let text = |id: &str, kind: u32| json!({"Sequence": {"id": id, "type_id": kind}});
        let mut special = serde_json::Map::new();
        special.insert((*token).to_owned(), json!({"id": token, "ids": [id], "tokens": [token]}));
        Ok(json!({
            "type": "TemplateProcessing", "single": [first(0), text("A", 0)],
            "pair": [first(0), text("A", 0), first(1), text("B", 1)], "special_tokens": special,
        }))
    }

    fn unsupported(&self, reason: &str) -> ModelError {
        self.metadata.unsupported(format!("its SentencePiece vocabulary can't be used: {reason}. Better {INSTEAD}"))
    }
}

/// How a text is cut before a byte-level BPE joins bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PreTokenizer {
    Gpt2,
    /// Each digit alone, then as GPT-2.
    SmolLm,
    Llama3,
    Qwen2,
}

impl PreTokenizer {
    fn named(metadata: &Metadata<'_>) -> Result<Self, ModelError> {
        match metadata.text("tokenizer.ggml.pre")? {
            "gpt-2" => Ok(Self::Gpt2),
            "smollm" => Ok(Self::SmolLm),
            "llama-bpe" | "llama3" | "llama-v3" => Ok(Self::Llama3),
            "qwen2" => Ok(Self::Qwen2),
            other => Err(metadata.unsupported(format!(
                "its pre-tokenizer is `{other}`; `gpt-2`, `smollm`, `llama-bpe` and `qwen2` are supported. Else {INSTEAD}"
            ))),
        }
    }
}

/// The pattern by which Llama 3 and Qwen 2 cut a text, with at most so many digits together.
fn words(digits: u32) -> String {
    let digits = if digits == 1 { r"\p{N}".to_owned() } else { format!(r"\p{{N}}{{1,{digits}}}") };
    let contractions = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)";
    let (letters, others) = (r"[^\r\n\p{L}\p{N}]?\p{L}+", r" ?[^\s\p{L}\p{N}]+[\r\n]*");
    format!(r"{contractions}|{letters}|{digits}|{others}|\s*[\r\n]+|\s+(?!\S)|\s+")
}

#[cfg(test)]
mod tests;
