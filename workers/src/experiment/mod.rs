//! The statistics of experiments: two arms, one outcome a user, a confidence sequence that may be looked at whenever one
//! likes, and a check that the users came in the share planned.
//!
//! What decides is figures that go on the log: they are rounded first, and the conclusion is drawn from the rounded ones,
//! so that whoever reads them comes to the same.
//!
//! ```
//! use attestune_proto::v1::{Conclusion, MetricKind, StopMethod, StopRule};
//! use attestune_workers::experiment::{Arm, analyse, conclusion};
//!
//! let rule = StopRule {
//!     method: StopMethod::ConfidenceSequence as i32,
//!     alpha_ppm: 50_000, users_min: 1_000, users_max: 20_000, tuning: 5_000, share_alpha_ppm: 1_000,
//! };
//! let resolved = |users, of| Arm::of_proportion(users, of);
//! let figures = analyse(MetricKind::Proportion, &rule, 200_000, &resolved(4_000, 3_000), &resolved(1_000, 800));
//! assert_eq!(figures.difference, "0.050000000000");
//! assert_eq!(conclusion(&rule, &figures), Some(Conclusion::BIsBetter));
//! ```

mod sequence;
mod share;

use attestune_proto::v1::{ArmFigures, Conclusion, MetricKind, StopMethod, StopRule};
use sequence::{Difference, fixed, sequential};

/// Decimals of a figure, where they fit.
const DECIMALS: usize = 12;
/// Longest decimal on the log, characters.
const CHARS_MAX: usize = 32;

/// What one arm came to: its users with an outcome, and over them the sum of their means and of the squares of these.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Arm {
    /// Users.
    pub users: u64,
    /// Sum of the users' means.
    pub sum: f64,
    /// Sum of the squares of the users' means.
    pub sum_of_squares: f64,
}

impl Arm {
    /// Adds one user's mean.
    pub fn add(&mut self, mean: f64) {
        self.users += 1;
        self.sum += mean;
        self.sum_of_squares += mean * mean;
    }

    /// Users of whom some had the outcome 1.
    pub fn of_proportion(users: u64, ones: u64) -> Self {
        Self { users, sum: ones as f64, sum_of_squares: ones as f64 }
    }

    /// As it stands on the log.
    pub fn figures(&self) -> ArmFigures {
        ArmFigures { users: self.users, sum: decimal(self.sum), sum_of_squares: decimal(self.sum_of_squares) }
    }

    fn mean(&self) -> f64 {
        if self.users == 0 { 0.0 } else { self.sum / self.users as f64 }
    }

    /// The variance of one user's mean: p(1 − p) for a proportion, else the sample's, with n − 1.
    fn variance(&self, kind: MetricKind) -> f64 {
        let n = self.users as f64;
        match kind {
            MetricKind::Proportion => self.mean() * (1.0 - self.mean()),
            _ if self.users < 2 => 0.0,
            MetricKind::Mean | MetricKind::Unspecified => {
                ((self.sum_of_squares - self.sum * self.sum / n) / (n - 1.0)).max(0.0)
            }
        }
    }
}

/// The figures of an experiment, as decimal strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Users of both arms.
    pub users: u64,
    /// Mean of the second arm less mean of the first.
    pub difference: String,
    /// Lower end of its interval, rounded down.
    pub lower: String,
    /// Upper end of its interval, rounded up.
    pub upper: String,
    /// The p-value of the difference, always valid for a confidence sequence, parts per million.
    pub p_ppm: u32,
    /// The p-value of the planned share, parts per million, rounded down.
    pub share_p_ppm: u32,
}

