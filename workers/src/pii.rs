//! The worker that scans examples for personal data.

use crate::{
    Context, Outcome, Progress, Worker, WorkerError,
    allow_list::AllowList,
    example::{ExampleText, scan_text},
    runner::each,
};
use attestune_pii::{DETECTOR_NAME, Scanner, VERSION};
use attestune_proto::v1::{ExampleFindings, ExamplesScanned, Finding, Kind, Tool, event::Body};
use prost::Message as _;

/// What the event may take, so that the entry with envelope and time stays below its limit.
const EVENT_BYTES_MAX: usize = 60_000;

/// Scans each batch of examples once by this build's detector.
#[derive(Clone, Default)]
pub struct Pii {
    scanner: Scanner,
    allow_list: AllowList,
}

impl Worker for Pii {
    fn name(&self) -> &'static str {
        "pii"
    }

    fn shares(&self) -> Option<&'static str> {
        Some(VERSION)
    }

    fn react(&mut self, context: &Context) -> Result<Progress, WorkerError> {
        self.allow_list.follow(context)?;
        let batches = context.batches_to_scan(&detector())?;
        each(context, Kind::ExamplesScanned, batches, |batch| *batch, |batch| self.scan(context, batch))
    }
}

impl Pii {
    fn scan(&self, context: &Context, batch: u64) -> Result<Progress, WorkerError> {
        if !context.takes(batch) {
            return Ok(Progress::Idle);
        }
        let Some(part) = context.scan_part(&detector(), batch)? else { return Ok(Progress::Idle) };
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
        let mut looked_for: Vec<_> = self.scanner.coverage().entities.iter().map(|e| e.name().to_owned()).collect();
        looked_for.sort_unstable();
        let texts: Vec<String> = texts.iter().map(scan_text).collect();
        let findings = (0..).zip(&texts).map(|(index, text)| {
            let spans = self.scanner.scan(text).into_iter().map(|found| Finding {
                entity: found.entity.name().into(),
                start: found.start,
                end: found.end,
                score_ppm: found.score_ppm,
            });
            ExampleFindings { index, spans: spans.collect() }
        });
        let mut body = ExamplesScanned {
            batch,
            detector: Some(detector()),
            looked_for,
            findings: findings.filter(|example| !example.spans.is_empty()).collect(),
        };
        self.allow_list.let_pass(&mut body.findings, &texts);
        // A batch is scanned by one event. Where it grows too large, the spans of the texts with the most of them give
        // way to one over all: what was found stays inside.
        for spans_max in [64, 16, 4, 1] {
            if body.encoded_len() <= EVENT_BYTES_MAX {
                break;
            }
            for example in body.findings.iter_mut().filter(|example| example.spans.len() > spans_max) {
                example.spans = vec![hull(&example.spans)];
            }
        }
        body
    }
}

/// This build's detector, as events name it.
fn detector() -> Tool {
    Tool { name: DETECTOR_NAME.into(), version: VERSION.into() }
}

/// One span from the first's start to the last's end, as sure as the surest of them and named after it.
fn hull(spans: &[Finding]) -> Finding {
    let surest = spans.iter().max_by_key(|span| span.score_ppm).cloned().unwrap_or_default();
    Finding {
        start: spans.iter().map(|span| span.start).min().unwrap_or(0),
        end: spans.iter().map(|span| span.end).max().unwrap_or(0),
        ..surest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_of_texts_full_of_addresses_still_fits_an_event_and_covers_them_all() {
        let prompt: String = (0..300).map(|n| format!("user{n}@example.org ")).collect();
        let texts = vec![ExampleText { prompt: prompt.clone(), answer: " x".into() }; 512];
        let body = Pii::default().findings(7, &texts);
        assert!(body.encoded_len() <= EVENT_BYTES_MAX, "{} bytes", body.encoded_len());
        assert_eq!(body.findings.len(), 512);
        let (first, last) = (&body.findings[0].spans[0], body.findings[0].spans.last().unwrap());
        assert_eq!((first.start, last.end), (0, prompt.trim_end().chars().count() as u32));
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
}
