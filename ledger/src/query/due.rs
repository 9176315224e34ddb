//! What is late or missing: derived when asked, from the log and the asker's clock, so that a dead worker can't hide it.

use super::erased::undecided;
use super::{QueryError, answer, calendar, reckoned_from};
use crate::replica::StoreView;
use crate::rules::{
    eligibility::{self, Standing},
    policy,
};
use crate::state::{
    Alerts, Assignments, Erasures, LatestWindows, Models, Promotions, Runs, Schedules, Servings, Versions, View,
    Windows,
};
use attestune_proto::v1::{
    AlertAction, AlertKind, AlertRow, AssignmentRow, DueItem, DueKind, DueResponse, ErasureStatus, ModelRow, Policy,
    ScheduleRow, ServingOccasion, WindowRow,
};

/// Everything that somebody or something owes at the asker's time (0 for the view's own), the most overdue first.
///
/// # Errors
/// If the state can't be read.
pub fn due(store: &StoreView, model: &str, now_ms: u64) -> Result<DueResponse, QueryError> {
    let view = store.view();
    let as_of_position = store.size().saturating_sub(1);
    let now_ms = reckoned_from(&view, now_ms);
    let policy = policy::in_force(&view);
    let alerts = view.scan(&Alerts::all());
    let mut items = Vec::new();
    for row in view.scan(&Models::all()) {
        items.extend(retraining(&view, &policy, &row, &alerts));
        items.extend(watching(&view, &policy, &row));
        items.extend(unread(&view, &policy, &row));
        items.extend(servers(&view, &policy, &row));
        items.extend(review_of_emergency(&view, &row));
    }
    items.extend(alerts.iter().filter_map(|alert| unacknowledged(&view, &policy, alert)));
    items.extend(undecided(&view));
    items.extend(unfinished(&view));
    items.extend(reviews(&view));
    items.retain(|item| model.is_empty() || item.model.is_empty() || item.model == model);
    for item in &mut items {
        item.overdue = now_ms > item.due_ms;
    }
    items.sort_by_key(|item| (item.due_ms, item.kind, item.position));
    answer(&view, DueResponse { items, as_of_position, now_ms })
}

/// When a model in production is due for retraining; nothing where none is in force, or its schedule is paused.
///
/// # Errors
/// If the state can't be read.
pub fn retraining_due(store: &StoreView, model: &str) -> Result<Option<DueItem>, QueryError> {
    let view = store.view();
    let policy = policy::in_force(&view);
    let row = view.get(&Models::key(model)).unwrap_or_default();
    let due = retraining(&view, &policy, &row, &view.scan(&Alerts::all()));
    answer(&view, due)
}

fn item(kind: DueKind, model: &ModelRow, position: u64, due_ms: u64) -> DueItem {
    let (kind, version) = (kind as i32, model.in_force);
    DueItem { kind, model: model.model.clone(), version, position, due_ms, ..Default::default() }
}

/// Reckoned from the request of the training that made the newest version: what was trained was trained on data of then.
fn retraining(view: &View<'_>, policy: &Policy, model: &ModelRow, alerts: &[AlertRow]) -> Option<DueItem> {
    let schedule = view.get(&Schedules::key(&model.model));
    if model.in_force == 0 || schedule.as_ref().is_some_and(|s| s.schedule.as_ref().is_some_and(|s| s.paused)) {
        return None;
    }
    let newest = view.get(&Versions::key(&model.model, model.versions))?;
    let since = newest.run.and_then(|run| view.get(&Runs::key(run))).map_or(newest.position, |run| run.position);
    let since_ms = view.fold_time(since)?;
    let due_ms = due_by(schedule.as_ref(), policy, since_ms)?;
    let on_drift = schedule.and_then(|row| row.schedule).is_some_and(|s| s.on_drift);
    let drifted = |alert: &&AlertRow| {
        let of_this = |r: &attestune_proto::v1::AlertRaised| r.model == model.model && r.kind() == AlertKind::Drift;
        let holds = alert.action() != AlertAction::FalseAlarm;
        alert.position > since && holds && alert.raised.as_ref().is_some_and(of_this)
    };
    let brought_forward = alerts.iter().filter(|_| on_drift).find(drifted);
    let forward_ms = brought_forward.and_then(|alert| view.fold_time(alert.position));
    Some(item(DueKind::Retraining, model, since, forward_ms.map_or(due_ms, |ms| ms.min(due_ms))))
}

fn due_by(schedule: Option<&ScheduleRow>, policy: &Policy, since_ms: u64) -> Option<u64> {
    match schedule.and_then(|row| row.schedule.as_ref()) {
        Some(schedule) => match &schedule.calendar {
            Some(calendar) => calendar::next_after(calendar, since_ms),
            None => Some(since_ms.saturating_add(schedule.interval_ms)),
        },
        None => Some(since_ms.saturating_add(policy.retraining_interval_ms)),
    }
}

