//! Which batches a worker begins with, where several of one kind share them.
//!
//! The members of a group each hold some numbered partitions, and a batch belongs to the one that a hash of its position
//! names. That is a hint and no right: the rules accept one result for each batch from whomever it comes, so a hint that
//! is wrong costs work done twice, and none may leave work undone. Hence a worker takes up
//!
//! - batches of the partitions that it holds, from a moment after they came to it: the holder before it may have
//!   finished some that are not read here yet;
//! - everything, once it has waited [`Limits::form`] for its partitions in vain;
//! - a batch of another's that has *waited too long*: it has been open for [`Limits::overdue`], and for as long either
//!   was the oldest of its partition or nobody else finished anything of that partition.
//!
//! A member that makes *no progress* leaves, so that others take its share, and comes back later: for [`Limits::stuck`]
//! the oldest open batch of its share has been the same, and it finished none of its share. One that finishes others
//! stays: that batch is the trouble then, and waits until anybody may take it. Who holds all partitions stays, too, as
//! nobody would take them. Batches that wait too long already count for nobody's progress.

use crate::quality::mix;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the batches of all are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A member that left time and again stays away for 2⁴ times as long at most.
const DOUBLED_MAX: u32 = 4;

/// A group whose members hold partitions of the work between them.
pub trait Group: Send {
    /// Hears what the group says, and tells what is held; nothing while there is no assignment. It is called between
    /// pieces of work, and often, as a member that falls silent is put out.
    fn hear(&mut self) -> Option<Held>;

    /// Gives everything up, so that others take it.
    fn leave(&mut self);

    /// Wants a share again.
    fn join(&mut self);
}

/// What a member holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its partitions, from 0 on.
    pub partitions: BTreeSet<u32>,
    /// How many there are in all.
    pub of: u32,
}

#[cfg(feature = "kafka")]
impl Group for attestune_ledger::log::kafka::Group {
    fn hear(&mut self) -> Option<Held> {
        let held = Self::hear(self)?;
        Some(Held { partitions: held.partitions, of: held.of })
    }

    fn leave(&mut self) {
        Self::leave(self);
    }

    fn join(&mut self) {
        Self::join(self);
    }
}

/// How long a worker waits for what.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Without an assignment, until it works on everything.
    pub form: Duration,
    /// After a partition came, until it begins with its batches.
    pub settle: Duration,
    /// Without progress, until it leaves.
    pub stuck: Duration,
    /// Until it comes back from there, and twice as long each time that this happens again.
    pub away: Duration,
    /// Until anybody may take a batch.
    pub overdue: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            form: Duration::from_secs(20),
            settle: Duration::from_secs(1),
            stuck: Duration::from_secs(60),
            away: Duration::from_secs(120),
            overdue: Duration::from_secs(120),
        }
    }
}

/// Which batches a worker takes up: all of them, or its share in a group.
#[derive(Default)]
pub struct Share {
    member: Option<Mutex<Member>>,
    held: Arc<AtomicU32>,
}

impl Share {
    /// Its share as a member of a group.
    pub fn of(group: Box<dyn Group>, limits: Limits) -> Self {
        Self { member: Some(Mutex::new(Member::new(group, limits, Instant::now()))), held: Arc::default() }
    }

    /// How many partitions it holds, for whoever watches it.
    pub fn held(&self) -> Arc<AtomicU32> {
        self.held.clone()
    }

    /// Hears the group; whether something has changed.
    pub(crate) fn hear(&self) -> bool {
        let Some(mut member) = self.lock() else { return false };
        let changed = member.hear(Instant::now());
        self.held.store(member.holds() as u32, Ordering::Relaxed);
        changed
    }

    /// Whether this worker takes a batch up now.
    pub(crate) fn takes(&self, batch: u64) -> bool {
        self.lock().is_none_or(|member| member.takes(batch, Instant::now()))
    }

    /// Whether passing time alone may soon change what it takes up.
    pub(crate) fn is_restless(&self) -> bool {
        self.lock().is_some_and(|member| member.is_restless(Instant::now()))
    }

