//! What a worker works with: replica, vault and key; and how it acts.

use crate::{Share, WorkerError, example::ExampleText};
use attestune_ledger::{
    draft::{draft, kind, worker_id},
    envelope::SigningKey,
    log::{Clock as _, SystemClock},
    query::{self, OpenWorkCursor, QueryError, Word},
    replica::{Replica, StoreView},
    state::ErasedExamples,
    vault::{SealedPack, Vault},
};
use attestune_proto::v1::{
    Event, ExamplesDerived, Kind, LeakageProvenance, OpenWork, PolicyRow, Receipt, Sealed, Seen, Tool, Verdict,
    event::Body,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// How long a refused act rests after its n-th attempt: 2ⁿ seconds, and no longer than this.
const REST_MAX: Duration = Duration::from_secs(600);
/// How many open batches a worker looks at; one that is done makes room for the next.
const BATCHES_AHEAD: usize = 256;
/// How many it looks at to see how others are getting on.
const BATCHES_SEEN: usize = 4096;

/// A worker's name on the log and its key.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The actor.
    pub actor: String,
    /// A registered key of the actor.
    pub key: SigningKey,
}

/// What became of an act.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It stands, from now on.
    Accepted(Receipt),
    /// It stands since before: this is a repetition after a crash.
    Before(Receipt),
    /// The rules refused it. It stands on the record as that.
    Refused(Receipt),
    /// It was refused lately and is not tried again yet.
    Resting,
}

/// What a worker works with.
#[derive(Clone)]
pub struct Context {
    replica: Arc<Replica>,
    vault: Arc<Vault>,
    signer: Signer,
    runtime: Handle,
    stop: Arc<AtomicBool>,
    resting: Arc<Mutex<HashMap<String, Instant>>>,
    open: Arc<Mutex<OpenWorkCursor>>,
    share: Arc<Share>,
}

impl Context {
    /// A context whose vault is awaited on `runtime`. Workers block, so they run on threads that are not the runtime's.
    pub fn new(replica: Arc<Replica>, vault: Arc<Vault>, signer: Signer, runtime: Handle) -> Self {
        Self {
            replica,
            vault,
            signer,
            runtime,
            stop: Arc::default(),
            resting: Arc::default(),
            open: Arc::default(),
            share: Arc::default(),
        }
    }

    /// The same for a worker that takes up its share only.
    pub fn sharing(self, share: Share) -> Self {
        Self { share: Arc::new(share), ..self }
    }

    /// The same with a flag that ends long work.
    pub(crate) fn stopped_by(&self, stop: &Arc<AtomicBool>) -> Self {
        Self { stop: stop.clone(), ..self.clone() }
    }

    /// Whether the worker was told to stop.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The replica.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The newest state.
    pub fn view(&self) -> StoreView {
        self.replica.view()
    }

    /// The worker's name on the log.
    pub(crate) fn actor(&self) -> &str {
        &self.signer.actor
    }

    /// The id of its key.
    pub(crate) fn keyid(&self) -> String {
        self.signer.key.keyid()
    }

