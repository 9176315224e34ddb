//! A ledger on the embedded log in a temporary folder, with its people, and workers that really run.
#![allow(dead_code)] // each test file uses a part

use attestune_ledger::{
    draft::draft,
    envelope::{SigningKey, ledger_id},
    log::{Embedded, EventLog, SystemClock},
    query,
    replica::{Replica, ReplicaOptions, StoreView},
    rules::{
        eligibility::{examples, members_root},
        policy::{default_policy, in_force},
    },
    state::{Evaluations, RowKey, Runs},
    store::{Options, Store},
    vault::Vault,
};
use attestune_proto::v1::{
    ActorKind, BaseModelRegistered, Bound, Category, DatasetFrozen, DocumentsIngested, EvaluationRequested,
    EvaluationRow, ExampleStatus, ExamplesDerived, Hyperparameters, KeyAlgorithm, KeyCustody, KeyRegistered,
    KeyRevoked, Kind, LedgerCreated, Policy, Receipt, RevocationReason, Role, RoleGranted, RootKey, RunRow, Sealed,
    Seen, SuiteRegistered, Tool, TrainingRequested, Verdict, WorkStatus, event::Body,
};
use attestune_trainer::{evaluate::Suite, model::BaseModel, model::write_tiny_model};
use attestune_workers::{BaseModels, CHECKER_NAME, CHECKER_VERSION, Context, Signer, Worker, run};
use sha2::{Digest as _, Sha256};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

/// How long a test waits for workers before it says what it waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Rows of the collection `tickets`: prompts and answers.
pub const TICKETS: [(&str, &str); 5] = [
    ("I lost my card in town", "card"),
    ("please close my account", "closing"),
    ("what does a transfer cost", "fees"),
    ("my transfer never arrived", "missing"),
    ("write to zoe@example.org about it", "contact"),
];

/// A ledger that is open in this process.
pub struct World {
    folder: PathBuf,
    pub replica: Arc<Replica>,
    pub vault: Arc<Vault>,
    runtime: Runtime,
}

/// The key of a name.
pub fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(Sha256::digest(name.as_bytes()).into())
}

/// Leases of so many milliseconds in the default policy.
pub fn policy(training_lease_ms: u64, evaluation_lease_ms: u64) -> Policy {
    let tool = |name: &str, version: &str| Tool { name: name.into(), version: version.into() };
    let detector = tool(attestune_pii::DETECTOR_NAME, attestune_pii::VERSION);
    let policy = default_policy(vec![detector], vec![tool(CHECKER_NAME, CHECKER_VERSION)], "form");
    Policy { training_lease_ms, evaluation_lease_ms, ..policy }
}

impl World {
    /// A new ledger with its people and workers.
    pub fn create(folder: &Path, policy: Policy) -> Self {
        let root = |name: &str| RootKey {
            actor: name.into(),
            printed_name: name.to_uppercase(),
            public_key: key(name).public().to_vec(),
            possession: key(name).possession(&[], name).to_vec(),
        };
        let body = LedgerCreated {
            name: "test".into(),
            root_keys: vec![root("ada"), root("ben")],
            threshold: 1,
            policy: Some(policy),
            rules_version: attestune_ledger::rules::RULES_VERSION,
            checkpoint_key: key("checkpoint").public().to_vec(),
        };
        let genesis = draft(&[], "ada", uuid(), 0, None, Body::LedgerCreated(body));
        let genesis = key("ada").sign_event(&genesis);
        let ledger = ledger_id(&genesis);
        let world = Self::open(folder);
        world.accepted(world.replica.append(vec![genesis]).unwrap().remove(0));
        let people = [("stella", Role::Steward), ("mina", Role::Engineer)];
        let workers = [
            ("scanner", Role::Scanner),
            ("checker", Role::Checker),
            ("trainer", Role::Trainer),
            ("trainer-2", Role::Trainer),
            ("evaluator", Role::Evaluator),
        ];
        for (name, role) in people {
            world.cast(&ledger, name, ActorKind::Person, role);
        }
        for (name, role) in workers {
            world.cast(&ledger, name, ActorKind::Worker, role);
        }
        world
    }

    /// One that was created before.
    pub fn open(folder: &Path) -> Self {
        let (store, log) = Self::log(folder);
        Self::open_over(folder, store, Arc::new(log))
    }

    /// The log of one that was created before.
    pub fn log(folder: &Path) -> (Arc<Store>, Embedded) {
        let store = Store::open(folder.join("db"), &Options::default()).unwrap();
        let log = Embedded::open(store.clone(), Arc::new(SystemClock)).unwrap();
        (store, log)
    }

