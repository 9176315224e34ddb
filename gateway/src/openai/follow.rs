//! Following the log: what comes into force is made ready, and said on the log; again and again, so that silence shows.

use super::engine::{Ask, Event};
use super::versions::{Unready, Version};
use super::{ActError, Serving};
use attestune_ledger::draft::plain;
use attestune_ledger::rules::policy;
use attestune_ledger::state::{Models, ServingChanges, Servings};
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

/// What a version answers shows that it is the same everywhere: the likeliest 16 tokens after this.
const CANARY: &str = "The quick brown fox";
const CANARY_TOKENS: usize = 16;
/// How long a canary may take on a busy server.
const CANARY_WAIT: Duration = Duration::from_secs(60);

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
    sequence: u64,
}

impl<'a> Follower<'a> {
    pub fn new(serving: &'a Serving) -> Self {
        Self { serving, said: BTreeMap::new(), not_here: BTreeSet::new(), sequence: 0 }
    }

    pub fn run(mut self) {
        let replica = &self.serving.replica;
        while !self.serving.stopping.load(Ordering::Relaxed) && replica.failure().is_none() {
            let folded = Instant::now();
            let size = replica.position();
            self.look(folded);
            self.serving.close_windows(false);
            replica.wait_past(size, WAIT);
        }
        self.serving.close_windows(true);
        for (_, said) in std::mem::take(&mut self.said) {
            let confirmed = ServingConfirmed { switch_us: 0, ..said.confirmed };
            self.confirm(confirmed, ServingOccasion::Stopped);
        }
    }

    /// Compares what is served with what is in force.
    fn look(&mut self, folded: Instant) {
        let store = self.serving.replica.view();
        let view = store.view();
        let models = view.scan(&Models::all());
        let silence = policy::in_force(&view).serving_silence_ms;
        if let Some(failure) = view.failure() {
            tracing::warn!(%failure, "what is in force can't be read; it is tried again");
            return;
        }
        let heartbeat = if silence == 0 { HEARTBEAT } else { Duration::from_millis(silence) / 3 };
        let mut kept = BTreeSet::new();
        for model in &models {
            let wanted = wanted(model);
            kept.extend([wanted.0, wanted.1].map(|version| (model.model.clone(), version)));
            let occasion = match self.said.get(&model.model) {
                None if wanted.0 == 0 || self.not_here.contains(&format!("{}@{}", model.model, wanted.0)) => continue,
                Some(said) if said.wanted == wanted && said.served == wanted && said.at.elapsed() < heartbeat => {
                    continue;
                }
                Some(said) if said.wanted == wanted && said.served != wanted && said.at.elapsed() < RETRY => continue,
                Some(said) if said.wanted == wanted && said.served == wanted => ServingOccasion::Heartbeat,
                _ => ServingOccasion::Changed,
            };
            self.serve(&model.model, wanted, view.size().saturating_sub(1), occasion, folded);
        }
        self.serving.versions.let_go(&kept);
    }

    /// Makes ready what is wanted, and says what came of it.
    fn serve(&mut self, model: &str, wanted: (u32, u32), as_of: u64, occasion: ServingOccasion, folded: Instant) {
        let ready = |number: u32| (number != 0).then(|| self.serving.versions.ready(model, number)).transpose();
        let version = match ready(wanted.0) {
            Ok(version) => version,
            Err(Unready::NotHere(why)) => {
                tracing::warn!(model, version = wanted.0, why, "another server has to answer for this model");
                self.not_here.insert(format!("{model}@{}", wanted.0));
                return;
            }
            Err(_) => None, // said in the log when it was tried
        };
        let challenger = version.as_ref().and_then(|_| ready(wanted.1).ok().flatten());
        let switch_us = match occasion {
            ServingOccasion::Changed => u64::try_from(folded.elapsed().as_micros()).unwrap_or(u64::MAX),
            _ => 0,
        };
        let before = self.said.get(model).and_then(|said| said.version.clone());
        let draining = before.filter(|before| before.number != wanted.0).map_or(0, |before| before.in_flight());
        let confirmed = ServingConfirmed {
            server: self.serving.server.clone(),
            model: model.to_owned(),
            as_of,
            switch_us,
            draining,
            ..version.as_deref().map_or_else(ServingConfirmed::default, describe)
        };
        let arm = challenger.as_deref().map(|arm| ServedArm {
            version: arm.number,
            adapter_digest: arm.adapter_digest.clone(),
            canary_digest: canary(arm),
        });
        let confirmed = ServingConfirmed { challenger: arm, ..confirmed };
        let served = (confirmed.version, challenger.map_or(0, |arm| arm.number));
        if occasion == ServingOccasion::Changed {
            tracing::info!(model, version = served.0, challenger = served.1, as_of, switch_us, "serving");
        }
        self.said.insert(
            model.to_owned(),
            Said { wanted, served, confirmed: confirmed.clone(), version, at: Instant::now() },
        );
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

/// What was loaded.
fn describe(version: &Version) -> ServingConfirmed {
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
        canary_digest: canary(version),
        ..ServingConfirmed::default()
    }
}

/// The digest of the canary's answer; of another text where there is none, so that it differs.
fn canary(version: &Version) -> Vec<u8> {
    let answer = ask_canary(version).unwrap_or_else(|why| {
        tracing::warn!(model = version.model, version = version.number, why, "the canary gave no answer");
        format!("no answer: {why}")
    });
    Sha256::digest(answer).to_vec()
}

fn ask_canary(version: &Version) -> Result<String, String> {
    let prompt = version.loaded.encode(CANARY).map_err(|error| error.to_string())?;
    let ask = Ask {
        answer_max: CANARY_TOKENS.min(version.loaded.tokens_max().saturating_sub(prompt.len())),
        prompt,
        temperature: 0.0,
        top_p: 1.0,
        seed: 0,
        stops: Vec::new(),
        thoughts: None,
        on_prompt: false,
    };
    let until = Instant::now() + CANARY_WAIT;
    let mut events = loop {
        match version.loaded.ask(ask.clone()) {
            Ok(events) => break events,
            // All places are taken: it waits for one like everybody.
            Err(_) if Instant::now() < until => std::thread::sleep(WAIT),
            Err(error) => return Err(error.to_string()),
        }
    };
    let mut text = String::new();
    loop {
        match events.blocking_recv() {
            Some(Event::Piece { text: more, .. }) => text.push_str(&more),
            Some(Event::End { .. }) => return Ok(text),
            Some(Event::Prompt(_)) => {}
            Some(Event::Failed(why)) => return Err(why),
            None => return Err("the engine has ended".into()),
        }
    }
}
