use std::time::Duration;

use super::*;
use crate::{
    adapter::Adapter,
    generate::{Model, Stop},
    model::{self, BaseModel, write_tiny_model},
    nn::loss::log_softmax,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// The tiny model, served and as the trainer reads it, with an adapter that changes its answers.
struct Tiny {
    engine: Engine,
    base: BaseModel,
    adapter: Adapter,
    served: Arc<ServedAdapter>,
}

impl Tiny {
    fn new(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_tiny_model(folder.path(), 3).unwrap();
        let base = BaseModel::load(folder.path()).unwrap();
        let served_base = ServedBase::load(folder.path(), base.weights_digest()).unwrap();
        let (_, adapter) = crate::adapter::tests::trained(&["q_proj", "v_proj", "up_proj", "down_proj"]);
        let served = Arc::new(served_base.adapter(&adapter).unwrap());
        Self { engine: Engine::start(served_base, limits).unwrap(), base, adapter, served }
    }

    fn tokens(&self, text: &str) -> Vec<u32> {
        self.engine.base().tokenizer().encode(text, true).unwrap()
    }

    fn ask(&self, text: &str, answer_max: usize) -> Ask {
        Ask { answer_max, ..Ask::new(self.tokens(text), Sampling::GREEDY) }
    }

    fn send(&self, ask: Ask) -> mpsc::Receiver<Event> {
        let (send, receive) = mpsc::channel();
        self.engine.ask(ask, Box::new(send)).unwrap();
        receive
    }

    fn answer(&self, ask: Ask) -> Answer {
        Answer::of(&self.send(ask))
    }
}

/// A whole answer.
#[derive(Debug, PartialEq)]
struct Answer {
    prompt: Vec<Token>,
    text: String,
    tokens: Vec<Token>,
    why: End,
    counts: (usize, usize),
}

impl Answer {
    fn of(events: &mpsc::Receiver<Event>) -> Self {
        let (mut prompt, mut text, mut tokens) = (Vec::new(), String::new(), Vec::new());
        loop {
            match events.recv_timeout(PATIENCE).expect("an answer ends") {
                Event::Prompt { tokens } => prompt = tokens,
                Event::Piece { text: more, tokens: of } => {
                    text.push_str(&more);
                    tokens.extend(of);
                }
                Event::End { why, prompt: asked, answer } => {
                    return Self { prompt, text, tokens, why, counts: (asked, answer) };
                }
                Event::Failed { why } => panic!("{why}"),
            }
        }
    }
}

#[test]
fn the_engine_answers_as_the_trainers_model_does() {
    let tiny = Tiny::new(Limits::default());
    let stop = Stop { max_new_tokens: 12, at_newline: false };
    for (adapter, served) in [(None, None), (Some(&tiny.adapter), Some(tiny.served.clone()))] {
        let model = Model::new(&tiny.base, adapter).unwrap();
        for prompt in ["Hello there", "a", "where is my card?\nIntent:"] {
            let expected = model.greedy(&[prompt], stop).unwrap().remove(0);
            let found = tiny.answer(Ask { adapter: served.clone(), ..tiny.ask(prompt, 12) });
            assert_eq!(found.text, expected, "{prompt}");
        }
    }
}

#[test]
fn thoughts_on_prompt_and_answer_are_the_models_own() {
    let tiny = Tiny::new(Limits { prompt_tokens_per_step: 3, ..Limits::default() });
    let model = Model::new(&tiny.base, Some(&tiny.adapter)).unwrap();
    let ask =
        Ask { adapter: Some(tiny.served.clone()), thoughts: Some(3), on_prompt: true, ..tiny.ask("Hello there", 4) };
    let answer = tiny.answer(ask);
    let (tokens, logits) = model.logits(&format!("Hello there{}", answer.text)).unwrap();
    let width = tiny.base.config.vocab_size;
    let all: Vec<&Token> = answer.prompt.iter().chain(&answer.tokens).collect();
    assert_eq!(answer.prompt.len(), tiny.tokens("Hello there").len());
    assert_eq!(answer.prompt[0].thought, None);
    for (i, token) in all.iter().enumerate().skip(1).take(tokens.len() - 1) {
        assert_eq!(token.id, tokens[i]);
        let row = &logits[(i - 1) * width..][..width];
        let thought = token.thought.as_ref().unwrap();
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-4, "{a} is not {b}");
        near(thought.log_probability, log_softmax(row, token.id as usize));
        assert_eq!(thought.top.len(), 3);
        thought.top.iter().for_each(|(id, log)| near(*log, log_softmax(row, *id as usize)));
    }
}

#[test]
fn answers_together_are_those_of_one_at_a_time_whatever_their_versions() {
    let tiny = Tiny::new(Limits { prompt_tokens_per_step: 8, active_max: 16, ..Limits::default() });
    let asks = || {
        (0..40).map(|i| {
            let prompt = format!("question {i} {}", "x".repeat(i));
            let adapter = (i % 3 != 0).then(|| tiny.served.clone());
            let sampling = match i % 2 {
                0 => Sampling::GREEDY,
                _ => Sampling { temperature: 1.0, top_p: 0.9, seed: i as u64 },
            };
            Ask { adapter, sampling, thoughts: Some(2), ..tiny.ask(&prompt, 10) }
        })
    };
    let together: Vec<_> = asks().map(|ask| tiny.send(ask)).collect();
    let together: Vec<Answer> = together.iter().map(Answer::of).collect();
    for (ask, together) in asks().zip(together) {
        assert_eq!(tiny.answer(ask), together);
    }
}

