//! Following the log: what comes into force is made ready, and said on the log; again and again, so that silence shows.

use super::choose::is_served;
use super::retention::Retention;
use super::versions::{Unready, Version};
use super::{ActError, Serving};
use attestune_ledger::draft::plain;
use attestune_ledger::rules::policy;
use attestune_ledger::state::{Models, ServingChanges, Servings, Versions, View};
use attestune_proto::v1::{
    AlertKind, AlertRaised, ModelRow, ServedArm, ServingConfirmed, ServingOccasion, ServingPart, event::Body,
};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a wait for new entries lasts before anything else is looked after.
const WAIT: Duration = Duration::from_millis(250);
/// Heartbeats come as often where the policy asks for none.
const HEARTBEAT: Duration = Duration::from_secs(300);
/// What could not be loaded is looked at again after this long.
const RETRY: Duration = Duration::from_secs(10);

/// Versions of a model that may come into force next and are held ready for it: in staging, or before in production.
const READY_MAX: usize = 4;
/// So soon is looked again for a canary that was asked.
const SOON: Duration = Duration::from_millis(20);

/// What was said of a model last.
struct Said {
    /// What the log says: the version in force, and the challenger in an experiment; 0 for none.
    wanted: (u32, u32),
    /// What is really served.
    served: (u32, u32),
    confirmed: ServingConfirmed,
    version: Option<Arc<Version>>,
    at: Instant,
}

/// Follows until told to stop.
pub struct Follower<'a> {
    serving: &'a Serving,
    said: BTreeMap<String, Said>,
    not_here: BTreeSet<String>,
    /// How long changes took that are not confirmed yet, microseconds.
    switched_us: BTreeMap<(String, (u32, u32)), u64>,
    retention: Retention,
    /// Whether a canary is waited for.
    waits: bool,
    sequence: u64,
}

impl<'a> Follower<'a> {
    pub fn new(serving: &'a Serving) -> Self {
        Self {
            serving,
            said: BTreeMap::new(),
            not_here: BTreeSet::new(),
            switched_us: BTreeMap::new(),
            retention: Retention::default(),
            waits: false,
            sequence: 0,
        }
    }

    pub fn run(mut self) {
        let replica = &self.serving.replica;
        while !self.serving.stopping.load(Ordering::Relaxed) && replica.failure().is_none() {
            let folded = Instant::now();
            let size = replica.position();
            self.look(folded);
            self.serving.windows().serve(self.served());
            self.serving.close_windows(false);
            self.retention.look(self.serving);
            replica.wait_past(size, if self.waits { SOON } else { WAIT });
        }
        self.serving.close_windows(true);
        for (_, said) in std::mem::take(&mut self.said) {
            self.stop(said);
        }
    }

    /// Says that this server answers for a model no longer.
    fn stop(&mut self, said: Said) {
        let confirmed = ServingConfirmed { switch_us: 0, ..said.confirmed };
        self.confirm(confirmed, ServingOccasion::Stopped);
    }

    /// The versions that this server said it serves: those in force, and challengers in experiments.
    fn served(&self) -> BTreeSet<(String, u32)> {
        let versions = |(model, said): (&String, &Said)| {
            let challenger = said.confirmed.challenger.as_ref().map_or(0, |arm| arm.version);
            [said.confirmed.version, challenger].map(|version| (model.clone(), version))
        };
        self.said.iter().flat_map(versions).filter(|(_, version)| *version != 0).collect()
    }

