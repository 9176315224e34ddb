//! `attestune init`: a new ledger.

use crate::{
    connect,
    context::{Context, Signer},
    folder::{Folder, LedgerFile, WORKERS},
    kafka_args::KafkaArgs,
    local::Local,
    output, policy_yaml, problem,
    session::{Session, accepted, now_ms},
};
use anyhow::Context as _;
use attestune_ledger::{
    draft::draft,
    envelope::{SigningKey, ledger_id},
    keyfile::KeyFile,
    log::kafka::{self, KafkaConfig, KafkaError, Stamp},
    rules::RULES_VERSION,
    store::{Options, Store, StoreError},
};
use attestune_proto::v1::{
    ActorKind, AppendRequest, KeyAlgorithm, KeyCustody, KeyRegistered, LedgerCreated, Policy, Receipt, Role,
    RoleGranted, RootKey, event::Body, ledger_client::LedgerClient,
};
use std::path::PathBuf;
use tonic::transport::Channel;

#[derive(clap::Args)]
pub struct Args {
    /// The ledger's name: a-z, 0-9, dot, underscore, hyphen
    name: String,
    /// A root admin, `ACTOR=Printed Name`; repeat it for each (two at least, so that roles can be granted)
    #[arg(long = "root", required = true, value_parser = root, value_name = "ACTOR=NAME")]
    roots: Vec<(String, String)>,
    /// Signatures that a root event needs
    #[arg(long, default_value_t = 1)]
    threshold: u32,
    /// The first policy, in YAML; without it the default (see `attestune policy default`)
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// With --kafka the log is a topic, named as the ledger unless --ledger says otherwise
    #[command(flatten)]
    kafka: KafkaArgs,
}

impl Args {
    /// Where the log is to be, if on Kafka.
    fn kafka(&self) -> Option<KafkaArgs> {
        self.kafka.given().then(|| self.kafka.clone().or_ledger(&self.name))
    }
}

fn root(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((actor, name)) if !actor.is_empty() && !name.trim().is_empty() => Ok((actor.into(), name.trim().into())),
        _ => Err("write it ACTOR=\"Printed Name\", for instance ada=\"Ada Lovelace\"".into()),
    }
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let folder = context.folder();
    if folder.exists() {
        return Err(problem::cannot(
            format!("there is a ledger in {} already", folder.path().display()),
            "choose another folder with --folder; a ledger is never overwritten",
        ));
    }
    if folder.unfinished() {
        discard(&folder)?;
    } else if folder.db().exists() {
        return Err(problem::cannot(
            format!("there is a log in {}, but no ledger.json", folder.path().display()),
            "restore ledger.json from a backup, or choose another folder with --folder: a log is never overwritten",
        ));
    }
    let policy = match &args.policy {
        Some(path) => policy_yaml::read(path)?,
        None => policy_yaml::default_policy(policy_yaml::DEFAULT_SUITE),
    };
    let mut keys = Keys::default();
    match create(&folder, args, policy, &mut keys).await {
        Ok((id, receipt)) => answer(context, args, &folder, &id, &receipt),
        Err(error) => {
            if let Err(left) = folder.discard_unfinished().and_then(|()| keys.remove()) {
                tracing::warn!("{left:#}; the next `attestune init` with this folder tries again");
            }
            Err(error)
        }
    }
}

/// Key files of a ledger in the making.
#[derive(Default)]
struct Keys {
    /// Made now, and so useless if the ledger does not come about.
    made: Vec<PathBuf>,
}

impl Keys {
    /// A key that was there before (made by hand, or left by an `init` that was killed), or a new one.
    fn make_or_load(&mut self, path: PathBuf) -> anyhow::Result<SigningKey> {
        if path.exists() {
            return crate::context::load_key(&path);
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
        }
        let key = KeyFile::create(&path)?;
        self.made.push(path);
        Ok(key)
    }

