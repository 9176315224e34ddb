//! Questions about models in production: whether they can be stopped, and whether somebody looks.

use super::answer::{Tally, count};
use super::asked::Asked;
use crate::query::{QueryError, serving};
use crate::rules::may_return;
use crate::state::{Alerts, Assignments, LatestWindows, ServingChanges, Versions, Windows};
use attestune_proto::v1::{
    AlertRow, AssignmentRow, DueItem, DueKind, Kind, ModelRow, ModelServing, QuestionAnswer, ServerStatus,
    ServingOccasion, Signer, Watch, WindowRow,
};
use std::collections::{BTreeMap, BTreeSet};

const DAY_MS: u64 = 86_400_000;

/// Somebody can halt each model and roll it back.
pub fn stoppable(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    let (halting, returning) = (asked.persons_able(Kind::ServingHalted), asked.persons_able(Kind::RolledBack));
    let mut with_way_back = 0;
    for model in asked.in_production() {
        let mut versions = asked.view.scan(&Versions::under(model.model.as_str()));
        versions.retain(|version| version.version != model.in_force && may_return(&asked.view, version));
        with_way_back += u64::from(!versions.is_empty());
        let shortfall = match (halting.is_empty(), returning.is_empty()) {
            (false, false) => None,
            (true, _) => Some(format!("nobody can halt {}", model.model)),
            (_, true) => Some(format!("nobody can roll {} back", model.model)),
        };
        tally.judge(model.since, shortfall);
    }
    let text = format!(
        "{} in production; {} may halt them, {} roll back; {with_way_back} with an earlier version to go back to",
        count(tally.of(), "model"),
        count(halting.len() as u64, "person"),
        returning.len(),
    );
    Ok(tally.answer(text))
}

/// What servers say they serve is what was decided.
pub fn served_as_decided(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    let (mut servers, mut halted) = (0, 0);
    for model in serving(asked.store, "", asked.now_ms)?.models {
        let Some(decided) = model.decided.as_ref() else { continue };
        if decided.in_force == 0 && !still_served(&model) {
            continue;
        }
        halted += u64::from(decided.in_force == 0);
        let live = model.servers.iter().filter(|server| server.status() != ServerStatus::Stopped);
        servers += live.count() as u64;
        tally.judge(decided.since, serving_short(asked, &model, decided));
    }
    let text = format!(
        "{} in production{}, {} served as decided, by {}",
        count(tally.of() - halted, "model"),
        if halted > 0 { format!(" and {halted} halted but still served") } else { String::new() },
        tally.good(),
        count(servers, "server"),
    );
    Ok(tally.answer(text))
}

/// Whether a server's last word is that it serves a version, whatever was decided.
fn still_served(model: &ModelServing) -> bool {
    model.servers.iter().any(|server| {
        let said = server.serving.as_ref().and_then(|row| row.confirmed.as_ref());
        server.status() != ServerStatus::Stopped && said.is_some_and(|said| said.version != 0)
    })
}

fn serving_short(asked: &Asked<'_>, model: &ModelServing, decided: &ModelRow) -> Option<String> {
    let mut live = 0;
    for server in &model.servers {
        let said = server.serving.as_ref().and_then(|row| row.confirmed.as_ref());
        let name = said.map_or("a server", |said| said.server.as_str());
        let what = match server.status() {
            ServerStatus::Stopped => continue,
            ServerStatus::Current => {
                live += 1;
                continue;
            }
            ServerStatus::Differs => "says that it serves something else",
            ServerStatus::Silent => "is silent",
            ServerStatus::Behind | ServerStatus::Unspecified => "has not changed over yet",
        };
        return Some(format!("{}: {name} {what}", decided.model));
    }
    let overdue = asked.overdue(DueKind::NotServed).any(|item| item.model == decided.model);
    // Until the policy's time is over, a server may still be on its way.
    let expected = overdue || asked.policy.serving_silence_ms == 0;
    (live == 0 && expected).then(|| format!("{}: no server has confirmed version {}", decided.model, decided.in_force))
}

/// Servers' windows of each version in force.
pub fn traffic_on_record(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    for model in asked.in_production() {
        let newest = newest_window(asked, model, false);
        let silent = too_old(asked, model, newest).map(|what| format!("{what} of its traffic"));
        let shortfall = silent.or_else(|| hole(asked, model));
        tally.judge(newest.unwrap_or(model.since), shortfall.map(|what| format!("{}: {what}", model.model)));
    }
    let kept = asked.policy.request_retention_ms;
    let texts = match kept {
        0 => "texts of requests are not kept".into(),
        _ => format!("texts of requests are kept for {}", count(kept.div_ceil(DAY_MS), "day")),
    };
    let text = format!(
        "{} in production, {} with windows on the record without a hole, or not yet due for one; {texts}, the windows for ever",
        count(tally.of(), "model"),
        tally.good(),
    );
    Ok(QuestionAnswer { kept_ms: kept, ..tally.answer(text) })
}

