//! Checking a slice: what it discloses stands in the log and is truly signed; what was decided on it is the word of the
//! checkpoint's signer; what is not in it, of the exporter.

use super::claims::Report;
use super::complete::names;
use super::facts::{self, ANSWER, Keys, MANIFEST, POLICY, POPULATION, Parts};
use super::held;
use super::manifest::Manifest;
use super::page::Line;
use super::population::{self, Row};
use super::verify::{Anchors, open, open_checkpoint, origins};
use crate::envelope::verify as verify_signature;
use crate::log::Entry;
use crate::rules::decode::{Decoded, decode};
use crate::rules::entry_leaf;
use crate::state::Effects;
use crate::time::iso;
use crate::tree::{Checkpoint, Hash, TlogProof, leaf_hash};
use attestune_proto::v1::{Event, Verdict, WhyInForceResponse, event::Body};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// One disclosed entry, as far as it holds.
pub struct Disclosed {
    time_ms: u64,
    decoded: Option<Decoded>,
    verdict: Verdict,
    effects: Effects,
}

impl Disclosed {
    /// Its event, if it was accepted.
    pub fn accepted(&self) -> Option<&Event> {
        self.decoded.as_ref().filter(|_| self.verdict == Verdict::Accepted).map(|decoded| &decoded.event)
    }

    /// A row as it wrote it.
    pub fn wrote(&self, row: &[u8]) -> Option<&[u8]> {
        self.effects.writes().iter().rfind(|write| write.row == row).map(|write| write.value.as_slice())
    }
}

/// The disclosed entries by position.
pub type Entries = BTreeMap<u64, Disclosed>;

/// Checks everything that the manifest names.
pub fn verify(report: &mut Report, parts: &Parts<'_>, manifest: &Manifest, anchors: &Anchors) {
    let text = |name: &str| parts.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    let positions = facts::positions(manifest);
    let values: Vec<(u64, TlogProof, Entry)> =
        positions.iter().filter_map(|at| entry_of(report, *at, text(&event_part(*at)))).collect();
    let Some((ledger, roots, key, name)) = values.iter().find_map(|(_, _, entry)| facts::genesis(&entry.value)) else {
        return report.fail(MANIFEST, "the genesis is not among the events");
    };
    if Hash(ledger) != manifest.ledger
        || name != manifest.name
        || origins(manifest).is_none_or(|(o, _)| o != manifest.origin)
    {
        report.fail(
            MANIFEST,
            format!("the genesis is that of ledger {name}, {}: the manifest names another", hex::encode(ledger)),
        );
    }
    let Some((checkpoint, log)) = open_checkpoint(report, "checkpoint", text("checkpoint"), &key, manifest, anchors)
    else {
        return;
    };
    if manifest.at >= checkpoint.size {
        report.fail(MANIFEST, "the position asked about lies beyond the log's end");
    }
    let verdicts = origins(manifest).and_then(|(_, origin)| open(report, "verdicts", text("verdicts"), &key, &origin));
    let Some((verdicts, _)) = verdicts else { return };
    if verdicts.size != checkpoint.size {
        report.fail(
            "verdicts",
            format!("it covers {} verdicts, the other checkpoint {} entries", verdicts.size, checkpoint.size),
        );
    }
    let notes = (text("checkpoint"), text("verdicts"));
    let mut entries = Entries::new();
    for (at, proof, entry) in &values {
        let Some(disclosed) = disclose(report, parts, (*at, proof, entry), &checkpoint, &verdicts, notes) else {
            continue;
        };
        entries.insert(*at, disclosed);
    }
    let keys = check_signatures(report, manifest, &entries, roots);
    let Some((answer, rows)) = check_answer(report, parts, manifest, &entries) else { return };
    let lines: Vec<Line> = entries
        .iter()
        .map(|(at, e)| facts::line(*at, e.time_ms, e.decoded.as_ref().map(|decoded| &decoded.event), e.verdict))
        .collect();
    facts::check_pages(report, parts, manifest, &answer, &lines, &rows, checkpoint.root);
    let members: BTreeSet<Hash> = rows.iter().flat_map(|row| [row.commitment, row.document]).collect();
    facts::check_texts(report, parts, manifest, &|text| members.contains(text));
    facts::check_export(report, parts, manifest, &checkpoint, &log, &keys);
    claims(report, manifest, &entries, &answer, &log.name().to_string());
}

