//! `attestune token`: an access token for other gRPC clients.

use crate::{context::Context, output, problem, session};

#[derive(clap::Args)]
pub struct Args {
    /// Minutes that it shall be good for, 60 at most
    #[arg(long, default_value_t = 15)]
    minutes: u64,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    if args.minutes == 0 || args.minutes > 60 {
        return Err(problem::cannot("a token is good for 1 to 60 minutes", "sign another one when it has run out"));
    }
    let session = context.connect_as_actor().await?;
    // A second less than asked, as the server's clock may lag behind this one.
    let good_ms = args.minutes * 60_000 - 1_000;
    let token = session::token(session.signer()?, session.ledger_id(), good_ms);
    if context.json {
        return output::value(
            &serde_json::json!({ "authorization": format!("Bearer {token}"), "minutes": args.minutes }),
        );
    }
    println!("{token}");
    eprintln!(
        "use it as gRPC metadata, `authorization: Bearer TOKEN`; whoever has it reads as {}",
        session.signer()?.actor
    );
    Ok(())
}
