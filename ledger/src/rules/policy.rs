//! The policy: what makes one valid, the default one, and its look-ups.

use super::check;
use crate::refusal::Refusal;
use crate::state::{Ledgers, View};
use attestune_proto::v1::{Bound, Gate, HumanReview, Kind, Permission, Policy, Role, Stage, Tool};
use std::sync::Arc;

const DAY_MS: u64 = 86_400_000;

/// The policy in force in a view; an empty one, under which nothing is allowed, where there is no ledger.
pub fn in_force(view: &View<'_>) -> Arc<Policy> {
    view.policy(view.get(&Ledgers::key()).unwrap_or_default().policy_version)
}

/// The gate of a stage.
pub fn gate(policy: &Policy, stage: Stage) -> Option<&Gate> {
    policy.gates.iter().find(|g| g.stage == stage as i32)
}

/// The least bar that a gate asks of a category, parts per million.
pub fn bar_ppm(gate: &Gate, category: &str) -> u32 {
    gate.bars.iter().find(|b| b.category == category).map_or(gate.bar_ppm, |b| b.ppm)
}

/// Whether a policy is whole and does not contradict itself.
pub fn validate(policy: Option<&Policy>) -> Result<(), Refusal> {
    let bad = |what: &str| Refusal::BadPolicy { what: what.into() };
    let Some(policy) = policy else { return Err(bad("it is missing")) };
    let review = HumanReview::try_from(policy.human_review).unwrap_or_default();
    if review == HumanReview::Unspecified {
        return Err(bad("human_review is missing or unknown"));
    }
    if (review == HumanReview::Sample) != (policy.sample_ppm > 0) || policy.sample_ppm > 1_000_000 {
        return Err(bad("sample_ppm must be 1 to 1,000,000 with human_review sample, and 0 otherwise"));
    }
    if policy.detectors.is_empty() {
        return Err(bad("at least one detector must be required"));
    }
    for tool in policy.detectors.iter().chain(&policy.checkers) {
        check::id("tool", &tool.name)
            .and(check::id("tool", &tool.version))
            .map_err(|_| bad("a tool's name or version"))?;
    }
    gates(policy).map_err(bad)?;
    let times = [
        policy.training_lease_ms,
        policy.evaluation_lease_ms,
        policy.seen_age_max_ms,
        policy.root_seen_age_max_ms,
        policy.clock_lag_max_ms,
        policy.retraining_interval_ms,
    ];
    if times.iter().any(|t| *t == 0 || *t > 3660 * DAY_MS) {
        return Err(bad("every time must be at least 1 ms and at most ten years"));
    }
    permissions(policy).map_err(bad)
}

fn gates(policy: &Policy) -> Result<(), &'static str> {
    let stages: Vec<i32> = policy.gates.iter().map(|g| g.stage).collect();
    if stages != [Stage::Staging as i32, Stage::Production as i32] {
        return Err("it needs two gates, staging and then production");
    }
    for gate in &policy.gates {
        if gate.suites.is_empty() || gate.suites.iter().any(|s| check::id("suite", s).is_err()) {
            return Err("each gate needs one suite or more, named by identifiers");
        }
        if !matches!(Bound::try_from(gate.bound), Ok(Bound::PassRate | Bound::Lower95)) {
            return Err("a gate's bound is missing or unknown");
        }
        let bars = gate.bars.iter().map(|b| b.ppm).chain([gate.bar_ppm]);
        if bars.into_iter().any(|ppm| ppm == 0 || ppm > 1_000_000) {
            return Err("a bar must be 1 to 1,000,000 parts per million");
        }
        if gate.bars.iter().any(|b| check::id("category", &b.category).is_err()) {
            return Err("a category is no identifier");
        }
        if gate.approvals > 16 {
            return Err("a gate may ask for 16 approvals at most");
        }
    }
    match policy.gates.last() {
        Some(production) if production.approvals > 0 => Ok(()),
        _ => Err("production needs one approval at least"),
    }
}

