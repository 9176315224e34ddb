//! Base models and training runs.

use super::{Act, check, erasure, lease, schedule};
use crate::refusal::Refusal;
use crate::state::{Bases, Datasets, Effects, Models, Runs, Selections, Versions, View};
use attestune_proto::v1::{
    BaseModelRegistered, BaseRow, FailureReason, Hyperparameters, HyperparametersSelected, ModelRow, Reproduction,
    RunRow, SelectionRow, Stage, TrainingClaimed, TrainingCompleted, TrainingFailed, TrainingProgressed,
    TrainingReproduced, TrainingRequested, VersionRow, WorkStatus,
};

/// A base model by its digests.
pub fn register_base(act: &Act<'_>, body: &BaseModelRegistered) -> Result<Effects, Refusal> {
    check::id("base", &body.base)?;
    check::id("origin", &body.origin)?;
    check::id("licence", &body.licence)?;
    check::digest("weights_digest", &body.weights_digest)?;
    check::digest("tokenizer_digest", &body.tokenizer_digest)?;
    let row = BaseRow {
        position: act.position,
        base: body.base.clone(),
        origin: body.origin.clone(),
        licence: body.licence.clone(),
        weights_digest: body.weights_digest.clone(),
        tokenizer_digest: body.tokenizer_digest.clone(),
        actor: act.event.actor.clone(),
    };
    Ok(Effects::none().and(&Bases::key(act.position), &row))
}

/// A run on a frozen dataset, with every hyperparameter.
///
/// Refusals, in this order: malformed, no such dataset or base model, a hyperparameter out of range, members of the dataset
/// were erased, not what the schedule asks for.
pub fn request(view: &View<'_>, act: &Act<'_>, body: &TrainingRequested) -> Result<Effects, Refusal> {
    check::id("model", &body.model)?;
    if view.get(&Datasets::key(body.dataset)).is_none() {
        return Err(Refusal::UnknownDataset { position: body.dataset });
    }
    if view.get(&Bases::key(body.base)).is_none() {
        return Err(Refusal::UnknownBase { position: body.base });
    }
    let Some(hyperparameters) = &body.hyperparameters else {
        return Err(Refusal::BadField { field: "hyperparameters", rule: "are missing" });
    };
    sound(hyperparameters)?;
    erasure::untouched(view, body.dataset)?;
    let scheduled_by = schedule::asks(view, act, body)?.unwrap_or_default();
    let row = RunRow {
        position: act.position,
        model: body.model.clone(),
        dataset: body.dataset,
        base: body.base,
        hyperparameters: Some(hyperparameters.clone()),
        requested_by: Some(act.signer()),
        status: WorkStatus::Open as i32,
        schedule: body.schedule,
        scheduled_by,
        ..Default::default()
    };
    let sources = [body.dataset, body.base].into_iter().chain(body.schedule);
    Ok(Effects::none().and(&Runs::key(act.position), &row).made_from(act.position, sources))
}

/// A worker takes the run's lease.
pub fn claim(view: &View<'_>, act: &Act<'_>, body: &TrainingClaimed) -> Result<Effects, Refusal> {
    let mut run = run(view, body.run)?;
    let state = (run.status, run.ended_at);
    let lease = lease::claim(act, state, run.lease.as_ref(), body.previous, act.policy.training_lease_ms)?;
    erasure::untouched(view, run.dataset)?;
    run.lease = Some(lease);
    run.status = WorkStatus::Claimed as i32;
    // Whoever claims it begins anew.
    (run.step, run.steps, run.loss_micro) = (0, 0, 0);
    if let Err(place) = run.claimed_by.binary_search(&act.event.actor) {
        run.claimed_by.insert(place, act.event.actor.clone());
    }
    Ok(Effects::none().and(&Runs::key(body.run), &run))
}

