//! Long plausible lives of many models, signed and in order, as a stream: the log of a company of several teams.
//!
//! Each team gathers batches of examples, has them scanned, checked and reviewed, freezes a dataset, trains, evaluates,
//! promotes, now and then rolls back; other teams' acts stand between. Two of three events are about data, more where
//! datasets have more batches. Some acts are mistakes, and each is told: what is none must be accepted, a mistake must
//! not be. The stream keeps only the right edge of the entry tree and each team's dataset in the making, so that a log
//! of a million events needs little memory; the same course gives the same bytes.
//!
//! ```
//! use attestune_ledger::state::MemoryState;
//! use attestune_proto::v1::Verdict;
//! use attestune_replay_tests::{Course, Lives};
//!
//! let mut state = MemoryState::new();
//! for lived in Lives::new(Course { seed: 1, ..Course::default() }).take(200) {
//!     let folded = state.push(lived.time_ms, lived.value)?;
//!     assert_eq!(folded.verdict == Verdict::Accepted, !lived.mistake, "{:?}", folded.refusal);
//! }
//! # Ok::<(), attestune_ledger::state::ReadFailed>(())
//! ```

mod desk;
mod team;

use crate::Chance;
use desk::Desk;
use std::collections::VecDeque;
use team::Team;

/// How lives go.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// Another seed is another log.
    pub seed: u64,
    /// Teams that work side by side, each on a model of its own; at least 1, at most 100.
    pub teams: u32,
    /// Examples in a batch, at most; 1 to 512.
    pub batch_max: u32,
    /// Batches in a dataset, at most; at least 1.
    pub batches_max: u32,
    /// One of so many acts is a mistake; 0 for none.
    pub mistake_in: u32,
    /// One of so many steps changes the policy or corrects the clock, which ends open promotions and leases; 0 for
    /// none.
    pub upheaval_in: u32,
}

impl Default for Course {
    /// Three teams, batches of up to 8 examples, datasets of up to 12 batches, a mistake in 20 acts.
    fn default() -> Self {
        Self { seed: 0, teams: 3, batch_max: 8, batches_max: 12, mistake_in: 20, upheaval_in: 400 }
    }
}

/// One entry of the log to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lived {
    /// When the log takes it in, milliseconds. May run backwards a little.
    pub time_ms: u64,
    /// The signed envelope; for some mistakes, other bytes.
    pub value: Vec<u8>,
    /// It must not be accepted.
    pub mistake: bool,
}

/// The log of a course, without end.
pub struct Lives {
    desk: Desk,
    teams: Vec<Team>,
    ready: VecDeque<Lived>,
    course: Course,
    chance: Chance,
}

impl Lives {
    /// Begins with genesis and the company's people.
    pub fn new(course: Course) -> Self {
        let mut desk = Desk::open(course.seed);
        let teams = (0..course.teams).map(|number| Team::hire(&mut desk, number, &course)).collect();
        let ready = desk.taken().collect();
        Self { desk, teams, ready, course, chance: Chance::new(!course.seed) }
    }

    fn step(&mut self) {
        if self.course.upheaval_in > 0 && self.chance.one_in(u64::from(self.course.upheaval_in)) {
            self.desk.upheaval();
        } else {
            let team = self.chance.below(self.teams.len() as u64) as usize;
            self.teams[team].step(&mut self.desk);
            if self.course.mistake_in > 0 && self.chance.one_in(u64::from(self.course.mistake_in)) {
                let team = self.chance.below(self.teams.len() as u64) as usize;
                self.teams[team].err(&mut self.desk);
            }
        }
        self.ready.extend(self.desk.taken());
    }
}

impl Iterator for Lives {
    type Item = Lived;

    fn next(&mut self) -> Option<Lived> {
        while self.ready.is_empty() {
            self.step();
        }
        self.ready.pop_front()
    }
}
