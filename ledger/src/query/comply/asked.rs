//! The moment that questions are asked about.

use crate::query::{QueryError, due, reckoned_from};
use crate::replica::StoreView;
use crate::rules::policy;
use crate::state::{Actors, Keys, Models, Promotions, View};
use attestune_proto::v1::{
    ActorKind, ActorRow, DueItem, DueKind, KeyRow, Kind, ModelRow, Policy, PromotionRow, PromotionStatus,
    RevocationReason, Signer, Stage,
};
use std::sync::Arc;

/// The state at a moment, the asker's clock, and what several questions read of both.
pub struct Asked<'a> {
    pub store: &'a StoreView,
    pub view: View<'a>,
    /// The policy in force at the moment.
    pub policy: Arc<Policy>,
    /// The asker's time, milliseconds.
    pub now_ms: u64,
    pub models: Vec<ModelRow>,
    /// Promotions that brought a version into production, as challengers and in emergencies, too.
    pub changes: Vec<PromotionRow>,
    due: Vec<DueItem>,
}

impl<'a> Asked<'a> {
    /// Reads what several questions need.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn new(store: &'a StoreView, now_ms: u64) -> Result<Self, QueryError> {
        let view = store.view();
        let now_ms = reckoned_from(&view, now_ms);
        let mut changes = view.scan(&Promotions::all());
        changes.retain(took_effect_in_production);
        Ok(Self {
            policy: policy::in_force(&view),
            models: view.scan(&Models::all()),
            due: due(store, "", now_ms)?.items,
            store,
            view,
            now_ms,
            changes,
        })
    }

    /// Models with a version in force.
    pub fn in_production(&self) -> impl Iterator<Item = &ModelRow> {
        self.models.iter().filter(|model| model.in_force != 0)
    }

    /// What somebody or something owes, of a kind.
    pub fn due(&self, kind: DueKind) -> impl Iterator<Item = &DueItem> {
        self.due.iter().filter(move |item| item.kind() == kind)
    }

    /// The same, past its time.
    pub fn overdue(&self, kind: DueKind) -> impl Iterator<Item = &DueItem> {
        self.due(kind).filter(|item| item.overdue)
    }

    /// What must be said of somebody's word because its key was later reported lost or compromised.
    pub fn doubt(&self, signer: Option<&Signer>) -> Option<String> {
        let signer = signer?;
        let key = self.view.get(&Keys::key(&signer.keyid))?;
        let at = key.revoked_at?;
        let why = match key.reason() {
            RevocationReason::Lost => "lost",
            RevocationReason::Compromised => "compromised",
            RevocationReason::Unspecified | RevocationReason::Superseded | RevocationReason::Left => return None,
        };
        Some(format!(
            "rests on the word of {} at {}, whose key was reported {why} at {at}",
            signer.actor, signer.position
        ))
    }

    /// What must be said where a person's word is asked for and another gave it, as the policy may name workers' roles.
    pub fn no_person(&self, signer: Option<&Signer>) -> Option<String> {
        let signer = signer?;
        let kind = self.view.get(&Actors::key(&signer.actor)).map(|actor| actor.kind());
        let other = kind != Some(ActorKind::Person);
        other.then(|| format!("rests on the word of {} at {}, who is no person", signer.actor, signer.position))
    }

    /// Persons who can do a kind of act now.
    pub fn persons_able(&self, kind: Kind) -> Vec<ActorRow> {
        let mut actors = self.able(kind);
        actors.retain(|actor| actor.kind() == ActorKind::Person);
        actors
    }

    /// Actors who can do a kind of act now: they hold a role that the policy asks for, and a key that stands.
    pub fn able(&self, kind: Kind) -> Vec<ActorRow> {
        let roles = self.roles_for(kind);
        let mut actors = self.view.scan(&Actors::all());
        actors
            .retain(|actor| actor.roles.iter().any(|role| roles.contains(role)) && !self.active_keys(actor).is_empty());
        actors
    }

    /// The roles of which the policy asks one for a kind.
    pub fn roles_for(&self, kind: Kind) -> &[i32] {
        self.policy.permissions.iter().find(|row| row.kind() == kind).map_or(&[], |row| &row.roles)
    }

    /// An actor's keys that are not revoked.
    pub fn active_keys(&self, actor: &ActorRow) -> Vec<KeyRow> {
        let keys = actor.keyids.iter().filter_map(|keyid| self.view.get(&Keys::key(keyid)));
        keys.filter(|key| key.revoked_at.is_none()).collect()
    }
}

fn took_effect_in_production(promotion: &PromotionRow) -> bool {
    // An emergency takes effect at once, whatever is decided on it later.
    promotion.to() == Stage::Production && (promotion.status() == PromotionStatus::Promoted || promotion.emergency)
}
