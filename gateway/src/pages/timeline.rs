//! What happened, newest first, by actor, model, kind, verdict and period. A page looks at a stretch of the log and says
//! which.

use super::ask::Ask;
use super::error::PageError;
use super::layout::{self, table};
use super::moment::{Moment, MomentError};
use super::text::{actor, at, shown, time, verdict};
use crate::access::blocking;
use attestune_ledger::draft::plain;
use attestune_ledger::replica::ReplicaError;
use attestune_proto::v1::{HistoryEvent, HistoryRequest, Kind, Verdict};
use axum::response::Html;
use maud::{Markup, html};

/// Entries that one page looks at.
const STRETCH: u64 = 2_000;
/// Events that one page shows.
const SHOWN: usize = 100;

/// The timeline.
pub async fn page(ask: Ask) -> Result<Html<String>, PageError> {
    let filter = Filter::read(&ask).await?;
    let end = filter.end(&ask);
    let from = end.saturating_sub(STRETCH).max(filter.from);
    let request = HistoryRequest { from, to: end, ..filter.request() };
    // A stretch of nothing would be the whole log.
    let mut events = if from < end { ask.history(request).await? } else { Vec::new() };
    events.reverse();
    let more = events.len() > SHOWN;
    events.truncate(SHOWN);
    let begin = if more { events.last().map_or(from, |event| event.position) } else { from };
    let body = html! {
        (form(&ask, &filter))
        p {
            @if begin < end { "Looked at positions " (begin) " to " (end - 1) ", newest first." }
            @else { "There is nothing in this period." }
            @if begin > filter.from {
                " " a href=(ask.older(begin)) rel="next" { "Older: before position " (begin) }
            }
        }
        (table("Events", &["#Position", "Time (UTC)", "Who", "What", "Verdict"], rows(&ask, &events), "Nothing here fits. Older events may."))
    };
    Ok(layout::page(&ask, "Timeline", body))
}

fn rows(ask: &Ask, events: &[HistoryEvent]) -> Vec<Vec<Markup>> {
    let row = |event: &HistoryEvent| {
        vec![
            at(ask, event.position),
            time(event.time_ms),
            actor(ask, &event.actor),
            html! { (shown(&event.summary)) },
            html! { (verdict(event.verdict())) @if let Some(refusal) = &event.refusal { " " code { (refusal.code) } } },
        ]
    };
    events.iter().map(row).collect()
}

/// What is looked for.
struct Filter {
    actor: String,
    model: String,
    kind: Option<Kind>,
    verdict: Option<Verdict>,
    /// First position of the period, and the one after its last.
    from: u64,
    to: u64,
    /// Only what stands before this position: the way to older pages.
    before: Option<u64>,
}

impl Filter {
    async fn read(ask: &Ask) -> Result<Self, PageError> {
        let kind = ask.query("kind");
        let known = kinds().find(|known| name(*known) == kind);
        if !kind.is_empty() && known.is_none() {
            return Err(PageError::Bad(format!("`{kind}` is no kind of event")));
        }
        let verdict = ask.query("verdict");
        let word = VERDICTS.into_iter().find(|known| plain(known.as_str_name(), "VERDICT_") == verdict);
        let from = match moment(ask, "since").await? {
            Some(moment) => moment.position + 1,
            None => 0,
        };
        let to = moment(ask, "until").await?.map_or(u64::MAX, |moment| moment.position + 1);
        Ok(Self {
            actor: ask.query("actor").into(),
            model: ask.query("model").into(),
            kind: known,
            verdict: word,
            from,
            to,
            before: ask.query("before").parse().ok(),
        })
    }

    /// The position after the last one to look at.
    fn end(&self, ask: &Ask) -> u64 {
        (ask.moment.position + 1).min(self.to).min(self.before.unwrap_or(u64::MAX))
    }

    fn request(&self) -> HistoryRequest {
        HistoryRequest {
            model: self.model.clone(),
            actor: self.actor.clone(),
            kinds: self.kind.map(|kind| kind as i32).into_iter().collect(),
            verdict: self.verdict.unwrap_or_default() as i32,
            ..Default::default()
        }
    }
}

/// One end of the period; a time before the ledger is none.
async fn moment(ask: &Ask, end: &str) -> Result<Option<Moment>, PageError> {
    let (replica, asked) = (ask.services.gateway.replica.clone(), ask.query(end).to_owned());
    if asked.is_empty() {
        return Ok(None);
    }
    match blocking(move || Ok(Moment::find(&replica, Some(&asked)))).await? {
        Ok(moment) => Ok(Some(moment)),
        Err(MomentError::Replica(ReplicaError::BeforeTheLedger { .. })) if end == "since" => Ok(None),
        Err(error) => Err(error.into()),
    }
}

const VERDICTS: [Verdict; 4] = [Verdict::Accepted, Verdict::Refused, Verdict::Duplicate, Verdict::Garbage];

fn kinds() -> impl Iterator<Item = Kind> {
    (1..200).filter_map(|number| Kind::try_from(number).ok())
}

fn name(kind: Kind) -> String {
    plain(kind.as_str_name(), "KIND_")
}

fn form(ask: &Ask, filter: &Filter) -> Markup {
    html! {
        form.filters method="get" action="/timeline" aria-label="Filters" {
            @if let Some(asked) = &ask.moment.asked { input type="hidden" name="at" value=(asked); }
            label { "Actor " input type="text" name="actor" value=(filter.actor) maxlength="64"; }
            label { "Model " input type="text" name="model" value=(filter.model) maxlength="64"; }
            label { "Kind " select name="kind" {
                option value="" { "any" }
                @for kind in kinds() { option value=(name(kind)) selected[filter.kind == Some(kind)] { (name(kind)) } }
            } }
            label { "Verdict " select name="verdict" {
                option value="" { "any" }
                @for verdict in VERDICTS {
                    @let word = plain(verdict.as_str_name(), "VERDICT_");
                    option value=(word) selected[filter.verdict == Some(verdict)] { (word) }
                }
            } }
            label { "After (UTC) " input type="datetime-local" step="1" name="since" value=(ask.query("since")); }
            label { "Up to (UTC) " input type="datetime-local" step="1" name="until" value=(ask.query("until")); }
            button { "Show" }
        }
    }
}
