//! `attestune witness`: cosigns the checkpoints of logs, each consistent with the one before.

use crate::{context::Context, context::load_key, output, problem, running::Signals};
use anyhow::Context as _;
use attestune_gateway::{Witness, serve_witness};
use attestune_ledger::tree::{Origin, TlogPolicy, VerifierKey};
use std::{net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::sync::watch;

#[derive(clap::Args)]
pub struct Args {
    /// The witness's name, best a URL without scheme, such as witness.example.com/w1
    name: Origin,
    /// A log that is witnessed, by its verifier key (`attestune log checkpoint` prints it); repeat it for several
    #[arg(long = "log", value_name = "VKEY")]
    logs: Vec<VerifierKey>,
    /// The logs of a trust policy (tlog-policy) are witnessed, too
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Where the last checkpoint of each log is kept: never lose it, never share it
    #[arg(long, value_name = "FOLDER")]
    state: PathBuf,
    /// Where it listens; loopback only, put a TLS proxy before it
    #[arg(long, default_value = "127.0.0.1:7480", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Print the witness's verifier key and end
    #[arg(long)]
    show_key: bool,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let key = context.key_file().ok_or_else(|| {
        problem::cannot(
            "no key is named to cosign with",
            "make one: `attestune key new WITNESS --key FILE`, then --key FILE",
        )
    })?;
    let mut logs = args.logs.clone();
    if let Some(path) = &args.policy {
        logs.extend(policy(path)?.logs.into_iter().map(|log| log.key));
    }
    if logs.is_empty() && !args.show_key {
        return Err(problem::cannot("no log is named to witness", "--log VKEY, or --policy FILE"));
    }
    let count = logs.len();
    let witness = Witness::new(args.name.clone(), load_key(&key)?, logs, args.state.clone())
        .with_context(|| format!("cannot keep anything in {}", args.state.display()))?;
    let verifier_key = witness.verifier_key()?.to_string();
    if args.show_key {
        if context.json {
            return output::value(&serde_json::json!({ "verifier_key": verifier_key }));
        }
        println!("{verifier_key}");
        return Ok(());
    }
    let signals = Signals::listen()?;
    let (stop, stopped) = watch::channel(false);
    let mut serving = tokio::spawn(serve_witness(Arc::new(witness), args.listen, stopped));
    eprintln!("witness {} of {count} logs: http://{}/add-checkpoint", args.name, args.listen);
    eprintln!("  its verifier key: {verifier_key}");
    tokio::select! {
        () = signals.come() => stop.send_replace(true),
        ended = &mut serving => return Ok(ended??),
    };
    Ok(serving.await??)
}

/// Reads a trust policy.
///
/// # Errors
/// If it can't be read or is none; the line is named.
pub fn policy(path: &std::path::Path) -> anyhow::Result<TlogPolicy> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().map_err(|error: attestune_ledger::tree::PolicyError| {
        problem::cannot(format!("{}: {error}", path.display()), "docs/tlog.md shows one, line by line")
    })
}