    /// What waits for workers; of batches the oldest only.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn open_work(&self) -> Result<OpenWork, WorkerError> {
        let mut cursor = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(cursor.advance(&self.view(), BATCHES_AHEAD)?)
    }

    /// The policy in force; none before there is a ledger.
    ///
    /// # Errors
    /// If the state can't be read.
    pub(crate) fn policy(&self) -> Result<Option<PolicyRow>, WorkerError> {
        match query::policy(&self.view(), 0) {
            Ok(row) => Ok(Some(row)),
            Err(QueryError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Batches for a detector to scan, of those that this worker takes up; the oldest only.
    pub(crate) fn batches_to_scan(&self, detector: &Tool) -> Result<Vec<u64>, WorkerError> {
        self.batches(|cursor, view, limit, chosen| cursor.batches_to_scan(view, detector, limit, chosen))
    }

    /// Batches for a checker to check, likewise.
    pub(crate) fn batches_to_check(&self, checker: &Tool) -> Result<Vec<u64>, WorkerError> {
        self.batches(|cursor, view, limit, chosen| cursor.batches_to_check(view, checker, limit, chosen))
    }

    fn batches(
        &self,
        open: impl Fn(&mut OpenWorkCursor, &StoreView, usize, &dyn Fn(u64) -> bool) -> Result<Vec<u64>, QueryError>,
    ) -> Result<Vec<u64>, WorkerError> {
        let mut cursor = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let view = self.view();
        if self.share.look_is_due() {
            self.share.look(&open(&mut cursor, &view, BATCHES_SEEN, &|_| true)?);
        }
        Ok(open(&mut cursor, &view, BATCHES_AHEAD, &|batch| self.share.takes(batch))?)
    }

    /// What a detector's scan of a batch is called when it is put on record, if one is to be made: one whose signer counts
    /// no more is made anew, and must be another event than that.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn scan_part(&self, detector: &Tool, batch: u64) -> Result<Option<String>, WorkerError> {
        Ok(part(detector, query::scan_of(&self.view(), detector, batch)?))
    }

    /// The same of a checker's check.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn check_part(&self, checker: &Tool, batch: u64) -> Result<Option<String>, WorkerError> {
        Ok(part(checker, query::check_of(&self.view(), checker, batch)?))
    }

    /// Pairs of training set and suite to compare.
    pub(crate) fn leakage_to_check(&self) -> Result<Vec<LeakageProvenance>, WorkerError> {
        let mut cursor = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(cursor.leakage_to_check(&self.view())?)
    }

    /// The share that this worker takes up.
    pub(crate) fn share(&self) -> &Share {
        &self.share
    }

    /// Whether to begin with a batch now: it may be another's by now.
    pub(crate) fn takes(&self, batch: u64) -> bool {
        self.share.hear();
        self.share.takes(batch)
    }

    /// Signs an act and appends it. Its id comes of cause, kind, part and the number of attempts refused so far, so that
    /// the same act after a crash is the same event.
    ///
    /// # Errors
    /// If the act did not get onto the log.
    pub fn act(&self, cause: u64, part: &str, body: Body) -> Result<Outcome, WorkerError> {
        let kind = kind(&body);
        if self.rests(cause, kind, part) {
            return Ok(Outcome::Resting);
        }
        let mut attempt = 0;
        let id = loop {
            let id = worker_id(cause, kind, part, attempt);
            match self.replica.receipt(&self.signer.actor, &id)? {
                None => break id,
                Some(receipt) if receipt.verdict() == Verdict::Accepted => return Ok(Outcome::Before(receipt)),
                Some(_) => attempt += 1,
            }
        };
        let head = self.replica.head()?;
        let seen = Seen { size: head.size, root: head.entry_root };
        let event = draft(&head.ledger, &self.signer.actor, id, now_ms(), Some(seen), body);
        let event = Event { cause: Some(cause), ..event };
        let receipts = self.replica.append(vec![self.signer.key.sign_event(&event)])?;
        let receipt = receipts.into_iter().next().unwrap_or_default();
        if receipt.verdict() == Verdict::Accepted {
            return Ok(Outcome::Accepted(receipt));
        }
        let refusal = receipt.refusal.clone().unwrap_or_default();
        tracing::warn!(
            actor = self.signer.actor,
            kind = kind.as_str_name(),
            cause,
            position = receipt.position,
            code = refusal.code,
            "refused: {}",
            refusal.message
        );
        self.rest(cause, kind, part, attempt);
        Ok(Outcome::Refused(receipt))
    }

    /// Whether an act was signed before, whatever came of it.
    pub(crate) fn was_tried(&self, cause: u64, part: &str, kind: Kind) -> Result<bool, WorkerError> {
        Ok(self.replica.receipt(&self.signer.actor, &worker_id(cause, kind, part, 0))?.is_some())
    }

    /// Whether an act was refused, or failed, so lately that it is not tried again yet.
    pub(crate) fn rests(&self, cause: u64, kind: Kind, part: &str) -> bool {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.get(&act_name(cause, kind, part)).is_some_and(|until| Instant::now() < *until)
    }

    /// Lets an act rest, the longer the more often it was tried.
    pub(crate) fn rest(&self, cause: u64, kind: Kind, part: &str, attempt: u32) {
        let rest = Duration::from_secs(1 << attempt.min(10)).min(REST_MAX);
        let now = Instant::now();
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.retain(|_, until| now < *until);
        resting.insert(act_name(cause, kind, part), now + rest);
    }

    /// Whether something rests that may be tried again without a new entry.
    pub(crate) fn anything_rests(&self) -> bool {
        !self.resting.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Opens one content.
    ///
    /// # Errors
    /// If the vault can't.
    pub fn open(&self, what: &'static str, position: u64, sealed: &Sealed) -> Result<Vec<u8>, WorkerError> {
        well_formed(what, position, sealed)?;
        Ok(self.runtime.block_on(self.vault.open_one(&sealed.pack, &sealed.commitment))?)
    }

    /// Opens contents in their order, reading each pack once.
    ///
    /// # Errors
    /// If one can't be opened.
    pub fn open_all(
        &self,
        what: &'static str,
        position: u64,
        contents: &[Sealed],
    ) -> Result<Vec<Vec<u8>>, WorkerError> {
        for sealed in contents {
            well_formed(what, position, sealed)?;
        }
        Ok(self.runtime.block_on(self.vault.open_all(contents))?)
    }

    /// The commitments of a pack's contents, in order.
    ///
    /// # Errors
    /// If the vault doesn't know the pack, or can't be reached.
    pub(crate) fn commitments(&self, pack: &[u8]) -> Result<Vec<Vec<u8>>, WorkerError> {
        Ok(self.runtime.block_on(self.vault.commitments(pack))?)
    }

    /// Seals contents as one pack.
    ///
    /// # Errors
    /// If the vault can't.
    pub fn seal(&self, contents: &[Vec<u8>]) -> Result<SealedPack, WorkerError> {
        Ok(self.runtime.block_on(self.vault.seal(contents))?)
    }

    /// The event that made a batch of examples, with its texts in order; empty where an example was erased.
    ///
    /// # Errors
    /// If a text can't be opened or is no example.
    pub fn batch(&self, position: u64) -> Result<(ExamplesDerived, Vec<ExampleText>), WorkerError> {
        let event = query::event_of(&self.view(), position)?;
        let Some(Body::ExamplesDerived(body)) = event.and_then(|event| event.body) else {
            let why = "the entry is no batch of examples".into();
            return Err(WorkerError::Content { what: "batch", position, why });
        };
        let sealed = |commitment: &Vec<u8>| Sealed { pack: body.pack.clone(), commitment: commitment.clone() };
        let erased = self.view().view().get(&ErasedExamples::key(position)).unwrap_or_default().erased;
        let is_erased = |index: usize| erased.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1);
        let left = (0..).zip(&body.commitments).filter(|(index, _)| !is_erased(*index));
        let contents: Vec<_> = left.map(|(_, commitment)| sealed(commitment)).collect();
        let mut opened = parse_examples(position, &self.open_all("example", position, &contents)?)?.into_iter();
        let text = |index| if is_erased(index) { None } else { opened.next() };
        let texts = (0..body.commitments.len()).map(text).map(Option::unwrap_or_default).collect();
        Ok((body, texts))
    }
}

