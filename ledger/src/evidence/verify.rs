//! Checking a bundle, offline.

use super::archive;
use super::claims::Report;
use super::facts::{
    ANSWER, CHECKER, EXPORT_CONSISTENCY, EXPORT_PROOF, MANIFEST, PAGE, POLICY, POPULATION, Parts, SAMPLE, positions,
};
use super::manifest::{Manifest, PartName};
use super::{complete, slice};
use crate::envelope::fit_key;
use crate::time::iso;
use crate::tree::{Checkpoint, Missing, Origin, TlogPolicy, VerifierKey};
use attestune_proto::v1::BundleKind;
use std::collections::BTreeSet;

/// What is known from outside the bundle.
#[derive(Debug, Clone, Default)]
pub struct Anchors {
    /// The ledger's id.
    pub ledger: Option<[u8; 32]>,
    /// The public key of its checkpoint signer.
    pub checkpoint_key: Option<[u8; 32]>,
    /// Which logs and witnesses are trusted.
    pub policy: Option<TlogPolicy>,
    /// The page that checks bundles, as this version of attestune has it. That page, which is this code compiled, can't
    /// hold itself.
    pub checker: Option<&'static [u8]>,
}

impl Anchors {
    /// Whether anything ties a bundle to a ledger.
    fn tie(&self) -> bool {
        self.ledger.is_some()
            || self.checkpoint_key.is_some()
            || self.policy.as_ref().is_some_and(|p| !p.logs.is_empty())
    }
}

/// Checks a bundle against what is known from outside it. Everything that does not hold is told, as far as it can be
/// gone on at all.
pub fn verify(bytes: &[u8], anchors: &Anchors) -> Report {
    let mut report = Report { origin_known: anchors.tie(), ..Report::default() };
    let archive = match archive::read(bytes) {
        Ok((archive, None)) => archive,
        Ok((archive, Some(broken))) => {
            // Gone on with, as the parts may tell more of where it is.
            report.fail("the file", broken.to_string());
            archive
        }
        Err(broken) => {
            report.fail("the file", broken.to_string());
            return report;
        }
    };
    let parts: Parts<'_> = archive.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    let manifest = parts.get(MANIFEST).ok_or("it is missing").and_then(|bytes| {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is no text")?;
        text.parse::<Manifest>()
    });
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(what) => {
            report.fail(MANIFEST, what);
            return report;
        }
    };
    report.ledger = manifest.ledger.to_string();
    check_parts(&mut report, &manifest, &archive);
    check_checker(&mut report, &parts, &manifest, anchors);
    if anchors.ledger.is_some_and(|ledger| ledger != manifest.ledger.0) {
        report.fail(MANIFEST, format!("the bundle is of ledger {}, not of the one that you named", manifest.ledger));
    }
    match manifest.kind {
        BundleKind::Complete => complete::verify(&mut report, &parts, &manifest, anchors),
        BundleKind::Slice => slice::verify(&mut report, &parts, &manifest, anchors),
        BundleKind::Unspecified => report.fail(MANIFEST, "it names no kind"),
    }
    report
}

/// The archive's parts are those of the manifest, in its order, byte for byte; only opened texts may be missing. What
/// nothing is held against travels in no bundle.
fn check_parts(report: &mut Report, manifest: &Manifest, archive: &[(String, &[u8])]) {
    let disclosed: BTreeSet<u64> = positions(manifest).into_iter().collect();
    for part in manifest.parts.iter().filter(|part| !is_part(manifest.kind, &part.name, &disclosed)) {
        report.fail(part.name.as_str(), "a bundle of this kind has no such part");
    }
    let mut found = archive.iter().map(|(name, bytes)| (name.as_str(), *bytes)).peekable();
    let optional = manifest.texts.iter().map(|part| (part.name.as_str(), Some(part), true));
    let named = manifest.parts.iter().map(|part| (part.name.as_str(), Some(part), false));
    let own = |name| (name, None::<&PartName>, false);
    let expected = [own(MANIFEST)].into_iter().chain(named).chain(optional);
    for (name, part, optional) in expected.chain([own(EXPORT_PROOF), own(EXPORT_CONSISTENCY)]) {
        let Some((_, bytes)) = found.next_if(|(there, _)| *there == name) else {
            if !optional {
                let instead =
                    found.peek().map_or("the archive ends".into(), |(there, _)| format!("{there} stands there"));
                report.fail(name, format!("the part is missing or not in its place: {instead}"));
                // What follows would be told once for each part.
                return;
            }
            continue;
        };
        if let Some(part) = part
            && PartName::of(name, bytes) != *part
        {
            report.fail(name, "the part is not the one that the manifest names: it was altered or exchanged");
        }
    }
    if let Some((name, _)) = found.next() {
        report.fail(name, "the manifest names no such part");
    }
}

