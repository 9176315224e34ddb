//! What a scan says of itself: whether the statement is well formed, and which findings ask for a review by it.

use super::check;
use crate::refusal::Refusal;
use attestune_proto::v1::{ExamplesScanned, Finding, SkipReason};

const PPM_MAX: u32 = 1_000_000;
/// Most detectors in one scan.
const DETECTORS_MAX: usize = 16;

/// Whether a finding asks for a person's decision: not if the scan says that its entity is only noted.
pub fn flags(scan: &ExamplesScanned, finding: &Finding) -> bool {
    let noted = scan.coverage.as_ref().map_or(&[][..], |coverage| &coverage.noted);
    noted.binary_search(&finding.entity).is_err()
}

/// The statement holds identifiers in order, known reasons and numbers in range. A scan without one is good, too: the
/// detector says nothing of how it looked.
pub fn check(scan: &ExamplesScanned) -> Result<(), Refusal> {
    let bad = |field: &'static str, rule: &'static str| Err(Refusal::BadField { field, rule });
    ids("languages", scan.languages.iter().map(|share| &share.language))?;
    let Some(coverage) = &scan.coverage else { return Ok(()) };
    if coverage.detectors.is_empty() || coverage.detectors.len() > DETECTORS_MAX {
        return bad("detectors", "must name 1 to 16 detectors");
    }
    for part in &coverage.detectors {
        super::data::tool("detectors", part.detector.as_ref())?;
        check::ascending("detectors", part.entities.iter())?;
        if part.entities.iter().any(|place| *place as usize >= scan.looked_for.len()) {
            return bad("detectors", "must name entities by their places in looked_for");
        }
        ids("detectors", part.languages.iter())?;
    }
    ids("noted", coverage.noted.iter())?;
    if coverage.noted.iter().any(|entity| scan.looked_for.binary_search(entity).is_err()) {
        return bad("noted", "must be among what was looked for");
    }
    ids("skipped", coverage.skipped.iter().map(|skipped| &skipped.entity))?;
    for skipped in &coverage.skipped {
        check::known::<SkipReason>("skipped", skipped.reason)?;
    }
    ids("countries", coverage.countries.iter())?;
    ids("phone_regions", coverage.phone_regions.iter())?;
    ids("thresholds", coverage.thresholds.iter().map(|threshold| &threshold.entity))?;
    if coverage.thresholds.iter().map(|t| t.ppm).chain([coverage.threshold_ppm]).any(|ppm| ppm > PPM_MAX) {
        return bad("thresholds", "must be at most 1,000,000 parts per million");
    }
    if !matches!(coverage.recognizers.len(), 0 | 32) {
        return bad("recognizers", "must be 32 bytes or absent");
    }
    Ok(())
}

/// Identifiers, ascending, none twice.
fn ids<'a>(field: &'static str, values: impl Iterator<Item = &'a String> + Clone) -> Result<(), Refusal> {
    values.clone().try_for_each(|value| check::id(field, value))?;
    check::ascending(field, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_proto::v1::{Coverage, CoveredBy, EntityThreshold, LanguageShare, NotCovered, Tool};

    fn sound() -> ExamplesScanned {
        let detector = Tool { name: "attestune-pii".into(), version: "3".into() };
        ExamplesScanned {
            looked_for: vec!["email".into(), "location".into(), "person".into()],
            coverage: Some(Coverage {
                detectors: vec![CoveredBy {
                    detector: Some(detector),
                    entities: vec![0, 2],
                    languages: vec!["de".into(), "en".into()],
                }],
                noted: vec!["location".into()],
                skipped: vec![NotCovered { entity: "age".into(), reason: SkipReason::NoDetector as i32 }],
                countries: vec!["de".into()],
                phone_regions: vec!["gb".into()],
                threshold_ppm: 350_000,
                thresholds: vec![EntityThreshold { entity: "email".into(), ppm: 1_000_000 }],
                recognizers: vec![7; 32],
                ..Default::default()
            }),
            languages: vec![LanguageShare { language: "en".into(), texts: 3 }],
            ..Default::default()
        }
    }

    fn refused(change: impl FnOnce(&mut ExamplesScanned, &mut Coverage)) -> Refusal {
        let mut scan = sound();
        let mut coverage = scan.coverage.take().unwrap_or_default();
        change(&mut scan, &mut coverage);
        scan.coverage = Some(coverage);
        check(&scan).expect_err("it is refused")
    }

    fn field(refusal: &Refusal) -> &'static str {
        match refusal {
            Refusal::BadField { field, .. } | Refusal::BadIdentifier { field } => field,
            other => panic!("another refusal: {other:?}"),
        }
    }

    #[test]
    fn a_sound_statement_and_none_at_all_are_good() {
        assert_eq!(check(&sound()), Ok(()));
        assert_eq!(check(&ExamplesScanned::default()), Ok(()));
    }

    #[test]
    fn what_is_not_well_formed_is_refused_by_its_field() {
        assert_eq!(field(&refused(|_, c| c.detectors.clear())), "detectors");
        assert_eq!(field(&refused(|_, c| c.detectors[0].detector = None)), "detectors");
        assert_eq!(field(&refused(|_, c| c.detectors[0].entities = vec![3])), "detectors");
        assert_eq!(field(&refused(|_, c| c.detectors[0].entities = vec![1, 0])), "detectors");
        assert_eq!(field(&refused(|_, c| c.detectors[0].languages = vec!["en".into(), "de".into()])), "detectors");
        assert_eq!(field(&refused(|_, c| c.noted = vec!["street-address".into()])), "noted");
        assert_eq!(field(&refused(|_, c| c.skipped[0].entity = "Age".into())), "skipped");
        assert_eq!(field(&refused(|_, c| c.skipped[0].reason = 0)), "skipped");
        assert_eq!(field(&refused(|_, c| c.countries = vec!["DE".into()])), "countries");
        assert_eq!(field(&refused(|_, c| c.phone_regions = vec!["us".into(), "gb".into()])), "phone_regions");
        assert_eq!(field(&refused(|_, c| c.thresholds[0].ppm = 1_000_001)), "thresholds");
        assert_eq!(field(&refused(|_, c| c.threshold_ppm = 1_000_001)), "thresholds");
        assert_eq!(field(&refused(|_, c| c.recognizers = vec![7; 31])), "recognizers");
        assert_eq!(field(&refused(|s, _| s.languages[0].language = "English".into())), "languages");
    }

    #[test]
    fn what_is_only_noted_asks_for_no_review() {
        let finding = |entity: &str| Finding { entity: entity.into(), ..Default::default() };
        assert!(flags(&sound(), &finding("person")));
        assert!(!flags(&sound(), &finding("location")));
        assert!(flags(&ExamplesScanned::default(), &finding("location")), "without a statement everything counts");
    }
}
