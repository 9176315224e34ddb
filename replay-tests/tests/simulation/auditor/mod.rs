//! Who checks each verdict of a ledger from the events alone.
//!
//! The auditor knows no rule of the fold and reads none of its rows: it keeps its own books on what was accepted, and
//! says when something was accepted that must never be. What the fold refused without need it does not notice.

mod data;
mod stages;
mod work;

use attestune_ledger::draft::kind;
use attestune_ledger::rules::Folded;
use attestune_ledger::rules::decode::decode;
use attestune_ledger::state::{MemoryState, Models, Versions, View};
use attestune_proto::v1::{ActorKind, Event, KeyRegistered, Kind, LedgerCreated, Policy, Role, Verdict, event::Body};
use data::Data;
use stages::Stages;
use std::collections::{BTreeMap, BTreeSet};
use work::Works;

/// What is wrong, in a sentence.
pub type Audit = Result<(), String>;

/// Says why not, unless it is so.
pub fn ensure(so: bool, otherwise: impl FnOnce() -> String) -> Audit {
    if so { Ok(()) } else { Err(otherwise()) }
}

/// An accepted event.
pub struct Act<'e> {
    at: u64,
    /// The ledger's time.
    time_ms: u64,
    event: &'e Event,
    by: By,
}

/// By whom something was signed, and with which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    pub actor: String,
    pub keyid: String,
}

#[derive(Default)]
pub struct Auditor {
    who: Who,
    /// Values that were on the log, each with its first verdict that was no garbage.
    values: BTreeMap<Vec<u8>, (u64, Verdict)>,
    ids: BTreeMap<(String, Vec<u8>), u64>,
    time_ms: u64,
    data: Data,
    works: Works,
    stages: Stages,
}

/// Actors, keys and the policy: on whose word something may count.
#[derive(Default)]
pub struct Who {
    actors: BTreeMap<String, Actor>,
    keys: BTreeMap<String, Key>,
    roots: BTreeSet<String>,
    threshold: usize,
    pub policy: Policy,
    pub policy_at: u64,
    pub clock_at: u64,
}

#[derive(Default)]
struct Actor {
    person: bool,
    roles: BTreeSet<i32>,
}

struct Key {
    actor: String,
    revoked: bool,
}

impl Auditor {
    /// Takes in what the ledger said on the next entry.
    pub fn take(&mut self, at: u64, raw_time_ms: u64, value: &[u8], folded: &Folded) -> Audit {
        self.time_ms = self.time_ms.max(raw_time_ms);
        self.said_once(at, value, folded)?;
        let decoded = match decode(value) {
            Ok(decoded) if folded.verdict == Verdict::Accepted => decoded,
            Err(_) if folded.verdict != Verdict::Garbage => return Err("what can't be read is no event".into()),
            _ => {
                ensure(folded.effects.writes().is_empty(), || "what is not accepted changes rows".into())?;
                return ensure(folded.fold_time_ms == self.time_ms, || "the ledger's time is another".into());
            }
        };
        let event = &decoded.event;
        let Some(body) = &event.body else { return Err("an unknown kind was accepted".into()) };
        let used = self.ids.insert((event.actor.clone(), event.id.clone()), at);
        ensure(used.is_none(), || format!("the id was used at {used:?} before"))?;
        if let Body::LedgerCreated(body) = body {
            ensure(self.who.roots.is_empty(), || "a second ledger was created".into())?;
            self.who.found(body);
            return Ok(());
        }
        let keyids: Vec<&str> = decoded.envelope.signatures.iter().map(|s| s.keyid.as_str()).collect();
        let by = self.who.signed(event, kind(body), &keyids)?;
        if let Body::ClockCorrected(body) = body {
            self.time_ms = body.time_ms;
        }
        ensure(folded.fold_time_ms == self.time_ms, || "the ledger's time is another".into())?;
        self.dispatch(&Act { at, time_ms: self.time_ms, event, by }, body)
    }

