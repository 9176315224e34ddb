//! Evaluations held against their bars.

use crate::rules::bound::SUITE_CASES_MAX;
use crate::state::{LatestEvaluations, Suites, View};
use attestune_proto::v1::{CategoryBar, CategoryResult, CategoryVerdict, EvaluationProvenance, EvaluationRow};

/// An evaluation with its suite, judged against the bars.
pub fn evaluation_provenance(view: &View<'_>, evaluation: EvaluationRow) -> EvaluationProvenance {
    let suite = view.get(&Suites::key(evaluation.suite)).unwrap_or_default();
    let latest = view.get(&LatestEvaluations::key(&evaluation.model, evaluation.version, &suite.suite));
    let pairs = suite.categories.iter().zip(&evaluation.results);
    EvaluationProvenance {
        verdicts: pairs.map(|(bar, result)| category_verdict(bar, result)).collect(),
        attempts: latest.map_or(0, |l| l.attempts),
        evaluation: Some(evaluation),
        suite: Some(suite),
    }
}

/// A category's figures beside its bar.
pub fn category_verdict(bar: &CategoryBar, result: &CategoryResult) -> CategoryVerdict {
    let rate = u64::from(result.passed) * 1_000_000 / u64::from(result.cases.max(1));
    CategoryVerdict {
        category: bar.category.clone(),
        passed: result.passed,
        cases: result.cases,
        needed: bar.needed,
        bar_ppm: bar.bar_ppm,
        rate_ppm: rate as u32,
        lower_bound_ppm: lower_bound_ppm(result.passed, result.cases),
        ok: result.passed >= bar.needed,
    }
}

/// The one-sided 95 % Clopper–Pearson lower bound of a pass rate, parts per million, rounded down; 0 of more cases than
/// any suite has, as the time grows with their number. To be shown; the rules decide by [`crate::rules::bound::needed`].
pub fn lower_bound_ppm(passed: u32, cases: u32) -> u32 {
    if passed == 0 || passed > cases || cases > SUITE_CASES_MAX {
        return 0;
    }
    // P(X >= passed) grows with p: the largest p, to a millionth, for which it is at most 1/20.
    let (n, k) = (f64::from(cases), f64::from(passed));
    let ln_choose = |i: f64| ln_gamma(n + 1.0) - ln_gamma(i + 1.0) - ln_gamma(n - i + 1.0);
    let tail = |p: f64| -> f64 {
        (passed..=cases)
            .map(|i| {
                let i = f64::from(i);
                (ln_choose(i) + i * p.ln() + (n - i) * (1.0 - p).ln()).exp()
            })
            .sum()
    };
    if k == n {
        return (0.05f64.powf(1.0 / n) * 1e6) as u32;
    }
    let (mut low, mut high) = (0u32, 1_000_000u32);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if tail(f64::from(middle) / 1e6) <= 0.05 { low = middle } else { high = middle }
    }
    low
}

/// ln Γ(x) for x ≥ 1 by Stirling's series after shifting x past 10 (Abramowitz and Stegun 6.1.41).
fn ln_gamma(mut x: f64) -> f64 {
    let mut shift = 0.0;
    while x < 10.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    shift + (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::bound::needed;
    use attestune_proto::v1::Bound;

    #[test]
    fn the_bound_shown_agrees_with_the_passes_that_the_rules_ask_for() {
        for cases in [20, 59, 93, 124, 153, 208, 480, 1000] {
            for bar_ppm in [800_000, 900_000, 950_000] {
                let Some(needed) = needed(Bound::Lower95, cases, bar_ppm) else { continue };
                assert!(lower_bound_ppm(needed, cases) + 1 >= bar_ppm, "{needed} of {cases}");
                assert!(lower_bound_ppm(needed - 1, cases) < bar_ppm, "{} of {cases}", needed - 1);
            }
        }
        assert_eq!(lower_bound_ppm(0, 10), 0);
        assert_eq!(lower_bound_ppm(10, 10), 741_134);
        // Nobody waits for what a file may say.
        assert_eq!(lower_bound_ppm(u32::MAX / 2, u32::MAX), 0);
    }
}