fn event_part(at: u64) -> String {
    format!("events/{at:010}.tlog-proof")
}

fn entry_of(report: &mut Report, at: u64, text: &str) -> Option<(u64, TlogProof, Entry)> {
    let proof = read_proof(report, &event_part(at), at, text)?;
    match Entry::from_stored(at, &proof.extra) {
        Some(entry) => Some((at, proof, entry)),
        None => {
            report.fail(event_part(at), "it carries no entry");
            None
        }
    }
}

fn read_proof(report: &mut Report, name: &str, at: u64, text: &str) -> Option<TlogProof> {
    match text.parse::<TlogProof>() {
        Ok(proof) if proof.index != at => report.fail(name, format!("it is a proof of position {}", proof.index)),
        Ok(proof) if proof.to_string() != text => report.fail(name, "it is not in its one form"),
        Ok(proof) => return Some(proof),
        Err(error) => report.fail(name, error.to_string()),
    }
    None
}

/// That an entry and its verdict stand in the trees, and what it changed.
fn disclose(
    report: &mut Report,
    parts: &Parts<'_>,
    (at, proof, entry): (u64, &TlogProof, &Entry),
    checkpoint: &Checkpoint,
    verdicts: &Checkpoint,
    notes: (&str, &str),
) -> Option<Disclosed> {
    let leaf = entry_leaf(entry.time_ms, &entry.value);
    if proof.checkpoint != notes.0 {
        report.fail(event_part(at), "its checkpoint is another than the bundle's");
    } else if let Err(why) = facts::included(leaf, proof, checkpoint) {
        report.fail(event_part(at), format!("the entry does not stand in the log: {why}"));
    }
    let name = format!("judged/{at:010}.tlog-proof");
    let text = parts.get(name.as_str()).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    let judged = read_proof(report, &name, at, text)?;
    if judged.checkpoint != notes.1 {
        report.fail(name.as_str(), "its checkpoint is another than the bundle's");
    } else if let Err(why) = facts::included(leaf_hash(&[&judged.extra]), &judged, verdicts) {
        report.fail(name.as_str(), format!("the verdict does not stand in the tree of verdicts: {why}"));
    }
    let Some((verdict, digest)) = read_judgement(&judged.extra, at, leaf) else {
        report.fail(name, "it is no verdict on that entry");
        return None;
    };
    let name = format!("effects/{at:010}");
    let bytes = parts.get(name.as_str()).copied().unwrap_or_default();
    let effects = Effects::from_bytes(bytes).filter(|_| Sha256::digest(bytes).as_slice() == digest);
    if effects.is_none() {
        report.fail(name, "these are not the changes whose digest the verdict has");
    }
    Some(Disclosed {
        time_ms: entry.time_ms,
        decoded: decode(&entry.value).ok(),
        verdict,
        effects: effects.unwrap_or_default(),
    })
}

/// `position ‖ leaf hash ‖ verdict ‖ length of the code ‖ code ‖ effects digest`.
fn read_judgement(bytes: &[u8], at: u64, leaf: Hash) -> Option<(Verdict, [u8; 32])> {
    let rest = bytes.strip_prefix(&at.to_be_bytes())?.strip_prefix(&leaf.0)?;
    let ([verdict, length], rest) = rest.split_first_chunk()?;
    let (_, digest) = rest.split_at_checked(usize::from(*length))?;
    Some((Verdict::try_from(i32::from(*verdict)).ok()?, digest.try_into().ok()?))
}

