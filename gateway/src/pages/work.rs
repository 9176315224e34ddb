//! What is late or missing, alerts, what servers really serve, experiments, erasures and holds.

use super::ask::Ask;
use super::error::PageError;
use super::layout::{self, table};
use super::text::{at, duration, judged, shown, signed, time};
use super::version;
use attestune_ledger::draft::plain;
use attestune_ledger::log::{Clock as _, SystemClock};
use attestune_ledger::time::iso;
use attestune_proto::v1 as pb;
use axum::response::Html;
use maud::{Markup, html};
use pb::operations_server::Operations as _;

/// Everything that somebody should look at.
pub async fn page(ask: Ask) -> Result<Html<String>, PageError> {
    let past = ask.moment.position < ask.moment.newest;
    // Lateness is reckoned at the moment looked at; now by this server's clock.
    let now_ms = if past { ask.moment.time_ms } else { SystemClock.now_ms() };
    let as_of = ask.moment.as_of();
    let list = || ask.request(pb::ListRequest { as_of, ..Default::default() });
    let due = ask.services.due(ask.request(pb::DueRequest { model: String::new(), now_ms, as_of })).await?.into_inner();
    let serving = pb::GetServingRequest { model: String::new(), now_ms, as_of };
    let serving = ask.services.get_serving(ask.request(serving)).await?.into_inner();
    let mut alerts = ask.services.list_alerts(ask.newest("")).await?.into_inner().alerts;
    let older = layout::older(&ask, &[(alerts.len(), alerts.last().map(|alert| alert.position))]);
    alerts.sort_by_key(|alert| (alert.acknowledged.is_some(), std::cmp::Reverse(alert.position)));
    let experiments = ask.services.list_experiments(list()).await?.into_inner().experiments;
    let erasures = ask.services.list_erasures(list()).await?.into_inner().erasures;
    let holds = ask.services.list_holds(list()).await?.into_inner().holds;
    let late = due.items.iter().filter(|item| item.overdue).count();
    let body = html! {
        p.lead { (judged(late == 0, "Nothing is overdue", &format!("{late} overdue"))) ", reckoned at " (iso(now_ms)) "." }
        (due_table(&ask, &due.items, now_ms))
        (alert_table(&ask, &alerts))
        (older)
        (serving_table(&ask, &serving.models))
        (experiment_table(&ask, &experiments))
        (erasure_table(&ask, &erasures))
        (hold_table(&ask, &holds))
    };
    Ok(layout::page(&ask, "Gaps and alerts", body))
}

fn version_of(ask: &Ask, model: &str, version: u32) -> Markup {
    html! {
        @if model.is_empty() { "—" }
        @else if version == 0 { a href=(ask.link(&format!("/models/{model}"))) { (model) } }
        @else { (version::link(ask, model, version)) }
    }
}

fn due_table(ask: &Ask, items: &[pb::DueItem], now_ms: u64) -> Markup {
    let rows = items.iter().map(|item| {
        let state = match item.overdue {
            true => html! { span.bad { "✗ overdue by " (duration(now_ms.saturating_sub(item.due_ms))) } },
            false => html! { "in " (duration(item.due_ms.saturating_sub(now_ms))) },
        };
        vec![
            html! { (plain(item.kind().as_str_name(), "DUE_KIND_").replace('-', " ")) },
            version_of(ask, &item.model, item.version),
            shown(&item.subject),
            time(item.due_ms),
            state,
            at(ask, item.position),
        ]
    });
    let heads = ["What", "Of", "About", "Due (UTC)", "State", "Event"];
    table("What is late or due; nobody announces an absence", &heads, rows.collect(), "Nothing is due.")
}

fn alert_table(ask: &Ask, alerts: &[pb::AlertRow]) -> Markup {
    let rows = alerts.iter().map(|row| {
        let alert = row.raised.clone().unwrap_or_default();
        let figures = if alert.observed.is_empty() { String::new() } else { format!("{}, allowed {}", alert.observed, alert.allowed) };
        vec![
            at(ask, row.position),
            html! { (plain(alert.kind().as_str_name(), "ALERT_KIND_").replace('-', " ")) },
            version_of(ask, &alert.model, alert.version),
            html! { (shown(&alert.subject)) " " (figures) },
            html! { @match &row.acknowledged {
                Some(signer) => { "✓ " (plain(row.action().as_str_name(), "ALERT_ACTION_").replace('-', " ")) ", " (signed(ask, Some(signer))) }
                None => { span.bad { "✗ nobody has" } (acknowledge(ask, row.position)) }
            } },
        ]
    });
    let heads = ["Alert", "What", "Of", "Figures", "Acknowledged"];
    table("Alerts, those that wait first", &heads, rows.collect(), "No alert had been raised by then.")
}

