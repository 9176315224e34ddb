//! The sentences on runs, versions, evaluations and promotions.

use crate::draft::plain;
use crate::time::iso;
use attestune_proto::v1::{
    EvaluationRow, Lease, ModelRow, PromotionRow, PromotionStatus, RunRow, Stage, VersionRow, WorkStatus,
};

pub(super) fn run((before, now): &(Option<RunRow>, RunRow)) -> Option<String> {
    let was = before.as_ref().map_or(WorkStatus::Unspecified, RunRow::status);
    let run = format!("run {} of {}", now.position, now.model);
    match now.status() {
        WorkStatus::Open if was == WorkStatus::Unspecified => Some(format!("{run} waits for a trainer")),
        WorkStatus::Claimed => {
            let by = taken(before.as_ref().and_then(|before| before.lease.as_ref()), &now.lease)?;
            Some(format!("{run} is {by}'s"))
        }
        WorkStatus::Completed if was != WorkStatus::Completed => Some(format!("{run} is done")),
        WorkStatus::Failed if was != WorkStatus::Failed => Some(format!("{run} has failed")),
        WorkStatus::Completed if before.as_ref().is_some_and(|b| b.reproductions < now.reproductions) => {
            let class = plain(now.reproduction().as_str_name(), "REPRODUCTION_");
            Some(format!("{run} was repeated {} times; its class is {class}", now.reproductions))
        }
        _ => None,
    }
}

pub(super) fn model((before, now): &(Option<ModelRow>, ModelRow)) -> Option<String> {
    let before = before.clone().unwrap_or_default();
    let (was, model) = (before.in_force, &now.model);
    let mut said = Vec::new();
    if now.halted_at.is_some() && before.halted_at.is_none() {
        said.push(format!("no version of {model} is in force: serving is halted"));
    } else if was != now.in_force {
        let instead = if was == 0 { String::new() } else { format!(" instead of version {was}") };
        said.push(format!("version {} of {model} is in force{instead}", now.in_force));
    }
    match (before.challenger, now.challenger) {
        (was, is) if was == is => {}
        (_, 0) => said.push(format!("no version of {model} is a challenger any more")),
        (_, is) => said.push(format!("version {is} of {model} stands beside as a challenger")),
    }
    if before.versions != now.versions {
        said.push(format!("{model} has {} versions", now.versions));
    }
    (!said.is_empty()).then(|| said.join("; "))
}

pub(super) fn version((before, now): &(Option<VersionRow>, VersionRow)) -> Option<String> {
    let stage = |row: &VersionRow| plain(Stage::try_from(row.stage).unwrap_or_default().as_str_name(), "STAGE_");
    let name = format!("{}@{}", now.model, now.version);
    match before {
        None => Some(format!("{name} is in {}", stage(now))),
        Some(before) if before.rolled_back_at != now.rolled_back_at && now.rolled_back_at != 0 => {
            Some(format!("{name} was rolled back from, and is in {}", stage(now)))
        }
        Some(before) if before.halted_at != now.halted_at && now.halted_at != 0 => Some(format!("{name} is halted")),
        Some(before) if before.stage != now.stage => {
            Some(format!("{name} moves from {} to {}", stage(before), stage(now)))
        }
        Some(_) => None,
    }
}

pub(super) fn evaluation((before, now): &(Option<EvaluationRow>, EvaluationRow)) -> Option<String> {
    let was = before.as_ref().map_or(WorkStatus::Unspecified, EvaluationRow::status);
    let what = format!("evaluation {} of {}@{}", now.position, now.model, now.version);
    match now.status() {
        WorkStatus::Claimed => {
            let by = taken(before.as_ref().and_then(|before| before.lease.as_ref()), &now.lease)?;
            Some(format!("{what} is {by}'s"))
        }
        status if status == was => None,
        WorkStatus::Open => Some(format!("{what} waits for an evaluator")),
        WorkStatus::Completed => {
            let results = now.results.iter().map(|r| format!("{} {}/{}", r.category, r.passed, r.cases));
            Some(format!("{what} counts: {}", results.collect::<Vec<_>>().join(", ")))
        }
        WorkStatus::Failed => Some(format!("{what} has failed")),
        WorkStatus::Unspecified => None,
    }
}

pub(super) fn promotion((before, now): &(Option<PromotionRow>, PromotionRow)) -> Option<String> {
    let name = format!("{}@{}", now.model, now.version);
    let to = plain(Stage::try_from(now.to).unwrap_or_default().as_str_name(), "STAGE_");
    let was = before.as_ref().map_or(PromotionStatus::Unspecified, PromotionRow::status);
    let approvals = format!("{} of {} approvals", now.approvals.len(), now.approvals_needed);
    match now.status() {
        PromotionStatus::Open if was == PromotionStatus::Open => Some(format!("{name} has {approvals} for {to}")),
        PromotionStatus::Open => Some(format!("{name} waits for {} approvals for {to}", now.approvals_needed)),
        PromotionStatus::Promoted if was == PromotionStatus::Promoted => Some(match now.reviewed_at {
            0 => format!("{name}, let into {to} in an emergency, has {approvals}"),
            _ => format!("{name}, let into {to} in an emergency, has all its approvals"),
        }),
        PromotionStatus::Promoted if now.emergency => {
            let by = iso(now.review_by_ms);
            Some(format!(
                "{name} is let into {to} at once, in an emergency; {} approvals must come until {by}",
                now.approvals_needed
            ))
        }
        PromotionStatus::Promoted if now.challenger => {
            Some(format!("{name} is let into {to} as a challenger with {approvals}"))
        }
        PromotionStatus::Promoted => Some(format!("{name} is let into {to} with {approvals}")),
        PromotionStatus::Rejected => Some(format!("{name} is refused {to}")),
        PromotionStatus::Withdrawn => Some(format!("the wish to bring {name} into {to} is taken back")),
        PromotionStatus::Closed => Some(format!("the request to bring {name} into {to} is closed")),
        PromotionStatus::Unspecified => None,
    }
}

