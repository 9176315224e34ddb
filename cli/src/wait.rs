//! Waiting for workers: those of a running `up`, or of this process.

use crate::{local::Working, problem, session::Session};
use attestune_trainer::device::Device;
use indicatif::{ProgressBar, ProgressStyle};
use std::{future::Future, io::IsTerminal as _, time::Duration};

/// How far the work is.
pub struct Progress {
    /// Parts done.
    pub done: u64,
    /// Parts in all; 0 if that is not known.
    pub total: u64,
    /// What is being done.
    pub note: String,
    /// Whether there is nothing left to wait for.
    pub finished: bool,
}

/// Asks `look` again and again until the work is finished; runs the workers meanwhile if nobody else does.
///
/// # Errors
/// Those of `look`, and a worker's failure.
pub async fn wait<F, Fut>(session: &Session, what: &str, mut look: F) -> anyhow::Result<()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<Progress>>,
{
    let mut working: Option<Working> = match session.local() {
        Some(local) => Some(local.work(&Device::CPU)?),
        None => None,
    };
    let bar = bar(what);
    loop {
        let progress = look().await?;
        if progress.total > 0 {
            bar.set_length(progress.total);
        }
        bar.set_position(progress.done);
        bar.set_message(progress.note);
        if progress.finished {
            break;
        }
        if let Some(failure) = working.as_mut().and_then(Working::failure) {
            bar.abandon();
            return Err(problem::cannot(
                format!("a worker stopped: {failure}"),
                "see `attestune doctor`; more is told with ATTESTUNE_LOG=info",
            ));
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    bar.finish_and_clear();
    if let Some(working) = working {
        working.stop().await;
    }
    Ok(())
}

/// A progress bar on stderr, hidden where that is no terminal.
pub fn bar(what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
