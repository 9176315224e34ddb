//! `attestune rollback`: back to a version that was in force.

use crate::{context::Context, output, problem, promote};
use attestune_proto::v1::{RollbackReason, RolledBack, event::Body};
use clap::ValueEnum;

#[derive(clap::Args)]
pub struct Args {
    /// The model
    model: String,
    /// The version to go back to
    #[arg(long)]
    to: u32,
    /// The version that is left; the one in force without it
    #[arg(long)]
    from: Option<u32>,
    /// Why
    #[arg(long, value_enum)]
    reason: ReasonArg,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum ReasonArg {
    Quality,
    Safety,
    Compliance,
    Drill,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect_as_actor().await?;
    let from = match args.from {
        Some(from) => from,
        None => promote::in_force(&session, &args.model).await?.ok_or_else(|| {
            problem::cannot(format!("no version of {} is in force", args.model), "there is nothing to roll back from")
        })?,
    };
    let reason = match args.reason {
        ReasonArg::Quality => RollbackReason::Quality,
        ReasonArg::Safety => RollbackReason::Safety,
        ReasonArg::Compliance => RollbackReason::Compliance,
        ReasonArg::Drill => RollbackReason::Drill,
    };
    let body = RolledBack { model: args.model.clone(), from, to: args.to, reason: reason.into() };
    let receipt = session.act(Body::RolledBack(body)).await?;
    let said = format!("{} is rolled back from version {from} to {}", args.model, args.to);
    output::receipt(context.json, &receipt, &said)
}
