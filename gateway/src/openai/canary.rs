//! A canary: what a version answers to a prompt that is always the same shows that it is the same on every server.

use super::engine::{Ask, Event, Loaded};
use super::versions::Version;
use sha2::{Digest as _, Sha256};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The likeliest tokens after this are the answer.
const PROMPT: &str = "The quick brown fox";
const TOKENS: usize = 16;
/// How long a place in the engine is waited for.
const WAIT: Duration = Duration::from_secs(60);
/// How often one is asked for.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// A version's answer, as far as it is known.
#[derive(Default)]
pub struct Canary(Mutex<State>);

#[derive(Default)]
struct State {
    /// SHA-256 of the answer's text, and when it was asked for.
    answer: Option<(Vec<u8>, Instant)>,
    asking: bool,
}

impl Canary {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Version {
    /// The digest of the canary's answer, one that was asked for after a moment if that is wanted. Where there is none yet
    /// it is asked for, beside what goes on: nobody waits for it while the engine is busy.
    pub fn canary(self: &Arc<Self>, since: Option<Instant>) -> Option<Vec<u8>> {
        let mut state = self.canary.state();
        let known = state.answer.as_ref().filter(|(_, at)| since.is_none_or(|since| *at > since));
        if let Some((digest, _)) = known {
            return Some(digest.clone());
        }
        if !state.asking {
            let version = self.clone();
            let asking = std::thread::Builder::new().name("canary".into()).spawn(move || version.ask_canary());
            state.asking = asking.is_ok();
        }
        None
    }

    fn ask_canary(&self) {
        let at = Instant::now();
        // No answer has a digest of its own, so that it differs from any.
        let answer = answer(self.loaded.as_ref()).unwrap_or_else(|why| {
            tracing::warn!(model = self.model, version = self.number, why, "the canary gave no answer");
            format!("no answer: {why}")
        });
        let mut state = self.canary.state();
        state.answer = Some((Sha256::digest(answer).to_vec(), at));
        state.asking = false;
    }
}

fn answer(loaded: &dyn Loaded) -> Result<String, String> {
    let prompt = loaded.encode(PROMPT).map_err(|error| error.to_string())?;
    let ask = Ask {
        answer_max: TOKENS.min(loaded.tokens_max().saturating_sub(prompt.len())),
        prompt,
        temperature: 0.0,
        top_p: 1.0,
        seed: 0,
        stops: Vec::new(),
        thoughts: None,
        on_prompt: false,
    };
    let until = Instant::now() + WAIT;
    let mut events = loop {
        match loaded.ask(ask.clone()) {
            Ok(events) => break events,
            // All places are taken: it waits for one like everybody.
            Err(_) if Instant::now() < until => std::thread::sleep(ASK_EVERY),
            Err(error) => return Err(error.to_string()),
        }
    };
    let mut text = String::new();
    loop {
        match events.blocking_recv() {
            Some(Event::Piece { text: more, .. }) => text.push_str(&more),
            Some(Event::End { .. }) => return Ok(text),
            Some(Event::Prompt(_)) => {}
            Some(Event::Failed(why)) => return Err(why),
            None => return Err("the engine has ended".into()),
        }
    }
}
