//! `attestune evidence`: bundles that answer one question and prove the answer.

use crate::{context::Context, cosigned, moment::Moment, output, problem, session::Session};
use anyhow::{Context as _, bail};
use attestune_ledger::{
    draft::plain,
    evidence::{self, Anchors, CHECKER, Draft, Exported, Request},
    log::Entry,
    tree::{Hash, TlogProof},
};
use attestune_proto::v1::{
    AsOf, CheckpointRequest, ConsistencyProofRequest, Decided, ExportPurpose, ExportRow, InclusionProofRequest,
    ListMembersRequest, Member, ReadRequest, Sealed, SliceEntry, SliceRequest, SubscribeRequest, WhyInForceRequest,
    WhyInForceResponse, as_of::When, event::Body,
};
use clap::ValueEnum;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{Cursor, Write as _},
    path::{Path, PathBuf},
};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Take a bundle out: one file that answers why a version was in force; recorded first
    #[command(subcommand)]
    Export(Export),
    /// List bundles that were taken out
    List {
        #[command(flatten)]
        moment: Moment,
    },
}

#[derive(clap::Subcommand)]
pub enum Export {
    /// The whole log: the reader folds it again, so that verdicts and absence are proven
    Complete(Args),
    /// Only the events that answer the question and those that judge them; lists them first
    Slice {
        #[command(flatten)]
        args: Args,
        /// Write what was listed
        #[arg(long)]
        yes: bool,
    },
}

#[derive(clap::Args)]
pub struct Args {
    /// The model
    model: String,
    /// The file, which must not exist
    file: PathBuf,
    #[command(flatten)]
    moment: Moment,
    /// For whom
    #[arg(long, value_enum)]
    purpose: PurposeArg,
    /// Members of the dataset drawn for a sample
    #[arg(long, default_value_t = 25)]
    sample: u32,
    /// Open the texts of the first so many members of the sample; each read is recorded first
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    open: usize,
    /// Ask the witnesses of this trust policy to cosign the bundle's checkpoint
    #[arg(long, value_name = "FILE")]
    witnesses: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum PurposeArg {
    Regulator,
    Auditor,
    Legal,
    DataSubject,
    Internal,
}

impl From<PurposeArg> for ExportPurpose {
    fn from(purpose: PurposeArg) -> Self {
        match purpose {
            PurposeArg::Regulator => Self::Regulator,
            PurposeArg::Auditor => Self::Auditor,
            PurposeArg::Legal => Self::Legal,
            PurposeArg::DataSubject => Self::DataSubject,
            PurposeArg::Internal => Self::Internal,
        }
    }
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List { moment } => {
            let session = context.connect().await?;
            let answer = session.registry().list_exports(moment.list("")).await?.into_inner();
            if context.json {
                return output::message("ListExportsResponse", &answer);
            }
            output::table(&HEADERS, answer.exports.iter().map(cells).collect());
            Ok(())
        }
        Command::Export(Export::Complete(args)) => {
            let session = connect(context, args).await?;
            let exporting = Exporting::begin(&session, args.asked()).await?;
            let draft = exporting.complete().await?;
            take_out(context, args, &exporting, draft, None).await
        }
        Command::Export(Export::Slice { args, yes }) => {
            let session = connect(context, args).await?;
            let exporting = Exporting::begin(&session, args.asked()).await?;
            let entries = exporting.entries(0, true).await?;
            if !context.json {
                exporting.list(&entries);
            } else if !yes {
                output::value(&serde_json::json!({ "discloses": disclosed(&entries)? }))?;
            }
            if !yes {
                return Err(problem::cannot("nothing was written", "read the list, then say --yes to disclose it"));
            }
            let draft = exporting.slice().await?;
            take_out(context, args, &exporting, draft, Some(&entries)).await
        }
    }
}

/// The columns of [`cells`].
pub const HEADERS: [&str; 7] = ["export", "kind", "version", "for", "entries", "texts", "by"];

