//! The text of an example, as it lies in the vault: JSON `{"prompt": "…", "answer": "…"}`.

use attestune_pii::Entity;
use attestune_proto::v1::Finding;
use serde::{Deserialize, Serialize};

/// What the model is shown and what it shall answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleText {
    /// What the model is shown.
    pub prompt: String,
    /// What it shall answer, with the space before it if there is one.
    pub answer: String,
}

/// The text that is scanned and in which findings count: prompt, a newline, answer.
pub fn scan_text(example: &ExampleText) -> String {
    format!("{}\n{}", example.prompt, example.answer)
}

/// The example with each finding's span in [`scan_text`] replaced by its entity's tag, such as `<EMAIL>`. A span across
/// the boundary is cut out of both fields; overlapping spans are replaced by the tag of the one that starts first; what
/// lies past the end is ignored.
pub fn redact(example: &ExampleText, findings: &[Finding]) -> ExampleText {
    let answer_at = example.prompt.chars().count() as u32 + 1;
    ExampleText {
        prompt: redact_field(&example.prompt, 0, findings),
        answer: redact_field(&example.answer, answer_at, findings),
    }
}

/// One field, which begins at code point `offset` of the text that was scanned.
fn redact_field(text: &str, offset: u32, findings: &[Finding]) -> String {
    let length = text.chars().count() as u32;
    let within = findings.iter().filter_map(|finding| {
        let start = finding.start.saturating_sub(offset);
        let end = finding.end.saturating_sub(offset).min(length);
        (start < end).then_some((start, end, finding.entity.as_str()))
    });
    let mut spans: Vec<_> = within.collect();
    spans.sort_unstable();
    let mut out = String::with_capacity(text.len());
    let (mut at, mut hidden_to) = (0, 0);
    let mut spans = spans.into_iter().peekable();
    for char in text.chars() {
        while let Some((_, end, entity)) = spans.next_if(|(start, ..)| *start <= at) {
            if at >= hidden_to {
                out.push_str(&tag(entity));
            }
            hidden_to = end.max(hidden_to);
        }
        if at >= hidden_to {
            out.push(char);
        }
        at += 1;
    }
    out
}

/// The tag of an entity; one of another detector is named in the same way.
fn tag(entity: &str) -> String {
    let plain = || format!("<{}>", entity.to_ascii_uppercase().replace('-', "_"));
    entity.parse::<Entity>().map_or_else(|_| plain(), Entity::tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(entity: &str, start: u32, end: u32) -> Finding {
        Finding { entity: entity.into(), start, end, score_ppm: 900_000 }
    }

    fn example(prompt: &str, answer: &str) -> ExampleText {
        ExampleText { prompt: prompt.into(), answer: answer.into() }
    }

    #[test]
    fn what_the_scanner_finds_is_cut_out_of_the_field_it_stands_in() {
        let text = example("é: zoe@example.org", " write to max@example.org");
        let found = attestune_pii::Scanner::default().scan(&scan_text(&text));
        let found: Vec<_> = found.iter().map(|f| finding(f.entity.name(), f.start, f.end)).collect();
        assert_eq!(redact(&text, &found), example("é: <EMAIL>", " write to <EMAIL>"));
    }

    #[test]
    fn a_span_across_the_boundary_is_cut_out_of_both_fields() {
        let text = example("abcd", "efgh");
        assert_eq!(redact(&text, &[finding("phone", 2, 7)]), example("ab<PHONE>", "<PHONE>gh"));
    }

    #[test]
    fn overlapping_spans_are_cut_out_once_and_spans_past_the_end_are_ignored() {
        let text = example("0123456789", "x");
        let found = [finding("url", 4, 8), finding("email", 2, 5), finding("date", 40, 50), finding("iban", 8, 9)];
        assert_eq!(redact(&text, &found), example("01<EMAIL><IBAN>9", "x"));
    }

    #[test]
    fn other_fields_than_prompt_and_answer_are_refused() {
        assert!(serde_json::from_str::<ExampleText>(r#"{"prompt":"a","answer":"b","name":"c"}"#).is_err());
    }
}
