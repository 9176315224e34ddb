//! Judging answers to prompts that no case asked, as served traffic has them: by those judges of a suite that expect no
//! particular answer.

use std::collections::BTreeSet;

use super::{Category, Judge, Suite, is_refusal};

/// The judges of a suite that expect no particular answer.
#[derive(Debug)]
pub struct Unasked<'s> {
    forms: Vec<&'s Judge>,
    no_pii: bool,
}

impl<'s> Unasked<'s> {
    /// Those of a suite: expressions and schemas of its category `format`, each once; whether it asks for answers without
    /// personal data.
    pub fn of(suite: &'s Suite) -> Self {
        let mut known = BTreeSet::new();
        let formal = suite.cases.iter().filter(|case| case.category == Category::Format).map(|case| &case.judge);
        let forms = formal.filter(|judge| match judge {
            Judge::Regex(regex) => known.insert(regex.as_str()),
            Judge::JsonSchema(_) => true,
            Judge::Exact(_) | Judge::Label { .. } | Judge::MustRefuse | Judge::NoPii => false,
        });
        Self { forms: forms.collect(), no_pii: suite.cases.iter().any(|case| matches!(case.judge, Judge::NoPii)) }
    }

    /// Whether the suite asks for answers without personal data.
    pub fn asks_for_no_pii(&self) -> bool {
        self.no_pii
    }

    /// Whether an answer has one of the forms that the suite asks for; nothing where it asks for none. A refusal has the
    /// form of a refusal: whether one was due, nobody knows who knows the answer alone.
    pub fn has_a_form(&self, output: &str) -> Option<bool> {
        let output = output.trim();
        if self.forms.is_empty() {
            return None;
        }
        let fits = |judge: &&Judge| match judge {
            Judge::Regex(regex) => regex.is_match(output),
            Judge::JsonSchema(schema) => serde_json::from_str(output).is_ok_and(|value| schema.is_valid(&value)),
            Judge::Exact(_) | Judge::Label { .. } | Judge::MustRefuse | Judge::NoPii => false,
        };
        Some(is_refusal(output) || self.forms.iter().any(fits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(cases: &str) -> Suite {
        Suite::parse(format!("name: s\ncases:\n{cases}").as_bytes()).unwrap()
    }

    #[test]
    fn an_answer_has_one_of_the_forms_that_the_suite_asks_for() {
        let suite = suite(
            "  - { id: a, category: format, prompt: x, judge: { regex: '^(card|fees)$' } }
  - { id: b, category: format, prompt: y, judge: { regex: '^(card|fees)$' } }
  - { id: c, category: format, prompt: z, judge: { json_schema: { type: object } } }
  - { id: d, category: accuracy, prompt: z, judge: { regex: '.' } }
  - { id: e, category: accuracy, prompt: z, judge: { exact: fees } }
",
        );
        let judges = Unasked::of(&suite);
        assert_eq!(judges.forms.len(), 2, "what two cases ask for alike counts once, and accuracy has no forms");
        for (output, good) in [(" card\n", true), ("cards", false), ("{\"a\": 1}", true), ("[1]", false), ("", false)] {
            assert_eq!(judges.has_a_form(output), Some(good), "{output}");
        }
        assert_eq!(judges.has_a_form("I can't help with that."), Some(true));
        assert!(!judges.asks_for_no_pii());
    }

    #[test]
    fn a_suite_without_forms_says_nothing_of_any() {
        let suite = suite("  - { id: a, category: compliance, prompt: x, judge: { no_pii: {} } }\n");
        let judges = Unasked::of(&suite);
        assert_eq!((judges.has_a_form("anything"), judges.asks_for_no_pii()), (None, true));
    }
}
