//! Versions through their stages: requests, approvals, rollback.

use super::{Act, check, gate, policy, training};
use crate::refusal::Refusal;
use crate::state::{Bases, Datasets, Effects, Models, Promotions, Runs, Versions, View};
use attestune_proto::v1::{
    Approval, ApprovalMeaning, KeyCustody, Kind, ModelRegistered, ModelRow, PromotionApproved, PromotionRejected,
    PromotionRequested, PromotionRow, PromotionStatus, PromotionWithdrawn, RejectionReason, RollbackReason, RolledBack,
    Stage, VersionRow,
};

/// A version that was trained elsewhere, in dev.
pub fn register_model(view: &View<'_>, act: &Act<'_>, body: &ModelRegistered) -> Result<Effects, Refusal> {
    check::id("model", &body.model)?;
    check::id("origin", &body.origin)?;
    check::digest("adapter_digest", &body.adapter_digest)?;
    check::sealed("adapter", body.adapter.as_ref())?;
    if view.get(&Bases::key(body.base)).is_none() {
        return Err(Refusal::UnknownBase { position: body.base });
    }
    let mut model = training::model(view, &body.model);
    model.versions += 1;
    let version = VersionRow {
        base: body.base,
        adapter_digest: body.adapter_digest.clone(),
        adapter: body.adapter.clone(),
        ..training::new_version(act, &model)
    };
    Ok(Effects::none()
        .and(&Models::key(&body.model), &model)
        .and(&Versions::key(&body.model, model.versions), &version)
        .made_from(act.position, [body.base]))
}

/// Asks to move a version one stage up; where no approval is needed, it moves.
///
/// Refusals, in this order: malformed, no such version, another promotion is open, the wrong stage, not the version in
/// force that it would replace, the gate.
pub fn request(view: &View<'_>, act: &Act<'_>, body: &PromotionRequested) -> Result<Effects, Refusal> {
    check::id("model", &body.model)?;
    let to = check::known::<Stage>("to", body.to)?;
    let version = version(view, &body.model, body.version)?;
    let model = training::model(view, &body.model);
    if let Some(position) = model.open_promotion
        && view.get(&Promotions::key(position)).is_some_and(|p| open_until_now(act, &p))
    {
        return Err(Refusal::PromotionOpen { position });
    }
    one_step(&version, to)?;
    replaces(&model, to, body.replaces)?;
    let evaluations = gate::judge(view, act, &version, to)?;
    let promotion = PromotionRow {
        position: act.position,
        model: body.model.clone(),
        version: body.version,
        to: body.to,
        replaces: body.replaces,
        requested_by: Some(act.signer()),
        approvals: Vec::new(),
        approvals_needed: policy::gate(&act.policy, to).map_or(0, |g| g.approvals),
        status: PromotionStatus::Open as i32,
        decided_at: 0,
        policy_version: act.ledger.policy_version,
        evaluations,
    };
    let made_of = version.position;
    if promotion.approvals_needed == 0 {
        return Ok(promote(act, promotion, version, model).made_from(act.position, [made_of]));
    }
    let model = ModelRow { open_promotion: Some(act.position), ..model };
    let effects =
        Effects::none().and(&Promotions::key(act.position), &promotion).and(&Models::key(&body.model), &model);
    Ok(effects.made_from(act.position, promotion.evaluations).made_from(act.position, [made_of]))
}

