//! The sentences on what comes after a version was made: serving, experiments, watching, schedules, erasure, holds.

use super::{Name, Wrote, one};
use crate::draft::plain;
use crate::state as tables;
use crate::time::iso;
use attestune_proto::v1::{
    AlertAction, AlertKind, AlertRow, Conclusion, DatasetErasureRow, ErasureDecisionRow, ErasureRow, ErasureStatus,
    ExperimentRow, HoldRow, ScheduleRow, ServedReferenceRow, ServingOccasion, ServingPart, ServingRow, WindowRow,
};

/// The sentence on a row of one of these tables; none where it says nothing to people, or for another table.
pub(super) fn wrote(table: u8, write: &Wrote<'_>) -> Option<String> {
    match table {
        tables::Servings::ID => serving(&write.read()?),
        tables::ServedReferences::ID => one(write, |_: ServedReferenceRow| {
            let mut name = Name::of(write.row);
            let (model, version) = (name.text(), name.short());
            format!("what servers load for {model}@{version} is noted; later confirmations are held against it")
        }),
        tables::Experiments::ID => experiment(&write.read()?),
        tables::Windows::ID => window(&write.read()?),
        tables::Alerts::ID => alert(&write.read()?),
        tables::Schedules::ID => schedule(&write.read()?),
        tables::Erasures::ID => erasure(&write.read()?),
        tables::DatasetErasures::ID => one(write, |now: DatasetErasureRow| {
            let (dataset, members) = (now.dataset, now.members);
            format!(
                "erasure {} takes {members} members out of dataset {dataset}; its runs can't be repeated",
                now.erasure
            )
        }),
        tables::ErasureDecisions::ID => one(write, |now: ErasureDecisionRow| {
            let mut name = Name::of(write.row);
            let (erasure, model, version) = (name.long(), name.text(), name.short());
            let decision = plain(now.decision().as_str_name(), "ERASURE_DECISION_");
            format!("what becomes of {model}@{version} after erasure {erasure} is decided: {decision}")
        }),
        tables::Holds::ID => one(write, |now: HoldRow| hold(&now)),
        _ => None,
    }
}

/// Heartbeats say nothing new.
fn serving((before, now): &(Option<ServingRow>, ServingRow)) -> Option<String> {
    let same = |before: &ServingRow| before.changed_at == now.changed_at && before.differs == now.differs;
    if before.as_ref().is_some_and(same) {
        return None;
    }
    let said = now.confirmed.as_ref()?;
    let version = match (said.occasion(), said.version) {
        (ServingOccasion::Stopped, _) => return Some(format!("server {} serves {} no more", said.server, said.model)),
        (_, 0) => format!("no version of {}", said.model),
        (_, version) => format!("{}@{version}", said.model),
    };
    let arm = said.challenger.as_ref().map_or_else(String::new, |arm| format!(" beside version {}", arm.version));
    let part = |part: &i32| plain(ServingPart::try_from(*part).unwrap_or_default().as_str_name(), "SERVING_PART_");
    let differs = match now.differs.is_empty() {
        true => String::new(),
        false => {
            format!(", which DIFFERS from the record: {}", now.differs.iter().map(part).collect::<Vec<_>>().join(", "))
        }
    };
    Some(format!("server {} serves {version}{arm} as of {}{differs}", said.server, said.as_of))
}

fn experiment((before, now): &(Option<ExperimentRow>, ExperimentRow)) -> Option<String> {
    let started = now.started.as_ref()?;
    let name = format!("experiment {} on {}", now.position, started.model);
    if now.ended_at == 0 {
        let (a, b) = (started.a, started.b);
        return before
            .is_none()
            .then(|| format!("{name} runs: version {a} against {b} for {} ppm of users", started.share_ppm));
    }
    if before.as_ref().is_some_and(|before| before.ended_at != 0) {
        return None;
    }
    Some(match &now.concluded {
        None => format!("{name} has ended without a conclusion, by what happened at {}", now.ended_at),
        Some(concluded) => match concluded.conclusion() {
            Conclusion::AIsBetter => {
                format!("{name} has ended: version {} is better; what is in force stays", started.a)
            }
            Conclusion::BIsBetter => {
                format!("{name} has ended: version {} is better; what is in force stays", started.b)
            }
            other => format!("{name} has ended: {}", plain(other.as_str_name(), "CONCLUSION_")),
        },
    })
}

