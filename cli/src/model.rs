//! `attestune model`: versions that were trained elsewhere.

use crate::{base, context::Context, output, session::list};
use anyhow::Context as _;
use attestune_proto::v1::{ModelRegistered, event::Body};
use attestune_trainer::{adapter::Adapter, digest::Digest};
use std::path::PathBuf;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Register an adapter that was trained elsewhere as a model's next version; its weights go into the vault
    Register {
        /// The model
        model: String,
        /// The folder that PEFT wrote: adapter_config.json and adapter_model.safetensors
        #[arg(long, value_name = "FOLDER")]
        adapter: PathBuf,
        /// The base model that it was trained on: its name or position
        #[arg(long)]
        base: String,
        /// Where it was trained, such as peft or a team's name; an identifier
        #[arg(long)]
        origin: String,
    },
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    let Command::Register { model, adapter: folder, base, origin } = command;
    let adapter = Adapter::load(folder).with_context(|| format!("no adapter in {}", folder.display()))?;
    // Packed, as nothing on the ledger says how its weights count.
    let packed = adapter.packed_bytes();
    let session = context.connect_as_actor().await?;
    let base = base::find(&session, base).await?;
    let digest = Digest::of(&packed).0;
    let body = ModelRegistered {
        model: model.clone(),
        base: base.position,
        adapter_digest: digest.to_vec(),
        adapter: Some(session.seal_one(packed).await?),
        origin: origin.clone(),
    };
    let receipt = session.act(Body::ModelRegistered(body)).await?;
    let versions = session.registry().list_versions(list(model)).await?.into_inner().versions;
    let version = versions.iter().find(|version| version.position == receipt.position).map_or(0, |v| v.version);
    output::receipt(
        context.json,
        &receipt,
        &format!("{model}@{version} from {origin} is registered, adapter {}", output::short(&digest)),
    )?;
    eprintln!("leakage is not checkable: a gate lets it through only where the policy says `unchecked_leakage: true`");
    Ok(())
}
