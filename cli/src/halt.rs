//! `attestune halt`: a model is served no more.

use crate::{context::Context, output, served, words::ReasonArg};
use attestune_proto::v1::{RollbackReason, ServingHalted, event::Body};
use std::time::Duration;

#[derive(clap::Args)]
pub struct Args {
    /// The model
    model: String,
    /// Only this version: the challenger, or the one in force
    #[arg(long)]
    version: Option<u32>,
    /// Why
    #[arg(long, value_enum)]
    reason: ReasonArg,
    /// Return when every live server has confirmed, and say how long that took
    #[arg(long)]
    wait: bool,
}

/// How long to wait for servers.
const WAIT: Duration = Duration::from_secs(300);

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect_as_actor().await?;
    let reason = RollbackReason::from(args.reason).into();
    let body = ServingHalted { model: args.model.clone(), reason, version: args.version };
    let receipt = session.act(Body::ServingHalted(body)).await?;
    let said = match args.version {
        Some(version) => format!("{}@{version} is halted", args.model),
        None => format!("{} is halted", args.model),
    };
    // In JSON there is one answer: with --wait it has the receipt in it.
    if !(context.json && args.wait) {
        output::receipt(context.json, &receipt, &said)?;
    }
    if args.wait {
        served::wait(context, &session, &args.model, &receipt, args.version.is_some(), WAIT).await?;
    }
    Ok(())
}
