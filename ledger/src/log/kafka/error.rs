//! What can go wrong with Kafka, and the way out of each.

use rdkafka::types::RDKafkaErrorCode as Code;
use std::path::PathBuf;

/// Why the log on Kafka could not be opened, read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KafkaError {
    /// No broker is named.
    #[error("`{brokers}` names no brokers: write HOST:PORT, with commas between several")]
    Brokers {
        /// What was given.
        brokers: String,
    },
    /// A name that no topic can have.
    #[error("`{name}` can't be a topic's name: letters, digits, dot, underscore and hyphen, 200 at most")]
    TopicName {
        /// What was given.
        name: String,
    },
    /// A setting that is not written `key=value`.
    #[error("a setting for Kafka is written key=value, for instance security.protocol=sasl_ssl")]
    SettingForm {},
    /// A setting that the log itself depends on.
    #[error("`{key}` can't be set: the log depends on its own value")]
    SettingOurs {
        /// The setting.
        key: String,
    },
    /// A setting that librdkafka does not take.
    #[error("the setting `{key}` for Kafka is not right: {what}")]
    Setting {
        /// The setting.
        key: String,
        /// What librdkafka says.
        what: String,
    },
    /// A file of settings that can't be used.
    #[error("the settings in {} can't be used: {what}", path.display())]
    SettingFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// librdkafka could not be set up.
    #[error("the client for Kafka can't start: {what}")]
    Client {
        /// What it says.
        what: String,
    },
    /// Nobody answers.
    #[error(
        "no broker answered at {brokers} within {waited_s} s: {cause}; check the address, that the brokers run, and \
         `security.protocol`"
    )]
    NoBroker {
        /// The brokers named.
        brokers: String,
        /// How long it was tried, in seconds.
        waited_s: u64,
        /// What was heard last.
        cause: String,
    },
    /// Name or password are wrong.
    #[error(
        "the brokers at {brokers} refused to let us in: {cause}; check sasl.username, sasl.password and sasl.mechanism \
         in --kafka-config"
    )]
    Refused {
        /// The brokers named.
        brokers: String,
        /// What they said.
        cause: String,
    },
    /// TLS failed.
    #[error(
        "no TLS connection to {brokers} came about: {cause}; check ssl.ca.location, the host's name in the certificate, \
         and our own certificate (ssl.certificate.location, ssl.key.location)"
    )]
    Tls {
        /// The brokers named.
        brokers: String,
        /// What went wrong.
        cause: String,
    },
    /// The topic does not exist.
    #[error(
        "there is no topic `{topic}` at {brokers}: check --ledger; a new ledger's topic is made by `attestune init \
         --kafka`, a lost one is rebuilt from a replica's folder by `attestune log restore`"
    )]
    TopicMissing {
        /// The topic.
        topic: String,
        /// The brokers asked.
        brokers: String,
    },
    /// The topic to be made is there already.
    #[error("there is a topic `{topic}` already, and a log is never overwritten: choose another name, or delete it")]
    TopicExists {
        /// The topic.
        topic: String,
    },
    /// The topic does not keep one order.
    #[error(
        "the topic `{topic}` has {count} partitions, so it has no one order: a ledger's topic has exactly one; make \
         another topic (`attestune log restore` copies into it)"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// How many partitions it has.
        count: usize,
    },
    /// The brokers do not allow it.
    #[error("the brokers do not allow us to {what} `{topic}`: ask for that right (docs/kafka.md lists what is needed)")]
    NotAllowed {
        /// The topic.
        topic: String,
        /// What was tried.
        what: &'static str,
    },
    /// Entries at the beginning were deleted.
    #[error(
        "the topic `{topic}` begins at offset {first}, but this replica needs it from {needed} on: records were deleted \
         (retention?); restore the topic from a replica that has them (`attestune log restore`)"
    )]
    BeginningLost {
        /// The topic.
        topic: String,
        /// The first offset there is.
        first: i64,
        /// The first that is needed.
        needed: i64,
    },
    /// Entries at the end are gone.
    #[error(
        "the topic `{topic}` ends at offset {end}, but this replica has read it up to {known}: its end was lost, or it \
         was made anew; keep this folder and restore the topic from it (`attestune log restore`)"
    )]
    EndLost {
        /// The topic.
        topic: String,
        /// Where it ends.
        end: i64,
        /// Where this replica stands.
        known: i64,
    },
    /// Another topic under the same name.
    #[error(
        "the topic `{topic}` was deleted and made anew: it is not the log that this replica followed; keep this folder \
         and restore the topic from it (`attestune log restore`)"
    )]
    Remade {
        /// The topic.
        topic: String,
    },
    /// The folder followed another topic.
    #[error(
        "this folder follows the topic `{followed}`, and `{topic}` holds something else: name the right one by --ledger, \
         or choose a fresh folder"
    )]
    OtherTopic {
        /// The topic that it followed.
        followed: String,
        /// The topic asked for.
        topic: String,
    },
    /// The topic holds something else where this replica stands.
    #[error(
        "log diverged at {position}: the record at offset {offset} of `{topic}` is not the entry that this replica \
         holds; keep this folder and find out which of the two is right: `attestune doctor`"
    )]
    Diverged {
        /// The topic.
        topic: String,
        /// The entry's position.
        position: u64,
        /// The record's offset.
        offset: i64,
    },
    /// The folder holds a log of its own.
    #[error(
        "this folder holds a log of its own, with {entries} entries: move it to Kafka with `attestune log restore`, or \
         choose a fresh folder for a replica of `{topic}`"
    )]
    OwnLog {
        /// Its entries.
        entries: u64,
        /// The topic asked for.
        topic: String,
    },
    /// What the folder notes about its topic does not fit its entries.
    #[error(
        "this replica's note of where it stands on Kafka is damaged: {what}; move the folder's db away and the replica \
         is built anew from the topic"
    )]
    Note {
        /// What is wrong.
        what: String,
    },
    /// The brokers do not take the record.
    #[error(
        "the brokers refuse a record of this size ({size} bytes), nothing of it is on the log: raise max.message.bytes \
         of the topic `{topic}` (`attestune doctor` says to what)"
    )]
    RecordTooLarge {
        /// The topic.
        topic: String,
        /// The value's size in bytes.
        size: usize,
    },
    /// A time that no record can carry.
    #[error("entry {position} has the time {time_ms} ms, which no record on Kafka can carry: this log stays as it is")]
    Time {
        /// The entry's position.
        position: u64,
        /// Its time.
        time_ms: u64,
    },
    /// No acknowledgement came.
    #[error(
        "no acknowledgement from Kafka: {cause}; the events may be on the log or not: append the same bytes again, they \
         count once"
    )]
    NotAcknowledged {
        /// Why.
        cause: String,
    },
    /// Acknowledged, but not read back in time.
    #[error(
        "the events are on the log (offset {offset}), but this replica did not come to them within {waited_s} s: ask \
         for their receipts later"
    )]
    Behind {
        /// The last record's offset.
        offset: i64,
        /// How long it was waited for.
        waited_s: u64,
    },
    /// A record can't be read.
    #[error("the record at offset {offset} or after of `{topic}` can't be read: {cause}")]
    Unreadable {
        /// The topic.
        topic: String,
        /// The next offset that was asked for.
        offset: i64,
        /// What librdkafka says.
        cause: String,
    },
    /// Anything else that was asked of the brokers.
    #[error("Kafka could not {what}: {cause}")]
    Failed {
        /// What was asked.
        what: String,
        /// What it said.
        cause: String,
    },
}