/// A bundle that was taken out, as a row.
pub fn cells(row: &ExportRow) -> Vec<String> {
    vec![
        row.position.to_string(),
        plain(row.kind().as_str_name(), "BUNDLE_KIND_"),
        if row.version == 0 { row.model.clone() } else { format!("{}@{}", row.model, row.version) },
        plain(row.purpose().as_str_name(), "EXPORT_PURPOSE_"),
        if row.disclosed == 0 { row.size.to_string() } else { format!("{} of {}", row.disclosed, row.size) },
        row.texts.len().to_string(),
        row.signer.as_ref().map_or(String::new(), |signer| signer.actor.clone()),
    ]
}

impl Args {
    fn asked(&self) -> Asked<'_> {
        Asked {
            model: &self.model,
            as_of: self.moment.as_of(),
            purpose: self.purpose.into(),
            sample: self.sample,
            witnesses: self.witnesses.as_deref(),
        }
    }
}

async fn connect(context: &Context, args: &Args) -> anyhow::Result<Session> {
    if args.file.exists() {
        return Err(problem::cannot(
            format!("{} is there already", args.file.display()),
            "name a file that does not exist yet",
        ));
    }
    context.connect_as_actor().await
}

/// Opens the texts asked for, has the bundle signed for, and writes it. In JSON the answer holds what a slice
/// discloses, too, so that it is one document.
async fn take_out(
    context: &Context,
    args: &Args,
    exporting: &Exporting<'_>,
    mut draft: Draft,
    entries: Option<&[SliceEntry]>,
) -> anyhow::Result<()> {
    exporting.open(&mut draft, args.open).await?;
    let (position, bytes) = exporting.signed(&draft).await?;
    let mut file = File::create_new(&args.file).map_err(|error| {
        problem::cannot(format!("cannot make {}: {error}", args.file.display()), "name a file that does not exist yet")
    })?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    let manifest = draft.manifest();
    if context.json {
        let mut answer = serde_json::json!({
            "file": args.file, "position": position, "size": manifest.size,
            "manifest": manifest.digest().to_string(), "ledger": manifest.ledger.to_string(),
            "bytes": bytes.len(), "texts": manifest.texts.len(),
        });
        if let Some(entries) = entries {
            answer["discloses"] = disclosed(entries)?;
        }
        return output::value(&answer);
    }
    println!("the bundle is in {}, taken out at position {position}", args.file.display());
    eprintln!("check it anywhere: `attestune verify {} --ledger {}`", args.file.display(), manifest.ledger);
    Ok(())
}

/// What a slice discloses, in JSON.
fn disclosed(entries: &[SliceEntry]) -> anyhow::Result<serde_json::Value> {
    entries.iter().map(|entry| crate::json::message("SliceEntry", entry)).collect()
}

/// What a bundle is to answer, and for whom.
pub struct Asked<'a> {
    /// The model.
    pub model: &'a str,
    /// The moment; now without it.
    pub as_of: Option<AsOf>,
    /// For whom.
    pub purpose: ExportPurpose,
    /// Members drawn at most.
    pub sample: u32,
    /// A trust policy whose witnesses cosign the checkpoint.
    pub witnesses: Option<&'a Path>,
}

/// A bundle in the making.
pub struct Exporting<'a> {
    session: &'a Session,
    witnesses: Option<&'a Path>,
    request: Request,
    answer: WhyInForceResponse,
}

impl<'a> Exporting<'a> {
    /// Asks the question.
    ///
    /// # Errors
    /// If the server does not answer it.
    pub async fn begin(session: &'a Session, asked: Asked<'a>) -> anyhow::Result<Self> {
        let request = WhyInForceRequest { model: asked.model.into(), as_of: asked.as_of };
        let mut answer = session.provenance().why_in_force(request).await?.into_inner();
        answer.after.clear();
        let request = Request {
            exporter: session.signer()?.actor.clone(),
            purpose: asked.purpose,
            model: asked.model.into(),
            at: answer.as_of_position,
            sample: asked.sample,
            checker: CHECKER,
        };
        Ok(Self { session, witnesses: asked.witnesses, request, answer })
    }

