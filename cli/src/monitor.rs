//! `attestune monitor`: tells a person of every event under a key of theirs, wanted or not.
//!
//! It believes no server: every entry is hashed here, each checkpoint must extend the one before, and an event counts
//! as signed by the key only if its signature holds. Where it stood is kept in a file, so that it tells of each once.

use crate::{context::Context, context::load_key, output, problem, session::Session};
use anyhow::Context as _;
use attestune_ledger::{
    draft::{kind, plain},
    envelope::{fit_key, keyid, verify},
    query::summary,
    refusal::printable,
    rules::{decode::decode, entry_leaf},
    time::iso,
    tree::{Checkpoint, Frontier, VerifierKey},
};
use attestune_proto::v1::{CheckpointRequest, Decided, Event, SubscribeRequest, Verdict};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// How often new entries are looked for.
const EVERY: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub struct Args {
    /// The public key that is watched, in hex; without it that of --key FILE, or of --as ACTOR
    #[arg(long = "public-key", value_name = "HEX")]
    public: Option<String>,
    /// Where it notes how far it has looked; made anew if it is not there
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The verifier key that checkpoints must be signed by, known from outside; else that of the folder
    #[arg(long, value_name = "VKEY")]
    log: Option<VerifierKey>,
    /// Go on with new entries
    #[arg(long)]
    follow: bool,
}

/// How far was looked: the tree whose every entry was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    origin: String,
    keyid: String,
    size: u64,
    root: String,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let public = match &args.public {
        Some(public) => hex::decode(public).context("--public-key is not hex")?,
        None => match context.key_file() {
            Some(path) => load_key(&path)?.public().to_vec(),
            None => context.signer()?.key.public().to_vec(),
        },
    };
    let public: [u8; 32] = fit_key(&public).map(|key| key.to_bytes()).ok_or_else(|| {
        problem::cannot("the key to watch is no public key", "64 hex digits, as `key list --json` shows them")
    })?;
    let session = context.connect().await?;
    let mut watch = Watch::open(context, &session, args, public).await?;
    loop {
        watch.advance(context, &session).await?;
        if !args.follow {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
    }
}

struct Watch<'a> {
    log: VerifierKey,
    keyid: String,
    public: [u8; 32],
    tree: Frontier,
    state: Option<&'a Path>,
    /// The tree that an earlier run has seen, until it is reached again.
    before: Option<Seen>,
    told: u64,
}

impl<'a> Watch<'a> {
    async fn open(context: &Context, session: &Session, args: &'a Args, public: [u8; 32]) -> anyhow::Result<Self> {
        let log = match &args.log {
            Some(log) => log.clone(),
            None => known_log(context, session).await?,
        };
        let keyid = keyid(&public);
        let before = match &args.state {
            Some(path) if path.exists() => {
                let seen: Seen = serde_json::from_slice(&std::fs::read(path)?).map_err(|error| {
                    problem::cannot(format!("{}: {error}", path.display()), "it is no state of `attestune monitor`")
                })?;
                if seen.origin != log.name().as_str() || seen.keyid != keyid {
                    return Err(problem::cannot(
                        format!("{} is of key {} in {}", path.display(), seen.keyid, seen.origin),
                        "name another file with --state",
                    ));
                }
                Some(seen)
            }
            _ => None,
        };
        Ok(Self { log, keyid, public, tree: Frontier::new(), state: args.state.as_deref(), before, told: 0 })
    }