/// An approver agrees; the last approval needed moves the stage.
///
/// Refusals, in this order: malformed, no such promotion, decided or closed, the request was not seen, a browser's
/// key, the approver took part, approved before; at the last one also: not in force, the gate.
pub fn approve(view: &View<'_>, act: &Act<'_>, body: &PromotionApproved) -> Result<Effects, Refusal> {
    check::known::<ApprovalMeaning>("meaning", body.meaning)?;
    let mut promotion = open(view, act, body.promotion)?;
    let seen = act.event.seen.as_ref().map_or(0, |s| s.size);
    if seen <= body.promotion {
        return Err(Refusal::RequestNotSeen { request: body.promotion, seen });
    }
    let browser = act.keys.iter().find(|k| k.custody == KeyCustody::Browser as i32);
    if let (Some(key), false) = (browser, act.policy.browser_keys_approve) {
        return Err(Refusal::BrowserKey { keyid: key.keyid.clone() });
    }
    let version = version(view, &promotion.model, promotion.version)?;
    if let Some(part) = part_in(view, &promotion, &version, &act.event.actor) {
        return Err(Refusal::ApproverTookPart { actor: act.event.actor.clone(), part });
    }
    let approved_before =
        promotion.approvals.iter().any(|a| a.signer.as_ref().is_some_and(|s| s.actor == act.event.actor));
    if approved_before {
        return Err(Refusal::ApprovedBefore { actor: act.event.actor.clone() });
    }
    promotion.approvals.push(Approval { signer: Some(act.signer()), meaning: body.meaning });
    // Only those count whose key and role still stand; a voided one must be given anew by somebody else.
    let counting = promotion
        .approvals
        .iter()
        .filter(|a| a.signer.as_ref().is_some_and(|s| super::counts(view, &act.policy, s, Kind::PromotionApproved)));
    if (counting.count() as u32) < promotion.approvals_needed {
        return Ok(Effects::none().and(&Promotions::key(body.promotion), &promotion));
    }
    let model = training::model(view, &promotion.model);
    let to = Stage::try_from(promotion.to).unwrap_or_default();
    replaces(&model, to, promotion.replaces)?;
    // Again: a newer evaluation may have come since the request.
    promotion.evaluations = gate::judge(view, act, &version, to)?;
    Ok(promote(act, promotion, version, model))
}

/// An approver or officer says no.
pub fn reject(view: &View<'_>, act: &Act<'_>, body: &PromotionRejected) -> Result<Effects, Refusal> {
    check::known::<RejectionReason>("reason", body.reason)?;
    let promotion = open(view, act, body.promotion)?;
    Ok(close(view, act, promotion, PromotionStatus::Rejected))
}

/// Who asked takes it back.
pub fn withdraw(view: &View<'_>, act: &Act<'_>, body: &PromotionWithdrawn) -> Result<Effects, Refusal> {
    let promotion = open(view, act, body.promotion)?;
    if promotion.requested_by.as_ref().is_none_or(|r| r.actor != act.event.actor) {
        return Err(Refusal::NotTheRequester { actor: act.event.actor.clone() });
    }
    Ok(close(view, act, promotion, PromotionStatus::Withdrawn))
}

/// Back to a version that was in force before; takes effect at its position.
pub fn roll_back(view: &View<'_>, act: &Act<'_>, body: &RolledBack) -> Result<Effects, Refusal> {
    check::id("model", &body.model)?;
    check::known::<RollbackReason>("reason", body.reason)?;
    let model = training::model(view, &body.model);
    let mut from = version(view, &body.model, body.from)?;
    let to = version(view, &body.model, body.to)?;
    if model.in_force != body.from {
        return Err(Refusal::NotInForce { named: body.from, in_force: model.in_force });
    }
    if body.to == body.from || to.production_promotion == 0 || to.rolled_back_at != 0 {
        return Err(Refusal::NoWayBack { version: body.to });
    }
    from.rolled_back_at = act.position;
    // It has to pass the gate of production anew.
    from.stage = Stage::Staging as i32;
    let row = ModelRow { in_force: body.to, since: act.position, ..model };
    Ok(Effects::none().and(&Models::key(&body.model), &row).and(&Versions::key(&body.model, body.from), &from))
}

