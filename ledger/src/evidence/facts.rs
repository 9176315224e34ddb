//! What both kinds of bundle have: the answer's parts, the exporter's act, the opened texts.

use super::claims::Report;
use super::manifest::Manifest;
use super::page::{Line, Page};
use super::population::{self, Row};
use crate::envelope::{ledger_id, verify};
use crate::log::Entry;
use crate::query::summary;
use crate::rules::{decode::decode, entry_leaf};
use crate::time::iso;
use crate::tree::{Checkpoint, Hash, TlogProof, VerifierKey, verify_consistency, verify_inclusion};
use attestune_proto::v1::{ApprovalRecord, BundleKind, Event, WhyInForceResponse, event::Body};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The parts of an archive by name.
pub type Parts<'a> = BTreeMap<&'a str, &'a [u8]>;

/// Public keys by id, with their actors.
pub type Keys = BTreeMap<String, ([u8; 32], String)>;

pub const MANIFEST: &str = "manifest.txt";
pub const PAGE: &str = "index.html";
pub const CHECKER: &str = "check.html";
pub const ANSWER: &str = "answer";
pub const POLICY: &str = "policy";
pub const POPULATION: &str = "population.csv";
pub const SAMPLE: &str = "sample.csv";
pub const EXPORT_PROOF: &str = "export/event.tlog-proof";
pub const EXPORT_CONSISTENCY: &str = "export/consistency";

/// The page that goes with an answer.
pub fn page(
    manifest: &Manifest,
    answer: &WhyInForceResponse,
    events: &[Line],
    rows: &[Row],
    checkpoint: Hash,
) -> (String, String) {
    let dataset = answer.dataset.as_ref().and_then(|d| d.root.as_slice().try_into().ok()).map_or(Hash([0; 32]), Hash);
    let seed = population::seed(checkpoint, dataset);
    let sample = population::sample(rows, seed, manifest.sample);
    let page = Page { manifest, answer, events, sample: &sample, members: rows.len(), seed };
    (page.to_string(), population::csv(sample.iter().copied()))
}

/// An entry as pages list it.
pub fn line(position: u64, time_ms: u64, event: Option<&Event>, verdict: attestune_proto::v1::Verdict) -> Line {
    let body = event.and_then(|event| event.body.as_ref());
    Line {
        position,
        time_ms,
        actor: event.map(|event| event.actor.clone()).unwrap_or_default(),
        summary: body.map_or_else(|| "an entry that is no event known here".into(), summary),
        verdict,
    }
}

/// That serving was halted, where it was.
pub fn halted(model: &str, answer: &WhyInForceResponse) -> Option<String> {
    let (at, version) = (answer.halt.as_ref()?.position, answer.halted_version);
    Some(match version {
        0 => format!("serving of {model} was halted at {at}"),
        version => format!("serving of {model} was halted at {at}; version {version} was in force until then"),
    })
}

/// That the version came in ahead of its approvals, where it did.
pub fn emergency(answer: &WhyInForceResponse) -> Option<String> {
    let promotion = answer.promotion.as_ref().filter(|promotion| promotion.emergency)?;
    let by = promotion.requested_by.as_ref().map_or("", |signer| signer.actor.as_str());
    let (at, needed) = (promotion.decided_at, promotion.approvals_needed);
    let how = format!("{by} brought it in at {at} in an emergency, ahead of the {needed} approvals");
    Some(match promotion.reviewed_at {
        0 => format!("{how}, which were still missing; they were due by {}", iso(promotion.review_by_ms)),
        at => format!("{how}, the last of which came at {at}"),
    })
}

/// What an approval means, and whether it came too late.
pub fn meaning(approval: &ApprovalRecord) -> (String, &'static str) {
    let meaning = crate::draft::plain(approval.meaning().as_str_name(), "APPROVAL_MEANING_");
    (meaning, if approval.late { ", after the deadline" } else { "" })
}

