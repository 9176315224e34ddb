//! The worker that watches what is served: it reads the windows that servers put on the log, judges a sample of their
//! answers, compares their inputs with the frozen training set, and raises alerts past the policy's limits.
//!
//! What there is to read is state, and so is what was read: each reading goes on from the one before it on the log, so a
//! monitor may die at any moment. It decides nothing: what follows an alert is a person's to say.

mod alerts;
mod cusum;
mod drift;
mod judges;
mod reading;
mod texts;
mod training;

use crate::{BaseModels, Context, Outcome, Progress, Worker, WorkerError, runner::each};
use alerts::alerts;
use attestune_ledger::{
    query::QueryError,
    rules::policy,
    state::{Alerts, LatestAlerts, LatestWindows, Models, View, Windows},
};
use attestune_pii::Scanner;
use attestune_proto::v1::{AlertRaised, Kind, PositionRow, WindowObserved, event::Body};
use reading::Desk;
use std::collections::{BTreeMap, BTreeSet};
use training::References;

/// The name under which a reading says how it was made.
pub const MONITOR_NAME: &str = "attestune-monitor";
/// The version of how readings are made: it changes whenever some windows could give other figures than before.
pub const MONITOR_VERSION: &str = "1";

/// Windows of one reading, at most.
const WINDOWS_MAX: usize = 64;

/// Reads servers' windows, and raises alerts.
pub struct Monitor {
    models: BaseModels,
    scanner: Scanner,
    references: References,
    /// Windows that nobody had read when they were looked at, by model and version.
    unread: BTreeMap<(String, u32), BTreeSet<u64>>,
    /// Entries that were looked at.
    size: u64,
    /// The readings whose alerts were raised.
    alerted: BTreeMap<(String, u32), u64>,
}

impl Monitor {
    /// A monitor that finds base models there, for their tokenizers and token embeddings, and personal data in answers by
    /// this scanner.
    pub fn new(models: BaseModels, scanner: Scanner) -> Self {
        Self {
            models,
            scanner,
            references: References::default(),
            unread: BTreeMap::new(),
            size: 0,
            alerted: BTreeMap::new(),
        }
    }

    /// Takes in the windows that came since.
    fn look(&mut self, context: &Context) -> Result<(), WorkerError> {
        let store = context.view();
        let view = store.view();
        for model in view.scan(&Models::all()) {
            let rows = store.rows_from(&Windows::under(model.model.as_str()), self.size).map_err(QueryError::from)?;
            for row in rows.into_iter().filter(|row| !row.server.is_empty()) {
                self.unread.entry((row.model, row.version)).or_default().insert(row.position);
            }
        }
        unfailed(&view)?;
        self.size = store.size();
        for ((model, _), positions) in &mut self.unread {
            positions.retain(|at| view.get(&Windows::key(model, *at)).is_some_and(|row| row.read_at == 0));
        }
        self.unread.retain(|_, positions| !positions.is_empty());
        unfailed(&view)
    }

    fn read(&mut self, context: &Context, model: &str, version: u32, at: &[u64]) -> Result<Progress, WorkerError> {
        let Some(first) = at.first() else { return Ok(Progress::Idle) };
        let store = context.view();
        let view = store.view();
        let windows: Vec<(u64, WindowObserved)> = at.iter().filter_map(|at| Some((*at, window(&view, *at)?))).collect();
        unfailed(&view)?;
        if windows.len() != at.len() {
            let why = "it is no window".into();
            return Err(WorkerError::Content { what: "window", position: *first, why });
        }
        let mut desk = Desk { context, models: &self.models, scanner: &self.scanner, references: &mut self.references };
        let reading = desk.read(model, version, &windows)?;
        let part = format!("read/{version}");
        Ok(match context.act(*first, &part, Body::WindowObserved(reading))? {
            Outcome::Accepted(_) => Progress::Done,
            Outcome::Before(_) | Outcome::Refused(_) | Outcome::Resting => Progress::Idle,
        })
    }

    /// Raises what the newest readings call for, of this monitor or of one that died before it could.
    fn alert(&mut self, context: &Context) -> Result<Progress, WorkerError> {
        let store = context.view();
        let view = store.view();
        let watch = policy::in_force(&view).watch.unwrap_or_default();
        let mut newest: BTreeMap<(String, u32), u64> = BTreeMap::new();
        for row in view.scan(&LatestWindows::all()).into_iter().filter(|row| row.server.is_empty()) {
            let position = newest.entry((row.model, row.version)).or_default();
            *position = row.position.max(*position);
        }
        newest.retain(|name, position| self.alerted.get(name) != Some(position));
        let mut progress = Progress::Idle;
        for (name, position) in newest {
            let reading = window(&view, position).unwrap_or_default();
            unfailed(&view)?;
            for alert in alerts(&reading, position, &watch).into_iter().filter(|alert| !is_open(&view, alert)) {
                let part = format!("{}/{}", alert.kind().as_str_name(), alert.subject);
                tracing::warn!(
                    model = alert.model,
                    version = alert.version,
                    kind = alert.kind().as_str_name(),
                    subject = alert.subject,
                    observed = alert.observed,
                    allowed = alert.allowed,
                    position,
                    "an alert is raised"
                );
                if let Outcome::Accepted(_) = context.act(position, &part, Body::AlertRaised(alert))? {
                    progress = Progress::Done;
                }
            }
            self.alerted.insert(name, position);
        }
        Ok(progress)
    }
}

impl Worker for Monitor {
    fn name(&self) -> &'static str {
        "monitor"
    }

    fn react(&mut self, context: &Context) -> Result<Progress, WorkerError> {
        // First what the last reading calls for: the next one goes on from it.
        let raised = self.alert(context)?;
        self.look(context)?;
        let due: Vec<((String, u32), Vec<u64>)> = self
            .unread
            .iter()
            .map(|(name, positions)| (name.clone(), positions.iter().copied().take(WINDOWS_MAX).collect()))
            .collect();
        let cause = |(_, positions): &((String, u32), Vec<u64>)| positions.first().copied().unwrap_or(0);
        let read = each(context, Kind::WindowObserved, due, cause, |((model, version), positions)| {
            self.read(context, &model, version, &positions)
        })?;
        Ok(if [raised, read].contains(&Progress::Done) { Progress::Done } else { Progress::Idle })
    }
}

/// What was read from a view counts only if no read failed.
fn unfailed(view: &View<'_>) -> Result<(), WorkerError> {
    view.failure().map_or(Ok(()), |failure| Err(QueryError::from(failure).into()))
}

fn window(view: &View<'_>, position: u64) -> Option<WindowObserved> {
    match view.body(position)? {
        Body::WindowObserved(body) => Some(body),
        _ => None,
    }
}

/// Whether the same waits for somebody already.
fn is_open(view: &View<'_>, alert: &AlertRaised) -> bool {
    let latest = LatestAlerts::key(&alert.model, alert.version, alert.kind.unsigned_abs(), &alert.subject);
    let row = view.get(&latest).and_then(|PositionRow { position }| view.get(&Alerts::key(position)));
    row.is_some_and(|row| row.acknowledged.is_none())
}