    /// The same bytes have one verdict, and an id is used once.
    fn said_once(&mut self, at: u64, value: &[u8], folded: &Folded) -> Audit {
        if let Some((first, verdict)) = self.values.get(value) {
            let same = folded.verdict == Verdict::Duplicate && folded.first == Some(*first);
            // Who names an actor that did not sign uses up no id, and is refused each time anew.
            let again = *verdict == Verdict::Refused && folded.verdict == Verdict::Refused;
            return ensure(same || again, || {
                format!("the bytes of {first}, which were {verdict:?}, are now {:?}", folded.verdict)
            });
        }
        ensure(folded.verdict != Verdict::Duplicate, || "the bytes were never seen before".into())?;
        if folded.verdict != Verdict::Garbage {
            self.values.insert(value.into(), (at, folded.verdict));
        }
        if folded.verdict == Verdict::Refused
            && let Some(name) = &folded.uses_id
        {
            self.ids.entry(name.clone()).or_insert(at);
        }
        Ok(())
    }

    fn dispatch(&mut self, act: &Act<'_>, body: &Body) -> Audit {
        let who = &mut self.who;
        match body {
            Body::KeyRegistered(b) => who.register(b),
            Body::KeyRevoked(b) => who.keys.get_mut(&b.keyid).map(|key| key.revoked = true).ok_or("no such key".into()),
            Body::RoleGranted(b) => who.grant(&b.actor, b.role, true),
            Body::RoleWithdrawn(b) => who.grant(&b.actor, b.role, false),
            Body::PolicyAdopted(b) => {
                (who.policy, who.policy_at) = (b.policy.clone().unwrap_or_default(), act.at);
                Ok(())
            }
            Body::ClockCorrected(_) => {
                who.clock_at = act.at;
                Ok(())
            }
            Body::DocumentsIngested(b) => self.data.ingest(act, b),
            Body::ExamplesDerived(b) => self.data.derive(act, b),
            Body::ExamplesScanned(b) => self.data.scan(act, who, b),
            Body::ExamplesChecked(b) => self.data.check(act, who, b),
            Body::ExamplesReviewed(b) => self.data.review(act, b),
            Body::ReviewReopened(b) => self.data.reopen(act, b),
            Body::DatasetFrozen(b) => self.data.freeze(act, who, b),
            Body::TrainingRequested(b) => self.works.request_training(act, &self.data, b),
            Body::TrainingClaimed(b) => self.works.claim(act, who, b.run, b.previous, who.policy.training_lease_ms),
            Body::TrainingProgressed(b) => self.works.progress(act, who, b),
            Body::TrainingCompleted(b) => {
                let run = self.works.end(act, who, b.run, b.token)?;
                self.stages.new_version(&run.model, b.run);
                Ok(())
            }
            Body::TrainingFailed(b) => self.works.end(act, who, b.run, b.token).map(|_| ()),
            Body::SuiteRegistered(b) => self.works.register_suite(act, b),
            Body::EvaluationRequested(b) => self.works.request_evaluation(act, b),
            Body::EvaluationClaimed(b) => {
                self.works.claim(act, who, b.evaluation, b.previous, who.policy.evaluation_lease_ms)
            }
            Body::EvaluationCompleted(b) => self.works.complete_evaluation(act, who, b),
            Body::EvaluationFailed(b) => self.works.end(act, who, b.evaluation, b.token).map(|_| ()),
            Body::LeakageChecked(b) => self.works.leakage(act, b),
            Body::PromotionRequested(b) => self.stages.request(act, who, &self.works, b),
            Body::PromotionApproved(b) => self.stages.approve(act, who, &self.works, &self.data, b),
            Body::PromotionRejected(b) => self.stages.close(who, b.promotion),
            Body::PromotionWithdrawn(b) => self.stages.close(who, b.promotion),
            Body::RolledBack(b) => self.stages.roll_back(b),
            _ => Ok(()),
        }
    }

