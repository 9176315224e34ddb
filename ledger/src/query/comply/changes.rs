//! Questions about changes in production: what was known of a version, and who agreed, when it came in.

use super::answer::{Tally, count};
use super::asked::Asked;
use crate::query::QueryError;
use crate::rules::{part_in_making, unreviewed};
use crate::state::{Bases, Datasets, Evaluations, Leakages, Promotions, Runs, Suites, Versions};
use attestune_proto::v1::{
    ApprovalMeaning, EvaluationRow, PromotionRow, PromotionStatus, QuestionAnswer, Reproduction, RunRow, SuiteRow,
    VersionRow,
};
use std::collections::BTreeSet;

/// Base model, run and dataset of each version that came into production are on the record.
pub fn sources_known(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    let (mut bases, mut datasets) = (BTreeSet::new(), BTreeSet::new());
    for (name, version) in versions_in(asked) {
        let run = run_of(asked, &version);
        let dataset = run.as_ref().and_then(|run| asked.view.get(&Datasets::key(run.dataset)));
        let base = asked.view.get(&Bases::key(version.base));
        bases.extend(base.as_ref().map(|base| base.position));
        datasets.extend(dataset.as_ref().map(|dataset| dataset.position));
        let missing = match (&run, &dataset, &base) {
            (None, ..) => Some("was trained elsewhere: neither its data nor its run are known"),
            (_, None, _) => Some("has no dataset on the record"),
            (.., None) => Some("has no base model on the record"),
            _ => None,
        };
        tally.judge(version.position, missing.map(|what| format!("{name} {what}")));
    }
    let text = format!(
        "{} came into production; of {} base model, run and dataset are on the record ({}, {})",
        count(tally.of(), "version"),
        tally.good(),
        count(bases.len() as u64, "base model"),
        count(datasets.len() as u64, "dataset"),
    );
    Ok(tally.answer(text))
}

/// Each version passed, before it came into production, every bar that was fixed before its training.
pub fn evaluated_before(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    let mut evaluations = 0;
    for change in &asked.changes {
        evaluations += change.evaluations.len() as u64;
        let shortfall = match change.evaluations.is_empty() {
            true => Some("has no evaluation".into()),
            false => change.evaluations.iter().find_map(|position| evaluation_short(asked, change, *position)),
        };
        tally.judge(change.position, shortfall.map(|what| format!("{} {what}", name(change))));
    }
    let text = format!(
        "{} in production; {} had passed every bar, fixed before the training, by {}",
        count(tally.of(), "change"),
        tally.good(),
        count(evaluations, "evaluation"),
    );
    Ok(tally.answer(text))
}

fn evaluation_short(asked: &Asked<'_>, change: &PromotionRow, position: u64) -> Option<String> {
    let (Some(evaluation), Some(version)) = (asked.view.get(&Evaluations::key(position)), version_of(asked, change))
    else {
        return Some(format!("names the evaluation {position}, which is not on the record"));
    };
    let suite = asked.view.get(&Suites::key(evaluation.suite)).unwrap_or_default();
    let trained_from = version.run.unwrap_or(version.position);
    if suite.position >= trained_from {
        return Some(format!(
            "was held against bars fixed at {}, after its training at {trained_from}",
            suite.position
        ));
    }
    if let Some(category) = failed_category(&suite, &evaluation) {
        return Some(format!("fell short in {}/{category}", suite.suite));
    }
    asked.doubt(evaluation.completed_by.as_ref())
}

fn failed_category(suite: &SuiteRow, evaluation: &EvaluationRow) -> Option<String> {
    if suite.categories.is_empty() || suite.categories.len() != evaluation.results.len() {
        return Some("all".into());
    }
    let pairs = suite.categories.iter().zip(&evaluation.results);
    pairs.filter(|(bar, result)| result.passed < bar.needed).map(|(bar, _)| bar.category.clone()).next()
}