#[test]
fn a_stop_string_ends_an_answer_and_is_no_part_of_it() {
    let tiny = Tiny::new(Limits::default());
    let whole = tiny.answer(Ask { thoughts: Some(0), ..tiny.ask("Hello there", 12) });
    let characters: Vec<char> = whole.text.chars().collect();
    assert!(characters.len() > 4, "{:?}", whole.text);
    let stop: String = characters[2..4].iter().collect();
    let cut = tiny.answer(Ask { stops: vec![stop.clone()], thoughts: Some(0), ..tiny.ask("Hello there", 12) });
    assert_eq!(cut.why, End::Stopped);
    assert_eq!(cut.text, whole.text.split(&stop).next().unwrap());
    assert_eq!(cut.tokens[..], whole.tokens[..cut.tokens.len()]);
    assert!(cut.tokens.len() < whole.tokens.len());
}

#[test]
fn with_no_token_to_write_the_prompt_alone_is_looked_at() {
    let tiny = Tiny::new(Limits::default());
    let answer = tiny.answer(Ask { thoughts: Some(0), on_prompt: true, ..tiny.ask("Hello", 0) });
    assert_eq!((answer.prompt.len(), answer.tokens.len(), answer.why), (5, 0, End::Length));
    assert_eq!(answer.counts, (5, 0));
}

#[test]
fn what_cannot_be_answered_is_refused_with_its_figures() {
    let tiny = Tiny::new(Limits::default());
    let refused = |ask: Ask| tiny.engine.ask(ask, Box::new(mpsc::channel().0)).unwrap_err();
    assert_eq!(refused(Ask::new(Vec::new(), Sampling::GREEDY)), AskError::Empty);
    assert_eq!(
        refused(Ask::new(vec![1, 99_999], Sampling::GREEDY)),
        AskError::NoSuchToken { token: 99_999, vocabulary: 257 }
    );
    let long = tiny.ask(&"x".repeat(250), 12);
    assert_eq!(refused(long), AskError::TooLong { prompt: 250, answer: 12, max: 256 });
    assert_eq!(refused(tiny.ask("a", usize::MAX)), AskError::TooLong { prompt: 1, answer: usize::MAX, max: 256 });
}

/// Holds the engine's thread in its ear until it is let go.
struct Held(mpsc::Receiver<()>);

impl Listener for Held {
    fn hear(&mut self, _: Event) -> bool {
        self.0.recv().is_ok()
    }
}

#[test]
fn when_too_many_wait_the_next_is_told_when_to_come_again() {
    let tiny = Tiny::new(Limits { active_max: 1, waiting_max: 2, ..Limits::default() });
    let (let_go, held) = mpsc::channel();
    tiny.engine.ask(tiny.ask("first", 4), Box::new(Held(held))).unwrap();
    let until = std::time::Instant::now() + PATIENCE;
    while tiny.engine.load().active == 0 {
        assert!(std::time::Instant::now() < until);
        std::thread::yield_now();
    }
    let waiting = [tiny.send(tiny.ask("second", 2)), tiny.send(tiny.ask("third", 2))];
    let error = tiny.engine.ask(tiny.ask("fourth", 2), Box::new(mpsc::channel().0)).unwrap_err();
    assert_eq!(error, AskError::Busy { waiting: 2, retry_s: 1 });
    drop(let_go);
    waiting.iter().for_each(|events| assert_eq!(Answer::of(events).counts.1, 2));
}

#[test]
fn whoever_leaves_makes_room_for_the_next() {
    // Memory for one long answer only.
    let tiny = Tiny::new(Limits { cache_bytes_max: 300 * 2 * 2 * 4 * 16, ..Limits::default() });
    let first = tiny.send(tiny.ask("first", 200));
    first.recv_timeout(PATIENCE).unwrap();
    let second = tiny.send(tiny.ask("second", 200));
    drop(first);
    assert!(Answer::of(&second).counts.1 > 0);
}

#[test]
fn an_engine_that_ends_breaks_answers_off_and_takes_no_more() {
    let tiny = Tiny::new(Limits::default());
    let answer = tiny.send(tiny.ask("first", 200));
    drop(tiny);
    // Whatever came before, there is an end to it.
    while answer.recv_timeout(PATIENCE).is_ok() {}
}

/// On the real model, where it is at hand: the quantised network is near the one in f32.
#[test]
fn the_quantised_model_thinks_nearly_what_the_one_in_f32_does() {
    let home = std::env::var("HOME").unwrap_or_default();
    let path = std::path::Path::new(&home).join(".cache/attestune/models/smollm2-135m-instruct.q4_1.gguf");
    if !path.exists() {
        return;
    }
    let digest = model::weights_digest(&path).unwrap();
    let engine = Engine::start(ServedBase::load(&path, digest).unwrap(), Limits::default()).unwrap();
    let base = BaseModel::load(&path).unwrap();
    assert_eq!((engine.base().weights_digest(), engine.base().tokenizer_digest()), (digest, base.tokenizer_digest()));
    let text = "The capital of France is Paris, and the capital of Italy is";
    let (tokens, logits) = Model::new(&base, None).unwrap().logits(text).unwrap();
    let (send, events) = mpsc::channel();
    let ask = Ask { thoughts: Some(1), on_prompt: true, answer_max: 1, ..Ask::new(tokens.clone(), Sampling::GREEDY) };
    engine.ask(ask, Box::new(send)).unwrap();
    let answer = Answer::of(&events);
    assert_eq!(answer.text, " Rome");
    let width = base.config.vocab_size;
    for (i, token) in answer.prompt.iter().enumerate().skip(1) {
        let expected = log_softmax(&logits[(i - 1) * width..][..width], tokens[i] as usize);
        let found = token.thought.as_ref().unwrap().log_probability;
        assert!((found - expected).abs() < 0.25, "token {i}: {found} is not about {expected}");
    }
}
