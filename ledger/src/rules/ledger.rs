//! The ledger itself: genesis, rules, policy, attestations, the clock.

use super::decode::{Decoded, Verify};
use super::{Act, RULES_VERSION, check, policy};
use crate::envelope::{fit_key, keyid, possession_statement, verify_bytes};
use crate::refusal::{Refusal, Rejection};
use crate::state::{Actors, Effects, Keys, Ledgers, Policies, View};
use attestune_proto::v1::{
    ActorKind, ActorRow, ClockCorrected, KeyCustody, KeyRow, LedgerCreated, LedgerRow, PolicyAdopted, PolicyRow, Role,
    RulesActivated, StateAttested, event::Body,
};

/// Creates the ledger from its genesis, signed by the threshold of its own root keys.
pub fn create(position: u64, decoded: &Decoded, verify: Verify<'_>) -> Result<Effects, Rejection> {
    let (Some(Body::LedgerCreated(body)), Some(ledger_id)) = (&decoded.event.body, decoded.genesis_id) else {
        return Err(Rejection::NoLedger {});
    };
    let event = &decoded.event;
    let bad = |what| Rejection::BadGenesis { what };
    if event.id.len() != 16 || !event.ledger.is_empty() || event.seen.is_some() || event.cause.is_some() {
        return Err(bad("it needs an id of 16 bytes and neither ledger, seen nor cause"));
    }
    well_formed(body).map_err(bad)?;
    policy::validate(body.policy.as_ref()).map_err(|_| bad("its policy is not valid"))?;
    let mut signers = 0;
    for (index, signature) in decoded.envelope.signatures.iter().enumerate() {
        let root = body.root_keys.iter().find(|k| keyid(&k.public_key) == signature.keyid);
        let Some(root) = root else { return Err(Rejection::UnknownKey { keyid: String::new() }) };
        let public: [u8; 32] = root.public_key.as_slice().try_into().map_err(|_| bad("a root key is not 32 bytes"))?;
        if !verify(&decoded.envelope, &public, index) {
            return Err(Rejection::BadSignature { keyid: signature.keyid.clone() });
        }
        signers += 1;
    }
    if signers < body.threshold {
        return Err(bad("it carries fewer signatures of root keys than its threshold"));
    }
    let signs = |k: &attestune_proto::v1::RootKey| {
        k.actor == event.actor && decoded.envelope.signatures.iter().any(|s| s.keyid == keyid(&k.public_key))
    };
    if !body.root_keys.iter().any(signs) {
        return Err(bad("its actor is not among the signers"));
    }
    Ok(effects(position, body, ledger_id))
}

fn well_formed(body: &LedgerCreated) -> Result<(), &'static str> {
    check::id("name", &body.name).map_err(|_| "its name is not an identifier")?;
    if body.rules_version == 0 || body.rules_version > RULES_VERSION {
        return Err("its rules version is not known to this build");
    }
    if body.root_keys.is_empty() || body.root_keys.len() > 16 {
        return Err("it needs 1 to 16 root keys");
    }
    if body.threshold == 0 || body.threshold as usize > body.root_keys.len() {
        return Err("its threshold is not between 1 and the number of root keys");
    }
    if fit_key(&body.checkpoint_key).is_none() {
        return Err("its checkpoint key is not a fit Ed25519 key");
    }
    for (index, root) in body.root_keys.iter().enumerate() {
        check::id("actor", &root.actor).map_err(|_| "a root actor is not an identifier")?;
        check::printed_name(&root.printed_name).map_err(|_| "a printed name is empty or too long")?;
        let key = fit_key(&root.public_key).ok_or("a root key is weak or malformed")?;
        let statement = possession_statement(&[], &root.actor, &root.public_key);
        if !verify_bytes(&key, &statement, &root.possession) {
            return Err("the possession of a root key is not proven");
        }
        let earlier = &body.root_keys[..index];
        if earlier.iter().any(|e| e.actor == root.actor || e.public_key == root.public_key) {
            return Err("a root actor or key stands twice");
        }
    }
    Ok(())
}

fn effects(position: u64, body: &LedgerCreated, ledger_id: [u8; 32]) -> Effects {
    let row = LedgerRow {
        name: body.name.clone(),
        rules_version: body.rules_version,
        threshold: body.threshold,
        root_actors: body.root_keys.iter().map(|k| k.actor.clone()).collect(),
        checkpoint_key: body.checkpoint_key.clone(),
        policy_version: 1,
        clock_corrected_at: 0,
        ledger_id: ledger_id.to_vec(),
    };
    let policy = PolicyRow { version: 1, position, policy: body.policy.clone() };
    let mut effects = Effects::none().and(&Ledgers::key(), &row).and(&Policies::key(1), &policy);
    for root in &body.root_keys {
        let keyid = keyid(&root.public_key);
        let actor = ActorRow {
            actor: root.actor.clone(),
            printed_name: root.printed_name.clone(),
            kind: ActorKind::Person as i32,
            position,
            keyids: vec![keyid.clone()],
            roles: vec![Role::Admin as i32],
        };
        let key = KeyRow {
            keyid: keyid.clone(),
            actor: root.actor.clone(),
            public_key: root.public_key.clone(),
            custody: KeyCustody::File as i32,
            position,
            ..Default::default()
        };
        effects.put(&Actors::key(&root.actor), &actor);
        effects.put(&Keys::key(&keyid), &key);
    }
    effects
}

/// Another rules version from here on. This build knows none beyond its own.
pub fn activate_rules(act: &Act<'_>, body: &RulesActivated) -> Result<Effects, Refusal> {
    let in_force = act.ledger.rules_version;
    if body.version <= in_force || body.version > RULES_VERSION {
        return Err(Refusal::BadRulesVersion { version: body.version, in_force });
    }
    let row = LedgerRow { rules_version: body.version, ..act.ledger.clone() };
    Ok(Effects::none().and(&Ledgers::key(), &row))
}

/// A new policy. Open promotions were requested under the old one and are closed by that.
pub fn adopt_policy(act: &Act<'_>, body: &PolicyAdopted) -> Result<Effects, Refusal> {
    policy::validate(body.policy.as_ref())?;
    let version = act.ledger.policy_version + 1;
    let row = PolicyRow { version, position: act.position, policy: body.policy.clone() };
    let ledger = LedgerRow { policy_version: version, ..act.ledger.clone() };
    Ok(Effects::none().and(&Policies::key(version), &row).and(&Ledgers::key(), &ledger))
}

/// A replica's word on its state, held against this fold's own.
pub fn attest_state(view: &View<'_>, body: &StateAttested) -> Result<Effects, Refusal> {
    check::digest("verdict_root", &body.verdict_root)?;
    match view.verdict_root(body.size) {
        Some(root) if root.0 == body.verdict_root.as_slice() => Ok(Effects::none()),
        _ => Err(Refusal::StateDiffers { size: body.size }),
    }
}

/// Sets the fold's time anew; open promotions and leases from before end by it.
pub fn correct_clock(act: &Act<'_>, body: &ClockCorrected) -> Result<Effects, Refusal> {
    // From 2020 to 2200: a typing error must not put the ledger out of any reasonable time.
    if !(1_577_836_800_000..7_258_118_400_000).contains(&body.time_ms) {
        return Err(Refusal::BadField { field: "time_ms", rule: "must lie between the years 2020 and 2200" });
    }
    let row = LedgerRow { clock_corrected_at: act.position, ..act.ledger.clone() };
    Ok(Effects::none().and(&Ledgers::key(), &row))
}