    /// One that was created before, with something between its log and the replica.
    pub fn open_over(folder: &Path, store: Arc<Store>, log: Arc<dyn EventLog>) -> Self {
        let options = ReplicaOptions { checkpoint_key: Some(key("checkpoint")), pin: None };
        let replica = Replica::open(store, log, options).unwrap();
        let runtime = Runtime::new().unwrap();
        let vault = Arc::new(runtime.block_on(Vault::open_folder(&folder.join("vault"))).unwrap());
        Self { folder: folder.into(), replica, vault, runtime }
    }

    fn cast(&self, ledger: &[u8], actor: &str, kind: ActorKind, role: Role) {
        self.register("ada", ledger, actor, kind, &key(actor));
        self.act("ada", Body::RoleGranted(RoleGranted { actor: actor.into(), role: role.into() }));
    }

    fn register(&self, by: &str, ledger: &[u8], actor: &str, kind: ActorKind, key: &SigningKey) {
        let registered = KeyRegistered {
            actor: actor.into(),
            printed_name: actor.to_uppercase(),
            actor_kind: kind.into(),
            algorithm: KeyAlgorithm::Ed25519.into(),
            public_key: key.public().to_vec(),
            possession: key.possession(ledger, actor).to_vec(),
            custody: KeyCustody::File.into(),
        };
        self.act(by, Body::KeyRegistered(registered));
    }

    /// A worker's key is lost and revoked, and it gets another.
    pub fn replace_key(&self, actor: &str, other: &SigningKey) {
        let ledger = self.replica.head().unwrap().ledger;
        self.register(actor, &ledger, actor, ActorKind::Worker, other);
        let revoked = KeyRevoked { keyid: key(actor).keyid(), reason: RevocationReason::Lost.into() };
        self.act("ada", Body::KeyRevoked(revoked));
    }

    /// Registers somebody under a key of that name with a role that two must grant, or one alone.
    pub fn hire(&self, actor: &str, kind: ActorKind, role: Role) {
        let ledger = self.replica.head().unwrap().ledger;
        self.register("ada", &ledger, actor, kind, &key(actor));
        let granted = RoleGranted { actor: actor.into(), role: role.into() };
        self.act_by(&["ada", "ben"], Body::RoleGranted(granted));
    }

    /// Someone does what must be accepted; its position.
    pub fn act(&self, actor: &str, body: Body) -> u64 {
        self.act_by(&[actor], body)
    }

    /// The same by several, the first of whom is the actor.
    pub fn act_by(&self, actors: &[&str], body: Body) -> u64 {
        let first = self.sign(actors[0], body);
        let signed = actors[1..].iter().fold(first, |bytes, name| key(name).cosign(&bytes).unwrap());
        let receipts = self.replica.append(vec![signed]).unwrap();
        self.accepted(receipts.into_iter().next().unwrap())
    }

    /// What someone signs, to be appended later.
    pub fn sign(&self, actor: &str, body: Body) -> Vec<u8> {
        let head = self.replica.head().unwrap();
        let seen = Seen { size: head.size, root: head.entry_root };
        key(actor).sign_event(&draft(&head.ledger, actor, uuid(), 0, Some(seen), body))
    }

    fn accepted(&self, receipt: Receipt) -> u64 {
        assert_eq!(receipt.verdict(), Verdict::Accepted, "{:?}", receipt.refusal);
        receipt.position
    }

    /// Seals contents: the pack and the commitments.
    pub fn seal(&self, contents: &[Vec<u8>]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let sealed = self.runtime.block_on(self.vault.seal(contents)).unwrap();
        (sealed.pack.to_vec(), sealed.items.iter().map(|item| item.commitment.to_vec()).collect())
    }

    fn seal_one(&self, content: Vec<u8>) -> Sealed {
        let (pack, mut commitments) = self.seal(&[content]);
        Sealed { pack, commitment: commitments.remove(0) }
    }

    /// Ingests [`TICKETS`] and derives an example from each; the batch's position.
    pub fn derive(&self) -> u64 {
        self.derive_from(&TICKETS)
    }

