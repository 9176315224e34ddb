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
    let mut failing = false;
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
                Err(error) if error.is_fatal() => return Err(error),
                reaction => {
                    tell(worker.name(), &mut failing, reaction.as_ref().err());
                    if reaction.is_ok_and(|progress| progress == Progress::Done) {
                        continue;
                    }
                }
            }
        }
        context.replica().wait_past(position, WAIT);
    }
    Ok(())
}

/// Says how a reaction went, where that is news: the first failure of a row, and when the row is over. What fails all night
/// would fill the worker's log else.
fn tell(worker: &str, failing: &mut bool, error: Option<&WorkerError>) {
    match (std::mem::replace(failing, error.is_some()), error) {
        (false, None) => {}
        (false, Some(error)) => {
            tracing::warn!(worker, %error, "could not work; it is tried again, and told at level debug until it works");
        }
        (true, Some(error)) => tracing::debug!(worker, %error, "could not work yet; it is tried again"),
        (true, None) => tracing::info!(worker, "works again"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tracing::{Event, Level, Metadata, Subscriber, span};

    /// Keeps the levels of what is said.
    struct Levels(Arc<Mutex<Vec<Level>>>);

    impl Subscriber for Levels {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn a_row_of_failures_is_told_once_and_so_is_its_end() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let error = WorkerError::Content { what: "window", position: 7, why: "it is none".into() };
        let mut failing = false;
        tracing::subscriber::with_default(Levels(told.clone()), || {
            for works in [true, false, false, false, true, true, false] {
                tell("monitor", &mut failing, (!works).then_some(&error));
            }
        });
        assert_eq!(*told.lock().unwrap(), [Level::WARN, Level::DEBUG, Level::DEBUG, Level::INFO, Level::WARN]);
    }
}
