//! A process as it sees itself: its replica, its clock, its key. It may stop for ever wherever it awaits something.

use crate::company::{Company, Message};
use crate::course::Fault;
use attestune_ledger::draft::{draft, kind, worker_id};
use attestune_ledger::envelope::SigningKey;
use attestune_ledger::state::{Keys, View};
use attestune_proto::v1::{Event, Kind, Seen, Verdict, event::Body};
use attestune_replay_tests::key;
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// How long somebody who appended waits for the receipt.
const PATIENCE_MS: u64 = 20_000;
/// How long work that failed rests.
const LEFT_MS: u64 = 30_000;

/// A process's view of itself.
#[derive(Clone)]
pub struct Me {
    company: Rc<RefCell<Company>>,
    number: usize,
    pub name: &'static str,
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    pub position: u64,
    pub verdict: Verdict,
    pub code: &'static str,
}

/// What became of a worker's act, as the workers' own `Outcome` has it; one that got no receipt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Accepted(u64),
    Before,
    Refused(&'static str),
    Resting,
    Failed,
}

impl Me {
    pub fn new(company: &Rc<RefCell<Company>>, number: usize) -> Self {
        let name = company.borrow().desks[number].name;
        Self { company: company.clone(), number, name }
    }

    /// Lets others go on.
    pub async fn turn(&self) {
        let mut given = false;
        poll_fn(|_| if std::mem::replace(&mut given, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Reads the state as this process's replica has it.
    pub fn look<T>(&self, read: impl FnOnce(&View<'_>) -> T) -> T {
        let company = self.company.borrow();
        let view = View::new(&company.world.state, company.desks[self.number].seen);
        let answer = read(&view);
        assert_eq!(view.failure(), None);
        answer
    }

    /// How far its replica has folded.
    pub fn seen(&self) -> u64 {
        self.company.borrow().desks[self.number].seen
    }

    /// What its clock says.
    pub fn now_ms(&self) -> u64 {
        let company = self.company.borrow();
        company.now_ms.saturating_add_signed(company.desks[self.number].off_ms)
    }

    /// A number below `end`.
    pub fn below(&self, end: u64) -> u64 {
        self.company.borrow_mut().chance.below(end)
    }

    /// Once in so many times.
    pub fn one_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// So many bytes.
    pub fn bytes(&self, count: usize) -> Vec<u8> {
        self.company.borrow_mut().chance.bytes(count)
    }

    /// Whether a fault is part of this run, and chance will have it now.
    pub fn fails(&self, fault: Fault, once_in: u64) -> bool {
        self.company.borrow_mut().fails(fault, once_in)
    }

    /// Whether a fault of the course is that reports are made blindly.
    pub fn is_careless(&self) -> bool {
        self.company.borrow().course.careless
    }

    /// The key of this process that stands now: a second one after the first was revoked.
    pub fn key(&self) -> SigningKey {
        self.look(|view| key_of(view, self.name))
    }

    /// Signs an act, together with others.
    pub fn sign(&self, id: [u8; 16], cause: Option<u64>, body: Body, with: &[&str]) -> Vec<u8> {
        let (ledger, now_ms) = (self.company.borrow().world.ledger, self.now_ms());
        let seen = self.look(|view| {
            let root = view.entry_root(view.size()).map(|root| root.0.to_vec());
            Seen { size: view.size(), root: root.unwrap_or_default() }
        });
        let event = Event { cause, ..draft(&ledger, self.name, id, now_ms, Some(seen), body) };
        let value = self.key().sign_event(&event);
        with.iter().fold(value, |value, name| self.look(|view| key_of(view, name)).cosign(&value).expect("once each"))
    }

    /// Sends a value to the log; answers where the log ended then.
    pub fn send(&self, value: &[u8]) -> u64 {
        let mut company = self.company.borrow_mut();
        company.under_way.push(Message { from: self.number, value: value.into() });
        company.world.next()
    }

    /// Waits until its replica has a value that was sent when the log ended at `from`; nothing if it does not come.
    pub async fn receipt(&self, value: &[u8], from: u64) -> Option<Receipt> {
        let until_ms = self.now_ms() + PATIENCE_MS;
        while self.now_ms() < until_ms {
            if let Some(receipt) = self.find(value, from) {
                return Some(receipt);
            }
            self.turn().await;
        }
        None
    }

    fn find(&self, value: &[u8], from: u64) -> Option<Receipt> {
        let company = self.company.borrow();
        let seen = company.desks[self.number].seen;
        let position = (from..seen).find(|position| company.world.log[*position as usize].1 == value)?;
        let folded = &company.world.folded[position as usize];
        Some(Receipt { position, verdict: folded.verdict, code: folded.code() })
    }

    /// What its replica knows of an id of its own.
    fn known(&self, id: [u8; 16]) -> Option<Receipt> {
        let position = self.look(|view| view.id(self.name, &id)).filter(|position| *position < self.seen())?;
        let company = self.company.borrow();
        let folded = &company.world.folded[position as usize];
        Some(Receipt { position, verdict: folded.verdict, code: folded.code() })
    }

    /// Signs a worker's act and appends it, as the workers' `Context::act` does: the id comes of cause, kind, part and
    /// the number of attempts refused so far.
    pub async fn act(&self, cause: u64, part: &str, body: Body) -> Outcome {
        let kind = kind(&body);
        if self.rests(cause, kind, part) {
            return Outcome::Resting;
        }
        let mut attempt = 0;
        let id = loop {
            let id = worker_id(cause, kind, part, attempt);
            match self.known(id) {
                None => break id,
                Some(receipt) if receipt.verdict == Verdict::Accepted => return Outcome::Before,
                Some(_) => attempt += 1,
            }
        };
        self.turn().await;
        let value = self.sign(id, Some(cause), body, &[]);
        self.turn().await;
        let from = self.send(&value);
        match self.receipt(&value, from).await {
            Some(receipt) if receipt.verdict == Verdict::Accepted => Outcome::Accepted(receipt.position),
            Some(receipt) => {
                self.rest(cause, kind, part, 1000 << attempt.min(5));
                Outcome::Refused(receipt.code)
            }
            None => Outcome::Failed,
        }
    }

    /// Leaves work for a while: to begin it again at once would come to the same.
    pub fn leave(&self, cause: u64, kind: Kind) {
        self.rest(cause, kind, "failed", LEFT_MS);
    }

    /// Whether work was left a short while ago.
    pub fn left(&self, cause: u64, kind: Kind) -> bool {
        self.rests(cause, kind, "failed")
    }

    fn rest(&self, cause: u64, kind: Kind, part: &str, for_ms: u64) {
        let until_ms = self.now_ms() + for_ms;
        let mut company = self.company.borrow_mut();
        company.desks[self.number].rests.insert(format!("{cause}/{kind:?}/{part}"), until_ms);
    }

    fn rests(&self, cause: u64, kind: Kind, part: &str) -> bool {
        let company = self.company.borrow();
        let until_ms = company.desks[self.number].rests.get(&format!("{cause}/{kind:?}/{part}"));
        until_ms.is_some_and(|until_ms| self.now_ms() < *until_ms)
    }
}

/// The actor's newest key that stands in a view; the first where none does.
fn key_of(view: &View<'_>, actor: &str) -> SigningKey {
    let keys = [actor.to_owned(), second_key(actor)].map(|name| key(&name));
    let stands = |key: &SigningKey| view.get(&Keys::key(&key.keyid())).is_some_and(|row| row.revoked_at.is_none());
    let [first, second] = keys;
    if !stands(&first) && stands(&second) { second } else { first }
}

/// The name of the key that an actor gets after the first one was revoked.
pub fn second_key(actor: &str) -> String {
    format!("{actor}/2")
}
