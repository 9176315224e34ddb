//! A reading: what a monitor says of some servers' windows.

use super::cusum::{Steps, spread};
use super::drift::{Features, compare};
use super::judges::{ANSWERED, COMPLIANCE, FORMAT, Judged, Judges};
use super::texts::{Served, Texts, sample};
use super::training::{References, word};
use super::{MONITOR_NAME, MONITOR_VERSION};
use crate::{BaseModels, Context, WorkerError};
use attestune_ledger::{
    rules::policy,
    state::{Alerts, LatestAlerts, LatestWindows, View},
};
use attestune_pii::{DETECTOR_NAME, Scanner};
use attestune_proto::v1::{
    AlertKind, CategoryResult, Cusum, Drift, PositionRow, Quantiles, Setting, Watch, WindowObserved,
};
use std::collections::BTreeMap;

/// What readings are made with.
pub struct Desk<'d> {
    pub context: &'d Context,
    pub models: &'d BaseModels,
    pub scanner: &'d Scanner,
    pub references: &'d mut References,
}

impl Desk<'_> {
    /// Reads windows of one version, ascending by position.
    ///
    /// # Errors
    /// If state or vault can't be read, or their texts are not what the log commits to.
    pub fn read(
        &mut self,
        model: &str,
        version: u32,
        windows: &[(u64, WindowObserved)],
    ) -> Result<WindowObserved, WorkerError> {
        let store = self.context.view();
        let view = store.view();
        let policy = policy::in_force(&view);
        let watch = policy.watch.unwrap_or_default();
        let (texts, served) = sample(self.context, windows, watch.judged_max as usize)?;
        let judges = Judges::of(self.context, &view, &policy, model, version)?;
        let judged = judges.judge(self.scanner, &served);
        let (drift, compared) = self.drift(model, version, &served)?;
        let mut reading = merged(model, version, windows);
        reading.cusum = cusum(&view, &watch, &judges, &judged, &reading);
        reading.refusals = judged.failed(ANSWERED);
        reading.format_failures = judged.failed(FORMAT);
        reading.judged = judged.results();
        reading.pii = judged.pii;
        reading.drift = drift;
        reading.environment = self.environment(texts, compared);
        super::unfailed(&view)?;
        Ok(reading)
    }

    fn drift(
        &mut self,
        model: &str,
        version: u32,
        served: &[Served],
    ) -> Result<(Vec<Drift>, &'static str), WorkerError> {
        let reference = match self.references.of(self.context, self.models, model, version)? {
            Ok(reference) => reference,
            Err(word) => return Ok((Vec::new(), word)),
        };
        let mut inputs = Features::default();
        for served in served {
            reference.add(&mut inputs, &served.input)?;
        }
        let drift = compare(&reference.members, &inputs);
        let compared = word(!drift.is_empty());
        Ok((drift, compared))
    }

    /// Ascending by name.
    fn environment(&self, texts: Texts, compared: &str) -> Vec<Setting> {
        let detector = format!("{DETECTOR_NAME}-{}", self.scanner.version());
        let settings = [
            ("detector", detector.as_str()),
            ("drift", compared),
            ("monitor", &format!("{MONITOR_NAME}-{MONITOR_VERSION}")),
            ("texts", texts.word()),
        ];
        settings.map(|(name, value)| Setting { name: name.into(), value: value.into() }).into()
    }
}

/// What the servers counted, put together.
fn merged(model: &str, version: u32, windows: &[(u64, WindowObserved)]) -> WindowObserved {
    let all = || windows.iter().map(|(_, window)| window);
    let from_ms = all().map(|window| window.from_ms).min().unwrap_or(0);
    WindowObserved {
        model: model.into(),
        version,
        from_ms,
        to_ms: all().map(|window| window.to_ms).max().unwrap_or(from_ms + 1),
        windows: windows.iter().map(|(position, _)| *position).collect(),
        requests: all().fold(0, |sum, window| sum.saturating_add(window.requests)),
        errors: all().fold(0, |sum, window| sum.saturating_add(window.errors)),
        prompt_tokens: quantiles(all().filter_map(|window| window.prompt_tokens)),
        answer_tokens: quantiles(all().filter_map(|window| window.answer_tokens)),
        first_token_us: quantiles(all().filter_map(|window| window.first_token_us)),
        latency_us: quantiles(all().filter_map(|window| window.latency_us)),
        reviewed: results(all().flat_map(|window| &window.reviewed)),
        outcomes: results(all().flat_map(|window| &window.outcomes)),
        ..WindowObserved::default()
    }
}

/// Of several distributions the largest of each quantile: at least so large a share of all lies at or below it.
fn quantiles(all: impl Iterator<Item = Quantiles>) -> Option<Quantiles> {
    all.reduce(|a, b| Quantiles {
        count: a.count.saturating_add(b.count),
        sum: a.sum.saturating_add(b.sum),
        p50: a.p50.max(b.p50),
        p90: a.p90.max(b.p90),
        p99: a.p99.max(b.p99),
        max: a.max.max(b.max),
    })
}

