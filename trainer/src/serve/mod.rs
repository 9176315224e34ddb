//! Serving: one base model in memory, quantised as in its file, adapters beside it, many answers at a time.
//!
//! [`Engine`] runs a thread that takes requests in, feeds their prompts piece by piece and makes a token of every answer
//! in each step, whatever version it is of (continuous batching: Yu and others, "Orca", 2022). An answer depends on
//! nothing but its own prompt, adapter and seed. It knows nothing of the ledger: which version is asked, the caller says
//! with each request, so requests under way end on the version that they began with.
//!
//! ```
//! use std::sync::{Arc, mpsc};
//! use attestune_trainer::{model, serve::{Ask, Engine, Event, Limits, Sampling, ServedBase}};
//!
//! let folder = tempfile::tempdir()?;
//! model::write_tiny_model(folder.path(), 7)?;
//! let base = ServedBase::load(folder.path(), model::weights_digest(folder.path())?)?;
//! let engine = Engine::start(base, Limits::default())?;
//! let prompt = engine.base().tokenizer().encode("where is my card?", true)?;
//! let (send, answer) = mpsc::channel();
//! engine.ask(Ask { answer_max: 4, ..Ask::new(prompt, Sampling::GREEDY) }, Box::new(send))?;
//! let text: String = answer.iter().filter_map(|event| match event { Event::Piece { text, .. } => Some(text), _ => None }).collect();
//! # let _ = text;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod base;
mod delta;
mod engine;
mod network;
mod quant;
mod sample;
mod sequence;
mod template;
mod text;

pub use base::{ServedAdapter, ServedBase};
pub use engine::{Engine, Limits, Load};
pub use sample::{Sampling, Thought};
pub use template::{ChatTemplate, Message, TemplateError};

use std::sync::{Arc, mpsc};

use crate::model::TokenPiece;

/// What is asked.
pub struct Ask {
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// The version's adapter; the base alone without one.
    pub adapter: Option<Arc<ServedAdapter>>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The answer is cut after so many tokens; with 0 only the prompt is looked at.
    pub answer_max: usize,
    /// Each of these ends the answer and is no part of it.
    pub stops: Vec<String>,
    /// Whether the model's thoughts on each token are wanted, and how many of the likeliest tokens with them.
    pub thoughts: Option<usize>,
    /// Whether thoughts are wanted on the prompt's tokens, too.
    pub on_prompt: bool,
}

impl Ask {
    /// An answer of at most 16 tokens from the base alone.
    pub fn new(prompt: Vec<u32>, sampling: Sampling) -> Self {
        Self { prompt, adapter: None, sampling, answer_max: 16, stops: Vec::new(), thoughts: None, on_prompt: false }
    }
}

/// A token of prompt or answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Its number.
    pub id: u32,
    /// What it stands for.
    pub piece: TokenPiece,
    /// What the model thought of it, if that was asked for; never of a prompt's first token.
    pub thought: Option<Thought>,
    /// What the thought's likeliest tokens stand for.
    pub top_pieces: Vec<TokenPiece>,
}

/// What comes of a request, in this order: the prompt if asked for, pieces, the end.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The prompt's tokens, with thoughts.
    Prompt {
        /// In order.
        tokens: Vec<Token>,
    },
    /// More of the answer.
    Piece {
        /// The text. It may be empty.
        text: String,
        /// The tokens whose text begins in it, if thoughts were asked for. The token that ended the answer is the last.
        tokens: Vec<Token>,
    },
    /// There is no more.
    End {
        /// Why.
        why: End,
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens of the answer, an end token included.
        answer: usize,
    },
    /// The engine could not go on.
    Failed {
        /// Why.
        why: String,
    },
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By the model's end token or a stop string.
    Stopped,
    /// It is as long as was asked for.
    Length,
}

/// Who waits for an answer.
pub trait Listener: Send {
    /// Takes an event; answers whether anybody still listens.
    fn hear(&mut self, event: Event) -> bool;

    /// Whether nobody listens any more.
    fn gone(&self) -> bool {
        false
    }
}

impl Listener for mpsc::Sender<Event> {
    fn hear(&mut self, event: Event) -> bool {
        self.send(event).is_ok()
    }
}

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// A prompt without tokens.
    #[error("the prompt is empty")]
    Empty,
    /// A token that the model doesn't have.
    #[error("there is no token {token}: this model has {vocabulary}")]
    NoSuchToken {
        /// The token.
        token: u32,
        /// How many there are.
        vocabulary: usize,
    },
    /// Prompt and answer don't fit.
    #[error("the prompt has {prompt} tokens and its answer up to {answer}; at most {max} together are possible here")]
    TooLong {
        /// The prompt's length.
        prompt: usize,
        /// Tokens asked for.
        answer: usize,
        /// The limit.
        max: usize,
    },
    /// Too many wait.
    #[error("{waiting} requests are waiting already: try again in {retry_s} s")]
    Busy {
        /// How many.
        waiting: usize,
        /// After how many seconds it may be worth another try.
        retry_s: u64,
    },
    /// The engine has ended.
    #[error("the engine has ended")]
    Ended,
}

#[cfg(test)]
mod tests;
