//! Making bundles. What is made is what [`super::verify`] makes again.

use super::export::Export;
use super::facts::{
    self, ANSWER, CHECKER, EXPORT_CONSISTENCY, EXPORT_PROOF, MANIFEST, PAGE, POLICY, POPULATION, SAMPLE,
};
use super::manifest::{Manifest, PartName};
use super::population::{self, Row};
use super::{EvidenceError, archive, fold};
use crate::query::{members_of, why};
use crate::rules::{decode::decode, entry_leaf, verdict_leaf};
use crate::state::{Ledgers, View};
use crate::tree::{Checkpoint, Hash, Origin, TlogProof, VerifierKey};
use attestune_proto::v1::{
    BundleKind, Decided, EvidenceExported, ExportPurpose, SliceEntry, WhyInForceResponse, event::Body,
};
use prost::Message as _;
use std::collections::BTreeMap;
use std::io::{Seek, Write};

/// What is asked, by whom and for whom.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who takes it out.
    pub exporter: String,
    /// For whom.
    pub purpose: ExportPurpose,
    /// The model.
    pub model: String,
    /// The position after which it is asked.
    pub at: u64,
    /// Members drawn at most.
    pub sample: u32,
    /// The page that checks the bundle in a browser: given, as it holds this very code, compiled.
    pub checker: &'static [u8],
}

/// A text with what lets its reader check the commitment.
#[derive(Debug, Clone)]
pub struct OpenedText {
    /// 32 bytes.
    pub salt: Vec<u8>,
    /// The text.
    pub content: Vec<u8>,
}

/// The exporter's act, once it stands in the log.
#[derive(Debug, Clone)]
pub struct Exported {
    /// The act with its proof; the extra data are its entry.
    pub proof: TlogProof,
    /// That the log went on from the bundle's checkpoint to the proof's.
    pub consistency: Vec<Hash>,
}

/// A bundle that nobody has signed to take out yet.
#[derive(Debug)]
pub struct Draft {
    manifest: Manifest,
    parts: Vec<(String, Vec<u8>)>,
    texts: Vec<(String, Vec<u8>)>,
    sampled: Vec<(u64, u32, Hash)>,
}

/// A complete bundle from an export that ends with its checkpoints.
///
/// # Errors
/// If the export is none, or its checkpoints are not over exactly its entries; if the model is not known then.
pub fn complete(export: &[u8], request: &Request) -> Result<Draft, EvidenceError> {
    let unfit = |what: &str| EvidenceError::Unfit(what.into());
    let read = Export::read(export)
        .map_err(|(at, what)| unfit(&at.map_or(what.into(), |at| format!("entry {at}: {what}"))))?;
    let state = fold::fold(&read.entries, |_, _| {})?;
    let size = state.size();
    let view = View::new(&state, size);
    let ledger = view.get(&Ledgers::key()).ok_or_else(|| unfit("no entry creates a ledger"))?;
    if request.at >= size {
        return Err(unfit("the position asked about lies beyond the log's end"));
    }
    let checkpoint = opened(&read.entries_note, &ledger.checkpoint_key)?;
    if checkpoint.size != size || opened(&read.verdicts_note, &ledger.checkpoint_key)?.size != size {
        return Err(unfit("the checkpoints are not over exactly the entries"));
    }
    let then = View::new(&state, request.at + 1);
    let answer = why(&then, &request.model)?;
    let rows = match &answer.dataset {
        Some(dataset) => {
            let members = members_of(&then, dataset).into_iter().map(|m| (m.batch, m.index, m.commitment));
            population::rows(members, &|position| then.body(position))?
        }
        None => Vec::new(),
    };
    let leaves = read.entries.iter().flat_map(|e| entry_leaf(e.time_ms, &e.envelope).0).collect();
    let parts = vec![("log".to_owned(), export.to_vec()), ("leaves".to_owned(), leaves)];
    let head = head(request, BundleKind::Complete, &ledger.ledger_id, &ledger.name, &checkpoint, &answer)?;
    Ok(draft(head, request, &answer, &[], &rows, parts, checkpoint.root))
}

