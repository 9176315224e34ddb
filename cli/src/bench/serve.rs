//! Serving beside llama.cpp: both go on from the same prompt by the likeliest token, on the same GGUF, one stream and
//! eight together. And how long it takes until an adapter that lies in the vault can answer.

use super::{
    Plan,
    figure::{Figure, Goal, Results, Skipped},
    replay::temporary_folder,
    train::cached_model,
};
use crate::wait;
use anyhow::Context as _;
use attestune_ledger::vault::Vault;
use attestune_trainer::{
    adapter::Adapter,
    config::TrainConfig,
    digest::Digest,
    model::{BaseModel, weights_digest},
    serve::{Ask, Engine, Event, Limits, Sampling, ServedAdapter, ServedBase},
    train::{TrainExample, train},
};
use serde::Deserialize;
use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, mpsc},
    time::Instant,
};

const PART: &str = "serve";
/// Threads of both.
const THREADS: usize = 2;
/// What both go on from; the model does so for longer than is measured.
const PROMPT: &str = "Once upon a time, in a small town by the sea, there lived";
/// Tokens of each stream.
const TOKENS: usize = 128;
const STREAMS: usize = 8;
/// How often an adapter is made ready in a round.
const SWITCHES: usize = 5;
const PEER: &str = "llama.cpp";
const PACKAGE: &str = "llama-cpp-python==0.3.36";
const SCRIPT: &str = include_str!("llama.py");

/// What llama.cpp's process says at its end.
#[derive(Deserialize)]
struct Said {
    tokens: usize,
    seconds: f64,
}

/// Measures.
pub async fn run(plan: &Plan) -> anyhow::Result<Results> {
    let model = plan.model.clone().map_or_else(cached_model, Ok)?;
    if !model.exists() {
        let why =
            format!("there is no model {}; `scripts/fetch-model` places it, --model names another", model.display());
        return Ok(Results { skipped: vec![Skipped { part: PART, why }], ..Results::default() });
    }
    let mut results = Results::default();
    let llama = match python(plan.install) {
        Ok(python) => Some(python),
        Err(why) => {
            results.skipped.push(Skipped { part: PART, why });
            None
        }
    };
    let base = ServedBase::load(&model, weights_digest(&model)?)?;
    let (bytes, kernels) = (base.bytes(), base.kernels());
    let engine = Engine::start(base, Limits { threads: THREADS, ..Limits::default() })?;
    let adapter = adapter(&model)?;
    let served = Arc::new(engine.base().adapter(&adapter)?);

    let (mut alone, mut together, mut adapted) = (Vec::new(), Vec::new(), Vec::new());
    let (mut theirs_alone, mut theirs_together, mut switches) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        alone.push(decode(&engine, 1, None)?);
        if let Some(python) = &llama {
            theirs_alone.push(decode_by_llama(python, &model, 1)?);
        }
        together.push(decode(&engine, STREAMS, None)?);
        if let Some(python) = &llama {
            theirs_together.push(decode_by_llama(python, &model, STREAMS)?);
        }
        adapted.push(decode(&engine, 1, Some(&served))?);
        switches.extend(switch(&engine, &adapter).await?);
    }
    let what = format!("decoding, {THREADS} threads, {kernels}, weights of {:.0} MB", bytes as f64 / 1e6);
    let beside =
        |figure: Figure, theirs: Vec<f64>| if theirs.is_empty() { figure } else { figure.beside(PEER, theirs) };
    let one = beside(Figure::new(PART, what, "tokens/s", alone.clone()), theirs_alone.clone());
    let eight = beside(Figure::new(PART, format!("{STREAMS} streams together"), "tokens/s", together), theirs_together);
    let with = beside(Figure::new(PART, "one stream, with an adapter of rank 8", "tokens/s", adapted), theirs_alone);
    results.figures = vec![
        one.with_goal(Goal::RatioAtLeast(0.9)),
        eight,
        with.with_goal(Goal::RatioAtLeast(0.5)),
        Figure::new(PART, "an adapter, from the vault to its first use", "ms", switches)
            .with_goal(Goal::ValueAtMost(200.0)),
    ];
    Ok(results)
}

