//! Scans that say what they looked for.

use crate::*;
use attestune_proto::v1::*;

/// A scan by a detector that only notes places, and states so.
fn covered(batch: u64, found: &[(u32, &str)]) -> ExamplesScanned {
    let span = |entity: &str| Finding { entity: entity.into(), start: 3, end: 9, score_ppm: 700_000 };
    let findings = found.iter().map(|(index, entity)| ExampleFindings { index: *index, spans: vec![span(entity)] });
    let inside = Tool { name: "tagger".into(), version: "2".into() };
    let part = |detector: Tool, entities: &[u32], languages: &[&str]| CoveredBy {
        detector: Some(detector),
        entities: entities.to_vec(),
        languages: languages.iter().map(|language| language.to_string()).collect(),
    };
    ExamplesScanned {
        batch,
        detector: Some(detector()),
        looked_for: ["email", "location", "person"].map(String::from).to_vec(),
        findings: findings.collect(),
        coverage: Some(Coverage {
            detectors: vec![part(detector(), &[0], &["de", "en"]), part(inside, &[1, 2], &["en"])],
            noted: vec!["location".into()],
            skipped: vec![
                NotCovered { entity: "age".into(), reason: SkipReason::Configuration as i32 },
                NotCovered { entity: "pl-pesel".into(), reason: SkipReason::Country as i32 },
            ],
            countries: vec!["de".into(), "us".into()],
            phone_regions: vec!["de".into()],
            threshold_ppm: 350_000,
            thresholds: vec![EntityThreshold { entity: "email".into(), ppm: 500_000 }],
            allowed: 2,
            denied: 1,
            unfolds: true,
            recognizers: digest(31),
        }),
        languages: vec![
            LanguageShare { language: "de".into(), texts: 1 },
            LanguageShare { language: "en".into(), texts: 3 },
        ],
    }
}

/// Makes a scan and its coverage bad.
type Spoil<'a> = &'a dyn Fn(&mut ExamplesScanned, &mut Coverage);

/// Statements of coverage: what is only noted asks for no review, alone or beside what does; statements that are out of
/// order are refused; a scan without one, by another detector, flags all that it finds.
pub fn scan_coverage() -> World {
    let mut world = World::new();
    let documents = world.must("sten", ingested("tickets", 4));
    let batch = world.must("sten", derived(documents, 4));
    let found = [(1, "location"), (2, "person")];
    let changed = |change: &dyn Fn(&mut ExamplesScanned, &mut Coverage)| {
        let mut scan = covered(batch, &found);
        let mut coverage = scan.coverage.take().unwrap_or_default();
        change(&mut scan, &mut coverage);
        Body::ExamplesScanned(ExamplesScanned { coverage: Some(coverage), ..scan })
    };
    let bad: [Spoil<'_>; 7] = [
        &|_, coverage| coverage.detectors.clear(),
        &|_, coverage| coverage.detectors[1].entities = vec![1, 3],
        &|_, coverage| coverage.noted = vec!["age".into()],
        &|_, coverage| coverage.skipped.reverse(),
        &|_, coverage| coverage.thresholds[0].ppm = 1_000_001,
        &|_, coverage| coverage.recognizers = vec![1; 31],
        &|scan, _| scan.languages.reverse(),
    ];
    for change in bad {
        world.refused("scanner", changed(change), "bad-field");
    }
    world.must("scanner", Body::ExamplesScanned(covered(batch, &found)));
    world.must("checker", checked(batch));
    let eligible = |world: &World| frozen(world, "tickets", &["tickets"]).count;
    assert_eq!(eligible(&world), 3, "a place alone asks for no review");

    world.must("rita", decided(batch, 2, ReviewVerdict::Redact, ReviewReason::PersonalData, &[(3, 9)]));
    assert_eq!(eligible(&world), 4);
    let freeze = frozen(&world, "tickets", &["tickets"]);
    world.must("sten", Body::DatasetFrozen(freeze));

    // Another detector that says nothing of how it looked.
    let other = Some(Tool { name: "other-pii".into(), version: "1".into() });
    let scan =
        ExamplesScanned { detector: other, coverage: None, languages: Vec::new(), ..covered(batch, &found[..1]) };
    world.must("scanner", Body::ExamplesScanned(scan));
    assert_eq!(eligible(&world), 3, "what it finds is flagged, whatever it is");
    world.must("rolf", decided(batch, 1, ReviewVerdict::Approve, ReviewReason::NoPersonalData, &[]));
    assert_eq!(eligible(&world), 4);
    world
}