/// In which part of making a version somebody took part, as words for the refusal.
pub fn part_in(view: &View<'_>, promotion: &PromotionRow, version: &VersionRow, actor: &str) -> Option<&'static str> {
    let is = |signer: &Option<attestune_proto::v1::Signer>| signer.as_ref().is_some_and(|s| s.actor == actor);
    if is(&promotion.requested_by) {
        return Some("requested the promotion");
    }
    let Some(run) = version.run.and_then(|r| view.get(&Runs::key(r))) else {
        return (version.registered_by == actor).then_some("registered the model");
    };
    if is(&run.requested_by) {
        return Some("requested the training");
    }
    if run.claimed_by.iter().any(|a| a == actor) {
        return Some("ran the training");
    }
    let dataset = view.get(&Datasets::key(run.dataset))?;
    if is(&dataset.signer) {
        return Some("froze the dataset");
    }
    dataset.contributors.iter().any(|a| a == actor).then_some("ingested or derived training data")
}

fn version(view: &View<'_>, model: &str, version: u32) -> Result<VersionRow, Refusal> {
    view.get(&Versions::key(model, version))
        .ok_or_else(|| Refusal::UnknownVersion { model: model.chars().take(64).collect(), version })
}

fn open(view: &View<'_>, act: &Act<'_>, position: u64) -> Result<PromotionRow, Refusal> {
    let promotion = view.get(&Promotions::key(position)).ok_or(Refusal::UnknownPromotion { position })?;
    if !open_until_now(act, &promotion) {
        return Err(Refusal::PromotionDecided { at: promotion.decided_at });
    }
    Ok(promotion)
}

/// Open, and neither a new policy nor a clock correction has closed it since.
fn open_until_now(act: &Act<'_>, promotion: &PromotionRow) -> bool {
    promotion.status == PromotionStatus::Open as i32
        && promotion.policy_version == act.ledger.policy_version
        && promotion.position >= act.ledger.clock_corrected_at
}

fn one_step(version: &VersionRow, to: Stage) -> Result<(), Refusal> {
    let is = Stage::try_from(version.stage).unwrap_or_default();
    match (is, to) {
        (Stage::Dev, Stage::Staging) | (Stage::Staging, Stage::Production) => Ok(()),
        _ => Err(Refusal::WrongStage { is: stage_name(is), to: stage_name(to) }),
    }
}

/// Compare and set: a production promotion names the version that it replaces.
fn replaces(model: &ModelRow, to: Stage, named: Option<u32>) -> Result<(), Refusal> {
    let named = named.unwrap_or(0);
    let expected = if to == Stage::Production { model.in_force } else { 0 };
    if named != expected {
        return Err(Refusal::NotInForce { named, in_force: model.in_force });
    }
    Ok(())
}

fn promote(act: &Act<'_>, promotion: PromotionRow, version: VersionRow, model: ModelRow) -> Effects {
    let position = promotion.position;
    let promotion = PromotionRow { status: PromotionStatus::Promoted as i32, decided_at: act.position, ..promotion };
    let mut version = VersionRow { stage: promotion.to, ..version };
    let mut model = ModelRow { open_promotion: None, ..model };
    if promotion.to == Stage::Production as i32 {
        version.production_promotion = position;
        version.rolled_back_at = 0;
        model.in_force = version.version;
        model.since = act.position;
    }
    Effects::none()
        .and(&Promotions::key(position), &promotion)
        .and(&Versions::key(&version.model, version.version), &version)
        .and(&Models::key(&model.model), &model)
        .made_from(position, promotion.evaluations)
}

fn close(view: &View<'_>, act: &Act<'_>, promotion: PromotionRow, status: PromotionStatus) -> Effects {
    let model = training::model(view, &promotion.model);
    let promotion = PromotionRow { status: status as i32, decided_at: act.position, ..promotion };
    Effects::none()
        .and(&Promotions::key(promotion.position), &promotion)
        .and(&Models::key(&model.model), &ModelRow { open_promotion: None, ..model })
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Unspecified => "no stage",
        Stage::Dev => "dev",
        Stage::Staging => "staging",
        Stage::Production => "production",
    }
}
