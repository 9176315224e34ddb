//! Checking a complete bundle: every leaf hashed, every entry folded again.

use super::claims::Report;
use super::each::each;
use super::export::Export;
use super::facts::{self, ANSWER, Keys, MANIFEST, POLICY, POPULATION, Parts};
use super::fold;
use super::manifest::Manifest;
use super::population;
use super::verify::{Anchors, open, open_checkpoint, origins};
use crate::query::{members_of, why};
use crate::rules::{decode::decode, entry_leaf};
use crate::state::{self, MemoryState, Models, Reader as _, View};
use crate::time::iso;
use crate::tree::{Checkpoint, Hash};
use attestune_proto::v1::{ActorRow, WhyInForceResponse, event::Body};
use prost::Message as _;
use std::collections::BTreeSet;

/// The log as `attestune log export` writes it.
const LOG: &str = "log";
/// The leaf hashes of its entries, so that an altered one is found where it stands.
const LEAVES: &str = "leaves";

/// Checks everything that the manifest names.
pub fn verify(report: &mut Report, parts: &Parts<'_>, manifest: &Manifest, anchors: &Anchors) {
    let export = match Export::read(parts.get(LOG).copied().unwrap_or_default()) {
        Ok(export) => export,
        Err((at, what)) => return report.fail(place(at), what),
    };
    let genesis = export.entries.iter().find_map(|entry| facts::genesis(&entry.envelope));
    let Some((ledger, _, key, name)) = genesis else {
        return report.fail(LOG, "no entry creates a ledger");
    };
    if Hash(ledger) != manifest.ledger
        || name != manifest.name
        || origins(manifest).is_none_or(|(o, _)| o != manifest.origin)
    {
        report.fail(
            MANIFEST,
            format!("the log is that of ledger {name}, {}: the manifest names another", hex::encode(ledger)),
        );
    }
    let opened = open_checkpoint(report, "log, its entries' checkpoint", &export.entries_note, &key, manifest, anchors);
    let Some((checkpoint, key_of_log)) = opened else { return };
    let verdicts = origins(manifest).and_then(|(_, origin)| {
        open(report, "log, its verdicts' checkpoint", &export.verdicts_note, &key, &origin)
            .map(|(checkpoint, _)| checkpoint)
    });
    check_leaves(report, parts, &export, &checkpoint);
    let Some(state) = fold_again(report, &export, &checkpoint, verdicts.as_ref()) else { return };
    let Some((answer, rows)) = check_answer(report, parts, manifest, &state) else { return };
    facts::check_pages(report, parts, manifest, &answer, &[], &rows, checkpoint.root);
    let named = if manifest.texts.is_empty() { BTreeSet::new() } else { commitments(&export) };
    facts::check_texts(report, parts, manifest, &|text| named.contains(text));
    facts::check_export(report, parts, manifest, &checkpoint, &key_of_log, &keys(&state));
    claims(report, &state, manifest, &answer);
}

fn place(at: Option<u64>) -> String {
    at.map_or_else(|| LOG.into(), |at| format!("log, position {at}"))
}

/// Each entry is the leaf that the checkpoint's tree has there.
fn check_leaves(report: &mut Report, parts: &Parts<'_>, export: &Export, checkpoint: &Checkpoint) {
    let leaves = parts.get(LEAVES).copied().unwrap_or_default();
    let (leaves, rest) = leaves.as_chunks::<32>();
    let mut tree = crate::tree::Frontier::new();
    leaves.iter().for_each(|leaf| tree.push(Hash(*leaf)));
    if !rest.is_empty() || tree.size() != checkpoint.size || tree.root() != checkpoint.root {
        report.fail(LEAVES, "these are not the leaves of the checkpoint's tree");
        return;
    }
    let count = export.entries.len() as u64;
    if count != checkpoint.size {
        report.fail(LOG, format!("it has {count} entries, its checkpoint covers {}", checkpoint.size));
    }
    // An entry's position is its place: the export was read so.
    let other = each(&export.entries, |entry| {
        let leaf = leaves.get(entry.position as usize);
        leaf.is_some_and(|leaf| entry_leaf(entry.time_ms, &entry.envelope).0 != *leaf)
    });
    if let Some(at) = other.iter().position(|other| *other) {
        report.fail(
            place(Some(at as u64)),
            "the entry is not the one that was signed: altered, left out, put in or moved",
        );
    }
}