    /// Compares what is served with what is in force.
    fn look(&mut self, folded: Instant) {
        self.waits = false;
        let store = self.serving.replica.view();
        let view = store.view();
        let models = view.scan(&Models::all());
        let silence = policy::in_force(&view).serving_silence_ms;
        let next: Vec<(String, u32)> = models.iter().flat_map(|model| ready_next(&view, model)).collect();
        if let Some(failure) = view.failure() {
            tracing::warn!(%failure, "what is in force can't be read; it is tried again");
            return;
        }
        let heartbeat = if silence == 0 { HEARTBEAT } else { Duration::from_millis(silence) / 3 };
        let mut kept: BTreeSet<(String, u32)> = next.iter().cloned().collect();
        for model in &models {
            let wanted = wanted(model);
            kept.extend([wanted.0, wanted.1].map(|version| (model.model.clone(), version)));
            if let Some(occasion) = self.occasion(&model.model, wanted, heartbeat) {
                self.serve(&model.model, wanted, view.size().saturating_sub(1), occasion, folded);
            }
        }
        self.serving.versions.let_go(&kept);
        // What comes into force next shall not have to be loaded then. One at a time: what is in force comes first.
        if let Some((model, number)) = next.iter().find(|(model, number)| !self.serving.versions.has(model, *number))
            && let Ok(version) = self.serving.versions.ready(model, *number)
        {
            version.canary(None);
        }
    }

    /// Whether something is to be said of a model now.
    fn occasion(&self, model: &str, wanted: (u32, u32), heartbeat: Duration) -> Option<ServingOccasion> {
        let Some(said) = self.said.get(model) else {
            let elsewhere = self.not_here.contains(&format!("{model}@{}", wanted.0));
            return (wanted.0 != 0 && !elsewhere).then_some(ServingOccasion::Changed);
        };
        let since = said.at.elapsed();
        match (said.wanted == wanted, said.served == wanted) {
            (true, true) => (since >= heartbeat).then_some(ServingOccasion::Heartbeat),
            (true, false) => (since >= RETRY).then_some(ServingOccasion::Changed),
            (false, _) => Some(ServingOccasion::Changed),
        }
    }

    /// Makes ready what is wanted, and says what came of it, once the canaries have answered.
    fn serve(&mut self, model: &str, wanted: (u32, u32), as_of: u64, occasion: ServingOccasion, folded: Instant) {
        let ready = |number: u32| (number != 0).then(|| self.serving.versions.ready(model, number)).transpose();
        let version = match ready(wanted.0) {
            Ok(version) => version,
            Err(Unready::NotHere(why)) => {
                tracing::warn!(model, version = wanted.0, why, "another server has to answer for this model");
                self.not_here.insert(format!("{model}@{}", wanted.0));
                if let Some(said) = self.said.remove(model) {
                    self.stop(said);
                }
                return;
            }
            Err(_) => None, // said in the log when it was tried
        };
        let challenger = version.as_ref().and_then(|_| ready(wanted.1).ok().flatten());
        let took_us = u64::try_from(folded.elapsed().as_micros()).unwrap_or(u64::MAX);
        let switch_us = match occasion {
            ServingOccasion::Changed => *self.switched_us.entry((model.to_owned(), wanted)).or_insert(took_us),
            _ => 0,
        };
        let before = self.said.get(model);
        let since = before.filter(|_| occasion == ServingOccasion::Heartbeat).map(|said| said.at);
        let described = match &version {
            None => Some(ServingConfirmed::default()),
            Some(version) => version.canary(since).map(|canary| describe(version, canary)),
        };
        let arm = match &challenger {
            None => Some(None),
            Some(arm) => arm.canary(since).map(|canary| Some(describe_arm(arm, canary))),
        };
        let (Some(described), Some(arm)) = (described, arm) else {
            self.waits = true;
            return;
        };
        let before = before.and_then(|said| said.version.clone()).filter(|before| before.number != wanted.0);
        let confirmed = ServingConfirmed {
            server: self.serving.server.clone(),
            model: model.to_owned(),
            as_of,
            challenger: arm,
            switch_us,
            draining: before.map_or(0, |before| before.in_flight()),
            ..described
        };
        let served = (confirmed.version, challenger.map_or(0, |arm| arm.number));
        if occasion == ServingOccasion::Changed {
            tracing::info!(model, version = served.0, challenger = served.1, as_of, switch_us, "serving");
        }
        self.switched_us.retain(|(other, _), _| other != model);
        let said = Said { wanted, served, confirmed: confirmed.clone(), version, at: Instant::now() };
        self.said.insert(model.to_owned(), said);
        self.confirm(confirmed, occasion);
    }

