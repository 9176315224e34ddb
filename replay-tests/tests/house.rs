//! House rules as tests: dependencies point one way, the rules are pure, the manual's list of refusals is the code's.

use attestune_ledger::refusal::{ALL, ALL_REJECTIONS, Code};
use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_path_buf()
}

#[test]
fn dependencies_point_one_way() {
    // What each crate of ours may depend on, of ours.
    let allowed: [(&str, &[&str]); 8] = [
        ("attestune-proto", &[]),
        ("attestune-ledger", &["attestune-proto"]),
        ("attestune-pii", &[]),
        ("attestune-trainer", &["attestune-pii"]),
        ("attestune-workers", &["attestune-ledger", "attestune-pii", "attestune-proto", "attestune-trainer"]),
        ("attestune-gateway", &["attestune-ledger", "attestune-proto"]),
        (
            "attestune",
            &[
                "attestune-gateway",
                "attestune-ledger",
                "attestune-pii",
                "attestune-proto",
                "attestune-trainer",
                "attestune-workers",
            ],
        ),
        ("attestune-replay-tests", &["attestune-ledger", "attestune-proto"]),
    ];
    let manifest = root().join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("the workspace is sound");
    assert_eq!(metadata.packages.len(), allowed.len());
    for package in &metadata.packages {
        let name = package.name.as_str();
        let (_, may) = allowed.iter().find(|(n, _)| *n == name).expect("every crate has its row here");
        let ours = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
        for dependency in ours.filter(|d| d.name.starts_with("attestune")) {
            assert!(may.contains(&dependency.name.as_str()), "{name} may not depend on {}", dependency.name);
        }
    }
}

#[test]
fn the_pure_core_asks_for_no_store_or_runtime() {
    let manifest = fs::read_to_string(root().join("ledger/Cargo.toml")).expect("the manifest is there");
    for heavy in ["aes-gcm", "object_store", "rayon", "rocksdb", "tokio", "tracing", "getrandom"] {
        let line = manifest.lines().find(|l| l.starts_with(&format!("{heavy} ="))).expect(heavy);
        assert!(line.contains("optional = true"), "{heavy} must be optional: {line}");
    }
}

#[test]
fn the_rules_know_no_clock_chance_float_hash_map_or_input() {
    let banned = [
        "SystemTime",
        "Instant",
        "rand::",
        "getrandom",
        "HashMap",
        "HashSet",
        "f32",
        "f64",
        "std::fs",
        "std::net",
        "std::env",
        ".unwrap()",
        "panic!",
        "println!",
    ];
    let mut seen = 0;
    for entry in fs::read_dir(root().join("ledger/src/rules")).expect("the rules are there") {
        let path = entry.expect("readable").path();
        let text = fs::read_to_string(&path).expect("readable");
        let rules = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in (1..).zip(rules.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            for word in banned {
                assert!(!code.contains(word), "{}:{number}: `{word}` has no place in the rules", path.display());
            }
        }
        seen += 1;
    }
    assert!(seen >= 14, "only {seen} files of rules were found");
}

#[test]
fn the_manual_lists_every_refusal() {
    let path = root().join("docs/refusals.md");
    let wanted = manual();
    if std::env::var_os("ATTESTUNE_WRITE_DOCS").is_some() {
        fs::write(&path, &wanted).expect("docs can be written");
    }
    let have = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        have == wanted,
        "docs/refusals.md is not what the code says: run ATTESTUNE_WRITE_DOCS=1 cargo test --workspace"
    );
}

fn manual() -> String {
    let mut text = String::from(
        "# Refusals and rejections\n\nGenerated from `ledger/src/refusal.rs`. A *refusal* is a verdict of the rules on a \
         validly signed event, which stays on the record. A *rejection* stops at the door what is no event at all; \
         where a log holds it all the same, it is counted and kept. Codes never change their meaning.\n",
    );
    for (title, codes) in [("Refusals", ALL), ("Rejections", ALL_REJECTIONS)] {
        let _ = write!(text, "\n## {title}\n\n| code | what it says | what it means |\n| --- | --- | --- |\n");
        for Code { code, meaning, template } in codes {
            let _ = writeln!(text, "| `{code}` | {template} | {} |", meaning.trim());
        }
    }
    text
}

#[test]
fn every_kind_of_the_design_has_a_number_that_nobody_else_has() {
    let proto = fs::read_to_string(root().join("proto/attestune/v1/event.proto")).expect("the proto is there");
    let numbers: Vec<u32> = proto
        .lines()
        .filter_map(|l| l.trim().strip_prefix("KIND_")?.split_once(" = ")?.1.strip_suffix(';')?.parse().ok())
        .collect();
    assert_eq!(numbers.len(), 53);
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len());
}