/// A slice from entries with their proofs under two checkpoints of one size. `members` are the answer's dataset's.
///
/// # Errors
/// If the entries lack the genesis or an example's document, or the checkpoints do not fit.
pub fn slice(
    entries: &[SliceEntry],
    entries_note: &str,
    verdicts_note: &str,
    answer: &WhyInForceResponse,
    members: Vec<(u64, u32, Vec<u8>)>,
    request: &Request,
) -> Result<Draft, EvidenceError> {
    let unfit = |what: &str| EvidenceError::Unfit(what.into());
    let decided: Vec<(&SliceEntry, &Decided)> = entries.iter().filter_map(|e| Some((e, e.decided.as_ref()?))).collect();
    let genesis =
        decided.iter().find_map(|(_, d)| facts::genesis(&d.envelope)).ok_or_else(|| unfit("the genesis is missing"))?;
    let (ledger, _, key, name) = genesis;
    let checkpoint = opened(entries_note, &key)?;
    if opened(verdicts_note, &key)?.size != checkpoint.size {
        return Err(unfit("the two checkpoints are of different sizes"));
    }
    let answer = WhyInForceResponse { after: Vec::new(), ..answer.clone() };
    let events: BTreeMap<u64, Body> =
        decided.iter().filter_map(|(_, d)| Some((d.position, decode(&d.envelope).ok()?.event.body?))).collect();
    let rows = population::rows(members, &|position| events.get(&position).cloned())?;
    let mut parts = vec![
        ("checkpoint".to_owned(), entries_note.as_bytes().to_vec()),
        ("verdicts".to_owned(), verdicts_note.as_bytes().to_vec()),
    ];
    let mut lines = Vec::new();
    let (mut judged, mut effects) = (Vec::new(), Vec::new());
    for (entry, d) in decided {
        let at = format!("{:010}", d.position);
        let proof = |extra: Vec<u8>, path: &[Vec<u8>], note: &str| -> Result<Vec<u8>, EvidenceError> {
            let hash = |bytes: &Vec<u8>| bytes.as_slice().try_into().map(Hash);
            let path = path.iter().map(hash).collect::<Result<_, _>>().map_err(|_| unfit("a hash has not 32 bytes"))?;
            Ok(TlogProof { extra, index: d.position, path, checkpoint: note.to_owned() }.to_string().into_bytes())
        };
        let stored = crate::log::Entry::stored(d.time_ms, &d.envelope);
        parts.push((format!("events/{at}.tlog-proof"), proof(stored, &entry.entry_path, entries_note)?));
        let leaf = judgement(d).ok_or_else(|| unfit("an effects digest has not 32 bytes"))?;
        judged.push((format!("judged/{at}.tlog-proof"), proof(leaf, &entry.verdict_path, verdicts_note)?));
        if !entry.effects.is_empty() {
            effects.push((format!("effects/{at}"), entry.effects.clone()));
        }
        let event = decode(&d.envelope).ok().map(|decoded| decoded.event);
        lines.push(facts::line(d.position, d.time_ms, event.as_ref(), d.verdict()));
    }
    parts.extend(judged);
    parts.extend(effects);
    let head = head(request, BundleKind::Slice, &ledger, &name, &checkpoint, &answer)?;
    Ok(draft(head, request, &answer, &lines, &rows, parts, checkpoint.root))
}

/// What a leaf of the verdict tree hashes, after its 0x00.
fn judgement(d: &Decided) -> Option<Vec<u8>> {
    let digest: [u8; 32] = d.effects_digest.as_slice().try_into().ok()?;
    let code = d.refusal.as_ref().map_or("", |refusal| refusal.code.as_str());
    let entry = entry_leaf(d.time_ms, &d.envelope);
    let verdict = d.verdict();
    let bytes = [&d.position.to_be_bytes()[..], &entry.0, &[verdict as u8, code.len() as u8], code.as_bytes(), &digest]
        .concat();
    debug_assert_eq!(crate::tree::leaf_hash(&[&bytes]), verdict_leaf(d.position, entry, verdict, code, &digest));
    Some(bytes)
}

/// A checkpoint under a ledger's key, whatever its origin.
fn opened(note: &str, key: &[u8]) -> Result<Checkpoint, EvidenceError> {
    let unfit = |what: String| EvidenceError::Unfit(what);
    let origin: Origin = note
        .lines()
        .next()
        .unwrap_or_default()
        .parse()
        .map_err(|error: crate::tree::NoteError| unfit(error.to_string()))?;
    let public = crate::envelope::fit_key(key).ok_or_else(|| unfit("the checkpoint key is unfit".into()))?;
    let key = VerifierKey::new(origin, public).map_err(|error| unfit(error.to_string()))?;
    Checkpoint::open(note, &key).map_err(|error| unfit(error.to_string()))
}

