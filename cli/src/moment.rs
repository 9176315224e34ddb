//! `--at` and `--at-position`: the moment that a question is about.

use crate::{output, session::now_ms};
use attestune_proto::v1::{AsOf, ListRequest, as_of::When};

const DAY_MS: u64 = 86_400_000;

/// The moment of a question; now if none is named.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Moment {
    /// As it was at this time: 2026-05-03 (its end, in UTC) or 2026-05-03T09:00:00Z
    #[arg(long, value_parser = output::parse_time, value_name = "TIME", conflicts_with = "at_position")]
    at: Option<u64>,
    /// As it was after this position was folded
    #[arg(long, value_name = "N")]
    at_position: Option<u64>,
}

impl Moment {
    /// As the server is asked.
    pub fn as_of(&self) -> Option<AsOf> {
        let at = self.at.filter(|at| !is_today(*at, now_ms()));
        let when = self.at_position.map(When::Position).or(at.map(When::TimeMs))?;
        Some(AsOf { when: Some(when) })
    }

    /// As the server is asked where it also reckons what is late: the moment, and the asker's time, 0 for the moment's own.
    /// A time to come is asked of what is on record now: what will be late by then if nobody does anything.
    pub fn reckoned(&self, now_ms: u64) -> (Option<AsOf>, u64) {
        let when = match (self.at_position, self.at) {
            (Some(position), _) => Some(When::Position(position)),
            (None, Some(at)) if at < now_ms => Some(When::TimeMs(at)),
            (None, _) => None,
        };
        let from = if self.at_position.is_some() { 0 } else { self.at.unwrap_or(now_ms) };
        (when.map(|when| AsOf { when: Some(when) }), from)
    }

    /// What there is of a name (empty for all) at that moment.
    pub fn list(&self, name: &str) -> ListRequest {
        ListRequest { name: name.into(), as_of: self.as_of(), ..Default::default() }
    }
}

/// A moment by itself, for commands that ask about two: a position, or a time.
pub fn parse(text: &str) -> Result<Moment, String> {
    if let Ok(position) = text.parse() {
        return Ok(Moment { at: None, at_position: Some(position) });
    }
    let time = output::parse_time(text).map_err(|why| format!("a position, or {why}"))?;
    Ok(Moment { at: Some(time), at_position: None })
}

/// Whether it is the last moment of the day that is not over: then what is asked about is now.
fn is_today(at_ms: u64, now_ms: u64) -> bool {
    at_ms % DAY_MS == DAY_MS - 1 && at_ms / DAY_MS == now_ms / DAY_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_reckoned_from_the_moment_and_a_time_to_come_is_asked_of_now() {
        let asked = |at, at_position| Moment { at, at_position }.reckoned(100);
        let at = |when| Some(AsOf { when: Some(when) });
        assert_eq!(asked(None, None), (None, 100));
        assert_eq!(asked(Some(60), None), (at(When::TimeMs(60)), 60));
        assert_eq!(asked(Some(900), None), (None, 900));
        assert_eq!(asked(None, Some(7)), (at(When::Position(7)), 0));
    }

    #[test]
    fn a_day_that_is_not_over_is_now_and_a_number_is_a_position() {
        let midday = 20_000 * DAY_MS + DAY_MS / 2;
        assert!(is_today(20_001 * DAY_MS - 1, midday));
        assert!(!is_today(20_000 * DAY_MS - 1, midday), "yesterday is over");
        assert!(!is_today(midday - 1, midday), "a time of day is meant as it is");
        assert_eq!(parse("17").unwrap().as_of(), Some(AsOf { when: Some(When::Position(17)) }));
        let day = parse("2020-05-03").unwrap().as_of().unwrap();
        assert_eq!(day.when, Some(When::TimeMs(1_588_550_399_999)));
        assert!(parse("a fortnight ago").is_err());
    }
}
