//! The forms of OpenAI's answers: whole, and as events of a stream.

use super::answer::{Answering, Choice, News};
use super::engine::Token;
use super::request::Prompts;
use serde_json::{Map, Value, json};

/// What an answer is called by, the same in all its parts.
pub struct Heading {
    pub id: String,
    pub created_s: u64,
    /// The version that answers, `support-triage@3`.
    pub model: String,
    chat: bool,
    /// How far the texts of each choice have come, in characters: for `text_offset`.
    offsets: Vec<usize>,
}

impl Heading {
    pub fn of(answering: &Answering) -> Self {
        let chat = matches!(answering.request.prompts, Prompts::Chat(_));
        let id = uuid::Uuid::now_v7().simple();
        let version = &answering.chosen.version;
        Self {
            id: format!("{}-{id}", if chat { "chatcmpl" } else { "cmpl" }),
            created_s: super::now_ms() / 1000,
            model: format!("{}@{}", version.model, version.number),
            chat,
            offsets: vec![0; answering.choices.len()],
        }
    }

    /// The whole answer, once all choices have ended.
    pub fn whole(&self, answering: &Answering) -> Value {
        let choices: Vec<Value> =
            answering.choices.iter().enumerate().map(|(index, choice)| self.choice(index, choice, answering)).collect();
        let kind = if self.chat { "chat.completion" } else { "text_completion" };
        let mut whole = self.part(kind, Value::Array(choices));
        whole["usage"] = usage(answering);
        whole
    }

    fn choice(&self, index: usize, choice: &Choice, answering: &Answering) -> Value {
        let wanted = answering.request.thoughts.is_some();
        let finish = finish(choice.stopped);
        if self.chat {
            let logprobs = if wanted { chat_logprobs(&choice.tokens) } else { Value::Null };
            let message = json!({ "role": "assistant", "content": choice.text, "refusal": null });
            return json!({ "index": index, "message": message, "logprobs": logprobs, "finish_reason": finish });
        }
        let tokens: Vec<Token> = choice.prompt.iter().chain(&choice.tokens).cloned().collect();
        let text = format!("{}{}", choice.echo, choice.text);
        let logprobs = if wanted { completion_logprobs(&tokens, &mut 0) } else { Value::Null };
        json!({ "index": index, "text": text, "logprobs": logprobs, "finish_reason": finish })
    }

    /// The first events of a stream: a conversation's say who speaks.
    pub fn first(&self, answering: &Answering) -> Vec<Value> {
        if !self.chat {
            let echoed = |(index, choice): (usize, &Choice)| {
                // With log-probabilities the prompt comes by itself, with its tokens.
                let at_once = !choice.echo.is_empty() && answering.request.thoughts.is_none();
                at_once.then(|| {
                    self.event(json!({ "index": index, "text": choice.echo, "logprobs": null, "finish_reason": null }))
                })
            };
            return answering.choices.iter().enumerate().filter_map(echoed).collect();
        }
        let delta = json!({ "role": "assistant", "content": "" });
        let choice = |index| json!({ "index": index, "delta": delta, "logprobs": null, "finish_reason": null });
        (0..answering.choices.len()).map(|index| self.event(choice(index))).collect()
    }

    /// An event for what is new of a choice; nothing where there is nothing to say.
    pub fn news(&mut self, news: &News, answering: &Answering) -> Option<Value> {
        let wanted = answering.request.thoughts.is_some();
        if news.stopped.is_none() && news.text.is_empty() && (news.tokens.is_empty() || !wanted) {
            return None;
        }
        let (index, finish) = (news.choice, finish(news.stopped));
        if self.chat {
            let delta = if news.stopped.is_some() { json!({}) } else { json!({ "content": news.text }) };
            let logprobs = if wanted && news.stopped.is_none() { chat_logprobs(&news.tokens) } else { Value::Null };
            let choice = json!({ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish });
            return Some(self.event(choice));
        }
        let logprobs = match wanted && news.stopped.is_none() {
            true => completion_logprobs(&news.tokens, &mut self.offsets[index]),
            false => Value::Null,
        };
        let choice = json!({ "index": index, "text": news.text, "logprobs": logprobs, "finish_reason": finish });
        Some(self.event(choice))
    }

