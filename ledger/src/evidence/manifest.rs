//! The manifest: what a bundle is, in lines, and its parts by their digests.

use crate::rules::is_identifier;
use crate::tree::{Hash, Origin};
use attestune_proto::v1::{BundleKind, ExportPurpose};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

const HEADER: &str = "attestune evidence v1";

/// What a bundle is.
///
/// ```text
/// attestune evidence v1
/// kind complete                     or slice
/// purpose regulator
/// exporter otto
/// made-by 0.1.0                     the version of attestune
/// ledger HEX
/// name support
/// origin attestune/support/HEX
/// size 84                           entries that the checkpoint covers
/// model triage
/// at 83                             the position that was asked about
/// version 1                         in force then; 0 for none
/// sample 25                         members drawn
///
/// HEX LENGTH NAME                   SHA-256, bytes and name of each part, in the archive's order
///
/// HEX LENGTH NAME                   the same of opened texts, which may be missing
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The kind of bundle.
    pub kind: BundleKind,
    /// What it was taken out for.
    pub purpose: ExportPurpose,
    /// Who took it out.
    pub exporter: String,
    /// Which version of attestune made it.
    pub made_by: String,
    /// The ledger's id.
    pub ledger: Hash,
    /// The ledger's name.
    pub name: String,
    /// The origin of its checkpoints.
    pub origin: Origin,
    /// Entries that the checkpoint covers.
    pub size: u64,
    /// The model asked about.
    pub model: String,
    /// After which position it was asked.
    pub at: u64,
    /// The version in force then; 0 for none.
    pub version: u32,
    /// How many members the sample has at most.
    pub sample: u32,
    /// The parts.
    pub parts: Vec<PartName>,
    /// The opened texts.
    pub texts: Vec<PartName>,
}

/// A part by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartName {
    /// SHA-256 of its bytes.
    pub digest: Hash,
    /// How many bytes.
    pub length: u64,
    /// Where it is in the archive.
    pub name: String,
}

impl PartName {
    /// A part's.
    pub fn of(name: &str, bytes: &[u8]) -> Self {
        Self { digest: Hash(Sha256::digest(bytes).into()), length: bytes.len() as u64, name: name.into() }
    }
}

impl Manifest {
    /// SHA-256 of the manifest: what the exporter signs.
    pub fn digest(&self) -> Hash {
        Hash(Sha256::digest(self.to_string()).into())
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = crate::draft::plain(self.kind.as_str_name(), "BUNDLE_KIND_");
        let purpose = crate::draft::plain(self.purpose.as_str_name(), "EXPORT_PURPOSE_");
        writeln!(f, "{HEADER}\nkind {kind}\npurpose {purpose}\nexporter {}\nmade-by {}", self.exporter, self.made_by)?;
        writeln!(f, "ledger {}\nname {}\norigin {}\nsize {}", self.ledger, self.name, self.origin, self.size)?;
        writeln!(f, "model {}\nat {}\nversion {}\nsample {}", self.model, self.at, self.version, self.sample)?;
        for parts in [&self.parts, &self.texts] {
            writeln!(f)?;
            parts.iter().try_for_each(|part| writeln!(f, "{} {} {}", part.digest, part.length, part.name))?;
        }
        Ok(())
    }
}

impl FromStr for Manifest {
    type Err = &'static str;

    /// Reads a manifest in its one form.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let mut lines = text.split('\n');
        if lines.next() != Some(HEADER) {
            return Err("its first line is another");
        }
        let mut field = |name: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(name)).and_then(|rest| rest.strip_prefix(' '));
            line.ok_or("a line of its head is missing or another")
        };
        let number = "a number in its head is none";
        let enumerated = |prefix: &str, text: &str| format!("{prefix}{}", text.to_ascii_uppercase().replace('-', "_"));
        let read = Self {
            kind: BundleKind::from_str_name(&enumerated("BUNDLE_KIND_", field("kind")?))
                .ok_or("its kind is unknown")?,
            purpose: ExportPurpose::from_str_name(&enumerated("EXPORT_PURPOSE_", field("purpose")?))
                .ok_or("its purpose is unknown")?,
            exporter: field("exporter")?.into(),
            made_by: field("made-by")?.into(),
            ledger: field("ledger")?.parse().map_err(|_| "its ledger is no id")?,
            name: field("name")?.into(),
            origin: field("origin")?.parse().map_err(|_| "its origin is none")?,
            size: field("size")?.parse().map_err(|_| number)?,
            model: field("model")?.into(),
            at: field("at")?.parse().map_err(|_| number)?,
            version: field("version")?.parse().map_err(|_| number)?,
            sample: field("sample")?.parse().map_err(|_| number)?,
            parts: Vec::new(),
            texts: Vec::new(),
        };
        if lines.next() != Some("") {
            return Err("there is no empty line behind its head");
        }
        let mut parts = || lines.by_ref().take_while(|line| !line.is_empty()).map(part).collect::<Option<Vec<_>>>();
        let bad = "a line of its parts is not `SHA-256 LENGTH NAME`";
        let (named, texts) = (parts().ok_or(bad)?, parts().ok_or(bad)?);
        let read = Self { parts: named, texts, ..read };
        if ![&read.exporter, &read.name, &read.model].into_iter().all(|name| is_identifier(name)) {
            return Err("a name in its head is no identifier");
        }
        if read.to_string() != text { Err("it is not in its one form") } else { Ok(read) }
    }
}

fn part(line: &str) -> Option<PartName> {
    let mut words = line.splitn(3, ' ');
    let digest = words.next()?.parse().ok()?;
    let length = words.next()?.parse().ok()?;
    Some(PartName { digest, length, name: words.next()?.into() })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A slice's, for the tests of other modules, too.
    pub fn manifest() -> Manifest {
        Manifest {
            kind: BundleKind::Slice,
            purpose: ExportPurpose::DataSubject,
            exporter: "otto".into(),
            made_by: "0.1.0".into(),
            ledger: Hash([7; 32]),
            name: "test".into(),
            origin: "attestune/test/0707070707070707".parse().unwrap(),
            size: 84,
            model: "triage".into(),
            at: 83,
            version: 1,
            sample: 25,
            parts: vec![PartName::of("answer", b"a"), PartName::of("events/3.tlog-proof", b"b")],
            texts: vec![PartName::of("texts/00", b"c")],
        }
    }

    #[test]
    fn a_manifest_reads_back_and_has_one_form() {
        let text = manifest().to_string();
        assert_eq!(text.parse(), Ok(manifest()));
        let bare = Manifest { parts: Vec::new(), texts: Vec::new(), ..manifest() };
        assert_eq!(bare.to_string().parse(), Ok(bare));
        for (from, to) in [
            ("evidence v1", "evidence v2"),
            ("kind slice", "kind all"),
            ("size 84", "size 084"),
            ("exporter otto", "exporter Otto"),
            ("\n\n", "\n"),
            ("answer\n", "answer\r\n"),
            (" 1 answer", " 01 answer"),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text);
            assert!(
                other.parse::<Manifest>().is_err_and(|_| true) || other.parse::<Manifest>() != Ok(manifest()),
                "{to}"
            );
        }
        assert!(text.replacen("size 84", "size 084", 1).parse::<Manifest>().is_err());
        assert!(format!("{text}more\n").parse::<Manifest>().is_err());
    }
}
