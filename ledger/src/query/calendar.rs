//! When a calendar comes round.

use attestune_proto::v1::Calendar;
use chrono::{DateTime, Datelike as _, Days};

/// A calendar may name a 29 February on a certain day of the week: around 2100 that takes forty years.
const DAYS: u64 = 41 * 366;

/// The first minute after a moment that fits, milliseconds since 1970; none if none comes in forty years.
pub fn next_after(calendar: &Calendar, after_ms: u64) -> Option<u64> {
    let minute_ms = 60_000;
    let start_ms = (after_ms / minute_ms).checked_add(1)?.checked_mul(minute_ms)?;
    let first = DateTime::from_timestamp_millis(i64::try_from(start_ms).ok()?)?.date_naive();
    let fits = |values: &[u32], value: u32| values.is_empty() || values.contains(&value);
    for day in 0..DAYS {
        let date = first.checked_add_days(Days::new(day))?;
        let weekday = date.weekday().number_from_monday();
        let fitting = fits(&calendar.months, date.month())
            && fits(&calendar.days, date.day())
            && fits(&calendar.weekdays, weekday);
        if !fitting {
            continue;
        }
        let midnight_ms = u64::try_from(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis()).ok()?;
        for hour in (0..24).filter(|hour| fits(&calendar.hours, *hour)) {
            for minute in (0..60).filter(|minute| fits(&calendar.minutes, *minute)) {
                let at = midnight_ms + u64::from(hour * 60 + minute) * minute_ms;
                if at >= start_ms {
                    return Some(at);
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(calendar: &Calendar, moment: &str) -> Option<String> {
        let after: DateTime<chrono::Utc> = moment.parse().unwrap();
        let next = next_after(calendar, after.timestamp_millis() as u64)?;
        Some(DateTime::from_timestamp_millis(next as i64).unwrap().format("%Y-%m-%dT%H:%M").to_string())
    }

    #[test]
    fn the_first_of_each_quarter_at_three_in_the_morning() {
        let quarterly = Calendar {
            minutes: vec![0],
            hours: vec![3],
            days: vec![1],
            months: vec![1, 4, 7, 10],
            weekdays: Vec::new(),
        };
        assert_eq!(after(&quarterly, "2026-11-28T18:00:00Z").unwrap(), "2027-01-01T03:00");
        assert_eq!(after(&quarterly, "2027-01-01T02:59:59.999Z").unwrap(), "2027-01-01T03:00");
        assert_eq!(after(&quarterly, "2027-01-01T03:00:00Z").unwrap(), "2027-04-01T03:00", "the minute itself is over");
    }

    #[test]
    fn lines_that_are_empty_fit_all_and_several_must_fit_together() {
        let hourly = Calendar { minutes: vec![15, 45], ..Default::default() };
        assert_eq!(after(&hourly, "2026-02-28T23:46:00Z").unwrap(), "2026-03-01T00:15");
        let leap_monday =
            Calendar { minutes: vec![0], hours: vec![0], days: vec![29], months: vec![2], weekdays: vec![1] };
        assert_eq!(after(&leap_monday, "2026-01-01T00:00:00Z").unwrap(), "2044-02-29T00:00");
        let never = Calendar { days: vec![31], months: vec![2], minutes: vec![0], ..Default::default() };
        assert_eq!(after(&never, "2026-01-01T00:00:00Z"), None);
    }
}
