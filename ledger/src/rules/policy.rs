//! The policy: what makes one valid, the default one, and its look-ups.

use super::{check, keys::holder_kind};
use crate::refusal::Refusal;
use crate::state::{Ledgers, View};
use attestune_proto::v1::{
    ActorKind, Bound, Gate, HumanReview, Kind, Permission, Policy, ReviewReason, ReviewRules, ReviewVerdict, Role,
    Stage, Tool, Watch,
};
use std::sync::Arc;

const DAY_MS: u64 = 86_400_000;
const TIME_MAX_MS: u64 = 3660 * DAY_MS;
/// How long a claim keeps others away where the policy says nothing.
const CLAIM_MS: u64 = 30 * 60_000;

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
    if times.iter().any(|t| *t == 0 || *t > TIME_MAX_MS) {
        return Err(bad("every time must be at least 1 ms and at most ten years"));
    }
    after_promotion(policy).map_err(bad)?;
    permissions(policy).map_err(bad)?;
    policy.review.as_ref().map_or(Ok(()), reviewing).map_err(bad)
}

fn reviewing(rules: &ReviewRules) -> Result<(), &'static str> {
    if rules.second_review_ppm > 1_000_000 {
        return Err("second_review_ppm must be at most 1,000,000");
    }
    if rules.claim_ms > TIME_MAX_MS || rules.due_ms > TIME_MAX_MS {
        return Err("the times of review must be at most ten years");
    }
    let mut last = 0;
    for row in &rules.reasons {
        let known = row.verdict > last && ReviewVerdict::try_from(row.verdict).is_ok();
        let reasons = !row.reasons.is_empty()
            && row.reasons.iter().all(|r| *r != 0 && ReviewReason::try_from(*r).is_ok())
            && check::ascending("reasons", row.reasons.iter()).is_ok();
        if !known || !reasons {
            return Err(
                "review reasons name known verdicts, ascending, each with known reasons, ascending, none twice",
            );
        }
        last = row.verdict;
    }
    match &rules.allow_list {
        Some(sealed) => check::sealed("allow_list", Some(sealed)).map_err(|_| "the allow list is no sealed content"),
        None => Ok(()),
    }
}

/// How people review under a policy.
pub fn review_rules(policy: &Policy) -> ReviewRules {
    policy.review.clone().unwrap_or_default()
}

/// How long a claim keeps others away, in milliseconds.
pub fn claim_ms(policy: &Policy) -> u64 {
    match policy.review.as_ref().map_or(0, |rules| rules.claim_ms) {
        0 => CLAIM_MS,
        named => named,
    }
}

/// Whether the policy takes a reason with a verdict.
pub fn takes_reason(policy: &Policy, verdict: i32, reason: i32) -> bool {
    let rows = policy.review.iter().flat_map(|rules| &rules.reasons);
    rows.filter(|row| row.verdict == verdict).all(|row| row.reasons.contains(&reason))
}

fn after_promotion(policy: &Policy) -> Result<(), &'static str> {
    let times = [
        policy.serving_silence_ms,
        policy.watch_silence_ms,
        policy.alert_response_ms,
        policy.request_retention_ms,
        policy.key_backup_retention_ms,
    ];
    if times.iter().any(|t| *t > TIME_MAX_MS) {
        return Err("every time must be at most ten years");
    }
    let persons = |roles: &[i32]| roles.windows(2).all(|w| w[0] < w[1]) && roles.iter().all(is_persons);
    if let Some(emergency) = &policy.emergency
        && (!(1..=TIME_MAX_MS).contains(&emergency.deadline_ms)
            || emergency.roles.is_empty()
            || !persons(&emergency.roles))
    {
        return Err("an emergency needs a deadline of ten years at most, and roles of persons, ascending");
    }
    if policy.by_number.iter().any(|r| *r == 0 || Role::try_from(*r).is_err())
        || !policy.by_number.windows(2).all(|w| w[0] < w[1])
    {
        return Err("by_number needs known roles, ascending");
    }
    let Some(watch) = &policy.watch else { return Ok(()) };
    if !(1..=TIME_MAX_MS).contains(&watch.window_ms) {
        return Err("a window must be at least 1 ms and at most ten years");
    }
    let shares = [watch.refusals_max_ppm, watch.format_failures_max_ppm, watch.errors_max_ppm, watch.cusum_bad_ppm];
    if shares.iter().any(|ppm| *ppm > 1_000_000) {
        return Err("a share to be watched must be at most 1,000,000 parts per million");
    }
    if (watch.cusum_bad_ppm == 0) != (watch.cusum_limit_milli == 0) {
        return Err("a CUSUM needs the rate that is bad and its limit");
    }
    Ok(())
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

