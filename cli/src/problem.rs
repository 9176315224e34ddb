//! Errors as the shell shows them: one line of what, one of what to do, and an exit code.

use attestune_proto::v1::Receipt;
use std::process::ExitCode;
use tonic_types::StatusExt as _;

/// An answer of no (exit 1), or something that could not be done (exit 2), with the way out.
#[derive(Debug, Clone)]
pub struct Problem {
    what: String,
    remedy: String,
    code: u8,
    receipt: Option<Box<Receipt>>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Problem {}

/// The answer is no: refused, or does not verify.
pub fn no(what: impl Into<String>, remedy: impl Into<String>) -> anyhow::Error {
    Problem { what: what.into(), remedy: remedy.into(), code: 1, receipt: None }.into()
}

/// An act was refused: code, sentence with its figures, position; the whole receipt in JSON.
pub fn refused(receipt: Receipt) -> anyhow::Error {
    let refusal = receipt.refusal.clone().unwrap_or_default();
    let what = format!("refused at position {}: {}: {}", receipt.position, refusal.code, refusal.message);
    let remedy = "the attempt stays on the record; docs/refusals.md says what the code means".into();
    Problem { what, remedy, code: 1, receipt: Some(Box::new(receipt)) }.into()
}

/// It could not be done.
pub fn cannot(what: impl Into<String>, remedy: impl Into<String>) -> anyhow::Error {
    Problem { what: what.into(), remedy: remedy.into(), code: 2, receipt: None }.into()
}

/// What the system says when a disk is full.
const NO_ROOM: &str = "No space left on device";
const MAKE_ROOM: &str = "the disk is full: make room, then try again; what was acknowledged before stands";

/// Prints an error on stderr, with `json` a refusal's receipt on stdout, and gives its exit code.
pub fn report(error: &anyhow::Error, json: bool) -> ExitCode {
    let problem = error.downcast_ref::<Problem>();
    if let Some(receipt) = problem.and_then(|problem| problem.receipt.as_deref())
        && json
        && let Err(error) = crate::output::message("Receipt", receipt)
    {
        tracing::warn!(%error, "the receipt could not be printed");
    }
    let status = error.chain().find_map(|cause| cause.downcast_ref::<tonic::Status>());
    match (problem, status) {
        (Some(problem), _) => {
            eprintln!("attestune: {}", problem.what);
            if !problem.remedy.is_empty() {
                eprintln!("  {}", problem.remedy);
            }
        }
        (None, Some(status)) => report_status(status),
        (None, None) => {
            let what = format!("{error:#}");
            eprintln!("attestune: {what}");
            if what.contains(NO_ROOM) {
                eprintln!("  {MAKE_ROOM}");
            }
        }
    }
    ExitCode::from(problem.map_or(2, |problem| problem.code))
}

fn report_status(status: &tonic::Status) {
    match status.get_details_error_info() {
        Some(info) => eprintln!("attestune: {}: {}", info.reason, status.message()),
        None if status.message().is_empty() => eprintln!("attestune: the server answered {}", status.code()),
        None => eprintln!("attestune: {}", status.message()),
    }
    let remedy = match status.code() {
        _ if status.message().contains(NO_ROOM) => MAKE_ROOM,
        tonic::Code::Unauthenticated => {
            "sign as a registered actor: --as ACTOR, with that actor's key in the folder or --key FILE"
        }
        tonic::Code::PermissionDenied => "ask an admin for the role, or sign as somebody who holds it (--as ACTOR)",
        tonic::Code::Unavailable => "check that the server runs, and its log: `attestune doctor`",
        tonic::Code::Unknown | tonic::Code::Internal | tonic::Code::Cancelled => {
            "the server ended, or failed: what was sent may be on the log (`attestune log tail`); start it and try again"
        }
        tonic::Code::DataLoss => "keep the folder as it is and run `attestune doctor --deep`",
        _ => return,
    };
    eprintln!("  {remedy}");
}
