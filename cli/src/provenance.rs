//! `attestune provenance`: a version with everything that made it and everything decided on it.

mod coverage;

use crate::{context::Context, erasure, moment::Moment, output, promote, session::Session};
use attestune_ledger::draft::plain;
use attestune_proto::v1::{BatchProvenance, GetModelVersionRequest, ModelVersion, PromotionRow, Signer};

#[derive(clap::Args)]
pub struct Args {
    /// The version, MODEL@N
    #[arg(value_parser = promote::parse_version)]
    version: (String, u32),
    #[command(flatten)]
    moment: Moment,
}

/// Asks for a version.
pub async fn version(session: &Session, request: GetModelVersionRequest) -> anyhow::Result<ModelVersion> {
    Ok(session.provenance().get_model_version(request).await?.into_inner())
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let request =
        GetModelVersionRequest { model: args.version.0.clone(), version: args.version.1, as_of: args.moment.as_of() };
    let answer = version(&session, request).await?;
    if context.json {
        return output::message("ModelVersion", &answer);
    }
    print(&answer);
    Ok(())
}

fn print(answer: &ModelVersion) {
    let version = answer.version.clone().unwrap_or_default();
    let name = |actor: &str| match answer.actors.iter().find(|row| row.actor == actor) {
        Some(row) => format!("{actor} ({})", row.printed_name),
        None => actor.to_owned(),
    };
    let by = |signer: &Option<Signer>| signer.as_ref().map_or(String::new(), |signer| name(&signer.actor));

    println!(
        "{}@{}  in {}, as of position {}",
        version.model,
        version.version,
        output::stage(version.stage()),
        answer.as_of_position
    );
    println!("├─ adapter {}  registered at {}", hex::encode(&version.adapter_digest), version.position);
    if let Some(base) = &answer.base {
        println!(
            "├─ base {} at {}: {}, {}, weights {}",
            base.base,
            base.position,
            base.origin,
            base.licence,
            output::short(&base.weights_digest)
        );
    }
    if let Some(run) = &answer.run {
        println!(
            "├─ run at {}: {}, requested by {}, trained by {}",
            run.position,
            output::work_status(run.status()),
            by(&run.requested_by),
            run.claimed_by.join(", ")
        );
        if let Some(h) = &run.hyperparameters {
            println!(
                "│    rank {}, alpha {}, {}, rate {}, {} epochs of batches of {}, seed {}",
                h.rank,
                h.alpha,
                h.targets.join("+"),
                h.learning_rate,
                h.epochs,
                h.batch_size,
                h.seed
            );
        }
        if let Some(done) = &answer.completed {
            println!(
                "│    {} steps, {} tokens, loss {}.{:04}, {} s",
                done.steps,
                done.tokens,
                done.final_loss_micro / 1_000_000,
                done.final_loss_micro % 1_000_000 / 100,
                done.duration_ms / 1000
            );
        }
    }
    if let Some(dataset) = &answer.dataset {
        println!(
            "├─ dataset {}@{} at {}: {} members under {}, frozen by {}",
            dataset.dataset,
            dataset.number,
            dataset.position,
            dataset.count,
            output::short(&dataset.root),
            by(&dataset.signer)
        );
        for (at, batch) in (1..).zip(&answer.batches) {
            print!("{}", batch_lines(batch, at == answer.batches.len(), &name));
        }
    }
    for coverage in &answer.coverages {
        print!("{}", coverage::lines(coverage));
    }
    if version.run.is_none() {
        println!("├─ trained elsewhere, registered by {}: leakage is not checkable", name(&version.registered_by));
    }
    for reached in &answer.erasures {
        println!("├─ {}", erasure::line(reached));
    }
    for leakage in &answer.leakage {
        let row = leakage.leakage.clone().unwrap_or_default();
        println!(
            "├─ leakage from suite at {}: {} exact, {} near, of {} cases, by {}",
            leakage.suite,
            row.exact,
            row.near,
            row.cases,
            by(&row.signer)
        );
    }
    for evaluation in &answer.evaluations {
        let row = evaluation.evaluation.clone().unwrap_or_default();
        let suite = evaluation.suite.clone().unwrap_or_default();
        println!(
            "├─ evaluation at {} by {}@{}: {}, attempt {}",
            row.position,
            suite.suite,
            suite.number,
            output::work_status(row.status()),
            evaluation.attempts
        );
        for verdict in &evaluation.verdicts {
            println!(
                "│    {} {} {}/{} = {}, lower bound {}, bar {}",
                if verdict.ok { "✓ passes     " } else { "✗ falls short" },
                verdict.category,
                verdict.passed,
                verdict.cases,
                output::percent(verdict.rate_ppm),
                output::percent(verdict.lower_bound_ppm),
                output::percent(verdict.bar_ppm)
            );
        }
    }
    for (at, promotion) in (1..).zip(&answer.promotions) {
        print_promotion(promotion, at == answer.promotions.len(), &by);
    }
    if answer.promotions.is_empty() {
        println!("└─ no promotions");
    }
}

