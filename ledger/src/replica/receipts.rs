//! Receipts for those who appended: each is given its own once its entries are folded, by the thread that folded them,
//! so that nobody waits in a thread of its own and many writers don't wake one another.

use super::reader::{StoreView, Tree, stored_hash};
use super::{AppendError, ReplicaError};
use crate::state::ReadFailed;
use crate::store::Store;
use attestune_proto::v1::Receipt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What takes the receipts of an append, or why there are none.
pub(super) type Done = Box<dyn FnOnce(Result<Vec<Receipt>, AppendError>) + Send>;

pub(super) struct Receipts {
    store: Arc<Store>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Entries folded.
    size: u64,
    /// Why nothing is folded any more.
    failure: Option<ReplicaError>,
    /// Whose last entry is not folded yet: by its position, then in order of coming.
    waiting: BTreeMap<(u64, u64), (Vec<u64>, Done)>,
    come: u64,
}

impl Receipts {
    pub(super) fn new(store: Arc<Store>, size: u64) -> Self {
        Self { store, state: Mutex::new(State { size, ..State::default() }) }
    }

    /// Gives `done` the receipts of entries once they are folded, which may be now.
    pub(super) fn wait(&self, positions: Vec<u64>, done: Done) {
        let last = positions.last().copied();
        let mut state = self.lock();
        match (last, &state.failure) {
            (_, Some(failure)) => {
                let failure = failure.clone();
                drop(state);
                done(Err(failure.into()));
            }
            (Some(last), None) if last >= state.size => {
                state.come += 1;
                let key = (last, state.come);
                state.waiting.insert(key, (positions, done));
            }
            _ => {
                drop(state);
                done(self.of(&positions, &[]));
            }
        }
    }

    /// Gives those who wait for an entry below `size` their receipts; `window` holds those of the newest entries.
    pub(super) fn folded(&self, size: u64, window: &[Receipt]) {
        let ready = {
            let mut state = self.lock();
            state.size = size;
            let rest = state.waiting.split_off(&(size, 0));
            std::mem::replace(&mut state.waiting, rest)
        };
        for (positions, done) in ready.into_values() {
            done(self.of(&positions, window));
        }
    }

    /// Tells all who wait, now and later, that nothing is folded any more.
    pub(super) fn end(&self, failure: &ReplicaError) {
        let waiting = {
            let mut state = self.lock();
            state.failure = Some(failure.clone());
            std::mem::take(&mut state.waiting)
        };
        for (_, done) in waiting.into_values() {
            done(Err(failure.clone().into()));
        }
    }

    fn of(&self, positions: &[u64], window: &[Receipt]) -> Result<Vec<Receipt>, AppendError> {
        let first = window.first().map_or(u64::MAX, |receipt| receipt.position);
        let receipt = |position: &u64| match position.checked_sub(first).and_then(|n| window.get(n as usize)) {
            Some(receipt) => Ok(receipt.clone()),
            None => Ok(receipt_at(&self.store, *position)?),
        };
        positions.iter().map(receipt).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
    use std::sync::mpsc::channel;

    fn receipts(size: u64) -> (Receipts, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (Receipts::new(Store::open(folder.path(), &crate::store::Options::default()).unwrap(), size), folder)
    }

    fn window(positions: std::ops::Range<u64>) -> Vec<Receipt> {
        positions.map(|position| Receipt { position, ..Receipt::default() }).collect()
    }

    #[test]
    fn each_is_given_its_receipts_once_its_last_entry_is_folded() {
        let (receipts, _folder) = receipts(3);
        let (send, given) = channel();
        for positions in [vec![3], vec![4, 6], vec![5], vec![8]] {
            let send = send.clone();
            receipts.wait(positions, Box::new(move |outcome| send.send(outcome.unwrap()).unwrap()));
        }
        let positions = || given.try_iter().flatten().map(|receipt| receipt.position).collect::<Vec<_>>();
        assert!(positions().is_empty());
        receipts.folded(6, &window(3..6));
        assert_eq!(positions(), [3, 5]);
        receipts.folded(8, &window(4..8));
        assert_eq!(positions(), [4, 6]);
        receipts.folded(9, &window(8..9));
        assert_eq!(positions(), [8]);
    }

    #[test]
    fn all_are_told_when_the_fold_has_ended_and_so_is_whoever_comes_later() {
        let (receipts, _folder) = receipts(0);
        let (send, told) = channel();
        let wait = |position| {
            let send = send.clone();
            receipts.wait(vec![position], Box::new(move |outcome| send.send(outcome).unwrap()));
        };
        wait(1);
        wait(u64::MAX - 1);
        let failure = ReplicaError::Stopped("the disk is gone".into());
        receipts.end(&failure);
        wait(7);
        let told: Vec<_> = told.try_iter().collect();
        assert_eq!(told, vec![Err(failure.into()); 3]);
    }
}
