//! Which alerts a reading calls for: what it holds against the policy's limits. The same reading under the same policy
//! always calls for the same, so that a monitor that died before it raised them finds them again.

use super::judges::ANSWERED;
use attestune_ledger::query::lower_bound_ppm;
use attestune_proto::v1::{AlertKind, AlertRaised, Drift, Watch, WindowObserved};

/// The p-value at which a difference of inputs counts as one, parts per million: a hundredth, shared among the features.
const DRIFT_P_MAX_PPM: u32 = 3_333;

/// The alerts that a monitor's reading at a position calls for.
pub fn alerts(reading: &WindowObserved, position: u64, watch: &Watch) -> Vec<AlertRaised> {
    let alert = |kind: AlertKind, subject: &str, observed: String, allowed: String| AlertRaised {
        model: reading.model.clone(),
        version: reading.version,
        kind: kind.into(),
        subject: subject.into(),
        evidence: vec![position],
        observed,
        allowed,
    };
    let mut alerts = Vec::new();
    for cusum in reading.cusum.iter().filter(|_| watch.cusum_limit_milli > 0) {
        if cusum.max_milli > u64::from(watch.cusum_limit_milli) {
            let (seen, limit) = (milli(cusum.max_milli), milli(watch.cusum_limit_milli.into()));
            alerts.push(alert(AlertKind::QualityFell, &cusum.category, seen, limit));
        }
    }
    let judged = reading.judged.iter().find(|result| result.category == ANSWERED).map_or(0, |result| result.cases);
    let formal = reading.judged.iter().find(|result| result.category == super::judges::FORMAT).map_or(0, |r| r.cases);
    let shares = [
        (AlertKind::RefusalsRose, reading.refusals, u64::from(judged), watch.refusals_max_ppm),
        (AlertKind::FormatFailuresRose, reading.format_failures, u64::from(formal), watch.format_failures_max_ppm),
        (AlertKind::ErrorsRose, reading.errors, reading.requests, watch.errors_max_ppm),
    ];
    for (kind, count, of, limit_ppm) in shares {
        if rose(count, of, limit_ppm) {
            alerts.push(alert(kind, "", share(count, of), millionths(limit_ppm)));
        }
    }
    let p99_us = reading.latency_us.map_or(0, |latency| latency.p99);
    if watch.latency_p99_max_us > 0 && p99_us > watch.latency_p99_max_us {
        alerts.push(alert(AlertKind::LatencyRose, "", p99_us.to_string(), watch.latency_p99_max_us.to_string()));
    }
    for found in &reading.pii {
        alerts.push(alert(AlertKind::PersonalData, &found.entity, found.count.to_string(), "0".into()));
    }
    for drift in reading.drift.iter().filter(|drift| drifted(drift, watch.psi_max_ppm)) {
        alerts.push(alert(AlertKind::Drift, &drift.feature, millionths(drift.psi_ppm), millionths(watch.psi_max_ppm)));
    }
    alerts
}

/// Whether a share is above its limit, and not by the chance of a few answers: the one-sided 95 % lower bound is held
/// against it.
fn rose(count: u64, of: u64, limit_ppm: u32) -> bool {
    // A bound over more than this many is the share itself.
    const MANY: u64 = 100_000;
    let scaled = || (u128::from(count) * u128::from(MANY) / u128::from(of)) as u64;
    let (count, of) = if of > MANY { (scaled(), MANY) } else { (count, of) };
    limit_ppm > 0 && lower_bound_ppm(count as u32, of as u32) > limit_ppm
}

/// The index says that it matters, the test that it is not chance.
fn drifted(drift: &Drift, psi_max_ppm: u32) -> bool {
    psi_max_ppm > 0 && drift.psi_ppm > psi_max_ppm && drift.p_ppm <= DRIFT_P_MAX_PPM
}

fn share(count: u64, of: u64) -> String {
    millionths((u128::from(count) * 1_000_000 / u128::from(of.max(1))) as u32)
}

fn millionths(ppm: u32) -> String {
    trimmed(format!("{}.{:06}", ppm / 1_000_000, ppm % 1_000_000))
}

fn milli(thousandths: u64) -> String {
    trimmed(format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000))
}