    /// Looks at what is new, up to a checkpoint that is signed and fits.
    async fn advance(&mut self, context: &Context, session: &Session) -> anyhow::Result<()> {
        let signed = session.log().checkpoint(CheckpointRequest { verdicts: false }).await?.into_inner();
        let checkpoint = Checkpoint::open(&signed.note, &self.log)
            .map_err(|error| alarm(format!("the checkpoint that the server shows does not hold: {error}")))?;
        if checkpoint.size < self.tree.size() || self.before.as_ref().is_some_and(|seen| checkpoint.size < seen.size) {
            return Err(alarm("the log has become shorter: entries that were shown are gone".into()));
        }
        let from = self.tree.size();
        let mut entries = session.log().subscribe(SubscribeRequest { from, to_end: true }).await?.into_inner();
        while self.tree.size() < checkpoint.size {
            let decided = entries.message().await?.context("the log ended before its checkpoint's size")?;
            let position = self.tree.size();
            self.tree.push(entry_leaf(decided.time_ms, &decided.envelope));
            let is_new = self.before.as_ref().is_none_or(|seen| position >= seen.size);
            if let Some(seen) = self.before.take_if(|seen| seen.size == self.tree.size())
                && seen.root != self.tree.root().to_string()
            {
                return Err(alarm(format!("the first {} entries are not those that were shown before", seen.size)));
            }
            if is_new && let Some(event) = self.signed(&decided) {
                self.tell(context, &decided, &event);
            }
        }
        if self.tree.root() != checkpoint.root {
            return Err(alarm(format!("the first {} entries are not those of the checkpoint", checkpoint.size)));
        }
        self.note()
    }

    /// The event, if the key has signed it, or names its keyid without having signed it.
    fn signed(&self, decided: &Decided) -> Option<(Event, bool)> {
        let decoded = decode(&decided.envelope).ok()?;
        let index = decoded.envelope.signatures.iter().position(|s| s.keyid == self.keyid)?;
        let holds = verify(&decoded.envelope, &self.public, index);
        Some((decoded.event, holds))
    }

    fn tell(&mut self, context: &Context, decided: &Decided, (event, holds): &(Event, bool)) {
        self.told += 1;
        let body = event.body.as_ref();
        let what = body.map_or_else(|| "an event of a kind not known here".into(), summary);
        let verdict = decided.verdict();
        if context.json {
            let json = serde_json::json!({
                "position": decided.position, "time_ms": decided.time_ms, "actor": event.actor, "keyid": self.keyid,
                "kind": body.map_or_else(String::new, |body| plain(kind(body).as_str_name(), "KIND_")),
                "summary": what, "verdict": output::verdict(verdict), "signature_holds": holds,
                "claimed_at_ms": event.claimed_at_ms,
            });
            println!("{json}");
            return;
        }
        let judged = match verdict {
            Verdict::Refused => {
                format!("refused, {}", decided.refusal.as_ref().map_or("", |refusal| refusal.code.as_str()))
            }
            verdict => output::verdict(verdict),
        };
        let forged = if *holds { "" } else { "  THE SIGNATURE IS NOT THIS KEY'S" };
        println!(
            "{:>6}  {}  {judged:<10}  {} {what}{forged}",
            decided.position,
            iso(decided.time_ms),
            printable(&event.actor)
        );
    }

    fn note(&self) -> anyhow::Result<()> {
        let Some(path) = self.state else { return Ok(()) };
        let seen = Seen {
            origin: self.log.name().to_string(),
            keyid: self.keyid.clone(),
            size: self.tree.size(),
            root: self.tree.root().to_string(),
        };
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, serde_json::to_vec_pretty(&seen)?)
            .with_context(|| format!("cannot write {}", fresh.display()))?;
        std::fs::rename(&fresh, path).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The verifier key by what the folder is pinned to; a server elsewhere is believed once, and that is said.
async fn known_log(context: &Context, session: &Session) -> anyhow::Result<VerifierKey> {
    let signed = session.log().checkpoint(CheckpointRequest { verdicts: false }).await?.into_inner();
    let key: VerifierKey = signed.verifier_key.parse()?;
    if context.server().is_none() {
        let ledger = context.folder().ledger()?;
        if ledger.checkpoint_key != hex::encode(key.key().to_bytes()) {
            return Err(alarm("the server's checkpoint key is not the one in ledger.json".into()));
        }
        return Ok(key);
    }
    eprintln!("the log's key is the server's word: name the one that you know with --log {key}");
    Ok(key)
}

fn alarm(what: String) -> anyhow::Error {
    problem::no(
        what,
        "keep everything as it is, and tell the others who hold checkpoints of this log: it may show two histories",
    )
}