/// Every event is of this ledger and signed by keys that the bundle itself registers. Answers those keys.
fn check_signatures(report: &mut Report, manifest: &Manifest, entries: &Entries, roots: Keys) -> Keys {
    let mut keys = roots;
    for event in entries.values().filter_map(Disclosed::accepted) {
        let Some(Body::KeyRegistered(body)) = &event.body else { continue };
        if let Ok(public) = body.public_key.as_slice().try_into() {
            keys.insert(crate::envelope::keyid(&body.public_key), (public, body.actor.clone()));
        }
    }
    let mut signed = 0;
    for (at, entry) in entries {
        let Some(decoded) = &entry.decoded else {
            report.fail(event_part(*at), "the entry is no event");
            continue;
        };
        if decoded.genesis_id.is_none() && decoded.event.ledger != manifest.ledger.0 {
            report.fail(event_part(*at), "the event is of another ledger");
        }
        for (index, signature) in decoded.envelope.signatures.iter().enumerate() {
            match keys.get(&signature.keyid) {
                Some((public, _)) if verify_signature(&decoded.envelope, public, index) => signed += 1,
                Some(_) => {
                    report.fail(event_part(*at), format!("the signature of key {} does not verify", signature.keyid))
                }
                None => report
                    .fail(event_part(*at), format!("key {} is registered by no event of the bundle", signature.keyid)),
            }
        }
        // Whose act it is must not be the word of whoever judged it.
        let signers = decoded.envelope.signatures.iter().filter_map(|signature| keys.get(&signature.keyid));
        let by_actor = signers.map(|(_, actor)| actor).any(|actor| *actor == decoded.event.actor);
        if entry.accepted().is_some() && !by_actor {
            report.fail(event_part(*at), format!("no key of {} has signed it", decoded.event.actor));
        }
    }
    report.proven(format!(
        "{} entries of the log are here, each where it stands, with {signed} signatures that hold",
        entries.len()
    ));
    keys
}

/// Holds the answer against the events that it rests on.
fn check_answer(
    report: &mut Report,
    parts: &Parts<'_>,
    manifest: &Manifest,
    entries: &Entries,
) -> Option<(WhyInForceResponse, Vec<Row>)> {
    let bytes = parts.get(ANSWER).copied().unwrap_or_default();
    let answer = WhyInForceResponse::decode(bytes).ok().filter(|answer| answer.encode_to_vec() == bytes);
    let Some(answer) = answer else {
        report.fail(ANSWER, "it is no answer in its one form");
        return None;
    };
    if answer.version != manifest.version || answer.as_of_position != manifest.at || !answer.after.is_empty() {
        report.fail(ANSWER, "it is the answer to another question than the manifest's");
    }
    let policy = answer.policy.as_ref().and_then(|row| row.policy.clone()).unwrap_or_default();
    if parts.get(POLICY) != Some(&policy.encode_to_vec().as_slice()) {
        report.fail(POLICY, "it is another than the answer's");
    }
    let rows =
        match population::read(parts.get(POPULATION).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()) {
            Ok(rows) => rows,
            Err(line) => {
                report.fail(POPULATION, format!("line {line} is not in its one form"));
                return None;
            }
        };
    for (what, holds) in held::facts(manifest, entries, &answer, &policy) {
        if !holds {
            report.fail(ANSWER, format!("{what} is not what the events of the bundle say"));
        }
    }
    check_population(report, entries, &answer, &rows);
    Some((answer, rows))
}

/// The members are those whose root the freeze names, and each text is the one that its batch commits to.
fn check_population(report: &mut Report, entries: &Entries, answer: &WhyInForceResponse, rows: &[Row]) {
    let Some(dataset) = &answer.dataset else {
        if !rows.is_empty() {
            report.fail(POPULATION, "there is no dataset whose members these could be");
        }
        return;
    };
    if population::root(rows).0 != dataset.root.as_slice() || rows.len() as u64 != dataset.count {
        report.fail(POPULATION, "the members do not have the root that the dataset was frozen under");
        return;
    }
    let members = rows.iter().map(|row| (row.batch, row.index, row.commitment.0.to_vec()));
    let traced = population::rows(members, &|position| entries.get(&position)?.accepted()?.body.clone());
    match traced {
        Ok(traced) => {
            if let Some(line) = traced.iter().zip(rows).position(|(ours, theirs)| ours != theirs) {
                report.fail(POPULATION, format!("line {} is not what its batch says", line + 2));
            }
        }
        Err(error) => report.fail(POPULATION, error.to_string()),
    }
    for (line, row) in (2..).zip(rows).filter(|(_, row)| row.redacted) {
        let redacted =
            entries.values().filter_map(|e| e.decoded.as_ref()?.event.body.as_ref()).any(|body| match body {
                Body::ExamplesReviewed(b) => b.batches.iter().filter(|batch| batch.batch == row.batch).any(|batch| {
                    batch.decisions.iter().any(|d| d.index == row.index && d.redacted == row.commitment.0)
                }),
                _ => false,
            });
        if !redacted {
            report.fail(POPULATION, format!("line {line}: no review of the bundle redacted this example to this text"));
            return;
        }
    }
    report.proven(format!(
        "the {} members in population.csv are those that {}@{} was frozen with",
        rows.len(),
        dataset.dataset,
        dataset.number
    ));
}

