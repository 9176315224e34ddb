//! `attestune replay --explain`: the log folded from nothing, event by event, in plain sentences.

use crate::{context::Context, output, problem, session::Session};
use attestune_ledger::{
    draft::{kind, plain},
    query::{Wrote, summary, wrote},
    refusal::printable,
    rules::{Folded, decode::decode},
    state::{MemoryState, Reader as _},
    time::iso,
};
use attestune_proto::v1::{Event, ReadRequest, Verdict};

/// Reads the log up to and with `to` (all of it without), folds it here and says of each entry from `from` on who did
/// what, how it was judged and what it changed.
///
/// # Errors
/// If there is no such position, or the log can't be read.
pub async fn run(context: &Context, from: u64, to: Option<u64>) -> anyhow::Result<()> {
    let session = context.connect().await?;
    let size = session.head().await?.size;
    let end = to.map_or(size, |to| to.saturating_add(1));
    if end > size || from >= end {
        return Err(problem::cannot(
            format!("there are no entries {from} to {}: the log has {size}", end - 1),
            "positions count from 0; see `attestune log tail`",
        ));
    }
    walk(context, &session, from, end).await
}

async fn walk(context: &Context, session: &Session, from: u64, end: u64) -> anyhow::Result<()> {
    let mut state = MemoryState::new();
    let mut entries = session.log().read(ReadRequest { from: 0, limit: end }).await?.into_inner();
    while let Some(entry) = entries.message().await? {
        let before = state.size();
        if entry.position != before {
            anyhow::bail!("entry {before} is missing: the log goes on with {}", entry.position);
        }
        let event = decode(&entry.value).ok().map(|decoded| decoded.event);
        let folded = state.push(entry.time_ms, entry.value)?;
        if entry.position < from {
            continue;
        }
        let step = Step::of(&state, entry.position, event, &folded)?;
        if context.json { println!("{}", step.json()) } else { step.print() }
    }
    if state.size() < end {
        anyhow::bail!("the log gave {} entries of {end}", state.size());
    }
    Ok(())
}

/// One entry explained.
struct Step {
    position: u64,
    time_ms: u64,
    actor: String,
    kind: String,
    did: String,
    verdict: Verdict,
    judged: String,
    code: &'static str,
    changed: Vec<String>,
}

impl Step {
    fn of(state: &MemoryState, position: u64, event: Option<Event>, folded: &Folded) -> anyhow::Result<Self> {
        let mut changed = Vec::new();
        for write in folded.effects.writes() {
            let before = state.row(&write.row, position)?;
            changed.extend(wrote(Wrote { row: &write.row, before: before.as_deref(), after: &write.value }));
        }
        let body = event.as_ref().and_then(|event| event.body.as_ref());
        Ok(Self {
            position,
            time_ms: folded.fold_time_ms,
            kind: body.map_or_else(String::new, |body| plain(kind(body).as_str_name(), "KIND_")),
            did: body.map_or_else(|| "an entry that is no event known here".into(), summary),
            actor: event.map(|event| printable(&event.actor)).unwrap_or_default(),
            verdict: folded.verdict,
            judged: judged(folded),
            code: folded.code(),
            changed,
        })
    }

    fn print(&self) {
        let who = if self.actor.is_empty() { String::new() } else { format!("{} ", self.actor) };
        println!("{:>6}  {}  {who}{}", self.position, iso(self.time_ms), self.did);
        println!("        {}", self.judged);
        self.changed.iter().for_each(|text| println!("        → {text}"));
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "position": self.position, "time_ms": self.time_ms, "actor": self.actor, "kind": self.kind,
            "summary": self.did, "verdict": output::verdict(self.verdict), "code": self.code,
            "judged": self.judged, "effects": self.changed,
        })
    }
}

/// The verdict as a sentence.
fn judged(folded: &Folded) -> String {
    let why = match (&folded.refusal, &folded.rejection) {
        (Some(refusal), _) => refusal.to_string(),
        (None, Some(rejection)) => rejection.to_string(),
        (None, None) => String::new(),
    };
    let code = folded.code();
    match folded.verdict {
        Verdict::Accepted if folded.effects.writes().is_empty() => {
            "accepted; it stands on the record and changes nothing".into()
        }
        Verdict::Accepted => "accepted".into(),
        Verdict::Refused => format!("refused, {code}: {}", printable(&why)),
        Verdict::Duplicate => format!("the same bytes as at {}: it counts once", folded.first.unwrap_or(0)),
        Verdict::Garbage | Verdict::Unspecified => format!("no event, {code}: {}", printable(&why)),
    }
}
