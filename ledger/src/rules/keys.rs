//! Actors, their keys and roles.

use super::{Act, check};
use crate::envelope::{fit_key, keyid, possession_statement, verify_bytes};
use crate::refusal::Refusal;
use crate::state::{Actors, Effects, Keys, View};
use attestune_proto::v1::{
    ActorKind, ActorRow, KeyAlgorithm, KeyCustody, KeyRegistered, KeyRevoked, KeyRow, Kind, RevocationReason, Role,
    RoleGranted, RoleWithdrawn,
};

/// A key; the first of an actor names the actor, too.
///
/// Refusals, in this order: malformed, unfit or without possession, known, the actor is another person or kind, a
/// further key of one with a role not signed by its holder or two persons, no role for it.
pub fn register(view: &View<'_>, act: &Act<'_>, body: &KeyRegistered) -> Result<Effects, Refusal> {
    check::id("actor", &body.actor)?;
    check::printed_name(&body.printed_name)?;
    check::known::<ActorKind>("actor_kind", body.actor_kind)?;
    check::known::<KeyAlgorithm>("algorithm", body.algorithm)?;
    check::known::<KeyCustody>("custody", body.custody)?;
    let Some(key) = fit_key(&body.public_key) else {
        return Err(Refusal::KeyUnfit { what: "it is weak, has torsion, or is not an Ed25519 key" });
    };
    let statement = possession_statement(&act.ledger_id, &body.actor, &body.public_key);
    if !verify_bytes(&key, &statement, &body.possession) {
        return Err(Refusal::KeyUnfit { what: "its possession is not proven" });
    }
    let keyid = keyid(&body.public_key);
    if view.get(&Keys::key(&keyid)).is_some() {
        return Err(Refusal::KeyKnown { keyid });
    }
    let known = view.get(&Actors::key(&body.actor));
    if let Some(known) = &known {
        if known.printed_name != body.printed_name || known.kind != body.actor_kind {
            return Err(Refusal::ActorDiffers { actor: body.actor.clone() });
        }
        let by_holder = act.event.actor == body.actor;
        if !known.roles.is_empty() && !by_holder && act.keys.len() < 2 {
            return Err(Refusal::KeyNeedsHolder { actor: body.actor.clone() });
        }
    }
    if act.event.actor != body.actor && !check::may(&act.policy, &act.actor, Kind::KeyRegistered) {
        let needs = check::needs(&act.policy, Kind::KeyRegistered);
        return Err(Refusal::RoleMissing { actor: act.event.actor.clone(), needs });
    }
    for cosigner in act.keys.iter().filter(|k| k.actor != act.event.actor) {
        person_with_permission(view, act, &cosigner.actor, Kind::KeyRegistered)?;
    }
    let mut actor = known.unwrap_or_else(|| ActorRow {
        actor: body.actor.clone(),
        printed_name: body.printed_name.clone(),
        kind: body.actor_kind,
        position: act.position,
        ..Default::default()
    });
    actor.keyids.push(keyid.clone());
    let row = KeyRow {
        keyid: keyid.clone(),
        actor: body.actor.clone(),
        public_key: body.public_key.clone(),
        custody: body.custody,
        position: act.position,
        ..Default::default()
    };
    Ok(Effects::none().and(&Actors::key(&body.actor), &actor).and(&Keys::key(&keyid), &row))
}

/// A cosigner must be a person who may do the kind alone.
fn person_with_permission(view: &View<'_>, act: &Act<'_>, actor: &str, kind: Kind) -> Result<(), Refusal> {
    let row = view.get(&Actors::key(actor)).unwrap_or_default();
    if row.kind != ActorKind::Person as i32 || !check::may(&act.policy, &row, kind) {
        return Err(Refusal::RoleMissing { actor: actor.into(), needs: check::needs(&act.policy, kind) });
    }
    Ok(())
}

