//! Where a replica's copy of the topic ends, noted in the same write as the entries themselves.
//!
//! In the store's family `meta` under `kafka`, lines of text:
//!
//! ```text
//! topic          its name
//! cluster        the cluster's id
//! topic id       the topic's id, another one each time that it is made; `-` where the brokers do not tell
//! offset         of the record that is the copy's last entry; -1 with none
//! entries        how many the copy holds
//! ```

use super::KafkaError;
use crate::log::{FOLLOWS, LogError};
use crate::store::{Batch, Family, Store};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resume {
    pub topic: String,
    pub cluster: String,
    pub topic_id: Option<String>,
    /// Of the last record read; -1 with none.
    pub last_offset: i64,
    pub entries: u64,
}

impl Resume {
    pub(super) fn read(store: &Store) -> Result<Option<Self>, LogError> {
        let Some(bytes) = store.get(Family::Meta, FOLLOWS)? else { return Ok(None) };
        let note = Self::parse(&bytes).ok_or(KafkaError::Note { what: "it can't be read".into() })?;
        Ok(Some(note))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.lines();
        let mut next = || lines.next();
        Some(Self {
            topic: next()?.into(),
            cluster: next()?.into(),
            topic_id: Some(next()?).filter(|id| *id != "-").map(Into::into),
            last_offset: next()?.parse().ok()?,
            entries: next()?.parse().ok()?,
        })
    }

    pub(super) fn put(&self, batch: &mut Batch<'_>) {
        batch.put(Family::Meta, FOLLOWS, self.to_text().as_bytes());
    }

    fn to_text(&self) -> String {
        let Self { topic, cluster, topic_id, last_offset, entries } = self;
        let topic_id = topic_id.as_deref().unwrap_or("-");
        format!("{topic}\n{cluster}\n{topic_id}\n{last_offset}\n{entries}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_and_a_damaged_one_does_not() {
        let note = Resume {
            topic: "triage".into(),
            cluster: "MkU3OEVBNTcwNTJENDM2Qk".into(),
            topic_id: None,
            last_offset: -1,
            entries: 0,
        };
        assert_eq!(Resume::parse(note.to_text().as_bytes()), Some(note.clone()));
        let with_id = Resume { topic_id: Some("8jT6KMGSQeuE".into()), last_offset: 7, entries: 6, ..note };
        assert_eq!(Resume::parse(with_id.to_text().as_bytes()), Some(with_id));
        assert_eq!(Resume::parse(b"triage\ncluster\n-\nx\n0\n"), None);
        assert_eq!(Resume::parse(b"triage\n"), None);
    }
}