fn window((before, now): &(Option<WindowRow>, WindowRow)) -> Option<String> {
    if before.is_some() {
        return None; // a monitor has read it: its own window says so
    }
    let who = if now.server.is_empty() { "a monitor read".into() } else { format!("server {} counted", now.server) };
    let (from, to) = (iso(now.from_ms), iso(now.to_ms));
    Some(format!("{who} {} requests to {}@{} from {from} to {to}", now.requests, now.model, now.version))
}

fn alert((before, now): &(Option<AlertRow>, AlertRow)) -> Option<String> {
    let raised = now.raised.as_ref()?;
    let kind = plain(AlertKind::try_from(raised.kind).unwrap_or_default().as_str_name(), "ALERT_KIND_");
    let about = if raised.subject.is_empty() { String::new() } else { format!(" of {}", raised.subject) };
    let name = format!("alert {} on {}@{}, {kind}{about}", now.position, raised.model, raised.version);
    match &now.acknowledged {
        None => before.is_none().then(|| format!("{name}, waits for somebody to look at it")),
        Some(by) => {
            let action = plain(AlertAction::try_from(now.action).unwrap_or_default().as_str_name(), "ALERT_ACTION_");
            Some(format!("{name}, is acknowledged by {}: {action}", by.actor))
        }
    }
}

fn schedule((_, now): &(Option<ScheduleRow>, ScheduleRow)) -> Option<String> {
    let set = now.schedule.as_ref()?;
    let when = match (set.paused, &set.calendar) {
        (true, _) => return Some(format!("{} is not trained anew for now", set.model)),
        (false, Some(_)) => "by a calendar".to_owned(),
        (false, None) => format!("each {} hours", set.interval_ms / 3_600_000),
    };
    let drift = if set.on_drift { ", and at once where its inputs drift" } else { "" };
    Some(format!("{} is trained anew {when}{drift}", set.model))
}

fn erasure((_, now): &(Option<ErasureRow>, ErasureRow)) -> Option<String> {
    let name = format!("erasure {}", now.position);
    match now.status() {
        ErasureStatus::Begun => {
            Some(format!("{name} has {} of {} parts; nothing is erased yet", now.chunk, now.chunks))
        }
        ErasureStatus::InEffect => Some(format!(
            "{name} is in effect: {} documents, {} examples, {} redactions and {} other texts must go",
            now.documents, now.examples, now.redactions, now.others
        )),
        ErasureStatus::Unspecified => None,
    }
}