fn head(
    request: &Request,
    kind: BundleKind,
    ledger: &[u8],
    name: &str,
    checkpoint: &Checkpoint,
    answer: &WhyInForceResponse,
) -> Result<Manifest, EvidenceError> {
    Ok(Manifest {
        kind,
        purpose: request.purpose,
        exporter: request.exporter.clone(),
        made_by: env!("CARGO_PKG_VERSION").into(),
        ledger: Hash(ledger.try_into().map_err(|_| EvidenceError::Unfit("the ledger's id has not 32 bytes".into()))?),
        name: name.into(),
        origin: checkpoint.origin.clone(),
        size: checkpoint.size,
        model: request.model.clone(),
        at: request.at,
        version: answer.version,
        sample: request.sample,
        parts: Vec::new(),
        texts: Vec::new(),
    })
}

fn draft(
    mut manifest: Manifest,
    request: &Request,
    answer: &WhyInForceResponse,
    lines: &[super::page::Line],
    rows: &[Row],
    proofs: Vec<(String, Vec<u8>)>,
    checkpoint: Hash,
) -> Draft {
    let (page, sample) = facts::page(&manifest, answer, lines, rows, checkpoint);
    let policy =
        answer.policy.as_ref().and_then(|row| row.policy.as_ref()).map(|p| p.encode_to_vec()).unwrap_or_default();
    let mut parts = vec![
        (PAGE.to_owned(), page.into_bytes()),
        (CHECKER.to_owned(), request.checker.to_vec()),
        (ANSWER.to_owned(), answer.encode_to_vec()),
        (POLICY.to_owned(), policy),
        (POPULATION.to_owned(), population::csv((1..).zip(rows)).into_bytes()),
        (SAMPLE.to_owned(), sample.into_bytes()),
    ];
    parts.extend(proofs);
    manifest.parts = parts.iter().map(|(name, bytes)| PartName::of(name, bytes)).collect();
    let dataset = answer.dataset.as_ref().and_then(|d| d.root.as_slice().try_into().ok()).map_or(Hash([0; 32]), Hash);
    let sampled = population::sample(rows, population::seed(checkpoint, dataset), manifest.sample);
    let sampled = sampled.into_iter().map(|(_, row)| (row.batch, row.index, row.commitment)).collect();
    Draft { manifest, parts, texts: Vec::new(), sampled }
}

impl Draft {
    /// What it is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The members drawn, in the order of drawing: batch, index, commitment.
    pub fn sampled(&self) -> &[(u64, u32, Hash)] {
        &self.sampled
    }

    /// Puts an opened text in.
    pub fn open(&mut self, text: &OpenedText) {
        let bytes = [text.salt.as_slice(), &text.content].concat();
        let part = PartName::of("", &bytes);
        let name = format!("texts/{}", part.digest);
        if self.manifest.texts.iter().all(|known| known.name != name) {
            self.manifest.texts.push(PartName { name: name.clone(), ..part });
            self.texts.push((name, bytes));
        }
    }

    /// What the exporter signs.
    pub fn event(&self) -> EvidenceExported {
        EvidenceExported {
            kind: self.manifest.kind.into(),
            purpose: self.manifest.purpose.into(),
            model: self.manifest.model.clone(),
            version: self.manifest.version,
            size: self.manifest.size,
            manifest: self.manifest.digest().0.to_vec(),
            positions: if self.manifest.kind == BundleKind::Slice {
                facts::positions(&self.manifest)
            } else {
                Vec::new()
            },
            texts: facts::texts(&self.manifest),
        }
    }

    /// Writes the bundle, once the exporter's act stands in the log.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn finish<W: Write + Seek>(&self, exported: &Exported, out: W) -> Result<W, EvidenceError> {
        let (manifest, proof) = (self.manifest.to_string(), exported.proof.to_string());
        let consistency = facts::consistency(&exported.consistency);
        let own = self.parts.iter().chain(&self.texts).map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        let last = [(EXPORT_PROOF, proof.as_bytes()), (EXPORT_CONSISTENCY, consistency.as_bytes())];
        let parts = [(MANIFEST, manifest.as_bytes())].into_iter().chain(own).chain(last);
        archive::write(parts, out).map_err(|error| EvidenceError::Write(error.to_string()))
    }
}
