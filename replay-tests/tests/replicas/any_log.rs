//! Any log: noise, damaged envelopes, validly signed nonsense, and a life that goes on between.

use crate::held::{Way, live_replica_agrees, replica_agrees, rows};
use crate::{any_way, cases};
use attestune_ledger::envelope::EVENT_PAYLOAD_TYPE;
use attestune_ledger::rules::Folded;
use attestune_ledger::state::{MemoryState, Reader as _, View};
use attestune_proto::v1::{Envelope, Event, Verdict, event::Body};
use attestune_replay_tests::wire::{self, Change};
use attestune_replay_tests::{SCENARIOS, World, ingested, key, positions, whole_life};
use proptest::prelude::*;
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The keys that may sign here.
const NAMES: [&str; 22] = [
    "ada",
    "omar",
    "sten",
    "rita",
    "rolf",
    "ella",
    "alma",
    "axel",
    "anja",
    "otto",
    "scanner",
    "checker",
    "trainer",
    "evaluator",
    "gateway",
    "monitor",
    "scheduler",
    "tess",
    "sten2",
    "sten3",
    "anja2",
    "nobody",
];

/// A signed event, as it was signed and by whom.
struct Signed {
    event: Event,
    names: Vec<&'static str>,
    value: Vec<u8>,
}

/// The log of the whole life.
static LIFE: LazyLock<Vec<(u64, Vec<u8>)>> = LazyLock::new(|| whole_life().log);

/// Its events, and behind them those of all other scenarios: of the same ledger, as all worlds begin alike.
static EVENTS: LazyLock<Vec<Signed>> = LazyLock::new(|| {
    let others = SCENARIOS[2..].iter().map(|(_, scenario)| scenario().log);
    let logs = [LIFE.clone()].into_iter().chain(others);
    logs.flatten().filter_map(|(_, value)| signed(value)).collect()
});

fn signed(value: Vec<u8>) -> Option<Signed> {
    let keyids: BTreeMap<_, _> = NAMES.iter().map(|name| (key(name).keyid(), *name)).collect();
    let envelope = Envelope::decode(value.as_slice()).ok()?;
    let event = Event::decode(envelope.payload.as_slice()).ok()?;
    let mut names: Vec<_> = envelope.signatures.iter().map(|s| keyids.get(&s.keyid).copied()).collect::<Option<_>>()?;
    // Whoever acts signs first.
    names.sort_by_key(|name| *name != event.actor);
    (!names.is_empty()).then_some(Signed { event, names, value })
}

/// What happens to the log. Numbers choose, modulo how many there are to choose from.
#[derive(Debug, Clone)]
pub enum Step {
    /// The life goes on: its next event, signed anew.
    Onward,
    /// An event out of its turn, signed anew.
    OutOfTurn(u16),
    /// The same with some positions in it changed to others of the log.
    Astray(u16, u16),
    /// A value as it was once signed.
    AsSigned(u16),
    /// A value that is on the log already.
    Again(u16),
    /// Bytes that are on the log already, changed as bytes.
    Damaged(u16, Damage),
    /// An envelope of the log already with a field changed, signatures left as they are.
    Forged(u16, u16, Change),
    /// An event with fields changed, in canonical form or not, signed anew.
    Changed { event: u16, fields: Vec<(u16, Change)>, canonical: bool, signers: Signers },
    /// The life's next event with one field changed, and left at that: perhaps not in canonical form.
    Bent(u16, Change),
    /// An event with another actor and id.
    Renamed { event: u16, actor: String, id: Vec<u8>, signers: Signers },
    /// Noise.
    Noise(Vec<u8>),
    /// The log's clock jumps.
    Clock(i64),
}

#[derive(Debug, Clone)]
pub enum Damage {
    Turned(u16),
    Cut(u16),
    Grown(Vec<u8>),
    Joined(u16, u16),
}