    fn remove(&self) -> anyhow::Result<()> {
        for path in &self.made {
            std::fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }
}

/// Removes what an `init` left that was cut short, unless it is still at work.
fn discard(folder: &Folder) -> anyhow::Result<()> {
    if let Err(error @ StoreError::LockedByAnother { .. }) = Store::open(folder.db(), &Options::default()) {
        return Err(problem::cannot(error.to_string(), "another `attestune init` is at work there: wait for it"));
    }
    eprintln!(
        "an earlier init in {} did not finish: it begins anew, with the keys that it made",
        folder.path().display()
    );
    folder.discard_unfinished()
}

/// Creates keys, log and the server's own actors. The ledger is there once the last step is done.
async fn create(folder: &Folder, args: &Args, policy: Policy, keys: &mut Keys) -> anyhow::Result<([u8; 32], Receipt)> {
    let roots = root_signers(folder, args, keys)?;
    let gateway = keys.make_or_load(folder.server_key("gateway"))?;
    let checkpoint = keys.make_or_load(folder.server_key("checkpoint"))?;
    let genesis = genesis(args, &roots, policy, &checkpoint);
    let id = ledger_id(&genesis);
    folder.begin(&LedgerFile {
        name: args.name.clone(),
        ledger: hex::encode(id),
        checkpoint_key: hex::encode(checkpoint.public()),
    })?;

    let topic = topic(folder, args).await?;
    let begun = begin(folder, id, genesis, &roots, &gateway, keys).await;
    if let (Err(_), Some(Topic { config, made: true })) = (&begun, topic) {
        tokio::task::spawn_blocking(move || kafka::delete(&config))
            .await?
            .unwrap_or_else(|error| tracing::warn!(%error, "the new topic is left: delete it before the next try"));
    }
    let receipt = begun?;
    folder.finish()?;
    Ok((id, receipt))
}

/// A new ledger's topic.
struct Topic {
    config: KafkaConfig,
    /// It was not there before.
    made: bool,
}

/// Makes the ledger's topic if it is to be on Kafka, and notes that in the folder. One that was made by hand will do if
/// it is empty.
async fn topic(folder: &Folder, args: &Args) -> anyhow::Result<Option<Topic>> {
    let Some(kafka) = args.kafka() else { return Ok(None) };
    let config = kafka.config()?;
    folder.note_kafka(Some(&kafka))?;
    tokio::task::spawn_blocking(move || match kafka::create(&config, Stamp::LogAppendTime) {
        Ok(()) => Ok(Some(Topic { config, made: true })),
        Err(KafkaError::TopicExists { topic }) if kafka::describe(&config)?.end_offset > 0 => Err(problem::cannot(
            format!("the topic `{topic}` at {} holds a log already", config.brokers()),
            "name another with --ledger; if an init that was cut short left it, delete it first",
        )),
        Err(KafkaError::TopicExists { .. }) => Ok(Some(Topic { config, made: false })),
        Err(error) => Err(error.into()),
    })
    .await?
}

/// Opens the folder for the first events. Whatever comes of them: what is kept is on disk, what is removed is closed.
async fn begin(
    folder: &Folder,
    id: [u8; 32],
    genesis: Vec<u8>,
    roots: &[Signer],
    gateway: &SigningKey,
    keys: &mut Keys,
) -> anyhow::Result<Receipt> {
    let local = Local::open(folder, Some(id)).await?;
    let appended = first_events(folder, local.channel.clone(), genesis, roots, gateway, keys).await;
    let closed = local.close().await;
    let receipt = appended?;
    closed?;
    Ok(receipt)
}

/// Appends the first events: the genesis, and the server's own actors with their roles.
async fn first_events(
    folder: &Folder,
    channel: Channel,
    genesis: Vec<u8>,
    roots: &[Signer],
    gateway: &SigningKey,
    keys: &mut Keys,
) -> anyhow::Result<Receipt> {
    let id = ledger_id(&genesis);
    let receipt = LedgerClient::new(channel.clone()).append(AppendRequest { envelope: genesis }).await?;
    let receipt = accepted(receipt.into_inner())?;
    let session = Session::open(channel, roots.first().cloned(), Some(id), None).await?;
    register(&session, "gateway", gateway, ActorKind::Gateway, Role::Gateway).await?;
    for (name, role) in WORKERS.iter().zip([Role::Scanner, Role::Checker, Role::Trainer, Role::Evaluator]) {
        let key = keys.make_or_load(folder.server_key(name))?;
        register(&session, name, &key, ActorKind::Worker, role).await?;
    }
    Ok(receipt)
}

fn root_signers(folder: &Folder, args: &Args, keys: &mut Keys) -> anyhow::Result<Vec<Signer>> {
    if args.threshold == 0 || args.threshold as usize > args.roots.len() {
        return Err(problem::cannot(
            format!("a threshold of {} cannot be met by {} root keys", args.threshold, args.roots.len()),
            "--threshold is 1 to the number of --root",
        ));
    }
    args.roots
        .iter()
        .map(|(actor, _)| Ok(Signer { actor: actor.clone(), key: keys.make_or_load(folder.key(actor))? }))
        .collect()
}

fn genesis(args: &Args, roots: &[Signer], policy: Policy, checkpoint: &SigningKey) -> Vec<u8> {
    let root_keys = roots.iter().zip(&args.roots).map(|(signer, (actor, printed_name))| RootKey {
        actor: actor.clone(),
        printed_name: printed_name.clone(),
        public_key: signer.key.public().to_vec(),
        possession: signer.key.possession(&[], actor).to_vec(),
    });
    let body = LedgerCreated {
        name: args.name.clone(),
        root_keys: root_keys.collect(),
        threshold: args.threshold,
        policy: Some(policy),
        rules_version: RULES_VERSION,
        checkpoint_key: checkpoint.public().to_vec(),
    };
    let (first, others) = roots.split_first().expect("clap requires a root");
    let id = uuid::Uuid::now_v7().into_bytes();
    let event = draft(&[], &first.actor, id, now_ms(), None, Body::LedgerCreated(body));
    let mut envelope = first.key.sign_event(&event);
    for other in others.iter().take(args.threshold as usize - 1) {
        envelope = other.key.cosign(&envelope).expect("each root has a key of its own, and the bytes are an envelope");
    }
    envelope
}

async fn register(session: &Session, actor: &str, key: &SigningKey, kind: ActorKind, role: Role) -> anyhow::Result<()> {
    let body = KeyRegistered {
        actor: actor.into(),
        printed_name: format!("Attestune {actor}"),
        actor_kind: kind.into(),
        algorithm: KeyAlgorithm::Ed25519.into(),
        public_key: key.public().to_vec(),
        possession: key.possession(session.ledger_id(), actor).to_vec(),
        custody: KeyCustody::File.into(),
    };
    session.act(Body::KeyRegistered(body)).await?;
    session.act(Body::RoleGranted(RoleGranted { actor: actor.into(), role: role.into() })).await?;
    Ok(())
}

fn answer(context: &Context, args: &Args, folder: &Folder, id: &[u8; 32], receipt: &Receipt) -> anyhow::Result<()> {
    if context.json {
        return output::value(&serde_json::json!({
            "name": args.name,
            "ledger": hex::encode(id),
            "folder": folder.path(),
            "roots": args.roots.iter().map(|(actor, _)| actor).collect::<Vec<_>>(),
            "receipt": crate::json::message("Receipt", receipt)?,
        }));
    }
    println!("ledger {} created in {}", args.name, folder.path().display());
    println!("  id     {}", hex::encode(id));
    for (actor, name) in &args.roots {
        println!("  admin  {actor} ({name}), key {}", folder.key(actor).display());
    }
    println!("  server gateway, {} are registered", WORKERS.join(", "));
    if let Some(kafka) = args.kafka() {
        let config = kafka.config()?;
        println!("  log    topic {} at {}", config.topic(), config.brokers());
    }
    eprintln!("Note the id outside this machine: it is what an outsider checks the log against.");
    eprintln!("Next: `attestune key new ACTOR`, `key register`, `role grant`; then `ingest`.");
    Ok(())
}

/// Whether an `up` serves the folder, which then must not be opened here.
pub async fn is_served(folder: &Folder) -> bool {
    connect::running(folder).await.is_some()
}
