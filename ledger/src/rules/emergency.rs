//! Emergency promotions: in force at once, the gate as ever, the approvals by a deadline.

use super::{Act, check, promotion, reversal};
use crate::draft::plain;
use crate::refusal::Refusal;
use crate::state::{Effects, Models, Promotions, Versions, View};
use attestune_proto::v1::{ModelRow, PromotionRow, PromotionStatus, Role, Stage, VersionRow};

/// Whether the actor may bring a version in ahead of its approvals. Answers the time by which these must have come.
///
/// Refusals, in this order: the policy does not let this person, another emergency promotion is unreviewed, the person
/// took part in making the version.
pub fn deadline(view: &View<'_>, act: &Act<'_>, model: &ModelRow, version: &VersionRow) -> Result<u64, Refusal> {
    let emergency = act.policy.emergency.clone().unwrap_or_default();
    if !emergency.roles.iter().any(|role| act.actor.roles.contains(role)) {
        let roles = emergency.roles.iter().filter_map(|role| Role::try_from(*role).ok());
        let roles: Vec<_> = roles.map(|role| plain(role.as_str_name(), "ROLE_")).collect();
        let needs = if roles.is_empty() { "the policy names none".into() } else { roles.join(", ") };
        return Err(Refusal::EmergencyNotAllowed { needs });
    }
    if let Some(position) = model.unreviewed {
        return Err(Refusal::EmergencyUnreviewed { position });
    }
    if let Some(part) = promotion::part_in_making(view, version, &act.event.actor) {
        return Err(Refusal::EmergencyTookPart { actor: act.event.actor.clone(), part });
    }
    Ok(act.time_ms.saturating_add(emergency.deadline_ms))
}

/// Whether a promotion took effect and still waits for its approvals.
pub fn unreviewed(promotion: &PromotionRow) -> bool {
    promotion.emergency && promotion.status == PromotionStatus::Promoted as i32 && promotion.reviewed_at == 0
}

/// The last approval has come: it stands like any other promotion.
pub fn reviewed(act: &Act<'_>, promotion: PromotionRow, model: ModelRow) -> Effects {
    let promotion = PromotionRow { reviewed_at: act.position, ..promotion };
    Effects::none()
        .and(&Promotions::key(promotion.position), &promotion)
        .and(&Models::key(&model.model), &ModelRow { unreviewed: None, ..model })
        .made_from(promotion.position, promotion.evaluations)
}

/// An approver says no: back to the version that was replaced, or a halt where there is no way back.
pub fn reject(view: &View<'_>, act: &Act<'_>, promotion: PromotionRow, model: ModelRow) -> Result<Effects, Refusal> {
    let version = promotion::version(view, &promotion.model, promotion.version)?;
    let replaced = promotion.replaces.and_then(|number| view.get(&Versions::key(&promotion.model, number)));
    let promotion = PromotionRow { status: PromotionStatus::Rejected as i32, reviewed_at: act.position, ..promotion };
    let closed = Effects::none().and(&Promotions::key(promotion.position), &promotion);
    let model = ModelRow { unreviewed: None, ..model };
    if check::stage(promotion.to) == Stage::Staging && check::stage(version.stage) == Stage::Staging {
        let version = VersionRow { stage: Stage::Dev as i32, ..version };
        let effects = closed.and(&Models::key(&model.model), &model);
        return Ok(effects.and(&Versions::key(&version.model, version.version), &version));
    }
    if check::stage(promotion.to) != Stage::Production || model.in_force != version.version {
        // It has left by another way already.
        return Ok(closed.and(&Models::key(&model.model), &model));
    }
    let effects = match replaced.filter(|to| reversal::may_return(view, to)) {
        Some(to) => reversal::return_to(view, act, model, version, to.version),
        None => reversal::halt_model(view, act, model, false),
    };
    Ok(closed.and_all(effects))
}