/// A key signs nothing more from here on.
pub fn revoke(view: &View<'_>, act: &Act<'_>, body: &KeyRevoked) -> Result<Effects, Refusal> {
    check::known::<RevocationReason>("reason", body.reason)?;
    let Some(key) = view.get(&Keys::key(&body.keyid)) else {
        return Err(Refusal::UnknownKeyNamed { keyid: body.keyid.chars().take(32).collect() });
    };
    if let Some(at) = key.revoked_at {
        return Err(Refusal::KeyRevoked { keyid: key.keyid, at });
    }
    if act.ledger.root_actors.contains(&key.actor) {
        let left = |actor: &String| {
            let row = view.get(&Actors::key(actor)).unwrap_or_default();
            row.keyids
                .iter()
                .any(|k| *k != key.keyid && view.get(&Keys::key(k)).is_some_and(|k| k.revoked_at.is_none()))
        };
        let left = act.ledger.root_actors.iter().filter(|a| left(a)).count() as u32;
        if left < act.ledger.threshold {
            return Err(Refusal::RootNeeded { threshold: act.ledger.threshold });
        }
    }
    let name = Keys::key(&body.keyid);
    let row = KeyRow { revoked_at: Some(act.position), reason: body.reason, ..key };
    Ok(Effects::none().and(&name, &row))
}

/// A role. Approvers and admins need two persons, neither of whom is the one who receives it.
pub fn grant(view: &View<'_>, act: &Act<'_>, body: &RoleGranted) -> Result<Effects, Refusal> {
    let role = check::known::<Role>("role", body.role)?;
    let name = role_name(role);
    let mut actor = known_actor(view, &body.actor)?;
    if actor.roles.contains(&body.role) {
        return Err(Refusal::RoleHeld { actor: actor.actor, role: name });
    }
    let kind = ActorKind::try_from(actor.kind).unwrap_or_default();
    if kind != holder_kind(role) {
        return Err(Refusal::RoleUnfit { actor: actor.actor, role: name });
    }
    let two = matches!(role, Role::Admin | Role::Approver);
    if two && (act.keys.len() < 2 || act.keys.iter().any(|k| k.actor == body.actor)) {
        return Err(Refusal::SecondSignerMissing { role: name });
    }
    for cosigner in act.keys.iter().filter(|k| k.actor != act.event.actor) {
        person_with_permission(view, act, &cosigner.actor, Kind::RoleGranted)?;
    }
    actor.roles.push(body.role);
    actor.roles.sort_unstable();
    Ok(Effects::none().and(&Actors::key(&body.actor), &actor))
}

/// A role is taken away.
pub fn withdraw(view: &View<'_>, act: &Act<'_>, body: &RoleWithdrawn) -> Result<Effects, Refusal> {
    let role = check::known::<Role>("role", body.role)?;
    let mut actor = known_actor(view, &body.actor)?;
    if !actor.roles.contains(&body.role) {
        return Err(Refusal::RoleNotHeld { actor: actor.actor, role: role_name(role) });
    }
    if role == Role::Admin && act.ledger.root_actors.contains(&body.actor) {
        return Err(Refusal::RootNeeded { threshold: act.ledger.threshold });
    }
    actor.roles.retain(|r| *r != body.role);
    Ok(Effects::none().and(&Actors::key(&body.actor), &actor))
}

/// An actor that must be registered.
pub fn known_actor(view: &View<'_>, actor: &str) -> Result<ActorRow, Refusal> {
    check::id("actor", actor)?;
    view.get(&Actors::key(actor)).ok_or_else(|| Refusal::UnknownActor { actor: actor.into() })
}

/// What kind of actor may hold a role.
pub fn holder_kind(role: Role) -> ActorKind {
    match role {
        Role::Unspecified => ActorKind::Unspecified,
        Role::Admin | Role::Steward | Role::Reviewer | Role::Engineer | Role::Approver | Role::Officer => {
            ActorKind::Person
        }
        Role::Scanner | Role::Checker | Role::Trainer | Role::Evaluator | Role::Monitor | Role::Scheduler => {
            ActorKind::Worker
        }
        Role::Gateway => ActorKind::Gateway,
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "unspecified",
        Role::Admin => "admin",
        Role::Steward => "steward",
        Role::Reviewer => "reviewer",
        Role::Engineer => "engineer",
        Role::Approver => "approver",
        Role::Officer => "officer",
        Role::Scanner => "scanner",
        Role::Checker => "checker",
        Role::Trainer => "trainer",
        Role::Evaluator => "evaluator",
        Role::Gateway => "gateway",
        Role::Monitor => "monitor",
        Role::Scheduler => "scheduler",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::plain;

    #[test]
    fn a_roles_name_is_that_of_the_proto() {
        for number in 1..=13 {
            let role = Role::try_from(number).unwrap();
            assert_eq!(role_name(role), plain(role.as_str_name(), "ROLE_"));
        }
    }
}
