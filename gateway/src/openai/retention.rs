//! How long texts of requests and answers are kept: the vault erases them once the policy's time is over. Their windows on
//! the log stay, and still verify.

use super::Serving;
use attestune_ledger::rules::policy;
use attestune_ledger::state::{Holds, Models, View, Windows};
use attestune_ledger::vault::VaultError;
use attestune_proto::v1::event::Body;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often is looked for texts whose time is over.
const LOOK_EVERY: Duration = Duration::from_secs(600);

/// What was looked through already.
#[derive(Default)]
pub struct Retention {
    looked: Option<Instant>,
    /// The last window of each model whose texts are gone, by position.
    done: BTreeMap<String, u64>,
}

impl Retention {
    /// Erases what is due, if it is time to look. Whichever server of the ledger does it, it is done.
    pub fn look(&mut self, serving: &Serving) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        let store = serving.replica.view();
        let view = store.view();
        // A hold that names no collections covers these texts, too.
        let held =
            view.scan(&Holds::all()).iter().any(|hold| hold.released_at.is_none() && hold.collections.is_empty());
        let due_ms = super::now_ms().saturating_sub(policy::in_force(&view).request_retention_ms);
        if held {
            return;
        }
        for model in view.scan(&Models::all()) {
            if let Err(why) = self.expire(serving, &view, &model.model, due_ms) {
                tracing::warn!(
                    model = model.model,
                    why,
                    "texts whose time is over could not be erased; it is tried again"
                );
            }
        }
    }

    fn expire(&mut self, serving: &Serving, view: &View<'_>, model: &str, due_ms: u64) -> Result<(), String> {
        let done = self.done.get(model).copied();
        let windows =
            view.scan(&Windows::under(model)).into_iter().filter(|w| done.is_none_or(|done| w.position > done));
        for window in windows.take_while(|window| window.to_ms <= due_ms) {
            if let Some(Body::WindowObserved(body)) = view.body(window.position) {
                for pack in &body.packs {
                    serving.runtime.block_on(erase(serving, pack)).map_err(|error| error.to_string())?;
                }
            }
            self.done.insert(model.to_owned(), window.position);
        }
        view.failure().map_or(Ok(()), |failure| Err(failure.to_string()))
    }
}

async fn erase(serving: &Serving, pack: &[u8]) -> Result<(), VaultError> {
    match serving.vault.fingerprints(pack).await {
        // What is erased has no fingerprint any more.
        Ok(prints) if prints.is_empty() => return Ok(()),
        Ok(_) => {}
        Err(VaultError::Unknown { .. }) => return Ok(()),
        Err(error) => return Err(error),
    }
    let commitments = serving.vault.commitments(pack).await?;
    serving.vault.erase(pack, &commitments).await
}
