//! `attestune log restore`: a log moved between a folder and Kafka, or a lost topic rebuilt from a replica.
//!
//! Times, leaves and proofs stay: the tree heads are compared before anything counts as done.

use crate::{
    context::{Context, load_key},
    folder::{Folder, LedgerFile},
    kafka_args::KafkaArgs,
    local::open_store,
    output, problem, wait,
};
use anyhow::Context as _;
use attestune_ledger::{
    envelope::SigningKey,
    log::{Copied, EventLog as _, Kafka, KafkaConfig, kafka},
    replica::{Replica, ReplicaOptions},
    state::Ledgers,
    store::{Options, Store},
};
use attestune_proto::v1::{HeadResponse, LedgerRow};
use std::{path::PathBuf, sync::Arc, time::Duration};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    kafka: KafkaArgs,
    /// From the topic into this folder, whose own log it becomes; without it the log in --folder goes into a fresh
    /// topic, which the folder follows from then on
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
}

/// The log that was moved, and what it is now.
struct Moved {
    head: HeadResponse,
    to: String,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let (folder, into, kafka) = (context.folder(), args.into.clone(), args.kafka.clone());
    let moved = tokio::task::spawn_blocking(move || match into {
        Some(into) => into_folder(&Folder::new(&into), kafka.config()?),
        None => into_topic(&folder, &kafka),
    })
    .await??;
    if context.json {
        return output::value(&serde_json::json!({
            "to": moved.to,
            "head": crate::json::message("HeadResponse", &moved.head)?,
        }));
    }
    println!("{} entries are in {}", moved.head.size, moved.to);
    println!("  entries   {}", hex::encode(&moved.head.entry_root));
    println!("  verdicts  {}", hex::encode(&moved.head.verdict_root));
    Ok(())
}

/// The folder's log, its own or the copy of a topic that was lost, goes into a fresh topic.
fn into_topic(folder: &Folder, args: &KafkaArgs) -> anyhow::Result<Moved> {
    let config = args.config()?;
    let ledger = folder.ledger()?;
    // Before anything is written: what can't be noted is not followed.
    args.to_note()?;
    let checkpoint_key = own_key(folder, "checkpoint")?;
    let store = open_store(folder)?;
    // Folded first: a log that is damaged or has lost its end is not spread.
    let (head, _) = fold(&store, checkpoint_key, Some(ledger.id()?))?;
    let source = Copied::open(store.clone())?;
    let bar = wait::bar("writing");
    bar.set_length(head.size);
    let restored = kafka::restore(&source, &config, &mut |entries| bar.set_position(entries))?;
    bar.finish_and_clear();
    if restored.root.0.as_slice() != head.entry_root {
        return Err(problem::cannot(
            format!("the topic `{}` holds another tree than {}", config.topic(), folder.path().display()),
            "delete the topic; the folder is as it was",
        ));
    }
    kafka::follow(&store, &config)?;
    folder.note_kafka(Some(args))?;
    eprintln!("{} follows the topic from now on: its kafka.json says where", folder.path().display());
    Ok(Moved { head, to: format!("the topic {} at {}", config.topic(), config.brokers()) })
}

/// The topic's log becomes a folder's own.
fn into_folder(folder: &Folder, config: KafkaConfig) -> anyhow::Result<Moved> {
    if folder.db().exists() {
        return Err(problem::cannot(
            format!("there is a log in {} already", folder.path().display()),
            "name another folder with --into: a log is never overwritten",
        ));
    }
    std::fs::create_dir_all(folder.path())
        .with_context(|| format!("cannot make the folder {}", folder.path().display()))?;
    let outcome = copy(folder, config);
    if outcome.is_err() {
        // It held nothing before.
        let _ = std::fs::remove_dir_all(folder.db());
    }
    let (head, file) = outcome?;
    folder.note_kafka(None)?;
    if !folder.exists() {
        folder.begin(&file)?;
        folder.finish()?;
        eprintln!("Copy keys/, server/ and vault/ of the ledger's folder to {}, too.", folder.path().display());
    }
    Ok(Moved { head, to: folder.path().display().to_string() })
}

fn copy(folder: &Folder, config: KafkaConfig) -> anyhow::Result<(HeadResponse, LedgerFile)> {
    let pin = if folder.exists() { Some(folder.ledger()?.id()?) } else { None };
    let topic = config.topic().to_owned();
    let store = Store::open(folder.db(), &Options::default())?;
    let log = Kafka::open(store.clone(), config)?;
    let bar = wait::bar("reading");
    bar.set_length(log.standing().end_offset.unsigned_abs());
    while !log.caught_up()? {
        bar.set_position(log.wait_past(log.end()?, Duration::from_millis(200))?);
    }
    bar.finish_and_clear();
    drop(log);
    let (head, row) = fold(&store, own_key(folder, "checkpoint")?, pin)
        .with_context(|| format!("the topic `{topic}` can't be folded"))?;
    let checkpoint_key = row.map(|row| hex::encode(row.checkpoint_key)).unwrap_or_default();
    kafka::leave(&store)?;
    Ok((head.clone(), LedgerFile { name: head.name, ledger: hex::encode(head.ledger), checkpoint_key }))
}

/// Folds what the store's log holds, and checks it against pin and signed head; answers the ledger's row, too.
pub fn fold(
    store: &Arc<Store>,
    checkpoint_key: Option<SigningKey>,
    pin: Option<[u8; 32]>,
) -> anyhow::Result<(HeadResponse, Option<LedgerRow>)> {
    let log = Arc::new(Copied::open(store.clone())?);
    let replica = Replica::open(store.clone(), log, ReplicaOptions { checkpoint_key, pin })?;
    let (head, row) = (replica.head(), replica.view().view().get(&Ledgers::key()));
    replica.shut_down();
    Ok((head?, row))
}

/// A key of the folder's server, if it is there.
pub fn own_key(folder: &Folder, name: &str) -> anyhow::Result<Option<SigningKey>> {
    let path = folder.server_key(name);
    if path.exists() { Ok(Some(load_key(&path)?)) } else { Ok(None) }
}
