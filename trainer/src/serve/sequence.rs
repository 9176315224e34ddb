//! One request under way.

use std::sync::Arc;

use super::{
    Ask, End, Event, Listener, ServedAdapter, ServedBase, Thought, Token,
    network::{Cache, Network, Slot, Wanted},
    sample::Sampler,
    text::{Given, TextStream},
};
use crate::model::TokenPiece;

/// A prompt that is being read, or an answer that is being written.
pub(super) struct Sequence {
    prompt: Vec<u32>,
    /// How much of the prompt was read.
    read: usize,
    /// The token that was written last.
    last: [u32; 1],
    cache: Option<Cache>,
    adapter: Option<Arc<ServedAdapter>>,
    sampler: Sampler,
    text: TextStream,
    answered: usize,
    answer_max: usize,
    thoughts: Option<usize>,
    /// The prompt's tokens with thoughts, if they are wanted.
    on_prompt: Option<Vec<Token>>,
    listener: Box<dyn Listener>,
}

/// Whether a sequence goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Going {
    On,
    Ended,
}

impl Sequence {
    pub(super) fn new(ask: Ask, listener: Box<dyn Listener>) -> Self {
        Self {
            prompt: ask.prompt,
            read: 0,
            last: [0],
            cache: None,
            adapter: ask.adapter,
            sampler: Sampler::new(ask.sampling),
            text: TextStream::new(ask.stops),
            answered: 0,
            answer_max: ask.answer_max,
            thoughts: ask.thoughts,
            on_prompt: ask.on_prompt.then(Vec::new),
            listener,
        }
    }

    /// Tokens that its keys and values may come to.
    pub(super) fn room(&self) -> usize {
        self.prompt.len() + self.answer_max
    }

    pub(super) fn gone(&self) -> bool {
        self.listener.gone()
    }

    /// Makes room for its keys and values.
    pub(super) fn admit(&mut self, network: &Network) {
        self.cache = Some(Cache::new(network, self.room()));
    }

    /// How many tokens it takes in next, of at most `budget` of its prompt; an answer under way takes one in any case.
    pub(super) fn next(&self, budget: usize) -> usize {
        match self.prompt.len() - self.read {
            0 => 1,
            left => left.min(budget),
        }
    }

    /// Its part of a step that takes in `count` tokens; nothing before it was admitted.
    pub(super) fn slot(&mut self, count: usize) -> Option<Slot<'_>> {
        let logits = self.wanted(count);
        let tokens = match self.read < self.prompt.len() {
            true => &self.prompt[self.read..self.read + count],
            false => &self.last[..],
        };
        let deltas = self.adapter.as_deref().map(|adapter| &adapter.0);
        self.cache.as_mut().map(|cache| Slot { tokens, cache, deltas, logits })
    }

    /// Whether it reads its prompt still.
    pub(super) fn reads(&self) -> bool {
        self.read < self.prompt.len()
    }

    fn wanted(&self, count: usize) -> Wanted {
        match self.reads() {
            true if self.on_prompt.is_some() => Wanted::All,
            true if self.read + count < self.prompt.len() || self.answer_max == 0 => Wanted::None,
            _ => Wanted::Last,
        }
    }

    /// How many rows of logits a step of `count` tokens gives it.
    pub(super) fn rows(&self, count: usize) -> usize {
        match self.wanted(count) {
            Wanted::None => 0,
            Wanted::Last => 1,
            Wanted::All => count,
        }
    }

    /// Goes on with the logits of a step that took in `count` tokens.
    pub(super) fn step(&mut self, base: &ServedBase, count: usize, rows: &[&[f32]]) -> Going {
        if self.reads() {
            self.think_of_prompt(base, count, rows);
            self.read += count;
            if self.reads() {
                return Going::On;
            }
            if let Some(tokens) = self.on_prompt.take()
                && !self.listener.hear(Event::Prompt { tokens })
            {
                return Going::Ended;
            }
            if self.answer_max == 0 {
                return self.end(End::Length);
            }
        }
        match rows.last() {
            Some(logits) => self.write(base, logits),
            None => Going::On,
        }
    }

    fn think_of_prompt(&mut self, base: &ServedBase, count: usize, rows: &[&[f32]]) {
        let Some(mut tokens) = self.on_prompt.take() else { return };
        if tokens.is_empty() {
            tokens.push(token(base, self.prompt[0], None));
        }
        for (i, logits) in rows.iter().enumerate().take(count) {
            if let Some(id) = self.prompt.get(self.read + i + 1) {
                tokens.push(token(base, *id, Some(Thought::of(logits, *id, self.thoughts.unwrap_or(0)))));
            }
        }
        self.on_prompt = Some(tokens);
    }

    /// Writes the next token.
    fn write(&mut self, base: &ServedBase, logits: &[f32]) -> Going {
        let id = self.sampler.choose(logits);
        let thought = self.thoughts.map(|top| Thought::of(logits, id, top));
        let token = token(base, id, thought);
        self.answered += 1;
        let ends = id == base.config.eos_token_id;
        let bytes = if token.piece.special || ends { Vec::new() } else { token.piece.bytes.clone() };
        let mut given = self.text.push(token, &bytes);
        let why = match () {
            () if ends || given.stopped => Some(End::Stopped),
            () if self.answered == self.answer_max => Some(End::Length),
            () => None,
        };
        if why.is_some() && !given.stopped {
            let Given { text, tokens, .. } = self.text.rest();
            given.text.push_str(&text);
            given.tokens.extend(tokens);
        }
        let Given { text, mut tokens, .. } = given;
        if self.thoughts.is_none() {
            tokens.clear();
        }
        if (!text.is_empty() || !tokens.is_empty()) && !self.listener.hear(Event::Piece { text, tokens }) {
            return Going::Ended;
        }
        self.last = [id];
        why.map_or(Going::On, |why| self.end(why))
    }

    fn end(&mut self, why: End) -> Going {
        self.listener.hear(Event::End { why, prompt: self.prompt.len(), answer: self.answered });
        Going::Ended
    }

    /// Tells whoever listens that it can't go on.
    pub(super) fn fail(mut self, why: &str) {
        self.listener.hear(Event::Failed { why: why.to_owned() });
    }
}

fn token(base: &ServedBase, id: u32, thought: Option<Thought>) -> Token {
    let piece = |id| base.tokenizer.piece(id).unwrap_or(TokenPiece { bytes: Vec::new(), special: true });
    let top_pieces = thought.iter().flat_map(|thought| &thought.top).map(|(id, _)| piece(*id)).collect();
    Token { id, piece: piece(id), thought, top_pieces }
}
