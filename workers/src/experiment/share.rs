//! Did the users come in the share planned? If not, something sorts them, and no difference means anything.

use statrs::distribution::{ChiSquared, ContinuousCDF as _};

/// The p-value of Pearson's chi-squared test of the planned share, one degree of freedom; 1 where nobody came.
pub fn p_value(a: u64, b: u64, share_ppm: u32) -> f64 {
    let users = (a + b) as f64;
    let share = f64::from(share_ppm) / 1e6;
    let Ok(distribution) = ChiSquared::new(1.0) else { return 0.0 };
    if users == 0.0 {
        return 1.0;
    }
    let off = |count: u64, share: f64| {
        let expected = users * share;
        (count as f64 - expected).powi(2) / expected
    };
    distribution.sf(off(a, 1.0 - share) + off(b, share))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GrowthBook's gbstats 0.8.0 (PyPI), `check_srm`.
    #[test]
    fn the_p_values_are_those_of_growthbook() {
        let cases = [
            (800, 200, 200_000, 1.0),
            (8100, 1900, 200_000, 0.01241933065155227),
            (5010, 4990, 500_000, 0.841480581121794),
            (90, 110, 500_000, 0.15729920705028105),
            (9000, 500, 100_000, 1.919933481738354e-53),
        ];
        for (a, b, share_ppm, expected) in cases {
            let p = p_value(a, b, share_ppm);
            assert!((p - expected).abs() <= expected * 1e-9, "{a} and {b}: {p}, {expected}");
        }
        assert_eq!(p_value(0, 0, 200_000), 1.0);
    }
}
