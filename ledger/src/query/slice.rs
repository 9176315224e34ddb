//! Which entries a slice of evidence discloses: those that answer why a version was in force, and those that judge them.

use super::history::event_of;
use super::in_force::why;
use super::{QueryError, not_found, summary};
use crate::replica::StoreView;
use crate::state::{
    Actors, Checks, DatasetBatches, Examples, Keys, Ledgers, Promotions, Reader as _, Reviews, Runs, Scans, View,
};
use attestune_proto::v1::{
    ActorRow, DatasetRow, Decided, Envelope, EvaluationProvenance, PromotionRow, Signer, SliceEntry, WhyInForceResponse,
};
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};

/// Most versions of one row that are disclosed.
const VERSIONS_MAX: usize = 256;

/// The entries of the slice on a model at the view's moment, in order, each with why it belongs to it; proofs are the
/// caller's to add. `exporter` is whose keys and roles are disclosed, too, as of `now`.
///
/// # Errors
/// If there is no such model then, or the state can't be read.
pub fn slice(
    then: &StoreView,
    now: &StoreView,
    model: &str,
    exporter: &str,
    list_only: bool,
) -> Result<Vec<SliceEntry>, QueryError> {
    let view = then.view();
    let found = why(&view, model)?;
    let mut picked = Picked { positions: BTreeMap::new(), view: then };
    picked.answer(&view, &found)?;
    picked.judges(then, now, exporter)?;
    super::answer(&view, ())?;
    let Picked { positions, .. } = picked;
    positions.into_iter().map(|(position, why)| entry(now, position, why, list_only)).collect()
}

struct Picked<'a> {
    positions: BTreeMap<u64, &'static str>,
    view: &'a StoreView,
}

