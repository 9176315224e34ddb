//! What a replica shows: its head, and their receipts to those who appended. A window is shown once it is both folded and
//! durable, by the thread that finds it so: nobody waits in a thread of its own, and no other thread is woken for it.

use super::folder::Head;
use super::reader::{StoreView, Tree, stored_hash};
use super::{AppendError, ReplicaError, lock};
use crate::state::ReadFailed;
use crate::store::Store;
use attestune_proto::v1::Receipt;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What takes the receipts of an append, or why there are none.
pub(super) type Done = Box<dyn FnOnce(Result<Vec<Receipt>, AppendError>) + Send>;

pub(super) struct Shown {
    store: Arc<Store>,
    state: Mutex<State>,
    /// The head has moved, or will not any more.
    moved: Condvar,
}

struct State {
    head: Head,
    /// The receipts of the last window shown.
    newest: Arc<Vec<Receipt>>,
    /// A window that is folded, and not known to be durable.
    folded: Option<(Head, Vec<Receipt>)>,
    /// How many entries are durable, as far as is known.
    durable: u64,
    /// Why nothing is folded any more.
    failure: Option<String>,
    /// Whose last entry is not shown yet: by its position, then in order of coming.
    waiting: BTreeMap<(u64, u64), (Vec<u64>, Done)>,
    come: u64,
}

impl Shown {
    pub(super) fn new(store: Arc<Store>, head: Head) -> Self {
        let (newest, durable) = (Arc::default(), head.size);
        let state = State { head, newest, folded: None, durable, failure: None, waiting: BTreeMap::new(), come: 0 };
        Self { store, state: Mutex::new(state), moved: Condvar::new() }
    }

    pub(super) fn head(&self) -> Head {
        lock(&self.state).head.clone()
    }

    pub(super) fn size(&self) -> u64 {
        lock(&self.state).head.size
    }

    pub(super) fn failure(&self) -> Option<String> {
        lock(&self.state).failure.clone()
    }

