//! Review: assignments and claims, decisions, reopening.

use super::{Act, check, claims, data, eligibility, policy};
use crate::draft::plain;
use crate::refusal::Refusal;
use crate::state::{Assignments, Effects, ErasedExamples, Reviews, View};
use attestune_proto::v1::{
    AssignmentRow, BatchReview, Decision, ExamplesReviewed, ReviewAssigned, ReviewReason, ReviewReopened, ReviewRow,
    ReviewVerdict,
};

/// Most spans that one decision may hide.
const HIDDEN_MAX: usize = 512;

/// Who shall look at which examples, and by when; or who takes them, for the policy's time.
pub fn assign(view: &View<'_>, act: &Act<'_>, body: &ReviewAssigned) -> Result<Effects, Refusal> {
    check::batch_len("indices", body.indices.len())?;
    check::ascending("indices", body.indices.iter())?;
    super::keys::known_actor(view, &body.reviewer)?;
    let batch = data::examples(view, body.batch)?;
    for index in &body.indices {
        check::inside(*index, batch.count)?;
    }
    not_its_maker(&body.reviewer, &batch)?;
    let mut expires_ms = 0;
    if body.claim {
        claims::claimable(view, act, body)?;
        expires_ms = claims::expires_ms(act);
    }
    let row = AssignmentRow {
        signer: Some(act.signer()),
        reviewer: body.reviewer.clone(),
        indices: body.indices.clone(),
        due_ms: body.due_ms,
        expires_ms,
    };
    Ok(Effects::none().and(&Assignments::key(body.batch, act.position), &row))
}

/// Decisions, one signature for many.
///
/// Refusals, in this order: malformed, no such batch, the reviewer made it, an index outside, erased, a reason that the
/// policy does not take, decided before, decided on by the same person before.
pub fn decide(view: &View<'_>, act: &Act<'_>, body: &ExamplesReviewed) -> Result<Effects, Refusal> {
    check::batch_len("decisions", body.batches.iter().map(|b| b.decisions.len()).sum())?;
    check::ascending("batches", body.batches.iter().map(|b| b.batch))?;
    let mut effects = Effects::none();
    for review in &body.batches {
        well_formed(review)?;
        let batch = data::examples(view, review.batch)?;
        not_its_maker(&act.event.actor, &batch)?;
        let before = eligibility::Reviewed::all(view, &act.policy, review.batch);
        let erased = view.get(&ErasedExamples::key(review.batch)).unwrap_or_default().erased;
        for decision in &review.decisions {
            check::inside(decision.index, batch.count)?;
            // What is erased gets no redaction, which would be text of the person again.
            if data::bit(&erased, decision.index) {
                return Err(Refusal::ContentErased { batch: review.batch, index: decision.index });
            }
            takes_reason(act, decision)?;
            claims::open_to(&before, review.batch, decision.index, &act.event.actor)?;
        }
        let row = ReviewRow {
            signer: Some(act.signer()),
            decisions: review.decisions.clone(),
            pack: review.pack.clone(),
            reopened: Vec::new(),
        };
        effects.put(&Reviews::key(review.batch, act.position), &row);
    }
    Ok(effects)
}

/// Sets decisions aside, all that stand on an example: it awaits review again.
pub fn reopen(view: &View<'_>, act: &Act<'_>, body: &ReviewReopened) -> Result<Effects, Refusal> {
    check::batch_len("indices", body.indices.len())?;
    check::ascending("indices", body.indices.iter())?;
    let batch = data::examples(view, body.batch)?;
    not_its_maker(&act.event.actor, &batch)?;
    let mut reviews = view.scan(&Reviews::under(body.batch));
    let mut touched: Vec<usize> = Vec::new();
    for index in &body.indices {
        check::inside(*index, batch.count)?;
        let decided = |r: &ReviewRow| !r.reopened.contains(index) && r.decisions.iter().any(|d| d.index == *index);
        let places: Vec<usize> = (0..reviews.len()).filter(|place| decided(&reviews[*place])).collect();
        if places.is_empty() {
            return Err(Refusal::NotReviewed { batch: body.batch, index: *index });
        }
        places.iter().for_each(|place| reviews[*place].reopened.push(*index));
        touched.extend(places);
    }
    touched.sort_unstable();
    touched.dedup();
    let mut effects = Effects::none();
    for review in touched.into_iter().map(|place| &reviews[place]) {
        let position = review.signer.as_ref().map_or(0, |s| s.position);
        effects.put(&Reviews::key(body.batch, position), review);
    }
    Ok(effects)
}

fn takes_reason(act: &Act<'_>, decision: &Decision) -> Result<(), Refusal> {
    if policy::takes_reason(&act.policy, decision.verdict, decision.reason) {
        return Ok(());
    }
    Err(Refusal::ReasonNotTaken {
        verdict: plain(decision.verdict().as_str_name(), "REVIEW_VERDICT_"),
        reason: plain(decision.reason().as_str_name(), "REVIEW_REASON_"),
    })
}

fn well_formed(review: &BatchReview) -> Result<(), Refusal> {
    check::batch_len("decisions", review.decisions.len())?;
    check::ascending("decisions", review.decisions.iter().map(|d| d.index))?;
    let mut redactions = 0;
    for decision in &review.decisions {
        check::known::<ReviewReason>("reason", decision.reason)?;
        match check::known::<ReviewVerdict>("verdict", decision.verdict)? {
            ReviewVerdict::Redact => {
                check::digest("redacted", &decision.redacted)?;
                hidden(decision)?;
                redactions += 1;
            }
            _ if !decision.redacted.is_empty() => {
                return Err(Refusal::BadField { field: "redacted", rule: "is for redactions only" });
            }
            _ if !decision.hidden.is_empty() => {
                return Err(Refusal::BadField { field: "hidden", rule: "is for redactions only" });
            }
            _ => {}
        }
    }
    if redactions > 0 {
        return check::pack(&review.pack);
    }
    if !review.pack.is_empty() {
        return Err(Refusal::BadField { field: "pack", rule: "is for redactions only" });
    }
    Ok(())
}

fn hidden(decision: &Decision) -> Result<(), Refusal> {
    if decision.hidden.len() > HIDDEN_MAX {
        return Err(Refusal::BadField { field: "hidden", rule: "may have 512 spans" });
    }
    decision.hidden.iter().try_for_each(|span| check::span("hidden", span))?;
    if decision.hidden.windows(2).any(|w| w[0].start > w[1].start) {
        return Err(Refusal::BadField { field: "hidden", rule: "must be in ascending order of start" });
    }
    Ok(())
}

fn not_its_maker(actor: &str, batch: &attestune_proto::v1::ExamplesRow) -> Result<(), Refusal> {
    if batch.actor == actor || batch.ingested_by == actor {
        return Err(Refusal::ReviewerMadeIt { actor: actor.into(), batch: batch.position });
    }
    Ok(())
}
