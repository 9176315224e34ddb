//! Erasure of a person's data, what becomes of what was made from them, and legal holds.

use super::closure::{Closure, Content, Named};
use super::{Act, check, data, eligibility, promotion::version};
use crate::refusal::Refusal;
use crate::state::{
    DatasetErasures, Datasets, Documents, Effects, ErasedContents, ErasedDocuments, ErasedExamples, ErasureDecisions,
    Erasures, Examples, Holds, Ledgers, Runs, Uses, View,
};
use attestune_proto::v1::{
    DatasetErasureRow, ErasedContentsRow, ErasedRow, ErasureDecided, ErasureDecision, ErasureDecisionRow,
    ErasureGround, ErasureRow, ErasureStatus, ExampleStatus, HoldRow, LegalHoldPlaced, LegalHoldReleased,
    SubjectErased, VersionRow, event::Body,
};
use std::collections::{BTreeMap, BTreeSet};

/// Most chunks of one erasure.
const CHUNKS_MAX: u32 = 256;

/// One chunk of an erasure; the last one puts it into effect.
///
/// Refusals, in this order: malformed, a chunk that does not follow, no such batch or index, a legal hold; with the last
/// chunk also: a closure that is not what follows.
pub fn erase(view: &View<'_>, act: &Act<'_>, body: &SubjectErased) -> Result<Effects, Refusal> {
    well_formed(body)?;
    let begun = begun(view, act, body)?;
    for (named, documents) in [(&body.documents, true), (&body.examples, false)] {
        for batch in named {
            let count = batch_count(view, batch.batch, documents)?;
            batch.indices.iter().try_for_each(|index| check::inside(*index, count))?;
        }
    }
    let mut row = ErasureRow {
        status: ErasureStatus::Begun as i32,
        ground: body.ground,
        chunk: body.chunk,
        chunks: body.chunks,
        ..begun
    };
    row.parts.push(act.position);
    let mut named = Named::default();
    named.add(body);
    if body.chunk < body.chunks {
        not_held(view, &named)?;
        return Ok(Effects::none().and(&Erasures::key(row.position), &row));
    }
    for part in row.parts.iter().filter(|part| **part != act.position) {
        match view.body(*part) {
            Some(Body::SubjectErased(earlier)) => named.add(&earlier),
            // A read that failed is latched in the view.
            _ => return Err(Refusal::UnknownErasure { position: *part }),
        }
    }
    not_held(view, &named)?;
    let closure = Closure::of(view, &named);
    let (root, count) = closure.root();
    if root.0 != body.root.as_slice() || count != body.count {
        return Err(Refusal::ClosureDiffers { named: body.count, computed: count });
    }
    Ok(take_effect(view, act, row, &closure))
}

fn well_formed(body: &SubjectErased) -> Result<(), Refusal> {
    let bad = |field, rule| Err(Refusal::BadField { field, rule });
    check::known::<ErasureGround>("ground", body.ground)?;
    if body.chunks > CHUNKS_MAX || !(1..=body.chunks).contains(&body.chunk) {
        return bad("chunk", "must be 1 to chunks, at most 256");
    }
    if body.first.is_none() != (body.chunk == 1) {
        return bad("first", "is the first chunk's position, in all chunks but that one");
    }
    check::ascending("documents", body.documents.iter().map(|b| b.batch))?;
    check::ascending("examples", body.examples.iter().map(|b| b.batch))?;
    let mut items = 0;
    for batch in body.documents.iter().chain(&body.examples) {
        check::batch_len("indices", batch.indices.len())?;
        check::ascending("indices", batch.indices.iter())?;
        items += batch.indices.len();
    }
    for others in &body.others {
        check::pack(&others.pack)?;
        check::batch_len("commitments", others.commitments.len())?;
        others.commitments.iter().try_for_each(|c| check::digest("commitments", c))?;
        items += others.commitments.len();
    }
    check::batch_len("contents", items)?;
    if body.chunk == body.chunks {
        return check::digest("root", &body.root);
    }
    if !body.root.is_empty() || body.count != 0 {
        return bad("root", "and count are for the last chunk");
    }
    Ok(())
}