fn batch_lines(batch: &BatchProvenance, last: bool, name: &impl Fn(&str) -> String) -> String {
    let (branch, stem) = if last { ("└─", " ") } else { ("├─", "│") };
    let documents = batch.documents.clone().unwrap_or_default();
    let examples = batch.examples.clone().unwrap_or_default();
    let redacted = batch.members.iter().filter(|member| member.redacted).count();
    let mut lines = vec![format!(
        "│  {branch} {} of {} examples at {}, derived by {}; {redacted} redacted",
        batch.members.len(),
        examples.count,
        examples.position,
        name(&examples.actor)
    )];
    for scan in &batch.scans {
        let tool = scan.detector.clone().unwrap_or_default();
        lines.push(format!(
            "│  {stem}    scanned at {} by {}@{} ({}): {} flagged, coverage {}",
            scan.position,
            tool.name,
            tool.version,
            scan.actor,
            scan.flagged,
            output::short(&scan.coverage)
        ));
    }
    for review in &batch.reviews {
        let signer = review.signer.clone().unwrap_or_default();
        let by = name(&signer.actor);
        lines.push(format!("│  {stem}    {} reviewed at {} by {by}", review.decisions.len(), signer.position));
    }
    lines.push(format!(
        "│  {stem}    from {} documents of {} at {}, ingested by {}",
        documents.count,
        documents.collection,
        documents.position,
        name(&documents.actor)
    ));
    lines.join("\n") + "\n"
}

fn print_promotion(promotion: &PromotionRow, last: bool, by: &impl Fn(&Option<Signer>) -> String) {
    let (branch, stem) = if last { ("└─", " ") } else { ("├─", "│") };
    println!(
        "{branch} promotion at {} to {}: {}, requested by {}, policy {}",
        promotion.position,
        output::stage(promotion.to()),
        plain(promotion.status().as_str_name(), "PROMOTION_STATUS_"),
        by(&promotion.requested_by),
        promotion.policy_version
    );
    if promotion.emergency {
        println!("{stem}    in an emergency, approvals due by {}", output::time(promotion.review_by_ms));
    }
    for approval in &promotion.approvals {
        let late = if approval.late { ", LATE" } else { "" };
        let at = approval.signer.as_ref().map_or(0, |signer| signer.position);
        println!(
            "{stem}    {} at {at} by {}{late}",
            plain(approval.meaning().as_str_name(), "APPROVAL_MEANING_"),
            by(&approval.signer)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_proto::v1::ScanProvenance;

    #[test]
    fn the_last_batch_of_a_dataset_ends_its_branch() {
        let batch = BatchProvenance { scans: vec![ScanProvenance::default()], ..BatchProvenance::default() };
        let drawn = |last| {
            let lines = batch_lines(&batch, last, &str::to_owned);
            lines.lines().map(|line| line.chars().take(6).collect::<String>()).collect::<Vec<_>>()
        };
        assert_eq!(drawn(false), ["│  ├─ ", "│  │  ", "│  │  "]);
        assert_eq!(drawn(true), ["│  └─ ", "│     ", "│     "]);
    }
}