fn watching(view: &View<'_>, policy: &Policy, model: &ModelRow) -> Option<DueItem> {
    if model.in_force == 0 || policy.watch_silence_ms == 0 {
        return None;
    }
    let windows = view.scan(&LatestWindows::under(model.model.as_str()));
    let of_this = windows.iter().filter(|w| w.version == model.in_force).map(|w| w.position);
    let last = of_this.chain([model.since]).max().unwrap_or(model.since);
    let due_ms = view.fold_time(last)?.saturating_add(policy.watch_silence_ms);
    Some(item(DueKind::WatchSilent, model, last, due_ms))
}

/// The oldest window of the version in force that no monitor has read: it has as long for that as a server has for a
/// window.
fn unread(view: &View<'_>, policy: &Policy, model: &ModelRow) -> Option<DueItem> {
    if model.in_force == 0 || policy.watch_silence_ms == 0 || policy.watch.is_none() {
        return None;
    }
    let mut oldest: Option<WindowRow> = None;
    view.each(&Windows::under(model.model.as_str()), |_, row: WindowRow| {
        if row.version == model.in_force && !row.server.is_empty() && row.read_at == 0 {
            oldest = Some(row);
        }
        oldest.is_none()
    });
    let window = oldest?;
    let due_ms = view.fold_time(window.position)?.saturating_add(policy.watch_silence_ms);
    Some(DueItem { subject: window.server, ..item(DueKind::WindowUnread, model, window.position, due_ms) })
}

/// Servers that owe a confirmation, and a version in force that nobody has confirmed.
fn servers(view: &View<'_>, policy: &Policy, model: &ModelRow) -> Vec<DueItem> {
    let mut items = Vec::new();
    if policy.serving_silence_ms == 0 {
        return items;
    }
    let mut served = false;
    for row in view.scan(&Servings::under(model.model.as_str())) {
        let said = row.confirmed.unwrap_or_default();
        served |= said.version == model.in_force && said.as_of >= model.since;
        let position = row.signer.map_or(0, |s| s.position);
        if said.occasion() != ServingOccasion::Stopped {
            let due_ms = view.fold_time(position).unwrap_or(0).saturating_add(policy.serving_silence_ms);
            items.push(DueItem { subject: said.server, ..item(DueKind::ServerSilent, model, position, due_ms) });
        }
    }
    if model.in_force != 0 && !served {
        let due_ms = view.fold_time(model.since).unwrap_or(0).saturating_add(policy.serving_silence_ms);
        items.push(item(DueKind::NotServed, model, model.since, due_ms));
    }
    items
}

fn review_of_emergency(view: &View<'_>, model: &ModelRow) -> Option<DueItem> {
    let promotion = view.get(&Promotions::key(model.unreviewed?))?;
    let due = item(DueKind::EmergencyReview, model, promotion.position, promotion.review_by_ms);
    Some(DueItem { version: promotion.version, ..due })
}

fn unacknowledged(view: &View<'_>, policy: &Policy, alert: &AlertRow) -> Option<DueItem> {
    if alert.acknowledged.is_some() || policy.alert_response_ms == 0 {
        return None;
    }
    let raised = alert.raised.clone()?;
    Some(DueItem {
        kind: DueKind::Alert as i32,
        model: raised.model,
        version: raised.version,
        subject: raised.subject,
        position: alert.position,
        due_ms: view.fold_time(alert.position)?.saturating_add(policy.alert_response_ms),
        overdue: false,
    })
}

fn unfinished(view: &View<'_>) -> Vec<DueItem> {
    let begun = view.scan(&Erasures::all()).into_iter().filter(|row| row.status() == ErasureStatus::Begun);
    begun
        .map(|row| DueItem {
            kind: DueKind::ErasureUnfinished as i32,
            position: row.position,
            due_ms: view.fold_time(row.position).unwrap_or(0),
            ..Default::default()
        })
        .collect()
}

/// Assignments of which something is still undecided; the newest one of an example counts.
fn reviews(view: &View<'_>) -> Vec<DueItem> {
    let policy = policy::in_force(view);
    let mut items = Vec::new();
    view.each(&Assignments::all(), |name, row: AssignmentRow| {
        // The name is the table's number, the batch and the position.
        let batch = name.get(1..9).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
        if row.expires_ms != 0 || row.due_ms == 0 {
            return true; // a claim ends by itself, and what has no date is never late
        }
        let reviewed = eligibility::Reviewed::all(view, &policy, batch);
        if row.indices.iter().any(|index| !matches!(reviewed.standing(*index), Standing::Decided(..))) {
            items.push(DueItem {
                kind: DueKind::Review as i32,
                subject: row.reviewer,
                position: row.signer.map_or(0, |s| s.position),
                due_ms: row.due_ms,
                ..Default::default()
            });
        }
        true
    });
    items
}
