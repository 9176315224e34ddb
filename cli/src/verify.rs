//! `attestune verify`: a log, or a bundle of evidence, checked offline, from its bytes alone.

use crate::{
    bundle,
    context::Context,
    folder::{self, Folder},
    log::Export,
    output, problem, proof,
    refold::{Refold, Refolded},
};
use anyhow::Context as _;
use attestune_ledger::{
    envelope::fit_key,
    log,
    replica::{ReplicaError, folded, origin},
    store::{Family, Options, Row, Store, StoreError, first_unreadable_entry},
    tree::{Checkpoint, Origin, VerifierKey},
};
use attestune_proto::v1::{Entry, Verdict};
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// A bundle of evidence, or an export (`attestune log export`); without it the folder's own log
    #[arg(value_name = "FILE")]
    export: Option<PathBuf>,
    /// Check a proof of one entry instead (`attestune log prove`)
    #[arg(long, value_name = "FILE", conflicts_with = "export")]
    proof: Option<PathBuf>,
    /// The ledger's id, known from outside
    #[arg(long, value_parser = parse_hash)]
    ledger: Option<[u8; 32]>,
    /// The public key of the checkpoint signer in hex, known from outside
    #[arg(long, value_parser = parse_hash)]
    checkpoint_key: Option<[u8; 32]>,
    /// A trust policy (tlog-policy) that a bundle's checkpoint must satisfy: its logs, and a quorum of its witnesses
    #[arg(long, value_name = "FILE", requires = "export")]
    policy: Option<PathBuf>,
}

fn parse_hash(text: &str) -> Result<[u8; 32], String> {
    folder::hash(text).map_err(|error| error.to_string())
}

/// What was found in order, and what was not.
pub struct Findings {
    size: u64,
    ledger: [u8; 32],
    checkpoint_size: u64,
    accepted: u64,
    refused: u64,
    garbage: Vec<(u64, String)>,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    if let Some(path) = &args.proof {
        return proof::verify(context, path, args.ledger, args.checkpoint_key);
    }
    if let Some(path) = &args.export
        && bundle::is_one(path)?
    {
        return bundle::verify(context, path, args.ledger, args.checkpoint_key, args.policy.as_deref()).await;
    }
    if args.policy.is_some() {
        return Err(problem::cannot(
            "--policy is for bundles of evidence",
            "an export is checked by --ledger and --checkpoint-key",
        ));
    }
    let (folder, export) = (context.folder(), args.export.clone());
    let (ledger, checkpoint_key) = (args.ledger, args.checkpoint_key);
    let findings = tokio::task::spawn_blocking(move || match export {
        Some(path) => verify_export(&path, ledger, checkpoint_key),
        None => verify_folder(&folder, ledger, checkpoint_key),
    })
    .await??;
    report(context, args, &findings)
}

fn report(context: &Context, args: &Args, findings: &Findings) -> anyhow::Result<()> {
    let proven = args.ledger.is_some() && args.checkpoint_key.is_some();
    if context.json {
        output::value(&serde_json::json!({
            "size": findings.size,
            "ledger": hex::encode(findings.ledger),
            "checkpoint_size": findings.checkpoint_size,
            "accepted": findings.accepted,
            "refused": findings.refused,
            "no_events": findings.garbage.iter().map(|(at, why)| serde_json::json!({"position": at, "why": why})).collect::<Vec<_>>(),
            "origin": if proven { "proven" } else { "unknown" },
        }))?;
    } else {
        println!(
            "{} entries verify: every signature, both trees, the checkpoint over {} entries",
            findings.size, findings.checkpoint_size
        );
        println!(
            "  {} events accepted, {} refused, {} entries that are no events",
            findings.accepted,
            findings.refused,
            findings.garbage.len()
        );
        for (at, why) in &findings.garbage {
            println!("  position {at}: {why}");
        }
        if proven {
            println!("  proven: this is ledger {}, up to its signer's checkpoint", hex::encode(findings.ledger));
        } else {
            println!("  self-consistent, origin unknown: this proves no claim");
        }
    }
    if !proven {
        eprintln!("to prove more, name what you know from outside: --ledger ID --checkpoint-key KEY");
    }
    Ok(())
}

