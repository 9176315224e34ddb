//! `attestune log prove`, `log checkpoint` and `verify --proof`: that one entry stands in the log, as a file.
//!
//! The file is a C2SP tlog-proof@v1 that carries the entry, too: its extra data are the 8 bytes of the entry's time and
//! its value, whose leaf hash the path begins with. So the one file is all that an outsider needs, beside the ledger's
//! id and the checkpoint signer's key.

use crate::{
    context::Context,
    folder::{self, LedgerFile},
    output, problem,
};
use anyhow::Context as _;
use attestune_ledger::{
    draft::{kind, plain},
    envelope::{fit_key, ledger_id},
    log::Entry,
    rules::entry_leaf,
    tree::{Checkpoint, Hash, Origin, TlogProof, VerifierKey},
};
use attestune_proto::v1::{CheckpointRequest, Envelope, Event, InclusionProofRequest, Proof, ReadRequest};
use prost::Message as _;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Args {
    /// The entry's position
    position: u64,
    /// Prove it against this checkpoint, one noted before, instead of a new one
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

/// `attestune log checkpoint`: the log's newest checkpoint, a signed note.
pub async fn checkpoint(context: &Context, verdicts: bool) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let signed = session.log().checkpoint(CheckpointRequest { verdicts }).await?.into_inner();
    if context.json {
        return output::message("SignedCheckpoint", &signed);
    }
    print!("{}", signed.note);
    eprintln!("its verifier key: {}", signed.verifier_key);
    Ok(())
}

/// `attestune log prove`: prints the proof.
pub async fn prove(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let size = session.head().await?.size;
    if args.position >= size {
        return Err(problem::cannot(format!("there is no entry {}", args.position), "see `attestune log tail`"));
    }
    let mut entries = session.log().read(ReadRequest { from: args.position, limit: 1 }).await?.into_inner();
    let entry = entries.message().await?.context("the server gave no entry")?;
    let entry = Entry { position: entry.position, time_ms: entry.time_ms, value: entry.value };
    let proof = match &args.checkpoint {
        None => {
            let request = InclusionProofRequest { position: args.position, size: 0, verdicts: false };
            let proof = session.log().inclusion_proof(request).await?.into_inner();
            proof.tlog_proof.parse::<TlogProof>().context("the server holds no checkpoint key, so it proves nothing")?
        }
        Some(path) => {
            let note = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let size = size_of(&note)
                .ok_or_else(|| problem::cannot(format!("{} is no checkpoint", path.display()), CHECKPOINTS))?;
            let request = InclusionProofRequest { position: args.position, size, verdicts: false };
            let proof = session.log().inclusion_proof(request).await?.into_inner();
            TlogProof { extra: Vec::new(), index: args.position, path: hashes(&proof)?, checkpoint: note }
        }
    };
    let proof = TlogProof { extra: Entry::stored(entry.time_ms, &entry.value), ..proof };
    // Nothing is handed out that its reader would refuse.
    let ledger = context.folder().exists().then(|| context.folder().ledger()).transpose()?;
    if let Some(ledger) = ledger {
        check(&proof, Some(ledger.id()?), folder::hash(&ledger.checkpoint_key)?)?;
    }
    print!("{proof}");
    Ok(())
}

const CHECKPOINTS: &str = "`attestune log checkpoint` prints one";

/// The size on a checkpoint's second line.
fn size_of(note: &str) -> Option<u64> {
    note.lines().nth(1)?.parse().ok()
}

fn hashes(proof: &Proof) -> anyhow::Result<Vec<Hash>> {
    let hash = |bytes: &Vec<u8>| bytes.as_slice().try_into().map(Hash);
    proof.hashes.iter().map(hash).collect::<Result<_, _>>().context("the server sent a hash that has not 32 bytes")
}

/// What a proof proves.
struct Proven {
    checkpoint: Checkpoint,
    entry: Entry,
    event: Event,
}