    /// The same from other texts with their intents.
    pub fn derive_from(&self, tickets: &[(&str, &str)]) -> u64 {
        let texts: Vec<Vec<u8>> = tickets.iter().map(|(text, _)| text.as_bytes().to_vec()).collect();
        let (pack, commitments) = self.seal(&texts);
        let ingested = DocumentsIngested { collection: "tickets".into(), pack, commitments };
        let documents = self.act("stella", Body::DocumentsIngested(ingested));
        let example = |(text, intent): &(&str, &str)| {
            let example = serde_json::json!({"prompt": format!("{text}\nIntent:"), "answer": format!(" {intent}")});
            example.to_string().into_bytes()
        };
        let (pack, commitments) = self.seal(&tickets.iter().map(example).collect::<Vec<_>>());
        let template = self.seal_one(br#"{"prompt": "{text}\nIntent:", "answer": " {intent}"}"#.to_vec());
        let rows = (0..tickets.len() as u32).collect();
        let derived = ExamplesDerived { documents, pack, commitments, rows, template: Some(template) };
        self.act("stella", Body::ExamplesDerived(derived))
    }

    /// Freezes what is eligible now; position and count.
    pub fn freeze(&self) -> (u64, u64) {
        let view = self.view();
        let at = view.size() - 1;
        let (root, count) = {
            let view = view.view();
            let all = examples(&view, &view, &in_force(&view), &["tickets".to_owned()]);
            members_root(all.iter().filter(|example| example.status == ExampleStatus::Eligible))
        };
        let (dataset, collections) = ("triage".into(), vec!["tickets".into()]);
        let frozen = DatasetFrozen { dataset, collections, at, root: root.0.to_vec(), count };
        (self.act("mina", Body::DatasetFrozen(frozen)), count)
    }

    /// Derives, lets the workers scan and check, and freezes; the dataset's position.
    pub fn dataset(&self) -> u64 {
        self.dataset_of(&TICKETS)
    }

    /// The same from other texts.
    pub fn dataset_of(&self, tickets: &[(&str, &str)]) -> u64 {
        self.derive_from(tickets);
        let workers = [
            self.work("scanner", Box::new(attestune_workers::Pii::default())),
            self.work("checker", Box::new(attestune_workers::Quality::default())),
        ];
        self.wait("scan and check", || {
            let work = query::open_work(&self.view()).unwrap();
            work.batches_to_scan.is_empty() && work.batches_to_check.is_empty()
        });
        drop(workers);
        self.freeze().0
    }

    /// A tiny model in the folder, and where it lies.
    pub fn models(&self) -> BaseModels {
        BaseModels::new(vec![self.model_path()])
    }

    fn model_path(&self) -> PathBuf {
        let path = self.folder.join("tiny");
        if !path.exists() {
            write_tiny_model(&path, 7).unwrap();
        }
        path
    }

    /// Registers the tiny model.
    pub fn base(&self) -> u64 {
        let model = BaseModel::load(&self.model_path()).unwrap();
        let registered = BaseModelRegistered {
            base: "tiny".into(),
            origin: "test".into(),
            licence: "cc0-1.0".into(),
            weights_digest: model.weights_digest().0.to_vec(),
            tokenizer_digest: model.tokenizer_digest().0.to_vec(),
        };
        self.act("mina", Body::BaseModelRegistered(registered))
    }

    /// Registers a suite of so many cases that any answer passes.
    pub fn suite(&self, cases: u32) -> u64 {
        let case =
            |i: u32| format!("  - {{ id: c{i}, category: format, prompt: question {i}, judge: {{ regex: \"\" }} }}\n");
        self.suite_of(&(0..cases).map(case).collect::<String>(), &[("format", cases)])
    }

    /// Registers a suite of these cases in YAML, so many in each category, with a bar of 95 %.
    pub fn suite_of(&self, cases: &str, categories: &[(&str, u32)]) -> u64 {
        let text = format!("name: form\nmax_new_tokens: 32\nstop_at_newline: false\ncases:\n{cases}").into_bytes();
        let category = |(category, cases): &(&str, u32)| Category {
            category: (*category).into(),
            cases: *cases,
            bar_ppm: 950_000,
        };
        let registered = SuiteRegistered {
            suite: "form".into(),
            digest: Suite::parse(&text).unwrap().digest().0.to_vec(),
            content: Some(self.seal_one(text)),
            categories: categories.iter().map(category).collect(),
            bound: Bound::PassRate.into(),
        };
        self.act("mina", Body::SuiteRegistered(registered))
    }

    /// Asks for a run.
    pub fn request_training(&self, dataset: u64, base: u64, hyperparameters: Hyperparameters) -> u64 {
        let hyperparameters = Some(hyperparameters);
        let asked = TrainingRequested { model: "triage".into(), dataset, base, hyperparameters, schedule: None };
        self.act("mina", Body::TrainingRequested(asked))
    }

    /// Asks for an evaluation.
    pub fn request_evaluation(&self, version: u32, suite: u64) -> u64 {
        self.act("mina", Body::EvaluationRequested(EvaluationRequested { model: "triage".into(), version, suite }))
    }

    /// Seals an adapter, as a registration from elsewhere names it.
    pub fn sealed_adapter(&self, bytes: Vec<u8>) -> (Vec<u8>, Option<Sealed>) {
        (Sha256::digest(&bytes).to_vec(), Some(self.seal_one(bytes)))
    }

    /// The commitments of a pack's texts.
    pub fn commitments(&self, pack: &[u8]) -> Vec<Vec<u8>> {
        self.runtime.block_on(self.vault.commitments(pack)).unwrap()
    }

    /// Erases texts of a pack.
    pub fn erase(&self, pack: &[u8], commitments: &[Vec<u8>]) {
        self.runtime.block_on(self.vault.erase(pack, commitments)).unwrap();
    }

    /// What a worker of this name works with, to let it react step by step.
    pub fn context(&self, actor: &str) -> Context {
        let signer = Signer { actor: actor.into(), key: key(actor) };
        Context::new(self.replica.clone(), self.vault.clone(), signer, self.runtime.handle().clone())
    }

    /// Deletes every text from the vault.
    pub fn lose_texts(&self) {
        std::fs::remove_dir_all(self.folder.join("vault/contents")).unwrap();
        std::fs::create_dir(self.folder.join("vault/contents")).unwrap();
    }

    /// Starts a worker on a thread; it stops when the handle is dropped.
    pub fn work(&self, actor: &str, worker: Box<dyn Worker + Send>) -> Working {
        self.work_under(actor, key(actor), worker)
    }

    /// The same under a key of its own.
    pub fn work_under(&self, actor: &str, key: SigningKey, worker: Box<dyn Worker + Send>) -> Working {
        let signer = Signer { actor: actor.into(), key };
        let context = Context::new(self.replica.clone(), self.vault.clone(), signer, self.runtime.handle().clone());
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || run(worker, &context, &told).unwrap());
        Working { stop, thread: Some(thread) }
    }

