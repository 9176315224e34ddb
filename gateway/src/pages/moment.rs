//! The moment that a page is about: now, a position, or a time.

use attestune_ledger::replica::{Replica, ReplicaError};
use attestune_ledger::time::iso;
use attestune_proto::v1::{AsOf, as_of::When};
use chrono::{DateTime, NaiveDate, NaiveDateTime};

/// A moment, found on the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The last position that counts.
    pub position: u64,
    /// Its fold time, milliseconds since 1970.
    pub time_ms: u64,
    /// As it stands in addresses; none for now.
    pub asked: Option<String>,
    /// The log's newest position.
    pub newest: u64,
}

/// Why a moment can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum MomentError {
    /// Neither a position nor a time.
    #[error("`{0}` is no moment: give a position, or a time in UTC such as 2026-05-03T09:00 or 2026-05-03")]
    Malformed(String),
    /// The moment is not there (before the ledger, in the future, beyond the log's end), or the log can't be read.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
}

impl Moment {
    /// Finds the moment that an address names.
    ///
    /// # Errors
    /// If it is malformed, in the future, before the ledger, or the log can't be read.
    pub fn find(replica: &Replica, asked: Option<&str>) -> Result<Self, MomentError> {
        let asked = asked.map(str::trim).filter(|text| !text.is_empty());
        let newest = replica.position().checked_sub(1).ok_or(ReplicaError::NoLedger)?;
        let when = asked.map(|text| when(text).ok_or_else(|| MomentError::Malformed(text.into()))).transpose()?;
        let position = match when {
            None => newest,
            when => replica.resolve(Some(&AsOf { when }))?.size().saturating_sub(1),
        };
        let time_ms = replica.view().view().fold_time(position).unwrap_or(0);
        Ok(Self { position, time_ms, asked: asked.map(str::to_owned), newest })
    }

    /// The moment as the services take it: every answer on a page is of one position, also if it is about now.
    pub fn as_of(&self) -> Option<AsOf> {
        Some(AsOf { when: Some(When::Position(self.position)) })
    }
}

/// A position, or a time as people and date pickers write it: RFC 3339, or without a zone in UTC. A date alone is its
/// last moment.
pub fn when(text: &str) -> Option<When> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(When::Position);
    }
    let with_zone = || DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis());
    let in_utc = || {
        let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
        let time = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        time.map(|time| time.and_utc().timestamp_millis())
    };
    let day = || {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(day.and_hms_milli_opt(23, 59, 59, 999)?.and_utc().timestamp_millis())
    };
    let time_ms = with_zone().or_else(in_utc).or_else(day)?;
    u64::try_from(time_ms).ok().map(When::TimeMs)
}

/// A time as a date picker takes it: UTC, to the second, rounded up, so that the moment itself is in it.
pub fn picker(ms: u64) -> String {
    iso(ms.div_ceil(1000) * 1000).chars().take(19).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_times_are_read_as_people_and_pickers_write_them() {
        assert_eq!(when("17"), Some(When::Position(17)));
        for text in ["2026-05-03T07:00", "2026-05-03 07:00:00", "2026-05-03T07:00:00Z", "2026-05-03T09:00:00+02:00"] {
            assert_eq!(when(text), Some(When::TimeMs(1_777_791_600_000)), "{text}");
        }
        assert_eq!(when("2026-05-03"), Some(When::TimeMs(1_777_852_799_999)));
        for wrong in ["", "soon", "2026-13-01", "-5", "99999999999999999999", "1969-01-01"] {
            assert!(!matches!(when(wrong), Some(When::TimeMs(_) | When::Position(_))), "{wrong}");
        }
    }

    #[test]
    fn what_the_picker_shows_holds_the_moment() {
        assert_eq!(picker(1_777_791_600_001), "2026-05-03T07:00:01");
        assert_eq!(picker(1_777_791_600_000), "2026-05-03T07:00:00");
    }
}
