//! What all processes of a run share: the log with its fold, what is on its way to it, time and chance.

use crate::auditor::Auditor;
use crate::course::{Course, Fault};
use attestune_ledger::draft::{kind, plain};
use attestune_ledger::rules::Folded;
use attestune_ledger::rules::decode::decode;
use attestune_ledger::state::MemoryState;
use attestune_proto::v1::{ActorKind, Policy, Role, Verdict, event::Body};
use attestune_replay_tests::{Chance, START_MS, World, base, grant, policy, suite};
use std::collections::BTreeMap;

/// Who sends what no process of ours sends.
pub const STRANGER: usize = usize::MAX;

/// The policy of every run: leases of a minute or so, so that many run out.
pub fn company_policy() -> Policy {
    Policy { training_lease_ms: 60_000, evaluation_lease_ms: 90_000, ..policy() }
}

pub struct Company {
    pub course: Course,
    /// The log and its fold.
    pub world: World,
    /// True time.
    pub now_ms: u64,
    /// How far the log's clock is off.
    pub log_off_ms: i64,
    pub chance: Chance,
    /// In how many more times than in the stormiest of lives something goes wrong.
    calm: u64,
    pub desks: Vec<Desk>,
    pub under_way: Vec<Message>,
    auditor: Auditor,
    /// A second replica, which reads the log in windows of its own.
    second: MemoryState,
    /// A line for each thing that happened.
    pub told: Vec<String>,
}

/// What a process keeps through a crash, and what a crash takes.
pub struct Desk {
    pub name: &'static str,
    /// How far its replica has folded.
    pub seen: u64,
    /// How far its clock is off.
    pub off_ms: i64,
    /// It stands still until then.
    pub still_until_ms: u64,
    /// Acts that rest until then.
    pub rests: BTreeMap<String, u64>,
}

/// A value on its way to the log.
#[derive(Clone)]
pub struct Message {
    pub from: usize,
    pub value: Vec<u8>,
}

impl Company {
    /// A ledger with its cast, a base model and a suite.
    pub fn found(course: &Course) -> Self {
        let mut world = World::with_policy(company_policy());
        for (name, role) in [
            ("scanner-2", Role::Scanner),
            ("checker-2", Role::Checker),
            ("trainer-2", Role::Trainer),
            ("evaluator-2", Role::Evaluator),
        ] {
            world.cast(name, ActorKind::Worker, role);
        }
        world.cast("stella", ActorKind::Person, Role::Steward);
        // Some have two parts, and so may not decide on what they took part in.
        for (name, role) in [("alma", Role::Engineer), ("axel", Role::Steward), ("stella", Role::Reviewer)] {
            world.must_by(&["ada", "omar"], grant(name, role));
        }
        world.must("ella", base());
        world.must("ella", Body::SuiteRegistered(suite()));
        let mut company = Self {
            course: course.clone(),
            world: World::empty(),
            now_ms: START_MS,
            log_off_ms: 0,
            chance: Chance::new(course.seed),
            calm: 1 + course.seed % 5,
            desks: Vec::new(),
            under_way: Vec::new(),
            auditor: Auditor::default(),
            second: MemoryState::new(),
            told: Vec::new(),
        };
        for (time_ms, value) in world.log {
            company.now_ms = time_ms;
            company.append(&value).expect("a sound beginning");
        }
        company.told.clear();
        company
    }

    /// Whether this goes wrong now, which in the stormiest of lives it does once in so many times.
    pub fn fails(&mut self, fault: Fault, once_in: u64) -> bool {
        self.chance.one_in(once_in * self.calm) && self.course.faults.contains(&fault)
    }

    /// Tells what happened.
    pub fn tell(&mut self, who: usize, what: &str) {
        let name = self.desks.get(who).map_or("stranger", |desk| desk.name);
        let seconds = (self.now_ms - START_MS) as f64 / 1000.0;
        self.told.push(format!("{seconds:>9.3}s  {name:<12} {what}"));
    }

    /// The log takes a value in, and everybody who watches looks at what the fold makes of it.
    pub fn append(&mut self, value: &[u8]) -> Result<(), String> {
        let time_ms = self.now_ms.saturating_add_signed(self.log_off_ms);
        let position = self.world.next();
        let mut folded = self.world.push_at(time_ms, value.to_vec());
        if self.course.broken.is_some_and(|code| code == folded.code()) {
            (folded.verdict, folded.refusal) = (Verdict::Accepted, None);
        }
        self.told.push(format!("{:11}  on the log: {}", "", line(position, value, &folded)));
        self.auditor.take(position, time_ms, value, &folded)?;
        self.auditor.agrees_with(&self.world.state)?;
        if self.chance.one_in(6) { self.second_catches_up() } else { Ok(()) }
    }

    /// The second replica reads on to the end of the log, and must say the same.
    pub fn second_catches_up(&mut self) -> Result<(), String> {
        for position in self.second.size()..self.world.next() {
            let (time_ms, value) = self.world.log[position as usize].clone();
            let folded = self.second.push(time_ms, value).map_err(|error| error.to_string())?;
            if folded != self.world.folded[position as usize] {
                return Err(format!("a second replica says at {position}: {folded:?}"));
            }
        }
        Ok(())
    }
}

/// An entry and its verdict in a line.
fn line(position: u64, value: &[u8], folded: &Folded) -> String {
    let event = decode(value).ok().map(|decoded| decoded.event);
    let what = event.as_ref().and_then(|event| event.body.as_ref()).map(|body| {
        let kind = plain(kind(body).as_str_name(), "KIND_");
        format!("{kind} ({})", attestune_ledger::query::summary(body))
    });
    let actor = event.as_ref().map_or("-", |event| event.actor.as_str());
    let verdict = plain(folded.verdict.as_str_name(), "VERDICT_");
    format!("{position} {actor} {} → {verdict} {}", what.unwrap_or("-".into()), folded.code())
}
