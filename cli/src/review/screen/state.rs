//! What the screen holds, and what a key makes of it. Nothing here reads or draws.

use super::super::{ascending, decide::Made, reference};
use super::hiding::Hiding;
use attestune_ledger::draft::plain;
use attestune_proto::v1::{
    ExampleInfo, ExampleRef, Finding, ReviewItem, ReviewReason, ReviewRules, ReviewVerdict, ReviewWhy,
};
use attestune_workers::example::{self, ExampleText};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::{BTreeMap, BTreeSet};

/// Lines that a key for a page moves the text by.
const PAGE: usize = 8;

/// An example to be decided.
#[derive(Debug, Clone)]
pub struct Item {
    pub info: ExampleInfo,
    pub collection: String,
    pub why: ReviewWhy,
    pub waiting_since_ms: u64,
    pub due_ms: u64,
    pub overdue: bool,
    /// What was found, and by which detector.
    pub spans: Vec<(String, Finding)>,
    /// Those of them, by number, that the scan only notes.
    pub noted: BTreeSet<usize>,
    pub text: ExampleText,
    /// The text that was scanned, in which the findings count.
    pub scanned: String,
}

impl Item {
    /// An item of the queue with its text.
    pub fn new(item: ReviewItem, text: ExampleText) -> Self {
        let why = item.why();
        let spans = item.scans.into_iter().flat_map(|scan| {
            let detector = scan.detector.unwrap_or_default();
            let name = format!("{}@{}", detector.name, detector.version);
            scan.spans.into_iter().map(move |finding| {
                let noted = scan.noted.contains(&finding.entity);
                (name.clone(), finding, noted)
            })
        });
        let mut spans: Vec<(String, Finding, bool)> = spans.collect();
        spans.sort_by_key(|(_, finding, _)| (finding.start, finding.end));
        let noted = (0..).zip(&spans).filter(|(_, (.., noted))| *noted).map(|(number, _)| number).collect();
        let spans = spans.into_iter().map(|(detector, finding, _)| (detector, finding)).collect();
        Self {
            info: item.example.unwrap_or_default(),
            collection: item.collection,
            why,
            waiting_since_ms: item.waiting_since_ms,
            due_ms: item.due_ms,
            overdue: item.overdue,
            spans,
            noted,
            scanned: example::scan_text(&text),
            text,
        }
    }

    pub fn at(&self) -> ExampleRef {
        reference(&self.info)
    }
}

/// What was decided on an item, not signed yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    pub verdict: ReviewVerdict,
    pub reason: ReviewReason,
    /// What a redaction hides.
    pub hidden: Vec<Finding>,
}

/// What the keys are for.
#[derive(Debug, Clone)]
pub enum Mode {
    Reading,
    /// Choosing what a redaction hides.
    Hiding(Hiding),
    Help,
    /// Asked whether to sign before leaving.
    Leaving,
}

/// What the screen asks of whoever runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Nothing,
    /// Draw all of it anew.
    Redraw,
    /// Sign what was decided, and go on.
    Sign,
    SignAndLeave,
    Leave,
}

/// The screen.
#[derive(Debug, Clone)]
pub struct Screen {
    pub items: Vec<Item>,
    /// The item shown.
    pub at: usize,
    /// By number of the item.
    pub decided: BTreeMap<usize, Decided>,
    /// Items in the order in which they were decided.
    order: Vec<usize>,
    pub mode: Mode,
    /// Lines of the text above what is shown.
    pub scroll: usize,
    pub message: String,
    rules: ReviewRules,
}

impl Screen {
    pub fn new(items: Vec<Item>, rules: ReviewRules) -> Self {
        Self {
            items,
            at: 0,
            decided: BTreeMap::new(),
            order: Vec::new(),
            mode: Mode::Reading,
            scroll: 0,
            message: String::new(),
            rules,
        }
    }

    pub fn item(&self) -> Option<&Item> {
        self.items.get(self.at)
    }

