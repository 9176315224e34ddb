//! Replicas in RocksDB, held against a world's fold in memory.

use attestune_ledger::envelope::SigningKey;
use attestune_ledger::log::{Clock, Embedded, Entry, EventLog, LogError};
use attestune_ledger::query::{self, OpenWorkCursor, QueryError};
use attestune_ledger::replica::{AppendError, Counts, Replica, ReplicaOptions, StoreView, drop_state};
use attestune_ledger::rules::Folded;
use attestune_ledger::state::{MemoryState, Reader};
use attestune_ledger::store::{Options, Store};
use attestune_ledger::tree::Frontier;
use attestune_proto::v1::{Direction, HistoryEvent, HistoryRequest, LineageRequest, Verdict};
use attestune_replay_tests::{World, checker, detector, key};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// A way to fold a log.
#[derive(Debug, Clone)]
pub struct Way {
    /// Entries in each window, again from the first when they are through.
    pub windows: Vec<usize>,
    /// Where the replica is shut and opened again, as shares of the log in 65,536ths.
    pub openings: Vec<u16>,
    /// Whether its state is dropped before the last opening.
    pub drops_state: bool,
}

/// A log that gives windows of set sizes.
pub struct Windowed {
    log: Box<dyn EventLog>,
    sizes: Vec<usize>,
    reads: AtomicUsize,
}

impl Windowed {
    /// Windows of these sizes, again from the first when they are through.
    pub fn new(log: impl EventLog + 'static, sizes: &[usize]) -> Arc<Self> {
        Arc::new(Self { log: Box::new(log), sizes: sizes.into(), reads: AtomicUsize::new(0) })
    }
}

impl EventLog for Windowed {
    fn append(&self, values: Vec<Vec<u8>>) -> Result<Vec<u64>, LogError> {
        self.log.append(values)
    }

    fn settle(&self, end: u64) -> Result<(), LogError> {
        self.log.settle(end)
    }

    fn read(&self, from: u64, max_entries: usize, max_bytes: usize) -> Result<Vec<Entry>, LogError> {
        let size = self.sizes[self.reads.fetch_add(1, Ordering::Relaxed) % self.sizes.len()];
        self.log.read(from, max_entries.min(size), max_bytes)
    }

    fn end(&self) -> Result<u64, LogError> {
        self.log.end()
    }

    fn wait_past(&self, end: u64, timeout: Duration) -> Result<u64, LogError> {
        self.log.wait_past(end, timeout)
    }
}

/// Opens a store in a folder.
pub fn store(folder: &Path) -> Arc<Store> {
    let options = Options { cache_bytes: 8 << 20, write_buffer_bytes: 8 << 20, ..Options::default() };
    Store::open(folder.join("db"), &options).unwrap()
}

fn checkpoint_key() -> Option<SigningKey> {
    Some(key("checkpoint"))
}

/// Writes the world's log into a store piece by piece, folds each piece in the way asked for, and holds the replica
/// against the world each time.
///
/// # Panics
/// Where they differ.
pub fn replica_agrees(world: &World, way: &Way) {
    let folder = tempfile::tempdir().unwrap();
    let share = |share: &u16| (world.log.len() * usize::from(*share)) >> 16;
    let mut ends: Vec<usize> = way.openings.iter().map(share).chain([world.log.len()]).collect();
    ends.sort_unstable();
    let mut written = 0;
    for (number, end) in ends.iter().enumerate() {
        let store = store(folder.path());
        write(&store, world, written..*end);
        written = *end;
        if way.drops_state && number + 1 == ends.len() {
            drop_state(&store).unwrap();
        }
        let log = Embedded::open(store.clone(), Arc::new(|| 0)).unwrap();
        let replica = Replica::open(store, Windowed::new(log, &way.windows), options(world, *end)).unwrap();
        hold(&replica, world, *end);
        replica.shut_down();
    }
}

/// Writes some of the world's entries into a store's own log, times and all.
pub fn write(store: &Store, world: &World, which: Range<usize>) {
    let mut batch = store.batch();
    for (position, (time_ms, value)) in (0u64..).zip(&world.log).skip(which.start).take(which.len()) {
        batch.put_entry(position, *time_ms, value);
    }
    store.write(batch, false).unwrap();
}

/// How a replica of the world's first entries is opened: pinned to the ledger, if it was created by then.
pub fn options(world: &World, end: usize) -> ReplicaOptions {
    let created = world.folded[..end].iter().any(|f| f.verdict == Verdict::Accepted);
    ReplicaOptions { checkpoint_key: checkpoint_key(), pin: created.then_some(world.ledger) }
}

