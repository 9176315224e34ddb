//! `attestune log append`: what was signed before, one envelope or many.

use crate::{
    context::Context,
    draft, output, problem,
    session::{Session, accepted},
};
use anyhow::Context as _;
use attestune_ledger::draft::plain;
use attestune_proto::v1::{AppendRequest, Receipt, Verdict};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use std::{
    io::BufRead,
    path::{Path, PathBuf},
};
use tonic_types::StatusExt as _;

/// Lines read ahead of their receipts.
const LINES: usize = 4096;

#[derive(clap::Args)]
pub struct Args {
    /// The file; with --lines, `-` is the standard input
    file: PathBuf,
    /// It holds an envelope a line, each in DSSE's JSON, hex or base64; a line answers each
    #[arg(long)]
    lines: bool,
    /// Go on behind a line that the door stops (a wrong signature, an unknown key)
    #[arg(long, requires = "lines")]
    keep_going: bool,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    if args.lines {
        return Lines { context, keep_going: args.keep_going, appended: 0, other: 0 }.run(&args.file).await;
    }
    let envelope = draft::read(&args.file)?;
    let receipt = accepted(context.connect_unsigned().await?.append_envelope(envelope).await?)?;
    output::receipt(context.json, &receipt, "the envelope is appended")
}

/// A file of envelopes on its way to the log.
struct Lines<'a> {
    context: &'a Context,
    keep_going: bool,
    /// Lines that have a receipt.
    appended: u64,
    /// Lines whose answer was another than accepted.
    other: u64,
}

impl Lines<'_> {
    async fn run(mut self, path: &Path) -> anyhow::Result<()> {
        let mut lines = numbered(path)?;
        let session = self.context.connect_unsigned().await?;
        loop {
            let (read, chunk) = tokio::task::spawn_blocking(move || {
                let chunk = lines.by_ref().take(LINES).collect::<anyhow::Result<Vec<_>>>();
                (lines, chunk)
            })
            .await?;
            lines = read;
            let chunk = chunk.with_context(|| format!("{} lines before were appended", self.appended))?;
            if chunk.is_empty() {
                break;
            }
            self.append(&session, &chunk).await?;
        }
        eprintln!("{} lines have a receipt, {} were not accepted", self.appended, self.other);
        match self.other {
            0 => Ok(()),
            other => Err(problem::no(format!("{other} lines were not accepted"), "each answer above says why")),
        }
    }

    /// Sends lines by a stream; behind one that the door stopped, which ends the stream, by another.
    async fn append(&mut self, session: &Session, mut lines: &[(u64, Vec<u8>)]) -> anyhow::Result<()> {
        while !lines.is_empty() {
            let requests: Vec<_> =
                lines.iter().map(|(_, envelope)| AppendRequest { envelope: envelope.clone() }).collect();
            let mut receipts = session.log().append_stream(tokio_stream::iter(requests)).await?.into_inner();
            let mut answered = 0;
            let stopped = loop {
                match receipts.message().await {
                    Ok(Some(receipt)) => {
                        let line = lines.get(answered).context("the server sent more receipts than lines")?.0;
                        answered += 1;
                        self.tell(line, &receipt)?;
                    }
                    Ok(None) => break None,
                    Err(status) => break Some(status),
                }
            };
            let Some(status) = stopped else {
                anyhow::ensure!(answered == lines.len(), "the server left {} lines out", lines.len() - answered);
                return Ok(());
            };
            // Only what is wrong with one line names its index.
            let info = status.get_details_error_info();
            let at_fault = info.filter(|info| info.metadata.get("index") == Some(&answered.to_string()));
            let (Some(info), Some((line, _))) = (at_fault, lines.get(answered)) else {
                return Err(anyhow::Error::new(status).context(format!("{} lines were appended", self.appended)));
            };
            if !self.keep_going {
                return Err(problem::no(
                    format!("line {line}: {}: {}", info.reason, status.message()),
                    format!("the {} lines before it were appended; --keep-going goes on behind it", self.appended),
                ));
            }
            self.other += 1;
            if self.context.json {
                let rejected = serde_json::json!({ "code": info.reason, "message": status.message() });
                println!("{}", serde_json::json!({ "line": line, "rejected": rejected }));
            } else {
                println!("{line:>6}  rejected  {}: {}", info.reason, status.message());
            }
            lines = &lines[answered + 1..];
        }
        Ok(())
    }

    fn tell(&mut self, line: u64, receipt: &Receipt) -> anyhow::Result<()> {
        self.appended += 1;
        self.other += u64::from(receipt.verdict() != Verdict::Accepted);
        if self.context.json {
            let receipt = crate::json::message("Receipt", receipt)?;
            println!("{}", serde_json::json!({ "line": line, "receipt": receipt }));
            return Ok(());
        }
        let verdict = plain(receipt.verdict().as_str_name(), "VERDICT_");
        let why = match (receipt.verdict(), &receipt.refusal) {
            (Verdict::Duplicate, _) => format!("  stands at position {}", receipt.first_position),
            (_, Some(refusal)) => format!("  {}: {}", refusal.code, refusal.message),
            (_, None) => String::new(),
        };
        println!("{line:>6}  {verdict}  at position {}{why}", receipt.position);
        Ok(())
    }
}

type Numbered = Box<dyn Iterator<Item = anyhow::Result<(u64, Vec<u8>)>> + Send>;

/// The envelopes of a file, each with the number of its line, from 1.
fn numbered(path: &Path) -> anyhow::Result<Numbered> {
    let reader: Box<dyn BufRead + Send> = if path == Path::new("-") {
        Box::new(std::io::BufReader::new(std::io::stdin()))
    } else {
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Box::new(std::io::BufReader::new(file))
    };
    Ok(Box::new((1..).zip(reader.lines()).map(|(number, line): (u64, _)| {
        let line = line.with_context(|| format!("cannot read line {number}"))?;
        Ok((number, envelope(line.trim()).with_context(|| format!("line {number}"))?))
    })))
}

fn envelope(line: &str) -> anyhow::Result<Vec<u8>> {
    if line.starts_with('{') {
        return draft::parse(line).ok_or_else(|| anyhow::anyhow!("it is no envelope in DSSE's JSON"));
    }
    // An envelope begins with the byte 0x0a: in base64 it is never all hex digits of even number.
    if let Ok(bytes) = hex::decode(line) {
        return Ok(bytes);
    }
    BASE64_STANDARD.decode(line).map_err(|_| anyhow::anyhow!("it is neither DSSE's JSON nor hex nor base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_comes_in_json_hex_or_base64() {
        let bytes = attestune_ledger::envelope::SigningKey::from_seed([1; 32]).sign("type", b"payload");
        assert_eq!(envelope(&hex::encode(&bytes)).unwrap(), bytes);
        assert_eq!(envelope(&BASE64_STANDARD.encode(&bytes)).unwrap(), bytes);
        for wrong in ["{}", "zz!", "{"] {
            assert!(envelope(wrong).is_err(), "{wrong}");
        }
    }
}
