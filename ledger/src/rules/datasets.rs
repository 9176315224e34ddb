//! Frozen datasets and leakage.

use super::{Act, check, data, eligibility};
use crate::refusal::Refusal;
use crate::state::{DatasetBatches, DatasetNames, Datasets, Effects, Examples, Leakages, Suites, View};
use attestune_proto::v1::{
    DatasetCounts, DatasetFrozen, DatasetRow, ExampleStatus, LeakageChecked, LeakageRow, NameRow, PositionRow,
};
use eligibility::Example;

/// All eligible examples of some collections as of a position, by root and count.
///
/// Refusals, in this order: malformed, the position lies ahead, nothing is eligible, root or count differ, a member
/// has lost its eligibility since.
pub fn freeze(view: &View<'_>, act: &Act<'_>, body: &DatasetFrozen) -> Result<Effects, Refusal> {
    check::id("dataset", &body.dataset)?;
    check::digest("root", &body.root)?;
    if body.collections.is_empty() || body.collections.len() > 64 {
        return Err(Refusal::BadField { field: "collections", rule: "must name 1 to 64 collections" });
    }
    for collection in &body.collections {
        check::id("collections", collection)?;
    }
    check::ascending("collections", body.collections.iter())?;
    if body.at >= act.position {
        return Err(Refusal::FreezeAhead { at: body.at });
    }
    let then = view.as_of(body.at + 1);
    let all = eligibility::examples(&then, view, &act.policy, &body.collections);
    view.absorb(&then);
    let members = || all.iter().filter(|e| e.status == ExampleStatus::Eligible);
    let (root, count) = eligibility::members_root(members());
    if count == 0 {
        let with = |status| all.iter().filter(|e| e.status == status).count() as u64;
        return Err(Refusal::NothingEligible {
            examples: all.len() as u64,
            unchecked: with(ExampleStatus::Unchecked),
            awaiting_review: with(ExampleStatus::AwaitingReview),
        });
    }
    if count != body.count || root.0 != body.root.as_slice() {
        return Err(Refusal::MembersDiffer { named: body.count, computed: count });
    }
    still_members(view, act, body, members())?;
    let mut batches: Vec<u64> = members().map(|m| m.batch).collect();
    batches.dedup();
    let number = view.get(&DatasetNames::key(&body.dataset)).map_or(0, |n| n.number) + 1;
    let row = DatasetRow {
        position: act.position,
        dataset: body.dataset.clone(),
        number,
        signer: Some(act.signer()),
        collections: body.collections.clone(),
        at: body.at,
        root: body.root.clone(),
        count,
        contributors: contributors(view, &batches),
        counts: Some(tally(&all)),
    };
    let name = NameRow { number, position: act.position };
    let mut effects =
        Effects::none().and(&Datasets::key(act.position), &row).and(&DatasetNames::key(&body.dataset), &name);
    for batch in &batches {
        effects.put(&DatasetBatches::key(act.position, *batch), &PositionRow { position: *batch });
    }
    Ok(effects.made_from(act.position, batches))
}

/// What became of examples, for the record.
pub fn tally(examples: &[Example]) -> DatasetCounts {
    let mut counts = DatasetCounts { examples: examples.len() as u64, ..Default::default() };
    for example in examples {
        counts.flagged += u64::from(example.flagged);
        counts.reviewed += u64::from(example.reviewed);
        counts.redacted += u64::from(example.redacted);
        counts.rejected += u64::from(example.status == ExampleStatus::Rejected);
        counts.excluded_by_quality += u64::from(example.status == ExampleStatus::Excluded);
    }
    counts
}

fn still_members<'a>(
    view: &View<'_>,
    act: &Act<'_>,
    body: &DatasetFrozen,
    members: impl Iterator<Item = &'a Example>,
) -> Result<(), Refusal> {
    if body.at + 1 == act.position {
        return Ok(());
    }
    let now = eligibility::examples(view, view, &act.policy, &body.collections);
    let mut now = now.iter().filter(|e| e.status == ExampleStatus::Eligible).peekable();
    // Both lists are in order of batch and index.
    for member in members {
        while now.next_if(|e| (e.batch, e.index) < (member.batch, member.index)).is_some() {}
        let same = now.next_if(|e| (e.batch, e.index) == (member.batch, member.index));
        if same.is_none_or(|e| e.commitment != member.commitment) {
            return Err(Refusal::MemberLost { batch: member.batch, index: member.index });
        }
    }
    Ok(())
}

fn contributors(view: &View<'_>, batches: &[u64]) -> Vec<String> {
    let rows = batches.iter().filter_map(|b| view.get(&Examples::key(*b)));
    let mut actors: Vec<String> = rows.flat_map(|r| [r.actor, r.ingested_by]).collect();
    actors.sort_unstable();
    actors.dedup();
    actors
}

/// Whether a suite's cases stand in a dataset; the newest word counts.
pub fn check_leakage(view: &View<'_>, act: &Act<'_>, body: &LeakageChecked) -> Result<Effects, Refusal> {
    data::tool("checker", body.checker.as_ref())?;
    let Some(dataset) = view.get(&Datasets::key(body.dataset)) else {
        return Err(Refusal::UnknownDataset { position: body.dataset });
    };
    let Some(suite) = view.get(&Suites::key(body.suite)) else {
        return Err(Refusal::UnknownSuite { suite: body.suite.to_string() });
    };
    let cases: u32 = suite.categories.iter().map(|c| c.cases).sum();
    if body.members != dataset.count || body.cases != cases {
        return Err(Refusal::InputsDiffer { what: "number of members or cases" });
    }
    let row = LeakageRow { signer: Some(act.signer()), exact: body.exact, near: body.near, cases };
    Ok(Effects::none().and(&Leakages::key(body.dataset, body.suite), &row))
}
