//! `--serve`: the trainer's engine behind the gateway's API.

use crate::{context::Signer, problem, spread::models_in};
use anyhow::Context as _;
use attestune_gateway::openai;
use attestune_ledger::{replica::Replica, vault::Vault};
use attestune_trainer::{
    adapter::Adapter,
    digest::Digest,
    serve::{self, Engine, Limits, Sampling, ServedAdapter, ServedBase, Thought},
};
use attestune_workers::{BaseModels, WorkerError, adapter_config};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What answers depend on besides what has a digest of its own.
const SETTINGS: [(&str, &str); 3] =
    [("engine", "attestune-1"), ("engine.activations", "8-bit where weights are"), ("engine.cache", "f32")];

#[derive(clap::Args)]
pub struct ServeArgs {
    /// Answer prompts by OpenAI's API, under /v1, with what the log says is in force
    #[arg(long)]
    serve: bool,
    /// Base models that are served, besides those that the folder knows: a folder of GGUF files, or of folders with
    /// safetensors
    #[arg(id = "serve.models", long = "models", value_name = "FOLDER", requires = "serve")]
    models: Option<PathBuf>,
    /// This server's name on the log, one of its own among a gateway's servers; the machine's without it
    #[arg(long, value_name = "NAME", requires = "serve")]
    server_name: Option<String>,
    /// Threads to answer on; as many as there are processors without it
    #[arg(long, value_name = "N", requires = "serve", value_parser = clap::value_parser!(u16).range(1..=1024))]
    serve_threads: Option<u16>,
    /// Memory for the keys and values of all answers under way, MiB
    #[arg(long, value_name = "MIB", requires = "serve", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..))]
    serve_cache: u32,
}

impl ServeArgs {
    /// Starts to serve, if that is asked for; `paths` are base models that are known already.
    ///
    /// # Errors
    /// If the folder of models can't be read, or the name is none.
    pub fn start(
        &self,
        replica: &Arc<Replica>,
        vault: &Arc<Vault>,
        signer: &Signer,
        mut paths: Vec<PathBuf>,
    ) -> anyhow::Result<Option<Arc<openai::Serving>>> {
        if !self.serve {
            return Ok(None);
        }
        if let Some(folder) = &self.models {
            paths.extend(models_in(folder)?);
        }
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => machine_name(),
        };
        if !is_identifier(&name) {
            return Err(problem::cannot(
                format!("`{name}` is no name for a server"),
                "use 1 to 64 of a-z 0-9 . _ -, for instance --server-name server-1",
            ));
        }
        let mut limits = Limits { cache_bytes_max: (self.serve_cache as usize) << 20, ..Limits::default() };
        if let Some(threads) = self.serve_threads {
            limits.threads = threads.into();
        }
        let engines = Bases { models: BaseModels::new(paths), limits, running: Mutex::default() };
        let server = openai::Server { key: signer.key.clone(), actor: signer.actor.clone(), name };
        let serving = openai::Serving::start(replica.clone(), vault.clone(), server, Box::new(engines));
        serving.map(Some).context("cannot start to serve")
    }
}

/// Stops to serve, once nobody is answered any more: what is held goes on the log.
pub async fn stop(serving: Option<Arc<openai::Serving>>) -> anyhow::Result<()> {
    if let Some(serving) = serving {
        tokio::task::spawn_blocking(move || serving.stop()).await?;
    }
    Ok(())
}

/// The machine's name, as far as an identifier can have it.
fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let fit = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c.to_ascii_lowercase() } else { '-' };
    let name: String = name.trim().chars().map(fit).take(64).collect();
    if name.is_empty() { "server".into() } else { name }
}

fn is_identifier(text: &str) -> bool {
    let fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(fit)
}

/// Engines by the digest of their base model's weights; each lives as long as a version on it does.
struct Bases {
    models: BaseModels,
    limits: Limits,
    running: Mutex<HashMap<Digest, Weak<Engine>>>,
}

impl Bases {
    fn engine(&self, weights: &[u8]) -> Result<Arc<Engine>, openai::LoadError> {
        let unfit = |error: &dyn std::fmt::Display| openai::LoadError::Unfit(error.to_string());
        let digest = weights.try_into().map(Digest).map_err(|error| unfit(&error))?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = running.get(&digest).and_then(Weak::upgrade) {
            return Ok(engine);
        }
        let path = self.models.path_of(weights).map_err(|error| match error {
            WorkerError::NoBaseModel { .. } => openai::LoadError::NotHere(error.to_string()),
            other => unfit(&other),
        })?;
        let base = ServedBase::load(&path, digest).map_err(|error| unfit(&error))?;
        let (bytes, kernels) = (base.bytes(), base.kernels());
        let engine = Arc::new(Engine::start(base, self.limits).map_err(|error| unfit(&error))?);
        tracing::info!(weights = %digest, bytes, kernels, threads = self.limits.threads, "a base model is in memory");
        running.retain(|_, engine| engine.strong_count() > 0);
        running.insert(digest, Arc::downgrade(&engine));
        Ok(engine)
    }
}

