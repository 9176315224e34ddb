//! The log in a replica's own folder, with group commit.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::copy::{Copied, ENTRY_BYTES};
use super::{Answer, Entry, EventLog, LogError, check_sizes};
use crate::store::{Store, StoreError};

/// Bytes of values after which a group takes no further batch.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// Tells the time to the log.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970. May run backwards: it is recorded as it is.
    fn now_ms(&self) -> u64;
}

/// The host's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        // A host set before 1970 is as wrong as can be told in the record.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
    }
}

impl<F: Fn() -> u64 + Send + Sync> Clock for F {
    fn now_ms(&self) -> u64 {
        self()
    }
}

/// How long a commit may take for whoever appends to do it: waking another thread takes as long.
const BRIEF: Duration = Duration::from_micros(500);

/// The log in a store. One at a time commits, and gathers what many callers append into one write with one fsync:
/// whoever appends while nobody does, if the disk is quick, else a thread that is there for it.
pub struct Embedded {
    shared: Arc<Shared>,
    committer: Option<JoinHandle<()>>,
}

struct Shared {
    copied: Copied,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
    /// There is something to commit, or the log closes.
    work: Condvar,
    committing: Mutex<Pace>,
    durable: Mutex<Durable>,
    settled: Condvar,
}

/// How long a commit takes, the last ones counting most.
struct Pace(Duration);

impl Pace {
    fn is_brief(&self) -> bool {
        self.0 < BRIEF
    }

    fn took(&mut self, time: Duration) {
        // One that was held up says little of the next.
        self.0 = (self.0 * 7 + time.min(BRIEF * 4)) / 8;
    }
}

/// How much of what can be read is on the disk.
struct Durable {
    end: u64,
    /// Why nothing more can be made durable. The log must be opened anew.
    failure: Option<LogError>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Request>,
    closing: bool,
}

struct Request {
    values: Vec<Vec<u8>>,
    answer: Answer,
}

impl Embedded {
    /// Opens the log in `store`; an empty store is an empty log. A store holds one log: open it
    /// once.
    ///
    /// # Errors
    /// If the end of the log can't be read, or the store's log is a copy of one elsewhere.
    pub fn open(store: Arc<Store>, clock: Arc<dyn Clock>) -> Result<Self, LogError> {
        if let Some(topic) = super::followed_topic(&store)? {
            return Err(LogError::Follows { topic });
        }
        store.keep_journal();
        let copied = Copied::open(store)?;
        let durable = Mutex::new(Durable { end: copied.size(), failure: None });
        // Until it is known, the disk is taken for a slow one.
        let committing = Mutex::new(Pace(2 * BRIEF));
        let (queue, work, settled) = (Mutex::default(), Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { copied, clock, queue, work, committing, durable, settled });
        let commits = Arc::clone(&shared);
        let committer = thread::Builder::new()
            .name("log-committer".into())
            .spawn(move || commits.commit_until_closed())
            .map_err(|error| shared.failed(error.to_string()))?;
        Ok(Self { shared, committer: Some(committer) })
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_one();
        if let Some(committer) = self.committer.take() {
            // It only ends in a panic that has been reported already.
            let _ = committer.join();
        }
    }
}

impl EventLog for Embedded {
    fn append(&self, values: Vec<Vec<u8>>) -> Result<Vec<u64>, LogError> {
        let (reply, answer) = sync_channel(1);
        // The caller below waits for it.
        self.submit(values, Box::new(move |outcome| drop(reply.send(outcome))));
        answer.recv().unwrap_or_else(|_| Err(self.shared.failed("the committer ended".into())))
    }

    fn submit(&self, values: Vec<Vec<u8>>, answer: Answer) {
        match check_sizes(&values) {
            Ok(()) if values.is_empty() => answer(Ok(Vec::new())),
            Ok(()) => self.shared.take_in(Request { values, answer }),
            Err(error) => answer(Err(error)),
        }
    }

    fn read(&self, from: u64, max_entries: usize, max_bytes: usize) -> Result<Vec<Entry>, LogError> {
        self.shared.copied.read(from, max_entries, max_bytes)
    }

    fn end(&self) -> Result<u64, LogError> {
        Ok(self.shared.durable().end)
    }

    fn settle(&self, end: u64) -> Result<(), LogError> {
        let waits = |durable: &mut Durable| durable.end < end && durable.failure.is_none();
        let durable = self.shared.settled.wait_while(self.shared.durable(), waits).expect(NOT_POISONED);
        match &durable.failure {
            Some(failure) if durable.end < end => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    fn wait_past(&self, end: u64, timeout: Duration) -> Result<u64, LogError> {
        self.shared.copied.wait_past(end, timeout)
    }
}

const NOT_POISONED: &str = "no code panics while it holds the log's lock";

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect(NOT_POISONED)
    }