/// Whose a lease is, if it is another's than before.
fn taken<'a>(before: Option<&Lease>, now: &'a Option<Lease>) -> Option<&'a str> {
    let holder = now.as_ref()?.holder.as_ref()?;
    let was = before.and_then(|lease| lease.holder.as_ref());
    was.is_none_or(|was| was.position != holder.position).then_some(&*holder.actor)
}

#[cfg(test)]
mod tests {
    use super::super::{Wrote, wrote};
    use super::*;
    use crate::state::{Assignments, Models, Promotions, RowKey, Runs, Uses};
    use attestune_proto::v1::{AssignmentRow, Signer};
    use prost::Message;

    fn told<R: Message>(row: &RowKey<R>, before: Option<&R>, now: &R) -> Option<String> {
        let (before, after) = (before.map(R::encode_to_vec), now.encode_to_vec());
        wrote(Wrote { row: row.as_bytes(), before: before.as_deref(), after: &after })
    }

    #[test]
    fn what_comes_into_force_is_said_and_an_index_is_not() {
        let row = Models::key("triage");
        let before = ModelRow { model: "triage".into(), versions: 2, in_force: 1, ..Default::default() };
        let after = ModelRow { in_force: 2, ..before.clone() };
        assert_eq!(told(&row, Some(&before), &after).unwrap(), "version 2 of triage is in force instead of version 1");
        assert_eq!(told(&row, Some(&after), &after), None);
        let beside = ModelRow { challenger: 2, ..before.clone() };
        assert_eq!(told(&row, Some(&before), &beside).unwrap(), "version 2 of triage stands beside as a challenger");
        assert_eq!(
            told(&row, Some(&beside), &after).unwrap(),
            "version 2 of triage is in force instead of version 1; no version of triage is a challenger any more"
        );
        let halted = ModelRow { in_force: 0, halted_at: Some(90), ..before.clone() };
        let text = told(&row, Some(&before), &halted).unwrap();
        assert_eq!(text, "no version of triage is in force: serving is halted");
        let index = Uses::key(1, 2);
        assert_eq!(wrote(Wrote { row: index.as_bytes(), before: None, after: &[] }), None);
        let damaged = Wrote { row: row.as_bytes(), before: None, after: &[0xff] };
        assert_eq!(wrote(damaged), None, "a row that does not decode");
    }

    #[test]
    fn an_emergency_promotion_is_told_from_one_with_its_approvals() {
        let row = Promotions::key(7);
        let asked = PromotionRow {
            model: "triage".into(),
            version: 2,
            to: Stage::Production.into(),
            approvals_needed: 2,
            status: PromotionStatus::Promoted.into(),
            emergency: true,
            review_by_ms: 951_782_400_000,
            ..Default::default()
        };
        assert_eq!(
            told(&row, None, &asked).unwrap(),
            "triage@2 is let into production at once, in an emergency; 2 approvals must come until 2000-02-29T00:00:00.000Z"
        );
        let one = PromotionRow { approvals: vec![Default::default()], ..asked.clone() };
        let text = told(&row, Some(&asked), &one).unwrap();
        assert_eq!(text, "triage@2, let into production in an emergency, has 1 of 2 approvals");
        let all = PromotionRow { reviewed_at: 40, ..one.clone() };
        assert!(told(&row, Some(&one), &all).unwrap().ends_with("has all its approvals"));
        let rejected = PromotionRow { status: PromotionStatus::Rejected.into(), ..all };
        assert_eq!(told(&row, Some(&one), &rejected).unwrap(), "triage@2 is refused production");
    }

    #[test]
    fn claims_are_told_with_who_holds_them_and_until_when() {
        let claim = AssignmentRow {
            reviewer: "rita".into(),
            indices: vec![1, 2],
            expires_ms: 951_782_400_000,
            ..Default::default()
        };
        assert_eq!(
            told(&Assignments::key(17, 20), None, &claim).unwrap(),
            "2 examples of batch 17 are kept for rita until 2000-02-29T00:00:00.000Z"
        );
        let assigned = AssignmentRow { expires_ms: 0, ..claim };
        let text = told(&Assignments::key(17, 20), None, &assigned).unwrap();
        assert_eq!(text, "2 examples of batch 17 wait for rita");

        let row = Runs::key(9);
        let lease = |actor: &str, position| {
            let holder = Signer { actor: actor.into(), position, ..Default::default() };
            Some(Lease { holder: Some(holder), expires_ms: 1 })
        };
        let run = RunRow { position: 9, model: "triage".into(), status: WorkStatus::Open.into(), ..Default::default() };
        let claimed = RunRow { status: WorkStatus::Claimed.into(), lease: lease("trainer", 10), ..run.clone() };
        assert_eq!(told(&row, Some(&run), &claimed).unwrap(), "run 9 of triage is trainer's");
        let renewed = RunRow { step: 5, ..claimed.clone() };
        assert_eq!(told(&row, Some(&claimed), &renewed), None, "a lease renewed");
        let other = RunRow { lease: lease("second", 30), ..claimed.clone() };
        assert_eq!(told(&row, Some(&claimed), &other).unwrap(), "run 9 of triage is second's");
    }
}