/// No case of the suites that a version was held against stands in its training set.
pub fn no_leakage(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    for change in &asked.changes {
        let run = version_of(asked, change).and_then(|version| run_of(asked, &version));
        let evaluations = change.evaluations.iter().filter_map(|position| asked.view.get(&Evaluations::key(*position)));
        let suites: BTreeSet<u64> = evaluations.map(|evaluation| evaluation.suite).collect();
        let shortfall = match run {
            None => Some("was trained elsewhere: leakage can't be checked".to_owned()),
            Some(run) => suites.iter().find_map(|suite| leakage_short(asked, run.dataset, *suite)),
        };
        tally.judge(change.position, shortfall.map(|what| format!("{} {what}", name(change))));
    }
    let text = format!(
        "{} in production; for {} the evaluation's cases were compared with the training data, and none was found there",
        count(tally.of(), "change"),
        tally.good(),
    );
    Ok(tally.answer(text))
}

fn leakage_short(asked: &Asked<'_>, dataset: u64, suite: u64) -> Option<String> {
    let Some(row) = asked.view.get(&Leakages::key(dataset, suite)) else {
        return Some(format!("was never compared with the cases of suite {suite}"));
    };
    match (row.exact, row.near) {
        (0, 0) => asked.doubt(row.signer.as_ref()),
        (exact, near) => Some(format!("was trained on {exact} cases of suite {suite}, and nearly on {near}")),
    }
}

/// Enough persons agreed to each change, none of whom took part in making it.
pub fn approved_by_others(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    let (mut by_two, mut waiting, mut denied) = (0, 0, 0);
    for change in &asked.changes {
        let persons = approvers(change).len();
        by_two += u64::from(persons >= 2);
        let pending = unreviewed(change) && asked.now_ms <= change.review_by_ms;
        let shortfall = approvals_short(asked, change, persons, pending);
        waiting += u64::from(pending && shortfall.is_none());
        denied += u64::from(rejected(change) && shortfall.is_none());
        tally.judge(change.position, shortfall.map(|what| format!("{} {what}", name(change))));
    }
    let text = format!(
        "{}, {} approved as the policy asked by persons who took no part; {by_two} with two approvals or more, {}{}{}{}",
        count(tally.of(), "change"),
        tally.good().saturating_sub(waiting + denied),
        count(asked.changes.iter().filter(|change| change.emergency).count() as u64, "emergency"),
        reviewed_in_time(asked),
        if waiting > 0 { format!(", {waiting} waiting for approvals until their deadline") } else { String::new() },
        if denied > 0 { format!(", {denied} rejected afterwards") } else { String::new() },
    );
    Ok(tally.answer(text))
}

fn approvals_short(asked: &Asked<'_>, change: &PromotionRow, persons: usize, pending: bool) -> Option<String> {
    let version = version_of(asked, change).unwrap_or_default();
    let took_part = |actor: &&str| {
        let asked_for_it = change.requested_by.as_ref().is_some_and(|signer| signer.actor == **actor);
        asked_for_it || part_in_making(&asked.view, &version, actor).is_some()
    };
    if let Some(actor) = approvers(change).into_iter().find(took_part) {
        return Some(format!("was approved by {actor}, who took part in it"));
    }
    let mut signers = change.approvals.iter().map(|approval| approval.signer.as_ref());
    if let Some(doubt) = signers.find_map(|signer| asked.doubt(signer).or_else(|| asked.no_person(signer))) {
        return Some(doubt);
    }
    let wanted = change.approvals_needed.max(1) as usize;
    if persons >= wanted || pending || rejected(change) {
        return None;
    }
    let how = if change.emergency { ", and its deadline is over" } else { "" };
    Some(format!("has {persons} of {wanted} approvals{how}"))
}

/// Whether somebody has decided against an emergency.
fn rejected(change: &PromotionRow) -> bool {
    change.emergency && change.status() == PromotionStatus::Rejected
}