    fn durable(&self) -> MutexGuard<'_, Durable> {
        self.durable.lock().expect(NOT_POISONED)
    }

    fn failed(&self, what: String) -> LogError {
        StoreError::Io { path: self.copied.store().path().to_owned(), what }.into()
    }

    /// Queues a request, and commits it here if that is the quicker way.
    fn take_in(&self, request: Request) {
        self.lock().waiting.push_back(request);
        // An answer may panic, which is no harm to a duration.
        let pace = match self.committing.try_lock() {
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(pace)) => Some(pace.into_inner()),
            Ok(pace) => Some(pace),
        };
        if let Some(mut pace) = pace.filter(|pace| pace.is_brief()) {
            self.commit(&mut pace);
            drop(pace);
            if self.lock().waiting.is_empty() {
                return;
            }
        }
        self.work.notify_one();
    }

    fn commit_until_closed(&self) {
        loop {
            let idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.closing;
            let queue = self.work.wait_while(self.lock(), idle).expect(NOT_POISONED);
            if queue.waiting.is_empty() {
                return; // closing, and nothing is left to do
            }
            drop(queue);
            self.commit(&mut self.committing.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Writes a group at the end of the log, and answers everyone in it. It can be read, and is folded, while the disk
    /// takes it in.
    fn commit(&self, pace: &mut Pace) {
        let group = take_group(&mut self.lock().waiting);
        if group.is_empty() {
            return; // another has committed it
        }
        let (values, answers): (Vec<_>, Vec<_>) = group.into_iter().map(|r| (r.values, r.answer)).unzip();
        match self.write(values, pace) {
            Ok(places) => answers.into_iter().zip(places).for_each(|(answer, place)| answer(Ok(place.collect()))),
            Err(error) => answers.into_iter().for_each(|answer| answer(Err(error.clone()))),
        }
    }

    fn write(&self, group: Vec<Vec<Vec<u8>>>, pace: &mut Pace) -> Result<Vec<Range<u64>>, LogError> {
        if let Some(failure) = &self.durable().failure {
            return Err(failure.clone());
        }
        let began = Instant::now();
        let time_ms = self.clock.now_ms();
        let store = self.copied.store();
        let values: Vec<_> = group.iter().flatten().map(Vec::as_slice).collect();
        store.append(self.copied.size(), time_ms, &values)?;
        let extend = |values: Vec<Vec<u8>>| self.copied.extend(values.into_iter().map(|value| (time_ms, value)));
        let places: Vec<_> = group.into_iter().map(extend).collect();
        self.copied.announce();
        let synced = store.sync();
        pace.took(began.elapsed());
        let mut durable = self.durable();
        match synced {
            Ok(()) => durable.end = self.copied.size(),
            Err(error) => durable.failure = Some(error.into()),
        }
        self.settled.notify_all();
        durable.failure.clone().map_or(Ok(places), Err)
    }
}

/// The requests at the front that fill one group; at least one, if there is one.
fn take_group(waiting: &mut VecDeque<Request>) -> Vec<Request> {
    let mut bytes = 0;
    let size = |request: &Request| request.values.iter().map(|v| v.len() + ENTRY_BYTES).sum::<usize>();
    let full = |request: &Request| {
        let full = bytes >= GROUP_BYTES_MAX;
        bytes += size(request);
        full
    };
    let count = waiting.iter().position(full).unwrap_or(waiting.len());
    waiting.drain(..count).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::log::conformance;
    use crate::store::{Family, Options};

    fn store_in(folder: &tempfile::TempDir) -> Arc<Store> {
        Store::open(folder.path(), &Options::default()).unwrap()
    }

    fn open(store: &Arc<Store>) -> Embedded {
        Embedded::open(Arc::clone(store), Arc::new(SystemClock)).unwrap()
    }

    /// An embedded log with the folder that it lives in.
    struct Temporary(Embedded, #[expect(dead_code, reason = "dropped last")] tempfile::TempDir);

    impl EventLog for Temporary {
        fn append(&self, values: Vec<Vec<u8>>) -> Result<Vec<u64>, LogError> {
            self.0.append(values)
        }
        fn read(&self, from: u64, entries: usize, bytes: usize) -> Result<Vec<Entry>, LogError> {
            self.0.read(from, entries, bytes)
        }
        fn end(&self) -> Result<u64, LogError> {
            self.0.end()
        }
        fn wait_past(&self, end: u64, timeout: Duration) -> Result<u64, LogError> {
            self.0.wait_past(end, timeout)
        }
    }

    #[test]
    fn the_embedded_log_conforms() {
        conformance::check(|| {
            let folder = tempfile::tempdir().unwrap();
            Box::new(Temporary(open(&store_in(&folder)), folder))
        });
    }

    #[test]
    fn entries_are_the_same_from_memory_and_from_disk_and_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let store = store_in(&folder);
        let log = open(&store);
        // More than the tail holds, so that the oldest are read from the store.
        let values: Vec<_> = (0..300u32).map(|n| n.to_be_bytes().repeat(16_000 / 4 * 3)).collect();
        for batch in values.chunks(20) {
            log.append(batch.to_vec()).unwrap();
        }
        assert!(log.shared.copied.entries_in_memory() < 300);
        let read = |log: &Embedded| (0..300).map(|n| log.read(n, 1, 0).unwrap().remove(0).value).collect::<Vec<_>>();
        assert_eq!(read(&log), values);
        drop((log, store));
        let log = open(&store_in(&folder));
        assert_eq!(log.end(), Ok(300));
        assert_eq!(read(&log), values);
        assert_eq!(log.append(vec![vec![1]]), Ok(vec![300]));
        assert_eq!(log.read(299, 9, usize::MAX).unwrap().len(), 2);
    }

    #[test]
    fn a_clock_that_runs_backwards_is_recorded_as_it_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicU64::new(5_000));
        let clock = {
            let now = Arc::clone(&now);
            move || now.load(Ordering::SeqCst)
        };
        let log = Embedded::open(store_in(&folder), Arc::new(clock)).unwrap();
        for time in [5_000, 9_000, 1, u64::MAX] {
            now.store(time, Ordering::SeqCst);
            log.append(vec![vec![0]]).unwrap();
        }
        let times: Vec<_> = log.read(0, 9, 99).unwrap().iter().map(|e| e.time_ms).collect();
        assert_eq!(times, [5_000, 9_000, 1, u64::MAX]);
    }

    #[test]
    fn an_append_that_nobody_waits_for_is_answered_by_the_log_once_it_is_durable() {
        let folder = tempfile::tempdir().unwrap();
        let log = open(&store_in(&folder));
        let (send, answers) = sync_channel(3);
        for values in [vec![vec![1], vec![2]], vec![], vec![vec![0; crate::log::VALUE_BYTES_MAX + 1]]] {
            let send = send.clone();
            log.submit(values, Box::new(move |outcome| send.send(outcome).unwrap()));
        }
        let answers: Vec<_> = answers.iter().take(3).collect();
        for expected in [Ok(vec![0, 1]), Ok(vec![])] {
            assert!(answers.contains(&expected), "{answers:?}");
        }
        assert!(answers.iter().any(|answer| matches!(answer, Err(LogError::TooLarge { index: 0, .. }))));
        assert_eq!((log.end(), log.settle(2)), (Ok(2), Ok(())));
    }

    #[test]
    fn whoever_appends_commits_where_the_disk_is_quick_and_waits_for_no_other_who_does() {
        let folder = tempfile::tempdir().unwrap();
        let log = open(&store_in(&folder));
        let append = || {
            let (send, answer) = sync_channel(1);
            log.submit(vec![vec![1]], Box::new(move |outcome| send.send(outcome).unwrap()));
            answer
        };
        log.shared.committing.lock().unwrap().0 = Duration::ZERO;
        assert_eq!(append().try_recv(), Ok(Ok(vec![0])));
        let busy = log.shared.committing.lock().unwrap();
        let answer = append();
        assert!(answer.try_recv().is_err(), "another commits, and this is queued");
        drop(busy);
        assert_eq!(answer.recv(), Ok(Ok(vec![1])));
    }

    #[test]
    fn commits_are_brief_as_long_as_most_of_them_are() {
        let mut pace = Pace(2 * BRIEF);
        let mut after = |times, each| {
            (0..times).for_each(|_| pace.took(each));
            pace.is_brief()
        };
        assert!(!after(1, BRIEF / 5));
        assert!(after(20, BRIEF / 5));
        assert!(after(1, Duration::from_secs(9)));
        assert!(!after(2, Duration::from_secs(9)));
    }

    #[test]
    fn what_the_disk_has_not_taken_in_does_not_settle_and_ends_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = open(&store_in(&folder));
        log.append(vec![vec![1]]).unwrap();
        let lost = log.shared.failed("the disk is gone".into());
        thread::scope(|scope| {
            let settling = scope.spawn(|| log.settle(2));
            log.shared.durable().failure = Some(lost.clone());
            log.shared.settled.notify_all();
            assert_eq!(settling.join().unwrap(), Err(lost.clone()));
        });
        assert_eq!(log.settle(1), Ok(()), "what was durable before stays so");
        assert_eq!(log.append(vec![vec![2]]), Err(lost));
        assert_eq!(log.end(), Ok(1));
    }

    #[test]
    fn a_missing_entry_is_named_and_those_before_it_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = store_in(&folder);
        open(&store).append(vec![vec![7]; 10]).unwrap();
        let mut batch = store.batch();
        batch.delete(Family::Log, &4u64.to_be_bytes());
        store.write(batch, true).unwrap();

        let log = open(&store);
        assert_eq!(log.read(0, 99, 99).unwrap().len(), 4);
        for from in [4, 5] {
            let outcome = log.read(from, 99, 99);
            assert_eq!(outcome.is_err(), from == 4);
        }
        assert!(matches!(log.read(4, 9, 9), Err(LogError::Unreadable { position: 4, .. })));
    }
}
