//! A log as a table that people read: a line for each entry, its verdict at the line's end.
//!
//! ```text
//! position  time (UTC)  who  kind  what, in words  → accepted
//!                                                  → refused: code (figure: value, …)
//!                                                  → no event: code (figure: value, …)
//!                                                  → the same bytes as at position
//! ```
//!
//! Who signed stands with a plus between the names, the actor first; `-` stands where there is nothing to be read.

use attestune_ledger::draft::{kind, plain};
use attestune_ledger::query::summary;
use attestune_ledger::rules::Folded;
use attestune_ledger::state::{Keys, View};
use attestune_proto::v1::{Envelope, Event, Verdict};
use attestune_replay_tests::World;
use chrono::{DateTime, SecondsFormat};
use prost::Message as _;

/// The lines of a world's log, one for each entry.
pub fn lines(world: &World) -> Vec<String> {
    let entries = (0u64..).zip(world.log.iter().zip(&world.folded));
    entries.map(|(position, ((time_ms, value), folded))| line(world, position, *time_ms, value, folded)).collect()
}

fn line(world: &World, position: u64, time_ms: u64, value: &[u8], folded: &Folded) -> String {
    let envelope = Envelope::decode(value).ok();
    let event = envelope.as_ref().and_then(|e| Event::decode(e.payload.as_slice()).ok());
    let body = event.as_ref().and_then(|e| e.body.as_ref());
    let kind = body.map_or("-".into(), |body| plain(kind(body).as_str_name(), "KIND_"));
    let words = body.map_or_else(|| "an entry that is no event known here".into(), summary);
    let who = envelope.zip(event.as_ref()).map_or("-".into(), |(envelope, event)| who(world, &envelope, event));
    format!("{position:>3}  {}  {who:<10}  {kind:<22}  {words:<62}  → {}", time(time_ms), verdict(folded))
}

/// The actor, and whoever else signed.
fn who(world: &World, envelope: &Envelope, event: &Event) -> String {
    let view = View::new(&world.state, world.next());
    let signers = envelope.signatures.iter().filter_map(|s| view.get(&Keys::key(&s.keyid))).map(|key| key.actor);
    let others: Vec<String> = signers.filter(|name| *name != event.actor).collect();
    [vec![event.actor.clone()], others].concat().join("+")
}

fn time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis);
    time.map_or_else(|| format!("{ms}ms"), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn verdict(folded: &Folded) -> String {
    let reason = folded.refusal.as_ref().map(|r| r.info()).or_else(|| folded.rejection.as_ref().map(|r| r.info()));
    let reason = reason.unwrap_or_default();
    let figures: Vec<String> = reason.figures.iter().map(|f| format!("{}: {}", f.name, f.value)).collect();
    let figures = if figures.is_empty() { String::new() } else { format!(" ({})", figures.join(", ")) };
    match folded.verdict {
        Verdict::Accepted => "accepted".into(),
        Verdict::Refused => format!("refused: {}{figures}", reason.code),
        Verdict::Duplicate => format!("the same bytes as at {}", folded.first.unwrap_or_default()),
        Verdict::Garbage | Verdict::Unspecified => format!("no event: {}{figures}", reason.code),
    }
}