    fn as_of(&self) -> Option<AsOf> {
        Some(AsOf { when: Some(When::Position(self.request.at)) })
    }

    /// Both checkpoints over one size, the first cosigned where that is asked for.
    async fn checkpoints(&self) -> anyhow::Result<(u64, String, String)> {
        for _ in 0..20 {
            let signed = self.session.log().checkpoint(CheckpointRequest { verdicts: false }).await?.into_inner();
            let verdicts = self.session.log().checkpoint(CheckpointRequest { verdicts: true }).await?.into_inner().note;
            let size = |note: &str| note.lines().nth(1).and_then(|size| size.parse::<u64>().ok());
            if size(&signed.note) != size(&verdicts) {
                continue; // something was appended in between
            }
            let size = size(&signed.note).context("the server's checkpoint has no size")?;
            let note = match self.witnesses {
                Some(policy) => cosigned::cosign_note(self.session, policy, &signed.note, &signed.verifier_key).await?,
                None => signed.note,
            };
            return Ok((size, note, verdicts));
        }
        Err(problem::cannot(
            "the log grows too fast to get both checkpoints over one size",
            "try again in a quiet moment",
        ))
    }

    /// A complete bundle.
    ///
    /// # Errors
    /// If the server does not give the whole log.
    pub async fn complete(&self) -> anyhow::Result<Draft> {
        let (size, entries_note, verdicts_note) = self.checkpoints().await?;
        let mut entries: Vec<Decided> = Vec::new();
        let mut log = self.session.log().subscribe(SubscribeRequest { from: 0, to_end: true }).await?.into_inner();
        while (entries.len() as u64) < size {
            entries.push(log.message().await?.context("the log ended before its checkpoint's size")?);
        }
        let request = self.request.clone();
        let make = move || {
            let export = evidence::Export::write(&entries_note, &verdicts_note, &entries);
            evidence::complete(&export, &request)
        };
        Ok(tokio::task::spawn_blocking(make).await??)
    }