/// `attestune verify --proof`: checks a proof offline.
pub fn verify(context: &Context, path: &Path, ledger: Option<[u8; 32]>, key: Option<[u8; 32]>) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let known: Option<LedgerFile> = match context.folder().exists() {
        true => Some(context.folder().ledger()?),
        false => None,
    };
    let key = match (key, &known) {
        (Some(key), _) => key,
        (None, Some(known)) => folder::hash(&known.checkpoint_key)?,
        (None, None) => {
            return Err(problem::cannot(
                "nothing says who signs the ledger's checkpoints",
                "name the key that you know from outside: --checkpoint-key KEY, and the ledger: --ledger ID",
            ));
        }
    };
    let ledger = match (ledger, &known) {
        (Some(ledger), _) => Some(ledger),
        (None, Some(known)) => Some(known.id()?),
        (None, None) => None,
    };
    let proof: TlogProof = text.parse().map_err(|error| {
        problem::cannot(format!("{}: {error}", path.display()), "`attestune log prove POSITION` makes one")
    })?;
    let proven = check(&proof, ledger, key)?;
    report(context, &proven, ledger.is_some())
}

fn check(proof: &TlogProof, ledger: Option<[u8; 32]>, key: [u8; 32]) -> anyhow::Result<Proven> {
    let no = |why: String| problem::no(why, "it was altered, belongs to another log, or a key or id is mistyped");
    let origin = proof.checkpoint.lines().next().unwrap_or_default().to_owned();
    let name: Origin = origin.parse().map_err(|error| no(format!("the proof's checkpoint: {error}")))?;
    let public = fit_key(&key).ok_or_else(|| problem::cannot("the checkpoint key is no Ed25519 key", "see --help"))?;
    let entry = Entry::from_stored(proof.index, &proof.extra)
        .ok_or_else(|| no("the proof carries no entry: only `attestune log prove` puts it there".into()))?;
    let checkpoint = proof
        .verify(entry_leaf(entry.time_ms, &entry.value), &VerifierKey::new(name, public)?)
        .map_err(|error| no(error.to_string()))?;
    let event = Envelope::decode(entry.value.as_slice())
        .and_then(|envelope| Event::decode(envelope.payload.as_slice()))
        .unwrap_or_default();
    // A genesis names no ledger: it is one.
    let of = if event.ledger.is_empty() { ledger_id(&entry.value).to_vec() } else { event.ledger.clone() };
    if let Some(ledger) = ledger
        && (!origin.ends_with(&format!("/{}", hex::encode(&ledger[..8]))) || (event.body.is_some() && of != ledger))
    {
        return Err(no(format!("the proof is from {origin}, not from ledger {}", hex::encode(ledger))));
    }
    Ok(Proven { checkpoint, entry, event })
}

fn report(context: &Context, proven: &Proven, ledger_known: bool) -> anyhow::Result<()> {
    let Proven { checkpoint, entry, event } = proven;
    let kind = event.body.as_ref().map_or("no event".into(), |body| plain(kind(body).as_str_name(), "KIND_"));
    if context.json {
        return output::value(&serde_json::json!({
            "position": entry.position, "size": checkpoint.size, "origin": checkpoint.origin.to_string(),
            "root": checkpoint.root.to_string(), "time_ms": entry.time_ms, "ledger_known": ledger_known,
            "envelope": hex::encode(&entry.value), "event": crate::json::message("Event", event)?,
        }));
    }
    println!(
        "proven: position {} of {} holds this entry, by its signer's checkpoint over {} entries",
        entry.position, checkpoint.origin, checkpoint.size
    );
    println!("  {kind}  {}  recorded {}", event.actor, output::time(entry.time_ms));
    eprintln!("That it stands there does not say that it was accepted: `attestune verify` of an export does.");
    if !ledger_known {
        eprintln!("to prove more, name the ledger that you know from outside: --ledger ID");
    }
    Ok(())
}
