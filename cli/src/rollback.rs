//! `attestune rollback`: back to a version that was in force.

use crate::{context::Context, output, problem, promote, served, words::ReasonArg};
use attestune_proto::v1::{RollbackReason, RolledBack, event::Body};
use std::time::Duration;

#[derive(clap::Args)]
pub struct Args {
    /// The model
    model: String,
    /// The version to go back to
    #[arg(long)]
    to: u32,
    /// The version that is left; the one in force, or in force until a halt, without it
    #[arg(long)]
    from: Option<u32>,
    /// Why
    #[arg(long, value_enum)]
    reason: ReasonArg,
    /// Return when every live server has confirmed, and say how long that took
    #[arg(long)]
    wait: bool,
    /// Wait so many seconds at most
    #[arg(long, default_value_t = 300, requires = "wait", value_name = "SECONDS")]
    wait_at_most: u64,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect_as_actor().await?;
    let from = match args.from {
        Some(from) => from,
        None => promote::to_be_left(&session, &args.model).await?.ok_or_else(|| {
            problem::cannot(format!("no version of {} is in force", args.model), "there is nothing to roll back from")
        })?,
    };
    let reason = RollbackReason::from(args.reason).into();
    let body = RolledBack { model: args.model.clone(), from, to: args.to, reason };
    let receipt = session.act(Body::RolledBack(body)).await?;
    let said = format!("{} is rolled back from version {from} to {}", args.model, args.to);
    // In JSON there is one answer: with --wait it has the receipt in it.
    if !(context.json && args.wait) {
        output::receipt(context.json, &receipt, &said)?;
    }
    if args.wait {
        let limit = Duration::from_secs(args.wait_at_most);
        served::wait(context, &session, &args.model, &receipt, false, limit).await?;
    }
    Ok(())
}