    /// Whether it is time to look at the batches of all.
    pub(crate) fn look_is_due(&self) -> bool {
        self.lock().is_some_and(|member| member.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY))
    }

    /// Looks at the batches of all that are open, the oldest first.
    pub(crate) fn look(&self, open: &[u64]) {
        if let Some(mut member) = self.lock() {
            member.look(open, Instant::now());
        }
    }

    /// This worker has finished a batch.
    pub(crate) fn finished(&self, batch: u64) {
        if let Some(mut member) = self.lock() {
            member.finished.insert(batch);
        }
    }

    fn lock(&self) -> Option<MutexGuard<'_, Member>> {
        Some(self.member.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Member {
    group: Box<dyn Group>,
    limits: Limits,
    held: Option<Held>,
    /// When each partition came.
    came: BTreeMap<u32, Instant>,
    /// Partitions that there are, as last heard.
    of: Option<u32>,
    /// Since when there is no assignment, if there is none.
    without_since: Instant,
    /// Until when it stays away, if it left.
    away_until: Option<Instant>,
    times_left: u32,
    lines: BTreeMap<u32, Line>,
    /// The oldest batch of its share, and since when there is no progress.
    oldest: Option<u64>,
    stuck_since: Instant,
    /// What it finished since it looked.
    finished: BTreeSet<u64>,
    looked: Option<Instant>,
}

/// The open batches of a partition, as they are seen from here.
struct Line {
    /// Since when each is seen.
    open: BTreeMap<u64, Instant>,
    /// Since when the oldest is the oldest.
    oldest_since: Instant,
    /// When somebody else last finished one of them.
    moved: Instant,
}

impl Member {
    fn new(group: Box<dyn Group>, limits: Limits, now: Instant) -> Self {
        Self {
            group,
            limits,
            held: None,
            came: BTreeMap::new(),
            of: None,
            without_since: now,
            away_until: None,
            times_left: 0,
            lines: BTreeMap::new(),
            oldest: None,
            stuck_since: now,
            finished: BTreeSet::new(),
            looked: None,
        }
    }

    fn holds(&self) -> usize {
        self.came.len()
    }

    fn hear(&mut self, now: Instant) -> bool {
        match self.away_until {
            Some(until) if now < until => return false,
            Some(_) => {
                self.group.join();
                (self.away_until, self.without_since) = (None, now);
            }
            None => {}
        }
        let held = self.group.hear();
        if held == self.held {
            return false;
        }
        if held.is_none() {
            self.without_since = now;
        }
        self.hold(held, now);
        true
    }

    fn hold(&mut self, held: Option<Held>, now: Instant) {
        let partitions = held.as_ref().map(|held| &held.partitions).cloned().unwrap_or_default();
        self.came = partitions.into_iter().map(|p| (p, self.came.get(&p).copied().unwrap_or(now))).collect();
        if let Some(of) = held.as_ref().map(|held| held.of)
            && self.of.replace(of) != Some(of)
        {
            self.lines.clear();
        }
        // Who holds what is another matter now: everybody has the whole time again.
        for line in self.lines.values_mut() {
            (line.oldest_since, line.moved) = (now, now);
        }
        (self.oldest, self.stuck_since) = (None, now);
        self.held = held;
    }

    fn takes(&self, batch: u64, now: Instant) -> bool {
        if self.held.is_none() && self.away_until.is_none() && now - self.without_since >= self.limits.form {
            return true;
        }
        let Some(of) = self.of else { return false };
        let partition = partition_of(batch, of);
        self.came.get(&partition).is_some_and(|came| now - *came >= self.limits.settle)
            || self.lines.get(&partition).is_some_and(|line| line.is_anybodys(batch, now, self.limits.overdue))
    }

    fn is_restless(&self, now: Instant) -> bool {
        let forming = self.held.is_none() && self.away_until.is_none();
        forming || self.came.values().any(|came| now - *came < self.limits.settle)
    }

    fn look(&mut self, open: &[u64], now: Instant) {
        self.looked = Some(now);
        let finished = std::mem::take(&mut self.finished);
        let Some(of) = self.of else { return };
        let mut lines: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for batch in open {
            lines.entry(partition_of(*batch, of)).or_default().insert(*batch);
        }
        self.lines.retain(|partition, _| lines.contains_key(partition));
        for (partition, open) in lines {
            self.lines.entry(partition).or_insert_with(|| Line::new(now)).look(&open, &finished, now);
        }
        let of_mine = finished.iter().any(|batch| self.came.contains_key(&partition_of(*batch, of)));
        self.judge(of_mine, now);
    }

    /// Leaves if there is no progress.
    fn judge(&mut self, finished_some: bool, now: Instant) {
        let overdue = self.limits.overdue;
        let mine = self.lines.iter().filter(|(partition, _)| self.came.contains_key(partition));
        let oldest = mine.filter_map(|(_, line)| line.oldest().filter(|b| !line.is_anybodys(*b, now, overdue))).min();
        if finished_some {
            self.times_left = 0;
        }
        if oldest.is_none() || oldest != self.oldest || finished_some {
            (self.oldest, self.stuck_since) = (oldest, now);
            return;
        }
        let all = self.held.as_ref().is_none_or(|held| held.partitions.len() >= held.of as usize);
        if all || now - self.stuck_since < self.limits.stuck {
            return;
        }
        let away = self.limits.away * (1 << self.times_left.min(DOUBLED_MAX));
        tracing::warn!(
            batch = oldest,
            partitions = self.holds(),
            away_s = away.as_secs(),
            "no progress: others take over"
        );
        self.times_left += 1;
        self.group.leave();
        self.hold(None, now);
        self.away_until = Some(now + away);
    }
}

impl Line {
    fn new(now: Instant) -> Self {
        Self { open: BTreeMap::new(), oldest_since: now, moved: now }
    }

    fn oldest(&self) -> Option<u64> {
        self.open.first_key_value().map(|(batch, _)| *batch)
    }

    fn look(&mut self, open: &BTreeSet<u64>, finished: &BTreeSet<u64>, now: Instant) {
        if self.open.keys().any(|batch| !open.contains(batch) && !finished.contains(batch)) {
            self.moved = now;
        }
        if self.oldest() != open.first().copied() {
            self.oldest_since = now;
        }
        self.open = open.iter().map(|batch| (*batch, self.open.get(batch).copied().unwrap_or(now))).collect();
    }

    fn is_anybodys(&self, batch: u64, now: Instant, overdue: Duration) -> bool {
        let long_ago = |since: Instant| now - since >= overdue;
        let waited = self.open.get(&batch).is_some_and(|seen| long_ago(*seen));
        waited && (long_ago(self.moved) || self.oldest() == Some(batch) && long_ago(self.oldest_since))
    }
}

/// The partition that a batch belongs to (SplitMix64's output, so that batches made in a row lie apart).
fn partition_of(batch: u64, of: u32) -> u32 {
    (mix(batch.wrapping_add(0x9e37_79b9_7f4a_7c15)) % u64::from(of.max(1))) as u32
}

#[cfg(test)]
mod tests;
