//! The allow list of the policy in force: texts that are no findings where a span is exactly one of them. It lies in the
//! vault as a JSON list, and only a new policy changes it.

use crate::{Context, WorkerError};
use attestune_ledger::query::{self, QueryError};
use attestune_proto::v1::{ExampleFindings, Finding, Sealed};
use std::collections::BTreeSet;

/// The texts of an allow list as it lies in the vault; none if it is something else.
pub fn parse(content: &[u8]) -> Option<BTreeSet<String>> {
    serde_json::from_slice(content).ok()
}

/// An allow list as it lies in the vault.
pub fn write(texts: &BTreeSet<String>) -> Vec<u8> {
    serde_json::json!(texts).to_string().into_bytes()
}

/// The list that a worker goes by.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllowList {
    /// Where the policy says that it lies.
    named: Option<Sealed>,
    texts: BTreeSet<String>,
}

impl AllowList {
    /// Takes in the list of the policy in force, if it is another one now.
    pub(crate) fn follow(&mut self, context: &Context) -> Result<(), WorkerError> {
        let row = match query::policy(&context.view(), 0) {
            Err(QueryError::NotFound { .. }) => return Ok(()), // there is no ledger yet
            row => row?,
        };
        let named = row.policy.and_then(|policy| policy.review).and_then(|rules| rules.allow_list);
        if named == self.named {
            return Ok(());
        }
        let what = "allow list";
        let unfit =
            || WorkerError::Content { what, position: row.position, why: "it is not a JSON list of texts".into() };
        let texts = match &named {
            None => BTreeSet::new(),
            Some(sealed) => parse(&context.open(what, row.position, sealed)?).ok_or_else(unfit)?,
        };
        *self = Self { named, texts };
        Ok(())
    }

    /// How many texts may pass.
    pub(crate) fn count(&self) -> u32 {
        self.texts.len() as u32
    }

    /// Takes the spans away that may pass. `texts` are those that were scanned, by index.
    pub(crate) fn let_pass<T: AsRef<str>>(&self, findings: &mut Vec<ExampleFindings>, texts: &[T]) {
        if self.texts.is_empty() {
            return;
        }
        for example in findings.iter_mut() {
            let text: Vec<char> = texts.get(example.index as usize).map_or("", T::as_ref).chars().collect();
            example.spans.retain(|span| !self.has(&text, span));
        }
        findings.retain(|example| !example.spans.is_empty());
    }

    fn has(&self, text: &[char], span: &Finding) -> bool {
        let span = text.get(span.start as usize..span.end as usize);
        span.is_some_and(|span| self.texts.contains(&span.iter().collect::<String>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_back_and_anything_else_is_none() {
        let texts: BTreeSet<String> = ["hotline@meridian.example", "0800 \"1\"\n"].map(str::to_owned).into();
        assert_eq!(parse(&write(&texts)), Some(texts));
        for wrong in [&b"{}"[..], b"[1]", b"", b"\xff"] {
            assert_eq!(parse(wrong), None);
        }
    }

    #[test]
    fn only_a_span_that_is_exactly_a_listed_text_passes() {
        let span = |start, end| Finding { start, end, ..Default::default() };
        let of = |index, spans: &[Finding]| ExampleFindings { index, spans: spans.to_vec() };
        let texts = ["é a@b.example, c", "xa@b.example"];
        let list = AllowList { named: None, texts: ["a@b.example".to_owned()].into() };
        let mut findings = vec![of(0, &[span(2, 13), span(15, 16)]), of(1, &[span(1, 12)])];
        list.let_pass(&mut findings, &texts);
        assert_eq!(findings, [of(0, &[span(15, 16)])]);
        let mut findings = vec![of(1, &[span(0, 12), span(1, 99)]), of(7, &[span(0, 1)])];
        list.let_pass(&mut findings, &texts);
        assert_eq!(findings.len(), 2, "nothing of it is on the list");
    }
}