/// The erasure as it stands before this chunk.
fn begun(view: &View<'_>, act: &Act<'_>, body: &SubjectErased) -> Result<ErasureRow, Refusal> {
    let Some(first) = body.first else {
        return Ok(ErasureRow { position: act.position, signer: Some(act.signer()), ..Default::default() });
    };
    let row = view.get(&Erasures::key(first)).ok_or(Refusal::UnknownErasure { position: first })?;
    if row.in_effect_at != 0 {
        return Err(Refusal::Ended { at: row.in_effect_at });
    }
    let same_actor = row.signer.as_ref().is_some_and(|s| s.actor == act.event.actor);
    let follows = body.chunk == row.chunk + 1 && (body.chunks, body.ground) == (row.chunks, row.ground);
    if !same_actor || !follows {
        return Err(Refusal::ChunkUnfit { chunk: body.chunk, expected: row.chunk + 1 });
    }
    Ok(row)
}

fn batch_count(view: &View<'_>, batch: u64, documents: bool) -> Result<u32, Refusal> {
    let count = match documents {
        true => view.get(&Documents::key(batch)).map(|row| row.count),
        false => view.get(&Examples::key(batch)).map(|row| row.count),
    };
    count.ok_or(Refusal::UnknownBatch { position: batch })
}

/// The holds that stand against erasing what is named, and against nothing else.
pub fn holds_against(view: &View<'_>, documents: &[u64], examples: &[u64]) -> Vec<HoldRow> {
    let of_documents = documents.iter().filter_map(|b| view.get(&Documents::key(*b))).map(|row| row.collection);
    let of_examples = examples.iter().filter_map(|b| view.get(&Examples::key(*b))).map(|row| row.collection);
    let touched: BTreeSet<String> = of_documents.chain(of_examples).collect();
    let mut holds = view.scan(&Holds::all());
    let covers = |hold: &HoldRow| hold.collections.is_empty() || hold.collections.iter().any(|c| touched.contains(c));
    holds.retain(|hold| hold.released_at.is_none() && covers(hold));
    holds
}

fn not_held(view: &View<'_>, named: &Named) -> Result<(), Refusal> {
    let documents: Vec<u64> = named.documents.keys().copied().collect();
    let examples: Vec<u64> = named.examples.keys().copied().collect();
    match holds_against(view, &documents, &examples).into_iter().next() {
        Some(hold) => Err(Refusal::UnderHold { hold: hold.hold, position: hold.position }),
        None => Ok(()),
    }
}

fn take_effect(view: &View<'_>, act: &Act<'_>, row: ErasureRow, closure: &Closure) -> Effects {
    let (root, count) = closure.root();
    let sum = |batches: &BTreeMap<u64, BTreeSet<u32>>| batches.values().map(|i| i.len() as u64).sum();
    let packs = packs(&closure.contents);
    let row = ErasureRow {
        status: ErasureStatus::InEffect as i32,
        in_effect_at: act.position,
        root: root.0.to_vec(),
        count,
        documents: sum(&closure.documents),
        examples: sum(&closure.examples),
        redactions: closure.redactions,
        others: closure.others,
        packs: packs.len() as u32,
        ..row
    };
    let mut effects = Effects::none().and(&Erasures::key(row.position), &row);
    for (number, contents) in (0u32..).zip(&packs) {
        effects.put(&ErasedContents::key(row.position, number), contents);
    }
    for (batch, indices) in &closure.documents {
        let name = ErasedDocuments::key(*batch);
        effects.put(&name, &marked(act, view.get(&name), indices));
    }
    let mut members: BTreeMap<u64, u64> = BTreeMap::new();
    for (batch, indices) in &closure.examples {
        let name = ErasedExamples::key(*batch);
        effects.put(&name, &marked(act, view.get(&name), indices));
        for (dataset, count) in reached(view, *batch, indices) {
            *members.entry(dataset).or_default() += count;
        }
    }
    for (dataset, members) in members {
        let reached = DatasetErasureRow { dataset, erasure: row.position, members };
        effects.put(&DatasetErasures::key(dataset, row.position), &reached);
    }
    let sources: BTreeSet<u64> = closure.documents.keys().chain(closure.examples.keys()).copied().collect();
    effects.made_from(row.position, sources)
}

/// The contents by pack, at most 512 a row, in the order in which a pack comes first.
fn packs(contents: &[Content]) -> Vec<ErasedContentsRow> {
    let mut rows: Vec<ErasedContentsRow> = Vec::new();
    // The row of each pack that has room left.
    let mut open: BTreeMap<&[u8], usize> = BTreeMap::new();
    for (pack, commitment) in contents {
        let place = *open.entry(pack.as_slice()).or_insert(rows.len());
        if place == rows.len() {
            rows.push(ErasedContentsRow { pack: pack.clone(), commitments: Vec::new() });
        }
        rows[place].commitments.push(commitment.clone());
        if rows[place].commitments.len() == check::BATCH_MAX {
            open.remove(pack.as_slice());
        }
    }
    rows
}

