//! A small world for scenarios: a ledger in memory, actors with keys, and verbs that sign and fold.
//!
//! Everything is deterministic: keys come from names, ids from a counter, time from the world's own clock.
//!
//! ```
//! use attestune_replay_tests::World;
//! use attestune_proto::v1::{event::Body, DocumentsIngested};
//!
//! let mut world = World::new();
//! let folded = world.act("sten", Body::DocumentsIngested(DocumentsIngested {
//!     collection: "tickets".into(), pack: vec![0; 16], commitments: vec![vec![1; 32]],
//! }));
//! assert_eq!(folded.code(), "");
//! ```

mod after;
mod afterwards;
mod chance;
mod covered;
mod golden;
pub mod kafka;
mod life;
mod lives;
mod port;
mod positions;
mod scenarios;
pub mod wire;

pub use after::*;
pub use afterwards::*;
pub use chance::Chance;
pub use covered::scan_coverage;
pub use golden::{Log, golden_folder, golden_log, read_log, write_log};
pub use life::*;
pub use lives::{Course, Lived, Lives};
pub use port::free_port;
pub use positions::positions;
pub use scenarios::*;

use attestune_ledger::draft::draft;
use attestune_ledger::envelope::{SigningKey, ledger_id};
use attestune_ledger::rules::Folded;
use attestune_ledger::state::{MemoryState, Reader as _, RowKey, View};
use attestune_proto::v1::{
    ActorKind, Event, KeyAlgorithm, KeyCustody, KeyRegistered, LedgerCreated, Policy, Role, RoleGranted, RootKey, Seen,
    Verdict, event::Body,
};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

/// When every world begins, milliseconds.
pub const START_MS: u64 = 1_780_000_000_000;

/// A ledger in memory with its cast: `ada` and `omar` hold the root keys (threshold 2); `sten` is steward, `rita`
/// and `rolf` reviewers, `ella` engineer, `alma`, `axel` and `anja` approvers, `otto` officer; `scanner`, `checker`,
/// `trainer`, `evaluator` workers, `gateway` the gateway.
pub struct World {
    /// What folds.
    pub state: MemoryState,
    /// The ledger's id.
    pub ledger: [u8; 32],
    /// The log's clock.
    pub now_ms: u64,
    /// Every value appended, with its time: the log.
    pub log: Vec<(u64, Vec<u8>)>,
    /// What the fold made of each.
    pub folded: Vec<Folded>,
    /// Codes of refusals and rejections seen so far.
    pub codes: BTreeSet<&'static str>,
    ids: u64,
}

/// The key of a name.
pub fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(Sha256::digest(name.as_bytes()).into())
}

impl World {
    /// A world with its cast in place, under [`policy`].
    pub fn new() -> Self {
        Self::with_policy(policy())
    }

    /// The same under another policy.
    pub fn with_policy(policy: Policy) -> Self {
        let mut world = Self::empty();
        world.create(genesis(policy));
        let people = [
            ("sten", Role::Steward),
            ("rita", Role::Reviewer),
            ("rolf", Role::Reviewer),
            ("ella", Role::Engineer),
            ("alma", Role::Approver),
            ("axel", Role::Approver),
            ("anja", Role::Approver),
            ("otto", Role::Officer),
        ];
        for (name, role) in people {
            world.cast(name, ActorKind::Person, role);
        }
        let workers = [
            ("scanner", Role::Scanner),
            ("checker", Role::Checker),
            ("trainer", Role::Trainer),
            ("evaluator", Role::Evaluator),
        ];
        for (name, role) in workers {
            world.cast(name, ActorKind::Worker, role);
        }
        world.cast("gateway", ActorKind::Gateway, Role::Gateway);
        world
    }

    /// A world without a ledger.
    pub fn empty() -> Self {
        Self {
            state: MemoryState::new(),
            ledger: [0; 32],
            now_ms: START_MS,
            log: Vec::new(),
            folded: Vec::new(),
            codes: BTreeSet::new(),
            ids: 0,
        }
    }

    /// The world of a log; its ids go on where no scenario's get to.
    pub fn of_log(log: &[(u64, Vec<u8>)]) -> Self {
        let mut world = Self { ids: 1 << 32, ..Self::empty() };
        for (time_ms, value) in log {
            world.push_at(*time_ms, value.clone());
        }
        world
    }

    /// Creates the ledger, signed by both root keys.
    pub fn create(&mut self, body: LedgerCreated) -> Folded {
        let mut event = self.draft("ada", Body::LedgerCreated(body));
        event.ledger.clear();
        event.seen = None;
        let bytes = key("omar").cosign(&key("ada").sign_event(&event)).expect("omar has not signed yet");
        self.push(bytes)
    }

