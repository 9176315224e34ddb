//! What comes after promotion, as bodies and as short verbs.

use crate::{Life, World, approved, digest, hyperparameters, policy, promotion, sealed};
use attestune_ledger::rules::closure::{Closure, Named};
use attestune_ledger::state::{Models, Versions, View};
use attestune_proto::v1::{
    ActorKind, AlertAcknowledged, AlertAction, AlertKind, AlertRaised, ArmFigures, BatchIndices, CategoryResult,
    Conclusion, Emergency, ErasureDecided, ErasureDecision, ErasureGround, ExperimentConcluded, ExperimentStarted,
    LegalHoldPlaced, LegalHoldReleased, MetricKind, Policy, PolicyAdopted, PromotionRequested, Quantiles, Role,
    RollbackReason, ScheduleSet, ServedArm, ServingConfirmed, ServingHalted, ServingOccasion, Stage, StopMethod,
    StopRule, SubjectErased, WindowObserved, event::Body,
};

/// How long the approvals of an emergency may take in [`emergency_policy`], milliseconds.
pub const EMERGENCY_MS: u64 = 3_600_000;

/// The policy with emergencies, by approvers.
pub fn emergency_policy() -> Policy {
    let emergency = Emergency { deadline_ms: EMERGENCY_MS, roles: vec![Role::Approver as i32] };
    Policy { emergency: Some(emergency), ..policy() }
}

/// A halt of the whole model, or of a version.
pub fn halted(version: Option<u32>) -> Body {
    let reason = RollbackReason::Safety as i32;
    Body::ServingHalted(ServingHalted { model: "triage".into(), reason, version })
}

/// A request to bring a version in as a challenger.
pub fn challenge(version: u32) -> Body {
    let to = Stage::Production as i32;
    let model = "triage".into();
    Body::PromotionRequested(PromotionRequested { model, version, to, challenger: true, ..Default::default() })
}

/// A request to promote at once.
pub fn emergency(version: u32, to: Stage, replaces: Option<u32>) -> Body {
    let model = "triage".into();
    let to = to as i32;
    Body::PromotionRequested(PromotionRequested { model, version, to, replaces, emergency: true, ..Default::default() })
}

/// What a server serves that has folded everything and loaded what it should: the version in force, and a challenger while
/// an experiment runs.
pub fn confirmed(world: &World, server: &str, occasion: ServingOccasion) -> ServingConfirmed {
    let model = world.row(&Models::key("triage")).unwrap_or_default();
    let adapter = |version| world.row(&Versions::key("triage", version)).unwrap_or_default().adapter_digest;
    let empty = ServingConfirmed {
        server: server.into(),
        model: "triage".into(),
        as_of: world.next() - 1,
        occasion: occasion as i32,
        sequence: 1,
        ..Default::default()
    };
    if model.in_force == 0 {
        return empty;
    }
    let canary = |version: u32| digest(90 + version as u8);
    let arm = |version| ServedArm { version, adapter_digest: adapter(version), canary_digest: canary(version) };
    ServingConfirmed {
        version: model.in_force,
        weights_digest: digest(70),
        adapter_digest: adapter(model.in_force),
        tokenizer_digest: digest(71),
        template_digest: digest(61),
        decoding_digest: digest(62),
        canary_digest: canary(model.in_force),
        challenger: model.experiment.map(|_| arm(model.challenger)),
        switch_us: 40_000,
        ..empty
    }
}

/// An experiment between two versions for a fifth of the users, over when 1,000 are in.
pub fn started(a: u32, b: u32) -> ExperimentStarted {
    ExperimentStarted {
        model: "triage".into(),
        a,
        b,
        share_ppm: 200_000,
        metric: "resolved".into(),
        metric_kind: MetricKind::Proportion as i32,
        stop: Some(StopRule {
            method: StopMethod::ConfidenceSequence as i32,
            alpha_ppm: 50_000,
            users_min: 100,
            users_max: 1_000,
            tuning: 500,
            share_alpha_ppm: 1_000,
        }),
        assignment_key: sealed(110),
    }
}

/// A conclusion over so many users, with this interval.
pub fn concluded(experiment: u64, conclusion: Conclusion, users: u64, lower: &str, upper: &str) -> ExperimentConcluded {
    let arm = |users: u64| ArmFigures { users, sum: "7.5".into(), sum_of_squares: "7.5".into() };
    ExperimentConcluded {
        experiment,
        conclusion: conclusion as i32,
        a: Some(arm(users - users / 5)),
        b: Some(arm(users / 5)),
        difference: "0.1".into(),
        lower: lower.into(),
        upper: upper.into(),
        share_p_ppm: 500_000,
        outcomes_root: digest(111),
        outcomes: users,
        packs: vec![vec![112; 16]],
    }
}

