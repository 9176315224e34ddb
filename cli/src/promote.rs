//! `attestune promote`: the way to staging and production.

use crate::{
    context::Context,
    output, problem,
    session::{Session, list},
};
use attestune_ledger::draft::plain;
use attestune_proto::v1::{
    ApprovalMeaning, PromotionApproved, PromotionRejected, PromotionRequested, PromotionRow, PromotionStatus,
    PromotionWithdrawn, RejectionReason, Stage, event::Body,
};
use clap::{Subcommand, ValueEnum};

#[derive(Subcommand)]
pub enum Command {
    /// Request the next stage for a version; the gate is judged at once
    Request {
        /// The version, MODEL@N
        #[arg(value_parser = parse_version)]
        version: (String, u32),
        /// The stage
        #[arg(long, value_enum)]
        to: StageArg,
        /// For production: the version to be replaced; the one in force without it
        #[arg(long)]
        replaces: Option<u32>,
        /// For production, instead of replacing: to be served only as an experiment's second arm
        #[arg(long, conflicts_with_all = ["replaces", "emergency"])]
        challenger: bool,
        /// At once; the approvals follow by the policy's deadline. The gate is never waived
        #[arg(long)]
        emergency: bool,
    },
    /// Approve a promotion; the last approval needed moves the stage
    Approve {
        /// MODEL@N with an open promotion, or the promotion's position
        promotion: String,
        /// What the signature means
        #[arg(long, value_enum, default_value = "reviewed-and-approved")]
        meaning: MeaningArg,
    },
    /// Reject a promotion
    Reject {
        /// MODEL@N with an open promotion, or the promotion's position
        promotion: String,
        /// Why
        #[arg(long, value_enum)]
        reason: ReasonArg,
    },
    /// Withdraw one's own request
    Withdraw {
        /// MODEL@N with an open promotion, or the promotion's position
        promotion: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub enum StageArg {
    Staging,
    Production,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum MeaningArg {
    ReviewedAndApproved,
    ResponsibleForRelease,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum ReasonArg {
    Evidence,
    Risk,
    Procedure,
}

/// Reads `MODEL@N`.
pub fn parse_version(text: &str) -> Result<(String, u32), String> {
    let parsed = text.split_once('@').and_then(|(model, number)| Some((model.to_owned(), number.parse().ok()?)));
    parsed.ok_or_else(|| "MODEL@N is expected, such as support-triage@1".into())
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    let session = context.connect_as_actor().await?;
    match command {
        Command::Request { version: (model, version), to, replaces, challenger, emergency } => {
            let to = match to {
                StageArg::Staging => Stage::Staging,
                StageArg::Production => Stage::Production,
            };
            let replaces = match (to, replaces) {
                (Stage::Production, None) if !challenger => in_force(&session, model).await?,
                (_, named) => *named,
            };
            let body = PromotionRequested {
                model: model.clone(),
                version: *version,
                to: to.into(),
                replaces,
                challenger: *challenger,
                emergency: *emergency,
            };
            let receipt = session.act(Body::PromotionRequested(body)).await?;
            output::receipt(
                context.json,
                &receipt,
                &format!("{model}@{version} to {}: the gate holds; requested", output::stage(to)),
            )?;
            say_stage(context, &session, &find(&session, &receipt.position.to_string()).await?)
        }
        Command::Approve { promotion, meaning } => {
            let meaning = match meaning {
                MeaningArg::ReviewedAndApproved => ApprovalMeaning::ReviewedAndApproved,
                MeaningArg::ResponsibleForRelease => ApprovalMeaning::ResponsibleForRelease,
            };
            let row = find(&session, promotion).await?;
            let body = PromotionApproved { promotion: row.position, meaning: meaning.into() };
            let receipt = session.act(Body::PromotionApproved(body)).await?;
            output::receipt(
                context.json,
                &receipt,
                &format!("{}@{} to {}: approved", row.model, row.version, output::stage(row.to())),
            )?;
            say_stage(context, &session, &find(&session, &row.position.to_string()).await?)
        }
        Command::Reject { promotion, reason } => {
            let reason = match reason {
                ReasonArg::Evidence => RejectionReason::Evidence,
                ReasonArg::Risk => RejectionReason::Risk,
                ReasonArg::Procedure => RejectionReason::Procedure,
            };
            let row = find(&session, promotion).await?;
            let body = PromotionRejected { promotion: row.position, reason: reason.into() };
            let receipt = session.act(Body::PromotionRejected(body)).await?;
            output::receipt(context.json, &receipt, &format!("{}@{}: rejected", row.model, row.version))
        }
        Command::Withdraw { promotion } => {
            let row = find(&session, promotion).await?;
            let receipt = session.act(Body::PromotionWithdrawn(PromotionWithdrawn { promotion: row.position })).await?;
            output::receipt(context.json, &receipt, &format!("{}@{}: withdrawn", row.model, row.version))
        }
    }
}

/// The version of a model in force now, if there is one.
pub async fn in_force(session: &Session, model: &str) -> anyhow::Result<Option<u32>> {
    let models = session.registry().list_models(list(model)).await?.into_inner().models;
    let row = models.into_iter().find(|row| row.model == model);
    Ok(row.map(|row| row.in_force).filter(|version| *version != 0))
}

/// The version that a rollback leaves: the one in force, or in force until the halt that stands.
pub async fn to_be_left(session: &Session, model: &str) -> anyhow::Result<Option<u32>> {
    let models = session.registry().list_models(list(model)).await?.into_inner().models;
    let row = models.into_iter().find(|row| row.model == model);
    Ok(row.map(|row| row.in_force.max(row.halted_version)).filter(|version| *version != 0))
}

fn say_stage(context: &Context, _session: &Session, row: &PromotionRow) -> anyhow::Result<()> {
    if context.json {
        return Ok(());
    }
    match row.status() {
        PromotionStatus::Promoted => {
            let as_challenger = if row.challenger { " as a challenger" } else { "" };
            println!("{}@{} is in {}{as_challenger}", row.model, row.version, output::stage(row.to()));
            if row.emergency && row.reviewed_at == 0 {
                println!(
                    "{} of {} approvals, due by {}",
                    row.approvals.len(),
                    row.approvals_needed,
                    output::time(row.review_by_ms)
                );
            }
        }
        PromotionStatus::Open => println!("{} of {} approvals", row.approvals.len(), row.approvals_needed),
        other => println!("the promotion is {}", plain(other.as_str_name(), "PROMOTION_STATUS_")),
    }
    Ok(())
}

/// Finds a promotion by position, or the newest of `MODEL@N`.
async fn find(session: &Session, text: &str) -> anyhow::Result<PromotionRow> {
    let all = session.registry().list_promotions(list("")).await?.into_inner().promotions;
    let position = text.parse::<u64>().ok();
    let named = parse_version(text).ok();
    let fits = |row: &PromotionRow| {
        Some(row.position) == position
            || named.as_ref().is_some_and(|(model, version)| row.model == *model && row.version == *version)
    };
    all.into_iter()
        .filter(fits)
        .max_by_key(|row| row.position)
        .ok_or_else(|| problem::cannot(format!("there is no promotion {text}"), "see `attestune registry promotions`"))
}
