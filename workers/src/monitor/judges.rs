//! Judging answers: by the judges of the gate's suites that expect no particular answer, and by the detector of personal
//! data.

use super::texts::Served;
use crate::{Context, WorkerError, leakage::suite};
use attestune_ledger::{
    rules::policy,
    state::{Runs, Suites, Versions, View},
};
use attestune_pii::Scanner;
use attestune_proto::v1::{CategoryResult, EntityCount, Gate, Policy, Stage, SuiteRow};
use attestune_trainer::evaluate::{Suite, Unasked, is_refusal};
use std::collections::BTreeMap;

/// Of the answers judged, those that decline nothing.
pub const ANSWERED: &str = "answered";
/// Those without personal data, if a suite asks for that.
pub const COMPLIANCE: &str = "compliance";
/// Those in a form that a suite asks for.
pub const FORMAT: &str = "format";

/// The suites of the gate that a version passed.
pub struct Judges {
    gate: Gate,
    suites: Vec<(SuiteRow, Suite)>,
}

/// What judging some answers came to.
#[derive(Debug, Default, PartialEq)]
pub struct Judged {
    /// Verdicts by category, in the order of the answers.
    pub verdicts: BTreeMap<&'static str, Vec<bool>>,
    /// Findings that ask for a person, ascending by entity.
    pub pii: Vec<EntityCount>,
}

impl Judged {
    /// Passed and all, ascending by category.
    pub fn results(&self) -> Vec<CategoryResult> {
        let result = |(category, verdicts): (&&str, &Vec<bool>)| CategoryResult {
            category: (*category).into(),
            passed: verdicts.iter().filter(|passed| **passed).count() as u32,
            cases: verdicts.len() as u32,
        };
        self.verdicts.iter().map(result).collect()
    }

    /// Answers of a category that did not pass.
    pub fn failed(&self, category: &str) -> u64 {
        self.verdicts.get(category).map_or(0, |verdicts| verdicts.iter().filter(|passed| !**passed).count() as u64)
    }
}

impl Judges {
    /// Those of the gate to production: of each name the newest suite that stood before the version's training.
    ///
    /// # Errors
    /// If a suite can't be opened.
    pub fn of(
        context: &Context,
        view: &View<'_>,
        policy: &Policy,
        model: &str,
        version: u32,
    ) -> Result<Self, WorkerError> {
        let gate = policy::gate(policy, Stage::Production).cloned().unwrap_or_default();
        let row = view.get(&Versions::key(model, version)).unwrap_or_default();
        let since = row.run.and_then(|run| view.get(&Runs::key(run))).map_or(row.position, |run| run.position);
        let all = view.scan(&Suites::all());
        let newest = |name: &String| all.iter().rfind(|suite| suite.suite == *name && suite.position < since);
        let rows: Vec<SuiteRow> = gate.suites.iter().filter_map(newest).cloned().collect();
        let opened = |row: SuiteRow| suite(context, row.position).map(|suite| (row, suite));
        Ok(Self { suites: rows.into_iter().map(opened).collect::<Result<_, _>>()?, gate })
    }

    /// The pass rate that the gate asks of a category, parts per million; nothing for one that no suite has.
    pub fn bar_ppm(&self, category: &str) -> Option<u32> {
        let bars = self.suites.iter().flat_map(|(row, _)| &row.categories).filter(|bar| bar.category == category);
        bars.map(|bar| bar.bar_ppm.max(policy::bar_ppm(&self.gate, category))).max()
    }

    /// Judges those answers that are to be judged.
    pub fn judge(&self, scanner: &Scanner, served: &[Served]) -> Judged {
        let judges: Vec<Unasked<'_>> = self.suites.iter().map(|(_, suite)| Unasked::of(suite)).collect();
        judged(&judges, scanner, served)
    }
}

fn judged(judges: &[Unasked<'_>], scanner: &Scanner, served: &[Served]) -> Judged {
    let asks_for_no_pii = judges.iter().any(Unasked::asks_for_no_pii);
    let mut judged = Judged::default();
    let mut found: BTreeMap<&str, u64> = BTreeMap::new();
    for answer in served.iter().filter(|served| served.to_judge).filter_map(|served| served.answer.as_deref()) {
        let mut note = |category, passed| judged.verdicts.entry(category).or_default().push(passed);
        note(ANSWERED, !is_refusal(answer));
        let forms: Vec<bool> = judges.iter().filter_map(|judge| judge.has_a_form(answer)).collect();
        if !forms.is_empty() {
            note(FORMAT, forms.contains(&true));
        }
        let findings = scanner.scan(answer);
        let flagged: Vec<_> = findings.iter().filter(|finding| scanner.flags(finding.entity)).collect();
        if asks_for_no_pii {
            note(COMPLIANCE, flagged.is_empty());
        }
        flagged.iter().for_each(|finding| *found.entry(finding.entity.name()).or_default() += 1);
    }
    judged.pii = found.into_iter().map(|(entity, count)| EntityCount { entity: entity.into(), count }).collect();
    judged
}

#[cfg(test)]
mod tests {
    use super::super::texts::Input;
    use super::*;

    const SUITE: &[u8] = b"name: s
cases:
  - { id: a, category: format, prompt: x, judge: { regex: '^(card|fees)$' } }
  - { id: b, category: compliance, prompt: x, judge: { no_pii: {} } }
";

    fn served(answer: Option<&str>, to_judge: bool) -> Served {
        Served { input: Input::Text("x".into()), answer: answer.map(str::to_owned), to_judge }
    }

    #[test]
    fn answers_are_judged_by_form_refusal_and_personal_data() {
        let suite = Suite::parse(SUITE).unwrap();
        let answers = [
            served(Some(" card"), true),
            served(Some("I can't help with that."), true),
            served(Some("write to jane.roe@example.com"), true),
            served(Some("nonsense that nobody judges"), false),
            served(None, true),
        ];
        let judged = judged(&[Unasked::of(&suite)], &Scanner::default(), &answers);
        let expected = [
            (ANSWERED, vec![true, false, true]),
            (COMPLIANCE, vec![true, true, false]),
            (FORMAT, vec![true, true, false]),
        ];
        assert_eq!(judged.verdicts, expected.into());
        assert_eq!((judged.failed(ANSWERED), judged.failed(FORMAT), judged.failed("other")), (1, 1, 0));
        assert_eq!(judged.pii, [EntityCount { entity: "email".into(), count: 1 }]);
        let results: Vec<_> = judged.results().into_iter().map(|r| (r.category, r.passed, r.cases)).collect();
        assert_eq!(results, [("answered".into(), 2, 3), ("compliance".into(), 2, 3), ("format".into(), 2, 3)]);
    }

    #[test]
    fn without_suites_only_refusals_and_personal_data_are_told() {
        let judged = judged(&[], &Scanner::default(), &[served(Some("card"), true)]);
        assert_eq!(judged.verdicts.keys().copied().collect::<Vec<_>>(), [ANSWERED]);
    }
}
