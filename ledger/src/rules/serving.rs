//! What servers say they serve, held against what was decided. A difference is no refusal: it is a fact, and stays.

use super::{Act, check};
use crate::refusal::Refusal;
use crate::state::{Bases, Effects, Models, ServedReferences, ServingChanges, Servings, Versions, View};
use attestune_proto::v1::{
    ModelRow, ServedReferenceRow, ServingConfirmed, ServingOccasion, ServingPart, ServingRow, VersionRow,
};

/// A server's word on what it serves.
///
/// Refusals, in this order: malformed, no such model, as of a position that is not before the event, older than the
/// server's last word.
pub fn confirm(view: &View<'_>, act: &Act<'_>, body: &ServingConfirmed) -> Result<Effects, Refusal> {
    well_formed(body)?;
    if view.get(&Models::key(&body.model)).is_none() {
        return Err(Refusal::UnknownModel { model: body.model.clone() });
    }
    if body.as_of >= act.position {
        return Err(Refusal::ServedAhead { as_of: body.as_of });
    }
    let name = Servings::key(&body.model, &act.event.actor, &body.server);
    let before = view.get(&name);
    let last = before.as_ref().and_then(|row| row.confirmed.as_ref());
    if let Some(last) = last
        && last.as_of > body.as_of
    {
        return Err(Refusal::ServedBefore { as_of: body.as_of, last: last.as_of });
    }
    let mut effects = Effects::none();
    let differs: Vec<i32> = differences(view, act, body, &mut effects).into_iter().map(|part| part as i32).collect();
    let same = last.is_some_and(|last| last.version == body.version && last.challenger == body.challenger)
        && body.occasion() == ServingOccasion::Heartbeat;
    let news = !same || before.as_ref().is_none_or(|before| before.differs != differs);
    let changed_at = before.filter(|_| same).map_or(act.position, |before| before.changed_at);
    let row = ServingRow { signer: Some(act.signer()), confirmed: Some(body.clone()), changed_at, differs };
    effects.put(&name, &row);
    if news {
        effects.put(&ServingChanges::key(&body.model, act.position), &row);
    }
    Ok(effects)
}

fn well_formed(body: &ServingConfirmed) -> Result<(), Refusal> {
    check::id("server", &body.server)?;
    check::id("model", &body.model)?;
    check::known::<ServingOccasion>("occasion", body.occasion)?;
    let digests = [
        ("weights_digest", &body.weights_digest),
        ("adapter_digest", &body.adapter_digest),
        ("tokenizer_digest", &body.tokenizer_digest),
        ("template_digest", &body.template_digest),
        ("decoding_digest", &body.decoding_digest),
        ("canary_digest", &body.canary_digest),
    ];
    for (field, digest) in digests {
        if body.version != 0 {
            check::digest(field, digest)?;
        } else if !digest.is_empty() {
            return Err(Refusal::BadField { field, rule: "is for a version that is served" });
        }
    }
    let Some(arm) = &body.challenger else { return Ok(()) };
    if body.version == 0 || arm.version == 0 {
        return Err(Refusal::BadField { field: "challenger", rule: "is served beside a version" });
    }
    check::digest("adapter_digest", &arm.adapter_digest)?;
    check::digest("canary_digest", &arm.canary_digest)
}

/// What is served against what was decided as of the position served, and against the record of the version. The first
/// word on a version becomes the reference of what no other event names.
fn differences(view: &View<'_>, act: &Act<'_>, body: &ServingConfirmed, effects: &mut Effects) -> Vec<ServingPart> {
    let then = view.as_of(body.as_of + 1);
    let decided = then.get(&Models::key(&body.model)).unwrap_or_default();
    view.absorb(&then);
    let mut differs = Vec::new();
    if decided.in_force != body.version && body.occasion() != ServingOccasion::Stopped {
        differs.push(ServingPart::Version);
    }
    if let Some(version) = view.get(&Versions::key(&body.model, body.version)) {
        differs.extend(of_version(view, act, body, &version, effects));
    }
    if !challenger_agrees(view, act, body, &decided, effects) {
        differs.push(ServingPart::Challenger);
    }
    differs
}

fn of_version(
    view: &View<'_>,
    act: &Act<'_>,
    body: &ServingConfirmed,
    version: &VersionRow,
    effects: &mut Effects,
) -> Vec<ServingPart> {
    let base = view.get(&Bases::key(version.base)).unwrap_or_default();
    let recorded = [
        (ServingPart::Weights, &base.weights_digest, &body.weights_digest),
        (ServingPart::Adapter, &version.adapter_digest, &body.adapter_digest),
        (ServingPart::Tokenizer, &base.tokenizer_digest, &body.tokenizer_digest),
    ];
    let mut differs = unlike(recorded);
    let reference = reference(view, act, body, version.version, &body.canary_digest);
    let said = [
        (ServingPart::Template, &reference.template_digest, &body.template_digest),
        (ServingPart::Decoding, &reference.decoding_digest, &body.decoding_digest),
        (ServingPart::Canary, &reference.canary_digest, &body.canary_digest),
    ];
    // What is not the version that it says it is sets no measure for it.
    if reference.position == act.position && differs.is_empty() {
        effects.put(&ServedReferences::key(&body.model, version.version), &reference);
    }
    differs.extend(unlike(said));
    differs
}

/// The second arm is served while an experiment runs, and only then.
fn challenger_agrees(
    view: &View<'_>,
    act: &Act<'_>,
    body: &ServingConfirmed,
    decided: &ModelRow,
    effects: &mut Effects,
) -> bool {
    let expected = decided.experiment.map(|_| decided.challenger);
    if expected != body.challenger.as_ref().map(|arm| arm.version) {
        return body.occasion() == ServingOccasion::Stopped;
    }
    let Some(arm) = &body.challenger else { return true };
    let version = view.get(&Versions::key(&body.model, arm.version)).unwrap_or_default();
    let reference = reference(view, act, body, arm.version, &arm.canary_digest);
    let agrees = version.adapter_digest == arm.adapter_digest && reference.canary_digest == arm.canary_digest;
    if reference.position == act.position && agrees {
        effects.put(&ServedReferences::key(&body.model, arm.version), &reference);
    }
    agrees
}

/// What was said first of a version; if this is the first word, this.
fn reference(
    view: &View<'_>,
    act: &Act<'_>,
    body: &ServingConfirmed,
    version: u32,
    canary: &[u8],
) -> ServedReferenceRow {
    view.get(&ServedReferences::key(&body.model, version)).unwrap_or_else(|| ServedReferenceRow {
        position: act.position,
        template_digest: body.template_digest.clone(),
        decoding_digest: body.decoding_digest.clone(),
        canary_digest: canary.to_vec(),
    })
}

fn unlike(pairs: [(ServingPart, &Vec<u8>, &Vec<u8>); 3]) -> Vec<ServingPart> {
    pairs.into_iter().filter(|(_, recorded, said)| recorded != said).map(|(part, ..)| part).collect()
}
