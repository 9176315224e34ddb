//! What a slice's answer says, held against the entries that the slice discloses: the events, which their actors signed,
//! and the rows that these wrote, which the tree of verdicts binds.

use super::manifest::Manifest;
use super::slice::Entries;
use crate::draft::kind;
use crate::query::{category_verdict, hurdles, signers, summary};
use crate::state::{
    Actors, Bases, Datasets, Evaluations, Keys, Leakages, Models, Policies, Promotions, RowKey, Runs, Suites, Versions,
};
use attestune_proto::v1::{
    ActorRow, ApprovalRecord, EvaluationProvenance, Event, HistoryEvent, KeyRow, ModelRow, Policy, PromotionRow,
    Verdict, WhyInForceResponse, event::Body,
};
use prost::Message;
use std::collections::BTreeSet;

/// Something that the answer says, for people, and whether the entries say it, too.
type Fact = (String, bool);

/// Everything that the answer says and an entry must say, too.
pub fn facts(manifest: &Manifest, entries: &Entries, answer: &WhyInForceResponse, policy: &Policy) -> Vec<Fact> {
    let held = Held { entries, at: manifest.at };
    let mut facts = held.policy(answer, policy);
    facts.push(("that its parts belong together".into(), belong_together(&manifest.model, answer)));
    facts.extend(answer.halt.iter().chain(&answer.rollback).map(|said| held.said(said)));
    let named = answer.actors.iter().map(|row| row.actor.clone());
    facts.push(("the list of actors".into(), named.eq(signers(answer))));
    facts.push(held.in_force(&manifest.model, answer));
    if let Some(promotion) = &answer.promotion {
        facts.extend(held.promotion(promotion, answer));
    }
    facts.extend(answer.evaluations.iter().map(|evaluation| held.evaluation(evaluation)));
    facts.extend(held.sources(answer));
    facts.extend(
        answer.actors.iter().map(|row| held.row(&Actors::key(&row.actor), row, format!("actor {}", row.actor))),
    );
    facts
}

/// Whether the answer's rows name one another: each may stand on the log, and yet be of another version.
fn belong_together(model: &str, answer: &WhyInForceResponse) -> bool {
    let Some(version) = &answer.in_force else {
        // Where none is in force nothing is said of one.
        let nothing = WhyInForceResponse {
            as_of_position: answer.as_of_position,
            as_of_ms: answer.as_of_ms,
            policy_version: answer.policy_version,
            policy: answer.policy.clone(),
            halt: answer.halt.clone(),
            halted_version: answer.halted_version,
            ..Default::default()
        };
        return answer.policy.is_some() && *answer == nothing;
    };
    let Some(promotion) = &answer.promotion else { return false };
    let of_it = |other: &str, number: u32| other == model && number == answer.version;
    let dataset = answer.dataset.as_ref().map(|dataset| dataset.position);
    let judged = answer.evaluations.iter().all(|evaluation| match (&evaluation.evaluation, &evaluation.suite) {
        (Some(row), Some(suite)) => of_it(&row.model, row.version) && row.suite == suite.position,
        _ => false,
    });
    let by_promotion = promotion.decided_at == answer.since_position;
    let rollback = (!by_promotion).then_some(answer.since_position);
    of_it(&version.model, version.version)
        && of_it(&promotion.model, promotion.version)
        && promotion.position == version.production_promotion
        && answer.rollback.as_ref().map(|event| event.position) == rollback
        && answer.run.as_ref().map(|run| run.position) == version.run
        && answer.run.as_ref().map(|run| run.dataset) == dataset
        && answer.base.as_ref().is_some_and(|base| base.position == version.base)
        && answer.leakage.iter().all(|found| Some(found.dataset) == dataset)
        && answer.policy.is_some()
        && judged
}

struct Held<'a> {
    entries: &'a Entries,
    /// The moment asked about.
    at: u64,
}

