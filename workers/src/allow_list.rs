//! The allow list of the policy in force: texts that are no findings where a span is exactly one of them. It lies in the
//! vault as a JSON list, and only a new policy changes it.

use crate::{Context, WorkerError};
use attestune_ledger::query::{self, QueryError};
use attestune_proto::v1::Sealed;
use std::collections::BTreeSet;

/// The texts of an allow list as it lies in the vault; none if it is something else.
pub fn parse(content: &[u8]) -> Option<BTreeSet<String>> {
    serde_json::from_slice(content).ok()
}

/// An allow list as it lies in the vault.
pub fn write(texts: &BTreeSet<String>) -> Vec<u8> {
    serde_json::json!(texts).to_string().into_bytes()
}

/// Where the list of the policy in force lies, and its texts, if that is another list than the known one.
pub(crate) fn changed(
    context: &Context,
    known: Option<&Sealed>,
) -> Result<Option<(Option<Sealed>, BTreeSet<String>)>, WorkerError> {
    let row = match query::policy(&context.view(), 0) {
        Err(QueryError::NotFound { .. }) => return Ok(None), // there is no ledger yet
        row => row?,
    };
    let named = row.policy.and_then(|policy| policy.review).and_then(|rules| rules.allow_list);
    if named.as_ref() == known {
        return Ok(None);
    }
    let Some(sealed) = named else { return Ok(Some((None, BTreeSet::new()))) };
    let what = "allow list";
    let unfit = || WorkerError::Content { what, position: row.position, why: "it is not a JSON list of texts".into() };
    let texts = parse(&context.open(what, row.position, &sealed)?).ok_or_else(unfit)?;
    Ok(Some((Some(sealed), texts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_back_and_anything_else_is_none() {
        let texts: BTreeSet<String> = ["hotline@meridian.example", "0800 \"1\"\n"].map(str::to_owned).into();
        assert_eq!(parse(&write(&texts)), Some(texts));
        for wrong in [&b"{}"[..], b"[1]", b"", b"\xff"] {
            assert_eq!(parse(wrong), None);
        }
    }
}
