//! What an event changes in the state, in plain sentences.

use crate::draft::plain;
use crate::refusal::printable;
use crate::state as tables;
use attestune_proto::v1::{
    ActorRow, BaseRow, CheckRow, DatasetRow, DocumentsRow, EvaluationRow, ExamplesRow, ExportRow, KeyRow, LeakageRow,
    LedgerRow, ModelRow, PolicyRow, PromotionRow, PromotionStatus, ReviewRow, Role, RunRow, ScanRow, SelectionRow,
    Stage, SuiteRow, VersionRow, WorkStatus,
};
use prost::Message;

/// A row's new value beside the one that it had.
#[derive(Debug, Clone, Copy)]
pub struct Wrote<'a> {
    /// The row's name, whose first byte is the table's number.
    pub row: &'a [u8],
    /// What it was; none if it is new.
    pub before: Option<&'a [u8]>,
    /// What it is.
    pub after: &'a [u8],
}

/// What a write means, in one plain sentence; none where it says nothing to people: indexes, counters, leases renewed.
pub fn wrote(write: Wrote<'_>) -> Option<String> {
    let table = *write.row.first()?;
    let text = match table {
        tables::Ledgers::ID => ledger(&write.read()?),
        tables::Policies::ID => one(&write, |now: PolicyRow| format!("policy {} is in force", now.version)),
        tables::Actors::ID => actor(&write.read()?),
        tables::Keys::ID => key(&write.read()?),
        tables::Documents::ID => one(&write, |now: DocumentsRow| {
            format!("collection {} has a batch of {} documents", now.collection, now.count)
        }),
        tables::Examples::ID => one(&write, |now: ExamplesRow| {
            format!("collection {} has a batch of {} examples", now.collection, now.count)
        }),
        tables::Scans::ID => one(&write, |now: ScanRow| {
            format!("batch {} is scanned, {} examples are flagged", number(write.row, 1), bits(&now.flagged))
        }),
        tables::Checks::ID => one(&write, |now: CheckRow| {
            format!("batch {} is checked, {} examples are excluded", number(write.row, 1), bits(&now.excluded))
        }),
        tables::Reviews::ID => review(write.row, &write.read()?),
        tables::Datasets::ID => one(&write, |now: DatasetRow| {
            format!("dataset {}@{} has {} members, for ever", now.dataset, now.number, now.count)
        }),
        tables::Leakages::ID => one(&write, |now: LeakageRow| {
            let (dataset, suite) = (number(write.row, 1), number(write.row, 9));
            let (exact, near) = (now.exact, now.near);
            format!("leakage between dataset {dataset} and suite {suite} is known: {exact} cases, {near} nearly")
        }),
        tables::Bases::ID => one(&write, |now: BaseRow| format!("base model {} is known", now.base)),
        tables::Runs::ID => run(&write.read()?),
        tables::Suites::ID => {
            one(&write, |now: SuiteRow| format!("suite {}@{} holds from here on", now.suite, now.number))
        }
        tables::Models::ID => model(&write.read()?),
        tables::Versions::ID => version(&write.read()?),
        tables::Evaluations::ID => evaluation(&write.read()?),
        tables::Promotions::ID => promotion(&write.read()?),
        tables::Selections::ID => one(&write, |now: SelectionRow| format!("run {} was taken", now.chosen)),
        tables::Exports::ID => one(&write, |now: ExportRow| {
            format!("a bundle of evidence on {} is noted, manifest {}", now.model, short(&now.manifest))
        }),
        tables::Uses::ID
        | tables::DatasetBatches::ID
        | tables::CollectionBatches::ID
        | tables::FirstScans::ID
        | tables::Assignments::ID
        | tables::DatasetNames::ID
        | tables::SuiteNames::ID
        | tables::LatestEvaluations::ID
        | tables::Servings::ID
        | tables::ServedReferences::ID
        | tables::LatestWindows::ID
        | tables::LatestAlerts::ID
        | tables::ErasedContents::ID
        | tables::ErasedDocuments::ID
        | tables::ErasedExamples::ID => None,
        _ => Some(format!("{} has a row more or another", name(table))),
    };
    text.map(|text| printable(&text))
}

/// A table's name, for rows that have no sentence of their own.
pub fn name(table: u8) -> &'static str {
    tables::TABLES.iter().find(|(id, _)| *id == table).map_or("an unknown table", |(_, name)| name)
}

