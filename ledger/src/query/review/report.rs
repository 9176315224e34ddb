//! What detectors found and what reviewers made of it.

use super::agreement::Table;
use super::queue::Counter;
use super::{Batch, Desk, actor};
use crate::query::{QueryError, answer, reckoned_from};
use crate::replica::StoreView;
use crate::rules::eligibility::Standing;
use attestune_proto::v1::{
    Decision, DetectorReport, EntityCount, EntityReport, Finding, PairAgreement, ReviewReason, ReviewReport,
    ReviewTimes, ReviewVerdict, ScanFindings, Tool, VerdictCount,
};
use std::collections::BTreeMap;

/// The report on a collection, or on all. `now_ms` is the asker's clock.
///
/// # Errors
/// If the state can't be read.
pub fn review_report(at: &StoreView, collection: &str, now_ms: u64) -> Result<ReviewReport, QueryError> {
    let view = at.view();
    let desk = Desk::new(&view, reckoned_from(&view, now_ms));
    let (mut tally, mut counter) = (Tally::default(), Counter::default());
    for batch in desk.batches(collection) {
        tally.take_in(&desk, &batch);
        counter.take_in(&desk, &batch);
    }
    let report =
        ReviewReport { counts: Some(counter.counts()), as_of_position: at.size().saturating_sub(1), ..tally.report() };
    answer(&view, report)
}

/// Of spans of one entity: found, right, wrong.
type Spans = [u64; 3];

#[derive(Default)]
struct Tally {
    examples: u64,
    flagged: u64,
    /// By name and version.
    detectors: BTreeMap<(String, String), Detector>,
    missed: BTreeMap<String, u64>,
    verdicts: BTreeMap<(i32, i32), u64>,
    pairs: BTreeMap<(String, String), Table<4>>,
    times_ms: Vec<u64>,
}

#[derive(Default)]
struct Detector {
    entities: BTreeMap<String, Spans>,
    /// Not personal data, or personal data, as two people saw it.
    agreement: Table<2>,
}

impl Tally {
    fn take_in(&mut self, desk: &Desk<'_>, batch: &Batch) {
        let scans = desk.scans(batch.row.position);
        self.examples += batch.examples.len() as u64;
        for example in &batch.examples {
            self.flagged += u64::from(example.flagged);
            let found = scans.get(&example.index).map_or(&[][..], Vec::as_slice);
            let decision = match batch.counting.standing(example.index) {
                Standing::Decided(decision, review) => {
                    let position = review.signer.as_ref().map_or(0, |s| s.position);
                    let decided_ms = desk.view.fold_time(position).unwrap_or(0);
                    self.times_ms.push(decided_ms.saturating_sub(batch.ready_ms));
                    *self.verdicts.entry((decision.verdict, decision.reason)).or_default() += 1;
                    Some(decision)
                }
                Standing::Open | Standing::Halfway => None,
            };
            self.spans(found, decision);
            let given = batch.counting.given(example.index);
            if let [(first, one), (second, other), ..] = given.as_slice() {
                let names = (actor(one.signer.as_ref()), actor(other.signer.as_ref()));
                self.compare(found, (first, second), names);
            }
        }
    }

    fn spans(&mut self, found: &[ScanFindings], decision: Option<&Decision>) {
        for (tool, span, noted) in each(found) {
            let entity = self.detector(tool).entities.entry(span.entity.clone()).or_default();
            entity[0] += 1;
            match decision.and_then(|decision| judged(decision, span, noted)) {
                Some(true) => entity[1] += 1,
                Some(false) => entity[2] += 1,
                None => {}
            }
        }
        for hidden in decision.map_or(&[][..], |d| &d.hidden) {
            if !each(found).any(|(_, span, _)| overlap(span, hidden)) {
                *self.missed.entry(hidden.entity.clone()).or_default() += 1;
            }
        }
    }

    fn compare(&mut self, found: &[ScanFindings], (first, second): (&Decision, &Decision), names: (&str, &str)) {
        for (tool, span, noted) in each(found) {
            if let (Some(one), Some(other)) = (judged(first, span, noted), judged(second, span, noted)) {
                self.detector(tool).agreement.count(usize::from(one), usize::from(other));
            }
        }
        let verdict = |decision: &Decision| usize::try_from(decision.verdict).unwrap_or(0);
        let (one, other) = (verdict(first), verdict(second));
        if names.0 <= names.1 {
            self.pairs.entry((names.0.into(), names.1.into())).or_default().count(one, other);
        } else {
            self.pairs.entry((names.1.into(), names.0.into())).or_default().count(other, one);
        }
    }

    fn detector(&mut self, tool: &Tool) -> &mut Detector {
        self.detectors.entry((tool.name.clone(), tool.version.clone())).or_default()
    }

    fn report(mut self) -> ReviewReport {
        self.times_ms.sort_unstable();
        let detectors = self.detectors.into_iter().map(|((name, version), detector)| DetectorReport {
            detector: Some(Tool { name, version }),
            entities: detector.entities.into_iter().map(|(entity, spans)| entity_report(entity, spans)).collect(),
            agreement: Some(detector.agreement.agreement()),
        });
        let verdicts =
            self.verdicts.into_iter().map(|((verdict, reason), count)| VerdictCount { verdict, reason, count });
        let pairs = self.pairs.into_iter().map(|((one, other), table)| {
            let agreement = Some(table.agreement());
            PairAgreement { one, other, agreement }
        });
        ReviewReport {
            examples: self.examples,
            flagged: self.flagged,
            detectors: detectors.collect(),
            times: Some(ReviewTimes {
                decided: self.times_ms.len() as u64,
                median_ms: rank(&self.times_ms, 50),
                p90_ms: rank(&self.times_ms, 90),
            }),
            pairs: pairs.collect(),
            missed: self.missed.into_iter().map(|(entity, count)| EntityCount { entity, count }).collect(),
            verdicts: verdicts.collect(),
            ..Default::default()
        }
    }
}

