//! `attestune clock`: the ledger's time, set anew after a clock had jumped ahead.

use crate::{
    context::{Context, Signer},
    output,
    session::now_ms,
};
use attestune_proto::v1::{ClockCorrected, event::Body};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Set the ledger's time anew; ends open promotions and leases; signed by as many root keys as the threshold
    Correct {
        /// The right time, such as 2026-05-03T09:00:00Z; without it this machine's
        #[arg(long, value_parser = output::parse_time, value_name = "TIME")]
        to: Option<u64>,
        /// Further root signers, ACTOR or ACTOR=KEYFILE
        #[arg(long = "with", value_name = "ACTOR")]
        others: Vec<String>,
    },
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    let Command::Correct { to, others } = command;
    let others: Vec<Signer> = others.iter().map(|other| context.other_signer(other)).collect::<Result<_, _>>()?;
    let time_ms = to.unwrap_or_else(now_ms);
    let body = Body::ClockCorrected(ClockCorrected { time_ms });
    let receipt = context.connect_as_actor().await?.act_with(body, None, &others).await?;
    output::receipt(context.json, &receipt, &format!("the ledger's time is set to {}", output::time(time_ms)))
}
