//! A ledger in a temporary folder behind a gateway, with a small cast.

// Each test binary uses a part of it.
#![allow(dead_code)]

use attestune_gateway::Gateway;
use attestune_ledger::{
    draft::draft,
    envelope::{SigningKey, TOKEN_PAYLOAD_TYPE, ledger_id},
    log::{Answer, Embedded, Entry, EventLog, LogError, SystemClock},
    replica::{Replica, ReplicaOptions},
    rules::policy::default_policy,
    store::{Options, Store},
    vault::Vault,
};
use attestune_proto::v1::{
    AccessToken, ActorKind, Event, KeyAlgorithm, KeyCustody, KeyRegistered, LedgerCreated, Receipt, Role, RoleGranted,
    RootKey, Seen, Tool, Verdict, event::Body,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tonic::{Request, Status, transport::Channel};
use tonic_types::StatusExt as _;

/// `ada` and `omar` hold the root keys (threshold 1); `sten` is steward, `rita` reviewer, `paul` a person without a
/// role, `scanner` a worker, `gateway` the gateway.
pub struct World {
    pub gateway: Gateway,
    pub store: Arc<Store>,
    pub log: Arc<Troubled>,
    pub channel: Channel,
    pub ledger: [u8; 32],
    folder: PathBuf,
}

type Submitted = (Vec<Vec<u8>>, Answer);

/// The embedded log, which a test may hold up or break.
pub struct Troubled {
    log: Embedded,
    /// What was submitted since it is held up.
    held: Mutex<Option<Vec<Submitted>>>,
    broken: AtomicBool,
}

impl Troubled {
    /// Lets appends wait until [`Troubled::release`].
    pub fn hold(&self) {
        self.held.lock().unwrap().get_or_insert_default();
    }

    pub fn release(&self) {
        for (values, answer) in self.held.lock().unwrap().take().into_iter().flatten() {
            self.log.submit(values, answer);
        }
    }

    /// Lets the replica's next read fail.
    pub fn break_down(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }
}

impl EventLog for Troubled {
    fn append(&self, values: Vec<Vec<u8>>) -> Result<Vec<u64>, LogError> {
        self.log.append(values)
    }

    fn submit(&self, values: Vec<Vec<u8>>, answer: Answer) {
        match &mut *self.held.lock().unwrap() {
            Some(held) => held.push((values, answer)),
            None => self.log.submit(values, answer),
        }
    }

    fn settle(&self, end: u64) -> Result<(), LogError> {
        self.log.settle(end)
    }

    fn read(&self, from: u64, max_entries: usize, max_bytes: usize) -> Result<Vec<Entry>, LogError> {
        self.log.read(from, max_entries, max_bytes)
    }

    fn end(&self) -> Result<u64, LogError> {
        self.log.end()
    }

    fn wait_past(&self, end: u64, timeout: Duration) -> Result<u64, LogError> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(LogError::Unreadable { position: end, cause: "the test broke it".into() });
        }
        self.log.wait_past(end, timeout)
    }
}

/// The reason that a status carries.
pub fn reason(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "attestune");
    info.reason
}

/// The key of a name.
pub fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(Sha256::digest(name.as_bytes()).into())
}

pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

impl World {
    pub async fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("attestune-gateway-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&folder).unwrap();
        let store = Store::open(folder.join("db"), &Options::default()).unwrap();
        let log = Arc::new(Troubled {
            log: Embedded::open(store.clone(), Arc::new(SystemClock)).unwrap(),
            held: Mutex::default(),
            broken: AtomicBool::new(false),
        });
        let options = ReplicaOptions { checkpoint_key: Some(key("checkpoint")), pin: None };
        let replica = Replica::open(store.clone(), log.clone(), options).unwrap();
        let vault = Arc::new(Vault::open_folder(&folder.join("vault")).await.unwrap());
        let gateway = Gateway {
            replica,
            vault: Some(vault),
            key: key("gateway"),
            actor: "gateway".into(),
            published: Some(Arc::default()),
            log: Default::default(),
            pairings: Arc::default(),
            serving: None,
        };
        let (channel, _) = attestune_gateway::serve_in_process(gateway.clone()).await.unwrap();

        let genesis = genesis();
        let ledger = ledger_id(&genesis);
        gateway.replica.append(vec![genesis]).unwrap();
        let world = Self { gateway, store, log, channel, ledger, folder };
        world.cast("sten", ActorKind::Person, Some(Role::Steward));
        world.cast("rita", ActorKind::Person, Some(Role::Reviewer));
        world.cast("paul", ActorKind::Person, None);
        world.cast("scanner", ActorKind::Worker, Some(Role::Scanner));
        world.cast("gateway", ActorKind::Gateway, Some(Role::Gateway));
        world
    }

