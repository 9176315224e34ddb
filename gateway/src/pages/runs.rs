//! Training runs: their losses, and what differs between two of them.

use super::ask::Ask;
use super::chart::{Curve, losses};
use super::error::PageError;
use super::layout::{self, facts, older, table};
use super::text::{at, micro, shown, signed};
use super::{version, words};
use attestune_ledger::state::{Datasets, Runs};
use attestune_proto::v1 as pb;
use axum::extract::Path;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use maud::{Markup, html};

/// Entries looked through for what a trainer reported.
const ENTRIES: u64 = 5_000;

/// All runs; or, where two are chosen, what differs between them.
pub async fn index(ask: Ask) -> Result<Response, PageError> {
    if let (Ok(one), Ok(other)) = (ask.query("one").parse::<u64>(), ask.query("other").parse::<u64>()) {
        return Ok(Redirect::to(&ask.link(&format!("/runs/{one}/{other}"))).into_response());
    }
    let runs = ask.runs().await?;
    let rows = runs.iter().map(|run| {
        vec![
            link(&ask, run.position),
            html! { (run.model) @if run.version != 0 { ": " (version::link(&ask, &run.model, run.version)) } },
            words::work(run.status()),
            html! { (run.step) " of " (run.steps) },
            html! { (micro(run.loss_micro)) },
            signed(&ask, run.requested_by.as_ref()),
        ]
    });
    let heads = ["Run", "Model", "Status", "#Step", "#Loss", "Requested by"];
    let body = html! {
        (table("Training runs", &heads, rows.collect(), "Nobody had asked for a training by then."))
        (older(&ask, &[(runs.len(), runs.last().map(|run| run.position))]))
        @if runs.len() > 1 { (chooser(&ask, &runs)) }
    };
    Ok(layout::page(&ask, "Runs", body).into_response())
}

fn chooser(ask: &Ask, runs: &[pb::RunRow]) -> Markup {
    let choice = |name: &str, skip: usize| {
        html! { select name=(name) { @for run in runs.iter().cycle().skip(skip).take(runs.len()) {
            option value=(run.position) { (run.position) " (" (run.model) ")" }
        } } }
    };
    html! {
        form.filters method="get" action="/runs" aria-label="Compare two runs" {
            @if let Some(asked) = &ask.moment.asked { input type="hidden" name="at" value=(asked); }
            label { "Run " (choice("one", 1)) }
            label { "against " (choice("other", 0)) }
            button { "Compare" }
        }
    }
}

fn link(ask: &Ask, position: u64) -> Markup {
    html! { a href=(ask.link(&format!("/runs/{position}"))) { "run " (position) } }
}

/// One run.
pub async fn run(ask: Ask, Path(position): Path<u64>) -> Result<Html<String>, PageError> {
    let row = find(&ask, position).await?;
    let (curve, cut) = curve(&ask, &row).await?;
    let dataset = ask.row(Datasets::key(row.dataset)).await?;
    let mut pairs = vec![
        ("Status", html! { (words::work(row.status())) ", step " (row.step) " of " (row.steps) }),
        (
            "Model",
            html! { (row.model) @if row.version != 0 { ": made " (version::link(&ask, &row.model, row.version)) } },
        ),
        ("Requested by", signed(&ask, row.requested_by.as_ref())),
        ("Trained by", html! { (row.claimed_by.join(", ")) }),
        (
            "Dataset",
            html! { a href=(ask.link(&format!("/datasets/{}", row.dataset))) {
                @match &dataset { Some(d) => { (d.dataset) "@" (d.number) } None => { "@" (row.dataset) } }
            } },
        ),
        ("Base model", at(&ask, row.base)),
    ];
    if row.ended_at != 0 {
        pairs.push(("Ended", at(&ask, row.ended_at)));
    }
    if row.reproductions > 0 {
        let class = attestune_ledger::draft::plain(row.reproduction().as_str_name(), "REPRODUCTION_").replace('-', " ");
        pairs.push(("Repeated", html! { (row.reproductions) " times, the weakest result: " (class) }));
    }
    let settings = configuration(&ask, &row).await?;
    let body = html! {
        (facts(pairs))
        p { a href=(ask.link(&format!("/lineage/{position}"))) { "Its lineage, both ways" } }
        (losses(&[curve]))
        @if cut { p { "Only what was reported in the first " (ENTRIES) " entries after the request is drawn." } }
        (table("Configuration and environment", &["Setting", "Value"],
            settings.into_iter().map(|(name, value)| vec![html! { (name) }, shown(&value)]).collect(), ""))
    };
    Ok(layout::page(&ask, &format!("Run {position}"), body))
}

