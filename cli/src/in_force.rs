//! `attestune in-force`: which version, why, on whose word, from which data.

use crate::{context::Context, erasure, eval, output, problem, provenance};
use attestune_ledger::draft::plain;
use attestune_proto::v1::{WhyInForceRequest, WhyInForceResponse};

#[derive(clap::Args)]
pub struct Args {
    /// The model
    model: String,
    /// At this time, such as 2026-05-03 (its end) or 2026-05-03T09:00:00Z
    #[arg(long, value_parser = output::parse_time)]
    at: Option<u64>,
    /// After this position
    #[arg(long, conflicts_with = "at")]
    at_position: Option<u64>,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let request = WhyInForceRequest { model: args.model.clone(), as_of: provenance::as_of(args.at_position, args.at) };
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
        return Err(problem::no(
            format!("no version of {} was in force as of position {}", args.model, answer.as_of_position),
            "see `attestune history --model MODEL`",
        ));
    }
    if !context.json {
        print(&args.model, &answer);
    }
    Ok(())
}

fn print(model: &str, answer: &WhyInForceResponse) {
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
        println!("  by a rollback at {}: {}", rollback.position, rollback.summary);
    }
    if let Some(promotion) = &answer.promotion {
        let by = promotion.requested_by.as_ref().map_or("", |signer| signer.actor.as_str());
        println!(
            "  promoted to {} at {}, requested by {by} at {}, under policy {}",
            output::stage(promotion.to()),
            promotion.decided_at,
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
    for approval in &answer.approvals {
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
    if let (Some(run), Some(dataset)) = (&answer.run, &answer.dataset) {
        println!(
            "  trained by the run at {} on dataset {}@{} ({} members, root {})",
            run.position,
            dataset.dataset,
            dataset.number,
            dataset.count,
            output::short(&dataset.root)
        );
    }
    if answer.challenger != 0 {
        println!("  challenger {model}@{}, served only as an experiment's second arm", answer.challenger);
    }
    for reached in &answer.erasures {
        println!("  {}", erasure::line(reached));
    }
    for evaluation in &answer.evaluations {
        eval::print(evaluation);
    }
}