fn part(tool: &Tool, word: Word) -> Option<String> {
    match word {
        Word::Counts => None,
        Word::Missing => Some(format!("{}/{}", tool.name, tool.version)),
        Word::Void { position } => Some(format!("{}/{}/{position}", tool.name, tool.version)),
    }
}

fn well_formed(what: &'static str, position: u64, sealed: &Sealed) -> Result<(), WorkerError> {
    if sealed.pack.len() != 16 || sealed.commitment.len() != 32 {
        return Err(WorkerError::Content { what, position, why: "its pack or commitment is malformed".into() });
    }
    Ok(())
}

/// Reads example texts; an error names the place, never the text.
pub(crate) fn parse_examples(position: u64, contents: &[Vec<u8>]) -> Result<Vec<ExampleText>, WorkerError> {
    let parse = |(index, content): (usize, &Vec<u8>)| {
        serde_json::from_slice(content).map_err(|error| {
            let place = (error.line(), error.column());
            let why =
                format!("number {index} is not JSON of a prompt and an answer (line {}, column {})", place.0, place.1);
            WorkerError::Content { what: "example", position, why }
        })
    };
    contents.iter().enumerate().map(parse).collect()
}

fn act_name(cause: u64, kind: Kind, part: &str) -> String {
    format!("{cause}/{}/{part}", kind as i32)
}

/// What the clock says, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemClock.now_ms()
}
