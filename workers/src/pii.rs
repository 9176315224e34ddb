//! The worker that scans examples for personal data.

mod statement;

use crate::{
    Context, Outcome, Progress, Worker, WorkerError,
    allow_list::AllowList,
    example::{ExampleText, scan_text},
    runner::each,
};
use attestune_pii::{DETECTOR_NAME, Scanner};
use attestune_proto::v1::{Coverage, ExampleFindings, ExamplesScanned, Finding, Kind, Tool, event::Body};
use prost::Message as _;

/// What the event may take, so that the entry with envelope and time stays below its limit.
const EVENT_BYTES_MAX: usize = 60_000;

/// Scans each batch of examples once, by one scanner.
pub struct Pii {
    scanner: Scanner,
    allow_list: AllowList,
    detector: Tool,
    looked_for: Vec<String>,
    coverage: Coverage,
    /// The version of the policy of which it was said that it asks for other detectors.
    told: Option<u32>,
}

impl Default for Pii {
    fn default() -> Self {
        Self::new(Scanner::default())
    }
}

impl Worker for Pii {
    fn name(&self) -> &'static str {
        "pii"
    }

    fn shares(&self) -> Option<&str> {
        Some(&self.detector.version)
    }

    fn react(&mut self, context: &Context) -> Result<Progress, WorkerError> {
        if !self.is_asked_for(context)? {
            return Ok(Progress::Idle);
        }
        self.allow_list.follow(context)?;
        let batches = context.batches_to_scan(&self.detector)?;
        each(context, Kind::ExamplesScanned, batches, |batch| *batch, |batch| self.scan(context, batch))
    }
}

impl Pii {
    /// A worker that scans by this scanner, under its version.
    pub fn new(scanner: Scanner) -> Self {
        let detector = Tool { name: DETECTOR_NAME.into(), version: scanner.version().to_owned() };
        let (looked_for, coverage) = statement::of(&scanner, &detector);
        Self { scanner, allow_list: AllowList::default(), detector, looked_for, coverage, told: None }
    }

    /// Whether the policy asks for this very detector. Another's word is never given in its place: what the policy asks
    /// for stays unscanned until a worker that has it has come.
    fn is_asked_for(&mut self, context: &Context) -> Result<bool, WorkerError> {
        let Some(row) = context.policy()? else { return Ok(false) };
        let (version, policy) = (row.version, row.policy.unwrap_or_default());
        if policy.detectors.contains(&self.detector) {
            return Ok(true);
        }
        if self.told.replace(version) != Some(version) {
            let wanted: Vec<String> =
                policy.detectors.iter().map(|tool| format!("{}@{}", tool.name, tool.version)).collect();
            tracing::warn!(
                "policy {version} asks for {}, and this worker has {}@{}: it scans nothing, and examples stay unchecked; \
                 run the worker that has it, or adopt a policy that names this one",
                wanted.join(", "),
                self.detector.name,
                self.detector.version
            );
        }
        Ok(false)
    }

    fn scan(&self, context: &Context, batch: u64) -> Result<Progress, WorkerError> {
        if !context.takes(batch) {
            return Ok(Progress::Idle);
        }
        let Some(part) = context.scan_part(&self.detector, batch)? else { return Ok(Progress::Idle) };
        if context.rests(batch, Kind::ExamplesScanned, &part) {
            return Ok(Progress::Idle);
        }
        let (_, texts) = context.batch(batch)?;
        let body = Body::ExamplesScanned(self.findings(batch, &texts));
        Ok(match context.act(batch, &part, body)? {
            Outcome::Accepted(_) => {
                context.share().finished(batch);
                Progress::Done
            }
            Outcome::Before(_) | Outcome::Refused(_) | Outcome::Resting => Progress::Idle,
        })
    }

    fn findings(&self, batch: u64, texts: &[ExampleText]) -> ExamplesScanned {
        let texts: Vec<String> = texts.iter().map(scan_text).collect();
        let found = self.scanner.scan_many(&texts).into_iter().map(|spans| {
            let span = |found: attestune_pii::Finding| Finding {
                entity: found.entity.name().into(),
                start: found.start,
                end: found.end,
                score_ppm: found.score_ppm,
            };
            spans.into_iter().map(span).collect::<Vec<_>>()
        });
        let findings = (0..).zip(found).map(|(index, spans)| ExampleFindings { index, spans });
        let mut body = ExamplesScanned {
            batch,
            detector: Some(self.detector.clone()),
            looked_for: self.looked_for.clone(),
            findings: findings.filter(|example| !example.spans.is_empty()).collect(),
            coverage: Some(Coverage {
                allowed: self.coverage.allowed + self.allow_list.count(),
                ..self.coverage.clone()
            }),
            languages: statement::languages(&texts),
        };
        self.allow_list.let_pass(&mut body.findings, &texts);
        // A batch is scanned by one event. Where it grows too large, the spans of the texts with the most of them give
        // way to one over all: what was found stays inside.
        for spans_max in [64, 16, 4, 1] {
            if body.encoded_len() <= EVENT_BYTES_MAX {
                break;
            }
            for example in body.findings.iter_mut().filter(|example| example.spans.len() > spans_max) {
                example.spans = vec![self.hull(&example.spans)];
            }
        }
        body
    }

