//! Packs as a whole: at a moment, over a log that was tampered with, and by name.

use crate::{Answers, Folded};
use attestune_ledger::query::QueryError;
use attestune_ledger::query::comply::{comply, packs};
use attestune_proto::v1::{AnswerStatus, AsOf, ClauseStatus, ComplyResponse, as_of::When};
use attestune_replay_tests::World;

fn status(response: &ComplyResponse, pack: &str, clause: &str) -> ClauseStatus {
    let pack = response.packs.iter().find(|one| one.pack == pack).unwrap();
    pack.clauses.iter().find(|one| one.clause == clause).unwrap().status()
}

#[test]
fn a_moment_in_the_past_is_answered_as_a_replica_that_stopped_there() {
    let mut world = World::new();
    let before = world.next() - 1;
    world.with_two_versions();
    let folded = Folded::of(&world);
    let at = |position| Some(AsOf { when: Some(When::Position(position)) });
    let then = folded.comply("", at(before), 0);
    let mut stopped = World::empty();
    for (time_ms, value) in &world.log[..=before as usize] {
        stopped.push_at(*time_ms, value.clone());
    }
    assert_eq!(then, Folded::of(&stopped).comply("", None, 0));
    assert_eq!((then.as_of_position, then.now_ms), (before, then.as_of_ms));
    assert_eq!(status(&then, "soc-2", "CC8.1"), ClauseStatus::NotApplicable);
    let now = folded.comply("", None, world.now_ms);
    assert_eq!(status(&now, "soc-2", "CC8.1"), ClauseStatus::Met);
    assert_eq!(status(&now, "sec-17a-4", "(f)(2)(v)"), ClauseStatus::ForPeople);
}

#[test]
fn one_pack_answers_what_it_asks_and_an_unknown_one_is_not_found() {
    let folded = Folded::of(&World::new());
    let soc2 = folded.comply("soc-2", None, 0);
    assert_eq!(soc2.packs.len(), 1);
    let asked = |code: &str| soc2.packs[0].clauses.iter().flat_map(|c| &c.questions).any(|q| q.question == code);
    assert!(soc2.questions.iter().all(|answer| asked(&answer.question)));
    assert!(soc2.questions.len() < folded.comply("", None, 0).questions.len());
    assert_eq!(folded.comply("", None, 0).packs.len(), packs().unwrap().len());
    let unknown = comply(&folded.replica.view(), "hammurabi", 0).unwrap_err();
    assert!(matches!(unknown, QueryError::NotFound { what: "pack", .. }), "{unknown}");
}

#[test]
fn a_log_in_which_an_entry_was_changed_is_not_whole() {
    let world = World::new();
    let text = Answers::now(&world).met("log-whole").text.clone();
    assert!(text.contains(&hex::encode(world.root_at(world.next()))), "{text}");
    for (position, says) in [(5, "entry 5 is not what the tree says"), (0, "not the genesis")] {
        let folded = Folded::of(&world);
        let mut batch = folded.store.batch();
        let (time_ms, value) = &world.log[6];
        batch.put_entry(position, *time_ms, value);
        folded.store.write(batch, false).unwrap();
        let answers = folded.comply("", None, world.now_ms).questions;
        let whole = answers.iter().find(|answer| answer.question == "log-whole").unwrap();
        assert_eq!((whole.status(), whole.short), (AnswerStatus::Gap, 1));
        assert!(whole.gaps[0].text.contains(says), "{:?}", whole.gaps);
    }
}