fn trimmed(decimal: String) -> String {
    decimal.trim_end_matches('0').trim_end_matches('.').into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_proto::v1::{CategoryResult, Cusum, EntityCount, Quantiles};

    fn watch() -> Watch {
        Watch {
            window_ms: 60_000,
            judged_max: 50,
            refusals_max_ppm: 200_000,
            format_failures_max_ppm: 50_000,
            errors_max_ppm: 10_000,
            latency_p99_max_us: 2_000_000,
            psi_max_ppm: 250_000,
            cusum_bad_ppm: 900_000,
            cusum_limit_milli: 4_000,
        }
    }

    fn judged(category: &str, passed: u32, cases: u32) -> CategoryResult {
        CategoryResult { category: category.into(), passed, cases }
    }

    fn good() -> WindowObserved {
        WindowObserved {
            model: "triage".into(),
            version: 2,
            requests: 400,
            judged: vec![judged("answered", 46, 50), judged("format", 49, 50)],
            refusals: 4,
            format_failures: 1,
            errors: 1,
            latency_us: Some(Quantiles { count: 400, p99: 1_999_999, ..Default::default() }),
            cusum: vec![Cusum { category: "format".into(), sum_milli: 639, max_milli: 693, run: 2 }],
            drift: vec![Drift { feature: "length".into(), psi_ppm: 300_000, p_ppm: 20_000, ..Default::default() }],
            ..Default::default()
        }
    }

    fn raised(reading: &WindowObserved) -> Vec<(AlertKind, String, String, String)> {
        let told = |alert: AlertRaised| (alert.kind(), alert.subject, alert.observed, alert.allowed);
        alerts(reading, 7, &watch()).into_iter().map(told).collect()
    }

    fn one(kind: AlertKind, subject: &str, observed: &str, allowed: &str) -> Vec<(AlertKind, String, String, String)> {
        vec![(kind, subject.into(), observed.into(), allowed.into())]
    }

    #[test]
    fn a_good_reading_calls_for_nothing() {
        assert_eq!(raised(&good()), []);
    }

    #[test]
    fn each_limit_that_is_passed_is_named_with_what_was_seen() {
        let slow = Some(Quantiles { count: 400, p99: 2_000_001, ..Default::default() });
        let fell = vec![Cusum { category: "outcome.accuracy".into(), sum_milli: 0, max_milli: 4_158, run: 0 }];
        let mail = vec![EntityCount { entity: "email".into(), count: 2 }];
        let drift = vec![Drift { feature: "tokens".into(), psi_ppm: 410_000, p_ppm: 1_000, ..Default::default() }];
        let cases = [
            (WindowObserved { cusum: fell, ..good() }, one(AlertKind::QualityFell, "outcome.accuracy", "4.158", "4")),
            (WindowObserved { refusals: 25, ..good() }, one(AlertKind::RefusalsRose, "", "0.5", "0.2")),
            (WindowObserved { format_failures: 9, ..good() }, one(AlertKind::FormatFailuresRose, "", "0.18", "0.05")),
            (WindowObserved { errors: 20, ..good() }, one(AlertKind::ErrorsRose, "", "0.05", "0.01")),
            (WindowObserved { latency_us: slow, ..good() }, one(AlertKind::LatencyRose, "", "2000001", "2000000")),
            (WindowObserved { pii: mail, ..good() }, one(AlertKind::PersonalData, "email", "2", "0")),
            (WindowObserved { drift, ..good() }, one(AlertKind::Drift, "tokens", "0.41", "0.25")),
        ];
        for (reading, expected) in cases {
            assert_eq!(raised(&reading), expected);
        }
        assert_eq!(alerts(&WindowObserved { errors: 20, ..good() }, 7, &watch())[0].evidence, [7]);
    }

    /// The bound of 4 of 10 is 0.1500 (scipy 1.17.1, `stats.beta.ppf(0.05, 4, 7)`), of 40 of 100 0.3175.
    #[test]
    fn a_few_answers_above_a_limit_may_be_chance() {
        assert!(!rose(4, 10, 200_000) && rose(40, 100, 200_000));
        assert!(!rose(0, 0, 200_000) && !rose(9, 10, 0), "none were judged; no limit");
        assert!(rose(3_000_000_000, 10_000_000_000, 200_000) && !rose(1_000_000_000, 10_000_000_000, 200_000));
        assert!(rose(u64::MAX / 2, u64::MAX, 200_000), "a server may say that it had so many");
    }

    #[test]
    fn a_limit_of_nothing_is_none() {
        let all = WindowObserved { refusals: 50, format_failures: 50, errors: 400, ..good() };
        assert_eq!(alerts(&all, 7, &Watch { window_ms: 1, ..Default::default() }), []);
    }
}
