//! `attestune review`: a person decides on examples.

use crate::{context::Context, output, problem, session::Session};
use anyhow::Context as _;
use attestune_ledger::draft::plain;
use attestune_proto::v1::{
    BatchReview, Decision, ExampleInfo, ExampleRef, ExamplesReviewed, Finding, ListExamplesRequest, ReviewReason,
    ReviewVerdict, event::Body,
};
use attestune_workers::example::{self, ExampleText};
use clap::{Subcommand, ValueEnum};
use std::{collections::BTreeMap, str::FromStr};

/// Most decisions in one event; the ledger's limit.
const DECISIONS_MAX: usize = 512;

#[derive(Subcommand)]
pub enum Command {
    /// List the examples of a collection that await a person
    List {
        /// The collection
        collection: String,
        /// All examples, with their status
        #[arg(long)]
        all: bool,
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
    /// Replace what was found in the examples by its kind, such as <EMAIL>, and approve the result
    Redact {
        #[command(flatten)]
        chosen: Chosen,
        /// Why
        #[arg(long, value_enum, default_value = "personal-data")]
        reason: ReasonArg,
    },
}

#[derive(clap::Args)]
pub struct Chosen {
    /// The collection
    collection: String,
    /// Examples: BATCH/INDEX, BATCH/FIRST-LAST, or their number in the collection, counted from 1
    examples: Vec<Range>,
    /// All that await review
    #[arg(long, conflicts_with = "examples")]
    all_flagged: bool,
    /// Those that await review and whose text contains this
    #[arg(long, conflicts_with_all = ["examples", "all_flagged"], value_name = "TEXT")]
    containing: Vec<String>,
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

/// Examples of one batch, or of the whole collection, first and last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Without it the numbers count through the collection, from 1.
    batch: Option<u64>,
    first: u32,
    last: u32,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (batch, indices) = match text.split_once('/') {
                Some((batch, indices)) => (Some(batch.parse().ok()?), indices),
                None => (None, text),
            };
            let (first, last) = indices.split_once('-').unwrap_or((indices, indices));
            Some(Self { batch, first: first.parse().ok()?, last: last.parse().ok()? })
        };
        let range = parse().filter(|range| range.first <= range.last && (range.batch.is_some() || range.first > 0));
        range.ok_or_else(|| "BATCH/INDEX is expected, such as 24/7 or 24/0-31, or a number from 1 on".into())
    }
}

impl Range {
    /// Whether it holds the example that is `number` in its collection.
    fn holds(&self, number: u32, example: &ExampleRef) -> bool {
        let place = if self.batch.is_some() { example.index } else { number };
        self.batch.is_none_or(|batch| batch == example.batch) && (self.first..=self.last).contains(&place)
    }

    fn len(&self) -> usize {
        (self.last - self.first) as usize + 1
    }
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List { collection, all } => {
            let session = context.connect().await?;
            list(context, &session, collection, !all).await
        }
        Command::Show(chosen) => {
            let session = context.connect_as_actor().await?;
            show(context, &session, chosen).await
        }
        Command::Approve { chosen, reason } => decide(context, chosen, ReviewVerdict::Approve, (*reason).into()).await,
        Command::Reject { chosen, reason } => decide(context, chosen, ReviewVerdict::Reject, (*reason).into()).await,
        Command::Redact { chosen, reason } => decide(context, chosen, ReviewVerdict::Redact, (*reason).into()).await,
    }
}

async fn examples(session: &Session, collection: &str, awaiting_review: bool) -> anyhow::Result<Vec<ExampleInfo>> {
    let request = ListExamplesRequest { collection: collection.into(), awaiting_review, ..Default::default() };
    Ok(session.registry().list_examples(request).await?.into_inner().examples)
}

async fn list(context: &Context, session: &Session, collection: &str, awaiting: bool) -> anyhow::Result<()> {
    let examples = examples(session, collection, awaiting).await?;
    if context.json {
        let response = attestune_proto::v1::ListExamplesResponse { examples };
        return output::message("ListExamplesResponse", &response);
    }
    let rows = examples.iter().map(|info| {
        let at = reference(info);
        vec![
            format!("{}/{}", at.batch, at.index),
            plain(info.status().as_str_name(), "EXAMPLE_STATUS_"),
            findings(&info.findings),
            if info.redacted { "redacted".into() } else { String::new() },
        ]
    });
    output::table(&["example", "status", "findings", ""], rows.collect());
    Ok(())
}

fn findings(findings: &[Finding]) -> String {
    let show = |finding: &Finding| {
        format!("{} {}-{} ({})", finding.entity, finding.start, finding.end, output::percent(finding.score_ppm))
    };
    findings.iter().map(show).collect::<Vec<_>>().join(", ")
}

fn reference(info: &ExampleInfo) -> ExampleRef {
    info.example.unwrap_or_default()
}

/// The examples that the command line names, with their texts where it needed them.
async fn choose(session: &Session, chosen: &Chosen) -> anyhow::Result<Vec<ExampleInfo>> {
    let by_place = !chosen.examples.is_empty();
    if !by_place && !chosen.all_flagged && chosen.containing.is_empty() {
        return Err(problem::cannot(
            "no examples are named",
            "name them as BATCH/INDEX (see `attestune review list`), or say --all-flagged",
        ));
    }
    let mut infos = examples(session, &chosen.collection, !by_place).await?;
    if by_place {
        let mut kept = Vec::new();
        for range in &chosen.examples {
            let found = (1..).zip(&infos).filter(|(number, info)| range.holds(*number, &reference(info)));
            let found: Vec<_> = found.map(|(_, info)| info.clone()).collect();
            if found.len() != range.len() {
                return Err(problem::cannot(
                    format!("{} of the {} examples named stand in {}", found.len(), range.len(), chosen.collection),
                    "see `attestune review list COLLECTION --all`",
                ));
            }
            kept.extend(found);
        }
        kept.sort_by_key(|info| (reference(info).batch, reference(info).index));
        kept.dedup_by_key(|info| reference(info));
        infos = kept;
    }
    if !chosen.containing.is_empty() {
        let texts = texts(session, &infos).await?;
        let holds = |text: &ExampleText| chosen.containing.iter().any(|part| example::scan_text(text).contains(part));
        let kept = infos.into_iter().zip(texts).filter(|(_, text)| holds(text));
        infos = kept.map(|(info, _)| info).collect();
    }
    Ok(infos)
}

