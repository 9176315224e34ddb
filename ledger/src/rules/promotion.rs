//! Versions through their stages: requests and approvals.

use super::{Act, check, emergency, erasure, gate, policy, reversal, training};
use crate::refusal::Refusal;
use crate::state::{Bases, Datasets, Effects, Models, Promotions, Runs, Versions, View};
use attestune_proto::v1::{
    Approval, ApprovalMeaning, KeyCustody, Kind, ModelRegistered, ModelRow, PromotionApproved, PromotionRejected,
    PromotionRequested, PromotionRow, PromotionStatus, PromotionWithdrawn, RejectionReason, Role, Stage, VersionRow,
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

/// Asks to move a version one stage up; where no approval is needed, or in an emergency, it moves.
///
/// Refusals, in this order: malformed, no such version, another promotion is open, the wrong stage, not the version in
/// force that it would replace or none to challenge, retired after an erasure, no emergency by this person, the gate.
pub fn request(view: &View<'_>, act: &Act<'_>, body: &PromotionRequested) -> Result<Effects, Refusal> {
    check::id("model", &body.model)?;
    let to = check::known::<Stage>("to", body.to)?;
    if body.challenger && (to != Stage::Production || body.replaces.is_some() || body.emergency) {
        let rule = "is for production, replaces no version and is no emergency";
        return Err(Refusal::BadField { field: "challenger", rule });
    }
    let version = version(view, &body.model, body.version)?;
    let model = training::model(view, &body.model);
    if let Some(position) = model.open_promotion
        && view.get(&Promotions::key(position)).is_some_and(|p| open_until_now(act, &p))
    {
        return Err(Refusal::PromotionOpen { position });
    }
    let mut promotion = asked(act, body);
    one_step(&version, &model, &promotion)?;
    has_place(&model, &promotion)?;
    if let Some(erasure) = erasure::retired(view, &version) {
        return Err(Refusal::VersionRetired { version: body.version, erasure });
    }
    if body.emergency {
        promotion.review_by_ms = emergency::deadline(view, act, &model, &version)?;
    }
    promotion.evaluations = gate::judge(view, act, &version, to)?;
    let made_of = version.position;
    if promotion.approvals_needed == 0 || promotion.emergency {
        return Ok(promote(view, act, promotion, version, model).made_from(act.position, [made_of]));
    }
    let model = ModelRow { open_promotion: Some(act.position), ..model };
    let effects =
        Effects::none().and(&Promotions::key(act.position), &promotion).and(&Models::key(&body.model), &model);
    Ok(effects.made_from(act.position, promotion.evaluations).made_from(act.position, [made_of]))
}

/// A request as its row begins.
fn asked(act: &Act<'_>, body: &PromotionRequested) -> PromotionRow {
    let needed = policy::gate(&act.policy, check::stage(body.to)).map_or(0, |g| g.approvals);
    PromotionRow {
        position: act.position,
        model: body.model.clone(),
        version: body.version,
        to: body.to,
        replaces: body.replaces,
        requested_by: Some(act.signer()),
        // A scheduler asks; it never promotes.
        approvals_needed: needed.max(u32::from(act.has(Role::Scheduler))),
        status: PromotionStatus::Open as i32,
        policy_version: act.ledger.policy_version,
        challenger: body.challenger,
        // Where no approval is asked for, none is put off.
        emergency: body.emergency && needed > 0,
        ..Default::default()
    }
}

/// An approver agrees; the last approval needed moves the stage, or ends an emergency promotion's review.
///
/// Refusals, in this order: malformed, no such promotion, decided or closed, the request was not seen, a browser's
/// key, the approver took part, approved before; at the last one also: not in force, the gate.
pub fn approve(view: &View<'_>, act: &Act<'_>, body: &PromotionApproved) -> Result<Effects, Refusal> {
    check::known::<ApprovalMeaning>("meaning", body.meaning)?;
    let mut promotion = undecided(view, act, body.promotion)?;
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
    let late = promotion.emergency && act.time_ms > promotion.review_by_ms;
    promotion.approvals.push(Approval { signer: Some(act.signer()), meaning: body.meaning, late });
    // Only those count whose key and role still stand; a voided one must be given anew by somebody else.
    let counting = promotion
        .approvals
        .iter()
        .filter(|a| a.signer.as_ref().is_some_and(|s| super::counts(view, &act.policy, s, Kind::PromotionApproved)));
    if (counting.count() as u32) < promotion.approvals_needed {
        return Ok(Effects::none().and(&Promotions::key(body.promotion), &promotion));
    }
    let model = training::model(view, &promotion.model);
    let in_effect = promotion.emergency;
    if !in_effect {
        has_place(&model, &promotion)?;
    }
    // Again: a newer evaluation may have come since the request.
    promotion.evaluations = gate::judge(view, act, &version, check::stage(promotion.to))?;
    match in_effect {
        true => Ok(emergency::reviewed(act, promotion, model)),
        false => Ok(promote(view, act, promotion, version, model)),
    }
}

/// An approver or officer says no.
pub fn reject(view: &View<'_>, act: &Act<'_>, body: &PromotionRejected) -> Result<Effects, Refusal> {
    check::known::<RejectionReason>("reason", body.reason)?;
    let promotion = undecided(view, act, body.promotion)?;
    if promotion.emergency {
        let model = training::model(view, &promotion.model);
        return emergency::reject(view, act, promotion, model);
    }
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

/// In which part of making a version, or of asking for its promotion, somebody took part, as words for the refusal.
fn part_in(view: &View<'_>, promotion: &PromotionRow, version: &VersionRow, actor: &str) -> Option<&'static str> {
    if promotion.requested_by.as_ref().is_some_and(|s| s.actor == actor) {
        return Some("requested the promotion");
    }
    part_in_making(view, version, actor)
}

/// In which part of making a version somebody took part, as words for the refusal.
pub fn part_in_making(view: &View<'_>, version: &VersionRow, actor: &str) -> Option<&'static str> {
    let is = |signer: &Option<attestune_proto::v1::Signer>| signer.as_ref().is_some_and(|s| s.actor == actor);
    let Some(run) = version.run.and_then(|r| view.get(&Runs::key(r))) else {
        return (version.registered_by == actor).then_some("registered the model");
    };
    if is(&run.requested_by) {
        return Some("requested the training");
    }
    if run.schedule.is_some() && run.scheduled_by == actor {
        return Some("set the schedule that led to the training");
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

/// A version that must exist.
pub fn version(view: &View<'_>, model: &str, version: u32) -> Result<VersionRow, Refusal> {
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

/// Open, or an emergency's that waits for its approvals.
fn undecided(view: &View<'_>, act: &Act<'_>, position: u64) -> Result<PromotionRow, Refusal> {
    match view.get(&Promotions::key(position)) {
        Some(promotion) if emergency::unreviewed(&promotion) => Ok(promotion),
        _ => open(view, act, position),
    }
}

/// Open, and neither a new policy nor a clock correction has closed it since.
fn open_until_now(act: &Act<'_>, promotion: &PromotionRow) -> bool {
    promotion.status == PromotionStatus::Open as i32
        && promotion.policy_version == act.ledger.policy_version
        && promotion.position >= act.ledger.clock_corrected_at
}

/// One stage up; or a challenger, which is in production already, is to replace the version in force.
fn one_step(version: &VersionRow, model: &ModelRow, promotion: &PromotionRow) -> Result<(), Refusal> {
    let (is, to) = (check::stage(version.stage), check::stage(promotion.to));
    match (is, to) {
        (Stage::Dev, Stage::Staging) | (Stage::Staging, Stage::Production) => Ok(()),
        (Stage::Production, Stage::Production) if model.challenger == version.version && !promotion.challenger => {
            Ok(())
        }
        _ => Err(Refusal::WrongStage { is: stage_name(is), to: stage_name(to) }),
    }
}

/// Compare and set: a production promotion names the version that it replaces. A challenger replaces none, but there must
/// be one to challenge, in peace.
fn has_place(model: &ModelRow, promotion: &PromotionRow) -> Result<(), Refusal> {
    if promotion.challenger {
        return match (model.in_force, model.experiment) {
            (0, _) => Err(Refusal::NothingToChallenge { model: model.model.clone() }),
            (_, Some(position)) => Err(Refusal::ExperimentRunning { position }),
            _ => Ok(()),
        };
    }
    let named = promotion.replaces.unwrap_or(0);
    let expected = if check::stage(promotion.to) == Stage::Production { model.in_force } else { 0 };
    if named != expected {
        return Err(Refusal::NotInForce { named, in_force: model.in_force });
    }
    Ok(())
}

fn promote(view: &View<'_>, act: &Act<'_>, promotion: PromotionRow, version: VersionRow, model: ModelRow) -> Effects {
    let position = promotion.position;
    let promotion = PromotionRow { status: PromotionStatus::Promoted as i32, decided_at: act.position, ..promotion };
    let mut version = VersionRow { stage: promotion.to, ..version };
    let mut model = ModelRow { open_promotion: None, ..model };
    let mut ended = None;
    if check::stage(promotion.to) == Stage::Production {
        (version.rolled_back_at, version.halted_at) = (0, 0);
        if promotion.challenger {
            version.challenger_promotion = position;
            model.challenger = version.version;
        } else {
            ended = reversal::end_experiment(view, act, &mut model);
            version.production_promotion = position;
            (model.in_force, model.since) = (version.version, act.position);
            (model.halted_at, model.halted_version) = (None, 0);
            if model.challenger == version.version {
                model.challenger = 0;
            }
        }
    }
    if promotion.emergency {
        model.unreviewed = Some(position);
    }
    let effects = Effects::none()
        .and(&Promotions::key(position), &promotion)
        .and(&Versions::key(&version.model, version.version), &version)
        .and(&Models::key(&model.model), &model);
    reversal::put_experiment(effects, ended).made_from(position, promotion.evaluations)
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
