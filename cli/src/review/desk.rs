//! Who has what: the queue, assignments, claims, reopening.

use super::{choose, choose::Chosen, findings, reference};
use crate::{
    context::Context,
    output, policy_yaml,
    session::{Session, now_ms},
};
use attestune_ledger::draft::plain;
use attestune_proto::v1::{
    ExampleInfo, ReviewAssigned, ReviewItem, ReviewPlace, ReviewQueueRequest, ReviewQueueView, ReviewReopened,
    event::Body,
};
use prost::Message as _;
use std::collections::BTreeMap;

#[derive(clap::Args)]
pub struct QueueArgs {
    /// The collection; all without it
    collection: Option<String>,
    /// All that waits, whoever has it; the default where nobody is named with --as
    #[arg(long, conflicts_with_all = ["claimed", "overdue"])]
    all: bool,
    /// What I have claimed
    #[arg(long, conflicts_with = "overdue")]
    claimed: bool,
    /// What is late
    #[arg(long)]
    overdue: bool,
    /// Most items, 512 at most
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=512))]
    limit: u32,
    /// Go on after a place that an earlier answer named
    #[arg(long, value_name = "PLACE", value_parser = place)]
    after: Option<ReviewPlace>,
}

#[derive(clap::Args)]
pub struct AssignArgs {
    #[command(flatten)]
    chosen: Chosen,
    /// Who shall decide
    #[arg(long, value_name = "REVIEWER")]
    to: String,
    /// By when: in a time such as 3d, or at one such as 2026-12-01; without it never late
    #[arg(long, value_name = "TIME")]
    due: Option<String>,
}

/// What waits, and for whom.
pub async fn queue(context: &Context, args: &QueueArgs) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let view = match () {
        () if args.overdue => ReviewQueueView::Overdue,
        () if args.claimed => ReviewQueueView::Claimed,
        () if args.all || !context.acts() => ReviewQueueView::All,
        () => ReviewQueueView::Next,
    };
    let request = ReviewQueueRequest {
        collection: args.collection.clone().unwrap_or_default(),
        limit: args.limit,
        view: view.into(),
        now_ms: now_ms(),
        texts: false,
        after: args.after,
    };
    let queue = session.review().queue(request).await?.into_inner();
    if let Some(next) = queue.next {
        let place = hex::encode(next.encode_to_vec());
        eprintln!("{} of {}; -n shows more, --after {place} goes on", queue.items.len(), queue.total);
    }
    if context.json {
        return output::message("ReviewQueueResponse", &queue);
    }
    let headers = ["example", "collection", "why", "round", "waiting since", "due", "has it", "findings"];
    output::table(&headers, queue.items.iter().map(row).collect());
    Ok(())
}

/// A place in the queue as it is printed.
fn place(text: &str) -> Result<ReviewPlace, String> {
    let place = hex::decode(text).ok().and_then(|bytes| ReviewPlace::decode(bytes.as_slice()).ok());
    place.ok_or_else(|| "a place as `review queue` prints it is expected".into())
}

fn row(item: &ReviewItem) -> Vec<String> {
    let info = item.example.clone().unwrap_or_default();
    let at = reference(&info);
    let due = match item.due_ms {
        0 => String::new(),
        due_ms if item.overdue => format!("{} late", output::time(due_ms)),
        due_ms => output::time(due_ms),
    };
    let who = match (item.claimed_by.as_str(), item.assigned_to.as_str()) {
        _ if item.reopen_first => "nobody: reopen it first".into(),
        ("", "") => String::new(),
        ("", assigned) => format!("{assigned} (assigned)"),
        (claimed, _) => format!("{claimed} until {}", output::time(item.claim_expires_ms)),
    };
    vec![
        format!("{}/{}", at.batch, at.index),
        item.collection.clone(),
        plain(item.why().as_str_name(), "REVIEW_WHY_"),
        item.round.to_string(),
        output::time(item.waiting_since_ms),
        due,
        who,
        findings(&info),
    ]
}

/// Gives examples to a reviewer.
pub async fn assign(context: &Context, args: &AssignArgs) -> anyhow::Result<()> {
    let due_ms = args.due.as_deref().map_or(Ok(0), due)?;
    let session = context.connect_as_actor().await?;
    let infos = choose::choose(&session, &args.chosen).await?;
    let give = |batch, indices| ReviewAssigned { batch, indices, reviewer: args.to.clone(), due_ms, claim: false };
    let positions = each_batch(&session, &infos, |batch, indices| Body::ReviewAssigned(give(batch, indices))).await?;
    tell(context, &positions, &format!("{} examples are assigned to {}", infos.len(), args.to))
}

/// Takes examples for oneself, for a while.
pub async fn claim(context: &Context, chosen: &Chosen) -> anyhow::Result<()> {
    let session = context.connect_as_actor().await?;
    let infos = choose::choose(&session, chosen).await?;
    let me = session.signer()?.actor.clone();
    let positions = each_batch(&session, &infos, |batch, indices| claiming(batch, indices, &me)).await?;
    tell(context, &positions, &format!("{} examples are claimed", infos.len()))
}

/// The claim of examples of a batch.
pub fn claiming(batch: u64, indices: Vec<u32>, reviewer: &str) -> Body {
    Body::ReviewAssigned(ReviewAssigned { batch, indices, reviewer: reviewer.into(), due_ms: 0, claim: true })
}

/// Sets decisions aside.
pub async fn reopen(context: &Context, chosen: &Chosen) -> anyhow::Result<()> {
    let session = context.connect_as_actor().await?;
    let infos = choose::choose(&session, chosen).await?;
    let reopened = |batch, indices| Body::ReviewReopened(ReviewReopened { batch, indices });
    let positions = each_batch(&session, &infos, reopened).await?;
    tell(context, &positions, &format!("{} examples await review again", infos.len()))
}

fn tell(context: &Context, positions: &[u64], said: &str) -> anyhow::Result<()> {
    if context.json {
        return output::value(&serde_json::json!({ "positions": positions }));
    }
    println!("{said}");
    Ok(())
}

/// An act on each batch of the examples.
async fn each_batch(
    session: &Session,
    infos: &[ExampleInfo],
    body: impl Fn(u64, Vec<u32>) -> Body,
) -> anyhow::Result<Vec<u64>> {
    let mut batches: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for at in infos.iter().map(reference) {
        batches.entry(at.batch).or_default().push(at.index);
    }
    let mut positions = Vec::new();
    for (batch, mut indices) in batches {
        indices.sort_unstable();
        positions.push(session.act(body(batch, indices)).await?.position);
    }
    Ok(positions)
}

/// A moment, or a time from now.
fn due(text: &str) -> anyhow::Result<u64> {
    match policy_yaml::duration(text) {
        Ok(ms) => Ok(now_ms().saturating_add(ms)),
        Err(_) => output::parse_time(text).map_err(|error| {
            crate::problem::cannot(format!("`{text}` is neither a time from now nor a moment"), error)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_printed() {
        let somewhere = ReviewPlace { now_ms: 9, batch: 84, index: 3, total: 1000, ..Default::default() };
        assert_eq!(place(&hex::encode(somewhere.encode_to_vec())), Ok(somewhere));
        assert!(place("84/3").is_err() && place("ff").is_err());
    }

    #[test]
    fn a_due_time_is_a_moment_or_counted_from_now() {
        assert_eq!(due("2026-12-01T00:00:00Z").unwrap(), 1_796_083_200_000);
        assert!(due("3d").unwrap() >= now_ms() + 3 * 86_400_000 - 1000);
        assert!(due("soon").is_err());
    }
}
