//! What waits for review, kept from one question to the next: a question looks at the batches that something happened to
//! since the last one, and reads those that its answer names, not all there ever were.

use super::{Batch, Desk, actor};
use crate::query::QueryError;
use crate::replica::StoreView;
use crate::rules::eligibility::Standing;
use crate::state::{Actors, Examples, Keys, View};
use attestune_proto::v1::{AssignmentRow, Envelope, Event, ExampleStatus, ExamplesRow, event::Body};
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// The batches in which something waits.
#[derive(Debug, Default)]
pub struct ReviewBacklog {
    /// Entries looked at.
    size: u64,
    policy_version: u32,
    /// The keys of all actors, whether they are revoked, and what their actors may do.
    signers: Vec<(String, bool, Vec<i32>)>,
    batches: BTreeMap<u64, Waiting>,
    /// When each became ready, with its position: of all, and of each collection.
    order: BTreeSet<(u64, u64)>,
    of_collection: BTreeMap<String, BTreeSet<(u64, u64)>>,
    /// Batches that somebody has something of.
    held: BTreeSet<u64>,
    read: u64,
}

/// A batch in which something waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) collection: String,
    pub(super) ready_ms: u64,
    /// How many of its examples wait.
    pub(super) examples: u64,
    /// Of these, how many are decided by somebody whose word counts no more, so that nobody may decide.
    decided: u64,
    /// Of the others, how many each person has decided on.
    decided_by: BTreeMap<String, u64>,
    makers: [String; 2],
    /// Until when something that waits is claimed by somebody; for ever where it is assigned.
    held_until_ms: u64,
}

impl Waiting {
    fn of(batch: &Batch) -> Option<Self> {
        let waiting: Vec<u32> =
            batch.examples.iter().filter(|e| e.status == ExampleStatus::AwaitingReview).map(|e| e.index).collect();
        let (mut decided, mut decided_by) = (0, BTreeMap::new());
        for index in &waiting {
            if let Standing::Decided(..) = batch.all.standing(*index) {
                decided += 1;
                continue;
            }
            let given = batch.all.given(*index);
            let who: BTreeSet<&str> = given.iter().map(|(_, review)| actor(review.signer.as_ref())).collect();
            who.into_iter().for_each(|who| *decided_by.entry(who.to_owned()).or_default() += 1);
        }
        let named = |row: &&AssignmentRow| row.indices.iter().any(|index| waiting.binary_search(index).is_ok());
        let until = |row: &AssignmentRow| if row.expires_ms == 0 { u64::MAX } else { row.expires_ms };
        (!waiting.is_empty()).then(|| Self {
            collection: batch.row.collection.clone(),
            ready_ms: batch.ready_ms,
            examples: waiting.len() as u64,
            decided,
            decided_by,
            makers: [batch.row.actor.clone(), batch.row.ingested_by.clone()],
            held_until_ms: batch.assignments.iter().filter(named).map(until).max().unwrap_or(0),
        })
    }

    /// Whether somebody has, or may have, something of it at a moment.
    pub(super) fn is_held(&self, now_ms: u64) -> bool {
        self.held_until_ms != 0 && now_ms <= self.held_until_ms
    }

    /// How many of its examples a person may decide on, held by nobody.
    pub(super) fn open_to(&self, who: &str) -> u64 {
        if self.makers.iter().any(|maker| maker == who) {
            return 0;
        }
        let by_them = self.decided_by.get(who).copied().unwrap_or(0);
        self.examples.saturating_sub(self.decided + by_them)
    }
}

impl ReviewBacklog {
    /// How many batches were read so far: what the questions cost.
    pub fn batches_read(&self) -> u64 {
        self.read
    }

    /// Takes in what came since the last view; one before it, or under other keys and rules, starts anew.
    pub(super) fn go_to(&mut self, at: &StoreView, desk: &Desk<'_>) -> Result<(), QueryError> {
        let (view, signers) = (desk.view, signers(desk.view));
        let same = (desk.policy_version, &signers) == (self.policy_version, &self.signers);
        if at.size() < self.size || !same {
            let (policy_version, read) = (desk.policy_version, self.read);
            *self = Self { policy_version, signers, read, ..Self::default() };
        }
        let touched = if self.size == 0 { Touched::All } else { touched(view, self.size) };
        match touched {
            Touched::All => {
                let rows: Vec<ExamplesRow> = at.rows_from(&Examples::all(), 0)?;
                self.forget_all();
                rows.into_iter().for_each(|row| self.put(desk, row));
            }
            Touched::These(batches) => {
                for row in batches.iter().filter_map(|batch| view.get(&Examples::key(*batch))) {
                    self.forget(row.position);
                    self.put(desk, row);
                }
            }
        }
        self.size = at.size();
        Ok(())
    }

