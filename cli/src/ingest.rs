//! `attestune ingest`: documents into the vault, their commitments on the log.

use crate::{context::Context, output, rows, session::Session, wait};
use attestune_proto::v1::{DocumentsIngested, event::Body};
use std::path::PathBuf;

/// Most documents in one event; the ledger's limit.
const BATCH_MAX: usize = 512;
/// Most bytes of documents in one batch: a request may have 16 MiB, and so may the answer that opens it.
const BATCH_BYTES_MAX: usize = 8 << 20;

#[derive(clap::Args)]
pub struct Args {
    /// A file of CSV, JSONL (a document a row), text or Markdown (a document each); repeat for several
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The collection that they belong to
    #[arg(long)]
    collection: String,
}

#[derive(Default)]
struct Done {
    ingested: usize,
    known: usize,
    positions: Vec<u64>,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    // All files are read before anything is recorded: a bad row in the last one leaves no half behind.
    let mut documents = Vec::new();
    for file in &args.files {
        for document in rows::read(file)? {
            documents.push(serde_json::to_vec(&document)?);
        }
    }
    let session = context.connect_as_actor().await?;
    let mut done = Done::default();
    let bar = wait::bar("ingesting");
    bar.set_length(documents.len() as u64);
    for batch in batches(documents) {
        let size = batch.len() as u64;
        ingest(&session, &args.collection, batch, &mut done).await?;
        bar.inc(size);
    }
    bar.finish_and_clear();

    if context.json {
        return output::value(&serde_json::json!({
            "collection": args.collection,
            "ingested": done.ingested,
            "known": done.known,
            "positions": done.positions,
        }));
    }
    println!("{} documents ingested into {}", done.ingested, args.collection);
    if done.known > 0 {
        println!("{} stood in it already, and were not ingested again", done.known);
    }
    Ok(())
}

fn batches(documents: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    let mut batches: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut bytes = 0;
    for document in documents {
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH_MAX && bytes + document.len() <= BATCH_BYTES_MAX => {
                bytes += document.len();
                batch.push(document);
            }
            _ => {
                bytes = document.len();
                batches.push(vec![document]);
            }
        }
    }
    batches
}

async fn ingest(session: &Session, collection: &str, batch: Vec<Vec<u8>>, done: &mut Done) -> anyhow::Result<()> {
    let sealed = session.seal(batch, collection).await?;
    done.known += sealed.known.len();
    if sealed.commitments.is_empty() {
        return Ok(());
    }
    done.ingested += sealed.commitments.len();
    let body = DocumentsIngested { collection: collection.into(), pack: sealed.pack, commitments: sealed.commitments };
    let receipt = session.act(Body::DocumentsIngested(body)).await?;
    done.positions.push(receipt.position);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_end_at_either_limit_and_lose_nothing() {
        let sizes = |documents: Vec<Vec<u8>>| batches(documents).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec![vec![1]; 1025]), [512, 512, 1]);
        assert_eq!(sizes(vec![vec![0; 5 << 20]; 3]), [1, 1, 1]);
        assert_eq!(sizes(vec![vec![0; 4 << 20]; 3]), [2, 1]);
        assert!(sizes(vec![]).is_empty());
    }
}