/// Appends the world's log value by value through the door of a replica that follows, and past the door what that
/// stops: what it stops is what the fold counts as no event, with the same words. Killed at its end, it is the same.
///
/// # Panics
/// Where door, receipts or replica differ from the world's fold.
pub fn live_replica_agrees(world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let now_ms = Arc::new(AtomicU64::new(0));
    let clock: Arc<dyn Clock> = {
        let now_ms = now_ms.clone();
        Arc::new(move || now_ms.load(Ordering::SeqCst))
    };
    let log = Arc::new(Embedded::open(store.clone(), clock).unwrap());
    let options = ReplicaOptions { checkpoint_key: checkpoint_key(), pin: None };
    let replica = Replica::open(store, log.clone(), options).unwrap();
    for (position, ((time_ms, value), folded)) in (0u64..).zip(world.log.iter().zip(&world.folded)) {
        now_ms.store(*time_ms, Ordering::SeqCst);
        match replica.append(vec![value.clone()]) {
            Ok(receipts) => {
                let receipt = &receipts[0];
                assert_eq!(receipt.position, position);
                assert_eq!(receipt.verdict, folded.verdict as i32, "the receipt of {position}");
                assert_eq!(receipt.refusal, folded.refusal.as_ref().map(|r| r.info()), "the receipt of {position}");
                assert_eq!(receipt.leaf_hash, folded.leaf_hash.0, "the receipt of {position}");
                assert_eq!((receipt.time_ms, receipt.first_position), (*time_ms, folded.first.unwrap_or(0)));
            }
            Err(AppendError::Rejected { rejection, .. }) => {
                assert_eq!(Some(rejection), folded.rejection, "the door's words on {position}");
                assert_eq!(log.append(vec![value.clone()]), Ok(vec![position]));
                assert_eq!(replica.wait_past(position, Duration::from_secs(60)), position + 1);
            }
            Err(AppendError::Failed(error)) => panic!("the fold stopped at {position}: {error}"),
        }
    }
    hold(&replica, world, world.log.len());
    // As a process that is killed now would leave it: the journal has the entries, and nothing is in tables yet.
    let killed = tempfile::tempdir().unwrap();
    std::fs::create_dir(killed.path().join("db")).unwrap();
    for file in std::fs::read_dir(folder.path().join("db")).unwrap().map(|file| file.unwrap()) {
        std::fs::copy(file.path(), killed.path().join("db").join(file.file_name())).unwrap();
    }
    replica.shut_down();
    let store = self::store(killed.path());
    let log = Embedded::open(store.clone(), Arc::new(|| 0)).unwrap();
    let replica = Replica::open(store, Arc::new(log), self::options(world, world.log.len())).unwrap();
    hold(&replica, world, world.log.len());
    replica.shut_down();
}

/// Rows by name.
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The newest rows of a state as of a size.
pub fn rows(reader: &dyn Reader, size: u64) -> Rows {
    let mut found = Rows::new();
    let visit = &mut |name: &[u8], value: &[u8]| found.insert(name.to_vec(), value.to_vec()).is_none();
    reader.rows(&[], size, visit).unwrap();
    found
}

/// Compares everything that a replica knows with the world's first `end` entries.
///
/// # Panics
/// Where they differ.
pub fn hold(replica: &Replica, world: &World, end: usize) {
    let size = end as u64;
    assert_eq!((replica.position(), replica.failure()), (size, None));
    for size in 0..=size {
        let memory = [world.state.entry_root(size), world.state.verdict_root(size)].map(|root| root.unwrap().unwrap());
        let stored = [false, true].map(|verdicts| replica.root_at(verdicts, size).unwrap());
        assert_eq!(stored, memory, "entry root and verdict root at size {size}");
    }
    verdicts_agree(replica, &world.folded[..end]);
    rows_agree(replica, &world.state, size);
    for size in [size, size / 2, size / 3] {
        assert_eq!(rows(&view(replica, size), size), rows(&world.state, size), "the state as of size {size}");
    }
    assert_eq!(replica.check_entries(|_| {}), Ok(size));
    questions_are_answered(&replica.view());
    open_work_is_kept(replica, size);
    crate::paged::review_is_kept(replica, size, 2);
}

/// The view after so many entries.
pub fn view(replica: &Replica, size: u64) -> StoreView {
    size.checked_sub(1).map_or_else(|| replica.view(), |last| replica.view_at(last))
}

