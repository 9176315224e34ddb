//! What clients send: read, checked, and what would silently change an answer refused.

use super::engine::Message;
use super::error::ApiError;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

/// Stop strings of a request, at most.
const STOPS_MAX: usize = 16;
/// Likeliest tokens beside each, at most.
const TOP_MAX: u32 = 20;
/// Prompts of a request, at most.
const PROMPTS_MAX: usize = 64;
/// Tokens of an answer where nothing is said, as OpenAI has it.
pub(super) const COMPLETION_TOKENS: usize = 16;
/// The same for conversations, which OpenAI leaves open.
pub(super) const CHAT_TOKENS: usize = 1_024;

/// A request that was read.
#[derive(Debug)]
pub struct Request {
    /// The model's name, perhaps with a version: `support-triage@3`.
    pub model: String,
    pub prompts: Prompts,
    pub temperature: f32,
    pub top_p: f32,
    pub seed: Option<u64>,
    pub answer_max: AnswerMax,
    pub stops: Vec<String>,
    pub thoughts: Option<usize>,
    pub echo: bool,
    pub stream: bool,
    pub usage_in_stream: bool,
    /// Who asks the application, as it names the person.
    pub user: Option<String>,
}

/// How long an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerMax {
    /// As was asked.
    Asked(usize),
    /// At most this, less where the model has not the room.
    UpTo(usize),
}

/// What is to be answered.
#[derive(Debug)]
pub enum Prompts {
    /// A conversation, by `/v1/chat/completions`.
    Chat(Vec<Message>),
    /// Texts or tokens, by `/v1/completions`.
    Plain(Vec<Prompt>),
}

impl Prompts {
    /// The parameter that they came in.
    pub fn param(&self) -> &'static str {
        match self {
            Self::Chat(_) => "messages",
            Self::Plain(_) => "prompt",
        }
    }
}

/// A text to go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
}