#[derive(Debug, Clone)]
pub enum Signers {
    /// Those who signed it.
    Own,
    /// Another.
    Other(u8),
    /// Those who signed it, and another.
    AndOther(u8),
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        prop_oneof![0..200u64, any::<u64>(), Just(u64::MAX), Just(u64::from(u32::MAX)), Just(1 << 31)]
            .prop_map(Change::Number),
        any::<u16>().prop_map(Change::Turn),
        (0..40u8).prop_map(Change::Cut),
        prop::collection::vec(any::<u8>(), 1..40).prop_map(Change::Grow),
        Just(Change::Twice),
        Just(Change::Gone),
        Just(Change::Swap),
        (1..130u32).prop_map(Change::Beside),
    ]
}

fn any_signers() -> impl Strategy<Value = Signers> {
    prop_oneof![4 => Just(Signers::Own), 1 => any::<u8>().prop_map(Signers::Other), 1 => any::<u8>().prop_map(Signers::AndOther)]
}

fn any_damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        any::<u16>().prop_map(Damage::Turned),
        any::<u16>().prop_map(Damage::Cut),
        prop::collection::vec(any::<u8>(), 1..20).prop_map(Damage::Grown),
        any::<(u16, u16)>().prop_map(|(other, at)| Damage::Joined(other, at)),
    ]
}

fn any_step(clock: BoxedStrategy<i64>) -> impl Strategy<Value = Step> {
    let fields = prop::collection::vec((any::<u16>(), any_change()), 1..4);
    let changed = (any::<u16>(), fields, any::<bool>(), any_signers());
    prop_oneof![
        8 => Just(Step::Onward),
        3 => any::<u16>().prop_map(Step::OutOfTurn),
        2 => any::<(u16, u16)>().prop_map(|(event, by)| Step::Astray(event, by)),
        2 => any::<u16>().prop_map(Step::AsSigned),
        2 => any::<u16>().prop_map(Step::Again),
        2 => (any::<u16>(), any_damage()).prop_map(|(value, damage)| Step::Damaged(value, damage)),
        2 => (any::<u16>(), any::<u16>(), any_change()).prop_map(|(value, at, change)| Step::Forged(value, at, change)),
        8 => changed.prop_map(|(event, fields, canonical, signers)| Step::Changed { event, fields, canonical, signers }),
        2 => (any::<u16>(), any_change()).prop_map(|(at, change)| Step::Bent(at, change)),
        3 => any_name_and_id(),
        1 => prop::collection::vec(any::<u8>(), 0..100).prop_map(Step::Noise),
        1 => clock.prop_map(Step::Clock),
    ]
}

/// Names and ids that might run into each other where they are stored side by side.
fn any_name_and_id() -> impl Strategy<Value = Step> {
    let actor = prop::sample::select(vec!["sten", "sten", "sten\0", "sten\0a", "ste", ""]);
    let id = prop_oneof![prop::collection::vec(prop::sample::select(vec![0, b'a']), 0..4), Just(vec![7; 16])];
    // One of them signs: sten or rita.
    (any::<u16>(), actor, id, 2..4u8).prop_map(|(event, actor, id, signer)| Step::Renamed {
        event,
        actor: actor.into(),
        id,
        signers: Signers::Other(signer),
    })
}

/// A log in the making, and where the life's events stand on it.
struct Making {
    world: World,
    /// The life's next event.
    next: usize,
    moved: BTreeMap<u64, u64>,
}