/// Tokens a second of streams that go on together, from the first token of the last to begin to the end.
fn decode(engine: &Engine, streams: usize, adapter: Option<&Arc<ServedAdapter>>) -> anyhow::Result<f64> {
    let prompt = engine.base().tokenizer().encode(PROMPT, true)?;
    let mut answers = Vec::new();
    for _ in 0..streams {
        let (send, events) = mpsc::channel();
        let ask = Ask {
            adapter: adapter.cloned(),
            answer_max: TOKENS,
            thoughts: Some(0),
            ..Ask::new(prompt.clone(), Sampling::GREEDY)
        };
        engine.ask(ask, Box::new(send))?;
        answers.push(events);
    }
    let mut firsts = Vec::new();
    let mut threads = Vec::new();
    for events in answers {
        threads.push(std::thread::spawn(move || {
            let (mut first, mut tokens) = (None, 0);
            for event in events {
                match event {
                    Event::Piece { tokens: more, .. } => {
                        first.get_or_insert_with(Instant::now);
                        tokens += more.len();
                    }
                    Event::End { .. } => break,
                    Event::Prompt { .. } | Event::Failed { .. } => {}
                }
            }
            (first, tokens, Instant::now())
        }));
    }
    let (mut written, mut end) = (0, None);
    for thread in threads {
        let (first, tokens, ended) = thread.join().map_err(|_| anyhow::anyhow!("a listener panicked"))?;
        if tokens < TOKENS / 2 {
            anyhow::bail!("the model wrote {tokens} tokens only, too few to measure");
        }
        firsts.extend(first);
        written += tokens - 1;
        end = end.max(Some(ended));
    }
    let begun = firsts.into_iter().min().context("nothing was written")?;
    let end = end.context("nothing has ended")?;
    Ok(written as f64 / (end - begun).as_secs_f64())
}

fn decode_by_llama(python: &Path, model: &Path, streams: usize) -> anyhow::Result<f64> {
    let mut command = Command::new(python);
    command.args(["-c", SCRIPT]).arg(model);
    command.args([THREADS.to_string(), streams.to_string(), PROMPT.to_owned(), TOKENS.to_string()]);
    let output = command.output().context("llama.cpp's process cannot be started")?;
    if !output.status.success() {
        anyhow::bail!("llama.cpp's process ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let said: Said = serde_json::from_slice(&output.stdout)?;
    Ok(said.tokens as f64 / said.seconds)
}

/// A python that has llama-cpp-python; the sentence says why there is none.
fn python(install: bool) -> Result<PathBuf, String> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/attestune"));
    let cache = std::env::var_os("ATTESTUNE_CACHE").map(PathBuf::from).or_else(home).ok_or("HOME is not set")?;
    let folder = cache.join("venv-llama");
    let python = folder.join("bin/python");
    let has_it = || Command::new(&python).args(["-c", "import llama_cpp"]).output().is_ok_and(|o| o.status.success());
    if has_it() {
        return Ok(python);
    }
    if !install {
        return Err(format!("{PACKAGE} is not in {}; --install builds it there", folder.display()));
    }
    let bar = wait::bar("building llama.cpp (some minutes)");
    let run = |command: &mut Command| match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            Err(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("no reason given").to_owned())
        }
        Err(error) => Err(error.to_string()),
    };
    let outcome = run(Command::new("python3").args(["-m", "venv"]).arg(&folder))
        .and_then(|()| run(Command::new(&python).args(["-m", "pip", "install", "--quiet", PACKAGE, "numpy"])));
    bar.finish_and_clear();
    match outcome {
        Ok(()) if has_it() => Ok(python),
        Ok(()) => Err(format!("{PACKAGE} was installed, but can't be imported")),
        Err(why) => Err(format!("{PACKAGE} could not be installed: {why}")),
    }
}

/// An adapter as training makes it: after one step.
fn adapter(model: &Path) -> anyhow::Result<Adapter> {
    let base = BaseModel::load(model)?;
    let examples = [TrainExample { prompt: "Ticket: my card is gone\nIntent:".into(), answer: " card_lost".into() }];
    let config = TrainConfig { epochs: 1, threads: THREADS as u32, ..TrainConfig::default() };
    Ok(train(&base, &examples, &config, |_| ControlFlow::Continue(()))?.adapter)
}

/// Milliseconds from an adapter in the vault, as a server has it when the log names it, to one that can be asked.
async fn switch(engine: &Engine, adapter: &Adapter) -> anyhow::Result<Vec<f64>> {
    let folder = temporary_folder()?;
    let vault = Vault::open_folder(folder.path()).await?;
    let bytes = adapter.packed_bytes();
    let digest = Digest::of(&bytes);
    let sealed = vault.seal(&[bytes]).await?;
    let mut times = Vec::new();
    for _ in 0..SWITCHES {
        let begun = Instant::now();
        let bytes = vault.open_one(&sealed.pack, &sealed.items[0].commitment).await?;
        if Digest::of(&bytes) != digest {
            anyhow::bail!("the vault gave back another adapter");
        }
        let served = engine.base().adapter(&Adapter::from_packed(&bytes)?)?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        drop(served);
    }
    Ok(times)
}
