//! Schedules of retraining, and what a scheduler may ask for by one.

use super::{Act, check, training};
use crate::refusal::Refusal;
use crate::state::{Bases, Datasets, Effects, Schedules, View};
use attestune_proto::v1::{Calendar, Role, ScheduleRow, ScheduleSet, TrainingRequested};

const HOUR_MS: u64 = 3_600_000;
const TEN_YEARS_MS: u64 = 3660 * 24 * HOUR_MS;

/// When and how a model is trained anew; the newest schedule of a model stands.
///
/// Refusals, in this order: malformed, no such base model, a hyperparameter out of range.
pub fn set(view: &View<'_>, act: &Act<'_>, body: &ScheduleSet) -> Result<Effects, Refusal> {
    check::id("model", &body.model)?;
    check::id("dataset", &body.dataset)?;
    when(body)?;
    names("collections", &body.collections, 1)?;
    names("suites", &body.suites, 0)?;
    if view.get(&Bases::key(body.base)).is_none() {
        return Err(Refusal::UnknownBase { position: body.base });
    }
    let Some(hyperparameters) = &body.hyperparameters else {
        return Err(Refusal::BadField { field: "hyperparameters", rule: "are missing" });
    };
    training::sound(hyperparameters)?;
    let row = ScheduleRow { position: act.position, signer: Some(act.signer()), schedule: Some(body.clone()) };
    Ok(Effects::none().and(&Schedules::key(&body.model), &row))
}

fn when(body: &ScheduleSet) -> Result<(), Refusal> {
    match (&body.calendar, body.interval_ms) {
        (Some(calendar), 0) => dates(calendar),
        (None, HOUR_MS..=TEN_YEARS_MS) => Ok(()),
        _ => {
            Err(Refusal::BadField { field: "interval_ms", rule: "must be an hour to ten years, or 0 with a calendar" })
        }
    }
}

fn dates(calendar: &Calendar) -> Result<(), Refusal> {
    let lines: [(&'static str, &[u32], u32, u32); 5] = [
        ("minutes", &calendar.minutes, 0, 59),
        ("hours", &calendar.hours, 0, 23),
        ("days", &calendar.days, 1, 31),
        ("months", &calendar.months, 1, 12),
        ("weekdays", &calendar.weekdays, 1, 7),
    ];
    for (field, values, least, most) in lines {
        check::ascending(field, values.iter())?;
        if values.iter().any(|value| *value < least || *value > most) {
            return Err(Refusal::BadField { field, rule: "names a moment that no calendar has" });
        }
    }
    if calendar.minutes.is_empty() {
        return Err(Refusal::BadField { field: "minutes", rule: "must name one or more" });
    }
    // The 31st of February and its like would never come.
    let longest = |month: u32| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let first = calendar.days.first().copied().unwrap_or(1);
    if !calendar.months.is_empty() && calendar.months.iter().all(|month| longest(*month) < first) {
        return Err(Refusal::BadField { field: "days", rule: "never come in these months" });
    }
    Ok(())
}

fn names(field: &'static str, names: &[String], least: usize) -> Result<(), Refusal> {
    if names.len() < least || names.len() > 64 {
        return Err(Refusal::BadField { field, rule: "must be 64 names at most, and at least one collection" });
    }
    names.iter().try_for_each(|name| check::id(field, name))?;
    check::ascending(field, names.iter())
}

/// A training asked for by a schedule is what the schedule says. Answers who set it.
///
/// Refusals, in this order: a scheduler names none, somebody else does, it is not the model's newest or paused, the
/// training is another.
pub fn asks(view: &View<'_>, act: &Act<'_>, body: &TrainingRequested) -> Result<Option<String>, Refusal> {
    let scheduler = act.has(Role::Scheduler);
    let Some(named) = body.schedule else {
        return match scheduler {
            true => Err(Refusal::ScheduleMissing { actor: act.event.actor.clone() }),
            false => Ok(None),
        };
    };
    if !scheduler {
        return Err(Refusal::BadField { field: "schedule", rule: "is for a scheduler" });
    }
    let row = view.get(&Schedules::key(&body.model));
    let row = row.filter(|row| row.schedule.as_ref().is_some_and(|s| !s.paused)).unwrap_or_default();
    if row.position != named || named == 0 {
        return Err(Refusal::ScheduleOutdated { named, current: row.position });
    }
    let schedule = row.schedule.unwrap_or_default();
    let dataset = view.get(&Datasets::key(body.dataset)).unwrap_or_default();
    if (&dataset.dataset, &dataset.collections) != (&schedule.dataset, &schedule.collections) {
        return Err(Refusal::InputsDiffer { what: "dataset" });
    }
    if (schedule.base, &schedule.hyperparameters) != (body.base, &body.hyperparameters) {
        return Err(Refusal::InputsDiffer { what: "base model or recipe" });
    }
    Ok(Some(row.signer.unwrap_or_default().actor))
}