/// A monitor's readings of each version in force, against limits.
pub fn watched(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    for model in asked.in_production() {
        let newest = newest_window(asked, model, true);
        let shortfall = match asked.policy.watch.as_ref().is_some_and(limits) {
            false => Some(format!("{}: the policy sets no limits", model.model)),
            true => too_old(asked, model, newest).map(|what| format!("{}: {what} by a monitor", model.model)),
        };
        let shortfall = shortfall.or_else(|| unread(asked, model));
        tally.judge(newest.unwrap_or(model.since), shortfall);
    }
    let text = format!(
        "{} in production, {} read by a monitor or not yet due for it; {} raised so far",
        count(tally.of(), "model"),
        tally.good(),
        count(asked.view.scan(&Alerts::all()).len() as u64, "alert"),
    );
    Ok(tally.answer(text))
}

/// A server's window that has waited for a monitor longer than the policy bears.
fn unread(asked: &Asked<'_>, model: &ModelRow) -> Option<String> {
    let waits = asked.overdue(DueKind::WindowUnread).find(|item| item.model == model.model)?;
    Some(format!("{}: no monitor has read the window of {} at {}", model.model, waits.subject, waits.position))
}

/// Whether a policy's watch has any limit; one of 0 is none.
fn limits(watch: &Watch) -> bool {
    let shares = [watch.refusals_max_ppm, watch.format_failures_max_ppm, watch.errors_max_ppm, watch.psi_max_ppm];
    shares.iter().any(|ppm| *ppm > 0) || watch.latency_p99_max_us > 0 || watch.cusum_limit_milli > 0
}

/// The newest window of the version in force, by servers or by monitors.
fn newest_window(asked: &Asked<'_>, model: &ModelRow, by_monitor: bool) -> Option<u64> {
    let windows = asked.view.scan(&LatestWindows::under(model.model.as_str()));
    let of_this = |row: &&WindowRow| row.version == model.in_force && row.server.is_empty() == by_monitor;
    windows.iter().filter(of_this).map(|row| row.position).max()
}

/// Why the newest window is too old; a version that has just come into force has time for its first.
fn too_old(asked: &Asked<'_>, model: &ModelRow, newest: Option<u64>) -> Option<String> {
    let age_ms = |position: u64| asked.now_ms.saturating_sub(asked.view.fold_time(position).unwrap_or(0));
    match newest {
        Some(at) => (age_ms(at) > bears_ms(asked)).then(|| format!("no window for {}", days(age_ms(at)))),
        None if asked.policy.watch_silence_ms == 0 => Some("no window".into()),
        None => (age_ms(model.since) > bears_ms(asked)).then(|| "no window".into()),
    }
}

/// The longest time without a window that the policy bears, and where it does not say, that this question does.
fn bears_ms(asked: &Asked<'_>) -> u64 {
    match asked.policy.watch_silence_ms {
        0 => 30 * DAY_MS,
        ms => ms,
    }
}

fn days(ms: u64) -> String {
    format!("{}.{} days", ms / DAY_MS, ms % DAY_MS * 10 / DAY_MS)
}

/// Who signed as a server, and the server's name.
type Server = (String, String);

fn server_of(signer: Option<&Signer>, name: &str) -> Server {
    (signer.map_or_else(String::new, |signer| signer.actor.clone()), name.to_owned())
}

/// The first hole in the servers' windows since the version came into force that is longer than the policy bears: between
/// two of one server, or before the first of all. A server that stopped in order is not missed until it is back.
///
/// Of what it serves a server puts windows on the log though nobody asks, so that a hole is no pause: what was answered
/// then was lost, or the server was not there, or was of a build that began a window with a request.
fn hole(asked: &Asked<'_>, model: &ModelRow) -> Option<String> {
    let since_ms = asked.view.fold_time(model.since).unwrap_or(0);
    let back_ms = back_ms(asked, model);
    let mut ended_ms: BTreeMap<Server, u64> = BTreeMap::new();
    let mut found = None;
    asked.view.each(&Windows::under(model.model.as_str()), |_, row: WindowRow| {
        if row.version != model.in_force || row.server.is_empty() || row.to_ms <= since_ms {
            return true; // a monitor's, or of another time
        }
        let server = server_of(row.signer.as_ref(), &row.server);
        let begins_ms = if ended_ms.is_empty() { since_ms } else { row.from_ms };
        let last_ms = ended_ms.get(&server).copied().unwrap_or(begins_ms);
        let back_ms = back_ms.get(&server).into_iter().flatten().copied().filter(|ms| *ms <= row.to_ms).max();
        let hole_ms = row.from_ms.saturating_sub(last_ms.max(back_ms.unwrap_or(0)));
        if hole_ms > bears_ms(asked) {
            let (server, long) = (&row.server, days(hole_ms));
            found = Some(format!("no window of {server} for {long} before the one at {}", row.position));
        }
        ended_ms.insert(server, row.to_ms);
        found.is_none()
    });
    found
}