/// What somebody judges and answers for: no policy leaves it to a program.
const JUDGEMENTS: [Kind; 8] = [
    Kind::ExamplesReviewed,
    Kind::ReviewReopened,
    Kind::ErasureDecided,
    Kind::LegalHoldPlaced,
    Kind::LegalHoldReleased,
    Kind::PromotionApproved,
    Kind::PromotionRejected,
    Kind::AlertAcknowledged,
];

fn is_persons(role: &i32) -> bool {
    Role::try_from(*role).is_ok_and(|role| holder_kind(role) == ActorKind::Person)
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
        if JUDGEMENTS.contains(&kind) && !permission.roles.iter().all(is_persons) {
            return Err(
                "reviews, approvals, rejections, acknowledgements, decisions on erasures and legal holds are for \
                 roles of persons only",
            );
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
        review: None,
        emergency: None,
        serving_silence_ms: 15 * 60_000,
        watch_silence_ms: DAY_MS,
        alert_response_ms: DAY_MS,
        request_retention_ms: 30 * DAY_MS,
        key_backup_retention_ms: 0,
        by_number: vec![Role::Engineer as i32, Role::Approver as i32, Role::Officer as i32],
        watch: Some(default_watch()),
    }
}

fn default_watch() -> Watch {
    Watch {
        window_ms: 3_600_000,
        judged_max: 50,
        refusals_max_ppm: 200_000,
        format_failures_max_ppm: 50_000,
        errors_max_ppm: 10_000,
        latency_p99_max_us: 0,
        // The usual reading of the index: above 0.25 the population has shifted.
        psi_max_ppm: 250_000,
        cusum_bad_ppm: 900_000,
        cusum_limit_milli: 4_000,
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
        (K::DatasetFrozen, &[R::Steward, R::Engineer, R::Scheduler]),
        (K::ContentAccessed, &[R::Gateway]),
        (K::AccessDenied, &[R::Gateway]),
        (K::EvidenceExported, &[R::Officer]),
        (K::ReviewAssigned, &[R::Steward, R::Officer]),
        (K::ExamplesReviewed, &[R::Reviewer]),
        (K::ReviewReopened, &[R::Reviewer, R::Officer]),
        (K::SubjectErased, &[R::Steward, R::Officer]),
        (K::ErasureDecided, &[R::Officer]),
        (K::LegalHoldPlaced, &[R::Officer]),
        (K::LegalHoldReleased, &[R::Officer]),
        (K::BaseModelRegistered, &[R::Engineer]),
        (K::TrainingRequested, &[R::Engineer, R::Scheduler]),
        (K::TrainingClaimed, &[R::Trainer]),
        (K::TrainingProgressed, &[R::Trainer]),
        (K::TrainingCompleted, &[R::Trainer]),
        (K::TrainingFailed, &[R::Trainer]),
        (K::HyperparametersSelected, &[R::Engineer]),
        (K::TrainingReproduced, &[R::Trainer]),
        (K::SuiteRegistered, &[R::Engineer, R::Officer]),
        (K::EvaluationRequested, &[R::Engineer, R::Officer, R::Scheduler]),
        (K::EvaluationClaimed, &[R::Evaluator]),
        (K::EvaluationCompleted, &[R::Evaluator]),
        (K::EvaluationFailed, &[R::Evaluator]),
        (K::ModelRegistered, &[R::Engineer]),
        (K::PromotionRequested, &[R::Engineer, R::Approver, R::Scheduler]),
        (K::PromotionApproved, &[R::Approver]),
        (K::PromotionRejected, &[R::Approver, R::Officer]),
        (K::PromotionWithdrawn, &[R::Engineer, R::Approver]),
        (K::RolledBack, &[R::Engineer, R::Approver, R::Officer]),
        (K::ServingHalted, &[R::Engineer, R::Approver, R::Officer]),
        (K::ServingConfirmed, &[R::Gateway]),
        (K::ExperimentStarted, &[R::Engineer]),
        (K::ExperimentConcluded, &[R::Engineer, R::Officer, R::Monitor]),
        (K::WindowObserved, &[R::Gateway, R::Monitor]),
        (K::AlertRaised, &[R::Gateway, R::Monitor]),
        (K::AlertAcknowledged, &[R::Engineer, R::Approver, R::Officer]),
        (K::ScheduleSet, &[R::Engineer, R::Officer]),
    ];
    rows.iter()
        .map(|(kind, roles)| Permission { kind: *kind as i32, roles: roles.iter().map(|r| *r as i32).collect() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_proto::v1::{Sealed, VerdictReasons};

    #[test]
    fn what_somebody_answers_for_is_left_to_no_program() {
        let tool = |name: &str| vec![Tool { name: name.into(), version: "1".into() }];
        let default = default_policy(tool("pii"), tool("quality"), "triage");
        assert_eq!(validate(Some(&default)), Ok(()));
        for kind in JUDGEMENTS {
            let mut policy = default.clone();
            let row = policy.permissions.iter_mut().find(|row| row.kind == kind as i32).unwrap();
            row.roles.push(Role::Monitor as i32);
            assert!(matches!(validate(Some(&policy)), Err(Refusal::BadPolicy { what }) if what.contains("persons")));
        }
    }

    fn judged(review: ReviewRules) -> Result<(), Refusal> {
        let tool = |name: &str| vec![Tool { name: name.into(), version: "1".into() }];
        validate(Some(&Policy { review: Some(review), ..default_policy(tool("pii"), tool("quality"), "triage") }))
    }

    fn reasons(rows: &[(i32, &[i32])]) -> ReviewRules {
        let row = |(verdict, reasons): &(i32, &[i32])| VerdictReasons { verdict: *verdict, reasons: reasons.to_vec() };
        ReviewRules { reasons: rows.iter().map(row).collect(), ..Default::default() }
    }

    #[test]
    fn rules_of_review_must_be_whole() {
        assert!(judged(ReviewRules::default()).is_ok());
        assert!(judged(reasons(&[(1, &[1, 3]), (3, &[2])])).is_ok());
        let wrong: [&[(i32, &[i32])]; 6] =
            [&[(0, &[1])], &[(4, &[1])], &[(1, &[])], &[(1, &[3, 1])], &[(1, &[6])], &[(2, &[1]), (1, &[1])]];
        for rows in wrong {
            assert!(judged(reasons(rows)).is_err(), "{rows:?}");
        }
        let allow_list = Some(Sealed { pack: vec![1; 16], commitment: vec![2; 31] });
        assert!(judged(ReviewRules { allow_list, ..Default::default() }).is_err());
        assert!(judged(ReviewRules { second_review_ppm: 1_000_001, ..Default::default() }).is_err());
        assert!(judged(ReviewRules { claim_ms: 3660 * DAY_MS + 1, ..Default::default() }).is_err());
        assert!(judged(ReviewRules { due_ms: 3660 * DAY_MS + 1, ..Default::default() }).is_err());
    }

    #[test]
    fn a_verdict_without_a_row_takes_every_reason() {
        let policy = Policy { review: Some(reasons(&[(1, &[3])])), ..Default::default() };
        assert!(takes_reason(&policy, 1, 3) && !takes_reason(&policy, 1, 1) && takes_reason(&policy, 2, 1));
        assert!(takes_reason(&Policy::default(), 1, 5));
        assert_eq!(claim_ms(&Policy::default()), CLAIM_MS);
    }
}