    async fn entries(&self, size: u64, list_only: bool) -> anyhow::Result<Vec<SliceEntry>> {
        let request = SliceRequest {
            model: self.request.model.clone(),
            as_of: self.as_of(),
            size,
            exporter: self.request.exporter.clone(),
            list_only,
        };
        let mut stream = self.session.provenance().slice(request).await?.into_inner();
        let mut entries = Vec::new();
        while let Some(entry) = stream.message().await? {
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Prints what a slice would disclose.
    fn list(&self, entries: &[SliceEntry]) {
        println!(
            "the slice discloses {} entries, and {} members of the dataset by their commitments:",
            entries.len(),
            self.answer.dataset.as_ref().map_or(0, |dataset| dataset.count)
        );
        let rows = entries.iter().map(|entry| {
            let decided = entry.decided.clone().unwrap_or_default();
            vec![
                decided.position.to_string(),
                entry.why.clone(),
                entry.actor.clone(),
                entry.summary.clone(),
                output::verdict(decided.verdict()),
            ]
        });
        output::table(&["position", "why", "actor", "what", "verdict"], rows.collect());
    }

    /// A slice.
    ///
    /// # Errors
    /// If the server does not give the entries with their proofs.
    pub async fn slice(&self) -> anyhow::Result<Draft> {
        let (size, entries_note, verdicts_note) = self.checkpoints().await?;
        let entries = self.entries(size, false).await?;
        let members = self.members(self.as_of()).await?.into_iter();
        let members = members.map(|((batch, index), m)| (batch, index, m.content.unwrap_or_default().commitment));
        let (members, request, answer) = (members.collect(), self.request.clone(), self.answer.clone());
        let make = move || evidence::slice(&entries, &entries_note, &verdicts_note, &answer, members, &request);
        Ok(tokio::task::spawn_blocking(make).await??)
    }

    /// The members of the answer's dataset by batch and index, as of a moment or now.
    async fn members(&self, as_of: Option<AsOf>) -> anyhow::Result<BTreeMap<(u64, u32), Member>> {
        let Some(dataset) = &self.answer.dataset else { return Ok(BTreeMap::new()) };
        let request = ListMembersRequest { dataset: dataset.position, as_of };
        let members = self.session.registry().list_members(request).await?.into_inner().members;
        let place = |member: &Member| member.example.as_ref().map(|example| (example.batch, example.index));
        Ok(members.into_iter().filter_map(|member| Some((place(&member)?, member))).collect())
    }

    /// Opens the texts of the first so many members of the sample.
    async fn open(&self, draft: &mut Draft, count: usize) -> anyhow::Result<()> {
        if count == 0 {
            return Ok(());
        }
        // What is erased by now has no text any more, whenever the question is about.
        let members = self.members(None).await?;
        let kept = |(batch, index, _): &(u64, u32, Hash)| {
            let member = members.get(&(*batch, *index)).filter(|member| !member.erased)?;
            member.content.clone()
        };
        let chosen: Vec<Sealed> = draft.sampled().iter().filter_map(kept).take(count).collect();
        if chosen.len() < count {
            eprintln!("{} texts are opened: the sample has no more that are not erased", chosen.len());
        }
        for text in self.session.unseal_with_salts(chosen).await? {
            draft.open(&text);
        }
        Ok(())
    }

    /// Records the export and checks the bundle as its reader will; answers where it is recorded, and the bundle.
    ///
    /// # Errors
    /// If the export is refused, or the bundle does not verify.
    pub async fn signed(&self, draft: &Draft) -> anyhow::Result<(u64, Vec<u8>)> {
        let receipt = self.session.act(Body::EvidenceExported(draft.event())).await?;
        let exported = self.exported(receipt.position, draft.manifest().size).await?;
        let bytes = draft.finish(&exported, Cursor::new(Vec::new()))?.into_inner();
        let ledger: [u8; 32] = self.session.ledger_id().try_into().context("the ledger's id has not 32 bytes")?;
        let (bytes, report) = tokio::task::spawn_blocking(move || {
            let anchors = Anchors { ledger: Some(ledger), ..Anchors::default() };
            let report = evidence::verify(&bytes, &anchors);
            (bytes, report)
        })
        .await?;
        if let Some(failure) = report.failures.first() {
            bail!("the bundle that was made does not verify, so it is not written: {failure}");
        }
        Ok((receipt.position, bytes))
    }

    /// The exporter's act with its proof, and that the log went on from the bundle's checkpoint.
    async fn exported(&self, position: u64, size: u64) -> anyhow::Result<Exported> {
        let request = InclusionProofRequest { position, size: 0, verdicts: false };
        let proof = self.session.log().inclusion_proof(request).await?.into_inner();
        let proof: TlogProof =
            proof.tlog_proof.parse().context("the server holds no checkpoint key, so it proves nothing")?;
        let newer =
            proof.checkpoint.lines().nth(1).and_then(|size| size.parse().ok()).context("a checkpoint without size")?;
        let mut entries = self.session.log().read(ReadRequest { from: position, limit: 1 }).await?.into_inner();
        let entry = entries.message().await?.context("the server gave no entry")?;
        let request = ConsistencyProofRequest { old_size: size, new_size: newer, verdicts: false };
        let hashes = self.session.log().consistency_proof(request).await?.into_inner().hashes;
        let hash = |bytes: Vec<u8>| bytes.as_slice().try_into().map(Hash);
        let consistency = hashes.into_iter().map(hash).collect::<Result<_, _>>().context("a hash has not 32 bytes")?;
        Ok(Exported { proof: TlogProof { extra: Entry::stored(entry.time_ms, &entry.value), ..proof }, consistency })
    }
}