impl Held<'_> {
    /// An event that was accepted.
    fn event(&self, at: u64) -> Option<&Event> {
        self.entries.get(&at)?.accepted()
    }

    fn body(&self, at: u64) -> Option<&Body> {
        self.event(at)?.body.as_ref()
    }

    /// A row as it was at the moment asked about, by the entries that are here.
    fn latest<R: Message + Default>(&self, key: &RowKey<R>) -> Option<R> {
        let mut entries = self.entries.range(..=self.at).rev();
        entries.find_map(|(_, entry)| entry.wrote(key.as_bytes())).and_then(|row| R::decode(row).ok())
    }

    fn row<R: Message + Default + PartialEq>(&self, key: &RowKey<R>, row: &R, what: String) -> Fact {
        (what, self.latest(key).as_ref() == Some(row))
    }

    /// An event as history tells it.
    fn said(&self, said: &HistoryEvent) -> Fact {
        let again = self.event(said.position).and_then(|event| {
            let body = event.body.as_ref()?;
            Some(HistoryEvent {
                position: said.position,
                time_ms: said.time_ms, // the log's clock, which no entry tells
                verdict: Verdict::Accepted as i32,
                refusal: None,
                kind: kind(body) as i32,
                actor: event.actor.clone(),
                summary: summary(body),
                event: Some(event.clone()),
            })
        });
        (format!("the event at {}", said.position), again.as_ref() == Some(said))
    }

    fn policy(&self, answer: &WhyInForceResponse, policy: &Policy) -> Vec<Fact> {
        let Some(row) = &answer.policy else { return Vec::new() };
        let signed = match self.body(row.position) {
            Some(Body::PolicyAdopted(b)) => b.policy.as_ref() == Some(policy),
            Some(Body::LedgerCreated(b)) => b.policy.as_ref() == Some(policy),
            _ => false,
        };
        let name = format!("policy {}", row.version);
        let version = answer.promotion.is_some() || answer.policy_version == row.version;
        vec![(name.clone(), signed && version), self.row(&Policies::key(row.version), row, name)]
    }

    /// By the model's row as the event wrote it that brought this about, and as the last one did that is here.
    fn in_force(&self, model: &str, answer: &WhyInForceResponse) -> Fact {
        let key = Models::key(model);
        let wrote = |at: u64| -> Option<ModelRow> {
            let row = self.entries.get(&at)?.wrote(key.as_bytes())?;
            ModelRow::decode(row).ok()
        };
        let halted_at = answer.halt.as_ref().map(|halt| halt.position);
        let stands = |row: ModelRow| {
            row.in_force == answer.version
                && (answer.version == 0 || row.since == answer.since_position)
                && (row.halted_at, row.halted_version) == (halted_at, answer.halted_version)
        };
        let last: Option<ModelRow> = self.latest(&key);
        match (answer.version, halted_at) {
            (0, None) => ("that no version is in force".into(), last.is_none_or(stands)),
            (0, Some(halt)) => {
                (format!("the halt at {halt}"), wrote(halt).is_some_and(stands) && last.is_some_and(stands))
            }
            (version, _) => {
                let since = answer.since_position;
                let what = format!("that version {version} came into force at {since}");
                (what, wrote(since).is_some_and(stands) && last.is_some_and(stands))
            }
        }
    }

    fn promotion(&self, promotion: &PromotionRow, answer: &WhyInForceResponse) -> Vec<Fact> {
        let policy =
            self.latest(&Policies::key(promotion.policy_version)).and_then(|row| row.policy).unwrap_or_default();
        let version = answer.in_force.clone().unwrap_or_default();
        let evaluations = answer.evaluations.iter().map(|e| e.evaluation.as_ref().map_or(0, |row| row.position));
        let suites: BTreeSet<u64> =
            answer.evaluations.iter().filter_map(|e| e.suite.as_ref()).map(|s| s.position).collect();
        let leakage = answer.leakage.iter().map(|found| found.suite);
        let asked = matches!(self.body(promotion.position), Some(Body::PromotionRequested(b))
            if b.model == promotion.model && b.version == promotion.version && b.to == promotion.to);
        let mut facts = vec![
            (format!("the request at {}", promotion.position), asked),
            self.row(&Promotions::key(promotion.position), promotion, format!("promotion {}", promotion.position)),
            ("the policy of the promotion".into(), answer.policy_version == promotion.policy_version),
            ("the number of approvals".into(), promotion.approvals.len() == answer.approvals.len()),
            ("the list of evaluations".into(), evaluations.eq(promotion.evaluations.iter().copied())),
            ("the list of leakage".into(), answer.dataset.is_none() || leakage.eq(suites)),
            ("what would have held it back".into(), hurdles(&policy, promotion, &version, answer) == answer.hurdles),
        ];
        for (approval, shown) in promotion.approvals.iter().zip(&answer.approvals) {
            let signer = approval.signer.clone().unwrap_or_default();
            let key: KeyRow = self.latest(&Keys::key(&signer.keyid)).unwrap_or_default();
            let actor: ActorRow = self.latest(&Actors::key(&signer.actor)).unwrap_or_default();
            let signed = matches!(self.body(signer.position), Some(Body::PromotionApproved(b))
                if b.promotion == promotion.position && b.meaning == approval.meaning)
                && self.event(signer.position).is_some_and(|event| event.actor == signer.actor);
            let record = ApprovalRecord {
                actor: signer.actor,
                printed_name: actor.printed_name,
                position: signer.position,
                time_ms: shown.time_ms, // the log's clock, which no entry tells
                meaning: approval.meaning,
                affected: key.revoked_at.is_some(),
                late: approval.late,
            };
            facts.push((format!("the approval at {}", shown.position), signed && record == *shown));
        }
        facts
    }

    /// An evaluation's figures and its suite's bars, which stood before it.
    fn evaluation(&self, evaluation: &EvaluationProvenance) -> Fact {
        let (Some(row), Some(suite)) = (&evaluation.evaluation, &evaluation.suite) else {
            return ("an evaluation".into(), false);
        };
        let name = format!("the evaluation at {}", row.ended_at);
        let asked = matches!(self.body(row.position), Some(Body::EvaluationRequested(b))
            if b.model == row.model && b.version == row.version && b.suite == suite.position);
        let results = matches!(self.body(row.ended_at), Some(Body::EvaluationCompleted(b))
            if b.evaluation == row.position && b.results == row.results);
        let bars = suite.position < row.ended_at
            && matches!(self.body(suite.position), Some(Body::SuiteRegistered(b))
            if b.suite == suite.suite && b.categories.len() == suite.categories.len()
                && b.categories.iter().zip(&suite.categories).all(|(a, b)| {
                    a.category == b.category && a.cases == b.cases && a.bar_ppm == b.bar_ppm
                }));
        let rows = self.latest(&Evaluations::key(row.position)).as_ref() == Some(row)
            && self.latest(&Suites::key(suite.position)).as_ref() == Some(suite);
        // What nobody signed may name so many cases that their bound takes hours.
        if !(asked && results && bars && rows) {
            return (name, false);
        }
        let judged = suite.categories.iter().zip(&row.results).map(|(bar, result)| category_verdict(bar, result));
        (name, row.results.len() == suite.categories.len() && judged.eq(evaluation.verdicts.iter().cloned()))
    }

    /// What the version was made from.
    fn sources(&self, answer: &WhyInForceResponse) -> Vec<Fact> {
        let mut facts = Vec::new();
        if let Some(row) = &answer.dataset {
            let name = format!("dataset {}@{}", row.dataset, row.number);
            let signed = matches!(self.body(row.position), Some(Body::DatasetFrozen(b))
                if b.root == row.root && b.count == row.count && b.dataset == row.dataset);
            facts.extend([(name.clone(), signed), self.row(&Datasets::key(row.position), row, name)]);
        }
        if let Some(row) = &answer.run {
            let name = format!("run {}", row.position);
            let signed = matches!(self.body(row.position), Some(Body::TrainingRequested(b))
                if b.model == row.model && b.dataset == row.dataset && b.base == row.base
                    && b.hyperparameters == row.hyperparameters);
            facts.extend([(name.clone(), signed), self.row(&Runs::key(row.position), row, name)]);
        }
        if let Some(row) = &answer.base {
            facts.push(self.row(&Bases::key(row.position), row, format!("base model {}", row.base)));
        }
        if let Some(row) = &answer.in_force {
            let digest = match self.body(row.position) {
                Some(Body::TrainingCompleted(b)) => Some(&b.adapter_digest),
                Some(Body::ModelRegistered(b)) => Some(&b.adapter_digest),
                _ => None,
            };
            facts.push(("the adapter".into(), digest == Some(&row.adapter_digest)));
            let name = format!("version {}", row.version);
            facts.push(self.row(&Versions::key(&row.model, row.version), row, name));
        }
        for found in &answer.leakage {
            let name = format!("leakage from the suite at {}", found.suite);
            let row = self.latest(&Leakages::key(found.dataset, found.suite));
            facts.push((name, row == found.leakage));
        }
        facts
    }
}