impl KafkaError {
    /// What librdkafka says about creating a client. The values of settings are left out: they may be secrets.
    pub(super) fn from_creation(error: rdkafka::error::KafkaError) -> Self {
        use rdkafka::error::KafkaError as Error;
        match error {
            Error::ClientConfig(_, what, key, _) => {
                // librdkafka quotes the value in its sentence for some settings.
                let what = if what.contains("No such configuration property") {
                    "there is no such setting".to_owned()
                } else if key.contains("password") || key.contains("secret") || key.contains("pem") {
                    "its value is refused".to_owned()
                } else {
                    what
                };
                Self::Setting { key, what }
            }
            Error::ClientCreation(what) => Self::Client { what },
            other => Self::Client { what: other.to_string() },
        }
    }

    /// Whether it may pass by itself: the brokers were out of reach, or too slow.
    pub fn may_pass(&self) -> bool {
        self.may_be_on_the_log() || matches!(self, Self::NoBroker { .. } | Self::Failed { .. })
    }

    /// Whether what was appended may be on the log all the same.
    pub fn may_be_on_the_log(&self) -> bool {
        matches!(self, Self::NotAcknowledged { .. } | Self::Behind { .. })
    }
}

/// The code in an error of librdkafka.
pub(super) fn code(error: &rdkafka::error::KafkaError) -> Code {
    error.rdkafka_error_code().unwrap_or(Code::Unknown)
}

/// A code in words.
pub(super) fn words(code: Code) -> String {
    code.to_string()
}
