//! `attestune doctor`: what is wrong, and what to do about it.

use crate::{
    connect,
    context::Context,
    doctor_kafka,
    kafka_args::KafkaArgs,
    local::{open_replica, open_store},
    output, problem,
};
use attestune_ledger::{
    replica::{ReplicaError, drop_state},
    store::first_unreadable_entry,
};
use attestune_proto::v1::{Check, DoctorRequest, DoctorResponse};

#[derive(clap::Args)]
pub struct Args {
    /// Read every entry again and compare it with the tree
    #[arg(long)]
    deep: bool,
    /// Throw the state and the trees away and fold them anew from the log
    #[arg(long, conflicts_with = "deep")]
    drop_state: bool,
    /// Look at the ledger's topic and its brokers on Kafka instead of the folder
    #[command(flatten)]
    kafka: KafkaArgs,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    if args.drop_state {
        return drop(context).await;
    }
    if args.kafka.given() {
        return report(context, &doctor_kafka::examine(args.kafka.config()?).await?);
    }
    let checks = match context.connect().await {
        Ok(session) => session.admin().doctor(DoctorRequest { deep: args.deep }).await?.into_inner(),
        Err(error) if context.server().is_none() && context.folder().exists() => {
            DoctorResponse { checks: vec![closed(context, &error).await?] }
        }
        Err(error) => return Err(error),
    };
    report(context, &checks)
}

fn report(context: &Context, checks: &DoctorResponse) -> anyhow::Result<()> {
    if context.json {
        output::message("DoctorResponse", checks)?;
    } else {
        for check in &checks.checks {
            println!("{}  {}: {}", if check.ok { "✓ ok   " } else { "✗ wrong" }, check.name, check.detail);
            if !check.ok {
                println!("         {}", check.remedy);
            }
        }
    }
    match checks.checks.iter().filter(|check| !check.ok).count() {
        0 => Ok(()),
        wrong => Err(problem::no(format!("{wrong} of {} checks failed", checks.checks.len()), "")),
    }
}

/// Why the folder does not open, and from where on its log can't be read.
async fn closed(context: &Context, error: &anyhow::Error) -> anyhow::Result<Check> {
    let db = context.folder().db();
    let unreadable = tokio::task::spawn_blocking(move || first_unreadable_entry(db)).await?;
    let detail = match unreadable {
        Ok(Some(at)) => format!("{error:#}; the log cannot be read from position {at} on"),
        Ok(None) => format!("{error:#}; every entry of the log can be read"),
        Err(_) => format!("{error:#}"),
    };
    let remedy = "keep the folder as it is; on a copy, `attestune doctor --drop-state` helps where only the state is damaged; \
                  a damaged log comes back from a backup, an export or another replica";
    Ok(Check { name: "the folder opens".into(), ok: false, detail, remedy: remedy.into() })
}

async fn drop(context: &Context) -> anyhow::Result<()> {
    let folder = context.folder();
    let ledger = folder.ledger()?;
    if connect::running(&folder).await.is_some() {
        return Err(problem::cannot("an `attestune up` serves this folder", "stop it first"));
    }
    let checkpoint_key = crate::context::load_key(&folder.server_key("checkpoint"))?;
    let head = tokio::task::spawn_blocking(move || {
        let store = open_store(&folder)?;
        drop_state(&store)?;
        std::mem::drop(store);
        let replica = open_replica(&folder, Some(checkpoint_key), Some(ledger.id()?))?;
        let head = replica.head();
        replica.shut_down();
        match head {
            Err(ReplicaError::NoLedger) => {
                Err(problem::cannot("the log is empty", "create a ledger: `attestune init NAME`"))
            }
            head => Ok(head?),
        }
    })
    .await??;
    if context.json {
        return output::message("HeadResponse", &head);
    }
    println!("{} entries folded anew", head.size);
    println!("  entries   {}", hex::encode(&head.entry_root));
    println!("  verdicts  {}", hex::encode(&head.verdict_root));
    Ok(())
}
