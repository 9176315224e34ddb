//! What the gateway asks of whatever computes answers. The binary brings an engine that is; the gateway itself knows
//! nothing of networks.

use attestune_proto::v1::Hyperparameters;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedReceiver;

/// Makes versions ready to answer.
pub trait Engines: Send + Sync + 'static {
    /// Makes a version ready; blocks while it does. A base model that several versions share is in memory once.
    ///
    /// # Errors
    /// If its base model is not here, or adapter and base don't go together.
    fn load(&self, source: &Source) -> Result<Arc<dyn Loaded>, LoadError>;
}

/// What a version is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// SHA-256 of the base model's weights.
    pub weights_digest: Vec<u8>,
    /// `adapter_model.safetensors`, whose digest was compared with the log's.
    pub adapter: Vec<u8>,
    /// Those of its run. An adapter from elsewhere has none: how it counts stands in its own header.
    pub hyperparameters: Option<Hyperparameters>,
}

/// A version that is ready.
pub trait Loaded: Send + Sync + 'static {
    /// What was loaded.
    fn facts(&self) -> Facts;

    /// The longest prompt and answer together, in tokens.
    fn tokens_max(&self) -> usize;

    /// A text's tokens.
    ///
    /// # Errors
    /// If the tokenizer fails.
    fn encode(&self, text: &str) -> Result<Vec<u32>, AskError>;

    /// The tokens of a conversation, by the model's chat template.
    ///
    /// # Errors
    /// If there is no template, or it doesn't take these messages.
    fn encode_chat(&self, messages: &[Message]) -> Result<Vec<u32>, AskError>;

    /// Asks. Whoever drops the receiver has left, and the answer ends.
    ///
    /// # Errors
    /// If it can't be answered, or too many wait.
    fn ask(&self, ask: Ask) -> Result<UnboundedReceiver<Event>, AskError>;
}

/// Digests of what was loaded, and how answers are computed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// SHA-256 of the base model's weights, as they were read.
    pub weights_digest: Vec<u8>,
    /// SHA-256 of its tokenizer.
    pub tokenizer_digest: Vec<u8>,
    /// SHA-256 of its chat template's text; of nothing where it has none.
    pub template_digest: Vec<u8>,
    /// Names and values that answers depend on besides.
    pub settings: Vec<(String, String)>,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// Logits are divided by it; 0 takes the likeliest token each time.
    pub temperature: f32,
    /// The share of the likeliest tokens that are chosen from.
    pub top_p: f32,
    /// Seeds the choices.
    pub seed: u64,
    /// The answer is cut after so many tokens.
    pub answer_max: usize,
    /// Each of these ends the answer and is no part of it.
    pub stops: Vec<String>,
    /// Whether log-probabilities are wanted, and how many of the likeliest tokens with each.
    pub thoughts: Option<usize>,
    /// Whether they are wanted of the prompt's tokens, too.
    pub on_prompt: bool,
}

/// A token of prompt or answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// Its bytes, which need not be whole characters.
    pub bytes: Vec<u8>,
    /// Whether it is a mark, no part of a text.
    pub special: bool,
    /// The natural logarithm of its probability; of a prompt's first token there is none.
    pub log_probability: Option<f32>,
    /// The likeliest tokens in its place with theirs, the likeliest first.
    pub top: Vec<(Vec<u8>, f32)>,
}

/// What comes of a question, in this order: the prompt if asked for, pieces, the end.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The prompt's tokens.
    Prompt(Vec<Token>),
    /// More of the answer. Tokens are there if log-probabilities were asked for.
    Piece {
        /// The text; it may be empty.
        text: String,
        /// The tokens whose text begins in it.
        tokens: Vec<Token>,
    },
    /// There is no more.
    End {
        /// Whether the answer ended by itself or at a stop string; else it is as long as was asked for.
        stopped: bool,
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens of the answer.
        answer: usize,
    },
    /// The engine could not go on.
    Failed(String),
}

/// Why a version is not ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Its base model is not on this server: another serves it.
    #[error("the base model is not on this server: {0}")]
    NotHere(String),
    /// It can't be used.
    #[error("{0}")]
    Unfit(String),
}

/// Why a question is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The caller's fault: the sentence says what.
    #[error("{0}")]
    Bad(String),
    /// Prompt and answer don't fit.
    #[error("the prompt has {prompt} tokens and its answer up to {answer}; at most {max} together are possible")]
    TooLong {
        /// The prompt's length.
        prompt: usize,
        /// Tokens asked for.
        answer: usize,
        /// The limit.
        max: usize,
    },
    /// Too many wait.
    #[error("too many requests are waiting: try again in {retry_s} s")]
    Busy {
        /// After how many seconds.
        retry_s: u64,
    },
    /// The engine's fault.
    #[error("{0}")]
    Failed(String),
}
