//! `attestune erase`: a person's data go, the trail stays.

use crate::{context::Context, erasure, moment::Moment, output, problem, session::Session, words::GroundArg};
use attestune_proto::v1::{
    BatchIndices, ErasedContents, ErasureGround, FindSubjectRequest, FindSubjectResponse, GetErasureRequest,
    PrepareErasureRequest, PrepareErasureResponse, Receipt, SubjectErased, event::Body,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Most things in one chunk; the ledger's limit.
const CHUNK_MAX: usize = 512;
/// How long the server has to erase in the vault.
const WAIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
pub struct Args {
    /// Whose data: as the person was called at `ingest --subject-column`; `-` reads it from the standard input, so that it
    /// stands in no history of commands
    #[arg(long, required_unless_present = "documents")]
    subject: Option<String>,
    /// A document besides, POSITION/INDEX; repeat it
    #[arg(long = "document", value_name = "POSITION/INDEX", value_parser = parse_document)]
    documents: Vec<(u64, u32)>,
    /// Why (GDPR art. 17(1))
    #[arg(long, value_enum)]
    ground: GroundArg,
    /// Only say what would be erased
    #[arg(long)]
    dry_run: bool,
}

fn parse_document(text: &str) -> Result<(u64, u32), String> {
    let parsed = text.split_once('/').and_then(|(batch, index)| Some((batch.parse().ok()?, index.parse().ok()?)));
    parsed.ok_or_else(|| "POSITION/INDEX is expected, such as 41/7".into())
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect_as_actor().await?;
    let subject = subject(args)?;
    let found = found(&session, subject.as_deref(), &args.documents).await?;
    let prepare = PrepareErasureRequest {
        documents: found.documents.clone(),
        examples: Vec::new(),
        others: found.others.clone(),
    };
    let prepared = session.operations().prepare_erasure(prepare).await?.into_inner();
    if args.dry_run {
        return say_prepared(context, &found, &prepared);
    }
    let mut first: Option<Receipt> = None;
    for chunk in chunks(&found, &prepared, ErasureGround::from(args.ground)) {
        let chunk = SubjectErased { first: first.as_ref().map(|receipt| receipt.position), ..chunk };
        let receipt = session.act(Body::SubjectErased(chunk)).await?;
        first.get_or_insert(receipt);
    }
    let Some(first) = first else { anyhow::bail!("there was nothing to erase") };
    gone(&session, first.position).await?;
    if let Some(subject) = subject {
        // The index forgets what is erased when it is asked for it.
        session.operations().find_subject(FindSubjectRequest { subject }).await?;
    }
    erasure::show(context, &session, first.position, &Moment::default()).await
}

fn subject(args: &Args) -> anyhow::Result<Option<String>> {
    match args.subject.as_deref() {
        Some("-") => {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line)?;
            Ok(Some(line.trim().to_owned()))
        }
        named => Ok(named.map(str::to_owned)),
    }
}

async fn found(session: &Session, subject: Option<&str>, named: &[(u64, u32)]) -> anyhow::Result<FindSubjectResponse> {
    let mut found = match subject {
        Some(subject) => {
            let request = FindSubjectRequest { subject: subject.into() };
            session.operations().find_subject(request).await?.into_inner()
        }
        None => FindSubjectResponse::default(),
    };
    let mut batches: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    let indexed = found.documents.iter().flat_map(|b| b.indices.iter().map(|index| (b.batch, *index)));
    for (batch, index) in indexed.chain(named.iter().copied()) {
        batches.entry(batch).or_default().push(index);
    }
    found.documents = batches
        .into_iter()
        .map(|(batch, mut indices)| {
            indices.sort_unstable();
            indices.dedup();
            BatchIndices { batch, indices }
        })
        .collect();
    if found.documents.is_empty() && found.others.is_empty() {
        return Err(problem::no(
            "the vault's index holds no text of this person that is not erased",
            "texts are indexed by `ingest --subject-column`; others are named by --document POSITION/INDEX",
        ));
    }
    Ok(found)
}

