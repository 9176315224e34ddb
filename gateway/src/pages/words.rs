//! Words for what the state says in numbers.

use super::text::{judged, percent};
use attestune_ledger::draft::plain;
use attestune_proto::v1 as pb;
use maud::{Markup, html};

/// A stage.
pub fn stage(stage: pb::Stage) -> String {
    plain(stage.as_str_name(), "STAGE_")
}

/// How far a run or evaluation is.
pub fn work(status: pb::WorkStatus) -> Markup {
    let word = plain(status.as_str_name(), "WORK_STATUS_");
    match status {
        pb::WorkStatus::Completed => html! { span.good { "✓ " (word) } },
        pb::WorkStatus::Failed => html! { span.bad { "✗ " (word) } },
        pb::WorkStatus::Open | pb::WorkStatus::Claimed | pb::WorkStatus::Unspecified => html! { "… " (word) },
    }
}

/// What became of a promotion.
pub fn promotion(status: pb::PromotionStatus) -> Markup {
    let word = plain(status.as_str_name(), "PROMOTION_STATUS_");
    match status {
        pb::PromotionStatus::Promoted => html! { span.good { "✓ " (word) } },
        pb::PromotionStatus::Rejected => html! { span.bad { "✗ " (word) } },
        pb::PromotionStatus::Open => html! { strong { "… " (word) } },
        pb::PromotionStatus::Withdrawn | pb::PromotionStatus::Closed | pb::PromotionStatus::Unspecified => {
            html! { "– " (word) }
        }
    }
}

/// What an approval means (21 CFR 11.50).
pub fn meaning(meaning: pb::ApprovalMeaning) -> String {
    plain(meaning.as_str_name(), "APPROVAL_MEANING_").replace('-', " ")
}

/// How an example stands.
pub fn example(status: pb::ExampleStatus) -> String {
    plain(status.as_str_name(), "EXAMPLE_STATUS_").replace('-', " ")
}

/// A role.
pub fn role(role: pb::Role) -> String {
    plain(role.as_str_name(), "ROLE_")
}

/// What is held against the bar.
pub fn bound(bound: pb::Bound) -> &'static str {
    match bound {
        pb::Bound::PassRate => "the pass rate",
        pb::Bound::Lower95 => "its one-sided 95 % lower bound",
        pb::Bound::Unspecified => "—",
    }
}

/// The results of an evaluation against the bars that were fixed before it.
pub fn verdicts(provenance: &pb::EvaluationProvenance) -> Markup {
    let suite = provenance.suite.clone().unwrap_or_default();
    let rows = provenance.verdicts.iter().map(|verdict| {
        vec![
            html! { (verdict.category) },
            judged(verdict.ok, "passes", "falls short"),
            html! { (verdict.passed) " of " (verdict.cases) },
            html! { (percent(verdict.rate_ppm)) },
            html! { (percent(verdict.lower_bound_ppm)) },
            html! { (percent(verdict.bar_ppm)) },
            html! { (verdict.needed) },
        ]
    });
    let caption =
        format!("Results by {}@{}; the bar is held against {}", suite.suite, suite.number, bound(suite.bound()));
    let heads = ["Category", "Verdict", "#Passed", "#Pass rate", "#Lower bound", "#Bar", "#Passes needed"];
    super::layout::table(&caption, &heads, rows.collect(), "There are no results yet.")
}
