//! Documents, examples, scans, quality checks, and reads of content.

use super::{Act, check, coverage};
use crate::refusal::Refusal;
use crate::state::{Checks, CollectionBatches, Documents, Effects, ErasedDocuments, Examples, FirstScans, Scans, View};
use attestune_proto::v1::{
    CheckRow, DocumentsIngested, DocumentsRow, ExamplesChecked, ExamplesDerived, ExamplesRow, ExamplesScanned,
    FirstScanRow, PositionRow, Quality, ScanRow, Signer, Tool,
};

/// A batch of documents.
pub fn ingest(act: &Act<'_>, body: &DocumentsIngested) -> Result<Effects, Refusal> {
    check::id("collection", &body.collection)?;
    check::pack(&body.pack)?;
    commitments(&body.commitments)?;
    let row = DocumentsRow {
        position: act.position,
        collection: body.collection.clone(),
        actor: act.event.actor.clone(),
        count: body.commitments.len() as u32,
    };
    Ok(Effects::none().and(&Documents::key(act.position), &row))
}

/// Examples from a batch of documents.
pub fn derive(view: &View<'_>, act: &Act<'_>, body: &ExamplesDerived) -> Result<Effects, Refusal> {
    check::pack(&body.pack)?;
    commitments(&body.commitments)?;
    if let Some(template) = &body.template {
        check::sealed("template", Some(template))?;
    }
    if body.rows.len() != body.commitments.len() {
        return Err(Refusal::BadField { field: "rows", rule: "must name one document for each example" });
    }
    let Some(documents) = view.get(&Documents::key(body.documents)) else {
        return Err(Refusal::UnknownBatch { position: body.documents });
    };
    let erased = view.get(&ErasedDocuments::key(body.documents)).unwrap_or_default().erased;
    for row in &body.rows {
        check::inside(*row, documents.count)?;
        if bit(&erased, *row) {
            return Err(Refusal::ContentErased { batch: body.documents, index: *row });
        }
    }
    let row = ExamplesRow {
        position: act.position,
        collection: documents.collection.clone(),
        documents: body.documents,
        actor: act.event.actor.clone(),
        count: body.commitments.len() as u32,
        ingested_by: documents.actor,
    };
    let here = PositionRow { position: act.position };
    Ok(Effects::none()
        .and(&Examples::key(act.position), &row)
        .and(&CollectionBatches::key(&documents.collection, act.position), &here)
        .made_from(act.position, [body.documents]))
}

/// A detector's findings on a batch, once for each version.
pub fn scan(view: &View<'_>, act: &Act<'_>, body: &ExamplesScanned) -> Result<Effects, Refusal> {
    let detector = tool("detector", body.detector.as_ref())?;
    for entity in &body.looked_for {
        check::id("looked_for", entity)?;
    }
    check::ascending("looked_for", body.looked_for.iter())?;
    coverage::check(body)?;
    let batch = examples(view, body.batch)?;
    let name = Scans::key(body.batch, &detector.name, &detector.version);
    done_before(view, act, view.get(&name).and_then(|done| done.signer))?;
    let mut flagged = vec![0u8; (batch.count as usize).div_ceil(8)];
    check::ascending("findings", body.findings.iter().map(|f| f.index))?;
    for example in &body.findings {
        check::inside(example.index, batch.count)?;
        if example.spans.is_empty() {
            return Err(Refusal::BadField { field: "findings", rule: "must leave out examples without a span" });
        }
        example.spans.iter().try_for_each(|span| check::span("spans", span))?;
        if example.spans.iter().any(|span| coverage::flags(body, span)) {
            set_bit(&mut flagged, example.index);
        }
    }
    let mut effects = Effects::none().and(&name, &ScanRow { signer: Some(act.signer()), flagged });
    let first = FirstScans::key(body.batch);
    if view.get(&first).is_none() {
        effects.put(&first, &FirstScanRow { position: act.position, leaf_hash: act.leaf_hash.0.to_vec() });
    }
    Ok(effects)
}

/// A quality checker's findings on a batch, once for each version.
pub fn check(view: &View<'_>, act: &Act<'_>, body: &ExamplesChecked) -> Result<Effects, Refusal> {
    let checker = tool("checker", body.checker.as_ref())?;
    let batch = examples(view, body.batch)?;
    let name = Checks::key(body.batch, &checker.name, &checker.version);
    done_before(view, act, view.get(&name).and_then(|done| done.signer))?;
    let mut excluded = vec![0u8; (batch.count as usize).div_ceil(8)];
    if body.issues.windows(2).any(|w| w[0].index > w[1].index) {
        return Err(Refusal::BadField { field: "issues", rule: "must be in ascending order of index" });
    }
    for issue in &body.issues {
        check::inside(issue.index, batch.count)?;
        match check::known::<Quality>("quality", issue.quality)? {
            Quality::Empty | Quality::TooLong | Quality::ExactDuplicate => set_bit(&mut excluded, issue.index),
            Quality::NearDuplicate | Quality::Unspecified => {}
        }
    }
    Ok(Effects::none().and(&name, &CheckRow { signer: Some(act.signer()), excluded }))
}

/// A gateway is about to release text to a reader.
pub fn access(view: &View<'_>, reader: &str, token: &[u8], contents: &[Vec<u8>]) -> Result<Effects, Refusal> {
    deny(reader, token, contents)?;
    super::keys::known_actor(view, reader)?;
    Ok(Effects::none())
}

/// A gateway refused a reader, who may be unknown.
pub fn deny(reader: &str, token: &[u8], contents: &[Vec<u8>]) -> Result<Effects, Refusal> {
    check::id("reader", reader)?;
    check::digest("token_hash", token)?;
    commitments(contents)?;
    Ok(Effects::none())
}

/// A batch of examples that must exist.
pub fn examples(view: &View<'_>, position: u64) -> Result<ExamplesRow, Refusal> {
    view.get(&Examples::key(position)).ok_or(Refusal::UnknownBatch { position })
}

/// A tool with a name and a version.
pub fn tool<'a>(field: &'static str, tool: Option<&'a Tool>) -> Result<&'a Tool, Refusal> {
    let Some(tool) = tool else { return Err(Refusal::BadField { field, rule: "is missing" }) };
    check::id(field, &tool.name)?;
    check::id(field, &tool.version)?;
    Ok(tool)
}

/// Whether the bit of an index is set.
pub fn bit(bits: &[u8], index: u32) -> bool {
    bits.get(index as usize / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// Sets the bit of an index, if it lies within.
pub fn set_bit(bits: &mut [u8], index: u32) {
    if let Some(byte) = bits.get_mut(index as usize / 8) {
        *byte |= 1 << (index % 8);
    }
}

fn commitments(values: &[Vec<u8>]) -> Result<(), Refusal> {
    check::batch_len("commitments", values.len())?;
    values.iter().try_for_each(|c| check::digest("commitments", c))
}

/// A tool's word on a batch stands once, as long as it counts: that of a revoked key is made anew.
fn done_before(view: &View<'_>, act: &Act<'_>, by: Option<Signer>) -> Result<(), Refusal> {
    match by {
        Some(signer) if super::counts(view, &act.policy, &signer, act.kind) => {
            Err(Refusal::DoneBefore { first: signer.position })
        }
        _ => Ok(()),
    }
}
