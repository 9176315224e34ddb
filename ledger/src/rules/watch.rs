//! What was seen of served traffic, and the alerts that come of it.

use super::{Act, check};
use crate::refusal::Refusal;
use crate::state::{
    Alerts, Effects, Experiments, LatestAlerts, LatestWindows, ServingChanges, Versions, View, Windows,
};
use attestune_proto::v1::{
    AlertAcknowledged, AlertAction, AlertKind, AlertRaised, AlertRow, CategoryResult, PositionRow, Quantiles,
    WindowObserved, WindowRow,
};

/// A server's window of its traffic, or a monitor's reading of servers' windows.
///
/// Refusals, in this order: malformed, figures that contradict one another, no such version, a window before the last
/// one's end; for a monitor, no such window, read before.
pub fn observe(view: &View<'_>, act: &Act<'_>, body: &WindowObserved) -> Result<Effects, Refusal> {
    well_formed(body)?;
    consistent(body)?;
    let Some(version) = view.get(&Versions::key(&body.model, body.version)) else {
        return Err(Refusal::UnknownVersion { model: body.model.clone(), version: body.version });
    };
    let row = WindowRow {
        position: act.position,
        signer: Some(act.signer()),
        model: body.model.clone(),
        version: body.version,
        from_ms: body.from_ms,
        to_ms: body.to_ms,
        server: body.server.clone(),
        requests: body.requests,
        read_at: 0,
    };
    let latest = LatestWindows::key(&body.model, body.version, &act.event.actor, &body.server);
    if let Some(last) = view.get(&latest)
        && !body.server.is_empty()
        && body.from_ms < last.to_ms
    {
        return Err(Refusal::WindowOverlaps { from_ms: body.from_ms, last_ms: last.to_ms });
    }
    let read = read(view, body)?;
    let mut effects = Effects::none().and(&Windows::key(&body.model, act.position), &row).and(&latest, &row);
    for window in read {
        let name = Windows::key(&body.model, window.position);
        effects.put(&name, &WindowRow { read_at: act.position, ..window });
    }
    let sources = body.windows.iter().copied().chain([version.position]);
    Ok(effects.made_from(act.position, sources))
}

/// The servers' windows that a monitor read: each is read once.
fn read(view: &View<'_>, body: &WindowObserved) -> Result<Vec<WindowRow>, Refusal> {
    let mut windows = Vec::with_capacity(body.windows.len());
    let mut requests = 0u64;
    for position in &body.windows {
        let window = view.get(&Windows::key(&body.model, *position));
        let window = window.filter(|w| w.version == body.version && !w.server.is_empty());
        let window = window.ok_or(Refusal::UnknownWindow { position: *position })?;
        if window.read_at != 0 {
            return Err(Refusal::DoneBefore { first: window.read_at });
        }
        requests = requests.saturating_add(window.requests);
        windows.push(window);
    }
    if !windows.is_empty() && requests != body.requests {
        return Err(Refusal::WindowUnfit { what: "another number of requests than its windows have" });
    }
    Ok(windows)
}

fn well_formed(body: &WindowObserved) -> Result<(), Refusal> {
    let bad = |field, rule| Err(Refusal::BadField { field, rule });
    check::id("model", &body.model)?;
    if body.from_ms >= body.to_ms {
        return bad("to_ms", "must lie after from_ms");
    }
    if body.server.is_empty() {
        check::batch_len("windows", body.windows.len())?;
        check::ascending("windows", body.windows.iter())?;
        if !body.requests_root.is_empty() || !body.packs.is_empty() {
            return bad("requests_root", "and packs are for a server's window");
        }
    } else {
        check::id("server", &body.server)?;
        check::digest("requests_root", &body.requests_root)?;
        if !body.windows.is_empty() {
            return bad("windows", "are for a monitor's window");
        }
        if body.packs.len() > 64 {
            return bad("packs", "may be 64");
        }
        body.packs.iter().try_for_each(|pack| check::pack(pack))?;
    }
    names("judged", body.judged.iter().map(|c| &c.category))?;
    names("reviewed", body.reviewed.iter().map(|c| &c.category))?;
    names("outcomes", body.outcomes.iter().map(|c| &c.category))?;
    names("pii", body.pii.iter().map(|c| &c.entity))?;
    names("drift", body.drift.iter().map(|d| &d.feature))?;
    names("cusum", body.cusum.iter().map(|c| &c.category))?;
    check::environment(&body.environment)
}