    /// A batch with all that is known of it.
    pub(super) fn batch(&mut self, desk: &Desk<'_>, position: u64) -> Option<Batch> {
        self.read += 1;
        desk.view.get(&Examples::key(position)).map(|row| desk.batch(row))
    }

    /// The batches that somebody has something of.
    pub(super) fn held(&self, now_ms: u64) -> impl Iterator<Item = (u64, &Waiting)> {
        let known = self.held.iter().filter_map(|batch| Some((*batch, self.batches.get(batch)?)));
        known.filter(move |(_, waiting)| waiting.is_held(now_ms))
    }

    /// The batches that nobody has anything of, of a collection or all, in the order in which they became ready, from a
    /// place on.
    pub(super) fn free(
        &self,
        collection: &str,
        from: (u64, u64),
        now_ms: u64,
    ) -> impl Iterator<Item = (u64, &Waiting)> {
        let order = if collection.is_empty() { Some(&self.order) } else { self.of_collection.get(collection) };
        let places = order.into_iter().flat_map(move |order| order.range((Bound::Included(from), Bound::Unbounded)));
        let known = places.filter_map(|(_, batch)| Some((*batch, self.batches.get(batch)?)));
        known.filter(move |(_, waiting)| !waiting.is_held(now_ms))
    }

    fn put(&mut self, desk: &Desk<'_>, row: ExamplesRow) {
        self.read += 1;
        let position = row.position;
        let Some(waiting) = Waiting::of(&desk.batch(row)) else { return };
        let place = (waiting.ready_ms, position);
        self.order.insert(place);
        self.of_collection.entry(waiting.collection.clone()).or_default().insert(place);
        if waiting.held_until_ms != 0 {
            self.held.insert(position);
        }
        self.batches.insert(position, waiting);
    }

    fn forget(&mut self, position: u64) {
        let Some(waiting) = self.batches.remove(&position) else { return };
        let place = (waiting.ready_ms, position);
        self.order.remove(&place);
        self.held.remove(&position);
        if let Some(order) = self.of_collection.get_mut(&waiting.collection) {
            order.remove(&place);
        }
    }

    fn forget_all(&mut self) {
        (self.batches, self.order, self.held) = Default::default();
        self.of_collection.clear();
    }
}

/// The batches that entries may have changed.
enum Touched {
    All,
    These(BTreeSet<u64>),
}

/// What the entries from a position on may have changed, refused ones included: looking once too often is no harm.
fn touched(view: &View<'_>, from: u64) -> Touched {
    let mut batches = BTreeSet::new();
    for position in from..view.size() {
        let envelope = view.entry(position).and_then(|bytes| Envelope::decode(bytes.as_slice()).ok());
        let event = envelope.and_then(|envelope| Event::decode(envelope.payload.as_slice()).ok());
        match event.and_then(|event| event.body) {
            Some(Body::ExamplesDerived(_)) => _ = batches.insert(position),
            Some(Body::ExamplesScanned(body)) => _ = batches.insert(body.batch),
            Some(Body::ExamplesChecked(body)) => _ = batches.insert(body.batch),
            Some(Body::ReviewAssigned(body)) => _ = batches.insert(body.batch),
            Some(Body::ReviewReopened(body)) => _ = batches.insert(body.batch),
            Some(Body::ExamplesReviewed(body)) => batches.extend(body.batches.iter().map(|review| review.batch)),
            // It reaches whatever was derived from the person's documents.
            Some(Body::SubjectErased(_)) => return Touched::All,
            _ => {}
        }
    }
    Touched::These(batches)
}

/// All keys with whether they are revoked and the roles of their actors: by them it is judged what counts.
fn signers(view: &View<'_>) -> Vec<(String, bool, Vec<i32>)> {
    let actors = view.scan(&Actors::all()).into_iter();
    let keys = actors.flat_map(|actor| actor.keyids.into_iter().map(move |keyid| (keyid, actor.roles.clone())));
    let revoked = |keyid: &str| view.get(&Keys::key(keyid)).is_none_or(|key| key.revoked_at.is_some());
    keys.map(|(keyid, roles)| (keyid.clone(), revoked(&keyid), roles)).collect()
}