    pub fn view(&self) -> StoreView {
        self.replica.view()
    }

    pub fn row<R: prost::Message + Default>(&self, key: &RowKey<R>) -> R {
        self.view().view().get(key).unwrap()
    }

    pub fn run(&self, position: u64) -> RunRow {
        self.row(&Runs::key(position))
    }

    pub fn evaluation(&self, position: u64) -> EvaluationRow {
        self.row(&Evaluations::key(position))
    }

    /// Waits until a run has ended.
    pub fn ended_run(&self, position: u64) -> RunRow {
        self.wait("the run's end", || ended(self.run(position).status));
        self.run(position)
    }

    /// Waits until an evaluation has ended.
    pub fn ended_evaluation(&self, position: u64) -> EvaluationRow {
        self.wait("the evaluation's end", || ended(self.evaluation(position).status));
        self.evaluation(position)
    }

    /// Waits until something is so.
    pub fn wait(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < PATIENCE, "waited for {what} in vain");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Bodies of the accepted events of a kind, in order.
    pub fn accepted_of(&self, kind: Kind) -> Vec<Body> {
        let view = self.view();
        let of = |position| {
            let decided = self.replica.decided(position).unwrap();
            let body = query::event_of(&view, position).unwrap()?.body?;
            let wanted = decided.verdict() == Verdict::Accepted && attestune_ledger::draft::kind(&body) == kind;
            wanted.then_some(body)
        };
        (0..view.size()).filter_map(of).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.replica.shut_down();
    }
}

fn ended(status: i32) -> bool {
    status == WorkStatus::Completed as i32 || status == WorkStatus::Failed as i32
}

/// A worker at work.
pub struct Working {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "a worker failed");
    }
}

/// A run of so many epochs.
pub fn hyperparameters(epochs: u32) -> Hyperparameters {
    Hyperparameters {
        rank: 2,
        alpha: 4,
        targets: vec!["q_proj".into(), "v_proj".into()],
        learning_rate: "0.002".into(),
        weight_decay: "0".into(),
        warmup_ppm: 50_000,
        epochs,
        steps_max: 0,
        batch_size: 2,
        tokens_max: 64,
        seed: 1,
        threads: 1,
    }
}

fn uuid() -> [u8; 16] {
    use std::sync::atomic::AtomicU64;
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut id = [0; 16];
    // Another process of the same test signs other ids.
    id[..4].copy_from_slice(&std::process::id().to_be_bytes());
    id[8..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    id
}
