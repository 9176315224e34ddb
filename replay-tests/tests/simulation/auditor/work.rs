//! The books on runs and evaluations: one holder at a time, one end each.

use super::data::Data;
use super::{Act, Audit, By, Who, ensure};
use attestune_proto::v1::{
    CategoryResult, EvaluationCompleted, EvaluationRequested, Kind, LeakageChecked, SuiteRegistered,
    TrainingProgressed, TrainingRequested,
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct Works {
    /// Runs and evaluations by the position of their request.
    pub all: BTreeMap<u64, Work>,
    suites: BTreeMap<u64, SuiteRegistered>,
    /// Dataset and suite: on whose word, and how many cases leaked.
    leakages: BTreeMap<(u64, u64), (By, u32)>,
    /// The newest completed evaluation of a version by a suite's name.
    latest: BTreeMap<(String, u32, String), u64>,
}

/// A run or an evaluation.
#[derive(Clone)]
pub struct Work {
    pub model: String,
    pub requested_by: String,
    pub claimed_by: BTreeSet<String>,
    /// Of a run its dataset, of an evaluation its suite.
    pub on: u64,
    /// Of an evaluation.
    version: u32,
    lease: Option<Lease>,
    ended_at: Option<u64>,
    results: Vec<CategoryResult>,
    completed_by: Option<By>,
}

#[derive(Clone)]
struct Lease {
    token: u64,
    holder: By,
    expires_ms: u64,
}

impl Lease {
    fn lives(&self, act: &Act<'_>, who: &Who) -> bool {
        act.time_ms <= self.expires_ms && self.token >= who.clock_at
    }
}

impl Works {
    pub fn request_training(&mut self, act: &Act<'_>, data: &Data, body: &TrainingRequested) -> Audit {
        ensure(data.datasets.contains_key(&body.dataset), || "a training on what nobody froze".into())?;
        self.open(act, &body.model, body.dataset, 0)
    }

    pub fn request_evaluation(&mut self, act: &Act<'_>, body: &EvaluationRequested) -> Audit {
        ensure(self.suites.contains_key(&body.suite), || "an evaluation by no suite".into())?;
        self.open(act, &body.model, body.suite, body.version)
    }

    fn open(&mut self, act: &Act<'_>, model: &str, on: u64, version: u32) -> Audit {
        let work = Work {
            model: model.into(),
            requested_by: act.by.actor.clone(),
            claimed_by: BTreeSet::new(),
            on,
            version,
            lease: None,
            ended_at: None,
            results: Vec::new(),
            completed_by: None,
        };
        self.all.insert(act.at, work);
        Ok(())
    }

    pub fn claim(&mut self, act: &Act<'_>, who: &Who, at: u64, previous: Option<u64>, lease_ms: u64) -> Audit {
        let work = self.going_on(at)?;
        let current = work.lease.as_ref();
        ensure(previous == current.map(|lease| lease.token), || "the claim replaces another than the last".into())?;
        let held = current.filter(|lease| lease.lives(act, who) && lease.holder != act.by);
        ensure(held.is_none(), || format!("{} holds it: {:?}", at, held.map(|lease| &lease.holder)))?;
        let expires_ms = act.time_ms + lease_ms;
        work.lease = Some(Lease { token: act.at, holder: act.by.clone(), expires_ms });
        work.claimed_by.insert(act.by.actor.clone());
        Ok(())
    }

    pub fn progress(&mut self, act: &Act<'_>, who: &Who, body: &TrainingProgressed) -> Audit {
        let expires_ms = act.time_ms + who.policy.training_lease_ms;
        self.report(act, who, body.run, body.token)?.expires_ms = expires_ms;
        Ok(())
    }

    /// A run or evaluation ends, by its holder, under the newest token, in time.
    pub fn end(&mut self, act: &Act<'_>, who: &Who, at: u64, token: u64) -> Result<&mut Work, String> {
        self.report(act, who, at, token)?;
        let work = self.going_on(at)?;
        work.ended_at = Some(act.at);
        Ok(work)
    }

    fn report(&mut self, act: &Act<'_>, who: &Who, at: u64, token: u64) -> Result<&mut Lease, String> {
        let lease = self.going_on(at)?.lease.as_mut().ok_or("a report on what nobody claimed")?;
        ensure(lease.token == token, || format!("a report under token {token}, the newest is {}", lease.token))?;
        ensure(lease.holder.actor == act.by.actor, || format!("{} holds the lease", lease.holder.actor))?;
        ensure(lease.lives(act, who), || format!("the lease ran out at {}, it is {}", lease.expires_ms, act.time_ms))?;
        Ok(lease)
    }

    fn going_on(&mut self, at: u64) -> Result<&mut Work, String> {
        let work = self.all.get_mut(&at).ok_or("no such run or evaluation")?;
        ensure(work.ended_at.is_none(), || format!("{at} has ended at {:?}", work.ended_at))?;
        Ok(work)
    }

    pub fn register_suite(&mut self, act: &Act<'_>, body: &SuiteRegistered) -> Audit {
        self.suites.insert(act.at, body.clone());
        Ok(())
    }

    pub fn complete_evaluation(&mut self, act: &Act<'_>, who: &Who, body: &EvaluationCompleted) -> Audit {
        let work = self.end(act, who, body.evaluation, body.token)?;
        (work.results, work.completed_by) = (body.results.clone(), Some(act.by.clone()));
        let (model, version, suite) = (work.model.clone(), work.version, work.on);
        let suite = self.suites[&suite].suite.clone();
        self.latest.insert((model, version, suite), body.evaluation);
        Ok(())
    }

    pub fn leakage(&mut self, act: &Act<'_>, body: &LeakageChecked) -> Audit {
        self.leakages.insert((body.dataset, body.suite), (act.by.clone(), body.exact + body.near));
        Ok(())
    }

    /// The version that a run made passes the gate of a stage.
    pub fn gate(&self, who: &Who, (model, version, run): (&str, u32, u64), stage: i32) -> Audit {
        let gate = who.policy.gates.iter().find(|gate| gate.stage == stage).ok_or("no gate")?;
        for name in &gate.suites {
            let latest = self.latest.get(&(model.into(), version, name.clone())).ok_or("it was not evaluated")?;
            let evaluation = &self.all[latest];
            let by = evaluation.completed_by.as_ref().ok_or("it was not evaluated")?;
            ensure(who.counts(by, Kind::EvaluationCompleted), || format!("the word of {} is void", by.actor))?;
            ensure(evaluation.on < run, || "the suite came after the training".into())?;
            let suite = &self.suites[&evaluation.on];
            for (category, result) in suite.categories.iter().zip(&evaluation.results) {
                let bar = gate.bars.iter().find(|b| b.category == category.category).map_or(gate.bar_ppm, |b| b.ppm);
                let reached = u64::from(result.passed) * 1_000_000 >= u64::from(bar) * u64::from(category.cases);
                ensure(reached, || format!("{} of {} passed, {bar} ppm are asked", result.passed, category.cases))?;
            }
            let leakage = self.leakages.get(&(self.all[&run].on, evaluation.on));
            let (by, leaked) = leakage.ok_or("nobody looked for leakage")?;
            let none = *leaked == 0 && who.counts(by, Kind::LeakageChecked);
            ensure(none, || format!("{leaked} cases leaked, by the word of {}", by.actor))?;
        }
        Ok(())
    }
}
