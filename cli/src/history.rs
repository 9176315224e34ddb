//! `attestune history`: what happened, in plain sentences.

use crate::{context::Context, moment::Moment, output, problem};
use attestune_ledger::draft::plain;
use attestune_proto::v1::{HistoryEvent, HistoryRequest, Kind, Verdict};
use clap::ValueEnum;

#[derive(clap::Args)]
pub struct Args {
    /// Only what concerns this model
    #[arg(long, default_value = "")]
    model: String,
    /// Only what this actor did
    #[arg(long, default_value = "")]
    actor: String,
    /// Only events of this kind, such as promotion-approved; repeat it for several
    #[arg(long = "kind")]
    kinds: Vec<String>,
    /// Only events with this verdict
    #[arg(long, value_enum)]
    verdict: Option<VerdictArg>,
    /// From this position on
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Up to, but not with, this position; 0 for the end
    #[arg(long, default_value_t = 0)]
    to: u64,
    /// From this time on, such as 2026-05-03 (its beginning) or 2026-05-03T09:00:00Z
    #[arg(long, value_parser = output::parse_beginning, value_name = "TIME")]
    since: Option<u64>,
    /// Up to this time, 2026-05-03 meaning its end
    #[arg(long, value_parser = output::parse_time, value_name = "TIME")]
    until: Option<u64>,
    #[command(flatten)]
    moment: Moment,
    /// Most events shown; 0 for all
    #[arg(long, default_value_t = 0)]
    limit: u32,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum VerdictArg {
    Accepted,
    Refused,
    Duplicate,
    Garbage,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let verdict = match args.verdict {
        None => Verdict::Unspecified,
        Some(VerdictArg::Accepted) => Verdict::Accepted,
        Some(VerdictArg::Refused) => Verdict::Refused,
        Some(VerdictArg::Duplicate) => Verdict::Duplicate,
        Some(VerdictArg::Garbage) => Verdict::Garbage,
    };
    let request = HistoryRequest {
        model: args.model.clone(),
        actor: args.actor.clone(),
        kinds: args.kinds.iter().map(|kind| parse_kind(kind)).collect::<anyhow::Result<_>>()?,
        verdict: verdict.into(),
        from: args.from,
        to: args.to,
        limit: args.limit,
        as_of: args.moment.as_of(),
        from_ms: args.since.unwrap_or(0),
        to_ms: args.until.unwrap_or(0),
    };
    if args.until.is_some_and(|until| args.since.is_some_and(|since| since > until)) {
        return Err(problem::cannot("the period ends before it begins", "--since must not be later than --until"));
    }
    let mut events = session.provenance().history(request).await?.into_inner();
    while let Some(event) = events.message().await? {
        if context.json {
            println!("{}", crate::json::message("HistoryEvent", &event)?);
        } else {
            println!("{}", line(&event));
        }
    }
    Ok(())
}

/// An event as one line.
pub fn line(event: &HistoryEvent) -> String {
    let mut line = format!(
        "{:>6}  {}  {:<8}  {:<12}  {}",
        event.position,
        output::time(event.time_ms),
        output::verdict(event.verdict()),
        event.actor,
        event.summary
    );
    if let Some(refusal) = &event.refusal {
        line.push_str(&format!("  [{}: {}]", refusal.code, refusal.message));
    }
    line
}

fn parse_kind(text: &str) -> anyhow::Result<i32> {
    let name = format!("KIND_{}", text.to_ascii_uppercase().replace('-', "_"));
    let kind = Kind::from_str_name(&name).filter(|kind| *kind != Kind::Unspecified);
    let kind = kind.ok_or_else(|| {
        problem::cannot(
            format!("there is no kind `{text}`"),
            format!("kinds are written like {}", plain(Kind::PromotionApproved.as_str_name(), "KIND_")),
        )
    })?;
    Ok(kind.into())
}