    /// Registers an actor, with a role or without.
    pub fn cast(&self, actor: &str, kind: ActorKind, role: Option<Role>) {
        self.must("ada", self.registration(actor, actor, kind));
        if let Some(role) = role {
            self.must("ada", Body::RoleGranted(RoleGranted { actor: actor.into(), role: role.into() }));
        }
    }

    /// The registration of the key of a key name for an actor.
    pub fn registration(&self, actor: &str, key_name: &str, kind: ActorKind) -> Body {
        Body::KeyRegistered(KeyRegistered {
            actor: actor.into(),
            printed_name: actor.to_uppercase(),
            actor_kind: kind.into(),
            algorithm: KeyAlgorithm::Ed25519.into(),
            public_key: key(key_name).public().to_vec(),
            possession: key(key_name).possession(&self.ledger, actor).to_vec(),
            custody: KeyCustody::File.into(),
        })
    }

    /// An event of an actor who has seen everything so far.
    pub fn event(&self, actor: &str, body: Body) -> Event {
        let head = self.gateway.replica.head().unwrap();
        let seen = Seen { size: head.size, root: head.entry_root };
        draft(&self.ledger, actor, uuid::Uuid::now_v7().into_bytes(), now_ms(), Some(seen), body)
    }

    /// The same, signed.
    pub fn signed(&self, actor: &str, body: Body) -> Vec<u8> {
        key(actor).sign_event(&self.event(actor, body))
    }

    /// Appends past the gateway.
    pub fn act(&self, actor: &str, body: Body) -> Receipt {
        self.gateway.replica.append(vec![self.signed(actor, body)]).unwrap().remove(0)
    }

    /// The same; it must be accepted.
    pub fn must(&self, actor: &str, body: Body) -> u64 {
        let receipt = self.act(actor, body);
        assert_eq!(receipt.verdict(), Verdict::Accepted, "{:?}", receipt.refusal);
        receipt.position
    }

    /// A token that holds.
    pub fn token(&self, actor: &str) -> AccessToken {
        AccessToken {
            ledger: self.ledger.to_vec(),
            actor: actor.into(),
            audience: "attestune".into(),
            not_after_ms: now_ms() + 60_000,
        }
    }

    /// A request with an actor's token.
    pub fn ask<T>(&self, actor: &str, message: T) -> Request<T> {
        with_token(message, &key(actor).sign(TOKEN_PAYLOAD_TYPE, &self.token(actor).encode_to_vec()))
    }

    /// The body of the newest event.
    pub fn last(&self) -> Body {
        let replica = &self.gateway.replica;
        replica.view().view().body(replica.position() - 1).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.log.release();
        self.gateway.replica.shut_down();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A request with these bytes as its token.
pub fn with_token<T>(message: T, envelope: &[u8]) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", BASE64_URL_SAFE_NO_PAD.encode(envelope));
    request.metadata_mut().insert("authorization", bearer.parse().unwrap());
    request
}

fn genesis() -> Vec<u8> {
    let root = |name: &str| RootKey {
        actor: name.into(),
        printed_name: name.to_uppercase(),
        public_key: key(name).public().to_vec(),
        possession: key(name).possession(&[], name).to_vec(),
    };
    let tool = |name: &str| vec![Tool { name: name.into(), version: "1".into() }];
    let body = LedgerCreated {
        name: "test".into(),
        root_keys: vec![root("ada"), root("omar")],
        threshold: 1,
        policy: Some(default_policy(tool("pii"), tool("quality"), "acceptance")),
        rules_version: 1,
        checkpoint_key: key("checkpoint").public().to_vec(),
    };
    let id = uuid::Uuid::now_v7().into_bytes();
    key("ada").sign_event(&draft(&[], "ada", id, now_ms(), None, Body::LedgerCreated(body)))
}