/// A server's window of ten requests to a version.
pub fn window(version: u32, from_ms: u64) -> WindowObserved {
    WindowObserved {
        model: "triage".into(),
        version,
        from_ms,
        to_ms: from_ms + 60_000,
        server: "gateway-1".into(),
        requests: 10,
        requests_root: digest(120),
        packs: vec![vec![121; 16]],
        latency_us: Some(Quantiles { count: 10, sum: 100, p50: 9, p90: 12, p99: 15, max: 16 }),
        outcomes: vec![CategoryResult { category: "resolved".into(), passed: 8, cases: 9 }],
        ..Default::default()
    }
}

/// A monitor's reading of some windows of a version, ten requests each, of which it judged ten.
pub fn reading(version: u32, windows: &[u64], passed: u32) -> WindowObserved {
    WindowObserved {
        model: "triage".into(),
        version,
        from_ms: 1,
        to_ms: 2,
        windows: windows.to_vec(),
        requests: 10 * windows.len() as u64,
        judged: vec![CategoryResult { category: "accuracy".into(), passed, cases: 10 }],
        ..Default::default()
    }
}

/// An alert that quality fell.
pub fn alert(version: u32, evidence: &[u64]) -> AlertRaised {
    AlertRaised {
        model: "triage".into(),
        version,
        kind: AlertKind::QualityFell as i32,
        subject: "accuracy".into(),
        evidence: evidence.to_vec(),
        observed: "0.5".into(),
        allowed: "0.95".into(),
    }
}

/// Somebody has seen an alert.
pub fn acknowledged(alert: u64) -> Body {
    Body::AlertAcknowledged(AlertAcknowledged { alert, action: AlertAction::RolledBack as i32 })
}

/// A retraining on the tickets every quarter.
pub fn scheduled(base: u64) -> ScheduleSet {
    ScheduleSet {
        model: "triage".into(),
        interval_ms: 91 * 86_400_000,
        dataset: "tickets".into(),
        collections: vec!["tickets".into()],
        base,
        hyperparameters: Some(hyperparameters()),
        on_drift: true,
        ..Default::default()
    }
}

/// Some things of a batch.
pub fn indices(batch: u64, indices: &[u32]) -> BatchIndices {
    BatchIndices { batch, indices: indices.to_vec() }
}

/// An erasure of some documents in one chunk, with the closure that the rules find.
pub fn erased(world: &World, documents: &[BatchIndices]) -> SubjectErased {
    let mut chunk = SubjectErased {
        chunk: 1,
        chunks: 1,
        ground: ErasureGround::ConsentWithdrawn as i32,
        documents: documents.to_vec(),
        ..Default::default()
    };
    let mut named = Named::default();
    named.add(&chunk);
    let (root, count) = Closure::of(&View::new(&world.state, world.next()), &named).root();
    (chunk.root, chunk.count) = (root.0.to_vec(), count);
    chunk
}

/// What becomes of a version.
pub fn erasure_decided(erasure: u64, version: u32, decision: ErasureDecision) -> Body {
    Body::ErasureDecided(ErasureDecided { erasure, model: "triage".into(), version, decision: decision as i32 })
}

/// A legal hold on some collections.
pub fn held(collections: &[&str]) -> Body {
    let collections = collections.iter().map(|c| c.to_string()).collect();
    Body::LegalHoldPlaced(LegalHoldPlaced { hold: "case-7".into(), collections })
}

/// The hold ends.
pub fn hold_released(hold: u64) -> Body {
    Body::LegalHoldReleased(LegalHoldReleased { hold })
}

impl World {
    /// Casts a monitor and a scheduler.
    pub fn with_watchers(&mut self) {
        self.cast("monitor", ActorKind::Worker, Role::Monitor);
        self.cast("scheduler", ActorKind::Worker, Role::Scheduler);
    }

    /// Root keys adopt a policy.
    pub fn adopt(&mut self, policy: Policy) {
        self.must_by(&["ada", "omar"], Body::PolicyAdopted(PolicyAdopted { policy: Some(policy) }));
    }

    /// A life whose first version is in force, and whose second is in staging, evaluated.
    pub fn with_two_versions(&mut self) -> Life {
        let life = self.with_dataset();
        self.train(&life);
        self.evaluate(&life, 1, 97);
        self.promote(1, None);
        self.train(&life);
        self.evaluate(&life, 2, 98);
        let staging = self.must("ella", promotion(2, Stage::Staging, None));
        self.must("alma", approved(staging));
        life
    }

    /// Brings a version from staging in as a challenger.
    pub fn challenge(&mut self, version: u32) {
        let position = self.must("ella", challenge(version));
        self.must("alma", approved(position));
        self.must("axel", approved(position));
    }

    /// Brings a version from staging into force.
    pub fn promote_from_staging(&mut self, version: u32, replaces: Option<u32>) {
        let production = self.must("ella", promotion(version, Stage::Production, replaces));
        self.must("alma", approved(production));
        self.must("axel", approved(production));
    }

    /// A server confirms what it should serve.
    pub fn confirm(&mut self, server: &str, occasion: ServingOccasion) -> u64 {
        let body = confirmed(self, server, occasion);
        self.must("gateway", Body::ServingConfirmed(body))
    }
}
