//! `attestune served`: what is decided, and what servers say they serve; and waiting until they agree.

use crate::{
    context::Context,
    moment::Moment,
    output, problem,
    session::{Session, now_ms},
};
use attestune_ledger::draft::plain;
use attestune_proto::v1::{
    GetServingRequest, ModelServing, Receipt, ServerServing, ServerStatus, ServingConfirmed, ServingPart,
};
use std::time::{Duration, Instant};

/// How often servers are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub struct Args {
    /// The model; all without it
    model: Option<String>,
    #[command(flatten)]
    moment: Moment,
}

pub async fn run(context: &Context, args: &Args) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let (as_of, now_ms) = args.moment.reckoned(now_ms());
    let request = GetServingRequest { model: args.model.clone().unwrap_or_default(), now_ms, as_of };
    let answer = session.operations().get_serving(request).await?.into_inner();
    if context.json {
        return output::message("GetServingResponse", &answer);
    }
    let mut rows = Vec::new();
    for model in &answer.models {
        println!("{}", decided(model));
        rows.extend(model.servers.iter().map(cells));
    }
    output::table(&["server", "serves", "status", "as of", "since", "last word"], rows);
    Ok(())
}

fn decided(model: &ModelServing) -> String {
    let row = model.decided.clone().unwrap_or_default();
    let at = format!("position {} ({})", row.since, output::time(model.decided_ms));
    match (row.halted_at, row.in_force) {
        (Some(halted), _) => format!("{} is halted since position {halted}", row.model),
        (None, 0) => format!("no version of {} is in force", row.model),
        (None, version) => match row.experiment {
            Some(_) => format!("{}@{version} is in force since {at}, beside challenger {}", row.model, row.challenger),
            None => format!("{}@{version} is in force since {at}", row.model),
        },
    }
}

fn said(server: &ServerServing) -> ServingConfirmed {
    server.serving.as_ref().and_then(|row| row.confirmed.clone()).unwrap_or_default()
}

fn cells(server: &ServerServing) -> Vec<String> {
    let said = said(server);
    let challenger = said.challenger.as_ref().map_or(String::new(), |arm| format!(" and {}", arm.version));
    let differs = server.serving.iter().flat_map(|row| row.differs());
    let differs: Vec<_> = differs.map(|part| plain(ServingPart::as_str_name(&part), "SERVING_PART_")).collect();
    let status = plain(server.status().as_str_name(), "SERVER_STATUS_");
    let version = if said.version == 0 { "nothing".into() } else { format!("{}@{}", said.model, said.version) };
    vec![
        said.server,
        format!("{version}{challenger}"),
        if differs.is_empty() { status } else { format!("{status}: {}", differs.join(", ")) },
        said.as_of.to_string(),
        output::time(server.changed_ms),
        output::time(server.confirmed_ms),
    ]
}

/// Waits until every live server serves a model as of an event, and says how long that took. Silent servers and such as said
/// that they stop are not waited for; with `unchanged_will_do` neither are those that serve what is decided already, as the
/// event may change nothing for them, and they say so again only by their next heartbeat.
///
/// # Errors
/// If the time runs out; names the servers that are missing.
pub async fn wait(
    context: &Context,
    session: &Session,
    model: &str,
    receipt: &Receipt,
    unchanged_will_do: bool,
    limit: Duration,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let lacks = |server: &ServerServing| {
        said(server).as_of < receipt.position && !(unchanged_will_do && server.status() == ServerStatus::Current)
    };
    loop {
        let request = GetServingRequest { model: model.into(), now_ms: now_ms(), as_of: None };
        let answer = session.operations().get_serving(request).await?.into_inner();
        let servers: Vec<ServerServing> = answer.models.into_iter().flat_map(|model| model.servers).collect();
        let live: Vec<&ServerServing> = servers.iter().filter(|server| is_live(server)).collect();
        let missing: Vec<String> =
            live.iter().filter(|server| lacks(server)).map(|server| said(server).server).collect();
        if missing.is_empty() {
            return say(context, receipt, &live, servers.len() - live.len(), began.elapsed());
        }
        if began.elapsed() > limit {
            return Err(problem::no(
                format!("not confirmed within {} s by {}", limit.as_secs(), missing.join(", ")),
                "what was decided stands; see `attestune served`, and the logs of these servers",
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_live(server: &ServerServing) -> bool {
    !matches!(server.status(), ServerStatus::Silent | ServerStatus::Stopped)
}

fn say(
    context: &Context,
    receipt: &Receipt,
    live: &[&ServerServing],
    others: usize,
    waited: Duration,
) -> anyhow::Result<()> {
    let last_ms = live.iter().map(|server| server.confirmed_ms.saturating_sub(receipt.time_ms)).max().unwrap_or(0);
    let switch_us = live.iter().map(|server| said(server).switch_us).max().unwrap_or(0);
    if context.json {
        let mut json = crate::json::message("Receipt", receipt)?;
        json["servers"] = live.len().into();
        json["not_waited_for"] = others.into();
        json["confirmed_after_ms"] = last_ms.into();
        json["longest_switch_us"] = switch_us.into();
        json["waited_ms"] = (waited.as_millis() as u64).into();
        return output::value(&json);
    }
    match live.len() {
        0 => println!("no server is live: there was none to wait for"),
        count => println!(
            "{count} of {count} live servers confirmed, the last {last_ms} ms after the event; the longest switch took {} ms",
            switch_us.div_ceil(1000)
        ),
    }
    if others > 0 {
        println!("{others} silent or stopped servers were not waited for");
    }
    Ok(())
}
