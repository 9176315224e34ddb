//! Suites and evaluations.

use super::{Act, bound, check, lease};
use crate::refusal::Refusal;
use crate::state::{Effects, Evaluations, LatestEvaluations, SuiteNames, Suites, Versions, View};
use attestune_proto::v1::{
    Bound, CategoryBar, EvaluationClaimed, EvaluationCompleted, EvaluationFailed, EvaluationRequested, EvaluationRow,
    FailureReason, LatestEvaluationRow, NameRow, SuiteRegistered, SuiteRow, WorkStatus,
};

/// A suite; the passes that each category's bar needs are computed here, once.
pub fn register_suite(view: &View<'_>, act: &Act<'_>, body: &SuiteRegistered) -> Result<Effects, Refusal> {
    check::id("suite", &body.suite)?;
    check::digest("digest", &body.digest)?;
    check::sealed("content", body.content.as_ref())?;
    let kind = check::known::<Bound>("bound", body.bound)?;
    if body.categories.is_empty() || body.categories.len() > 64 {
        return Err(Refusal::BadField { field: "categories", rule: "must be 1 to 64" });
    }
    check::ascending("categories", body.categories.iter().map(|c| &c.category))?;
    let cases: u64 = body.categories.iter().map(|c| u64::from(c.cases)).sum();
    if cases > u64::from(bound::SUITE_CASES_MAX) {
        return Err(Refusal::BadField { field: "cases", rule: "must be at most 100,000 in a suite" });
    }
    let mut categories = Vec::with_capacity(body.categories.len());
    for category in &body.categories {
        check::id("category", &category.category)?;
        if category.cases == 0 || category.cases > bound::CASES_MAX {
            return Err(Refusal::BadField { field: "cases", rule: "must be 1 to 10,000 in a category" });
        }
        if category.bar_ppm == 0 || category.bar_ppm > 1_000_000 {
            return Err(Refusal::BadField { field: "bar_ppm", rule: "must be 1 to 1,000,000" });
        }
        let Some(needed) = bound::needed(kind, category.cases, category.bar_ppm) else {
            return Err(Refusal::CategoryTooSmall {
                category: category.category.clone(),
                cases: category.cases,
                bar_ppm: category.bar_ppm,
            });
        };
        categories.push(CategoryBar {
            category: category.category.clone(),
            cases: category.cases,
            bar_ppm: category.bar_ppm,
            needed,
        });
    }
    let number = view.get(&SuiteNames::key(&body.suite)).map_or(0, |n| n.number) + 1;
    let row = SuiteRow {
        position: act.position,
        suite: body.suite.clone(),
        number,
        digest: body.digest.clone(),
        content: body.content.clone(),
        categories,
        bound: body.bound,
        signer: Some(act.signer()),
    };
    let name = NameRow { number, position: act.position };
    Ok(Effects::none().and(&Suites::key(act.position), &row).and(&SuiteNames::key(&body.suite), &name))
}

/// Asks for an evaluation of a version by a suite.
pub fn request(view: &View<'_>, act: &Act<'_>, body: &EvaluationRequested) -> Result<Effects, Refusal> {
    check::id("model", &body.model)?;
    let Some(version) = view.get(&Versions::key(&body.model, body.version)) else {
        return Err(Refusal::UnknownVersion { model: body.model.clone(), version: body.version });
    };
    if view.get(&Suites::key(body.suite)).is_none() {
        return Err(Refusal::UnknownSuite { suite: body.suite.to_string() });
    }
    let row = EvaluationRow {
        position: act.position,
        model: body.model.clone(),
        version: body.version,
        suite: body.suite,
        requested_by: Some(act.signer()),
        status: WorkStatus::Open as i32,
        ..Default::default()
    };
    let sources = [version.position, body.suite];
    Ok(Effects::none().and(&Evaluations::key(act.position), &row).made_from(act.position, sources))
}

/// A worker takes the evaluation's lease.
pub fn claim(view: &View<'_>, act: &Act<'_>, body: &EvaluationClaimed) -> Result<Effects, Refusal> {
    let mut row = evaluation(view, body.evaluation)?;
    let state = (row.status, row.ended_at);
    let lease = lease::claim(act, state, row.lease.as_ref(), body.previous, act.policy.evaluation_lease_ms)?;
    row.lease = Some(lease);
    row.status = WorkStatus::Claimed as i32;
    Ok(Effects::none().and(&Evaluations::key(body.evaluation), &row))
}

/// The results, which become the version's latest by that suite's name.
pub fn complete(view: &View<'_>, act: &Act<'_>, body: &EvaluationCompleted) -> Result<Effects, Refusal> {
    check::pack(&body.pack)?;
    check::digest("transcripts_root", &body.transcripts_root)?;
    check::environment(&body.environment)?;
    let mut row = evaluation(view, body.evaluation)?;
    lease::report(act, (row.status, row.ended_at), row.lease.as_ref(), body.token)?;
    let suite = view.get(&Suites::key(row.suite)).unwrap_or_default();
    let version = view.get(&Versions::key(&row.model, row.version)).unwrap_or_default();
    if suite.digest != body.suite_digest {
        return Err(Refusal::InputsDiffer { what: "suite" });
    }
    if version.adapter_digest != body.adapter_digest {
        return Err(Refusal::InputsDiffer { what: "adapter" });
    }
    fits(&suite, body)?;
    row.status = WorkStatus::Completed as i32;
    row.ended_at = act.position;
    row.results = body.results.clone();
    row.completed_by = Some(act.signer());
    row.pack = body.pack.clone();
    row.transcripts_root = body.transcripts_root.clone();
    let name = LatestEvaluations::key(&row.model, row.version, &suite.suite);
    let attempts = view.get(&name).map_or(0, |l| l.attempts) + 1;
    let latest = LatestEvaluationRow { evaluation: body.evaluation, attempts };
    Ok(Effects::none().and(&Evaluations::key(body.evaluation), &row).and(&name, &latest))
}

/// The evaluation ends without results.
pub fn fail(view: &View<'_>, act: &Act<'_>, body: &EvaluationFailed) -> Result<Effects, Refusal> {
    check::known::<FailureReason>("reason", body.reason)?;
    let mut row = evaluation(view, body.evaluation)?;
    lease::report(act, (row.status, row.ended_at), row.lease.as_ref(), body.token)?;
    row.status = WorkStatus::Failed as i32;
    row.ended_at = act.position;
    Ok(Effects::none().and(&Evaluations::key(body.evaluation), &row))
}

fn evaluation(view: &View<'_>, position: u64) -> Result<EvaluationRow, Refusal> {
    view.get(&Evaluations::key(position)).ok_or(Refusal::UnknownEvaluation { position })
}

fn fits(suite: &SuiteRow, body: &EvaluationCompleted) -> Result<(), Refusal> {
    if suite.categories.len() != body.results.len() {
        return Err(Refusal::ResultsUnfit { what: "another number of categories" });
    }
    for (category, result) in suite.categories.iter().zip(&body.results) {
        if category.category != result.category || category.cases != result.cases {
            return Err(Refusal::ResultsUnfit { what: "another category or number of cases" });
        }
        if result.passed > result.cases {
            return Err(Refusal::ResultsUnfit { what: "more passes than cases" });
        }
    }
    Ok(())
}
