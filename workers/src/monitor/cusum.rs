//! A Bernoulli CUSUM, the sequential test for a pass rate that falls: M. R. Reynolds, Z. G. Stoumbos, *A CUSUM chart for
//! monitoring a proportion when inspecting continuously*, Journal of Quality Technology 31 (1999).
//!
//! Each answer adds the logarithm of how much likelier it is under the bad rate than under the good one; the sum never
//! falls below 0. With g the good pass rate and b the bad one:
//!
//! ```text
//! S ← max(0, S + ln((1 − b) / (1 − g)))     for an answer that fails
//! S ← max(0, S + ln(b / g))                 for one that passes
//! ```
//!
//! Sums are counted in whole thousandths of a nat, as the log has them: whoever reads a window goes on with exactly the sum
//! that the one before left.

use attestune_proto::v1::Cusum;

/// Nearest to certainty that a good rate may be: of a rate of 1 one failure would tell everything.
const GOOD_MAX: f64 = 0.999;
/// Answers of one window that are counted, at most.
const CASES_MAX: u32 = 1_000_000;

/// What an answer adds, in thousandths of a nat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    fail: u64,
    pass: u64,
}

impl Steps {
    /// Between a good and a bad pass rate; nothing if the bad one is not worse.
    pub fn between(good_ppm: u32, bad_ppm: u32) -> Option<Self> {
        let (good, bad) = ((f64::from(good_ppm) / 1e6).min(GOOD_MAX), f64::from(bad_ppm) / 1e6);
        if bad >= good || bad <= 0.0 {
            return None;
        }
        let milli = |nats: f64| (1000.0 * nats).round() as u64;
        Some(Self { fail: milli(((1.0 - bad) / (1.0 - good)).ln()), pass: milli((good / bad).ln()) })
    }

    /// Goes on from a sum and a run through answers, in their order.
    pub fn go_on(self, from: &Cusum, answers: impl Iterator<Item = bool>) -> Cusum {
        let (mut sum, mut run, mut max) = (from.sum_milli, from.run, None);
        for passed in answers {
            sum = if passed { sum.saturating_sub(self.pass) } else { sum.saturating_add(self.fail) };
            run = if sum == 0 { 0 } else { run.saturating_add(1) };
            max = max.max(Some(sum));
        }
        Cusum { category: from.category.clone(), sum_milli: sum, max_milli: max.unwrap_or(sum), run }
    }
}

/// Answers of which only counts are known, spread as evenly as whole numbers can be.
pub fn spread(passed: u32, cases: u32) -> impl Iterator<Item = bool> {
    let (passed, cases) = (u64::from(passed), u64::from(cases));
    (0..cases.min(CASES_MAX.into())).map(move |at| (at + 1) * passed / cases > at * passed / cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(sum_milli: u64) -> Cusum {
        Cusum { category: "format".into(), sum_milli, max_milli: sum_milli, run: u64::from(sum_milli > 0) }
    }

    fn come_to(good: u32, bad: u32, sum: u64, answers: &[u8]) -> (u64, u64) {
        let steps = Steps::between(good, bad).unwrap();
        let after = steps.go_on(&from(sum), answers.iter().map(|a| *a == 1));
        (after.sum_milli, after.max_milli)
    }

    /// The recursion written out in Python 3.11 (`math.log`, rounded to thousandths).
    #[test]
    fn sums_are_those_of_the_recursion_computed_elsewhere() {
        assert_eq!(Steps::between(950_000, 900_000), Some(Steps { fail: 693, pass: 54 }));
        assert_eq!(Steps::between(980_000, 800_000), Some(Steps { fail: 2303, pass: 203 }));
        assert_eq!(come_to(950_000, 900_000, 0, &[1, 0, 0, 1, 1, 0, 0, 0, 1, 0]), (3996, 3996));
        let good_then_bad = [[1; 20].as_slice(), &[0; 7]].concat();
        assert_eq!(come_to(950_000, 900_000, 0, &good_then_bad), (4851, 4851));
        let recovering = [[0, 1, 0].as_slice(), &[1; 13]].concat();
        assert_eq!(come_to(980_000, 800_000, 100, &recovering), (1864, 4503));
    }

    #[test]
    fn two_windows_come_to_the_same_as_one() {
        let answers: Vec<bool> = (0..400).map(|at| at % 7 != 0).collect();
        let steps = Steps::between(950_000, 900_000).unwrap();
        let whole = steps.go_on(&from(0), answers.iter().copied());
        let first = steps.go_on(&from(0), answers[..133].iter().copied());
        let second = steps.go_on(&first, answers[133..].iter().copied());
        assert_eq!((second.sum_milli, second.run), (whole.sum_milli, whole.run));
        assert_eq!(first.max_milli.max(second.max_milli), whole.max_milli);
        assert_eq!(steps.go_on(&first, std::iter::empty()).max_milli, first.sum_milli, "nothing came, nothing changed");
    }

    #[test]
    fn a_rate_that_is_no_worse_is_no_test_and_a_certain_one_is_nearly_so() {
        assert_eq!(Steps::between(900_000, 900_000), None);
        assert_eq!(Steps::between(900_000, 0), None);
        assert_eq!(Steps::between(1_000_000, 900_000), Steps::between(999_000, 900_000));
    }

    #[test]
    fn counts_are_spread_evenly() {
        assert_eq!(spread(2, 4).collect::<Vec<_>>(), [false, true, false, true]);
        assert_eq!(spread(0, 2).collect::<Vec<_>>(), [false, false]);
        assert_eq!(spread(95, 100).filter(|passed| *passed).count(), 95);
        assert_eq!(spread(0, 0).count(), 0);
    }
}