impl Making {
    /// Begins with the life's first events as they were signed.
    fn after(begun: usize) -> Self {
        let world = World::of_log(&LIFE[..begun]);
        Self { world, next: begun, moved: BTreeMap::new() }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Onward => self.go_on(),
            Step::OutOfTurn(event) => {
                let (event, names) = self.anew(choose(*event));
                self.push(key_by_key(&event.encode_to_vec(), &names));
            }
            Step::Astray(event, by) => {
                let (mut event, names) = self.anew(choose(*event));
                let size = self.world.next();
                for position in event.body.as_mut().map(positions).unwrap_or_default() {
                    *position = position.wrapping_add(u64::from(*by)) % (size + 2);
                }
                self.push(key_by_key(&event.encode_to_vec(), &names));
            }
            Step::AsSigned(event) => self.push(choose(*event).value.clone()),
            Step::Again(place) => {
                let value = self.value(*place);
                self.push(value);
            }
            Step::Damaged(place, damage) => {
                let value = self.damaged(*place, damage);
                self.push(value);
            }
            Step::Forged(place, at, change) => {
                let value = self.value(*place);
                let mut fields = wire::parse(&value).unwrap_or_default();
                wire::change(&mut fields, usize::from(*at), change);
                self.push(wire::encode(&fields));
            }
            Step::Changed { event, fields, canonical, signers } => {
                let (event, names) = self.anew(choose(*event));
                let mut payload = event.encode_to_vec();
                for (at, change) in fields {
                    let mut parsed = wire::parse(&payload).unwrap_or_default();
                    wire::change(&mut parsed, usize::from(*at), change);
                    payload = wire::encode(&parsed);
                }
                if *canonical && let Ok(event) = Event::decode(payload.as_slice()) {
                    payload = event.encode_to_vec();
                }
                self.push(key_by_key(&payload, &signers.of(names)));
            }
            Step::Bent(at, change) => {
                let Some((event, names)) = self.next_of_life() else { return };
                let mut fields = wire::parse(&event.encode_to_vec()).unwrap_or_default();
                wire::change(&mut fields, usize::from(*at), change);
                self.push(key_by_key(&wire::encode(&fields), &names));
            }
            Step::Renamed { event, actor, id, signers } => {
                let (event, names) = self.anew(choose(*event));
                let event = Event { actor: actor.clone(), id: id.clone(), ..event };
                self.push(key_by_key(&event.encode_to_vec(), &signers.of(names)));
            }
            Step::Noise(bytes) => self.push(bytes.clone()),
            Step::Clock(by_ms) => self.world.now_ms = self.world.now_ms.saturating_add_signed(*by_ms),
        }
    }

    fn go_on(&mut self) {
        let Some((event, names)) = self.next_of_life() else { return };
        self.moved.insert(self.next as u64, self.world.next());
        self.next += 1;
        self.push(key_by_key(&event.encode_to_vec(), &names));
    }

    /// The life's next event, with the positions in it moved to where they are here.
    fn next_of_life(&mut self) -> Option<(Event, Vec<&'static str>)> {
        let signed = EVENTS.get(self.next).filter(|_| self.next < LIFE.len())?;
        let (mut event, names) = self.anew(signed);
        for position in event.body.as_mut().map(positions).unwrap_or_default() {
            *position = self.moved.get(position).copied().unwrap_or(*position);
        }
        if let Some(Body::StateAttested(body)) = &mut event.body {
            body.size = self.world.next();
            body.verdict_root = self.world.state.verdict_root(body.size).unwrap().unwrap().0.to_vec();
        }
        Some((event, names))
    }

    /// An event with a fresh id and the newest view.
    fn anew(&mut self, signed: &Signed) -> (Event, Vec<&'static str>) {
        let Some(body) = signed.event.body.clone() else { return (signed.event.clone(), signed.names.clone()) };
        let event = self.world.draft(&signed.event.actor, body);
        (event, signed.names.clone())
    }

    fn value(&self, place: u16) -> Vec<u8> {
        let count = self.world.log.len().max(1);
        self.world.log.get(usize::from(place) % count).map(|(_, value)| value.clone()).unwrap_or_default()
    }

    fn damaged(&self, place: u16, damage: &Damage) -> Vec<u8> {
        let mut value = self.value(place);
        let length = value.len().max(1);
        match damage {
            Damage::Turned(bit) => {
                let bit = usize::from(*bit) % (length * 8);
                if let Some(byte) = value.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Damage::Cut(at) => value.truncate(usize::from(*at) % length),
            Damage::Grown(by) => value.extend(by),
            Damage::Joined(other, at) => {
                value.truncate(usize::from(*at) % length);
                value.extend(self.value(*other));
            }
        }
        value
    }

    /// Folds a value, and looks at what came of it.
    fn push(&mut self, value: Vec<u8>) {
        let before: Vec<_> = self.world.state.all_rows().map(|(name, at, _)| (name.to_vec(), at)).collect();
        let position = self.world.next();
        let folded = self.world.push(value.clone());
        let after: Vec<_> = self.world.state.all_rows().map(|(name, at, _)| (name.to_vec(), at)).collect();
        has_one_verdict(&folded);
        match folded.verdict {
            Verdict::Accepted => {
                let kept: Vec<_> = after.into_iter().filter(|(_, at)| *at != position).collect();
                assert_eq!(kept, before, "an accepted event changes no row of before");
                is_canonical(&value);
            }
            _ => assert_eq!(after, before, "what is not accepted writes no row"),
        }
        if let Some(first) = folded.first {
            assert_eq!(self.world.log[first as usize].1, value, "a duplicate is the same bytes");
        }
    }
}

