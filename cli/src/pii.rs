//! `attestune pii`: personal data without a ledger: `scan` a file, `serve` programs; and what a ledger's worker looks for.

mod pieces;
mod serve;
mod settings;

pub use settings::{Settings, detector};

use crate::{context::Context, output, problem};
use attestune_ledger::refusal;
use attestune_pii::{Finding, Scanner};
use clap::Subcommand;
use pieces::Piece;
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Characters shown on each side of a finding.
const AROUND: usize = 40;

#[derive(Subcommand)]
pub enum Command {
    /// Scan a file of CSV, JSONL or text; needs no ledger and records nothing
    Scan {
        /// The file; of CSV each cell and of JSONL each string is a text
        file: PathBuf,
        #[command(flatten)]
        settings: Settings,
        /// Say as well what was looked for and what was not, and the languages of the texts
        #[arg(long)]
        coverage: bool,
    },
    /// Serve Presidio's REST services: /analyze, /anonymize and what belongs to them; needs no ledger
    Serve {
        /// Where; loopback only, as it is plain text
        #[arg(long, default_value = "127.0.0.1:5002", value_name = "ADDRESS:PORT")]
        listen: SocketAddr,
        #[command(flatten)]
        settings: Settings,
    },
    /// Print the detector's name for a policy; it changes with the configuration
    Detector {
        #[command(flatten)]
        settings: Settings,
    },
    /// Let the folder's worker look for something else than the default; prints the detector's name for the policy
    Use {
        #[command(flatten)]
        settings: Settings,
    },
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Scan { file, settings, coverage } => {
            let scanner = settings.scanner()?;
            let (json, coverage, file) = (context.json, *coverage, file.clone());
            tokio::task::spawn_blocking(move || scan(&scanner, &file, json, coverage)).await?
        }
        Command::Serve { listen, settings } => serve::run(*listen, settings).await,
        Command::Detector { settings } => {
            println!("{}", detector(&settings.scanner()?));
            Ok(())
        }
        Command::Use { settings } => {
            let folder = context.folder();
            folder.ledger()?;
            let scanner = settings.keep(&folder)?;
            println!("{}", detector(&scanner));
            eprintln!("the folder's worker scans as this from its next start on; the policy must name it");
            Ok(())
        }
    }
}

fn scan(scanner: &Scanner, file: &Path, json: bool, coverage: bool) -> anyhow::Result<()> {
    let mut failure = None;
    let pieces = pieces::read(file)?.map_while(|piece| piece.map_err(|error| failure = Some(error)).ok());
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let paint = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut languages: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut texts, mut with_findings) = (0u64, 0u64);
    for (piece, findings) in scanner.scan_stream(pieces) {
        texts += 1;
        for language in coverage.then(|| attestune_pii::languages(&piece.text)).into_iter().flatten() {
            *languages.entry(language).or_default() += 1;
        }
        with_findings += u64::from(!findings.is_empty());
        for finding in &findings {
            *counts.entry(finding.entity.name()).or_default() += 1;
        }
        match json {
            true if findings.is_empty() => {}
            true => writeln!(out, "{}", as_json(&piece, &findings))?,
            false => show(&mut out, file, &piece, &findings, paint)?,
        }
    }
    if json {
        let mut end = serde_json::json!({ "texts": texts, "with_findings": with_findings, "counts": counts });
        if coverage {
            end["coverage"] = serde_json::to_value(scanner.coverage())?;
            end["coverage"]["texts_by_language"] = serde_json::json!(languages);
        }
        if failure.is_none() {
            writeln!(out, "{end}")?;
        }
    }
    out.flush()?;
    if let Some(error) = failure {
        let remedy = "what stands before it was scanned; mend the file and scan it again";
        return Err(problem::cannot(format!("{}: {error:#}", file.display()), remedy));
    }
    if !json {
        if coverage {
            say_coverage(scanner, &languages);
        }
        let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let counts = if counts.is_empty() { "nothing found".to_owned() } else { counts.join(", ") };
        eprintln!("{texts} texts, {with_findings} with findings: {counts}");
    }
    Ok(())
}