/// When servers were back that had stopped in order, by the log's time.
fn back_ms(asked: &Asked<'_>, model: &ModelRow) -> BTreeMap<Server, Vec<u64>> {
    let mut stopped = BTreeSet::new();
    let mut back_ms: BTreeMap<Server, Vec<u64>> = BTreeMap::new();
    for row in asked.view.scan(&ServingChanges::under(model.model.as_str())) {
        let said = row.confirmed.unwrap_or_default();
        let server = server_of(row.signer.as_ref(), &said.server);
        if said.occasion() == ServingOccasion::Stopped {
            stopped.insert(server);
        } else if stopped.remove(&server) {
            let at = row.signer.map_or(0, |signer| signer.position);
            back_ms.entry(server).or_default().push(asked.view.fold_time(at).unwrap_or(0));
        }
    }
    back_ms
}

/// Persons answered alerts in time.
pub fn alerts_answered(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    let mut open = 0;
    for alert in asked.view.scan(&Alerts::all()) {
        open += u64::from(alert.acknowledged.is_none());
        let shortfall = answered_late(asked, &alert).map(|what| {
            let raised = alert.raised.clone().unwrap_or_default();
            format!("the alert on {}@{} {what}", raised.model, raised.version)
        });
        tally.judge(alert.position, shortfall);
    }
    let text =
        format!("{}, {} answered in time or with time left; {open} open", count(tally.of(), "alert"), tally.good());
    Ok(tally.answer(text))
}

fn answered_late(asked: &Asked<'_>, alert: &AlertRow) -> Option<String> {
    let time = |position: u64| asked.view.fold_time(position).unwrap_or(0);
    let limit_ms = asked.policy.alert_response_ms;
    let due_ms = time(alert.position).saturating_add(limit_ms);
    if let Some(other) = asked.no_person(alert.acknowledged.as_ref()) {
        return Some(other);
    }
    match (&alert.acknowledged, limit_ms) {
        (None, 0) => Some("is open, and the policy sets no time for it".into()),
        (Some(_), 0) => None,
        (None, _) => (asked.now_ms > due_ms).then(|| "is overdue".into()),
        (Some(signer), _) => {
            (time(signer.position) > due_ms).then(|| format!("was answered late, at {}", signer.position))
        }
    }
}

/// No retraining is overdue.
pub fn retraining_current(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    let mut paused = 0;
    for model in asked.in_production() {
        let of_this = |item: &&DueItem| item.model == model.model;
        let due = asked.due(DueKind::Retraining).find(of_this);
        paused += u64::from(due.is_none());
        let late = due.filter(|item| item.overdue).map(|item| {
            let days = asked.now_ms.saturating_sub(item.due_ms) / DAY_MS;
            format!("{} is overdue for retraining by {}", model.model, count(days, "day"))
        });
        tally.judge(due.map_or(model.since, |item| item.position), late);
    }
    let text = format!(
        "{} in production, {} not overdue for retraining; {paused} on a schedule that is paused or ended",
        count(tally.of(), "model"),
        tally.good(),
    );
    Ok(tally.answer(text))
}

/// No review that was assigned is overdue.
pub fn reviews_in_time(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    let overdue: Vec<&DueItem> = asked.overdue(DueKind::Review).collect();
    asked.view.each(&Assignments::all(), |_, row: AssignmentRow| {
        if row.expires_ms != 0 || row.due_ms == 0 {
            return true; // a claim ends by itself, and what has no date is never late
        }
        let position = row.signer.map_or(0, |signer| signer.position);
        let late = overdue.iter().any(|item| item.position == position);
        tally
            .judge(position, late.then(|| format!("the review assigned to {} at {position} is overdue", row.reviewer)));
        true
    });
    let text = format!("{} of review, {} done or with time left", count(tally.of(), "assignment"), tally.good());
    Ok(tally.answer(text))
}