impl Signers {
    fn of(&self, own: Vec<&'static str>) -> Vec<&'static str> {
        let name = |number: &u8| NAMES[usize::from(*number) % NAMES.len()];
        match self {
            Self::Own => own,
            Self::Other(number) => vec![name(number)],
            Self::AndOther(number) => own.into_iter().chain([name(number)]).collect(),
        }
    }
}

fn choose(event: u16) -> &'static Signed {
    &EVENTS[usize::from(event) % EVENTS.len()]
}

/// A payload signed by each, once.
fn key_by_key(payload: &[u8], names: &[&str]) -> Vec<u8> {
    let first = key(names[0]).sign(EVENT_PAYLOAD_TYPE, payload);
    names[1..].iter().fold(first, |value, name| key(name).cosign(&value).unwrap_or(value))
}

/// A verdict has the reason that belongs to it, and no other.
fn has_one_verdict(folded: &Folded) {
    let reasons = (folded.refusal.is_some(), folded.rejection.is_some(), folded.first.is_some());
    let belongs = match folded.verdict {
        Verdict::Accepted => (false, false, false),
        Verdict::Refused => (true, false, false),
        Verdict::Garbage => (false, true, false),
        Verdict::Duplicate => (false, false, true),
        Verdict::Unspecified => panic!("no verdict: {folded:?}"),
    };
    assert_eq!(reasons, belongs, "{folded:?}");
    let counted = folded.uses_id.is_some();
    match folded.verdict {
        Verdict::Accepted => assert!(counted, "an accepted event uses up its id"),
        Verdict::Garbage | Verdict::Duplicate => assert!(!counted, "only a new event uses up an id"),
        Verdict::Refused | Verdict::Unspecified => {}
    }
}

/// Encoding what was decoded gives the same bytes: there is one way to write an accepted event.
fn is_canonical(value: &[u8]) {
    let envelope = Envelope::decode(value).unwrap();
    assert_eq!(envelope.encode_to_vec(), value);
    let event = Event::decode(envelope.payload.as_slice()).unwrap();
    assert_eq!(event.encode_to_vec(), envelope.payload, "accepted, but not in canonical form");
}

/// Any jump of a clock.
fn any_clock() -> BoxedStrategy<i64> {
    prop_oneof![any::<i64>(), -2_000_000..2_000_000i64].boxed()
}

/// A log after some of the life and some steps.
pub fn made(begun: usize, steps: &[Step]) -> World {
    let mut making = Making::after(begun % (LIFE.len() + 1));
    steps.iter().for_each(|step| making.take(step));
    making.world
}

/// Any steps after any beginning, between which the log's clock jumps so far at most.
pub fn any_steps(most: usize, clock: BoxedStrategy<i64>) -> impl Strategy<Value = (usize, Vec<Step>)> {
    // A life begun, mostly; at times no ledger even.
    let begun = prop_oneof![6 => 27..200usize, 1 => 0..27usize];
    (begun, prop::collection::vec(any_step(clock), 0..most))
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn any_log_folds_to_the_same_over_any_windows_and_openings((begun, steps) in any_steps(60, any_clock()), way in any_way()) {
        replica_agrees(&made(begun, &steps), &way);
    }
}