    /// The decisions to be signed.
    pub fn made(&self) -> Vec<Made> {
        let made = self.decided.iter().filter_map(|(at, decided)| {
            let item = self.items.get(*at)?;
            let redacted = decided.verdict == ReviewVerdict::Redact;
            Some(Made {
                at: item.at(),
                verdict: decided.verdict,
                reason: decided.reason,
                hidden: decided.hidden.clone(),
                redacted: redacted.then(|| example::redact(&item.text, &decided.hidden)),
            })
        });
        made.collect()
    }

    /// Forgets the items whose decisions were signed or refused, and takes in others.
    pub fn signed(&mut self, more: Vec<Item>) {
        let gone: Vec<ExampleRef> = self.decided.keys().filter_map(|at| self.items.get(*at)).map(Item::at).collect();
        self.items.retain(|item| !gone.contains(&item.at()));
        let new = more.into_iter().filter(|item| !gone.contains(&item.at()));
        let new: Vec<Item> = new.filter(|item| self.items.iter().all(|known| known.at() != item.at())).collect();
        self.items.extend(new);
        self.decided.clear();
        self.order.clear();
        self.go_to(0);
    }

    /// What a key does.
    pub fn on_key(&mut self, key: KeyEvent) -> Effect {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('l') if control => return Effect::Redraw,
            KeyCode::Char('c') if control => return self.leave(),
            _ if control => return Effect::Nothing,
            _ => {}
        }
        self.message.clear();
        match self.mode.clone() {
            Mode::Reading => self.read(key.code),
            Mode::Hiding(hiding) => self.hide(hiding, key.code),
            Mode::Help => {
                self.mode = Mode::Reading;
                Effect::Nothing
            }
            Mode::Leaving => self.confirm(key.code),
        }
    }

    fn read(&mut self, key: KeyCode) -> Effect {
        match key {
            KeyCode::Char('a') => self.approve(),
            KeyCode::Char('n') => self.decide(ReviewVerdict::Approve, ReviewReason::NoPersonalData, true, Vec::new()),
            KeyCode::Char('r') => self.decide(ReviewVerdict::Reject, ReviewReason::PersonalData, false, Vec::new()),
            KeyCode::Char('x') => self.begin_hiding(),
            KeyCode::Char('e') => self.next_reason(),
            KeyCode::Char('u') => self.undo(),
            KeyCode::Char('j') | KeyCode::Down => self.go_to((self.at + 1).min(self.items.len().saturating_sub(1))),
            KeyCode::Char('k') | KeyCode::Up => self.go_to(self.at.saturating_sub(1)),
            KeyCode::Char('g') | KeyCode::Home => self.go_to(0),
            KeyCode::Char('G') | KeyCode::End => self.go_to(self.items.len().saturating_sub(1)),
            KeyCode::Char(' ') | KeyCode::PageDown => self.scroll += PAGE,
            KeyCode::Char('b') | KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(PAGE),
            KeyCode::Char('?') => self.mode = Mode::Help,
            KeyCode::Char('s') if !self.decided.is_empty() => return Effect::Sign,
            KeyCode::Char('s') => self.message = "nothing is decided yet".into(),
            KeyCode::Char('q') | KeyCode::Esc => return self.leave(),
            _ => {}
        }
        Effect::Nothing
    }

    /// The text may stay: what was found is invented, or nothing was.
    fn approve(&mut self) {
        let found = self.item().is_some_and(|item| !item.spans.is_empty());
        let reason = if found { ReviewReason::Fictitious } else { ReviewReason::NoPersonalData };
        self.decide(ReviewVerdict::Approve, reason, false, Vec::new());
    }

    /// Decides on the item shown and goes to the next that is open. A reason that the policy does not take gives way to
    /// one that it does, unless it is what the key says.
    fn decide(&mut self, verdict: ReviewVerdict, reason: ReviewReason, exactly: bool, hidden: Vec<Finding>) {
        let taken = self.reasons(verdict);
        let instead = if exactly { None } else { taken.first().copied() };
        let Some(reason) = taken.contains(&reason).then_some(reason).or(instead) else {
            let (reason, verdict) = (reason_name(reason), verdict_name(verdict));
            self.message = format!("the policy does not take {reason} as a reason to {verdict}");
            return;
        };
        if self.item().is_none() {
            return;
        }
        self.decided.insert(self.at, Decided { verdict, reason, hidden });
        self.order.retain(|at| *at != self.at);
        self.order.push(self.at);
        let open = |at: &usize| !self.decided.contains_key(at);
        match (self.at + 1..self.items.len()).chain(0..self.at).find(open) {
            Some(next) => self.go_to(next),
            None => self.message = "all are decided: s signs, q signs and leaves, u takes the last one back".into(),
        }
    }

    /// The reasons that the policy takes with a verdict.
    fn reasons(&self, verdict: ReviewVerdict) -> Vec<ReviewReason> {
        let row = self.rules.reasons.iter().find(|row| row.verdict() == verdict);
        match row {
            Some(row) => row.reasons().collect(),
            None => (1..=5).filter_map(|number| ReviewReason::try_from(number).ok()).collect(),
        }
    }

    /// Gives the decision on the item shown the next reason.
    fn next_reason(&mut self) {
        let Some(verdict) = self.decided.get(&self.at).map(|decided| decided.verdict) else {
            self.message = "decide first: then e changes the reason".into();
            return;
        };
        let reasons = self.reasons(verdict);
        if let Some(decided) = self.decided.get_mut(&self.at) {
            let next = reasons.iter().position(|reason| *reason == decided.reason).map_or(0, |at| at + 1);
            decided.reason = reasons.get(next % reasons.len().max(1)).copied().unwrap_or(decided.reason);
        }
    }

    fn undo(&mut self) {
        match self.order.pop() {
            Some(last) => {
                self.decided.remove(&last);
                self.go_to(last);
            }
            None => self.message = "there is nothing to take back".into(),
        }
    }

    fn go_to(&mut self, at: usize) {
        (self.at, self.scroll) = (at, 0);
    }

    fn leave(&mut self) -> Effect {
        if self.decided.is_empty() {
            return Effect::Leave;
        }
        self.mode = Mode::Leaving;
        Effect::Nothing
    }

    fn confirm(&mut self, key: KeyCode) -> Effect {
        self.mode = Mode::Reading;
        match key {
            KeyCode::Char('y' | 's') | KeyCode::Enter => Effect::SignAndLeave,
            KeyCode::Char('d') => Effect::Leave,
            _ => Effect::Nothing,
        }
    }

    fn begin_hiding(&mut self) {
        let Some(item) = self.item() else { return };
        let before = self.decided.get(&self.at).filter(|decided| decided.verdict == ReviewVerdict::Redact);
        let hiding = Hiding::new(item, before.map(|decided| decided.hidden.as_slice()));
        self.mode = Mode::Hiding(hiding);
    }

    fn hide(&mut self, mut hiding: Hiding, key: KeyCode) -> Effect {
        let Some(item) = self.item() else { return Effect::Nothing };
        match key {
            KeyCode::Esc | KeyCode::Char('q') => self.mode = Mode::Reading,
            KeyCode::PageDown => self.scroll += PAGE,
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(PAGE),
            KeyCode::Enter => {
                let hidden = ascending(hiding.hidden(item));
                if hidden.is_empty() {
                    self.message = "nothing is hidden: space chooses what was found, w and m mark words".into();
                    return Effect::Nothing;
                }
                self.mode = Mode::Reading;
                self.decide(ReviewVerdict::Redact, ReviewReason::PersonalData, false, hidden);
            }
            key => {
                hiding.on_key(key, item);
                self.mode = Mode::Hiding(hiding);
            }
        }
        Effect::Nothing
    }
}

/// A verdict as people write it.
pub fn verdict_name(verdict: ReviewVerdict) -> String {
    plain(verdict.as_str_name(), "REVIEW_VERDICT_")
}

/// A reason as people write it.
pub fn reason_name(reason: ReviewReason) -> String {
    plain(reason.as_str_name(), "REVIEW_REASON_")
}
