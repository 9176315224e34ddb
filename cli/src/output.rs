//! How answers look: aligned columns without boxes, times in UTC ISO 8601, short hashes.

use attestune_ledger::draft::plain;
use attestune_proto::v1::{Bound, Receipt, Role, Stage, Verdict, WorkStatus};
use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat};
use comfy_table::{Table, presets::NOTHING};

/// Prints the answer of an act: on stdout the position alone, so that scripts can take it; or the receipt in JSON.
pub fn receipt(json: bool, receipt: &Receipt, said: &str) -> anyhow::Result<()> {
    if json {
        return message("Receipt", receipt);
    }
    println!("{said}, at position {}", receipt.position);
    Ok(())
}

/// Prints a message of the package in JSON.
pub fn message(name: &str, message: &impl prost::Message) -> anyhow::Result<()> {
    value(&crate::json::message(name, message)?)
}

/// Prints JSON.
pub fn value(json: &serde_json::Value) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(json)?);
    Ok(())
}

/// Prints columns; says so if there is nothing.
pub fn table(headers: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        eprintln!("none");
        return;
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(headers.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for line in table.lines() {
        println!("{}", line.trim_end());
    }
}

/// Milliseconds since 1970 in UTC.
pub fn time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis);
    time.map_or_else(|| format!("{ms} ms"), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// A time as people write it: RFC 3339, or a date with or without time of day in UTC. A date alone is its last moment.
pub fn parse_time(text: &str) -> Result<u64, String> {
    let parsed = DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_millis()).ok();
    let parsed = parsed.or_else(|| {
        let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
        naive
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
            .map(|t| t.and_utc().timestamp_millis())
    });
    let parsed = parsed.or_else(|| {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(day.and_hms_milli_opt(23, 59, 59, 999)?.and_utc().timestamp_millis())
    });
    parsed
        .and_then(|ms| u64::try_from(ms).ok())
        .ok_or_else(|| "a time such as 2026-05-03T09:00:00Z, or a date such as 2026-05-03, is expected".into())
}

/// The same, but a date alone is its first moment.
pub fn parse_beginning(text: &str) -> Result<u64, String> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let first = day.and_then(|day| u64::try_from(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis()).ok());
    first.map_or_else(|| parse_time(text), Ok)
}

/// The first eight digits of a hash.
pub fn short(hash: &[u8]) -> String {
    hex::encode(hash).chars().take(8).collect()
}

/// Parts per million as a percentage.
pub fn percent(ppm: u32) -> String {
    let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} %")
}

/// A stage's name.
pub fn stage(stage: Stage) -> String {
    plain(stage.as_str_name(), "STAGE_")
}

/// A verdict's name.
pub fn verdict(verdict: Verdict) -> String {
    plain(verdict.as_str_name(), "VERDICT_")
}

/// A status's name.
pub fn work_status(status: WorkStatus) -> String {
    plain(status.as_str_name(), "WORK_STATUS_")
}

/// A role's name.
pub fn role(role: Role) -> String {
    plain(role.as_str_name(), "ROLE_")
}

/// What is held against the bar.
pub fn bound(bound: Bound) -> String {
    plain(bound.as_str_name(), "BOUND_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_read_back() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_time("2026-05-03T09:00:00+02:00"), Ok(1_777_791_600_000));
        assert_eq!(time(1_777_791_600_000), "2026-05-03T07:00:00.000Z");
        assert_eq!(parse_time("2026-05-03 07:00"), Ok(1_777_791_600_000));
        assert_eq!(parse_time("2026-05-03").map(time), Ok("2026-05-03T23:59:59.999Z".into()));
        assert_eq!(parse_beginning("2026-05-03").map(time), Ok("2026-05-03T00:00:00.000Z".into()));
        for nonsense in ["3 May", "2026-02-30", "1969-12-31", "2026-05-03T25:00:00Z", ""] {
            assert!(parse_time(nonsense).is_err() && parse_beginning(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn percentages_drop_what_is_zero() {
        assert_eq!(percent(950_000), "95 %");
        assert_eq!(percent(912_345), "91.2345 %");
        assert_eq!(percent(0), "0 %");
        assert_eq!(percent(5_000), "0.5 %");
    }
}
