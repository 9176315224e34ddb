//! The members of a dataset as a table, and a sample of them that nobody could choose.

use super::EvidenceError;
use crate::tree::{Frontier, Hash, leaf_hash};
use attestune_proto::v1::event::Body;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

const HEADER: &str = "number,batch,index,commitment,redacted,documents,row,document\n";

/// One member: an example, and the document that it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Position of its batch.
    pub batch: u64,
    /// Index in it.
    pub index: u32,
    /// The commitment to its text, the redacted one after redaction.
    pub commitment: Hash,
    /// Whether that is a redacted text.
    pub redacted: bool,
    /// Position of the documents' batch.
    pub documents: u64,
    /// The document's index in it.
    pub row: u32,
    /// The commitment to the document.
    pub document: Hash,
}

/// The members in order, each traced to its document in the events that `body` gives.
///
/// # Errors
/// If an event is missing or does not have the example.
pub fn rows(
    members: impl IntoIterator<Item = (u64, u32, Vec<u8>)>,
    body: &dyn Fn(u64) -> Option<Body>,
) -> Result<Vec<Row>, EvidenceError> {
    let mut last: Option<(u64, attestune_proto::v1::ExamplesDerived, Vec<Vec<u8>>)> = None;
    let mut found = Vec::new();
    for (batch, index, commitment) in members {
        let unfit = || EvidenceError::Unfit(format!("example {batch}/{index} can't be traced to its document"));
        if last.as_ref().is_none_or(|(of, _, _)| *of != batch) {
            let Some(Body::ExamplesDerived(derived)) = body(batch) else { return Err(unfit()) };
            let Some(Body::DocumentsIngested(ingested)) = body(derived.documents) else { return Err(unfit()) };
            last = Some((batch, derived, ingested.commitments));
        }
        let Some((_, derived, documents)) = &last else { return Err(unfit()) };
        let row = derived.rows.get(index as usize).copied().ok_or_else(unfit)?;
        let hash = |bytes: &[u8]| bytes.try_into().map(Hash).map_err(|_| unfit());
        let original = derived.commitments.get(index as usize).ok_or_else(unfit)?;
        found.push(Row {
            batch,
            index,
            redacted: *original != commitment,
            commitment: hash(&commitment)?,
            documents: derived.documents,
            row,
            document: hash(documents.get(row as usize).ok_or_else(unfit)?)?,
        });
    }
    Ok(found)
}

/// The RFC 6962 root over the members' commitments: what DatasetFrozen names.
pub fn root(rows: &[Row]) -> Hash {
    let mut tree = Frontier::new();
    rows.iter().for_each(|row| tree.push(leaf_hash(&[&row.commitment.0])));
    tree.root()
}

/// The table, a line a member, counted from 1.
pub fn csv<'a>(rows: impl IntoIterator<Item = (usize, &'a Row)>) -> String {
    let mut text = HEADER.to_owned();
    for (number, r) in rows {
        let (batch, index, documents, row) = (r.batch, r.index, r.documents, r.row);
        let _ =
            writeln!(text, "{number},{batch},{index},{},{},{documents},{row},{}", r.commitment, r.redacted, r.document);
    }
    text
}

/// Reads a table; else the number of the line that is not in its one form.
pub fn read(text: &str) -> Result<Vec<Row>, usize> {
    let lines = text.strip_prefix(HEADER).ok_or(1usize)?.lines();
    let mut rows = Vec::new();
    for line in lines {
        let row = parse(line).ok_or(rows.len() + 2)?;
        rows.push(row);
    }
    let again = csv((1..).zip(&rows));
    if again == text {
        return Ok(rows);
    }
    Err(again.lines().zip(text.lines()).take_while(|(ours, theirs)| ours == theirs).count() + 1)
}

fn parse(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.split(',').collect();
    let [_, batch, index, commitment, redacted, documents, row, document] = cells.as_slice() else { return None };
    Some(Row {
        batch: batch.parse().ok()?,
        index: index.parse().ok()?,
        commitment: commitment.parse().ok()?,
        redacted: redacted.parse().ok()?,
        documents: documents.parse().ok()?,
        row: row.parse().ok()?,
        document: document.parse().ok()?,
    })
}

/// From what the sample is drawn: the checkpoint's root, which nobody could choose when the data were frozen, and the
/// dataset's.
pub fn seed(checkpoint: Hash, dataset: Hash) -> Hash {
    let hash = Sha256::new().chain_update(b"attestune sample v1").chain_update(checkpoint.0).chain_update(dataset.0);
    Hash(hash.finalize().into())
}

/// At most `most` members in the order of drawing, by their numbers, counted from 1: those whose
/// `SHA-256(seed ‖ number in 8 bytes big-endian)` are the smallest.
pub fn sample(rows: &[Row], seed: Hash, most: u32) -> Vec<(usize, &Row)> {
    let lot = |number: usize| -> [u8; 32] {
        Sha256::new().chain_update(seed.0).chain_update((number as u64).to_be_bytes()).finalize().into()
    };
    let mut lots: Vec<_> = (1..).zip(rows).map(|(number, row)| (lot(number), number, row)).collect();
    lots.sort_unstable_by_key(|(lot, number, _)| (*lot, *number));
    lots.into_iter().take(most as usize).map(|(_, number, row)| (number, row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: u32) -> Vec<Row> {
        let row = |index| Row {
            batch: 17,
            index,
            commitment: leaf_hash(&[&index.to_be_bytes()]),
            redacted: index == 1,
            documents: 16,
            row: index,
            document: Hash([9; 32]),
        };
        (0..count).map(row).collect()
    }

    #[test]
    fn a_table_reads_back_and_a_line_that_is_another_is_told() {
        let text = csv((1..).zip(&rows(3)));
        assert_eq!(read(&text), Ok(rows(3)));
        assert_eq!(read(&text.replace("2,17,1,", "3,17,1,")), Err(3));
        assert_eq!(read(&text.replace("true", "yes")), Err(3));
        assert_eq!(read(&text.replace("number", "n")), Err(1));
        assert_eq!(read(text.trim_end()), Err(5));
        assert_eq!(read(HEADER), Ok(Vec::new()));
    }

    #[test]
    fn a_sample_depends_on_the_seed_alone_and_holds_none_twice() {
        let rows = rows(100);
        let drawn =
            |seed: u8, most| sample(&rows, Hash([seed; 32]), most).into_iter().map(|(n, _)| n).collect::<Vec<_>>();
        assert_eq!(drawn(1, 25), drawn(1, 25));
        assert_eq!(drawn(1, 25)[..10], drawn(1, 10));
        assert_ne!(drawn(1, 25), drawn(2, 25));
        let mut all = drawn(1, 200);
        all.sort_unstable();
        assert_eq!(all, (1..=100).collect::<Vec<_>>());
    }
}