/// The form to sign, where this is no look at the past.
fn acknowledge(ask: &Ask, alert: u64) -> Markup {
    let actions = (1..).map_while(|number| pb::AlertAction::try_from(number).ok());
    html! { @if ask.moment.position == ask.moment.newest {
        form.sign hidden data-kind="alert-acknowledged" data-alert=(alert) {
            label { "What is done " select name="action" { @for action in actions {
                option value=(action as i32) { (plain(action.as_str_name(), "ALERT_ACTION_").replace('-', " ")) }
            } } }
            " " button { "Acknowledge" }
            p.status role="alert" {}
        }
        noscript { code { "attestune alert ack " (alert) } }
    } }
}

fn serving_table(ask: &Ask, models: &[pb::ModelServing]) -> Markup {
    let rows = models.iter().flat_map(|model| {
        let decided = model.decided.clone().unwrap_or_default();
        model.servers.iter().map(move |server| {
            let row = server.serving.clone().unwrap_or_default();
            let said = row.confirmed.clone().unwrap_or_default();
            let word = plain(server.status().as_str_name(), "SERVER_STATUS_");
            let well = server.status() == pb::ServerStatus::Current;
            vec![
                html! { (shown(&said.server)) },
                version_of(ask, &decided.model, decided.in_force),
                version_of(ask, &decided.model, said.version),
                judged(well, &word, &word),
                html! { (time(server.confirmed_ms)) " " (signed(ask, row.signer.as_ref())) },
            ]
        })
    });
    let heads = ["Server", "Decided", "Serves", "State", "Confirmed (UTC)"];
    table(
        "What is decided, and what each server says it serves",
        &heads,
        rows.collect(),
        "No server had confirmed anything by then.",
    )
}

fn experiment_table(ask: &Ask, experiments: &[pb::ExperimentRow]) -> Markup {
    let rows = experiments.iter().rev().map(|row| {
        let started = row.started.clone().unwrap_or_default();
        vec![
            at(ask, row.position),
            html! { (version::link(ask, &started.model, started.a)) " against " (version::link(ask, &started.model, started.b)) },
            html! { (shown(&started.metric)) ", " (super::text::percent(started.share_ppm)) " of users" },
            html! {
                @match &row.concluded {
                    Some(end) => { (plain(end.conclusion().as_str_name(), "CONCLUSION_").replace('-', " ")) ", difference " (end.difference)
                        " (" (end.lower) " to " (end.upper) ")" }
                    None => { @if row.ended_at == 0 { "… runs" } @else { "ended otherwise" } }
                }
                @if row.ended_at != 0 { " " (at(ask, row.ended_at)) }
            },
        ]
    });
    table(
        "Experiments",
        &["Experiment", "Arms", "Metric", "Outcome"],
        rows.collect(),
        "No experiment had been started by then.",
    )
}

fn erasure_table(ask: &Ask, erasures: &[pb::ErasureRow]) -> Markup {
    let rows = erasures.iter().rev().map(|row| {
        vec![
            at(ask, row.position),
            html! { (plain(row.status().as_str_name(), "ERASURE_STATUS_").replace('-', " ")) ", " (row.chunk) " of " (row.chunks) " chunks" },
            html! { (row.documents) " documents, " (row.examples) " examples, " (row.redactions) " redactions, " (row.others) " other texts" },
            html! { (plain(row.ground().as_str_name(), "ERASURE_GROUND_").replace('-', " ")) },
            signed(ask, row.signer.as_ref()),
        ]
    });
    let heads = ["Erasure", "State", "What", "Ground", "By"];
    table("Erasures", &heads, rows.collect(), "Nothing had been erased by then.")
}

fn hold_table(ask: &Ask, holds: &[pb::HoldRow]) -> Markup {
    let rows = holds.iter().rev().map(|row| {
        vec![
            html! { (row.hold) },
            html! { @if row.collections.is_empty() { "everything" } @else { (row.collections.join(", ")) } },
            signed(ask, row.signer.as_ref()),
            html! { @match row.released_at { Some(position) => { "released " (at(ask, position)) } None => "stands" } },
        ]
    });
    table("Legal holds", &["Hold", "Covers", "Placed", "State"], rows.collect(), "There were no legal holds.")
}
