//! Questions about erasure.

use super::answer::{Tally, count};
use super::asked::Asked;
use crate::query::QueryError;
use crate::state::{ErasureDecisions, Erasures};
use attestune_proto::v1::{DueItem, DueKind, ErasureDecision, ErasureStatus, ModelRow, QuestionAnswer};

const DAY_MS: u64 = 86_400_000;

/// Every erasure is complete, and what it reached was decided on.
pub fn decided(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    let undecided: Vec<&DueItem> = asked.due(DueKind::ErasureDecision).collect();
    let mut things = 0;
    for erasure in asked.view.scan(&Erasures::all()) {
        things += erasure.count;
        let open: Vec<String> = undecided
            .iter()
            .filter(|item| item.position == erasure.position)
            .map(|item| format!("{}@{}", item.model, item.version))
            .collect();
        let shortfall = match (erasure.status(), open.is_empty()) {
            (ErasureStatus::InEffect, true) => retired_in_production(asked, erasure.position),
            (ErasureStatus::InEffect, false) => {
                Some(format!("nothing is decided on {}, which it reached", open.join(", ")))
            }
            _ => Some(format!("{} of {} parts are on the record, so nothing is erased", erasure.chunk, erasure.chunks)),
        };
        tally.judge(erasure.position, shortfall.map(|what| format!("erasure {}: {what}", erasure.position)));
    }
    let text = format!(
        "{} of {}; {} complete and decided on, with {} on versions",
        count(tally.of(), "erasure"),
        count(things, "text"),
        tally.good(),
        count(asked.view.scan(&ErasureDecisions::all()).len() as u64, "decision"),
    );
    Ok(tally.answer(text))
}

/// A version that must not be served any more by what was decided, and is in force or a challenger all the same.
fn retired_in_production(asked: &Asked<'_>, erasure: u64) -> Option<String> {
    let versions = asked.models.iter().flat_map(|model| [(model, model.in_force), (model, model.challenger)]);
    let retired = |(model, version): &(&ModelRow, u32)| {
        let decision = asked.view.get(&ErasureDecisions::key(erasure, &model.model, *version));
        decision.is_some_and(|row| row.decision() == ErasureDecision::Retire)
    };
    let (model, version) = versions.filter(|(_, version)| *version != 0).find(retired)?;
    Some(format!("{}@{version} is to be retired, and is still in production", model.model))
}

/// The day is known on which no backup can bring an erased text back.
pub fn become_final(asked: &Asked<'_>) -> Result<QuestionAnswer, QueryError> {
    let mut tally = Tally::default();
    let kept_ms = asked.policy.key_backup_retention_ms;
    let mut over = 0;
    for erasure in asked.view.scan(&Erasures::all()) {
        let since_ms = asked.view.fold_time(erasure.in_effect_at).filter(|_| erasure.in_effect_at != 0);
        over += u64::from(since_ms.is_some_and(|ms| kept_ms > 0 && asked.now_ms > ms.saturating_add(kept_ms)));
        let unknown = match (since_ms, kept_ms) {
            (None, _) => Some("is not complete, so that nothing of it becomes final"),
            (Some(_), 0) => Some("becomes final on no known day"),
            (Some(_), _) => None,
        };
        tally.judge(erasure.position, unknown.map(|what| format!("erasure {} {what}", erasure.position)));
    }
    let text = match kept_ms {
        0 => format!("{}; the policy does not say how long key backups are kept", count(tally.of(), "erasure")),
        _ => format!(
            "{}; key backups are kept for {}, so that {over} are final",
            count(tally.of(), "erasure"),
            count(kept_ms.div_ceil(DAY_MS), "day"),
        ),
    };
    Ok(tally.answer(text))
}