/// Folds the log and holds both roots and every verdict against what is said of them.
fn fold_again(
    report: &mut Report,
    export: &Export,
    checkpoint: &Checkpoint,
    verdicts: Option<&Checkpoint>,
) -> Option<MemoryState> {
    let (mut counts, mut differs) = ([0u64; 5], None);
    let folded = fold::fold(&export.entries, |said, folded| {
        counts[(folded.verdict as usize).min(4)] += 1;
        let code = said.refusal.as_ref().map_or("", |refusal| refusal.code.as_str());
        let same = said.verdict == folded.verdict as i32
            && code == folded.code()
            && said.effects_digest == folded.effects_digest;
        // The figures and words beside the code are for people; they are made again, too.
        let info = folded.refusal.as_ref().map(|r| r.info()).or_else(|| folded.rejection.as_ref().map(|r| r.info()));
        if (!same || said.refusal != info) && differs.is_none() {
            differs = Some((said.position, format!("{:?} {}", folded.verdict, folded.code())));
        }
    });
    let state = match folded {
        Ok(state) => state,
        Err(failure) => {
            report.fail(LOG, format!("the fold stopped: {failure}"));
            return None;
        }
    };
    if let Some((at, ours)) = differs {
        let ours = ours.trim_end().to_ascii_lowercase();
        report.fail(place(Some(at)), format!("the verdict that stands there is not the one of the rules, {ours}"));
    }
    let size = state.size();
    let root = |root: Result<Option<Hash>, _>| root.ok().flatten();
    if root(state.entry_root(size)) != Some(checkpoint.root) {
        report.fail(LOG, format!("the root over its {size} entries is not the checkpoint's"));
    }
    match verdicts {
        Some(verdicts) if verdicts.size != size => {
            report.fail(
                "log, its verdicts' checkpoint",
                format!("it covers {} verdicts, the log has {size} entries", verdicts.size),
            );
        }
        Some(verdicts) if root(state.verdict_root(size)) != Some(verdicts.root) => {
            report.fail(
                LOG,
                "the root over the verdicts of the rules is not the checkpoint's: its signer decided otherwise",
            );
        }
        _ => {}
    }
    let [_, accepted, refused, twice, none] = counts;
    report.proven(format!(
        "the log's first {size} entries are here, whole, in order and unaltered, by the checkpoint of its signer"
    ));
    report.proven(format!(
        "folded again by the rules: {accepted} events accepted, {refused} refused, {twice} entries twice, {none} that are no events"
    ));
    Some(state)
}

/// Answers the question again and compares.
fn check_answer(
    report: &mut Report,
    parts: &Parts<'_>,
    manifest: &Manifest,
    state: &MemoryState,
) -> Option<(WhyInForceResponse, Vec<population::Row>)> {
    if manifest.at >= state.size() {
        report.fail(MANIFEST, "the position asked about lies beyond the log's end");
        return None;
    }
    let view = View::new(state, manifest.at + 1);
    let answer = match why(&view, &manifest.model) {
        Ok(answer) => answer,
        Err(error) => {
            report.fail(ANSWER, error.to_string());
            return None;
        }
    };
    if answer.version != manifest.version {
        report.fail(MANIFEST, format!("version {} was in force then, not {}", answer.version, manifest.version));
    }
    if parts.get(ANSWER) != Some(&answer.encode_to_vec().as_slice()) {
        report.fail(ANSWER, "the log gives another answer");
    }
    let policy =
        answer.policy.as_ref().and_then(|row| row.policy.as_ref()).map(|p| p.encode_to_vec()).unwrap_or_default();
    if parts.get(POLICY) != Some(&policy.as_slice()) {
        report.fail(POLICY, "another policy was in force then");
    }
    let rows = match &answer.dataset {
        Some(dataset) => {
            let members = members_of(&view, dataset).into_iter().map(|m| (m.batch, m.index, m.commitment));
            match population::rows(members, &|position| view.body(position)) {
                Ok(rows) => rows,
                Err(error) => {
                    report.fail(POPULATION, error.to_string());
                    return None;
                }
            }
        }
        None => Vec::new(),
    };
    let table = population::csv((1..).zip(&rows));
    if parts.get(POPULATION) != Some(&table.as_bytes()) {
        let theirs = parts.get(POPULATION).copied().unwrap_or_default();
        let line =
            table.as_bytes().iter().zip(theirs).take_while(|(a, b)| a == b).filter(|(a, _)| **a == b'\n').count() + 1;
        report.fail(POPULATION, format!("line {line} is not what the log says of the dataset's members"));
    }
    Some((answer, rows))
}

