//! Times for people, without a clock.

/// Milliseconds since 1970 in UTC, by ISO 8601, such as `2026-05-03T07:00:00.000Z`; what no such time tells is a number.
///
/// The days are those of the proleptic Gregorian calendar, counted from 1 March so that a leap day is a year's last.
pub fn iso(ms: u64) -> String {
    const DAY_MS: u64 = 86_400_000;
    /// The year 10000.
    const END_MS: u64 = 253_402_300_800_000;
    if ms >= END_MS {
        return format!("{ms} ms");
    }
    let (days, of_day) = (ms / DAY_MS + 719_468, ms % DAY_MS);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = (year + era * 400 + month / 10, if month < 10 { month + 3 } else { month - 9 });
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", of_day % 1000)
}

#[cfg(test)]
mod tests {
    use super::iso;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (1_777_791_600_000, "2026-05-03T07:00:00.000Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "253402300800000 ms"),
        ] {
            assert_eq!(iso(ms), text);
        }
    }
}
