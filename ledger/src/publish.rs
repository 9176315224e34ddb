//! Decided events as records for consumers of other teams: CloudEvents in Kafka's binary mode.
//!
//! One record for each entry, so that positions have no gap: an accepted, refused or repeated event with its envelope,
//! and what is no event without its bytes, which nobody has judged. The key is the [aggregate](crate::query::aggregate).
//!
//! ```text
//! ce_specversion  1.0
//! ce_id           the position
//! ce_source       /ledgers/ID, the ledger's id in hex
//! ce_type         attestune.v1.VERDICT.KIND, such as attestune.v1.accepted.rolled-back; attestune.v1.garbage
//! ce_subject      the key
//! ce_time         when the log took it in, if it is a time that RFC 3339 can tell
//! ce_leafhash     the hash of its leaf in the entry tree, in hex
//! content-type    of the value: a Decided in some encoding
//! ```

use crate::draft::{kind, plain};
use crate::log::kafka::publish::{ID, LEAF_HASH, Record, SOURCE, Source};
use crate::query::aggregate;
use crate::replica::{Replica, ReplicaError};
use crate::rules::decode::decode;
use crate::rules::entry_leaf;
use attestune_proto::v1::{Decided, Kind, Verdict};
use chrono::{DateTime, Datelike as _, SecondsFormat};
use prost::Message as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How a value is written.
#[derive(Debug, Clone, Copy)]
pub struct Encoding {
    /// What it says it is.
    pub content_type: &'static str,
    /// Writes it.
    pub encode: fn(&Decided) -> Vec<u8>,
}

impl Encoding {
    /// The message itself.
    pub const PROTOBUF: Self = Self { content_type: "application/protobuf", encode: Decided::encode_to_vec };
}

/// What a replica has decided, as records.
pub struct Decisions {
    replica: Arc<Replica>,
    encoding: Encoding,
    /// What names the ledger, once there is one.
    source: OnceLock<String>,
}

impl Decisions {
    /// Of a replica.
    pub fn of(replica: Arc<Replica>, encoding: Encoding) -> Self {
        Self { replica, encoding, source: OnceLock::new() }
    }

    fn source(&self) -> Result<&str, ReplicaError> {
        if let Some(source) = self.source.get() {
            return Ok(source);
        }
        let source = format!("/ledgers/{}", hex::encode(&self.replica.head()?.ledger));
        Ok(self.source.get_or_init(|| source))
    }
}

impl Source for Decisions {
    fn wait_past(&self, known: u64, timeout: Duration) -> u64 {
        let size = self.replica.wait_past(known, timeout);
        if self.source().is_err() {
            // Before there is a ledger nothing can say whose it is.
            std::thread::sleep(timeout);
            return 0;
        }
        size
    }

    fn record(&self, position: u64) -> Result<Record, String> {
        let source = self.source().map_err(|error| error.to_string())?.to_owned();
        let mut decided = self.replica.decided(position).map_err(|error| error.to_string())?;
        let key = aggregate(&self.replica.view_at(position), &decided).map_err(|error| error.to_string())?;
        let leaf_hash = entry_leaf(decided.time_ms, &decided.envelope);
        let mut headers = vec![
            ("ce_specversion", "1.0".into()),
            (ID, position.to_string()),
            (SOURCE, source),
            ("ce_type", type_of(&decided)),
            ("ce_subject", key.clone()),
            (LEAF_HASH, leaf_hash.to_string()),
            ("content-type", self.encoding.content_type.into()),
        ];
        headers.extend(time(decided.time_ms).map(|time| ("ce_time", time)));
        if decided.verdict() == Verdict::Garbage {
            decided.envelope.clear();
        }
        Ok(Record { key, headers, value: (self.encoding.encode)(&decided) })
    }
}

/// Verdict first, so that whoever takes events by a prefix can't take a refused one for something that happened.
fn type_of(decided: &Decided) -> String {
    let verdict = plain(decided.verdict().as_str_name(), "VERDICT_");
    if decided.verdict() == Verdict::Garbage {
        return format!("attestune.v1.{verdict}");
    }
    let body = decode(&decided.envelope).ok().and_then(|decoded| decoded.event.body);
    let kind = body.as_ref().map_or(Kind::Unspecified, kind);
    format!("attestune.v1.{verdict}.{}", plain(kind.as_str_name(), "KIND_"))
}

/// A time in RFC 3339, which ends with the year 9999.
fn time(time_ms: u64) -> Option<String> {
    let time = DateTime::from_timestamp_millis(i64::try_from(time_ms).ok()?)?;
    (time.year() <= 9999).then(|| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_beyond_what_rfc_3339_can_tell_is_left_out() {
        assert_eq!(time(1_777_791_600_000).as_deref(), Some("2026-05-03T07:00:00.000Z"));
        assert_eq!(time(253_402_300_799_999).as_deref(), Some("9999-12-31T23:59:59.999Z"));
        assert_eq!(time(253_402_300_800_000), None);
        assert_eq!(time(u64::MAX), None);
    }
}
