//! One team and its model: a list of tasks, taken up again when it is through.

use super::{Course, desk::Desk};
use crate::{approved, base, checker, detector, hyperparameters, outcome, rolled_back, sealed, suite};
use attestune_ledger::tree::{Frontier, leaf_hash};
use attestune_proto::v1::{
    ActorKind, BatchReview, CategoryResult, DatasetFrozen, Decision, DocumentsIngested, EvaluationClaimed,
    EvaluationCompleted, EvaluationRequested, ExampleFindings, ExampleRef, ExamplesChecked, ExamplesDerived,
    ExamplesReviewed, ExamplesScanned, Finding, LeakageChecked, PromotionRequested, Quality, QualityIssue,
    ReviewReason, ReviewReopened, ReviewVerdict, Role, RolledBack, Stage, TrainingClaimed, TrainingCompleted,
    TrainingProgressed, TrainingRequested, event::Body,
};
use std::collections::VecDeque;

pub(super) struct Team {
    steward: String,
    reviewer: String,
    engineer: String,
    model: String,
    course: Course,
    tasks: VecDeque<Task>,
    campaign: u32,
    base: u64,
    suite: u64,
    documents: u64,
    batches: Vec<Batch>,
    /// How many of the batches belong to the dataset: the others came after the position to freeze at.
    within: usize,
    at: u64,
    dataset: u64,
    root: Vec<u8>,
    members: u64,
    run: u64,
    token: u64,
    step: u32,
    versions: u32,
    evaluation: u64,
    passed: u32,
    promotion: u64,
    /// Versions in force one after the other that were not rolled back from; the last is in force.
    in_force: Vec<u32>,
}

/// A batch of examples, and what decides on each.
struct Batch {
    position: u64,
    examples: Vec<Example>,
}

struct Example {
    commitment: Vec<u8>,
    flagged: bool,
    duplicate: bool,
    verdict: Option<ReviewVerdict>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Ingest,
    Derive,
    Scan,
    Check,
    /// Decides on some of the flagged examples of the newest batch.
    Review,
    /// Decides on the rest of them.
    ReviewRest,
    /// A decision is set aside and taken again.
    Reconsider,
    /// Names the position to freeze at.
    Mark,
    Freeze,
    RequestTraining,
    ClaimTraining,
    Progress,
    CompleteTraining,
    RequestEvaluation,
    ClaimEvaluation,
    CompleteEvaluation,
    CheckLeakage,
    AskForStaging,
    AskForProduction,
    Approve(&'static str),
    InForce,
    RollBack,
}

const STEPS: u32 = 4;
const CASES: u32 = 100;

impl Team {
    /// Takes a team in, which registers its base model and suite.
    pub(super) fn hire(desk: &mut Desk, number: u32, course: &Course) -> Self {
        let mut team = Self {
            steward: format!("steward-{number}"),
            reviewer: format!("reviewer-{number}"),
            engineer: format!("engineer-{number}"),
            model: format!("model-{number}"),
            course: *course,
            tasks: VecDeque::new(),
            campaign: 0,
            base: 0,
            suite: 0,
            documents: 0,
            batches: Vec::new(),
            within: 0,
            at: 0,
            dataset: 0,
            root: Vec::new(),
            members: 0,
            run: 0,
            token: 0,
            step: 0,
            versions: 0,
            evaluation: 0,
            passed: 0,
            promotion: 0,
            in_force: Vec::new(),
        };
        desk.hire(&team.steward, ActorKind::Person, Role::Steward);
        desk.hire(&team.reviewer, ActorKind::Person, Role::Reviewer);
        desk.hire(&team.engineer, ActorKind::Person, Role::Engineer);
        team.base = desk.act(&team.engineer, base());
        team.suite = desk.act(&team.engineer, Body::SuiteRegistered(suite()));
        team
    }

    /// Does the next task; where the ground has gone from under it, the campaign is given up.
    pub(super) fn step(&mut self, desk: &mut Desk) {
        if self.tasks.is_empty() {
            self.plan(desk);
        }
        let Some(task) = self.tasks.pop_front() else { return };
        let lost = match task {
            Task::Approve(_) => self.promotion < desk.policy_at,
            Task::Progress | Task::CompleteTraining | Task::CompleteEvaluation => self.token < desk.clock_at,
            _ => false,
        };
        if lost {
            self.tasks.clear();
        } else {
            self.perform(task, desk);
        }
    }

