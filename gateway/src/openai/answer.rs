//! Answering: a request's prompts go to the version that was chosen, and what comes back is put together or streamed. How
//! it was, the record of requests gets to know, also of whoever left in the middle.

use super::Serving;
use super::choose::Chosen;
use super::engine::{Ask, Event, Token};
use super::error::ApiError;
use super::request::{AnswerMax, Prompt, Prompts, Request};
use super::windows::Answered;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_stream::{StreamExt as _, StreamMap};

/// Answers under way.
pub struct Answering {
    pub request: Request,
    pub chosen: Chosen,
    pub choices: Vec<Choice>,
    events: StreamMap<usize, UnboundedReceiverStream<Event>>,
    serving: Arc<Serving>,
    begun: Instant,
    first_token: Option<Instant>,
    failed: bool,
    /// The request as it came, and who sent it.
    body: Vec<u8>,
    caller: String,
}

/// One prompt with its answer.
#[derive(Debug, Default)]
pub struct Choice {
    /// What is echoed before the answer.
    pub echo: String,
    /// The prompt's tokens with log-probabilities, if they were asked for.
    pub prompt: Vec<Token>,
    pub text: String,
    /// The answer's tokens with log-probabilities, if they were asked for.
    pub tokens: Vec<Token>,
    /// Why it ended, once it has: true for by itself.
    pub stopped: Option<bool>,
    pub prompt_tokens: usize,
    pub answer_tokens: usize,
}

/// Something new of a choice.
pub struct News {
    pub choice: usize,
    pub text: String,
    pub tokens: Vec<Token>,
    /// Set when the choice has ended.
    pub stopped: Option<bool>,
}

/// Who asks, with what.
pub struct Asked {
    pub request: Request,
    pub body: Vec<u8>,
    pub caller: String,
}

impl Answering {
    /// Sends the prompts off; blocks on the tokenizer.
    ///
    /// # Errors
    /// If one can't be answered; none is then.
    pub fn begin(serving: Arc<Serving>, chosen: Chosen, asked: Asked) -> Result<Self, ApiError> {
        let Asked { request, body, caller } = asked;
        let param = request.prompts.param();
        let loaded = chosen.version.loaded.clone();
        let mut choices = Vec::new();
        let mut prompts = Vec::new();
        match &request.prompts {
            Prompts::Chat(messages) => {
                prompts.push(loaded.encode_chat(messages).map_err(|error| ApiError::of_ask(error, param))?);
                choices.push(Choice::default());
            }
            Prompts::Plain(plain) => {
                for prompt in plain {
                    let (tokens, echo) = match prompt {
                        Prompt::Tokens(tokens) => (tokens.clone(), String::new()),
                        Prompt::Text(text) => {
                            let tokens = loaded.encode(text).map_err(|error| ApiError::of_ask(error, param))?;
                            (tokens, if request.echo { text.clone() } else { String::new() })
                        }
                    };
                    prompts.push(tokens);
                    choices.push(Choice { echo, ..Choice::default() });
                }
            }
        }
        let seed = request.seed.unwrap_or_else(|| uuid::Uuid::now_v7().as_u128() as u64);
        let mut events = StreamMap::new();
        for (index, prompt) in prompts.into_iter().enumerate() {
            let room = loaded.tokens_max().saturating_sub(prompt.len());
            let of_tokens =
                matches!(&request.prompts, Prompts::Plain(p) if matches!(p.get(index), Some(Prompt::Tokens(_))));
            let ask = Ask {
                answer_max: match request.answer_max {
                    AnswerMax::Asked(max) => max,
                    AnswerMax::UpTo(max) => max.min(room).max(1),
                },
                prompt,
                temperature: request.temperature,
                top_p: request.top_p,
                // Prompts of one request don't choose alike.
                seed: seed.wrapping_add(index as u64),
                stops: request.stops.clone(),
                thoughts: request.thoughts,
                // An echo of tokens has to be put together from their pieces.
                on_prompt: request.echo && (request.thoughts.is_some() || of_tokens),
            };
            let answer = loaded.ask(ask).map_err(|error| ApiError::of_ask(error, param))?;
            events.insert(index, UnboundedReceiverStream::new(answer));
        }
        let begun = Instant::now();
        Ok(Self { request, chosen, choices, events, serving, begun, first_token: None, failed: false, body, caller })
    }

    /// What comes next; nothing when all choices have ended.
    ///
    /// # Errors
    /// If the engine could not go on.
    pub async fn next(&mut self) -> Result<Option<News>, ApiError> {
        let Some((index, event)) = self.events.next().await else {
            if self.choices.iter().all(|choice| choice.stopped.is_some()) {
                return Ok(None);
            }
            return Err(self.fail("the engine has ended"));
        };
        let choice = &mut self.choices[index];
        let news = |text: String, tokens: Vec<Token>| News { choice: index, text, tokens, stopped: None };
        Ok(Some(match event {
            Event::Prompt(tokens) => {
                if choice.echo.is_empty() {
                    let written = tokens.iter().filter(|token| !token.special);
                    let bytes: Vec<u8> = written.flat_map(|token| token.bytes.iter().copied()).collect();
                    choice.echo = String::from_utf8_lossy(&bytes).into_owned();
                }
                if self.request.thoughts.is_some() {
                    choice.prompt = tokens.clone();
                }
                news(choice.echo.clone(), tokens)
            }
            Event::Piece { text, tokens } => {
                self.first_token.get_or_insert_with(Instant::now);
                choice.text.push_str(&text);
                choice.tokens.extend(tokens.iter().cloned());
                news(text, tokens)
            }
            Event::End { stopped, prompt, answer } => {
                choice.stopped = Some(stopped);
                (choice.prompt_tokens, choice.answer_tokens) = (prompt, answer);
                News { stopped: Some(stopped), ..news(String::new(), Vec::new()) }
            }
            Event::Failed(why) => return Err(self.fail(&why)),
        }))
    }

    /// Tokens of all prompts and all answers.
    pub fn usage(&self) -> (usize, usize) {
        let sum = |of: fn(&Choice) -> usize| self.choices.iter().map(of).sum();
        (sum(|choice| choice.prompt_tokens), sum(|choice| choice.answer_tokens))
    }

    fn fail(&mut self, why: &str) -> ApiError {
        self.failed = true;
        ApiError::unavailable("engine_failed", why).retry_after(1)
    }
}

impl Drop for Answering {
    /// However it ended, it was a request.
    fn drop(&mut self) {
        let request: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let answers: Vec<_> = self
            .choices
            .iter()
            .map(|choice| json!({ "text": choice.text, "ended": choice.stopped.is_some() }))
            .collect();
        let text = json!({
            "request": request,
            "answers": answers,
            "caller": self.caller,
            "as_of": self.chosen.as_of,
        });
        let micros = |instant: Instant| u64::try_from((instant - self.begun).as_micros()).unwrap_or(u64::MAX);
        let (prompt_tokens, answer_tokens) = self.usage();
        self.serving.note(Answered {
            model: self.chosen.version.model.clone(),
            version: self.chosen.version.number,
            text: text.to_string().into_bytes(),
            error: self.failed,
            prompt_tokens: prompt_tokens as u64,
            answer_tokens: answer_tokens as u64,
            first_token_us: self.first_token.map(micros),
            latency_us: micros(Instant::now()),
        });
    }
}
