//! `attestune report`: what came of it all, in figures.

mod chart;

use crate::{context::Context, moment::Moment, output, session::now_ms};
use anyhow::Context as _;
use attestune_ledger::draft::plain;
use attestune_proto::v1::{Agreement, DetectorReport, EntityReport, ReviewReport, ReviewReportRequest};
use std::path::PathBuf;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Personal data: what detectors found, what reviewers made of it, how long that took, how far they agree
    Pii(Args),
}

#[derive(clap::Args)]
pub struct Args {
    /// The collection; all without it
    collection: Option<String>,
    /// Also draw the findings as an SVG picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    moment: Moment,
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Pii(args) => pii(context, args).await,
    }
}

async fn pii(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let collection = args.collection.clone().unwrap_or_default();
    let (as_of, now_ms) = args.moment.reckoned(now_ms());
    let request = ReviewReportRequest { collection, now_ms, as_of };
    let report = session.review().report(request).await?.into_inner();
    if let Some(path) = &args.svg {
        std::fs::write(path, chart::svg(&report)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if context.json {
        return output::message("ReviewReport", &report);
    }
    for line in backlog(&report) {
        println!("{line}");
    }
    println!();
    let headers = ["found", "detector", "times", "right", "wrong", "precision"];
    output::table(&headers, report.detectors.iter().flat_map(found).collect());
    println!();
    let headers = ["agreement", "compared", "agreed", "kappa"];
    output::table(&headers, agreements(&report));
    Ok(())
}

/// What was decided and what waits, in sentences.
fn backlog(report: &ReviewReport) -> Vec<String> {
    let counts = report.counts.clone().unwrap_or_default();
    let times = report.times.unwrap_or_default();
    let mut lines =
        vec![format!("{} examples, {} flagged, {} decided", report.examples, report.flagged, counts.decided)];
    for row in &report.verdicts {
        let verdict = plain(row.verdict().as_str_name(), "REVIEW_VERDICT_");
        lines.push(format!("  {} {verdict}: {}", row.count, plain(row.reason().as_str_name(), "REVIEW_REASON_")));
    }
    if times.decided > 0 {
        lines.push(format!("half within {}, nine in ten within {}", length(times.median_ms), length(times.p90_ms)));
    }
    let mut waiting = format!("{} wait for a person", counts.waiting);
    if counts.waiting > 0 {
        waiting += &format!(", the oldest for {}", length(now_ms().saturating_sub(counts.oldest_ms)));
    }
    let parts = [
        (counts.overdue, "late"),
        (counts.second, "for a second person"),
        (counts.disputed, "for a third, as two disagree"),
        (counts.unchecked, "not scanned or checked yet"),
    ];
    lines.push(waiting);
    lines.extend(parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("  {count} {what}")));
    for load in &counts.reviewers {
        let parts = [(load.assigned, "assigned"), (load.overdue, "late"), (load.claimed, "claimed")];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts: String = parts.map(|(count, what)| format!(", {count} {what}")).collect();
        lines.push(format!("{} decided {}{parts}", load.reviewer, load.decided));
    }
    if !report.missed.is_empty() {
        let missed: Vec<_> = report.missed.iter().map(|row| format!("{} {}", row.count, row.entity)).collect();
        lines.push(format!("found by people alone: {}", missed.join(", ")));
    }
    lines
}

fn found(detector: &DetectorReport) -> Vec<Vec<String>> {
    let tool = detector.detector.clone().unwrap_or_default();
    let row = |row: &EntityReport| {
        vec![
            row.entity.clone(),
            format!("{}@{}", tool.name, tool.version),
            row.found.to_string(),
            row.right.to_string(),
            row.wrong.to_string(),
            row.precision_ppm.map_or("not decided".into(), rounded),
        ]
    };
    detector.entities.iter().map(row).collect()
}

fn agreements(report: &ReviewReport) -> Vec<Vec<String>> {
    let detectors = report.detectors.iter().map(|row| {
        let tool = row.detector.clone().unwrap_or_default();
        (format!("on {}@{}", tool.name, tool.version), row.agreement)
    });
    let pairs = report.pairs.iter().map(|pair| (format!("{} and {}", pair.one, pair.other), pair.agreement));
    let rows = detectors.chain(pairs).map(|(who, agreement)| (who, agreement.unwrap_or_default()));
    rows.filter(|(_, agreement)| agreement.compared > 0).map(|(who, agreement)| row(who, agreement)).collect()
}

fn row(who: String, agreement: Agreement) -> Vec<String> {
    let kappa = agreement.kappa_ppm.map_or("none: all the same".into(), |ppm| format!("{:.2}", f64::from(ppm) / 1e6));
    vec![who, agreement.compared.to_string(), agreement.agreed.to_string(), kappa]
}

/// A share with one decimal.
fn rounded(ppm: u32) -> String {
    format!("{:.1} %", f64::from(ppm) / 10_000.0)
}

/// A length of time, in two units at most.
fn length(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_proto::v1::{PairAgreement, ReviewCounts, ReviewTimes, ReviewerLoad};

    #[test]
    fn the_backlog_is_told_in_sentences() {
        let load = ReviewerLoad { reviewer: "rita".into(), decided: 7, assigned: 2, overdue: 1, claimed: 0 };
        let counts = ReviewCounts { waiting: 2, overdue: 1, decided: 7, reviewers: vec![load], ..Default::default() };
        let times = Some(ReviewTimes { decided: 7, median_ms: 90_000, p90_ms: 90_000_000 });
        let report = ReviewReport { examples: 9, flagged: 9, counts: Some(counts), times, ..Default::default() };
        let told = backlog(&report).join("\n");
        assert!(told.contains("half within 1 min 30 s, nine in ten within 1 d 1 h"), "{told}");
        assert!(told.contains("2 wait for a person") && told.contains("  1 late"), "{told}");
        assert!(told.contains("rita decided 7, 2 assigned, 1 late"), "{told}");
    }

    #[test]
    fn agreement_without_a_value_says_why() {
        let agreement = |kappa_ppm| Some(Agreement { compared: 5, agreed: 5, kappa_ppm });
        let pair = |one: &str, agreement| PairAgreement { one: one.into(), other: "rolf".into(), agreement };
        let pairs = vec![pair("rita", agreement(None)), pair("omar", agreement(Some(616_000)))];
        let rows = agreements(&ReviewReport { pairs, ..Default::default() });
        assert_eq!(rows[0], ["rita and rolf", "5", "5", "none: all the same"]);
        assert_eq!(rows[1][3], "0.62");
    }
}