    fn plan(&mut self, desk: &mut Desk) {
        use Task as T;
        self.campaign += 1;
        self.batches.clear();
        self.within = 0;
        for _ in 0..=desk.chance.below(u64::from(self.course.batches_max)) {
            self.tasks.extend([T::Ingest, T::Derive, T::Scan, T::Review, T::Check, T::ReviewRest]);
            if desk.chance.one_in(6) {
                self.tasks.push_back(T::Reconsider);
            }
        }
        self.tasks.push_back(T::Mark);
        if desk.chance.one_in(2) {
            self.tasks.extend([T::Ingest, T::Derive, T::Scan]);
        }
        self.tasks.extend([T::Freeze, T::RequestTraining, T::ClaimTraining]);
        self.tasks.extend([T::Progress; STEPS as usize]);
        self.tasks.extend([T::CompleteTraining, T::RequestEvaluation, T::ClaimEvaluation, T::CompleteEvaluation]);
        self.passed = CASES - desk.chance.below(7) as u32;
        self.tasks.extend([T::CheckLeakage, T::AskForStaging]);
        if self.passed >= CASES * 95 / 100 {
            self.tasks.extend([T::Approve("alma"), T::AskForProduction, T::Approve("axel"), T::Approve("anja")]);
            self.tasks.push_back(T::InForce);
            if desk.chance.one_in(3) {
                self.tasks.push_back(T::RollBack);
            }
        }
    }

    fn perform(&mut self, task: Task, desk: &mut Desk) {
        match task {
            Task::Ingest | Task::Derive | Task::Scan | Task::Check => self.gather(task, desk),
            Task::Review | Task::ReviewRest | Task::Reconsider => self.review(task, desk),
            Task::Mark => {
                self.at = desk.next() - 1;
                self.within = self.batches.len();
            }
            Task::Freeze => self.freeze(desk),
            Task::RequestTraining | Task::ClaimTraining | Task::Progress | Task::CompleteTraining => {
                self.train(task, desk);
            }
            Task::RequestEvaluation | Task::ClaimEvaluation | Task::CompleteEvaluation | Task::CheckLeakage => {
                self.evaluate(task, desk);
            }
            Task::AskForStaging | Task::AskForProduction => self.ask(task, desk),
            Task::Approve(approver) => {
                desk.act(approver, approved(self.promotion));
            }
            Task::InForce => self.in_force.push(self.versions),
            Task::RollBack => self.roll_back(desk),
        }
    }

    fn collection(&self) -> String {
        format!("{}.{}", self.model, self.campaign)
    }

    fn gather(&mut self, task: Task, desk: &mut Desk) {
        let batch = self.batches.last();
        match task {
            Task::Ingest => {
                let count = 1 + desk.chance.below(u64::from(self.course.batch_max)) as usize;
                let body = DocumentsIngested {
                    collection: self.collection(),
                    pack: desk.chance.bytes(16),
                    commitments: (0..count).map(|_| desk.chance.bytes(32)).collect(),
                };
                self.batches.push(Batch { position: 0, examples: Vec::new() });
                let flag = |desk: &mut Desk| Example {
                    commitment: desk.chance.bytes(32),
                    flagged: desk.chance.one_in(4),
                    duplicate: desk.chance.one_in(20),
                    verdict: None,
                };
                let examples = (0..count).map(|_| flag(desk)).collect();
                self.documents = desk.act(&self.steward, Body::DocumentsIngested(body));
                self.batches.last_mut().expect("pushed above").examples = examples;
            }
            Task::Derive => {
                let examples = batch.map(|b| b.examples.as_slice()).unwrap_or_default();
                let body = ExamplesDerived {
                    documents: self.documents,
                    pack: desk.chance.bytes(16),
                    commitments: examples.iter().map(|e| e.commitment.clone()).collect(),
                    rows: (0..examples.len() as u32).collect(),
                    template: sealed(9),
                };
                let position = desk.act(&self.steward, Body::ExamplesDerived(body));
                self.batches.last_mut().expect("ingested before").position = position;
            }
            Task::Scan => {
                desk.act("scanner", Body::ExamplesScanned(self.scan()));
            }
            _ => {
                desk.act("checker", Body::ExamplesChecked(self.check()));
            }
        }
    }

