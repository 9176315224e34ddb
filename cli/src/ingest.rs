//! `attestune ingest`: documents into the vault, their commitments on the log.

use crate::{context::Context, output, problem, rows, session::Session, wait};
use attestune_proto::v1::{DocumentsIngested, event::Body};
use serde_json::{Map, Value};
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
    /// The column that names the person whose document it is: goes into the vault's subject index, encrypted, so that
    /// `attestune erase --subject` finds it
    #[arg(long, value_name = "COLUMN")]
    subject_column: Option<String>,
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
            let subject =
                args.subject_column.as_deref().map_or(Ok(String::new()), |column| subject(&document, column))?;
            documents.push((serde_json::to_vec(&document)?, subject));
        }
    }
    let session = context.connect_as_actor().await?;
    let mut done = Done::default();
    let bar = wait::bar("ingesting");
    bar.set_length(documents.len() as u64);
    for batch in batches(documents) {
        let size = batch.len() as u64;
        ingest(&session, args, batch, &mut done).await?;
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

/// A document with whose it is; empty for nobody's.
type Document = (Vec<u8>, String);

/// What a document's column says of whose it is.
fn subject(document: &Map<String, Value>, column: &str) -> anyhow::Result<String> {
    match document.get(column) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Null) => Ok(String::new()),
        Some(_) => {
            Err(problem::cannot(format!("column `{column}` holds neither text nor number"), "name another column"))
        }
        None => Err(problem::cannot(format!("a document has no column `{column}`"), "leave out --subject-column")),
    }
}

fn batches(documents: Vec<Document>) -> Vec<Vec<Document>> {
    let mut batches: Vec<Vec<Document>> = Vec::new();
    let mut bytes = 0;
    for document in documents {
        let size = document.0.len() + document.1.len();
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH_MAX && bytes + size <= BATCH_BYTES_MAX => {
                bytes += size;
                batch.push(document);
            }
            _ => {
                bytes = size;
                batches.push(vec![document]);
            }
        }
    }
    batches
}

async fn ingest(session: &Session, args: &Args, batch: Vec<Document>, done: &mut Done) -> anyhow::Result<()> {
    let collection = args.collection.as_str();
    let (contents, subjects): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let subjects = if args.subject_column.is_some() { subjects } else { Vec::new() };
    let sealed = session.seal_owned(contents, collection, subjects).await?;
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
        let sizes = |documents: Vec<Vec<u8>>| {
            let documents = documents.into_iter().map(|document| (document, String::new())).collect();
            batches(documents).iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(vec![vec![1]; 1025]), [512, 512, 1]);
        assert_eq!(sizes(vec![vec![0; 5 << 20]; 3]), [1, 1, 1]);
        assert_eq!(sizes(vec![vec![0; 4 << 20]; 3]), [2, 1]);
        assert!(sizes(vec![]).is_empty());
    }
}