/// Holds the parts for people against what they are made from.
pub fn check_pages(
    report: &mut Report,
    parts: &Parts<'_>,
    manifest: &Manifest,
    answer: &WhyInForceResponse,
    events: &[Line],
    rows: &[Row],
    checkpoint: Hash,
) {
    let (page, sample) = page(manifest, answer, events, rows, checkpoint);
    if parts.get(SAMPLE) != Some(&sample.as_bytes()) {
        report.fail(SAMPLE, "the sample is not the one that the seed draws");
    }
    if manifest.made_by != env!("CARGO_PKG_VERSION") {
        let by = format!("attestune {}", manifest.made_by);
        report.asserted(by, "the page for people: another version made it, so it was not made again here");
    } else if parts.get(PAGE) != Some(&page.as_bytes()) {
        let theirs = parts.get(PAGE).copied().unwrap_or_default();
        let at = page.as_bytes().iter().zip(theirs).take_while(|(ours, theirs)| ours == theirs).count();
        report.fail(PAGE, format!("the page shows something else than the answer from byte {at} on"));
    }
}

/// Holds the opened texts against their commitments, each of which an event of the bundle must name.
pub fn check_texts(report: &mut Report, parts: &Parts<'_>, manifest: &Manifest, named: &dyn Fn(&Hash) -> bool) {
    let mut opened = 0;
    for part in &manifest.texts {
        let Some(bytes) = parts.get(part.name.as_str()) else { continue };
        let commitment = Hash(Sha256::digest(bytes).into());
        if part.name != format!("texts/{commitment}") {
            report.fail(part.name.as_str(), "the text is not the one that its commitment names");
        } else if !named(&commitment) {
            report.fail(part.name.as_str(), "no event of the bundle names this text");
        } else {
            opened += 1;
        }
    }
    if !manifest.texts.is_empty() {
        report.proven(format!(
            "{opened} of {} opened texts are here, each the one that its event commits to",
            manifest.texts.len()
        ));
    }
}

/// Holds the exporter's act against the bundle: it stands in the log, is signed by a key of the exporter, and names this
/// very manifest.
pub fn check_export(
    report: &mut Report,
    parts: &Parts<'_>,
    manifest: &Manifest,
    checkpoint: &Checkpoint,
    key: &VerifierKey,
    keys: &Keys,
) {
    match exported(parts, manifest, checkpoint, key, keys) {
        Ok((position, time_ms)) => {
            let purpose = crate::draft::plain(manifest.purpose.as_str_name(), "EXPORT_PURPOSE_");
            report.proven(format!(
                "{} signed at position {position} to have taken out this very bundle, for: {purpose}",
                manifest.exporter
            ));
            report.asserted("the log's clock", format!("that was at {}", iso(time_ms)));
        }
        Err((place, what)) => report.fail(place, what),
    }
}

fn exported(
    parts: &Parts<'_>,
    manifest: &Manifest,
    checkpoint: &Checkpoint,
    key: &VerifierKey,
    keys: &Keys,
) -> Result<(u64, u64), (&'static str, String)> {
    let bad = |what: String| (EXPORT_PROOF, what);
    let text = parts.get(EXPORT_PROOF).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| bad("it is missing: nobody signed to have taken the bundle out".into()))?;
    let proof: TlogProof = text.parse().map_err(|error| bad(format!("{error}")))?;
    if proof.to_string() != text {
        return Err(bad("it is not in its one form".into()));
    }
    let entry = Entry::from_stored(proof.index, &proof.extra).ok_or_else(|| bad("it carries no entry".into()))?;
    let newer = proof.verify(entry_leaf(entry.time_ms, &entry.value), key).map_err(|error| bad(error.to_string()))?;
    // One line by the log's key: others would not be judged, so that a byte in them could be another.
    if proof.checkpoint.matches("\n— ").count() != 1 {
        return Err(bad("its checkpoint has another number of signatures than one".into()));
    }
    consistent(parts, checkpoint, &newer)?;
    let decoded = decode(&entry.value).map_err(|rejection| bad(rejection.to_string()))?;
    let Some(Body::EvidenceExported(body)) = &decoded.event.body else {
        return Err(bad("its event takes out no evidence".into()));
    };
    if decoded.event.ledger != manifest.ledger.0 || decoded.event.actor != manifest.exporter {
        return Err(bad("its event is another ledger's, or another person's".into()));
    }
    for (index, signature) in decoded.envelope.signatures.iter().enumerate() {
        let known = keys.get(&signature.keyid).filter(|(_, actor)| *actor == manifest.exporter);
        let (public, _) =
            known.ok_or_else(|| bad(format!("key {} is not one of {}", signature.keyid, manifest.exporter)))?;
        if !verify(&decoded.envelope, public, index) {
            return Err(bad(format!("the signature of key {} does not verify", signature.keyid)));
        }
    }
    if body.manifest != manifest.digest().0 {
        return Err((MANIFEST, "it is not the manifest that the exporter signed".into()));
    }
    let same = body.kind == manifest.kind as i32
        && body.purpose == manifest.purpose as i32
        && body.size == manifest.size
        && body.model == manifest.model
        && body.version == manifest.version
        && body.texts == texts(manifest);
    if !same || (manifest.kind == BundleKind::Slice && body.positions != positions(manifest)) {
        return Err(bad("its event says something else of the bundle than the manifest".into()));
    }
    Ok((proof.index, entry.time_ms))
}

