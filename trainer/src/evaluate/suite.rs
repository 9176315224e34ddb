//! Suites: what is asked, and how answers are judged.

use std::collections::BTreeSet;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

const SUITE_BYTES_MAX: usize = 8 << 20;
const CASES_MAX: usize = 20_000;
const NEW_TOKENS_MAX: u32 = 1_024;
const PLACEHOLDER: &str = "{prompt}";

/// A parsed suite.
///
/// ```yaml
/// name: support-triage
/// prompt_template: "Ticket: {prompt}\nIntent:"   # absent: the prompt as it stands
/// max_new_tokens: 16                             # absent: 32
/// stop_at_newline: true                          # absent: true
/// cases:
///   - id: accuracy-001
///     category: accuracy                         # accuracy, safety, compliance or format
///     prompt: "someone took my purse with my card in it"
///     judge: { exact: card_lost }
///   - id: accuracy-002
///     category: accuracy
///     prompt: "where is the money my sister sent"
///     judge: { label: { expected: transfer_missing, labels: [card_lost, transfer_missing] } }
/// ```
/// The other judges are `{ regex: "^[a-z_]+$" }`, `{ json_schema: {type: object} }`,
/// `{ must_refuse: {} }` and `{ no_pii: {} }`. What each accepts is told at [`Judge`].
#[derive(Debug)]
pub struct Suite {
    /// The suite's name, `[a-z0-9._-]`, at most 64 characters.
    pub name: String,
    /// Tokens after which an answer is cut.
    pub max_new_tokens: u32,
    /// Whether a line's end ends an answer.
    pub stop_at_newline: bool,
    /// The cases, in the file's order.
    pub cases: Vec<Case>,
    template: Option<String>,
    digest: Digest,
}

/// What a case is about; a gate has a bar for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Does it answer rightly?
    Accuracy,
    /// Does it refuse what it must not do?
    Safety,
    /// Does it keep to rules such as on personal data?
    Compliance,
    /// Does it answer in the form that the caller can read?
    Format,
}

/// One question.
#[derive(Debug)]
pub struct Case {
    /// Unique in its suite, `[a-z0-9._-]`, at most 64 characters.
    pub id: String,
    /// What it is about.
    pub category: Category,
    /// The question, before it goes into the suite's template.
    pub prompt: String,
    /// How its answer is judged.
    pub judge: Judge,
}

/// How an answer is judged. White space around the answer never counts.
#[derive(Debug)]
pub enum Judge {
    /// The answer is this text.
    Exact(String),
    /// Of these labels the expected one is the likeliest answer. A space is put before each, as
    /// answers begin with one; the likeliest label is the output.
    Label {
        /// The right label.
        expected: String,
        /// All labels to choose from.
        labels: Vec<String>,
    },
    /// The expression (syntax of the crate `regex`) matches somewhere in the answer.
    Regex(Regex),
    /// The answer is JSON and valid under this schema. References to other documents aren't followed.
    JsonSchema(Box<jsonschema::Validator>),
    /// The answer begins with a refusal: "I can't help with that.", "Sorry, I'm not able to …".
    /// What follows the refusal isn't looked at.
    MustRefuse,
    /// `attestune-pii` finds nothing in the answer that a scan would flag, by its default configuration.
    NoPii,
}

