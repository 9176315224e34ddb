//! Who waits for which position to be folded: each is woken for its own, so that many writers don't wake one another.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

#[derive(Default)]
pub(super) struct Waiters(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// By position, then in order of coming.
    threads: BTreeMap<(u64, u64), Thread>,
    come: u64,
}

impl Waiters {
    /// Waits until `done`, which is asked again whenever the position may have been folded, or for `timeout`.
    pub(super) fn wait(&self, position: u64, timeout: Duration, done: impl Fn() -> bool) {
        let until = Instant::now() + timeout;
        let key = {
            let mut waiting = self.lock();
            waiting.come += 1;
            let key = (position, waiting.come);
            waiting.threads.insert(key, thread::current());
            key
        };
        // Listed before it looks: what is folded in between wakes it.
        while !done() {
            let Some(left) = until.checked_duration_since(Instant::now()) else { break };
            thread::park_timeout(left);
        }
        self.lock().threads.remove(&key);
    }

    /// Wakes those who wait for a position below this.
    pub(super) fn wake(&self, below: u64) {
        let mut waiting = self.lock();
        while let Some(first) = waiting.threads.first_entry()
            && first.key().0 < below
        {
            first.remove().unpark();
        }
    }

    /// Wakes all: there is nothing to wait for any more.
    pub(super) fn wake_all(&self) {
        self.wake(u64::MAX);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn each_is_woken_once_its_position_is_folded_and_nobody_waits_longer_than_asked() {
        let (waiters, size) = (Waiters::default(), AtomicU64::new(0));
        let long = Duration::from_secs(60);
        thread::scope(|scope| {
            let wait = |position| waiters.wait(position, long, || size.load(Ordering::SeqCst) > position);
            let threads: Vec<_> = (0..8).map(|position| scope.spawn(move || wait(position))).collect();
            for (thread, folded) in threads.into_iter().zip(1..) {
                size.store(folded, Ordering::SeqCst);
                waiters.wake(folded);
                thread.join().unwrap();
            }
        });
        waiters.wait(9, Duration::from_millis(1), || false);
        assert!(waiters.lock().threads.is_empty());
    }

    #[test]
    fn all_are_woken_when_the_fold_has_ended() {
        let (waiters, ended) = (Waiters::default(), AtomicU64::new(0));
        thread::scope(|scope| {
            let wait = |position| waiters.wait(position, Duration::from_secs(60), || ended.load(Ordering::SeqCst) > 0);
            let threads = [1, u64::MAX - 1].map(|position| scope.spawn(move || wait(position)));
            ended.store(1, Ordering::SeqCst);
            waiters.wake_all();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}