/// The chunks in order, the last with the closure.
fn chunks(found: &FindSubjectResponse, prepared: &PrepareErasureResponse, ground: ErasureGround) -> Vec<SubjectErased> {
    let mut chunks: Vec<SubjectErased> = Vec::new();
    let mut room = 0;
    let mut open = |chunks: &mut Vec<SubjectErased>| {
        if room == 0 {
            chunks.push(SubjectErased { ground: ground.into(), ..Default::default() });
            room = CHUNK_MAX;
        }
        room -= 1;
    };
    for batch in &found.documents {
        for index in &batch.indices {
            open(&mut chunks);
            let Some(chunk) = chunks.last_mut() else { continue };
            match chunk.documents.last_mut().filter(|last| last.batch == batch.batch) {
                Some(last) => last.indices.push(*index),
                None => chunk.documents.push(BatchIndices { batch: batch.batch, indices: vec![*index] }),
            }
        }
    }
    for contents in &found.others {
        for commitment in &contents.commitments {
            open(&mut chunks);
            let Some(chunk) = chunks.last_mut() else { continue };
            let commitment = commitment.clone();
            match chunk.others.last_mut().filter(|last| last.pack == contents.pack) {
                Some(last) => last.commitments.push(commitment),
                None => {
                    chunk.others.push(ErasedContents { pack: contents.pack.clone(), commitments: vec![commitment] });
                }
            }
        }
    }
    let count = chunks.len() as u32;
    for (number, chunk) in (1..).zip(&mut chunks) {
        (chunk.chunk, chunk.chunks) = (number, count);
    }
    if let Some(last) = chunks.last_mut() {
        (last.root, last.count) = (prepared.root.clone(), prepared.count);
    }
    chunks
}

/// Waits until the vault has erased.
async fn gone(session: &Session, erasure: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let request = GetErasureRequest { erasure, as_of: None };
        let left = session.operations().get_erasure(request).await?.into_inner().left;
        match left {
            None | Some(0) => return Ok(()),
            Some(left) if began.elapsed() > WAIT => {
                return Err(problem::cannot(
                    format!("the erasure at {erasure} is on the log, but the vault still holds {left} of its texts"),
                    "the server erases them as soon as its vault answers: see its log, and `attestune erasure show`",
                ));
            }
            Some(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

fn say_prepared(
    context: &Context,
    found: &FindSubjectResponse,
    prepared: &PrepareErasureResponse,
) -> anyhow::Result<()> {
    if context.json {
        let mut json = crate::json::message("PrepareErasureResponse", prepared)?;
        json["documents"] = crate::json::message("FindSubjectResponse", found)?["documents"].take();
        return output::value(&json);
    }
    let count = |batches: &[BatchIndices]| batches.iter().map(|b| b.indices.len()).sum::<usize>();
    println!("{} texts would be erased", prepared.count);
    println!("  documents   {}", count(&found.documents));
    println!("  examples    {}", count(&prepared.examples));
    println!("  redactions  {}", prepared.redactions);
    println!("  others      {}", found.others.iter().map(|c| c.commitments.len()).sum::<usize>());
    for hold in &prepared.holds {
        println!("  REFUSED by the legal hold at position {hold}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_hold_512_things_and_the_last_one_names_the_closure() {
        let found = FindSubjectResponse {
            documents: vec![
                BatchIndices { batch: 3, indices: (0..500).collect() },
                BatchIndices { batch: 9, indices: (0..20).collect() },
            ],
            others: vec![ErasedContents { pack: vec![1; 16], commitments: vec![vec![2; 32]; 600] }],
        };
        let prepared = PrepareErasureResponse { root: vec![7; 32], count: 2240, ..Default::default() };
        let chunks = chunks(&found, &prepared, ErasureGround::Objection);
        let size = |chunk: &SubjectErased| {
            let documents: usize = chunk.documents.iter().map(|b| b.indices.len()).sum();
            documents + chunk.others.iter().map(|c| c.commitments.len()).sum::<usize>()
        };
        assert_eq!(chunks.iter().map(size).collect::<Vec<_>>(), [512, 512, 96]);
        assert_eq!(chunks[0].documents.iter().map(|b| b.batch).collect::<Vec<_>>(), [3, 9]);
        assert_eq!(chunks[1].documents[0].indices, (12..20).collect::<Vec<_>>());
        assert!(chunks.iter().all(|c| c.chunks == 3 && c.ground() == ErasureGround::Objection));
        assert_eq!((chunks[1].root.len(), chunks[2].root.len(), chunks[2].count), (0, 32, 2240));
    }
}
