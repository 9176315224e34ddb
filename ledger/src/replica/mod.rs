//! A replica: log → verify in parallel → fold in order → one write batch.
//!
//! At any moment, also after a crash, it stands at some position, never between two. A read that fails stops it. A
//! signed head in a file beside the store catches a lost end.

mod folder;
mod head;
mod reader;
mod verify;

pub use folder::drop_state;
pub use reader::{StoreView, StoredTiles, Tree};

use crate::draft::kind;
use crate::envelope::SigningKey;
use crate::log::{Entry, EventLog, LogError};
use crate::refusal::Rejection;
use crate::rules::decode;
use crate::state::{Ledgers, ReadFailed, Reader as _, View};
use crate::store::{Family, Store, StoreError};
use crate::tree::{
    Checkpoint, Hash, Origin, TileError, TlogProof, VerifierKey, consistency_proof, inclusion_proof, root_at,
};
use attestune_proto::v1::{
    AsOf, ConsistencyProofRequest, Decided, HeadResponse, InclusionProofRequest, Kind, Proof, Receipt, Row,
    SignedCheckpoint, Verdict, as_of::When,
};
use folder::{Folder, Head};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use verify::{KnownKeys, Waiting};

const WINDOW_ENTRIES: usize = 1024;
const WINDOW_BYTES: usize = 4 << 20;
/// How long an append waits for its fold before it gives up on the receipt; the entry stays.
const FOLD_WAIT: Duration = Duration::from_secs(60);
/// How often the signed head is written while entries come.
const HEAD_EVERY: Duration = Duration::from_secs(1);

/// Why a replica stopped or could not answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReplicaError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A row or entry can't be read.
    #[error(
        "what the fold needs at position {position} can't be read: {cause}; keep this folder and run `attestune doctor`"
    )]
    Read {
        /// The position that was being folded or read.
        position: u64,
        /// What is wrong.
        cause: String,
    },
    /// The store contradicts itself.
    #[error("this replica's folder is damaged: {what}; keep it and run `attestune doctor --drop-state` on a copy")]
    Damaged {
        /// What is wrong.
        what: String,
    },
    /// The log is not the one that this replica followed.
    #[error(
        "log diverged at {at}: this replica holds {ours}, the log holds {theirs}; keep this folder and run `attestune doctor`"
    )]
    Diverged {
        /// The position.
        at: u64,
        /// Leaf hash or root here.
        ours: Hash,
        /// The same in the log.
        theirs: Hash,
    },
    /// Entries that a signed head knew are gone.
    #[error(
        "the log ends at {end}, but the signed head knew {head} entries: the end was lost; keep this folder and restore from a backup"
    )]
    LostEnd {
        /// Entries there are.
        end: u64,
        /// Entries the head knew.
        head: u64,
    },
    /// Another ledger's log.
    #[error("this is ledger {found}, not {pinned}, to which this folder is pinned")]
    OtherLedger {
        /// The digest found.
        found: Hash,
        /// The digest expected.
        pinned: Hash,
    },
    /// There is no such entry or tree.
    #[error("{asked} is beyond the log's end, {size}")]
    Beyond {
        /// What was asked for.
        asked: u64,
        /// Entries folded.
        size: u64,
    },
    /// No ledger was created yet.
    #[error("there is no ledger here yet: run `attestune init`")]
    NoLedger,
    /// The replica has no checkpoint key.
    #[error("this replica holds no checkpoint key, so it signs no checkpoints")]
    NoCheckpointKey,
    /// The fold stopped earlier.
    #[error("the replica has stopped: {0}")]
    Stopped(String),
}

impl ReplicaError {
    fn damaged(error: TileError<StoreError>) -> Self {
        Self::Damaged { what: format!("a tree: {error}") }
    }
}