fn as_json(piece: &Piece, findings: &[Finding]) -> serde_json::Value {
    let found = findings.iter().map(|finding| {
        let mut one = serde_json::json!(finding);
        one["text"] = slice(&piece.text, finding.start as usize, finding.end as usize).into();
        one
    });
    let found: Vec<serde_json::Value> = found.collect();
    serde_json::json!({ "line": piece.line, "field": piece.field, "findings": found })
}

/// A line for each finding: where, the words around, and in it what it is and how sure.
fn show(
    out: &mut impl std::io::Write,
    file: &Path,
    piece: &Piece,
    findings: &[Finding],
    paint: bool,
) -> std::io::Result<()> {
    let (strong, plain) = if paint { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let (mut line, mut counted) = (piece.line, 0);
    for finding in findings {
        let (start, end) = (finding.start as usize, finding.end as usize);
        line += slice(&piece.text, counted, start).matches('\n').count() as u64;
        counted = start;
        let before = slice(&piece.text, start.saturating_sub(AROUND), start);
        let before = before.rsplit('\n').next().unwrap_or_default();
        let after = slice(&piece.text, end, end + AROUND);
        let after = after.split('\n').next().unwrap_or_default();
        let found = printable(slice(&piece.text, start, end));
        let field = if piece.field.is_empty() { String::new() } else { format!(" {}", piece.field) };
        let score = output::percent(finding.score_ppm);
        writeln!(
            out,
            "{}:{line}{field}: {}{strong}[{} {score}: {found}]{plain}{}",
            file.display(),
            printable(before),
            finding.entity,
            printable(after),
        )?;
    }
    Ok(())
}

/// Without what would move the cursor, colour the terminal or turn what follows.
fn printable(text: &str) -> String {
    refusal::printable(&text.replace(char::is_control, " "))
}

/// The part of a text between two code points.
fn slice(text: &str, start: usize, end: usize) -> &str {
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let from = places.nth(start).unwrap_or(text.len());
    let to = if end > start { places.nth(end - start - 1).unwrap_or(text.len()) } else { from };
    &text[from..to]
}

fn say_coverage(scanner: &Scanner, languages: &BTreeMap<&str, u64>) {
    let coverage = scanner.coverage();
    eprintln!("scanned as {}", detector(scanner));
    for part in &coverage.detectors {
        let kinds: Vec<&str> = part.entities.iter().map(|entity| entity.name()).collect();
        let made_for = part.languages.join(" ");
        eprintln!("{} {}, made for {made_for}, looked for {}", part.name, part.version, kinds.join(", "));
    }
    for skipped in &coverage.skipped {
        eprintln!("not looked for: {}: {}", skipped.entity, skipped.why);
    }
    let languages: Vec<String> = languages.iter().map(|(language, texts)| format!("{language} {texts}")).collect();
    eprintln!("texts by language: {}", languages.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_count_code_points_and_end_with_the_text() {
        assert_eq!(slice("äöü", 1, 2), "ö");
        assert_eq!(slice("äöü", 1, 9), "öü");
        assert_eq!((slice("äöü", 2, 2), slice("äöü", 7, 9)), ("", ""));
    }

    #[test]
    fn a_finding_is_shown_with_its_words_and_without_control_characters() {
        let piece =
            Piece { line: 7, field: "note".into(), text: "a\nwrite to\x1b zoe@example.org, now\u{202e}\nb".into() };
        let mut out = Vec::new();
        let findings = Scanner::default().scan(&piece.text);
        show(&mut out, Path::new("x.csv"), &piece, &findings, false).unwrap();
        let shown = String::from_utf8(out).unwrap();
        assert_eq!(shown, "x.csv:8 note: write to  [email 95 %: zoe@example.org], now\u{fffd}\n");
    }
}
