//! `attestune log export-tiles`: the log as a folder of static files (C2SP tlog-tiles), for any web server.

use crate::{context::Context, cosigned, output, problem, session::Session, wait};
use anyhow::Context as _;
use attestune_ledger::{
    log::Entry,
    tree::{Checkpoint, Frontier, Hash, TILE_WIDTH, TilePath, VerifierKey, tiles_of},
};
use attestune_proto::v1::{CheckpointRequest, ReadRequest};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

#[derive(clap::Args)]
pub struct Args {
    /// The folder; one that an earlier export made is brought up to date
    folder: PathBuf,
    /// Ask the witnesses of this trust policy for their cosignatures first
    #[arg(long, value_name = "FILE")]
    witnesses: Option<PathBuf>,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let signed = session.log().checkpoint(CheckpointRequest { verdicts: false }).await?.into_inner();
    let note = match &args.witnesses {
        Some(policy) => cosigned::cosign_note(&session, policy, &signed.note, &signed.verifier_key).await?,
        None => signed.note,
    };
    let mut lines = note.lines().skip(1);
    let size: u64 = lines.next().and_then(|size| size.parse().ok()).context("the checkpoint has no size")?;
    let key: VerifierKey = signed.verifier_key.parse()?;
    let before = before(&args.folder, &key, size)?;
    let root = write(&session, &args.folder, size, before.as_ref()).await?;
    let wanted = Checkpoint::open(&note, &key)?.root;
    if root != wanted {
        return Err(problem::no(
            format!("the entries that the server gave have the root {root}, its checkpoint says {wanted}"),
            "the server's log is damaged: `attestune replay` finds where",
        ));
    }
    // Last, so that whoever reads a checkpoint finds its tiles.
    put(&args.folder.join("checkpoint"), note.as_bytes())?;
    if context.json {
        return output::value(
            &serde_json::json!({ "folder": args.folder, "size": size, "verifier_key": signed.verifier_key }),
        );
    }
    println!("{size} entries are in {} as tiles", args.folder.display());
    eprintln!("its verifier key: {}", signed.verifier_key);
    Ok(())
}

/// The checkpoint of an earlier export into the folder, which must be one of this log.
fn before(folder: &Path, key: &VerifierKey, size: u64) -> anyhow::Result<Option<Checkpoint>> {
    let path = folder.join("checkpoint");
    if !path.exists() {
        return Ok(None);
    }
    let note = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let before = Checkpoint::open(&note, key).ok().filter(|before| before.size <= size);
    before.map_or_else(|| Err(other(&path)), |before| Ok(Some(before)))
}

/// Writes every tile and bundle of entries of the log's first entries; answers the root that they have.
async fn write(session: &Session, folder: &Path, size: u64, before: Option<&Checkpoint>) -> anyhow::Result<Hash> {
    let mut tree = Frontier::new();
    let mut rows: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    let mut bundle = Vec::new();
    let bar = wait::bar("exporting");
    bar.set_length(size);
    let mut entries = session.log().read(ReadRequest { from: 0, limit: size }).await?.into_inner();
    while let Some(entry) = entries.message().await? {
        if entry.position != tree.size() {
            anyhow::bail!("the server gave entry {} where {} was expected", entry.position, tree.size());
        }
        let stored = Entry::stored(entry.time_ms, &entry.value);
        bundle.extend(u16::try_from(stored.len()).context("an entry is larger than any can be")?.to_be_bytes());
        bundle.extend(&stored);
        let mut full = Vec::new();
        tree.push_noting(attestune_ledger::tree::leaf_hash(&[&stored]), |tile| {
            let row = rows.entry(tile.level).or_default();
            row.extend(tile.hash.0);
            if row.len() == 32 * usize::from(TILE_WIDTH) {
                full.push((tile.level, tile.index / u64::from(TILE_WIDTH), std::mem::take(row)));
            }
        });
        for (level, index, row) in full {
            put_new(folder, TilePath { level: Some(level), index, width: TILE_WIDTH }, &row)?;
            if level == 0 {
                put_new(folder, TilePath { level: None, index, width: TILE_WIDTH }, &std::mem::take(&mut bundle))?;
            }
        }
        if before.is_some_and(|before| before.size == tree.size() && before.root != tree.root()) {
            return Err(other(&folder.join("checkpoint")));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if tree.size() != size {
        anyhow::bail!("the server gave {} entries of {size}", tree.size());
    }
    for tile in tiles_of(size).filter(|tile| tile.width < TILE_WIDTH) {
        match tile.level {
            Some(level) => put_new(folder, tile, rows.get(&level).map_or(&[], Vec::as_slice))?,
            None => put_new(folder, tile, &bundle)?,
        }
    }
    Ok(tree.root())
}

/// A tile never changes: one that is there must be the same.
fn put_new(folder: &Path, tile: TilePath, bytes: &[u8]) -> anyhow::Result<()> {
    let path = folder.join(tile.to_string());
    match fs::read(&path) {
        Ok(there) if there == bytes => Ok(()),
        Ok(_) => Err(other(&path)),
        Err(_) => put(&path, bytes),
    }
}

fn other(path: &Path) -> anyhow::Error {
    problem::no(
        format!("{} holds something else than this log has there", path.display()),
        "it is another log's folder, or was altered: export into a new one",
    )
}

fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).with_context(cannot)?;
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh).with_context(cannot)?;
    file.write_all(bytes).with_context(cannot)?;
    file.sync_all().with_context(cannot)?;
    fs::rename(&fresh, path).with_context(cannot)
}