fn entity_report(entity: String, [found, right, wrong]: Spans) -> EntityReport {
    let precision_ppm = (right * 1_000_000).checked_div(right + wrong).map(|ppm| ppm as u32);
    EntityReport { entity, found, right, wrong, precision_ppm }
}

/// What each scan found, with its detector, and whether it only notes it.
fn each(found: &[ScanFindings]) -> impl Iterator<Item = (&Tool, &Finding, bool)> {
    let scans = found.iter().filter_map(|scan| Some((scan.detector.as_ref()?, scan)));
    scans.flat_map(|(tool, scan)| scan.spans.iter().map(move |span| (tool, span, scan.noted.contains(&span.entity))))
}

/// Whether a decision says that a span is personal data; nothing where it is about something else. A redaction that
/// does not say what it hid hid all. What is only noted and was left in place was not judged.
pub fn judged(decision: &Decision, span: &Finding, noted: bool) -> Option<bool> {
    if decision.verdict() == ReviewVerdict::Redact {
        let hidden = decision.hidden.is_empty() || decision.hidden.iter().any(|hidden| overlap(hidden, span));
        return (hidden || !noted).then_some(hidden);
    }
    match decision.reason() {
        ReviewReason::NoPersonalData => Some(false),
        ReviewReason::PersonalData | ReviewReason::Fictitious => Some(true),
        ReviewReason::WrongLabel | ReviewReason::Unsuitable | ReviewReason::Unspecified => None,
    }
}

fn overlap(one: &Finding, other: &Finding) -> bool {
    one.start < other.end && other.start < one.end
}

/// The value that so many percent do not exceed, by nearest rank; 0 of none.
fn rank(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    rank.checked_sub(1).and_then(|at| sorted.get(at)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u32, end: u32) -> Finding {
        Finding { entity: "email".into(), start, end, score_ppm: 900_000 }
    }

    fn decision(verdict: ReviewVerdict, reason: ReviewReason, hidden: &[(u32, u32)]) -> Decision {
        let hidden = hidden.iter().map(|(start, end)| span(*start, *end)).collect();
        Decision { index: 0, verdict: verdict as i32, reason: reason as i32, redacted: Vec::new(), hidden }
    }

    #[test]
    fn a_decision_judges_each_span_or_none() {
        use ReviewReason::{Fictitious, NoPersonalData, PersonalData, Unsuitable};
        use ReviewVerdict::{Approve, Redact, Reject};
        let says =
            |verdict, reason, hidden: &[(u32, u32)]| judged(&decision(verdict, reason, hidden), &span(3, 9), false);
        assert_eq!(says(Approve, NoPersonalData, &[]), Some(false));
        assert_eq!(says(Approve, Fictitious, &[]), Some(true));
        assert_eq!(says(Reject, PersonalData, &[]), Some(true));
        assert_eq!(says(Reject, Unsuitable, &[]), None);
        assert_eq!(says(Redact, PersonalData, &[]), Some(true));
        assert_eq!(says(Redact, PersonalData, &[(8, 20)]), Some(true));
        assert_eq!(says(Redact, PersonalData, &[(9, 20)]), Some(false));
        let noted = |hidden| judged(&decision(Redact, PersonalData, &[hidden]), &span(3, 9), true);
        assert_eq!((noted((8, 20)), noted((9, 20))), (Some(true), None));
    }

    #[test]
    fn right_and_wrong_and_missed_are_counted_by_detector_and_entity() {
        let detector = Some(Tool { name: "pii".into(), version: "1".into() });
        let found = [ScanFindings { detector, spans: vec![span(3, 9), span(20, 25)], noted: vec![] }];
        let mut tally = Tally::default();
        let redacted = decision(ReviewVerdict::Redact, ReviewReason::PersonalData, &[(3, 9), (30, 33)]);
        let none = decision(ReviewVerdict::Approve, ReviewReason::NoPersonalData, &[]);
        tally.spans(&found, Some(&redacted));
        tally.spans(&found, None);
        tally.compare(&found, (&redacted, &none), ("rita", "omar"));
        let report = tally.report();
        let entity = &report.detectors[0].entities[0];
        assert_eq!((entity.found, entity.right, entity.wrong, entity.precision_ppm), (4, 1, 1, Some(500_000)));
        assert_eq!(report.missed, [EntityCount { entity: "email".into(), count: 1 }]);
        let agreement = report.detectors[0].agreement.unwrap();
        assert_eq!((agreement.compared, agreement.agreed), (2, 1));
        let pair = &report.pairs[0];
        assert_eq!((pair.one.as_str(), pair.other.as_str(), pair.agreement.unwrap().agreed), ("omar", "rita", 0));
    }

    #[test]
    fn ranks_are_the_nearest() {
        let ten: Vec<u64> = (1..=10).collect();
        assert_eq!((rank(&ten, 50), rank(&ten, 90), rank(&ten, 100)), (5, 9, 10));
        assert_eq!((rank(&[7], 50), rank(&[], 90)), (7, 0));
    }
}
