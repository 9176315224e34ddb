//! `attestune bench`: what it does in a second, and how that compares with others on this machine.
//!
//! Every peer runs here, in turns with us, and medians over the rounds are shown; a ratio says more than a number, as
//! machines differ. Nothing fails because a goal is missed: figures are read by people.

mod append;
mod brokers;
mod evidence;
mod figure;
mod kafka;
mod life;
mod machine;
mod pages;
mod pii;
mod postgres;
mod query;
mod replay;
mod scan;
mod serve;
mod spans;
mod train;

use crate::{context::Context, output};
use figure::Results;
use machine::Machine;
use serde::Serialize;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// What to measure
    #[arg(value_enum, default_value_t = Part::All)]
    part: Part,
    /// Events of the log that is replayed and asked
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(2_000..=100_000_000))]
    events: u64,
    /// How often each is measured, in turns
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The model that is trained and served, instead of the one that `scripts/fetch-model` places
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Install what is missing: PostgreSQL by apt, which needs root, llama.cpp by pip
    #[arg(long)]
    install: bool,
    /// A turn that a bench runs in a process of its own
    #[arg(long, hide = true, requires = "at")]
    child: Option<String>,
    #[arg(long, hide = true)]
    at: Option<PathBuf>,
}

/// A part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Fold a log from nothing, beside verifying its signatures alone
    Replay,
    /// Append to a durable receipt, beside PostgreSQL
    Append,
    /// Bytes on disk
    Disk,
    /// Questions to a folded ledger
    Query,
    /// Pages of a folded ledger
    Pages,
    /// Why a version is in force, at ten thousand events and more; proofs; bundles of evidence
    Evidence,
    /// LoRA training, beside plain candle
    Train,
    /// Decoding with the served model, beside llama.cpp; an adapter's switch
    Serve,
    /// The log on Kafka, beside plain rdkafka on brokers of its own
    Kafka,
    /// Scans by one worker and by two that share them over Kafka
    Scan,
    /// Personal data found, beside Presidio's figures; speed and memory
    Pii,
    /// All of them
    All,
}

/// How to measure.
pub struct Plan {
    events: u64,
    rounds: u32,
    model: Option<PathBuf>,
    install: bool,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    if let (Some(work), Some(at)) = (&args.child, &args.at) {
        return turn(work, at).await;
    }
    let Args { events, rounds, model, install, .. } = args;
    let plan = Plan { events: *events, rounds: *rounds, model: model.clone(), install: *install };
    let machine = Machine::here();
    let results = measure(args.part, &plan).await?;
    if context.json {
        return output::value(&serde_json::json!({
            "machine": machine,
            "events": plan.events,
            "rounds": plan.rounds,
            "figures": results.figures,
            "skipped": results.skipped,
            "notes": results.notes,
        }));
    }
    machine.print();
    println!("medians of {} rounds, in turns with the peers\n", plan.rounds);
    figure::table(&results.figures);
    for skipped in &results.skipped {
        println!("skipped: {}: {}", skipped.part, skipped.why);
    }
    for note in &results.notes {
        println!("{note}");
    }
    Ok(())
}

async fn measure(part: Part, plan: &Plan) -> anyhow::Result<Results> {
    let mut results = Results::default();
    let wants = |other: Part| part == other || part == Part::All;
    let replayed = if wants(Part::Replay) {
        let (figures, replayed) = replay::run(plan)?;
        results.add(figures);
        Some(replayed)
    } else if [Part::Disk, Part::Query, Part::Evidence, Part::Pages].into_iter().any(wants) {
        Some(replay::folded_once(plan)?)
    } else {
        None
    };
    if let Some(replayed) = &replayed {
        if wants(Part::Disk) {
            results.add(replay::disk(replayed)?);
        }
        if wants(Part::Query) {
            results.add(query::run(plan, replayed).await?);
        }
        if wants(Part::Pages) {
            results.add(pages::run(plan, replayed).await?);
        }
        if wants(Part::Evidence) {
            results.add(evidence::run(plan, replayed).await?);
        }
    }
    drop(replayed);
    if wants(Part::Append) {
        results.add(append::run(plan).await?);
    }
    if wants(Part::Kafka) {
        results.add(kafka::run(plan)?);
    }
    if wants(Part::Scan) {
        results.add(scan::run(plan).await?);
    }
    if wants(Part::Pii) {
        results.add(pii::run(plan)?);
    }
    if wants(Part::Train) {
        results.add(train::run(plan)?);
    }
    if wants(Part::Serve) {
        results.add(serve::run(plan).await?);
    }
    Ok(results)
}

/// One turn, for the process that waits for it.
async fn turn(work: &str, at: &std::path::Path) -> anyhow::Result<()> {
    fn answer(value: impl Serialize) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string(&value)?);
        Ok(())
    }
    match (work, work.strip_prefix("train-"), work.strip_prefix(pii::TURN)) {
        ("answer", ..) => answer(evidence::answer_here(at).await?),
        ("fold", ..) => answer(replay::fold_here(at)?),
        ("follow", ..) => answer(kafka::follow_here(at)?),
        ("verify", ..) => answer(replay::verify_here(at)?),
        (_, Some(rounds), _) => answer(train::train_here(at, rounds.parse()?)?),
        (_, _, Some(megabytes)) => answer(pii::stream_here(megabytes.parse()?)),
        _ => anyhow::bail!("a bench has no turn {work}"),
    }
}
