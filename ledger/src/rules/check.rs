//! Guards that every event passes before its own rule, and small checks that the rules share.

use super::Act;
use crate::draft::plain;
use crate::refusal::Refusal;
use crate::state::View;
use attestune_proto::v1::{ActorRow, Event, Finding, Kind, Policy, Role, Sealed, Stage, event::Body};
use std::cmp::Ordering;

/// Most facts about documents or examples in one event.
pub const BATCH_MAX: usize = 512;
/// Longest identifier.
pub const ID_CHARS_MAX: usize = 64;

/// Kinds that the root keys sign.
pub fn is_root(kind: Kind) -> bool {
    matches!(kind, Kind::LedgerCreated | Kind::RulesActivated | Kind::PolicyAdopted | Kind::ClockCorrected)
}

/// Kinds that protect: never too stale.
fn protects(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::KeyRevoked
            | Kind::RoleWithdrawn
            | Kind::PromotionRejected
            | Kind::PromotionWithdrawn
            | Kind::ServingHalted
            | Kind::LegalHoldPlaced
    )
}

/// `seen` is a tree of this log, and not older than the policy allows.
pub fn seen(view: &View<'_>, act: &Act<'_>) -> Result<(), Refusal> {
    let size = act.event.seen.as_ref().map_or(0, |s| s.size);
    let root = act.event.seen.as_ref().map_or(&[][..], |s| &s.root);
    if size == 0 || view.entry_root(size).is_none_or(|known| known.0 != root) {
        return Err(Refusal::SeenUnknown { size });
    }
    let limit_ms = if is_root(act.kind) { act.policy.root_seen_age_max_ms } else { act.policy.seen_age_max_ms };
    // A tree is as new as can be until something is appended to it, however long that takes.
    let outdated_ms = if size == act.position { act.time_ms } else { view.fold_time(size).unwrap_or(0) };
    let age_ms = act.time_ms.saturating_sub(outdated_ms);
    if age_ms > limit_ms && !protects(act.kind) {
        return Err(Refusal::SeenTooOld { age_ms, limit_ms });
    }
    Ok(())
}

/// A cause stands before the event.
pub fn cause(act: &Act<'_>) -> Result<(), Refusal> {
    match act.event.cause {
        Some(cause) if cause >= act.position => Err(Refusal::CauseUnknown { cause }),
        _ => Ok(()),
    }
}

/// The root threshold for root kinds; for others a role that the policy names, and no more signatures than the kind
/// can need.
pub fn permission(act: &Act<'_>) -> Result<(), Refusal> {
    let have = act.keys.len() as u32;
    if is_root(act.kind) {
        let roots = act.keys.iter().filter(|k| act.ledger.root_actors.contains(&k.actor)).count() as u32;
        if roots < act.ledger.threshold || roots != have {
            return Err(Refusal::RootSignaturesMissing { have: roots, need: act.ledger.threshold });
        }
        return Ok(());
    }
    let allowed = if matches!(act.kind, Kind::RoleGranted | Kind::KeyRegistered) { 2 } else { 1 };
    if have > allowed {
        return Err(Refusal::TooManySignatures { have, allowed });
    }
    // A further key may be registered by its holder, whose right the rule itself judges.
    let own_key = act.kind == Kind::KeyRegistered;
    let kind = permitting(act);
    if !may(&act.policy, &act.actor, kind) && !own_key {
        return Err(Refusal::RoleMissing { actor: act.event.actor.clone(), needs: needs(&act.policy, kind) });
    }
    Ok(())
}

/// The kind whose permission an act needs: who claims examples assigns them to himself by the right to review.
fn permitting(act: &Act<'_>) -> Kind {
    match &act.event.body {
        Some(Body::ReviewAssigned(body)) if body.claim => Kind::ExamplesReviewed,
        _ => act.kind,
    }
}

/// The roles that may do a kind, as text.
pub fn needs(policy: &Policy, kind: Kind) -> String {
    let roles: Vec<_> = permitted(policy, kind)
        .filter_map(|r| Role::try_from(r).ok())
        .map(|r| plain(r.as_str_name(), "ROLE_"))
        .collect();
    if roles.is_empty() { "the policy names none".into() } else { roles.join(", ") }
}

/// Whether an actor holds a role that may do a kind.
pub fn may(policy: &Policy, actor: &ActorRow, kind: Kind) -> bool {
    permitted(policy, kind).any(|role| actor.roles.contains(&role))
}

fn permitted(policy: &Policy, kind: Kind) -> impl Iterator<Item = i32> + '_ {
    policy.permissions.iter().filter(move |p| p.kind == kind as i32).flat_map(|p| p.roles.iter().copied())
}

/// Promotions wait while the raw time lags the fold's by more than the policy's limit.
pub fn clock(act: &Act<'_>) -> Result<(), Refusal> {
    let lag_ms = act.time_ms.saturating_sub(act.raw_time_ms);
    let limit_ms = act.policy.clock_lag_max_ms;
    if lag_ms > limit_ms && matches!(act.kind, Kind::PromotionRequested | Kind::PromotionApproved) {
        return Err(Refusal::ClockLagging { lag_ms, limit_ms });
    }
    Ok(())
}

/// A comment is a well-formed commitment.
pub fn comment(event: &Event) -> Result<(), Refusal> {
    event.comment.as_ref().map_or(Ok(()), |c| sealed("comment", Some(c)))
}

