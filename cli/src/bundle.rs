//! `attestune verify BUNDLE`: a bundle of evidence checked offline, each claim with how far it can be relied upon.

use crate::{context::Context, output, problem, witness};
use anyhow::Context as _;
use attestune_ledger::evidence::{self, Anchors, CHECKER, Report, Standing};
use std::{fs::File, io::Read as _, path::Path};

/// How a zip begins.
const ZIP: &[u8] = b"PK\x03\x04";

/// Whether a file is a bundle rather than an export of a log.
///
/// # Errors
/// If it can't be read.
pub fn is_one(path: &Path) -> anyhow::Result<bool> {
    let mut first = [0; 4];
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(file.read_exact(&mut first).is_ok() && first == ZIP || path.extension().is_some_and(|ending| ending == "zip"))
}

/// Checks a bundle and prints what it proves.
///
/// # Errors
/// If something does not hold: what and where.
pub async fn verify(
    context: &Context,
    path: &Path,
    ledger: Option<[u8; 32]>,
    checkpoint_key: Option<[u8; 32]>,
    policy: Option<&Path>,
) -> anyhow::Result<()> {
    let policy = policy.map(witness::policy).transpose()?;
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let anchors = Anchors { ledger, checkpoint_key, policy, checker: Some(CHECKER) };
    let report = tokio::task::spawn_blocking(move || evidence::verify(&bytes, &anchors)).await?;
    if context.json {
        output::value(&json(&report))?;
    } else if report.holds() {
        print(&report);
    }
    if report.holds() {
        return Ok(());
    }
    let failures: Vec<_> = report.failures.iter().map(ToString::to_string).collect();
    Err(problem::no(
        format!("{} does not verify: {}", path.display(), failures.join("\n  and ")),
        "it was altered, is of another ledger, or what you named from outside is mistyped; rely on nothing in it",
    ))
}

fn print(report: &Report) {
    if !report.origin_known {
        println!("self-consistent, origin unknown: this proves no claim");
        println!("  it says that it is of ledger {}", report.ledger);
        eprintln!("to prove more, name what you know from outside: --ledger ID, or --policy FILE");
        return;
    }
    println!("of ledger {}", report.ledger);
    for claim in &report.claims {
        match &claim.standing {
            Standing::Proven => println!("proven    {}", claim.text),
            Standing::Attested(by) => println!("attested  {}  (by {by})", claim.text),
            Standing::Asserted(by) => println!("asserted  {}  (by {by})", claim.text),
        }
    }
}

fn json(report: &Report) -> serde_json::Value {
    let claims = report.claims.iter().map(|claim| {
        let (standing, by) = match &claim.standing {
            Standing::Proven => ("proven", None),
            Standing::Attested(by) => ("attested", Some(by)),
            Standing::Asserted(by) => ("asserted", Some(by)),
        };
        serde_json::json!({ "standing": standing, "by": by, "text": claim.text })
    });
    let failures = report.failures.iter().map(|f| serde_json::json!({ "place": f.place, "what": f.what }));
    // Where the origin is unknown or something does not hold, no claim counts.
    let counts = report.holds() && report.origin_known;
    serde_json::json!({
        "holds": report.holds(),
        "origin": if report.origin_known { "known" } else { "unknown" },
        "ledger": report.ledger,
        "claims": if counts { claims.collect::<Vec<_>>() } else { Vec::new() },
        "failures": failures.collect::<Vec<_>>(),
    })
}