    /// One span from the first's start to the last's end, named after the surest of them and as sure; one that asks for
    /// a review goes before one that is only noted.
    fn hull(&self, spans: &[Finding]) -> Finding {
        let asks = |span: &Finding| self.coverage.noted.binary_search(&span.entity).is_err();
        let surest = spans.iter().max_by_key(|span| (asks(span), span.score_ppm)).cloned().unwrap_or_default();
        Finding {
            start: spans.iter().map(|span| span.start).min().unwrap_or(0),
            end: spans.iter().map(|span| span.end).max().unwrap_or(0),
            ..surest
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_pii::Config;

    #[test]
    fn a_scan_of_texts_full_of_addresses_still_fits_an_event_and_covers_them_all() {
        let prompt: String = (0..300).map(|n| format!("user{n}@example.org in Leeds ")).collect();
        let texts = vec![ExampleText { prompt: prompt.clone(), answer: " x".into() }; 512];
        let body = Pii::default().findings(7, &texts);
        assert!(body.encoded_len() <= EVENT_BYTES_MAX, "{} bytes", body.encoded_len());
        assert_eq!(body.findings.len(), 512);
        let (first, last) = (&body.findings[0].spans[0], body.findings[0].spans.last().unwrap());
        assert_eq!(first.start, 0);
        assert!(last.end as usize >= prompt.trim_end_matches(" in Leeds ").chars().count());
        assert_eq!(first.entity, "email", "what asks for a review gives its name to the whole");
    }

    #[test]
    fn examples_without_findings_are_left_out_and_entities_ascend() {
        let texts = ["nothing here", "write to a@example.org"]
            .map(|prompt| ExampleText { prompt: prompt.into(), answer: " card".into() });
        let body = Pii::default().findings(7, &texts);
        assert_eq!(body.findings.iter().map(|f| f.index).collect::<Vec<_>>(), [1]);
        assert_eq!(body.findings[0].spans[0].entity, "email");
        assert!(body.looked_for.is_sorted());
    }

    #[test]
    fn a_scan_states_its_detectors_and_the_languages_of_the_texts_in_few_bytes() {
        let texts = [
            "Could you send me a list of all fees that apply to business customers?",
            "Könnten Sie mir bitte eine Liste aller Gebühren für Geschäftskunden schicken?",
        ];
        let texts = texts.map(|prompt| ExampleText { prompt: prompt.into(), answer: String::new() });
        let body = Pii::default().findings(7, &texts);
        let coverage = body.coverage.clone().unwrap();
        let names: Vec<_> = coverage.detectors.iter().filter_map(|part| part.detector.clone()).collect();
        assert_eq!(names[0], body.detector.clone().unwrap());
        assert_eq!(names[1].name, "tagger");
        let person = body.looked_for.iter().position(|entity| entity == "person").unwrap() as u32;
        assert!(coverage.detectors[1].entities.contains(&person) && !coverage.detectors[0].entities.contains(&person));
        assert!(coverage.skipped.is_empty() && coverage.noted.contains(&"location".to_owned()));
        let languages: Vec<_> = body.languages.iter().map(|share| (share.language.as_str(), share.texts)).collect();
        assert_eq!(languages, [("de", 1), ("en", 1)]);
        assert!(coverage.encoded_len() < 600, "{} bytes", coverage.encoded_len());
    }

    #[test]
    fn another_configuration_is_another_detector_and_says_what_it_leaves_out() {
        let config = Config { countries: Some(["GB".to_owned()].into()), ..Config::default() };
        let scanner = Scanner::patterns(&config).unwrap();
        let pii = Pii::new(scanner);
        assert_ne!(pii.detector, Pii::default().detector);
        let reason = |entity: &str| pii.coverage.skipped.iter().find(|s| s.entity == entity).map(|s| s.reason());
        assert_eq!(reason("es-nif"), Some(attestune_proto::v1::SkipReason::Country));
        assert_eq!(reason("person"), Some(attestune_proto::v1::SkipReason::NoDetector));
        assert_eq!(pii.coverage.countries, ["gb"]);
    }
}
