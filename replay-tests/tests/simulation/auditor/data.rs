//! The books on examples: each tool's word once, and what a dataset is made of.

use super::{Act, Audit, By, Who, ensure};
use attestune_ledger::tree::{Frontier, leaf_hash};
use attestune_proto::v1::{
    DatasetFrozen, Decision, DocumentsIngested, ExamplesChecked, ExamplesDerived, ExamplesReviewed, ExamplesScanned,
    Kind, Quality, ReviewReopened, ReviewVerdict, Tool,
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct Data {
    /// Who ingested documents, and into which collection.
    documents: BTreeMap<u64, (String, String)>,
    batches: BTreeMap<u64, Batch>,
    pub datasets: BTreeMap<u64, Dataset>,
}

/// A frozen dataset.
pub struct Dataset {
    pub frozen_by: String,
    /// Who ingested or derived a member.
    pub made_by: BTreeSet<String>,
}

struct Batch {
    collection: String,
    made_by: [String; 2],
    commitments: Vec<Vec<u8>>,
    scans: Vec<Word>,
    checks: Vec<Word>,
    reviews: Vec<Review>,
}

/// A tool's word: the examples that it flags, or excludes.
struct Word {
    at: u64,
    by: By,
    tool: Tool,
    indices: BTreeSet<u32>,
}

struct Review {
    at: u64,
    by: By,
    decisions: Vec<Decision>,
    /// Index, and where it was set aside.
    reopened: Vec<(u32, u64)>,
}

impl Data {
    pub fn ingest(&mut self, act: &Act<'_>, body: &DocumentsIngested) -> Audit {
        self.documents.insert(act.at, (act.by.actor.clone(), body.collection.clone()));
        Ok(())
    }

    pub fn derive(&mut self, act: &Act<'_>, body: &ExamplesDerived) -> Audit {
        let (ingested_by, collection) = self.documents.get(&body.documents).ok_or("no such documents")?;
        let batch = Batch {
            collection: collection.clone(),
            made_by: [ingested_by.clone(), act.by.actor.clone()],
            commitments: body.commitments.clone(),
            scans: Vec::new(),
            checks: Vec::new(),
            reviews: Vec::new(),
        };
        self.batches.insert(act.at, batch);
        Ok(())
    }

    pub fn scan(&mut self, act: &Act<'_>, who: &Who, body: &ExamplesScanned) -> Audit {
        let batch = self.batches.get_mut(&body.batch).ok_or("no such batch")?;
        let indices = body.findings.iter().map(|f| f.index).collect();
        say(&mut batch.scans, act, who, Kind::ExamplesScanned, body.detector.as_ref(), indices)
    }

    pub fn check(&mut self, act: &Act<'_>, who: &Who, body: &ExamplesChecked) -> Audit {
        let batch = self.batches.get_mut(&body.batch).ok_or("no such batch")?;
        let excluded = body.issues.iter().filter(|issue| issue.quality != Quality::NearDuplicate as i32);
        let indices = excluded.map(|issue| issue.index).collect();
        say(&mut batch.checks, act, who, Kind::ExamplesChecked, body.checker.as_ref(), indices)
    }

    pub fn review(&mut self, act: &Act<'_>, body: &ExamplesReviewed) -> Audit {
        for review in &body.batches {
            let batch = self.batches.get_mut(&review.batch).ok_or("no such batch")?;
            ensure(!batch.made_by.contains(&act.by.actor), || "who made a batch reviews it".into())?;
            for decision in &review.decisions {
                let decided = batch.reviews.iter().any(|r| r.decides(decision.index, u64::MAX).is_some());
                ensure(!decided, || format!("example {} is decided twice", decision.index))?;
            }
            let (at, by, decisions) = (act.at, act.by.clone(), review.decisions.clone());
            batch.reviews.push(Review { at, by, decisions, reopened: Vec::new() });
        }
        Ok(())
    }

    pub fn reopen(&mut self, act: &Act<'_>, body: &ReviewReopened) -> Audit {
        let batch = self.batches.get_mut(&body.batch).ok_or("no such batch")?;
        for index in &body.indices {
            let review = batch.reviews.iter_mut().rev().find(|r| r.decides(*index, u64::MAX).is_some());
            review.ok_or("nothing was decided")?.reopened.push((*index, act.at));
        }
        Ok(())
    }

    /// Root, count and every member are as the facts up to that position say, and none has been lost since.
    pub fn freeze(&mut self, act: &Act<'_>, who: &Who, body: &DatasetFrozen) -> Audit {
        let then = self.members(who, &body.collections, body.at);
        let mut tree = Frontier::new();
        then.values().for_each(|commitment| tree.push(leaf_hash(&[commitment])));
        ensure(tree.size() > 0 && tree.size() == body.count && tree.root().0 == body.root.as_slice(), || {
            format!("frozen with {} members, by the events there are {}", body.count, tree.size())
        })?;
        let now = self.members(who, &body.collections, act.at);
        let lost = then.iter().find(|(member, commitment)| now.get(*member) != Some(*commitment));
        ensure(lost.is_none(), || format!("frozen with {lost:?}, which is lost"))?;
        let batches: BTreeSet<u64> = then.keys().map(|(batch, _)| *batch).collect();
        let made_by = batches.iter().flat_map(|batch| self.batches[batch].made_by.clone()).collect();
        self.datasets.insert(act.at, Dataset { frozen_by: act.by.actor.clone(), made_by });
        Ok(())
    }

    /// Batch and index of each member with its commitment, by the facts up to a position.
    fn members(&self, who: &Who, collections: &[String], at: u64) -> BTreeMap<(u64, u32), Vec<u8>> {
        let mut members = BTreeMap::new();
        for (position, batch) in self.batches.range(..=at).filter(|(_, b)| collections.contains(&b.collection)) {
            for index in 0..batch.commitments.len() as u32 {
                if let Some(commitment) = batch.member(who, index, at) {
                    members.insert((*position, index), commitment);
                }
            }
        }
        members
    }
}

impl Batch {
    fn member(&self, who: &Who, index: u32, at: u64) -> Option<Vec<u8>> {
        let counts = |word: &&Word, kind| who.counts(&word.by, kind);
        let scans = latest(&self.scans, &who.policy.detectors, at);
        let checks = latest(&self.checks, &who.policy.checkers, at);
        let scanned = scans.iter().all(|s| s.as_ref().is_some_and(|s| counts(s, Kind::ExamplesScanned)));
        let checked = checks.iter().all(|c| c.as_ref().is_some_and(|c| counts(c, Kind::ExamplesChecked)));
        if !scanned || !checked || checks.iter().flatten().any(|check| check.indices.contains(&index)) {
            return None;
        }
        let stands = |r: &&Review| r.at <= at && who.counts(&r.by, Kind::ExamplesReviewed);
        let decision = self.reviews.iter().filter(stands).rev().find_map(|r| r.decides(index, at));
        match decision.map(|d| ReviewVerdict::try_from(d.verdict).unwrap_or_default()) {
            Some(ReviewVerdict::Approve) => Some(self.commitments[index as usize].clone()),
            Some(ReviewVerdict::Redact) => decision.map(|d| d.redacted.clone()),
            Some(ReviewVerdict::Reject | ReviewVerdict::Unspecified) => None,
            // Nobody decided: whoever is flagged waits for that.
            None if scans.iter().flatten().any(|scan| scan.indices.contains(&index)) => None,
            None => Some(self.commitments[index as usize].clone()),
        }
    }
}

impl Review {
    /// What it decides on an example by the facts up to a position.
    fn decides(&self, index: u32, at: u64) -> Option<&Decision> {
        let set_aside = self.reopened.iter().any(|(i, reopened_at)| *i == index && *reopened_at <= at);
        self.decisions.iter().find(|d| d.index == index && !set_aside)
    }
}

/// Each required tool's newest word up to a position.
fn latest<'w>(words: &'w [Word], tools: &[Tool], at: u64) -> Vec<Option<&'w Word>> {
    let newest = |tool: &Tool| words.iter().rev().find(|word| word.tool == *tool && word.at <= at);
    tools.iter().map(newest).collect()
}

/// A tool says its word on a batch once, as long as that counts.
fn say(
    words: &mut Vec<Word>,
    act: &Act<'_>,
    who: &Who,
    kind: Kind,
    tool: Option<&Tool>,
    indices: BTreeSet<u32>,
) -> Audit {
    let tool = tool.ok_or("no tool is named")?;
    let before = words.iter().rev().find(|word| word.tool == *tool).filter(|word| who.counts(&word.by, kind));
    ensure(before.is_none(), || format!("{} has spoken at {:?} before", tool.name, before.map(|word| word.at)))?;
    words.push(Word { at: act.at, by: act.by.clone(), tool: tool.clone(), indices });
    Ok(())
}
