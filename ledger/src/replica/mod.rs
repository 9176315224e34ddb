//! A replica: log → verify in parallel → fold in order → one write batch.
//!
//! At any moment, also after a crash, it stands at some position, never between two. A read that fails stops it. A
//! signed head in a file beside the store catches a lost end.

mod again;
mod error;
mod folder;
mod head;
mod metrics;
mod overlay;
mod proofs;
mod reader;
mod shown;
mod tiles;
pub(crate) mod verify;

pub use error::{AppendError, ReplicaError};
pub use folder::{drop_state, folded};
pub use metrics::Verified;
pub use proofs::origin;
#[cfg(test)]
pub(crate) use reader::hashes_key;
pub(crate) use reader::stored_hash;
pub use reader::{StoreCursor, StoreView, StoredTiles, Tree};

use crate::draft::kind;
use crate::envelope::SigningKey;
use crate::log::{Clock as _, Entry, EventLog, LogError, SystemClock};
use crate::refusal::Rejection;
use crate::rules::decode::{self, Decoded};
use crate::state::{Effects, Ledgers, ReadFailed, Reader as _};
use crate::store::{Batch, Family, Store};
use crate::tree::Hash;
use attestune_proto::v1::{AsOf, Decided, HeadResponse, Kind, Receipt, Row, as_of::When};
use folder::{Folder, Head};
use head::SignedHead;
use shown::{Shown, receipt_at};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use verify::{Checked, KnownKeys, Waiting, check_window};

const WINDOW_ENTRIES: usize = 1024;
const WINDOW_BYTES: usize = 4 << 20;
/// How far the clocks of whoever asks and of this machine may differ before a moment is in the future.
const CLOCKS_DIFFER_MS: u64 = 60_000;
/// How long whoever appended should wait for log and fold before giving up on the receipt; the entry may stay. The log
/// gives up earlier where it can't be reached.
pub const RECEIPT_WAIT: Duration = Duration::from_secs(150);

/// How to open a replica.
#[derive(Debug, Clone, Default)]
pub struct ReplicaOptions {
    /// Signs checkpoints and the head file.
    pub checkpoint_key: Option<SigningKey>,
    /// The ledger's id that it must be.
    pub pin: Option<[u8; 32]>,
}

/// Verdicts so far.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accepted events.
    pub accepted: u64,
    /// Refused events.
    pub refused: u64,
    /// The same bytes again.
    pub duplicates: u64,
    /// Entries that are no events.
    pub garbage: u64,
}

