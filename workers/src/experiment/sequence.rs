//! Intervals for a difference of two means.
//!
//! An asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas: Time-uniform central limit theory and
//! asymptotic confidence sequences, arXiv:2103.06476): with N users in all, σ² the variance of the estimate and
//!
//! ```text
//! ρ²         = (−2 ln α + ln(1 − 2 ln α)) / tuning                                  (their eq. 161)
//! half width = √(N σ²) · √( 2 (N ρ² + 1) / (N ρ)² · ln( √(N ρ² + 1) / α ) )         (eq. 9)
//! p          = min(1, √(N ρ² + 1) / exp( ρ² N δ² / (2 σ² (N ρ² + 1)) ))             (from eq. 155)
//! ```
//!
//! all intervals of a sequence hold the true difference δ together with probability 1 − α, so that one may look at any time
//! and stop at any time. The sequence is narrowest at about `tuning` users.

use super::Arm;
use attestune_proto::v1::MetricKind;
use statrs::distribution::{ContinuousCDF as _, Normal};

/// An estimated difference.
pub struct Difference {
    /// Mean of the second arm less mean of the first.
    pub estimate: f64,
    /// The variance of that.
    variance: f64,
    /// Users of both arms.
    users: f64,
}

impl Difference {
    /// Of two arms.
    pub fn of(kind: MetricKind, a: &Arm, b: &Arm) -> Self {
        let part = |arm: &Arm| arm.variance(kind) / arm.users as f64;
        Self { estimate: b.mean() - a.mean(), variance: part(a) + part(b), users: (a.users + b.users) as f64 }
    }
}

/// Half the width of the confidence sequence now, and the p-value that is valid whenever one looks.
pub fn sequential(difference: &Difference, alpha: f64, tuning: f64) -> (f64, f64) {
    let Difference { estimate, variance, users } = *difference;
    let rho2 = (-2.0 * alpha.ln() + (1.0 - 2.0 * alpha.ln()).ln()) / tuning;
    let grown = users * rho2 + 1.0;
    let factor = 2.0 * grown / (users * users * rho2) * (grown.sqrt() / alpha).ln();
    let e_value = (rho2 * estimate * estimate * users / variance / (2.0 * grown)).exp() / grown.sqrt();
    ((variance * users).sqrt() * factor.sqrt(), (1.0 / e_value).min(1.0))
}

/// Half the width of the interval for one look, and its p-value, by the normal approximation.
pub fn fixed(difference: &Difference, alpha: f64) -> (f64, f64) {
    let error = difference.variance.sqrt();
    let normal = Normal::standard();
    let z = (difference.estimate / error).abs();
    (normal.inverse_cdf(1.0 - alpha / 2.0) * error, 2.0 * normal.sf(z))
}
