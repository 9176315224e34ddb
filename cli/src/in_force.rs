//! `attestune in-force`: which version, why, on whose word, from which data, and what would have held it back.

use crate::{context::Context, erasure, moment::Moment, output, problem};
use attestune_ledger::{draft::plain, query::AFTER_MAX};
use attestune_proto::v1::{
    ApprovalRecord, DatasetRow, EvaluationProvenance, Reproduction, RunRow, Signer, WhyInForceRequest,
    WhyInForceResponse, as_of::When,
};

#[derive(clap::Args)]
pub struct Args {
    /// The model
    model: String,
    #[command(flatten)]
    moment: Moment,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let request = WhyInForceRequest { model: args.model.clone(), as_of: args.moment.as_of() };
    let answer = session.provenance().why_in_force(request).await?.into_inner();
    if context.json {
        output::message("WhyInForceResponse", &answer)?;
    }
    if let (0, Some(halt)) = (answer.version, &answer.halt) {
        return Err(problem::no(
            format!(
                "{} is halted since position {} ({}) by {}; version {} was in force (0 for none)",
                args.model,
                halt.position,
                output::time(halt.time_ms),
                halt.actor,
                answer.halted_version
            ),
            "it is served again after `attestune rollback` or a promotion to production",
        ));
    }
    if answer.version == 0 {
        let then = match args.moment.as_of().and_then(|at| at.when) {
            Some(When::TimeMs(at)) => format!("at {}", output::time(at)),
            _ => format!("as of position {}", answer.as_of_position),
        };
        return Err(problem::no(
            format!("no version of {} was in force {then}", args.model),
            format!("see `attestune history --model {}`", args.model),
        ));
    }
    if !context.json {
        print(&args.model, &answer);
    }
    Ok(())
}

fn print(model: &str, answer: &WhyInForceResponse) {
    let name = |actor: &str| match answer.actors.iter().find(|row| row.actor == actor) {
        Some(row) => format!("{} ({actor})", row.printed_name),
        None => actor.to_owned(),
    };
    println!(
        "{model}@{} is in force as of position {} ({})",
        answer.version,
        answer.as_of_position,
        output::time(answer.as_of_ms)
    );
    println!(
        "  since position {} ({}, asserted by the log's clock)",
        answer.since_position,
        output::time(answer.since_ms)
    );
    if let Some(rollback) = &answer.rollback {
        println!("  by a rollback at {} by {}: {}", rollback.position, name(&rollback.actor), rollback.summary);
    }
    if let Some(promotion) = &answer.promotion {
        println!(
            "  promoted to {} at {}, asked for by {} at {}, under policy {}",
            output::stage(promotion.to()),
            promotion.decided_at,
            by(&promotion.requested_by, &name),
            promotion.position,
            promotion.policy_version
        );
    }
    if let Some(promotion) = answer.promotion.as_ref().filter(|promotion| promotion.emergency) {
        match promotion.reviewed_at {
            0 => println!(
                "  in an EMERGENCY: {} of {} approvals, due by {}",
                promotion.approvals.len(),
                promotion.approvals_needed,
                output::time(promotion.review_by_ms)
            ),
            at => println!("  in an emergency, reviewed at position {at}"),
        }
    }
    println!("signed");
    answer.approvals.iter().for_each(print_approval);
    println!("held against");
    answer.evaluations.iter().for_each(|evaluation| print_evaluation(evaluation, &name));
    for leakage in &answer.leakage {
        match &leakage.leakage {
            Some(row) => println!(
                "  leakage from suite {}: {} of {} cases in the training set, {} nearly, by {}",
                leakage.suite,
                row.exact,
                row.cases,
                row.near,
                by(&row.signer, &name)
            ),
            None => println!("  leakage from suite {}: not known", leakage.suite),
        }
    }
    println!("made from");
    match (&answer.run, &answer.dataset) {
        (Some(run), Some(dataset)) => print_sources(answer, run, dataset, &name),
        _ => println!("  a model trained elsewhere: neither its data nor its run are known"),
    }
    if let Some(base) = &answer.base {
        println!("  base model {} at {}: {}, {}", base.base, base.position, base.origin, base.licence);
    }
    for reached in &answer.erasures {
        println!("  {}", erasure::line(reached));
    }
    if answer.challenger != 0 {
        println!("challenger {model}@{}, served only as an experiment's second arm", answer.challenger);
    }
    if let Some(policy) = &answer.policy {
        println!("policy {} was in force then, adopted at {}", policy.version, policy.position);
    }
    println!("what would have held it back");
    answer.hurdles.iter().for_each(|hurdle| println!("  {}  [{}]", hurdle.text, hurdle.code));
    println!("what came after");
    if answer.after.len() == AFTER_MAX {
        println!(
            "  (the newest {AFTER_MAX}; all: attestune history --model {model} --from {})",
            answer.as_of_position + 1
        );
    }
    for event in &answer.after {
        println!("  {}", crate::history::line(event));
    }
    if answer.after.is_empty() {
        println!("  nothing, up to now");
    }
}

