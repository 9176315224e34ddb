//! The worker that judges examples by their form, and compares suites with training sets.

use crate::{
    Context, Outcome, Progress, Worker, WorkerError,
    example::ExampleText,
    leakage,
    quality::{DuplicateIndex, Example, Issue, Limits, check},
    runner::each,
};
use attestune_ledger::state::{CollectionBatches, Examples};
use attestune_proto::v1::{ExampleRef, ExamplesChecked, ExamplesDerived, Kind, QualityIssue, Tool, event::Body};
use serde::Deserialize;
use std::collections::HashMap;

pub use crate::quality::{CHECKER_NAME, VERSION as CHECKER_VERSION};

/// This build's checker, as events name it.
pub(crate) fn tool() -> Tool {
    Tool { name: CHECKER_NAME.into(), version: CHECKER_VERSION.into() }
}

/// Checks each batch of examples once, and each pair of training set and suite that an evaluation brings together.
#[derive(Default)]
pub struct Quality {
    collections: HashMap<String, Earlier>,
}

/// The prompts of a collection's first batches, kept so that each is opened once.
#[derive(Default)]
struct Earlier {
    index: DuplicateIndex<(u64, u32)>,
    /// Positions of the batches in it, ascending.
    batches: Vec<u64>,
}

impl Worker for Quality {
    fn name(&self) -> &'static str {
        "quality"
    }

    fn shares(&self) -> Option<&str> {
        Some(CHECKER_VERSION)
    }

    fn react(&mut self, context: &Context) -> Result<Progress, WorkerError> {
        let batches = context.batches_to_check(&tool())?;
        let checked = each(context, Kind::ExamplesChecked, batches, |batch| *batch, |b| self.check(context, b))?;
        let pairs = context.leakage_to_check()?;
        let compared =
            each(context, Kind::LeakageChecked, pairs, |pair| pair.suite, |pair| leakage::compare(context, &pair))?;
        Ok(if checked == Progress::Done { checked } else { compared })
    }
}

impl Quality {
    fn check(&mut self, context: &Context, batch: u64) -> Result<Progress, WorkerError> {
        if !context.takes(batch) {
            return Ok(Progress::Idle);
        }
        let Some(part) = context.check_part(&tool(), batch)? else { return Ok(Progress::Idle) };
        if context.rests(batch, Kind::ExamplesChecked, &part) {
            return Ok(Progress::Idle);
        }
        let (derived, texts) = context.batch(batch)?;
        let bare = Bare::of(context, batch, &derived)?;
        let earlier = self.earlier(context, batch)?;
        let examples: Vec<_> = (0..)
            .zip(&texts)
            .map(|(index, text)| Example { key: (batch, index), prompt: bare.prompt(text), answer: &text.answer })
            .collect();
        let issues = check(&examples, &earlier.index, &Limits::default());
        let issues = (0..).zip(issues).flat_map(|(index, issues)| issues.into_iter().map(move |i| on_record(index, i)));
        let body = ExamplesChecked { batch, checker: Some(tool()), issues: issues.collect() };
        Ok(match context.act(batch, &part, Body::ExamplesChecked(body))? {
            Outcome::Accepted(_) => {
                context.share().finished(batch);
                Progress::Done
            }
            Outcome::Before(_) | Outcome::Refused(_) | Outcome::Resting => Progress::Idle,
        })
    }

    /// The collection's batches before this one, in order, and none after it.
    fn earlier(&mut self, context: &Context, batch: u64) -> Result<&Earlier, WorkerError> {
        let view = context.view();
        let (collection, before) = {
            let view = view.view();
            let row = view.get(&Examples::key(batch)).unwrap_or_default();
            let batches = view.scan(&CollectionBatches::under(row.collection.as_str()));
            let before: Vec<u64> = batches.iter().map(|b| b.position).filter(|position| *position < batch).collect();
            if let Some(failure) = view.failure() {
                return Err(attestune_ledger::query::QueryError::from(failure).into());
            }
            (row.collection, before)
        };
        let earlier = self.collections.entry(collection).or_default();
        if !before.starts_with(&earlier.batches) {
            *earlier = Earlier::default();
        }
        for position in before.iter().skip(earlier.batches.len()) {
            let (derived, texts) = context.batch(*position)?;
            let bare = Bare::of(context, *position, &derived)?;
            for (index, text) in (0..).zip(&texts) {
                earlier.index.insert((*position, index), bare.prompt(text));
            }
            earlier.batches.push(*position);
        }
        Ok(earlier)
    }
}

fn on_record(index: u32, issue: Issue<(u64, u32)>) -> QualityIssue {
    use attestune_proto::v1::Quality as Q;
    let (quality, of) = match issue {
        Issue::Empty => (Q::Empty, None),
        Issue::TooLong { .. } => (Q::TooLong, None),
        Issue::ExactDuplicateOf(of) => (Q::ExactDuplicate, Some(of)),
        Issue::NearDuplicateOf(of) => (Q::NearDuplicate, Some(of)),
    };
    QualityIssue { index, quality: quality.into(), of: of.map(|(batch, index)| ExampleRef { batch, index }) }
}

/// Takes the template's own words off a prompt: all examples share them.
#[derive(Debug, Default)]
pub(crate) struct Bare {
    before: String,
    after: String,
}

impl Bare {
    /// By the template that a batch names, if it names one.
    pub(crate) fn of(context: &Context, position: u64, derived: &ExamplesDerived) -> Result<Self, WorkerError> {
        #[derive(Deserialize)]
        struct Template {
            prompt: String,
        }
        let Some(sealed) = &derived.template else { return Ok(Self::default()) };
        let template = context.open("template", position, sealed)?;
        // A template that is none of ours has no words that we know of.
        Ok(serde_json::from_slice::<Template>(&template).map_or_else(|_| Self::default(), |t| Self::parse(&t.prompt)))
    }

    /// What stands before the first column and after the last. `{{` and `}}` are braces.
    fn parse(template: &str) -> Self {
        let marked = template.replace("{{", "\u{1}").replace("}}", "\u{2}");
        let plain = |part: &str| part.replace('\u{1}', "{").replace('\u{2}', "}");
        match (marked.find('{'), marked.rfind('}')) {
            (Some(first), Some(last)) if first < last => {
                Self { before: plain(&marked[..first]), after: plain(&marked[last + 1..]) }
            }
            _ => Self::default(),
        }
    }

    /// The prompt without them; whole where they don't stand in it, as after a redaction.
    pub(crate) fn prompt<'t>(&self, text: &'t ExampleText) -> &'t str {
        let inner = text.prompt.strip_prefix(self.before.as_str()).and_then(|p| p.strip_suffix(self.after.as_str()));
        inner.unwrap_or(&text.prompt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_words_are_taken_off_a_prompt_and_nothing_else() {
        let bare = Bare::parse("Ticket {{new}}: {text}\nIntent:");
        let text = |prompt: &str| ExampleText { prompt: prompt.into(), answer: String::new() };
        assert_eq!(bare.prompt(&text("Ticket {new}: my card is gone\nIntent:")), "my card is gone");
        assert_eq!(bare.prompt(&text("my card is gone")), "my card is gone");
        assert_eq!(Bare::parse("no column").prompt(&text("no column")), "no column");
    }
}