/// An identifier.
pub fn id(field: &'static str, value: &str) -> Result<(), Refusal> {
    if is_identifier(value) { Ok(()) } else { Err(Refusal::BadIdentifier { field }) }
}

/// Whether a text is an identifier: `[a-z0-9._-]`, 1 to 64 characters.
pub fn is_identifier(value: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    !value.is_empty() && value.len() <= ID_CHARS_MAX && value.bytes().all(good)
}

/// A printed name: 1 to 128 characters, none of them a control character.
pub fn printed_name(value: &str) -> Result<(), Refusal> {
    let count = value.chars().count();
    if count == 0 || count > 128 || value.chars().any(char::is_control) {
        return Err(Refusal::BadField { field: "printed_name", rule: "must be 1 to 128 printable characters" });
    }
    Ok(())
}

/// 32 bytes.
pub fn digest(field: &'static str, value: &[u8]) -> Result<(), Refusal> {
    if value.len() != 32 {
        return Err(Refusal::BadField { field, rule: "must be 32 bytes" });
    }
    Ok(())
}

/// 16 bytes.
pub fn pack(value: &[u8]) -> Result<(), Refusal> {
    if value.len() != 16 {
        return Err(Refusal::BadField { field: "pack", rule: "must be 16 bytes" });
    }
    Ok(())
}

/// A sealed content.
pub fn sealed(field: &'static str, value: Option<&Sealed>) -> Result<(), Refusal> {
    let Some(value) = value else { return Err(Refusal::BadField { field, rule: "is missing" }) };
    pack(&value.pack)?;
    digest(field, &value.commitment)
}

/// A value of an enumeration that is known and not zero.
pub fn known<E: TryFrom<i32>>(field: &'static str, value: i32) -> Result<E, Refusal> {
    if value == 0 {
        return Err(Refusal::BadField { field, rule: "is missing" });
    }
    E::try_from(value).map_err(|_| Refusal::BadField { field, rule: "has an unknown value" })
}

/// A stage as a row or body holds it.
pub fn stage(value: i32) -> Stage {
    Stage::try_from(value).unwrap_or_default()
}

/// Digits with at most one dot between them, 32 characters at most.
pub fn decimal(text: &str) -> bool {
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    text.len() <= 32 && text.split_once('.').map_or_else(|| digits(text), |(whole, part)| digits(whole) && digits(part))
}

/// How a decimal that may have a minus before it stands to 0; none if it is no such decimal.
pub fn sign(text: &str) -> Option<Ordering> {
    let magnitude = text.strip_prefix('-').unwrap_or(text);
    if !decimal(magnitude) {
        return None;
    }
    let zero = magnitude.bytes().all(|b| matches!(b, b'0' | b'.'));
    Some(match (zero, text.starts_with('-')) {
        (true, _) => Ordering::Equal,
        (false, true) => Ordering::Less,
        (false, false) => Ordering::Greater,
    })
}

/// 1 to 512 items.
pub fn batch_len(field: &'static str, len: usize) -> Result<(), Refusal> {
    if len == 0 || len > BATCH_MAX {
        return Err(Refusal::BadField { field, rule: "must have 1 to 512 items" });
    }
    Ok(())
}

/// Strictly ascending.
pub fn ascending<T: PartialOrd>(field: &'static str, mut values: impl Iterator<Item = T>) -> Result<(), Refusal> {
    let Some(mut last) = values.next() else { return Ok(()) };
    for value in values {
        if value <= last {
            return Err(Refusal::BadField { field, rule: "must be in ascending order, none twice" });
        }
        last = value;
    }
    Ok(())
}

/// A span of a finding.
pub fn span(field: &'static str, span: &Finding) -> Result<(), Refusal> {
    id("entity", &span.entity)?;
    if span.start >= span.end || span.score_ppm > 1_000_000 {
        return Err(Refusal::BadField { field, rule: "must not be empty nor score above 1,000,000" });
    }
    Ok(())
}

/// An index inside its batch.
pub fn inside(index: u32, count: u32) -> Result<(), Refusal> {
    if index >= count {
        return Err(Refusal::IndexOutside { index, count });
    }
    Ok(())
}

/// An environment: identifiers, ascending by name, at most 64.
pub fn environment(settings: &[attestune_proto::v1::Setting]) -> Result<(), Refusal> {
    if settings.len() > 64 {
        return Err(Refusal::BadField { field: "environment", rule: "may have 64 settings" });
    }
    for setting in settings {
        id("environment.name", &setting.name)?;
        id("environment.value", &setting.value)?;
    }
    ascending("environment", settings.iter().map(|s| &s.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_has_digits_on_both_sides_of_its_dot() {
        for good in ["0", "0.002", "12.5"] {
            assert!(decimal(good), "{good}");
        }
        for bad in ["", ".", "1.", ".5", "1e-3", "-1", "1.2.3", "0.00000000000000000000000000000000001"] {
            assert!(!decimal(bad), "{bad}");
        }
    }

    #[test]
    fn a_signed_decimal_is_told_from_zero() {
        let cases = [("0", Ordering::Equal), ("-0.00", Ordering::Equal), ("0.001", Ordering::Greater)];
        for (text, expected) in cases.into_iter().chain([("-12.5", Ordering::Less), ("3", Ordering::Greater)]) {
            assert_eq!(sign(text), Some(expected), "{text}");
        }
        for bad in ["", "-", "--1", "+1", "-.5", "1-"] {
            assert_eq!(sign(bad), None, "{bad}");
        }
    }
}
