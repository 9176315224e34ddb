//! `attestune due` and `gaps`: what is late or missing, reckoned now from the log and this machine's clock.

use crate::{context::Context, moment::Moment, output, problem, session::now_ms};
use attestune_ledger::draft::plain;
use attestune_proto::v1::{DueItem, DueRequest};

#[derive(clap::Args)]
pub struct Args {
    /// The model; all without it
    model: Option<String>,
    // What is late is reckoned from then.
    #[command(flatten)]
    moment: Moment,
}

/// Everything that is due, or with `overdue` only what is late: then that there is something is an answer of no.
pub async fn run(context: &Context, args: &Args, overdue: bool) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let (as_of, now_ms) = args.moment.reckoned(now_ms());
    let model = args.model.clone().unwrap_or_default();
    let request = DueRequest { model, now_ms, as_of };
    let mut answer = session.operations().due(request).await?.into_inner();
    answer.items.retain(|item| item.overdue || !overdue);
    if context.json {
        output::message("DueResponse", &answer)?;
    } else {
        let rows = answer.items.iter().map(|item| cells(item, answer.now_ms)).collect();
        output::table(&["what", "of", "about", "due", "state", "event"], rows);
    }
    match answer.items.len() {
        0 => Ok(()),
        _ if !overdue => Ok(()),
        count => Err(problem::no(format!("{count} overdue"), "docs/operations.md says what to do about each")),
    }
}

fn cells(item: &DueItem, now_ms: u64) -> Vec<String> {
    let days = |ms: u64| format!("{}.{} d", ms / 86_400_000, ms % 86_400_000 / 8_640_000);
    let state = match item.overdue {
        true => format!("OVERDUE by {}", days(now_ms.saturating_sub(item.due_ms))),
        false => format!("in {}", days(item.due_ms.saturating_sub(now_ms))),
    };
    let of = match (item.model.is_empty(), item.version) {
        (true, _) => String::new(),
        (false, 0) => item.model.clone(),
        (false, version) => format!("{}@{version}", item.model),
    };
    vec![
        plain(item.kind().as_str_name(), "DUE_KIND_"),
        of,
        item.subject.clone(),
        output::time(item.due_ms),
        state,
        item.position.to_string(),
    ]
}