fn claims(report: &mut Report, manifest: &Manifest, entries: &Entries, answer: &WhyInForceResponse, signer: &str) {
    let model = &manifest.model;
    let signer = format!("the signer of {signer}");
    report.attested(&*signer, format!("how each of the {} entries was judged, and what it changed", entries.len()));
    if answer.version == 0 {
        if let Some(halted) = facts::halted(model, answer) {
            report.attested(&*signer, halted);
        }
        report.attested(
            &*manifest.exporter,
            format!("no version of {model} was in force as of position {}", manifest.at),
        );
        return;
    }
    let (version, since) = (answer.version, answer.since_position);
    report.attested(&*signer, format!("{model}@{version} came into force at {since}"));
    report
        .attested(&*manifest.exporter, format!("nothing that is not here changed that up to position {}", manifest.at));
    report.asserted(
        "the log's clock",
        format!("that is since {}, and the moment asked about is {}", iso(answer.since_ms), iso(answer.as_of_ms)),
    );
    if let Some(emergency) = facts::emergency(answer) {
        report.attested(&*signer, emergency);
    }
    for approval in &answer.approvals {
        let (meaning, late) = facts::meaning(approval);
        report.proven(format!("{} signed an approval of it at {}, {meaning}{late}", approval.actor, approval.position));
    }
    report.attested(&*signer, "the approvals counted, and every guard of the policy then in force held");
    for evaluation in &answer.evaluations {
        let (Some(run), Some(suite)) = (&evaluation.evaluation, &evaluation.suite) else { continue };
        report.proven(format!(
            "the bars of {}@{} were signed at {}, before the evaluation at {}",
            suite.suite, suite.number, suite.position, run.ended_at
        ));
        let by = run.completed_by.as_ref().map_or("", |signer| signer.actor.as_str());
        let figures = evaluation.verdicts.iter().map(|v| format!("{} {} of {}", v.category, v.passed, v.cases));
        report.attested(by, format!("what was passed: {}", figures.collect::<Vec<_>>().join(", ")));
    }
    if let Some(run) = &answer.run {
        report.attested(run.claimed_by.join(", "), "that this adapter came of training on exactly that dataset");
    }
    names(report, &answer.actors);
    report.attested(&*manifest.exporter, "counts, dates and names in the answer that no event here says");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::SigningKey;
    use crate::evidence::manifest::tests::manifest;
    use attestune_proto::v1::PromotionApproved;

    #[test]
    fn an_act_that_another_persons_key_has_signed_is_told_whatever_its_verdict_says() {
        let [alma, otto] = [1, 2].map(|seed| SigningKey::from_seed([seed; 32]));
        let keys: Keys = [("alma", &alma), ("otto", &otto)]
            .into_iter()
            .map(|(actor, key)| (key.keyid(), (key.public(), actor.to_owned())))
            .collect();
        let manifest = manifest();
        let body = Body::PromotionApproved(PromotionApproved { promotion: 3, meaning: 1 });
        let event = Event {
            id: vec![1; 16],
            ledger: manifest.ledger.0.to_vec(),
            actor: "alma".into(),
            body: Some(body),
            ..Default::default()
        };
        let told = |key: &SigningKey| {
            let decoded = decode(&key.sign_event(&event)).ok();
            let disclosed = Disclosed { time_ms: 1, decoded, verdict: Verdict::Accepted, effects: Effects::none() };
            let mut report = Report::default();
            check_signatures(&mut report, &manifest, &[(4, disclosed)].into(), keys.clone());
            report.failures.into_iter().map(|failure| failure.what).collect::<Vec<_>>()
        };
        assert_eq!(told(&alma), [""; 0]);
        assert_eq!(told(&otto), ["no key of alma has signed it"]);
    }
}