    /// Puts it on the log; where it differs from the record, an alert goes with it.
    fn confirm(&mut self, confirmed: ServingConfirmed, occasion: ServingOccasion) {
        self.sequence += 1;
        let confirmed = ServingConfirmed { occasion: occasion.into(), sequence: self.sequence, ..confirmed };
        let (model, version) = (confirmed.model.clone(), confirmed.version);
        match self.serving.act(Body::ServingConfirmed(confirmed)) {
            Ok(position) => self.alert(&model, position),
            Err(ActError::Refused(why) | ActError::Failed(why)) => {
                tracing::warn!(model, version, why, "what is served could not be put on the log");
                // So that it is tried again soon.
                if let Some(said) = self.said.get_mut(&model) {
                    said.served = (u32::MAX, u32::MAX);
                }
            }
        }
    }

    fn alert(&self, model: &str, position: u64) {
        let serving = self.serving;
        let store = serving.replica.view();
        let view = store.view();
        let Some(row) = view.get(&Servings::key(model, &serving.actor, &serving.server)) else { return };
        // One that is known as evidence is a change; the same difference again is not raised again.
        if row.differs.is_empty() || view.get(&ServingChanges::key(model, position)).is_none() {
            return;
        }
        let parts: Vec<String> =
            row.differs().map(|part: ServingPart| plain(part.as_str_name(), "SERVING_PART_")).collect();
        tracing::error!(model, position, differs = parts.join(", "), "what is served is not what the log says");
        let in_force = view.get(&Models::key(model)).map_or(0, |row| row.in_force);
        let version =
            row.confirmed.map(|confirmed| confirmed.version).filter(|version| *version != 0).unwrap_or(in_force);
        let alert = AlertRaised {
            model: model.to_owned(),
            version,
            kind: AlertKind::ServingMismatch.into(),
            subject: serving.server.clone(),
            evidence: vec![position],
            ..AlertRaised::default()
        };
        match serving.act(Body::AlertRaised(alert)) {
            Ok(_) => {}
            // It is open already, or the policy lets a gateway raise none.
            Err(ActError::Refused(why) | ActError::Failed(why)) => tracing::warn!(model, why, "no alert was raised"),
        }
    }
}

/// What the log says is to be served: the version in force, and the challenger in an experiment.
fn wanted(model: &ModelRow) -> (u32, u32) {
    match model.halted_at {
        Some(_) => (0, 0),
        None => (model.in_force, model.experiment.map_or(0, |_| model.challenger)),
    }
}

/// The newest versions that a promotion or a rollback can bring into force.
fn ready_next(view: &View<'_>, model: &ModelRow) -> Vec<(String, u32)> {
    let served = model.in_force != 0 || model.halted_at.is_some();
    let versions = if served { view.scan(&Versions::under(model.model.as_str())) } else { Vec::new() };
    let may = versions
        .into_iter()
        .rev()
        .filter(|version| is_served(version) && version.rolled_back_at == 0 && version.version != model.in_force);
    may.take(READY_MAX).map(|version| (version.model, version.version)).collect()
}

/// What was loaded.
fn describe(version: &Version, canary_digest: Vec<u8>) -> ServingConfirmed {
    let facts = version.loaded.facts();
    let mut settings: Vec<String> = super::settings(&facts).map(|(name, value)| format!("{name}={value}\n")).collect();
    settings.sort();
    ServingConfirmed {
        version: version.number,
        weights_digest: facts.weights_digest,
        adapter_digest: version.adapter_digest.clone(),
        tokenizer_digest: facts.tokenizer_digest,
        template_digest: facts.template_digest,
        decoding_digest: Sha256::digest(settings.concat()).to_vec(),
        canary_digest,
        ..ServingConfirmed::default()
    }
}

fn describe_arm(arm: &Version, canary_digest: Vec<u8>) -> ServedArm {
    ServedArm { version: arm.number, adapter_digest: arm.adapter_digest.clone(), canary_digest }
}