/// What two arms come to under a stop rule, where `share_ppm` of the users were to get the second. With fewer than two
/// users in an arm nothing is known: the interval is as wide as decimals go.
pub fn analyse(kind: MetricKind, rule: &StopRule, share_ppm: u32, a: &Arm, b: &Arm) -> Figures {
    let alpha = f64::from(rule.alpha_ppm) / 1e6;
    let difference = Difference::of(kind, a, b);
    let (half_width, p) = match rule.method() {
        StopMethod::FixedSample => fixed(&difference, alpha),
        StopMethod::ConfidenceSequence | StopMethod::Unspecified => sequential(&difference, alpha, rule.tuning as f64),
    };
    let unknown = a.users < 2 || b.users < 2 || !half_width.is_finite();
    let end = |value: f64, round: fn(f64) -> f64| {
        let scale = 10f64.powi(DECIMALS as i32);
        let rounded = round(value * scale) / scale;
        if unknown || !rounded.is_finite() { None } else { Some(decimal(rounded)) }
    };
    Figures {
        users: a.users + b.users,
        difference: decimal(difference.estimate),
        lower: end(difference.estimate - half_width, f64::floor).unwrap_or_else(|| "-1000000000000".into()),
        upper: end(difference.estimate + half_width, f64::ceil).unwrap_or_else(|| "1000000000000".into()),
        p_ppm: if unknown { 1_000_000 } else { ppm(p) },
        share_p_ppm: ppm(share::p_value(a.users, b.users, share_ppm)),
    }
}

/// What may be concluded now; nothing while the experiment must go on.
pub fn conclusion(rule: &StopRule, figures: &Figures) -> Option<Conclusion> {
    if figures.share_p_ppm < rule.share_alpha_ppm {
        return Some(Conclusion::ShareMismatch);
    }
    let least = match rule.method() {
        StopMethod::FixedSample => rule.users_max,
        StopMethod::ConfidenceSequence | StopMethod::Unspecified => rule.users_min,
    };
    if figures.users < least {
        return None;
    }
    let above = |end: &str| !end.starts_with('-') && end.bytes().any(|b| matches!(b, b'1'..=b'9'));
    if above(&figures.lower) {
        Some(Conclusion::BIsBetter)
    } else if figures.upper.strip_prefix('-').is_some_and(above) {
        Some(Conclusion::AIsBetter)
    } else {
        (figures.users >= rule.users_max).then_some(Conclusion::NoDifference)
    }
}

fn ppm(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * 1e6).floor() as u32
}