/// Progress renews the lease.
pub fn progress(view: &View<'_>, act: &Act<'_>, body: &TrainingProgressed) -> Result<Effects, Refusal> {
    let mut run = run(view, body.run)?;
    lease::report(act, (run.status, run.ended_at), run.lease.as_ref(), body.token)?;
    erasure::untouched(view, run.dataset)?;
    if body.step > body.steps || body.step < run.step {
        return Err(Refusal::BadField { field: "step", rule: "must not run backwards nor past the last step" });
    }
    (run.step, run.steps, run.loss_micro) = (body.step, body.steps, body.loss_micro);
    if let Some(lease) = &mut run.lease {
        lease.expires_ms = act.time_ms.saturating_add(act.policy.training_lease_ms);
    }
    Ok(Effects::none().and(&Runs::key(body.run), &run))
}

/// The run's result becomes the model's next version, in dev.
///
/// Refusals, in this order: malformed, no such run, ended, a stale token or lease, members of the dataset were erased, other
/// inputs than asked for.
pub fn complete(view: &View<'_>, act: &Act<'_>, body: &TrainingCompleted) -> Result<Effects, Refusal> {
    check::digest("adapter_digest", &body.adapter_digest)?;
    check::sealed("adapter", body.adapter.as_ref())?;
    check::environment(&body.environment)?;
    let mut run = run(view, body.run)?;
    lease::report(act, (run.status, run.ended_at), run.lease.as_ref(), body.token)?;
    erasure::untouched(view, run.dataset)?;
    let dataset = view.get(&Datasets::key(run.dataset)).unwrap_or_default();
    let base = view.get(&Bases::key(run.base)).unwrap_or_default();
    let inputs = [
        ("dataset", &dataset.root, &body.dataset_root),
        ("base model", &base.weights_digest, &body.weights_digest),
        ("tokenizer", &base.tokenizer_digest, &body.tokenizer_digest),
    ];
    if let Some((what, ..)) = inputs.into_iter().find(|(_, asked, used)| asked != used) {
        return Err(Refusal::InputsDiffer { what });
    }
    let mut model = model(view, &run.model);
    model.versions += 1;
    run.status = WorkStatus::Completed as i32;
    run.ended_at = act.position;
    run.version = model.versions;
    (run.step, run.steps, run.loss_micro) = (body.steps, body.steps, body.final_loss_micro);
    let version = VersionRow {
        run: Some(body.run),
        base: run.base,
        adapter_digest: body.adapter_digest.clone(),
        adapter: body.adapter.clone(),
        ..new_version(act, &model)
    };
    Ok(Effects::none()
        .and(&Runs::key(body.run), &run)
        .and(&Models::key(&run.model), &model)
        .and(&Versions::key(&run.model, model.versions), &version)
        .made_from(act.position, [body.run]))
}

/// The run ends without a result.
pub fn fail(view: &View<'_>, act: &Act<'_>, body: &TrainingFailed) -> Result<Effects, Refusal> {
    check::known::<FailureReason>("reason", body.reason)?;
    let mut run = run(view, body.run)?;
    lease::report(act, (run.status, run.ended_at), run.lease.as_ref(), body.token)?;
    run.status = WorkStatus::Failed as i32;
    run.ended_at = act.position;
    Ok(Effects::none().and(&Runs::key(body.run), &run))
}

/// Which of several runs was taken.
pub fn select(view: &View<'_>, act: &Act<'_>, body: &HyperparametersSelected) -> Result<Effects, Refusal> {
    check::id("model", &body.model)?;
    check::batch_len("runs", body.runs.len())?;
    check::ascending("runs", body.runs.iter())?;
    for position in &body.runs {
        let run = run(view, *position)?;
        let fits = run.model == body.model && run.dataset == body.dataset;
        if !fits || run.status != WorkStatus::Completed as i32 {
            return Err(Refusal::RunNotCompleted { position: *position });
        }
    }
    if !body.runs.contains(&body.chosen) {
        return Err(Refusal::RunNotCompleted { position: body.chosen });
    }
    let row = SelectionRow {
        model: body.model.clone(),
        dataset: body.dataset,
        runs: body.runs.clone(),
        chosen: body.chosen,
        signer: Some(act.signer()),
    };
    Ok(Effects::none().and(&Selections::key(act.position), &row))
}

