//! `attestune review`: people decide on examples.

mod allow_list;
mod choose;
mod decide;
mod desk;
mod screen;

use crate::{context::Context, moment::Moment, output, problem, session::Session};
use anyhow::Context as _;
use attestune_ledger::draft::plain;
use attestune_proto::v1::{ExampleInfo, ExampleRef, Finding, ListExamplesRequest, ReviewReason, ReviewVerdict};
use attestune_workers::example::{self, ExampleText};
use choose::Chosen;
use clap::{Subcommand, ValueEnum};
use decide::{DECISIONS_MAX, Made};
use std::collections::BTreeMap;
use std::str::FromStr;

/// The kind of what a person found and no detector did.
const OWN_ENTITY: &str = "personal-data";

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Read and decide full-screen, one example after another; what `attestune review` alone does
    Open(screen::Args),
    /// What waits for me or, with --all, for anybody
    Queue(desk::QueueArgs),
    /// Give examples to a reviewer, by a time
    Assign(desk::AssignArgs),
    /// Take examples for myself, so that nobody else reads them meanwhile
    Claim(Chosen),
    /// List the examples of a collection that await a person
    List {
        /// The collection
        collection: String,
        /// All examples, with their status
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        moment: Moment,
    },
    /// Show texts; the read is recorded first
    Show(Chosen),
    /// Approve examples as they are
    Approve {
        #[command(flatten)]
        chosen: Chosen,
        /// Why
        #[arg(long, value_enum, default_value = "no-personal-data")]
        reason: ReasonArg,
    },
    /// Reject examples: they enter no dataset
    Reject {
        #[command(flatten)]
        chosen: Chosen,
        /// Why
        #[arg(long, value_enum, default_value = "personal-data")]
        reason: ReasonArg,
    },
    /// Replace what was found in the examples, and is more than noted, by its kind, such as <EMAIL>; approve the result
    Redact(RedactArgs),
    /// Set decisions aside: the examples await review again
    Reopen(Chosen),
    /// What reviewers found to be no personal data, as a policy that lets it pass: to be adopted, or not
    AllowList(allow_list::Args),
}

#[derive(clap::Args)]
pub struct RedactArgs {
    #[command(flatten)]
    chosen: Chosen,
    /// Why
    #[arg(long, value_enum, default_value = "personal-data")]
    reason: ReasonArg,
    /// Hide these characters instead of what was found: FIRST-END, counted from 0, END not included; of one example
    #[arg(long, value_name = "FIRST-END")]
    hide: Vec<Characters>,
    /// Hide what is only noted as well, such as places and companies
    #[arg(long, conflicts_with = "hide")]
    noted: bool,
    /// Show what would be left, and decide nothing
    #[arg(long)]
    preview: bool,
}

/// Characters of a text, half open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Characters {
    first: u32,
    end: u32,
}

impl FromStr for Characters {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, end) = text.split_once('-').unwrap_or((text, ""));
        let parsed = first.parse().ok().zip(end.parse().ok()).map(|(first, end)| Self { first, end });
        parsed.filter(|c| c.first < c.end).ok_or_else(|| "FIRST-END is expected, such as 12-30".into())
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub enum ReasonArg {
    NoPersonalData,
    PersonalData,
    Fictitious,
    WrongLabel,
    Unsuitable,
}