    /// An actor with a key of that name and a role.
    pub fn cast(&mut self, name: &str, kind: ActorKind, role: Role) {
        let registered = self.act("ada", register(&self.ledger, name, name, kind));
        assert_eq!(registered.code(), "", "{name} registered");
        let granted = self.act_by(&["ada", "omar"], grant(name, role));
        assert_eq!(granted.code(), "", "{name} granted");
    }

    /// A draft of an actor who has seen everything so far.
    pub fn draft(&mut self, actor: &str, body: Body) -> Event {
        self.ids += 1;
        let mut id = [0; 16];
        id[8..].copy_from_slice(&self.ids.to_be_bytes());
        draft(&self.ledger, actor, id, self.now_ms, self.seen(), body)
    }

    /// What a signer sees now.
    pub fn seen(&self) -> Option<Seen> {
        let size = self.state.size();
        let root = self.state.entry_root(size).ok()??;
        Some(Seen { size, root: root.0.to_vec() })
    }

    /// An actor does something; a second passes.
    pub fn act(&mut self, actor: &str, body: Body) -> Folded {
        self.act_by(&[actor], body)
    }

    /// Several sign one event; the first is its actor.
    pub fn act_by(&mut self, actors: &[&str], body: Body) -> Folded {
        let event = self.draft(actors[0], body);
        let bytes = sign(&event, actors);
        self.push(bytes)
    }

    /// Folds a value, a second after the last.
    pub fn push(&mut self, bytes: Vec<u8>) -> Folded {
        self.push_at(self.now_ms.saturating_add(1000), bytes)
    }

    /// Folds a value that the log took in at a time.
    pub fn push_at(&mut self, time_ms: u64, bytes: Vec<u8>) -> Folded {
        self.now_ms = time_ms;
        let folded = self.state.push(time_ms, bytes.clone()).expect("memory can be read");
        if self.ledger == [0; 32] && folded.verdict == Verdict::Accepted {
            self.ledger = ledger_id(&bytes);
        }
        self.log.push((time_ms, bytes));
        self.folded.push(folded.clone());
        if !folded.code().is_empty() {
            self.codes.insert(folded.code());
        }
        folded
    }

    /// The position that the next event will get.
    pub fn next(&self) -> u64 {
        self.state.size()
    }

    /// The root of the entry tree at a size that the log has reached.
    pub fn root_at(&self, size: u64) -> Vec<u8> {
        let root = self.state.entry_root(size).expect("memory can be read");
        root.expect("the log has reached it").0.to_vec()
    }

    /// Does something that must be accepted; answers its position.
    pub fn must(&mut self, actor: &str, body: Body) -> u64 {
        self.must_by(&[actor], body)
    }

    /// The same by several.
    pub fn must_by(&mut self, actors: &[&str], body: Body) -> u64 {
        let position = self.next();
        let folded = self.act_by(actors, body);
        assert_eq!((folded.verdict, folded.code()), (Verdict::Accepted, ""), "{:?}", folded.refusal);
        position
    }

    /// Does something that must be refused with a code.
    pub fn refused(&mut self, actor: &str, body: Body, code: &str) -> Folded {
        let folded = self.act(actor, body);
        assert_eq!((folded.verdict, folded.code()), (Verdict::Refused, code), "{:?}", folded.refusal);
        folded
    }

    /// A row now.
    pub fn row<R: prost::Message + Default>(&self, row: &RowKey<R>) -> Option<R> {
        View::new(&self.state, self.state.size()).get(row)
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// An event signed by several actors' keys.
pub fn sign(event: &Event, actors: &[&str]) -> Vec<u8> {
    let first = key(actors[0]).sign_event(event);
    actors[1..].iter().fold(first, |bytes, name| key(name).cosign(&bytes).expect("each signs once"))
}

/// The genesis of every world.
pub fn genesis(policy: Policy) -> LedgerCreated {
    let root = |name: &str| RootKey {
        actor: name.into(),
        printed_name: name.to_uppercase(),
        public_key: key(name).public().to_vec(),
        possession: key(name).possession(&[], name).to_vec(),
    };
    LedgerCreated {
        name: "test".into(),
        root_keys: vec![root("ada"), root("omar")],
        threshold: 2,
        policy: Some(policy),
        rules_version: 1,
        checkpoint_key: key("checkpoint").public().to_vec(),
    }
}

/// Registers the key of a key name for an actor.
pub fn register(ledger: &[u8], actor: &str, key_name: &str, kind: ActorKind) -> Body {
    Body::KeyRegistered(KeyRegistered {
        actor: actor.into(),
        printed_name: actor.to_uppercase(),
        actor_kind: kind as i32,
        algorithm: KeyAlgorithm::Ed25519 as i32,
        public_key: key(key_name).public().to_vec(),
        possession: key(key_name).possession(ledger, actor).to_vec(),
        custody: KeyCustody::File as i32,
    })
}

/// Grants a role.
pub fn grant(actor: &str, role: Role) -> Body {
    Body::RoleGranted(RoleGranted { actor: actor.into(), role: role as i32 })
}