    /// Waits until more than `size` entries are shown, or the time is up, or nothing is folded any more; answers how many
    /// are.
    pub(super) fn wait_past(&self, size: u64, timeout: Duration) -> u64 {
        let until = Instant::now() + timeout;
        let mut state = lock(&self.state);
        while state.head.size <= size && state.failure.is_none() {
            let Some(left) = until.checked_duration_since(Instant::now()) else { break };
            state = self.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.head.size
    }

    /// Gives `done` the receipts of entries once they are shown, which may be now.
    pub(super) fn wait(&self, positions: Vec<u64>, done: Done) {
        let last = positions.last().copied();
        let mut state = lock(&self.state);
        match (last, &state.failure) {
            (_, Some(failure)) => {
                let failure = ReplicaError::Stopped(failure.clone());
                drop(state);
                done(Err(failure.into()));
            }
            (Some(last), None) if last >= state.head.size => {
                state.come += 1;
                let key = (last, state.come);
                state.waiting.insert(key, (positions, done));
            }
            _ => {
                let newest = state.newest.clone();
                drop(state);
                done(self.receipts(&positions, &newest));
            }
        }
    }

    /// Takes in a window that was folded: the head after it, and the receipts of its entries.
    pub(super) fn folded(&self, head: Head, receipts: Vec<Receipt>) {
        self.show(|state| state.folded = Some((head, receipts)));
    }

    /// Takes in that all entries before `end` are durable.
    pub(super) fn durable(&self, end: u64) {
        self.show(|state| state.durable = state.durable.max(end));
    }

    /// Shows a window that is folded and durable after this change, if there is one.
    fn show(&self, change: impl FnOnce(&mut State)) {
        let (newest, ready) = {
            let mut state = lock(&self.state);
            change(&mut state);
            let durable = state.durable;
            let Some((head, receipts)) = state.folded.take_if(|(head, _)| head.size <= durable) else { return };
            let rest = state.waiting.split_off(&(head.size, 0));
            state.head = head;
            state.newest = Arc::new(receipts);
            (state.newest.clone(), std::mem::replace(&mut state.waiting, rest))
        };
        self.moved.notify_all();
        for (positions, done) in ready.into_values() {
            done(self.receipts(&positions, &newest));
        }
    }

    /// Tells all who wait, now and later, that nothing is folded any more.
    pub(super) fn end(&self, failure: &str) {
        let waiting = {
            let mut state = lock(&self.state);
            state.failure = Some(failure.to_owned());
            std::mem::take(&mut state.waiting)
        };
        self.moved.notify_all();
        for (_, done) in waiting.into_values() {
            done(Err(ReplicaError::Stopped(failure.to_owned()).into()));
        }
    }

    fn receipts(&self, positions: &[u64], newest: &[Receipt]) -> Result<Vec<Receipt>, AppendError> {
        let first = newest.first().map_or(u64::MAX, |receipt| receipt.position);
        let receipt = |position: &u64| match position.checked_sub(first).and_then(|n| newest.get(n as usize)) {
            Some(receipt) => Ok(receipt.clone()),
            None => Ok(receipt_at(&self.store, *position)?),
        };
        positions.iter().map(receipt).collect()
    }
}

/// The receipt of a folded entry, out of the store.
pub(super) fn receipt_at(store: &Arc<Store>, position: u64) -> Result<Receipt, ReplicaError> {
    let read = |cause: String| ReplicaError::Read { position, cause };
    let view = StoreView::new(store.clone(), position + 1);
    let row = view.decided(position).map_err(|failure: ReadFailed| read(failure.0))?;
    let row = row.ok_or_else(|| read("its verdict is missing".into()))?;
    let leaf = stored_hash(store, Tree::Entries, 0, position)?.ok_or_else(|| read("its leaf is missing".into()))?;
    let time = view.entry_time(position).map_err(|failure| read(failure.0))?;
    Ok(Receipt {
        position,
        verdict: row.verdict,
        refusal: row.refusal,
        leaf_hash: leaf.0.to_vec(),
        time_ms: time.unwrap_or(0),
        first_position: row.first_position,
        // Signing costs as much as the rest: whoever wants a checkpoint asks for one.
        checkpoint: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Hash;
    use std::sync::mpsc::channel;

    fn shown(size: u64) -> (Shown, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &crate::store::Options::default()).unwrap();
        (Shown::new(store, head(size)), folder)
    }

    fn head(size: u64) -> Head {
        let (root, counts) = (Hash([size as u8; 32]), Default::default());
        Head { size, entry_root: root, verdict_root: root, fold_time_ms: size, counts }
    }

    fn window(positions: std::ops::Range<u64>) -> (Head, Vec<Receipt>) {
        let receipts = positions.clone().map(|position| Receipt { position, ..Receipt::default() }).collect();
        (head(positions.end), receipts)
    }

    #[test]
    fn each_is_given_its_receipts_once_its_last_entry_is_folded_and_durable() {
        let (shown, _folder) = shown(3);
        let (send, given) = channel();
        let wait = |positions: Vec<u64>| {
            let send = send.clone();
            shown.wait(positions, Box::new(move |outcome| send.send(outcome.unwrap()).unwrap()));
        };
        [vec![3], vec![4, 6], vec![5], vec![8]].into_iter().for_each(wait);
        let positions = || given.try_iter().flatten().map(|receipt| receipt.position).collect::<Vec<_>>();
        let fold = |positions| {
            let (head, receipts) = window(positions);
            shown.folded(head, receipts);
        };
        fold(3..6);
        assert_eq!((positions(), shown.size()), (vec![], 3), "it is not durable");
        shown.durable(5);
        assert_eq!((positions(), shown.size()), (vec![], 3), "nor is all of it");
        shown.durable(9);
        assert_eq!((positions(), shown.size()), (vec![3, 5], 6));
        fold(4..8);
        assert_eq!((positions(), shown.size()), (vec![4, 6], 8), "what is durable is shown when it is folded");
        fold(8..9);
        assert_eq!((positions(), shown.head().fold_time_ms), (vec![8], 9));
        wait(vec![8]);
        assert_eq!(positions(), [8], "and whoever comes later has it at once");
    }

    #[test]
    fn all_are_told_when_the_fold_has_ended_and_so_is_whoever_comes_later() {
        let (shown, _folder) = shown(0);
        let (send, told) = channel();
        let wait = |position| {
            let send = send.clone();
            shown.wait(vec![position], Box::new(move |outcome| send.send(outcome).unwrap()));
        };
        wait(1);
        wait(u64::MAX - 1);
        let failure = "the disk is gone";
        shown.end(failure);
        wait(7);
        let told: Vec<_> = told.try_iter().collect();
        assert_eq!(told, vec![Err(ReplicaError::Stopped(failure.into()).into()); 3]);
        assert_eq!((shown.wait_past(0, Duration::from_secs(60)), shown.failure()), (0, Some(failure.into())));
    }
}