    fn scan(&self) -> ExamplesScanned {
        let batch = self.batches.last().expect("derived before");
        let span = Finding { entity: "email".into(), start: 3, end: 9, score_ppm: 900_000 };
        let flagged = (0..).zip(&batch.examples).filter(|(_, e)| e.flagged);
        ExamplesScanned {
            batch: batch.position,
            detector: Some(detector()),
            looked_for: vec!["email".into(), "phone".into()],
            findings: flagged.map(|(index, _)| ExampleFindings { index, spans: vec![span.clone()] }).collect(),
            ..Default::default()
        }
    }

    fn check(&self) -> ExamplesChecked {
        let batch = self.batches.last().expect("derived before");
        let issue = |index| QualityIssue {
            index,
            quality: Quality::ExactDuplicate as i32,
            of: Some(ExampleRef { batch: batch.position, index: 0 }),
        };
        let duplicates = (0..).zip(&batch.examples).filter(|(_, e)| e.duplicate);
        let issues = duplicates.map(|(index, _)| issue(index)).collect();
        ExamplesChecked { batch: batch.position, checker: Some(checker()), issues }
    }

    fn review(&mut self, task: Task, desk: &mut Desk) {
        let batch = self.batches.last_mut().expect("derived before");
        let decided = task == Task::Reconsider;
        let fits = |e: &Example| e.flagged && e.verdict.is_some() == decided;
        let mut indices: Vec<u32> =
            (0..).zip(&batch.examples).filter(|(_, e)| fits(e)).map(|(index, _)| index).collect();
        match task {
            Task::Review => indices.truncate(1),
            Task::Reconsider => {
                indices.truncate(1);
                if !indices.is_empty() {
                    let body = ReviewReopened { batch: batch.position, indices: indices.clone() };
                    desk.act(&self.reviewer, Body::ReviewReopened(body));
                }
            }
            _ => {}
        }
        if indices.is_empty() {
            return;
        }
        let mut decisions = Vec::new();
        for index in indices {
            let verdicts =
                [ReviewVerdict::Approve, ReviewVerdict::Approve, ReviewVerdict::Reject, ReviewVerdict::Redact];
            let verdict = verdicts[desk.chance.below(4) as usize];
            let example = &mut batch.examples[index as usize];
            example.verdict = Some(verdict);
            decisions.push(Decision {
                index,
                verdict: verdict as i32,
                reason: ReviewReason::PersonalData as i32,
                redacted: if verdict == ReviewVerdict::Redact { redacted(&example.commitment) } else { Vec::new() },
                hidden: Vec::new(),
            });
        }
        let redactions = decisions.iter().any(|d| !d.redacted.is_empty());
        let pack = if redactions { desk.chance.bytes(16) } else { Vec::new() };
        let batches = vec![BatchReview { batch: batch.position, decisions, pack }];
        desk.act(&self.reviewer, Body::ExamplesReviewed(ExamplesReviewed { batches }));
    }

    fn freeze(&mut self, desk: &mut Desk) {
        let members = self.batches[..self.within].iter().flat_map(|b| &b.examples).filter_map(Example::member);
        let mut tree = Frontier::new();
        members.for_each(|commitment| tree.push(leaf_hash(&[&commitment])));
        (self.root, self.members) = (tree.root().0.to_vec(), tree.size());
        let body = DatasetFrozen {
            dataset: self.model.clone(),
            collections: vec![self.collection()],
            at: self.at,
            root: self.root.clone(),
            count: self.members,
        };
        if self.members == 0 {
            desk.err(&self.steward, Body::DatasetFrozen(body));
            self.tasks.clear();
            return;
        }
        self.dataset = desk.act(&self.steward, Body::DatasetFrozen(body));
    }

    fn train(&mut self, task: Task, desk: &mut Desk) {
        match task {
            Task::RequestTraining => {
                let hyperparameters = Some(hyperparameters());
                let (model, dataset, base) = (self.model.clone(), self.dataset, self.base);
                let body = TrainingRequested { model, dataset, base, hyperparameters, schedule: None };
                self.run = desk.act(&self.engineer, Body::TrainingRequested(body));
                self.step = 0;
            }
            Task::ClaimTraining => {
                let claim = TrainingClaimed { run: self.run, previous: None };
                self.token = desk.act("trainer", Body::TrainingClaimed(claim));
            }
            Task::Progress => {
                self.step += 1;
                desk.act("trainer", Body::TrainingProgressed(self.progress(self.token)));
            }
            _ => {
                let body = TrainingCompleted {
                    token: self.token,
                    steps: STEPS,
                    dataset_root: self.root.clone(),
                    ..outcome(self.run)
                };
                desk.act("trainer", Body::TrainingCompleted(body));
                self.versions += 1;
            }
        }
    }

