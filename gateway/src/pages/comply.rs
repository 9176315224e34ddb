//! What the ledger says to clauses of regulations: all packs at a glance, and one of them clause by clause.

use super::ask::Ask;
use super::error::PageError;
use super::layout::{self, facts, table};
use super::text::{at, shown};
use attestune_ledger::log::{Clock as _, SystemClock};
use attestune_ledger::time::iso;
use attestune_proto::v1::compliance_server::Compliance as _;
use attestune_proto::v1::{
    AnswerStatus, ClauseAnswer, ClauseStatus, ComplyRequest, ComplyResponse, PackAnswer, QuestionAnswer,
};
use axum::extract::Path;
use axum::response::Html;
use maud::{Markup, html};

/// Events behind an answer that are linked.
const EVENTS: usize = 12;

/// All packs at a glance.
pub async fn index(ask: Ask) -> Result<Html<String>, PageError> {
    let answer = answers(&ask, "").await?;
    let rows = answer.packs.iter().map(|pack| {
        let count = |status| pack.clauses.iter().filter(|clause| clause.status() == status).count();
        vec![
            html! { a href=(ask.link(&format!("/comply/{}", pack.pack))) { (pack.title) } },
            html! { (count(ClauseStatus::Met)) },
            html! { @match count(ClauseStatus::Gap) { 0 => "0", gaps => strong.bad { "✗ " (gaps) } } },
            html! { (count(ClauseStatus::NotApplicable)) },
            html! { (count(ClauseStatus::ForPeople)) },
            html! { (pack.dated) },
        ]
    });
    let heads = ["Text", "#Met", "#Gaps", "#Not applicable", "#For people", "Pack of"];
    let body = html! {
        (reckoned(&answer))
        (table("Clauses by what the ledger says to them", &heads, rows.collect(), "This build has no packs."))
        @if let Some(pack) = answer.packs.first() { p { (pack.notice) } }
    };
    Ok(layout::page(&ask, "Compliance", body))
}

/// One pack, clause by clause.
pub async fn pack(ask: Ask, Path(name): Path<String>) -> Result<Html<String>, PageError> {
    let answer = answers(&ask, &name).await?;
    let missing = || PageError::Missing(format!("There is no pack `{name}`."));
    let pack = answer.packs.first().ok_or_else(missing)?;
    let body = html! {
        (reckoned(&answer))
        (facts(vec![
            ("Text", html! { (pack.edition) }),
            ("Pack", html! { (pack.pack) "@" (pack.version) " of " (pack.dated) }),
            ("Mind", html! { (pack.notice) }),
        ]))
        (contents(pack))
        @for clause in &pack.clauses { (section(&ask, clause, &answer.questions)) }
    };
    Ok(layout::page(&ask, &pack.title, body))
}

/// The answers as of the moment; lateness is reckoned from then, or from now by this server's clock.
async fn answers(ask: &Ask, pack: &str) -> Result<ComplyResponse, PageError> {
    let past = ask.moment.position < ask.moment.newest;
    let now_ms = if past { 0 } else { SystemClock.now_ms() };
    let request = ComplyRequest { pack: pack.into(), now_ms, as_of: ask.moment.as_of() };
    Ok(ask.services.comply(ask.request(request)).await?.into_inner())
}

fn reckoned(answer: &ComplyResponse) -> Markup {
    html! { p { "As of position " (answer.as_of_position) ", lateness reckoned at " (iso(answer.now_ms)) "." } }
}

fn contents(pack: &PackAnswer) -> Markup {
    let rows = pack.clauses.iter().map(|clause| {
        vec![
            html! { a href={ "#clause-" (anchor(&clause.clause)) } { (clause.clause) } },
            clause_word(clause.status()),
            shown(&clause.asks),
        ]
    });
    table("Clauses, paraphrased", &["Clause", "Status", "What it asks"], rows.collect(), "The pack has none.")
}

/// A clause's name as a fragment of an address.
fn anchor(clause: &str) -> String {
    clause.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '-' }).collect()
}

fn section(ask: &Ask, clause: &ClauseAnswer, answers: &[QuestionAnswer]) -> Markup {
    let asked = clause.questions.iter().filter_map(|asked| {
        let answer = answers.iter().find(|answer| answer.question == asked.question)?;
        Some((asked, answer))
    });
    html! {
        section id={ "clause-" (anchor(&clause.clause)) } aria-label=(clause.clause) {
            h2 { (clause.clause) " " (clause_word(clause.status())) }
            p { (clause.asks) }
            @for (asked, answer) in asked {
                p {
                    (answer_word(answer.status())) " " code { (answer.question) }
                    @if asked.supports { " (in support)" }
                    ": " (answer.text)
                }
                p.dim { (asked.because) }
                @if !asked.too_short.is_empty() { ul { li { "✗ " (asked.too_short) } } }
                (gaps(ask, answer))
                (events(ask, answer))
            }
            @if !clause.people.is_empty() { p { strong { "For people: " } (clause.people) } }
        }
    }
}

fn gaps(ask: &Ask, answer: &QuestionAnswer) -> Markup {
    html! { @if !answer.gaps.is_empty() {
        ul { @for gap in &answer.gaps { li { "✗ " (shown(&gap.text)) " " (at(ask, gap.position)) } } }
        @if answer.short > answer.gaps.len() as u64 { p { "… and " (answer.short - answer.gaps.len() as u64) " more" } }
    } }
}

fn events(ask: &Ask, answer: &QuestionAnswer) -> Markup {
    html! { @if !answer.positions.is_empty() {
        p.dim {
            "Behind it: "
            @for position in answer.positions.iter().take(EVENTS) { (at(ask, *position)) " " }
            @if answer.positions.len() > EVENTS { "…" }
        }
    } }
}

fn clause_word(status: ClauseStatus) -> Markup {
    match status {
        ClauseStatus::Met => html! { span.good { "✓ met" } },
        ClauseStatus::Gap => html! { span.bad { "✗ gap" } },
        ClauseStatus::NotApplicable => html! { "– not applicable" },
        ClauseStatus::ForPeople => html! { "◇ for people" },
        ClauseStatus::Unspecified => html! { "?" },
    }
}

fn answer_word(status: AnswerStatus) -> Markup {
    match status {
        AnswerStatus::Met => html! { span.good { "✓ met" } },
        AnswerStatus::Gap => html! { span.bad { "✗ gap" } },
        AnswerStatus::NotApplicable => html! { "– not applicable" },
        AnswerStatus::Unspecified => html! { "?" },
    }
}

#[cfg(test)]
mod tests {
    use super::anchor;

    #[test]
    fn a_clauses_name_becomes_a_fragment() {
        assert_eq!(anchor("Art. 12(1)"), "Art--12-1-");
    }
}