impl Wrote<'_> {
    /// The row before and after; none where one does not decode.
    fn read<R: Message + Default>(&self) -> Option<(Option<R>, R)> {
        let before = self.before.map(R::decode).transpose().ok()?;
        Some((before, R::decode(self.after).ok()?))
    }
}

fn one<R: Message + Default>(write: &Wrote<'_>, text: impl Fn(R) -> String) -> Option<String> {
    R::decode(write.after).ok().map(text)
}

fn ledger((before, now): &(Option<LedgerRow>, LedgerRow)) -> Option<String> {
    let Some(before) = before else { return Some(format!("the ledger {} exists", now.name)) };
    if before.rules_version != now.rules_version {
        return Some(format!("rules version {} is in force", now.rules_version));
    }
    (before.clock_corrected_at != now.clock_corrected_at)
        .then(|| "the ledger's time is set anew; open promotions and leases end".into())
}

fn actor((before, now): &(Option<ActorRow>, ActorRow)) -> Option<String> {
    let Some(before) = before else { return Some(format!("{} ({}) is known", now.actor, now.printed_name)) };
    let name = |role: &i32| plain(Role::try_from(*role).unwrap_or_default().as_str_name(), "ROLE_");
    let gained: Vec<_> = now.roles.iter().filter(|r| !before.roles.contains(r)).map(name).collect();
    let lost: Vec<_> = before.roles.iter().filter(|r| !now.roles.contains(r)).map(name).collect();
    match (gained.is_empty(), lost.is_empty()) {
        (true, true) => None,
        (false, true) => Some(format!("{} is {}", now.actor, gained.join(" and "))),
        (true, false) => Some(format!("{} is no longer {}", now.actor, lost.join(" nor "))),
        (false, false) => {
            Some(format!("{} is {} and no longer {}", now.actor, gained.join(" and "), lost.join(" nor ")))
        }
    }
}

fn key((_, now): &(Option<KeyRow>, KeyRow)) -> Option<String> {
    Some(match now.revoked_at {
        Some(_) => format!("key {} of {} signs nothing more; what it signed before is marked", now.keyid, now.actor),
        None => format!("key {} signs for {}", now.keyid, now.actor),
    })
}

fn review(row: &[u8], (before, now): &(Option<ReviewRow>, ReviewRow)) -> Option<String> {
    let batch = number(row, 1);
    Some(match before {
        None => format!("{} examples of batch {batch} are decided", now.decisions.len()),
        Some(before) => {
            let reopened = now.reopened.len().saturating_sub(before.reopened.len());
            format!("{reopened} examples of batch {batch} await review again")
        }
    })
}

fn run((before, now): &(Option<RunRow>, RunRow)) -> Option<String> {
    let was = before.as_ref().map_or(WorkStatus::Unspecified, RunRow::status);
    let by = now.lease.as_ref().and_then(|l| l.holder.as_ref()).map_or("", |s| s.actor.as_str());
    let run = format!("run {} of {}", now.position, now.model);
    match now.status() {
        WorkStatus::Open if was == WorkStatus::Unspecified => Some(format!("{run} waits for a trainer")),
        WorkStatus::Claimed if was != WorkStatus::Claimed => Some(format!("{run} is {by}'s")),
        WorkStatus::Completed if was != WorkStatus::Completed => Some(format!("{run} is done")),
        WorkStatus::Failed if was != WorkStatus::Failed => Some(format!("{run} has failed")),
        WorkStatus::Completed if before.as_ref().is_some_and(|b| b.reproductions < now.reproductions) => {
            let class = plain(now.reproduction().as_str_name(), "REPRODUCTION_");
            Some(format!("{run} was repeated {} times; its class is {class}", now.reproductions))
        }
        _ => None,
    }
}

fn model((before, now): &(Option<ModelRow>, ModelRow)) -> Option<String> {
    if now.halted_at.is_some() && before.as_ref().is_none_or(|b| b.halted_at.is_none()) {
        return Some(format!("no version of {} is in force: serving is halted", now.model));
    }
    let was = before.as_ref().map_or(0, |b| b.in_force);
    if was != now.in_force {
        let instead = if was == 0 { String::new() } else { format!(" instead of version {was}") };
        return Some(format!("version {} of {} is in force{instead}", now.in_force, now.model));
    }
    let versions = before.as_ref().map_or(0, |b| b.versions);
    (versions != now.versions).then(|| format!("{} has {} versions", now.model, now.versions))
}