/// Why an append got no receipt.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AppendError {
    /// Stopped at the door; nothing was appended.
    #[error("{rejection}")]
    Rejected {
        /// Which of the envelopes.
        index: usize,
        /// Why.
        rejection: Rejection,
    },
    /// The log or the replica failed. What was sent may or may not be on the log: ask for its receipt.
    #[error(transparent)]
    Failed(#[from] ReplicaError),
}

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
    waiting: Arc<Waiting>,
    head: Mutex<Head>,
    folded: Condvar,
    failure: Mutex<Option<ReplicaError>>,
    stopping: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Replica {
    /// Opens a replica whose log is its store's own family (the embedded log), folds what it has not folded yet, and
    /// goes on in a thread of its own.
    ///
    /// # Errors
    /// If the store is damaged, or the log is not the one that was folded or pinned.
    pub fn open(store: Arc<Store>, log: Arc<dyn EventLog>, options: ReplicaOptions) -> Result<Arc<Self>, ReplicaError> {
        let (keys, waiting) = (Arc::new(KnownKeys::default()), Arc::new(Waiting::default()));
        let mut folder = Folder::open(store.clone(), keys.clone(), waiting.clone(), true)?;
        let size = folder.head()?.size;
        compare_last(&store, log.as_ref(), size)?;
        let end = log.end()?;
        while folder.head()?.size < end {
            let window = log.read(folder.head()?.size, WINDOW_ENTRIES, WINDOW_BYTES)?;
            folder.fold(window)?;
        }
        let head = folder.head()?;
        let replica = Arc::new(Self {
            store,
            log,
            options,
            keys,
            waiting,
            head: Mutex::new(head),
            folded: Condvar::new(),
            failure: Mutex::new(None),
            stopping: AtomicBool::new(false),
            thread: Mutex::new(None),
        });
        replica.check_pin()?;
        replica.check_head_file()?;
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
        for (index, value) in envelopes.iter().enumerate() {
            self.door(value).map_err(|rejection| AppendError::Rejected { index, rejection })?;
        }
        self.working()?;
        let positions = self.log.append(envelopes).map_err(ReplicaError::from)?;
        let reached = self.wait_past(positions.end.saturating_sub(1), FOLD_WAIT);
        self.working()?;
        if reached < positions.end {
            return Err(ReplicaError::Stopped("the fold is too far behind to wait for".into()).into());
        }
        positions.map(|p| self.receipt_at(p).map_err(AppendError::from)).collect()
    }

    /// What costs nothing to judge: size, encoding, ledger, known keys, signatures.
    fn door(&self, value: &[u8]) -> Result<(), Rejection> {
        let checked = self.keys.check(value);
        let decoded = checked.decoded.clone()?;
        let view = self.view();
        let genesis = decoded.event.body.as_ref().is_some_and(|b| kind(b) == Kind::LedgerCreated);
        if view.size() == 0 && genesis {
            let folded = crate::rules::fold(&view, 0, 0, value).map_err(|_| Rejection::NotAnEnvelope {})?;
            return folded.rejection.map_or(Ok(()), Err);
        }
        decode::open(&view.view(), &decoded, &mut |envelope, key, index| checked.verify(envelope, key, index))?;
        self.waiting.put(value, checked);
        Ok(())
    }

    /// Follows the log until told to stop.
    fn follow(self: Arc<Self>, mut folder: Folder) {
        let mut written = Instant::now();
        while !self.stopping.load(Ordering::Acquire) {
            match self.step(&mut folder) {
                Ok(true) if written.elapsed() >= HEAD_EVERY => {
                    self.write_head_file();
                    written = Instant::now();
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "the replica stops");
                    *lock(&self.failure) = Some(error);
                    self.folded.notify_all();
                    return;
                }
            }
        }
        self.write_head_file();
    }

    fn step(&self, folder: &mut Folder) -> Result<bool, ReplicaError> {
        let size = folder.head()?.size;
        if self.log.wait_past(size, Duration::from_millis(100))? <= size {
            return Ok(false);
        }
        let window = self.log.read(size, WINDOW_ENTRIES, WINDOW_BYTES)?;
        let head = folder.fold(window)?;
        *lock(&self.head) = head;
        self.folded.notify_all();
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
            tracing::warn!(%error, "the store could not be flushed; its log of writes will be read at the next start");
        }
    }

    /// Entries folded.
    pub fn position(&self) -> u64 {
        lock(&self.head).size
    }

    /// Waits until more than `size` entries are folded, or the time is up, or the fold stopped; answers how many are.
    pub fn wait_past(&self, size: u64, timeout: Duration) -> u64 {
        let until = Instant::now() + timeout;
        let mut head = lock(&self.head);
        while head.size <= size && lock(&self.failure).is_none() {
            let Some(left) = until.checked_duration_since(Instant::now()) else { break };
            head = match self.folded.wait_timeout(head, left.min(Duration::from_millis(500))) {
                Ok((head, _)) => head,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        head.size
    }

    /// Why the fold stopped, if it did.
    pub fn failure(&self) -> Option<String> {
        lock(&self.failure).as_ref().map(ToString::to_string)
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
    /// If it lies beyond the end, or before the ledger.
    pub fn resolve(&self, as_of: Option<&AsOf>) -> Result<StoreView, ReplicaError> {
        let size = self.position();
        match as_of.and_then(|a| a.when) {
            None => Ok(self.view()),
            Some(When::Position(position)) if position < size => Ok(self.view_at(position)),
            Some(When::Position(position)) => Err(ReplicaError::Beyond { asked: position, size }),
            Some(When::TimeMs(time_ms)) => {
                let upto = self.size_at(time_ms)?;
                Ok(StoreView::new(self.store.clone(), upto))
            }
        }
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
    pub fn head(&self) -> Option<HeadResponse> {
        let (size, entry_root, verdict_root, fold_time_ms) = {
            let head = lock(&self.head);
            (head.size, head.entry_root, head.verdict_root, head.fold_time_ms)
        };
        let ledger = View::new(&StoreView::new(self.store.clone(), size), size).get(&Ledgers::key())?;
        Some(HeadResponse {
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
        lock(&self.head).counts
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
        let entry = self.log.read(position, 1, 1)?.into_iter().next();
        entry.ok_or(ReplicaError::Read { position, cause: "the entry is missing".into() })
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
        position.map(|p| self.receipt_at(p)).transpose()
    }

    fn receipt_at(&self, position: u64) -> Result<Receipt, ReplicaError> {
        let row = self.decided_row(position)?;
        let leaf = self.tile_hash(Tree::Entries, position)?;
        let time = self.view().entry_time(position);
        let time = time.map_err(|failure| ReplicaError::Read { position, cause: failure.0 })?;
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

    fn tile_hash(&self, tree: Tree, position: u64) -> Result<Hash, ReplicaError> {
        let bytes = self.store.get(Family::Tree, &reader::tile_key(tree, 0, position))?;
        let hash = bytes.and_then(|b| b.try_into().ok()).map(Hash);
        hash.ok_or(ReplicaError::Read { position, cause: "its leaf hash is missing".into() })
    }

    fn tiles(&self, verdicts: bool) -> StoredTiles<'_> {
        StoredTiles { store: &self.store, tree: if verdicts { Tree::Verdicts } else { Tree::Entries } }
    }

    /// The root of one of the trees at a size.
    ///
    /// # Errors
    /// If the size is beyond the end, or the tree can't be read.
    pub fn root_at(&self, verdicts: bool, size: u64) -> Result<Hash, ReplicaError> {
        let folded = self.position();
        if size > folded {
            return Err(ReplicaError::Beyond { asked: size, size: folded });
        }
        root_at(&self.tiles(verdicts), size).map_err(ReplicaError::damaged)
    }

    /// A signed note over a tree as it is now. The verdict tree's origin ends in `/verdicts`.
    ///
    /// # Errors
    /// If there is no ledger or no checkpoint key.
    pub fn checkpoint(&self, verdicts: bool) -> Result<SignedCheckpoint, ReplicaError> {
        let key = self.options.checkpoint_key.as_ref().ok_or(ReplicaError::NoCheckpointKey)?;
        let head = self.head().ok_or(ReplicaError::NoLedger)?;
        let origin = origin(&head, verdicts)?;
        let root = if verdicts { head.verdict_root } else { head.entry_root };
        let root = Hash(root.try_into().unwrap_or([0; 32]));
        let checkpoint = Checkpoint { origin: origin.clone(), size: head.size, root };
        let verifier = VerifierKey::new(origin, key.inner().verifying_key())
            .map_err(|error| ReplicaError::Damaged { what: error.to_string() })?;
        Ok(SignedCheckpoint { note: checkpoint.sign(key.inner()), verifier_key: verifier.to_string() })
    }

    /// A proof that an entry, or a verdict, stands at its position.
    ///
    /// # Errors
    /// If position or size lie beyond the end.
    pub fn inclusion_proof(&self, request: &InclusionProofRequest) -> Result<Proof, ReplicaError> {
        let size = if request.size == 0 { self.position() } else { request.size };
        let root = self.root_at(request.verdicts, size)?;
        if request.position >= size {
            return Err(ReplicaError::Beyond { asked: request.position, size });
        }
        let path =
            inclusion_proof(&self.tiles(request.verdicts), request.position, size).map_err(ReplicaError::damaged)?;
        let tree = if request.verdicts { Tree::Verdicts } else { Tree::Entries };
        let leaf = self.tile_hash(tree, request.position)?;
        let mut tlog_proof = String::new();
        if !request.verdicts && self.options.checkpoint_key.is_some() && request.size == 0 {
            tlog_proof = self.tlog_proof(request.position)?;
        }
        Ok(Proof {
            size,
            root: root.0.to_vec(),
            leaf_hash: leaf.0.to_vec(),
            hashes: path.iter().map(|h| h.0.to_vec()).collect(),
            tlog_proof,
        })
    }

    fn tlog_proof(&self, position: u64) -> Result<String, ReplicaError> {
        let key = self.options.checkpoint_key.as_ref().ok_or(ReplicaError::NoCheckpointKey)?;
        let head = self.head().ok_or(ReplicaError::NoLedger)?;
        let root = Hash(head.entry_root.clone().try_into().unwrap_or([0; 32]));
        let checkpoint = Checkpoint { origin: origin(&head, false)?, size: head.size, root };
        let path = inclusion_proof(&self.tiles(false), position, head.size).map_err(ReplicaError::damaged)?;
        let checkpoint = checkpoint.sign(key.inner());
        Ok(TlogProof { extra: Vec::new(), index: position, path, checkpoint }.to_string())
    }

    /// A proof that an older tree is the beginning of a newer one.
    ///
    /// # Errors
    /// If a size lies beyond the end.
    pub fn consistency_proof(&self, request: &ConsistencyProofRequest) -> Result<Proof, ReplicaError> {
        let size = if request.new_size == 0 { self.position() } else { request.new_size };
        let root = self.root_at(request.verdicts, size)?;
        if request.old_size > size {
            return Err(ReplicaError::Beyond { asked: request.old_size, size });
        }
        let path =
            consistency_proof(&self.tiles(request.verdicts), request.old_size, size).map_err(ReplicaError::damaged)?;
        Ok(Proof {
            size,
            root: root.0.to_vec(),
            leaf_hash: Vec::new(),
            hashes: path.iter().map(|h| h.0.to_vec()).collect(),
            tlog_proof: String::new(),
        })
    }

    /// Every version of every row, in order of name, the newest version first.
    ///
    /// # Errors
    /// If one can't be read.
    pub fn rows(&self, visit: &mut dyn FnMut(Row)) -> Result<(), ReplicaError> {
        let size = self.position();
        for row in self.store.scan_prefix(Family::State, &[]) {
            let (key, value) = row?;
            let Some((name, position)) = reader::split_version(&key) else { continue };
            if position < size {
                let table = u32::from(name.first().copied().unwrap_or(0));
                visit(Row { table, key: name.to_vec(), position, value: Some(value.into()) });
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
            for entry in self.log.read(next, WINDOW_ENTRIES, WINDOW_BYTES)?.into_iter().take((size - next) as usize) {
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
        let (Some(pinned), Some(head)) = (self.options.pin, self.head()) else { return Ok(()) };
        let found = Hash(head.ledger.try_into().unwrap_or([0; 32]));
        if found.0 != pinned {
            return Err(ReplicaError::OtherLedger { found, pinned: Hash(pinned) });
        }
        Ok(())
    }

    fn check_head_file(&self) -> Result<(), ReplicaError> {
        let Some(known) = head::read(self.store.path(), self.options.checkpoint_key.as_ref())? else { return Ok(()) };
        let end = self.position();
        if known.size > end {
            return Err(ReplicaError::LostEnd { end, head: known.size });
        }
        let theirs = self.root_at(false, known.size)?;
        if theirs != known.root {
            return Err(ReplicaError::Diverged { at: known.size, ours: known.root, theirs });
        }
        Ok(())
    }

    fn write_head_file(&self) {
        let (size, root) = {
            let head = lock(&self.head);
            (head.size, head.entry_root)
        };
        if let Some(key) = &self.options.checkpoint_key
            && size > 0
            && let Err(error) = head::write(self.store.path(), key, size, root)
        {
            tracing::warn!(%error, "the signed head could not be written");
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
    }
}

/// The origin line of a ledger's checkpoints: `attestune/NAME/ID`, with the first 16 hex digits of the ledger's id.
///
/// # Errors
/// If the ledger's name can't be one, which its rules exclude.
pub fn origin(head: &HeadResponse, verdicts: bool) -> Result<Origin, ReplicaError> {
    let id = hex::encode(&head.ledger[..head.ledger.len().min(8)]);
    let suffix = if verdicts { "/verdicts" } else { "" };
    let text = format!("attestune/{}/{id}{suffix}", head.name);
    text.parse().map_err(|error: crate::tree::NoteError| ReplicaError::Damaged { what: error.to_string() })
}

/// The last entry folded must still be the log's.
fn compare_last(store: &Store, log: &dyn EventLog, size: u64) -> Result<(), ReplicaError> {
    let end = log.end()?;
    if size > end {
        return Err(ReplicaError::LostEnd { end, head: size });
    }
    let Some(last) = size.checked_sub(1) else { return Ok(()) };
    let Some(entry) = log.read(last, 1, 1)?.into_iter().next() else { return Ok(()) };
    let stored = store.get(Family::Tree, &reader::tile_key(Tree::Entries, 0, last))?;
    let ours = Hash(stored.and_then(|b| b.try_into().ok()).unwrap_or([0; 32]));
    let theirs = crate::rules::entry_leaf(entry.time_ms, &entry.value);
    if ours != theirs {
        return Err(ReplicaError::Diverged { at: last, ours, theirs });
    }
    Ok(())
}

/// Whether a receipt says that the event stands, now or from before.
pub fn stands(receipt: &Receipt) -> bool {
    matches!(receipt.verdict(), Verdict::Accepted | Verdict::Duplicate)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
