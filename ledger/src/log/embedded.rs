//! The log in a replica's own folder, with group commit.
//!
//! In the store's family `log`, the key is the position, 8 bytes big-endian, the value [`Entry::stored`].

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Entry, EventLog, LogError, VALUE_BYTES_MAX};
use crate::store::{Family, Store, StoreError, first_unreadable_entry};

/// Bytes of the newest entries kept in memory, where the replica that follows finds them.
const TAIL_BYTES_MAX: usize = 8 << 20;

/// Bytes of values after which a group takes no further batch.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// What an entry takes in memory beside its value; keeps a tail of empty values bounded, too.
const ENTRY_BYTES: usize = size_of::<Entry>();

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

/// The log in a store. One thread commits: it gathers what many callers append into one write
/// with one fsync.
pub struct Embedded {
    shared: Arc<Shared>,
    committer: Option<JoinHandle<()>>,
}

struct Shared {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// There is something to commit, or the log closes.
    work: Condvar,
    /// The end has moved.
    grown: Condvar,
}

struct State {
    waiting: VecDeque<Request>,
    closing: bool,
    end: u64,
    /// The last entries, up to `end`, and the memory that they take.
    tail: VecDeque<Entry>,
    tail_bytes: usize,
}

struct Request {
    values: Vec<Vec<u8>>,
    reply: SyncSender<Result<Range<u64>, LogError>>,
}

impl Embedded {
    /// Opens the log in `store`; an empty store is an empty log. A store holds one log: open it
    /// once.
    ///
    /// # Errors
    /// If the end of the log can't be read.
    pub fn open(store: Arc<Store>, clock: Arc<dyn Clock>) -> Result<Self, LogError> {
        let end = match store.last(Family::Log) {
            Ok(None) => 0,
            Ok(Some((key, _))) => position_of(&key).ok_or_else(|| foreign_key(&store))? + 1,
            Err(error) => return Err(locate(&store, error)),
        };
        let (waiting, tail) = (VecDeque::new(), VecDeque::new());
        let state = State { waiting, closing: false, end, tail, tail_bytes: 0 };
        let shared =
            Arc::new(Shared { store, clock, state: Mutex::new(state), work: Condvar::new(), grown: Condvar::new() });
        let committing = Arc::clone(&shared);
        let committer = thread::Builder::new()
            .name("log-committer".into())
            .spawn(move || committing.commit_until_closed())
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
    fn append(&self, values: Vec<Vec<u8>>) -> Result<Range<u64>, LogError> {
        if let Some(index) = values.iter().position(|value| value.len() > VALUE_BYTES_MAX) {
            let size = values[index].len();
            return Err(LogError::TooLarge { index, size, limit: VALUE_BYTES_MAX });
        }
        let (reply, answer) = sync_channel(1);
        let mut state = self.shared.lock();
        if values.is_empty() {
            return Ok(state.end..state.end);
        }
        state.waiting.push_back(Request { values, reply });
        drop(state);
        self.shared.work.notify_one();
        answer.recv().unwrap_or_else(|_| Err(self.shared.failed("the committer ended".into())))
    }

    fn read(&self, from: u64, max_entries: usize, max_bytes: usize) -> Result<Vec<Entry>, LogError> {
        let mut limit = Limit { entries: max_entries, bytes: max_bytes, first: true };
        let state = self.shared.lock();
        let end = state.end;
        let in_tail = state.tail.front().is_some_and(|oldest| oldest.position <= from);
        if from >= end || in_tail {
            let skipped = state.tail.len() - end.saturating_sub(from) as usize;
            let entries = state.tail.range(skipped..);
            return Ok(entries.take_while(|entry| limit.admits(entry)).cloned().collect());
        }
        drop(state);
        self.shared.read_stored(from, end, limit)
    }

    fn end(&self) -> Result<u64, LogError> {
        Ok(self.shared.lock().end)
    }

    fn wait_past(&self, end: u64, timeout: Duration) -> Result<u64, LogError> {
        let state = self.shared.lock();
        let waited = self.shared.grown.wait_timeout_while(state, timeout, |state| state.end <= end);
        let (state, _) = waited.expect(NOT_POISONED);
        Ok(state.end)
    }
}

/// What a read may still give.
struct Limit {
    entries: usize,
    bytes: usize,
    first: bool,
}

impl Limit {
    fn admits(&mut self, entry: &Entry) -> bool {
        let size = entry.value.len();
        if !self.first && (self.entries == 0 || self.bytes < size) {
            return false;
        }
        self.first = false;
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
        true
    }
}

const NOT_POISONED: &str = "no code panics while it holds the log's lock";

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(NOT_POISONED)
    }

    fn failed(&self, what: String) -> LogError {
        StoreError::Io { path: self.store.path().to_owned(), what }.into()
    }

    fn commit_until_closed(&self) {
        let mut state = self.lock();
        loop {
            state =
                self.work.wait_while(state, |state| state.waiting.is_empty() && !state.closing).expect(NOT_POISONED);
            if state.waiting.is_empty() {
                return; // closing, and nothing is left to do
            }
            let group = take_group(&mut state.waiting);
            let first = state.end;
            drop(state);
            state = self.commit(group, first);
        }
    }

    /// Writes a group from position `first` on, and answers everyone in it.
    fn commit(&self, group: Vec<Request>, first: u64) -> MutexGuard<'_, State> {
        let time_ms = self.clock.now_ms();
        let mut batch = self.store.batch();
        let values = group.iter().flat_map(|request| &request.values);
        for (position, value) in (first..).zip(values) {
            batch.put(Family::Log, &position.to_be_bytes(), &Entry::stored(time_ms, value));
        }
        let outcome = self.store.write(batch, true).map_err(LogError::from);

        let mut state = self.lock();
        for Request { values, reply } in group {
            let answer = outcome.clone().map(|()| state.extend(time_ms, values));
            // A caller always waits for its answer; one that died needs none.
            let _ = reply.send(answer);
        }
        if outcome.is_ok() {
            self.grown.notify_all();
        }
        state
    }

    /// Entries from `from` on, before `end`, out of the store.
    fn read_stored(&self, from: u64, end: u64, mut limit: Limit) -> Result<Vec<Entry>, LogError> {
        let rows = self.store.scan(Family::Log, &from.to_be_bytes(), &end.to_be_bytes());
        let mut entries = Vec::new();
        for (position, row) in (from..end).zip(rows) {
            let entry = match row {
                Ok((key, value)) if position_of(&key) == Some(position) => {
                    Entry::from_stored(position, &value).ok_or_else(|| too_short(position))
                }
                Ok(_) => Err(missing(position)),
                // The scan may have failed on a file that begins later: ask for this one alone.
                Err(_) if entries.is_empty() => return self.read_one(position).map(|e| vec![e]),
                Err(_) => break,
            };
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if entries.is_empty() => return Err(error),
                Err(_) => break, // the next read begins there, and says so
            };
            if !limit.admits(&entry) {
                break;
            }
            entries.push(entry);
        }
        if entries.is_empty() { Err(missing(from)) } else { Ok(entries) }
    }

    fn read_one(&self, position: u64) -> Result<Entry, LogError> {
        match self.store.get(Family::Log, &position.to_be_bytes()) {
            Ok(Some(value)) => Entry::from_stored(position, &value).ok_or_else(|| too_short(position)),
            Ok(None) => Err(missing(position)),
            Err(error @ StoreError::Corrupt { .. }) => Err(LogError::Unreadable { position, cause: error.to_string() }),
            Err(error) => Err(error.into()),
        }
    }
}

