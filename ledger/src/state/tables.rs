//! The tables and their keys.

use attestune_proto::v1 as pb;
use std::marker::PhantomData;

/// The name of a row whose value is an `R`.
#[derive(Debug)]
pub struct RowKey<R> {
    bytes: Vec<u8>,
    row: PhantomData<R>,
}

impl<R> RowKey<R> {
    /// The name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The beginning of the names of some rows of one table.
#[derive(Debug)]
pub struct Prefix<R> {
    bytes: Vec<u8>,
    row: PhantomData<R>,
}

impl<R> Prefix<R> {
    /// The prefix's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A part of a row's name.
pub trait Part {
    /// Appends it.
    fn push_to(&self, bytes: &mut Vec<u8>);
}

impl Part for u64 {
    fn push_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_be_bytes());
    }
}

impl Part for u32 {
    fn push_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_be_bytes());
    }
}

impl Part for &str {
    fn push_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
        bytes.push(0);
    }
}

macro_rules! tables {
    ($($(#[doc = $doc:literal])+ $name:ident = $id:literal: ($($part:ident: $type:ty),*) => $row:ty;)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug, Copy, Clone)]
            pub struct $name;

            impl $name {
                /// The table's number, the first byte of its rows' names.
                pub const ID: u8 = $id;

                /// The name of one row.
                pub fn key($($part: $type),*) -> RowKey<$row> {
                    #[allow(unused_mut)]
                    let mut bytes = vec![$id];
                    $($part.push_to(&mut bytes);)*
                    RowKey { bytes, row: PhantomData }
                }

                /// All rows of the table.
                pub fn all() -> Prefix<$row> {
                    Prefix { bytes: vec![$id], row: PhantomData }
                }

                /// The rows whose names begin with this part.
                pub fn under(first: impl Part) -> Prefix<$row> {
                    let mut bytes = vec![$id];
                    first.push_to(&mut bytes);
                    Prefix { bytes, row: PhantomData }
                }
            }
        )+

        /// The tables' numbers and names.
        pub const TABLES: &[(u8, &str)] = &[$(($id, stringify!($name))),+];
    };
}

tables! {
    /// The ledger itself, one row.
    Ledgers = 1: () => pb::LedgerRow;
    /// Policies by version.
    Policies = 2: (version: u32) => pb::PolicyRow;
    /// Actors with their roles.
    Actors = 3: (actor: &str) => pb::ActorRow;
    /// Keys by id.
    Keys = 4: (keyid: &str) => pb::KeyRow;
    /// What was made from the thing at a position, in order.
    Uses = 5: (source: u64, position: u64) => pb::PositionRow;
    /// The batches that have a member in a dataset, in order.
    DatasetBatches = 6: (dataset: u64, batch: u64) => pb::PositionRow;
    /// Batches of documents.
    Documents = 7: (position: u64) => pb::DocumentsRow;
    /// Batches of examples.
    Examples = 8: (position: u64) => pb::ExamplesRow;
    /// Batches of examples of a collection, in order.
    CollectionBatches = 9: (collection: &str, position: u64) => pb::PositionRow;
    /// Scans of a batch.
    Scans = 10: (batch: u64, detector: &str, version: &str) => pb::ScanRow;
    /// Quality checks of a batch.
    Checks = 11: (batch: u64, checker: &str, version: &str) => pb::CheckRow;
    /// Acts of review on a batch.
    Reviews = 12: (batch: u64, position: u64) => pb::ReviewRow;
    /// The first scan of a batch.
    FirstScans = 13: (batch: u64) => pb::FirstScanRow;
    /// Assignments of examples of a batch to reviewers.
    Assignments = 14: (batch: u64, position: u64) => pb::AssignmentRow;
    /// Frozen datasets.
    Datasets = 15: (position: u64) => pb::DatasetRow;
    /// Datasets by name: how many, and the newest.
    DatasetNames = 16: (dataset: &str) => pb::NameRow;
    /// Leakage between a dataset and a suite.
    Leakages = 17: (dataset: u64, suite: u64) => pb::LeakageRow;
    /// Base models.
    Bases = 18: (position: u64) => pb::BaseRow;
    /// Training runs.
    Runs = 20: (position: u64) => pb::RunRow;
    /// Suites by position.
    Suites = 21: (position: u64) => pb::SuiteRow;
    /// Suites by name: how many, and the newest.
    SuiteNames = 22: (suite: &str) => pb::NameRow;
    /// Models.
    Models = 23: (model: &str) => pb::ModelRow;
    /// Versions of models.
    Versions = 24: (model: &str, version: u32) => pb::VersionRow;
    /// Evaluations by position of their request.
    Evaluations = 25: (position: u64) => pb::EvaluationRow;
    /// The newest completed evaluation of a version by a suite's name.
    LatestEvaluations = 26: (model: &str, version: u32, suite: &str) => pb::LatestEvaluationRow;
    /// Promotions by position of their request.
    Promotions = 27: (position: u64) => pb::PromotionRow;
    /// Which of several runs was taken.
    Selections = 28: (position: u64) => pb::SelectionRow;
    /// What each server said last of a model.
    Servings = 35: (model: &str, actor: &str, server: &str) => pb::ServingRow;
    /// Confirmations by which a server changed over or that differ from the record, in order.
    ServingChanges = 36: (model: &str, position: u64) => pb::ServingRow;
    /// What the first confirmation of a version said.
    ServedReferences = 37: (model: &str, version: u32) => pb::ServedReferenceRow;
    /// Experiments.
    Experiments = 38: (position: u64) => pb::ExperimentRow;
    /// Windows of a model, in order.
    Windows = 39: (model: &str, position: u64) => pb::WindowRow;
    /// The newest window of a version by a server; an empty name for a monitor's.
    LatestWindows = 40: (model: &str, version: u32, actor: &str, server: &str) => pb::WindowRow;
    /// Alerts.
    Alerts = 41: (position: u64) => pb::AlertRow;
    /// The newest alert of a kind about a thing.
    LatestAlerts = 42: (model: &str, version: u32, kind: u32, subject: &str) => pb::PositionRow;
    /// How models are trained anew.
    Schedules = 43: (model: &str) => pb::ScheduleRow;
    /// Erasures by position of their first chunk.
    Erasures = 44: (position: u64) => pb::ErasureRow;
    /// What the vault is to erase by an erasure.
    ErasedContents = 45: (erasure: u64, number: u32) => pb::ErasedContentsRow;
    /// What was erased of a batch of documents.
    ErasedDocuments = 46: (batch: u64) => pb::ErasedRow;
    /// What was erased of a batch of examples.
    ErasedExamples = 47: (batch: u64) => pb::ErasedRow;
    /// Erasures that took members out of a frozen dataset.
    DatasetErasures = 48: (dataset: u64, erasure: u64) => pb::DatasetErasureRow;
    /// What becomes of versions that an erasure reached.
    ErasureDecisions = 49: (erasure: u64, model: &str, version: u32) => pb::ErasureDecisionRow;
    /// Legal holds.
    Holds = 50: (position: u64) => pb::HoldRow;
    /// Bundles of evidence that left the house.
    Exports = 60: (position: u64) => pb::ExportRow;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rows_name_begins_with_anothers() {
        let ab = Actors::key("ab");
        let abc = Actors::key("abc");
        assert!(!abc.as_bytes().starts_with(ab.as_bytes()));
        assert!(Versions::key("m", 7).as_bytes().starts_with(Versions::under("m").as_bytes()));
        assert!(!Versions::key("m2", 7).as_bytes().starts_with(Versions::under("m").as_bytes()));
    }

    #[test]
    fn each_table_has_a_number_of_its_own() {
        let mut ids: Vec<_> = TABLES.iter().map(|(id, _)| id).collect();
        ids.dedup();
        assert_eq!(ids.len(), TABLES.len());
    }
}