fn verdicts_agree(replica: &Replica, folded: &[Folded]) {
    let view = replica.view();
    let mut counts = Counts::default();
    let mut tree = Frontier::new();
    for (position, folded) in (0u64..).zip(folded) {
        let row = view.decided(position).unwrap().unwrap();
        assert_eq!(row.verdict, folded.verdict as i32, "the verdict on {position}");
        let reason = folded.refusal.as_ref().map(|r| r.info());
        assert_eq!(row.refusal, reason.or(folded.rejection.as_ref().map(|r| r.info())), "the reason at {position}");
        let effects = if folded.effects.writes().is_empty() { &[][..] } else { &folded.effects_digest };
        assert_eq!(row.effects_digest, effects, "the effects of {position}");
        assert_eq!((row.fold_time_ms, row.first_position), (folded.fold_time_ms, folded.first.unwrap_or(0)));
        if let Some((actor, id)) = &folded.uses_id {
            assert_eq!(view.id(actor, id), Ok(Some(position)), "the id of {position}");
        }
        match folded.verdict {
            Verdict::Accepted => counts.accepted += 1,
            Verdict::Refused => counts.refused += 1,
            Verdict::Duplicate => counts.duplicates += 1,
            Verdict::Garbage | Verdict::Unspecified => counts.garbage += 1,
        }
        tree.push(folded.verdict_leaf(position));
    }
    assert_eq!(replica.counts(), counts);
    assert_eq!(replica.root_at(true, tree.size()), Ok(tree.root()));
}

/// Every version of every row.
fn rows_agree(replica: &Replica, memory: &MemoryState, size: u64) {
    let mut stored = Vec::new();
    let visit = &mut |row: attestune_proto::v1::Row| {
        stored.push((row.key, row.position, row.value));
        true
    };
    replica.rows(visit).unwrap();
    stored.sort();
    let all = memory.all_rows().filter(|(_, position, _)| *position < size);
    let all: Vec<_> = all.map(|(name, position, value)| (name.to_vec(), position, Some(value.to_vec()))).collect();
    assert_eq!(stored, all, "all versions of all rows");
}

/// No question fails on what a fold has left.
fn questions_are_answered(view: &StoreView) {
    fn answered<T>(answer: Result<T, QueryError>) {
        if let Err(QueryError::Failed(why)) = answer {
            panic!("a question failed: {why}");
        }
    }
    answered(query::list_actors(view, ""));
    answered(query::list_batches(view, ""));
    answered(query::open_work(view));
    answered(query::list_windows(view, ""));
    answered(query::list_experiments(view, ""));
    answered(query::list_alerts(view, ""));
    answered(query::list_schedules(view, ""));
    answered(query::list_holds(view, ""));
    answered(query::serving(view, "", u64::MAX));
    answered(query::due(view, "", u64::MAX));
    for erasure in query::list_erasures(view).unwrap().erasures {
        answered(query::erasure(view, erasure.position));
    }
    answered(query::why_in_force(view, view, "triage"));
    answered(query::model_version(view, "triage", 1));
    let mut told = 0;
    let visit = &mut |event: Option<HistoryEvent>| {
        told += u64::from(event.is_some());
        true
    };
    answered(query::history(view, &HistoryRequest::default(), visit));
    assert_eq!(told, view.size(), "history tells of every entry");
    for position in (0..view.size()).step_by(7) {
        for direction in [Direction::Up, Direction::Down] {
            let request = LineageRequest { position, direction: direction as i32, ..LineageRequest::default() };
            answered(query::lineage(view, &request));
        }
    }
}

/// Open work kept from one moment to the next is what is found anew at each.
fn open_work_is_kept(replica: &Replica, size: u64) {
    let (mut kept, mut of_a_tool) = (OpenWorkCursor::default(), OpenWorkCursor::default());
    let (detector, checker) = (detector(), checker());
    for step in 1..=8 {
        let then = view(replica, size * step / 8);
        let work = kept.advance(&then, usize::MAX).ok();
        assert_eq!(work, query::open_work(&then).ok(), "open work as of size {}", then.size());

        // The tools are all that the policy asks for, so what lacks something lacks their word. In two halves, as two
        // workers would take it up.
        let work = work.unwrap_or_default();
        let mut to_scan = Vec::new();
        for half in 0..2 {
            let mine = |batch: u64| batch % 2 == half;
            to_scan.extend(of_a_tool.batches_to_scan(&then, &detector, usize::MAX, mine).unwrap());
        }
        to_scan.sort_unstable();
        assert_eq!(to_scan, work.batches_to_scan);
        let to_check = of_a_tool.batches_to_check(&then, &checker, 1, |_| true).unwrap();
        assert_eq!(to_check.first(), work.batches_to_check.first(), "the oldest comes first");
        assert_eq!(of_a_tool.leakage_to_check(&then).unwrap(), work.leakage_to_check);
    }
}
