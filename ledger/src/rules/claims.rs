//! Who has an example that waits for review: a claim, which ends by itself, or an assignment until it is late.

use super::eligibility::{Reviewed, Standing};
use super::{Act, check, policy};
use crate::refusal::Refusal;
use crate::state::{Actors, Assignments, View};
use attestune_proto::v1::{AssignmentRow, Kind, Policy, ReviewAssigned, ReviewRow};

/// Who has an example at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Held<'r> {
    /// The newest assignment, late or not.
    pub assigned: Option<&'r AssignmentRow>,
    /// The newest claim, if it still keeps others away: one made before the newest assignment does not.
    pub claimed: Option<&'r AssignmentRow>,
}

/// Who has an example, of the assignments and claims on its batch in order. Claims from before a clock correction have
/// ended.
pub fn held(rows: &[AssignmentRow], index: u32, now_ms: u64, clock_corrected_at: u64) -> Held<'_> {
    let mut held = Held::default();
    for row in rows.iter().filter(|row| row.indices.binary_search(&index).is_ok()) {
        let position = row.signer.as_ref().map_or(0, |s| s.position);
        if row.expires_ms == 0 {
            held = Held { assigned: Some(row), claimed: None };
        } else if now_ms <= row.expires_ms && position >= clock_corrected_at {
            held.claimed = Some(row);
        }
    }
    held
}

/// Whether what is assigned is late.
pub fn late(assigned: &AssignmentRow, now_ms: u64) -> bool {
    assigned.due_ms != 0 && now_ms > assigned.due_ms
}

/// Whether an actor may decide on an example. What was decided counts here whoever signed it: it must be set aside first.
///
/// Refusals, in this order: it is decided, the actor decided on it before.
pub fn open_to(reviewed: &Reviewed, batch: u64, index: u32, actor: &str) -> Result<(), Refusal> {
    if let Standing::Decided(..) = reviewed.standing(index) {
        return Err(Refusal::ReviewedBefore { batch, index });
    }
    let signed = |review: &ReviewRow| review.signer.as_ref().is_some_and(|s| s.actor == actor);
    if reviewed.given(index).iter().any(|(_, review)| signed(review)) {
        return Err(Refusal::AnotherReviewerNeeded { actor: actor.into(), batch, index });
    }
    Ok(())
}

/// Whether the actor may claim all these.
///
/// Refusals, in this order: it is for another; of each example: decided, decided on by the actor, claimed by another,
/// assigned to another and not late.
pub fn claimable(view: &View<'_>, act: &Act<'_>, body: &ReviewAssigned) -> Result<(), Refusal> {
    let actor = &act.event.actor;
    if body.reviewer != *actor {
        return Err(Refusal::BadField { field: "reviewer", rule: "must be who claims" });
    }
    let reviewed = Reviewed::all(view, &act.policy, body.batch);
    let rows = view.scan(&Assignments::under(body.batch));
    for index in &body.indices {
        open_to(&reviewed, body.batch, *index, actor)?;
        let held = held(&rows, *index, act.time_ms, act.ledger.clock_corrected_at);
        if let Some(claim) = held.claimed.filter(|claim| claim.reviewer != *actor) {
            return Err(Refusal::LeaseHeld {
                holder: claim.reviewer.clone(),
                expires_ms: claim.expires_ms,
                now_ms: act.time_ms,
            });
        }
        let other = held.assigned.filter(|row| row.reviewer != *actor && !late(row, act.time_ms));
        if let Some(row) = other.filter(|row| may_review(view, &act.policy, &row.reviewer)) {
            return Err(Refusal::AssignedToAnother {
                reviewer: row.reviewer.clone(),
                batch: body.batch,
                index: *index,
                due_ms: row.due_ms,
            });
        }
    }
    Ok(())
}

/// Whether somebody holds a role that may review.
pub fn may_review(view: &View<'_>, policy: &Policy, actor: &str) -> bool {
    view.get(&Actors::key(actor)).is_some_and(|row| check::may(policy, &row, Kind::ExamplesReviewed))
}

/// The fold's time after which a claim made now has ended.
pub fn expires_ms(act: &Act<'_>) -> u64 {
    act.time_ms.saturating_add(policy::claim_ms(&act.policy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestune_proto::v1::Signer;

    fn row(position: u64, reviewer: &str, due_ms: u64, expires_ms: u64) -> AssignmentRow {
        let signer = Signer { position, ..Default::default() };
        AssignmentRow { signer: Some(signer), reviewer: reviewer.into(), indices: vec![1, 4], due_ms, expires_ms }
    }

    fn who(rows: &[AssignmentRow], now_ms: u64) -> (Option<&str>, Option<&str>) {
        let held = held(rows, 4, now_ms, 0);
        (held.assigned.map(|r| r.reviewer.as_str()), held.claimed.map(|r| r.reviewer.as_str()))
    }

    #[test]
    fn a_claim_ends_by_itself_and_the_assignment_before_it_holds_again() {
        let rows = [row(5, "rita", 500, 0), row(6, "rolf", 0, 900)];
        assert_eq!(who(&rows, 900), (Some("rita"), Some("rolf")));
        assert_eq!(who(&rows, 901), (Some("rita"), None));
        assert_eq!(held(&rows, 2, 900, 0), Held::default(), "another example");
        assert!(late(&rows[0], 501) && !late(&rows[0], 500) && !late(&row(5, "rita", 0, 0), u64::MAX));
    }

    #[test]
    fn a_new_assignment_ends_an_older_claim_as_a_clock_correction_does() {
        let rows = [row(6, "rolf", 0, 900), row(7, "rita", 500, 0)];
        assert_eq!(who(&rows, 100), (Some("rita"), None));
        assert_eq!(held(&rows[..1], 4, 100, 6).claimed, Some(&rows[0]));
        assert_eq!(held(&rows[..1], 4, 100, 7).claimed, None);
    }
}
