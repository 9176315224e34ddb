//! Leases with fencing tokens, for runs and evaluations: the token is the claim's position.

use super::Act;
use crate::refusal::Refusal;
use attestune_proto::v1::{Lease, WorkStatus};

/// Takes a lease that is free, or has run out, or is the claimant's own under the same key: that renews it, under a
/// new token.
///
/// Refusals, in this order: the work has ended, the claim names another predecessor, somebody holds the lease.
pub fn claim(
    act: &Act<'_>,
    (status, ended_at): (i32, u64),
    lease: Option<&Lease>,
    previous: Option<u64>,
    lease_ms: u64,
) -> Result<Lease, Refusal> {
    not_ended(status, ended_at)?;
    let current = lease.map(token);
    if previous != current {
        return Err(Refusal::ClaimOutdated { current: current.unwrap_or(0) });
    }
    let signer = act.signer();
    let own = |l: &Lease| l.holder.as_ref().is_some_and(|h| (&h.actor, &h.keyid) == (&signer.actor, &signer.keyid));
    if let Some(lease) = lease
        && alive(act, lease)
        && !own(lease)
    {
        return Err(Refusal::LeaseHeld {
            holder: lease.holder.as_ref().map(|h| h.actor.clone()).unwrap_or_default(),
            expires_ms: lease.expires_ms,
            now_ms: act.time_ms,
        });
    }
    Ok(Lease { holder: Some(signer), expires_ms: act.time_ms.saturating_add(lease_ms) })
}

/// A report under a lease: the token is the current one, its holder reports, in time.
pub fn report(act: &Act<'_>, (status, ended_at): (i32, u64), lease: Option<&Lease>, named: u64) -> Result<(), Refusal> {
    not_ended(status, ended_at)?;
    let current = lease.map_or(0, token);
    let holder = lease.and_then(|l| l.holder.as_ref());
    if current == 0 || current != named || holder.is_none_or(|h| h.actor != act.event.actor) {
        return Err(Refusal::TokenOutdated { token: named, current });
    }
    match lease {
        Some(lease) if !alive(act, lease) => {
            Err(Refusal::LeaseExpired { expired_ms: lease.expires_ms, now_ms: act.time_ms })
        }
        _ => Ok(()),
    }
}

fn token(lease: &Lease) -> u64 {
    lease.holder.as_ref().map_or(0, |h| h.position)
}

/// Not run out, and not ended by a clock correction.
fn alive(act: &Act<'_>, lease: &Lease) -> bool {
    act.time_ms <= lease.expires_ms && token(lease) >= act.ledger.clock_corrected_at
}

fn not_ended(status: i32, ended_at: u64) -> Result<(), Refusal> {
    match WorkStatus::try_from(status) {
        Ok(WorkStatus::Open | WorkStatus::Claimed) => Ok(()),
        _ => Err(Refusal::Ended { at: ended_at }),
    }
}