fn marked(act: &Act<'_>, before: Option<ErasedRow>, indices: &BTreeSet<u32>) -> ErasedRow {
    let mut erased = before.unwrap_or_default().erased;
    for index in indices {
        let needed = *index as usize / 8 + 1;
        erased.resize(erased.len().max(needed), 0);
        data::set_bit(&mut erased, *index);
    }
    ErasedRow { position: act.position, erased }
}

/// Datasets that have members among these examples, with how many, as they were frozen.
fn reached(view: &View<'_>, batch: u64, indices: &BTreeSet<u32>) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let Some(row) = view.get(&Examples::key(batch)) else { return found };
    for used in view.scan(&Uses::under(batch)) {
        let Some(dataset) = view.get(&Datasets::key(used.position)) else { continue };
        let (then, judge) = (view.as_of(dataset.at + 1), view.as_of(dataset.position));
        let policy = judge.policy(judge.get(&Ledgers::key()).unwrap_or_default().policy_version);
        let all = eligibility::batch(&then, &judge, &policy, &row);
        let member = |e: &&eligibility::Example| e.status == ExampleStatus::Eligible && indices.contains(&e.index);
        let members = all.iter().filter(member).count() as u64;
        view.absorb(&then);
        view.absorb(&judge);
        if members > 0 {
            found.push((dataset.position, members));
        }
    }
    found
}

/// A dataset of which no member was erased.
pub fn untouched(view: &View<'_>, dataset: u64) -> Result<(), Refusal> {
    match view.scan(&DatasetErasures::under(dataset)).first() {
        Some(row) => Err(Refusal::MembersErased { dataset, erasure: row.erasure }),
        None => Ok(()),
    }
}

/// The erasure after which it was decided that a version must not be served any more.
pub fn retired(view: &View<'_>, version: &VersionRow) -> Option<u64> {
    let run = view.get(&Runs::key(version.run?))?;
    let decision = |erasure: u64| view.get(&ErasureDecisions::key(erasure, &version.model, version.version));
    let mut erasures = view.scan(&DatasetErasures::under(run.dataset)).into_iter().map(|row| row.erasure);
    erasures.find(|erasure| decision(*erasure).is_some_and(|d| d.decision == ErasureDecision::Retire as i32))
}

/// What becomes of a version that an erasure reached; the newest word stands.
///
/// Refusals, in this order: malformed, no such erasure in effect, no such version, not reached.
pub fn decide(view: &View<'_>, act: &Act<'_>, body: &ErasureDecided) -> Result<Effects, Refusal> {
    check::id("model", &body.model)?;
    check::known::<ErasureDecision>("decision", body.decision)?;
    if view.get(&Erasures::key(body.erasure)).is_none_or(|row| row.in_effect_at == 0) {
        return Err(Refusal::UnknownErasure { position: body.erasure });
    }
    let run = version(view, &body.model, body.version)?.run.and_then(|run| view.get(&Runs::key(run)));
    let reached = run.and_then(|run| view.get(&DatasetErasures::key(run.dataset, body.erasure)));
    if reached.is_none() {
        return Err(Refusal::NotReached { model: body.model.clone(), version: body.version });
    }
    let row = ErasureDecisionRow { signer: Some(act.signer()), decision: body.decision };
    Ok(Effects::none().and(&ErasureDecisions::key(body.erasure, &body.model, body.version), &row))
}

/// Data that must be kept from here on.
pub fn hold(act: &Act<'_>, body: &LegalHoldPlaced) -> Result<Effects, Refusal> {
    check::id("hold", &body.hold)?;
    if body.collections.len() > 64 {
        return Err(Refusal::BadField { field: "collections", rule: "may be 64" });
    }
    body.collections.iter().try_for_each(|collection| check::id("collections", collection))?;
    check::ascending("collections", body.collections.iter())?;
    let row = HoldRow {
        position: act.position,
        signer: Some(act.signer()),
        hold: body.hold.clone(),
        collections: body.collections.clone(),
        released_at: None,
    };
    Ok(Effects::none().and(&Holds::key(act.position), &row))
}

/// A hold ends.
pub fn release(view: &View<'_>, act: &Act<'_>, body: &LegalHoldReleased) -> Result<Effects, Refusal> {
    let row = view.get(&Holds::key(body.hold)).ok_or(Refusal::UnknownHold { position: body.hold })?;
    if let Some(at) = row.released_at {
        return Err(Refusal::Ended { at });
    }
    Ok(Effects::none().and(&Holds::key(body.hold), &HoldRow { released_at: Some(act.position), ..row }))
}
