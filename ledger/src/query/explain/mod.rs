//! What an event changes in the state, in plain sentences.

mod later;
mod models;

use crate::draft::plain;
use crate::refusal::printable;
use crate::state as tables;
use crate::time::iso;
use attestune_proto::v1::{
    ActorRow, AssignmentRow, BaseRow, CheckRow, DatasetRow, DocumentsRow, ExamplesRow, ExportRow, KeyRow, LeakageRow,
    LedgerRow, PolicyRow, ReviewRow, Role, ScanRow, SelectionRow, SuiteRow,
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
            format!("batch {} is scanned, {} examples are flagged", Name::of(write.row).long(), bits(&now.flagged))
        }),
        tables::Checks::ID => one(&write, |now: CheckRow| {
            format!("batch {} is checked, {} examples are excluded", Name::of(write.row).long(), bits(&now.excluded))
        }),
        tables::Reviews::ID => review(write.row, &write.read()?),
        tables::Assignments::ID => one(&write, |now: AssignmentRow| assignment(write.row, &now)),
        tables::Datasets::ID => one(&write, |now: DatasetRow| {
            format!("dataset {}@{} has {} members, for ever", now.dataset, now.number, now.count)
        }),
        tables::Leakages::ID => one(&write, |now: LeakageRow| {
            let mut name = Name::of(write.row);
            let (dataset, suite) = (name.long(), name.long());
            let (exact, near) = (now.exact, now.near);
            format!("leakage between dataset {dataset} and suite {suite} is known: {exact} cases, {near} nearly")
        }),
        tables::Bases::ID => one(&write, |now: BaseRow| format!("base model {} is known", now.base)),
        tables::Runs::ID => models::run(&write.read()?),
        tables::Suites::ID => {
            one(&write, |now: SuiteRow| format!("suite {}@{} holds from here on", now.suite, now.number))
        }
        tables::Models::ID => models::model(&write.read()?),
        tables::Versions::ID => models::version(&write.read()?),
        tables::Evaluations::ID => models::evaluation(&write.read()?),
        tables::Promotions::ID => models::promotion(&write.read()?),
        tables::Selections::ID => one(&write, |now: SelectionRow| format!("run {} was taken", now.chosen)),
        tables::Exports::ID => one(&write, |now: ExportRow| {
            format!("a bundle of evidence on {} is noted, manifest {}", now.model, short(&now.manifest))
        }),
        tables::Servings::ID
        | tables::ServedReferences::ID
        | tables::Experiments::ID
        | tables::Windows::ID
        | tables::Alerts::ID
        | tables::Schedules::ID
        | tables::Erasures::ID
        | tables::DatasetErasures::ID
        | tables::ErasureDecisions::ID
        | tables::Holds::ID => later::wrote(table, &write),
        tables::Uses::ID
        | tables::DatasetBatches::ID
        | tables::CollectionBatches::ID
        | tables::FirstScans::ID
        | tables::DatasetNames::ID
        | tables::SuiteNames::ID
        | tables::LatestEvaluations::ID
        | tables::ServingChanges::ID
        | tables::LatestWindows::ID
        | tables::LatestAlerts::ID
        | tables::ErasedContents::ID
        | tables::ErasedDocuments::ID
        | tables::ErasedExamples::ID => None,
        _ => Some(format!("{} has a row more or another", name(table))),
    };
    text.map(|text| printable(&text))
}

/// The parts of a row's name behind the table's number, in order.
struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    fn of(row: &'a [u8]) -> Self {
        Self(row.get(1..).unwrap_or_default())
    }

    fn long(&mut self) -> u64 {
        let Some((number, rest)) = self.0.split_first_chunk() else { return 0 };
        self.0 = rest;
        u64::from_be_bytes(*number)
    }

    fn short(&mut self) -> u32 {
        let Some((number, rest)) = self.0.split_first_chunk() else { return 0 };
        self.0 = rest;
        u32::from_be_bytes(*number)
    }

    fn text(&mut self) -> String {
        let mut parts = self.0.splitn(2, |byte| *byte == 0);
        let text = parts.next().unwrap_or_default();
        self.0 = parts.next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }
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
    let batch = Name::of(row).long();
    Some(match before {
        None => format!("{} examples of batch {batch} are decided", now.decisions.len()),
        Some(before) => {
            let reopened = now.reopened.len().saturating_sub(before.reopened.len());
            format!("{reopened} examples of batch {batch} await review again")
        }
    })
}

fn assignment(row: &[u8], now: &AssignmentRow) -> String {
    let (batch, count, reviewer) = (Name::of(row).long(), now.indices.len(), &now.reviewer);
    match (now.expires_ms, now.due_ms) {
        (0, 0) => format!("{count} examples of batch {batch} wait for {reviewer}"),
        (0, due) => format!("{count} examples of batch {batch} wait for {reviewer} until {}", iso(due)),
        (expires, _) => format!("{count} examples of batch {batch} are kept for {reviewer} until {}", iso(expires)),
    }
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
    #[test]
    fn every_table_has_its_sentence_or_says_nothing_to_people() {
        let of = |table: u8| wrote(Wrote { row: &[table; 40], before: None, after: &[] });
        for (table, name) in tables::TABLES {
            let text = of(*table).unwrap_or_default();
            assert!(!text.contains("has a row more"), "{name}: {text}");
        }
        assert_eq!(of(250).unwrap(), "an unknown table has a row more or another");
    }
}