impl From<ReasonArg> for ReviewReason {
    fn from(reason: ReasonArg) -> Self {
        match reason {
            ReasonArg::NoPersonalData => Self::NoPersonalData,
            ReasonArg::PersonalData => Self::PersonalData,
            ReasonArg::Fictitious => Self::Fictitious,
            ReasonArg::WrongLabel => Self::WrongLabel,
            ReasonArg::Unsuitable => Self::Unsuitable,
        }
    }
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let Some(command) = &args.command else { return screen::run(context, &screen::Args::default()).await };
    match command {
        Command::Open(args) => screen::run(context, args).await,
        Command::Queue(args) => desk::queue(context, args).await,
        Command::Assign(args) => desk::assign(context, args).await,
        Command::Claim(chosen) => desk::claim(context, chosen).await,
        Command::List { collection, all, moment } => {
            let session = context.connect().await?;
            list(context, &session, collection, !all, moment).await
        }
        Command::Show(chosen) => {
            let session = context.connect_as_actor().await?;
            show(context, &session, chosen).await
        }
        Command::Approve { chosen, reason } => decide(context, chosen, ReviewVerdict::Approve, (*reason).into()).await,
        Command::Reject { chosen, reason } => decide(context, chosen, ReviewVerdict::Reject, (*reason).into()).await,
        Command::Redact(args) => redact(context, args).await,
        Command::Reopen(chosen) => desk::reopen(context, chosen).await,
        Command::AllowList(args) => allow_list::run(context, args).await,
    }
}

async fn examples(session: &Session, collection: &str, awaiting_review: bool) -> anyhow::Result<Vec<ExampleInfo>> {
    examples_at(session, collection, awaiting_review, &Moment::default()).await
}

async fn examples_at(
    session: &Session,
    collection: &str,
    awaiting_review: bool,
    moment: &Moment,
) -> anyhow::Result<Vec<ExampleInfo>> {
    let request = ListExamplesRequest {
        collection: collection.into(),
        awaiting_review,
        as_of: moment.as_of(),
        ..Default::default()
    };
    Ok(session.registry().list_examples(request).await?.into_inner().examples)
}

async fn list(
    context: &Context,
    session: &Session,
    collection: &str,
    awaiting: bool,
    moment: &Moment,
) -> anyhow::Result<()> {
    let examples = examples_at(session, collection, awaiting, moment).await?;
    if context.json {
        let response = attestune_proto::v1::ListExamplesResponse { examples };
        return output::message("ListExamplesResponse", &response);
    }
    let rows = examples.iter().map(|info| {
        let at = reference(info);
        vec![
            format!("{}/{}", at.batch, at.index),
            plain(info.status().as_str_name(), "EXAMPLE_STATUS_"),
            findings(info),
            if info.redacted { "redacted".into() } else { String::new() },
        ]
    });
    output::table(&["example", "status", "findings", ""], rows.collect());
    Ok(())
}

/// What was found in an example, in words.
fn findings(info: &ExampleInfo) -> String {
    let show = |(number, finding): (u32, &Finding)| {
        let noted = if info.noted.contains(&number) { ", noted" } else { "" };
        let score = output::percent(finding.score_ppm);
        format!("{} {}-{} ({score}{noted})", finding.entity, finding.start, finding.end)
    };
    (0..).zip(&info.findings).map(show).collect::<Vec<_>>().join(", ")
}

/// What was found in an example: what asks for a review, and what the scan only notes.
fn flagged_and_noted(info: &ExampleInfo) -> (Vec<Finding>, Vec<Finding>) {
    let (noted, flagged): (Vec<_>, Vec<_>) =
        (0..).zip(&info.findings).partition(|(number, _)| info.noted.contains(number));
    let findings = |some: Vec<(u32, &Finding)>| some.into_iter().map(|(_, finding)| finding.clone()).collect();
    (findings(flagged), findings(noted))
}

fn reference(info: &ExampleInfo) -> ExampleRef {
    info.example.unwrap_or_default()
}

async fn texts(session: &Session, infos: &[ExampleInfo]) -> anyhow::Result<Vec<ExampleText>> {
    let mut texts = Vec::with_capacity(infos.len());
    for chunk in infos.chunks(DECISIONS_MAX) {
        let sealed = chunk.iter().map(|info| info.content.clone().unwrap_or_default()).collect();
        for content in session.unseal(sealed).await? {
            texts.push(parse_text(&content)?);
        }
    }
    Ok(texts)
}