    /// The ledger's rows say of each model what its events say.
    pub fn agrees_with(&self, state: &MemoryState) -> Audit {
        let view = View::new(state, state.size());
        for (name, model) in &self.stages.models {
            let row = view.get(&Models::key(name)).unwrap_or_default();
            let told = (model.versions.len() as u32, model.in_force);
            ensure((row.versions, row.in_force) == told, || format!("{name} is {row:?}, by its events {told:?}"))?;
            for (number, version) in (1..).zip(&model.versions) {
                let row = view.get(&Versions::key(name, number)).unwrap_or_default();
                ensure(row.stage == version.stage as i32, || {
                    format!("{name}@{number} is {row:?}, by its events in {:?}", version.stage)
                })?;
            }
        }
        Ok(())
    }
}

impl Who {
    fn found(&mut self, body: &LedgerCreated) {
        for root in &body.root_keys {
            let roles = BTreeSet::from([Role::Admin as i32]);
            self.actors.insert(root.actor.clone(), Actor { person: true, roles });
            let keyid = attestune_ledger::envelope::keyid(&root.public_key);
            self.keys.insert(keyid, Key { actor: root.actor.clone(), revoked: false });
            self.roots.insert(root.actor.clone());
        }
        self.threshold = body.threshold as usize;
        self.policy = body.policy.clone().unwrap_or_default();
    }

    /// All keys stand, and whoever signed may do this.
    fn signed(&self, event: &Event, kind: Kind, keyids: &[&str]) -> Result<By, String> {
        let mut by = None;
        let mut roots = BTreeSet::new();
        for keyid in keyids {
            let key = self.keys.get(*keyid).ok_or_else(|| format!("key {keyid} was never registered"))?;
            ensure(!key.revoked, || format!("{}'s key was revoked", key.actor))?;
            if key.actor == event.actor {
                by = Some(By { actor: key.actor.clone(), keyid: (*keyid).into() });
            }
            roots.extend(self.roots.get(&key.actor));
        }
        let by = by.ok_or_else(|| format!("{} did not sign", event.actor))?;
        let root_kind = [Kind::PolicyAdopted, Kind::ClockCorrected, Kind::RulesActivated].contains(&kind);
        let may = if root_kind { roots.len() >= self.threshold } else { self.counts(&by, kind) };
        // A key registers another of the same actor.
        ensure(may || kind == Kind::KeyRegistered, || format!("{} may not do this", event.actor))?;
        Ok(by)
    }

    /// Whether what somebody signed still counts.
    pub fn counts(&self, by: &By, kind: Kind) -> bool {
        let stands = self.keys.get(&by.keyid).is_some_and(|key| !key.revoked);
        let permitted = self.policy.permissions.iter().filter(|p| p.kind == kind as i32).flat_map(|p| &p.roles);
        let roles = self.actors.get(&by.actor).map(|actor| &actor.roles);
        stands && roles.is_some_and(|held| permitted.into_iter().any(|role| held.contains(role)))
    }

    pub fn is_person(&self, actor: &str) -> bool {
        self.actors.get(actor).is_some_and(|actor| actor.person)
    }

    fn register(&mut self, body: &KeyRegistered) -> Audit {
        let keyid = attestune_ledger::envelope::keyid(&body.public_key);
        let known = self.keys.insert(keyid, Key { actor: body.actor.clone(), revoked: false });
        ensure(known.is_none(), || "the key is registered twice".into())?;
        self.actors.entry(body.actor.clone()).or_default().person = body.actor_kind == ActorKind::Person as i32;
        Ok(())
    }

    fn grant(&mut self, actor: &str, role: i32, holds: bool) -> Audit {
        let actor = self.actors.get_mut(actor).ok_or("no such actor")?;
        let changed = if holds { actor.roles.insert(role) } else { actor.roles.remove(&role) };
        ensure(changed, || "the role was as it is".into())
    }
}