/// What both endpoints take.
#[derive(Deserialize)]
struct Common {
    model: String,
    temperature: Option<f32>,
    top_p: Option<f32>,
    seed: Option<i64>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    stop: Option<Stops>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    user: Option<String>,
    n: Option<u64>,
    best_of: Option<u64>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    logit_bias: Option<Value>,
    suffix: Option<String>,
    tools: Option<Vec<Value>>,
    functions: Option<Vec<Value>>,
    response_format: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stops {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Chat {
    messages: Vec<ChatMessage>,
    logprobs: Option<bool>,
    top_logprobs: Option<u32>,
}

#[derive(Deserialize)]
struct ChatMessage {
    role: String,
    content: Value,
}

#[derive(Deserialize)]
struct Completion {
    prompt: Value,
    logprobs: Option<u32>,
    echo: Option<bool>,
}

impl Request {
    /// Reads a body of `/v1/chat/completions`.
    ///
    /// # Errors
    /// If it is not JSON, lacks something, or asks for what this server does not do.
    pub fn chat(body: &[u8]) -> Result<Self, ApiError> {
        let (chat, common): (Chat, Common) = read(body)?;
        if chat.messages.is_empty() {
            return Err(ApiError::bad("messages", "there are no messages"));
        }
        let messages = chat.messages.into_iter().map(message).collect::<Result<_, _>>()?;
        let thoughts = match (chat.logprobs.unwrap_or(false), chat.top_logprobs) {
            (false, Some(top)) if top > 0 => {
                return Err(ApiError::bad("top_logprobs", "top_logprobs needs logprobs to be true"));
            }
            (false, _) => None,
            (true, top) => Some(top.unwrap_or(0)),
        };
        let answer_max = match common.max_completion_tokens.or(common.max_tokens) {
            Some(0) => return Err(ApiError::bad("max_tokens", "max_tokens is 0; at least 1 is possible")),
            Some(max) => AnswerMax::Asked(usize::try_from(max).unwrap_or(usize::MAX)),
            None => AnswerMax::UpTo(CHAT_TOKENS),
        };
        Self::of(common, Prompts::Chat(messages), thoughts, answer_max, false)
    }

    /// Reads a body of `/v1/completions`.
    ///
    /// # Errors
    /// As [`Request::chat`].
    pub fn completion(body: &[u8]) -> Result<Self, ApiError> {
        let (completion, common): (Completion, Common) = read(body)?;
        let prompts = prompts(completion.prompt)?;
        let echo = completion.echo.unwrap_or(false);
        let answer_max = match common.max_tokens {
            Some(0) if !echo => return Err(ApiError::bad("max_tokens", "max_tokens is 0, which needs echo")),
            Some(max) => AnswerMax::Asked(usize::try_from(max).unwrap_or(usize::MAX)),
            None => AnswerMax::UpTo(COMPLETION_TOKENS),
        };
        Self::of(common, Prompts::Plain(prompts), completion.logprobs, answer_max, echo)
    }

    fn of(
        common: Common,
        prompts: Prompts,
        thoughts: Option<u32>,
        answer_max: AnswerMax,
        echo: bool,
    ) -> Result<Self, ApiError> {
        refuse_unsupported(&common)?;
        let temperature = common.temperature.unwrap_or(1.0);
        if !(0.0..=2.0).contains(&temperature) {
            return Err(ApiError::bad("temperature", format!("temperature is {temperature}; 0 to 2 is possible")));
        }
        let top_p = common.top_p.unwrap_or(1.0);
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(ApiError::bad("top_p", format!("top_p is {top_p}; above 0 and up to 1 is possible")));
        }
        if thoughts.is_some_and(|top| top > TOP_MAX) {
            let param = if matches!(prompts, Prompts::Chat(_)) { "top_logprobs" } else { "logprobs" };
            return Err(ApiError::bad(param, format!("{param} may be {TOP_MAX} at most")));
        }
        let stops = match common.stop {
            None => Vec::new(),
            Some(Stops::One(stop)) => vec![stop],
            Some(Stops::Several(stops)) => stops,
        };
        if stops.len() > STOPS_MAX || stops.iter().any(String::is_empty) {
            return Err(ApiError::bad("stop", format!("stop may be {STOPS_MAX} texts at most, none of them empty")));
        }
        Ok(Self {
            model: common.model,
            prompts,
            temperature,
            top_p,
            seed: common.seed.map(i64::cast_unsigned),
            answer_max,
            stops,
            thoughts: thoughts.map(|top| top as usize),
            echo,
            stream: common.stream.unwrap_or(false),
            usage_in_stream: common.stream_options.and_then(|options| options.include_usage).unwrap_or(false),
            user: common.user,
        })
    }
}

/// Reads a body twice: what both endpoints take, and what one does.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<(T, Common), ApiError> {
    let failed = |error: serde_json::Error| {
        let code = if error.is_data() { "invalid_value" } else { "invalid_json" };
        let what = if error.is_data() { "the request can't be taken" } else { "the body is not JSON" };
        ApiError::new(StatusCode::BAD_REQUEST, code, format!("{what}: {error}"))
    };
    Ok((serde_json::from_slice(body).map_err(failed)?, serde_json::from_slice(body).map_err(failed)?))
}

fn refuse_unsupported(common: &Common) -> Result<(), ApiError> {
    let more_than_one = |n: Option<u64>| n.is_some_and(|n| n != 1);
    let weighs = |penalty: Option<f32>| penalty.is_some_and(|penalty| penalty != 0.0);
    let is_plain = |format: &Value| format.is_null() || format["type"] == "text";
    let says = |value: &Value| value.as_object().is_some_and(|object| !object.is_empty());
    let refused = [
        ("n", more_than_one(common.n), "one answer at a time is given: send the request again for another"),
        ("best_of", more_than_one(common.best_of), "one answer at a time is given"),
        ("presence_penalty", weighs(common.presence_penalty), "penalties are not applied here"),
        ("frequency_penalty", weighs(common.frequency_penalty), "penalties are not applied here"),
        ("logit_bias", common.logit_bias.as_ref().is_some_and(says), "biases are not applied here"),
        ("suffix", common.suffix.as_ref().is_some_and(|text| !text.is_empty()), "no text is filled in before a suffix"),
        ("tools", common.tools.as_ref().is_some_and(|list| !list.is_empty()), "tools are not called here"),
        ("functions", common.functions.as_ref().is_some_and(|list| !list.is_empty()), "functions are not called here"),
        (
            "response_format",
            common.response_format.as_ref().is_some_and(|f| !is_plain(f)),
            "answers are not constrained",
        ),
    ];
    match refused.into_iter().find(|(_, asked, _)| *asked) {
        Some((param, _, why)) => Err(ApiError::unsupported(param, format!("{param} is not supported: {why}"))),
        None => Ok(()),
    }
}