fn parse_text(content: &[u8]) -> anyhow::Result<ExampleText> {
    // The error names the place, not the text.
    serde_json::from_slice(content).context("an example's text is not what `derive` writes")
}

async fn show(context: &Context, session: &Session, chosen: &Chosen) -> anyhow::Result<()> {
    let infos = choose::choose(session, chosen).await?;
    let texts = texts(session, &infos).await?;
    if context.json {
        let rows = infos.iter().zip(&texts).map(|(info, text)| {
            Ok(serde_json::json!({ "info": crate::json::message("ExampleInfo", info)?, "prompt": text.prompt, "answer": text.answer }))
        });
        return output::value(&serde_json::Value::Array(rows.collect::<anyhow::Result<_>>()?));
    }
    for (info, text) in infos.iter().zip(&texts) {
        print_text(info, text);
    }
    Ok(())
}

/// Prints a text, without what would move the cursor or turn its letters round.
fn print_text(info: &ExampleInfo, text: &ExampleText) {
    let at = reference(info);
    println!("{}/{}  {}", at.batch, at.index, findings(info));
    for line in text.prompt.lines().chain([text.answer.as_str()]) {
        println!("    {}", screen::inert(line));
    }
}

async fn decide(
    context: &Context,
    chosen: &Chosen,
    verdict: ReviewVerdict,
    reason: ReviewReason,
) -> anyhow::Result<()> {
    let session = context.connect_as_actor().await?;
    let infos = choose::choose(&session, chosen).await?;
    let made = |info: &ExampleInfo| Made { at: reference(info), verdict, reason, hidden: Vec::new(), redacted: None };
    sign(context, &session, infos.iter().map(made).collect(), chosen, verdict).await
}

async fn redact(context: &Context, args: &RedactArgs) -> anyhow::Result<()> {
    let session = context.connect_as_actor().await?;
    let infos = choose::choose(&session, &args.chosen).await?;
    if !args.hide.is_empty() && infos.len() != 1 {
        return Err(problem::cannot(
            format!("--hide names characters of one example, and {} fit", infos.len()),
            "name one example, such as 24/7",
        ));
    }
    let mut made = Vec::new();
    let mut left = BTreeMap::new();
    for (info, text) in infos.iter().zip(texts(&session, &infos).await?) {
        let (hidden, stays) = match args.hide.is_empty() {
            true => found(info, args.noted)?,
            false => (own(&text, &args.hide)?, Vec::new()),
        };
        stays.into_iter().for_each(|finding| *left.entry(finding.entity).or_insert(0u32) += 1);
        let at = reference(info);
        let redacted = example::redact(&text, &hidden);
        if args.preview {
            print_text(&ExampleInfo { findings: hidden, noted: Vec::new(), ..info.clone() }, &redacted);
            continue;
        }
        let (verdict, reason) = (ReviewVerdict::Redact, args.reason.into());
        made.push(Made { at, verdict, reason, hidden, redacted: Some(redacted) });
    }
    if !left.is_empty() {
        let kinds: Vec<String> = left.iter().map(|(entity, count)| format!("{count} {entity}")).collect();
        eprintln!("what is only noted stays ({}); --noted hides it, too", kinds.join(", "));
    }
    if args.preview {
        return Ok(());
    }
    sign(context, &session, made, &args.chosen, ReviewVerdict::Redact).await
}

/// What a redaction hides of what was found, and what it leaves.
fn found(info: &ExampleInfo, noted_too: bool) -> anyhow::Result<(Vec<Finding>, Vec<Finding>)> {
    let at = reference(info);
    let (hidden, stays) = match flagged_and_noted(info) {
        (flagged, noted) if noted_too => (ascending([flagged, noted].concat()), Vec::new()),
        (flagged, noted) => (ascending(flagged), noted),
    };
    if !hidden.is_empty() {
        return Ok((hidden, stays));
    }
    let (what, how) = match stays.is_empty() {
        true => ("nothing was found", "say what to hide: --hide FIRST-END"),
        false => ("nothing was found but what is only noted", "hide that as well: --noted"),
    };
    Err(problem::cannot(
        format!("{what} in {}/{}, so there is nothing to redact", at.batch, at.index),
        format!("approve or reject it, or {how}"),
    ))
}

