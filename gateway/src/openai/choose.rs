//! Which version answers: what the log says is in force when the request comes, or a version by its number for a role
//! that may.

use super::Serving;
use super::error::ApiError;
use super::versions::{InFlight, Unready};
use crate::access::Caller;
use crate::convert::query_failed;
use attestune_ledger::draft::plain;
use attestune_ledger::rules::policy;
use attestune_ledger::state::{Experiments, Models, Versions, View};
use attestune_proto::v1::{ModelRow, RollbackReason, Stage, VersionRow, event::Body};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The version that answers a request, and the position that says so.
pub struct Chosen {
    pub version: InFlight,
    /// The newest entry that was folded when it was chosen.
    pub as_of: u64,
}

impl Serving {
    /// Chooses by what is folded now; blocks while the version is loaded.
    ///
    /// # Errors
    /// If there is no such model or version for this caller, it is halted, or not ready.
    pub(super) fn choose(&self, caller: &Caller, name: &str, user: Option<&str>) -> Result<Chosen, ApiError> {
        let store = self.replica.view();
        let view = store.view();
        let (model, number) = parse(name)?;
        let row = view.get(&Models::key(model)).ok_or_else(|| unread_or(&view, || no_model(name)))?;
        if let Some(at) = row.halted_at {
            return Err(halted(&view, model, at));
        }
        let number = match number {
            Some(number) => by_number(&view, caller, model, number)?,
            None => self.in_force(&view, &row, user)?,
        };
        unfailed(&view)?;
        let version = self.versions.ready(model, number).map_err(not_ready)?;
        Ok(Chosen { version: version.begin(), as_of: view.size().saturating_sub(1) })
    }

    fn in_force(&self, view: &View<'_>, row: &ModelRow, user: Option<&str>) -> Result<u32, ApiError> {
        if row.in_force == 0 {
            return Err(ApiError::no_model(format!("no version of {} is in force", row.model)));
        }
        match (row.experiment, user) {
            (Some(position), Some(user)) if self.is_challengers(view, position, user)? => Ok(row.challenger),
            _ => Ok(row.in_force),
        }
    }

    /// Whether a user is one of those who get an experiment's second arm; always the same for the same user.
    fn is_challengers(&self, view: &View<'_>, experiment: u64, user: &str) -> Result<bool, ApiError> {
        let started = view.get(&Experiments::key(experiment)).and_then(|row| row.started).unwrap_or_default();
        let key = key_of(&self.assignment_keys, experiment, || {
            let sealed = started.assignment_key.unwrap_or_default();
            let opened = self.runtime.block_on(self.vault.open_one(&sealed.pack, &sealed.commitment));
            opened.map_err(|error| ApiError::unavailable("unavailable", format!("the experiment's key: {error}")))
        })?;
        Ok(share_of(&key, user) < started.share_ppm)
    }
}

/// An experiment's key, which is fetched once. Nobody else waits meanwhile, as a vault may be slow.
fn key_of(
    keys: &Mutex<HashMap<u64, Vec<u8>>>,
    experiment: u64,
    fetch: impl FnOnce() -> Result<Vec<u8>, ApiError>,
) -> Result<Vec<u8>, ApiError> {
    let keys = || keys.lock().unwrap_or_else(PoisonError::into_inner);
    let known = keys().get(&experiment).cloned();
    if let Some(key) = known {
        return Ok(key);
    }
    let key = fetch()?;
    keys().insert(experiment, key.clone());
    Ok(key)
}

/// A user's place among all, 0 to 999,999: the first 8 bytes of HMAC-SHA256(key, user), times a million over 2^64.
fn share_of(key: &[u8], user: &str) -> u32 {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(user.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&mac.finalize().into_bytes()[..8]);
    ((u128::from(u64::from_be_bytes(first)) * 1_000_000) >> 64) as u32
}

/// `support-triage`, or `support-triage@3`.
pub(super) fn parse(name: &str) -> Result<(&str, Option<u32>), ApiError> {
    match name.split_once('@') {
        None => Ok((name, None)),
        Some((model, number)) => match number.parse() {
            Ok(number) if number > 0 => Ok((model, Some(number))),
            _ => Err(no_model(name)),
        },
    }
}

