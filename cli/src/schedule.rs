//! `attestune schedule`: when and how a model is trained anew.

use crate::{
    base,
    context::Context,
    moment::Moment,
    output, policy_yaml, problem,
    session::{Session, list, now_ms},
    train::{Recipe, hyperparameters},
};
use attestune_ledger::query::next_after;
use attestune_proto::v1::{Calendar, ScheduleRow, ScheduleSet, event::Body};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Set a model's schedule; it replaces the one before
    Set(Box<Set>),
    /// Let a model's schedule stand without asking for anything
    Pause {
        /// The model
        model: String,
    },
    /// Show schedules and when each is due next
    Show {
        /// The model; all without it
        model: Option<String>,
        #[command(flatten)]
        moment: Moment,
    },
}

#[derive(clap::Args)]
pub struct Set {
    /// The model
    model: String,
    /// So long after the training of the newest version was requested, such as 91d
    #[arg(long, required_unless_present = "cron", conflicts_with = "cron")]
    every: Option<String>,
    /// Or at these times in UTC: minutes, hours, days of the month, months, days of the week (1 Monday to 7 Sunday), each a
    /// list such as 1,15, a range such as 1-5, or *
    #[arg(long, value_name = "\"M H D M W\"", value_parser = parse_calendar)]
    cron: Option<Calendar>,
    /// The name under which datasets are frozen
    #[arg(long)]
    dataset: String,
    /// A collection that is frozen; repeat it
    #[arg(long = "collection", required = true)]
    collections: Vec<String>,
    /// The base model: its name or position
    #[arg(long)]
    base: String,
    /// A suite to evaluate by, besides those of the gate; repeat it
    #[arg(long = "suite")]
    suites: Vec<String>,
    /// An alert about drift makes it due at once
    #[arg(long)]
    on_drift: bool,
    #[command(flatten)]
    recipe: Recipe,
}

pub async fn run(context: &Context, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Set(set) => {
            let session = context.connect_as_actor().await?;
            let body = body(&session, set).await?;
            let receipt = session.act(Body::ScheduleSet(body)).await?;
            output::receipt(context.json, &receipt, &format!("the retraining of {} is scheduled", set.model))
        }
        Command::Pause { model } => {
            let session = context.connect_as_actor().await?;
            let rows = session.operations().list_schedules(list(model)).await?.into_inner().schedules;
            let schedule = rows
                .into_iter()
                .find_map(|row| row.schedule)
                .ok_or_else(|| problem::cannot(format!("{model} has no schedule"), "see `attestune schedule show`"))?;
            let body = ScheduleSet { paused: true, ..schedule };
            let receipt = session.act(Body::ScheduleSet(body)).await?;
            output::receipt(context.json, &receipt, &format!("the retraining of {model} is paused"))
        }
        Command::Show { model, moment } => {
            let session = context.connect().await?;
            let name = model.as_deref().unwrap_or_default();
            let answer = session.operations().list_schedules(moment.list(name)).await?.into_inner();
            if context.json {
                return output::message("ListSchedulesResponse", &answer);
            }
            let rows = answer.schedules.iter().map(cells).collect();
            output::table(&["model", "position", "when", "dataset", "collections", "on drift", "by"], rows);
            eprintln!("`attestune due` says when each is due");
            Ok(())
        }
    }
}

async fn body(session: &Session, set: &Set) -> anyhow::Result<ScheduleSet> {
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    Ok(ScheduleSet {
        model: set.model.clone(),
        interval_ms: set.every.as_deref().map_or(Ok(0), policy_yaml::duration)?,
        calendar: set.cron.clone(),
        dataset: set.dataset.clone(),
        collections: sorted(&set.collections),
        base: base::find(session, &set.base).await?.position,
        hyperparameters: Some(hyperparameters(&set.recipe)?),
        suites: sorted(&set.suites),
        on_drift: set.on_drift,
        paused: false,
    })
}

fn cells(row: &ScheduleRow) -> Vec<String> {
    let schedule = row.schedule.clone().unwrap_or_default();
    let when = match &schedule.calendar {
        _ if schedule.paused => "paused".into(),
        Some(calendar) => {
            next_after(calendar, now_ms()).map_or("never".into(), |at| format!("next {}", output::time(at)))
        }
        None => format!("every {}", policy_yaml::show_duration(schedule.interval_ms)),
    };
    vec![
        schedule.model,
        row.position.to_string(),
        when,
        schedule.dataset,
        schedule.collections.join(", "),
        if schedule.on_drift { "at once" } else { "no" }.into(),
        row.signer.as_ref().map_or(String::new(), |signer| signer.actor.clone()),
    ]
}

/// Five lines as cron has them.
fn parse_calendar(text: &str) -> Result<Calendar, String> {
    let lines: Vec<&str> = text.split_whitespace().collect();
    let [minutes, hours, days, months, weekdays] = lines.as_slice() else {
        return Err("five lists are expected: minutes hours days months weekdays, such as \"0 3 1 1,4,7,10 *\"".into());
    };
    let mut calendar = Calendar {
        minutes: numbers(minutes)?,
        hours: numbers(hours)?,
        days: numbers(days)?,
        months: numbers(months)?,
        weekdays: numbers(weekdays)?,
    };
    if calendar.minutes.is_empty() {
        calendar.minutes = (0..60).collect();
    }
    Ok(calendar)
}

fn numbers(list: &str) -> Result<Vec<u32>, String> {
    let wrong = || format!("`{list}`: a list such as 1,15, a range such as 1-5, or * is expected");
    if list == "*" {
        return Ok(Vec::new());
    }
    let mut numbers = Vec::new();
    for part in list.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (u32, u32) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
        if from > to || to > 59 {
            return Err(wrong());
        }
        numbers.extend(from..=to);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_lists_are_a_calendar() {
        let quarterly = parse_calendar("0 3 1 1,4,7,10 *").unwrap();
        assert_eq!((quarterly.minutes, quarterly.hours, quarterly.days), (vec![0], vec![3], vec![1]));
        assert_eq!((quarterly.months, quarterly.weekdays), (vec![1, 4, 7, 10], vec![]));
        assert_eq!(parse_calendar("*/5 * * * *").unwrap_err(), numbers("*/5").unwrap_err());
        assert_eq!(parse_calendar("* 2-4,3 * * 1-5").unwrap().hours, [2, 3, 4]);
        for wrong in ["0 3 1 1", "0 3 1 1 * *", "61 * * * *", "5-1 * * * *", "a * * * *", "1, * * * *"] {
            assert!(parse_calendar(wrong).is_err(), "{wrong}");
        }
    }
}