/// The characters that a person hides, as findings.
fn own(text: &ExampleText, hide: &[Characters]) -> anyhow::Result<Vec<Finding>> {
    let length = example::scan_text(text).chars().count() as u32;
    if let Some(past) = hide.iter().find(|c| c.end > length) {
        return Err(problem::cannot(
            format!("{}-{} reaches past the end of the text, which has {length} characters", past.first, past.end),
            "count from 0, through the prompt, one for the end of its line, and the answer",
        ));
    }
    let finding = |c: &Characters| Finding { entity: OWN_ENTITY.into(), start: c.first, end: c.end, score_ppm: 0 };
    Ok(ascending(hide.iter().map(finding).collect()))
}

/// Findings in the order in which a decision names them, none twice.
fn ascending(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by(|a, b| (a.start, a.end, &a.entity).cmp(&(b.start, b.end, &b.entity)));
    findings.dedup_by(|a, b| (a.start, a.end, &a.entity) == (b.start, b.end, &b.entity));
    findings
}

async fn sign(
    context: &Context,
    session: &Session,
    made: Vec<Made>,
    chosen: &Chosen,
    verdict: ReviewVerdict,
) -> anyhow::Result<()> {
    if made.is_empty() {
        eprintln!("no example fits");
        return Ok(());
    }
    let examples = made.len();
    let positions = decide::sign(session, made).await?;
    let verdict = plain(verdict.as_str_name(), "REVIEW_VERDICT_");
    if context.json {
        return output::value(&serde_json::json!({ "verdict": verdict, "examples": examples, "positions": positions }));
    }
    println!("{examples} examples of {}: {verdict}", chosen.collection);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_a_first_and_an_end() {
        assert_eq!("12-30".parse(), Ok(Characters { first: 12, end: 30 }));
        for wrong in ["", "12", "30-12", "4-4", "-3", "a-b"] {
            assert!(wrong.parse::<Characters>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_redaction_leaves_what_is_only_noted_unless_it_is_asked_to_hide_it() {
        let finding =
            |entity: &str, start| Finding { entity: entity.into(), start, end: start + 4, score_ppm: 800_000 };
        let info = |findings, noted| ExampleInfo { findings, noted, ..Default::default() };
        let both = info(vec![finding("location", 9), finding("email", 3), finding("email", 3)], vec![0]);
        let entities = |some: &[Finding]| some.iter().map(|f| f.entity.clone()).collect::<Vec<_>>();
        let (hidden, stays) = found(&both, false).unwrap();
        assert_eq!((entities(&hidden), entities(&stays)), (vec!["email".into()], vec!["location".into()]));
        let (hidden, stays) = found(&both, true).unwrap();
        assert_eq!((entities(&hidden), stays.len()), (vec!["email".into(), "location".into()], 0));
        let noted = info(vec![finding("location", 9)], vec![0]);
        assert!(format!("{:?}", found(&noted, false).unwrap_err()).contains("only noted"));
        assert_eq!(found(&noted, true).unwrap().0.len(), 1);
        assert!(found(&info(Vec::new(), Vec::new()), true).is_err());
    }

    #[test]
    fn what_a_person_hides_lies_within_the_text_and_ascends() {
        let text = ExampleText { prompt: "0123".into(), answer: "56".into() };
        let hidden = own(&text, &[Characters { first: 5, end: 7 }, Characters { first: 0, end: 2 }]).unwrap();
        assert_eq!(hidden.iter().map(|f| (f.start, f.end)).collect::<Vec<_>>(), [(0, 2), (5, 7)]);
        assert!(own(&text, &[Characters { first: 5, end: 8 }]).is_err());
    }
}
