//! `attestune derive`: examples from documents, by a template.

use crate::{
    context::Context,
    output, problem,
    session::{Session, list},
    template::{self, Templates},
    wait,
};
use anyhow::Context as _;
use attestune_proto::v1::{DocumentsIngested, ExamplesDerived, Sealed, event::Body};
use attestune_workers::example::ExampleText;
use std::collections::BTreeSet;

#[derive(clap::Args)]
pub struct Args {
    /// The collection whose documents are taken: every batch that has no examples yet
    collection: String,
    /// What the model is shown, with columns in braces: "Ticket: {text}\nIntent:"
    #[arg(long)]
    prompt: String,
    /// What it shall answer; begin it with a space where the prompt does not end with one: " {intent}"
    #[arg(long)]
    answer: String,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect_as_actor().await?;
    let batches = session.registry().list_batches(list(&args.collection)).await?.into_inner();
    if batches.documents.is_empty() {
        return Err(problem::cannot(
            format!("the collection {} has no documents", args.collection),
            "ingest some first: `attestune ingest FILE --collection NAME`",
        ));
    }
    let derived: BTreeSet<u64> = batches.examples.iter().map(|batch| batch.documents).collect();
    let open: Vec<u64> =
        batches.documents.iter().map(|batch| batch.position).filter(|at| !derived.contains(at)).collect();

    let templates = Templates { prompt: template::unescape(&args.prompt), answer: template::unescape(&args.answer) };
    let mut examples = 0;
    let mut positions = Vec::new();
    if !open.is_empty() {
        let template = session.seal_one(serde_json::to_vec(&templates)?).await?;
        let bar = wait::bar("deriving");
        bar.set_length(open.len() as u64);
        for batch in &open {
            let (position, count) = derive(&session, *batch, &templates, &template).await?;
            positions.push(position);
            examples += count;
            bar.inc(1);
        }
        bar.finish_and_clear();
    }
    if context.json {
        return output::value(&serde_json::json!({
            "collection": args.collection,
            "examples": examples,
            "positions": positions,
            "derived_before": derived.len(),
        }));
    }
    println!("{examples} examples derived from {} batches of {}", positions.len(), args.collection);
    if open.is_empty() {
        println!("every batch of it has its examples already");
    }
    Ok(())
}

async fn derive(
    session: &Session,
    batch: u64,
    templates: &Templates,
    template: &Sealed,
) -> anyhow::Result<(u64, usize)> {
    let event = session.event(batch).await?;
    let Some(Body::DocumentsIngested(DocumentsIngested { pack, commitments, .. })) = event.body else {
        anyhow::bail!("the event at position {batch} is no batch of documents");
    };
    let sealed = commitments.into_iter().map(|commitment| Sealed { pack: pack.clone(), commitment }).collect();
    let documents = session.unseal(sealed).await?;
    let mut examples = Vec::with_capacity(documents.len());
    for (row, document) in documents.iter().enumerate() {
        let place = || format!("document {row} of batch {batch}");
        let document = serde_json::from_slice(document).with_context(|| format!("{} is no JSON object", place()))?;
        let example = ExampleText {
            prompt: template::fill(&templates.prompt, &document).with_context(place)?,
            answer: template::fill(&templates.answer, &document).with_context(place)?,
        };
        examples.push(serde_json::to_vec(&example)?);
    }
    let count = examples.len();
    let sealed = session.seal(examples, "").await?;
    let body = ExamplesDerived {
        documents: batch,
        pack: sealed.pack,
        commitments: sealed.commitments,
        rows: (0..count as u32).collect(),
        template: Some(template.clone()),
    };
    let receipt = session.act_on(Some(batch), Body::ExamplesDerived(body)).await?;
    Ok((receipt.position, count))
}
