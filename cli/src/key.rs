//! `attestune key`: keys and the actors that they name.

use crate::{
    context::{Context, load_key},
    draft::Others,
    moment::Moment,
    output, pair, problem,
};
use anyhow::Context as _;
use attestune_ledger::{draft::plain, envelope, keyfile::KeyFile};
use attestune_proto::v1::{
    ActorKind, KeyAlgorithm, KeyCustody, KeyRegistered, KeyRevoked, RevocationReason, Role, event::Body,
};
use clap::{Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Command {
    /// Make a private key, in FOLDER/keys/ACTOR.key or the file of --key
    New {
        /// The actor whose key it shall be
        actor: String,
    },
    /// List actors, their roles and keys
    List {
        #[command(flatten)]
        moment: Moment,
    },
    /// Register an actor's key; signed by an admin (--as)
    Register {
        /// The actor
        actor: String,
        /// The name as it shall be printed
        #[arg(long)]
        name: String,
        /// What the actor is
        #[arg(long, value_enum, default_value = "person")]
        kind: KindArg,
        /// The actor's key file, instead of FOLDER/keys/ACTOR.key
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// The public key in hex, where the private key lies elsewhere
        #[arg(long, requires = "possession", conflicts_with = "key_file")]
        public: Option<String>,
        /// The proof of possession in hex, as `key new` prints it
        #[arg(long, requires = "public")]
        possession: Option<String>,
        #[command(flatten)]
        others: Others,
    },
    /// Register a key that a browser makes and keeps, by a code that is given there once
    Pair(pair::Args),
    /// Revoke a key: it signs nothing more, what it did before stays and is marked
    Revoke {
        /// The key's id
        keyid: String,
        /// Why
        #[arg(long, value_enum)]
        reason: ReasonArg,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub enum KindArg {
    Person,
    Worker,
    Gateway,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum ReasonArg {
    Lost,
    Compromised,
    Superseded,
    Left,
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::New { actor } => new(context, actor),
        Command::List { moment } => list_actors(context, moment).await,
        Command::Register { actor, name, kind, key_file, public, possession, others } => {
            let session = context.connect_as_actor().await?;
            let (public_key, possession) = match (public, possession) {
                (Some(public), Some(possession)) => (
                    hex::decode(public).context("--public is not hex")?,
                    hex::decode(possession).context("--possession is not hex")?,
                ),
                _ => {
                    let path = key_file.clone().unwrap_or_else(|| context.folder().key(actor));
                    let key = load_key(&path)?;
                    (key.public().to_vec(), key.possession(session.ledger_id(), actor).to_vec())
                }
            };
            let keyid = envelope::keyid(&public_key);
            let actor_kind = match kind {
                KindArg::Person => ActorKind::Person,
                KindArg::Worker => ActorKind::Worker,
                KindArg::Gateway => ActorKind::Gateway,
            };
            let body = KeyRegistered {
                actor: actor.clone(),
                printed_name: name.clone(),
                actor_kind: actor_kind.into(),
                algorithm: KeyAlgorithm::Ed25519.into(),
                public_key,
                possession,
                custody: KeyCustody::File.into(),
            };
            let said = format!("key {keyid} of {actor} ({name}) is registered");
            others.act(context, &session, Body::KeyRegistered(body), &said).await
        }
        Command::Pair(args) => pair::run(context, args).await,
        Command::Revoke { keyid, reason } => {
            let reason = match reason {
                ReasonArg::Lost => RevocationReason::Lost,
                ReasonArg::Compromised => RevocationReason::Compromised,
                ReasonArg::Superseded => RevocationReason::Superseded,
                ReasonArg::Left => RevocationReason::Left,
            };
            let session = context.connect_as_actor().await?;
            let body = KeyRevoked { keyid: keyid.clone(), reason: reason.into() };
            let receipt = session.act(Body::KeyRevoked(body)).await?;
            output::receipt(context.json, &receipt, &format!("key {keyid} is revoked"))
        }
    }
}

fn new(context: &Context, actor: &str) -> anyhow::Result<()> {
    let folder = context.folder();
    let path = context.key_file().unwrap_or_else(|| folder.key(actor));
    if path.exists() {
        return Err(problem::cannot(
            format!("{} exists already", path.display()),
            "a key is never overwritten: move it away, or name another file with --key",
        ));
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
    }
    let key = KeyFile::create(&path)?;
    let possession = match folder.ledger() {
        Ok(ledger) => Some(hex::encode(key.possession(&ledger.id()?, actor))),
        Err(_) => None,
    };
    if context.json {
        return output::value(&serde_json::json!({
            "actor": actor,
            "file": path,
            "keyid": key.keyid(),
            "public": hex::encode(key.public()),
            "possession": possession,
        }));
    }
    println!("key {} of {actor} is in {}", key.keyid(), path.display());
    println!("  public      {}", hex::encode(key.public()));
    if let Some(possession) = possession {
        println!("  possession  {possession}");
    }
    eprintln!("Next: an admin registers it: `attestune key register {actor} --name \"Printed Name\" --as ADMIN`");
    Ok(())
}

async fn list_actors(context: &Context, moment: &Moment) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let answer = session.registry().list_actors(moment.list("")).await?.into_inner();
    if context.json {
        return output::message("ListActorsResponse", &answer);
    }
    let rows = answer.actors.iter().map(|actor| {
        let roles: Vec<_> = actor.roles().map(|role: Role| output::role(role)).collect();
        let keys = answer.keys.iter().filter(|key| key.actor == actor.actor).map(|key| match key.revoked_at {
            Some(at) => {
                format!("{} (revoked at {at}: {})", key.keyid, plain(key.reason().as_str_name(), "REVOCATION_REASON_"))
            }
            None => key.keyid.clone(),
        });
        vec![
            actor.actor.clone(),
            actor.printed_name.clone(),
            plain(actor.kind().as_str_name(), "ACTOR_KIND_"),
            if roles.is_empty() { "-".into() } else { roles.join(", ") },
            keys.collect::<Vec<_>>().join(", "),
        ]
    });
    output::table(&["actor", "name", "kind", "roles", "keys"], rows.collect());
    Ok(())
}
