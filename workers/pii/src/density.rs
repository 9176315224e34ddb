//! Where a text's digits stand and how close together, so that patterns of numbers are tried only where one could be.

/// The most digits that are told apart; a pattern that needs more is tried as if it needed these.
const DIGITS_MAX: usize = 20;
/// A match of a pattern with digits that is no longer than this lies within a zone.
pub(crate) const REACH_BYTES: usize = 64;

/// A part of a text around digits that stand near each other.
pub(crate) struct Zone {
    /// In bytes, on character boundaries.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// For each count of digits, the fewest bytes in which the zone has so many.
    fewest: [usize; DIGITS_MAX + 1],
}

/// The zones of a text, ascending and apart.
pub(crate) fn zones(text: &str) -> Vec<Zone> {
    let mut zones: Vec<Zone> = Vec::new();
    // The places of the last digits, the newest at `seen % DIGITS_MAX`.
    let mut places = [0; DIGITS_MAX];
    let mut seen = 0;
    for (at, _) in text.bytes().enumerate().filter(|(_, b)| b.is_ascii_digit()) {
        if seen == 0 || at - places[(seen - 1) % DIGITS_MAX] > 2 * REACH_BYTES {
            seen = 0;
            let mut fewest = [usize::MAX; DIGITS_MAX + 1];
            fewest[0] = 0;
            let start = text.floor_char_boundary(at.saturating_sub(REACH_BYTES));
            zones.push(Zone { start, end: at, fewest });
        }
        places[seen % DIGITS_MAX] = at;
        seen += 1;
        let Some(zone) = zones.last_mut() else { continue };
        zone.end = text.ceil_char_boundary(text.len().min(at + REACH_BYTES));
        for count in 1..=seen.min(DIGITS_MAX) {
            let first = places[(seen - count) % DIGITS_MAX];
            zone.fewest[count] = zone.fewest[count].min(at - first + 1);
        }
    }
    zones
}

impl Zone {
    /// Whether somewhere in it so many digits stand within so many bytes.
    pub(crate) fn allows(&self, digits: usize, bytes: usize) -> bool {
        self.fewest[digits.min(DIGITS_MAX)] <= bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_count_only_where_they_stand_close_enough() {
        let zone = &zones("12 apples, 345, and 6é7")[0];
        assert!(zone.allows(0, 0) && zone.allows(3, 3) && zone.allows(2, 2));
        assert!(!zone.allows(4, 4) && !zone.allows(3, 2) && !zone.allows(8, 99));
        assert!(zone.allows(4, 10) && !zone.allows(4, 9));
        assert!(zones(&"1".repeat(50))[0].allows(30, 30));
    }

    #[test]
    fn digits_far_apart_stand_in_zones_of_their_own() {
        let text = format!("{}12{}3", "é".repeat(100), "a".repeat(129));
        let zones = zones(&text);
        assert_eq!(zones.len(), 2);
        assert!(zones[0].end <= zones[1].start && !zones[0].allows(3, 999) && zones[1].allows(1, 1));
        assert_eq!((zones[0].start, zones[0].end), (136, 201 + 64));
        assert!(super::zones("no digit").is_empty());
    }
}
