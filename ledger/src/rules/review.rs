//! Review: assignments, decisions, reopening.

use super::{Act, check, data, eligibility};
use crate::refusal::Refusal;
use crate::state::{Assignments, Effects, ErasedExamples, Reviews, View};
use attestune_proto::v1::{
    AssignmentRow, BatchReview, ExamplesReviewed, ReviewAssigned, ReviewReason, ReviewReopened, ReviewRow,
    ReviewVerdict,
};

/// Who shall look at which examples, and by when.
pub fn assign(view: &View<'_>, act: &Act<'_>, body: &ReviewAssigned) -> Result<Effects, Refusal> {
    check::batch_len("indices", body.indices.len())?;
    check::ascending("indices", body.indices.iter())?;
    super::keys::known_actor(view, &body.reviewer)?;
    let batch = data::examples(view, body.batch)?;
    for index in &body.indices {
        check::inside(*index, batch.count)?;
    }
    not_its_maker(&body.reviewer, &batch)?;
    let row = AssignmentRow {
        signer: Some(act.signer()),
        reviewer: body.reviewer.clone(),
        indices: body.indices.clone(),
        due_ms: body.due_ms,
    };
    Ok(Effects::none().and(&Assignments::key(body.batch, act.position), &row))
}

/// Decisions, one signature for many.
///
/// Refusals, in this order: malformed, no such batch, the reviewer made it, an index outside, erased, decided before.
pub fn decide(view: &View<'_>, act: &Act<'_>, body: &ExamplesReviewed) -> Result<Effects, Refusal> {
    check::batch_len("decisions", body.batches.iter().map(|b| b.decisions.len()).sum())?;
    check::ascending("batches", body.batches.iter().map(|b| b.batch))?;
    let mut effects = Effects::none();
    for review in &body.batches {
        well_formed(review)?;
        let batch = data::examples(view, review.batch)?;
        not_its_maker(&act.event.actor, &batch)?;
        let before = view.scan(&Reviews::under(review.batch));
        let erased = view.get(&ErasedExamples::key(review.batch)).unwrap_or_default().erased;
        for decision in &review.decisions {
            check::inside(decision.index, batch.count)?;
            // What is erased gets no redaction, which would be text of the person again.
            if data::bit(&erased, decision.index) {
                return Err(Refusal::ContentErased { batch: review.batch, index: decision.index });
            }
            if eligibility::latest(&before, decision.index).is_some() {
                return Err(Refusal::ReviewedBefore { batch: review.batch, index: decision.index });
            }
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

/// Sets decisions aside: the examples await review again.
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
        let Some(place) = reviews.iter().rposition(decided) else {
            return Err(Refusal::NotReviewed { batch: body.batch, index: *index });
        };
        reviews[place].reopened.push(*index);
        touched.push(place);
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

fn well_formed(review: &BatchReview) -> Result<(), Refusal> {
    check::batch_len("decisions", review.decisions.len())?;
    check::ascending("decisions", review.decisions.iter().map(|d| d.index))?;
    let mut redactions = 0;
    for decision in &review.decisions {
        check::known::<ReviewReason>("reason", decision.reason)?;
        match check::known::<ReviewVerdict>("verdict", decision.verdict)? {
            ReviewVerdict::Redact => {
                check::digest("redacted", &decision.redacted)?;
                redactions += 1;
            }
            _ if !decision.redacted.is_empty() => {
                return Err(Refusal::BadField { field: "redacted", rule: "is for redactions only" });
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

fn not_its_maker(actor: &str, batch: &attestune_proto::v1::ExamplesRow) -> Result<(), Refusal> {
    if batch.actor == actor || batch.ingested_by == actor {
        return Err(Refusal::ReviewerMadeIt { actor: actor.into(), batch: batch.position });
    }
    Ok(())
}
