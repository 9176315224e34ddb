//! Where the company's people sign, and the log as they see it.

use super::Lived;
use crate::{Chance, START_MS, genesis, grant, key, policy, register};
use attestune_ledger::draft::draft;
use attestune_ledger::envelope::{SigningKey, ledger_id};
use attestune_ledger::rules::entry_leaf;
use attestune_ledger::tree::Frontier;
use attestune_proto::v1::{ActorKind, ClockCorrected, Event, PolicyAdopted, Role, Seen, event::Body};
use std::collections::BTreeMap;

/// Signs, and knows what has been signed.
pub(super) struct Desk {
    pub(super) ledger: [u8; 32],
    pub(super) chance: Chance,
    /// The last event that ended open promotions, and the last that ended leases.
    pub(super) policy_at: u64,
    pub(super) clock_at: u64,
    /// The fold's time.
    now_ms: u64,
    keys: BTreeMap<String, SigningKey>,
    tree: Frontier,
    ids: u64,
    out: Vec<Lived>,
    /// The last event that was accepted, as it was signed.
    last: (Event, Vec<u8>),
}

/// Who works for all teams.
const SHARED: [(&str, ActorKind, Role); 9] = [
    ("alma", ActorKind::Person, Role::Approver),
    ("axel", ActorKind::Person, Role::Approver),
    ("anja", ActorKind::Person, Role::Approver),
    ("otto", ActorKind::Person, Role::Officer),
    ("scanner", ActorKind::Worker, Role::Scanner),
    ("checker", ActorKind::Worker, Role::Checker),
    ("trainer", ActorKind::Worker, Role::Trainer),
    ("evaluator", ActorKind::Worker, Role::Evaluator),
    ("gateway", ActorKind::Gateway, Role::Gateway),
];

impl Desk {
    /// Creates the ledger and takes in those who work for all teams.
    pub(super) fn open(seed: u64) -> Self {
        let mut desk = Self {
            ledger: [0; 32],
            chance: Chance::new(seed),
            policy_at: 0,
            clock_at: 0,
            now_ms: START_MS,
            keys: BTreeMap::new(),
            tree: Frontier::new(),
            ids: 0,
            out: Vec::new(),
            last: (Event::default(), Vec::new()),
        };
        let mut event = desk.draft("ada", Body::LedgerCreated(genesis(policy())));
        event.ledger.clear();
        event.seen = None;
        let value = desk.sign(&event, &["ada", "omar"]);
        desk.ledger = ledger_id(&value);
        desk.append(value, false);
        for (name, kind, role) in SHARED {
            desk.hire(name, kind, role);
        }
        desk
    }

    /// Registers somebody and grants a role.
    pub(super) fn hire(&mut self, name: &str, kind: ActorKind, role: Role) {
        let body = register(&self.ledger, name, name, kind);
        self.act("ada", body);
        self.act_by(&["ada", "omar"], grant(name, role));
    }

    /// Somebody does something; answers its position.
    pub(super) fn act(&mut self, actor: &str, body: Body) -> u64 {
        self.act_by(&[actor], body)
    }

    /// Several sign; the first is the actor.
    pub(super) fn act_by(&mut self, actors: &[&str], body: Body) -> u64 {
        let event = self.draft(actors[0], body);
        let value = self.sign(&event, actors);
        self.last = (event, value.clone());
        self.append(value, false)
    }

    /// Somebody does what must not be accepted.
    pub(super) fn err(&mut self, actor: &str, body: Body) {
        let event = self.draft(actor, body);
        let value = self.sign(&event, &[actor]);
        self.append(value, true);
    }

    /// Mistakes that need no team: the same bytes again, an id again, a false signature, a tree that never was, noise.
    pub(super) fn slip(&mut self) {
        let (mut event, mut value) = self.last.clone();
        let actor = event.actor.clone();
        let value = match self.chance.below(5) {
            0 => value,
            1 => {
                event.claimed_at_ms += 1;
                self.sign(&event, &[&actor])
            }
            2 => {
                // A bit of the signature: it stands at the end, before the id of its key.
                let place = value.len() - 60;
                value[place] ^= 4;
                value
            }
            3 => {
                let mut event = self.draft(&actor, event.body.unwrap_or(Body::LedgerCreated(genesis(policy()))));
                event.seen = Some(Seen { size: self.next(), root: self.chance.bytes(32) });
                self.sign(&event, &[&actor])
            }
            _ => {
                let length = self.chance.below(100) as usize;
                self.chance.bytes(length)
            }
        };
        self.append(value, true);
    }

    /// The root keys adopt the policy anew, or correct the clock to a few seconds ahead.
    pub(super) fn upheaval(&mut self) {
        if self.chance.one_in(2) {
            self.policy_at =
                self.act_by(&["ada", "omar"], Body::PolicyAdopted(PolicyAdopted { policy: Some(policy()) }));
        } else {
            let time_ms = self.now_ms + 5000;
            self.clock_at = self.act_by(&["ada", "omar"], Body::ClockCorrected(ClockCorrected { time_ms }));
            self.policy_at = self.clock_at;
            self.now_ms = time_ms;
        }
    }

    /// The position that the next entry will get.
    pub(super) fn next(&self) -> u64 {
        self.tree.size()
    }

    /// What was appended since the last call.
    pub(super) fn taken(&mut self) -> impl Iterator<Item = Lived> + use<> {
        std::mem::take(&mut self.out).into_iter()
    }

    fn draft(&mut self, actor: &str, body: Body) -> Event {
        self.ids += 1;
        let mut id = [0; 16];
        id[8..].copy_from_slice(&self.ids.to_be_bytes());
        let seen = Seen { size: self.tree.size(), root: self.tree.root().0.to_vec() };
        draft(&self.ledger, actor, id, self.now_ms, Some(seen), body)
    }

    fn sign(&mut self, event: &Event, actors: &[&str]) -> Vec<u8> {
        let first = self.key(actors[0]).sign_event(event);
        actors[1..].iter().fold(first, |value, name| self.key(name).cosign(&value).expect("each signs once"))
    }

    fn key(&mut self, name: &str) -> &SigningKey {
        self.keys.entry(name.to_string()).or_insert_with(|| key(name))
    }

    fn append(&mut self, value: Vec<u8>, mistake: bool) -> u64 {
        // Several entries share a time, as in one group of the log; now and then its clock falls back a little.
        self.now_ms += if self.chance.one_in(3) { self.chance.below(300) } else { 0 };
        let back_ms = if self.chance.one_in(50) { self.chance.below(400) } else { 0 };
        let time_ms = self.now_ms - back_ms;
        let position = self.tree.size();
        self.tree.push(entry_leaf(time_ms, &value));
        self.out.push(Lived { time_ms, value, mistake });
        position
    }
}