/// Every commitment that an event of the log names.
fn commitments(export: &Export) -> BTreeSet<Hash> {
    let mut named = BTreeSet::new();
    let mut add = |bytes: &[u8]| named.extend(<[u8; 32]>::try_from(bytes).ok().map(Hash));
    for entry in &export.entries {
        let Some(body) = decode(&entry.envelope).ok().and_then(|decoded| decoded.event.body) else { continue };
        match body {
            Body::DocumentsIngested(b) => b.commitments.iter().for_each(|c| add(c)),
            Body::ExamplesDerived(b) => b.commitments.iter().for_each(|c| add(c)),
            Body::ExamplesReviewed(b) => {
                b.batches.iter().flat_map(|batch| &batch.decisions).for_each(|d| add(&d.redacted));
            }
            _ => {}
        }
    }
    named
}

/// All keys that the log registered.
fn keys(state: &MemoryState) -> Keys {
    let view = View::new(state, state.size());
    let rows = view.scan(&state::Keys::all());
    rows.into_iter()
        .filter_map(|row| Some((row.keyid, (row.public_key.as_slice().try_into().ok()?, row.actor))))
        .collect()
}

fn claims(report: &mut Report, state: &MemoryState, manifest: &Manifest, answer: &WhyInForceResponse) {
    let model = &manifest.model;
    if answer.version == 0 {
        if let Some(halted) = facts::halted(model, answer) {
            report.proven(halted);
        }
        report.proven(format!("no version of {model} was in force as of position {}", manifest.at));
        return;
    }
    let (version, since) = (answer.version, answer.since_position);
    report.proven(format!(
        "{model}@{version} was in force as of position {}, and since {since} without a break",
        manifest.at
    ));
    report.asserted(
        "the log's clock",
        format!("that is since {}, and the moment asked about is {}", iso(answer.since_ms), iso(answer.as_of_ms)),
    );
    if let Some(emergency) = facts::emergency(answer) {
        report.proven(emergency);
    }
    for approval in &answer.approvals {
        let (meaning, late) = facts::meaning(approval);
        report.proven(format!(
            "{} approved it at {}, {meaning}{late}, with a key and a role that held",
            approval.actor, approval.position
        ));
    }
    report.proven("none of them took part in making it, and every guard of the policy then in force held");
    for evaluation in &answer.evaluations {
        let (Some(run), Some(suite)) = (&evaluation.evaluation, &evaluation.suite) else { continue };
        report.proven(format!(
            "the bars of {}@{} were fixed at {}, before it was evaluated at {}",
            suite.suite, suite.number, suite.position, run.ended_at
        ));
        let by = run.completed_by.as_ref().map_or("", |signer| signer.actor.as_str());
        let figures = evaluation.verdicts.iter().map(|v| format!("{} {} of {}", v.category, v.passed, v.cases));
        report.attested(by, format!("what was passed: {}", figures.collect::<Vec<_>>().join(", ")));
    }
    if let Some(dataset) = &answer.dataset {
        report.proven(format!(
            "it was trained on {}@{}, whose {} members are in population.csv",
            dataset.dataset, dataset.number, dataset.count
        ));
    }
    for reached in &answer.erasures {
        report.proven(format!("erasure {} took {} of these members out", reached.erasure, reached.members));
    }
    if let Some(run) = &answer.run {
        report.attested(run.claimed_by.join(", "), "that this adapter came of training on exactly that dataset");
    }
    names(report, &answer.actors);
    let now = View::new(state, state.size()).get(&Models::key(model)).unwrap_or_default();
    let last = state.size() - 1;
    report.proven(match now.in_force {
        same if same == version && now.since == since => format!("up to position {last} nothing changed that"),
        other => format!("up to position {last} that was followed by version {other}, in force since {}", now.since),
    });
}

/// Names are on the log as somebody registered them.
pub fn names(report: &mut Report, actors: &[ActorRow]) {
    for actor in actors {
        let name = crate::refusal::printable(&actor.printed_name);
        report.attested("the admins who registered the keys", format!("{} is {name}", actor.actor));
    }
}
