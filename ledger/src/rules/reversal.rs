//! The ways out of production: rollback and halt. Each takes effect at its position and ends what runs on it.

use super::{Act, check, erasure, promotion::version, training};
use crate::refusal::Refusal;
use crate::state::{Effects, Experiments, Models, Promotions, Versions, View};
use attestune_proto::v1::{
    ExperimentRow, ModelRow, PromotionStatus, RollbackReason, RolledBack, ServingHalted, Stage, VersionRow,
};

/// Back to a version that was in force before; or a challenger leaves, and what is in force stays.
///
/// Refusals, in this order: malformed, no such version, the version named is not the one to be left, no way back.
pub fn roll_back(view: &View<'_>, act: &Act<'_>, body: &RolledBack) -> Result<Effects, Refusal> {
    check::id("model", &body.model)?;
    check::known::<RollbackReason>("reason", body.reason)?;
    let model = training::model(view, &body.model);
    let from = version(view, &body.model, body.from)?;
    let to = version(view, &body.model, body.to)?;
    if model.challenger == body.from && model.in_force == body.to {
        return Ok(challenger_leaves(view, act, model, VersionRow { rolled_back_at: act.position, ..from }));
    }
    let halted = model.in_force == 0 && model.halted_at.is_some() && model.halted_version == body.from;
    if model.in_force != body.from && !halted {
        return Err(Refusal::NotInForce { named: body.from, in_force: model.in_force });
    }
    if body.to == body.from || !may_return(view, &to) {
        return Err(Refusal::NoWayBack { version: body.to });
    }
    Ok(return_to(view, act, model, from, body.to))
}

/// A model, or one version of it, is served no more.
///
/// Refusals, in this order: malformed, no such model, halted already, the version is neither in force nor the challenger.
pub fn halt(view: &View<'_>, act: &Act<'_>, body: &ServingHalted) -> Result<Effects, Refusal> {
    check::id("model", &body.model)?;
    check::known::<RollbackReason>("reason", body.reason)?;
    let Some(model) = view.get(&Models::key(&body.model)) else {
        return Err(Refusal::UnknownModel { model: body.model.clone() });
    };
    if let Some(at) = model.halted_at {
        return Err(Refusal::ModelHalted { at });
    }
    match body.version {
        Some(named) if named != 0 && named == model.challenger => {
            let challenger = version(view, &body.model, named)?;
            Ok(challenger_leaves(view, act, model, VersionRow { halted_at: act.position, ..challenger }))
        }
        Some(named) if named == 0 || named != model.in_force => {
            Err(Refusal::NotInForce { named, in_force: model.in_force })
        }
        only_this => Ok(halt_model(view, act, model, only_this.is_none())),
    }
}

/// Whether a version was in force with all its approvals, and was neither rolled back from nor halted nor retired since.
pub fn may_return(view: &View<'_>, version: &VersionRow) -> bool {
    let untouched = version.production_promotion != 0 && version.rolled_back_at == 0 && version.halted_at == 0;
    if !untouched || erasure::retired(view, version).is_some() {
        return false;
    }
    let promotion = view.get(&Promotions::key(version.production_promotion)).unwrap_or_default();
    promotion.status == PromotionStatus::Promoted as i32 && (!promotion.emergency || promotion.reviewed_at != 0)
}

/// From a version to one that was in force before.
pub fn return_to(view: &View<'_>, act: &Act<'_>, model: ModelRow, from: VersionRow, to: u32) -> Effects {
    let mut model = ModelRow { in_force: to, since: act.position, halted_at: None, halted_version: 0, ..model };
    let from = left(VersionRow { rolled_back_at: act.position, ..from });
    let ended = end_experiment(view, act, &mut model);
    let effects = Effects::none().and(&Models::key(&model.model), &model);
    put_experiment(effects.and(&Versions::key(&from.model, from.version), &from), ended)
}

/// No version is in force any more; with the whole model the challenger goes, too.
pub fn halt_model(view: &View<'_>, act: &Act<'_>, mut model: ModelRow, with_challenger: bool) -> Effects {
    let ended = end_experiment(view, act, &mut model);
    let mut stopped = vec![model.in_force];
    if with_challenger {
        stopped.push(model.challenger);
        model.challenger = 0;
    }
    model.halted_at = Some(act.position);
    (model.halted_version, model.in_force, model.since) = (model.in_force, 0, act.position);
    let mut effects = Effects::none().and(&Models::key(&model.model), &model);
    for number in stopped {
        let name = Versions::key(&model.model, number);
        if let Some(version) = view.get(&name) {
            effects.put(&name, &left(VersionRow { halted_at: act.position, ..version }));
        }
    }
    put_experiment(effects, ended)
}

fn challenger_leaves(view: &View<'_>, act: &Act<'_>, mut model: ModelRow, challenger: VersionRow) -> Effects {
    let ended = end_experiment(view, act, &mut model);
    model.challenger = 0;
    let challenger = left(challenger);
    let effects = Effects::none()
        .and(&Models::key(&model.model), &model)
        .and(&Versions::key(&challenger.model, challenger.version), &challenger);
    put_experiment(effects, ended)
}

/// It has to pass the gate of production anew.
fn left(version: VersionRow) -> VersionRow {
    VersionRow { stage: Stage::Staging as i32, ..version }
}

/// The experiment of a model whose arms change is over.
pub fn end_experiment(view: &View<'_>, act: &Act<'_>, model: &mut ModelRow) -> Option<ExperimentRow> {
    let experiment = view.get(&Experiments::key(model.experiment.take()?))?;
    Some(ExperimentRow { ended_at: act.position, ..experiment })
}

/// Writes what [`end_experiment`] gave.
pub fn put_experiment(effects: Effects, ended: Option<ExperimentRow>) -> Effects {
    match ended {
        Some(row) => effects.and(&Experiments::key(row.position), &row),
        None => effects,
    }
}