fn by(signer: &Option<Signer>, name: &impl Fn(&str) -> String) -> String {
    signer.as_ref().map_or_else(|| "nobody".into(), |signer| name(&signer.actor))
}

fn print_approval(approval: &ApprovalRecord) {
    let affected = if approval.affected { "; the key was revoked later" } else { "" };
    let late = if approval.late { "; LATE" } else { "" };
    println!(
        "  {} by {} ({}) at {}, {}{late}{affected}",
        plain(approval.meaning().as_str_name(), "APPROVAL_MEANING_"),
        approval.printed_name,
        approval.actor,
        approval.position,
        output::time(approval.time_ms)
    );
}

fn print_evaluation(evaluation: &EvaluationProvenance, name: &impl Fn(&str) -> String) {
    let row = evaluation.evaluation.clone().unwrap_or_default();
    let suite = evaluation.suite.clone().unwrap_or_default();
    println!(
        "  {}@{}, whose bars were fixed at {}; evaluated at {} by {}, attempt {}",
        suite.suite,
        suite.number,
        suite.position,
        row.ended_at,
        by(&row.completed_by, name),
        evaluation.attempts
    );
    for verdict in &evaluation.verdicts {
        println!(
            "    {} {}: {} of {} passed ({}, lower bound {}), {} needed for {}",
            if verdict.ok { "✓" } else { "✗" },
            verdict.category,
            verdict.passed,
            verdict.cases,
            output::percent(verdict.rate_ppm),
            output::percent(verdict.lower_bound_ppm),
            verdict.needed,
            output::percent(verdict.bar_ppm)
        );
    }
}

fn print_sources(answer: &WhyInForceResponse, run: &RunRow, dataset: &DatasetRow, name: &impl Fn(&str) -> String) {
    let counts = dataset.counts.unwrap_or_default();
    println!(
        "  dataset {}@{}, frozen at {} by {}: {} members under root {}",
        dataset.dataset,
        dataset.number,
        dataset.position,
        by(&dataset.signer, name),
        dataset.count,
        output::short(&dataset.root)
    );
    println!(
        "    of {} examples: {} flagged, {} reviewed, {} redacted, {} rejected, {} excluded by quality",
        counts.examples, counts.flagged, counts.reviewed, counts.redacted, counts.rejected, counts.excluded_by_quality
    );
    for scan in &answer.scans {
        let tool = scan.detector.clone().unwrap_or_default();
        println!(
            "    {} of {} examples scanned by {}@{}, which flagged {}",
            scan.scanned, scan.examples, tool.name, tool.version, scan.flagged
        );
    }
    let class = match (run.reproductions, run.reproduction()) {
        (0, _) => "never repeated".into(),
        (times, Reproduction::Unspecified) => format!("repeated {times} times"),
        (times, class) => format!("repeated {times} times, {}", plain(class.as_str_name(), "REPRODUCTION_")),
    };
    println!(
        "  run {} asked for by {}, trained by {}: {class}",
        run.position,
        by(&run.requested_by, name),
        run.claimed_by.join(", ")
    );
}