/// Why a suite can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The file is larger than any suite.
    #[error("the suite has {bytes} bytes; at most {max} are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Not YAML, or not the fields of a suite. The message names the line and column.
    #[error("the suite can't be read: {0}")]
    Yaml(#[from] serde_yaml_ng::Error),
    /// Something about the suite as a whole.
    #[error("the suite's {field} {reason}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Something about a case.
    #[error("case `{id}` (number {number}): {reason}")]
    Case {
        /// The case's id.
        id: String,
        /// Its place in the file, counted from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SuiteFile {
    name: String,
    prompt_template: Option<String>,
    max_new_tokens: Option<u32>,
    stop_at_newline: Option<bool>,
    cases: Vec<CaseFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    id: String,
    category: Category,
    prompt: String,
    judge: JudgeFile,
}

/// Exactly one of these is there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JudgeFile {
    exact: Option<String>,
    label: Option<LabelFile>,
    regex: Option<String>,
    json_schema: Option<serde_json::Value>,
    must_refuse: Option<NoSettings>,
    no_pii: Option<NoSettings>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelFile {
    expected: String,
    labels: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

impl Suite {
    /// Reads a suite.
    ///
    /// # Errors
    /// For an unknown field, category or judge, a duplicate id, an expression or schema that
    /// doesn't compile: with the line or the case's id.
    pub fn parse(bytes: &[u8]) -> Result<Self, SuiteError> {
        if bytes.len() > SUITE_BYTES_MAX {
            return Err(SuiteError::TooLarge { bytes: bytes.len(), max: SUITE_BYTES_MAX });
        }
        let file: SuiteFile = serde_yaml_ng::from_slice(bytes)?;
        let field = |field, reason: String| Err(SuiteError::Field { field, reason });
        if !is_identifier(&file.name) {
            return field("name", format!("is `{}`; use 1 to 64 of a-z 0-9 . _ -", file.name));
        }
        if file.prompt_template.as_ref().is_some_and(|template| template.matches(PLACEHOLDER).count() != 1) {
            return field("prompt_template", format!("must hold {PLACEHOLDER} exactly once"));
        }
        let max_new_tokens = file.max_new_tokens.unwrap_or(32);
        if !(1..=NEW_TOKENS_MAX).contains(&max_new_tokens) {
            return field("max_new_tokens", format!("is {max_new_tokens}; 1 to {NEW_TOKENS_MAX} is possible"));
        }
        if file.cases.is_empty() || file.cases.len() > CASES_MAX {
            return field("cases", format!("are {}; 1 to {CASES_MAX} are possible", file.cases.len()));
        }

        let mut ids = BTreeSet::new();
        let mut cases = Vec::with_capacity(file.cases.len());
        for (index, case) in file.cases.into_iter().enumerate() {
            let id = case.id.clone();
            let wrong = |reason| SuiteError::Case { id, number: index + 1, reason };
            let parsed = parse_case(case, &mut ids).map_err(wrong)?;
            cases.push(parsed);
        }
        Ok(Self {
            name: file.name,
            max_new_tokens,
            stop_at_newline: file.stop_at_newline.unwrap_or(true),
            cases,
            template: file.prompt_template,
            digest: Digest::of(bytes),
        })
    }

    /// The SHA-256 of the bytes that were parsed.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What the model is shown for `case`.
    pub fn prompt(&self, case: &Case) -> String {
        match &self.template {
            Some(template) => template.replacen(PLACEHOLDER, &case.prompt, 1),
            None => case.prompt.clone(),
        }
    }
}

fn parse_case(case: CaseFile, ids: &mut BTreeSet<String>) -> Result<Case, String> {
    if !is_identifier(&case.id) {
        return Err("an id is 1 to 64 of a-z 0-9 . _ -".to_owned());
    }
    if !ids.insert(case.id.clone()) {
        return Err("another case has this id".to_owned());
    }
    if case.prompt.trim().is_empty() {
        return Err("its prompt is empty".to_owned());
    }
    let judge = case.judge;
    let mut judges = Vec::new();
    judges.extend(judge.exact.map(|text| Ok(Judge::Exact(text.trim().to_owned()))));
    judges.extend(judge.label.map(parse_label));
    judges.extend(judge.regex.map(|text| match Regex::new(&text) {
        Ok(regex) => Ok(Judge::Regex(regex)),
        Err(e) => Err(format!("its regex doesn't compile: {e}")),
    }));
    judges.extend(judge.json_schema.map(|schema| match jsonschema::validator_for(&schema) {
        Ok(validator) => Ok(Judge::JsonSchema(Box::new(validator))),
        Err(e) => Err(format!("its json_schema is none: {e}")),
    }));
    judges.extend(judge.must_refuse.map(|_| Ok(Judge::MustRefuse)));
    judges.extend(judge.no_pii.map(|_| Ok(Judge::NoPii)));
    if judges.len() != 1 {
        return Err(format!(
            "it has {} judges; give exactly one of exact, label, regex, json_schema, must_refuse, no_pii",
            judges.len()
        ));
    }
    Ok(Case { id: case.id, category: case.category, prompt: case.prompt, judge: judges.remove(0)? })
}

fn parse_label(file: LabelFile) -> Result<Judge, String> {
    let distinct: BTreeSet<&str> = file.labels.iter().map(|label| label.trim()).collect();
    if distinct.len() != file.labels.len() || distinct.contains("") {
        return Err("its labels must be different from each other and not empty".to_owned());
    }
    if file.labels.len() < 2 || file.labels.len() > 256 {
        return Err(format!("it has {} labels; 2 to 256 are possible", file.labels.len()));
    }
    let labels: Vec<String> = file.labels.iter().map(|label| label.trim().to_owned()).collect();
    let expected = file.expected.trim().to_owned();
    match labels.contains(&expected) {
        true => Ok(Judge::Label { expected, labels }),
        false => Err(format!("the expected label `{expected}` isn't among its labels")),
    }
}

fn is_identifier(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(judge: &str) -> String {
        let text = format!("name: s\ncases:\n  - id: one\n    category: format\n    prompt: p\n    judge: {judge}\n");
        Suite::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_suite_with_every_judge_is_read() {
        let suite = Suite::parse(
            br#"
name: triage
prompt_template: "Ticket: {prompt}\nIntent:"
max_new_tokens: 8
cases:
  - { id: a, category: accuracy, prompt: x, judge: { exact: " card_lost " } }
  - { id: b, category: accuracy, prompt: x, judge: { label: { expected: yes it is, labels: [yes it is, nope] } } }
  - { id: c, category: format, prompt: x, judge: { regex: "^[a-z]+$" } }
  - { id: d, category: format, prompt: x, judge: { json_schema: { type: object } } }
  - { id: e, category: safety, prompt: "a {prompt}", judge: { must_refuse: {} } }
  - { id: f, category: compliance, prompt: x, judge: { no_pii: {} } }
"#,
        )
        .unwrap();
        assert_eq!(suite.cases.len(), 6);
        assert_eq!(suite.prompt(&suite.cases[4]), "Ticket: a {prompt}\nIntent:");
        assert!(matches!(&suite.cases[0].judge, Judge::Exact(text) if text == "card_lost"));
        assert!(suite.stop_at_newline);
    }

    #[test]
    fn an_unknown_judge_or_field_is_refused_with_its_line() {
        assert!(error("{ exactly: x }").contains("line 6"), "{}", error("{ exactly: x }"));
        assert!(error("{ exact: x }\n    weight: 2").contains("weight"));
        assert!(error("{ no_pii: { threshold: 1 } }").contains("threshold"));
    }

    #[test]
    fn a_case_with_no_judge_or_two_is_refused_by_its_id() {
        assert!(error("{}").starts_with("case `one` (number 1): it has 0 judges"));
        assert!(error("{ exact: x, regex: y }").contains("it has 2 judges"));
    }

    #[test]
    fn a_bad_expression_schema_or_label_is_refused_by_the_cases_id() {
        assert!(error("{ regex: '(' }").starts_with("case `one` (number 1): its regex"));
        assert!(error("{ json_schema: { type: 7 } }").starts_with("case `one` (number 1): its json_schema"));
        assert!(error("{ json_schema: { $ref: 'https://example.com/x.json' } }").contains("json_schema"));
        assert!(error("{ label: { expected: c, labels: [a, b] } }").contains("`c` isn't among"));
        assert!(error("{ label: { expected: a, labels: [a, a] } }").contains("different"));
    }

    #[test]
    fn a_duplicate_id_names_the_second_case() {
        let case = "  - { id: a, category: format, prompt: x, judge: { exact: x } }\n";
        let text = format!("name: s\ncases:\n{case}{case}");
        let error = Suite::parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, "case `a` (number 2): another case has this id");
    }

    #[test]
    fn a_template_without_a_place_for_the_prompt_is_refused() {
        let case = "  - { id: a, category: format, prompt: x, judge: { exact: x } }\n";
        for template in ["Intent:", "{prompt}{prompt}"] {
            let text = format!("name: s\nprompt_template: \"{template}\"\ncases:\n{case}");
            let error = Suite::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("the suite's prompt_template"), "{error}");
        }
    }

    #[test]
    fn bytes_that_are_no_suite_are_an_error() {
        for bytes in [&b""[..], b"\xff\xfe", b"[]", b"name: s\ncases: []", b"name: S p\ncases: []"] {
            assert!(Suite::parse(bytes).is_err());
        }
    }
}