/// Two runs side by side.
pub async fn compare(ask: Ask, Path((one, other)): Path<(u64, u64)>) -> Result<Html<String>, PageError> {
    let rows = [find(&ask, one).await?, find(&ask, other).await?];
    let curves = [curve(&ask, &rows[0]).await?.0, curve(&ask, &rows[1]).await?.0];
    let (left, right) = (configuration(&ask, &rows[0]).await?, configuration(&ask, &rows[1]).await?);
    let pairs = differences(&left, &right);
    let different = pairs.iter().filter(|(_, one, other)| one != other).count();
    let cells = pairs.iter().map(|(name, one, other)| {
        let same = one == other;
        vec![
            html! { (name) },
            html! { @if same { "same" } @else { strong { "≠ differs" } } },
            shown(one),
            html! { @if same { "〃" } @else { strong { (shown(other)) } } },
        ]
    });
    let heads = ["Setting", "Same?", &format!("Run {one}"), &format!("Run {other}")];
    let body = html! {
        p { (link(&ask, one)) " against " (link(&ask, other)) ": " (different) " settings differ." }
        (losses(&curves))
        (table("Configuration, side by side", &heads, cells.collect(), ""))
    };
    Ok(layout::page(&ask, &format!("Runs {one} and {other}"), body))
}

async fn find(ask: &Ask, position: u64) -> Result<pb::RunRow, PageError> {
    let missing = || PageError::Missing(format!("No training had been asked for at position {position} by then."));
    ask.row(Runs::key(position)).await?.ok_or_else(missing)
}

/// What the trainer reported, and whether there may be more of it than was looked at.
async fn curve(ask: &Ask, run: &pb::RunRow) -> Result<(Curve, bool), PageError> {
    let end = if run.ended_at == 0 { ask.moment.position + 1 } else { run.ended_at };
    let to = end.min(run.position + ENTRIES);
    let request = pb::HistoryRequest {
        kinds: vec![pb::Kind::TrainingProgressed.into()],
        verdict: pb::Verdict::Accepted.into(),
        from: run.position,
        to,
        ..Default::default()
    };
    let events = ask.history(request).await?.into_iter().filter_map(|event| event.event?.body);
    let points = events.filter_map(|body| match body {
        pb::event::Body::TrainingProgressed(progress) if progress.run == run.position => {
            Some((progress.step, progress.loss_micro))
        }
        _ => None,
    });
    Ok((Curve { name: format!("run {}", run.position), points: points.collect() }, to < end))
}

/// What was asked for, and what it ran on.
async fn configuration(ask: &Ask, run: &pb::RunRow) -> Result<Vec<(String, String)>, PageError> {
    let h = run.hyperparameters.clone().unwrap_or_default();
    let steps_max = if h.steps_max == 0 { "none".into() } else { h.steps_max.to_string() };
    let mut settings: Vec<(String, String)> = [
        ("dataset", format!("@{}", run.dataset)),
        ("base model", format!("@{}", run.base)),
        ("rank", h.rank.to_string()),
        ("alpha", h.alpha.to_string()),
        ("targets", h.targets.join(", ")),
        ("learning rate", h.learning_rate),
        ("weight decay", h.weight_decay),
        ("warm-up", super::text::percent(h.warmup_ppm)),
        ("epochs", h.epochs.to_string()),
        ("most steps", steps_max),
        ("batch size", h.batch_size.to_string()),
        ("most tokens", h.tokens_max.to_string()),
        ("seed", h.seed.to_string()),
        ("threads", h.threads.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let ended = if run.ended_at == 0 { None } else { ask.event(run.ended_at).await? };
    if let Some(pb::event::Body::TrainingCompleted(done)) = ended.and_then(|event| event.event?.body) {
        settings.extend(done.environment.into_iter().map(|setting| (setting.name, setting.value)));
        settings.push(("adapter".into(), hex::encode(done.adapter_digest)));
    }
    Ok(settings)
}

/// Names in the order of the first list, then those that the second alone has.
fn differences(one: &[(String, String)], other: &[(String, String)]) -> Vec<(String, String, String)> {
    let value = |of: &[(String, String)], name: &str| {
        of.iter().find(|(known, _)| known == name).map_or_else(|| "—".to_owned(), |(_, value)| value.clone())
    };
    let only_there = other.iter().filter(|(name, _)| !one.iter().any(|(known, _)| known == name));
    let names = one.iter().chain(only_there).map(|(name, _)| name.clone());
    names.map(|name| (name.clone(), value(one, &name), value(other, &name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_either_run_stand_side_by_side() {
        let list = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        let found = differences(&list(&[("rank", "8"), ("seed", "1")]), &list(&[("seed", "2"), ("device", "cpu")]));
        let found: Vec<_> = found.iter().map(|(n, a, b)| (n.as_str(), a.as_str(), b.as_str())).collect();
        assert_eq!(found, [("rank", "8", "—"), ("seed", "1", "2"), ("device", "—", "cpu")]);
    }
}