async fn texts(session: &Session, infos: &[ExampleInfo]) -> anyhow::Result<Vec<ExampleText>> {
    let mut texts = Vec::with_capacity(infos.len());
    for chunk in infos.chunks(DECISIONS_MAX) {
        let sealed = chunk.iter().map(|info| info.content.clone().unwrap_or_default()).collect();
        for content in session.unseal(sealed).await? {
            texts.push(serde_json::from_slice(&content).context("an example's text is not what `derive` writes")?);
        }
    }
    Ok(texts)
}

async fn show(context: &Context, session: &Session, chosen: &Chosen) -> anyhow::Result<()> {
    let infos = choose(session, chosen).await?;
    let texts = texts(session, &infos).await?;
    if context.json {
        let rows = infos.iter().zip(&texts).map(|(info, text)| {
            Ok(serde_json::json!({ "info": crate::json::message("ExampleInfo", info)?, "prompt": text.prompt, "answer": text.answer }))
        });
        return output::value(&serde_json::Value::Array(rows.collect::<anyhow::Result<_>>()?));
    }
    for (info, text) in infos.iter().zip(&texts) {
        let at = reference(info);
        println!("{}/{}  {}", at.batch, at.index, findings(&info.findings));
        for line in text.prompt.lines().chain([text.answer.as_str()]) {
            println!("    {line}");
        }
    }
    Ok(())
}

async fn decide(
    context: &Context,
    chosen: &Chosen,
    verdict: ReviewVerdict,
    reason: ReviewReason,
) -> anyhow::Result<()> {
    let session = context.connect_as_actor().await?;
    let infos = choose(&session, chosen).await?;
    if infos.is_empty() {
        eprintln!("no example fits");
        return Ok(());
    }
    let mut positions = Vec::new();
    for chunk in infos.chunks(DECISIONS_MAX) {
        let mut batches: BTreeMap<u64, Vec<&ExampleInfo>> = BTreeMap::new();
        for info in chunk {
            batches.entry(reference(info).batch).or_default().push(info);
        }
        let mut reviews = Vec::new();
        for (batch, infos) in batches {
            reviews.push(review(&session, batch, &infos, verdict, reason).await?);
        }
        let receipt = session.act(Body::ExamplesReviewed(ExamplesReviewed { batches: reviews })).await?;
        positions.push(receipt.position);
    }
    let verdict = plain(verdict.as_str_name(), "REVIEW_VERDICT_");
    if context.json {
        return output::value(
            &serde_json::json!({ "verdict": verdict, "examples": infos.len(), "positions": positions }),
        );
    }
    println!("{} examples of {}: {verdict}", infos.len(), chosen.collection);
    Ok(())
}

async fn review(
    session: &Session,
    batch: u64,
    infos: &[&ExampleInfo],
    verdict: ReviewVerdict,
    reason: ReviewReason,
) -> anyhow::Result<BatchReview> {
    let mut infos = infos.to_vec();
    infos.sort_by_key(|info| reference(info).index);
    let (pack, redacted) =
        if verdict == ReviewVerdict::Redact { redact(session, &infos).await? } else { Default::default() };
    let mut redacted = redacted.into_iter();
    let decision = |info: &&ExampleInfo| Decision {
        index: reference(info).index,
        verdict: verdict.into(),
        reason: reason.into(),
        redacted: redacted.next().unwrap_or_default(),
    };
    Ok(BatchReview { batch, decisions: infos.iter().map(decision).collect(), pack })
}

/// Seals the redacted texts: their pack and commitments, in order.
async fn redact(session: &Session, infos: &[&ExampleInfo]) -> anyhow::Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let owned: Vec<ExampleInfo> = infos.iter().map(|info| (*info).clone()).collect();
    let mut contents = Vec::new();
    for (info, text) in owned.iter().zip(texts(session, &owned).await?) {
        let at = reference(info);
        if info.findings.is_empty() {
            return Err(problem::cannot(
                format!("nothing was found in {}/{}, so there is nothing to redact", at.batch, at.index),
                "approve or reject it",
            ));
        }
        contents.push(serde_json::to_vec(&example::redact(&text, &info.findings))?);
    }
    let sealed = session.seal(contents, "").await?;
    Ok((sealed.pack, sealed.commitments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_named_by_batch_and_index() {
        assert_eq!("24/7".parse(), Ok(Range { batch: Some(24), first: 7, last: 7 }));
        assert_eq!("24/0-31".parse(), Ok(Range { batch: Some(24), first: 0, last: 31 }));
        assert_eq!("9".parse(), Ok(Range { batch: None, first: 9, last: 9 }));
        for wrong in ["", "0", "24/", "24/3-1", "/3", "a/b", "24/-1"] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_count_from_one_and_indices_from_zero() {
        let second = ExampleRef { batch: 24, index: 1 };
        assert!("2".parse::<Range>().unwrap().holds(2, &second));
        assert!("24/1".parse::<Range>().unwrap().holds(2, &second));
        assert!(!"25/1".parse::<Range>().unwrap().holds(2, &second));
    }
}