/// A completed run was repeated; the weakest result stands. "Exact" must name the same adapter.
pub fn reproduce(view: &View<'_>, body: &TrainingReproduced) -> Result<Effects, Refusal> {
    check::digest("adapter_digest", &body.adapter_digest)?;
    check::environment(&body.environment)?;
    let reproduction = check::known::<Reproduction>("reproduction", body.reproduction)?;
    let mut run = run(view, body.run)?;
    if run.status != WorkStatus::Completed as i32 {
        return Err(Refusal::RunNotCompleted { position: body.run });
    }
    let version = view.get(&Versions::key(&run.model, run.version)).unwrap_or_default();
    let same = version.adapter_digest == body.adapter_digest;
    if same != (reproduction == Reproduction::Exact) {
        return Err(Refusal::InputsDiffer { what: "adapter, by the class that the report states," });
    }
    run.reproductions += 1;
    run.reproduction = run.reproduction.max(body.reproduction);
    Ok(Effects::none().and(&Runs::key(body.run), &run))
}

/// A run that must exist.
fn run(view: &View<'_>, position: u64) -> Result<RunRow, Refusal> {
    view.get(&Runs::key(position)).ok_or(Refusal::UnknownRun { position })
}

/// A model's row, an empty one if it has no version yet.
pub fn model(view: &View<'_>, model: &str) -> ModelRow {
    view.get(&Models::key(model)).unwrap_or_else(|| ModelRow { model: model.into(), ..Default::default() })
}

/// The model's newest version as this act brings it in: in dev.
pub fn new_version(act: &Act<'_>, model: &ModelRow) -> VersionRow {
    VersionRow {
        model: model.model.clone(),
        version: model.versions,
        position: act.position,
        stage: Stage::Dev as i32,
        registered_by: act.event.actor.clone(),
        ..Default::default()
    }
}

/// Refuses hyperparameters out of range.
pub fn sound(h: &Hyperparameters) -> Result<(), Refusal> {
    let bad = |name, rule| Err(Refusal::BadHyperparameter { name, rule });
    if h.rank == 0 || h.rank > 1024 {
        return bad("rank", "must be 1 to 1024");
    }
    if h.alpha == 0 || h.alpha > 65_536 {
        return bad("alpha", "must be 1 to 65,536");
    }
    if h.targets.is_empty() || h.targets.len() > 16 || h.targets.iter().any(|t| check::id("targets", t).is_err()) {
        return bad("targets", "must name 1 to 16 layers");
    }
    if h.targets.windows(2).any(|w| w[0] >= w[1]) {
        return bad("targets", "must be in ascending order, none twice");
    }
    if !check::decimal(&h.learning_rate) {
        return bad("learning_rate", "must be a decimal such as 0.002, at most 32 characters");
    }
    if !check::decimal(&h.weight_decay) {
        return bad("weight_decay", "must be a decimal such as 0.01, at most 32 characters");
    }
    if h.warmup_ppm > 1_000_000 {
        return bad("warmup_ppm", "must be at most 1,000,000");
    }
    if h.epochs == 0 && h.steps_max == 0 {
        return bad("epochs", "must be at least 1 where steps_max is not given");
    }
    if h.batch_size == 0 || h.batch_size > 4096 {
        return bad("batch_size", "must be 1 to 4096");
    }
    if h.tokens_max == 0 || h.tokens_max > 131_072 {
        return bad("tokens_max", "must be 1 to 131,072");
    }
    if h.threads == 0 || h.threads > 1024 {
        return bad("threads", "must be 1 to 1024");
    }
    Ok(())
}