    /// The last event of a stream whose client wants to know what it used.
    pub fn used(&self, answering: &Answering) -> Value {
        let kind = if self.chat { "chat.completion.chunk" } else { "text_completion" };
        let mut event = self.part(kind, json!([]));
        event["usage"] = usage(answering);
        event
    }

    fn event(&self, choice: Value) -> Value {
        self.part(if self.chat { "chat.completion.chunk" } else { "text_completion" }, json!([choice]))
    }

    fn part(&self, object: &str, choices: Value) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created_s,
            "model": self.model,
            "system_fingerprint": null,
            "choices": choices,
        })
    }
}

fn finish(stopped: Option<bool>) -> Value {
    match stopped {
        None => Value::Null,
        Some(true) => json!("stop"),
        Some(false) => json!("length"),
    }
}

fn usage(answering: &Answering) -> Value {
    let (prompt, answer) = answering.usage();
    json!({ "prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer })
}

/// `choices[].logprobs` of a conversation. The mark that ended the answer is no part of its content.
fn chat_logprobs(tokens: &[Token]) -> Value {
    let one =
        |bytes: &[u8], log: f32| json!({ "token": String::from_utf8_lossy(bytes), "logprob": log, "bytes": bytes });
    let content = tokens.iter().filter(|token| !token.special).map(|token| {
        let mut entry = one(&token.bytes, token.log_probability.unwrap_or(0.0));
        entry["top_logprobs"] = token.top.iter().map(|(bytes, log)| one(bytes, *log)).collect();
        entry
    });
    json!({ "content": content.collect::<Vec<_>>(), "refusal": null })
}

/// `choices[].logprobs` of a completion. The mark that ended an answer has its entry, too: without it nobody could add up
/// the probability of the whole.
fn completion_logprobs(tokens: &[Token], offset: &mut usize) -> Value {
    let (mut names, mut logs, mut tops, mut offsets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for token in tokens {
        names.push(name(&token.bytes));
        logs.push(token.log_probability);
        let top = token.top.iter().map(|(bytes, log)| (name(bytes), json!(log)));
        // A prompt's first token has none, as nothing comes before it.
        tops.push(token.log_probability.map(|_| top.collect::<Map<_, _>>()));
        offsets.push(*offset);
        *offset += if token.special { 0 } else { String::from_utf8_lossy(&token.bytes).chars().count() };
    }
    json!({ "tokens": names, "token_logprobs": logs, "top_logprobs": tops, "text_offset": offsets })
}

/// A token as text; one that is no whole character as its bytes, in OpenAI's form.
fn name(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().fold("bytes:".to_owned(), |name, byte| name + &format!("\\x{byte:02x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(bytes: &[u8], special: bool, log: Option<f32>) -> Token {
        let top = log.map_or_else(Vec::new, |log| vec![(bytes.to_vec(), log), (b"x".to_vec(), -9.0)]);
        Token { bytes: bytes.to_vec(), special, log_probability: log, top }
    }

    #[test]
    fn a_completions_logprobs_are_four_lists_of_one_length() {
        let tokens =
            [token(b"<s>", true, None), token("é".as_bytes(), false, Some(-0.5)), token(b"\xE2", false, Some(-1.0))];
        let form = completion_logprobs(&tokens, &mut 0);
        assert_eq!(form["tokens"], json!(["<s>", "é", "bytes:\\xe2"]));
        assert_eq!(form["token_logprobs"], json!([null, -0.5, -1.0]));
        assert_eq!(form["top_logprobs"], json!([null, { "é": -0.5, "x": -9.0 }, { "bytes:\\xe2": -1.0, "x": -9.0 }]));
        assert_eq!(form["text_offset"], json!([0, 0, 1]));
    }

    #[test]
    fn a_conversations_logprobs_leave_the_end_mark_out() {
        let form = chat_logprobs(&[token(b"a", false, Some(-0.5)), token(b"<end>", true, Some(-0.1))]);
        assert_eq!(form["content"].as_array().unwrap().len(), 1);
        assert_eq!(form["content"][0]["bytes"], json!([97]));
        assert_eq!(form["content"][0]["top_logprobs"][1]["token"], "x");
    }
}
