//! What waits for people, what they made of it, and how far they agree. Lateness is computed from the asker's clock.

mod agreement;
mod backlog;
mod queue;
mod report;

pub use backlog::ReviewBacklog;
pub use queue::{review_counts, review_place, review_queue};
pub use report::{judged, review_report};

use crate::rules::eligibility::{self, Example, Reviewed};
use crate::rules::{claims, coverage, policy};
use crate::state::{Assignments, Checks, CollectionBatches, Examples, Ledgers, Scans, View};
use attestune_proto::v1::{
    AssignmentRow, CheckRow, ExamplesRow, Policy, ReviewRules, ScanFindings, ScanRow, Signer, Tool, event::Body,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What all questions about review ask of a view.
struct Desk<'v> {
    view: &'v View<'v>,
    policy: Arc<Policy>,
    policy_version: u32,
    rules: ReviewRules,
    clock_corrected_at: u64,
    now_ms: u64,
}

impl<'v> Desk<'v> {
    fn new(view: &'v View<'v>, now_ms: u64) -> Self {
        let policy = policy::in_force(view);
        let ledger = view.get(&Ledgers::key()).unwrap_or_default();
        let (policy_version, clock_corrected_at) = (ledger.policy_version, ledger.clock_corrected_at);
        Self { view, rules: policy::review_rules(&policy), policy, policy_version, clock_corrected_at, now_ms }
    }

    /// The batches of a collection, or all, in order; each is read when it is asked for.
    fn batches(&self, collection: &str) -> impl Iterator<Item = Batch> + '_ {
        let rows: Vec<ExamplesRow> = if collection.is_empty() {
            self.view.scan(&Examples::all())
        } else {
            let positions = self.view.scan(&CollectionBatches::under(collection));
            positions.iter().filter_map(|p| self.view.get(&Examples::key(p.position))).collect()
        };
        rows.into_iter().map(|row| self.batch(row))
    }

    fn batch(&self, row: ExamplesRow) -> Batch {
        let (view, policy, position) = (self.view, &self.policy, row.position);
        Batch {
            examples: eligibility::batch(view, view, policy, &row),
            counting: Reviewed::counting(view, view, policy, position),
            all: Reviewed::all(view, policy, position),
            assignments: view.scan(&Assignments::under(position)),
            ready_ms: self.ready_ms(position),
            row,
        }
    }

    /// When the last scan or check that the policy asks for came; 0 if none has.
    fn ready_ms(&self, batch: u64) -> u64 {
        let scan = |tool: &Tool| -> Option<ScanRow> { self.view.get(&Scans::key(batch, &tool.name, &tool.version)) };
        let check = |tool: &Tool| -> Option<CheckRow> { self.view.get(&Checks::key(batch, &tool.name, &tool.version)) };
        let scans = self.policy.detectors.iter().filter_map(scan).filter_map(|row| row.signer);
        let checks = self.policy.checkers.iter().filter_map(check).filter_map(|row| row.signer);
        let last = scans.chain(checks).map(|signer: Signer| signer.position).max();
        last.and_then(|position| self.view.fold_time(position)).unwrap_or(0)
    }

    fn held<'b>(&self, batch: &'b Batch, index: u32) -> claims::Held<'b> {
        claims::held(&batch.assignments, index, self.now_ms, self.clock_corrected_at)
    }

    /// By when an example of a batch is due: as it is assigned, else as the policy has it; 0 for never.
    fn due_ms(&self, batch: &Batch, held: &claims::Held<'_>) -> u64 {
        match held.assigned.map_or(0, |row| row.due_ms) {
            0 => self.free_due_ms(batch.ready_ms),
            assigned => assigned,
        }
    }

    /// By when an example is due that is not assigned by a time of its own; 0 for never.
    fn free_due_ms(&self, ready_ms: u64) -> u64 {
        if self.rules.due_ms == 0 { 0 } else { ready_ms.saturating_add(self.rules.due_ms) }
    }

    /// What each scan of a batch found, by index.
    fn scans(&self, batch: u64) -> BTreeMap<u32, Vec<ScanFindings>> {
        let mut found: BTreeMap<u32, Vec<ScanFindings>> = BTreeMap::new();
        for scan in self.view.scan(&Scans::under(batch)) {
            let position = scan.signer.map_or(0, |s| s.position);
            let Some(Body::ExamplesScanned(body)) = self.view.body(position) else { continue };
            for example in &body.findings {
                let noted: BTreeSet<&String> = example
                    .spans
                    .iter()
                    .filter(|span| !coverage::flags(&body, span))
                    .map(|span| &span.entity)
                    .collect();
                let of = ScanFindings {
                    detector: body.detector.clone(),
                    spans: example.spans.clone(),
                    noted: noted.into_iter().cloned().collect(),
                };
                found.entry(example.index).or_default().push(of);
            }
        }
        found
    }
}

/// A batch with all that people have to do with it.
struct Batch {
    row: ExamplesRow,
    examples: Vec<Example>,
    /// Decisions that count.
    counting: Reviewed,
    /// All decisions.
    all: Reviewed,
    assignments: Vec<AssignmentRow>,
    ready_ms: u64,
}

/// The actor of a signature.
fn actor(signer: Option<&Signer>) -> &str {
    signer.map_or("", |s| s.actor.as_str())
}