impl Picked<'_> {
    fn add(&mut self, position: u64, why: &'static str) {
        self.positions.entry(position).or_insert(why);
    }

    fn signed(&mut self, signer: &Option<Signer>, why: &'static str) {
        if let Some(signer) = signer {
            self.add(signer.position, why);
        }
    }

    fn answer(&mut self, view: &View<'_>, found: &WhyInForceResponse) -> Result<(), QueryError> {
        found.halt.iter().for_each(|halt| self.add(halt.position, "halt"));
        if let Some(version) = &found.in_force {
            self.add(version.position, "version");
            self.add(found.since_position, "what put it in force");
            // The way into staging, too.
            for promotion in view.scan(&Promotions::all()) {
                let of_it = promotion.model == version.model && promotion.version == version.version;
                let counts = promotion.decided_at != 0 && promotion.decided_at <= found.since_position;
                if of_it && counts {
                    self.promotion(&promotion);
                }
            }
        }
        if let Some(run) = &found.run {
            self.add(run.position, "training asked for");
            self.signed(&run.lease.as_ref().and_then(|l| l.holder.clone()), "training claimed");
            let rows = self.view.versions_from(&Runs::key(run.position), run.ended_at, VERSIONS_MAX)?;
            rows.into_iter().for_each(|position| self.add(position, "training reported"));
        }
        found.base.iter().for_each(|base| self.add(base.position, "base model"));
        if let Some(dataset) = &found.dataset {
            self.dataset(view, dataset)?;
        }
        found.evaluations.iter().for_each(|evaluation| self.evaluation(evaluation));
        for leakage in found.leakage.iter().filter_map(|l| l.leakage.as_ref()) {
            self.signed(&leakage.signer, "leakage");
        }
        found.policy.iter().for_each(|policy| self.add(policy.position, "policy"));
        for version in [found.policy_version, found.promotion.as_ref().map_or(0, |p| p.policy_version)] {
            let row = view.get(&crate::state::Policies::key(version));
            row.iter().for_each(|policy| self.add(policy.position, "policy"));
        }
        Ok(())
    }

    fn promotion(&mut self, promotion: &PromotionRow) {
        self.add(promotion.position, "promotion asked for");
        promotion.approvals.iter().for_each(|approval| self.signed(&approval.signer, "approval"));
        self.add(promotion.decided_at, "promotion decided");
        if promotion.reviewed_at != 0 {
            self.add(promotion.reviewed_at, "emergency reviewed");
        }
    }

    fn evaluation(&mut self, evaluation: &EvaluationProvenance) {
        if let Some(row) = &evaluation.evaluation {
            self.add(row.position, "evaluation asked for");
            self.signed(&row.lease.as_ref().and_then(|l| l.holder.clone()), "evaluation claimed");
            self.signed(&row.completed_by, "evaluation");
        }
        evaluation.suite.iter().for_each(|suite| self.add(suite.position, "suite"));
    }

    /// Whole batches, so that nobody can choose among their examples.
    fn dataset(&mut self, view: &View<'_>, dataset: &DatasetRow) -> Result<(), QueryError> {
        self.add(dataset.position, "dataset");
        for batch in view.scan(&DatasetBatches::under(dataset.position)) {
            let Some(examples) = view.get(&Examples::key(batch.position)) else { continue };
            self.add(batch.position, "examples");
            self.add(examples.documents, "documents");
            view.scan(&Scans::under(batch.position)).iter().for_each(|scan| self.signed(&scan.signer, "scan"));
            view.scan(&Checks::under(batch.position)).iter().for_each(|check| self.signed(&check.signer, "check"));
            for review in view.scan(&Reviews::under(batch.position)) {
                let Some(signer) = review.signer else { continue };
                let key = Reviews::key(batch.position, signer.position);
                let rows = self.view.versions_from(&key, 0, VERSIONS_MAX)?;
                rows.into_iter().for_each(|position| self.add(position, "review"));
            }
        }
        Ok(())
    }

    /// The genesis, and the keys and roles of everyone who signed something here, and of whoever registered them.
    fn judges(&mut self, then: &StoreView, now: &StoreView, exporter: &str) -> Result<(), QueryError> {
        if let Some(genesis) = then.versions_from(&Ledgers::key(), 0, usize::MAX)?.last() {
            self.add(*genesis, "genesis");
        }
        let mut done = BTreeSet::new();
        self.keys_of(now, exporter)?;
        done.insert(exporter.to_owned());
        loop {
            let mut new = BTreeSet::new();
            for position in self.positions.keys() {
                new.extend(signers(now, *position)?);
            }
            new.retain(|actor| !done.contains(actor));
            if new.is_empty() {
                return Ok(());
            }
            for actor in &new {
                self.keys_of(now, actor)?;
            }
            done.extend(new);
        }
    }

    fn keys_of(&mut self, view: &StoreView, actor: &str) -> Result<(), QueryError> {
        // Each change of an actor's row is a key registered, a role given or taken.
        let changes = view.versions_from(&Actors::key(actor), 0, VERSIONS_MAX)?;
        changes.into_iter().for_each(|position| self.add(position, "key or role"));
        let at = view.view();
        let row: Option<ActorRow> = at.get(&Actors::key(actor));
        for keyid in row.iter().flat_map(|row| &row.keyids) {
            for position in view.versions_from(&Keys::key(keyid), 0, VERSIONS_MAX)? {
                self.add(position, "key or role");
            }
        }
        super::answer(&at, ())
    }
}

/// The actors whose keys signed an entry.
fn signers(view: &StoreView, position: u64) -> Result<Vec<String>, QueryError> {
    let bytes = view.entry(position)?.ok_or_else(|| not_found("entry", position))?;
    let envelope = Envelope::decode(bytes.as_slice()).unwrap_or_default();
    let at = view.view();
    let rows = envelope.signatures.iter().filter_map(|s| at.get(&Keys::key(&s.keyid)));
    let actors = rows.map(|row| row.actor).collect();
    super::answer(&at, actors)
}

fn entry(now: &StoreView, position: u64, why: &str, list_only: bool) -> Result<SliceEntry, QueryError> {
    let row = now.decided(position)?.ok_or_else(|| not_found("entry", position))?;
    let event = event_of(now, position)?.unwrap_or_default();
    let mut found = SliceEntry {
        decided: Some(Decided { position, verdict: row.verdict, time_ms: row.fold_time_ms, ..Default::default() }),
        why: why.into(),
        summary: event.body.as_ref().map_or_else(String::new, summary),
        actor: event.actor,
        ..Default::default()
    };
    if !list_only {
        let effects = now.effects_of(position)?;
        found.effects = effects.bytes();
        found.decided = Some(Decided {
            position,
            time_ms: now.entry_time(position)?.unwrap_or(0),
            verdict: row.verdict,
            refusal: row.refusal,
            envelope: now.entry(position)?.unwrap_or_default(),
            effects_digest: effects.digest().to_vec(),
        });
    }
    Ok(found)
}