fn hold(now: &HoldRow) -> String {
    let what = if now.collections.is_empty() { "everything".into() } else { now.collections.join(", ") };
    match now.released_at {
        None => format!("legal hold {} forbids to erase {what}", now.hold),
        Some(_) => format!("legal hold {} on {what} is released", now.hold),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Wrote, wrote};
    use crate::state::{
        Alerts, DatasetErasures, ErasureDecisions, Experiments, Holds, Schedules, ServedReferences, Servings,
    };
    use attestune_proto::v1::*;
    use prost::Message;

    fn told<R: Message>(row: &crate::state::RowKey<R>, before: Option<&R>, now: &R) -> Option<String> {
        let (before, after) = (before.map(R::encode_to_vec), now.encode_to_vec());
        wrote(Wrote { row: row.as_bytes(), before: before.as_deref(), after: &after })
    }

    #[test]
    fn a_server_that_changes_or_differs_is_told_of_and_a_heartbeat_is_not() {
        let row = Servings::key("triage", "gateway", "one");
        let said = ServingConfirmed {
            server: "one".into(),
            model: "triage".into(),
            version: 2,
            as_of: 70,
            ..Default::default()
        };
        let first = ServingRow { confirmed: Some(said.clone()), changed_at: 71, ..Default::default() };
        assert_eq!(told(&row, None, &first).unwrap(), "server one serves triage@2 as of 70");
        let beat = ServingConfirmed { as_of: 80, occasion: ServingOccasion::Heartbeat.into(), ..said.clone() };
        let beat = ServingRow { confirmed: Some(beat), ..first.clone() };
        assert_eq!(told(&row, Some(&first), &beat), None);
        let differs =
            ServingRow { differs: vec![ServingPart::Template.into(), ServingPart::Canary.into()], ..beat.clone() };
        let text = told(&row, Some(&beat), &differs).unwrap();
        assert_eq!(text, "server one serves triage@2 as of 80, which DIFFERS from the record: template, canary");
        let halted = ServingConfirmed { version: 0, as_of: 90, ..said.clone() };
        let halted = ServingRow { confirmed: Some(halted), changed_at: 91, ..Default::default() };
        assert_eq!(told(&row, Some(&beat), &halted).unwrap(), "server one serves no version of triage as of 90");
        let stopped = ServingConfirmed { occasion: ServingOccasion::Stopped.into(), ..said };
        let stopped = ServingRow { confirmed: Some(stopped), changed_at: 99, ..Default::default() };
        assert_eq!(told(&row, Some(&halted), &stopped).unwrap(), "server one serves triage no more");
        let text = told(&ServedReferences::key("triage", 2), None, &ServedReferenceRow::default()).unwrap();
        assert!(text.starts_with("what servers load for triage@2 is noted"), "{text}");
    }

    #[test]
    fn an_experiments_begin_and_end_are_told_with_what_came_of_it() {
        let row = Experiments::key(50);
        let started =
            ExperimentStarted { model: "triage".into(), a: 1, b: 2, share_ppm: 100_000, ..Default::default() };
        let runs = ExperimentRow { position: 50, started: Some(started), ..Default::default() };
        assert_eq!(
            told(&row, None, &runs).unwrap(),
            "experiment 50 on triage runs: version 1 against 2 for 100000 ppm of users"
        );
        let with = |conclusion: Conclusion| ExperimentConcluded { conclusion: conclusion.into(), ..Default::default() };
        let better = ExperimentRow { ended_at: 60, concluded: Some(with(Conclusion::BIsBetter)), ..runs.clone() };
        assert_eq!(
            told(&row, Some(&runs), &better).unwrap(),
            "experiment 50 on triage has ended: version 2 is better; what is in force stays"
        );
        let none = ExperimentRow { concluded: Some(with(Conclusion::NoDifference)), ..better.clone() };
        assert_eq!(told(&row, Some(&runs), &none).unwrap(), "experiment 50 on triage has ended: no-difference");
        let broken = ExperimentRow { concluded: None, ..better.clone() };
        let text = told(&row, Some(&runs), &broken).unwrap();
        assert_eq!(text, "experiment 50 on triage has ended without a conclusion, by what happened at 60");
        assert_eq!(told(&row, Some(&better), &better), None);
    }

    #[test]
    fn alerts_schedules_erasures_and_holds_are_told() {
        let raised = AlertRaised {
            model: "triage".into(),
            version: 2,
            kind: AlertKind::Drift.into(),
            subject: "length".into(),
            ..Default::default()
        };
        let waits = AlertRow { position: 80, raised: Some(raised), ..Default::default() };
        let row = Alerts::key(80);
        let name = "alert 80 on triage@2, drift of length";
        assert_eq!(told(&row, None, &waits).unwrap(), format!("{name}, waits for somebody to look at it"));
        let by = Signer { actor: "otto".into(), ..Default::default() };
        let seen = AlertRow { acknowledged: Some(by), action: AlertAction::Retrain.into(), ..waits.clone() };
        assert_eq!(told(&row, Some(&waits), &seen).unwrap(), format!("{name}, is acknowledged by otto: retrain"));

        let set = ScheduleSet { model: "triage".into(), interval_ms: 7_200_000, on_drift: true, ..Default::default() };
        let schedule = |set: &ScheduleSet| {
            told(&Schedules::key("triage"), None, &ScheduleRow { schedule: Some(set.clone()), ..Default::default() })
                .unwrap()
        };
        assert_eq!(schedule(&set), "triage is trained anew each 2 hours, and at once where its inputs drift");
        assert_eq!(schedule(&ScheduleSet { paused: true, ..set }), "triage is not trained anew for now");

        let reached = DatasetErasureRow { dataset: 30, erasure: 90, members: 3 };
        let text = told(&DatasetErasures::key(30, 90), None, &reached).unwrap();
        assert_eq!(text, "erasure 90 takes 3 members out of dataset 30; its runs can't be repeated");
        let decided = ErasureDecisionRow { decision: ErasureDecision::Retrain.into(), ..Default::default() };
        let text = told(&ErasureDecisions::key(90, "triage", 2), None, &decided).unwrap();
        assert_eq!(text, "what becomes of triage@2 after erasure 90 is decided: retrain");

        let placed = HoldRow { hold: "case-7".into(), collections: vec!["tickets".into()], ..Default::default() };
        assert_eq!(told(&Holds::key(9), None, &placed).unwrap(), "legal hold case-7 forbids to erase tickets");
        let released = HoldRow { released_at: Some(12), ..placed.clone() };
        let text = told(&Holds::key(9), Some(&placed), &released).unwrap();
        assert_eq!(text, "legal hold case-7 on tickets is released");
    }
}