fn permissions(policy: &Policy) -> Result<(), &'static str> {
    let mut last = 0;
    for permission in &policy.permissions {
        let kind = Kind::try_from(permission.kind).unwrap_or_default();
        if kind == Kind::Unspecified || check::is_root(kind) || permission.kind <= last {
            return Err("permissions name known kinds that are not root kinds, ascending, none twice");
        }
        last = permission.kind;
        let known = |r: &i32| *r != 0 && Role::try_from(*r).is_ok();
        if permission.roles.is_empty() || !permission.roles.iter().all(known) {
            return Err("a permission needs one known role or more");
        }
    }
    Ok(())
}

/// The policy that `attestune init` proposes: review of what is flagged, one suite named `suite`, 95 % of each
/// category, one approval for staging and two for production.
pub fn default_policy(detectors: Vec<Tool>, checkers: Vec<Tool>, suite: &str) -> Policy {
    let gate = |stage: Stage, approvals| Gate {
        stage: stage as i32,
        suites: vec![suite.into()],
        bar_ppm: 950_000,
        bars: Vec::new(),
        bound: Bound::PassRate as i32,
        approvals,
        unchecked_leakage: false,
    };
    Policy {
        human_review: HumanReview::Flagged as i32,
        sample_ppm: 0,
        detectors,
        checkers,
        gates: vec![gate(Stage::Staging, 1), gate(Stage::Production, 2)],
        training_lease_ms: 5 * 60_000,
        evaluation_lease_ms: 10 * 60_000,
        seen_age_max_ms: DAY_MS,
        root_seen_age_max_ms: 30 * DAY_MS,
        clock_lag_max_ms: 60_000,
        retraining_interval_ms: 91 * DAY_MS,
        browser_keys_approve: false,
        permissions: default_permissions(),
    }
}

fn default_permissions() -> Vec<Permission> {
    use Kind as K;
    use Role as R;
    let rows: &[(Kind, &[Role])] = &[
        (K::StateAttested, &[R::Gateway]),
        (K::KeyRegistered, &[R::Admin]),
        (K::KeyRevoked, &[R::Admin]),
        (K::RoleGranted, &[R::Admin]),
        (K::RoleWithdrawn, &[R::Admin]),
        (K::DocumentsIngested, &[R::Steward]),
        (K::ExamplesDerived, &[R::Steward]),
        (K::ExamplesScanned, &[R::Scanner]),
        (K::ExamplesChecked, &[R::Checker]),
        (K::LeakageChecked, &[R::Checker]),
        (K::DatasetFrozen, &[R::Steward, R::Engineer]),
        (K::ContentAccessed, &[R::Gateway]),
        (K::AccessDenied, &[R::Gateway]),
        (K::EvidenceExported, &[R::Officer]),
        (K::ReviewAssigned, &[R::Steward, R::Officer]),
        (K::ExamplesReviewed, &[R::Reviewer]),
        (K::ReviewReopened, &[R::Reviewer, R::Officer]),
        (K::BaseModelRegistered, &[R::Engineer]),
        (K::TrainingRequested, &[R::Engineer]),
        (K::TrainingClaimed, &[R::Trainer]),
        (K::TrainingProgressed, &[R::Trainer]),
        (K::TrainingCompleted, &[R::Trainer]),
        (K::TrainingFailed, &[R::Trainer]),
        (K::HyperparametersSelected, &[R::Engineer]),
        (K::TrainingReproduced, &[R::Trainer]),
        (K::SuiteRegistered, &[R::Engineer, R::Officer]),
        (K::EvaluationRequested, &[R::Engineer, R::Officer]),
        (K::EvaluationClaimed, &[R::Evaluator]),
        (K::EvaluationCompleted, &[R::Evaluator]),
        (K::EvaluationFailed, &[R::Evaluator]),
        (K::ModelRegistered, &[R::Engineer]),
        (K::PromotionRequested, &[R::Engineer, R::Approver]),
        (K::PromotionApproved, &[R::Approver]),
        (K::PromotionRejected, &[R::Approver, R::Officer]),
        (K::PromotionWithdrawn, &[R::Engineer, R::Approver]),
        (K::RolledBack, &[R::Engineer, R::Approver, R::Officer]),
    ];
    rows.iter()
        .map(|(kind, roles)| Permission { kind: *kind as i32, roles: roles.iter().map(|r| *r as i32).collect() })
        .collect()
}