/// A decimal of at most 32 characters, with as many of its decimals as fit; no minus before zero.
fn decimal(value: f64) -> String {
    for decimals in (0..=DECIMALS).rev() {
        let text = format!("{value:.decimals$}");
        // The sign is allowed for besides.
        if text.trim_start_matches('-').len() <= CHARS_MAX {
            let zero = !text.bytes().any(|b| matches!(b, b'1'..=b'9'));
            return if zero { text.trim_start_matches('-').into() } else { text };
        }
    }
    "0".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(alpha_ppm: u32, tuning: u64) -> StopRule {
        let method = StopMethod::ConfidenceSequence as i32;
        StopRule { method, alpha_ppm, users_min: 100, users_max: 10_000, tuning, share_alpha_ppm: 1_000 }
    }

    /// GrowthBook's gbstats 0.8.0 (PyPI), `SequentialTwoSidedTTest` with `difference_type="absolute"`, on the same inputs.
    #[test]
    fn a_confidence_sequence_has_the_figures_of_growthbook() {
        let mean = |users, sum, sum_of_squares| Arm { users, sum, sum_of_squares };
        let (proportion, average) = (MetricKind::Proportion, MetricKind::Mean);
        let share = Arm::of_proportion;
        let cases = [
            (
                proportion,
                share(4000, 3000),
                share(1000, 800),
                50_000,
                5000,
                (0.006344134223943282, 0.09365586577605681),
                0.013966683902898935,
            ),
            (
                proportion,
                share(3000, 300),
                share(3000, 360),
                50_000,
                500,
                (-0.0063747250403913755, 0.046374725040391356),
                0.47131965845714385,
            ),
            (proportion, share(120, 60), share(80, 44), 100_000, 5000, (-0.30185457338968763, 0.4018545733896877), 1.0),
            (
                average,
                mean(2461, 1480.25, 2201.5),
                mean(2507, 1702.75, 2690.125),
                50_000,
                5000,
                (0.012568072467071187, 0.14286214348899934),
                0.00886936251316135,
            ),
            (
                average,
                mean(50, -12.5, 80.0),
                mean(60, 30.0, 95.0),
                10_000,
                1000,
                (-0.23390012050287579, 1.733900120502876),
                0.08173470250470728,
            ),
        ];
        for (kind, a, b, alpha_ppm, tuning, (lower, upper), p) in cases {
            let got = analyse(kind, &rule(alpha_ppm, tuning), 500_000, &a, &b);
            let near = |text: &str, expected: f64| (text.parse::<f64>().unwrap() - expected).abs() < 2e-12;
            assert!(near(&got.lower, lower) && near(&got.upper, upper), "{got:?}, {lower} to {upper}");
            assert_eq!(got.p_ppm, ppm(p), "{got:?}");
        }
    }

    /// The same package's `TwoSidedTTest`, which uses Student's t; the normal approximation is as near as this many users
    /// make it.
    #[test]
    fn one_look_at_the_end_has_the_usual_interval() {
        let fixed = StopRule { method: StopMethod::FixedSample as i32, tuning: 0, ..rule(50_000, 0) };
        let (a, b) = (Arm::of_proportion(4000, 3000), Arm::of_proportion(1000, 800));
        let got = analyse(MetricKind::Proportion, &fixed, 200_000, &a, &b);
        let near = |text: &str, expected: f64| (text.parse::<f64>().unwrap() - expected).abs() < 5e-5;
        assert!(near(&got.lower, 0.021788660632293757) && near(&got.upper, 0.07821133936770633), "{got:?}");
        assert_eq!(conclusion(&fixed, &got), None, "before the last user is in, nobody looks");
        let whole = StopRule { users_max: 5_000, ..fixed };
        assert_eq!(conclusion(&whole, &got), Some(Conclusion::BIsBetter));
    }

    #[test]
    fn a_conclusion_waits_for_the_least_and_ends_at_the_most() {
        let rule = rule(50_000, 5_000);
        let of = |a: (u64, u64), b: (u64, u64)| {
            let (a, b) = (Arm::of_proportion(a.0, a.1), Arm::of_proportion(b.0, b.1));
            conclusion(&rule, &analyse(MetricKind::Proportion, &rule, 500_000, &a, &b))
        };
        assert_eq!(of((40, 1), (45, 44)), None, "fewer than the least");
        assert_eq!(of((400, 100), (400, 300)), Some(Conclusion::BIsBetter));
        assert_eq!(of((400, 300), (400, 100)), Some(Conclusion::AIsBetter));
        assert_eq!(of((2_000, 1_000), (2_000, 1_010)), None, "it goes on");
        assert_eq!(of((5_000, 2_500), (5_000, 2_510)), Some(Conclusion::NoDifference));
        assert_eq!(of((5_000, 2_500), (4_000, 3_900)), Some(Conclusion::ShareMismatch), "whatever the difference");
        assert_eq!(of((0, 0), (0, 0)), None);
    }

    #[test]
    fn figures_fit_on_the_log() {
        assert_eq!(decimal(-0.0), "0.000000000000");
        assert_eq!(decimal(-1e-13), "0.000000000000");
        assert_eq!(decimal(0.1), "0.100000000000");
        assert_eq!(decimal(123_456_789_012_345_680.0).len(), 31);
        assert_eq!(decimal(1e300), "0", "no outcome is of this kind");
        let nobody = analyse(MetricKind::Mean, &rule(50_000, 5_000), 500_000, &Arm::default(), &Arm::default());
        assert_eq!((nobody.lower.as_str(), nobody.share_p_ppm), ("-1000000000000", 1_000_000));
    }
}
