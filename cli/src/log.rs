//! `attestune log`: the entries themselves.

use crate::{
    append, context::Context, cosigned, decided, decode, output, problem, proof, restore, session::Session, tiles, wait,
};
use anyhow::Context as _;
use attestune_ledger::{
    draft::{kind, plain},
    evidence::{FRAME_BYTES_MAX, MAGIC},
};
use attestune_proto::v1::{CheckpointRequest, Decided, Entry, SubscribeRequest};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost::Message as _;
use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Show the newest entries with their verdicts
    Tail {
        /// How many
        #[arg(short = 'n', default_value_t = 20)]
        count: u64,
        /// Go on with new ones
        #[arg(long)]
        follow: bool,
    },
    /// Write the whole log with its checkpoints into a file, for `attestune verify` and for safe-keeping
    Export {
        /// The file, which must not exist
        file: PathBuf,
    },
    /// Show one entry in JSON: envelope, signatures, event, verdict; also out of a record of Kafka
    Decode(decode::Args),
    /// Append an envelope that was signed before (a draft, or the stored bytes in hex), or many
    Append(append::Args),
    /// Print the newest checkpoint, a signed note
    Checkpoint {
        /// The verdict tree's instead of the entry tree's
        #[arg(long)]
        verdicts: bool,
    },
    /// Print a proof that an entry stands in the log, for `attestune verify --proof`
    Prove(proof::Args),
    /// Write the log into a folder as static files (tlog-tiles), for any web server, mirror or monitor
    ExportTiles(tiles::Args),
    /// Print the newest checkpoint with the cosignatures of the witnesses of a trust policy
    Cosign(cosigned::Args),
    /// Move the log between the folder and Kafka, or rebuild a lost topic: times, leaves and proofs stay
    Restore(restore::Args),
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Tail { count, follow } => tail(context, *count, *follow).await,
        Command::Export { file } => export(context, file).await,
        Command::Decode(args) => decode::run(context, args).await,
        Command::Append(args) => append::run(context, args).await,
        Command::Checkpoint { verdicts } => proof::checkpoint(context, *verdicts).await,
        Command::Prove(args) => proof::prove(context, args).await,
        Command::ExportTiles(args) => tiles::run(context, args).await,
        Command::Cosign(args) => cosigned::run(context, args).await,
        Command::Restore(args) => restore::run(context, args).await,
    }
}

async fn tail(context: &Context, count: u64, follow: bool) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let from = session.head().await?.size.saturating_sub(count);
    let mut entries = session.log().subscribe(SubscribeRequest { from, to_end: !follow }).await?.into_inner();
    while let Some(decided) = entries.message().await? {
        if context.json {
            println!("{}", decided::opened(&decided)?);
        } else {
            println!("{}", line(&decided));
        }
    }
    Ok(())
}

fn line(decided: &Decided) -> String {
    let (what, who) = match decided::event(&decided.envelope) {
        Ok((_, event)) => {
            let kind =
                event.body.as_ref().map_or("unknown-kind".into(), |body| plain(kind(body).as_str_name(), "KIND_"));
            (kind, event.actor)
        }
        Err(_) => (format!("{} bytes", decided.envelope.len()), String::new()),
    };
    let why =
        decided.refusal.as_ref().map_or(String::new(), |refusal| format!("  {}: {}", refusal.code, refusal.message));
    let verdict = output::verdict(decided.verdict());
    format!("{:>6}  {}  {verdict:<9}  {what:<22}  {who}{why}", decided.position, output::time(decided.time_ms))
        .trim_end()
        .into()
}

async fn export(context: &Context, path: &Path) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let count = export_to(&session, path).await?;
    if context.json {
        return output::value(&serde_json::json!({ "file": path, "entries": count }));
    }
    println!("{count} entries are in {}", path.display());
    eprintln!("check it anywhere: `attestune verify {} --ledger ID --checkpoint-key KEY`", path.display());
    Ok(())
}