fn verify_folder(folder: &Folder, ledger: Option<[u8; 32]>, key: Option<[u8; 32]>) -> anyhow::Result<Findings> {
    let db = folder.db();
    let store = Store::open(&db, &Options { read_only: true, ..Options::default() })
        .map_err(|error| unreadable(folder, error))?;
    let mut refold = Refold::new()?;
    for row in store.scan(Family::Log, &[], &[]) {
        let (position, value) = row.map_err(|error| unreadable(folder, error))?;
        let position =
            position.as_ref().try_into().map(u64::from_be_bytes).context("a key of the log is no position")?;
        let entry =
            log::Entry::from_stored(position, &value).with_context(|| format!("entry {position} is cut off"))?;
        refold.push(Entry { position, time_ms: entry.time_ms, value: entry.value })?;
    }
    let refolded = refold.fold()?;
    for (tree, what) in [(0, "entry"), (1, "verdict")] {
        if let Some(at) = first_difference(&store, &refolded.store, tree)? {
            return Err(problem::no(
                format!("the {what} at position {at} is not the one that the folder's tree holds"),
                format!(
                    "the stored bytes were changed: keep the folder, look with `attestune log decode {at}`, restore from a backup or replica"
                ),
            ));
        }
    }
    let head_file = db.with_file_name("head");
    let note = std::fs::read_to_string(&head_file)
        .with_context(|| format!("cannot read the signed head {}", head_file.display()))?;
    let name: Origin = "attestune-head".parse()?;
    finish(&refolded, ledger, key, &[(note, Some(name), false)])
}

/// Where a store that can't be read stops being readable.
fn unreadable(folder: &Folder, error: StoreError) -> anyhow::Error {
    if !matches!(error, StoreError::Corrupt { .. }) {
        return error.into();
    }
    match first_unreadable_entry(folder.db()) {
        Ok(Some(at)) => problem::no(
            format!("the log cannot be read from position {at} on: {error}"),
            "keep the folder as it is; restore the log from a backup, an export or another replica into a new folder",
        ),
        _ => problem::no(
            error.to_string(),
            "keep the folder as it is; `attestune doctor --drop-state` on a copy folds the log anew",
        ),
    }
}

/// The first leaf that differs between two stores' trees, of those that theirs should have: what is in its journal alone
/// may not be folded yet.
fn first_difference(theirs: &Store, ours: &Store, tree: u8) -> anyhow::Result<Option<u64>> {
    let size = folded(theirs)?;
    // In the family `tree`: tree, level 0, place; the value is some neighbouring leaves' hashes.
    let leaves = [tree, 0];
    let (mut theirs, mut ours) = (theirs.scan_prefix(Family::Tree, &leaves), ours.scan_prefix(Family::Tree, &leaves));
    let mut at = 0;
    loop {
        let (a, b) = (theirs.next().transpose()?, ours.next().transpose()?);
        if a.is_none() && b.is_none() {
            return Ok(None);
        }
        if a == b {
            at += a.map_or(0, |(_, hashes)| hashes.len() as u64 / 32);
            continue;
        }
        let hashes = |row: Option<Row>| row.map_or(Box::default(), |(_, hashes)| hashes);
        let (a, b) = (hashes(a), hashes(b));
        let same = a.chunks(32).zip(b.chunks(32)).take_while(|(a, b)| a == b).count();
        at += same as u64;
        // The row in which theirs ends goes on in ours.
        if at != size || a.len() > same * 32 {
            return Ok(Some(at));
        }
    }
}

/// Folds an export anew and checks signatures, trees and checkpoints.
///
/// # Errors
/// At the first thing that does not verify.
pub fn verify_export(
    path: &std::path::Path,
    ledger: Option<[u8; 32]>,
    key: Option<[u8; 32]>,
) -> anyhow::Result<Findings> {
    let mut export = Export::open(path)?;
    let notes = [(export.entries_note.clone(), None, false), (export.verdicts_note.clone(), None, true)];
    let mut refold = Refold::new()?;
    while let Some(entry) = export.next()? {
        refold.push(entry)?;
    }
    finish(&refold.fold()?, ledger, key, &notes)
}