    fn progress(&self, token: u64) -> TrainingProgressed {
        let tokens = u64::from(self.step) * 250;
        TrainingProgressed { run: self.run, token, step: self.step, steps: STEPS, loss_micro: 2_000_000, tokens }
    }

    fn evaluate(&mut self, task: Task, desk: &mut Desk) {
        match task {
            Task::RequestEvaluation => {
                let body = EvaluationRequested { model: self.model.clone(), version: self.versions, suite: self.suite };
                self.evaluation = desk.act(&self.engineer, Body::EvaluationRequested(body));
            }
            Task::ClaimEvaluation => {
                let claim = EvaluationClaimed { evaluation: self.evaluation, previous: None };
                self.token = desk.act("evaluator", Body::EvaluationClaimed(claim));
            }
            Task::CompleteEvaluation => {
                let accuracy = CategoryResult { category: "accuracy".into(), passed: self.passed, cases: CASES };
                let body = EvaluationCompleted {
                    results: vec![accuracy],
                    ..crate::results(self.evaluation, self.token, self.passed)
                };
                desk.act("evaluator", Body::EvaluationCompleted(body));
            }
            _ => {
                let body = LeakageChecked {
                    dataset: self.dataset,
                    suite: self.suite,
                    checker: Some(checker()),
                    cases: CASES,
                    members: self.members,
                    exact: 0,
                    near: 0,
                };
                desk.act("checker", Body::LeakageChecked(body));
            }
        }
    }

    fn ask(&mut self, task: Task, desk: &mut Desk) {
        let production = task == Task::AskForProduction;
        let body = Body::PromotionRequested(PromotionRequested {
            model: self.model.clone(),
            version: self.versions,
            to: if production { Stage::Production } else { Stage::Staging } as i32,
            replaces: if production { self.in_force.last().copied() } else { None },
            ..Default::default()
        });
        if self.passed < CASES * 95 / 100 {
            desk.err(&self.engineer, body);
        } else {
            self.promotion = desk.act(&self.engineer, body);
        }
    }

    fn roll_back(&mut self, desk: &mut Desk) {
        let [.., to, from] = self.in_force[..] else { return };
        let Body::RolledBack(body) = rolled_back(from, to) else { return };
        desk.act("otto", Body::RolledBack(RolledBack { model: self.model.clone(), ..body }));
        self.in_force.pop();
    }

    /// A mistake.
    pub(super) fn err(&mut self, desk: &mut Desk) {
        let batch = self.batches.last().map_or(0, |b| b.position);
        match desk.chance.below(8) {
            // The wrong person.
            0 => desk.err(&self.reviewer, Body::ExamplesChecked(self.check_of(batch))),
            // Who asked approves.
            1 => desk.err(&self.engineer, approved(self.promotion)),
            // A report of long ago.
            2 => desk.err("trainer", Body::TrainingProgressed(self.progress(1))),
            // Training on what nobody froze.
            3 => {
                let (model, dataset, base) = (self.model.clone(), self.documents, self.base);
                let body = TrainingRequested {
                    schedule: None,
                    model,
                    dataset,
                    base,
                    hyperparameters: Some(hyperparameters()),
                };
                desk.err(&self.engineer, Body::TrainingRequested(body));
            }
            // Back to a version that never was.
            4 => desk.err("otto", rolled_back(self.versions + 1, self.versions + 2)),
            _ => desk.slip(),
        }
    }

    fn check_of(&self, batch: u64) -> ExamplesChecked {
        ExamplesChecked { batch, checker: Some(checker()), issues: Vec::new() }
    }
}

impl Example {
    /// The commitment under which it is a member, if it is one.
    fn member(&self) -> Option<Vec<u8>> {
        match self.verdict {
            Some(ReviewVerdict::Reject) => None,
            _ if self.duplicate => None,
            Some(ReviewVerdict::Redact) => Some(redacted(&self.commitment)),
            Some(_) => Some(self.commitment.clone()),
            None => (!self.flagged).then(|| self.commitment.clone()),
        }
    }
}

/// The commitment of a redacted example.
fn redacted(commitment: &[u8]) -> Vec<u8> {
    commitment.iter().map(|byte| !byte).collect()
}