/// Writes the log into a file that does not exist yet; answers how many entries.
///
/// # Errors
/// If the log can't be read, or the file not be made.
pub async fn export_to(session: &Session, path: &Path) -> anyhow::Result<u64> {
    let entries_note = session.log().checkpoint(CheckpointRequest { verdicts: false }).await?.into_inner();
    let verdicts_note = session.log().checkpoint(CheckpointRequest { verdicts: true }).await?.into_inner();
    // Both checkpoints lie behind us now, so that the head covers them.
    let head = session.head().await?;
    let file = File::create_new(path).map_err(|error| {
        problem::cannot(format!("cannot make {}: {error}", path.display()), "name a file that does not exist yet")
    })?;
    let mut out = BufWriter::new(file);
    out.write_all(MAGIC.as_bytes())?;
    for note in [&entries_note.note, &verdicts_note.note] {
        writeln!(out, "{}", BASE64_STANDARD.encode(note))?;
    }
    let bar = wait::bar("exporting");
    bar.set_length(head.size);
    let mut entries = session.log().subscribe(SubscribeRequest { from: 0, to_end: true }).await?.into_inner();
    let mut count = 0;
    while let Some(entry) = entries.message().await? {
        out.write_all(&entry.encode_length_delimited_to_vec())?;
        count += 1;
        bar.inc(1);
    }
    bar.finish_and_clear();
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(count)
}

/// An export, being read.
///
/// ```text
/// attestune log export v1
/// base64 of the entry tree's checkpoint
/// base64 of the verdict tree's checkpoint
/// for each entry: its length as a varint, attestune.v1.Decided
/// ```
pub struct Export {
    reader: BufReader<File>,
    /// The entry tree's checkpoint, a signed note.
    pub entries_note: String,
    /// The verdict tree's checkpoint, a signed note.
    pub verdicts_note: String,
    path: PathBuf,
    entries: u64,
}

impl Export {
    /// Opens an export and reads its head.
    ///
    /// # Errors
    /// If it can't be read or is none.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut reader = BufReader::new(file);
        let mut magic = vec![0; MAGIC.len()];
        let is_export = reader.read_exact(&mut magic).is_ok() && magic == MAGIC.as_bytes();
        if !is_export {
            return Err(problem::cannot(
                format!("{} is no export of a log", path.display()),
                "make one: `attestune log export FILE`",
            ));
        }
        let mut note = || -> anyhow::Result<String> {
            let mut line = String::new();
            (&mut reader).take(FRAME_BYTES_MAX).read_line(&mut line)?;
            Ok(String::from_utf8(BASE64_STANDARD.decode(line.trim_end())?)?)
        };
        let (entries_note, verdicts_note) = match (note(), note()) {
            (Ok(entries), Ok(verdicts)) => (entries, verdicts),
            _ => {
                return Err(problem::no(
                    format!("the checkpoints in {} are damaged", path.display()),
                    "export the log again",
                ));
            }
        };
        Ok(Self { reader, entries_note, verdicts_note, path: path.to_owned(), entries: 0 })
    }

    /// The next entry.
    ///
    /// # Errors
    /// If the file ends inside an entry, or an entry is damaged.
    pub fn next(&mut self) -> anyhow::Result<Option<Entry>> {
        if self.reader.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let damaged = || {
            problem::no(
                format!("entry {} of {} is damaged or cut off", self.entries, self.path.display()),
                "export the log again",
            )
        };
        let mut frame = Vec::new();
        // The varint of a length: seven bits a byte, least first.
        loop {
            let mut byte = [0];
            self.reader.read_exact(&mut byte).map_err(|_| damaged())?;
            frame.extend(byte);
            if byte[0] & 0x80 == 0 {
                break;
            }
            if frame.len() == 10 {
                return Err(damaged());
            }
        }
        let length = prost::decode_length_delimiter(frame.as_slice()).map_err(|_| damaged())? as u64;
        if length > FRAME_BYTES_MAX {
            return Err(damaged());
        }
        let mut entry = Vec::new();
        (&mut self.reader).take(length).read_to_end(&mut entry)?;
        if entry.len() as u64 != length {
            return Err(damaged());
        }
        // The verdict beside it is for verifiers without the rules: this one folds.
        let Decided { position, time_ms, envelope, .. } = Decided::decode(entry.as_slice()).map_err(|_| damaged())?;
        self.entries += 1;
        Ok(Some(Entry { position, time_ms, value: envelope }))
    }
}
