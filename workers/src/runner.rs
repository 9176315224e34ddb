//! Running a worker: let it react until there is nothing to do, then wait for the log to grow.

use crate::{Context, WorkerError};
use attestune_proto::v1::Kind;
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

/// How long a wait for new entries lasts before the flag to stop is looked at.
const WAIT: Duration = Duration::from_millis(250);
/// Leases run out without a new entry: so often is looked for those.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The part of an act that stands for the whole: work that failed rests under this name.
const FAILED: &str = "failed";

/// What a reaction came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Something was appended; there may be more to do.
    Done,
    /// There is nothing to do.
    Idle,
}

/// Reacts to the state by appending.
pub trait Worker {
    /// Its name, for messages.
    fn name(&self) -> &'static str;

    /// The version under which it shares its batches with others of its kind, if it does.
    fn shares(&self) -> Option<&str> {
        None
    }

    /// Does some of what waits for it. What to do is read from the state.
    ///
    /// # Errors
    /// If something can't be done that another time may.
    fn react(&mut self, context: &Context) -> Result<Progress, WorkerError>;
}

/// Runs a worker on this thread until `stop` is set.
///
/// # Errors
/// If the replica has stopped.
pub fn run(mut worker: Box<dyn Worker + Send>, context: &Context, stop: &Arc<AtomicBool>) -> Result<(), WorkerError> {
    let context = context.stopped_by(stop);
    let mut looked: Option<(u64, Instant)> = None;
    while !context.stopping() {
        if let Some(why) = context.replica().failure() {
            return Err(WorkerError::Stopped(why));
        }
        let changed = context.share().hear();
        let position = context.replica().position();
        let soon = || context.anything_rests() || context.share().is_restless();
        let due =
            looked.is_none_or(|(at, when)| at < position || when.elapsed() >= if soon() { WAIT } else { LOOK_EVERY });
        if due || changed {
            looked = Some((position, Instant::now()));
            match worker.react(&context) {
                Ok(Progress::Done) => continue,
                Ok(Progress::Idle) => {}
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => tracing::warn!(worker = worker.name(), %error, "could not work; it is tried again"),
            }
        }
        context.replica().wait_past(position, WAIT);
    }
    Ok(())
}

/// Works through items, each by itself: one that fails is left for later, and the others go on.
pub(crate) fn each<T>(
    context: &Context,
    kind: Kind,
    items: Vec<T>,
    cause: impl Fn(&T) -> u64,
    mut work: impl FnMut(T) -> Result<Progress, WorkerError>,
) -> Result<Progress, WorkerError> {
    let mut progress = Progress::Idle;
    for item in items {
        let cause = cause(&item);
        if context.stopping() || context.rests(cause, kind, FAILED) {
            continue;
        }
        match work(item) {
            Ok(Progress::Done) => progress = Progress::Done,
            Ok(Progress::Idle) => {}
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                tracing::warn!(cause, kind = kind.as_str_name(), %error, "left for later");
                leave(context, kind, cause);
            }
        }
    }
    Ok(progress)
}

/// Leaves work for half a minute: to begin it again at once would come to the same.
pub(crate) fn leave(context: &Context, kind: Kind, cause: u64) {
    context.rest(cause, kind, FAILED, 5);
}
