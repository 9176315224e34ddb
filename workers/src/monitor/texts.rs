//! The texts of servers' windows: a sample of requests with their answers, out of the vault.

use crate::{Context, WorkerError};
use attestune_ledger::{
    tree::{Frontier, leaf_hash},
    vault::VaultError,
};
use attestune_proto::v1::{Sealed, WindowObserved};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Requests that are looked at, at most.
const REQUESTS_MAX: usize = 512;

/// What a model was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Text(String),
    Tokens(Vec<u32>),
}

/// A prompt with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    pub input: Input,
    /// Nothing where it was cut off: the client left, or the server failed.
    pub answer: Option<String>,
    /// Whether it is among those to be judged.
    pub to_judge: bool,
}

/// What is left of the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Texts {
    /// They are there.
    Kept,
    /// Nobody asked.
    Nothing,
    /// The policy keeps none.
    NotKept,
    /// Their time was over before anybody read them.
    Erased,
}

impl Texts {
    /// The word that stands for it in a window's environment.
    pub fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Nothing => "none",
            Self::NotKept => "not-kept",
            Self::Erased => "erased",
        }
    }
}

/// Opens a sample of the requests of some windows, in the order in which they were answered. Which ones is told by the
/// hashes of their commitments alone, so that nobody chooses. `judged_max` is how many requests are judged, 0 for all that
/// are looked at.
///
/// # Errors
/// If a window's texts are not those that it commits to, or can't be opened.
pub fn sample(
    context: &Context,
    windows: &[(u64, WindowObserved)],
    judged_max: usize,
) -> Result<(Texts, Vec<Served>), WorkerError> {
    if windows.iter().all(|(_, window)| window.requests == 0 && window.packs.is_empty()) {
        return Ok((Texts::Nothing, Vec::new()));
    }
    if windows.iter().all(|(_, window)| window.packs.is_empty()) {
        return Ok((Texts::NotKept, Vec::new()));
    }
    let mut all = Vec::new();
    for (position, window) in windows.iter().filter(|(_, window)| !window.packs.is_empty()) {
        match committed(context, *position, window) {
            Ok(sealed) => all.extend(sealed.into_iter().map(|sealed| (*position, sealed))),
            Err(WorkerError::Vault(VaultError::Unknown { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    let judged_max = if judged_max == 0 { REQUESTS_MAX } else { judged_max };
    let chosen = choose(&all, judged_max.max(REQUESTS_MAX));
    let mut served = Vec::new();
    let mut erased = all.is_empty();
    for (rank, (position, sealed)) in chosen {
        match context.open("request", *position, sealed) {
            Ok(text) => served.extend(parse(*position, &text)?.into_iter().map(|(input, answer)| Served {
                input,
                answer,
                to_judge: rank < judged_max,
            })),
            Err(WorkerError::Vault(VaultError::Erased { .. })) => erased = true,
            Err(error) => return Err(error),
        }
    }
    Ok((if erased && served.is_empty() { Texts::Erased } else { Texts::Kept }, served))
}

/// The texts of a window, compared with what it commits to.
fn committed(context: &Context, position: u64, window: &WindowObserved) -> Result<Vec<Sealed>, WorkerError> {
    let mut sealed = Vec::new();
    let mut tree = Frontier::new();
    for pack in &window.packs {
        for commitment in context.commitments(pack)? {
            tree.push(leaf_hash(&[&commitment]));
            sealed.push(Sealed { pack: pack.clone(), commitment });
        }
    }
    if tree.root().0.as_slice() != window.requests_root {
        let why = "the texts in the vault are not those that it commits to".into();
        return Err(WorkerError::Content { what: "window", position, why });
    }
    Ok(sealed)
}

/// Those whose commitments have the smallest hashes, each with its rank, in their order.
fn choose(all: &[(u64, Sealed)], most: usize) -> Vec<(usize, &(u64, Sealed))> {
    let lot = |sealed: &Sealed| {
        Sha256::new().chain_update(b"attestune monitor sample v1").chain_update(&sealed.commitment).finalize()
    };
    let mut lots: Vec<_> = all.iter().enumerate().map(|(place, (_, sealed))| (lot(sealed), place)).collect();
    lots.sort_unstable();
    let mut chosen: Vec<_> = lots.into_iter().take(most).enumerate().map(|(rank, (_, place))| (place, rank)).collect();
    chosen.sort_unstable();
    chosen.into_iter().map(|(place, rank)| (rank, &all[place])).collect()
}

/// A request as the gateway keeps it.
#[derive(Deserialize)]
struct Kept {
    request: Value,
    answers: Vec<KeptAnswer>,
}

#[derive(Deserialize)]
struct KeptAnswer {
    text: String,
    ended: bool,
}

/// Each prompt of a request with its answer. An error names the place, never the text.
fn parse(position: u64, text: &[u8]) -> Result<Vec<(Input, Option<String>)>, WorkerError> {
    let kept: Kept = serde_json::from_slice(text).map_err(|error| {
        let why = format!("a request is not JSON as a server keeps it (column {})", error.column());
        WorkerError::Content { what: "window", position, why }
    })?;
    let answers = kept.answers.into_iter().map(|answer| answer.ended.then_some(answer.text));
    Ok(inputs(&kept.request).into_iter().zip(answers).collect())
}

/// The prompts of a request, as clients of OpenAI's API write them; of a conversation what users say.
fn inputs(request: &Value) -> Vec<Input> {
    if let Some(messages) = request["messages"].as_array() {
        let of_users = messages.iter().filter(|message| message["role"] == "user");
        return vec![Input::Text(of_users.map(|message| content(&message["content"])).collect::<Vec<_>>().join("\n"))];
    }
    let token = |value: &Value| value.as_u64().and_then(|token| u32::try_from(token).ok());
    let one = |value: &Value| match value {
        Value::String(text) => Some(Input::Text(text.clone())),
        Value::Array(tokens) => tokens.iter().map(token).collect::<Option<Vec<_>>>().map(Input::Tokens),
        _ => None,
    };
    match &request["prompt"] {
        Value::Array(items) if items.first().is_some_and(|item| !item.is_number()) => {
            items.iter().filter_map(one).collect()
        }
        prompt => one(prompt).into_iter().collect(),
    }
}

/// A message's text, whole or in parts.
fn content(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(text: &str) -> Input {
        Input::Text(text.into())
    }

    #[test]
    fn prompts_are_read_in_every_form_that_the_api_takes() {
        let prompt = |prompt: Value| inputs(&json!({ "prompt": prompt }));
        assert_eq!(prompt(json!("a")), [text("a")]);
        assert_eq!(prompt(json!(["a", "b"])), [text("a"), text("b")]);
        assert_eq!(prompt(json!([1, 2])), [Input::Tokens(vec![1, 2])]);
        assert_eq!(prompt(json!([[1], [2, 3]])), [Input::Tokens(vec![1]), Input::Tokens(vec![2, 3])]);
        assert_eq!(prompt(json!(null)), []);
        let chat = json!({ "messages": [
            { "role": "system", "content": "sort" },
            { "role": "user", "content": "a" },
            { "role": "assistant", "content": "x" },
            { "role": "user", "content": [{ "type": "text", "text": "b" }, { "type": "text", "text": "c" }] },
        ] });
        assert_eq!(inputs(&chat), [text("a\nb\nc")]);
    }

    #[test]
    fn an_answer_that_was_cut_off_is_none() {
        let kept = json!({ "request": { "prompt": ["a", "b"] }, "caller": "mina", "as_of": 9,
            "answers": [{ "text": "card", "ended": true }, { "text": "ca", "ended": false }] });
        let parsed = parse(7, kept.to_string().as_bytes()).unwrap();
        assert_eq!(parsed, [(text("a"), Some("card".into())), (text("b"), None)]);
        let error = parse(7, b"{\"request\": \"secret\"").unwrap_err().to_string();
        assert!(error.contains("position 7") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn a_sample_is_told_by_the_commitments_alone_and_keeps_their_order() {
        let sealed = |byte: u8| (1, Sealed { pack: vec![1; 16], commitment: vec![byte; 32] });
        let all: Vec<_> = (0..100).map(sealed).collect();
        let chosen = choose(&all, 10);
        assert_eq!(chosen.len(), 10);
        assert!(chosen.windows(2).all(|two| two[0].1.1.commitment < two[1].1.1.commitment));
        let first_five: Vec<_> = chosen.iter().filter(|(rank, _)| *rank < 5).map(|(_, item)| *item).collect();
        let five: Vec<_> = choose(&all, 5).into_iter().map(|(_, item)| item).collect();
        assert_eq!(first_five, five, "a smaller sample is part of the larger one");
        assert_eq!(choose(&all[..3], 10).len(), 3);
    }
}
