//! `attestune replay`: the log folded from nothing, compared with what the server says of itself, or explained.

use crate::{
    context::Context,
    explain, output, problem,
    refold::{Refold, Refolded},
    session::Session,
    wait,
};
use attestune_ledger::tree::Hash;
use attestune_proto::v1::{ConsistencyProofRequest, HeadResponse, ReadRequest, Row, RowsRequest};
use std::{sync::Arc, time::Instant};

#[derive(clap::Args)]
pub struct Args {
    /// Compare the roots only, not every row
    #[arg(long)]
    roots_only: bool,
    /// Tell of each entry who did what, how it was judged and what it changed, instead of comparing
    #[arg(long, conflicts_with = "roots_only")]
    explain: bool,
    /// Explain up to and with this position
    #[arg(long, requires = "explain", value_name = "N")]
    to: Option<u64>,
    /// Explain from this position on
    #[arg(long, requires = "explain", value_name = "N", default_value_t = 0)]
    from: u64,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    if args.explain {
        return explain::run(context, args.from, args.to).await;
    }
    let session = context.connect().await?;
    let head = session.head().await?;
    let started = Instant::now();
    let refolded = refold(&session, &head).await?;
    let seconds = started.elapsed().as_secs_f64();

    for verdicts in [false, true] {
        let theirs = if verdicts { &head.verdict_root } else { &head.entry_root };
        let ours = refolded.replica.root_at(verdicts, head.size)?;
        if ours.0.as_slice() != theirs.as_slice() {
            let at = first_difference(&session, &refolded, verdicts, head.size).await?;
            let what = if verdicts { "verdict" } else { "entry" };
            return Err(problem::no(
                format!(
                    "the {what} at position {at} is not the one that the server's tree holds: {} here, {} there",
                    output::short(&ours.0),
                    output::short(theirs)
                ),
                format!(
                    "look at it with `attestune log decode {at}`; keep the folder, and compare with another replica or an export"
                ),
            ));
        }
    }
    let rows = if args.roots_only { 0 } else { compare_rows(&session, &refolded, head.size).await? };
    if context.json {
        return output::value(&serde_json::json!({
            "size": head.size,
            "entry_root": hex::encode(&head.entry_root),
            "verdict_root": hex::encode(&head.verdict_root),
            "rows": rows,
            "seconds": seconds,
        }));
    }
    println!("{} entries folded from nothing in {seconds:.1} s: both roots are the same", head.size);
    println!("  entries   {}", hex::encode(&head.entry_root));
    println!("  verdicts  {}", hex::encode(&head.verdict_root));
    if !args.roots_only {
        println!("  rows      {rows} of the state, all the same");
    }
    Ok(())
}

/// Reads the log over gRPC up to a head and folds it.
async fn refold(session: &Session, head: &HeadResponse) -> anyhow::Result<Refolded> {
    let mut refold = Refold::new()?;
    let bar = wait::bar("reading");
    bar.set_length(head.size);
    let mut entries = session.log().read(ReadRequest { from: 0, limit: head.size }).await?.into_inner();
    while let Some(entry) = entries.message().await? {
        refold.push(entry)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    if refold.size() != head.size {
        anyhow::bail!("the log gave {} entries, its head has {}", refold.size(), head.size);
    }
    tokio::task::spawn_blocking(move || refold.fold()).await?
}

/// The first position at which the server's tree differs, by halving: a tree's root at a size covers all before it.
async fn first_difference(session: &Session, refolded: &Refolded, verdicts: bool, size: u64) -> anyhow::Result<u64> {
    let (mut same, mut differs) = (0, size);
    while differs - same > 1 {
        let middle = same + (differs - same) / 2;
        let request = ConsistencyProofRequest { old_size: middle, new_size: middle, verdicts };
        let theirs = session.log().consistency_proof(request).await?.into_inner().root;
        let ours: Hash = refolded.replica.root_at(verdicts, middle)?;
        if ours.0.as_slice() == theirs.as_slice() { same = middle } else { differs = middle }
    }
    Ok(differs - 1)
}

/// Compares every version of every row; answers how many.
async fn compare_rows(session: &Session, refolded: &Refolded, size: u64) -> anyhow::Result<u64> {
    let replica = Arc::clone(&refolded.replica);
    let (send, mut ours) = tokio::sync::mpsc::channel::<Row>(1024);
    let reading = tokio::task::spawn_blocking(move || {
        // The receiver is gone once a difference was found.
        replica.rows(&mut |row| send.blocking_send(row).is_ok())
    });
    let mut theirs = session.admin().rows(RowsRequest {}).await?.into_inner();
    let mut rows = 0;
    loop {
        let their = loop {
            match theirs.message().await? {
                // Written since the head was asked for.
                Some(row) if row.position >= size => {}
                other => break other,
            }
        };
        let our = ours.recv().await;
        match (our, their) {
            (None, None) => break,
            (our, their) if our == their => rows += 1,
            (our, their) => {
                let row = our.or(their).unwrap_or_default();
                return Err(problem::no(
                    format!(
                        "the state differs at position {}: table {}, row {}",
                        row.position,
                        row.table,
                        hex::encode(&row.key)
                    ),
                    "the server's state is not what its log gives: keep the folder, then `attestune doctor --drop-state` folds it anew",
                ));
            }
        }
    }
    reading.await??;
    Ok(rows)
}
