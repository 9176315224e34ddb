//! Each question about compliance in a world where it is met, and in one where it is a gap; and the manual's page of packs.
// Helpers of tests stand outside `#[test]` functions here.
#![allow(clippy::unwrap_used)]

mod changes;
mod data;
mod manual;
mod moments;
mod people;
mod running;

use attestune_ledger::log::Embedded;
use attestune_ledger::query::comply::comply;
use attestune_ledger::replica::{Replica, ReplicaOptions};
use attestune_ledger::state::Actors;
use attestune_ledger::store::{Options, Store};
use attestune_proto::v1::event::Body;
use attestune_proto::v1::{AnswerStatus, AsOf, ComplyResponse, KeyRevoked, QuestionAnswer, RevocationReason};
use attestune_replay_tests::{World, key};
use std::sync::Arc;

const DAY_MS: u64 = 86_400_000;

/// A replica that has folded a world's log, and its store.
struct Folded {
    replica: Arc<Replica>,
    store: Arc<Store>,
    _folder: tempfile::TempDir,
}

impl Folded {
    fn of(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { cache_bytes: 8 << 20, write_buffer_bytes: 8 << 20, ..Options::default() };
        let store = Store::open(folder.path().join("db"), &options).unwrap();
        let mut batch = store.batch();
        for (position, (time_ms, value)) in (0u64..).zip(&world.log) {
            batch.put_entry(position, *time_ms, value);
        }
        store.write(batch, false).unwrap();
        let log = Embedded::open(store.clone(), Arc::new(|| 0)).unwrap();
        let options = ReplicaOptions { checkpoint_key: Some(key("checkpoint")), pin: Some(world.ledger) };
        let replica = Replica::open(store.clone(), Arc::new(log), options).unwrap();
        Self { replica, store, _folder: folder }
    }

    fn comply(&self, pack: &str, as_of: Option<AsOf>, now_ms: u64) -> ComplyResponse {
        comply(&self.replica.resolve(as_of.as_ref()).unwrap(), pack, now_ms).unwrap()
    }
}

impl Drop for Folded {
    fn drop(&mut self) {
        self.replica.shut_down();
    }
}

/// The answers of a world at a time.
struct Answers(Vec<QuestionAnswer>);

impl Answers {
    fn of(world: &World, now_ms: u64) -> Self {
        Self(Folded::of(world).comply("", None, now_ms).questions)
    }

    fn now(world: &World) -> Self {
        Self::of(world, world.now_ms)
    }

    fn of_question(&self, code: &str) -> &QuestionAnswer {
        self.0.iter().find(|answer| answer.question == code).unwrap()
    }

    /// The answer to what must be met.
    fn met(&self, code: &str) -> &QuestionAnswer {
        let answer = self.of_question(code);
        assert_eq!(
            (answer.status(), answer.short),
            (AnswerStatus::Met, 0),
            "{code}: {} {:?}",
            answer.text,
            answer.gaps
        );
        assert!(!answer.positions.is_empty() && answer.gaps.is_empty(), "{code} names what is behind it");
        answer
    }

    /// The only gap of what must show one.
    fn gap(&self, code: &str) -> String {
        let answer = self.of_question(code);
        assert_eq!(answer.status(), AnswerStatus::Gap, "{code}: {}", answer.text);
        assert_eq!((answer.short, answer.gaps.len()), (1, 1), "{code}: {:?}", answer.gaps);
        answer.gaps[0].text.clone()
    }

    fn not_applicable(&self, code: &str) {
        let answer = self.of_question(code);
        assert_eq!((answer.status(), answer.of), (AnswerStatus::NotApplicable, 0), "{code}: {}", answer.text);
    }
}

/// Ada revokes the key of an actor.
fn revoke(world: &mut World, actor: &str, reason: RevocationReason) {
    let keyid = world.row(&Actors::key(actor)).unwrap().keyids[0].clone();
    world.must("ada", Body::KeyRevoked(KeyRevoked { keyid, reason: reason as i32 }));
}