/// Counts added up by category, ascending.
fn results<'r>(all: impl Iterator<Item = &'r CategoryResult>) -> Vec<CategoryResult> {
    let mut sums: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for result in all {
        let (passed, cases) = sums.entry(&result.category).or_default();
        *passed = passed.saturating_add(result.passed);
        *cases = cases.saturating_add(result.cases);
    }
    let result = |(category, (passed, cases)): (&str, _)| CategoryResult { category: category.into(), passed, cases };
    sums.into_iter().map(result).collect()
}

/// The sums after this reading, ascending by category. Each goes on from the reading before it, or from nothing where a
/// person has acknowledged an alert about it since.
fn cusum(view: &View<'_>, watch: &Watch, judges: &Judges, judged: &Judged, reading: &WindowObserved) -> Vec<Cusum> {
    let before = latest(view, &reading.model, reading.version);
    let mut sums: BTreeMap<String, Cusum> = BTreeMap::new();
    for row in before.iter().flat_map(|(_, body)| &body.cusum) {
        sums.insert(row.category.clone(), row.clone());
    }
    let read_at = before.as_ref().map_or(0, |(position, _)| *position);
    for (category, sum) in &mut sums {
        if acknowledged_at(view, &reading.model, reading.version, category).is_some_and(|at| at > read_at) {
            *sum = Cusum { category: category.clone(), ..Cusum::default() };
        }
    }
    // Never all written out: a server may count a million answers in each of a thousand categories.
    let mut answers: BTreeMap<String, Box<dyn Iterator<Item = bool> + '_>> = BTreeMap::new();
    for category in [COMPLIANCE, FORMAT] {
        answers.insert(category.into(), Box::new(judged.verdicts.get(category).into_iter().flatten().copied()));
    }
    for (source, results) in [("outcome", &reading.outcomes), ("reviewed", &reading.reviewed)] {
        for result in results {
            answers.insert(format!("{source}.{}", result.category), Box::new(spread(result.passed, result.cases)));
        }
    }
    for category in sums.keys() {
        answers.entry(category.clone()).or_insert_with(|| Box::new(std::iter::empty()));
    }
    let step = |(category, answers): (String, Box<dyn Iterator<Item = bool> + '_>)| {
        let of = category.split_once('.').map_or(category.as_str(), |(_, of)| of);
        let steps = Steps::between(judges.bar_ppm(of)?, watch.cusum_bad_ppm)?;
        let known = sums.get(&category).cloned();
        let mut answers = answers.peekable();
        if known.is_none() && answers.peek().is_none() {
            return None;
        }
        let from = known.unwrap_or_else(|| Cusum { category, ..Cusum::default() });
        Some(steps.go_on(&from, answers))
    };
    answers.into_iter().filter(|(category, _)| category.len() <= 64).filter_map(step).take(512).collect()
}

/// The newest reading of a version, whoever made it.
fn latest(view: &View<'_>, model: &str, version: u32) -> Option<(u64, WindowObserved)> {
    let rows = view.scan(&LatestWindows::under(model));
    let readings = rows.iter().filter(|row| row.version == version && row.server.is_empty());
    let position = readings.map(|row| row.position).max()?;
    Some((position, super::window(view, position)?))
}

/// When somebody acknowledged the newest alert about a category's quality.
fn acknowledged_at(view: &View<'_>, model: &str, version: u32, category: &str) -> Option<u64> {
    let kind = AlertKind::QualityFell as u32;
    let PositionRow { position } = view.get(&LatestAlerts::key(model, version, kind, category))?;
    Some(view.get(&Alerts::key(position))?.acknowledged?.position)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from_ms: u64, latency: [u64; 4], outcomes: &[(&str, u32, u32)]) -> WindowObserved {
        let [p50, p90, p99, max] = latency;
        let outcome = |(category, passed, cases): &(&str, u32, u32)| CategoryResult {
            category: (*category).into(),
            passed: *passed,
            cases: *cases,
        };
        WindowObserved {
            from_ms,
            to_ms: from_ms + 10,
            requests: 5,
            errors: 1,
            latency_us: Some(Quantiles { count: 5, sum: 50, p50, p90, p99, max }),
            outcomes: outcomes.iter().map(outcome).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn windows_are_put_together_without_losing_a_request() {
        let one = window(100, [5, 9, 9, 10], &[("accuracy", 3, 4)]);
        let other = window(60, [7, 8, 12, 12], &[("accuracy", 1, 4), ("resolved", 0, 1)]);
        let merged = merged("triage", 2, &[(11, one), (14, other)]);
        assert_eq!((merged.from_ms, merged.to_ms, merged.requests, merged.errors), (60, 110, 10, 2));
        assert_eq!(merged.windows, [11, 14]);
        assert_eq!(merged.latency_us, Some(Quantiles { count: 10, sum: 100, p50: 7, p90: 9, p99: 12, max: 12 }));
        assert_eq!(merged.prompt_tokens, None);
        let outcomes: Vec<_> = merged.outcomes.iter().map(|r| (r.category.as_str(), r.passed, r.cases)).collect();
        assert_eq!(outcomes, [("accuracy", 4, 8), ("resolved", 0, 1)]);
    }
}
