//! Which version was in force, since when, on whose word.

use super::erased::erasures_of;
use super::history::history_event;
use super::provenance::evaluation_provenance;
use super::{QueryError, answer, not_found};
use crate::replica::StoreView;
use crate::state::{Actors, Datasets, Evaluations, Keys, Ledgers, Models, Promotions, Runs, Versions};
use attestune_proto::v1::{ApprovalRecord, PromotionRow, WhyInForceResponse};

/// Why a version is in force at the view's moment; version 0 where none is.
///
/// # Errors
/// If there is no such model then, or the state can't be read.
pub fn why_in_force(store: &StoreView, model: &str) -> Result<WhyInForceResponse, QueryError> {
    let as_of_position = store.size().saturating_sub(1);
    let view = store.view();
    let row = view.get(&Models::key(model)).ok_or_else(|| not_found("model", model))?;
    let mut found = WhyInForceResponse {
        version: row.in_force,
        as_of_position,
        as_of_ms: view.fold_time(as_of_position).unwrap_or(0),
        policy_version: view.get(&Ledgers::key()).map_or(0, |l| l.policy_version),
        ..Default::default()
    };
    if let Some(at) = row.halted_at {
        found.halt = Some(history_event(store, at)?);
        found.halted_version = row.halted_version;
    }
    if row.in_force == 0 {
        return answer(&view, found);
    }
    found.challenger = row.challenger;
    found.since_position = row.since;
    found.since_ms = view.fold_time(row.since).unwrap_or(0);
    let version = view.get(&Versions::key(model, row.in_force)).unwrap_or_default();
    if let Some(promotion) = view.get(&Promotions::key(version.production_promotion)) {
        if promotion.decided_at != row.since {
            found.rollback = Some(history_event(store, row.since)?);
        }
        found.approvals = approvals(store, &promotion)?;
        let evaluations = promotion.evaluations.iter().filter_map(|e| view.get(&Evaluations::key(*e)));
        found.evaluations = evaluations.map(|e| evaluation_provenance(&view, e)).collect();
        found.policy_version = promotion.policy_version;
        found.promotion = Some(promotion);
    }
    found.erasures = erasures_of(&view, &version);
    found.run = version.run.and_then(|r| view.get(&Runs::key(r)));
    found.dataset = found.run.as_ref().and_then(|r| view.get(&Datasets::key(r.dataset)));
    answer(&view, found)
}

fn approvals(store: &StoreView, promotion: &PromotionRow) -> Result<Vec<ApprovalRecord>, QueryError> {
    let view = store.view();
    let mut records = Vec::new();
    for approval in &promotion.approvals {
        let signer = approval.signer.clone().unwrap_or_default();
        let actor = view.get(&Actors::key(&signer.actor)).unwrap_or_default();
        let key = view.get(&Keys::key(&signer.keyid)).unwrap_or_default();
        records.push(ApprovalRecord {
            actor: signer.actor,
            printed_name: actor.printed_name,
            position: signer.position,
            time_ms: view.fold_time(signer.position).unwrap_or(0),
            meaning: approval.meaning,
            affected: key.revoked_at.is_some(),
            late: approval.late,
        });
    }
    answer(&view, records)
}
