//! What is decided, and what servers say they serve.

use super::{QueryError, answer, reckoned_from};
use crate::replica::StoreView;
use crate::rules::policy;
use crate::state::{Models, Servings, View};
use attestune_proto::v1::{
    GetServingResponse, ModelRow, ModelServing, Policy, ServerServing, ServerStatus, ServingOccasion, ServingRow,
};

/// What is served of one model, or of all that have a version in production or a server, at the asker's time (0 for the
/// view's own).
///
/// # Errors
/// If the state can't be read.
pub fn serving(store: &StoreView, model: &str, now_ms: u64) -> Result<GetServingResponse, QueryError> {
    let view = store.view();
    let policy = policy::in_force(&view);
    let now_ms = reckoned_from(&view, now_ms);
    let mut models = view.scan(&Models::all());
    models.retain(|row| model.is_empty() || row.model == model);
    let mut found = Vec::with_capacity(models.len());
    for decided in models {
        let servers: Vec<_> = view.scan(&Servings::under(decided.model.as_str()));
        if model.is_empty() && decided.since == 0 && decided.halted_at.is_none() && servers.is_empty() {
            continue;
        }
        let servers = servers.into_iter().map(|row| server(&view, &policy, &decided, row, now_ms));
        found.push(ModelServing {
            servers: servers.collect(),
            decided_ms: view.fold_time(decided.since).unwrap_or(0),
            decided: Some(decided),
        });
    }
    let response = GetServingResponse { models: found, as_of_position: store.size().saturating_sub(1) };
    answer(&view, response)
}

fn server(view: &View<'_>, policy: &Policy, decided: &ModelRow, row: ServingRow, now_ms: u64) -> ServerServing {
    let confirmed_ms = row.signer.as_ref().and_then(|s| view.fold_time(s.position)).unwrap_or(0);
    ServerServing {
        confirmed_ms,
        changed_ms: view.fold_time(row.changed_at).unwrap_or(0),
        status: status(policy, decided, &row, confirmed_ms, now_ms) as i32,
        serving: Some(row),
    }
}

/// How a server's last word stands to what is decided.
pub fn status(policy: &Policy, decided: &ModelRow, row: &ServingRow, confirmed_ms: u64, now_ms: u64) -> ServerStatus {
    let said = row.confirmed.clone().unwrap_or_default();
    let challenger = decided.experiment.map(|_| decided.challenger);
    if said.occasion() == ServingOccasion::Stopped {
        ServerStatus::Stopped
    } else if policy.serving_silence_ms > 0 && now_ms.saturating_sub(confirmed_ms) > policy.serving_silence_ms {
        ServerStatus::Silent
    } else if !row.differs.is_empty() {
        ServerStatus::Differs
    } else if said.version != decided.in_force || said.challenger.map(|arm| arm.version) != challenger {
        ServerStatus::Behind
    } else {
        ServerStatus::Current
    }
}