/// The page that checks the bundle in a browser is the one that is known, where the same version of attestune made it: it
/// could say anything, and whoever opens it would believe that.
fn check_checker(report: &mut Report, parts: &Parts<'_>, manifest: &Manifest, anchors: &Anchors) {
    match anchors.checker.filter(|_| manifest.made_by == env!("CARGO_PKG_VERSION")) {
        Some(known) if parts.get(CHECKER) == Some(&known) => {}
        Some(_) => report.fail(CHECKER, "it is not the page that this version of attestune puts into bundles"),
        None => report.asserted(
            format!("attestune {}", manifest.made_by),
            "the page within that checks the bundle in a browser: it was held against nothing here",
        ),
    }
}

/// Whether a bundle of a kind that discloses entries at these positions may have such a part.
fn is_part(kind: BundleKind, name: &str, disclosed: &BTreeSet<u64>) -> bool {
    let of_entry = |folder: &str, ending: &str| {
        let digits = name.strip_prefix(folder).and_then(|rest| rest.strip_suffix(ending));
        let number = digits.and_then(|digits| Some((digits, digits.parse::<u64>().ok()?)));
        number.is_some_and(|(digits, at)| disclosed.contains(&at) && format!("{at:010}") == digits)
    };
    let of_kind = match kind {
        BundleKind::Complete => ["log", "leaves"].contains(&name),
        BundleKind::Slice => {
            ["checkpoint", "verdicts"].contains(&name)
                || of_entry("events/", ".tlog-proof")
                || of_entry("judged/", ".tlog-proof")
                || of_entry("effects/", "")
        }
        BundleKind::Unspecified => false,
    };
    of_kind || [PAGE, CHECKER, ANSWER, POLICY, POPULATION, SAMPLE].contains(&name)
}

/// Opens the bundle's checkpoint under the key of its genesis, which what is known from outside must admit.
pub fn open_checkpoint(
    report: &mut Report,
    place: &str,
    note: &str,
    key: &[u8; 32],
    manifest: &Manifest,
    anchors: &Anchors,
) -> Option<(Checkpoint, VerifierKey)> {
    if anchors.checkpoint_key.is_some_and(|known| known != *key) {
        report.fail(place, "the genesis names another checkpoint signer than you did");
    }
    let (checkpoint, key) = open(report, place, note, key, &manifest.origin)?;
    if checkpoint.size != manifest.size {
        report.fail(
            place,
            format!(
                "it covers {} entries, the manifest says {}: it is an older or newer one",
                checkpoint.size, manifest.size
            ),
        );
        return None;
    }
    if let Some(policy) = &anchors.policy {
        let judged = if policy.logs.is_empty() { policy.judge_under(note, &key) } else { policy.judge(note) };
        match judged {
            Ok(judged) if judged.log == key => {
                for (name, cosignature) in judged.cosigned {
                    let time = iso(cosignature.time_s.saturating_mul(1000));
                    report.attested(
                        format!("witness {name}"),
                        format!("this checkpoint, extending all it saw before, by {time}"),
                    );
                }
            }
            Ok(_) => report.fail(place, "the trust policy's log has another key than the genesis names"),
            Err(missing @ (Missing::Log { .. } | Missing::Note(_) | Missing::Quorum { .. })) => {
                report.fail(place, missing.to_string());
            }
        }
    }
    Some((checkpoint, key))
}

/// Opens a checkpoint of the ledger by its signer's key.
pub fn open(
    report: &mut Report,
    place: &str,
    note: &str,
    key: &[u8; 32],
    origin: &Origin,
) -> Option<(Checkpoint, VerifierKey)> {
    let Some(public) = fit_key(key) else {
        report.fail(place, "the checkpoint key in the genesis is unfit");
        return None;
    };
    let opened = VerifierKey::new(origin.clone(), public).and_then(|key| Ok((Checkpoint::open(note, &key)?, key)));
    opened.map_err(|error| report.fail(place, error.to_string())).ok()
}

/// The origins that a ledger's checkpoints have, for its entries and its verdicts.
pub fn origins(manifest: &Manifest) -> Option<(Origin, Origin)> {
    let id = hex::encode(&manifest.ledger.0[..8]);
    let entries: Origin = format!("attestune/{}/{id}", manifest.name).parse().ok()?;
    Some((entries.clone(), format!("{entries}/verdicts").parse().ok()?))
}
