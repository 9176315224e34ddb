//! `attestune up`: everything in one process, until it is told to stop.

use crate::{
    context::{Context, Signer},
    cosigned::LogArgs,
    device::DeviceArgs,
    init,
    local::Local,
    problem,
    running::{Signals, failed},
    serving::{self, ServeArgs},
    vault,
};
use attestune_gateway::Gateway;
use std::net::SocketAddr;
use tokio::sync::watch;

#[derive(clap::Args)]
pub struct Args {
    /// Where programs reach it by TCP; loopback only, as it is plain text
    #[arg(long, default_value = "127.0.0.1:7400", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Serve on the folder's Unix socket only
    #[arg(long, conflicts_with = "listen")]
    no_tcp: bool,
    /// Where the texts lie, file:///PATH or s3://BUCKET/PREFIX; noted, so that later commands find them
    #[arg(long, env = "ATTESTUNE_VAULT", value_name = "URL")]
    vault: Option<String>,
    /// Run no workers
    #[arg(long)]
    no_workers: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    serve: ServeArgs,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let device = args.device.open()?;
    let folder = context.folder();
    let ledger = folder.ledger()?;
    if init::is_served(&folder).await {
        return Err(problem::cannot(
            format!("an `attestune up` serves {} already", folder.path().display()),
            "use it: every command with this --folder goes there",
        ));
    }
    if !args.no_tcp && !args.listen.ip().is_loopback() {
        return Err(problem::cannot(
            format!("{} is not a loopback address, and TLS is not there yet", args.listen),
            "listen on 127.0.0.1 and put a TLS proxy before it",
        ));
    }
    let signals = Signals::listen()?;
    if let Some(url) = &args.vault {
        vault::note(&folder, url).await?;
    }
    let local = Local::open(&folder, Some(ledger.id()?)).await?;
    let signer = Signer { actor: local.gateway.actor.clone(), key: local.gateway.key.clone() };
    let serving = args.serve.start(&local.replica, &local.vault, &signer, folder.model_paths()?)?;
    let log = args.log.pages(&local.replica)?;
    let gateway = Gateway { serving: serving.clone(), log, ..local.gateway.clone() };

    let (stop, stopped) = watch::channel(false);
    let mut servers = tokio::task::JoinSet::new();
    let _ = std::fs::remove_file(folder.socket()); // left by a process that was killed; nobody answered there
    servers.spawn(attestune_gateway::serve_uds(gateway.clone(), folder.socket(), stopped.clone()));
    if !args.no_tcp {
        servers.spawn(attestune_gateway::serve_tcp(gateway.clone(), args.listen, stopped));
    }
    drop(gateway); // what it holds must be free before the folder can be closed
    let working = if args.no_workers { None } else { Some(local.work(&device)?) };

    eprintln!("ledger {} is up at position {}", ledger.name, local.replica.position());
    eprintln!("  socket {}", folder.socket().display());
    if !args.no_tcp {
        eprintln!("  gRPC   http://{}", args.listen);
        eprintln!("  pages  http://{}/", args.listen);
        if serving.is_some() {
            eprintln!("  OpenAI http://{}/v1", args.listen);
        }
    }
    let failure = tokio::select! {
        () = signals.come() => None,
        ended = servers.join_next() => Some(ended),
        why = failed(&local.replica) => return Err(problem::cannot(format!("the replica stopped: {why}"), "keep the folder as it is and run `attestune doctor`")),
    };
    eprintln!("stopping");
    stop.send_replace(true);
    if let Some(working) = working {
        working.stop().await;
    }
    while servers.join_next().await.is_some() {}
    serving::stop(serving).await?;
    let _ = std::fs::remove_file(folder.socket());
    local.close().await?;
    match failure {
        Some(Some(Ok(Err(error)))) => Err(anyhow::Error::new(error)),
        Some(Some(Err(error))) => Err(anyhow::Error::new(error)),
        _ => Ok(()),
    }
}