/// Each emergency was decided on by its deadline.
pub fn emergencies_reviewed(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    let (mut in_time, mut open) = (0, 0);
    for change in emergencies(asked) {
        let shortfall = late(asked, &change);
        open += u64::from(unreviewed(&change));
        in_time += u64::from(shortfall.is_none() && !unreviewed(&change));
        tally.judge(change.position, shortfall.map(|what| format!("{} {what}", name(&change))));
    }
    let text = format!("{}; {in_time} decided on in time, {open} still open", count(tally.of(), "emergency promotion"));
    Ok(tally.answer(text))
}

/// Emergencies of every stage.
fn emergencies(asked: &Asked<'_>) -> Vec<PromotionRow> {
    let mut rows = asked.view.scan(&Promotions::all());
    rows.retain(|row| row.emergency);
    rows
}

fn late(asked: &Asked<'_>, change: &PromotionRow) -> Option<String> {
    if unreviewed(change) {
        return (asked.now_ms > change.review_by_ms).then(|| "waits for its approvals past the deadline".into());
    }
    let reviewed_ms = asked.view.fold_time(change.reviewed_at).unwrap_or(0);
    (reviewed_ms > change.review_by_ms).then(|| format!("was decided on at {}, after the deadline", change.reviewed_at))
}

fn reviewed_in_time(asked: &Asked<'_>) -> &'static str {
    let emergencies: Vec<&PromotionRow> = asked.changes.iter().filter(|change| change.emergency).collect();
    match emergencies.is_empty() || emergencies.iter().any(|change| unreviewed(change)) {
        true => "",
        false if emergencies.iter().any(|change| late(asked, change).is_some()) => ", not all reviewed in time",
        false => ", reviewed in time",
    }
}

/// The training of each version in force was repeated and came out the same.
pub fn repeated(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    for model in asked.in_production() {
        let version = asked.view.get(&Versions::key(&model.model, model.in_force)).unwrap_or_default();
        let Some(run) = run_of(asked, &version) else { continue };
        let shortfall = match (run.reproductions, run.reproduction()) {
            (0, _) => Some("was never trained a second time"),
            (_, Reproduction::Different) => Some("came out otherwise when its training was repeated"),
            _ => None,
        };
        let named = format!("{}@{}", model.model, model.in_force);
        tally.judge(run.position, shortfall.map(|what| format!("{named} {what}")));
    }
    let text = format!(
        "{} in force were trained here; the training of {} was repeated, exactly or within its tolerance",
        count(tally.of(), "version"),
        tally.good(),
    );
    Ok(tally.answer(text))
}

/// Approvals on all promotions, and the positions of those that do not say what they mean.
pub fn meanings(asked: &Asked<'_>) -> (u64, Vec<u64>) {
    let mut without = Vec::new();
    let mut approvals = 0;
    for approval in asked.view.scan(&Promotions::all()).iter().flat_map(|promotion| &promotion.approvals) {
        approvals += 1;
        if approval.meaning() == ApprovalMeaning::Unspecified {
            without.extend(approval.signer.as_ref().map(|signer| signer.position));
        }
    }
    (approvals, without)
}

fn name(change: &PromotionRow) -> String {
    format!("{}@{}", change.model, change.version)
}

fn approvers(change: &PromotionRow) -> BTreeSet<&str> {
    change
        .approvals
        .iter()
        .filter_map(|approval| approval.signer.as_ref())
        .map(|signer| signer.actor.as_str())
        .collect()
}

fn version_of(asked: &Asked<'_>, change: &PromotionRow) -> Option<VersionRow> {
    asked.view.get(&Versions::key(&change.model, change.version))
}

fn run_of(asked: &Asked<'_>, version: &VersionRow) -> Option<RunRow> {
    asked.view.get(&Runs::key(version.run?))
}

/// Versions that ever came into production, each once.
fn versions_in(asked: &Asked<'_>) -> Vec<(String, VersionRow)> {
    let named: BTreeSet<(&str, u32)> =
        asked.changes.iter().map(|change| (change.model.as_str(), change.version)).collect();
    let found = named.into_iter().filter_map(|(model, number)| {
        let version = asked.view.get(&Versions::key(model, number))?;
        Some((format!("{model}@{number}"), version))
    });
    found.collect()
}
