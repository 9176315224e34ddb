//! Lists of what there is: whole, or the newest of it, so that a page of a large ledger costs no more than one of a small.

use super::erased::erasures_of;
use super::{QueryError, answer};
use crate::replica::StoreView;
use crate::state::{
    Actors, Alerts, Bases, CollectionBatches, Datasets, Documents, Erasures, Evaluations, Examples, Experiments,
    Exports, Holds, Keys, Ledgers, Models, Policies, Prefix, Promotions, Runs, Schedules, Suites, Versions, Windows,
};
use attestune_proto::v1 as pb;
use prost::Message;

/// Which rows of a list are wanted: all, in order; or with a limit the newest ones first.
#[derive(Debug, Copy, Clone, Default)]
pub struct Wanted<'a> {
    /// Only those of this name; empty for all.
    pub name: &'a str,
    /// At most so many, the newest first; 0 for all.
    pub limit: u32,
    /// With a limit: only those below this position; 0 for all.
    pub before: u64,
}

impl<'a> From<&'a str> for Wanted<'a> {
    fn from(name: &'a str) -> Self {
        Self { name, ..Self::default() }
    }
}

impl<'a> From<&'a pb::ListRequest> for Wanted<'a> {
    fn from(request: &'a pb::ListRequest) -> Self {
        Self { name: &request.name, limit: request.limit, before: request.before }
    }
}

impl Wanted<'_> {
    /// The rows of a table that is named by positions.
    fn rows<R: Message + Default>(
        &self,
        store: &StoreView,
        table: &Prefix<R>,
        is: impl Fn(&R) -> bool,
    ) -> Result<Vec<R>, QueryError> {
        if self.limit != 0 {
            return Ok(store.newest_rows(table, self.below(), self.limit as usize, is)?);
        }
        let view = store.view();
        let mut rows = view.scan(table);
        rows.retain(is);
        answer(&view, rows)
    }

    fn below(&self) -> u64 {
        if self.before == 0 { u64::MAX } else { self.before }
    }

    fn names(&self, name: &str) -> bool {
        self.name.is_empty() || self.name == name
    }
}

macro_rules! list {
    ($(#[doc = $doc:literal])+ $name:ident, $response:ident { $field:ident }, $table:ident, $match:ident) => {
        $(#[doc = $doc])+
        ///
        /// # Errors
        /// If the state can't be read.
        pub fn $name<'a>(view: &StoreView, wanted: impl Into<Wanted<'a>>) -> Result<pb::$response, QueryError> {
            let wanted = wanted.into();
            Ok(pb::$response { $field: wanted.rows(view, &$table::all(), |row| wanted.names(&row.$match))? })
        }
    };
}

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
list!(/// Legal holds, all or those of one name.
    list_holds, ListHoldsResponse { holds }, Holds, hold);

/// Models, all or one.
///
/// # Errors
/// If the state can't be read.
pub fn list_models(view: &StoreView, name: &str) -> Result<pb::ListModelsResponse, QueryError> {
    let view = view.view();
    let models = match name {
        "" => view.scan(&Models::all()),
        name => view.get(&Models::key(name)).into_iter().collect(),
    };
    answer(&view, pb::ListModelsResponse { models })
}

/// Windows, all or those of one model.
///
/// # Errors
/// If the state can't be read.
pub fn list_windows(view: &StoreView, model: &str) -> Result<pb::ListWindowsResponse, QueryError> {
    let view = view.view();
    let windows = view.scan(&if model.is_empty() { Windows::all() } else { Windows::under(model) });
    answer(&view, pb::ListWindowsResponse { windows })
}

/// Versions, all or those of one model, with the erasures that reached them. With a limit `before` is a number, and the
/// model must be named.
///
/// # Errors
/// If the state can't be read.
pub fn list_versions<'a>(
    view: &StoreView,
    wanted: impl Into<Wanted<'a>>,
) -> Result<pb::ListVersionsResponse, QueryError> {
    let (view, wanted) = (view.view(), wanted.into());
    let model = wanted.name;
    let versions: Vec<pb::VersionRow> = if model.is_empty() {
        view.scan(&Versions::all())
    } else if wanted.limit == 0 {
        view.scan(&Versions::under(model))
    } else {
        let newest = u64::from(view.get(&Models::key(model)).map_or(0, |row| row.versions));
        let numbers = (1..wanted.below().min(newest + 1)).rev().take(wanted.limit as usize);
        numbers.filter_map(|number| view.get(&Versions::key(model, u32::try_from(number).ok()?))).collect()
    };
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
pub fn list_experiments<'a>(
    view: &StoreView,
    wanted: impl Into<Wanted<'a>>,
) -> Result<pb::ListExperimentsResponse, QueryError> {
    let wanted = wanted.into();
    let of = |row: &pb::ExperimentRow| wanted.names(row.started.as_ref().map_or("", |s| s.model.as_str()));
    Ok(pb::ListExperimentsResponse { experiments: wanted.rows(view, &Experiments::all(), of)? })
}

/// Alerts, all or those of one model.
///
/// # Errors
/// If the state can't be read.
pub fn list_alerts<'a>(view: &StoreView, wanted: impl Into<Wanted<'a>>) -> Result<pb::ListAlertsResponse, QueryError> {
    let wanted = wanted.into();
    let of = |row: &pb::AlertRow| wanted.names(row.raised.as_ref().map_or("", |r| r.model.as_str()));
    Ok(pb::ListAlertsResponse { alerts: wanted.rows(view, &Alerts::all(), of)? })
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
pub fn list_batches<'a>(
    store: &StoreView,
    wanted: impl Into<Wanted<'a>>,
) -> Result<pb::ListBatchesResponse, QueryError> {
    let wanted = wanted.into();
    let documents = wanted.rows(store, &Documents::all(), |row| wanted.names(&row.collection))?;
    if wanted.name.is_empty() {
        let examples = wanted.rows(store, &Examples::all(), |_| true)?;
        return Ok(pb::ListBatchesResponse { documents, examples });
    }
    let batches = wanted.rows(store, &CollectionBatches::under(wanted.name), |_| true)?;
    let view = store.view();
    let examples = batches.iter().filter_map(|b| view.get(&Examples::key(b.position))).collect();
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
