//! Standing by while another process publishes.

use super::tail::Tail;
use super::{PublishError, Shared};
use crate::log::kafka::KafkaError;
use std::time::{Duration, Instant};

/// How often it is looked whether what waits is published.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Waits until positions have waited longer than the patience and nobody has published any meanwhile. False where it
/// was told to stop before.
pub(super) fn until_nobody_publishes(shared: &Shared, fenced: &PublishError) -> bool {
    // So that of several the same one does not always lose, and they do not fence each other in step.
    let patience = shared.options.patience + Duration::from_millis(u64::from(std::process::id() % 1000));
    let (mut published, mut since) = (0, Instant::now());
    let mut tail = None;
    while !shared.stopping() {
        shared.rest(LOOK_EVERY);
        let size = shared.source.wait_past(published, Duration::ZERO);
        if size <= published {
            since = Instant::now();
            continue;
        }
        match published_by_now(shared, &mut tail) {
            // Brokers that can't be asked prove nothing.
            Err(_) => (tail, since) = (None, Instant::now()),
            Ok(now) if now != published || now >= size => {
                (published, since) = (now, Instant::now());
                shared.tell(published, Some(fenced));
            }
            Ok(_) if since.elapsed() >= patience => return true,
            Ok(_) => {}
        }
    }
    false
}

fn published_by_now(shared: &Shared, tail: &mut Option<Tail>) -> Result<u64, KafkaError> {
    let tail = match tail {
        Some(tail) => tail,
        None => tail.insert(Tail::open(&shared.config)?),
    };
    Ok(tail.read()?.last.map_or(0, |last| last.position + 1))
}
