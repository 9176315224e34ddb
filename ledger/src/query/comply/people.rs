//! Questions about people: who may act, and under which name.

use super::answer::{Tally, count};
use super::asked::Asked;
use super::changes;
use crate::query::QueryError;
use crate::state::{Actors, Keys, Ledgers, Policies};
use attestune_proto::v1::{ActorKind, ActorRow, KeyRow, Kind, QuestionAnswer, RevocationReason, Role};
use std::collections::BTreeMap;

/// Each version of the policy needed several root keys.
pub fn policy_by_several(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    let ledger = asked.view.get(&Ledgers::key()).unwrap_or_default();
    for row in asked.view.scan(&Policies::all()) {
        let alone = (ledger.threshold < 2).then(|| format!("one root key alone could adopt version {}", row.version));
        tally.judge(row.position, alone);
    }
    let text = format!(
        "{} of the policy, each adopted by at least {} of {}",
        count(tally.of(), "version"),
        ledger.threshold,
        count(ledger.root_actors.len() as u64, "root key"),
    );
    Ok(tally.answer(text))
}

/// Printed names tell persons apart, and approvals say what they mean.
pub fn signers_named(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    let people = persons(asked);
    let mut by_name: BTreeMap<String, Vec<&ActorRow>> = BTreeMap::new();
    for person in &people {
        by_name.entry(as_read(&person.printed_name)).or_default().push(person);
    }
    for alike in by_name.into_values() {
        let names: Vec<&str> = alike.iter().map(|person| person.actor.as_str()).collect();
        let same = (alike.len() > 1).then(|| format!("{} are printed alike", names.join(" and ")));
        for person in &alike {
            tally.judge(person.position, same.clone());
        }
    }
    let (approvals, without) = changes::meanings(asked);
    let whole = approvals.saturating_sub(without.len() as u64);
    for position in without {
        tally.short(position, "an approval does not say what it means");
    }
    let text = format!(
        "{} with a printed name; {} with printed name, time and meaning",
        count(people.len() as u64, "person"),
        count(whole, "approval"),
    );
    Ok(tally.answer(text))
}

/// A name as it is compared: without regard to case and to spaces around and between its words.
fn as_read(name: &str) -> String {
    // By way of capitals, so that ß and SS are the same.
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase().to_lowercase()
}

/// Who left can't act any more, and who came back since can't by a key from before.
pub fn access_withdrawn(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    let (mut active, mut left, mut returned) = (0, 0, 0);
    for person in persons(asked) {
        let keys: Vec<KeyRow> = person.keyids.iter().filter_map(|keyid| asked.view.get(&Keys::key(keyid))).collect();
        active += keys.iter().filter(|key| key.revoked_at.is_none()).count() as u64;
        let leaving = keys.iter().filter(|key| key.reason() == RevocationReason::Left);
        let Some(left_at) = leaving.filter_map(|key| key.revoked_at).max() else {
            tally.met(person.position);
            continue;
        };
        let back = keys.iter().any(|key| key.position > left_at);
        left += 1;
        returned += u64::from(back);
        let old = keys.iter().filter(|key| key.revoked_at.is_none() && key.position < left_at).count() as u64;
        let shortfall = match (back, old, person.roles.len() as u64) {
            (_, 0, 0) | (true, 0, _) => None,
            (true, old, _) => {
                Some(format!("{} came back, but still has {} from before", person.actor, count(old, "key")))
            }
            (false, old, roles) => {
                let (old, roles) = (count(old, "key"), count(roles, "role"));
                Some(format!("{} left, but still has {old} and {roles}", person.actor))
            }
        };
        tally.judge(person.position, shortfall);
    }
    let text = format!(
        "{} with {} that stand; {left} left, {} still can act{}",
        count(tally.of(), "person"),
        count(active, "key"),
        tally.of() - tally.good(),
        if returned > 0 { format!("; {returned} came back") } else { String::new() },
    );
    Ok(tally.answer(text))
}

/// The gateway alone records reads, so that nobody can leave out one's own.
pub fn reads_recorded(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    let policy = asked.view.scan(&Policies::all()).pop().map_or(0, |row| row.position);
    let roles = asked.roles_for(Kind::ContentAccessed);
    let gateways = asked.able(Kind::ContentAccessed);
    if roles.iter().any(|role| *role != Role::Gateway as i32) {
        tally.short(policy, "the policy lets another role than the gateway's record reads");
    }
    if gateways.is_empty() {
        tally.short(policy, "no gateway can record a read, so that no text can be released, either");
    }
    gateways.iter().for_each(|gateway| tally.met(gateway.position));
    let text = format!(
        "{} may put reads on the record, and releases a text only after that; `attestune history --kind content-accessed` \
         lists them",
        count(gateways.len() as u64, "gateway"),
    );
    Ok(tally.answer(text))
}

fn persons(asked: &Asked<'_>) -> Vec<ActorRow> {
    let mut actors = asked.view.scan(&Actors::all());
    actors.retain(|actor| actor.kind() == ActorKind::Person);
    actors
}

#[cfg(test)]
mod tests {
    use super::as_read;

    #[test]
    fn names_are_compared_as_they_are_read() {
        assert_eq!(as_read("  Dr. Ida  Strau\u{df} "), as_read("DR. IDA STRAUSS"));
        assert_ne!(as_read("Ida Strauss"), as_read("Idas Trauss"));
    }
}