/// A version by its number: for a role that may, and only where it is in staging or production.
fn by_number(view: &View<'_>, caller: &Caller, model: &str, number: u32) -> Result<u32, ApiError> {
    let may = policy::in_force(view).by_number.iter().any(|role| caller.actor.roles.contains(role));
    if !may {
        unfailed(view)?;
        let who = &caller.actor.actor;
        let message = format!("{who} holds no role that may ask for a version by its number; ask for `{model}`");
        return Err(ApiError {
            param: Some("model"),
            ..ApiError::new(http::StatusCode::FORBIDDEN, "forbidden", message)
        });
    }
    let name = || format!("{model}@{number}");
    let version = view.get(&Versions::key(model, number)).ok_or_else(|| unread_or(view, || no_model(&name())))?;
    if version.halted_at > 0 {
        return Err(halted(view, &name(), version.halted_at));
    }
    if !is_served(&version) {
        let stage = plain(version.stage().as_str_name(), "STAGE_");
        return Err(ApiError::no_model(format!("{} is in {stage}: only staging and production are served", name())));
    }
    Ok(number)
}

/// Whether a version may be served by its number.
pub(super) fn is_served(version: &VersionRow) -> bool {
    matches!(version.stage(), Stage::Staging | Stage::Production) && version.halted_at == 0
}

fn halted(view: &View<'_>, name: &str, at: u64) -> ApiError {
    let reason = match view.body(at) {
        Some(Body::ServingHalted(body)) => RollbackReason::try_from(body.reason).unwrap_or_default(),
        _ => RollbackReason::Unspecified,
    };
    let reason = plain(reason.as_str_name(), "ROLLBACK_REASON_");
    ApiError::unavailable("model_halted", format!("{name} was halted at position {at}: {reason}"))
}

fn not_ready(unready: Unready) -> ApiError {
    let message = unready.to_string();
    match unready {
        Unready::NotHere(_) => ApiError::unavailable("model_not_here", message),
        Unready::Unfit(_) => ApiError::unavailable("version_unfit", message).retry_after(30),
        Unready::Unread(_) => ApiError::unavailable("unavailable", message).retry_after(5),
    }
}

pub(super) fn no_model(name: &str) -> ApiError {
    ApiError::no_model(format!("the model `{name}` does not exist; see /v1/models"))
}

/// What was read from a view counts only if no read failed.
pub(super) fn unfailed(view: &View<'_>) -> Result<(), ApiError> {
    view.failure().map_or(Ok(()), |failure| Err(query_failed(failure.into()).into()))
}

fn unread_or(view: &View<'_>, absent: impl FnOnce() -> ApiError) -> ApiError {
    unfailed(view).err().unwrap_or_else(absent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_an_experiments_key_that_the_vault_is_slow_to_give() {
        let keys = Mutex::new(HashMap::from([(1, vec![1])]));
        let none = || -> Result<Vec<u8>, ApiError> { panic!("it is known") };
        let slow = || {
            assert!(keys.try_lock().is_ok(), "the keys are held up");
            assert_eq!(key_of(&keys, 1, none).ok(), Some(vec![1]));
            Ok(vec![2])
        };
        assert_eq!(key_of(&keys, 2, slow).ok(), Some(vec![2]));
        assert_eq!(key_of(&keys, 2, none).ok(), Some(vec![2]));
        assert!(key_of(&keys, 3, || Err(ApiError::no_model("gone"))).is_err());
        assert!(!keys.lock().unwrap().contains_key(&3), "what failed is fetched again");
    }

    #[test]
    fn a_users_share_is_the_first_bytes_of_the_mac_and_shares_are_even() {
        // RFC 4231, test case 2: HMAC-SHA256("Jefe", "what do ya want for nothing?") begins 5bdcc146bf60754e.
        let first = 0x5bdc_c146_bf60_754e_u64;
        let expected = (first as f64 / 2f64.powi(64) * 1e6) as u32;
        assert_eq!(share_of(b"Jefe", "what do ya want for nothing?"), expected);
        let below = (0..20_000).filter(|user| share_of(b"a key", &format!("user-{user}")) < 200_000).count();
        assert!((3_800..4_200).contains(&below), "{below} of 20000 are not about a fifth");
    }

    #[test]
    fn a_name_may_carry_a_version() {
        assert_eq!(parse("triage").unwrap(), ("triage", None));
        assert_eq!(parse("triage@3").unwrap(), ("triage", Some(3)));
        for bad in ["triage@", "triage@x", "triage@0", "triage@-1", "triage@1@2"] {
            assert_eq!(parse(bad).unwrap_err().status, 404, "{bad}");
        }
    }
}