fn message(message: ChatMessage) -> Result<Message, ApiError> {
    let no_text = || ApiError::bad("messages", "a message's content must be a text, or parts of type text");
    let content = match message.content {
        Value::String(text) => text,
        Value::Array(parts) => {
            let text = |part: &Value| (part["type"] == "text").then(|| part["text"].as_str().map(str::to_owned))?;
            parts.iter().map(text).collect::<Option<Vec<_>>>().ok_or_else(no_text)?.concat()
        }
        _ => return Err(no_text()),
    };
    Ok(Message { role: message.role, content })
}

/// A text, some texts, tokens, or some lists of tokens.
fn prompts(value: Value) -> Result<Vec<Prompt>, ApiError> {
    let bad =
        || ApiError::bad("prompt", "prompt must be a text, a list of texts, a list of tokens, or a list of such lists");
    let tokens = |list: &[Value]| {
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        list.iter().map(number).collect::<Option<Vec<u32>>>().map(Prompt::Tokens)
    };
    let prompts = match &value {
        Value::String(text) => vec![Prompt::Text(text.clone())],
        Value::Array(list) if list.first().is_some_and(Value::is_number) => vec![tokens(list).ok_or_else(bad)?],
        Value::Array(list) => {
            let one = |value: &Value| match value {
                Value::String(text) => Some(Prompt::Text(text.clone())),
                Value::Array(list) => tokens(list),
                _ => None,
            };
            list.iter().map(one).collect::<Option<Vec<_>>>().ok_or_else(bad)?
        }
        _ => return Err(bad()),
    };
    if prompts.is_empty() || prompts.len() > PROMPTS_MAX {
        return Err(ApiError::bad(
            "prompt",
            format!("there are {} prompts; 1 to {PROMPTS_MAX} are possible", prompts.len()),
        ));
    }
    Ok(prompts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(outcome: Result<Request, ApiError>) -> (u16, &'static str, Option<&'static str>) {
        let error = outcome.unwrap_err();
        (error.status.as_u16(), error.code, error.param)
    }

    fn chat(more: &str) -> Result<Request, ApiError> {
        Request::chat(
            format!(r#"{{"model": "m", "messages": [{{"role": "user", "content": "hi"}}]{more}}}"#).as_bytes(),
        )
    }

    fn completion(more: &str) -> Result<Request, ApiError> {
        Request::completion(format!(r#"{{"model": "m", "prompt": "hi"{more}}}"#).as_bytes())
    }

    #[test]
    fn what_is_left_out_has_openais_default() {
        let request = completion("").unwrap();
        assert_eq!((request.temperature, request.top_p, request.answer_max), (1.0, 1.0, AnswerMax::UpTo(16)));
        assert!(request.seed.is_none() && request.thoughts.is_none() && !request.stream && !request.echo);
        let request =
            chat(r#", "logprobs": true, "top_logprobs": 3, "max_completion_tokens": 9, "stop": "x""#).unwrap();
        assert_eq!((request.thoughts, request.answer_max), (Some(3), AnswerMax::Asked(9)));
        assert_eq!(request.stops, ["x"]);
    }

    #[test]
    fn a_body_that_is_no_json_or_no_request_says_where() {
        for body in [&b""[..], b"{", b"{\"model\": \"m\", ", b"\xFF\xFE", b"nonsense"] {
            assert_eq!(refused(Request::chat(body)), (400, "invalid_json", None));
        }
        let error = Request::completion(br#"{"model": 7, "prompt": "x"}"#).unwrap_err();
        assert!(error.message.contains("line 1 column"), "{}", error.message);
        assert_eq!(refused(Request::completion(br#"{"prompt": "x"}"#)).1, "invalid_value");
        assert_eq!(refused(Request::chat(br#"{"model": "m"}"#)).1, "invalid_value");
    }

    #[test]
    fn what_would_change_the_answer_unseen_is_refused_by_name() {
        for (more, param) in [
            (r#", "n": 2"#, "n"),
            (r#", "presence_penalty": 0.5"#, "presence_penalty"),
            (r#", "logit_bias": {"7": 3}"#, "logit_bias"),
            (r#", "tools": [{}]"#, "tools"),
            (r#", "response_format": {"type": "json_object"}"#, "response_format"),
        ] {
            assert_eq!(refused(chat(more)), (400, "unsupported_parameter", Some(param)));
        }
        assert!(chat(r#", "n": 1, "tools": [], "response_format": {"type": "text"}, "presence_penalty": 0"#).is_ok());
    }

    #[test]
    fn numbers_outside_their_range_are_refused_by_name() {
        for (more, param) in [
            (r#", "temperature": 2.5"#, "temperature"),
            (r#", "temperature": -1"#, "temperature"),
            (r#", "top_p": 0"#, "top_p"),
            (r#", "logprobs": 21"#, "logprobs"),
            (r#", "stop": [""]"#, "stop"),
            (r#", "max_tokens": 0"#, "max_tokens"),
        ] {
            assert_eq!(refused(completion(more)), (400, "invalid_value", Some(param)), "{more}");
        }
        assert_eq!(refused(chat(r#", "top_logprobs": 2"#)).2, Some("top_logprobs"));
        assert!(completion(r#", "max_tokens": 0, "echo": true"#).is_ok());
    }

    #[test]
    fn prompts_come_in_four_forms() {
        let prompts = |text: &str| match Request::completion(
            format!(r#"{{"model": "m", "prompt": {text}}}"#).as_bytes(),
        )?
        .prompts
        {
            Prompts::Plain(prompts) => Ok::<_, ApiError>(prompts),
            Prompts::Chat(_) => panic!("no conversation was sent"),
        };
        assert_eq!(prompts(r#"["a", "b"]"#).unwrap(), [Prompt::Text("a".into()), Prompt::Text("b".into())]);
        assert_eq!(prompts("[1, 2]").unwrap(), [Prompt::Tokens(vec![1, 2])]);
        assert_eq!(prompts("[[1], [2, 3]]").unwrap(), [Prompt::Tokens(vec![1]), Prompt::Tokens(vec![2, 3])]);
        for bad in ["7", "[]", "[1.5]", "[-1]", "[{}]", "null", "[1, \"a\"]"] {
            assert_eq!(prompts(bad).unwrap_err().param, Some("prompt"), "{bad}");
        }
    }

    #[test]
    fn a_messages_content_is_a_text_or_parts_of_text() {
        let content = |text: &str| {
            let body = format!(r#"{{"model": "m", "messages": [{{"role": "user", "content": {text}}}]}}"#);
            match Request::chat(body.as_bytes())?.prompts {
                Prompts::Chat(messages) => Ok::<_, ApiError>(messages[0].content.clone()),
                Prompts::Plain(_) => panic!("a conversation was sent"),
            }
        };
        assert_eq!(content(r#"[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]"#).unwrap(), "ab");
        for bad in ["null", "7", r#"[{"type": "image_url", "image_url": {}}]"#, r#"[{"type": "text"}]"#] {
            assert_eq!(content(bad).unwrap_err().param, Some("messages"), "{bad}");
        }
    }
}