proptest! {
    #![proptest_config(cases(6))]

    #[test]
    fn the_door_stops_what_the_fold_calls_no_event_and_nothing_else(steps in prop::collection::vec(any_step(any_clock()), 0..40)) {
        // A door has a ledger behind it: without one it lets genesis in and nothing else.
        live_replica_agrees(&made(27, &steps));
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn bytes_of_any_kind_are_no_event(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..40)) {
        let mut world = World::new();
        let before = rows(&world.state, world.next());
        for value in values {
            prop_assert_eq!(world.push(value).verdict, Verdict::Garbage);
        }
        prop_assert_eq!(rows(&world.state, world.next()), before);
    }

    #[test]
    fn the_state_as_of_a_position_is_what_a_fold_up_to_it_gave((begun, steps) in any_steps(60, any_clock()), at in any::<u16>()) {
        let world = made(begun, &steps);
        let cut = usize::from(at) % (world.log.len() + 1);
        let early = World::of_log(&world.log[..cut]);
        let size = cut as u64;
        prop_assert_eq!(rows(&world.state, size), rows(&early.state, size));
        prop_assert_eq!(&world.folded[..cut], early.folded.as_slice());
        let (later, then) = (View::new(&world.state, world.next()).as_of(size), View::new(&early.state, size));
        prop_assert_eq!(later.entry_root(size), then.entry_root(size));
        prop_assert_eq!(later.verdict_root(size), then.verdict_root(size));
    }

    #[test]
    fn entries_in_any_order_have_verdicts(order in Just((0..LIFE.len()).collect::<Vec<_>>()).prop_shuffle()) {
        let mut state = MemoryState::new();
        let mut accepted = 0;
        for (time_ms, value) in order.iter().map(|place| &LIFE[*place]) {
            let folded = state.push(*time_ms, value.clone()).unwrap();
            has_one_verdict(&folded);
            accepted += u32::from(folded.verdict == Verdict::Accepted);
        }
        // Genesis founds a ledger wherever it comes; hardly anybody saw the tree that now is.
        prop_assert!(accepted >= 1);
    }
}

#[test]
fn the_life_goes_on_though_strangers_write_between() {
    let mut making = Making::after(30);
    for number in 0..LIFE.len() as u16 {
        making.take(&Step::Onward);
        if number % 3 == 0 {
            making.take(&Step::Noise(vec![1, 2, 3]));
            making.take(&Step::Again(number));
        }
    }
    let accepted = making.world.folded.iter().filter(|f| f.verdict == Verdict::Accepted).count();
    assert_eq!(accepted, LIFE.len(), "{:?}", making.world.codes);
}

#[test]
fn an_id_is_one_actors_own_whatever_bytes_it_has() {
    let mut making = Making::after(27);
    let mut act = |actor: &str, id: &[u8], signer: &str| {
        let (event, _) = making.anew(&EVENTS[30]);
        let event = Event { actor: actor.into(), id: id.to_vec(), ..event };
        making.push(key_by_key(&event.encode_to_vec(), &[signer]));
    };
    // Where actor and id are stored side by side these two would run into each other.
    act("sten", b"a\0sixteen bytes id", "sten");
    act("sten\0a", b"sixteen bytes id", "rita");
    let codes: Vec<_> = making.world.folded[27..].iter().map(Folded::code).collect();
    assert_eq!(codes, ["bad-id", "actor-did-not-sign"]);
    replica_agrees(&making.world, &Way { windows: vec![1], openings: vec![], drops_state: false });
}

#[test]
fn a_body_beside_another_is_not_canonical() {
    let mut making = Making::after(27);
    let (event, _) = making.anew(&EVENTS[30]);
    let ingested = Event { actor: "sten".into(), body: Some(ingested("tickets", 1)), ..event };
    // Behind the body a later kind's, or its own once more, both empty: two ways to write one event.
    for number in [60, 40] {
        let mut payload = ingested.encode_to_vec();
        prost::encoding::bytes::encode(number, &vec![], &mut payload);
        let folded = making.world.push(key_by_key(&payload, &["sten"]));
        assert_eq!(folded.code(), "not-canonical", "field {number}");
    }
}
