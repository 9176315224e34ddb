//! What an erasure takes: what it names, and what was made from that.

use crate::state::{Examples, Reviews, Uses, View};
use crate::tree::{Frontier, Hash, leaf_hash};
use attestune_proto::v1::{self as pb, BatchIndices, ReviewVerdict, SubjectErased, event::Body};
use std::collections::{BTreeMap, BTreeSet};

/// What an erasure names.
#[derive(Debug, Default)]
pub struct Named {
    pub(super) documents: BTreeMap<u64, BTreeSet<u32>>,
    pub(super) examples: BTreeMap<u64, BTreeSet<u32>>,
    others: Vec<Content>,
    seen: BTreeSet<Content>,
}

/// A content's pack and commitment.
pub(super) type Content = (Vec<u8>, Vec<u8>);

impl Named {
    /// Adds what a chunk names.
    pub fn add(&mut self, chunk: &SubjectErased) {
        self.add_all(&chunk.documents, &chunk.examples, &chunk.others);
    }

    /// Adds documents, examples and others.
    pub fn add_all(&mut self, documents: &[BatchIndices], examples: &[BatchIndices], others: &[pb::ErasedContents]) {
        for (to, batches) in [(&mut self.documents, documents), (&mut self.examples, examples)] {
            for batch in batches {
                to.entry(batch.batch).or_default().extend(batch.indices.iter().copied());
            }
        }
        for contents in others {
            for commitment in &contents.commitments {
                let other = (contents.pack.clone(), commitment.clone());
                if self.seen.insert(other.clone()) {
                    self.others.push(other);
                }
            }
        }
    }
}

/// Everything that an erasure takes: what it names, and what was made from that.
#[derive(Debug)]
pub struct Closure {
    /// Documents by batch.
    pub documents: BTreeMap<u64, BTreeSet<u32>>,
    /// Examples by batch, named or derived.
    pub examples: BTreeMap<u64, BTreeSet<u32>>,
    /// Pack and commitment of each content, in the order of the closure.
    pub(super) contents: Vec<Content>,
    /// How many of these are redactions.
    pub redactions: u64,
    pub(super) others: u64,
}

impl Closure {
    /// The closure over what is named.
    pub fn of(view: &View<'_>, named: &Named) -> Self {
        let mut examples = named.examples.clone();
        let mut contents = Vec::new();
        for (batch, indices) in &named.documents {
            if let Some(Body::DocumentsIngested(body)) = view.body(*batch) {
                contents.extend(texts(&body.pack, &body.commitments, indices));
            }
            for derived in view.scan(&Uses::under(*batch)) {
                let from_these = derived_from(view, derived.position, *batch, indices);
                if !from_these.is_empty() {
                    examples.entry(derived.position).or_default().extend(from_these);
                }
            }
        }
        let mut redactions = Vec::new();
        for (batch, indices) in &examples {
            if let Some(Body::ExamplesDerived(body)) = view.body(*batch) {
                contents.extend(texts(&body.pack, &body.commitments, indices));
            }
            redactions.extend(redacted(view, *batch, indices));
        }
        let count = redactions.len() as u64;
        contents.extend(redactions);
        contents.extend(named.others.iter().cloned());
        Self {
            documents: named.documents.clone(),
            examples,
            contents,
            redactions: count,
            others: named.others.len() as u64,
        }
    }

    /// RFC 6962 root over the commitments, and their count.
    pub fn root(&self) -> (Hash, u64) {
        let mut tree = Frontier::new();
        self.contents.iter().for_each(|(_, commitment)| tree.push(leaf_hash(&[commitment])));
        (tree.root(), tree.size())
    }
}

fn texts<'a>(
    pack: &'a [u8],
    commitments: &'a [Vec<u8>],
    indices: &'a BTreeSet<u32>,
) -> impl Iterator<Item = Content> + 'a {
    indices.iter().filter_map(|index| Some((pack.to_vec(), commitments.get(*index as usize)?.clone())))
}

/// The indices of a batch of examples that were made from some documents of a batch.
fn derived_from(view: &View<'_>, position: u64, documents: u64, indices: &BTreeSet<u32>) -> Vec<u32> {
    if view.get(&Examples::key(position)).is_none_or(|row| row.documents != documents) {
        return Vec::new();
    }
    let Some(Body::ExamplesDerived(body)) = view.body(position) else { return Vec::new() };
    (0u32..).zip(&body.rows).filter(|(_, row)| indices.contains(row)).map(|(index, _)| index).collect()
}

/// Redactions of some examples of a batch, also those that were set aside: by index, then in the order of the log.
fn redacted(view: &View<'_>, batch: u64, indices: &BTreeSet<u32>) -> Vec<Content> {
    let mut found: Vec<(u32, Vec<u8>, Vec<u8>)> = Vec::new();
    for review in view.scan(&Reviews::under(batch)) {
        for decision in review.decisions {
            if decision.verdict == ReviewVerdict::Redact as i32 && indices.contains(&decision.index) {
                found.push((decision.index, review.pack.clone(), decision.redacted));
            }
        }
    }
    found.sort_by_key(|(index, ..)| *index);
    found.into_iter().map(|(_, pack, commitment)| (pack, commitment)).collect()
}