/// Compares ledger and checkpoints with what the fold gave.
fn finish(
    refolded: &Refolded,
    ledger: Option<[u8; 32]>,
    key: Option<[u8; 32]>,
    notes: &[(String, Option<Origin>, bool)],
) -> anyhow::Result<Findings> {
    let replica = &refolded.replica;
    let size = replica.position();
    if size == 0 {
        return Err(problem::no("the log is empty", "there is nothing to verify"));
    }
    let head = match replica.head() {
        Err(ReplicaError::NoLedger) => {
            return Err(problem::no("no entry creates a ledger", "this is no log of Attestune"));
        }
        head => head?,
    };
    let found: [u8; 32] = head.ledger.as_slice().try_into().unwrap_or([0; 32]);
    if ledger.is_some_and(|ledger| ledger != found) {
        return Err(problem::no(
            format!("this is ledger {}, not the one you named", hex::encode(found)),
            "it is another ledger's log, or --ledger is mistyped",
        ));
    }
    let own_key = genesis_key(refolded)?;
    if key.is_some_and(|key| key != own_key) {
        return Err(problem::no(
            "the ledger's genesis names another checkpoint signer than you did",
            "it is another ledger's log, or --checkpoint-key is mistyped",
        ));
    }
    let mut checkpoint_size = 0;
    for (note, name, verdicts) in notes {
        let name = match name {
            Some(name) => name.clone(),
            None => origin(&head, *verdicts)?,
        };
        let public = fit_key(&own_key)
            .ok_or_else(|| problem::no("the checkpoint key is unfit", "this is no log of Attestune"))?;
        let checkpoint = Checkpoint::open(note, &VerifierKey::new(name, public)?).map_err(|error| {
            problem::no(format!("the checkpoint does not verify: {error}"), "it was changed, or another key signed it")
        })?;
        if checkpoint.size > size {
            return Err(problem::no(
                format!("the checkpoint covers {} entries, the log has {size}: its end is missing", checkpoint.size),
                "ask for the whole log",
            ));
        }
        if replica.root_at(*verdicts, checkpoint.size)? != checkpoint.root {
            let what = if *verdicts { "verdicts" } else { "entries" };
            let hint = changed(refolded, checkpoint.size)?;
            return Err(problem::no(
                format!("the {what} before position {} are not those of the checkpoint{hint}", checkpoint.size),
                "the log was changed after it was signed",
            ));
        }
        checkpoint_size = checkpoint.size;
    }
    let counts = replica.counts();
    let garbage = no_events(refolded, size)?;
    Ok(Findings { size, ledger: found, checkpoint_size, accepted: counts.accepted, refused: counts.refused, garbage })
}

fn genesis_key(refolded: &Refolded) -> anyhow::Result<[u8; 32]> {
    use attestune_ledger::state::Ledgers;
    let view = refolded.replica.view();
    let row = view.view().get(&Ledgers::key()).context("there is no ledger in the state")?;
    row.checkpoint_key.try_into().map_err(|_| anyhow::anyhow!("the checkpoint key has not 32 bytes"))
}

/// Entries that are no events, with why: a flipped bit shows here as a signature that does not verify.
fn no_events(refolded: &Refolded, size: u64) -> anyhow::Result<Vec<(u64, String)>> {
    let mut found = Vec::new();
    for position in 0..size {
        let decided = refolded.replica.decided(position)?;
        if decided.verdict() == Verdict::Garbage {
            found.push((position, decided.refusal.map_or(String::new(), |why| why.message)));
        }
    }
    Ok(found)
}

fn changed(refolded: &Refolded, size: u64) -> anyhow::Result<String> {
    let suspects = no_events(refolded, size)?;
    Ok(suspects.first().map_or(String::new(), |(at, why)| format!("; position {at} is suspect: {why}")))
}