impl openai::Engines for Bases {
    fn load(&self, source: &openai::Source) -> Result<Arc<dyn openai::Loaded>, openai::LoadError> {
        let unfit = |error: &dyn std::fmt::Display| openai::LoadError::Unfit(error.to_string());
        let engine = self.engine(&source.weights_digest)?;
        let adapter = match &source.hyperparameters {
            Some(hyperparameters) => Adapter::from_bytes(&adapter_config(hyperparameters), &source.adapter),
            None => Adapter::from_packed(&source.adapter),
        };
        let adapter = adapter.and_then(|adapter| engine.base().adapter(&adapter)).map_err(|error| unfit(&error))?;
        Ok(Arc::new(Ready { engine, adapter: Arc::new(adapter) }))
    }
}

/// A version that is ready: an adapter on a running engine.
struct Ready {
    engine: Arc<Engine>,
    adapter: Arc<ServedAdapter>,
}

impl openai::Loaded for Ready {
    fn facts(&self) -> openai::Facts {
        let base = self.engine.base();
        openai::Facts {
            weights_digest: base.weights_digest().0.to_vec(),
            tokenizer_digest: base.tokenizer_digest().0.to_vec(),
            template_digest: base.template().map_or_else(|| Digest::of(b""), |template| template.digest()).0.to_vec(),
            settings: SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        }
    }

    fn tokens_max(&self) -> usize {
        self.engine.tokens_max()
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, openai::AskError> {
        let tokens = self.engine.base().tokenizer().encode(text, true);
        tokens.map_err(|error| openai::AskError::Bad(error.to_string()))
    }

    fn encode_chat(&self, messages: &[openai::Message]) -> Result<Vec<u32>, openai::AskError> {
        let bad = |error: &dyn std::fmt::Display| openai::AskError::Bad(error.to_string());
        let base = self.engine.base();
        let template = base
            .template()
            .ok_or_else(|| bad(&"this model's base has no chat template: send its prompt to /v1/completions"))?;
        let turn = |turn: &openai::Message| serve::Message { role: turn.role.clone(), content: turn.content.clone() };
        let messages: Vec<serve::Message> = messages.iter().map(turn).collect();
        let text = base.render(template, &messages).map_err(|error| bad(&error))?;
        // The template has put the marks that a text begins with.
        base.tokenizer().encode(&text, false).map_err(|error| bad(&error))
    }

    fn ask(&self, ask: openai::Ask) -> Result<UnboundedReceiver<openai::Event>, openai::AskError> {
        let (send, answer) = unbounded_channel();
        let ask = serve::Ask {
            prompt: ask.prompt,
            adapter: Some(self.adapter.clone()),
            sampling: Sampling { temperature: ask.temperature, top_p: ask.top_p, seed: ask.seed },
            answer_max: ask.answer_max,
            stops: ask.stops,
            thoughts: ask.thoughts,
            on_prompt: ask.on_prompt,
        };
        self.engine.ask(ask, Box::new(Ear(send))).map_err(|error| match error {
            serve::AskError::TooLong { prompt, answer, max } => openai::AskError::TooLong { prompt, answer, max },
            serve::AskError::Busy { retry_s, .. } => openai::AskError::Busy { retry_s },
            serve::AskError::Ended => openai::AskError::Failed(error.to_string()),
            serve::AskError::Empty | serve::AskError::NoSuchToken { .. } => openai::AskError::Bad(error.to_string()),
        })?;
        Ok(answer)
    }
}

/// Hands the engine's events on to the gateway.
struct Ear(UnboundedSender<openai::Event>);

impl serve::Listener for Ear {
    fn hear(&mut self, event: serve::Event) -> bool {
        self.0.send(translated(event)).is_ok()
    }

    fn gone(&self) -> bool {
        self.0.is_closed()
    }
}

fn translated(event: serve::Event) -> openai::Event {
    let all = |tokens: Vec<serve::Token>| tokens.into_iter().map(token).collect();
    match event {
        serve::Event::Prompt { tokens } => openai::Event::Prompt(all(tokens)),
        serve::Event::Piece { text, tokens } => openai::Event::Piece { text, tokens: all(tokens) },
        serve::Event::End { why, prompt, answer } => {
            openai::Event::End { stopped: why == serve::End::Stopped, prompt, answer }
        }
        serve::Event::Failed { why } => openai::Event::Failed(why),
    }
}

fn token(token: serve::Token) -> openai::Token {
    let serve::Token { piece, thought, top_pieces, .. } = token;
    let (log_probability, top) = match thought {
        Some(Thought { log_probability, top }) => (Some(log_probability), top),
        None => (None, Vec::new()),
    };
    let top = top_pieces.into_iter().zip(top).map(|(piece, (_, log))| (piece.bytes, log)).collect();
    openai::Token { bytes: piece.bytes, special: piece.special, log_probability, top }
}