fn consistent(parts: &Parts<'_>, older: &Checkpoint, newer: &Checkpoint) -> Result<(), (&'static str, String)> {
    let bad = |what: String| (EXPORT_CONSISTENCY, what);
    let text = parts.get(EXPORT_CONSISTENCY).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| bad("it is missing".into()))?;
    let hash = |line: &str| BASE64.decode(line).ok()?.try_into().ok().map(Hash);
    let proof: Option<Vec<Hash>> = text.lines().map(hash).collect();
    let proof =
        proof.filter(|proof| consistency(proof) == text).ok_or_else(|| bad("it is no list of hashes".into()))?;
    verify_consistency(older.size, older.root, newer.size, newer.root, &proof).map_err(|error| bad(error.to_string()))
}

/// A consistency proof as a part: a line a hash, in base64.
pub fn consistency(proof: &[Hash]) -> String {
    proof.iter().map(|hash| format!("{}\n", BASE64.encode(hash.0))).collect()
}

/// The commitments of the opened texts, in the manifest's order.
pub fn texts(manifest: &Manifest) -> Vec<Vec<u8>> {
    let commitments = manifest.texts.iter().filter_map(|part| part.name.strip_prefix("texts/"));
    commitments.filter_map(|name| name.parse::<Hash>().ok()).map(|hash| hash.0.to_vec()).collect()
}

/// The positions that a slice discloses, ascending.
pub fn positions(manifest: &Manifest) -> Vec<u64> {
    let names = manifest.parts.iter().map(|part| part.name.as_str());
    names.filter_map(|name| name.strip_prefix("events/")?.strip_suffix(".tlog-proof")?.parse().ok()).collect()
}

/// A genesis among entries: its id, its root keys, and the key of its checkpoints.
pub fn genesis(value: &[u8]) -> Option<([u8; 32], Keys, [u8; 32], String)> {
    let decoded = decode(value).ok()?;
    let Some(Body::LedgerCreated(body)) = &decoded.event.body else { return None };
    let root = |key: &attestune_proto::v1::RootKey| {
        let public: [u8; 32] = key.public_key.as_slice().try_into().ok()?;
        Some((crate::envelope::keyid(&public), (public, key.actor.clone())))
    };
    let keys = body.root_keys.iter().filter_map(root).collect();
    let checkpoint_key = body.checkpoint_key.as_slice().try_into().ok()?;
    Some((ledger_id(value), keys, checkpoint_key, body.name.clone()))
}

/// Whether a leaf is in a tree by a proof.
pub fn included(leaf: Hash, proof: &TlogProof, checkpoint: &Checkpoint) -> Result<(), String> {
    verify_inclusion(leaf, proof.index, checkpoint.size, &proof.path, checkpoint.root)
        .map_err(|error| error.to_string())
}