impl State {
    /// Takes in values that are now durable, and returns their positions.
    fn extend(&mut self, time_ms: u64, values: Vec<Vec<u8>>) -> Range<u64> {
        let start = self.end;
        for value in values {
            self.tail_bytes += value.len() + ENTRY_BYTES;
            self.tail.push_back(Entry { position: self.end, time_ms, value });
            self.end += 1;
        }
        while self.tail_bytes > TAIL_BYTES_MAX
            && let Some(oldest) = self.tail.pop_front()
        {
            self.tail_bytes -= oldest.value.len() + ENTRY_BYTES;
        }
        start..self.end
    }
}

/// The requests at the front that fill one group; at least one.
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

fn position_of(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

fn missing(position: u64) -> LogError {
    let cause = "it is missing; restore the log from a backup or another replica".into();
    LogError::Unreadable { position, cause }
}

fn too_short(position: u64) -> LogError {
    let cause = "it has no time; restore the log from a backup or another replica".into();
    LogError::Unreadable { position, cause }
}

fn foreign_key(store: &Store) -> LogError {
    let what = "a key of the log is not a position".into();
    StoreError::Corrupt { path: store.path().to_owned(), what }.into()
}

/// Says which entry is meant, where a corruption lies in the log.
fn locate(store: &Store, error: StoreError) -> LogError {
    match first_unreadable_entry(store.path()) {
        Ok(Some(position)) => LogError::Unreadable { position, cause: error.to_string() },
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::log::conformance;
    use crate::store::Options;

    fn store_in(folder: &tempfile::TempDir) -> Arc<Store> {
        Store::open(folder.path(), &Options::default()).unwrap()
    }

    fn open(store: &Arc<Store>) -> Embedded {
        Embedded::open(Arc::clone(store), Arc::new(SystemClock)).unwrap()
    }

    /// An embedded log with the folder that it lives in.
    struct Temporary(Embedded, #[expect(dead_code, reason = "dropped last")] tempfile::TempDir);

    impl EventLog for Temporary {
        fn append(&self, values: Vec<Vec<u8>>) -> Result<Range<u64>, LogError> {
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
        assert!(log.shared.lock().tail.len() < 300);
        let read = |log: &Embedded| (0..300).map(|n| log.read(n, 1, 0).unwrap().remove(0).value).collect::<Vec<_>>();
        assert_eq!(read(&log), values);
        drop((log, store));
        let log = open(&store_in(&folder));
        assert_eq!(log.end(), Ok(300));
        assert_eq!(read(&log), values);
        assert_eq!(log.append(vec![vec![1]]), Ok(300..301));
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
