//! Experiments: two versions side by side, the rule by which it ends fixed before it starts.

use super::{Act, check, reversal};
use crate::refusal::Refusal;
use crate::state::{Effects, Experiments, Models, Versions, View};
use attestune_proto::v1::{
    ArmFigures, Conclusion, ExperimentConcluded, ExperimentRow, ExperimentStarted, MetricKind, ModelRow, StopMethod,
    StopRule,
};
use std::cmp::Ordering;

/// The version in force and the challenger share the traffic.
///
/// Refusals, in this order: malformed, no such model, halted, the first is not in force, the second is not the
/// challenger, another experiment runs.
pub fn start(view: &View<'_>, act: &Act<'_>, body: &ExperimentStarted) -> Result<Effects, Refusal> {
    check::id("model", &body.model)?;
    check::id("metric", &body.metric)?;
    check::known::<MetricKind>("metric_kind", body.metric_kind)?;
    check::sealed("assignment_key", body.assignment_key.as_ref())?;
    if !(1..1_000_000).contains(&body.share_ppm) {
        return Err(Refusal::BadField { field: "share_ppm", rule: "must be 1 to 999,999" });
    }
    sound(body.stop.as_ref())?;
    let Some(model) = view.get(&Models::key(&body.model)) else {
        return Err(Refusal::UnknownModel { model: body.model.clone() });
    };
    if let Some(at) = model.halted_at {
        return Err(Refusal::ModelHalted { at });
    }
    if body.a == 0 || body.a != model.in_force {
        return Err(Refusal::NotInForce { named: body.a, in_force: model.in_force });
    }
    if body.b == 0 || body.b != model.challenger {
        return Err(Refusal::NotTheChallenger { named: body.b, challenger: model.challenger });
    }
    if let Some(position) = model.experiment {
        return Err(Refusal::ExperimentRunning { position });
    }
    let row = ExperimentRow {
        position: act.position,
        signer: Some(act.signer()),
        started: Some(body.clone()),
        ..Default::default()
    };
    let arms = [body.a, body.b].into_iter().filter_map(|arm| view.get(&Versions::key(&body.model, arm)));
    Ok(Effects::none()
        .and(&Experiments::key(act.position), &row)
        .and(&Models::key(&body.model), &ModelRow { experiment: Some(act.position), ..model })
        .made_from(act.position, arms.map(|version| version.position)))
}

fn sound(stop: Option<&StopRule>) -> Result<(), Refusal> {
    let bad = |field, rule| Err(Refusal::BadField { field, rule });
    let Some(stop) = stop else { return bad("stop", "is missing") };
    check::known::<StopMethod>("method", stop.method)?;
    if !(1..=500_000).contains(&stop.alpha_ppm) {
        return bad("alpha_ppm", "must be 1 to 500,000");
    }
    if stop.users_min < 2 || stop.users_min > stop.users_max || stop.users_max > 1_000_000_000 {
        return bad("users_max", "must be users_min or more, at most a thousand million, and users_min 2 or more");
    }
    if (stop.method() == StopMethod::ConfidenceSequence) != (stop.tuning > 0) || stop.tuning > 1_000_000_000 {
        return bad("tuning", "is for a confidence sequence, 1 to a thousand million");
    }
    if stop.share_alpha_ppm > 500_000 {
        return bad("share_alpha_ppm", "must be at most 500,000");
    }
    Ok(())
}

/// An experiment ends with its figures. What is in force stays.
///
/// Refusals, in this order: malformed, no such experiment, ended, the conclusion does not fit figures and rule.
pub fn conclude(view: &View<'_>, act: &Act<'_>, body: &ExperimentConcluded) -> Result<Effects, Refusal> {
    let conclusion = check::known::<Conclusion>("conclusion", body.conclusion)?;
    let interval = figures(body)?;
    let Some(experiment) = view.get(&Experiments::key(body.experiment)) else {
        return Err(Refusal::UnknownExperiment { position: body.experiment });
    };
    if experiment.ended_at != 0 {
        return Err(Refusal::Ended { at: experiment.ended_at });
    }
    let started = experiment.started.clone().unwrap_or_default();
    fits(&started.stop.unwrap_or_default(), conclusion, body, interval)?;
    let mut model = view.get(&Models::key(&started.model)).unwrap_or_default();
    let ended = reversal::end_experiment(view, act, &mut model);
    let row = ExperimentRow { concluded: Some(body.clone()), ..ended.unwrap_or(experiment) };
    Ok(Effects::none().and(&Experiments::key(body.experiment), &row).and(&Models::key(&started.model), &model))
}

/// The signs of the interval's ends, from figures that are numbers.
fn figures(body: &ExperimentConcluded) -> Result<(Ordering, Ordering), Refusal> {
    let signed = |field, text: &str| {
        check::sign(text).ok_or(Refusal::BadField { field, rule: "must be a decimal such as -0.0125" })
    };
    for arm in [&body.a, &body.b] {
        let Some(ArmFigures { sum, sum_of_squares, .. }) = arm else {
            return Err(Refusal::BadField { field: "arm", rule: "is missing" });
        };
        signed("sum", sum)?;
        if !check::decimal(sum_of_squares) {
            return Err(Refusal::BadField { field: "sum_of_squares", rule: "must be a decimal such as 0.5" });
        }
    }
    signed("difference", &body.difference)?;
    if body.share_p_ppm > 1_000_000 {
        return Err(Refusal::BadField { field: "share_p_ppm", rule: "must be at most 1,000,000" });
    }
    check::digest("outcomes_root", &body.outcomes_root)?;
    if body.packs.len() > check::BATCH_MAX {
        return Err(Refusal::BadField { field: "packs", rule: "may be 512" });
    }
    body.packs.iter().try_for_each(|pack| check::pack(pack))?;
    Ok((signed("lower", &body.lower)?, signed("upper", &body.upper)?))
}

fn fits(
    stop: &StopRule,
    conclusion: Conclusion,
    body: &ExperimentConcluded,
    (lower, upper): (Ordering, Ordering),
) -> Result<(), Refusal> {
    let arm = |arm: &Option<ArmFigures>| arm.as_ref().map_or(0, |figures| figures.users);
    let users = arm(&body.a).saturating_add(arm(&body.b));
    let unfit = |what| Err(Refusal::ConclusionUnfit { what });
    let mismatch = body.share_p_ppm < stop.share_alpha_ppm;
    match conclusion {
        Conclusion::Stopped => return Ok(()),
        Conclusion::ShareMismatch if !mismatch => return unfit("the users came in the share that was planned"),
        Conclusion::ShareMismatch => return Ok(()),
        _ if mismatch => return unfit("the users came in another share than planned"),
        Conclusion::AIsBetter if upper != Ordering::Less => return unfit("the interval does not lie below 0"),
        Conclusion::BIsBetter if lower != Ordering::Greater => return unfit("the interval does not lie above 0"),
        Conclusion::NoDifference if lower == Ordering::Greater || upper == Ordering::Less => {
            return unfit("the interval does not hold 0");
        }
        Conclusion::NoDifference if users < stop.users_max => return unfit("not all users are in"),
        Conclusion::AIsBetter | Conclusion::BIsBetter | Conclusion::NoDifference | Conclusion::Unspecified => {}
    }
    let least = match stop.method() {
        StopMethod::FixedSample => stop.users_max,
        StopMethod::ConfidenceSequence | StopMethod::Unspecified => stop.users_min,
    };
    if users < least {
        return unfit("too few users are in");
    }
    Ok(())
}