fn version((before, now): &(Option<VersionRow>, VersionRow)) -> Option<String> {
    let stage = |row: &VersionRow| plain(Stage::try_from(row.stage).unwrap_or_default().as_str_name(), "STAGE_");
    let name = format!("{}@{}", now.model, now.version);
    match before {
        None => Some(format!("{name} is in {}", stage(now))),
        Some(before) if before.rolled_back_at != now.rolled_back_at && now.rolled_back_at != 0 => {
            Some(format!("{name} was rolled back from, and is in {}", stage(now)))
        }
        Some(before) if before.stage != now.stage => {
            Some(format!("{name} moves from {} to {}", stage(before), stage(now)))
        }
        Some(_) => None,
    }
}

fn evaluation((before, now): &(Option<EvaluationRow>, EvaluationRow)) -> Option<String> {
    let was = before.as_ref().map_or(WorkStatus::Unspecified, EvaluationRow::status);
    let what = format!("evaluation {} of {}@{}", now.position, now.model, now.version);
    match now.status() {
        status if status == was => None,
        WorkStatus::Open => Some(format!("{what} waits for an evaluator")),
        WorkStatus::Claimed => Some(format!("{what} is under way")),
        WorkStatus::Completed => {
            let results = now.results.iter().map(|r| format!("{} {}/{}", r.category, r.passed, r.cases));
            Some(format!("{what} counts: {}", results.collect::<Vec<_>>().join(", ")))
        }
        WorkStatus::Failed => Some(format!("{what} has failed")),
        WorkStatus::Unspecified => None,
    }
}

fn promotion((before, now): &(Option<PromotionRow>, PromotionRow)) -> Option<String> {
    let name = format!("{}@{}", now.model, now.version);
    let to = plain(Stage::try_from(now.to).unwrap_or_default().as_str_name(), "STAGE_");
    let was = before.as_ref().map_or(PromotionStatus::Unspecified, PromotionRow::status);
    let approvals = format!("{} of {} approvals", now.approvals.len(), now.approvals_needed);
    match now.status() {
        PromotionStatus::Open if was == PromotionStatus::Open => Some(format!("{name} has {approvals} for {to}")),
        PromotionStatus::Open => Some(format!("{name} waits for {} approvals for {to}", now.approvals_needed)),
        PromotionStatus::Promoted => Some(format!("{name} is let into {to} with {approvals}")),
        PromotionStatus::Rejected => Some(format!("{name} is refused {to}")),
        PromotionStatus::Withdrawn => Some(format!("the wish to bring {name} into {to} is taken back")),
        PromotionStatus::Closed => Some(format!("the request to bring {name} into {to} is closed")),
        PromotionStatus::Unspecified => None,
    }
}

/// A number of 8 bytes in a row's name.
fn number(row: &[u8], at: usize) -> u64 {
    row.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes)
}

fn bits(bits: &[u8]) -> u32 {
    bits.iter().map(|byte| byte.count_ones()).sum()
}

fn short(digest: &[u8]) -> String {
    hex::encode(digest).chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Models, Uses};

    #[test]
    fn what_comes_into_force_is_said_and_an_index_is_not() {
        let row = Models::key("triage");
        let before = ModelRow { model: "triage".into(), versions: 2, in_force: 1, ..Default::default() };
        let after = ModelRow { in_force: 2, ..before.clone() }.encode_to_vec();
        let write = Wrote { row: row.as_bytes(), before: Some(&before.encode_to_vec()), after: &after };
        assert_eq!(wrote(write).unwrap(), "version 2 of triage is in force instead of version 1");
        assert_eq!(wrote(Wrote { before: Some(&after), ..write }), None);
        let index = Uses::key(1, 2);
        assert_eq!(wrote(Wrote { row: index.as_bytes(), before: None, after: &[] }), None);
        assert_eq!(
            wrote(Wrote { row: &[250], before: None, after: &[] }).unwrap(),
            "an unknown table has a row more or another"
        );
        assert_eq!(
            wrote(Wrote { row: row.as_bytes(), before: None, after: &[0xff] }),
            None,
            "a row that does not decode"
        );
    }
}