/// At most 512 identifiers, ascending.
fn names<'a>(field: &'static str, names: impl Iterator<Item = &'a String> + Clone) -> Result<(), Refusal> {
    if names.clone().count() > check::BATCH_MAX {
        return Err(Refusal::BadField { field, rule: "may have 512 items" });
    }
    names.clone().try_for_each(|name| check::id(field, name))?;
    check::ascending(field, names)
}

fn consistent(body: &WindowObserved) -> Result<(), Refusal> {
    let unfit = |what| Err(Refusal::WindowUnfit { what });
    let parts = [body.errors, body.refusals, body.format_failures];
    if parts.iter().any(|part| *part > body.requests) {
        return unfit("more errors, refusals or format failures than requests");
    }
    let judged = body.judged.iter().chain(&body.reviewed).chain(&body.outcomes);
    let passes = |result: &CategoryResult| result.passed <= result.cases;
    if !judged.into_iter().all(passes) {
        return unfit("more passes than cases");
    }
    let quantiles = [&body.prompt_tokens, &body.answer_tokens, &body.first_token_us, &body.latency_us];
    let ordered = |q: &Quantiles| q.p50 <= q.p90 && q.p90 <= q.p99 && q.p99 <= q.max && q.count <= body.requests;
    if !quantiles.into_iter().flatten().all(ordered) {
        return unfit("quantiles out of order, or of more than its requests");
    }
    if body.drift.iter().any(|d| d.p_ppm > 1_000_000 || d.statistic_ppm > 1_000_000) {
        return unfit("a probability above 1");
    }
    if body.cusum.iter().any(|c| c.sum_milli > c.max_milli) {
        return unfit("a sum above its greatest value");
    }
    Ok(())
}

/// Something is wrong, and here is what shows it. The same is raised again only once somebody has acknowledged it.
///
/// Refusals, in this order: malformed, no such version, what is named is no evidence, raised already.
pub fn raise(view: &View<'_>, act: &Act<'_>, body: &AlertRaised) -> Result<Effects, Refusal> {
    check::id("model", &body.model)?;
    check::known::<AlertKind>("kind", body.kind)?;
    if !body.subject.is_empty() {
        check::id("subject", &body.subject)?;
    }
    for (field, figure) in [("observed", &body.observed), ("allowed", &body.allowed)] {
        if !figure.is_empty() && check::sign(figure).is_none() {
            return Err(Refusal::BadField { field, rule: "must be a decimal such as 0.95" });
        }
    }
    if body.evidence.is_empty() || body.evidence.len() > 64 {
        return Err(Refusal::BadField { field: "evidence", rule: "must be 1 to 64 positions" });
    }
    check::ascending("evidence", body.evidence.iter())?;
    if view.get(&Versions::key(&body.model, body.version)).is_none() {
        return Err(Refusal::UnknownVersion { model: body.model.clone(), version: body.version });
    }
    for position in &body.evidence {
        if !shows(view, &body.model, *position) {
            return Err(Refusal::EvidenceUnfit { position: *position });
        }
    }
    let latest = LatestAlerts::key(&body.model, body.version, body.kind.unsigned_abs(), &body.subject);
    if let Some(PositionRow { position }) = view.get(&latest)
        && view.get(&Alerts::key(position)).is_some_and(|alert| alert.acknowledged.is_none())
    {
        return Err(Refusal::AlertOpen { position });
    }
    let row = AlertRow {
        position: act.position,
        signer: Some(act.signer()),
        raised: Some(body.clone()),
        ..Default::default()
    };
    Ok(Effects::none()
        .and(&Alerts::key(act.position), &row)
        .and(&latest, &PositionRow { position: act.position })
        .made_from(act.position, body.evidence.iter().copied()))
}

fn shows(view: &View<'_>, model: &str, position: u64) -> bool {
    let experiment = || view.get(&Experiments::key(position)).and_then(|row| row.started);
    view.get(&Windows::key(model, position)).is_some()
        || view.get(&ServingChanges::key(model, position)).is_some()
        || experiment().is_some_and(|started| started.model == model)
}

/// Somebody has seen an alert.
pub fn acknowledge(view: &View<'_>, act: &Act<'_>, body: &AlertAcknowledged) -> Result<Effects, Refusal> {
    check::known::<AlertAction>("action", body.action)?;
    let Some(alert) = view.get(&Alerts::key(body.alert)) else {
        return Err(Refusal::UnknownAlert { position: body.alert });
    };
    if let Some(first) = &alert.acknowledged {
        return Err(Refusal::DoneBefore { first: first.position });
    }
    let row = AlertRow { acknowledged: Some(act.signer()), action: body.action, ..alert };
    Ok(Effects::none().and(&Alerts::key(body.alert), &row))
}
