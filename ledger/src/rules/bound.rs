//! How many passes a bar needs, by exact integer arithmetic.

use attestune_proto::v1::Bound;
use num_bigint::BigUint;

/// Parts per million.
const MILLION: u64 = 1_000_000;
/// Most cases of a category: the exact arithmetic takes a time that grows with their square, 0.15 s for so many.
pub const CASES_MAX: u32 = 10_000;
/// Most cases of a suite.
pub const SUITE_CASES_MAX: u32 = 100_000;

/// The fewest passes of `cases` that reach a bar; `None` if not even all do.
///
/// Under [`Bound::Lower95`] the one-sided 95 % Clopper–Pearson lower bound must reach the bar: that is so exactly when
/// `P(X ≥ passed)` is at most 1/20 for `X` binomial with the bar as its probability (Clopper and Pearson, Biometrika
/// 26, 1934).
pub fn needed(bound: Bound, cases: u32, bar_ppm: u32) -> Option<u32> {
    if cases == 0 || cases > CASES_MAX || u64::from(bar_ppm) > MILLION {
        return None;
    }
    match bound {
        Bound::Unspecified => None,
        Bound::PassRate => {
            let needed = (u64::from(cases) * u64::from(bar_ppm)).div_ceil(MILLION);
            u32::try_from(needed).ok()
        }
        Bound::Lower95 => failures_allowed(cases, bar_ppm).map(|failures| cases - failures),
    }
}

/// The most failures with which the lower bound still reaches the bar.
fn failures_allowed(cases: u32, bar_ppm: u32) -> Option<u32> {
    let bar = u64::from(bar_ppm);
    if bar == 0 {
        return Some(cases);
    }
    if bar == MILLION {
        return None;
    }
    let divisor = gcd(bar, MILLION);
    let (p, q, whole) = (bar / divisor, (MILLION - bar) / divisor, MILLION / divisor);
    // Everything is scaled by whole^cases: term = C(n, j) · q^j · p^(n − j), and 20 · sum ≤ whole^cases.
    let limit = BigUint::from(whole).pow(cases);
    let mut term = BigUint::from(p).pow(cases);
    let mut sum = BigUint::ZERO;
    let mut allowed = None;
    for failures in 0..=cases {
        sum += &term;
        if &sum * 20u32 > limit {
            break;
        }
        allowed = Some(failures);
        term = term * (u64::from(cases - failures) * q) / (u64::from(failures + 1) * p);
    }
    allowed
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_rate_rounds_up() {
        assert_eq!(needed(Bound::PassRate, 100, 950_000), Some(95));
        assert_eq!(needed(Bound::PassRate, 101, 950_000), Some(96));
        assert_eq!(needed(Bound::PassRate, 3, 950_000), Some(3));
        assert_eq!(needed(Bound::PassRate, 10, 0), Some(0));
    }

    #[test]
    fn the_lower_bound_needs_59_cases_without_a_failure_and_so_on() {
        // The least numbers of cases for 0, 1, 2, 3 and 5 failures at 95 %.
        for (cases, failures) in [(59, 0), (93, 1), (124, 2), (153, 3), (208, 5)] {
            assert_eq!(needed(Bound::Lower95, cases, 950_000), Some(cases - failures), "{cases} cases");
            let fewer = needed(Bound::Lower95, cases - 1, 950_000);
            assert_ne!(fewer.map(|n| cases - 1 - n), Some(failures), "{} cases", cases - 1);
        }
        assert_eq!(needed(Bound::Lower95, 58, 950_000), None);
    }

    #[test]
    fn every_case_of_a_small_category_agrees_with_the_sum_written_out() {
        // P(X >= k) in exact fractions of 10^n for p = 9/10.
        for cases in 1u32..=24 {
            let tail = |k: u32| -> u128 { (k..=cases).map(|x| choose(cases, x) * 9u128.pow(x)).sum() };
            let expected = (0..=cases).find(|k| tail(*k) * 20 <= 10u128.pow(cases));
            assert_eq!(needed(Bound::Lower95, cases, 900_000), expected, "{cases} cases");
        }
    }

    #[test]
    fn nothing_is_needed_where_it_makes_no_sense() {
        assert_eq!(needed(Bound::Lower95, 0, 950_000), None);
        assert_eq!(needed(Bound::Lower95, CASES_MAX + 1, 950_000), None);
        assert_eq!(needed(Bound::PassRate, 10, 1_000_001), None);
        assert_eq!(needed(Bound::Lower95, 10, 1_000_000), None);
        assert_eq!(needed(Bound::Lower95, 10, 0), Some(0));
    }

    fn choose(n: u32, k: u32) -> u128 {
        (0..u128::from(k)).fold(1, |acc, i| acc * (u128::from(n) - i) / (i + 1))
    }
}
