//! The books on versions: through gate and approvals into production, and back.

use super::data::Data;
use super::work::Works;
use super::{Act, Audit, By, Who, ensure};
use attestune_proto::v1::{Kind, PromotionApproved, PromotionRequested, RolledBack, Stage};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Stages {
    pub models: BTreeMap<String, Model>,
    promotions: BTreeMap<u64, Promotion>,
}

#[derive(Default)]
pub struct Model {
    /// Version 1 first.
    pub versions: Vec<Version>,
    /// 0 for none.
    pub in_force: u32,
}

pub struct Version {
    pub stage: Stage,
    run: u64,
    /// It may be gone back to.
    proven: bool,
}

struct Promotion {
    model: String,
    version: u32,
    to: i32,
    replaces: Option<u32>,
    requested_by: String,
    approvals: Vec<By>,
    needed: u32,
    open: bool,
    policy_at: u64,
}

impl Stages {
    pub fn new_version(&mut self, model: &str, run: u64) {
        let versions = &mut self.models.entry(model.into()).or_default().versions;
        versions.push(Version { stage: Stage::Dev, run, proven: false });
    }

    pub fn request(&mut self, act: &Act<'_>, who: &Who, works: &Works, body: &PromotionRequested) -> Audit {
        let other = self.promotions.iter().find(|(at, p)| p.model == body.model && p.is_open(**at, who));
        ensure(other.is_none(), || format!("the promotion at {:?} is open", other.map(|(at, _)| at)))?;
        let gate = who.policy.gates.iter().find(|gate| gate.stage == body.to).ok_or("no gate")?;
        let promotion = Promotion {
            model: body.model.clone(),
            version: body.version,
            to: body.to,
            replaces: body.replaces,
            requested_by: act.by.actor.clone(),
            approvals: Vec::new(),
            needed: gate.approvals,
            open: true,
            policy_at: who.policy_at,
        };
        self.may_move(who, works, &promotion)?;
        self.promotions.insert(act.at, promotion);
        Ok(())
    }

    /// The version stands one step below, replaces what is in force, and passes the gate.
    fn may_move(&self, who: &Who, works: &Works, promotion: &Promotion) -> Audit {
        let model = self.models.get(&promotion.model).ok_or("no such model")?;
        let version = promotion.version.checked_sub(1).and_then(|place| model.versions.get(place as usize));
        let version = version.ok_or("no such version")?;
        let step = (version.stage, Stage::try_from(promotion.to).unwrap_or_default());
        let one_step = [(Stage::Dev, Stage::Staging), (Stage::Staging, Stage::Production)].contains(&step);
        ensure(one_step, || format!("{} to {}", step.0.as_str_name(), step.1.as_str_name()))?;
        let expected = if step.1 == Stage::Production { model.in_force } else { 0 };
        ensure(promotion.replaces.unwrap_or(0) == expected, || format!("version {expected} is in force"))?;
        works.gate(who, (&promotion.model, promotion.version, version.run), promotion.to)
    }

    pub fn approve(&mut self, act: &Act<'_>, who: &Who, works: &Works, data: &Data, body: &PromotionApproved) -> Audit {
        let actor = &act.by.actor;
        let promotion = self.promotions.get(&body.promotion).ok_or("no such promotion")?;
        ensure(promotion.is_open(body.promotion, who), || "the promotion is not open".into())?;
        ensure(who.is_person(actor), || format!("{actor} is no person"))?;
        ensure(promotion.approvals.iter().all(|by| by.actor != *actor), || format!("{actor} approves twice"))?;
        let seen = act.event.seen.as_ref().map_or(0, |seen| seen.size);
        ensure(seen > body.promotion, || format!("{actor} has not seen the request"))?;
        let run = &works.all[&self.models[&promotion.model].versions[promotion.version as usize - 1].run];
        let dataset = &data.datasets[&run.on];
        let took_part = [&promotion.requested_by, &run.requested_by, &dataset.frozen_by].contains(&actor)
            || run.claimed_by.contains(actor)
            || dataset.made_by.contains(actor);
        ensure(!took_part, || format!("{actor} took part"))?;

        let promotion = self.promotions.get_mut(&body.promotion).ok_or("no such promotion")?;
        promotion.approvals.push(act.by.clone());
        let counting = promotion.approvals.iter().filter(|by| who.counts(by, Kind::PromotionApproved)).count() as u32;
        if counting < promotion.needed {
            return Ok(());
        }
        promotion.open = false;
        let promotion = &self.promotions[&body.promotion];
        self.may_move(who, works, promotion)?;
        let model = self.models.get_mut(&promotion.model).ok_or("no such model")?;
        let version = &mut model.versions[promotion.version as usize - 1];
        version.stage = Stage::try_from(promotion.to).unwrap_or_default();
        if version.stage == Stage::Production {
            version.proven = true;
            model.in_force = promotion.version;
        }
        Ok(())
    }

    pub fn close(&mut self, who: &Who, at: u64) -> Audit {
        let promotion = self.promotions.get_mut(&at).ok_or("no such promotion")?;
        ensure(promotion.is_open(at, who), || "the promotion is not open".into())?;
        promotion.open = false;
        Ok(())
    }

    pub fn roll_back(&mut self, body: &RolledBack) -> Audit {
        let model = self.models.get_mut(&body.model).ok_or("no such model")?;
        ensure(body.from == model.in_force && body.from > 0, || format!("version {} is in force", model.in_force))?;
        let to = body.to.checked_sub(1).and_then(|place| model.versions.get(place as usize));
        ensure(to.is_some_and(|to| to.proven) && body.to != body.from, || "it was never in force".into())?;
        let from = &mut model.versions[body.from as usize - 1];
        (from.proven, from.stage) = (false, Stage::Staging);
        model.in_force = body.to;
        Ok(())
    }
}

impl Promotion {
    /// Open, and neither a new policy nor a corrected clock has closed it.
    fn is_open(&self, at: u64, who: &Who) -> bool {
        self.open && self.policy_at == who.policy_at && at >= who.clock_at
    }
}