/// A replica of one ledger.
pub struct Replica {
    store: Arc<Store>,
    log: Arc<dyn EventLog>,
    options: ReplicaOptions,
    keys: Arc<KnownKeys>,
    /// The ledger's id, once the door has come across it.
    ledger: OnceLock<Vec<u8>>,
    waiting: Arc<Waiting>,
    shown: Arc<Shown>,
    stopping: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Replica {
    /// Opens a replica over its log, whose entries are in the store's own family (the embedded log, or the copy of one
    /// on Kafka), folds what it has not folded yet, and goes on in a thread of its own.
    ///
    /// # Errors
    /// If the store is damaged, or the log is not the one that was folded or pinned.
    pub fn open(store: Arc<Store>, log: Arc<dyn EventLog>, options: ReplicaOptions) -> Result<Arc<Self>, ReplicaError> {
        let (keys, waiting) = (Arc::new(KnownKeys::default()), Arc::new(Waiting::default()));
        let mut folder = Folder::open(store.clone(), keys.clone())?;
        let size = folder.size();
        compare_last(&store, log.as_ref(), size)?;
        catch_up(log.as_ref(), &mut folder, &keys, &waiting)?;
        let shown = Arc::new(Shown::new(store.clone(), folder.head()?));
        let replica = Arc::new(Self {
            store,
            log,
            options,
            keys,
            ledger: OnceLock::new(),
            waiting,
            shown,
            stopping: AtomicBool::new(false),
            thread: Mutex::new(None),
        });
        replica.check_pin()?;
        replica.check_signed_head()?;
        let following = replica.clone();
        let thread = std::thread::Builder::new().name("fold".into()).spawn(move || following.follow(folder));
        let thread = thread.map_err(|error| ReplicaError::Stopped(format!("no thread for the fold: {error}")))?;
        *lock(&replica.thread) = Some(thread);
        Ok(replica)
    }

    /// Appends signed envelopes and waits until they are durable and folded.
    ///
    /// # Errors
    /// If the door stops one, in which case none is appended; if log or fold fail.
    pub fn append(&self, envelopes: Vec<Vec<u8>>) -> Result<Vec<Receipt>, AppendError> {
        let (send, receipts) = mpsc::sync_channel(1);
        // It is taken below, or nobody waits any more.
        self.submit(envelopes, move |outcome| drop(send.send(outcome)));
        receipts.recv_timeout(RECEIPT_WAIT).unwrap_or_else(|_| Err(AppendError::overdue()))
    }

    /// As [`Replica::append`], without waiting: `done` takes what it would return, from a thread of log or fold or at
    /// once, so it must be quick.
    pub fn submit(
        &self,
        envelopes: Vec<Vec<u8>>,
        done: impl FnOnce(Result<Vec<Receipt>, AppendError>) + Send + 'static,
    ) {
        let span = tracing::info_span!("append", entries = envelopes.len());
        let digests = match span.in_scope(|| self.admit(&envelopes)) {
            Ok(digests) => digests,
            Err(error) => return done(Err(error)),
        };
        let (waiting, shown) = (self.waiting.clone(), self.shown.clone());
        // The span ends before whoever waits goes on, and ends those around it.
        let done = move |outcome| {
            drop(span);
            done(outcome);
        };
        let answer = move |outcome: Result<Vec<u64>, LogError>| match outcome {
            Ok(positions) => {
                // What the log answers for is durable.
                shown.durable(positions.last().map_or(0, |last| last + 1));
                shown.wait(positions, Box::new(done));
            }
            Err(error) => {
                waiting.forget(&digests);
                done(Err(ReplicaError::from(error).into()));
            }
        };
        self.log.submit(envelopes, Box::new(answer));
    }

    /// Judges envelopes at the door, and keeps for the fold what that came to.
    fn admit(&self, envelopes: &[Vec<u8>]) -> Result<Vec<[u8; 32]>, AppendError> {
        let mut checks = Vec::with_capacity(envelopes.len());
        for (index, value) in envelopes.iter().enumerate() {
            checks.push(self.door(value).map_err(|rejection| AppendError::Rejected { index, rejection })?);
        }
        self.working()?;
        Ok(envelopes.iter().zip(checks).map(|(value, checked)| self.waiting.put(value, checked)).collect())
    }

    /// What costs nothing to judge: size, encoding, ledger, known keys, signatures.
    fn door(&self, value: &[u8]) -> Result<Checked, Rejection> {
        let checked = self.keys.check(value);
        let decoded = checked.decoded.as_ref().map_err(Clone::clone)?;
        if self.is_known(&checked, decoded) {
            return Ok(checked);
        }
        let view = self.view();
        let genesis = decoded.event.body.as_ref().is_some_and(|b| kind(b) == Kind::LedgerCreated);
        if view.size() == 0 && genesis {
            let folded = crate::rules::fold(&view, 0, 0, value).map_err(|_| Rejection::NotAnEnvelope {})?;
            return folded.rejection.map_or(Ok(checked), Err);
        }
        let view = view.view();
        let ledger = view.get(&Ledgers::key()).ok_or(Rejection::NoLedger {})?;
        decode::open(&view, &ledger, decoded, &mut |envelope, key, index| checked.verify(envelope, key, index))?;
        self.ledger.get_or_init(|| ledger.ledger_id);
        Ok(checked)
    }

    /// Whether all that the door asks for is in memory, and holds: the ledger's id and the public keys, which never change.
    fn is_known(&self, checked: &Checked, decoded: &Decoded) -> bool {
        let ours = self.ledger.get().is_some_and(|ledger| *ledger == decoded.event.ledger);
        ours && decoded.genesis_id.is_none() && checked.verdicts.iter().all(|v| matches!(v, Some((_, true))))
    }

    /// Follows the log until told to stop.
    fn follow(self: Arc<Self>, mut folder: Folder) {
        let mut signed_head = SignedHead::of(&self);
        while !self.stopping.load(Ordering::Acquire) {
            match self.step(&mut folder) {
                Ok(true) => signed_head.write_if_due(),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, "the replica stops");
                    self.shown.end(&error.to_string());
                    return;
                }
            }
        }
        signed_head.write();
    }

    fn step(&self, folder: &mut Folder) -> Result<bool, ReplicaError> {
        let size = folder.size();
        if self.log.wait_past(size, Duration::from_millis(100))? <= size {
            return Ok(false);
        }
        let window = self.log.read(size, WINDOW_ENTRIES, WINDOW_BYTES)?;
        let (head, receipts) = folder.fold(check_window(&self.keys, &self.waiting, window))?;
        let size = head.size;
        // Folded while the log made it durable; nobody sees it before it is.
        self.shown.folded(head, receipts);
        self.log.settle(size)?;
        self.shown.durable(size);
        Ok(true)
    }

    /// Stops the fold, writes the signed head, puts the store's memory into files.
    pub fn shut_down(&self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(thread) = lock(&self.thread).take() {
            // A panic of that thread was reported when it happened.
            let _ = thread.join();
        }
        if let Err(error) = self.store.flush() {
            tracing::warn!(%error, "the store could not be flushed; its journal will be read at the next start");
        }
    }

    /// Entries folded.
    pub fn position(&self) -> u64 {
        self.shown.size()
    }

    /// Waits until more than `size` entries are folded, or the time is up, or the fold stopped; answers how many are.
    pub fn wait_past(&self, size: u64, timeout: Duration) -> u64 {
        self.shown.wait_past(size, timeout)
    }

    /// Why the fold stopped, if it did.
    pub fn failure(&self) -> Option<String> {
        self.shown.failure()
    }

    fn working(&self) -> Result<(), ReplicaError> {
        self.failure().map_or(Ok(()), |why| Err(ReplicaError::Stopped(why)))
    }

    /// The newest state.
    pub fn view(&self) -> StoreView {
        StoreView::new(self.store.clone(), self.position())
    }

    /// The state after an entry was folded.
    pub fn view_at(&self, position: u64) -> StoreView {
        StoreView::new(self.store.clone(), self.position().min(position.saturating_add(1)))
    }

    /// The state as of a position or time; the newest if nothing is asked for.
    ///
    /// # Errors
    /// If it lies beyond the end, before the ledger, or in the future.
    pub fn resolve(&self, as_of: Option<&AsOf>) -> Result<StoreView, ReplicaError> {
        let size = self.position();
        match as_of.and_then(|a| a.when) {
            None => Ok(self.view()),
            Some(When::Position(position)) if position < size => Ok(self.view_at(position)),
            Some(When::Position(position)) => Err(ReplicaError::Beyond { asked: position, size }),
            Some(When::TimeMs(asked_ms)) => {
                let now_ms = SystemClock.now_ms().max(self.shown.head().fold_time_ms);
                if asked_ms > now_ms.saturating_add(CLOCKS_DIFFER_MS) {
                    return Err(ReplicaError::InTheFuture { asked_ms, now_ms });
                }
                match self.size_at(asked_ms)? {
                    0 => Err(self.before_the_ledger(asked_ms)?),
                    upto => Ok(StoreView::new(self.store.clone(), upto)),
                }
            }
        }
    }

    fn before_the_ledger(&self, asked_ms: u64) -> Result<ReplicaError, ReplicaError> {
        let first = self.view().fold_time(0).map_err(|failure| ReplicaError::Read { position: 0, cause: failure.0 })?;
        Ok(first.map_or(ReplicaError::NoLedger, |first_ms| ReplicaError::BeforeTheLedger { asked_ms, first_ms }))
    }

    /// How many entries have a fold time not after this. Fold times ascend but for a clock correction; where there
    /// was one the last stretch of time counts.
    fn size_at(&self, time_ms: u64) -> Result<u64, ReplicaError> {
        let view = self.view();
        let (mut low, mut high) = (0, view.size());
        while low < high {
            let middle = low + (high - low) / 2;
            let time = view
                .fold_time(middle)
                .map_err(|failure| ReplicaError::Read { position: middle, cause: failure.0 })?
                .unwrap_or(0);
            if time <= time_ms { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    /// Position, digests and policy now.
    ///
    /// # Errors
    /// If there is no ledger yet, or the state can't be read.
    pub fn head(&self) -> Result<HeadResponse, ReplicaError> {
        let Head { size, entry_root, verdict_root, fold_time_ms, .. } = self.shown.head();
        let store = StoreView::new(self.store.clone(), size);
        let view = store.view();
        let ledger = view.get(&Ledgers::key());
        if let Some(failure) = view.failure() {
            return Err(ReplicaError::Read { position: size, cause: failure.0 });
        }
        let ledger = ledger.ok_or(ReplicaError::NoLedger)?;
        Ok(HeadResponse {
            ledger: ledger.ledger_id,
            name: ledger.name,
            size,
            entry_root: entry_root.0.to_vec(),
            verdict_root: verdict_root.0.to_vec(),
            fold_time_ms,
            rules_version: ledger.rules_version,
            policy_version: ledger.policy_version,
        })
    }

    /// Verdicts so far.
    pub fn counts(&self) -> Counts {
        self.shown.head().counts
    }

    /// An entry as stored.
    ///
    /// # Errors
    /// If there is none or it can't be read.
    pub fn entry(&self, position: u64) -> Result<Entry, ReplicaError> {
        let size = self.position();
        if position >= size {
            return Err(ReplicaError::Beyond { asked: position, size });
        }
        let entry = self.entries(position, 1)?.into_iter().next();
        entry.ok_or(ReplicaError::Read { position, cause: "the entry is missing".into() })
    }

    /// Entries from a position on, a window's worth and `limit` at most; none past the end.
    ///
    /// # Errors
    /// If the first can't be read.
    pub fn entries(&self, from: u64, limit: u64) -> Result<Vec<Entry>, ReplicaError> {
        let limit = limit.min(self.position().saturating_sub(from)).min(WINDOW_ENTRIES as u64);
        if limit == 0 { Ok(Vec::new()) } else { Ok(self.log.read(from, limit as usize, WINDOW_BYTES)?) }
    }

    /// An entry with its verdict.
    ///
    /// # Errors
    /// If there is none or it can't be read.
    pub fn decided(&self, position: u64) -> Result<Decided, ReplicaError> {
        let entry = self.entry(position)?;
        let row = self.decided_row(position)?;
        Ok(Decided {
            position,
            time_ms: entry.time_ms,
            verdict: row.verdict,
            refusal: row.refusal,
            envelope: entry.value,
            // Kept short where there are none.
            effects_digest: if row.effects_digest.is_empty() {
                Effects::none().digest().to_vec()
            } else {
                row.effects_digest
            },
        })
    }

    fn decided_row(&self, position: u64) -> Result<attestune_proto::v1::DecidedRow, ReplicaError> {
        let read = |cause: String| ReplicaError::Read { position, cause };
        let row = self.view().decided(position).map_err(|failure: ReadFailed| read(failure.0))?;
        row.ok_or_else(|| read("its verdict is missing".into()))
    }

    /// The receipt of the event that used up an actor's id.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn receipt(&self, actor: &str, id: &[u8]) -> Result<Option<Receipt>, ReplicaError> {
        let view = self.view();
        let position = view.id(actor, id).map_err(|failure| ReplicaError::Read { position: 0, cause: failure.0 })?;
        position.map(|p| receipt_at(&self.store, p)).transpose()
    }

    /// Every version of every row, in order of name, the newest version first, until `visit` says stop by `false`.
    ///
    /// # Errors
    /// If one can't be read.
    pub fn rows(&self, visit: &mut dyn FnMut(Row) -> bool) -> Result<(), ReplicaError> {
        let size = self.position();
        for row in self.store.scan_prefix(Family::State, &[]) {
            let (key, value) = row?;
            let Some((name, position)) = reader::split_version(&key) else { continue };
            let table = u32::from(name.first().copied().unwrap_or(0));
            let row = || Row { table, key: name.to_vec(), position, value: Some(value.into()) };
            if position < size && !visit(row()) {
                break;
            }
        }
        Ok(())
    }

    /// Reads every entry again and compares it with the entry tree. Answers how many were read.
    ///
    /// # Errors
    /// At the first entry that can't be read or is not the one that was folded, naming its position.
    pub fn check_entries(&self, mut seen: impl FnMut(u64)) -> Result<u64, ReplicaError> {
        let size = self.position();
        let mut next = 0;
        while next < size {
            for entry in self.entries(next, size - next)? {
                let (ours, theirs) = (
                    self.tile_hash(Tree::Entries, entry.position)?,
                    crate::rules::entry_leaf(entry.time_ms, &entry.value),
                );
                if ours != theirs {
                    return Err(ReplicaError::Diverged { at: entry.position, ours, theirs });
                }
                next = entry.position + 1;
            }
            seen(next);
        }
        Ok(size)
    }

    fn check_pin(&self) -> Result<(), ReplicaError> {
        let Some(pinned) = self.options.pin else { return Ok(()) };
        let head = match self.head() {
            Err(ReplicaError::NoLedger) => return Ok(()),
            head => head?,
        };
        let found = Hash(head.ledger.try_into().unwrap_or([0; 32]));
        if found.0 != pinned {
            return Err(ReplicaError::OtherLedger { found, pinned: Hash(pinned) });
        }
        Ok(())
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
    }
}

/// Folds what the log holds, in three stages that overlap: a window is read and verified while the one before it is
/// folded and the one before that is written.
fn catch_up(log: &dyn EventLog, folder: &mut Folder, keys: &KnownKeys, waiting: &Waiting) -> Result<(), ReplicaError> {
    let mut next = folder.size();
    let store = folder.store();
    std::thread::scope(|scope| {
        let (send, windows) = mpsc::sync_channel(2);
        scope.spawn(move || {
            loop {
                let window = next_window(log, next);
                if window.as_ref().is_ok_and(Vec::is_empty) {
                    return;
                }
                next += window.as_ref().map_or(0, |w| w.len() as u64);
                let last = window.is_err();
                // Nobody listens any more once the fold has failed.
                if send.send(window.map(|w| check_window(keys, waiting, w))).is_err() || last {
                    return;
                }
            }
        });
        let (write, batches) = mpsc::sync_channel::<Batch<'_>>(1);
        let (done, written) = mpsc::sync_channel(1);
        let store = &store;
        scope.spawn(move || {
            for batch in batches {
                if done.send(store.write(batch, false)).is_err() {
                    return;
                }
            }
        });
        let stopped = || ReplicaError::Stopped("the thread that writes the store ended".into());
        let mut under_way = false;
        for window in windows {
            let batch = folder.decide(window?, store, None)?;
            if under_way {
                written.recv().map_err(|_| stopped())??;
            }
            folder.writing();
            write.send(batch).map_err(|_| stopped())?;
            under_way = true;
        }
        if under_way {
            written.recv().map_err(|_| stopped())??;
            folder.written();
        }
        Ok(())
    })
}

/// The entries from a position on; none once all is read that was on the log when it was opened.
fn next_window(log: &dyn EventLog, from: u64) -> Result<Vec<Entry>, LogError> {
    // Asked in this order, so that an entry between the two questions is not passed over.
    while !log.caught_up()? {
        if log.wait_past(from, Duration::from_millis(100))? > from {
            return log.read(from, WINDOW_ENTRIES, WINDOW_BYTES);
        }
    }
    log.read(from, WINDOW_ENTRIES, WINDOW_BYTES)
}

/// The last entry folded must still be the log's.
fn compare_last(store: &Store, log: &dyn EventLog, size: u64) -> Result<(), ReplicaError> {
    let end = log.end()?;
    if size > end {
        return Err(ReplicaError::LostEnd { end, head: size });
    }
    let Some(last) = size.checked_sub(1) else { return Ok(()) };
    let Some(entry) = log.read(last, 1, 1)?.into_iter().next() else { return Ok(()) };
    let ours = stored_hash(store, Tree::Entries, 0, last)?.unwrap_or(Hash([0; 32]));
    let theirs = crate::rules::entry_leaf(entry.time_ms, &entry.value);
    if ours != theirs {
        return Err(ReplicaError::Diverged { at: last, ours, theirs });
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
