//! `attestune eval`: evaluations of a version by a suite.

use crate::{
    base, cases,
    context::Context,
    moment::Moment,
    output, problem, promote,
    provenance::version,
    session::{Session, list},
    suite,
    wait::{self, Progress},
};
use attestune_ledger::draft::plain;
use attestune_proto::v1::{
    EvaluationProvenance, EvaluationRequested, EvaluationRow, GetModelVersionRequest, WorkStatus, event::Body,
};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Request an evaluation; an evaluator claims it
    Request {
        /// The version, MODEL@N
        #[arg(value_parser = promote::parse_version)]
        version: (String, u32),
        /// The suite: its name or position
        #[arg(long)]
        suite: String,
        /// Wait for the end, and run the evaluator inside if no `attestune up` does
        #[arg(long)]
        wait: bool,
    },
    /// Show a version's evaluations against the bars, or the newest one case by case
    Show {
        /// The version, MODEL@N
        #[arg(value_parser = promote::parse_version)]
        version: (String, u32),
        /// Show what was asked, expected and answered; the read is recorded first
        #[arg(long)]
        cases: bool,
        /// Only the cases that were not passed
        #[arg(long, requires = "cases")]
        failed: bool,
        #[command(flatten)]
        moment: Moment,
    },
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Request { version: (model, number), suite, wait } => {
            let session = context.connect_as_actor().await?;
            let suite = suite::find(&session, suite).await?;
            let body = EvaluationRequested { model: model.clone(), version: *number, suite: suite.position };
            if *wait {
                let versions = session.registry().list_versions(list(model)).await?.into_inner().versions;
                if let Some(version) = versions.iter().find(|v| v.version == *number) {
                    let base = base::find(&session, &version.base.to_string()).await?;
                    base::is_here(context, &session, base).await?;
                }
            }
            let receipt = session.act(Body::EvaluationRequested(body)).await?;
            if !wait {
                output::receipt(context.json, &receipt, &format!("an evaluation of {model}@{number} is requested"))?;
                if session.local().is_some() {
                    eprintln!("an evaluator claims it: start `attestune up`, or use --wait");
                }
                return Ok(());
            }
            finish(&session, receipt.position).await?;
            show(context, &session, model, *number, &Moment::default()).await
        }
        Command::Show { version: (model, number), cases: true, failed, moment } => {
            let session = context.connect_as_actor().await?;
            let request = GetModelVersionRequest { model: model.clone(), version: *number, as_of: moment.as_of() };
            let evaluations = version(&session, request).await?.evaluations;
            cases::show(context, &session, &evaluations, *failed).await
        }
        Command::Show { version: (model, number), moment, .. } => {
            let session = context.connect().await?;
            show(context, &session, model, *number, moment).await
        }
    }
}

/// Waits for the evaluation, and for the leakage checks that a gate will ask for.
async fn finish(session: &Session, position: u64) -> anyhow::Result<()> {
    wait::wait(session, "evaluating", || async {
        let row = find(session, position).await?;
        let leakage = session.registry().list_open_work(list("")).await?.into_inner().leakage_to_check.len();
        let ended = matches!(row.status(), WorkStatus::Completed | WorkStatus::Failed);
        Ok(Progress { done: 0, total: 0, note: output::work_status(row.status()), finished: ended && leakage == 0 })
    })
    .await?;
    let row = find(session, position).await?;
    if row.status() != WorkStatus::Failed {
        return Ok(());
    }
    let reason = match session.event(row.ended_at).await?.body {
        Some(Body::EvaluationFailed(failed)) => plain(failed.reason().as_str_name(), "FAILURE_REASON_"),
        _ => "see the event".into(),
    };
    Err(problem::no(
        format!("the evaluation failed at position {}: {reason}", row.ended_at),
        "the evaluator's own messages say more; request it anew once that is mended",
    ))
}

async fn find(session: &Session, position: u64) -> anyhow::Result<EvaluationRow> {
    let all = session.registry().list_evaluations(list("")).await?.into_inner().evaluations;
    let found = all.into_iter().find(|row| row.position == position);
    found.ok_or_else(|| {
        problem::cannot(
            format!("there is no evaluation at position {position}"),
            "see `attestune registry evaluations`",
        )
    })
}

async fn show(context: &Context, session: &Session, model: &str, number: u32, moment: &Moment) -> anyhow::Result<()> {
    let request = GetModelVersionRequest { model: model.into(), version: number, as_of: moment.as_of() };
    let answer = version(session, request).await?;
    if context.json {
        let rows = answer.evaluations.iter().map(|evaluation| crate::json::message("EvaluationProvenance", evaluation));
        return output::value(&serde_json::Value::Array(rows.collect::<anyhow::Result<_>>()?));
    }
    if answer.evaluations.is_empty() {
        eprintln!("{model}@{number} has no evaluations yet");
    }
    for evaluation in &answer.evaluations {
        print(evaluation);
    }
    Ok(())
}

/// Prints an evaluation with every figure that a gate looks at.
pub fn print(evaluation: &EvaluationProvenance) {
    let row = evaluation.evaluation.clone().unwrap_or_default();
    let suite = evaluation.suite.clone().unwrap_or_default();
    println!(
        "evaluation at position {} of {}@{} by {}@{}: {}, attempt {}",
        row.position,
        row.model,
        row.version,
        suite.suite,
        suite.number,
        output::work_status(row.status()),
        evaluation.attempts
    );
    let cells = evaluation.verdicts.iter().map(|verdict| {
        vec![
            format!("  {}", verdict.category),
            format!("{}/{}", verdict.passed, verdict.cases),
            output::percent(verdict.rate_ppm),
            output::percent(verdict.lower_bound_ppm),
            format!("{} ({})", verdict.needed, output::percent(verdict.bar_ppm)),
            if verdict.ok { "passes".into() } else { "falls short".into() },
        ]
    });
    output::table(&["  category", "passed", "rate", "lower bound", "needed", ""], cells.collect());
}
