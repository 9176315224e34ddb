//! Lists of what there is.

use super::{QueryError, answer};
use crate::replica::StoreView;
use crate::state::{
    Actors, Bases, CollectionBatches, Datasets, Documents, Evaluations, Examples, Exports, Keys, Ledgers, Models,
    Policies, Promotions, Runs, Suites, Versions,
};
use attestune_proto::v1 as pb;

macro_rules! list {
    ($(#[doc = $doc:literal])+ $name:ident, $response:ident { $field:ident }, $table:ident, $match:ident) => {
        $(#[doc = $doc])+
        ///
        /// # Errors
        /// If the state can't be read.
        pub fn $name(view: &StoreView, name: &str) -> Result<pb::$response, QueryError> {
            let view = view.view();
            let mut rows = view.scan(&$table::all());
            rows.retain(|row| name.is_empty() || row.$match == name);
            answer(&view, pb::$response { $field: rows })
        }
    };
}

list!(/// Models, all or one.
    list_models, ListModelsResponse { models }, Models, model);
list!(/// Versions, all or those of one model.
    list_versions, ListVersionsResponse { versions }, Versions, model);
list!(/// Frozen datasets, all or those of one name.
    list_datasets, ListDatasetsResponse { datasets }, Datasets, dataset);
list!(/// Training runs, all or those of one model.
    list_runs, ListRunsResponse { runs }, Runs, model);
list!(/// Suites, all or those of one name.
    list_suites, ListSuitesResponse { suites }, Suites, suite);
list!(/// Base models, all or those of one name.
    list_bases, ListBasesResponse { bases }, Bases, base);
list!(/// Evaluations, all or those of one model.
    list_evaluations, ListEvaluationsResponse { evaluations }, Evaluations, model);
list!(/// Promotions, all or those of one model.
    list_promotions, ListPromotionsResponse { promotions }, Promotions, model);
list!(/// Bundles of evidence that left the house, all or those on one model.
    list_exports, ListExportsResponse { exports }, Exports, model);

/// Actors with their keys.
///
/// # Errors
/// If the state can't be read.
pub fn list_actors(view: &StoreView, name: &str) -> Result<pb::ListActorsResponse, QueryError> {
    let view = view.view();
    let wanted = |actor: &str| name.is_empty() || actor == name;
    let mut actors = view.scan(&Actors::all());
    let mut keys = view.scan(&Keys::all());
    actors.retain(|a| wanted(&a.actor));
    keys.retain(|k| wanted(&k.actor));
    answer(&view, pb::ListActorsResponse { actors, keys })
}

/// Batches of documents and examples, all or those of one collection.
///
/// # Errors
/// If the state can't be read.
pub fn list_batches(view: &StoreView, collection: &str) -> Result<pb::ListBatchesResponse, QueryError> {
    let view = view.view();
    let mut documents = view.scan(&Documents::all());
    documents.retain(|d| collection.is_empty() || d.collection == collection);
    let mut examples = if collection.is_empty() {
        view.scan(&Examples::all())
    } else {
        let batches = view.scan(&CollectionBatches::under(collection));
        batches.iter().filter_map(|b| view.get(&Examples::key(b.position))).collect()
    };
    examples.sort_by_key(|e| e.position);
    answer(&view, pb::ListBatchesResponse { documents, examples })
}

/// A policy, or with 0 the one in force.
///
/// # Errors
/// If there is none, or the state can't be read.
pub fn policy(view: &StoreView, version: u32) -> Result<pb::PolicyRow, QueryError> {
    let view = view.view();
    let ledger = view.get(&Ledgers::key()).unwrap_or_default();
    let version = if version == 0 { ledger.policy_version } else { version };
    let row = view.get(&Policies::key(version));
    answer(&view, row)?.ok_or_else(|| super::not_found("policy", version))
}
