//! How close together a text's digits stand, so that patterns of numbers are tried only where one could be.

/// The most digits that are told apart; a pattern that needs more is tried as if it needed these.
const DIGITS_MAX: usize = 20;

/// For each count of digits, the fewest bytes in which the text has so many.
pub(crate) struct Density([usize; DIGITS_MAX + 1]);

impl Density {
    pub(crate) fn of(text: &str) -> Self {
        let mut fewest = [usize::MAX; DIGITS_MAX + 1];
        fewest[0] = 0;
        // The places of the last digits, the newest at `seen % DIGITS_MAX`.
        let mut places = [0; DIGITS_MAX];
        let mut seen = 0;
        for (at, _) in text.bytes().enumerate().filter(|(_, b)| b.is_ascii_digit()) {
            places[seen % DIGITS_MAX] = at;
            seen += 1;
            for count in 1..=seen.min(DIGITS_MAX) {
                let first = places[(seen - count) % DIGITS_MAX];
                fewest[count] = fewest[count].min(at - first + 1);
            }
        }
        Self(fewest)
    }

    /// Whether somewhere so many digits stand within so many bytes.
    pub(crate) fn allows(&self, digits: usize, bytes: usize) -> bool {
        self.0[digits.min(DIGITS_MAX)] <= bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_count_only_where_they_stand_close_enough() {
        let density = Density::of("12 apples, 345, and 6é7");
        assert!(density.allows(0, 0) && density.allows(3, 3) && density.allows(2, 2));
        assert!(!density.allows(4, 4) && !density.allows(3, 2) && !density.allows(8, 99));
        assert!(density.allows(4, 10) && !density.allows(4, 9));
        assert!(Density::of(&"1".repeat(50)).allows(30, 30));
    }
}
