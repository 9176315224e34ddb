//! `attestune clock`: the ledger's time, set anew after a clock had jumped ahead.

use crate::{context::Context, draft::Others, output, session::now_ms};
use attestune_proto::v1::{ClockCorrected, event::Body};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Set the ledger's time anew; ends open promotions and leases; signed by as many root keys as the threshold
    Correct {
        /// The right time, such as 2026-05-03T09:00:00Z; without it this machine's
        #[arg(long, value_parser = output::parse_time, value_name = "TIME")]
        to: Option<u64>,
        #[command(flatten)]
        others: Others,
    },
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    let Command::Correct { to, others } = command;
    let time_ms = to.unwrap_or_else(now_ms);
    let body = Body::ClockCorrected(ClockCorrected { time_ms });
    let session = context.connect_as_actor().await?;
    others.act(context, &session, body, &format!("the ledger's time is set to {}", output::time(time_ms))).await
}
