//! Lists of what there is.

use super::erased::erasures_of;
use super::{QueryError, answer};
use crate::replica::StoreView;
use crate::state::{
    Actors, Alerts, Bases, CollectionBatches, Datasets, Documents, Erasures, Evaluations, Examples, Experiments, Holds,
    Keys, Ledgers, Models, Policies, Promotions, Runs, Schedules, Suites, Versions, Windows,
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
list!(/// Windows, all or those of one model.
    list_windows, ListWindowsResponse { windows }, Windows, model);
list!(/// Legal holds, all or those of one name.
    list_holds, ListHoldsResponse { holds }, Holds, hold);

/// Versions, all or those of one model, with the erasures that reached them.
///
/// # Errors
/// If the state can't be read.
pub fn list_versions(view: &StoreView, model: &str) -> Result<pb::ListVersionsResponse, QueryError> {
    let view = view.view();
    let mut versions = view.scan(&Versions::all());
    versions.retain(|row| model.is_empty() || row.model == model);
    let erased_of = |row: &pb::VersionRow| {
        let (model, version) = (row.model.clone(), row.version);
        let of = move |reached| pb::VersionErased { model: model.clone(), version, reached: Some(reached) };
        erasures_of(&view, row).into_iter().map(of)
    };
    let erased = versions.iter().flat_map(erased_of).collect();
    answer(&view, pb::ListVersionsResponse { versions, erased })
}

/// Experiments, all or those of one model.
///
/// # Errors
/// If the state can't be read.
pub fn list_experiments(view: &StoreView, model: &str) -> Result<pb::ListExperimentsResponse, QueryError> {
    let view = view.view();
    let mut experiments = view.scan(&Experiments::all());
    experiments.retain(|row| model.is_empty() || row.started.as_ref().is_some_and(|s| s.model == model));
    answer(&view, pb::ListExperimentsResponse { experiments })
}

/// Alerts, all or those of one model.
///
/// # Errors
/// If the state can't be read.
pub fn list_alerts(view: &StoreView, model: &str) -> Result<pb::ListAlertsResponse, QueryError> {
    let view = view.view();
    let mut alerts = view.scan(&Alerts::all());
    alerts.retain(|row| model.is_empty() || row.raised.as_ref().is_some_and(|r| r.model == model));
    answer(&view, pb::ListAlertsResponse { alerts })
}

/// Schedules, all or that of one model.
///
/// # Errors
/// If the state can't be read.
pub fn list_schedules(view: &StoreView, model: &str) -> Result<pb::ListSchedulesResponse, QueryError> {
    let view = view.view();
    let mut schedules = view.scan(&Schedules::all());
    schedules.retain(|row| model.is_empty() || row.schedule.as_ref().is_some_and(|s| s.model == model));
    answer(&view, pb::ListSchedulesResponse { schedules })
}

/// Erasures, in order.
///
/// # Errors
/// If the state can't be read.
pub fn list_erasures(view: &StoreView) -> Result<pb::ListErasuresResponse, QueryError> {
    let view = view.view();
    let erasures = view.scan(&Erasures::all());
    answer(&view, pb::ListErasuresResponse { erasures })
}

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
